package evidence_test

import (
	"errors"
	"testing"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
)

// A ledger begins with the service, then the first administrator, both enrolled
// by the service; from then on it enrols nobody.
func TestFirstEntries(t *testing.T) {
	lab := evidencetest.New()
	none := evidence.CaseID{}
	service, admin, examiner := evidencetest.Staff[0], evidencetest.Staff[1], evidencetest.Staff[2]
	for _, step := range []struct {
		name  string
		actor identity.Principal
		body  evidence.Body
		want  error
	}{
		{"an administrator first", identity.Service, admin, errTransition},
		{"an administrator himself", "admin", admin, evidence.ErrForbidden},
		{"a start before all", identity.Service, evidence.ServiceStarted{Version: "1"}, evidence.ErrForbidden},
		{"the service", identity.Service, service, nil},
		{"the service again", identity.Service, service, errTransition},
		{"an examiner second", identity.Service, examiner, errTransition},
		{"an administrator himself, second", "admin", admin, evidence.ErrForbidden},
		{"the administrator", identity.Service, admin, nil},
		{"another administrator", identity.Service, evidencetest.Staff[3], errTransition},
		{"an examiner by the service", identity.Service, examiner, errTransition},
		{"an examiner by the administrator", "admin", examiner, nil},
	} {
		if err := lab.Do(lab.Event(step.actor, none, step.body)); !is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
	people, err := lab.People()
	if err != nil || len(people) != 3 || people[1].Principal != "admin" || people[1].EnrolledBy != identity.Service {
		t.Errorf("people are %+v, %v", people, err)
	}
}

// A copy of a segment or less has no midstates, a single file no list, and one
// without a tool's log no log.
func TestSmallCopy(t *testing.T) {
	s := tell(t)
	b := declared(s.ID())
	b.Size, b.Files, b.Acquisition.Log = 4096, 0, nil
	if err := s.Do(s.Event("examiner1", s.open, b)); err != nil {
		t.Fatal(err)
	}
	whole := s.Facts(s.pending, "")
	facts := s.Facts(b.Intake, "")
	for _, o := range whole.Objects[1:] {
		more := facts
		more.Objects = append([]evidence.Object{facts.Objects[0]}, o)
		if _, err := s.apply(s.Event("examiner1", s.open, evidence.CopySealed{Facts: more})); !is(err, fieldErr("body.objects")) {
			t.Errorf("with %s: %v", o.Role, err)
		}
	}
	if err := s.Do(s.Event("examiner1", s.open, evidence.CopySealed{Facts: facts})); err != nil {
		t.Errorf("with the content alone: %v", err)
	}
	if _, err := s.Copy(evidence.CopyID{Case: s.open, Exhibit: "E-001", Number: facts.Number}); errors.Is(err, evidence.ErrNotFound) {
		t.Error("it was not sealed")
	}
}
