package verify_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

// TestWithheldExcusesNothing: somebody with the ledger's key and a person's withholds one
// entry and breaks the law behind it, in ways that no missing entry could have allowed. So
// nothing that is shown is replaced, and nobody is given what they may not have.
func TestWithheldExcusesNothing(t *testing.T) {
	truth, lie := []byte("the true bytes"), []byte("the false bytes")
	set := func(content []byte) digest.Set {
		s, err := digest.Set{}.With(digest.AlgSHA256, digest.SHA256(sha256.Sum256(content)).String())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	intake := uuid.Must(uuid.NewV7())
	facts := func(n evidence.Number, content []byte) evidence.Facts {
		return evidence.Facts{
			Intake: intake, Exhibit: "E-001", Number: n, Size: int64(len(content)), Declared: set(content), Received: set(content),
			ReadBack: set(content), ReadSource: "medium", Objects: []evidence.Object{{
				Role: evidence.Content, Bucket: "evidence", Key: "k", Version: "1", Size: int64(len(content)), SHA256: sha256.Sum256(content), Lock: "none",
			}},
		}
	}
	declared := evidence.IntakeDeclared{
		Intake: intake, Exhibit: "E-001", Title: "x.dd", Size: int64(len(truth)), Declared: set(truth),
		Acquisition: evidence.Acquisition{Tool: "dd", Witness: "w", Place: "p"},
	}
	sealed := []evidence.Body{declared, evidence.CopySealed{Facts: facts("M3", truth)}}
	exhibit := func(label evidence.Name) evidence.Body {
		return evidence.ExhibitAdded{Label: label, Kind: "disk", FoundBy: "x", FoundAt: "y", Witness: "z"}
	}
	requested := func(exhibit evidence.Name, of evidence.Number, to string) evidence.Body {
		r := evidence.CopyRequested{Intake: intake, Exhibit: exhibit, Binding: evidence.Binding{Of: of, Purpose: "x", To: "analyst1"}}
		switch to {
		case "revoked":
			r.To = "analyst2"
		case "nobody":
			r.To = "nobody7"
		case "no role":
			r.To = "admin1"
		}
		return r
	}
	other := digest.SHA256{9}
	mismatch := func(n int) evidence.Body {
		return evidence.FixityChecked{Exhibit: "E-001", Number: "M2", Result: evidence.Mismatch, Source: "medium", SHA256: &other, Finding: n}
	}
	for name, test := range map[string]struct {
		lawful []evidence.Body // by examiner1, as is the breach; checks by the service
		breach evidence.Body
	}{
		"a copy sealed again":                 {sealed, evidence.CopySealed{Facts: facts("M3", lie)}},
		"a copy sealed again with a number":   {sealed, evidence.CopySealed{Facts: facts("M4", truth)}},
		"another copy of a number":            {sealed[:1], evidence.CopySealed{Facts: facts("M2", truth)}},
		"other bytes than declared":           {sealed[:1], evidence.CopySealed{Facts: facts("M3", lie)}},
		"a working copy sealed":               {sealed[:1], evidence.CopySealed{Facts: facts("W4", truth)}},
		"an intake declared again":            {sealed, declared},
		"an ended intake abandoned":           {sealed, evidence.IntakeAbandoned{Intake: intake, Reason: "x"}},
		"an exhibit again":                    {nil, exhibit("E-001")},
		"an exhibit that is like another":     {nil, exhibit("e-001")},
		"into a closed case":                  {[]evidence.Body{evidence.CaseClosed{Reason: "done"}}, exhibit("E-003")},
		"of a quarantined copy":               {nil, requested("E-002", "M1", "")},
		"of a working copy":                   {nil, requested("E-001", "W2", "")},
		"for one who was revoked":             {nil, requested("E-001", "M1", "revoked")},
		"for nobody":                          {nil, requested("E-001", "M1", "nobody")},
		"for one who may not":                 {nil, requested("E-001", "M1", "no role")},
		"a finding that is another's":         {nil, mismatch(1)},
		"a second finding on a copy":          {[]evidence.Body{mismatch(2)}, mismatch(3)},
		"a hold placed on nobody's authority": {nil, evidence.HoldPlaced{Name: "a", Authority: "b", Reason: "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			event := func(b evidence.Body) evidence.Event {
				if b, ok := b.(evidence.FixityChecked); ok {
					return s.Event(s.Case, "custodyd", b)
				}
				return s.Event(s.Case, "examiner1", b)
			}
			for _, b := range test.lawful {
				s.Record(event(b))
			}
			breach := s.Size()
			s.Append(event(test.breach))
			for what, without := range map[string]func(*bundletest.Story) bundletest.Without{
				"nothing": func(*bundletest.Story) bundletest.Without { return bundletest.Without{} },
				"denial":  of("access.denied"), "the case": of("case.opened"), "denial and the case": of("case.opened", "access.denied"),
			} {
				if name == "into a closed case" && strings.Contains(what, "the case") {
					continue // then nobody knows that it is one
				}
				packed := bundletest.Write(t, s.Disclose(without(s)))
				r := judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
				if diff := cmp.Diff([]string{fmt.Sprintf("law entry %d", breach)}, codes(r.Findings)); diff != "" {
					t.Errorf("without %s: %v\n%s", what, r.Findings, diff)
				}
				if f := fileOf(t, packed, r, lie); len(f.Copies) > 0 {
					t.Errorf("without %s the false bytes are %v", what, f.Copies)
				}
			}
		})
	}
}

