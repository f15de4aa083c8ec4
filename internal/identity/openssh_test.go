package identity

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// run runs a program of OpenSSH that must succeed and returns what it prints.
func run(t *testing.T, stdin []byte, env []string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// keygen makes a key with ssh-keygen and returns its path.
func keygen(t *testing.T, kind, bits, passphrase string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	args := []string{"-q", "-t", kind, "-N", passphrase, "-C", kind + " of a test", "-f", path}
	if bits != "" {
		args = append(args, "-b", bits)
	}
	run(t, nil, nil, "ssh-keygen", args...)
	return path
}

func readPublic(t *testing.T, path string) PublicKey {
	t.Helper()
	line, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := ParsePublicKey(string(line))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keygenVerify asks ssh-keygen whether a signature is good.
func keygenVerify(t *testing.T, key PublicKey, ns Namespace, message, armored []byte) {
	t.Helper()
	dir := t.TempDir()
	signers, sig := filepath.Join(dir, "allowed_signers"), filepath.Join(dir, "sig")
	line := AllowedSigner("examiner1", key, NamespaceEvent, NamespaceSession) + "\n"
	for path, data := range map[string][]byte{signers: []byte(line), sig: armored} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := run(t, message, nil, "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "examiner1", "-n", string(ns), "-s", sig)
	if !bytes.HasPrefix(out, []byte("Good ")) {
		t.Errorf("ssh-keygen says %q", out)
	}
}

// keygenSign signs with ssh-keygen.
func keygenSign(t *testing.T, path string, ns Namespace, message []byte, options ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, message, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-q", "-Y", "sign", "-f", path, "-n", string(ns)}, options...)
	run(t, nil, nil, "ssh-keygen", append(args, file)...)
	armored, err := os.ReadFile(file + ".sig")
	if err != nil {
		t.Fatal(err)
	}
	return armored
}

// startAgent starts a real ssh-agent and returns its socket. The agent ends
// with the test.
func startAgent(t *testing.T) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // shorter than t.TempDir: sockets take 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // ends by our signal
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for range 500 {
		if _, err := os.Stat(socket); err == nil {
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("ssh-agent did not open its socket")
	return ""
}
