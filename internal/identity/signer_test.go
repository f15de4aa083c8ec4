package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ Signer = (*KeyFile)(nil)
	_ Signer = (*Agent)(nil)
)

// TestSignersAndOpenSSH has ssh-keygen check what we sign, by file and by
// agent, and checks what ssh-keygen signs, for every kind of key.
func TestSignersAndOpenSSH(t *testing.T) {
	socket := startAgent(t)
	message := []byte("what was signed\x00\r\n")
	for _, kind := range []struct{ name, bits string }{
		{"ed25519", ""}, {"ecdsa", "256"}, {"ecdsa", "384"}, {"ecdsa", "521"}, {"rsa", "3072"},
	} {
		t.Run(kind.name+kind.bits, func(t *testing.T) {
			path := keygen(t, kind.name, kind.bits, "")
			key := readPublic(t, path)
			file, err := LoadKeyFile(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			run(t, nil, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", path)
			agent, err := NewAgent(t.Context(), socket, key)
			if err != nil {
				t.Fatal(err)
			}
			for _, signer := range []Signer{file, agent} {
				if signer.PublicKey() != key {
					t.Errorf("%T has key %s, want %s", signer, signer.PublicKey(), key)
				}
				for _, ns := range []Namespace{NamespaceEvent, NamespaceSession} {
					armored := mustSign(t, signer, ns, message)
					if err := Verify(key, ns, message, armored); err != nil {
						t.Errorf("%T: %v", signer, err)
					}
					keygenVerify(t, key, ns, message, armored)
				}
				if _, err := signer.Sign(t.Context(), "git", message); !errors.Is(err, ErrNamespace) {
					t.Errorf("%T signs in a foreign namespace: %v", signer, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := signer.Sign(ctx, NamespaceEvent, message); !errors.Is(err, context.Canceled) {
					t.Errorf("%T: %v, want %v", signer, err, context.Canceled)
				}
			}
			for _, hash := range []string{"hashalg=sha512", "hashalg=sha256"} {
				if err := Verify(key, NamespaceEvent, message, keygenSign(t, path, NamespaceEvent, message, "-O", hash)); err != nil {
					t.Errorf("signature of ssh-keygen, %s: %v", hash, err)
				}
			}
			foreign := keygenSign(t, path, "git", message)
			if err := Verify(key, NamespaceEvent, message, foreign); !errors.Is(err, ErrNamespace) {
				t.Errorf("%v, want %v", err, ErrNamespace)
			}
		})
	}
}

func TestLoadKeyFilePassphrase(t *testing.T) {
	path := keygen(t, "ed25519", "", "correct horse")
	answer := func(text string, err error) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(text), err }
	}
	ask := errors.New("no terminal")
	tests := map[string]struct {
		passphrase func() ([]byte, error)
		wantErr    error
	}{
		"right":         {answer("correct horse", nil), nil},
		"wrong":         {answer("battery staple", nil), ErrPassphrase},
		"empty":         {answer("", nil), ErrPassphrase},
		"nobody to ask": {nil, ErrPassphrase},
		"cannot ask":    {answer("", ask), ask},
	}
	for name, tt := range tests {
		k, err := LoadKeyFile(path, tt.passphrase)
		if !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: %v, want %v", name, err, tt.wantErr)
		}
		if err == nil && k.PublicKey() != readPublic(t, path) || err != nil && k != nil {
			t.Errorf("%s: key %v", name, k)
		}
	}
}

func TestLoadKeyFileRefused(t *testing.T) {
	path := keygen(t, "ed25519", "", "")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := keygen(t, "rsa", "3072", "")
	run(t, nil, nil, "ssh-keygen", "-q", "-p", "-N", "", "-m", "PEM", "-f", pemKey)
	oldForm, err := os.ReadFile(pemKey)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := os.ReadFile(keygen(t, "rsa", "2048", ""))
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data    []byte
		mode    fs.FileMode
		wantErr error
	}{
		"good":           {good, 0o600, nil},
		"good read-only": {good, 0o400, nil},
		"group reads":    {good, 0o640, ErrKeyMode},
		"world reads":    {good, 0o604, ErrKeyMode},
		"group writes":   {good, 0o620, ErrKeyMode},
		"empty":          {nil, 0o600, ErrKeyFile},
		"public":         {public, 0o600, ErrKeyFile},
		"old form":       {oldForm, 0o600, ErrKeyFile},
		"cut":            {good[:len(good)/2], 0o600, ErrKeyFile},
		"damaged":        {bytes.Replace(good, good[170:178], []byte("AAAAAAAA"), 1), 0o600, ErrKeyFile},
		"too long":       {append(bytes.Clone(good), make([]byte, maxKeyFile)...), 0o600, ErrKeyFile},
		"weak":           {weak, 0o600, ErrPublicKey},
	}
	for name, tt := range tests {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, tt.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if k, err := LoadKeyFile(path, nil); !errors.Is(err, tt.wantErr) || (k == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.wantErr)
		}
	}
	if _, err := LoadKeyFile(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := LoadKeyFile(t.TempDir(), nil); !errors.Is(err, ErrKeyFile) {
		t.Errorf("directory: %v", err)
	}
}

func TestGenerateKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := GenerateKeyFile(path, "custodyd at lab", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := readPublic(t, path); got != key || key.Type() != "ssh-ed25519" {
		t.Errorf("%s in file, want %s", got, key)
	}
	for file, want := range map[string]fs.FileMode{path: 0o600, path + ".pub": 0o644} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want&^umask(t) {
			t.Errorf("%s has mode %v, want %v", file, info.Mode(), want)
		}
	}
	// ssh-keygen reads the private half and derives the same line from it.
	derived := run(t, nil, nil, "ssh-keygen", "-y", "-f", path)
	line, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(derived, line) {
		t.Errorf("ssh-keygen derives %q, file holds %q", derived, line)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateKeyFile(path, "", rand.Reader); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second time: %v, want %v", err, fs.ErrExist)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key was overwritten: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateKeyFile(path, "", rand.Reader); !errors.Is(err, fs.ErrExist) {
		t.Errorf("with .pub in place: %v, want %v", err, fs.ErrExist)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a pair was left: %v", err)
	}
}

func TestGenerateKeyFileRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	broken := errors.New("no entropy")
	if _, err := GenerateKeyFile(path, "", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	if _, err := GenerateKeyFile(path, "two\nlines", rand.Reader); !errors.Is(err, ErrPublicKey) {
		t.Errorf("%v, want %v", err, ErrPublicKey)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || left != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// umask is what the system takes away from the modes of new files.
func umask(t *testing.T) fs.FileMode {
	t.Helper()
	path := filepath.Join(t.TempDir(), "umask")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o777)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return 0o777 &^ info.Mode().Perm()
}

func TestAgentWithoutKey(t *testing.T) {
	socket := startAgent(t)
	key := readPublic(t, keygen(t, "ed25519", "", ""))
	if a, err := NewAgent(t.Context(), socket, key); !errors.Is(err, ErrAgentKey) || a != nil {
		t.Errorf("%v, %v, want %v", a, err, ErrAgentKey)
	}
	if a, err := NewAgent(t.Context(), filepath.Join(t.TempDir(), "none"), key); !errors.Is(err, fs.ErrNotExist) || a != nil {
		t.Errorf("%v, %v, want %v", a, err, fs.ErrNotExist)
	}
	path := keygen(t, "ed25519", "", "")
	run(t, nil, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", path)
	a, err := NewAgent(t.Context(), socket, readPublic(t, path))
	if err != nil {
		t.Fatal(err)
	}
	run(t, nil, []string{"SSH_AUTH_SOCK=" + socket}, "ssh-add", "-q", "-D")
	if _, err := a.Sign(t.Context(), NamespaceEvent, []byte("x")); !errors.Is(err, ErrAgentKey) {
		t.Errorf("key removed: %v, want %v", err, ErrAgentKey)
	}
}

// TestAgentSilent cancels while the agent does not answer, as one does that
// waits for a touch.
func TestAgentSilent(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			done <- err
			return
		}
		_, err = conn.Read(make([]byte, 1)) // the request has begun
		cancel()
		done <- errors.Join(err, conn.Close())
	}()
	key := readPublic(t, keygen(t, "ed25519", "", ""))
	if _, err := NewAgent(ctx, filepath.Join(dir, "s"), key); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	if err := errors.Join(<-done, listener.Close()); err != nil {
		t.Error(err)
	}
}
