package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/verify"
)

// TestNewer judges bundles of a service that knows more than this program: they are
// incomplete, and what can be judged still fails.
func TestNewer(t *testing.T) {
	added := evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}
	// later makes an event one of a later version.
	later := func(s *bundletest.Story, e evidence.Event, edits ...string) []byte {
		return []byte(strings.NewReplacer(edits...).Replace(string(encode(t, e))))
	}
	archived := []string{`"action":"exhibit.added"`, `"action":"exhibit.archived"`}
	version2 := []string{`"v":1}`, `"v":2,"where":"Lab 2"}`}
	record := func(s *bundletest.Story, actor identity.Principal, edits ...string) {
		payload := later(s, s.Event(s.Case, actor, added), edits...)
		s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign(actor, payload))
	}
	for name, row := range map[string]struct {
		change  func(*bundletest.Story)
		tamper  func(bundletest.Bag)
		verdict verify.Verdict
		want    []string
	}{
		"action": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", archived...); s.Seal() },
			verdict: verify.Incomplete, want: []string{"unknown-action entry 29"},
		},
		"version": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", version2...); s.Seal() },
			verdict: verify.Incomplete, want: []string{"unknown-action entry 29"},
		},
		"what builds on it": {change: func(s *bundletest.Story) {
			record(s, "examiner1", version2...)
			s.Append(s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-001", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}))
			s.Seal()
		}, verdict: verify.Incomplete, want: []string{"unknown-action entry 29", "unknown-action entry 30"}},
		"what stood before it": {change: func(s *bundletest.Story) {
			s.Append(s.Event(s.Case, "analyst1", evidence.CaseClosed{Reason: "so"}))
			record(s, "examiner1", version2...)
			s.Seal()
		}, verdict: verify.Failed, want: []string{"law entry 29", "unknown-action entry 30"}},
		"seal": {change: func(s *bundletest.Story) {
			e := s.Event(s.Case, "custodyd", s.Exported())
			payload := later(s, e, version2...)
			s.AppendRaw(s.Case, evidence.SealEntry, payload, s.Sign("custodyd", payload))
		}, verdict: verify.Incomplete, want: []string{"unknown-action entry 29"}},
		"no seal": {change: func(s *bundletest.Story) {
			record(s, "examiner1", version2...)
		}, verdict: verify.Failed, want: []string{"seal-missing entry 29", "unknown-action entry 29"}},
		"seal that is not the end": {change: func(s *bundletest.Story) {
			payload := later(s, s.Event(s.Case, "custodyd", s.Exported()), version2...)
			s.AppendRaw(s.Case, evidence.SealEntry, payload, s.Sign("custodyd", payload))
			s.Enrol("admin1", "late1", "legal")
		}, verdict: verify.Failed, want: []string{"seal-checkpoint entry 29", "unknown-action entry 29"}},
		"another's signature": {change: func(s *bundletest.Story) {
			payload := later(s, s.Event(s.Case, "examiner1", added), version2...)
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("admin1", payload))
			s.Seal()
		}, verdict: verify.Failed, want: []string{"signature entry 29", "unknown-action entry 29"}},
		"a stranger": {change: func(s *bundletest.Story) {
			s.NewKey("nobody1")
			record(s, "nobody1", version2...)
			s.Seal()
		}, verdict: verify.Failed, want: []string{"signature-actor entry 29", "unknown-action entry 29"}},
		"revoked": {
			change:  func(s *bundletest.Story) { record(s, "analyst2", version2...); s.Seal() },
			verdict: verify.Failed, want: []string{"law entry 29", "unknown-action entry 29"},
		},
		"an older version": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", `"v":1}`, `"v":0}`); s.Seal() },
			verdict: verify.Failed, want: []string{"payload-form entry 29"},
		},
		"a known action with more": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", `"v":1}`, `"v":1,"where":"Lab 2"}`); s.Seal() },
			verdict: verify.Failed, want: []string{"payload-form entry 29"},
		},
		"not canonical": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", `"v":1}`, `"v":2 }`); s.Seal() },
			verdict: verify.Failed, want: []string{"payload-form entry 29"},
		},
		"members twice": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", `"v":1}`, `"v":2,"v":2}`); s.Seal() },
			verdict: verify.Failed, want: []string{"payload-form entry 29"},
		},
		"no version": {
			change:  func(s *bundletest.Story) { record(s, "examiner1", `,"v":1}`, `}`); s.Seal() },
			verdict: verify.Failed, want: []string{"payload-form entry 29"},
		},
		"of another ledger": {
			change: func(s *bundletest.Story) {
				record(s, "examiner1", "lab.example", "lab.exemple", `"v":1}`, `"v":2}`)
				s.Seal()
			},
			verdict: verify.Failed, want: []string{"payload-envelope entry 29", "unknown-action entry 29"},
		},
		"id used before": {change: func(s *bundletest.Story) {
			e := s.Event(s.Case, "examiner1", added)
			s.Append(e)
			payload := later(s, e, version2...)
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("examiner1", payload))
			s.Seal()
		}, verdict: verify.Failed, want: []string{"payload-id entry 30", "unknown-action entry 30"}},
		"payload changed": {
			change: func(s *bundletest.Story) { record(s, "examiner1", version2...); s.Seal() },
			tamper: replace("data/payloads/29.json", "Lab 2", "Lab 3"), verdict: verify.Failed,
			want: []string{"payload-hash entry 29", "signature entry 29", "unknown-action entry 29"},
		},
		"object of another case's entry": {
			change: func(s *bundletest.Story) { record(s, "examiner1", version2...); s.Seal() },
			tamper: func(b bundletest.Bag) { b["data/logs/E-001-D1.log"] = nil }, verdict: verify.Incomplete,
			want: []string{"unknown-action data/logs/E-001-D1.log", "unknown-action entry 29"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			row.change(s)
			policy := verify.Policy{Key: s.Key()}
			packed := bundletest.Write(t, s.Bundle())
			if row.tamper != nil {
				bag := bundletest.Unpack(t, packed)
				row.tamper(bag)
				bag.Recompute()
				packed = bag.Zip(t)
			}
			r := judge(t, packed, verify.Options{Policy: &policy})
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" || r.Verdict != row.verdict {
				t.Errorf("%s: %s\n%v", r.Verdict, diff, r.Findings)
			}
			agrees(t, packed, &policy, r.Verdict)
		})
	}
}

