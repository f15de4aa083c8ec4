package digest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrDigest means text that is not a digest or a set of digests in its only form.
var ErrDigest = errors.New("malformed digest")

// SHA256 is a SHA-256 digest. In text and JSON it is 64 lower-case hex digits.
type SHA256 [32]byte

// ParseSHA256 accepts exactly 64 lower-case hex digits, else ErrDigest.
func ParseSHA256(text string) (SHA256, error) {
	var d SHA256
	if err := checkHex(text, len(d)); err != nil {
		return SHA256{}, fmt.Errorf("sha256: %w", err)
	}
	if _, err := hex.Decode(d[:], []byte(text)); err != nil {
		return SHA256{}, fmt.Errorf("%w: sha256: %w", ErrDigest, err)
	}
	return d, nil
}

func (d SHA256) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is String for encoders.
func (d SHA256) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseSHA256 for decoders.
func (d *SHA256) UnmarshalText(text []byte) (err error) {
	*d, err = ParseSHA256(string(text))
	return err
}

// UnmarshalJSON refuses what encoding/json alone would let pass: null and escapes.
func (d *SHA256) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		*d = SHA256{}
		return fmt.Errorf("%w: sha256: not a JSON string", ErrDigest)
	}
	return d.UnmarshalText(b[1 : len(b)-1])
}

// checkHex demands n bytes as lower-case hex.
func checkHex(text string, n int) error {
	if len(text) != 2*n {
		return fmt.Errorf("%w: %d characters instead of %d", ErrDigest, len(text), 2*n)
	}
	if strings.Trim(text, "0123456789abcdef") != "" {
		return fmt.Errorf("%w: not lower-case hex", ErrDigest)
	}
	return nil
}

// Set holds at most one digest for each algorithm. The zero Set is empty and is left
// out of JSON by omitzero. Sets can be compared with ==.
type Set struct {
	hex [len(algorithms)]string
}

// With returns the set with the digest added or replaced. ErrAlgorithm, or ErrDigest
// when the text is not lower-case hex of the algorithm's length.
func (s Set) With(a Algorithm, digest string) (Set, error) {
	i, err := a.index()
	if err != nil {
		return Set{}, err
	}
	if err := checkHex(digest, algorithms[i].size); err != nil {
		return Set{}, fmt.Errorf("%s: %w", a, err)
	}
	s.hex[i] = digest
	return s, nil
}

// Get returns the digest of one algorithm as lower-case hex, and whether there is one.
func (s Set) Get(a Algorithm) (string, bool) {
	i, err := a.index()
	if err != nil {
		return "", false
	}
	return s.hex[i], s.hex[i] != ""
}

// SHA256 returns the SHA-256 digest, and whether there is one.
func (s Set) SHA256() (SHA256, bool) {
	d, err := ParseSHA256(s.hex[indexSHA256])
	return d, err == nil
}

// Algorithms returns the algorithms of the set, sorted by name.
func (s Set) Algorithms() []Algorithm { return present(s.hex) }

// present names the algorithms whose place is filled.
func present(places [len(algorithms)]string) []Algorithm {
	var list []Algorithm
	for i := range places {
		if places[i] != "" {
			list = append(list, algorithms[i].name)
		}
	}
	return list
}

// IsZero reports whether the set is empty.
func (s Set) IsZero() bool { return s == Set{} }

// Equal reports whether both sets hold the same digests of the same algorithms.
func (s Set) Equal(other Set) bool { return s == other }

// Differ returns, sorted, the algorithms which both sets hold with different digests.
// Nothing differs between sets that have no algorithm in common: that is no match.
func Differ(a, b Set) []Algorithm {
	var list []Algorithm
	for i := range algorithms {
		if a.hex[i] != "" && b.hex[i] != "" && a.hex[i] != b.hex[i] {
			list = append(list, algorithms[i].name)
		}
	}
	return list
}

// String gives "md5:… sha256:…".
func (s Set) String() string {
	var list []string
	for i, digest := range s.hex {
		if digest != "" {
			list = append(list, string(algorithms[i].name)+":"+digest)
		}
	}
	return strings.Join(list, " ")
}

// MarshalJSON gives the canonical form of the package comment.
func (s Set) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, digest := range s.hex {
		if digest == "" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `"%s":"%s"`, algorithms[i].name, digest)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON accepts the canonical form, and white space between its parts, which
// belongs to the surrounding document. Unknown or repeated algorithms, another order,
// escapes and null are ErrDigest or ErrAlgorithm.
func (s *Set) UnmarshalJSON(b []byte) error {
	*s = Set{}
	var members map[Algorithm]string
	if err := json.Unmarshal(b, &members); err != nil {
		return fmt.Errorf("%w: %w", ErrDigest, err)
	}
	var set Set
	for a, digest := range members {
		var err error
		if set, err = set.With(a, digest); err != nil {
			return err
		}
	}
	canonical, err := set.MarshalJSON()
	if err != nil {
		return err
	}
	var given bytes.Buffer
	if err := json.Compact(&given, b); err != nil {
		return fmt.Errorf("%w: %w", ErrDigest, err)
	}
	if !bytes.Equal(given.Bytes(), canonical) {
		return fmt.Errorf("%w: set not in canonical form", ErrDigest)
	}
	*s = set
	return nil
}
