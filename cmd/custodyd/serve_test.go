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
		{"--ledger-retain-days 0: want 1 to", []string{"--ledger-retain-days", "0"}},
		{"--payload-retain-days -1: want 1 to", []string{"--payload-retain-days", "-1"}},
		{"--payload-retain-days 9: want at least --ledger-retain-days, 10", []string{"--ledger-retain-days", "10", "--payload-retain-days", "9"}},
		{"--max-unpublished 255: want at least 256", []string{"--max-unpublished", "255"}},
		{"--session 0s: want", []string{"--session", "0"}},
		{"--drain -1s: want", []string{"--drain", "-1s"}},
		{"--witness-every 1ns: want 1s at least", []string{"--witness-every", "1ns"}},
		{"--authority tsa: open none.pem", []string{"--authority", "tsa http://tsa.example none.pem"}},
	} {
		code, stdout, stderr := p.run(append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, row.args...)...)
		if code != exitError || !strings.Contains(stderr, row.in) || strings.Count(stderr, "want ") > 1 {
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

// TestLostFiles: what is missing or damaged in a data directory is named, with what makes
// it again.
func TestLostFiles(t *testing.T) {
	p := build(t)
	root := t.TempDir()
	dir := filepath.Join(root, "data")
	t.Cleanup(func() { unlock(dir) })
	p.serve(dir)()
	serve, again := []string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, []string{"rebuild", "--from-store", "--data", dir}
	for name, row := range map[string]struct {
		file    string
		content string // empty: the file is not there
		args    []string
		code    int
		want    []string
	}{
		"no database":      {dbFile, "", serve, exitError, []string{dbFile, "rebuild --from-store", "custodyd backup"}},
		"no database here": {dbFile, "", []string{"check", "--data", dir}, exitFinding, []string{dbFile, "rebuild --from-store"}},
		"other database":   {dbFile, "hello", serve, exitError, []string{"not a database", "rebuild --from-store"}},
		"no state":         {stateFile, "", serve, exitError, []string{stateFile, "rebuild --from-store"}},
		"damaged state":    {stateFile, "hello", serve, exitError, []string{stateFile + ": ", "rebuild --from-store"}},
		"signer's state":   {stateFile, "", []string{"signer", "--socket", filepath.Join(root, "s"), "--state", dir}, exitError, []string{stateFile, "rebuild --from-store"}},
		"no marker":        {markerFile, "", serve, exitError, []string{"rebuild --from-store"}},
		"garbage key":      {keyFile, "hello", serve, exitError, []string{filepath.Join(dir, keyFile) + " is not the key of a ledger"}},
		"key to rebuild":   {keyFile, "hello", again, exitError, []string{filepath.Join(dir, keyFile) + " is not the key of a ledger"}},
		"no key":           {keyFile, "", again, exitError, []string{keyFile, "bring the key of the ledger"}},
		"no service key":   {serviceFile, "", again, exitError, []string{filepath.Join(dir, serviceFile) + ": ", "bring the key of the service"}},
		"other service":    {serviceFile, "hello", again, exitError, []string{filepath.Join(dir, serviceFile) + ": "}},
	} {
		t.Run(name, func(t *testing.T) {
			// Beside the lost file those go that a rebuild makes.
			away := []string{row.file}
			if row.args[0] == "rebuild" {
				away = append(away, markerFile, dbFile, stateFile)
			}
			for _, name := range away {
				path := filepath.Join(dir, name)
				must(t, os.Rename(path, path+".away"))
				defer func() { must(t, os.Rename(path+".away", path)) }()
			}
			if row.content != "" {
				must(t, os.WriteFile(filepath.Join(dir, row.file), []byte(row.content), 0o600))
			}
			code, stdout, stderr := p.run(row.args...)
			for _, want := range row.want {
				if code != row.code || !strings.Contains(stdout+stderr, want) {
					t.Errorf("exit %d, want %d and %q:\n%s%s", code, row.code, want, stdout, stderr)
				}
			}
		})
	}
	p.serve(dir)() // nothing of it was touched
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
