package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// ErrToken says that a text is not a session token or not the hash of one.
var ErrToken = errors.New("not a session token")

const (
	tokenPrefix = "cust_"
	tokenSize   = 32
	redacted    = "[redacted]"
)

// Token is a bearer token of a session. It prints as redacted everywhere; only
// Reveal gives its text.
type Token struct {
	// A function, because fmt prints the unexported fields of other people's
	// structs without asking our methods, and of a function only the address.
	text func() string
}

// TokenHash is the SHA-256 of a token's text: what a server keeps.
type TokenHash [sha256.Size]byte

// NewToken draws a token from random.
func NewToken(random io.Reader) (Token, TokenHash, error) {
	var secret [tokenSize]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Token{}, TokenHash{}, fmt.Errorf("draw session token: %w", err)
	}
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	t := Token{func() string { return text }}
	return t, t.Hash(), nil
}

// ParseToken reads the text Reveal gives, or returns ErrToken. The error does
// not repeat the text.
func ParseToken(text string) (Token, error) {
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return Token{}, ErrToken
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(secret) != tokenSize {
		return Token{}, ErrToken
	}
	if base64.RawURLEncoding.EncodeToString(secret) != body { // decoding ignores line breaks
		return Token{}, ErrToken
	}
	return Token{func() string { return text }}, nil
}

// HashToken returns the hash of a token's text, or ErrToken.
func HashToken(text string) (TokenHash, error) {
	t, err := ParseToken(text)
	if err != nil {
		return TokenHash{}, err
	}
	return t.Hash(), nil
}

// Reveal returns the secret text, "cust_" and base64url. The zero value has
// none and gives "".
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return t.text()
}

// Hash returns the SHA-256 of Reveal.
func (t Token) Hash() TokenHash { return sha256.Sum256([]byte(t.Reveal())) }

// Format prints "[redacted]" for every verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs "[redacted]".
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText writes "[redacted]".
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ParseTokenHash reads the 64 lower-case hexadecimal digits String writes, or
// returns ErrToken.
func ParseTokenHash(text string) (TokenHash, error) {
	var h TokenHash
	if err := parseHex(h[:], text); err != nil {
		return TokenHash{}, fmt.Errorf("%w: hash: %w", ErrToken, err)
	}
	return h, nil
}

// String returns 64 lower-case hexadecimal digits.
func (h TokenHash) String() string { return hex.EncodeToString(h[:]) }

// parseHex fills dst from exactly as many lower-case hexadecimal digits.
func parseHex(dst []byte, text string) error {
	if len(text) != 2*len(dst) || strings.ToLower(text) != text {
		return fmt.Errorf("want %d lower-case hexadecimal digits", 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil {
		return fmt.Errorf("want %d lower-case hexadecimal digits", 2*len(dst))
	}
	return nil
}
