package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/operator"
)

// TestQuote: a shell reads back the words that were written for it.
func TestQuote(t *testing.T) {
	words := []string{"disk.dd", "a b", "it's", "$(rm x)", "`x`", "*", "\\", "", "a\nb", "é", "~", "-n", "!", "#", "a;b"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\0' "+quote(words)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); strings.Join(got, "|") != strings.Join(words, "|") {
		t.Errorf("%q, want %q", got, words)
	}
	if got := quote([]string{"/x/disk.001", "a b"}); got != "/x/disk.001 'a b'" {
		t.Errorf("%s", got)
	}
}

// TestFail: every line of talk is known as ours, and the next thing to try comes last.
func TestFail(t *testing.T) {
	var b bytes.Buffer
	a := &app{stderr: &b}
	code := a.fail(errors.Join(fmt.Errorf("write: %w", fs.ErrPermission), errors.New("close: no\n\nspace\n"), operator.ErrNotSetUp))
	want := "custody-cli: write: permission denied\ncustody-cli: close: no\ncustody-cli: space\ncustody-cli: this machine is not set up\n" +
		"custody-cli: run custody-cli setup --server URL --principal NAME\n"
	if code != exitDenied || b.String() != want {
		t.Errorf("exit code %d\n%s", code, b.String())
	}
}

// TestInterrupted: who interrupts what goes on where it stood is told so.
func TestInterrupted(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	place := t.TempDir()
	binding := `{"server":"http://127.0.0.1:1","principal":"x","origin":"lab.example/custody","verifier_key":"` + exampleKey(t) + `"}`
	if err := os.WriteFile(filepath.Join(place, "server.json"), []byte(binding), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"copy", "fetch", "C/E/W1", "-o", filepath.Join(place, "w")},
		{"copy", "issue", "C/E", "--to", "x", "--purpose", "p"},
	} {
		var b bytes.Buffer
		a := &app{stderr: &b, stdout: io.Discard}
		root := newRoot(a)
		root.SetArgs(append(args, "--config", place))
		code := a.fail(root.ExecuteContext(ended))
		if code != exitInterrupted || !strings.HasSuffix(b.String(), "custody-cli: give the same command again: it goes on where it stood\n") {
			t.Errorf("%q: exit code %d\n%s", args, code, b.String())
		}
	}
}

func exampleKey(t *testing.T) string {
	t.Helper()
	_, key, err := ledger.GenerateKey(rand.Reader, "lab.example/custody")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true, "::ffff:127.0.0.1": true,
		"10.0.0.1": false, "lab.example": false, "127.lab.example": false, "": false, "0.0.0.0": false,
	} {
		if loopback(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}
