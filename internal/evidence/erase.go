package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// Erasure says that the payload of an entry was taken away, and what stays of it.
type Erasure struct {
	Case      CaseID             `json:"case"`
	Entry     int64              `json:"entry"` // number in the ledger of what was erased
	Leaf      digest.SHA256      `json:"leaf"`  // its leaf hash
	By        identity.Principal `json:"by"`
	At        Time               `json:"at"` // the ledger's clock
	Authority string             `json:"authority"`
	Reason    string             `json:"reason"`
	Residue   string             `json:"residue"` // what stands in the payload's place
	Changed   int64              `json:"changed"` // place in its case of the entry that erased it
}

// PayloadErased takes the payload of an entry of the same case away. What it leaves,
// [Residue], is part of it: with that in the erased entry's place a replay comes to
// the same state as before.
type PayloadErased struct {
	Entry     int64           `json:"entry"`     // number in the ledger of the entry
	Leaf      digest.SHA256   `json:"leaf"`      // its leaf hash
	Authority string          `json:"authority"` // who demands it, such as a court, and by which order
	Reason    string          `json:"reason"`
	Residue   json.RawMessage `json:"residue"` // a payload; an object in this one
}

func (PayloadErased) kind() Kind { return "payload.erased" }

func (b PayloadErased) check() error {
	if b.Entry < 0 || b.Entry > maxInteger {
		return field("body.entry", "is out of range")
	}
	if _, err := b.Left(); err != nil {
		return err
	}
	return all(line("body.authority", b.Authority, 1, 500), prose("body.reason", b.Reason, 1, 2000))
}

// Left gives what stays of the event that is erased. A FieldError, where it is not a
// residue.
func (b PayloadErased) Left() (Event, error) {
	left, err := Parse(b.Residue)
	if err != nil {
		return Event{}, field("body.residue", "%v", err)
	}
	if err := IsResidue(left); err != nil {
		return Event{}, field("body.residue", "%v", err)
	}
	return left, nil
}

// IsResidue refuses an event of which erasing would leave something else.
func IsResidue(e Event) error {
	left, err := Residue(e)
	if err != nil {
		return err
	}
	got, err := e.encode()
	if err != nil {
		return err
	}
	want, err := left.encode()
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("it still holds what was to be erased")
	}
	return err
}

func (b PayloadErased) apply(f *frame) error {
	left, err := b.Left()
	if err != nil {
		return err
	}
	if left.Case != f.event.Case || left.Log != f.event.Log {
		return field("body.residue", "is of another case or ledger")
	}
	entry := fmt.Sprintf("entry %d", b.Entry)
	if _, err := f.Entry(f.event.Case, b.Leaf); err != nil {
		return named(entry, err)
	}
	switch erased, err := f.erased(f.event.Case, b.Leaf); {
	case err != nil:
		return err
	case erased:
		return f.forbid(entry, "it is erased already")
	}
	c, err := f.heldCase()
	if err != nil {
		return err
	}
	if len(c.Holds) > 0 {
		return absent{fmt.Errorf("%s: %w %s, on the authority of: %s", c.Reference, ErrHeld, c.Holds[0].Name, c.Holds[0].Authority)}
	}
	b.erase(f)
	return f.forget(c, left.Body)
}

func (b PayloadErased) erase(f *frame) {
	f.changes.Erasures = append(f.changes.Erasures, Erasure{
		Case: f.event.Case, Entry: b.Entry, Leaf: b.Leaf, By: f.event.Actor, At: f.at.Time, Authority: b.Authority,
		Reason: b.Reason, Residue: string(b.Residue), Changed: f.at.CaseSeq,
	})
}

// erased tells whether an entry's payload was erased.
func (f *frame) erased(c CaseID, leaf digest.SHA256) (bool, error) {
	switch _, err := f.Erasure(c, leaf); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrNotFound):
		return false, nil
	default:
		return false, err
	}
}

// forget takes the texts of an event from the nouns that it made. Their state does not
// change, so neither does Changed.
func (f *frame) forget(c Case, left Body) error {
	switch b := left.(type) {
	case CaseOpened:
		c.Title, c.Jurisdictions = b.Title, b.Jurisdictions
		f.changes.Cases = append(f.changes.Cases, c)
	case ExhibitAdded:
		x, err := f.Exhibit(c.ID, b.Label)
		if err != nil {
			return named("exhibit "+string(b.Label), err)
		}
		x.ExhibitDescription = ExhibitDescription(b)
		f.changes.Exhibits = append(f.changes.Exhibits, x)
	case IntakeDeclared:
		return f.forgetIntake(c.ID, b.Intake, func(i *Intake) { i.Title, i.Acquisition = b.Title, &b.Acquisition },
			func(copied *Copy) { copied.Title = b.Title })
	case IntakeAbandoned:
		return f.forgetIntake(c.ID, b.Intake, func(i *Intake) { i.Reason = b.Reason }, nil)
	case CopyRequested:
		// What is issued repeats the purpose, and nobody may sign what was erased.
		if i, err := f.Intake(b.Intake); err == nil && i.State == Declared {
			return f.forbid("intake "+b.Intake.String(), "its working copy is being made: erase it when that was issued or abandoned")
		}
		return f.forgetIntake(c.ID, b.Intake, func(i *Intake) { i.Purpose = b.Purpose },
			func(copied *Copy) { copied.Purpose = b.Purpose })
	}
	return nil
}

// forgetIntake changes an intake and the copy that came of it. What was made of that
// copy is called like it, and is forgotten with it.
func (f *frame) forgetIntake(c CaseID, id uuid.UUID, intake func(*Intake), copied func(*Copy)) error {
	i, err := f.Intake(id)
	if err != nil {
		return named("intake "+id.String(), err)
	}
	if i.Case != c {
		return named("intake "+id.String(), ErrNotFound)
	}
	intake(&i)
	f.changes.Intakes = append(f.changes.Intakes, i)
	if copied == nil {
		return nil
	}
	copies, err := f.Copies(c)
	if err != nil {
		return err
	}
	var source Number // the master that came of the intake
	for _, one := range copies {
		if one.Intake == id {
			copied(&one)
			f.changes.Copies = append(f.changes.Copies, one)
			if one.Class == Master {
				source = one.Number
			}
		}
	}
	if source == "" {
		return nil
	}
	for _, one := range copies {
		if one.Exhibit == i.Exhibit && one.Of == source {
			one.Title = i.Title
			f.changes.Copies = append(f.changes.Copies, one)
		}
	}
	intakes, err := f.Intakes(c)
	if err != nil {
		return err
	}
	for _, one := range intakes {
		if one.Exhibit == i.Exhibit && one.Of == source {
			one.Title = i.Title
			f.changes.Intakes = append(f.changes.Intakes, one)
		}
	}
	return nil
}
