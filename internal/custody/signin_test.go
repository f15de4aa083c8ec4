package custody_test

import (
	"context"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

func TestSignIn(t *testing.T) {
	l := newLab(t)
	challenge := func(p identity.Principal) string {
		c, err := l.Challenge(t.Context(), p)
		must(t, err)
		return c.Text()
	}
	sign := func(p identity.Principal, ns identity.Namespace, text string) []byte {
		signature, err := l.key(p).Sign(t.Context(), ns, []byte(text))
		must(t, err)
		return signature
	}
	text := challenge("examiner1")
	signature := sign("examiner1", identity.NamespaceSession, text)
	session, err := l.SignIn(t.Context(), text, signature)
	must(t, err)
	if session.Principal != "examiner1" || session.Roles.String() != "examiner" {
		t.Errorf("the session is %s of %s", session.Roles, session.Principal)
	}
	caller, err := l.Authenticate(t.Context(), session.Token.Reveal())
	must(t, err)
	if caller.Principal != "examiner1" || caller.Method != "session" || caller.Roles.String() != "examiner" {
		t.Errorf("the caller is %+v", caller)
	}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	_, err = l.Authenticate(gone, session.Token.Reveal())
	must(t, err)
	if _, err := l.SignIn(t.Context(), text, signature); err == nil {
		t.Error("a challenge was good twice")
	}

	longer, err := identity.ParseChallenge(challenge("examiner1"))
	must(t, err)
	longer.Expires = longer.Expires.Add(time.Hour)
	other, err := identity.ParseChallenge(challenge("examiner2"))
	must(t, err)
	other.Principal = "examiner1"
	mine := challenge("examiner1")
	unanswered, err := identity.NewChallenge(origin, "examiner1", l.clock.Now().Add(time.Minute), zeros{})
	must(t, err)
	foreign, err := identity.NewChallenge("lab.example/other", "examiner1", l.clock.Now().Add(time.Minute), zeros{})
	must(t, err)
	late := challenge("examiner1")
	l.clock.advance(2 * time.Minute)
	for name, row := range map[string]struct {
		text   string
		signer identity.Principal
		ns     identity.Namespace
		owner  error // what the right person gets for it
	}{
		"colleague's key":    {challenge("examiner1"), "examiner2", identity.NamespaceSession, nil},
		"stranger":           {challenge("stranger"), "stranger", identity.NamespaceSession, custody.ErrUnauthenticated},
		"other namespace":    {challenge("examiner1"), "examiner1", identity.NamespaceEvent, nil},
		"the service":        {challenge(identity.Service), identity.Service, identity.NamespaceSession, custody.ErrUnauthenticated},
		"never given out":    {unanswered.Text(), "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
		"made longer":        {longer.Text(), "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
		"of another":         {other.Text(), "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
		"other origin":       {foreign.Text(), "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
		"expired":            {late, "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
		"expired long since": {mine, "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
		"no challenge":       {"let me in", "examiner1", identity.NamespaceSession, custody.ErrUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := l.SignIn(t.Context(), row.text, sign(row.signer, row.ns, row.text))
			wantErr(t, err, custody.ErrUnauthenticated)
			// Nobody uses up somebody else's challenge by trying.
			_, err = l.SignIn(t.Context(), row.text, sign("examiner1", identity.NamespaceSession, row.text))
			wantErr(t, err, row.owner)
		})
	}
	// Asking costs nothing that others could miss.
	for range 20_000 {
		challenge("stranger")
	}
	text = challenge("examiner1")
	_, err = l.SignIn(t.Context(), text, sign("examiner1", identity.NamespaceSession, text))
	must(t, err)
	text = challenge("examiner1")
	signature = sign("examiner1", identity.NamespaceSession, text)
	l.restart()
	_, err = l.SignIn(t.Context(), text, signature)
	wantErr(t, err, custody.ErrUnauthenticated)
	if _, err := l.Challenge(t.Context(), "No Principal"); err == nil {
		t.Error("a challenge for nobody")
	}
}

// zeros is randomness for what no service has drawn.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSession(t *testing.T) {
	l := newLab(t)
	enter := func() string {
		c, err := l.Challenge(t.Context(), "examiner2")
		must(t, err)
		signature, err := l.key("examiner2").Sign(t.Context(), identity.NamespaceSession, []byte(c.Text()))
		must(t, err)
		s, err := l.SignIn(t.Context(), c.Text(), signature)
		must(t, err)
		return s.Token.Reveal()
	}
	good := func(token string, want error) {
		t.Helper()
		if _, err := l.Authenticate(t.Context(), token); want == nil {
			must(t, err)
		} else {
			wantErr(t, err, want)
		}
	}
	first, second := enter(), enter()
	l.restart() // sessions outlive the service
	good(first, nil)
	must(t, l.SignOut(t.Context(), first))
	must(t, l.SignOut(t.Context(), first))
	good(first, custody.ErrUnauthenticated)
	good(second, nil)
	for _, bad := range []string{"", "cust_", second + "x", second[:len(second)-1]} {
		good(bad, custody.ErrUnauthenticated)
		if bad != "" {
			wantErr(t, l.SignOut(t.Context(), bad), custody.ErrUnauthenticated)
		}
	}
	l.clock.advance(time.Hour)
	good(second, custody.ErrUnauthenticated)
	third := enter()
	good(third, nil)
	l.record("admin", "", evidence.PersonRevoked{Principal: "examiner2", Reason: "left"})
	good(third, custody.ErrUnauthenticated)
	c, err := l.Challenge(t.Context(), "examiner2")
	must(t, err)
	signature, err := l.key("examiner2").Sign(t.Context(), identity.NamespaceSession, []byte(c.Text()))
	must(t, err)
	_, err = l.SignIn(t.Context(), c.Text(), signature)
	wantErr(t, err, custody.ErrUnauthenticated)
}
