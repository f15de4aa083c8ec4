package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
)

// Whatever people do, and in whatever order, these hold.
func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).IntN
		lab, replay := evidencetest.New(), evidencetest.New()
		state := marshal(t, lab)
		for range rapid.IntRange(0, 200).Draw(t, "events") {
			e := lab.Draw(choose)
			at := lab.Position(e)
			ch, err := evidence.Apply(lab, e, at)
			if after := marshal(t, lab); after != state {
				t.Fatalf("%s: asking the law has changed the state\n%s\n%s", e.Kind(), state, after)
			}
			if err != nil {
				if !lawful(err) || !empty(ch) {
					t.Fatalf("%s: %v, changes %+v", e.Kind(), err, ch)
				}
				continue
			}
			// What happened is read back from its payload by somebody else.
			payload, err := e.Encode()
			if err != nil {
				t.Fatalf("%s: %v", e.Kind(), err)
			}
			read, err := evidence.Parse(payload)
			if err != nil || !reflect.DeepEqual(e, read) {
				t.Fatalf("%s: %v\nencoded %+v\nparsed  %+v", e.Kind(), err, e, read)
			}
			again, err := evidence.Apply(replay, read, at)
			if err != nil || !reflect.DeepEqual(ch, again) {
				t.Fatalf("%s: %v\nfirst  %+v\nsecond %+v", e.Kind(), err, ch, again)
			}
			allowed(t, lab, e, at, ch)
			leaf := sha256.Sum256(payload)
			lab.Record(e, leaf, ch)
			replay.Record(read, leaf, again)
			state = marshal(t, lab)
		}
		if second := marshal(t, replay); second != state {
			t.Fatalf("folding twice\n%s\n%s", state, second)
		}
		whole(t, lab)
	})
}

// A walk that meets only refusals, or never some kind of event, shows nothing.
func TestWalkGoesEverywhere(t *testing.T) {
	happened, refused := map[evidence.Kind]int{}, map[evidence.Kind]int{}
	for seed := range uint64(60) {
		choose := rand.New(rand.NewPCG(seed, 0)).IntN
		lab := evidencetest.New()
		for range 400 {
			e := lab.Draw(choose)
			if err := lab.Do(e); err != nil {
				refused[e.Kind()]++
			} else {
				happened[e.Kind()]++
			}
		}
	}
	for _, kind := range evidence.Kinds() {
		if happened[kind] < 20 || refused[kind] < 20 {
			t.Errorf("%s happened %d times and was refused %d times", kind, happened[kind], refused[kind])
		}
	}
}

// allowed looks at an event that may happen, before it does.
func allowed(t *rapid.T, lab *evidencetest.Lab, e evidence.Event, at evidence.Position, ch evidence.Changes) {
	if p, err := lab.Person(e.Actor); err == nil && p.Revoked != nil {
		t.Fatalf("%s by %s, who was revoked", e.Kind(), e.Actor)
	} else if err != nil && e.Actor != identity.Service {
		t.Fatalf("%s by %s: %v", e.Kind(), e.Actor, err)
	}
	leaves := func(exhibit evidence.Name, number evidence.Number, to identity.Principal) {
		c, err := lab.Copy(evidence.CopyID{Case: e.Case, Exhibit: exhibit, Number: number})
		if err != nil || c.Class != evidence.Working || c.To != to || c.State != evidence.Issued || c.Quarantined() {
			t.Fatalf("%s to %s of %+v: %v", e.Kind(), to, c, err)
		}
		if _, received := e.Body.(evidence.CopyReceived); received && c.Fetched == nil {
			t.Fatalf("%s of what never left: %+v", e.Kind(), c)
		}
	}
	switch b := e.Body.(type) {
	case evidence.ContentRead:
		leaves(b.Exhibit, b.Number, e.OnBehalfOf.Principal)
	case evidence.CopyReceived:
		leaves(b.Exhibit, b.Number, e.Actor)
	case evidence.CaseExported:
		for _, id := range b.Contents {
			leaves(id.Exhibit, id.Number, e.OnBehalfOf.Principal)
		}
	case evidence.CopySealed:
		equal(t, b.Facts, b.Declared, b.Received, b.ReadBack)
	case evidence.CopyIssued:
		master, _ := lab.Copy(evidence.CopyID{Case: e.Case, Exhibit: b.Exhibit, Number: b.Of})
		equal(t, b.Facts, b.Declared, b.ReadBack, master.Digests)
	}
	for _, c := range ch.Copies {
		old, err := lab.Copy(c.CopyID)
		if err != nil { // new
			i, err := lab.Intake(c.Intake)
			holder, state := i.By, evidence.Sealed
			if c.Class == evidence.Working {
				holder, state = i.To, evidence.Issued
			}
			if err != nil || c.Custodian != holder || c.State != state || c.SealedBy != e.Actor || c.Sealed != at.Time {
				t.Fatalf("%s made %+v of %+v: %v", e.Kind(), c, i, err)
			}
			continue
		}
		if !bytes.Equal(bytesOf(c.Objects), bytesOf(old.Objects)) || c.Digests != old.Digests || c.Class != old.Class || c.To != old.To {
			t.Fatalf("%s made another copy of\n%+v\n%+v", e.Kind(), old, c)
		}
		if len(c.Findings) < len(old.Findings) {
			t.Fatalf("%s closed a finding of %+v", e.Kind(), old)
		}
		if _, read := e.Body.(evidence.ContentRead); read {
			if old.Fetched != nil || *c.Fetched != at.Time || c.Changed != old.Changed {
				t.Fatalf("%s made of %+v\n%+v", e.Kind(), old, c)
			}
		} else if _, erased := e.Body.(evidence.PayloadErased); erased {
			if c.Changed != old.Changed {
				t.Fatalf("%s, which is no change, of %+v\n%+v", e.Kind(), old, c)
			}
		} else if c.Changed != at.CaseSeq {
			t.Fatalf("%s changed %s, which says that entry %d did", e.Kind(), c.CopyID, c.Changed)
		}
	}
	for _, i := range ch.Intakes {
		if old, err := lab.Intake(i.Intake); err == nil && old.State != evidence.Declared && old.State != i.State {
			t.Fatalf("%s moved an intake that was %s", e.Kind(), old.State)
		}
	}
}