func fileOf(t *testing.T, packed []byte, r verify.Report, content []byte) verify.FileReport {
	t.Helper()
	b, err := bundle.Open(t.Context(), bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	open := func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(content), off, n)), nil
	}
	f, err := verify.File(t.Context(), b, r, "a.dd", open, int64(len(content)), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestWithheldCanForbid: what is withheld can be what forbids what follows, or what speaks
// against a copy. Nobody can tell, so everybody is told.
func TestWithheldCanForbid(t *testing.T) {
	other := digest.SHA256{9}
	for name, test := range map[string]struct {
		hidden evidence.Body
		by     string
		behind evidence.Body
		file   []byte
	}{
		"a hold": {hidden: evidence.HoldPlaced{Name: "suit", Authority: "Court", Reason: "so"}, by: "admin1"},
		"an end": {
			evidence.CaseClosed{Reason: "done"},
			"examiner1",
			evidence.ExhibitAdded{Label: "E-055", Kind: "disk", FoundBy: "x", FoundAt: "y", Witness: "z"},
			nil,
		},
		"a mismatch": {evidence.FixityChecked{
			Exhibit: "E-001", Number: "M2", Result: evidence.Mismatch, Source: "medium", SHA256: &other, Finding: 2,
		}, "custodyd", nil, bundletest.Small},
	} {
		t.Run(name, func(t *testing.T) {
			s := bundletest.NewStory(t)
			s.Enrol("admin1", "custodian1", "custodian")
			hidden := s.Size()
			event := s.Event(s.Case, "examiner1", test.hidden)
			if test.by != "examiner1" {
				event = s.Event(s.Case, "custodyd", test.hidden)
				if test.by != "custodyd" {
					event = s.Event(s.Case, "admin1", test.hidden)
				}
			}
			s.Record(event)
			if test.behind != nil {
				s.Append(s.Event(s.Case, "examiner1", test.behind))
			}
			packed := bundletest.Write(t, s.Disclose(bundletest.Withhold(hidden)))
			r := judge(t, packed, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
			says := func(list []string) bool {
				return slices.ContainsFunc(list, func(s string) bool {
					return strings.Contains(s, fmt.Sprintf("in entry %d ", hidden)) && strings.Contains(s, "holds or closes the case, or quarantines a copy")
				})
			}
			if r.Verdict != verify.Verified || !says(r.NotChecked) {
				t.Errorf("%s %v %q", r.Verdict, r.Findings, r.NotChecked)
			}
			if test.file == nil {
				return
			}
			f := fileOf(t, packed, r, test.file)
			var text strings.Builder
			if err := f.Text(&text); err != nil {
				t.Fatal(err)
			}
			if f.Verdict != verify.Verified || !says(f.Bundle.NotChecked) || !strings.Contains(text.String(), "quarantines a copy") {
				t.Errorf("%s\n%s", f.Verdict, text.String())
			}
		})
	}
}
