package evidence_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
)

// The state after erasures is what a replay comes to that has never seen what was
// erased: noun by noun, after every event.
func TestErasedReplay(t *testing.T) {
	erasures := 0
	rapid.Check(t, func(t *rapid.T) {
		choose := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).IntN
		lab := evidencetest.New()
		left := map[digest.SHA256]evidence.Event{}
		for range rapid.IntRange(0, 250).Draw(t, "events") {
			e := lab.Draw(choose)
			ch, err := evidence.Apply(lab, e, lab.Position(e))
			if err != nil {
				continue
			}
			payload, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			lab.Record(e, sha256.Sum256(payload), ch)
			b, ok := e.Body.(evidence.PayloadErased)
			if !ok {
				continue
			}
			erasures++
			if left[b.Leaf], err = b.Left(); err != nil {
				t.Fatal(err)
			}
			if now, again := marshal(t, lab), marshal(t, replayed(t, lab, left)); now != again {
				t.Fatalf("after %s of entry %d\nlive     %s\nreplayed %s", e.Kind(), b.Entry, now, again)
			}
		}
		if now, again := marshal(t, lab), marshal(t, replayed(t, lab, left)); now != again {
			t.Fatalf("in the end\nlive     %s\nreplayed %s", now, again)
		}
	})
	if erasures < 50 { // by far fewer than there mostly are
		t.Errorf("only %d erasures happened", erasures)
	}
}

// replayed folds what a lab recorded from the beginning, with what is left of what was erased.
func replayed(t *rapid.T, lab *evidencetest.Lab, left map[digest.SHA256]evidence.Event) *evidencetest.Lab {
	replay := evidencetest.New()
	for n, past := range lab.Past {
		e := past.Event
		if l, ok := left[past.Leaf]; ok {
			e = l
		}
		ch, err := evidence.Apply(replay, e, past.At)
		if err != nil {
			t.Fatalf("entry %d, %s: %v", n, e.Kind(), err)
		}
		replay.Record(e, past.Leaf, ch)
	}
	return replay
}

// What is left holds none of the texts, and only them are gone. What is left of that is
// the same.
func TestResidue(t *testing.T) {
	secret := "Jane Doe"
	none := map[evidence.Kind]bool{
		"person.enrolled": true, "person.revoked": true, "service.started": true, "copy.sealed": true, "copy.quarantined": true,
		"content.read": true, "copy.received": true, "case.exported": true, "payload.erased": true, "checkpoint.anchored": true,
		"fixity.checked": true, "access.denied": true, // by the service, that nobody can say it had recorded something else
	}
	for kind, e := range tell(t).good() {
		switch b := e.Body.(type) { // what is optional
		case evidence.ExhibitAdded:
			b.Make, b.Model, b.Serial, b.FoundOn, b.Note = secret, secret, secret, secret, secret
			e.Body = b
		case evidence.IntakeDeclared:
			a := &b.Acquisition
			a.Command, a.Source, a.WriteBlocker, a.Supervisor, a.Started, a.Ended, a.Result = secret, secret, secret, secret, secret, secret, secret
			e.Body = b
		case evidence.CopyReturned:
			b.Note = secret
			e.Body = b
		case evidence.FixityChecked:
			b.Detail = secret
			e.Body = b
		}
		body := fill(t, e.Body, secret)
		e.Body = body
		left, err := evidence.Residue(e)
		if none[kind] {
			if !errors.Is(err, evidence.ErrNothingToErase) {
				t.Errorf("%s: %v, want %v", kind, err, evidence.ErrNothingToErase)
			}
			continue
		}
		payload, encodeErr := left.Encode()
		if err != nil || encodeErr != nil {
			t.Errorf("%s: %v, %v", kind, err, encodeErr)
			continue
		}
		if strings.Contains(string(payload), secret) {
			t.Errorf("%s: it is still there: %s", kind, payload)
		}
		if strings.Contains(string(payload), e.Salt.String()) {
			t.Errorf("%s: with the salt what was erased can be guessed", kind)
		}
		again, err := evidence.Residue(left)
		if err != nil || !reflect.DeepEqual(left, again) {
			t.Errorf("%s: %v, twice erased\n%+v\n%+v", kind, err, left, again)
		}
		if got, want := texts(t, left), texts(t, e); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other members have gone\n%v\n%v", kind, got, want)
		}
		if evidence.SubjectOf(left) != evidence.SubjectOf(e) {
			t.Errorf("%s: is about something else", kind)
		}
	}
}

// fill writes a text into every member of a body that is erased.
func fill(t *testing.T, body evidence.Body, text string) evidence.Body {
	t.Helper()
	left, err := evidence.Residue(evidence.Event{Case: evidence.CaseID{1}, Body: body})
	if err != nil {
		return body
	}
	data, err := json.Marshal(left.Body)
	if err != nil {
		t.Fatal(err)
	}
	filled := reflect.New(reflect.TypeOf(body))
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(data), evidence.Erased, text)), filled.Interface()); err != nil {
		t.Fatal(err)
	}
	return filled.Elem().Interface().(evidence.Body)
}

// texts gives an event as JSON without the texts and the salt that erasing takes.
func texts(t *testing.T, e evidence.Event) string {
	t.Helper()
	payload, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(evidence.Erased, "", "Jane Doe", "", e.Salt.String(), "").Replace(string(payload))
}

