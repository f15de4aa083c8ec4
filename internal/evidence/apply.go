package evidence

import (
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// Kind is an action's name: what happened.
type Kind string

// EntryType is the type of the ledger entry that carries an event.
type EntryType string

// The entry types that events use (the ledger knows more).
const (
	EventEntry  EntryType = "event"
	KeysEntry   EntryType = "keys"
	SealEntry   EntryType = "seal"
	AnchorEntry EntryType = "anchor"
	EraseEntry  EntryType = "erase"
)

// Body is what happened. The set is closed: only this package adds members.
type Body interface {
	kind() Kind
	// check looks at the members alone.
	check() error
	// apply is the law of this event; the frame has been checked.
	apply(*frame) error
}

// rule is one row of the table of events.
type rule struct {
	permission identity.Permission // what the signer needs; where the service signs, the person it acts for
	service    bool                // recorded by the service itself
	bootstrap  bool                // the service may, while nobody else can
	ofCase     bool                // belongs to a case
	entry      EntryType
	decode     func(body []byte, read func([]byte, any) error) (Body, error)
}

func decodeAs[B Body](data []byte, read func([]byte, any) error) (Body, error) {
	var b B
	if err := read(data, &b); err != nil {
		return nil, err
	}
	return b, nil
}

// rules is the closed set of events.
var rules map[Kind]rule

func init() { // not a literal: the bodies' methods refer back to the table
	rules = map[Kind]rule{
		PersonEnrolled{}.kind():     {permission: identity.PersonEnrol, bootstrap: true, entry: KeysEntry, decode: decodeAs[PersonEnrolled]},
		PersonRevoked{}.kind():      {permission: identity.PersonRevoke, entry: KeysEntry, decode: decodeAs[PersonRevoked]},
		ServiceStarted{}.kind():     {service: true, entry: EventEntry, decode: decodeAs[ServiceStarted]},
		CheckpointAnchored{}.kind(): {service: true, entry: AnchorEntry, decode: decodeAs[CheckpointAnchored]},
		CaseOpened{}.kind():         {permission: identity.CaseOpen, ofCase: true, entry: EventEntry, decode: decodeAs[CaseOpened]},
		CaseClosed{}.kind():         {permission: identity.CaseClose, ofCase: true, entry: EventEntry, decode: decodeAs[CaseClosed]},
		HoldPlaced{}.kind():         {permission: identity.HoldPlace, ofCase: true, entry: EventEntry, decode: decodeAs[HoldPlaced]},
		HoldLifted{}.kind():         {permission: identity.HoldLift, ofCase: true, entry: EventEntry, decode: decodeAs[HoldLifted]},
		PayloadErased{}.kind():      {permission: identity.PayloadErase, ofCase: true, entry: EraseEntry, decode: decodeAs[PayloadErased]},
		ExhibitAdded{}.kind():       {permission: identity.ExhibitAdd, ofCase: true, entry: EventEntry, decode: decodeAs[ExhibitAdded]},
		IntakeDeclared{}.kind():     {permission: identity.IntakeDeclare, ofCase: true, entry: EventEntry, decode: decodeAs[IntakeDeclared]},
		IntakeAbandoned{}.kind():    {permission: identity.IntakeAbandon, ofCase: true, entry: EventEntry, decode: decodeAs[IntakeAbandoned]},
		CopySealed{}.kind():         {permission: identity.IntakeSeal, ofCase: true, entry: EventEntry, decode: decodeAs[CopySealed]},
		CopyQuarantined{}.kind():    {service: true, ofCase: true, entry: EventEntry, decode: decodeAs[CopyQuarantined]},
		CopyRequested{}.kind():      {permission: identity.CopyIssue, ofCase: true, entry: EventEntry, decode: decodeAs[CopyRequested]},
		CopyIssued{}.kind():         {permission: identity.CopyIssue, ofCase: true, entry: EventEntry, decode: decodeAs[CopyIssued]},
		ContentRead{}.kind():        {permission: identity.CopyFetch, service: true, ofCase: true, entry: EventEntry, decode: decodeAs[ContentRead]},
		CopyReceived{}.kind():       {permission: identity.CopyFetch, ofCase: true, entry: EventEntry, decode: decodeAs[CopyReceived]},
		CopyReturned{}.kind():       {permission: identity.CopyReturn, ofCase: true, entry: EventEntry, decode: decodeAs[CopyReturned]},
		FixityChecked{}.kind():      {permission: identity.CopyVerify, service: true, ofCase: true, entry: EventEntry, decode: decodeAs[FixityChecked]},
		AccessDenied{}.kind():       {service: true, ofCase: true, entry: EventEntry, decode: decodeAs[AccessDenied]},
		CaseExported{}.kind():       {permission: identity.ExportCreate, service: true, ofCase: true, entry: SealEntry, decode: decodeAs[CaseExported]},
	}
}

// EntryTypeOf tells which type of entry carries the event.
func EntryTypeOf(e Event) EntryType { return rules[e.Kind()].entry }

// Position is where in the ledger the event stands, or would.
type Position struct {
	CaseSeq int64 // its place in the chain of its case (or of no case), from 0
	Time    Time  // the ledger's clock
}

// frame is an event with all that its law may look at, and the changes so far.
type frame struct {
	View
	event   Event
	at      Position
	actor   Person // zero for bootstrap
	seen    int64  // case sequence number of the newest entry the actor had seen; -1: none
	changes Changes
}

// Apply gives the state changes of an event, or says which law forbids it:
// [ErrForbidden], [ErrStale], [ErrNotFound], [ErrExists], [ErrHeld], [ErrDigestsDiffer], a
// [TransitionError] or a [FieldError]. Any other error means that the view
// could not be read. The signature and the payload's form are the caller's to check.
func Apply(v View, e Event, at Position) (Changes, error) {
	f := &frame{View: v, event: e, at: at, seen: -1}
	if err := f.admit(); err != nil {
		return Changes{}, err
	}
	if err := f.look(); err != nil {
		return Changes{}, err
	}
	if err := e.Body.apply(f); err != nil {
		return Changes{}, err
	}
	return f.changes, nil
}

// admit checks that the actor is enrolled and may do this.
func (f *frame) admit() error {
	if err := f.event.checkSigner(); err != nil {
		return err
	}
	rule := rules[f.event.Kind()]
	if f.event.Actor == identity.Service && rule.bootstrap {
		return f.admitBehalf(rule) // PersonEnrolled.apply knows when
	}
	actor, err := f.Person(f.event.Actor)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %s is not enrolled", ErrForbidden, f.event.Actor)
	}
	if err != nil {
		return err
	}
	if actor.Revoked != nil {
		return fmt.Errorf("%w: %s was revoked", ErrForbidden, f.event.Actor)
	}
	if !rule.service && !actor.Roles.Allow(rule.permission) {
		return fmt.Errorf("%w: %s needs the permission %s", ErrForbidden, f.event.Actor, rule.permission)
	}
	f.actor = actor
	return f.admitBehalf(rule)
}

