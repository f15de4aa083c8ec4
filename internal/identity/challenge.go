package identity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErrChallenge says that a text or its parts are not a sign-in challenge.
var ErrChallenge = errors.New("not a sign-in challenge")

const (
	challengeTitle = "custody-session v1"
	challengeTime  = "2006-01-02T15:04:05Z"
	maxOrigin      = 100
	maxChallenge   = 512
)

// Challenge is what a person signs, in NamespaceSession, to sign in.
type Challenge struct {
	Origin    string    // of the server's ledger: 1 to 100 of [a-z0-9./_-]
	Principal Principal // who wants to sign in
	Nonce     [32]byte  // drawn by the server, good for one use
	Expires   time.Time // UTC, whole seconds
}

// NewChallenge draws a nonce from random. The expiry is cut to whole seconds.
// Parts that Text could not write are refused with ErrChallenge.
func NewChallenge(origin string, p Principal, expires time.Time, random io.Reader) (Challenge, error) {
	c := Challenge{Origin: origin, Principal: p, Expires: expires.UTC().Truncate(time.Second)}
	if _, err := io.ReadFull(random, c.Nonce[:]); err != nil {
		return Challenge{}, fmt.Errorf("draw nonce: %w", err)
	}
	return ParseChallenge(c.Text())
}

// Text returns the five lines that are signed. ParseChallenge refuses the text
// of a challenge that holds parts out of bounds.
func (c Challenge) Text() string {
	return challengeTitle + "\n" +
		"origin " + c.Origin + "\n" +
		"principal " + string(c.Principal) + "\n" +
		"nonce " + hex.EncodeToString(c.Nonce[:]) + "\n" +
		"expires " + c.Expires.UTC().Format(challengeTime) + "\n"
}

// ParseChallenge reads what Text writes and nothing else; the error is
// ErrChallenge. It does not look at the clock.
func ParseChallenge(text string) (Challenge, error) {
	if len(text) > maxChallenge {
		return Challenge{}, fmt.Errorf("%w: longer than %d bytes", ErrChallenge, maxChallenge)
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[0] != challengeTitle || lines[5] != "" {
		return Challenge{}, fmt.Errorf("%w: not the five lines of %q", ErrChallenge, challengeTitle)
	}
	var values [4]string
	for i, name := range []string{"origin", "principal", "nonce", "expires"} {
		value, ok := strings.CutPrefix(lines[i+1], name+" ")
		if !ok {
			return Challenge{}, fmt.Errorf("%w: line %d is not %q", ErrChallenge, i+2, name)
		}
		values[i] = value
	}
	c := Challenge{Origin: values[0]}
	if err := checkOrigin(c.Origin); err != nil {
		return Challenge{}, err
	}
	var err error
	if c.Principal, err = ParsePrincipal(values[1]); err != nil {
		return Challenge{}, fmt.Errorf("%w: %w", ErrChallenge, err)
	}
	if err := parseHex(c.Nonce[:], values[2]); err != nil {
		return Challenge{}, fmt.Errorf("%w: nonce: %w", ErrChallenge, err)
	}
	if c.Expires, err = time.Parse(challengeTime, values[3]); err != nil {
		return Challenge{}, fmt.Errorf("%w: expires: %w", ErrChallenge, err)
	}
	// time.Parse takes fractions of a second that the layout does not name.
	if c.Text() != text {
		return Challenge{}, fmt.Errorf("%w: second spelling", ErrChallenge)
	}
	return c, nil
}

func checkOrigin(origin string) error {
	if origin == "" || len(origin) > maxOrigin {
		return fmt.Errorf("%w: origin of %d characters, want 1 to %d", ErrChallenge, len(origin), maxOrigin)
	}
	for _, c := range []byte(origin) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("./_-", c) >= 0) {
			return fmt.Errorf("%w: %q in origin", ErrChallenge, c)
		}
	}
	return nil
}
