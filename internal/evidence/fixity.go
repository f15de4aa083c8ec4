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

// MaxRanges is the greatest number of damaged ranges an entry lists.
const MaxRanges = 100

// Range is a run of bytes.
type Range struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// FixityChecked is the verdict of re-reading a copy from the store.
type FixityChecked struct {
	Exhibit      Name           `json:"exhibit"`
	Number       Number         `json:"number"`
	Result       Result         `json:"result"`
	Source       string         `json:"source"`                  // medium, cache or store, as in Facts.ReadSource
	SHA256       *digest.SHA256 `json:"sha256,omitempty"`        // of what was read; absent when unreadable
	Damaged      []Range        `json:"damaged,omitempty"`       // where it disagrees, or could not be read
	DamagedTotal int            `json:"damaged_total,omitempty"` // how many ranges there are, when the list is cut
	ListWrong    bool           `json:"list_wrong,omitempty"`    // the midstate list is not the recorded one: a finding of its own
	Detail       string         `json:"detail,omitempty"`        // what the store said, when unreadable
	Finding      int            `json:"finding,omitempty"`       // the finding that blocks the copy from here on
}

func (FixityChecked) kind() Kind { return "fixity.checked" }

func (b FixityChecked) check() error {
	if len(b.Damaged) > MaxRanges {
		return field("body.damaged", "has %d rows, want at most %d", len(b.Damaged), MaxRanges)
	}
	for i, r := range b.Damaged {
		if r.Offset < 0 || r.Length < 0 || r.Offset > MaxContent || r.Length > MaxContent {
			return field(fmt.Sprintf("body.damaged[%d]", i), "is out of range")
		}
	}
	if b.DamagedTotal != 0 && b.DamagedTotal <= len(b.Damaged) || b.DamagedTotal > maxInteger {
		return field("body.damaged_total", "is %d, there are %d rows", b.DamagedTotal, len(b.Damaged))
	}
	if (b.SHA256 == nil) != (b.Result == Unreadable) {
		return field("body.sha256", "stands where all bytes were read, and only there")
	}
	return all(
		checkCopy(b.Exhibit, b.Number),
		oneOf("body.result", b.Result, Match, Mismatch, Unreadable),
		oneOf("body.source", b.Source, "medium", "cache", "store"),
		prose("body.detail", b.Detail, 0, 1000),
	)
}

func (b FixityChecked) apply(f *frame) error {
	id := CopyID{f.event.Case, b.Exhibit, b.Number}
	c, err := f.Copy(id)
	if err != nil {
		return named("copy "+id.String(), err)
	}
	if want, _ := c.Digests.SHA256(); b.SHA256 != nil && (*b.SHA256 == want) != (b.Result == Match) {
		return field("body.result", "%s does not agree with the hash that was read", b.Result)
	}
	discrepancy := b.Result == Mismatch || b.ListWrong
	switch {
	case !discrepancy && b.Finding != 0:
		return field("body.finding", "nothing disagrees")
	case !discrepancy:
		return nil
	case slices.Contains(c.Findings, b.Finding):
		return nil // known, open, and blocking already
	}
	holder, err := f.Case(f.event.Case)
	if err != nil {
		return named("case", err)
	}
	if b.Finding != holder.Findings+1 || c.Quarantined() {
		return f.stale("finding %d: %s has %v, the next one is %d", b.Finding, id, c.Findings, holder.Findings+1)
	}
	what := "the content is not what was sealed"
	if b.Result != Mismatch {
		what = "the midstate list is not what was sealed"
	}
	c.Changed = f.at.CaseSeq
	f.finding(holder, c, what)
	return nil
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
	return named("copy "+string(b.Exhibit)+"/"+string(b.Number), err)
}
