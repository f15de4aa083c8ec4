package evidence

import (
	"maps"
	"strconv"
)

// Stated gives the nouns as an event states them itself, for a replay that cannot ask
// [Apply] because events before this one are not known: what was signed is then all there
// is. It judges nothing. Events that state no noun change nothing.
func Stated(v View, e Event, at Position) Changes {
	f := &frame{View: v, event: e, at: at}
	switch b := e.Body.(type) {
	case CaseClosed:
		if c, err := v.Case(e.Case); err == nil {
			c.State, c.Changed = Closed, at.CaseSeq
			f.changes.Cases = append(f.changes.Cases, c)
		}
	case ExhibitAdded:
		f.changes.Exhibits = append(f.changes.Exhibits, Exhibit{
			Case: e.Case, ExhibitDescription: ExhibitDescription(b), Added: at.Time, AddedBy: e.Actor,
			State: Held, Numbers: map[Class]int{}, Changed: at.CaseSeq,
		})
	case IntakeDeclared:
		f.stateIntake(IntakeDeclaration{
			Intake: b.Intake, Exhibit: b.Exhibit, Class: Master, Title: b.Title, Size: b.Size, Files: b.Files,
			Declared: b.Declared, Acquisition: &b.Acquisition,
		})
	case CopyRequested:
		f.stateIntake(IntakeDeclaration{
			Intake: b.Intake, Exhibit: b.Exhibit, Class: Working, Of: b.Of, To: b.To, Purpose: b.Purpose,
		})
	case CopySealed:
		f.changes.Copies = append(f.changes.Copies, f.stateCopy(b.Facts, Binding{}, Sealed))
	case CopyIssued:
		f.changes.Copies = append(f.changes.Copies, f.stateCopy(b.Facts, b.Binding, Issued))
	case CopyQuarantined:
		c, err := v.Case(e.Case)
		if err != nil {
			c = Case{ID: e.Case}
		}
		c.Findings = b.Finding - 1
		f.finding(c, f.stateCopy(b.Facts, Binding{}, Quarantined), "it was quarantined")
		if err != nil {
			f.changes.Cases = nil
		}
	}
	return f.changes
}

func (f *frame) stateIntake(d IntakeDeclaration) {
	f.changes.Intakes = append(f.changes.Intakes, Intake{
		Case: f.event.Case, IntakeDeclaration: d, State: Declared, DeclaredAt: f.at.Time, By: f.event.Actor, Changed: f.at.CaseSeq,
	})
}

// stateCopy gives a copy by its facts, and what its intake says of it where that is known.
func (f *frame) stateCopy(b Facts, binding Binding, state State) Copy {
	i, err := f.Intake(b.Intake)
	known := err == nil && i.Case == f.event.Case && i.Exhibit == b.Exhibit && i.Class == b.Number.Class()
	if !known {
		i = Intake{Case: f.event.Case, By: f.event.Actor, IntakeDeclaration: IntakeDeclaration{
			Intake: b.Intake, Exhibit: b.Exhibit, Class: b.Number.Class(), Of: binding.Of, To: binding.To, Purpose: binding.Purpose,
		}}
	}
	x, err := f.Exhibit(f.event.Case, b.Exhibit)
	if err != nil {
		x.Numbers = map[Class]int{}
	}
	c := f.deposit(b, i, x, state)
	if !known {
		f.changes.Intakes = nil
	}
	f.changes.Exhibits = nil
	if n, errNumber := strconv.Atoi(string(b.Number[1:])); err == nil && errNumber == nil {
		x.Numbers = maps.Clone(x.Numbers)
		x.Numbers[i.Class] = max(x.Numbers[i.Class], n)
		f.changes.Exhibits = append(f.changes.Exhibits, x)
	}
	return c
}
