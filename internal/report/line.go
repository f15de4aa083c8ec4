package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// Line is one entry in words. Answers that an entry does not give are empty.
type Line struct {
	Seq     int64         `json:"seq"`
	CaseSeq int64         `json:"case_seq"`
	When    evidence.Time `json:"when"` // the ledger's clock
	Action  evidence.Kind `json:"action"`
	Who     string        `json:"who"`
	What    string        `json:"what"`
	Where   string        `json:"where,omitempty"`
	Why     string        `json:"why,omitempty"`
	Tool    string        `json:"tool"`
	Witness string        `json:"witness,omitempty"`
	Note    string        `json:"note,omitempty"`
	Erased  string        `json:"erased,omitempty"` // by which entry and why, where this is what is left
}

// skew is how far the actor's clock may be from the ledger's without a word about it.
const skew = 2 * time.Minute

// Names tells what a principal is called, "" when that is not known or not to be told.
type Names func(identity.Principal) string

// LineOf puts an entry into words. Every answer is [Plain].
func LineOf(e evidence.Event, seq, caseSeq int64, when evidence.Time, names Names) Line {
	l := Line{Seq: seq, CaseSeq: caseSeq, When: when, Action: e.Kind(), Who: names.call(e.Actor), Tool: e.Tool}
	if e.Actor == identity.Service {
		l.Who = "the service"
	}
	if b := e.OnBehalfOf; b != nil {
		l.Who += fmt.Sprintf(" for %s (by %s)", names.call(b.Principal), b.Method)
	}
	if d := e.At.Time().Sub(when.Time()); d > skew || d < -skew {
		l.Note = fmt.Sprintf("the actor's clock said %s", e.At)
	}
	l.body(e.Body, names)
	for _, answer := range []*string{&l.Who, &l.What, &l.Where, &l.Why, &l.Tool, &l.Witness, &l.Note} {
		*answer = Plain(*answer)
	}
	return l
}

// Without gives the line of an entry that was erased: what it says is what is left.
func (l Line) Without(entry int64, authority, reason string) Line {
	l.Erased = Plain(fmt.Sprintf("[erased] by entry %d on the authority of %s, because: %s", entry, authority, reason))
	return l
}

// call gives a person's name with the principal, or the principal alone.
func (n Names) call(p identity.Principal) string {
	if n != nil {
		if name := n(p); name != "" {
			return fmt.Sprintf("%s (%s)", name, p)
		}
	}
	return string(p)
}

// Sentence says the line as one.
func (l Line) Sentence() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", l.Who, l.What)
	for _, part := range []struct{ word, text string }{
		{", at ", l.Where}, {", witnessed by ", l.Witness}, {", because: ", l.Why}, {"; with ", l.Tool}, {"; ", l.Note}, {"; ", l.Erased},
	} {
		if part.text != "" {
			b.WriteString(part.word + part.text)
		}
	}
	return b.String()
}
