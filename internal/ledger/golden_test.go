package ledger

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testdata holds a ledger as it was first written, and stays for ever. When this
// test fails the change to the code is wrong, not the file.
func TestGolden(t *testing.T) {
	c := NewChecker(testOrigin)
	entries := read(t, "entries.jsonl")
	if err := CheckAll(context.Background(), bytes.NewReader(entries), c, func(e *Entry) error { return e.Err }); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Root().String(), strings.TrimSpace(string(read(t, "root"))); got != want {
		t.Errorf("root %s, want %s", got, want)
	}
	key, err := ParseVerifierKey(strings.TrimSpace(string(read(t, "ledger.vkey"))))
	if err != nil {
		t.Fatal(err)
	}
	signed := read(t, "checkpoint")
	checkpoint, err := OpenCheckpoint(signed, key)
	if err != nil || checkpoint != (Checkpoint{Origin: testOrigin, Size: c.Size(), Root: c.Root()}) {
		t.Errorf("checkpoint %+v, %v", checkpoint, err)
	}
	r, err := ParseReceipt(read(t, "7.tlog-proof"))
	if err != nil {
		t.Fatal(err)
	}
	if e, at, err := r.Verify(key); err != nil || e.Seq != 7 || at != checkpoint {
		t.Errorf("receipt of %+v, %+v, %v", e, at, err)
	}

	// The code of today writes the same bytes.
	w := testLedger()
	if got := file(w.lines); !bytes.Equal(got, entries) {
		t.Errorf("writes %s", got)
	}
	if got := sign(t, w); !bytes.Equal(got, signed) {
		t.Errorf("signs %s", got)
	}
	if got := testReceipt(t, w, 7).Marshal(); !bytes.Equal(got, read(t, "7.tlog-proof")) {
		t.Errorf("receipt %s", got)
	}
}

// What the package comment says to do by hand, done by hand.
func TestByHand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"entries.jsonl", "checkpoint"} {
		if err := os.WriteFile(filepath.Join(dir, name), read(t, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := testKey(t)
	sh := func(script string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "VKEY="+key.String(), "ORIGIN="+string(testOrigin))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	commands := commandsIn(t, "doc.go")
	if len(commands) != 2 {
		t.Fatalf("%d scripts in the package comment: %q", len(commands), commands)
	}
	leafHash, checkSignature := commands[0], commands[1]
	out, err := sh(leafHash)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	next, err := ParseEnvelope(testLedger().lines[8])
	if err != nil || strings.Fields(out)[0] != next.Prev.String() {
		t.Errorf("sha256sum says %s, entry 8 says %s, %v", out, next.Prev, err)
	}
	if out, err := sh(checkSignature); err != nil || !strings.Contains(out, "Signature Verified Successfully") {
		t.Errorf("openssl says %s, %v", out, err)
	}

	// The same with what SplitCheckpoint and PEM give.
	body, sig, err := SplitCheckpoint(read(t, "checkpoint"), key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"ledger.pem": pem, "body": body, "sig": sig} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := "openssl pkeyutl -verify -pubin -inkey ledger.pem -rawin -in body -sigfile sig"
	if out, err := sh(verify); err != nil || !strings.Contains(out, "Signature Verified Successfully") {
		t.Errorf("openssl says %s, %v", out, err)
	}
	if out, err := sh("echo >> body; " + verify); err == nil {
		t.Errorf("openssl takes another body: %s", out)
	}
}

// commandsIn returns the scripts in a package comment: indented lines from one that
// begins with a brace to the end of the block.
func commandsIn(t *testing.T, name string) []string {
	t.Helper()
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var scripts []string
	var script []string
	for line := range strings.Lines(string(src)) {
		code, ok := strings.CutPrefix(line, "//\t")
		switch {
		case ok && (len(script) > 0 || strings.HasPrefix(code, "{ ")):
			script = append(script, code)
		case !ok && len(script) > 0:
			scripts = append(scripts, strings.Join(script, ""))
			script = nil
		}
	}
	return scripts
}
