package custody

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// Caller is who asks, and how that was established.
type Caller struct {
	Principal identity.Principal
	Roles     identity.Roles
	Method    string
}

// methodSession is a bearer token given for an SSH signature over a challenge.
const methodSession = "session"

// allow checks a permission of the caller.
func (c Caller) allow(p identity.Permission) error {
	if !c.Roles.Allow(p) {
		return fmt.Errorf("%w: %s needs the permission %s", evidence.ErrForbidden, c.Principal, p)
	}
	return nil
}

// Session is a sign-in.
type Session struct {
	Token     identity.Token // the only copy: the server keeps its hash
	Principal identity.Principal
	Roles     identity.Roles
	Expires   time.Time
}

const challengeLife = 2 * time.Minute

// challenges gives out texts to be signed, each good once. They are not remembered:
// anybody may ask for any number of them. The second half of a nonce proves that this
// process made the text, and only those that somebody signed in with are kept.
type challenges struct {
	key [32]byte // of this process

	mu   sync.Mutex
	used map[[32]byte]time.Time // nonce -> expiry
}

func (c *challenges) init(random io.Reader) error {
	c.used = map[[32]byte]time.Time{}
	if _, err := io.ReadFull(random, c.key[:]); err != nil {
		return fmt.Errorf("draw a key for challenges: %w", err)
	}
	return nil
}

// sign gives the challenge with its proof in the nonce.
func (c *challenges) sign(ch identity.Challenge) identity.Challenge {
	clear(ch.Nonce[16:])
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte(ch.Text())) // never fails, see its documentation
	copy(ch.Nonce[16:], mac.Sum(nil))
	return ch
}

// good tells whether a challenge was given out by this process and still holds.
func (c *challenges) good(ch identity.Challenge, now time.Time) bool {
	want := c.sign(ch)
	return hmac.Equal(want.Nonce[:], ch.Nonce[:]) && ch.Expires.After(now)
}

// use uses a good challenge up; false, if it is already.
func (c *challenges) use(ch identity.Challenge, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.used, func(_ [32]byte, expires time.Time) bool { return !expires.After(now) })
	_, again := c.used[ch.Nonce]
	c.used[ch.Nonce] = ch.Expires
	return !again
}

// Challenge gives a text for the principal to sign in the namespace
// custody-session. It does not tell whether the principal is known.
func (s *Service) Challenge(_ context.Context, p identity.Principal) (identity.Challenge, error) {
	challenge, err := identity.NewChallenge(string(s.origin), p, s.cfg.Now().Add(challengeLife), s.cfg.Random)
	if err != nil {
		return identity.Challenge{}, err
	}
	return s.challenges.sign(challenge), nil
}

// SignIn gives a session for a signed challenge. Whatever is wrong with it, the
// answer is [ErrUnauthenticated], without the reason.
func (s *Service) SignIn(ctx context.Context, text string, signature []byte) (Session, error) {
	now := s.cfg.Now()
	challenge, err := identity.ParseChallenge(text)
	if err != nil || challenge.Origin != string(s.origin) || !s.challenges.good(challenge, now) {
		return Session{}, fmt.Errorf("%w: the challenge is not one of ours, or too old", ErrUnauthenticated)
	}
	var person evidence.Person
	err = s.db.View(ctx, func(tx *database.Tx) (err error) {
		person, err = tx.Person(challenge.Principal)
		return err
	})
	if err != nil && !errors.Is(err, evidence.ErrNotFound) {
		return Session{}, err
	}
	if err != nil || person.Revoked != nil || person.Principal == identity.Service ||
		identity.Verify(person.Key, identity.NamespaceSession, []byte(text), signature) != nil {
		return Session{}, fmt.Errorf("%w: the signature is not by the key of an enrolled %s", ErrUnauthenticated, challenge.Principal)
	}
	if !s.challenges.use(challenge, now) {
		return Session{}, fmt.Errorf("%w: the challenge was used before", ErrUnauthenticated)
	}
	token, hash, err := identity.NewToken(s.cfg.Random)
	if err != nil {
		return Session{}, err
	}
	expires := now.Add(s.cfg.Session).UTC().Truncate(time.Second)
	err = s.db.Update(ctx, func(tx *database.Tx) error {
		if err := tx.PurgeSessions(now); err != nil {
			return err
		}
		return tx.SaveSession(database.Session{Hash: hash, Principal: person.Principal, Method: methodSession, Expires: expires})
	})
	if err := s.commitOutcome(err); err != nil {
		return Session{}, err
	}
	return Session{Token: token, Principal: person.Principal, Roles: person.Roles, Expires: expires}, nil
}

// Authenticate tells whose session a bearer token is. Roles are those of now. It
// does so when the caller has hung up, too: what they asked for may have to be denied.
func (s *Service) Authenticate(ctx context.Context, bearer string) (Caller, error) {
	hash, err := identity.HashToken(bearer)
	if err != nil {
		return Caller{}, ErrUnauthenticated
	}
	var caller Caller
	err = s.db.View(context.WithoutCancel(ctx), func(tx *database.Tx) error {
		session, err := tx.Session(hash)
		if err != nil {
			return err
		}
		person, err := tx.Person(session.Principal)
		if err != nil {
			return err
		}
		if !session.Expires.After(s.cfg.Now()) || person.Revoked != nil {
			return evidence.ErrNotFound
		}
		caller = Caller{person.Principal, person.Roles, session.Method}
		return nil
	})
	if errors.Is(err, evidence.ErrNotFound) {
		return Caller{}, ErrUnauthenticated
	}
	return caller, err
}

// SignOut ends a session.
func (s *Service) SignOut(ctx context.Context, bearer string) error {
	hash, err := identity.HashToken(bearer)
	if err != nil {
		return ErrUnauthenticated
	}
	return s.commitOutcome(s.db.Update(ctx, func(tx *database.Tx) error { return tx.DeleteSession(hash) }))
}
