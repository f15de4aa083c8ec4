package custody_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

// entryOf gives the number of the first entry of a kind, of theCase or of no case.
func (l *lab) entryOf(kind evidence.Kind) int64 {
	l.t.Helper()
	found := int64(-1)
	must(l.t, l.db.View(l.ctx(), func(tx *database.Tx) error {
		entries, err := tx.Entries(0, 1000)
		for _, e := range entries {
			event, err := evidence.Parse(e.Payload)
			if err != nil {
				return err
			}
			if event.Kind() == kind && (event.Case.IsZero() || event.Case == l.caseID(theCase)) && found < 0 {
				found = e.Seq
			}
		}
		return err
	}))
	if found < 0 {
		l.t.Fatalf("no entry %s", kind)
	}
	return found
}

// disclose exports the case for examiner1 and judges the bundle.
func (l *lab) disclose(o custody.ExportOptions) (verify.Report, *bundle.Bundle) {
	l.t.Helper()
	e, err := l.Export(l.ctx(), l.people["examiner1"], theCase, o)
	must(l.t, err)
	l.ack(e.Recorded, nil)
	path := filepath.Join(l.t.TempDir(), e.Name())
	f, err := os.Create(path)
	must(l.t, err)
	must(l.t, errors.Join(e.WriteTo(l.ctx(), f), f.Close()))
	report, b := l.judge(path)
	if report.Verdict != verify.Verified || len(report.Findings) > 0 {
		l.t.Errorf("the bundle is %s: %v", report.Verdict, report.Findings)
	}
	return report, b
}

// TestWithhold leaves people and payloads out of bundles, and refuses what would leave
// something that cannot be told.
func TestWithhold(t *testing.T) {
	l := newLab(t)
	l.openCase()
	other := l.record("examiner1", "", evidence.CaseOpened{Reference: "2026-0099", Title: "Another", RetainDays: 1})
	log := []byte("imaged by Jane Roe\n")
	image := content(100_000, 3)
	l.sealLogged(image, log)
	l.issue("M1", "examiner1")
	withheld := func(kinds ...evidence.Kind) (list []evidence.Withheld) {
		for _, k := range kinds {
			list = append(list, evidence.Withheld{Entry: l.entryOf(k), Reason: "privileged"})
		}
		return list
	}
	const logFile = "data/logs/E-001-M1.log"

	r, b := l.disclose(custody.ExportOptions{Pseudonymous: true, Contents: []evidence.Path{at("W1")}})
	if !r.Pseudonymous || len(r.People) > 0 || !b.Has("data/content/E-001-W1.bin") || !b.Has(logFile) {
		t.Errorf("%v %v", r.Pseudonymous, r.People)
	}
	signers, err := b.ReadFile(bundle.SignersFile)
	must(t, err)
	if strings.Contains(string(signers), "auditor1") || strings.Contains(string(signers), "admin") {
		t.Errorf("of nobody who did nothing here: %s", signers)
	}
	// In any order, and with what goes along.
	r, b = l.disclose(custody.ExportOptions{Withheld: withheld("intake.declared", "exhibit.added")})
	if len(r.Withheld) != 2 || r.Withheld[0].Entry > r.Withheld[1].Entry || b.Has(logFile) {
		t.Errorf("%+v", r.Withheld)
	}
	if r, b = l.disclose(custody.ExportOptions{Withheld: withheld("copy.sealed")}); b.Has(logFile) || len(r.Copies) != 1 {
		t.Errorf("%+v", r.Copies)
	}
	// An earlier seal can be withheld, and so can a start of the service.
	r, _ = l.disclose(custody.ExportOptions{Withheld: append(withheld("case.exported"), evidence.Withheld{Entry: l.entryOf("service.started"), Reason: "x"})})
	if len(r.Withheld) != 2 {
		t.Errorf("%+v", r.Withheld)
	}

	length := len(l.history(evidence.Path{Case: theCase}))
	one := func(seq int64, reason string) custody.ExportOptions {
		return custody.ExportOptions{Withheld: []evidence.Withheld{{Entry: seq, Reason: reason}}}
	}
	for name, test := range map[string]struct {
		options custody.ExportOptions
		want    string
	}{
		"people":         {one(l.entryOf("person.enrolled"), "x"), "export pseudonymously instead"},
		"another case":   {one(other.Seq, "x"), "is not of this case"},
		"to come":        {one(1<<40, "x"), "is not of this case"},
		"before all":     {one(-1, "x"), "body.withheld[0].entry"},
		"no reason":      {one(l.entryOf("exhibit.added"), ""), "body.withheld[0].reason"},
		"twice":          {custody.ExportOptions{Withheld: append(withheld("exhibit.added"), withheld("exhibit.added")...)}, "body.withheld[1].entry"},
		"what is shown":  {custody.ExportOptions{Contents: []evidence.Path{at("W1")}, Withheld: withheld("copy.issued")}, "the bytes of 2026-0042/E-001/W1 cannot be checked"},
		"more than fits": {custody.ExportOptions{Withheld: make([]evidence.Withheld, evidence.MaxWithheld+1)}, "want at most 1000"},
	} {
		_, err := l.Export(l.ctx(), l.people["examiner1"], theCase, test.options)
		if field := (&evidence.FieldError{}); !errors.As(err, &field) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a field and %q", name, err, test.want)
		}
	}
	if now := len(l.history(evidence.Path{Case: theCase})); now != length {
		t.Errorf("what was refused left %d entries", now-length)
	}
	_, err = l.Export(l.ctx(), l.people["screener1"], theCase, custody.ExportOptions{Pseudonymous: true})
	wantErr(t, err, evidence.ErrForbidden)
	l.audit()
}
