package custody

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// withholding is what a bundle is made without. What was sealed with a copy stays with
// the entries that speak of it: without its sealing nothing of it is there, and without
// its declaration neither the tool's log nor the list of files, which repeat what was
// declared.
type withholding struct {
	people   bool                // the payloads of entries of type keys
	stated   []evidence.Withheld // by rising entry
	entries  map[int64]bool
	copies   map[evidence.CopyID]int64 // and the entry that sealed it
	declared map[uuid.UUID]bool        // intakes
}

// withhold resolves what is to be left out of a bundle of that case. An entry that is not
// in the bundle, or that cannot be left out, is a FieldError.
func withhold(tx *database.Tx, of evidence.CaseID, o ExportOptions) (withholding, error) {
	w := withholding{
		people: o.Pseudonymous, stated: slices.Clone(o.Withheld), entries: map[int64]bool{},
		copies: map[evidence.CopyID]int64{}, declared: map[uuid.UUID]bool{},
	}
	slices.SortFunc(w.stated, func(x, y evidence.Withheld) int { return cmp.Compare(x.Entry, y.Entry) })
	if err := evidence.CheckWithheld(w.stated); err != nil {
		return withholding{}, err
	}
	for _, stated := range w.stated {
		w.entries[stated.Entry] = true
		if err := w.entry(tx, of, stated.Entry); err != nil {
			return withholding{}, err
		}
	}
	return w, nil
}

func withheldError(format string, args ...any) error {
	return &evidence.FieldError{Field: "withheld", Problem: fmt.Sprintf(format, args...)}
}

func (w *withholding) entry(tx *database.Tx, of evidence.CaseID, seq int64) error {
	e, err := tx.EntryAt(seq)
	if errors.Is(err, evidence.ErrNotFound) || err == nil && !e.Case.IsZero() && e.Case != ledger.CaseID(of) {
		return withheldError("names entry %d, which is not of this case", seq)
	}
	if err != nil {
		return err
	}
	standing, err := intact(tx, tx.Hashes(), e)
	if err != nil {
		return err
	}
	switch kind := evidence.EntryType(standing[0].Type); {
	case kind == evidence.KeysEntry:
		return withheldError("names entry %d, which says who somebody is: export pseudonymously instead", seq)
	case !evidence.CanWithhold(kind):
		return withheldError("names entry %d, of type %s, which cannot be withheld", seq, kind)
	}
	if e.Erased {
		return withheldError("names entry %d, which is erased: what it said is gone", seq)
	}
	event, err := evidence.Parse(e.Payload)
	if err != nil {
		return fmt.Errorf("entry %d: %w", seq, err)
	}
	subject := evidence.SubjectOf(event)
	switch event.Body.(type) {
	case evidence.IntakeDeclared:
		w.declared[subject.Intake] = true
	case evidence.CopySealed, evidence.CopyQuarantined, evidence.CopyIssued:
		w.copies[evidence.CopyID{Case: of, Exhibit: subject.Exhibit, Number: subject.Number}] = seq
	}
	return nil
}

// leaves reports whether an entry's payload is left out.
func (w *withholding) leaves(seq int64, t ledger.Type) bool {
	return w.entries[seq] || w.people && t == ledger.Keys
}

// leavesObject reports whether an object of a copy is left out.
func (w *withholding) leavesObject(c evidence.Copy, role evidence.Role) bool {
	if _, sealing := w.copies[c.CopyID]; sealing {
		return true
	}
	return w.declared[c.Intake] && (role == evidence.Files || role == evidence.ToolLog)
}

// contents refuses copies whose bytes nobody could compare with anything.
func (w *withholding) contents(paths []evidence.Path) error {
	for id, seq := range w.copies {
		for _, p := range paths {
			if p.Exhibit == id.Exhibit && p.Copy == id.Number {
				return withheldError("names entry %d, without which the bytes of %s cannot be checked", seq, p)
			}
		}
	}
	return nil
}
