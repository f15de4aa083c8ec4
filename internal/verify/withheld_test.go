package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/verify"
)

// disclosed is a story of which not everything is shown.
func disclosed(tb testing.TB, without func(*bundletest.Story) bundletest.Without, contents ...evidence.Number) (told, *bundletest.Story) {
	tb.Helper()
	s := bundletest.NewStory(tb)
	packed := bundletest.Write(tb, s.Disclose(without(s), contents...))
	return told{verify.Policy{Key: s.Key()}, packed, bundletest.Unpack(tb, packed)}, s
}

func people(*bundletest.Story) bundletest.Without { return bundletest.Without{People: true} }

// of withholds the first entry of each kind.
func of(kinds ...evidence.Kind) func(*bundletest.Story) bundletest.Without {
	return func(s *bundletest.Story) bundletest.Without {
		var entries []int64
		for _, k := range kinds {
			entries = append(entries, s.EntryOf(k, 0))
		}
		slices.Sort(entries)
		return bundletest.Withhold(entries...)
	}
}

// TestDisclosures: whatever is withheld and stated leaves a bundle that verifies, and that
// says so; and a verifier can demand a bundle from which nothing is.
func TestDisclosures(t *testing.T) {
	for name, test := range map[string]struct {
		without  func(*bundletest.Story) bundletest.Without
		contents []evidence.Number
		withheld int      // entries
		copies   int      // that the report knows of
		text     []string // of the report
		absent   []string // files
	}{
		"people": {
			people,
			[]evidence.Number{"W2", "W3"},
			6, 6,
			[]string{
				"verified: case 2026-0042, all 28 entries as far as they are shown: what 6 of them say is withheld",
				"entries 0-1, 3, 6, 11, 16 (keys): pseudonymous",
				"can name people all the same:", "(exhibit.added)", "data/logs/E-001-M1.log", "data/files/E-001-M2.jsonl",
				"who signed: the bundle is pseudonymous",
			},
			[]string{"data/payloads/0.json", "data/payloads/16.json"},
		},
		"a reason to close": {of("access.denied"), nil, 1, 6, []string{"(event): privileged", "whether the law allowed it: withheld"}, nil},
		"a declaration": {
			of("intake.declared"),
			[]evidence.Number{"W3"},
			1, 6,
			[]string{"the logs and lists of files of E-001/M1: they are withheld", "whether the law allowed entry 10: that rests on what is withheld"},
			[]string{"data/logs/E-001-M1.log"},
		},
		"a sealing": {
			of("copy.sealed"), nil, 1, 5,
			[]string{"E-001/M2"},
			[]string{"data/logs/E-001-M1.log", "data/midstates/E-001-M1.midstates"},
		},
		"a set": {
			func(s *bundletest.Story) bundletest.Without {
				return bundletest.Withhold(s.EntryOf("intake.declared", 1))
			},
			[]evidence.Number{"W2"},
			1, 6, nil,
			[]string{"data/files/E-001-M2.jsonl"},
		},
		"an exhibit":      {of("exhibit.added"), []evidence.Number{"W2", "W3"}, 1, 6, []string{"whether the law allowed entries"}, nil},
		"a quarantine":    {of("copy.quarantined"), nil, 1, 5, nil, nil},
		"an issue":        {of("copy.issued", "copy.requested"), nil, 2, 5, nil, nil},
		"a request":       {of("copy.requested"), []evidence.Number{"W3"}, 1, 6, nil, nil},
		"a return":        {of("copy.returned"), nil, 1, 6, nil, nil},
		"a read":          {of("content.read"), nil, 1, 6, nil, nil},
		"a start":         {of("service.started"), nil, 1, 6, nil, nil},
		"the case itself": {of("case.opened"), []evidence.Number{"W3"}, 1, 6, []string{"verified: the bundle"}, nil},
		"nearly all": {
			of("case.opened", "exhibit.added", "intake.declared", "copy.sealed", "copy.requested", "copy.issued", "service.started"), nil, 7, 4, nil, nil,
		},
		"people and more": {
			func(s *bundletest.Story) bundletest.Without {
				w := of("exhibit.added", "intake.declared")(s)
				w.People = true
				return w
			}, []evidence.Number{"W2"}, 8, 6, []string{"(keys): pseudonymous", "(event): privileged"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			story, _ := disclosed(t, test.without, test.contents...)
			r := judge(t, story.packed, verify.Options{Policy: &story.policy})
			agrees(t, story.packed, &story.policy, r.Verdict)
			if r.Verdict != verify.Verified || len(r.Findings) > 0 {
				t.Fatal(r.Verdict, r.Findings)
			}
			if len(r.Withheld) != test.withheld || len(r.Copies) != test.copies {
				t.Errorf("%d entries withheld, %d copies: %+v", len(r.Withheld), len(r.Copies), r.Withheld)
			}
			for _, w := range r.Withheld {
				if story.bag[bundle.EntryPath(bundle.KindPayload, w.Entry)] != nil || w.Reason == "" || w.Type == "" {
					t.Errorf("%+v", w)
				}
			}
			var text strings.Builder
			if err := r.Text(&text); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.text {
				if !strings.Contains(text.String(), want) {
					t.Errorf("the text lacks %q:\n%s", want, text.String())
				}
			}
			for _, path := range test.absent {
				if _, there := story.bag[path]; there {
					t.Errorf("%s is there", path)
				}
			}
			r = judge(t, story.packed, verify.Options{Policy: &story.policy, Complete: true})
			if r.Verdict != verify.Incomplete || len(r.Findings) > 0 {
				t.Errorf("where all is demanded: %s %v", r.Verdict, r.Findings)
			}
			if r = judge(t, story.packed, verify.Options{}); r.Verdict != verify.Incomplete {
				t.Errorf("without a policy: %s", r.Verdict)
			}
		})
	}
}

