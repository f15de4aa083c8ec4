package custody_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// insider changes the database of a running service as somebody does who may write to
// its file: through another connection, in one transaction, without the triggers that
// stand in the way, which are there again afterwards.
func (l *lab) insider(statements ...string) {
	l.t.Helper()
	db, err := sql.Open("sqlite3", l.path("ledger.db")+"?_foreign_keys=off&_busy_timeout=5000&_txlock=immediate")
	must(l.t, err)
	defer func() { must(l.t, db.Close()) }()
	tx, err := db.BeginTx(context.WithoutCancel(l.ctx()), nil)
	must(l.t, err)
	drop, triggers := triggersOf(l.t, tx)
	for _, s := range slices.Concat(drop, statements, triggers) {
		if _, err := tx.ExecContext(l.ctx(), s); err != nil {
			l.t.Fatalf("%s: %v", s, err)
		}
	}
	must(l.t, tx.Commit())
}

// triggersOf gives what drops the triggers of a database, and what makes them again.
func triggersOf(t testing.TB, tx *sql.Tx) (drop, again []string) {
	t.Helper()
	rows, err := tx.QueryContext(t.Context(), "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	for rows.Next() {
		var name, text string
		must(t, rows.Scan(&name, &text))
		drop, again = append(drop, "DROP TRIGGER "+name), append(again, text)
	}
	must(t, rows.Err())
	return drop, again
}

// audited gives an open lab with all its staff and a case, whose service audits itself
// as fast as it can.
func audited(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.openCase()
	l.down()
	cfg := l.files()
	cfg.AuditRate = 1e9
	must(t, l.open(cfg))
	return l
}

// soon waits until something is so, for a minute at most.
func soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatal(what)
		}
		time.Sleep(time.Millisecond)
	}
}

// alarmed demands that the service has found something, by name, and answers as it then
// has to.
func (l *lab) alarmed(name string) {
	l.t.Helper()
	soon(l.t, "there is no alarm", func() bool { return l.Alarm() != nil })
	err := l.Alarm()
	wantErr(l.t, err, custody.ErrStopped)
	wantErr(l.t, err, custody.ErrDiscrepancy)
	if !strings.Contains(err.Error(), name) {
		l.t.Errorf("alarm: %v; want %s", err, name)
	}
	wantErr(l.t, l.Ready(l.ctx()), custody.ErrDiscrepancy)
	soon(l.t, "the log is silent", func() bool { return strings.Contains(l.logged.String(), "ALARM") })

	signed := l.signer.Last()
	payload, signature := l.sign(evidence.Event{
		Actor: "custodian1", At: evidence.TimeOf(l.clock.Now()), Body: exhibit("late"), ID: uuid.Must(uuid.NewV7()), Log: origin, Tool: "test 1",
		Case: evidence.CaseID{1}, Salt: [32]byte{1},
	})
	_, err = l.Record(l.ctx(), l.people["custodian1"], payload, signature)
	wantErr(l.t, err, custody.ErrStopped)
	if l.signer.Last() != signed {
		l.t.Error("it has signed on")
	}
	if l.Cause() != nil {
		l.t.Errorf("it has ended: %v", l.Cause())
	}
	// Reading goes on.
	note, err := l.Checkpoint(l.ctx())
	must(l.t, err)
	newest, err := ledger.OpenCheckpoint(note, l.signer.Key())
	must(l.t, err)
	_, err = l.Consistency(l.ctx(), 1, newest.Size)
	must(l.t, err)
	_, err = l.Proof(l.ctx(), l.people["auditor1"], 0)
	must(l.t, err)
	if !l.Stats().Audit.Alarm {
		l.t.Errorf("figures %+v", l.Stats().Audit)
	}
}

