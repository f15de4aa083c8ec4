package evidence

import (
	"fmt"

	"github.com/custodyd/custodyd/internal/digest"
)

// ChainEnd is where a chain stood: how many entries, and the leaf hash of the last.
type ChainEnd struct {
	Entries int64         `json:"entries"`
	Head    digest.SHA256 `json:"head"`
}

// CaseExported ends the chain that a bundle holds. It is the newest entry of
// its case in that bundle and states where the chain of the case and that of
// the entries of no case (people and their keys) ended, so that dropped newest
// entries of either show. It also states which payloads the bundle was made without,
// so that one which is dropped later shows as well.
type CaseExported struct {
	Case         ChainEnd   `json:"chain"`
	System       ChainEnd   `json:"system"`
	Contents     []CopyID   `json:"contents,omitempty"`     // working copies whose bytes the bundle holds
	Pseudonymous bool       `json:"pseudonymous,omitempty"` // without the payloads of entries of type keys
	Withheld     []Withheld `json:"withheld,omitempty"`     // by rising entry
}

// Withheld is an entry whose payload a bundle was made without, and why.
type Withheld struct {
	Entry  int64  `json:"entry"` // its number in the ledger
	Reason string `json:"reason"`
}

// MaxWithheld is how many payloads one bundle can be made without, beside those of
// entries of type keys.
const MaxWithheld = 1000

// CanWithhold reports whether the payload of an entry of that type can be left out of a
// bundle by its number. Entries of type keys are left out together or not at all, and
// erasures never: what is erased would look like what was lost.
func CanWithhold(t EntryType) bool { return t == EventEntry || t == SealEntry }

func (CaseExported) kind() Kind { return "case.exported" }

func (b CaseExported) check() error {
	if len(b.Contents) > 200 {
		return field("body.contents", "has %d rows, want at most 200", len(b.Contents))
	}
	for _, id := range b.Contents {
		if err := checkCopy(id.Exhibit, id.Number); err != nil {
			return err
		}
	}
	return CheckWithheld(b.Withheld)
}

// CheckWithheld refuses a list that no export could state: too long, without a reason, or
// not by rising entry.
func CheckWithheld(list []Withheld) error {
	if len(list) > MaxWithheld {
		return field("body.withheld", "has %d rows, want at most %d", len(list), MaxWithheld)
	}
	last := int64(-1)
	for i, w := range list {
		name := fmt.Sprintf("body.withheld[%d]", i)
		if w.Entry <= last || w.Entry > maxInteger {
			return field(name+".entry", "is %d, after %d", w.Entry, last)
		}
		if err := line(name+".reason", w.Reason, 1, 300); err != nil {
			return err
		}
		last = w.Entry
	}
	return nil
}

func (b CaseExported) apply(f *frame) error {
	if f.event.OnBehalfOf == nil {
		return field("on_behalf_of", "is missing")
	}
	system, err := f.Length(CaseID{})
	if err != nil {
		return err
	}
	for _, end := range []struct {
		name string
		of   CaseID
		now  int64
		ChainEnd
	}{
		{"body.chain", f.event.Case, f.at.CaseSeq, b.Case},
		{"body.system", CaseID{}, system, b.System},
	} {
		// An older end would let a revocation be left out of the bundle.
		if end.Entries != end.now {
			return f.stale("%s: there are %d entries now, not %d", end.name, end.now, end.Entries)
		}
		n, err := f.Entry(end.of, end.Head)
		if err != nil {
			return named(end.name+" head", err)
		}
		if n != end.Entries-1 {
			return field(end.name, "head is entry %d of its chain, not %d", n, end.Entries-1)
		}
	}
	if len(b.Contents) > 0 {
		if _, err := f.openCase(); err != nil {
			return err
		}
	}
	for _, id := range b.Contents {
		if id.Case != f.event.Case {
			return field("body.contents", "names a copy of another case")
		}
		if _, err := f.held(id.Exhibit, id.Number, f.event.OnBehalfOf.Principal); err != nil {
			return err
		}
	}
	return nil
}
