//go:build unix && !solaris && !aix

package witness

import (
	"crypto/rand"
	"syscall"
	"testing"
)

// TestLetsGo: a program that this process is starting has its open files, and so its locks,
// until it executes. Closing gives the state free all the same.
func TestLetsGo(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, "w.example/1", rand.Reader); err != nil {
		t.Fatal(err)
	}
	w, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(int(w.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited) //nolint:errcheck // of a test
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w, err = Open(Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
