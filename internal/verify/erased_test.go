package verify_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// erasing is a story in which the payload of the first exhibit's entry is erased by what
// make makes of a true erasure.
func erasing(t *testing.T, change func(*bundletest.Story, *evidence.PayloadErased)) (s *bundletest.Story, bag bundletest.Bag, payload []byte, n int64) {
	t.Helper()
	s = bundletest.NewStory(t)
	s.Enrol("admin1", "custodian1", identity.RoleCustodian, identity.RoleLegal)
	n = s.EntryOf("exhibit.added", 0)
	before := bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
	payload = before[bundle.EntryPath(bundle.KindPayload, n)]
	event, err := evidence.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	b := evidence.PayloadErased{Entry: n, Leaf: leafOf(t, before, n), Authority: "court", Reason: "ordered", Residue: residue(t, event)}
	if change != nil {
		change(s, &b)
	}
	s.Append(s.Event(event.Case, "custodian1", b)) // whatever the law says
	s.Seal()
	bag = bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
	delete(bag, bundle.EntryPath(bundle.KindPayload, n))
	bag.Recompute()
	return s, bag, payload, n
}

func residue(t *testing.T, e evidence.Event) []byte {
	t.Helper()
	left, err := evidence.Residue(e)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, left)
}

func leafOf(t *testing.T, bag bundletest.Bag, seq int64) digest.SHA256 {
	t.Helper()
	for line := range strings.Lines(string(bag[bundle.EntriesFile])) {
		line = strings.TrimSuffix(line, "\n")
		if e, err := ledger.ParseEnvelope([]byte(line)); err == nil && e.Seq == seq {
			return digest.SHA256(ledger.LeafHash([]byte(line)))
		}
	}
	t.Fatalf("there is no entry %d", seq)
	return digest.SHA256{}
}

// What was erased is missing, and everything holds; whatever else is missing does not, and
// an erasure that says what is not so is told.
func TestErased(t *testing.T) {
	other := func(field string) func(*bundletest.Story, *evidence.PayloadErased) {
		return func(s *bundletest.Story, b *evidence.PayloadErased) {
			bag := bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
			second := s.EntryOf("exhibit.added", 1)
			event, err := evidence.Parse(bag[bundle.EntryPath(bundle.KindPayload, second)])
			if err != nil {
				t.Fatal(err)
			}
			switch field {
			case "leaf":
				b.Leaf = leafOf(t, bag, second)
			case "entry":
				b.Entry = second
			case "residue":
				b.Residue = residue(t, event)
			case "fact":
				b.Residue = json.RawMessage(strings.Replace(string(b.Residue), `"kind":"disk"`, `"kind":"other"`, 1))
			}
		}
	}
	held := func(s *bundletest.Story, b *evidence.PayloadErased) {
		left, err := b.Left()
		if err != nil {
			t.Fatal(err)
		}
		s.Record(s.Event(left.Case, "custodian1", evidence.HoldPlaced{Name: "court-1", Authority: "court", Reason: "appeal"}))
	}
	keep := func(bag bundletest.Bag, payload []byte, n int64) {
		bag[bundle.EntryPath(bundle.KindPayload, n)] = payload
	}
	for name, test := range map[string]struct {
		change func(*bundletest.Story, *evidence.PayloadErased)
		tamper func(bag bundletest.Bag, payload []byte, n int64)
		want   []string // codes; N the erased entry, E the one that erases it
	}{
		"erased":      {nil, nil, nil},
		"still there": {nil, keep, nil},
		"still there, and another": {nil, func(bag bundletest.Bag, p []byte, n int64) {
			keep(bag, []byte(strings.Replace(string(p), `"kind":"disk"`, `"kind":"other"`, 1)), n)
		}, []string{"payload-hash N", "signature N"}},
		"under a hold":                     {held, nil, []string{"law E"}},
		"another entry's hash":             {other("leaf"), nil, []string{"erasure E", "payload-missing N"}},
		"another entry":                    {other("entry"), nil, []string{"erasure E", "payload-missing N"}},
		"still there, what is left is not": {other("fact"), keep, []string{"erasure N"}},
		"without the erasure": {nil, func(bag bundletest.Bag, _ []byte, n int64) {
			for path := range maps.Clone(bag) {
				if strings.HasSuffix(path, ".json") && strings.Contains(string(bag[path]), `"action":"payload.erased"`) {
					delete(bag, path)
				}
			}
		}, []string{"payload-missing E", "payload-missing N"}},
		"without the signature": {nil, func(bag bundletest.Bag, _ []byte, n int64) {
			delete(bag, bundle.EntryPath(bundle.KindSignature, n))
		}, []string{"signature-missing N"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, bag, payload, n := erasing(t, test.change)
			if test.tamper != nil {
				test.tamper(bag, payload, n)
				bag.Recompute()
			}
			r := judge(t, bag.Zip(t), verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			agrees(t, bag.Zip(t), &verify.Policy{Key: s.Key()}, r.Verdict)
			named := strings.NewReplacer(fmt.Sprintf("entry %d", n), "N", fmt.Sprintf("entry %d", s.EntryOf("payload.erased", 0)), "E")
			var got []string
			for _, f := range r.Findings {
				got = append(got, named.Replace(fmt.Sprintf("%s %s", f.Code, f.Subject)))
			}
			slices.Sort(got)
			if slices.Contains(test.want, "payload-missing N") { // all that builds on it follows
				got = slices.DeleteFunc(got, func(f string) bool { return !slices.Contains(test.want, f) })
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\n%v", diff, r.Findings)
			}
			if (r.Verdict == verify.Verified) != (len(test.want) == 0) {
				t.Errorf("%s", r.Verdict)
			}
			if name != "erased" {
				return
			}
			if r := judge(t, bag.Zip(t), verify.Options{Policy: &verify.Policy{Key: s.Key()}, Complete: true}); r.Verdict != verify.Incomplete || len(r.Findings) > 0 {
				t.Errorf("where all is demanded: %s %v", r.Verdict, r.Findings)
			}
			want := []verify.Erased{{
				Entry: n, ErasedBy: s.EntryOf("payload.erased", 0), By: "custodian1", At: r.Erased[0].At, Authority: "court", Reason: "ordered",
			}}
			if diff := cmp.Diff(want, r.Erased); diff != "" {
				t.Error(diff)
			}
			var text strings.Builder
			if err := r.Text(&text); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{" entries as far as they are shown: what 1 of them said is erased\n", "\nerased:\n", "by custodian1, on the authority of court: ordered", "and their signatures: what was signed is gone"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("the text lacks %q:\n%s", want, text.String())
				}
			}
		})
	}
}

