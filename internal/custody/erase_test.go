package custody_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

// secret stands in every text that is erased.
const secret = "Jane-Doe-of-Salzburg"

// erasure gives the erasure of an entry of the case, as the client makes it.
func (l *lab) erasure(seq int64) evidence.PayloadErased {
	l.t.Helper()
	entries, err := l.History(l.ctx(), l.people["custodian1"], evidence.Path{Case: theCase}, -1, 0)
	must(l.t, err)
	for _, e := range entries {
		if e.Seq != seq {
			continue
		}
		event, err := evidence.Parse(e.Payload)
		must(l.t, err)
		left, err := evidence.Residue(event)
		must(l.t, err)
		residue, err := left.Encode()
		must(l.t, err)
		return evidence.PayloadErased{Entry: seq, Leaf: e.Leaf, Authority: "court of Graz, 7 C 12/26", Reason: "ordered", Residue: residue}
	}
	l.t.Fatalf("there is no entry %d", seq)
	return evidence.PayloadErased{}
}

// secretCase is a case full of texts, and what each of its entries with one is called.
func (l *lab) secretCase() map[string]int64 {
	l.t.Helper()
	seqs := map[string]int64{}
	opened := evidence.CaseOpened{Reference: theCase, Title: secret, Jurisdictions: []string{"AT"}, RetainDays: 30}
	seqs["case"] = l.record("examiner1", "", opened).Seq
	x := exhibit("E-001")
	x.FoundBy, x.FoundAt, x.Witness, x.Note = secret, secret, secret, strings.Repeat(secret+" ", 150)
	seqs["exhibit"] = l.record("examiner1", theCase, x).Seq
	image := content(10000, 1)
	d := declaration(image)
	d.Title, d.Acquisition.Place, d.Acquisition.Command = secret+".dd", secret, secret
	seqs["intake"] = l.record("examiner1", theCase, d).Seq
	l.upload(d.Intake, image)
	_, err := l.Complete(l.ctx(), l.people["examiner1"], d.Intake, hashes(l.t, image))
	must(l.t, err)
	l.record("examiner1", theCase, evidence.CopySealed{Facts: *l.await(d.Intake, custody.Ready).Facts})
	l.issue("M1", "analyst1")
	seqs["return"] = l.record("analyst1", theCase, evidence.CopyReturned{Exhibit: "E-001", Number: "W1", Outcome: evidence.Deleted, Note: secret}).Seq
	return seqs
}

func TestErase(t *testing.T) {
	l := newLab(t)
	seqs := l.secretCase()
	before := l.bundled()

	// Under a hold nothing goes.
	l.record("legal1", theCase, evidence.HoldPlaced{Name: "court-1", Authority: "court", Reason: "appeal"})
	_, err := l.try("custodian1", theCase, l.erasure(seqs["case"]))
	wantErr(t, err, evidence.ErrHeld)
	l.record("legal1", theCase, evidence.HoldLifted{Name: "court-1", Authority: "court", Reason: "judgment"})

	// What is to be left is not for the client to say.
	for name, change := range map[string]func(b *evidence.PayloadErased){
		"body.leaf":    func(b *evidence.PayloadErased) { b.Leaf = l.erasure(seqs["exhibit"]).Leaf },
		"body.entry":   func(b *evidence.PayloadErased) { *b = l.erasureOfNothing(*b) },
		"body.residue": func(b *evidence.PayloadErased) { b.Residue = l.erasure(seqs["exhibit"]).Residue },
	} {
		b := l.erasure(seqs["case"])
		change(&b)
		_, err := l.try("custodian1", theCase, b)
		field, ok := errors.AsType[*evidence.FieldError](err)
		if !ok || field.Field != name {
			t.Errorf("with another %s: %v", name, err)
		}
	}

	for _, seq := range seqs {
		l.record("custodian1", theCase, l.erasure(seq))
	}
	l.nowhere(secret)
	l.audit()
	l.restart()
	l.nowhere(secret)
	l.audit()
	report, b := l.judge(l.bundled())
	if report.Verdict != verify.Verified || len(report.Erased) != len(seqs) {
		t.Fatalf("%s: %v, erased %v, not checked %v", report.Verdict, report.Findings, report.Erased, report.NotChecked)
	}
	for _, e := range report.Erased {
		if e.By != "custodian1" || e.ErasedBy <= e.Entry || e.At == 0 || e.Reason != "ordered" || e.Authority == "" {
			t.Errorf("%+v", e)
		}
		if b.Has(bundle.EntryPath(bundle.KindPayload, e.Entry)) {
			t.Errorf("entry %d is in the bundle", e.Entry)
		}
	}
	if !strings.Contains(strings.Join(report.NotChecked, "\n"), "their signatures") {
		t.Errorf("not checked: %q", report.NotChecked)
	}
	if old, _ := l.judge(before); old.Verdict != verify.Verified {
		t.Errorf("the bundle from before: %s, %v", old.Verdict, old.Findings)
	}

	entries, err := l.History(l.ctx(), l.people["legal1"], evidence.Path{Case: theCase}, -1, 0)
	must(t, err)
	told := 0
	for _, e := range entries {
		if bytes.Contains(e.Payload, []byte(secret)) {
			t.Errorf("entry %d still tells it", e.Seq)
		}
		if e.Erased != nil {
			told++
			if e.Erased.Entry <= e.Seq || e.Erased.By != "custodian1" || e.Erased.Reason != "ordered" {
				t.Errorf("entry %d: %+v", e.Seq, e.Erased)
			}
		}
	}
	if told != len(seqs) {
		t.Errorf("%d entries are said to be erased, want %d", told, len(seqs))
	}
	c, err := l.Case(l.ctx(), l.people["legal1"], theCase)
	must(t, err)
	if m := l.copyOf("W1"); c.Title != evidence.Erased || m.Title != evidence.Erased || m.Purpose == evidence.Erased {
		t.Errorf("%+v\n%+v", c, m)
	}
}

