package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrSyntax says that a text is not the one spelling of the value it should be.
var ErrSyntax = errors.New("bad syntax")

// MaxInt is the largest integer that stands in an envelope, 2^53-1: every JSON
// reader in the world holds it exactly.
const MaxInt = 1<<53 - 1

// Hash is a SHA-256 digest: of a payload, of a signature, of a leaf or of an
// interior node of the tree.
type Hash [32]byte

// ParseHash reads 64 lower-case hexadecimal digits.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if !decodeHex(h[:], s) {
		return Hash{}, fmt.Errorf("parse hash: %w: not 64 lower-case hexadecimal digits", ErrSyntax)
	}
	return h, nil
}

// String returns the hash as 64 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is all zeros, which stands for "nothing before".
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes what String returns.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads what ParseHash reads.
func (h *Hash) UnmarshalText(text []byte) error {
	parsed, err := ParseHash(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

// CaseID names a case by 16 random bytes drawn when it opens. The zero value
// stands for the entries of no case.
type CaseID [16]byte

// ParseCaseID reads 32 lower-case hexadecimal digits.
func ParseCaseID(s string) (CaseID, error) {
	var id CaseID
	if !decodeHex(id[:], s) {
		return CaseID{}, fmt.Errorf("parse case id: %w: not 32 lower-case hexadecimal digits", ErrSyntax)
	}
	return id, nil
}

// String returns the id as 32 lower-case hexadecimal digits.
func (id CaseID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id stands for no case.
func (id CaseID) IsZero() bool { return id == CaseID{} }

// MarshalText writes what String returns.
func (id CaseID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what ParseCaseID reads.
func (id *CaseID) UnmarshalText(text []byte) error {
	parsed, err := ParseCaseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// maxOrigin is the length in bytes of the longest origin.
const maxOrigin = 100

// Origin names a ledger for ever. It is the member log of every envelope, the
// first line of every checkpoint and the name of the key that signs them.
type Origin string

// ParseOrigin reads 1 to 100 characters of [a-z0-9./_-].
func ParseOrigin(s string) (Origin, error) {
	if !validOrigin(s) {
		return "", fmt.Errorf("parse origin: %w: not 1 to %d characters of a-z 0-9 . / _ -", ErrSyntax, maxOrigin)
	}
	return Origin(s), nil
}

func validOrigin[T string | []byte](s T) bool {
	if len(s) < 1 || len(s) > maxOrigin {
		return false
	}
	for i := range len(s) {
		if !originByte[s[i]] {
			return false
		}
	}
	return true
}

var originByte = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789./_-") {
		set[c] = true
	}
	return set
}()

// Type says what kind of payload an entry has. The set is closed.
type Type string

// The types of entries.
const (
	Event  Type = "event"  // something happened to a case, an exhibit or a copy
	Keys   Type = "keys"   // a principal, what they are called and which key is theirs
	Anchor Type = "anchor" // an outside authority has seen a checkpoint
	Erase  Type = "erase"  // a payload was removed by order; its hash stays
	Seal   Type = "seal"   // the end of an export: shows when newest entries are dropped
)

// ParseType reads one of the types of entries.
func ParseType(s string) (Type, error) {
	t, ok := typeOf(s)
	if !ok {
		return "", fmt.Errorf("parse type: %w: not one of event, keys, anchor, erase, seal", ErrSyntax)
	}
	return t, nil
}

func typeOf[T string | []byte](s T) (Type, bool) {
	switch string(s) {
	case string(Event):
		return Event, true
	case string(Keys):
		return Keys, true
	case string(Anchor):
		return Anchor, true
	case string(Erase):
		return Erase, true
	case string(Seal):
		return Seal, true
	}
	return "", false
}

// hexDigit holds the value of each lower-case hexadecimal digit, 0xff elsewhere.
var hexDigit = func() (value [256]byte) {
	for i := range value {
		value[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		value[c] = byte(i)
	}
	return value
}()

// decodeHex fills dst from exactly twice as many lower-case digits; unlike
// encoding/hex it refuses the second spelling, capitals.
func decodeHex[T string | []byte](dst []byte, src T) bool {
	if len(src) != 2*len(dst) {
		return false
	}
	var seen byte
	for i := range dst {
		hi, lo := hexDigit[src[2*i]], hexDigit[src[2*i+1]]
		seen |= hi | lo
		dst[i] = hi<<4 | lo
	}
	return seen < 16
}