// TestErasedAndWithheld: what was erased is no reason to doubt what is withheld, nor the
// other way round.
func TestErasedAndWithheld(t *testing.T) {
	for name, without := range map[string]bundletest.Without{"whole": {}, "pseudonymous": {People: true}} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			s.Enrol("admin1", "custodian1", identity.RoleCustodian)
			s.Enrol("admin1", "examiner2", identity.RoleExaminer) // of whom nothing else is left
			s.Record(s.Event(s.Case, "examiner2", evidence.ExhibitAdded{Label: "E-077", Kind: "disk", FoundBy: "x", FoundAt: "y", Witness: "z"}))
			s.Erase("custodian1", s.EntryOf("exhibit.added", 2))
			// Of the exhibits and the request nothing else is left that examiner1 signed before.
			for _, e := range []int64{s.EntryOf("case.opened", 0), s.EntryOf("exhibit.added", 0), s.EntryOf("exhibit.added", 1), s.EntryOf("intake.declared", 0)} {
				s.Erase("custodian1", e)
			}
			without.Entries = bundletest.Withhold(s.EntryOf("copy.returned", 0)).Entries
			packed := bundletest.Write(t, s.Disclose(without, "W3"))
			r := judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			agrees(t, packed, &verify.Policy{Key: s.Key()}, r.Verdict)
			if r.Verdict != verify.Verified || len(r.Findings) > 0 || len(r.Erased) != 5 {
				t.Errorf("%s %v %v", r.Verdict, r.Findings, r.Erased)
			}
			for _, what := range r.MayName {
				if strings.Contains(what, "exhibit.added") {
					t.Errorf("an erased entry is said to name people: %q", r.MayName)
				}
			}
			bag := bundletest.Unpack(t, packed)
			delete(bag, bundle.EntryPath(bundle.KindPayload, s.EntryOf("copy.requested", 0)))
			bag.Recompute()
			packed = bag.Zip(t)
			r = judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			agrees(t, packed, &verify.Policy{Key: s.Key()}, r.Verdict)
			if !slices.Contains(codes(r.Findings), fmt.Sprintf("payload-missing entry %d", s.EntryOf("copy.requested", 0))) {
				t.Error(codes(r.Findings))
			}
		})
	}
}

