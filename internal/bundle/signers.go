package bundle

import (
	"fmt"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// AppendSigner appends to an allowed_signers file the line that an enrolment makes;
// other events make none.
func AppendSigner(signers []byte, body evidence.Body) []byte {
	if p, ok := body.(evidence.PersonEnrolled); ok {
		signers = AppendKey(signers, p.Principal, p.Key)
	}
	return signers
}

// AppendKey appends to an allowed_signers file the line of a principal and its key.
func AppendKey(signers []byte, p identity.Principal, key identity.PublicKey) []byte {
	return append(append(signers, identity.AllowedSigner(p, key, identity.NamespaceEvent)...), '\n')
}

// signers collects the lines of allowed_signers from the payloads that are written.
type signers struct {
	text []byte
	keys map[identity.Principal]identity.PublicKey // of a pseudonymous bundle
}

// add takes in an entry: whom it enrols, or, in a pseudonymous bundle, who signed it. What
// is erased has no signature that anybody could check with the key.
func (s *signers) add(e Entry, t ledger.Type, pseudonymous bool) error {
	if pseudonymous && e.Erased || !pseudonymous && t != ledger.Keys {
		return nil
	}
	event, err := evidence.Parse(e.Payload)
	if err != nil {
		return err
	}
	if !pseudonymous {
		s.text = AppendSigner(s.text, event.Body)
		return nil
	}
	key, err := identity.SignatureKey(e.Signature)
	if err != nil {
		return err
	}
	switch known, ok := s.keys[event.Actor]; {
	case !ok:
		if s.keys == nil {
			s.keys = map[identity.Principal]identity.PublicKey{}
		}
		s.keys[event.Actor] = key
		s.text = AppendKey(s.text, event.Actor, key)
	case known != key:
		return fmt.Errorf("%s signs with a second key", event.Actor)
	}
	return nil
}