// No hold, no erasure under it; and what an erasure says has to be so.
func TestErasureRefused(t *testing.T) {
	s := tell(t)
	good := s.erased()
	event := func(c evidence.CaseID, b evidence.Body) evidence.Event { return s.Event("custodian1", c, b) }
	opened := func(c evidence.CaseID) evidence.PayloadErased {
		for n, past := range s.Past {
			if past.Case == c {
				b, err := s.Erase(n)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
		}
		t.Fatal("no such case")
		return evidence.PayloadErased{}
	}
	change := func(how func(*evidence.PayloadErased)) evidence.PayloadErased {
		b := good
		how(&b)
		return b
	}
	residue := func(text string) evidence.PayloadErased {
		return change(func(b *evidence.PayloadErased) { b.Residue = json.RawMessage(text) })
	}
	whole, err := s.Past[good.Entry].Encode()
	if err != nil {
		t.Fatal(err)
	}
	underWay := func() evidence.Event {
		for n, past := range s.Past {
			b, ok := past.Body.(evidence.CopyRequested)
			if !ok {
				continue
			}
			if i, err := s.Intake(b.Intake); err == nil && i.State == evidence.Declared {
				erased, err := s.Erase(n)
				if err != nil {
					t.Fatal(err)
				}
				return event(past.Case, erased)
			}
		}
		t.Fatal("no copy is being made")
		return evidence.Event{}
	}
	for name, test := range map[string]struct {
		event evidence.Event
		want  error
	}{
		"of a copy that is being made": {underWay(), errTransition},
		"good":                         {event(s.open, good), nil},
		"of a closed case":             {event(s.closed, opened(s.closed)), nil},
		"under a hold":                 {event(s.held, opened(s.held)), evidence.ErrHeld},
		"another case":                 {event(s.idle, good), fieldErr("body.residue")},
		"another entry's hash": {
			event(s.open, change(func(b *evidence.PayloadErased) { b.Leaf = s.Newest(s.closed) })), evidence.ErrNotFound,
		},
		"nothing erased":   {event(s.open, residue(string(whole))), fieldErr("body.residue")},
		"not a payload":    {event(s.open, residue(`{}`)), fieldErr("body.residue")},
		"no residue":       {event(s.open, residue(`null`)), fieldErr("body.residue")},
		"by an examiner":   {s.Event("examiner1", s.open, good), evidence.ErrForbidden},
		"a hold by nobody": {s.Event("examiner1", s.open, evidence.HoldPlaced{Name: "a", Authority: "b", Reason: "c"}), evidence.ErrForbidden},
		"a hold lifted by the one who erases": {
			s.Event("custodian1", s.held, evidence.HoldLifted{Name: "court-1", Authority: "b", Reason: "c"}), evidence.ErrForbidden,
		},
	} {
		if _, err := s.apply(test.event); !is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}

	// With several holds the last one that is lifted lets it go.
	do := func(actor string, b evidence.Body) error {
		for _, p := range evidencetest.Staff {
			if string(p.Principal) == actor {
				return s.Do(s.Event(p.Principal, s.held, b))
			}
		}
		return evidence.ErrNotFound
	}
	held := opened(s.held)
	for _, step := range []struct {
		actor string
		body  evidence.Body
		want  error
	}{
		{"custodian1", evidence.HoldPlaced{Name: "court-2", Authority: "court", Reason: "other"}, nil},
		{"legal1", evidence.HoldLifted{Name: "court-1", Authority: "court", Reason: "done"}, nil},
		{"custodian1", held, evidence.ErrHeld},
		{"examiner1", evidence.CaseClosed{Reason: "a hold does not keep it open"}, nil},
		{"legal1", evidence.HoldLifted{Name: "court-2", Authority: "court", Reason: "done"}, nil},
		{"custodian1", held, nil},
		{"custodian1", held, errTransition},
	} {
		if err := do(step.actor, step.body); !is(err, step.want) {
			t.Errorf("%s by %s: %v, want %v", step.body, step.actor, err, step.want)
		}
	}
	if c, err := s.Case(s.held); err != nil || c.Title != evidence.Erased || c.Holds != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// What stands for something erased stands in a residue, whole, and in nothing else: nobody
// can type it to pass for somebody whose words are gone.
func TestErasedTyped(t *testing.T) {
	s := tell(t)
	good := s.good()
	for kind, e := range good {
		payload, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if e.IsErased() {
			t.Errorf("%s is taken for erased", kind)
		}
		left, err := evidence.Residue(e)
		if err != nil {
			left = e
		}
		residue, err := left.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if typed := strings.Replace(string(residue), left.Salt.String(), e.Salt.String(), 1); typed != string(payload) {
			if _, err := evidence.Parse([]byte(typed)); !is(err, fieldErr("body")) {
				t.Errorf("%s with the text alone: %v", kind, err)
			}
		}
		salted := strings.Replace(string(payload), e.Salt.String(), erasedSalt, 1)
		if _, err := evidence.Parse([]byte(salted)); !is(err, fieldErr("salt")) {
			t.Errorf("%s with the salt alone: %v", kind, err)
		}
	}
	issued := good["copy.issued"]
	b := issued.Body.(evidence.CopyIssued)
	b.Purpose = evidence.Erased
	issued.Body = b
	if _, err := s.apply(issued); !is(err, fieldErr("body")) {
		t.Errorf("another purpose than was requested: %v", err)
	}
}

// erasedSalt is the SHA-256 of what stands for what was erased.
var erasedSalt = digest.SHA256(sha256.Sum256([]byte(evidence.Erased))).String()