// TestNobodyNamed: a pseudonymous bundle has nothing of what the people's entries say but
// principals, and of those only who acts in what is shown.
func TestNobodyNamed(t *testing.T) {
	story, _ := disclosed(t, people)
	for path, content := range story.bag {
		for _, name := range []string{"Name of", "admin1", "analyst2", "person.enrolled\"", "person.revoked\"", "roles"} {
			if bytes.Contains(content, []byte(name)) && path != bundle.ReadmeFile && path != bundle.VerifierFile {
				t.Errorf("%s has %q", path, name)
			}
		}
	}
	var signers []string
	for line := range strings.Lines(string(story.bag[bundle.SignersFile])) {
		signers = append(signers, strings.Fields(line)[0])
		if n := len(strings.Fields(line)); n != 4 {
			t.Errorf("%d words, want principal, namespaces, type and key: %s", n, line)
		}
	}
	if diff := cmp.Diff([]string{"custodyd", "examiner1", "analyst1"}, signers); diff != "" {
		t.Error(diff)
	}
	r := judge(t, story.packed, verify.Options{Policy: &story.policy})
	if !r.Pseudonymous || len(r.People) > 0 || len(r.MayName) == 0 {
		t.Errorf("%v %v %v", r.Pseudonymous, r.People, r.MayName)
	}
	text, err := json.Marshal(judge(t, tell(t).packed, verify.Options{}))
	if err != nil || !bytes.Contains(text, []byte(`"pseudonymous":false,"withheld":[],"may_name":[]`)) {
		t.Errorf("a whole bundle: %v %s", err, text)
	}
}

