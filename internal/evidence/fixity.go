package evidence

import (
	"fmt"
	"slices"

	"github.com/custodyd/custodyd/internal/digest"
)

// Result is the verdict of re-hashing a copy.
type Result string

// The results of a fixity check.
const (
	Match      Result = "match"
	Mismatch   Result = "mismatch"   // opens a finding
	Unreadable Result = "unreadable" // the store did not give the bytes: no verdict on them
)

// MaxRanges is the greatest number of ranges, or of strays, that an entry lists.
const MaxRanges = 100

// Range is a run of bytes.
type Range struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// FixityChecked is the verdict of re-reading a copy from the store. What could
// not be read says nothing of the content, and what disagrees says all: a copy
// with damage beside an unreadable sector is a mismatch without a hash.
type FixityChecked struct {
	Exhibit         Name           `json:"exhibit"`
	Number          Number         `json:"number"`
	Result          Result         `json:"result"`
	Source          string         `json:"source"`                     // medium, cache or store, as in Facts.ReadSource
	SHA256          *digest.SHA256 `json:"sha256,omitempty"`           // of what was read; absent unless all was
	Damaged         []Range        `json:"damaged,omitempty"`          // what was read, and disagrees
	DamagedTotal    int            `json:"damaged_total,omitempty"`    // how many there are, when the list is cut
	Unreadable      []Range        `json:"unreadable,omitempty"`       // what could not be read
	UnreadableTotal int            `json:"unreadable_total,omitempty"` // how many there are, when the list is cut
	Gone            bool           `json:"gone,omitempty"`             // unreadable because the store has no such object, or one of another size or version
	ListWrong       bool           `json:"list_wrong,omitempty"`       // the midstate list is not the recorded one: a finding of its own
	Detail          string         `json:"detail,omitempty"`           // what the store said, when unreadable
	Finding         int            `json:"finding,omitempty"`          // the finding that blocks the copy from here on
}

func (FixityChecked) kind() Kind { return "fixity.checked" }

func (b FixityChecked) check() error {
	parts := len(b.Damaged) > 0 && len(b.Unreadable) > 0
	switch whole := b.SHA256 != nil; {
	case b.Result == Match && !whole, b.Result == Mismatch && !whole && !parts, b.Result == Unreadable && whole:
		return field("body.sha256", "stands where all bytes were read, and only there")
	case b.Result != Mismatch && len(b.Damaged) > 0:
		return field("body.damaged", "is for a mismatch")
	case b.Result == Match && len(b.Unreadable) > 0:
		return field("body.unreadable", "is not for a match")
	case b.Result != Unreadable && b.Gone:
		return field("body.gone", "is for what is unreadable")
	}
	return all(
		checkCopy(b.Exhibit, b.Number),
		oneOf("body.result", b.Result, Match, Mismatch, Unreadable),
		oneOf("body.source", b.Source, "medium", "cache", "store"),
		checkRanges("body.damaged", b.Damaged, b.DamagedTotal),
		checkRanges("body.unreadable", b.Unreadable, b.UnreadableTotal),
		prose("body.detail", b.Detail, 0, 1000),
	)
}

func checkRanges(name string, ranges []Range, total int) error {
	for i, r := range ranges {
		if r.Offset < 0 || r.Length < 0 || r.Offset > MaxContent || r.Length > MaxContent {
			return field(fmt.Sprintf("%s[%d]", name, i), "is out of range")
		}
	}
	return checkCut(name, len(ranges), total)
}

// checkCut checks a list that is cut after MaxRanges rows, with the number of
// all beside it.
func checkCut(name string, rows, total int) error {
	if rows > MaxRanges {
		return field(name, "has %d rows, want at most %d", rows, MaxRanges)
	}
	if total != 0 && (rows < MaxRanges || total <= rows) || total > maxInteger {
		return field(name+"_total", "is %d, there are %d rows", total, rows)
	}
	return nil
}

func (b FixityChecked) apply(f *frame) error {
	id := CopyID{f.event.Case, b.Exhibit, b.Number}
	c, err := f.Copy(id)
	if err != nil {
		return lookup("copy "+id.String(), err)
	}
	if want, _ := c.Digests.SHA256(); b.SHA256 != nil && (*b.SHA256 == want) != (b.Result == Match) {
		return field("body.result", "%s does not agree with the hash that was read", b.Result)
	}
	what := b.discrepancy()
	switch {
	case what == "" && b.Finding != 0:
		return field("body.finding", "nothing disagrees")
	case what == "":
		return nil
	case slices.Contains(c.Findings, b.Finding):
		return nil // known, open, and blocking already
	}
	holder, err := f.Case(f.event.Case)
	if err != nil {
		return lookup("case", err)
	}
	if b.Finding != holder.Findings+1 || c.Quarantined() {
		err := f.stale("finding %d: %s has %v, the next one is %d", b.Finding, id, c.Findings, holder.Findings+1)
		if !c.Quarantined() {
			err = absent{err}
		}
		return err
	}
	c.Changed = f.at.CaseSeq
	f.finding(holder, c, what)
	return nil
}

// discrepancy says what the finding is; empty: there is none.
func (b FixityChecked) discrepancy() string {
	switch {
	case b.Result == Mismatch:
		return "the content is not what was sealed"
	case b.Gone:
		return "the content is not in the store as it was sealed"
	case b.ListWrong:
		return "the midstate list is not what was sealed"
	}
	return ""
}

// AccessDenied records that somebody asked for what they may not have.
type AccessDenied struct {
	Exhibit   Name      `json:"exhibit"`
	Number    Number    `json:"number"`
	Operation Operation `json:"operation"`
	Reason    string    `json:"reason"`
}

func (AccessDenied) kind() Kind { return "access.denied" }

func (b AccessDenied) check() error {
	return all(
		checkCopy(b.Exhibit, b.Number),
		oneOf("body.operation", b.Operation, Fetch, Export, Verify),
		prose("body.reason", b.Reason, 1, 1000),
	)
}

func (b AccessDenied) apply(f *frame) error {
	if f.event.OnBehalfOf == nil {
		return field("on_behalf_of", "is missing")
	}
	_, err := f.Copy(CopyID{f.event.Case, b.Exhibit, b.Number})
	return lookup("copy "+string(b.Exhibit)+"/"+string(b.Number), err)
}
