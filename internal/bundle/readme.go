package bundle

import (
	"bytes"
	_ "embed"
	"errors"
	"io/fs"
	"strings"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// bagIt is bagit.txt.
//
// SPEC: "The bagit.txt tag file MUST consist of exactly two lines in this order"
// (RFC 8493, section 2.1.1)
const bagIt = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

//go:embed readme.txt
var readmeText string

// verifier checks a bundle with Python alone; its first lines say what.
//
//go:embed verify.py
var verifier []byte

// KnownReadme reports whether README.txt is what this version of the program writes for
// that case and ledger. Its commands are pasted into shells, and nobody has signed it:
// one that is not known can be of another version, or of an attacker.
func (b *Bundle) KnownReadme(reference evidence.Name, origin ledger.Origin) bool {
	text, err := b.ReadFile(ReadmeFile)
	return err == nil && bytes.Equal(text, readme(reference, origin))
}

// KnownVerifier reports whether verify.py, if it is there, is what this version of the
// program writes: people are going to run it. Bundles of the first version have none.
func (b *Bundle) KnownVerifier() bool {
	text, err := b.ReadFile(VerifierFile)
	return errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(text, verifier)
}

func readme(reference evidence.Name, origin ledger.Origin) []byte {
	return []byte(strings.NewReplacer("REFERENCE", string(reference), "ORIGIN", string(origin)).Replace(readmeText))
}
