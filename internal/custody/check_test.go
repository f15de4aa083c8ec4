package custody_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// TestCheckOfAnother looks at other people's checks.
func TestCheckOfAnother(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	id, err := l.StartCheck(t.Context(), l.people["legal1"], at("M1"))
	must(t, err)
	for who, want := range map[identity.Principal]error{"legal1": nil, "auditor1": nil, "screener1": evidence.ErrForbidden, "admin": evidence.ErrForbidden} {
		status, err := l.Check(t.Context(), l.people[who], id, time.Minute)
		wantErr(t, err, want)
		if want == nil && (!status.Done || status.Err != nil) {
			t.Errorf("the check is %+v", status)
		}
	}
	_, err = l.Check(t.Context(), l.people["legal1"], newUUID(t), 0)
	wantErr(t, err, evidence.ErrNotFound)
}

// hold has the next n times that the store opens an object wait for the test.
func (l *lab) hold(n int) (reached <-chan struct{}, goOn func()) {
	waits, gate, left := make(chan struct{}, n), make(chan struct{}), make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	l.store.setFail(func(p point) bool {
		if p.Method == "Open" && !p.After {
			select {
			case <-left:
				waits <- struct{}{}
				<-gate
			default:
			}
		}
		return false
	})
	return waits, func() { close(gate) }
}

// TestManyChecks asks for more checks than there are hands.
func TestManyChecks(t *testing.T) {
	l := newLab(t)
	l.openCase()
	const copies, own = 12, 10
	for n := range copies {
		l.seal([]byte{byte(n)})
	}
	reached, goOn := l.hold(2)
	start := func(p identity.Principal, n int) (uuid.UUID, error) {
		return l.StartCheck(t.Context(), l.people[p], at(evidence.NumberOf(evidence.Master, n)))
	}
	var ids []uuid.UUID
	for n := 1; n <= own; n++ {
		id, err := start("analyst1", n)
		must(t, err)
		for _, again := range []identity.Principal{"analyst1", "legal1"} {
			if joined, err := start(again, n); err != nil || joined != id {
				t.Fatalf("%s asks for M%d again: %v", again, n, err)
			}
		}
		ids = append(ids, id)
	}
	_, err := start("analyst1", own+1)
	wantErr(t, err, custody.ErrBusy)
	id, err := start("legal1", own+1)
	must(t, err)
	<-reached
	<-reached
	l.store.coarse = true
	l.seal([]byte("is read back although checks wait")) // M13
	l.store.coarse = false

	// Who asked for a check may go before it begins: what it finds is told all the same.
	damage(t, l.objectFile("M10", evidence.Content), 0)
	l.record("admin", "", evidence.PersonRevoked{Principal: "analyst1", Reason: "left"})
	goOn()
	for n, id := range append(ids, id) {
		status, err := l.Check(t.Context(), l.people["auditor1"], id, time.Minute)
		must(t, errors.Join(err, status.Err))
		want := evidence.Match
		if n == own-1 {
			want = evidence.Mismatch
		}
		if status.Verdict == nil || status.Verdict.Result != want {
			t.Errorf("check %d is %+v", n+1, status)
		}
	}
	if !l.copyOf("M10").Quarantined() {
		t.Error("the damaged copy is not quarantined")
	}
	if again, err := start("legal1", 1); err != nil || again == ids[0] {
		t.Errorf("a check after the first: %v", err)
	}
}

// TestManyCopies asks for more working copies than are made at once.
func TestManyCopies(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	reached, goOn := make(chan struct{}, 10), make(chan struct{})
	l.store.setFail(func(p point) bool {
		if p.Method == "Copy" && !p.After && p.Inside == 0 {
			reached <- struct{}{}
			<-goOn
		}
		return false
	})
	var ids []uuid.UUID
	for range 5 {
		r := evidence.CopyRequested{Intake: newUUID(t), Exhibit: "E-001", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "p"}}
		l.record("examiner1", theCase, r)
		ids = append(ids, r.Intake)
	}
	<-reached
	<-reached
	for range 10 { // what would come would have come
		l.record("custodian1", theCase, exhibit(evidence.Name("E-1"+newUUID(t).String())))
	}
	if n := len(reached); n > 0 {
		t.Errorf("%d copies are made at once", n+2)
	}
	close(goOn)
	for _, id := range ids {
		l.await(id, custody.Ready)
	}
}
