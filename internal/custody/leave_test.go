package custody_test

import (
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
)

// TestLeave: a service that is about to end lets nobody wait for it.
func TestLeave(t *testing.T) {
	l := newLab(t)
	l.openCase()
	d := declaration([]byte("an image"))
	l.record("examiner1", theCase, d)
	answered := make(chan error, 1)
	go func() {
		status, err := l.Intake(t.Context(), l.people["examiner1"], d.Intake, time.Minute)
		if err == nil && status.Phase != custody.Receiving {
			t.Errorf("phase %s", status.Phase)
		}
		answered <- err
	}()
	l.Leave()
	l.Leave()
	select {
	case err := <-answered:
		must(t, err)
	case <-time.After(20 * time.Second): // less than a poll may take
		t.Fatal("a long poll goes on")
	}
	l.record("examiner1", theCase, exhibit("E-002")) // what is under way goes on
}