// TestErasedGuise: somebody with the ledger's key erases what the service recorded against
// a copy, and has it look like something else.
func TestErasedGuise(t *testing.T) {
	other := digest.SHA256{9}
	for name, test := range map[string]struct {
		guise func(evidence.Event) evidence.Event
		want  []string
	}{
		"as it was": {func(e evidence.Event) evidence.Event { return e }, []string{"payload-form E", "payload-missing N"}},
		"as a denial": {func(e evidence.Event) evidence.Event {
			e.Body = evidence.AccessDenied{Exhibit: "E-001", Number: "M2", Operation: evidence.Fetch, Reason: evidence.Erased}
			return e
		}, []string{"payload-form E", "payload-missing N"}},
		"as a person's": {func(e evidence.Event) evidence.Event {
			e.Actor, e.OnBehalfOf = "examiner1", nil
			e.Body = evidence.ExhibitAdded{
				Label: "E-003", Kind: "disk", FoundBy: evidence.Erased, FoundAt: evidence.Erased, Witness: evidence.Erased,
			}
			return e
		}, []string{"signature N"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			s.Enrol("admin1", "custodian1", identity.RoleCustodian)
			n := s.Size()
			e := s.Event(s.Case, identity.Service, evidence.FixityChecked{
				Exhibit: "E-001", Number: "M2", Result: evidence.Mismatch, Source: "medium", SHA256: &other, Finding: 2, Detail: evidence.Erased,
			})
			s.Record(e)
			before := bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
			left := test.guise(e)
			payload := string(encode(t, residueless(left)))
			salt := digest.SHA256(sha256.Sum256([]byte(evidence.Erased)))
			payload = strings.NewReplacer(left.Salt.String(), salt.String(), "stands here", evidence.Erased).Replace(payload)
			body := evidence.PayloadErased{Entry: n, Leaf: leafOf(t, before, n), Authority: "court", Reason: "ordered", Residue: json.RawMessage(payload)}
			event := s.Event(s.Case, "custodian1", body)
			signed, err := event.Encode()
			if err != nil { // then whoever means to does without this program
				event.Body = evidence.PayloadErased{
					Entry: n, Leaf: body.Leaf, Authority: "court", Reason: "ordered", Residue: residue(t, s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "x"})),
				}
				signed = []byte(strings.Replace(string(encode(t, event)), string(event.Body.(evidence.PayloadErased).Residue), payload, 1))
			}
			eraser := s.Size()
			s.AppendRaw(s.Case, evidence.EraseEntry, signed, s.Sign("custodian1", signed))
			s.Seal()
			bag := bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
			delete(bag, bundle.EntryPath(bundle.KindPayload, n))
			bag.Recompute()
			r := judge(t, bag.Zip(t), verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			named := strings.NewReplacer(fmt.Sprintf("entry %d", n), "N", fmt.Sprintf("entry %d", eraser), "E")
			var got []string
			for _, c := range codes(r.Findings) {
				got = append(got, named.Replace(c))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s\n%v", diff, r.Findings)
			}
		})
	}
}

// residueless gives an event as a residue is without what makes it one.
func residueless(e evidence.Event) evidence.Event {
	switch b := e.Body.(type) {
	case evidence.ExhibitAdded:
		b.FoundBy, b.FoundAt, b.Witness = "stands here", "stands here", "stands here"
		e.Body = b
	}
	return e
}

// TestErasedLive: what looks erased is nothing that somebody could have recorded.
func TestErasedLive(t *testing.T) {
	s := bundletest.NewStory(t)
	n := s.Size()
	payload := residue(t, s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-003", Kind: "disk", FoundBy: "x", FoundAt: "y", Witness: "z"}))
	s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("examiner1", payload))
	r := judge(t, bundletest.Write(t, s.Disclose(bundletest.Without{})), verify.Options{Policy: &verify.Policy{Key: s.Key()}})
	if diff := cmp.Diff([]string{fmt.Sprintf("payload-form entry %d", n)}, codes(r.Findings)); diff != "" {
		t.Error(diff)
	}
}
