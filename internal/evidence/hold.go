package evidence

import (
	"slices"

	"github.com/custodyd/custodyd/internal/identity"
)

// MaxHolds is how many holds a case can be under at a time.
const MaxHolds = 50

// Hold is a legal hold: for as long as a case is under one, nothing of it is erased.
type Hold struct {
	Name      Name               `json:"name"`
	Authority string             `json:"authority"` // who demands it, such as a court, and by which order
	Reason    string             `json:"reason"`
	Placed    Time               `json:"placed"`
	PlacedBy  identity.Principal `json:"placed_by"`
}

// HoldPlaced puts a case, open or closed, under one more hold.
type HoldPlaced struct {
	Name      Name   `json:"name"` // no other hold that the case is under has it
	Authority string `json:"authority"`
	Reason    string `json:"reason"`
}

func (HoldPlaced) kind() Kind { return "hold.placed" }

func (b HoldPlaced) check() error { return checkHold(b.Name, b.Authority, b.Reason) }

func checkHold(name Name, authority, reason string) error {
	if _, err := ParseName(string(name)); err != nil {
		return field("body.name", "%v", err)
	}
	return all(line("body.authority", authority, 1, 500), prose("body.reason", reason, 1, 2000))
}

func (b HoldPlaced) apply(f *frame) error {
	c, err := f.heldCase()
	if err != nil {
		return err
	}
	switch {
	case c.hold(b.Name) >= 0:
		return absent{named("hold "+string(b.Name), ErrExists)} // it can have been lifted
	case len(c.Holds) >= MaxHolds:
		return absent{f.forbid(string(c.Reference), "it is under %d holds already", len(c.Holds))}
	}
	b.place(f, c)
	return nil
}

func (b HoldPlaced) place(f *frame, c Case) {
	c.Holds = append(slices.Clone(c.Holds), Hold{
		Name: b.Name, Authority: b.Authority, Reason: b.Reason, Placed: f.at.Time, PlacedBy: f.event.Actor,
	})
	c.Changed = f.at.CaseSeq
	f.changes.Cases = append(f.changes.Cases, c)
}

// HoldLifted ends a hold. The others stay.
type HoldLifted struct {
	Name      Name   `json:"name"`
	Authority string `json:"authority"` // who allows it
	Reason    string `json:"reason"`
}

func (HoldLifted) kind() Kind { return "hold.lifted" }

func (b HoldLifted) check() error { return checkHold(b.Name, b.Authority, b.Reason) }

func (b HoldLifted) apply(f *frame) error {
	c, err := f.heldCase()
	if err != nil {
		return err
	}
	i := c.hold(b.Name)
	if i < 0 {
		return lookup("hold "+string(b.Name), ErrNotFound)
	}
	c.Holds = slices.Delete(slices.Clone(c.Holds), i, i+1)
	if len(c.Holds) == 0 {
		c.Holds = nil // as one that never was under any
	}
	c.Changed = f.at.CaseSeq
	f.changes.Cases = append(f.changes.Cases, c)
	return nil
}

// heldCase gives the event's case, open or closed, if the actor had seen it as it is.
func (f *frame) heldCase() (Case, error) {
	c, err := f.Case(f.event.Case)
	if err != nil {
		return Case{}, lookup("case", err)
	}
	return c, f.fresh(string(c.Reference), c.Changed)
}

// hold finds a hold that the case is under; -1, if there is none of the name.
func (c Case) hold(name Name) int {
	return slices.IndexFunc(c.Holds, func(h Hold) bool { return h.Name == name })
}
