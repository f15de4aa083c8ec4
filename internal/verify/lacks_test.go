package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
)

// TestLacks: what every start states again is told once.
func TestLacks(t *testing.T) {
	j := judge{lacking: map[string]*lack{}}
	for day, missing := range [][]string{{"object lock: x"}, {"object lock: x", "read-back: y"}, {"object lock: x"}} {
		at := evidence.TimeOf(time.Date(2026, time.March, 1+day, 10, 0, 0, 0, time.UTC))
		j.noteFacts(evidence.Event{At: at, Body: evidence.ServiceStarted{Missing: missing}})
	}
	j.noteLacks()
	if len(j.r.Notes) != 2 || !strings.Contains(j.r.Notes[0], "3 times from 2026-03-01") ||
		!strings.Contains(j.r.Notes[0], "to 2026-03-03") || !strings.Contains(j.r.Notes[1], "started on 2026-03-02") {
		t.Errorf("%q", j.r.Notes)
	}
}
