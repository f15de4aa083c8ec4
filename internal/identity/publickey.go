package identity

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/ssh"
)

// ErrPublicKey says that a text is not a public key we accept.
var ErrPublicKey = errors.New("not an accepted SSH public key")

const (
	minRSABits    = 3072
	maxRSABits    = 16384
	maxKeyLine    = 8 << 10 // an RSA key of 16384 bits and its comment
	maxKeyComment = 256
)

// kinds are the accepted kinds of key, as in the package comment.
var kinds = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSA,
	ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
}

// PublicKey is an SSH public key of an accepted kind. Two keys are the same key
// exactly if == says so. The zero value is no key and verifies nothing.
type PublicKey struct {
	text string // "type base64"
}

// ParsePublicKey reads one line as in a .pub file: type, base64 and perhaps a
// comment, separated by single spaces, perhaps ended by a newline. Options,
// certificates, unknown kinds, weak keys and second spellings of a key are
// refused with ErrPublicKey.
func ParsePublicKey(line string) (key PublicKey, comment string, err error) {
	if len(line) > maxKeyLine {
		return PublicKey{}, "", fmt.Errorf("%w: longer than %d bytes", ErrPublicKey, maxKeyLine)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	kind, rest, _ := strings.Cut(line, " ")
	if !slices.Contains(kinds, kind) {
		return PublicKey{}, "", fmt.Errorf("%w: begins with %.40q, want one of %s", ErrPublicKey, kind, strings.Join(kinds, ", "))
	}
	blob, comment, _ := strings.Cut(rest, " ")
	if len(comment) > maxKeyComment || !utf8.ValidString(comment) || strings.ContainsFunc(comment, unicode.IsControl) {
		return PublicKey{}, "", fmt.Errorf("%w: comment is not one short line of text", ErrPublicKey)
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(blob)
	if err != nil {
		return PublicKey{}, "", fmt.Errorf("%w: key is not base64", ErrPublicKey)
	}
	parsed, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return PublicKey{}, "", fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	key, err = newPublicKey(parsed)
	if err != nil {
		return PublicKey{}, "", err
	}
	// The comparison refuses line breaks inside base64, numbers with spare
	// leading zeros and a type outside that differs from the one inside.
	if key.text != kind+" "+blob {
		return PublicKey{}, "", fmt.Errorf("%w: not the usual spelling of %s", ErrPublicKey, key.Fingerprint())
	}
	return key, comment, nil
}

// newPublicKey accepts or refuses a key by kind and strength.
func newPublicKey(parsed ssh.PublicKey) (PublicKey, error) {
	kind := parsed.Type()
	if !slices.Contains(kinds, kind) {
		return PublicKey{}, fmt.Errorf("%w: kind %q", ErrPublicKey, kind)
	}
	if kind == ssh.KeyAlgoRSA {
		var bits int
		if outer, ok := parsed.(ssh.CryptoPublicKey); ok {
			if inner, ok := outer.CryptoPublicKey().(*rsa.PublicKey); ok {
				bits = inner.N.BitLen()
			}
		}
		if bits < minRSABits || bits > maxRSABits {
			return PublicKey{}, fmt.Errorf("%w: RSA of %d bits, want %d to %d", ErrPublicKey, bits, minRSABits, maxRSABits)
		}
	}
	wire := parsed.Marshal()
	if kind == ssh.KeyAlgoED25519 || kind == ssh.KeyAlgoSKED25519 {
		if err := checkPoint(wire); err != nil {
			return PublicKey{}, err
		}
	}
	return PublicKey{kind + " " + base64.StdEncoding.EncodeToString(wire)}, nil
}

// checkPoint refuses an Ed25519 key that nobody generates: of small order, for which one
// signature holds over any message, or in a spelling that other programs read differently.
//
// SPEC: RFC 8032, section 5.1.3
func checkPoint(wire []byte) error {
	var key struct {
		Type  string
		Point []byte
		Rest  []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(wire, &key); err != nil {
		return fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	p, err := new(edwards25519.Point).SetBytes(key.Point)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrPublicKey, err)
	case !bytes.Equal(p.Bytes(), key.Point):
		return fmt.Errorf("%w: its point is not in the usual spelling", ErrPublicKey)
	case new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1:
		return fmt.Errorf("%w: its point is of small order: what it signs, anybody can sign", ErrPublicKey)
	}
	return nil
}

// ssh returns the key in the form of the ssh package.
func (k PublicKey) ssh() (ssh.PublicKey, error) {
	_, blob, _ := strings.Cut(k.text, " ")
	wire, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	parsed, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	return parsed, nil
}

// String returns "type base64", the one spelling of the key.
func (k PublicKey) String() string { return k.text }

// Type returns the kind of key, as in the list of the package comment.
func (k PublicKey) Type() string {
	kind, _, _ := strings.Cut(k.text, " ")
	return kind
}

// Fingerprint returns "SHA256:…" as ssh-keygen -l prints it.
func (k PublicKey) Fingerprint() string {
	parsed, err := k.ssh()
	if err != nil {
		return "SHA256:none"
	}
	return ssh.FingerprintSHA256(parsed)
}

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.text == "" }

// Equal reports whether k and other are the same key, as == does.
func (k PublicKey) Equal(other PublicKey) bool { return k == other }

// MarshalText returns String, or ErrPublicKey for the zero value.
func (k PublicKey) MarshalText() ([]byte, error) {
	if k.IsZero() {
		return nil, fmt.Errorf("%w: none", ErrPublicKey)
	}
	return []byte(k.text), nil
}

// UnmarshalText reads what MarshalText writes, without comment or newline.
func (k *PublicKey) UnmarshalText(text []byte) error {
	parsed, _, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	if parsed.text != string(text) {
		return fmt.Errorf("%w: more than a key", ErrPublicKey)
	}
	*k = parsed
	return nil
}

// AllowedSigner returns a line, without newline, of an allowed_signers file
// (ssh-keygen(1)) that lets key sign as p, in the given namespaces only.
func AllowedSigner(p Principal, key PublicKey, namespace Namespace, more ...Namespace) string {
	list := string(namespace)
	for _, ns := range more {
		list += "," + string(ns)
	}
	return fmt.Sprintf("%s namespaces=%q %s", p, list, key)
}