// TestSelfAudit edits the database of a running service.
func TestSelfAudit(t *testing.T) {
	replace := func(column, old, new string) string {
		return fmt.Sprintf("UPDATE entries SET %s = CAST(replace(CAST(%[1]s AS TEXT), '%s', '%s') AS BLOB) WHERE seq = 5", column, old, new)
	}
	for name, row := range map[string]struct{ statement, found string }{
		"payload":          {replace("payload", `"actor":"admin"`, `"actor":"anton"`), "payload-hash"},
		"envelope":         {replace("envelope", `"time":"2026`, `"time":"2025`), "chain"},
		"signature":        {replace("signature", "BEGIN SSH SIGNATURE", "BEGIN SSH SIGNATUR_"), "signature"},
		"columns":          {"UPDATE entries SET event_id = randomblob(16) WHERE seq = 5", "entry-columns"},
		"entry deleted":    {"DELETE FROM entries WHERE seq = 5", "entry-missing"},
		"entries swapped":  {"UPDATE entries SET seq = 99 WHERE seq = 4; UPDATE entries SET seq = 4 WHERE seq = 5; UPDATE entries SET seq = 5 WHERE seq = 99", "entry-columns"},
		"tree hash":        {"UPDATE hashes SET hash = zeroblob(32) WHERE idx = 3", "tree-hash"},
		"checkpoint":       {"UPDATE checkpoints SET note = zeroblob(9) WHERE size = 3", "checkpoint-form"},
		"later checkpoint": {"INSERT INTO checkpoints SELECT size + 999, note FROM checkpoints WHERE size = 3", "signer-behind"},
		"row changed":      {"UPDATE people SET doc = replace(doc, 'Name of analyst1', 'Name of nobody__') WHERE principal = 'analyst1'", "row-differs"},
		"row deleted":      {"DELETE FROM exhibits", "row-missing"},
		"row added":        {"INSERT INTO exhibits SELECT case_id, 'E-009', changed, replace(doc, '\"E-001\"', '\"E-009\"') FROM exhibits", "row-unknown"},
		"column of a row":  {"UPDATE people SET changed = changed + 1 WHERE principal = 'analyst1'", "row-damaged"},
		"table":            {"CREATE TABLE notes (text TEXT)", "database-damaged"},
		"trigger":          {"CREATE TRIGGER later AFTER INSERT ON entries BEGIN DELETE FROM people; END", "database-damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			l := audited(t)
			soon(t, "no pass over what is whole", func() bool { return l.Stats().Audit.Passes > 0 })
			must(t, l.Ready(t.Context()))
			l.insider(row.statement)
			l.alarmed(row.found)
			if a := l.Stats().Audit; a.Discrepancies == 0 || a.Entries == 0 || a.Passed.IsZero() {
				t.Errorf("figures %+v", a)
			}
		})
	}
}

// TestSelfAuditUnread: somebody writes a leaf hash of another length, which no reader takes.
// What cannot be read once stops nothing; at last it does, and is not called a discrepancy.
func TestSelfAuditUnread(t *testing.T) {
	unread := func(waits ...time.Duration) *lab {
		custody.UnreadWaits(t, waits...)
		l := audited(t)
		soon(t, "no pass over what is whole", func() bool { return l.Stats().Audit.Passes > 0 })
		l.insider("PRAGMA ignore_check_constraints = ON", "UPDATE entries SET leaf = zeroblob(9) WHERE seq = 5")
		return l
	}
	l := unread(0, time.Hour)
	soon(t, "it was tried once", func() bool { return strings.Contains(l.logged.String(), "try=2") })
	l.record("custodian1", theCase, exhibit("E-002"))
	must(t, l.Alarm())
	l.down()

	l = unread(0, 0)
	soon(t, "there is no alarm", func() bool { return l.Alarm() != nil })
	wantErr(t, l.Alarm(), custody.ErrUnread)
	if errors.Is(l.Alarm(), custody.ErrDiscrepancy) {
		t.Errorf("%v: nothing was found", l.Alarm())
	}
}

