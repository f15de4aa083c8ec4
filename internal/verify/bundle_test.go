package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

func judge(tb testing.TB, packed []byte, o verify.Options) verify.Report {
	tb.Helper()
	b, err := bundle.Open(tb.Context(), bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		tb.Fatal(err)
	}
	r, err := verify.Bundle(tb.Context(), b, o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// codes gives the findings as "code subject", each once, sorted.
func codes(findings []verify.Finding) []string {
	var list []string
	for _, f := range findings {
		list = append(list, string(f.Code)+" "+f.Subject)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// told is one story for all tests that only tamper with its bundle.
type told struct {
	policy verify.Policy
	packed []byte
	bag    bundletest.Bag
}

func tell(tb testing.TB, contents ...evidence.Number) told {
	tb.Helper()
	s := bundletest.NewStory(tb)
	s.Seal(contents...)
	packed := bundletest.Write(tb, s.Bundle(contents...))
	return told{verify.Policy{Key: s.Key()}, packed, bundletest.Unpack(tb, packed)}
}

func TestVerified(t *testing.T) {
	story := tell(t, "W2", "W3")
	var progress int64
	var mu sync.Mutex
	r := judge(t, story.packed, verify.Options{Policy: &story.policy, Progress: func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		progress += n
	}})
	if r.Verdict != verify.Verified || len(r.Findings) > 0 {
		t.Fatal(r.Verdict, r.Findings)
	}
	if image := int64(len(bundletest.Image())); progress < image || progress > image+image/2 {
		t.Errorf("progress tells %d bytes", progress)
	}
	if r.Entries != 28 || r.Case.Entries != 21 || r.Case.Reference != bundletest.Reference || r.Checkpoint.Size != 30 || !r.Checkpoint.Trusted {
		t.Errorf("%d entries, case %+v, checkpoint %+v", r.Entries, r.Case, r.Checkpoint)
	}
	if r.Export.Entry != 29 || r.Export.For != "examiner1" {
		t.Errorf("export %+v", r.Export)
	}
	var copies []string
	for _, c := range r.Copies {
		copies = append(copies, strings.Join([]string{c.Copy, string(c.State), string(c.Custodian), c.Lock, c.ReadSource, string(c.Content)}, " "))
	}
	if diff := cmp.Diff([]string{
		"E-001/M1 sealed examiner1 directory medium ", "E-001/M2 sealed examiner1 directory medium ",
		"E-001/W1 returned analyst1 directory medium ", "E-001/W2 issued examiner1 directory medium verified",
		"E-001/W3 issued examiner1 directory medium verified", "E-002/M1 sealed examiner1 directory medium ",
	}, copies); diff != "" {
		t.Error(diff)
	}
	if !r.Copies[5].Quarantined || len(r.Recorded) != 1 || r.Recorded[0].Copy != "E-002/M1" {
		t.Errorf("recorded %+v", r.Recorded)
	}
	if len(r.People) != 5 || r.People[4].Revoked == nil {
		t.Errorf("people %+v", r.People)
	}
	for _, want := range []string{"after entry 29", "witnesses", "other cases", "E-001/M1, E-001/M2, E-001/W1, E-002/M1"} {
		if !slices.ContainsFunc(r.NotChecked, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("nothing of %q in %q", want, r.NotChecked)
		}
	}
	if len(r.Notes) != 2 { // the locks of a directory, and what the service started without
		t.Errorf("notes %q", r.Notes)
	}
	again := judge(t, story.packed, verify.Options{Policy: &story.policy, Workers: 7})
	one, errOne := json.Marshal(r)
	two, errTwo := json.Marshal(again)
	if errOne != nil || errTwo != nil || !bytes.Equal(one, two) {
		t.Error("two judgements of one bundle differ")
	}
	var out strings.Builder
	if err := r.Text(&out); err != nil || !strings.HasPrefix(out.String(), "verified: case 2026-0042, all 28 entries\n") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestPolicies(t *testing.T) {
	story, other := tell(t), tell(t)
	one := verify.Witness{Name: "one", Key: witnessKey(t, "witness.example/one").Key()}
	known := verify.Policy{Key: story.policy.Key, Witnesses: []verify.Witness{one}, Quorum: verify.NoQuorum}
	demanded := verify.Policy{Key: story.policy.Key, Witnesses: []verify.Witness{one}, Quorum: "one"}
	for name, row := range map[string]struct {
		policy  *verify.Policy
		verdict verify.Verdict
		want    []string
	}{
		"ours":     {&story.policy, verify.Verified, nil},
		"none":     {nil, verify.Incomplete, nil},
		"known":    {&known, verify.Verified, nil},
		"demanded": {&demanded, verify.Failed, []string{"witness-quorum data/checkpoint"}},
		"other":    {&other.policy, verify.Failed, []string{"checkpoint-signature data/checkpoint", "key-differs data/ledger.vkey"}},
	} {
		r := judge(t, story.packed, verify.Options{Policy: row.policy})
		if got := codes(r.Findings); r.Verdict != row.verdict || !slices.Equal(got, row.want) {
			t.Errorf("%s: %s %q", name, r.Verdict, got)
		}
		if trusted := r.Checkpoint.Trusted; trusted == (name == "none" || name == "other") {
			t.Errorf("%s: trusted %t", name, trusted)
		}
	}
}

func TestFailedText(t *testing.T) {
	story := tell(t)
	for name, row := range map[string]struct {
		change func(bundletest.Bag)
		want   []string
	}{
		"one":   {flip("data/logs/E-001-M1.log", 3), []string{"failed: case 2026-0042, 28 entries, 1 finding\n", "  data/logs/E-001-M1.log: object-differs: "}},
		"no id": {func(b bundletest.Bag) { b["data/entries.jsonl"] = nil }, []string{"failed: the bundle, 0 entries, ", "seal-missing"}},
		"many": {func(b bundletest.Bag) {
			for i := range 300 {
				b[bundle.EntryPath(bundle.KindPayload, int64(1000+i))] = nil
			}
		}, []string{", 300 findings\n", "  and 100 more\n"}},
	} {
		bag := story.bag.Clone()
		row.change(bag)
		bag.Recompute()
		var out strings.Builder
		if err := judge(t, bag.Zip(t), verify.Options{Policy: &story.policy}).Text(&out); err != nil {
			t.Error(err)
		}
		for _, want := range row.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, &out)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	story := tell(t, "W3")
	b, err := bundle.Open(t.Context(), bytes.NewReader(story.packed), int64(len(story.packed)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := verify.Bundle(ctx, b, verify.Options{Progress: func(int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := verify.Bundle(ctx, b, verify.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestLaw judges ledgers in which everything is signed and chained as it must be, but
// something happened that must not.
func TestLaw(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*bundletest.Story)
		want   []string
	}{
		"law": {func(s *bundletest.Story) {
			s.Append(s.Event(s.Case, "analyst1", evidence.CaseClosed{Reason: "so"}))
			s.Seal()
		}, []string{"law entry 29"}},
		"revoked signer": {func(s *bundletest.Story) {
			s.Append(s.Event(s.Case, "analyst2", evidence.CopyReceived{Exhibit: "E-001", Number: "W1"}))
			s.Seal()
		}, []string{"law entry 29"}},
		"unknown signer": {func(s *bundletest.Story) {
			s.NewKey("nobody1")
			s.Append(s.Event(s.Case, "nobody1", evidence.CaseClosed{Reason: "so"}))
			s.Seal()
		}, []string{"law entry 29", "signature-actor entry 29"}},
		"other's key": {func(s *bundletest.Story) {
			e := s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"})
			payload := encode(t, e)
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("admin1", payload))
			s.Seal()
		}, []string{"signature entry 29"}},
		"same id": {func(s *bundletest.Story) {
			e := s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"})
			s.Append(e)
			e.Body = evidence.ExhibitAdded{Label: "E-004", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}
			e.Seen = [32]byte(s.Head(s.Case).Last)
			s.Append(e)
			s.Seal()
		}, []string{"payload-id entry 30"}},
		"other case": {func(s *bundletest.Story) {
			e := s.Event(evidence.CaseID{7}, "examiner1", evidence.CaseOpened{Reference: "x", Title: "y", RetainDays: 1})
			payload := encode(t, e)
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("examiner1", payload))
			s.Seal()
		}, []string{"law entry 29", "payload-envelope entry 29"}},
		"other ledger": {func(s *bundletest.Story) {
			e := s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"})
			e.Log = "lab.example/other"
			s.Append(e)
			s.Seal()
		}, []string{"payload-envelope entry 29"}},
		"other type": {func(s *bundletest.Story) {
			payload := encode(t, s.Event(s.Case, "examiner1", evidence.ExhibitAdded{Label: "E-003", Kind: "paper", FoundBy: "x", FoundAt: "y", Witness: "z"}))
			s.AppendRaw(s.Case, evidence.KeysEntry, payload, s.Sign("examiner1", payload))
			s.Seal()
		}, []string{"payload-envelope entry 29"}},
		"no event": {func(s *bundletest.Story) {
			s.AppendRaw(s.Case, evidence.EventEntry, []byte("{}"), s.Sign("examiner1", []byte("{}")))
			s.Seal()
		}, []string{"payload-form entry 29"}},
		"no seal": {func(*bundletest.Story) {}, []string{"seal-missing entry 28"}},
		"entry after the seal": {func(s *bundletest.Story) {
			s.Seal()
			s.Record(s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "so"}))
		}, []string{"seal-missing entry 30"}},
		"seal as event": {func(s *bundletest.Story) {
			payload := encode(t, s.Event(s.Case, "custodyd", s.Exported()))
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("custodyd", payload))
		}, []string{"payload-envelope entry 29", "seal-missing entry 29"}},
		"seal of a longer chain": {func(s *bundletest.Story) {
			b := s.Exported()
			b.Case.Entries++
			s.Append(s.Event(s.Case, "custodyd", b))
		}, []string{"case-end entry 29"}},
		"seal of more people": {func(s *bundletest.Story) {
			b := s.Exported()
			b.System.Head[0] ^= 1
			s.Append(s.Event(s.Case, "custodyd", b))
		}, []string{"system-end entry 29"}},
		"seal of another's copy": {func(s *bundletest.Story) {
			b := s.Exported()
			b.Contents = []evidence.CopyID{{Case: s.Case, Exhibit: "E-001", Number: "W1"}}
			s.Append(s.Event(s.Case, "custodyd", b))
		}, []string{"content-missing data/content/E-001-W1.bin", "law entry 29"}},
		"enrolled after the seal was drawn up": {func(s *bundletest.Story) {
			b := s.Exported()
			s.Enrol("admin1", "late1", "legal")
			s.Append(s.Event(s.Case, "custodyd", b))
		}, []string{"law entry 30"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			row.change(s)
			policy := verify.Policy{Key: s.Key()}
			packed := bundletest.Write(t, s.Bundle())
			r := judge(t, packed, verify.Options{Policy: &policy})
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" {
				t.Errorf("%s\n%v", diff, r.Findings)
			}
			agrees(t, packed, &policy, r.Verdict)
		})
	}
}

func encode(t *testing.T, e evidence.Event) []byte {
	t.Helper()
	payload, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestForeignEntries gives a bundle entries of another case.
func TestForeignEntries(t *testing.T) {
	s := bundletest.NewStory(t)
	s.Seal()
	policy := verify.Policy{Key: s.Key()}
	whole := bundletest.Unpack(t, bundletest.Write(t, s.Bundle()))
	var other ledger.Envelope
	for e, err := range s.Source(s.Other, bundletest.Reference, nil).Entries {
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := ledger.ParseEnvelope(e.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if envelope.Case == ledger.CaseID(s.Other) && other.Log == "" {
			other = envelope
			whole[bundle.EntryPath(bundle.KindPayload, other.Seq)] = e.Payload
			whole[bundle.EntryPath(bundle.KindSignature, other.Seq)] = e.Signature
			whole[bundle.EntryPath(bundle.KindProof, other.Seq)] = e.Receipt
			lines := bytes.SplitAfter(whole[bundle.EntriesFile], []byte("\n"))
			whole[bundle.EntriesFile] = bytes.Join(slices.Insert(lines, int(other.Seq), append(bytes.Clone(e.Envelope), '\n')), nil)
		}
	}
	whole.Recompute()
	r := judge(t, whole.Zip(t), verify.Options{Policy: &policy})
	if diff := cmp.Diff([]string{"entry-case entry 5"}, codes(r.Findings)); diff != "" {
		t.Error(diff)
	}
	agrees(t, whole.Zip(t), &policy, r.Verdict)
}
