package custody_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

func TestRecordAgain(t *testing.T) {
	l := newLab(t)
	l.openCase()
	e := l.event("custodian1", theCase, exhibit("E-002"))
	payload, signature := l.sign(e)
	first, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
	must(t, err)
	l.ack(first, payload)
	if first.Again {
		t.Error("the first time was not the first")
	}
	l.record("custodian1", theCase, exhibit("E-003")) // the world goes on
	for _, restarted := range []bool{false, true} {
		if restarted {
			l.restart()
		}
		again, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
		must(t, err)
		l.ack(again, payload)
		if !again.Again || again.Seq != first.Seq || again.CaseSeq != first.CaseSeq || again.Time != first.Time ||
			again.Leaf != first.Leaf || !bytes.Equal(again.Envelope, first.Envelope) {
			t.Errorf("restarted %v: the answer is %+v, was %+v", restarted, again, first)
		}
	}
	e.Body = exhibit("E-004")
	_, err = l.send(e)
	wantErr(t, err, evidence.ErrExists)
	// It is the same statement even when the law would refuse it by now.
	l.record("admin", "", evidence.PersonRevoked{Principal: "custodian1", Reason: "left"})
	again, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
	must(t, err)
	if !again.Again || again.Seq != first.Seq {
		t.Errorf("the answer is %+v, was %+v", again, first)
	}
	l.audit()
}

func TestRecordRefused(t *testing.T) {
	l := newLab(t)
	before := l.event("examiner1", "", evidence.CaseOpened{Reference: "too-late", Title: "t", RetainDays: 1})
	l.openCase()
	stale := l.event("custodian1", theCase, exhibit("E-009"))
	stale.Seen = digest.SHA256{}
	elsewhere := l.event("custodian1", theCase, exhibit("E-009"))
	elsewhere.Seen = l.event("admin", "", evidence.PersonRevoked{Principal: "legal1", Reason: "r"}).Seen
	foreign := l.event("custodian1", theCase, exhibit("E-009"))
	foreign.Log = "lab.example/other"
	declared := declaration([]byte("some"))
	l.record("examiner1", theCase, declared)
	l.record("admin", "", evidence.PersonRevoked{Principal: "examiner2", Reason: "left"})
	taken := before
	taken.Case = l.caseID(theCase)

	field, transition := func(err error) bool { return errors.As(err, new(*evidence.FieldError)) },
		func(err error) bool { return errors.As(err, new(*evidence.TransitionError)) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for name, row := range map[string]struct {
		event  evidence.Event
		signer identity.Principal // another than the actor
		caller identity.Principal // another than the actor
		want   func(error) bool
	}{
		"seen nothing":        {event: stale, want: is(evidence.ErrStale)},
		"seen elsewhere":      {event: elsewhere, want: field},
		"other ledger":        {event: foreign, want: field},
		"revoked":             {event: l.event("examiner2", theCase, exhibit("E-009")), want: is(evidence.ErrForbidden)},
		"no role":             {event: l.event("analyst1", theCase, exhibit("E-009")), want: is(evidence.ErrForbidden)},
		"other key":           {event: l.event("custodian1", theCase, exhibit("E-009")), signer: "stranger", want: is(custody.ErrSignature)},
		"colleague's key":     {event: l.event("custodian1", theCase, exhibit("E-009")), signer: "examiner1", want: is(custody.ErrSignature)},
		"colleague's session": {event: l.event("custodian1", theCase, exhibit("E-009")), caller: "examiner1", want: is(evidence.ErrForbidden)},
		"not enrolled":        {event: l.event("stranger", theCase, exhibit("E-009")), caller: "stranger", want: is(evidence.ErrNotFound)},
		"label taken":         {event: l.event("custodian1", theCase, exhibit("E-001")), want: is(evidence.ErrExists)},
		"reference taken":     {event: l.event("examiner1", "", evidence.CaseOpened{Reference: theCase, Title: "t", RetainDays: 1}), want: is(evidence.ErrExists)},
		"case id taken":       {event: taken, want: is(evidence.ErrExists)},
		"no such exhibit":     {event: l.event("examiner1", theCase, evidence.CopyRequested{Intake: uuid.Must(uuid.NewV7()), Exhibit: "E-009", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "p"}}), want: is(evidence.ErrNotFound)},
		"sealed out of thin air": {event: l.event("examiner1", theCase, evidence.CopySealed{Facts: evidence.Facts{
			Intake: declared.Intake, Exhibit: "E-001", Number: "M1", Size: 4, ReadSource: "medium",
			Declared: hashes(t, []byte("some")), Received: hashes(t, []byte("some")), ReadBack: hashes(t, []byte("some")),
			Objects: []evidence.Object{{Role: evidence.Content, Bucket: "b", Key: "k", Version: "v", Size: 4, SHA256: sum([]byte("some")), Lock: "none"}},
		}}), want: transition},
		"abandoned by another": {event: l.event("analyst1", theCase, evidence.IntakeAbandoned{Intake: declared.Intake, Reason: "r"}), want: is(evidence.ErrForbidden)},
		"last administrator":   {event: l.event("admin", "", evidence.PersonRevoked{Principal: "admin", Reason: "r"}), want: transition},
	} {
		t.Run(name, func(t *testing.T) {
			entries := l.Stats().Entries
			signer, caller := row.event.Actor, l.people[row.event.Actor]
			if row.signer != "" {
				signer = row.signer
			}
			if row.caller == "stranger" {
				caller = custody.Caller{Principal: "stranger", Roles: identity.AllRoles(), Method: "session"}
			} else if row.caller != "" {
				caller = l.people[row.caller]
			}
			payload, signature := l.signAs(row.event, signer)
			_, err := l.Record(t.Context(), caller, payload, signature)
			if !row.want(err) {
				t.Errorf("error is %v", err)
			}
			if now := l.Stats().Entries; now != entries {
				t.Errorf("there are %d entries, were %d", now, entries)
			}
		})
	}
	l.audit()
}

