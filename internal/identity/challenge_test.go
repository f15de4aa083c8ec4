package identity

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const testChallenge = `custody-session v1
origin lab.example/custody
principal examiner1
nonce 0707070707070707070707070707070707070707070707070707070707070707
expires 2026-11-21T22:16:17Z
`

func sevens() *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte{7}, 32)) }

func TestChallenge(t *testing.T) {
	zone := time.FixedZone("", 3600)
	c, err := NewChallenge("lab.example/custody", "examiner1", time.Date(2026, 11, 21, 23, 16, 17, 999, zone), sevens())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testChallenge, c.Text()); diff != "" {
		t.Error(diff)
	}
	again, err := ParseChallenge(testChallenge)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Error(diff)
	}
}

func TestNewChallengeRefused(t *testing.T) {
	expires := time.Date(2026, 11, 21, 22, 16, 17, 0, time.UTC)
	broken := errors.New("no entropy")
	if _, err := NewChallenge("lab", "a", expires, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	tests := []struct {
		origin    string
		principal Principal
		expires   time.Time
		wantErr   error
	}{
		{strings.Repeat("a", 100), "a", expires, nil},
		{strings.Repeat("a", 101), "a", expires, ErrChallenge},
		{"", "a", expires, ErrChallenge},
		{"Lab", "a", expires, ErrChallenge},
		{"lab\nprincipal b", "a", expires, ErrChallenge},
		{"lab", "", expires, ErrPrincipal},
		{"lab", "A", expires, ErrPrincipal},
		{"lab", "a", expires.AddDate(8000, 0, 0), ErrChallenge},
	}
	for _, tt := range tests {
		c, err := NewChallenge(tt.origin, tt.principal, tt.expires, sevens())
		if !errors.Is(err, tt.wantErr) || err != nil && c != (Challenge{}) {
			t.Errorf("%q, %q, %s: %v, want %v", tt.origin, tt.principal, tt.expires, err, tt.wantErr)
		}
	}
}

func TestParseChallengeRefused(t *testing.T) {
	replace := func(old, with string) string { return strings.Replace(testChallenge, old, with, 1) }
	for name, text := range map[string]string{
		"empty":             "",
		"other title":       replace("v1", "v2"),
		"no newline":        strings.TrimSuffix(testChallenge, "\n"),
		"two newlines":      testChallenge + "\n",
		"line before":       "\n" + testChallenge,
		"line after":        testChallenge + "note x\n",
		"CRLF":              strings.ReplaceAll(testChallenge, "\n", "\r\n"),
		"lines exchanged":   replace("origin lab.example/custody\nprincipal examiner1", "principal examiner1\norigin lab.example/custody"),
		"origin missing":    replace("origin lab.example/custody\n", ""),
		"two spaces":        replace("origin ", "origin  "),
		"tab":               replace("origin ", "origin\t"),
		"upper-case origin": replace("lab", "LAB"),
		"long origin":       replace("lab", strings.Repeat("a", 100)),
		"long text":         replace("lab", strings.Repeat("a", maxChallenge)),
		"bad principal":     replace("examiner1", "examiner 1"),
		"upper-case nonce":  replace("nonce 07", "nonce 0A"),
		"short nonce":       replace("nonce 07", "nonce "),
		"odd nonce":         replace("nonce 07", "nonce 7"),
		"fraction":          replace("17Z", "17.0Z"),
		"comma fraction":    replace("17Z", "17,5Z"),
		"offset":            replace("17Z", "17+00:00"),
		"no such day":       replace("11-21", "11-31"),
		"one-digit hour":    replace("T22", "T2"),
		"trailing space":    replace("17Z", "17Z "),
	} {
		if c, err := ParseChallenge(text); !errors.Is(err, ErrChallenge) || c != (Challenge{}) {
			t.Errorf("%s: %v, want %v", name, err, ErrChallenge)
		}
	}
}

// TestChallengeElsewhere: a signature over one server's challenge proves
// nothing for another origin, principal, nonce or expiry.
func TestChallengeElsewhere(t *testing.T) {
	signer := newSigner(t)
	armored := mustSign(t, signer, NamespaceSession, []byte(testChallenge))
	for _, change := range [][2]string{{"lab.", "bal."}, {"examiner1", "examiner2"}, {"nonce 07", "nonce 08"}, {"2026", "2027"}} {
		other := strings.Replace(testChallenge, change[0], change[1], 1)
		if _, err := ParseChallenge(other); err != nil {
			t.Fatal(err)
		}
		if err := Verify(signer.PublicKey(), NamespaceSession, []byte(other), armored); !errors.Is(err, ErrSignature) {
			t.Errorf("%s for %s: %v, want %v", change[1], change[0], err, ErrSignature)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(testChallenge)
	f.Add(strings.Replace(testChallenge, "17Z", "17.5Z", 1))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseChallenge(text)
		if err != nil {
			if !errors.Is(err, ErrChallenge) || c != (Challenge{}) {
				t.Fatalf("%v, %v", c, err)
			}
			return
		}
		if c.Text() != text {
			t.Fatalf("ParseChallenge(%q) writes %q", text, c.Text())
		}
	})
}
