package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// algEd25519 is the signature type of a note's key.
//
// SPEC: "0x01 - Ed25519 signatures as specified by this document." (C2SP signed-note)
const algEd25519 = 0x01

// VerifierKey is the public key of a ledger together with its origin, in the text
// form origin+id+base64. It is a note.Verifier; the zero value verifies nothing.
type VerifierKey struct {
	origin Origin
	key    [ed25519.PublicKeySize]byte
}

// GenerateKey makes a ledger's key pair: the secret key for CreateSigner and the
// text of the VerifierKey.
func GenerateKey(rand io.Reader, origin Origin) (skey, vkey string, err error) {
	if !validOrigin(string(origin)) {
		return "", "", fmt.Errorf("generate key: %w: origin", ErrSyntax)
	}
	skey, vkey, err = note.GenerateKey(rand, string(origin))
	if err != nil {
		return "", "", fmt.Errorf("generate key: %w", err)
	}
	return skey, vkey, nil
}

// ParseVerifierKey reads the text form of a verifier key.
func ParseVerifierKey(s string) (VerifierKey, error) {
	name, rest, _ := strings.Cut(s, "+")
	_, text, ok := strings.Cut(rest, "+")
	origin, err := ParseOrigin(name)
	if err != nil || !ok {
		return VerifierKey{}, fmt.Errorf("parse verifier key: %w: not origin+id+base64", ErrSyntax)
	}
	raw, err := parseBase64(text)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algEd25519 {
		return VerifierKey{}, fmt.Errorf("parse verifier key: %w: not an Ed25519 key", ErrSyntax)
	}
	k := VerifierKey{origin: origin, key: [ed25519.PublicKeySize]byte(raw[1:])}
	if k.String() != s {
		return VerifierKey{}, fmt.Errorf("parse verifier key: %w: the id is not that of the key", ErrSyntax)
	}
	return k, nil
}

// VerifierKeyOf returns the public key that belongs to a secret key from
// GenerateKey, without a newline.
func VerifierKeyOf(skey string) (VerifierKey, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		// The library's text does not repeat the key, and neither must ours.
		return VerifierKey{}, fmt.Errorf("secret key: %w", err)
	}
	origin, err := ParseOrigin(signer.Name())
	if err != nil {
		return VerifierKey{}, fmt.Errorf("secret key: %w", err)
	}
	// PRIVATE+KEY+origin+id+base64 of the type and the seed, as NewSigner has checked.
	seed, err := parseBase64(strings.SplitN(skey, "+", 5)[4])
	if err != nil {
		return VerifierKey{}, fmt.Errorf("secret key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed[1:])
	k := VerifierKey{origin: origin}
	copy(k.key[:], private[ed25519.SeedSize:])
	return k, nil
}

// Origin returns the ledger whose key this is.
func (k VerifierKey) Origin() Origin { return k.origin }

// Name returns the origin, which is the key's name in a note.
func (k VerifierKey) Name() string { return string(k.origin) }

// KeyHash returns the key's id in a note.
//
// SPEC: "key ID = SHA-256(key name || 0x0A || signature type || public key)[:4]"
// (C2SP signed-note)
func (k VerifierKey) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(k.origin+"\n"), k.encoded()...))
	return binary.BigEndian.Uint32(sum[:])
}

// Verify reports whether sig is this key's signature of msg.
func (k VerifierKey) Verify(msg, sig []byte) bool {
	// The all-zero key is a point of small order that fits forged signatures.
	return k != VerifierKey{} && ed25519.Verify(k.key[:], msg, sig)
}

// String returns the text form, origin+id+base64.
func (k VerifierKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.origin, k.KeyHash(), base64.StdEncoding.EncodeToString(k.encoded()))
}

// MarshalText writes what String returns.
func (k VerifierKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what ParseVerifierKey reads.
func (k *VerifierKey) UnmarshalText(text []byte) error {
	parsed, err := ParseVerifierKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// PEM returns the key as a SubjectPublicKeyInfo (RFC 8410) for openssl.
func (k VerifierKey) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(k.key[:]))
	if err != nil {
		return nil, fmt.Errorf("encode verifier key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (k VerifierKey) encoded() []byte { return append([]byte{algEd25519}, k.key[:]...) }
