package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A row is one line of the table.
type row struct {
	work, ours, alternative, ratio, goal, met string
}

// A goal is what a number has to be.
type goal struct {
	limit  float64
	atMost bool
	unit   string // behind the limit
}

func atMost(limit float64, unit string) goal  { return goal{limit, true, unit} }
func atLeast(limit float64, unit string) goal { return goal{limit, false, unit} }

func (g goal) String() string {
	sign := "≥"
	if g.atMost {
		sign = "≤"
	}
	return fmt.Sprintf("%s %s%s", sign, number(g.limit), g.unit)
}

// met says whether a value is as it has to be. A value of 0 is none.
func (g goal) met(value float64) string {
	if value > 0 && (g.atMost && value <= g.limit || !g.atMost && value >= g.limit) {
		return "yes"
	}
	return "NO"
}

// ratio is the one that the goal is about: of wall times, ours over theirs, where
// it is at most, of rates, which is theirs over ours, where it is at least.
func (g goal) ratio(ours, theirs time.Duration) float64 {
	if g.atMost {
		return ratioOf(ours, theirs)
	}
	return ratioOf(theirs, ours)
}

// compare makes a row of two times for the whole file.
func (b *bench) compare(work string, g goal, ours time.Duration, name string, theirs time.Duration) row {
	ratio := g.ratio(ours, theirs)
	return row{
		work: work, ours: timed(ours, b.size), alternative: name + ": " + timed(theirs, b.size),
		ratio: fmt.Sprintf("%.2f%s", ratio, g.unit), goal: g.String(), met: g.met(ratio),
	}
}

func ratioOf(a, b time.Duration) float64 {
	if b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// number prints 500000 as 500,000, and 0.35 as it is.
func number(f float64) string {
	if f != float64(int64(f)) {
		return fmt.Sprintf("%g", f)
	}
	digits := fmt.Sprintf("%d", int64(f))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// timed prints a wall time and the rate of size bytes in it.
func timed(d time.Duration, size int64) string {
	return fmt.Sprintf("%.2f s, %.2f GiB/s", d.Seconds(), float64(size)/(1<<30)/d.Seconds())
}

// perSecond prints n things in a time.
func perSecond(n int, d time.Duration) string {
	return number(float64(int64(float64(n)/d.Seconds()))) + "/s"
}

var head = row{"work", "ours", "alternative", "ratio", "goal", "met"}

func (r row) cells() []string {
	return []string{r.work, r.ours, r.alternative, r.ratio, r.goal, r.met}
}

// printRows prints the table, which is Markdown too.
func printRows(out io.Writer, rows []row) error {
	width := make([]int, len(head.cells()))
	for _, r := range append([]row{head}, rows...) {
		for i, c := range r.cells() {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	line := func(cells []string, fill string) error {
		var b strings.Builder
		for i, c := range cells {
			b.WriteString("| " + c + strings.Repeat(fill, width[i]-utf8.RuneCountInString(c)) + " ")
		}
		_, err := fmt.Fprintln(out, b.String()+"|")
		return err
	}
	if err := line(head.cells(), " "); err != nil {
		return err
	}
	if err := line(make([]string, len(width)), "-"); err != nil {
		return err
	}
	for _, r := range rows {
		if err := line(r.cells(), " "); err != nil {
			return err
		}
	}
	return nil
}
