package identity

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
)

// What LoadKeyFile finds wrong with a key file.
var (
	ErrKeyFile    = errors.New("not an OpenSSH private key file")
	ErrKeyMode    = errors.New("private key file is accessible by others")
	ErrPassphrase = errors.New("missing or wrong passphrase")
)

const maxKeyFile = 64 << 10

// KeyFile is a Signer whose private key was read from a file.
type KeyFile struct {
	key    PublicKey
	signer ssh.Signer
}

// LoadKeyFile reads an OpenSSH private key, as ssh-keygen writes it. The
// passphrase is asked for if the key has one; nil means that nobody can be
// asked. Files that group or world can access are refused with ErrKeyMode, as
// ssh does. Other errors are ErrKeyFile, ErrPassphrase, ErrPublicKey and those
// of reading.
func LoadKeyFile(path string, passphrase func() ([]byte, error)) (*KeyFile, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return nil, fmt.Errorf("load key %s: %w", path, ErrKeyFile)
	}
	signer, err := parsePrivateKey(text, passphrase)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	key, err := newPublicKey(signer.PublicKey())
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	return &KeyFile{key, signer}, nil
}

func readKeyFile(path string) (text []byte, err error) {
	f, err := os.Open(path) // #nosec G304 -- the caller names the key
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrKeyFile
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: mode %04o, want 0600", ErrKeyMode, mode)
	}
	text, err = io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrKeyFile, maxKeyFile)
	}
	return text, nil
}

func parsePrivateKey(text []byte, passphrase func() ([]byte, error)) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(text)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); !locked {
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
		}
		return signer, nil
	}
	if passphrase == nil {
		return nil, ErrPassphrase
	}
	secret, err := passphrase()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	defer clear(secret)
	if len(secret) == 0 {
		return nil, ErrPassphrase
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(text, secret)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return signer, nil
}

// PublicKey returns the key that signs.
func (k *KeyFile) PublicKey() PublicKey { return k.key }

// Sign signs; it does not wait.
func (k *KeyFile) Sign(ctx context.Context, ns Namespace, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k.key.Fingerprint(), err)
	}
	return sign(k.signer, k.key, ns, message)
}

// GenerateKeyFile makes an Ed25519 key from random and writes it, without a
// passphrase, to path with mode 0600 and its public line to path.pub. Files
// that exist are never overwritten: the error is then fs.ErrExist.
func GenerateKeyFile(path, comment string, random io.Reader) (PublicKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(random, seed); err != nil {
		return PublicKey{}, fmt.Errorf("generate key %s: %w", path, err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	defer clear(private)
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return PublicKey{}, fmt.Errorf("generate key %s: %w", path, err)
	}
	line := bytes.TrimSuffix(ssh.MarshalAuthorizedKey(public), []byte("\n"))
	if comment != "" {
		line = append(line, " "+comment...)
	}
	key, _, err := ParsePublicKey(string(line))
	if err != nil {
		return PublicKey{}, fmt.Errorf("generate key %s: %w", path, err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return PublicKey{}, fmt.Errorf("generate key %s: %w", path, err)
	}
	if err := writeNew(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return PublicKey{}, fmt.Errorf("generate key %s: %w", path, err)
	}
	if err := writeNew(path+".pub", append(line, '\n'), 0o644); err != nil {
		return PublicKey{}, fmt.Errorf("generate key %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return key, nil
}

// writeNew writes a file that must not exist and makes it durable, or leaves
// none behind.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) // #nosec G304 -- the caller names the key
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