func TestRecordForm(t *testing.T) {
	l := newLab(t)
	l.openCase()
	custodian := l.people["custodian1"]
	payload, signature := l.sign(l.event("custodian1", theCase, exhibit("E-009")))
	other, err := l.key("custodian1").Sign(t.Context(), identity.NamespaceSession, payload)
	must(t, err)
	byService := l.event(identity.Service, theCase, evidence.AccessDenied{Exhibit: "E-001", Number: "M1", Operation: evidence.Fetch, Reason: "r"})
	byService.OnBehalfOf = &evidence.OnBehalfOf{Principal: "custodian1", Method: "session"}
	forService, forServiceSignature := l.sign(byService)
	for name, row := range map[string]struct {
		payload, signature []byte
		want               error // nil: a FieldError, or any
	}{
		"no payload":         {nil, signature, nil},
		"white space":        {append([]byte(" "), payload...), signature, evidence.ErrNotCanonical},
		"too long":           {bytes.Repeat([]byte("{"), evidence.MaxPayload+1), signature, nil},
		"no signature":       {payload, nil, custody.ErrSignature},
		"huge signature":     {payload, bytes.Repeat(signature, 100), custody.ErrSignature},
		"other namespace":    {payload, other, custody.ErrSignature},
		"of another payload": {forService, signature, nil},
		"the service's own":  {forService, forServiceSignature, evidence.ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := l.Record(t.Context(), custodian, row.payload, row.signature)
			if err == nil || row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("error is %v, want %v", err, row.want)
			}
		})
	}
	if l.last().Kind() != "exhibit.added" || len(l.history(evidence.Path{Case: theCase})) != 2 {
		t.Error("something was recorded")
	}
}