// TestSelfAuditMeanwhile: people work, and have payloads erased, while the ledger is
// audited as fast as it can be. Nothing is found.
func TestSelfAuditMeanwhile(t *testing.T) {
	l := audited(t)
	for n := range 60 {
		r := l.record("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("X-%03d", n))))
		if n%3 == 0 {
			l.record("custodian1", theCase, l.erasure(r.Seq))
		}
	}
	passes := l.Stats().Audit.Passes
	soon(t, "no pass", func() bool { return l.Stats().Audit.Passes > passes+1 })
	must(t, l.Ready(t.Context()))
	l.audit()
}

// TestReread: what is on the medium after a commit is not what was handed in. Nothing
// is signed over it, nobody is told that it was recorded, and the next start refuses it.
func TestReread(t *testing.T) {
	const begin, end = "CREATE TRIGGER evil AFTER INSERT ON entries WHEN NEW.event_id <> zeroblob(16) BEGIN ", "; END"
	for name, row := range map[string]struct{ does, found string }{
		"payload":          {"UPDATE entries SET payload = CAST(replace(CAST(payload AS TEXT), 'E-002', 'E-003') AS BLOB) WHERE seq = NEW.seq", "payload"},
		"signature":        {"UPDATE entries SET signature = zeroblob(9) WHERE seq = NEW.seq", "signature"},
		"leaf":             {"UPDATE entries SET leaf = zeroblob(32) WHERE seq = NEW.seq", "leaf"},
		"entry before":     {"UPDATE entries SET signature = zeroblob(9) WHERE seq = NEW.seq - 1", "signature"},
		"gone":             {"DELETE FROM entries WHERE seq = NEW.seq", "is not there"},
		"one before it":    {"DELETE FROM entries WHERE seq = NEW.seq - 1", "is not the one that was written"},
		"one beside it":    {"INSERT INTO entries SELECT seq + 1, case_id, case_seq + 1, zeroblob(16), leaf, envelope, payload, signature FROM entries WHERE seq = NEW.seq", "entry 14: seq"},
		"hash of the tree": {"UPDATE hashes SET hash = zeroblob(32) WHERE idx > 0", "lead to the root"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.openCase()
			event := l.event("custodian1", theCase, exhibit("E-002"))
			payload, signature := l.sign(event)
			signed := l.signer.Last()
			db, err := sql.Open("sqlite3", l.path("ledger.db")+"?_busy_timeout=5000")
			must(t, err)
			for _, trigger := range []string{"entries_insert", "entries_update", "entries_delete", "hashes_update"} {
				_, err := db.ExecContext(t.Context(), "DROP TRIGGER "+trigger)
				must(t, err)
			}
			_, err = db.ExecContext(t.Context(), begin+row.does+end)
			must(t, err)
			must(t, db.Close())
			_, err = l.Record(t.Context(), l.people["custodian1"], payload, signature)
			wantErr(t, err, custody.ErrStopped)
			if l.signer.Last() != signed {
				t.Error("it was signed")
			}
			l.alarmed(row.found)
		})
	}
}