// erasureOfNothing is of an entry in which there is no text.
func (l *lab) erasureOfNothing(b evidence.PayloadErased) evidence.PayloadErased {
	l.t.Helper()
	entries, err := l.History(l.ctx(), l.people["custodian1"], evidence.Path{Case: theCase}, -1, 0)
	must(l.t, err)
	for _, e := range entries {
		if event, err := evidence.Parse(e.Payload); err == nil && event.Kind() == "copy.sealed" {
			b.Entry, b.Leaf = e.Seq, e.Leaf
		}
	}
	return b
}

// bundled exports the case and gives the bundle.
func (l *lab) bundled() string {
	l.t.Helper()
	e, err := l.Export(l.ctx(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(l.t, err)
	l.ack(e.Recorded, nil)
	path := filepath.Join(l.t.TempDir(), e.Name())
	f, err := os.Create(path)
	must(l.t, err)
	must(l.t, errors.Join(e.WriteTo(l.ctx(), f), f.Close()))
	return path
}

// nowhere demands that no file of the database holds a text any more.
func (l *lab) nowhere(text string) {
	l.t.Helper()
	var found []string
	for range 100 {
		found = nil
		must(l.t, filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), "ledger.db") {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(text)) {
				found = append(found, path)
			}
			return err
		}))
		if len(found) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond) // the service is at it
	}
	l.t.Errorf("%s is still in %v", text, found)
}

// A payload that somebody took away without saying so is not an erased one.
func TestNotErased(t *testing.T) {
	original := emptyLab(t)
	original.up()
	original.enrolAll()
	seqs := original.secretCase()
	b := original.erasure(seqs["exhibit"])
	original.record("custodian1", theCase, original.erasure(seqs["case"]))
	original.down()

	doc := `{"case":"x"}`
	insert := "INSERT INTO erasures (entry, case_id, leaf, residue, changed, doc) SELECT seq, case_id, leaf, ?, 0, ? FROM entries WHERE seq = ?"
	for name, tamper := range map[string]func(*sql.DB) error{
		"as if erased": func(db *sql.DB) error {
			_, err := db.ExecContext(t.Context(), insert, []byte(b.Residue), doc, b.Entry)
			_, again := db.ExecContext(t.Context(), "UPDATE entries SET payload = ? WHERE seq = ?", []byte(b.Residue), b.Entry)
			return errors.Join(err, again)
		},
		"said to be erased, and there": func(db *sql.DB) error {
			_, err := db.ExecContext(t.Context(), insert, []byte(b.Residue), doc, b.Entry)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := labAt(t, clone(t, original.dir))
			db, err := sql.Open("sqlite3", "file:"+l.path("ledger.db")+"?_foreign_keys=on&_recursive_triggers=on")
			must(t, err)
			must(t, errors.Join(tamper(db), db.Close()))
			wantErr(t, l.open(l.files()), custody.ErrRollback)
			l.files()
			defer l.closeFiles()
			report, err := custody.Audit(t.Context(), custody.AuditConfig{
				Database: l.db, Objects: l.store.Directory, Key: l.signer.Key(), Signed: l.signer.Last(), Workers: 1,
			})
			must(t, err)
			if found := strings.Join(codes(report.Findings), " "); !strings.Contains(found, string(verify.CodePayloadMissing)) &&
				!strings.Contains(found, string(verify.CodeErasure)) {
				t.Errorf("findings: %s", found)
			}
		})
	}
}

// What was erased lies in the store until its lock ends, and a rebuild does not bring it
// back.
func TestErasedStaysGone(t *testing.T) {
	l := emptyLab(t)
	l.up()
	l.enrolAll()
	seqs := l.secretCase()
	l.restart() // what is erased is in the store
	l.record("custodian1", theCase, l.erasure(seqs["exhibit"]))
	l.restart()
	for _, name := range []string{"case", "intake", "return"} {
		l.record("custodian1", theCase, l.erasure(seqs[name]))
	}
	l.nowhere(secret)
	l.down()
	want := dump(t, l.path("ledger.db"))
	again := bare(t, l.dir)
	r, err := again.rebuild(nil)
	must(t, err)
	if r.Erased != int64(len(seqs)) {
		t.Errorf("%d payloads are said not to be brought back, want %d", r.Erased, len(seqs))
	}
	got := dump(t, again.path("ledger.db"))
	for _, table := range []string{"entries", "erasures", "cases", "exhibits", "intakes", "copies", "hashes"} {
		if diff := cmp.Diff(want[table], got[table]); diff != "" {
			t.Errorf("%s (-lost +rebuilt)\n%.2000s", table, diff)
		}
	}
	again.nowhere(secret)
	for _, f := range (&vault{dir: again.dir}).audit(t, func(c *custody.AuditConfig) { c.Contents = true }).Findings {
		t.Errorf("audit: %s", f)
	}
	must(t, again.open(again.files()))
	defer again.down()
	again.audit()
}
