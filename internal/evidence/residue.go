package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// Erased stands where a text was.
const Erased = "[erased]"

// erasedSalt stands where the salt was: with the salt, whoever guesses the text could
// see from the hash in the envelope that the guess is right.
var erasedSalt = digest.SHA256(sha256.Sum256([]byte(Erased)))

// ErrNothingToErase: the event holds no text that erasing would take away.
var ErrNothingToErase = errors.New("there is nothing to erase in it")

// Residue gives what stays of an event that is erased: the event with [Erased] for
// every text in its body that somebody wrote about people or content, and with another
// salt. What the state is folded from stays: ids, references, labels and numbers,
// principals, sizes, digests, objects, times of the clocks. The residue of a residue is
// the same. ErrNothingToErase, where there is no text, or none can be erased: people,
// exports and erasures stay what they are, and so does what the service records, whose
// words are its own.
func Residue(e Event) (Event, error) {
	if EntryTypeOf(e) != EventEntry || e.Case.IsZero() || e.Actor == identity.Service {
		return Event{}, ErrNothingToErase
	}
	found := 0
	e.Body = texts(e.Body, func(t *string) {
		*t = Erased
		found++
	})
	if found == 0 {
		return Event{}, ErrNothingToErase
	}
	e.Salt = erasedSalt
	return e, nil
}

// texts is the table of what can be erased: it visits the texts that there are in a copy of
// the body, and gives that. A body without a row has none.
func texts(body Body, visit func(*string)) Body {
	each := func(texts ...*string) {
		for _, t := range texts {
			if *t != "" {
				visit(t)
			}
		}
	}
	switch b := body.(type) {
	case CaseOpened:
		b.Jurisdictions = slices.Clone(b.Jurisdictions)
		each(&b.Title)
		for i := range b.Jurisdictions {
			each(&b.Jurisdictions[i])
		}
		return b
	case CaseClosed:
		each(&b.Reason)
		return b
	case HoldPlaced:
		each(&b.Authority, &b.Reason)
		return b
	case HoldLifted:
		each(&b.Authority, &b.Reason)
		return b
	case ExhibitAdded:
		each(&b.Make, &b.Model, &b.Serial, &b.FoundBy, &b.FoundAt, &b.FoundOn, &b.Witness, &b.Note)
		return b
	case IntakeDeclared:
		a := &b.Acquisition
		each(&b.Title, &a.Tool, &a.Command, &a.Source, &a.WriteBlocker, &a.Witness, &a.Supervisor, &a.Place,
			&a.Started, &a.Ended, &a.Result)
		if a.Log != nil {
			log := *a.Log
			each(&log.Name)
			a.Log = &log
		}
		return b
	case IntakeAbandoned:
		each(&b.Reason)
		return b
	case CopyRequested:
		each(&b.Purpose)
		return b
	case CopyIssued:
		each(&b.Purpose)
		return b
	case CopyReturned:
		each(&b.Note)
		return b
	}
	return body
}

// IsErased reports whether an event is what erasing left of one. Nothing that is recorded
// is like that.
func (e Event) IsErased() bool { return e.Salt == erasedSalt }

// genuine refuses an event that is partly like what erasing leaves: [Erased] for a text and
// the salt stand in a residue, both, and nowhere else.
func (e Event) genuine(payload []byte) error {
	if e.IsErased() {
		if err := IsResidue(e); err != nil {
			return field("salt", "is that of what was erased: %v", err)
		}
		return nil
	}
	if !bytes.Contains(payload, []byte(`"`+Erased+`"`)) {
		return nil
	}
	typed := false
	texts(e.Body, func(t *string) { typed = typed || *t == Erased })
	if typed {
		return field("body", "has the text %s, which stands for what was erased", Erased)
	}
	return nil
}

// sameText tells whether the event says the same as an earlier one, as far as neither was erased.
func (f *frame) sameText(own, earlier string) bool {
	return own == earlier || earlier == Erased || own == Erased && f.event.IsErased()
}
