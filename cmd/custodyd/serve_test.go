package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/database"
)

// TestServeRefuses: what cannot be served is refused before anything is made.
func TestServeRefuses(t *testing.T) {
	p := build(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // only listened on
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() { unlock(dir) })
	for _, row := range []struct {
		in   string
		args []string
	}{
		{"listen: ", []string{"--listen", taken.Addr().String()}},
		{"--tls-cert: ", []string{"--tls-cert", "none.pem", "--tls-key", "none.pem"}},
		{"--retain-days -5: want 1 to", []string{"--retain-days", "-5"}},
		{"--retain-days 99999999: want 1 to", []string{"--retain-days", "99999999"}},
		{"--session 0s: want", []string{"--session", "0"}},
		{"--drain -1s: want", []string{"--drain", "-1s"}},
		{"--witness-every 1ns: want 1s at least", []string{"--witness-every", "1ns"}},
		{"--authority tsa: open none.pem", []string{"--authority", "tsa http://tsa.example none.pem"}},
	} {
		code, stdout, stderr := p.run(append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, row.args...)...)
		if code != exitError || !strings.Contains(stderr, row.in) {
			t.Errorf("%q: exit %d:\n%s%s", row.args, code, stdout, stderr)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%q: something was made: %v", row.args, err)
		}
	}
	p.serve(dir)()
	before := entries(t, dir)
	if code, _, stderr := p.run("serve", "--data", dir, "--listen", taken.Addr().String()); code != exitError {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if after := entries(t, dir); after != before {
		t.Errorf("%d entries, and %d after a start that never was", before, after)
	}
}

// entries counts the ledger's.
func entries(t *testing.T, dir string) (n int64) {
	t.Helper()
	db, err := database.OpenAsIs(t.Context(), filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(tx *database.Tx) error {
		head, err := tx.Head()
		n = head.Size
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAsked: the greeting tells who signs and cosigns, and whether they answered; and what
// is wrong with them is said with the next thing to do.
func TestAsked(t *testing.T) {
	p := build(t)
	dir, state := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "signer")
	t.Cleanup(func() { unlock(dir) })
	socket := filepath.Join(t.TempDir(), "s")
	signer := p.begin("signed", nil, "signer", "--socket", socket, "--state", state, "--origin", "lab.example/asked")
	outside := p.begin("log", nil, "witness", "--state", filepath.Join(t.TempDir(), "w"), "--name", "court.example/w",
		"--listen", "127.0.0.1:0", "--log", signer.said["verifier"])
	endpoint := outside.said["witness"] + " " + outside.said["address"]
	outside.end(syscall.SIGTERM)
	s := p.begin("witness", nil, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--signer", socket, "--witness", endpoint)
	if s.said["signer"] != socket+":" || s.said["witness"] != "court.example/w:" {
		t.Errorf("%q", s.said)
	}
	want := func(code int, in string, args ...string) {
		t.Helper()
		got, stdout, stderr := p.run(args...)
		if got != code || !strings.Contains(stdout+stderr, in) {
			t.Errorf("%q: exit %d, want %d and %q:\n%s%s", args, got, code, in, stdout, stderr)
		}
	}
	check := []string{"check", "--data", dir, "--signer", socket, "--signer-wait", "1ms", "--witness", endpoint}
	want(exitFinding, "no witness is asked meanwhile", check...)
	want(exitError, "running with it already?", "signer", "--socket", socket+"2", "--state", state)
	want(exitError, "--data names that of the service", "backup", "--data", dir+"2", "--out", dir+"3")
	s.end(syscall.SIGTERM)
	want(exitFinding, "cannot be reached", check...)
	signer.end(syscall.SIGTERM)
	want(exitFinding, "start custodyd signer with --socket "+socket, check...)
}

// TestHelp: every command shows how it is used.
func TestHelp(t *testing.T) {
	for _, cmd := range append(newRoot().Commands(), newRoot()) {
		if cmd.Example == "" || !strings.Contains(cmd.Long, "Exit codes") {
			t.Errorf("%s: no example, or no exit codes", cmd.Name())
		}
	}
}

// TestPlainWarning: without TLS, on an address that others reach, somebody is told.
func TestPlainWarning(t *testing.T) {
	for listen, want := range map[string]bool{"127.0.0.1:0": false, "[::1]:0": false, "0.0.0.0:0": true} {
		var said strings.Builder
		s := &settings{listen: listen, drain: time.Second}
		l, err := s.bind(t.Context(), slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(said.String(), "without TLS"); got != want {
			t.Errorf("%s: %q", listen, said.String())
		}
	}
}
