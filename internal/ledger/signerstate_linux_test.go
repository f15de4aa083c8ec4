package ledger

import (
	"syscall"
	"testing"
)

// TestSignerLetsGo: a program that this process is starting has its open files, and so its
// locks, until it executes. Closing gives the state free all the same.
func TestSignerLetsGo(t *testing.T) {
	s, path := newTestSigner(t)
	inherited, err := syscall.Dup(int(s.state.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited) //nolint:errcheck // of a test
	reopen(t, s, path)
}