// TestWriters has 64 people write at once, some of them what the law refuses.
func TestWriters(t *testing.T) {
	l := newLab(t)
	l.openCase()
	const writers, each = 64, 5
	type statement struct {
		event              evidence.Event
		payload, signature []byte
	}
	var statements [writers][]statement
	for w := range writers {
		for n := range each {
			label := evidence.Name(fmt.Sprintf("X-%d-%d", w, n))
			if n == 2 {
				label = "X-same" // one of them is first
			}
			e := l.event("custodian1", theCase, exhibit(label))
			payload, signature := l.sign(e)
			statements[w] = append(statements[w], statement{e, payload, signature})
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for w := range writers {
		wg.Go(func() {
			for n, s := range statements[w] {
				r, err := l.Record(t.Context(), l.people["custodian1"], s.payload, s.signature)
				switch {
				case err == nil:
					l.ack(r, s.payload)
				case n == 2 && errors.Is(err, evidence.ErrExists):
					mu.Lock()
					refused++
					mu.Unlock()
				default:
					t.Errorf("writer %d, statement %d: %v", w, n, err)
				}
			}
		})
	}
	wg.Wait()
	if refused != writers-1 {
		t.Errorf("%d were refused, want %d", refused, writers-1)
	}
	if got := len(l.history(evidence.Path{Case: theCase})); got != 2+writers*(each-1)+1 {
		t.Errorf("the case has %d entries", got)
	}
	l.audit()
}

// TestReadsRace has the service make its own entries while people write.
func TestReadsRace(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	l.issue("M1", "analyst1")
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for n := range 4 {
				switch w % 4 {
				case 0:
					if _, err := l.fetch("analyst1", "W1", 0, -1); err != nil {
						t.Errorf("fetch: %v", err)
					}
				case 1:
					if _, err := l.fetch("analyst2", "W1", 0, -1); !errors.Is(err, evidence.ErrForbidden) {
						t.Errorf("fetch by another: %v", err)
					}
				case 2:
					if s := l.verify("legal1", "M1"); s.Err != nil {
						t.Errorf("verify: %v", s.Err)
					}
				case 3:
					l.record("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("R-%d-%d", w, n))))
				}
			}
		})
	}
	wg.Wait()
	l.audit()
}

// TestGone has the caller of an append go away.
func TestGone(t *testing.T) {
	l := newLab(t)
	l.openCase()
	payload, signature := l.sign(l.event("custodian1", theCase, exhibit("E-002")))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Record(gone, l.people["custodian1"], payload, signature); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	r, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
	must(t, err)
	l.ack(r, payload)
	l.audit()
}

// TestClosed asks a service that has ended.
func TestClosed(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	payload, signature := l.sign(l.event("custodian1", theCase, exhibit("E-002")))
	must(t, l.Close(t.Context()))
	for range 2 { // the second fills no queue that nobody empties
		_, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
		wantErr(t, err, custody.ErrUnavailable)
	}
	_, err := l.StartCheck(t.Context(), l.people["legal1"], at("M1"))
	wantErr(t, err, custody.ErrUnavailable)
	_, err = l.Fetch(t.Context(), l.people["analyst1"], at("M1"), 0, -1)
	wantErr(t, err, custody.ErrUnavailable)
	must(t, l.Close(t.Context()))
}

// TestHalt takes the signer away between a commit and its checkpoint.
func TestHalt(t *testing.T) {
	l := newLab(t)
	l.openCase()
	payload, signature := l.sign(l.event("custodian1", theCase, exhibit("E-002")))
	must(t, l.signer.Close())
	for range 2 {
		_, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
		wantErr(t, err, custody.ErrStopped)
	}
	<-l.Stopped()
	wantErr(t, l.Cause(), custody.ErrStopped)
	wantErr(t, l.Ready(t.Context()), custody.ErrStopped)
	l.restart()
	must(t, l.Ready(t.Context()))
	r, err := l.Record(t.Context(), l.people["custodian1"], payload, signature)
	must(t, err)
	l.ack(r, payload)
	if !r.Again {
		t.Error("the entry was not there")
	}
	l.audit()
}

func TestProof(t *testing.T) {
	l := newLab(t)
	l.openCase()
	r := l.record("custodian1", theCase, exhibit("E-002"))
	for seq := range r.Seq + 1 {
		receipt, err := l.Proof(t.Context(), l.people["auditor1"], seq)
		must(t, err)
		if _, _, err := receipt.Verify(l.signer.Key()); err != nil || receipt.Index != seq {
			t.Errorf("entry %d: %v", seq, err)
		}
	}
	for _, seq := range []int64{-1, r.Seq + 1} {
		_, err := l.Proof(t.Context(), l.people["auditor1"], seq)
		wantErr(t, err, evidence.ErrNotFound)
	}
	_, err := l.Proof(t.Context(), l.people["analyst1"], 0)
	wantErr(t, err, evidence.ErrForbidden)
	for _, bad := range [][2]int64{{-1, 1}, {2, 1}, {0, r.Seq + 2}} {
		if _, err := l.Consistency(t.Context(), bad[0], bad[1]); !errors.As(err, new(*evidence.FieldError)) {
			t.Errorf("consistency of %v: %v", bad, err)
		}
	}
}

