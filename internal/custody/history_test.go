package custody_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/evidence"
)

// TestHistoryPages reads a case of large entries, whatever the answers' sizes are.
func TestHistoryPages(t *testing.T) {
	l := newLab(t)
	l.openCase()
	const count = 70
	for n := range count {
		x := exhibit(evidence.Name(fmt.Sprintf("E-1%03d", n)))
		x.Note = strings.Repeat("\U0001F4BE", 4000) // 16,000 bytes
		l.record("custodian1", theCase, x)
	}
	for _, limit := range []int{0, 1000, 7} {
		after, seen, answers := int64(-1), 0, 0
		for {
			page, err := l.History(t.Context(), l.people["auditor1"], evidence.Path{Case: theCase}, after, limit)
			must(t, err)
			if len(page) == 0 {
				break
			}
			answers++
			size := 0
			for n, e := range page {
				size += len(e.Payload)
				if e.CaseSeq != after+int64(n)+1 {
					t.Fatalf("after %d comes entry %d", after, e.CaseSeq)
				}
			}
			if size > 2<<20 || limit > 0 && len(page) > limit {
				t.Errorf("an answer has %d entries of %d bytes", len(page), size)
			}
			after, seen = page[len(page)-1].CaseSeq, seen+len(page)
		}
		if seen != count+2 || answers < 2 {
			t.Errorf("limit %d: %d entries in %d answers", limit, seen, answers)
		}
	}
	one, err := l.History(t.Context(), l.people["auditor1"], evidence.Path{Case: theCase, Exhibit: "E-1069"}, -1, 0)
	must(t, err)
	if len(one) != 1 {
		t.Errorf("of the last exhibit there are %d entries", len(one))
	}
}
