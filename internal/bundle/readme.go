package bundle

import (
	"bytes"
	_ "embed"
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

// KnownReadme reports whether README.txt is what this version of the program writes for
// that case and ledger. Its commands are pasted into shells, and nobody has signed it:
// one that is not known can be of another version, or of an attacker.
func (b *Bundle) KnownReadme(reference evidence.Name, origin ledger.Origin) bool {
	text, err := b.ReadFile(ReadmeFile)
	return err == nil && bytes.Equal(text, readme(reference, origin))
}

func readme(reference evidence.Name, origin ledger.Origin) []byte {
	return []byte(strings.NewReplacer("REFERENCE", string(reference), "ORIGIN", string(origin)).Replace(readmeText))
}
