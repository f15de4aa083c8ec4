package authority_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/authority/authoritytest"
	"github.com/custodyd/custodyd/internal/timestamp"
)

var message = []byte("a checkpoint")

func ask(tb testing.TB, a *authoritytest.Authority, now func() time.Time) (authority.Answer, error) {
	tb.Helper()
	client, err := authority.New("tsa", a.URL, []*x509.Certificate{a.Root}, now)
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	return client.Ask(tb.Context(), message, rand.Reader)
}

func TestAsk(t *testing.T) {
	a := authoritytest.New(t, "good")
	answer, err := ask(t, a, time.Now)
	if err != nil || len(answer.Lists) != 2 || len(answer.Missing) != 0 || len(answer.Stamp.Unknown) != 0 || len(answer.Stamp.Chain) != 3 {
		t.Fatalf("%+v: %v", answer, err)
	}
	s, err := timestamp.Verify(answer.Response, message, nil, timestamp.Trust{Roots: []*x509.Certificate{a.Root}, Lists: answer.Lists})
	if err != nil || s.Serial != answer.Stamp.Serial {
		t.Errorf("%+v: %v", s, err)
	}
	// A list that cannot be had is no error.
	a.Behave(authoritytest.Behaviour{Lists: http.StatusNotFound})
	answer, err = ask(t, a, time.Now)
	if err != nil || len(answer.Missing) != 2 || len(answer.Stamp.Unknown) != 2 {
		t.Errorf("%+v: %v", answer, err)
	}
	a.Behave(authoritytest.Behaviour{})
	a.Revoke(t, a.Intermediate, x509.RevocationListEntry{SerialNumber: a.Signer.SerialNumber, RevocationTime: time.Now().Add(-time.Hour), ReasonCode: 4})
	if _, err := ask(t, a, time.Now); !errors.Is(err, timestamp.ErrRevoked) || !authority.Distrusted(err) {
		t.Errorf("revoked: %v", err)
	}
}

func TestAskWhoMisbehaves(t *testing.T) {
	other := authoritytest.New(t, "other")
	for name, row := range map[string]struct {
		does              authoritytest.Behaviour
		wantErr           error
		unmet, distrusted bool
	}{
		"hangs up":       {authoritytest.Behaviour{Down: true}, authority.ErrUnreachable, true, false},
		"has trouble":    {authoritytest.Behaviour{Status: http.StatusInternalServerError}, authority.ErrUnreachable, true, false},
		"is busy":        {authoritytest.Behaviour{Status: http.StatusTooManyRequests}, authority.ErrUnreachable, true, false},
		"is elsewhere":   {authoritytest.Behaviour{Status: http.StatusNotFound}, authority.ErrStatus, false, false},
		"sends away":     {authoritytest.Behaviour{Redirect: other.URL}, authority.ErrStatus, false, false},
		"never ends":     {authoritytest.Behaviour{Large: true}, authority.ErrStatus, false, false},
		"talks nonsense": {authoritytest.Behaviour{Garbage: true}, timestamp.ErrFormat, false, false},
		"refuses":        {authoritytest.Behaviour{Refuse: true}, timestamp.ErrRefused, false, false},
		"other nonce":    {authoritytest.Behaviour{Nonce: true}, timestamp.ErrNonce, false, true},
		"other imprint":  {authoritytest.Behaviour{Imprint: true}, timestamp.ErrImprint, false, true},
		"back-dates":     {authoritytest.Behaviour{Now: func() time.Time { return time.Now().Add(-time.Hour) }}, authority.ErrClock, false, false},
		"is ahead":       {authoritytest.Behaviour{Now: func() time.Time { return time.Now().Add(time.Hour) }}, authority.ErrClock, false, false},
	} {
		a := authoritytest.New(t, "good")
		a.Behave(row.does)
		answer, err := ask(t, a, time.Now)
		if !errors.Is(err, row.wantErr) || answer.Response != nil || authority.Unmet(err) != row.unmet || authority.Distrusted(err) != row.distrusted {
			t.Errorf("%s: %v, want %v", name, err, row.wantErr)
		}
	}
	if n := other.Asked(); n != 0 {
		t.Errorf("who was named by a redirect was asked %d times", n)
	}
}

