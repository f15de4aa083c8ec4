package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

var (
	// ErrPin: the service shows another ledger key than the pinned one.
	ErrPin = errors.New("the server has another ledger key than the pinned one")
	// ErrChallenge: the server asks for a signature that is not ours to give.
	ErrChallenge = errors.New("the challenge is not for this sign-in")
)

// Config is what an operator needs beside the binding.
type Config struct {
	Place      Place
	Tool       string // "custody-cli 1.0", for payloads and the service's log
	Now        func() time.Time
	Random     io.Reader
	Passphrase func() ([]byte, error)           // nil: nobody can be asked
	Say        func(format string, args ...any) // talk, such as about a retry
	RetryFor   time.Duration                    // how long an answer is awaited by asking again
}

// Operator is a person at a machine that is bound to a server.
type Operator struct {
	*client.Client
	Config
	Binding
	Believed bool            // by Setup: nothing but the server's word speaks for the ledger's key
	held     identity.Signer // loaded when first needed
}

// Open gives the operator this machine is set up for. Before anything else the
// ledger is shown to continue what it was.
func Open(ctx context.Context, cfg Config) (*Operator, error) {
	b, err := cfg.Place.Binding()
	if err != nil {
		return nil, err
	}
	o, err := connect(cfg, b)
	if err != nil {
		return nil, err
	}
	if err := o.watch(ctx); err != nil {
		return nil, err
	}
	return o, nil
}

func connect(cfg Config, b Binding) (*Operator, error) {
	o := &Operator{Config: cfg, Binding: b}
	var err error
	o.Client, err = client.New(client.Config{
		Server: b.URL, CAFile: b.CAFile, Token: o.savedToken(), SignIn: o.signIn, Agent: cfg.Tool,
	})
	return o, err
}

// Setup binds this machine to a server. pin is the ledger's verifier key as it was
// learned by another way; without one the key the server shows is believed, unless
// an earlier one is pinned for the same ledger. It signs in to show that all works.
func Setup(ctx context.Context, cfg Config, b Binding, pin *ledger.VerifierKey) (*Operator, client.Session, error) {
	fail := func(err error) (*Operator, client.Session, error) {
		return nil, client.Session{}, fmt.Errorf("set up: %w", err)
	}
	o, err := connect(cfg, b)
	if err != nil {
		return fail(err)
	}
	about, err := o.About(ctx)
	if err != nil {
		return fail(err)
	}
	shown, err := ledger.ParseVerifierKey(about.VerifierKey)
	if err != nil {
		return fail(err)
	}
	if string(shown.Origin()) != about.Origin {
		return fail(fmt.Errorf("%w: the server calls itself %.100q and shows the key of %s", ErrPin, about.Origin, shown.Origin()))
	}
	if pin != nil && shown != *pin {
		return fail(fmt.Errorf("%w: it shows %s", ErrPin, shown))
	}
	policy := verify.Policy{Key: shown}
	switch known, err := cfg.Place.Policy(shown.Origin()); {
	case errors.Is(err, fs.ErrNotExist):
		o.Believed = pin == nil
	case err != nil:
		return fail(err)
	case known.Key != shown:
		return fail(fmt.Errorf("%w: it shows %s, and %s was pinned", ErrPin, shown, known.Key))
	default:
		policy = known // with the witnesses that stand there
	}
	o.Origin, o.VerifierKey = shown.Origin(), shown
	session, err := o.newSession(ctx)
	if err != nil {
		return fail(err)
	}
	if err := o.watch(ctx); err != nil {
		return fail(err)
	}
	if err := cfg.Place.write(policy.Marshal(), verify.FileName(o.Origin)); err != nil {
		return fail(err)
	}
	if err := cfg.Place.writeJSON("server.json", o.Binding); err != nil {
		return fail(err)
	}
	if err := o.saveSession(session); err != nil {
		return fail(err)
	}
	// A new client, which holds the session.
	o.Client, err = client.New(client.Config{
		Server: b.URL, CAFile: b.CAFile, Token: session.Token, SignIn: o.signIn, Agent: cfg.Tool,
	})
	return o, session, err
}

// Signer gives the person's signer.
func (o *Operator) Signer(ctx context.Context) (identity.Signer, error) {
	if o.held != nil {
		return o.held, nil
	}
	s, err := o.signer(ctx, o.Passphrase)
	if err != nil {
		return nil, err
	}
	o.held = s
	return s, nil
}

// newSession signs the server's challenge, after looking at what it says.
func (o *Operator) newSession(ctx context.Context) (client.Session, error) {
	text, err := o.Challenge(ctx, o.Principal)
	if err != nil {
		return client.Session{}, err
	}
	c, err := identity.ParseChallenge(text)
	if err != nil {
		return client.Session{}, err
	}
	if c.Origin != string(o.Origin) || c.Principal != o.Principal {
		return client.Session{}, fmt.Errorf("%w: it is for %s at %.100s, not for %s at %s", ErrChallenge, c.Principal, c.Origin, o.Principal, o.Origin)
	}
	signer, err := o.Signer(ctx)
	if err != nil {
		return client.Session{}, err
	}
	signature, err := signer.Sign(ctx, identity.NamespaceSession, []byte(text))
	if err != nil {
		return client.Session{}, err
	}
	return o.SignIn(ctx, text, signature)
}

// signIn is asked for a token by the client when the present one has ended.
func (o *Operator) signIn(ctx context.Context) (identity.Token, error) {
	s, err := o.newSession(ctx)
	if err != nil {
		return identity.Token{}, err
	}
	return s.Token, o.saveSession(s)
}

// session is the form of session.json.
type session struct {
	Server    string             `json:"server"`
	Principal identity.Principal `json:"principal"`
	Token     string             `json:"token"`
	Expires   time.Time          `json:"expires"`
}

func (o *Operator) saveSession(s client.Session) error {
	text, err := json.Marshal(session{o.URL, o.Principal, s.Token.Reveal(), s.Expires})
	if err != nil {
		return err
	}
	return o.Place.write(append(text, '\n'), "session.json")
}

// savedToken gives the token of the last session, if it is for this binding and
// may still be good. Whether it is the server tells.
func (o *Operator) savedToken() identity.Token {
	var s session
	if o.Place.readJSON("session.json", &s) != nil || s.Server != o.URL || s.Principal != o.Principal || !o.Now().Before(s.Expires) {
		return identity.Token{}
	}
	token, err := identity.ParseToken(s.Token)
	if err != nil {
		return identity.Token{}
	}
	return token
}