// TestNewerKeys enrols somebody in a version that this program does not know: whose key
// is whose cannot be told from there on.
func TestNewerKeys(t *testing.T) {
	s := bundletest.NewStory(t)
	event := s.Event(evidence.CaseID{}, "admin1", evidence.PersonEnrolled{Principal: "new1", Name: "N", Roles: identity.Roles{"examiner"}, Key: s.NewKey("new1")})
	v1 := encode(t, event)
	v2 := bytes.Replace(v1, []byte(`"v":1}`), []byte(`"v":2}`), 1)
	s.AppendRaw(evidence.CaseID{}, evidence.KeysEntry, v1, s.Sign("admin1", v2)) // the writer has to know it
	s.Append(s.Event(s.Case, "new1", evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}))
	s.Seal()
	policy := verify.Policy{Key: s.Key()}
	bag := bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
	bag[bundle.EntryPath(bundle.KindPayload, 29)] = v2
	bag.Recompute()
	r := judge(t, bag.Zip(t), verify.Options{Policy: &policy})
	got := slices.DeleteFunc(codes(r.Findings), func(s string) bool { return s == "payload-hash entry 29" }) // of v1
	want := []string{"unknown-action data/allowed_signers", "unknown-action entry 29", "unknown-action entry 30"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, r.Findings)
	}
}
