package custody_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/verify"
)

// denied checks that what has just been refused stands in the ledger.
func (l *lab) denied(name string, entries int64, p identity.Principal, number evidence.Number, op evidence.Operation, err error) {
	l.t.Helper()
	if !errors.Is(err, evidence.ErrForbidden) && !errors.As(err, new(*evidence.TransitionError)) {
		l.t.Errorf("%s: error is %v", name, err)
		return
	}
	if now := l.Stats().Entries; now != entries+1 {
		l.t.Errorf("%s: %d entries more", name, now-entries)
	}
	last := l.last()
	b, ok := last.Body.(evidence.AccessDenied)
	if !ok || b.Exhibit != "E-001" || b.Number != number || b.Operation != op || b.Reason != err.Error() ||
		last.Actor != identity.Service || last.OnBehalfOf == nil || last.OnBehalfOf.Principal != p {
		l.t.Errorf("%s: the newest entry is %+v for %+v", name, last.Body, last.OnBehalfOf)
	}
}

// TestDenied asks for what nobody, or not this person, may have.
func TestDenied(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := []byte("a small image")
	l.seal(image)
	l.issue("M1", "analyst1") // W1
	l.issue("M1", "analyst1") // W2, comes back
	got := sum(image)
	l.record("custodian1", theCase, evidence.CopyReturned{
		Exhibit: "E-001", Number: "W2", Outcome: evidence.Unchanged, Size: int64(len(image)), SHA256: &got,
	})
	l.issue("M1", "analyst1") // W3, damaged
	damage(t, l.objectFile("W3", evidence.Content), 3)
	if v := l.verify("analyst1", "W3"); v.Err != nil || v.Verdict.Result != evidence.Mismatch {
		t.Fatalf("the damaged copy: %+v", v)
	}

	for _, p := range staff {
		who := p.principal
		for _, number := range []evidence.Number{"M1", "W1", "W2", "W3"} {
			if who == "analyst1" && number == "W1" {
				continue
			}
			for _, r := range [][2]int64{{0, -1}, {0, 0}, {3, 4}} {
				entries := l.Stats().Entries
				_, err := l.fetch(who, number, r[0], r[1])
				l.denied("fetch of "+string(number)+" by "+string(who), entries, who, number, evidence.Fetch, err)
			}
		}
		entries := l.Stats().Entries
		_, err := l.Export(t.Context(), l.people[who], theCase, custody.ExportOptions{Contents: []evidence.Path{at("M1")}})
		l.denied("export by "+string(who), entries, who, "M1", evidence.Export, err)
		if !p.roles.Allow(identity.CopyVerify) {
			entries := l.Stats().Entries
			_, err := l.StartCheck(t.Context(), l.people[who], at("M1"))
			l.denied("check by "+string(who), entries, who, "M1", evidence.Verify, err)
		}
	}
	gone, hangUp := context.WithCancel(t.Context()) // who asks and does not wait for the answer
	hangUp()
	for name, ask := range map[string]struct {
		who    identity.Principal
		number evidence.Number
		op     evidence.Operation
		do     func(custody.Caller) error
	}{
		"fetch without the permission": {"legal1", "W1", evidence.Fetch, func(c custody.Caller) error { _, err := l.Fetch(gone, c, at("W1"), 0, -1); return err }},
		"fetch against the law":        {"analyst1", "M1", evidence.Fetch, func(c custody.Caller) error { _, err := l.Fetch(gone, c, at("M1"), 0, -1); return err }},
		"check":                        {"screener1", "M1", evidence.Verify, func(c custody.Caller) error { _, err := l.StartCheck(gone, c, at("M1")); return err }},
		"export against the law": {"legal1", "M1", evidence.Export, func(c custody.Caller) error {
			_, err := l.Export(gone, c, theCase, custody.ExportOptions{Contents: []evidence.Path{at("M1")}})
			return err
		}},
		"export": {"analyst1", "M1", evidence.Export, func(c custody.Caller) error {
			_, err := l.Export(gone, c, theCase, custody.ExportOptions{Contents: []evidence.Path{at("M9"), at("M1")}})
			return err
		}},
	} {
		entries := l.Stats().Entries
		l.denied(name+" without waiting", entries, ask.who, ask.number, ask.op, ask.do(l.people[ask.who]))
	}
	for _, nowhere := range []evidence.Path{
		at("M9"), {Case: theCase, Exhibit: "E-009", Copy: "M1"}, {Case: "other", Exhibit: "E-001", Copy: "M1"}, {Case: theCase}, {},
	} {
		_, err := l.Fetch(t.Context(), l.people["analyst1"], nowhere, 0, -1)
		wantErr(t, err, evidence.ErrNotFound)
		_, err = l.StartCheck(t.Context(), l.people["legal1"], nowhere)
		wantErr(t, err, evidence.ErrNotFound)
	}
	l.audit()
}

