package evidence

import (
	"errors"
	"fmt"
	"strings"
)

// MaxRetainDays bounds how long a case may lock its objects: a hundred years.
const MaxRetainDays = 36525

// CaseOpened opens a case. Its id, in the envelope, is drawn at random by the client.
type CaseOpened struct {
	Reference     Name     `json:"reference"`
	Title         string   `json:"title"`
	Jurisdictions []string `json:"jurisdictions,omitempty"`
	RetainDays    int      `json:"retain_days"`
}

func (CaseOpened) kind() Kind { return "case.opened" }

func (b CaseOpened) check() error {
	if _, err := ParseName(string(b.Reference)); err != nil {
		return field("body.reference", "%v", err)
	}
	if len(b.Jurisdictions) > 20 {
		return field("body.jurisdictions", "has %d rows, want at most 20", len(b.Jurisdictions))
	}
	for i, j := range b.Jurisdictions {
		if err := line(fmt.Sprintf("body.jurisdictions[%d]", i), j, 1, 100); err != nil {
			return err
		}
	}
	if b.RetainDays < 1 || b.RetainDays > MaxRetainDays {
		return field("body.retain_days", "is %d, want 1 to %d", b.RetainDays, MaxRetainDays)
	}
	return line("body.title", b.Title, 1, 300)
}

func (b CaseOpened) apply(f *frame) error {
	if f.at.CaseSeq != 0 {
		return named("case "+f.event.Case.String(), ErrExists)
	}
	switch _, err := f.CaseByReference(b.Reference); {
	case err == nil:
		return named("case "+string(b.Reference), ErrExists)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	f.changes.Cases = append(f.changes.Cases, Case{
		ID: f.event.Case, Reference: b.Reference, Title: b.Title, Jurisdictions: b.Jurisdictions,
		RetainDays: b.RetainDays, State: Open, Opened: f.at.Time, OpenedBy: f.event.Actor, Changed: f.at.CaseSeq,
	})
	return nil
}

// CaseClosed ends the work on a case: nothing comes in and no content leaves from
// here on, see the package comment. What is on its way has to end first, or it
// would never be sealed.
type CaseClosed struct {
	Reason string `json:"reason"`
}

func (CaseClosed) kind() Kind { return "case.closed" }

func (b CaseClosed) check() error { return prose("body.reason", b.Reason, 1, 2000) }

func (b CaseClosed) apply(f *frame) error {
	c, err := f.openCase()
	if err != nil {
		return err
	}
	if err := f.fresh(string(c.Reference), c.Changed); err != nil {
		return err
	}
	pending, err := f.Pending(c.ID)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		var ids []string
		for _, i := range pending[:min(len(pending), 10)] {
			ids = append(ids, fmt.Sprintf("%s of %s", i.Intake, i.Exhibit))
		}
		return absent{f.forbid(string(c.Reference), "%d intakes have neither come nor been abandoned: %s", len(pending), strings.Join(ids, ", "))}
	}
	c.State, c.Changed = Closed, f.at.CaseSeq
	f.changes.Cases = append(f.changes.Cases, c)
	return nil
}

// ExhibitDescription says what an original is, where it came from and who saw it taken.
type ExhibitDescription struct {
	Label   Name   `json:"label"`
	Kind    string `json:"kind"`
	Make    string `json:"make,omitempty"`
	Model   string `json:"model,omitempty"`
	Serial  string `json:"serial,omitempty"`
	FoundBy string `json:"found_by"`           // name or principal
	FoundAt string `json:"found_at"`           // place
	FoundOn string `json:"found_on,omitempty"` // when, in the finder's words
	Witness string `json:"witness"`            // name or principal
	Note    string `json:"note,omitempty"`
}

// ExhibitAdded takes an original into custody.
type ExhibitAdded ExhibitDescription

func (ExhibitAdded) kind() Kind { return "exhibit.added" }

func (b ExhibitAdded) check() error {
	if _, err := ParseName(string(b.Label)); err != nil {
		return field("body.label", "%v", err)
	}
	return all(
		oneOf("body.kind", b.Kind, "disk", "device", "medium", "memory", "log", "account", "paper", "other"),
		line("body.make", b.Make, 0, 200),
		line("body.model", b.Model, 0, 200),
		line("body.serial", b.Serial, 0, 200),
		line("body.found_by", b.FoundBy, 1, 200),
		line("body.found_at", b.FoundAt, 1, 300),
		line("body.found_on", b.FoundOn, 0, 100),
		line("body.witness", b.Witness, 1, 200),
		prose("body.note", b.Note, 0, 4000),
	)
}

func (b ExhibitAdded) apply(f *frame) error {
	c, err := f.openCase()
	if err != nil {
		return err
	}
	if err := f.fresh(string(c.Reference), c.Changed); err != nil {
		return err
	}
	return b.add(f)
}

func (b ExhibitAdded) add(f *frame) error {
	// A bundle's files are named after the label, and unpack on any file system.
	switch alike, err := f.Alike(f.event.Case, b.Label); {
	case err == nil:
		return named("exhibit "+string(alike), ErrExists)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	f.changes.Exhibits = append(f.changes.Exhibits, Exhibit{
		Case: f.event.Case, ExhibitDescription: ExhibitDescription(b), Added: f.at.Time, AddedBy: f.event.Actor,
		State: Held, Numbers: map[Class]int{}, Changed: f.at.CaseSeq,
	})
	return nil
}
