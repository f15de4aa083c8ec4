package evidence

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/custodyd/custodyd/internal/digest"
)

// absent marks what the law says against an event, if an event that the view does not know
// can be what is missing: it would have brought the noun, or have changed it so that this
// one may follow. What is not marked no event could have allowed.
type absent struct{ error }

func (e absent) Unwrap() error { return e.error }

// Absent reports whether an event before this one, of which the view does not know, can be
// the reason why [Apply] forbids it. Nothing ends an intake, a copy or a finding but to
// leave it so, nobody's permission is of a case, and a label or a number is given once: who
// builds on the contrary breaks the law, whatever else happened.
func Absent(err error) bool { return errors.As(err, new(absent)) }

// Stated gives the nouns as an event states them itself, for a replay in which [Apply] says
// [Absent]: what was signed is then all there is. It asks everything of the law that can be
// asked on what is known, and replaces no noun that is: where that forbids the event, the
// error is one as of Apply. Events that state no noun change nothing.
func Stated(v View, e Event, at Position) (Changes, error) {
	f := &frame{View: v, event: e, at: at, seen: -1}
	if err := f.admit(); err != nil {
		return Changes{}, err
	}
	if err := f.look(); err != nil {
		return Changes{}, err
	}
	if err := f.state(); err != nil {
		return Changes{}, err
	}
	return f.changes, nil
}

func (f *frame) state() error {
	switch b := f.event.Body.(type) {
	case CaseClosed:
		if c, err := f.Case(f.event.Case); err == nil {
			c.State, c.Changed = Closed, f.at.CaseSeq
			f.changes.Cases = append(f.changes.Cases, c)
		}
	case HoldPlaced:
		if c, err := f.Case(f.event.Case); err == nil { // one of the name was lifted
			c.Holds = slices.DeleteFunc(slices.Clone(c.Holds), func(h Hold) bool { return h.Name == b.Name })
			b.place(f, c)
		}
	case PayloadErased:
		b.erase(f)
	case ExhibitAdded:
		return b.add(f)
	case IntakeDeclared:
		return f.declare(Case{ID: f.event.Case}, IntakeDeclaration{
			Intake: b.Intake, Exhibit: b.Exhibit, Class: Master, Title: b.Title, Size: b.Size, Files: b.Files,
			Declared: b.Declared, Acquisition: &b.Acquisition,
		})
	case CopyRequested:
		master, err := f.releasable(CopyID{f.event.Case, b.Exhibit, b.Of})
		if err := firm(err, f.mayHold(b.To)); err != nil {
			return err
		}
		return f.declare(Case{ID: f.event.Case}, IntakeDeclaration{
			Intake: b.Intake, Exhibit: b.Exhibit, Class: Working, Title: master.Title, Size: master.Size, Of: b.Of, To: b.To, Purpose: b.Purpose,
		})
	case CopySealed:
		return b.state(f)
	case CopyIssued:
		return b.state(f)
	case CopyQuarantined:
		return b.state(f)
	case FixityChecked:
		return b.state(f)
	case ContentRead:
		return firm(b.read(f))
	case CaseExported:
		for _, id := range b.Contents {
			if _, err := f.held(id.Exhibit, id.Number, f.event.OnBehalfOf.Principal); firm(err) != nil {
				return err
			}
		}
	}
	return nil
}

// firm gives the first error that is not of something absent.
func firm(errs ...error) error {
	for _, err := range errs {
		if err != nil && !Absent(err) {
			return err
		}
	}
	return nil
}

func (b CopySealed) state(f *frame) error {
	i, known, err := f.intakeOf(b.Facts, Binding{})
	if err := firm(err, b.follows(f, i)); err != nil {
		return err
	}
	copied, err := f.stateCopy(b.Facts, i, known, i.Declared, Sealed)
	f.changes.Copies = append(f.changes.Copies, copied)
	return err
}

func (b CopyIssued) state(f *frame) error {
	i, known, err := f.intakeOf(b.Facts, b.Binding)
	if err := firm(err, b.follows(f, i)); err != nil {
		return err
	}
	master, err := f.releasable(CopyID{f.event.Case, i.Exhibit, i.Of})
	if err := firm(err, f.mayHold(i.To)); err != nil {
		return err
	}
	if err != nil {
		i.Size = b.Size // nobody knew it when the copy was requested
	}
	copied, err := f.stateCopy(b.Facts, i, known, master.Digests, Issued)
	f.changes.Copies = append(f.changes.Copies, copied)
	return err
}

