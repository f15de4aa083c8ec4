package evidence

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/custodyd/custodyd/internal/digest"
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
// exports and erasures stay what they are.
func Residue(e Event) (Event, error) {
	if EntryTypeOf(e) != EventEntry || e.Case.IsZero() {
		return Event{}, ErrNothingToErase
	}
	body, texts := blank(e.Body)
	if texts == 0 {
		return Event{}, ErrNothingToErase
	}
	e.Body, e.Salt = body, erasedSalt
	return e, nil
}

// blank is the table of what can be erased: it gives the body without its texts, and
// how many those were. A body without a row has none.
func blank(body Body) (Body, int) {
	switch b := body.(type) {
	case CaseOpened:
		b.Jurisdictions = slices.Clone(b.Jurisdictions)
		n := erase(&b.Title)
		for i := range b.Jurisdictions {
			n += erase(&b.Jurisdictions[i])
		}
		return b, n
	case CaseClosed:
		n := erase(&b.Reason)
		return b, n
	case HoldPlaced:
		n := erase(&b.Authority, &b.Reason)
		return b, n
	case HoldLifted:
		n := erase(&b.Authority, &b.Reason)
		return b, n
	case ExhibitAdded:
		n := erase(&b.Make, &b.Model, &b.Serial, &b.FoundBy, &b.FoundAt, &b.FoundOn, &b.Witness, &b.Note)
		return b, n
	case IntakeDeclared:
		a := &b.Acquisition
		n := erase(&b.Title, &a.Tool, &a.Command, &a.Source, &a.WriteBlocker, &a.Witness, &a.Supervisor, &a.Place,
			&a.Started, &a.Ended, &a.Result)
		if a.Log != nil {
			log := *a.Log
			n += erase(&log.Name)
			a.Log = &log
		}
		return b, n
	case IntakeAbandoned:
		n := erase(&b.Reason)
		return b, n
	case CopyRequested:
		n := erase(&b.Purpose)
		return b, n
	case CopyIssued:
		n := erase(&b.Purpose)
		return b, n
	case CopyReturned:
		n := erase(&b.Note)
		return b, n
	case FixityChecked:
		n := erase(&b.Detail)
		return b, n
	case AccessDenied:
		n := erase(&b.Reason)
		return b, n
	}
	return body, 0
}

// erase takes the texts away that there are, and counts them.
func erase(texts ...*string) int {
	n := 0
	for _, t := range texts {
		if *t != "" {
			*t = Erased
			n++
		}
	}
	return n
}

// sameText tells whether two entries say the same, as far as neither was erased.
func sameText(a, b string) bool { return a == b || a == Erased || b == Erased }
