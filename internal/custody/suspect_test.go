package custody_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// found waits until the service has found something wrong with a copy, of its own accord.
func (l *lab) found(number evidence.Number) evidence.FixityChecked {
	l.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		events := l.history(at(number))
		if b, ok := events[len(events)-1].Body.(evidence.FixityChecked); ok && b.Finding > 0 {
			if events[len(events)-1].OnBehalfOf != nil {
				l.t.Errorf("the finding of %s is %+v's", number, events[len(events)-1].OnBehalfOf)
			}
			if !l.copyOf(number).Quarantined() {
				l.t.Errorf("%s is not quarantined", number)
			}
			return b
		}
	}
	l.t.Fatalf("nothing was found wrong with %s; log:\n%s", number, l.logged)
	return evidence.FixityChecked{}
}

// TestFetchFinds fetches a working copy that was harmed in the store.
func TestFetchFinds(t *testing.T) {
	const size = 100_000
	file := func(l *lab) string { return l.objectFile("W1", evidence.Content) }
	for name, row := range map[string]struct {
		before, between func(t *testing.T, l *lab) // the fetch, its beginning and its end
		result          evidence.Result
		refused         bool
	}{
		"another byte": {before: func(t *testing.T, l *lab) { damage(t, file(l), size-1) }, result: evidence.Mismatch},
		"removed":      {before: func(t *testing.T, l *lab) { must(t, os.Remove(file(l))) }, result: evidence.Unreadable, refused: true},
		"cut":          {before: func(t *testing.T, l *lab) { must(t, os.Truncate(file(l), size-1)) }, result: evidence.Mismatch, refused: true},
		"longer":       {before: func(t *testing.T, l *lab) { must(t, os.Truncate(file(l), size+1)) }, result: evidence.Mismatch, refused: true},
		"cut meanwhile": {
			between: func(t *testing.T, l *lab) { must(t, os.Truncate(file(l), size-1)) }, result: evidence.Mismatch,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.openCase()
			l.seal(content(size, 9))
			l.issue("M1", "analyst1")
			must(t, os.Chmod(file(l), 0o600))
			if row.before != nil {
				row.before(t, l)
			}
			d, err := l.Fetch(t.Context(), l.people["analyst1"], at("W1"), 0, -1)
			if row.refused {
				wantErr(t, err, custody.ErrUnavailable)
			} else {
				must(t, err)
				if row.between != nil {
					row.between(t, l)
				}
				_, err = io.Copy(io.Discard, d)
				if (row.between == nil) != (err == nil) {
					t.Errorf("reading: %v", err)
				}
				must(t, d.Close())
			}
			if b := l.found("W1"); b.Result != row.result {
				t.Errorf("found was %+v", b)
			}
			if _, err = l.fetch("analyst1", "W1", 0, -1); !errors.As(err, new(*evidence.TransitionError)) {
				t.Errorf("fetched again: %v", err)
			}
		})
	}
}