func bytesOf(objects []evidence.Object) (b []byte) {
	for _, o := range objects {
		b = append(append(append(b, o.Key...), o.Version...), o.SHA256[:]...)
	}
	return b
}

// equal demands SHA-256 in all three sets, and no difference in any algorithm.
func equal(t *rapid.T, b evidence.Facts, sets ...digest.Set) {
	for _, one := range sets {
		if _, ok := one.SHA256(); !ok {
			t.Fatalf("no SHA-256 among the hashes of %+v", b)
		}
		for _, other := range sets {
			if len(digest.Differ(one, other)) > 0 {
				t.Fatalf("the hashes differ: %+v", b)
			}
		}
	}
	if content, _ := b.ReadBack.SHA256(); b.Objects[0].SHA256 != content {
		t.Fatalf("the object is not what was read back: %+v", b)
	}
}

// whole looks at the state that all the events have led to.
func whole(t *rapid.T, lab *evidencetest.Lab) {
	all := lab.All()
	copies := map[evidence.CaseID]map[string]evidence.Copy{}
	for _, c := range all.Copies {
		if copies[c.Case] == nil {
			copies[c.Case] = map[string]evidence.Copy{}
		}
		copies[c.Case][c.CopyID.String()] = c
		i, err := lab.Intake(c.Intake)
		if err != nil {
			t.Fatalf("%s has no intake: %v", c.CopyID, err)
		}
		want := map[evidence.Class]evidence.State{evidence.Master: evidence.Sealed, evidence.Working: evidence.Issued}[c.Class]
		if i.State == evidence.Quarantined && c.Quarantined() {
			want = evidence.Quarantined
		}
		if i.State != want || i.Class != c.Class || c.Number.Class() != c.Class {
			t.Fatalf("copy and intake\n%+v\n%+v", c, i)
		}
		if (c.Class == evidence.Working) != (c.To != "" && c.Of != "" && c.Purpose != "") {
			t.Fatalf("bound to whom? %+v", c)
		}
	}
	deposited := 0
	for _, i := range all.Intakes {
		if i.State != evidence.Declared && i.State != evidence.Abandoned {
			deposited++
		}
	}
	if deposited != len(all.Copies) {
		t.Fatalf("%d intakes have ended as copies, there are %d", deposited, len(all.Copies))
	}
	for _, x := range all.Exhibits {
		for class, last := range x.Numbers {
			for n := range last {
				id := evidence.CopyID{Case: x.Case, Exhibit: x.Label, Number: evidence.NumberOf(class, n+1)}
				if _, ok := copies[x.Case][id.String()]; !ok {
					t.Fatalf("%s is missing", id)
				}
				delete(copies[x.Case], id.String())
			}
		}
	}
	for _, rest := range copies {
		if len(rest) > 0 {
			t.Fatalf("copies beyond their exhibit's numbers: %+v", rest)
		}
	}
	open := 0
	for _, c := range all.Cases {
		for n := range c.Findings {
			f, err := lab.Finding(c.ID, n+1)
			if err != nil || f.State != evidence.Open {
				t.Fatalf("finding %d of %s: %+v, %v", n+1, c.Reference, f, err)
			}
			blocked, err := lab.Copy(evidence.CopyID{Case: c.ID, Exhibit: f.Exhibit, Number: f.Copy})
			if err != nil || !blocked.Quarantined() {
				t.Fatalf("finding %d of %s does not block %+v: %v", n+1, c.Reference, blocked, err)
			}
			open++
		}
	}
	if open != len(all.Findings) {
		t.Fatalf("%d findings are counted, there are %d", open, len(all.Findings))
	}
}