func TestRogue(t *testing.T) {
	a, rogue := authoritytest.New(t, "good"), authoritytest.New(t, "rogue")
	client, err := authority.New("tsa", rogue.URL, []*x509.Certificate{a.Root}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Ask(t.Context(), message, rand.Reader); !errors.Is(err, timestamp.ErrUntrusted) || !authority.Distrusted(err) {
		t.Error(err)
	}
}

// Whoever waits for a slow authority can stop.
func TestSlow(t *testing.T) {
	a := authoritytest.New(t, "good")
	never := make(chan struct{})
	a.Behave(authoritytest.Behaviour{Wait: never})
	client, err := authority.New("tsa", a.URL, []*x509.Certificate{a.Root}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for a.Asked() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := client.Ask(ctx, message, rand.Reader); !errors.Is(err, context.Canceled) || !authority.Unmet(err) {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	roots := []*x509.Certificate{authoritytest.New(t, "good").Root}
	for name, row := range map[string]struct {
		name, url string
		roots     []*x509.Certificate
	}{
		"no name": {"", "http://a.example", roots}, "a path as name": {"../a", "http://a.example", roots}, "long name": {strings.Repeat("a", 41), "http://a.example", roots},
		"no URL": {"a", "", roots}, "a file": {"a", "file:///etc/passwd", roots}, "no host": {"a", "http:///x", roots}, "no roots": {"a", "http://a.example", nil},
		"a user": {"a", "https://secret@a.example/tsa", roots}, "a password": {"a", "https://me:secret@a.example/tsa", roots}, "a query": {"a", "https://a.example/tsa?key=secret", roots},
		"a fragment": {"a", "https://a.example/tsa#secret", roots}, "a wrong escape": {"a", "https://a.example/secret%zz", roots},
	} {
		if _, err := authority.New(row.name, row.url, row.roots, time.Now); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is shown of an address is no secret of a customer.
func TestHost(t *testing.T) {
	a := authoritytest.New(t, "good")
	a.Behave(authoritytest.Behaviour{Down: true})
	client, err := authority.New("tsa", a.URL+"/secret", []*x509.Certificate{a.Root}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if host := client.Host(); host+"/tsa" != a.URL {
		t.Error(host)
	}
	if _, err := client.Ask(t.Context(), message, rand.Reader); !errors.Is(err, authority.ErrUnreachable) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// Lists that are too large to be kept are held against the chain all the same.
func TestLargeList(t *testing.T) {
	a := authoritytest.New(t, "good")
	many := func(entries ...x509.RevocationListEntry) {
		for i := range int64(20_000) {
			entries = append(entries, x509.RevocationListEntry{SerialNumber: big.NewInt(i + 1), RevocationTime: time.Now()})
		}
		a.Revoke(t, a.Root, entries...)
	}
	many()
	answer, err := ask(t, a, time.Now)
	if err != nil || len(answer.Lists) != 1 || len(answer.Stamp.Unknown) != 0 || len(answer.Missing) != 1 ||
		!strings.Contains(answer.Missing[0], "/root.crl") || !strings.Contains(answer.Missing[0], "with the SHA-256 ") {
		t.Fatalf("%d lists, unknown %q, missing %q: %v", len(answer.Lists), answer.Stamp.Unknown, answer.Missing, err)
	}
	many(x509.RevocationListEntry{SerialNumber: a.Intermediate.SerialNumber, RevocationTime: time.Now().Add(-time.Hour)})
	if _, err := ask(t, a, time.Now); !errors.Is(err, timestamp.ErrRevoked) {
		t.Error(err)
	}
}

// Of more lists than are asked for, it is told how many there are.
func TestManyLists(t *testing.T) {
	a := authoritytest.New(t, "good", func(c *x509.Certificate) {
		for i := range 12 {
			c.CRLDistributionPoints = append(c.CRLDistributionPoints, fmt.Sprintf("ldap://nowhere.example/%d", i))
		}
	})
	answer, err := ask(t, a, time.Now)
	if err != nil || len(answer.Missing) != 10 || answer.Missing[9] != "4 more are named and were not asked for: at most 10 are" {
		t.Errorf("%q: %v", answer.Missing, err)
	}
}