// TestExportContent takes the bytes of a working copy into a bundle.
func TestExportContent(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := content(100_000, 2)
	l.seal(image)
	l.issue("M1", "examiner1")
	e, err := l.Export(t.Context(), l.people["examiner1"], theCase, custody.ExportOptions{Contents: []evidence.Path{at("W1")}})
	must(t, err)
	events := l.history(evidence.Path{Case: theCase})
	read, ok := events[len(events)-2].Body.(evidence.ContentRead)
	if !ok || read.Operation != evidence.Export || read.Number != "W1" || read.Length != int64(len(image)) {
		t.Errorf("before the seal stands %+v", events[len(events)-2])
	}
	path := filepath.Join(t.TempDir(), e.Name())
	f, err := os.Create(path)
	must(t, err)
	l.record("custodian1", theCase, exhibit("E-002")) // the bundle is of the moment of its seal
	must(t, errors.Join(e.WriteTo(t.Context(), f), f.Close()))
	report, b := l.judge(path)
	if report.Verdict != verify.Verified || len(report.Findings) > 0 {
		t.Errorf("the bundle is %s: %v; %v", report.Verdict, report.Findings, report.NotChecked)
	}
	r, err := b.OpenFile("data/content/E-001-W1.bin")
	must(t, err)
	var got bytes.Buffer
	_, err = got.ReadFrom(r)
	if must(t, errors.Join(err, r.Close())); !bytes.Equal(got.Bytes(), image) {
		t.Error("the content in the bundle is another")
	}
	// A copy that is damaged in the store makes no bundle.
	damage(t, l.objectFile("W1", evidence.Content), 99_999)
	e, err = l.Export(t.Context(), l.people["examiner1"], theCase, custody.ExportOptions{Contents: []evidence.Path{at("W1")}})
	must(t, err)
	if err := e.WriteTo(t.Context(), &got); err == nil {
		t.Error("damaged content went into a bundle")
	}
	l.found("W1")
	_, err = l.Export(t.Context(), l.people["examiner1"], theCase, custody.ExportOptions{Contents: []evidence.Path{{Case: "other", Exhibit: "E-001", Copy: "W1"}}})
	if !errors.As(err, new(*evidence.FieldError)) {
		t.Errorf("a copy of another case: %v", err)
	}
	l.audit()
}

// TestScreener sees that things exist, and nothing of what they are.
func TestScreener(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	screener := l.people["screener1"]
	c, err := l.Case(t.Context(), screener, theCase)
	must(t, err)
	if c.Reference != theCase || c.Title != "" || c.OpenedBy != "" {
		t.Errorf("the case is %+v", c)
	}
	x, err := l.Exhibit(t.Context(), screener, theCase, "E-001")
	must(t, err)
	if x.Label != "E-001" || x.FoundBy != "" || x.Witness != "" || x.AddedBy != "" {
		t.Errorf("the exhibit is %+v", x)
	}
	copies, err := l.Copies(t.Context(), screener, theCase, "E-001")
	must(t, err)
	if len(copies) != 1 || copies[0].Title != "" || !copies[0].Digests.IsZero() || copies[0].Objects != nil || copies[0].SealedBy != "" {
		t.Errorf("the copies are %+v", copies)
	}
	for name, ask := range map[string]func() error{
		"people": func() error { _, err := l.People(t.Context(), screener); return err },
		"history": func() error {
			_, err := l.History(t.Context(), screener, evidence.Path{Case: theCase}, -1, 0)
			return err
		},
		"intakes": func() error { _, err := l.Intakes(t.Context(), screener, theCase); return err },
		"proof":   func() error { _, err := l.Proof(t.Context(), screener, 0); return err },
		"upload":  func() error { _, err := l.OpenUpload(t.Context(), screener, copies[0].Intake); return err },
		"export":  func() error { _, err := l.Export(t.Context(), screener, theCase, custody.ExportOptions{}); return err },
		"person":  func() error { _, err := l.Person(t.Context(), screener, "examiner1"); return err },
	} {
		if err := ask(); !errors.Is(err, evidence.ErrForbidden) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	self, err := l.Person(t.Context(), screener, "screener1")
	must(t, err)
	if self.Principal != "screener1" {
		t.Errorf("the screener is %+v", self)
	}
}
