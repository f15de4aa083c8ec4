package evidence

import (
	"fmt"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/digest"
)

// CopySealed takes a master copy into custody: three equal hashes, locked objects.
type CopySealed struct {
	Facts
}

func (CopySealed) kind() Kind { return "copy.sealed" }

func (b CopySealed) apply(f *frame) error {
	c, err := f.openCase()
	if err != nil {
		return err
	}
	i, err := f.pending(b.Intake)
	if err != nil {
		return err
	}
	if err := b.follows(f, i); err != nil {
		return err
	}
	x, err := f.complete(b.Facts, i, c, i.Declared)
	if err != nil {
		return err
	}
	f.changes.Copies = append(f.changes.Copies, f.deposit(b.Facts, i, x, Sealed))
	return nil
}

// follows checks that whoever seals has declared it, and that the digests agree.
func (b CopySealed) follows(f *frame, i Intake) error {
	if i.Class != Master {
		return f.forbid("intake "+i.Intake.String(), "a %s copy is not sealed", i.Class)
	}
	if i.By != f.event.Actor {
		return f.forbid("intake "+i.Intake.String(), "only %s, who declared it, may seal it", i.By)
	}
	return b.agree()
}

// CopyQuarantined takes a copy into custody whose hashes differ, or a set whose
// bytes are not those of its list: it keeps its objects and number, and a finding
// blocks its release.
type CopyQuarantined struct {
	Facts
	Differed    []digest.Algorithm `json:"differed"`               // "[]" when only strays are to blame
	Strays      []Stray            `json:"strays,omitempty"`       // by rising line
	StraysTotal int                `json:"strays_total,omitempty"` // how many there are, when the list is cut
	Finding     int                `json:"finding"`
}

// Stray is a file of a set that is not what the list says. Its path stands in the
// sealed list alone, beside the hash it should have had.
type Stray struct {
	Line   int           `json:"line"`   // in the list, from 1
	SHA256 digest.SHA256 `json:"sha256"` // of the bytes at its place in the content
}

func (CopyQuarantined) kind() Kind { return "copy.quarantined" }

func (b CopyQuarantined) check() error {
	if b.Differed == nil {
		return field("body.differed", "is missing")
	}
	last := 0
	for i, s := range b.Strays {
		if s.Line <= last {
			return field(fmt.Sprintf("body.strays[%d].line", i), "is %d, after %d", s.Line, last)
		}
		if s.SHA256 == (digest.SHA256{}) {
			return field(fmt.Sprintf("body.strays[%d].sha256", i), "is missing")
		}
		last = s.Line
	}
	return all(b.Facts.check(), checkCut("body.strays", len(b.Strays), b.StraysTotal))
}

func (b CopyQuarantined) apply(f *frame) error {
	c, err := f.Case(f.event.Case)
	if err != nil {
		return lookup("case", err)
	}
	i, err := f.pending(b.Intake)
	if err != nil {
		return err
	}
	expected, err := f.expected(i)
	if err != nil {
		return err
	}
	x, err := f.complete(b.Facts, i, c, expected)
	if err != nil {
		return err
	}
	what, err := b.discrepancy(f, i)
	if err != nil {
		return err
	}
	if b.Finding != c.Findings+1 {
		err := f.stale("finding %d: the next one is %d", b.Finding, c.Findings+1)
		if b.Finding > c.Findings {
			err = absent{err}
		}
		return err
	}
	f.finding(c, f.deposit(b.Facts, i, x, Quarantined), what)
	return nil
}

// discrepancy says what the finding is.
func (b CopyQuarantined) discrepancy(f *frame, i Intake) (string, error) {
	differ := b.Compare()
	strays := len(b.Strays)
	switch {
	case len(differ) == 0 && strays == 0:
		return "", f.forbid(string(b.Number), "nothing differs, there is nothing to quarantine")
	case !slices.Equal(differ, b.Differed):
		return "", field("body.differed", "is not what differs: %s", names(differ))
	case strays > 0 && (b.Strays[strays-1].Line > i.Files || b.StraysTotal > i.Files):
		return "", field("body.strays", "are more, or on later lines, than the set's %d files", i.Files)
	}
	var what []string
	if len(differ) > 0 {
		what = append(what, "hashes differ: "+names(differ))
	}
	if strays > 0 {
		what = append(what, fmt.Sprintf("%d files of the set are not what its list says, first line %d", max(strays, b.StraysTotal), b.Strays[0].Line))
	}
	return strings.Join(what, "; "), nil
}

// expected gives the hashes that stood before the copy came: those declared for
// an upload, those of its master for a working copy.
func (f *frame) expected(i Intake) (digest.Set, error) {
	if i.Class == Master {
		return i.Declared, nil
	}
	master, err := f.Copy(CopyID{i.Case, i.Exhibit, i.Of})
	return master.Digests, lookup("copy "+string(i.Of), err)
}

// finding opens the case's next finding, against the copy.
func (f *frame) finding(c Case, copied Copy, what string) {
	c.Findings++
	copied.Findings = append(slices.Clone(copied.Findings), c.Findings)
	f.changes.Cases = append(f.changes.Cases, c)
	f.changes.Copies = append(f.changes.Copies, copied)
	f.changes.Findings = append(f.changes.Findings, Finding{
		Case: c.ID, Number: c.Findings, Exhibit: copied.Exhibit, Copy: copied.Number, What: what,
		State: Open, Opened: f.at.Time, Changed: f.at.CaseSeq,
	})
}

// stale says that a number the event carries has been given meanwhile.
func (f *frame) stale(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrStale, fmt.Sprintf(format, args...))
}

func names(algorithms []digest.Algorithm) string {
	words := make([]string, len(algorithms))
	for i, a := range algorithms {
		words[i] = string(a)
	}
	return strings.Join(words, ", ")
}