// TestDisclosureTampered: the attacker has the bundle, recomputes the manifests, and has
// no key.
func TestDisclosureTampered(t *testing.T) {
	whole, s := disclosed(t, func(*bundletest.Story) bundletest.Without { return bundletest.Without{} })
	partial := bundletest.Unpack(t, bundletest.Write(t, s.Disclose(bundletest.Without{
		People: true, Entries: []evidence.Withheld{{Entry: s.EntryOf("exhibit.added", 0), Reason: "names a minor"}},
	})))
	exhibit, other := s.EntryOf("exhibit.added", 0), s.EntryOf("exhibit.added", 1)
	list := entries(t, partial)
	seal := list[len(list)-1]
	sealed := func(old, by string) func(bundletest.Bag) {
		return func(bag bundletest.Bag) {
			if !bytes.Contains(bag[seal.payload()], []byte(old)) {
				t.Fatalf("the seal has no %s: %s", old, bag[seal.payload()])
			}
			replace(seal.payload(), old, by)(bag)
		}
	}
	rogue := s.NewKey("rogue1")
	lines := strings.SplitAfter(string(partial[bundle.SignersFile]), "\n")
	signers := func(text ...string) func(bundletest.Bag) {
		return func(bag bundletest.Bag) { bag[bundle.SignersFile] = []byte(strings.Join(text, "")) }
	}
	line := func(p identity.Principal, key identity.PublicKey) string {
		return identity.AllowedSigner(p, key, identity.NamespaceEvent) + "\n"
	}
	entry := func(seq int64) string { return fmt.Sprintf(" entry %d", seq) }
	payload := func(seq int64) string { return bundle.EntryPath(bundle.KindPayload, seq) }
	for name, test := range map[string]struct {
		tamper func(bundletest.Bag)
		want   string   // a finding
		only   bool     // and no other
		not    []string // what must not be told as withheld
	}{
		"drop another payload": {func(bag bundletest.Bag) { delete(bag, payload(other)) }, "payload-missing" + entry(other), false, nil},
		"drop the seal's":      {func(bag bundletest.Bag) { delete(bag, seal.payload()) }, "payload-missing" + seal.subj(), false, nil},
		"put a payload back": {
			func(bag bundletest.Bag) { bag[payload(exhibit)] = whole.bag[payload(exhibit)] },
			"withheld-present" + entry(exhibit), true, nil,
		},
		"put another in its place": {
			func(bag bundletest.Bag) { bag[payload(exhibit)] = whole.bag[payload(other)] },
			"payload-hash" + entry(exhibit), false, nil,
		},
		"put somebody back": {
			func(bag bundletest.Bag) { bag[payload(1)] = whole.bag[payload(1)] },
			"withheld-present entry 1", false, nil,
		},
		"state another entry": {sealed(fmt.Sprintf(`"entry":%d`, exhibit), fmt.Sprintf(`"entry":%d`, other)), "payload-hash" + seal.subj(), false, nil},
		"state none":          {sealed(fmt.Sprintf(`,"withheld":[{"entry":%d,"reason":"names a minor"}]`, exhibit), ""), "payload-missing" + entry(exhibit), false, nil},
		"state no people":     {sealed(`"pseudonymous":true,`, ""), "payload-missing entry 1", false, nil},
		"swap the reason":     {sealed("names a minor", "was a mistake"), "payload-hash" + seal.subj(), false, nil},
		"state no reason":     {sealed(`"reason":"names a minor"`, `"reason":""`), "payload-form" + seal.subj(), false, nil},
		"state it twice": {
			sealed(`"withheld":[`, fmt.Sprintf(`"withheld":[{"entry":%d,"reason":"x"},`, exhibit)), "payload-form" + seal.subj(), false, nil,
		},
		"another key":          {signers(lines[0], line("examiner1", rogue), lines[2]), "allowed-signers data/allowed_signers", true, nil},
		"swapped keys":         {signers(strings.Replace(lines[1], "examiner1", "analyst1", 1), strings.Replace(lines[2], "analyst1", "examiner1", 1), lines[0]), "allowed-signers data/allowed_signers", true, nil},
		"a key more":           {signers(lines[0], lines[1], lines[2], line("rogue1", rogue)), "allowed-signers data/allowed_signers", true, nil},
		"a second key":         {signers(lines[0], lines[1], line("examiner1", rogue), lines[2]), "allowed-signers data/allowed_signers", true, nil},
		"a key less":           {signers(lines[0], lines[2]), "allowed-signers data/allowed_signers", true, nil},
		"renamed":              {signers(lines[0], strings.Replace(lines[1], "examiner1", "examiner9", 1), lines[2]), "allowed-signers data/allowed_signers", true, nil},
		"a comment":            {signers(lines[0], strings.Replace(lines[1], "\n", " Jane Roe\n", 1), lines[2]), "allowed-signers data/allowed_signers", true, nil},
		"renamed in a payload": {replace(payload(other), `"actor":"examiner1"`, `"actor":"examiner9"`), "payload-hash" + entry(other), false, nil},
		"drop a signature":     {func(bag bundletest.Bag) { delete(bag, payload(exhibit)+".sig") }, "signature-missing" + entry(exhibit), true, nil},
		"swap signatures":      {func(bag bundletest.Bag) { swap(bag, payload(exhibit)+".sig", payload(other)+".sig") }, "signature-hash" + entry(exhibit), false, nil},
		"a person's signature": {func(bag bundletest.Bag) { swap(bag, payload(0)+".sig", payload(1)+".sig") }, "signature-hash entry 0", false, nil},
		"drop a receipt": {
			func(bag bundletest.Bag) { delete(bag, bundle.EntryPath(bundle.KindProof, exhibit)) }, "receipt-missing" + entry(exhibit), true, nil,
		},
		"the log of a copy that is shown": {func(bag bundletest.Bag) { delete(bag, "data/logs/E-001-M1.log") }, "object-missing data/logs/E-001-M1.log", true, nil},
		"a log from elsewhere":            {func(bag bundletest.Bag) { bag["data/logs/E-002-M1.log"] = []byte("x") }, "object-unknown data/logs/E-002-M1.log", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bag := partial.Clone()
			test.tamper(bag)
			bag.Recompute()
			packed := bag.Zip(t)
			r := judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			agrees(t, packed, &verify.Policy{Key: s.Key()}, r.Verdict)
			got := codes(r.Findings)
			if r.Verdict != verify.Failed || !slices.Contains(got, test.want) || test.only && len(got) > 1 {
				t.Errorf("%s, want %q among %q", r.Verdict, test.want, got)
			}
		})
	}
}

func (l line) subj() string { return " " + l.subject() }