// admitBehalf checks that whom the service acts for may have that done.
func (f *frame) admitBehalf(rule rule) error {
	b := f.event.OnBehalfOf
	if b == nil {
		return nil
	}
	p, err := f.Person(b.Principal)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %s is not enrolled", ErrForbidden, b.Principal)
	}
	if err != nil {
		return err
	}
	if rule.permission != "" && (p.Revoked != nil || !p.Roles.Allow(rule.permission)) {
		return fmt.Errorf("%w: %s needs the permission %s", ErrForbidden, b.Principal, rule.permission)
	}
	return nil
}

// look resolves what the actor had seen.
func (f *frame) look() error {
	if f.event.Seen == (digest.SHA256{}) {
		return nil
	}
	n, err := f.Entry(f.event.Case, f.event.Seen)
	if errors.Is(err, ErrNotFound) {
		return field("seen", "is not an entry of this case's chain")
	}
	f.seen = n
	return err
}

// fresh refuses a subject that changed after what the actor had seen.
func (f *frame) fresh(subject string, changed int64) error {
	if changed > f.seen {
		return fmt.Errorf("%s: %w (its entry %d of the case, seen up to %d)", subject, ErrStale, changed, f.seen)
	}
	return nil
}

// forbid says which rule stands against the event.
func (f *frame) forbid(subject, reason string, args ...any) error {
	return &TransitionError{Subject: subject, Kind: f.event.Kind(), Reason: fmt.Sprintf(reason, args...)}
}

// named adds to a lookup's error what was looked for.
func named(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// lookup is named, for what an event that the view does not know can have brought.
func lookup(what string, err error) error {
	if errors.Is(err, ErrNotFound) {
		return absent{named(what, err)}
	}
	return named(what, err)
}

// openCase gives the event's case if it is open.
func (f *frame) openCase() (Case, error) {
	c, err := f.Case(f.event.Case)
	if err != nil {
		return Case{}, lookup("case", err)
	}
	if c.State != Open {
		return Case{}, f.forbid(string(c.Reference), "the case is closed")
	}
	return c, nil
}
