package verify

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/report"
)

// maxShown is how many findings Text writes out.
const maxShown = 200

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	var t text
	t.line("%s", r.headline())
	if c := r.Checkpoint; c != nil {
		t.line("checkpoint of %s at %d entries, root %s", c.Origin, c.Size, c.Root)
	}
	if e := r.Export; e != nil {
		t.line("exported %s for %s as entry %d", e.Time, e.For, e.Entry)
	}
	t.findings(r.Found)
	t.list("witnesses", r.cosigned())
	var stamps []string
	for _, a := range r.Anchors {
		stamps = append(stamps, a.words())
	}
	t.list("time stamps", stamps)
	t.copies(r.Copies)
	var recorded []string
	for _, f := range r.Recorded {
		recorded = append(recorded, fmt.Sprintf("finding %d (%s) of %s: %s", f.Number, f.State, f.Copy, f.What))
	}
	t.list("discrepancies that the ledger itself records", recorded)
	t.list("withheld, as the export states", r.withheld())
	t.list("can name people all the same", r.MayName)
	t.list("erased", r.erased())
	t.list("to be known", r.Notes)
	t.list("not checked", r.NotChecked)
	return t.to(w)
}

func (r Report) headline() string {
	what := "the bundle"
	if r.Case != nil {
		what = "case " + string(r.Case.Reference)
	}
	switch r.Verdict {
	case Verified:
		verified := fmt.Sprintf("verified: %s, all %d entries", what, r.Entries)
		var lacks []string
		if n := len(r.Withheld); n > 0 {
			lacks = append(lacks, fmt.Sprintf("what %d of them say is withheld", n))
		}
		if n := len(r.Erased); n > 0 {
			lacks = append(lacks, fmt.Sprintf("what %d of them said is erased", n))
		}
		if len(lacks) > 0 {
			verified += " as far as they are shown: " + strings.Join(lacks, ", ")
		}
		return verified
	case Incomplete:
		return fmt.Sprintf("incomplete: %s, all %d entries agree with each other, but not all that was asked for could be checked", what, r.Entries)
	}
	return fmt.Sprintf("failed: %s, %d entries, %s", what, r.Entries, count(r.Total(), "finding"))
}

// Text writes the report for people.
func (f FileReport) Text(w io.Writer) error {
	var t text
	t.line("%s", f.headline())
	t.line("%d bytes", f.Size)
	if f.SHA256 != nil {
		t.line("sha256 %s", f.SHA256)
	}
	t.findings(f.Found)
	t.line("")
	if err := t.to(w); err != nil {
		return err
	}
	return f.Bundle.Text(w)
}

func (f FileReport) headline() string {
	var names []string
	separator := ", "
	for _, c := range f.Bundle.Copies {
		if !slices.Contains(f.Copies, c.Copy) {
			continue
		}
		if c.Quarantined {
			c.Copy += ", which is quarantined: " + c.findings()
			separator = "; "
		}
		names = append(names, c.Copy)
	}
	is := fmt.Sprintf("%s: %s is %s", f.Verdict, f.File, strings.Join(names, separator))
	switch {
	case f.unknown:
		return fmt.Sprintf("%s: %s is none of the copies that are shown, and can be one that is withheld", f.Verdict, f.File)
	case len(names) == 0 && len(f.Findings) == 0:
		return fmt.Sprintf("%s: %s is compared with a bundle that cannot be read", f.Verdict, f.File)
	case len(names) == 0:
		return fmt.Sprintf("%s: %s is not what was sealed", f.Verdict, f.File)
	case f.Bundle.Verdict == Failed:
		return is + ", of a bundle that does not hold"
	case f.Bundle.hides():
		return is + ", as far as what is withheld does not speak against it"
	}
	return is
}

type text struct{ b strings.Builder }

// line writes a line, whatever names of files and people it is made of.
func (t *text) line(format string, args ...any) {
	t.b.WriteString(report.Plain(fmt.Sprintf(format, args...)) + "\n")
}

func (t *text) to(w io.Writer) error {
	if _, err := io.WriteString(w, t.b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (t *text) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	t.line("%s:", title)
	for _, item := range items {
		t.line("  %s", item)
	}
}

func (t *text) findings(found Found) {
	var items []string
	for _, f := range found.Findings[:min(len(found.Findings), maxShown)] {
		items = append(items, f.String())
	}
	if more := found.Total() - len(items); more > 0 {
		items = append(items, fmt.Sprintf("and %d more", more))
	}
	t.list("findings", items)
}

func (t *text) copies(copies []Copy) {
	var items []string
	for _, c := range copies {
		sum, _ := c.Digests.SHA256()
		state := string(c.State)
		if c.Quarantined {
			state += ", quarantined"
		}
		lock := "locked (" + c.Lock + ")"
		if c.Lock == "none" {
			lock = "not locked"
		}
		if c.RetainUntil != nil {
			lock += " until " + c.RetainUntil.String()
		}
		items = append(items, fmt.Sprintf("%s  %s, %s, with %s, %d bytes, sha256 %s, %s%s",
			c.Copy, c.Class, state, c.Custodian, c.Size, sum, lock, map[Content]string{
				ContentVerified: ", bytes verified", ContentFailed: ", bytes do not agree",
			}[c.Content]))
	}
	t.list("copies", items)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
