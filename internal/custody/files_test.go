package custody_test

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// blank is a lab without anybody in it, of which others are copies: to make keys and
// tables for each takes longer than most tests. TestMain removes it.
var blank struct {
	sync.Once
	dir string
}

// emptyLab gives a lab on new files whose service has not been opened. All of them
// have the same keys.
func emptyLab(t testing.TB) *lab {
	t.Helper()
	blank.Do(func() {
		dir, err := os.MkdirTemp("", "lab")
		must(t, err)
		blank.dir = dir
		createLab(t, dir)
	})
	return labAt(t, clone(t, blank.dir))
}

// anotherLab gives one with keys of its own.
func anotherLab(t testing.TB) *lab {
	t.Helper()
	dir := t.TempDir()
	createLab(t, dir)
	return labAt(t, dir)
}

// createLab makes the files of a lab without anybody in it.
func createLab(t testing.TB, dir string) {
	t.Helper()
	must(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	for _, p := range append([]identity.Principal{identity.Service, "stranger"}, principals()...) {
		_, err := identity.GenerateKeyFile(filepath.Join(dir, "keys", string(p)), "", rand.Reader)
		must(t, err)
	}
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "skey"), []byte(skey), 0o600))
	signer, err := ledger.CreateSigner(filepath.Join(dir, "signer"), skey)
	must(t, err)
	must(t, signer.Close())
	db, err := database.Create(t.Context(), filepath.Join(dir, "ledger.db"), database.Meta{Origin: origin, VerifierKey: vkey})
	must(t, err)
	must(t, db.Close())
	objects, err := objectstore.CreateDirectory(filepath.Join(dir, "objects"), objectstore.Mutable())
	must(t, err)
	must(t, objects.Close())
}

func principals() []identity.Principal {
	var all []identity.Principal
	for _, p := range staff {
		all = append(all, p.principal)
	}
	return all
}

// clone copies the files of a lab that is down.
func clone(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "clone")
	out, err := exec.CommandContext(t.Context(), "cp", "-a", dir, to).CombinedOutput()
	if err != nil {
		t.Fatalf("copy the lab: %v: %s", err, out)
	}
	return to
}

// bring replaces a file of a lab by that of another.
func bring(t *testing.T, from, to, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(from, name))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(to, name), data, 0o600))
}

// objectFile gives the path of the file that holds an object.
func (l *lab) objectFile(number evidence.Number, role evidence.Role) string {
	l.t.Helper()
	o, ok := l.copyOf(number).Object(role)
	if !ok {
		l.t.Fatalf("%s has no %s", number, role)
	}
	return l.path("objects", "objects", o.Key)
}

// damage changes the byte of a file at an offset, behind the store's back.
func damage(t testing.TB, path string, offset int64) {
	t.Helper()
	must(t, os.Chmod(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	must(t, err)
	b[0] ^= 0x80
	_, err = f.WriteAt(b[:], offset)
	must(t, errors.Join(err, f.Sync(), f.Close(), os.Chmod(path, 0o400)))
}
