package attack

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// foreignKey is the bundle's bag with another ledger key of the same name, and its
// checkpoint and receipts signed with that.
func (l *lab) foreignKey() string {
	l.t.Helper()
	bag := l.unpack(l.path("case.zip"))
	file := func(name string) string { return filepath.Join(bag, "data", name) }
	note, err := os.ReadFile(file("checkpoint"))
	must(l.t, err)
	body, _, _ := strings.Cut(string(note), "\n\n")
	tree, err := ledger.ParseCheckpoint([]byte(body + "\n"))
	must(l.t, err)
	skey, vkey, err := ledger.GenerateKey(rand.Reader, tree.Origin)
	must(l.t, err)
	key, err := ledger.ParseVerifierKey(vkey)
	must(l.t, err)
	signer, err := ledger.CreateSigner(l.path("foreign.state"), skey)
	must(l.t, err)
	forged, err := signer.Sign(tree, nil)
	must(l.t, err)
	must(l.t, signer.Close())
	signed, sig, err := ledger.SplitCheckpoint(forged, key)
	must(l.t, err)
	pem, err := key.PEM()
	must(l.t, err)
	for name, content := range map[string][]byte{
		"checkpoint": forged, "checkpoint.body": signed, "checkpoint.sig": sig, "ledger.vkey": []byte(vkey + "\n"), "ledger.pem": pem,
	} {
		must(l.t, os.WriteFile(file(name), content, 0o600))
	}
	proofs, err := filepath.Glob(file("proofs/*"))
	must(l.t, err)
	for _, path := range proofs {
		proof, err := os.ReadFile(path)
		must(l.t, err)
		must(l.t, os.WriteFile(path, []byte(strings.Replace(string(proof), string(note), string(forged), 1)), 0o600))
	}
	l.mend(bag)
	return bag
}