// TestExportFinds exports a case whose objects were harmed.
func TestExportFinds(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal(content(digest.Segment+10, 8))
	must(t, os.Remove(l.objectFile("M1", evidence.Midstates)))
	e, err := l.Export(t.Context(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(t, err)
	if err := e.WriteTo(t.Context(), io.Discard); err == nil {
		t.Error("a bundle without the list was made")
	}
	if b := l.found("M1"); b.Result != evidence.Match || !b.ListWrong {
		t.Errorf("found was %+v", b)
	}
}

// TestIssueFinds requests a working copy of a master that was harmed.
func TestIssueFinds(t *testing.T) {
	file := func(l *lab, role evidence.Role) string { return l.objectFile("M1", role) }
	for name, row := range map[string]struct {
		harm        func(t *testing.T, l *lab)
		quarantined bool // the working copy is made, and is as bad
		problem     string
		finding     bool // opens one
	}{
		"another byte":    {harm: func(t *testing.T, l *lab) { damage(t, file(l, evidence.Content), 7) }, quarantined: true, finding: true},
		"content removed": {harm: func(t *testing.T, l *lab) { must(t, os.Remove(file(l, evidence.Content))) }, problem: "the object is missing", finding: true},
		"content longer": {
			harm:    func(t *testing.T, l *lab) { must(t, os.Truncate(file(l, evidence.Content), 1<<25)) },
			problem: "the object is not as it was written", finding: true,
		},
		"list removed": {
			harm:    func(t *testing.T, l *lab) { must(t, os.Remove(file(l, evidence.Midstates))) },
			problem: "the midstate list is missing from the store", finding: true,
		},
		"list another byte": {
			harm:    func(t *testing.T, l *lab) { damage(t, file(l, evidence.Midstates), 7) },
			problem: "the midstate list is not the one that was sealed", finding: true,
		},
		"copy removed": {
			harm: func(t *testing.T, l *lab) {
				var removed atomic.Bool
				l.store.setFail(func(p point) bool {
					if p.Method == "Copy" && p.After && removed.CompareAndSwap(false, true) {
						must(t, os.Remove(l.newest("content")))
					}
					return false
				})
			},
			problem: "read back: the object is missing",
		},
		"input/output error": {
			harm: func(_ *testing.T, l *lab) {
				l.store.setFault(func(p point) bool { return p.Method == "Copy" && !p.After && p.Inside == 0 }, syscall.EIO)
			},
			problem: "input/output error",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.openCase()
			l.seal(content(digest.Segment+10, 8))
			for _, role := range []evidence.Role{evidence.Content, evidence.Midstates} {
				must(t, os.Chmod(file(l, role), 0o600))
			}
			row.harm(t, l)
			r := evidence.CopyRequested{Intake: newUUID(t), Exhibit: "E-001", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "p"}}
			l.record("examiner1", theCase, r)
			if row.quarantined {
				l.await(r.Intake, custody.Quarantined)
			} else {
				status := l.stuck(r.Intake)
				if !strings.Contains(status.Problem, row.problem) || status.Phase != custody.Copying {
					t.Errorf("the problem of a %s one is %q", status.Phase, status.Problem)
				}
			}
			if row.finding { // it is there by now
				l.found("M1")
			} else if b, ok := l.last().Body.(evidence.FixityChecked); !ok || b.Number != "M1" || b.Result != evidence.Match {
				t.Errorf("the newest entry is %+v", l.last())
			}
			if l.copyOf("M1").Quarantined() != row.finding {
				t.Errorf("the master is %+v", l.copyOf("M1"))
			}
		})
	}
}

// newest gives the file of the object that was made last.
func (l *lab) newest(role string) string {
	l.t.Helper()
	files, err := filepath.Glob(l.path("objects", "objects", "*-"+role)) // keys rise with time
	must(l.t, err)
	return files[len(files)-1]
}

// stuck waits until an intake cannot go on.
func (l *lab) stuck(id uuid.UUID) custody.IntakeStatus {
	l.t.Helper()
	const again = "the service will try again"
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		status, err := l.Intake(l.ctx(), l.people["examiner1"], id, time.Second)
		must(l.t, err)
		if status.Problem == again {
			l.t.Fatalf("it is tried again; log:\n%s", l.logged)
		}
		if status.Problem != "" {
			return status
		}
	}
	l.t.Fatalf("it is not stuck; log:\n%s", l.logged)
	return custody.IntakeStatus{}
}

// TestReceivedIsGone takes in what the store loses before it is read back.
func TestReceivedIsGone(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.store.coarse = true
	d := declaration([]byte("a small image"))
	l.record("examiner1", theCase, d)
	l.store.setFail(func(p point) bool {
		if p.Method == "Complete" && p.After {
			must(t, os.Remove(l.newest("content")))
		}
		return false
	})
	l.upload(d.Intake, []byte("a small image"))
	if status := l.stuck(d.Intake); status.Problem != "what was received cannot be read back: the object is missing" {
		t.Errorf("the problem is %q", status.Problem)
	}
}

// TestStoreAway checks a copy while the whole store is away: that is no finding.
func TestStoreAway(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	must(t, os.Rename(l.path("objects", "objects"), l.path("away")))
	status := l.verify("legal1", "M1")
	wantErr(t, status.Err, custody.ErrUnavailable)
	must(t, os.Rename(l.path("away"), l.path("objects", "objects")))
	if status := l.verify("legal1", "M1"); status.Err != nil || status.Verdict.Result != evidence.Match {
		t.Errorf("the check is %+v", status)
	}
}
