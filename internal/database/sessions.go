package database

import (
	"fmt"
	"time"

	"github.com/custodyd/custodyd/internal/identity"
)

// Session is somebody's sign-in.
type Session struct {
	Hash      identity.TokenHash // of the bearer token, which is nowhere kept
	Principal identity.Principal // an enrolled person
	Method    string             // how they were authenticated
	Expires   time.Time          // UTC, whole microseconds
}

// SaveSession keeps a new session. ErrConstraint when nobody is enrolled under
// that principal.
func (tx *Tx) SaveSession(s Session) error {
	err := tx.exec("INSERT INTO sessions (token_hash, principal, method, expires) VALUES (?, ?, ?, ?)",
		s.Hash[:], string(s.Principal), s.Method, s.Expires.UnixMicro())
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

// Session gives the session of a token, expired or not, or ErrNotFound.
func (tx *Tx) Session(hash identity.TokenHash) (Session, error) {
	s := Session{Hash: hash}
	var micro int64
	err := tx.one("SELECT principal, method, expires FROM sessions WHERE token_hash = ?", []any{hash[:]},
		&s.Principal, &s.Method, &micro)
	if err != nil {
		return Session{}, fmt.Errorf("read session: %w", err)
	}
	s.Expires = time.UnixMicro(micro).UTC()
	return s, nil
}

// DeleteSession ends a session, if there is one.
func (tx *Tx) DeleteSession(hash identity.TokenHash) error {
	if err := tx.exec("DELETE FROM sessions WHERE token_hash = ?", hash[:]); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// PurgeSessions ends all sessions that expired at or before now.
func (tx *Tx) PurgeSessions(now time.Time) error {
	if err := tx.exec("DELETE FROM sessions WHERE expires <= ?", now.UnixMicro()); err != nil {
		return fmt.Errorf("purge sessions: %w", err)
	}
	return nil
}
