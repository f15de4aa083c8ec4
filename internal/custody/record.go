package custody

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Record writes down what a person signed: the one way in for every change that
// a person decides. payload is stored as it is. Recording the same payload again
// gives the same receipt, so a client whose answer was lost sends it again.
func (s *Service) Record(ctx context.Context, c Caller, payload, signature []byte) (Recorded, error) {
	event, err := evidence.Parse(payload)
	if err != nil {
		return Recorded{}, err
	}
	if event.IsErased() {
		return Recorded{}, &evidence.FieldError{Field: "salt", Problem: "is that of what was erased"}
	}
	if event.Log != string(s.origin) {
		return Recorded{}, &evidence.FieldError{Field: "log", Problem: fmt.Sprintf("is not this ledger, %s", s.origin)}
	}
	if event.Actor != c.Principal {
		return Recorded{}, fmt.Errorf("%w: %s is signed in, %s signed", evidence.ErrForbidden, c.Principal, event.Actor)
	}
	var actor evidence.Person
	err = s.db.View(ctx, func(tx *database.Tx) (err error) {
		actor, err = tx.Person(event.Actor)
		return err
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("person %s: %w", event.Actor, err)
	}
	if err := identity.Verify(actor.Key, identity.NamespaceEvent, payload, signature); err != nil {
		return Recorded{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	recorded, err := s.append(ctx, &draft{event: event, payload: payload, signature: signature, signer: actor.Key})
	if err != nil {
		return Recorded{}, err
	}
	s.react(event)
	return recorded, nil
}

// agree checks, inside the transaction, what the law cannot know: the server's
// own record of what it stated to the client, and that the key with which the
// signature verified is still the actor's.
func (s *Service) agree(tx batchView, d *draft) error {
	if _, enrols := d.event.Body.(evidence.PersonEnrolled); !enrols || d.event.Actor != identity.Service {
		actor, err := tx.Person(d.event.Actor)
		if err != nil {
			return err
		}
		if actor.Key != d.signer {
			return fmt.Errorf("%w: %s has another key now", ErrSignature, d.event.Actor)
		}
	}
	switch b := d.event.Body.(type) {
	case evidence.CopySealed:
		return s.agreeFacts(tx.Tx, b.Facts, Ready)
	case evidence.CopyIssued:
		return s.agreeFacts(tx.Tx, b.Facts, Ready)
	case evidence.CopyQuarantined:
		return s.agreeFacts(tx.Tx, b.Facts, Checked)
	case evidence.PayloadErased:
		return agreeErasure(tx.Tx, b)
	case evidence.CheckpointAnchored:
		return agreeAnchors(tx.Tx, b)
	}
	return nil
}

// follow keeps the intake's record in step with the entry, in its transaction.
func follow(tx *database.Tx, d *draft) error {
	switch b := d.event.Body.(type) {
	case evidence.IntakeDeclared:
		return saveUpload(tx, b.Intake, upload{Phase: Receiving})
	case evidence.CopyRequested:
		return saveUpload(tx, b.Intake, upload{Phase: Copying})
	case evidence.CopySealed:
		return tx.DropUpload(b.Intake)
	case evidence.CopyIssued:
		return tx.DropUpload(b.Intake)
	case evidence.CopyQuarantined:
		return tx.DropUpload(b.Intake)
	case evidence.IntakeAbandoned:
		return abandon(tx, b.Intake)
	case evidence.CheckpointAnchored:
		return followAnchors(tx, b)
	}
	return nil
}

// react starts what an entry calls for, after it is committed. What a crash
// prevents here, Open does.
func (s *Service) react(e evidence.Event) {
	switch b := e.Body.(type) {
	case evidence.CopyRequested:
		s.start(b.Intake)
	case evidence.IntakeAbandoned:
		s.start(b.Intake)
	case evidence.PayloadErased:
		s.scrubs.wake()
	}
}

// builder makes the body of an entry of the service from what the ledger holds.
type builder func(tx *database.Tx) (evidence.Body, error)

// just is a builder of a body that depends on nothing.
func just(b evidence.Body) builder {
	return func(*database.Tx) (evidence.Body, error) { return b, nil }
}

// noteTries bounds how often the service signs again because the case went on
// between its look and its append.
const noteTries = 20

// note records an entry of the service's own, on behalf of a person if there is
// one. Body and position are taken from one view of the ledger; when the case
// has gone on before the append, both are taken again.
func (s *Service) note(ctx context.Context, c evidence.CaseID, who *Caller, build builder) (Recorded, error) {
	var last error
	for range noteTries {
		recorded, err := s.noteOnce(ctx, c, who, build)
		if !errors.Is(err, evidence.ErrStale) {
			return recorded, err
		}
		last = err
	}
	return Recorded{}, fmt.Errorf("%w: %w", ErrBusy, last)
}

func (s *Service) noteOnce(ctx context.Context, c evidence.CaseID, who *Caller, build builder) (Recorded, error) {
	id, err := s.newID()
	if err != nil {
		return Recorded{}, err
	}
	event := evidence.Event{
		Actor: identity.Service, At: evidence.TimeOf(s.cfg.Now()), Case: c, ID: id,
		Log: string(s.origin), Tool: "custodyd " + s.cfg.Version,
	}
	if _, err := io.ReadFull(s.cfg.Random, event.Salt[:]); err != nil {
		return Recorded{}, fmt.Errorf("draw a salt: %w", err)
	}
	if who != nil {
		event.OnBehalfOf = &evidence.OnBehalfOf{Principal: who.Principal, Method: who.Method}
	}
	err = s.db.View(ctx, func(tx *database.Tx) error {
		head, err := tx.CaseHead(ledger.CaseID(c))
		if err != nil {
			return err
		}
		event.Seen = digest.SHA256(head.Last)
		event.Body, err = build(tx)
		return err
	})
	if err != nil {
		return Recorded{}, err
	}
	payload, err := event.Encode()
	if err != nil {
		return Recorded{}, err
	}
	signature, err := s.cfg.Key.Sign(ctx, identity.NamespaceEvent, payload)
	if err != nil {
		return Recorded{}, fmt.Errorf("sign %s: %w", event.Kind(), err)
	}
	return s.append(ctx, &draft{event: event, payload: payload, signature: signature, signer: s.cfg.Key.PublicKey()})
}
