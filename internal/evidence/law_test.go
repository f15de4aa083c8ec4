package evidence_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
)

// law is the table of the package comment, and what repeating an event comes to.
var law = map[evidence.Kind]struct {
	permission identity.Permission // empty: signed by the service
	stale      bool                // there is a subject that its actor must have seen
	again      error               // of the same event once more; nil where it may be repeated
	onBehalf   bool                // of somebody, who must be named
}{
	"person.enrolled":     {permission: identity.PersonEnrol, again: evidence.ErrExists},
	"person.revoked":      {permission: identity.PersonRevoke, stale: true, again: errTransition},
	"service.started":     {},
	"case.opened":         {permission: identity.CaseOpen, again: evidence.ErrExists},
	"case.closed":         {permission: identity.CaseClose, stale: true, again: errTransition},
	"hold.placed":         {permission: identity.HoldPlace, stale: true, again: evidence.ErrExists},
	"hold.lifted":         {permission: identity.HoldLift, stale: true, again: evidence.ErrNotFound},
	"payload.erased":      {permission: identity.PayloadErase, stale: true, again: errTransition},
	"exhibit.added":       {permission: identity.ExhibitAdd, stale: true, again: evidence.ErrExists},
	"intake.declared":     {permission: identity.IntakeDeclare, stale: true, again: evidence.ErrExists},
	"intake.abandoned":    {permission: identity.IntakeAbandon, stale: true, again: errTransition},
	"copy.sealed":         {permission: identity.IntakeSeal, stale: true, again: errTransition},
	"copy.quarantined":    {stale: true, again: errTransition},
	"copy.requested":      {permission: identity.CopyIssue, stale: true, again: evidence.ErrExists},
	"copy.issued":         {permission: identity.CopyIssue, stale: true, again: errTransition},
	"content.read":        {onBehalf: true},
	"copy.received":       {permission: identity.CopyFetch},
	"copy.returned":       {permission: identity.CopyReturn, stale: true, again: errTransition},
	"fixity.checked":      {},
	"access.denied":       {onBehalf: true},
	"case.exported":       {onBehalf: true, again: evidence.ErrStale},
	"checkpoint.anchored": {},
}

// errTransition stands for any *TransitionError, and fieldErr for a *FieldError
// that names the field.
var errTransition = errors.New("a transition error")

type fieldErr string

func (f fieldErr) Error() string { return "an error of field " + string(f) }

func is(err, want error) bool {
	field, isField := errors.AsType[*evidence.FieldError](err)
	name, wantField := want.(fieldErr) //nolint:errorlint // our own stand-in
	switch {
	case want == nil:
		return err == nil
	case want == errTransition: //nolint:errorlint // our own stand-in
		_, ok := errors.AsType[*evidence.TransitionError](err)
		return ok
	case wantField:
		return isField && field.Field == string(name)
	}
	return errors.Is(err, want)
}

// Every kind of event, against everything that is the same for all of them.
func TestLawOfEveryKind(t *testing.T) {
	if kinds := slices.Sorted(maps.Keys(law)); !slices.Equal(kinds, evidence.Kinds()) {
		t.Fatalf("the table has %q, the law %q", kinds, evidence.Kinds())
	}
	s := tell(t)
	for kind, e := range s.good() {
		t.Run(string(kind), func(t *testing.T) {
			rule := law[kind]
			refused := func(name string, want error, change func(*evidence.Event)) {
				t.Helper()
				bad := e
				change(&bad)
				ch, err := s.apply(bad)
				if !is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
				if err != nil && !empty(ch) {
					t.Errorf("%s: there are changes beside the error", name)
				}
			}
			refused("good", nil, func(*evidence.Event) {})
			refused("seen unknown", fieldErr("seen"), func(e *evidence.Event) { e.Seen[0]++ })
			refused("seen in another chain", fieldErr("seen"), func(e *evidence.Event) {
				e.Seen = s.Newest(s.closed)
			})
			var want error
			if rule.stale {
				want = evidence.ErrStale
			}
			refused("seen nothing", want, func(e *evidence.Event) { e.Seen = digest.SHA256{} })
			if rule.onBehalf {
				refused("for nobody", fieldErr("on_behalf_of"), func(e *evidence.Event) { e.OnBehalfOf = nil })
			}
			service := e.Actor == identity.Service
			behalf := map[bool]error{true: fieldErr("on_behalf_of.principal"), false: fieldErr("on_behalf_of")}[service]
			refused("for the service", behalf, func(e *evidence.Event) {
				e.OnBehalfOf = &evidence.OnBehalfOf{Principal: identity.Service, Method: "session"}
			})
			if !service {
				refused("for another person", behalf, func(e *evidence.Event) {
					e.OnBehalfOf = &evidence.OnBehalfOf{Principal: "examiner2", Method: "session"}
				})
			}
			stranger := map[bool]error{true: fieldErr("actor"), false: evidence.ErrForbidden}[service]
			refused("not enrolled", stranger, func(e *evidence.Event) { e.Actor, e.OnBehalfOf = "nobody", nil })
			refused("revoked", stranger, func(e *evidence.Event) { e.Actor, e.OnBehalfOf = "analyst2", nil })
			for _, p := range evidencetest.Staff[1:] {
				_, err := s.apply(with(e, func(e *evidence.Event) { e.Actor = p.Principal }))
				allowed := p.Roles.Allow(rule.permission) && p.Principal != "analyst2"
				if !allowed && !is(err, stranger) {
					t.Errorf("%s as %s: %v, want %v", kind, p.Principal, err, stranger)
				}
			}
			// Whose signature a payload needs, the law and the form say alike.
			if _, err := e.Encode(); err != nil {
				t.Errorf("form: %v", err)
			}
			other := identity.Service
			if service {
				other = "examiner1"
			}
			wrong := with(e, func(e *evidence.Event) { e.Actor = other })
			_, form := wrong.Encode()
			_, err := s.apply(wrong)
			if enrols := kind == "person.enrolled"; is(form, fieldErr("actor")) == enrols || is(err, fieldErr("actor")) == enrols {
				t.Errorf("signed by %s: form %v, law %v", other, form, err)
			}

			after := &story{Lab: s.Clone()}
			if err := after.Do(e); err != nil {
				t.Fatal(err)
			}
			again := after.Event(e.Actor, e.Case, e.Body)
			again.OnBehalfOf = e.OnBehalfOf
			if _, err := after.apply(again); !is(err, rule.again) {
				t.Errorf("again: %v, want %v", err, rule.again)
			}
		})
	}
}