// TestRevokedInTheSameBatch: who is revoked by an entry signs nothing after it, in
// the same transaction neither.
func TestRevokedInTheSameBatch(t *testing.T) {
	l := newLab(t)
	l.openCase()
	first := l.event("examiner1", theCase, exhibit("E-002"))
	events := []evidence.Event{
		l.event("custodian1", theCase, exhibit("E-003")),
		l.event("admin", "", evidence.PersonRevoked{Principal: "custodian1", Reason: "left"}),
		l.event("custodian1", theCase, exhibit("E-004")),
	}
	blocked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l.clock.each(func() {
		if inInsert() {
			once.Do(func() { close(blocked); <-goOn })
		}
	})
	type answer struct {
		custody.Recorded
		err error
	}
	answers := make([]chan answer, len(events))
	send := func(e evidence.Event) chan answer {
		payload, signature := l.sign(e)
		to := make(chan answer, 1)
		go func() {
			r, err := l.Record(t.Context(), l.people[e.Actor], payload, signature)
			to <- answer{r, err}
		}()
		return to
	}
	ahead := send(first)
	<-blocked // the committer is busy: what comes now waits for one batch
	for i, e := range events {
		answers[i] = send(e)
		time.Sleep(50 * time.Millisecond) // most likely in this order
	}
	close(goOn)
	must(t, (<-ahead).err)
	earlier, revoked, later := <-answers[0], <-answers[1], <-answers[2]
	must(t, revoked.err)
	for _, a := range []answer{earlier, later} {
		if a.err != nil {
			wantErr(t, a.err, evidence.ErrForbidden)
		} else if a.Seq > revoked.Seq {
			t.Errorf("entry %d was signed by who had been revoked by entry %d", a.Seq, revoked.Seq)
		}
	}
	l.audit()
}

// TestSealEndsItsBatch: what waits behind an export goes into another transaction, so
// that a checkpoint of exactly the entries up to the seal is signed. Else a bundle that
// was cut back to its seal, under a later checkpoint, would look like this one.
func TestSealEndsItsBatch(t *testing.T) {
	l := newLab(t)
	l.openCase()
	events := []evidence.Event{
		l.event("examiner1", "", evidence.CaseOpened{Reference: "2026-0043", Title: "Another", RetainDays: 30}),
		l.event("admin", "", evidence.PersonRevoked{Principal: "analyst2", Reason: "left"}),
		l.event("examiner1", theCase, exhibit("E-002")),
	}
	blocked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	l.clock.each(func() {
		if inInsert() {
			once.Do(func() { close(blocked); <-goOn })
		}
	})
	var running sync.WaitGroup
	record := func(e evidence.Event) {
		payload, signature := l.sign(e)
		running.Go(func() {
			if _, err := l.Record(t.Context(), l.people[e.Actor], payload, signature); err != nil {
				t.Error(err)
			}
		})
	}
	record(events[0])
	<-blocked // the committer is busy: what comes now waits for one batch
	var seal custody.Recorded
	running.Go(func() {
		e, err := l.Export(t.Context(), l.people["legal1"], theCase, custody.ExportOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		seal = e.Recorded
	})
	for _, e := range events[1:] {
		time.Sleep(50 * time.Millisecond) // most likely in this order
		record(e)
	}
	time.Sleep(50 * time.Millisecond)
	close(goOn)
	running.Wait()
	receipt, err := ledger.ParseReceipt(seal.Receipt)
	must(t, err)
	_, checkpoint, err := receipt.Verify(l.signer.Key())
	must(t, err)
	if checkpoint.Size != seal.Seq+1 {
		t.Errorf("the checkpoint over %d entries is that of the seal, entry %d", checkpoint.Size, seal.Seq)
	}
	l.audit()
}