// TestWithheldObjects: what goes with a withheld declaration must not be there.
func TestWithheldObjects(t *testing.T) {
	story, s := disclosed(t, of("intake.declared"))
	story.bag["data/logs/E-001-M1.log"] = bundletest.ToolLog
	story.bag.Recompute()
	r := judge(t, story.bag.Zip(t), verify.Options{Policy: &verify.Policy{Key: s.Key()}})
	agrees(t, story.bag.Zip(t), &verify.Policy{Key: s.Key()}, r.Verdict)
	if diff := cmp.Diff([]string{"withheld-present data/logs/E-001-M1.log"}, codes(r.Findings)); diff != "" {
		t.Error(diff)
	}
}

// TestDisclosureByService: the service itself states what it must not, or breaks the law
// behind what it withholds. It can sign whatever it likes.
func TestDisclosureByService(t *testing.T) {
	digests := func(s *bundletest.Story) {
		f := evidence.Facts{Intake: uuid.Must(uuid.NewV7()), Exhibit: "E-001", Number: "M9", Size: 1, ReadSource: "medium"}
		for i, set := range []*digest.Set{&f.Declared, &f.Received, &f.ReadBack} {
			var err error
			if *set, err = set.With(digest.AlgSHA256, digest.SHA256{1 + byte(i/2)}.String()); err != nil {
				t.Fatal(err)
			}
		}
		f.Objects = []evidence.Object{{Role: evidence.Content, Bucket: "b", Key: "k", Version: "1", Size: 1, SHA256: digest.SHA256{2}, Lock: "none"}}
		s.Append(s.Event(s.Case, "examiner1", evidence.CopySealed{Facts: f}))
	}
	for name, test := range map[string]struct {
		before func(*bundletest.Story)
		state  func(*bundletest.Story) bundletest.Without
		want   []string
	}{
		"an entry of another case": {nil, func(s *bundletest.Story) bundletest.Without {
			return bundletest.Withhold(s.EntryOf("case.opened", 1))
		}, []string{"withheld-entry entry %d"}},
		"an entry to come": {nil, func(s *bundletest.Story) bundletest.Without {
			return bundletest.Withhold(s.Size() + 7)
		}, []string{"withheld-entry entry %d"}},
		"a seal of its own": {nil, func(s *bundletest.Story) bundletest.Without {
			return bundletest.Withhold(s.Size())
		}, []string{"payload-missing entry %d", "seal-missing entry %d"}},
		"a stranger's entry": {
			func(s *bundletest.Story) {
				s.NewKey("rogue1")
				s.Append(s.Event(s.Case, "rogue1", evidence.ExhibitAdded{Label: "E-9", Kind: "disk", FoundBy: "x", FoundAt: "y", Witness: "z"}))
			}, func(s *bundletest.Story) bundletest.Without {
				return bundletest.Withhold(s.EntryOf("exhibit.added", 2))
			},
			[]string{"signature-actor entry 29"},
		},
		"who may not": {func(s *bundletest.Story) {
			s.Append(s.Event(s.Case, "analyst1", evidence.CaseClosed{Reason: "so"}))
		}, of("exhibit.added"), []string{"law entry 29"}},
		"a closed case": {func(s *bundletest.Story) {
			s.Record(s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "so"}))
			s.Append(s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "again"}))
		}, people, []string{"law entry 30"}},
		"two principals of one key": {func(s *bundletest.Story) {
			payload := encode(t, s.Event(s.Case, "rogue1", evidence.CaseClosed{Reason: "so"}))
			s.AppendRaw(s.Case, evidence.EventEntry, payload, s.Sign("examiner1", payload))
		}, people, []string{"signature-actor entry 29"}},
		"three hashes that differ": {digests, of("intake.declared"), []string{"law entry 29"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			if test.before != nil {
				test.before(s)
			}
			src := s.Disclose(test.state(s))
			packed := bundletest.Write(t, src)
			r := judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			agrees(t, packed, &verify.Policy{Key: s.Key()}, r.Verdict)
			var want []string
			for _, w := range test.want {
				if strings.Contains(w, "%d") {
					w = fmt.Sprintf(w, s.Size()-1)
				}
				want = append(want, w)
			}
			if diff := cmp.Diff(want, codes(r.Findings)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFileWithheld: a file that is no copy that is shown can be one that is withheld; it is
// neither a copy nor none.
func TestFileWithheld(t *testing.T) {
	for name, test := range map[string]struct {
		without func(*bundletest.Story) bundletest.Without
		content []byte
		want    verify.Verdict
		says    string
	}{
		"withheld":     {of("copy.quarantined"), []byte("what has really come."), verify.Incomplete, "can be one that is withheld"},
		"shown":        {of("copy.quarantined"), bundletest.Small, verify.Verified, "is E-001/M2, E-001/W2"},
		"undeclared":   {of("intake.declared"), bundletest.Image(), verify.Verified, "is E-001/M1, E-001/W1, E-001/W3"},
		"pseudonymous": {people, []byte("of nobody"), verify.Failed, "is not what was sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			story, _ := disclosed(t, test.without)
			b, err := bundle.Open(t.Context(), bytes.NewReader(story.packed), int64(len(story.packed)))
			if err != nil {
				t.Fatal(err)
			}
			r := judge(t, story.packed, verify.Options{Policy: &story.policy})
			open := func(_ context.Context, off, n int64) (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(bytes.NewReader(test.content), off, n)), nil
			}
			f, err := verify.File(t.Context(), b, r, "a.dd", open, int64(len(test.content)), verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := f.Text(&text); err != nil || f.Verdict != test.want || !strings.Contains(text.String(), test.says) {
				t.Errorf("%v %s, want %s and %q:\n%s", err, f.Verdict, test.want, test.says, text.String())
			}
		})
	}
}

// TestAnythingWithheld: whichever lawful entries are withheld, alone or together, no
// finding comes of it, and what is shown is still judged.
func TestAnythingWithheld(t *testing.T) {
	s := bundletest.NewStory(t)
	s.Enrol("admin1", "custodian1", identity.RoleCustodian)
	for _, body := range []evidence.Body{
		evidence.HoldPlaced{Name: "suit", Authority: "Court", Reason: "so"},
		evidence.HoldLifted{Name: "suit", Authority: "Court", Reason: "over"},
		evidence.HoldPlaced{Name: "suit", Authority: "Court", Reason: "again"},
		evidence.HoldLifted{Name: "suit", Authority: "Court", Reason: "at last"},
	} {
		s.Record(s.Event(s.Case, "admin1", body))
	}
	other := digest.SHA256{9}
	for range 2 { // it is known the second time
		s.Record(s.Event(s.Case, identity.Service, evidence.FixityChecked{
			Exhibit: "E-001", Number: "M2", Result: evidence.Mismatch, Source: "medium", SHA256: &other, Finding: 2,
		}))
	}
	s.Record(s.Event(s.Case, identity.Service, evidence.FixityChecked{
		Exhibit: "E-001", Number: "M1", Result: evidence.Unreadable, Source: "medium", Gone: true, Finding: 3,
	}))
	s.Erase("custodian1", s.EntryOf("exhibit.added", 1))
	s.Seal()
	s.Record(s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "done"}))
	var can []int64
	for _, l := range entries(t, bundletest.Unpack(t, bundletest.Write(t, s.Disclose(bundletest.Without{})))) {
		erased := l.Seq == s.EntryOf("exhibit.added", 1)
		if evidence.CanWithhold(evidence.EntryType(l.Type)) && !erased {
			can = append(can, l.Seq)
		}
	}
	rnd := rand.New(rand.NewPCG(7, 42))
	var choices [][]int64
	for _, seq := range can {
		choices = append(choices, []int64{seq})
	}
	for range 40 {
		var some []int64
		for _, seq := range can {
			if rnd.IntN(3) == 0 {
				some = append(some, seq)
			}
		}
		choices = append(choices, some)
	}
	for i, choice := range append(choices, can) {
		w := bundletest.Withhold(choice...)
		w.People = i%2 == 0
		packed := bundletest.Write(t, s.Disclose(w))
		r := judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
		if r.Verdict != verify.Verified || len(r.Findings) > 0 {
			t.Errorf("without %v, pseudonymous %v: %s %v", choice, w.People, r.Verdict, r.Findings)
		}
	}
}