func (b CopyQuarantined) state(f *frame) error {
	i, known, err := f.intakeOf(b.Facts, Binding{})
	if err := firm(err); err != nil {
		return err
	}
	expected, err := f.expected(i)
	if err != nil {
		i.Size = b.Size
	}
	what, errWhat := b.discrepancy(f, i)
	if err := firm(err, errWhat); err != nil {
		return err
	}
	if c, err := f.Case(f.event.Case); err == nil && b.Finding <= c.Findings {
		return f.stale("finding %d: the next one is %d", b.Finding, c.Findings+1)
	}
	copied, err := f.stateCopy(b.Facts, i, known, expected, Quarantined)
	if err != nil {
		return err
	}
	return f.stateFinding(b.Finding, copied, what)
}

func (b FixityChecked) state(f *frame) error {
	c, err := f.Copy(CopyID{f.event.Case, b.Exhibit, b.Number})
	what := b.discrepancy()
	known, unknown := f.Finding(f.event.Case, b.Finding)
	if what == "" || unknown == nil && known.Exhibit == b.Exhibit && known.Copy == b.Number {
		return nil
	}
	if err == nil {
		c.Changed = f.at.CaseSeq
		return f.stateFinding(b.Finding, c, what)
	}
	err = f.stateFinding(b.Finding, Copy{CopyID: CopyID{f.event.Case, b.Exhibit, b.Number}}, what)
	f.changes.Copies = nil
	return err
}

// stateFinding opens a finding by its number. It can be one that is older than others.
func (f *frame) stateFinding(number int, copied Copy, what string) error {
	if _, err := f.Finding(f.event.Case, number); err == nil || copied.Quarantined() {
		return f.stale("finding %d: %s has %v", number, copied.CopyID, copied.Findings)
	}
	c, err := f.Case(f.event.Case)
	if err != nil {
		c = Case{ID: f.event.Case}
	}
	newest := max(c.Findings, number)
	c.Findings = number - 1
	f.finding(c, copied, what)
	f.changes.Cases[0].Findings = newest
	if err != nil {
		f.changes.Cases = nil
	}
	return nil
}

// intakeOf gives the intake of a copy if it is on its way, and otherwise what the copy
// states of it.
func (f *frame) intakeOf(b Facts, binding Binding) (i Intake, known bool, err error) {
	i, err = f.pending(b.Intake)
	if !Absent(err) {
		return i, err == nil, err
	}
	return Intake{Case: f.event.Case, By: f.event.Actor, IntakeDeclaration: IntakeDeclaration{
		Intake: b.Intake, Exhibit: b.Exhibit, Class: b.Number.Class(), Files: MaxFiles, Of: binding.Of, To: binding.To, Purpose: binding.Purpose,
	}}, false, nil
}

// stateCopy gives a copy by its facts, and what its intake says of it where that is known.
func (f *frame) stateCopy(b Facts, i Intake, known bool, expected digest.Set, state State) (Copy, error) {
	if _, err := f.Copy(CopyID{i.Case, b.Exhibit, b.Number}); err == nil {
		return Copy{}, named("copy "+string(b.Exhibit)+"/"+string(b.Number), ErrExists)
	}
	if known {
		c, err := f.Case(f.event.Case)
		if err != nil {
			c = Case{} // of which no lock is too short
		}
		if err := f.whole(b, i, c, expected); err != nil {
			return Copy{}, err
		}
	}
	x, err := f.Exhibit(f.event.Case, b.Exhibit)
	there := err == nil
	if !there {
		x.Numbers = map[Class]int{}
	} else {
		if err := firm(f.next(b, i, x)); err != nil {
			return Copy{}, err
		}
	}
	copied := f.deposit(b, i, x, state)
	if !known {
		f.changes.Intakes = nil
	}
	f.changes.Exhibits = nil
	if n, err := strconv.Atoi(string(b.Number[1:])); there && err == nil {
		x.Numbers = maps.Clone(x.Numbers)
		x.Numbers[i.Class] = n
		f.changes.Exhibits = append(f.changes.Exhibits, x)
	}
	return copied, nil
}