func with(e evidence.Event, change func(*evidence.Event)) evidence.Event {
	change(&e)
	return e
}

func empty(ch evidence.Changes) bool {
	return len(ch.People)+len(ch.Cases)+len(ch.Exhibits)+len(ch.Intakes)+len(ch.Copies)+len(ch.Findings)+len(ch.Erasures) == 0
}

// An actor who has seen the entry that last changed the subject is not stale; one
// who has seen only the entry before is.
func TestStaleByOne(t *testing.T) {
	s := tell(t)
	intake := func(id uuid.UUID) int64 { i, _ := s.Intake(id); return i.Changed }
	holder, _ := s.Case(s.open)
	idle, _ := s.Case(s.idle)
	item, _ := s.Exhibit(s.open, "E-001")
	under, _ := s.Case(s.held)
	person, _ := s.Person("legal1")
	for kind, changed := range map[evidence.Kind]int64{
		"person.revoked": person.Changed, "case.closed": idle.Changed, "exhibit.added": holder.Changed,
		"hold.placed": idle.Changed, "hold.lifted": under.Changed, "payload.erased": holder.Changed,
		"intake.declared": item.Changed, "intake.abandoned": intake(s.pending), "copy.sealed": intake(s.pending),
		"copy.quarantined": intake(s.pending), "copy.requested": s.copied("M1").Changed, "copy.issued": intake(s.requested),
		"copy.returned": s.copied("W1").Changed,
	} {
		e := s.good()[kind]
		chain := s.Chains[e.Case]
		e.Seen = chain[changed]
		if _, err := s.apply(e); err != nil {
			t.Errorf("%s, seen up to its change: %v", kind, err)
		}
		e.Seen = digest.SHA256{}
		if changed > 0 {
			e.Seen = chain[changed-1]
		}
		if _, err := s.apply(e); !errors.Is(err, evidence.ErrStale) {
			t.Errorf("%s, seen up to the entry before: %v, want %v", kind, err, evidence.ErrStale)
		}
	}
}

// fataler is what tests of go test and of rapid have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// marshal gives the whole state as text.
func marshal(t fataler, lab *evidencetest.Lab) string {
	t.Helper()
	state, err := json.Marshal(sorted(lab.All()))
	if err != nil {
		t.Fatal(err)
	}
	return string(state)
}

func sorted(ch evidence.Changes) evidence.Changes {
	order(ch.Cases, func(c evidence.Case) string { return c.ID.String() })
	order(ch.Exhibits, func(x evidence.Exhibit) string { return x.Case.String() + string(x.Label) })
	order(ch.Intakes, func(i evidence.Intake) string { return i.Intake.String() })
	order(ch.Copies, func(c evidence.Copy) string { return c.Case.String() + c.CopyID.String() })
	order(ch.Findings, func(f evidence.Finding) string { return f.Case.String() + string(rune(f.Number)) })
	order(ch.Erasures, func(e evidence.Erasure) string { return e.Leaf.String() })
	return ch
}

func order[N any](nouns []N, key func(N) string) {
	slices.SortFunc(nouns, func(a, b N) int {
		switch ka, kb := key(a), key(b); {
		case ka < kb:
			return -1
		case ka > kb:
			return 1
		}
		return 0
	})
}