// TestUnsigned: behind the last checkpoint somebody has appended entries that are well
// chained and hashed. The start judges them before it signs.
func TestUnsigned(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	for name, row := range map[string]struct {
		actor, by identity.Principal
		body      evidence.Body
		save      bool // the rows too
		found     string
	}{
		"true":            {"custodian1", "custodian1", exhibit("E-002"), true, ""},
		"another's key":   {"custodian1", "stranger", exhibit("E-002"), true, "signature"},
		"unknown person":  {"stranger", "stranger", exhibit("E-002"), true, "signature-actor"},
		"against the law": {"custodian1", "custodian1", exhibit("E-001"), false, "law"},
		"new person":      {"admin", "stranger", evidence.PersonEnrolled{Principal: "eve", Name: "Eve", Roles: staff[0].roles, Key: l.key("stranger").PublicKey()}, true, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			victim := labAt(t, clone(t, l.dir))
			must(t, victim.open(victim.files()))
			ref := evidence.Name(theCase)
			if _, enrols := row.body.(evidence.PersonEnrolled); enrols {
				ref = ""
			}
			e := victim.event("custodian1", ref, row.body)
			e.Actor = row.actor
			payload, signature := victim.signAs(e, row.by)
			victim.down()

			cfg := victim.files()
			must(t, victim.db.Update(t.Context(), func(tx *database.Tx) error { return appendBehind(tx, victim, e, payload, signature, row.save) }))
			sound := true
			for _, o := range custody.Inspect(t.Context(), cfg) {
				sound = sound && o.OK
			}
			signed := victim.signer.Last()
			err := victim.open(cfg)
			if sound != (row.found == "") {
				t.Errorf("inspected: %t", sound)
			}
			if row.found == "" {
				must(t, err)
				victim.audit()
				victim.down()
				return
			}
			wantErr(t, err, custody.ErrRollback)
			if !strings.Contains(err.Error(), ": "+row.found+": ") {
				t.Errorf("%v; want %s", err, row.found)
			}
			victim.files()
			if victim.signer.Last() != signed {
				t.Error("it was signed")
			}
			victim.closeFiles()
		})
	}
}

// appendBehind writes the next entry as the service would, without asking anybody.
func appendBehind(tx *database.Tx, l *lab, e evidence.Event, payload, signature []byte, save bool) error {
	head, err := tx.Head()
	if err != nil {
		return err
	}
	caseHead, err := tx.CaseHead(ledger.CaseID(e.Case))
	if err != nil {
		return err
	}
	envelope := ledger.Next(head, caseHead, ledger.Envelope{
		Case: ledger.CaseID(e.Case), Log: origin, Type: ledger.Type(evidence.EntryTypeOf(e)),
		Payload: ledger.Hash(sum(payload)), Sig: ledger.Hash(sum(signature)), Time: ledger.TimeOf(l.clock.Now()),
	})
	err = tx.Append(database.Entry{
		Seq: envelope.Seq, Case: envelope.Case, CaseSeq: envelope.CaseSeq, EventID: e.ID,
		Leaf: ledger.LeafHash(envelope.Bytes()), Envelope: envelope.Bytes(), Payload: payload, Signature: signature,
	})
	if err != nil || !save {
		return err
	}
	changes, err := evidence.Apply(tx, e, evidence.Position{CaseSeq: envelope.CaseSeq, Time: evidence.TimeOf(envelope.Time.Std())})
	if err != nil { // an unknown actor
		return nil //nolint:nilerr // then there are no rows
	}
	return tx.Save(changes)
}

// TestAppendedMeanwhile: somebody appends an entry to the ledger of a running service.
// The next entry is not signed over it.
func TestAppendedMeanwhile(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.insider(`INSERT INTO entries SELECT seq + 1, case_id, case_seq + 1, randomblob(16), leaf, envelope, payload, signature FROM entries ORDER BY seq DESC LIMIT 1`)
	payload, signature := l.sign(l.event("custodian1", theCase, exhibit("E-002")))
	signed := l.signer.Last()
	if _, err := l.Record(t.Context(), l.people["custodian1"], payload, signature); err == nil {
		t.Error("it was recorded")
	}
	if l.signer.Last() != signed {
		t.Error("it was signed")
	}
}

// BenchmarkRecord measures durable, signed entries a second of 64 clients.
func BenchmarkRecord(b *testing.B) {
	l := newLab(b)
	l.openCase()
	type signedEvent struct{ payload, signature []byte }
	ready := make(chan signedEvent, b.N)
	for n := range b.N {
		p, s := l.sign(l.event("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("B-%d", n)))))
		ready <- signedEvent{p, s}
	}
	close(ready)
	var failed atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e := <-ready
			if _, err := l.Record(context.WithoutCancel(b.Context()), l.people["custodian1"], e.payload, e.signature); err != nil {
				failed.Add(1)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	if failed.Load() > 0 {
		b.Errorf("%d failed", failed.Load())
	}
}
