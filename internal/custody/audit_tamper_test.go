package custody_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	_ "github.com/mattn/go-sqlite3" // the hand behind the service's back

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// vault is a lab whose service has ended, with something of everything in it.
type vault struct {
	dir     string
	keys    map[string]string // of objects, such as "M1 content"
	pending uuid.UUID         // an intake whose content is in the store
}

// newVault plays a story and ends the service: M1 sealed with midstates and log, W1
// issued of it and fetched, M2 quarantined, one intake abandoned, one pending.
func newVault(t *testing.T) *vault {
	t.Helper()
	l := newLab(t)
	l.openCase()
	v := &vault{dir: l.dir, keys: map[string]string{}}

	image, log := content(digest.Segment+4711, 1), []byte("dc3dd completed\n")
	l.sealLogged(image, log)
	l.issue("M1", "analyst1")
	_, err := l.fetch("analyst1", "W1", 0, 100)
	must(t, err)

	small := content(100_000, 2)
	wrong := declaration(small)
	wrong.Declared = hashes(t, content(100_000, 3))
	l.record("examiner1", theCase, wrong)
	l.upload(wrong.Intake, small)
	_, err = l.Complete(l.ctx(), l.people["examiner1"], wrong.Intake, hashes(t, small))
	must(t, err)
	l.await(wrong.Intake, custody.Quarantined)

	for _, abandoned := range []bool{true, false} {
		d := declaration(small)
		l.record("examiner1", theCase, d)
		l.upload(d.Intake, small)
		l.await(d.Intake, custody.Checked)
		if abandoned {
			l.record("examiner1", theCase, evidence.IntakeAbandoned{Intake: d.Intake, Reason: "the wrong disk"})
			l.await(d.Intake, custody.Abandoned)
		}
		v.pending = d.Intake
	}
	l.verify("examiner1", "M1")
	_, err = l.Export(l.ctx(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(t, err)
	l.record("admin", "", evidence.PersonRevoked{Principal: "screener1", Reason: "left the lab"})

	for _, number := range []evidence.Number{"M1", "W1", "M2"} {
		for _, o := range l.copyOf(number).Objects {
			v.keys[fmt.Sprintf("%s %s", number, o.Role)] = o.Key
		}
	}
	l.down()
	return v
}

// clone copies the vault; objects are linked until somebody changes them.
func (v *vault) clone(t *testing.T) *vault {
	t.Helper()
	c := *v
	c.dir = t.TempDir()
	must(t, filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(v.dir, path)
		if err != nil || rel == "." {
			return err
		}
		to := filepath.Join(c.dir, rel)
		if d.IsDir() {
			return os.Mkdir(to, 0o700)
		}
		if filepath.Base(filepath.Dir(path)) == "objects" && d.Name() != "custodyd-objects" {
			return os.Link(path, to)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	}))
	return &c
}

// audit opens the vault's files and audits them.
func (v *vault) audit(t *testing.T, change func(*custody.AuditConfig)) custody.AuditReport {
	t.Helper()
	l := labAt(t, v.dir)
	l.files()
	defer l.closeFiles()
	cfg := custody.AuditConfig{Database: l.db, Objects: l.store, Key: l.signer.Key(), Signed: l.signer.Last(), Workers: 2}
	if change != nil {
		change(&cfg)
	}
	r, err := custody.Audit(t.Context(), cfg)
	must(t, err)
	return r
}

// sql runs statements in the database with its triggers gone, and puts them back.
func (v *vault) sql(t *testing.T, statements ...string) {
	t.Helper()
	v.open(t, func(db *sql.DB) {
		for _, s := range statements {
			done, err := db.ExecContext(t.Context(), s)
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				t.Fatalf("%s: changed nothing (%v)", s, err)
			}
		}
	})
}

func (v *vault) open(t *testing.T, do func(*sql.DB)) {
	t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(v.dir, "ledger.db")+"?_foreign_keys=off")
	must(t, err)
	db.SetMaxOpenConns(1)
	defer func() { must(t, db.Close()) }()
	var names, texts []string
	each(t, db, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'", func(rows *sql.Rows) {
		var name, text string
		must(t, rows.Scan(&name, &text))
		names, texts = append(names, name), append(texts, text)
	})
	for _, name := range names {
		_, err := db.ExecContext(t.Context(), "DROP TRIGGER "+name)
		must(t, err)
	}
	do(db)
	for _, text := range texts {
		_, err := db.ExecContext(t.Context(), text)
		must(t, err)
	}
}

func each(t *testing.T, db *sql.DB, query string, row func(*sql.Rows)) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	for rows.Next() {
		row(rows)
	}
	must(t, rows.Err())
}

// seq finds the entry of an action.
func (v *vault) seq(t *testing.T, action evidence.Kind) (seq int64) {
	t.Helper()
	v.open(t, func(db *sql.DB) {
		must(t, db.QueryRowContext(t.Context(), "SELECT seq FROM entries WHERE instr(CAST(payload AS TEXT), ?) > 0 ORDER BY seq LIMIT 1",
			fmt.Sprintf(`"action":"%s"`, action)).Scan(&seq))
	})
	return seq
}

// rewrite changes entries and makes everything that follows from them anew: chains,
// columns and tree hashes, as somebody does who holds the database and no key.
func (v *vault) rewrite(t *testing.T, change func([]rewritten) []rewritten) {
	t.Helper()
	v.open(t, func(db *sql.DB) {
		var all []rewritten
		each(t, db, "SELECT event_id, envelope, payload, signature FROM entries ORDER BY seq", func(rows *sql.Rows) {
			var r rewritten
			var envelope []byte
			must(t, rows.Scan(&r.id, &envelope, &r.payload, &r.signature))
			var err error
			r.envelope, err = ledger.ParseEnvelope(envelope)
			must(t, err)
			all = append(all, r)
		})
		all = change(all)
		for _, table := range []string{"entries", "hashes"} {
			_, err := db.ExecContext(t.Context(), "DELETE FROM "+table)
			must(t, err)
		}
		var head ledger.Head
		heads := map[ledger.CaseID]ledger.CaseHead{}
		var tree ledger.Tree
		for _, r := range all {
			r.envelope.Payload, r.envelope.Sig = sha256.Sum256(r.payload), sha256.Sum256(r.signature)
			e := ledger.Next(head, heads[r.envelope.Case], r.envelope)
			leaf := ledger.LeafHash(e.Bytes())
			head, heads[e.Case] = head.After(e, leaf), heads[e.Case].After(e, leaf)
			_, err := db.ExecContext(t.Context(),
				"INSERT INTO entries (seq, case_id, case_seq, event_id, leaf, envelope, payload, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
				e.Seq, e.Case[:], e.CaseSeq, r.id, leaf[:], e.Bytes(), r.payload, r.signature)
			must(t, err)
			for i, h := range tree.Append(nil, leaf) {
				_, err := db.ExecContext(t.Context(), "INSERT INTO hashes (idx, hash) VALUES (?, ?)", ledger.StoredHashCount(e.Seq)+int64(i), h[:])
				must(t, err)
			}
		}
	})
}

type rewritten struct {
	id                 []byte
	envelope           ledger.Envelope
	payload, signature []byte
}

func (v *vault) object(name string) string {
	return filepath.Join(v.dir, "objects", "objects", v.keys[name])
}

func (v *vault) retention(name string) string {
	return filepath.Join(v.dir, "objects", "retention", v.keys[name])
}

// change replaces a file by a changed one; the link's other end stays as it is.
func change(t *testing.T, path string, with func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, with(bytes.Clone(data)), 0o400))
}

func flip(data []byte) []byte {
	data[len(data)/2] ^= 1
	return data
}

// codes gives the kinds of findings, each once.
func codes(findings []verify.Finding) []string {
	list := []string{}
	for _, f := range findings {
		list = append(list, string(f.Code))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func asJSON(t *testing.T, r custody.AuditReport) string {
	t.Helper()
	text, err := json.MarshalIndent(r, "", " ")
	must(t, err)
	return string(text)
}

// TestAudit holds one vault, and many that somebody has been at, against its ledger.
func TestAudit(t *testing.T) {
	v := newVault(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, *vault)
	}{
		{"clean", auditClean},
		{"tampered with", auditTampered},
		{"store", auditOtherStore},
		{"signer", auditSigner},
		{"errors", auditErrors},
		{"progress", auditProgress},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, v) })
	}
}

// auditClean: a story without tampering has no findings, with and without reading
// contents, and says what is under way.
func auditClean(t *testing.T, v *vault) {
	t.Helper()
	for _, contents := range []bool{false, true} {
		r := v.audit(t, func(c *custody.AuditConfig) { c.Contents = contents })
		for _, f := range r.Findings {
			t.Errorf("contents %t: %s", contents, f)
		}
		// 8 objects of copies, and two of each segment of the ledger.
		if r.Entries < 25 || r.Signed != r.Entries || r.Checkpoints < 20 || r.Rows < 15 || r.Objects < 10 || r.Objects%2 != 0 || r.Contents != contents {
			t.Errorf("contents %t: looked at %+v", contents, r)
		}
		if len(r.Pending) != 1 || r.Pending[0].Intake != v.pending || r.Pending[0].Objects != 1 || r.Pending[0].Case != theCase {
			t.Errorf("pending: %+v", r.Pending)
		}
		if len(r.Notes) != 0 {
			t.Errorf("notes: %q", r.Notes)
		}
	}
}

// auditTampered does everything to a vault that can be done behind the service's
// back, and wants exactly these kinds of findings, in the same words each time.
func auditTampered(t *testing.T, original *vault) {
	t.Helper()
	enrolled := original.seq(t, "person.enrolled") + 5 // somebody who does nothing later
	sealed := original.seq(t, "copy.sealed")
	revoked := original.seq(t, "person.revoked") // the newest entry
	where := func(seq int64) string { return fmt.Sprintf(" WHERE seq = %d", seq) }

	for _, row := range []struct {
		name     string
		tamper   func(t *testing.T, v *vault)
		contents bool
		want     []string
		notes    int
	}{
		// Entries. With one that is not the newest falls what was signed by those who
		// had seen it, as the law wants it.
		{name: "envelope that is none", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET envelope = CAST(replace(CAST(envelope AS TEXT), '\"v\":1', '\"v\":2') AS BLOB)"+where(revoked))
		}, want: []string{"envelope", "root", "row-differs", "tree-hash"}},
		{name: "envelope of another type", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET envelope = CAST(replace(CAST(envelope AS TEXT), '\"type\":\"keys\"', '\"type\":\"event\"') AS BLOB)"+where(revoked))
		}, want: []string{"entry-columns", "payload-envelope", "root", "tree-hash"}},
		{name: "envelope of another time", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET envelope = CAST(replace(CAST(envelope AS TEXT), '\"time\":\"2026', '\"time\":\"2025') AS BLOB)"+where(enrolled))
		}, want: []string{
			"case-chain", "chain", "entry-columns", "law", "object-unknown", "root", "row-differs", "row-unknown", "time", "tree-hash",
		}},
		{name: "payload exchanged", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET payload = CAST(replace(CAST(payload AS TEXT), 'left the lab', 'had to go ...') AS BLOB)"+where(revoked))
		}, want: []string{"payload-hash", "row-differs", "signature"}},
		{name: "payload that is none", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET payload = CAST(CAST(payload AS TEXT) || ' ' AS BLOB)"+where(revoked))
		}, want: []string{"payload-form", "payload-hash", "row-differs"}},
		{name: "signature of another entry", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET signature = (SELECT signature FROM entries WHERE seq = 3)"+where(sealed))
		}, want: []string{"signature", "signature-hash"}},
		{name: "column leaf", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET leaf = zeroblob(32)"+where(sealed))
		}, want: []string{"entry-columns"}},
		{name: "column case", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET case_id = zeroblob(16), case_seq = 1000"+where(sealed))
		}, want: []string{"entry-columns"}},
		{name: "column case_seq", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET case_seq = 1000"+where(sealed))
		}, want: []string{"entry-columns"}},
		{name: "column event_id", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET event_id = zeroblob(16)"+where(sealed))
		}, want: []string{"entry-columns"}},
		{name: "column seq", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET seq = 1000"+where(revoked))
		}, want: []string{"entry-columns"}},
		{name: "entry deleted", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM entries"+where(enrolled))
		}, want: []string{
			"case-chain-sequence", "entry-missing", "law", "object-unknown", "rolled-back", "root", "row-differs", "row-unknown", "tree-hash",
		}},
		{name: "entry twice", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `INSERT INTO entries SELECT 1000, case_id, case_seq + 1000, zeroblob(16), leaf, envelope, payload, signature
				FROM entries`+where(enrolled))
		}, want: []string{"entry-columns", "entry-repeated", "tree-hash"}},
		{name: "entries swapped", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE entries SET seq = 1000"+where(enrolled), "UPDATE entries SET seq = seq - 1"+where(enrolled+1),
				fmt.Sprintf("UPDATE entries SET seq = %d", enrolled+1)+where(1000))
		}, want: []string{
			"case-chain-sequence", "entry-columns", "entry-missing", "entry-repeated", "law", "object-unknown", "root",
			"row-differs", "row-unknown", "tree-hash",
		}},
		{name: "newest entry deleted", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM entries"+where(revoked))
		}, want: []string{"rolled-back", "row-differs", "tree-hash"}},
		{name: "rolled back in every table", tamper: func(t *testing.T, v *vault) {
			v.sql(t, fmt.Sprintf("DELETE FROM hashes WHERE idx >= %d", ledger.StoredHashCount(revoked)), "DELETE FROM entries"+where(revoked))
		}, want: []string{"rolled-back", "row-differs"}},
		{name: "history recomputed", tamper: func(t *testing.T, v *vault) {
			v.rewrite(t, func(all []rewritten) []rewritten {
				last := &all[len(all)-1]
				last.payload = bytes.Replace(last.payload, []byte("left the lab"), []byte("had to go ..."), 1)
				return all
			})
		}, want: []string{"root", "row-differs", "signature"}},
		{name: "history recomputed without an entry", tamper: func(t *testing.T, v *vault) {
			v.rewrite(t, func(all []rewritten) []rewritten { return all[:len(all)-1] })
			v.sql(t, "DELETE FROM checkpoints")
		}, want: []string{"rolled-back", "row-differs"}},
		{name: "history recomputed with entries exchanged", tamper: func(t *testing.T, v *vault) {
			v.rewrite(t, func(all []rewritten) []rewritten {
				all[enrolled], all[enrolled+1] = all[enrolled+1], all[enrolled]
				return all
			})
			v.sql(t, "DELETE FROM checkpoints")
		}, want: []string{"case-end", "law", "object-unknown", "root", "row-differs", "row-unknown", "system-end"}},

		// Tree hashes.
		{name: "tree hash edited", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE hashes SET hash = zeroblob(32) WHERE idx = 5")
		}, want: []string{"tree-hash"}},
		{name: "tree hash deleted", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM hashes WHERE idx = 5")
		}, want: []string{"tree-hash"}},
		{name: "tree hashes truncated", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM hashes WHERE idx >= 5")
		}, want: []string{"tree-hash"}},
		{name: "tree hash added", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "INSERT INTO hashes (idx, hash) VALUES (1000000, zeroblob(32))")
		}, want: []string{"tree-hash"}},

		// Checkpoints.
		{name: "checkpoint edited", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE checkpoints SET note = CAST(replace(CAST(note AS TEXT), char(10) || size || char(10), char(10) || (size + 1) || char(10)) AS BLOB) WHERE size = 5")
		}, want: []string{"checkpoint-signature"}},
		{name: "checkpoint of another ledger's form", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE checkpoints SET note = CAST('nothing' AS BLOB) WHERE size = 5")
		}, want: []string{"checkpoint-form"}},
		{name: "checkpoint moved", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM checkpoints WHERE size = 5", "UPDATE checkpoints SET size = 5 WHERE size = 6")
		}, want: []string{"checkpoint-size"}},
		{name: "checkpoints deleted, on which nothing rests", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM checkpoints")
		}, want: []string{}},

		// Projections.
		{name: "person renamed", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE people SET doc = replace(doc, 'Name of legal1', 'Name of legal2') WHERE principal = 'legal1'`)
		}, want: []string{"row-differs"}},
		{name: "person no longer revoked", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE people SET doc = json_remove(doc, '$.revoked', '$.reason') WHERE principal = 'screener1'`)
		}, want: []string{"row-differs"}},
		{name: "person of another key column", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE people SET key = 'none' WHERE principal = 'legal1'`)
		}, want: []string{"row-damaged"}},
		{name: "person of another name", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE people SET principal = 'legal9' WHERE principal = 'legal1'`)
		}, want: []string{"row-damaged", "row-missing"}},
		{name: "people in another order", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE people SET number = 1000 WHERE principal = 'custodyd'`)
		}, want: []string{"row-order"}},
		{name: "person deleted", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `DELETE FROM people WHERE principal = 'legal1'`)
		}, want: []string{"row-missing"}},
		{name: "person added", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `INSERT INTO people (principal, key, changed, doc) SELECT 'legal9', 'none', changed, replace(doc, '"legal1"', '"legal9"')
				FROM people WHERE principal = 'legal1'`)
		}, want: []string{"row-damaged"}},
		{name: "case retitled", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE cases SET doc = replace(doc, 'A stolen laptop', 'A bought laptop')`)
		}, want: []string{"row-differs"}},
		{name: "case closed in a column", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE cases SET state = 'closed'`)
		}, want: []string{"row-damaged"}},
		{name: "case deleted", tamper: func(t *testing.T, v *vault) { v.sql(t, `DELETE FROM cases`) }, want: []string{"row-missing"}},
		{name: "exhibit found elsewhere", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE exhibits SET doc = replace(doc, '"desk"', '"bag"')`)
		}, want: []string{"row-differs"}},
		{name: "exhibit added", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `INSERT INTO exhibits SELECT case_id, 'E-002', changed, replace(doc, 'E-001', 'E-002') FROM exhibits`)
		}, want: []string{"row-unknown"}},
		{name: "intake back to declared", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE intakes SET state = 'declared', doc = replace(doc, '"state":"abandoned"', '"state":"declared"') WHERE state = 'abandoned'`)
		}, want: []string{"row-differs"}},
		{name: "intake deleted", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `DELETE FROM intakes WHERE state = 'quarantined'`)
		}, want: []string{"row-missing"}},
		{name: "copy with another hash", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE copies SET doc = replace(doc, json_extract(doc, '$.digests.sha256'), '`+strings.Repeat("0", 64)+`') WHERE number = 'M1'`)
		}, want: []string{"row-differs"}},
		{name: "copy with another holder", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE copies SET doc = replace(doc, '"analyst1"', '"analyst2"') WHERE number = 'W1'`)
		}, want: []string{"row-differs"}},
		{name: "copy in another form", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE copies SET doc = doc || ' ' WHERE number = 'W1'`)
		}, want: []string{"row-damaged"}},
		{name: "copy no longer quarantined", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE copies SET doc = json_remove(doc, '$.findings') WHERE number = 'M2'`)
		}, want: []string{"row-differs"}},
		{name: "finding closed", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE findings SET state = 'closed', doc = replace(doc, '"state":"open"', '"state":"closed"')`)
		}, want: []string{"row-differs"}},
		{name: "finding deleted", tamper: func(t *testing.T, v *vault) { v.sql(t, `DELETE FROM findings`) }, want: []string{"row-missing"}},
		{name: "database of another key", tamper: func(t *testing.T, v *vault) {
			v.sql(t, `UPDATE meta SET value = replace(value, '+', '-') WHERE key = 'verifier_key'`)
		}, want: []string{"database-key"}},

		// Objects.
		{name: "object deleted", tamper: func(t *testing.T, v *vault) {
			must(t, os.Remove(v.object("M1 content")))
		}, want: []string{"object-missing"}},
		{name: "object cut", tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M1 content"), func(data []byte) []byte { return data[:len(data)-1] })
		}, want: []string{"object-size"}},
		{name: "object cut, and read", contents: true, tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M1 content"), func(data []byte) []byte { return data[:len(data)-1] })
		}, want: []string{"content-differs", "object-size"}},
		{name: "object altered, and not read", tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M1 content"), flip)
		}, want: []string{}},
		{name: "object altered", contents: true, tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M1 content"), flip)
		}, want: []string{"content-differs"}},
		{name: "small object altered", contents: true, tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M2 content"), flip)
		}, want: []string{"content-differs"}},
		{name: "midstates altered", contents: true, tamper: func(t *testing.T, v *vault) {
			change(t, v.object("W1 midstates"), flip)
		}, want: []string{"object-differs"}},
		{name: "log altered", contents: true, tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M1 log"), flip)
		}, want: []string{"object-differs"}},
		{name: "object for everybody to write", tamper: func(t *testing.T, v *vault) {
			change(t, v.object("M1 content"), bytes.Clone)
			must(t, os.Chmod(v.object("M1 content"), 0o666))
		}, want: []string{"object-lock"}},
		{name: "object not immutable as it was", tamper: func(t *testing.T, v *vault) {
			change(t, v.retention("M1 content"), func(data []byte) []byte {
				return append(bytes.TrimSuffix(data, []byte("}\n")), ",\"immutable\":true}\n"...)
			})
		}, want: []string{"object-lock"}},
		{name: "retention shortened", tamper: func(t *testing.T, v *vault) {
			change(t, v.retention("W1 content"), func(data []byte) []byte { return bytes.Replace(data, []byte(`"2026-`), []byte(`"2025-`), 1) })
		}, want: []string{"object-retention"}},
		{name: "retention gone", tamper: func(t *testing.T, v *vault) {
			must(t, os.Remove(v.retention("W1 content")))
		}, want: []string{"object-missing", "object-version"}},
		{name: "retention of another version", tamper: func(t *testing.T, v *vault) {
			change(t, v.retention("W1 content"), func([]byte) []byte {
				data, err := os.ReadFile(v.retention("M1 content"))
				must(t, err)
				return data
			})
		}, want: []string{"object-missing", "object-version"}},
		{name: "retention in another form", tamper: func(t *testing.T, v *vault) {
			change(t, v.retention("W1 content"), func(data []byte) []byte { return append(data, ' ') })
		}, want: []string{"object-unreadable"}},
		{name: "object of nobody", tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(filepath.Join(v.dir, "objects", "objects", uuid.NewString()+"-content"), nil, 0o400))
		}, want: []string{"object-unknown"}},
		{name: "object without a meaning", tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(filepath.Join(v.dir, "objects", "objects", "IMG_0001.JPG"), nil, 0o400))
		}, want: []string{"object-unknown"}},
		{name: "folder among the objects", tamper: func(t *testing.T, v *vault) {
			must(t, os.Mkdir(filepath.Join(v.dir, "objects", "objects", "folder"), 0o700))
		}, want: []string{"object-unknown"}},
		{name: "object beside a copy", tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(strings.TrimSuffix(v.object("M1 content"), "content")+"files", nil, 0o400))
		}, want: []string{"object-unknown"}},
		{name: "upload of nobody", tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(filepath.Join(v.dir, "objects", "partial", uuid.NewString()+"-content."+strings.Repeat("0", 32)), nil, 0o600))
		}, want: []string{"upload-unknown"}},
		{name: "upload of a sealed copy", tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(filepath.Join(v.dir, "objects", "partial", v.keys["M1 content"]+"."+strings.Repeat("0", 32)), nil, 0o600))
		}, want: []string{"upload-unknown"}},
		{name: "upload that was interrupted", notes: 1, tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(filepath.Join(v.dir, "objects", "partial", v.pending.String()+"-content."+strings.Repeat("0", 32)), nil, 0o600))
		}, want: []string{}},
		{name: "work deleted", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "DELETE FROM upload_parts", "DELETE FROM uploads")
		}, want: []string{}},
		{name: "work of a sealed copy", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "INSERT INTO uploads SELECT intake, 'receiving', '{\"phase\":\"receiving\"}' FROM intakes WHERE state = 'sealed'")
		}, want: []string{"row-unknown"}},
		{name: "work in another form", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE uploads SET doc = '{'")
		}, want: []string{"row-damaged"}},
		{name: "work of another phase", tamper: func(t *testing.T, v *vault) {
			v.sql(t, "UPDATE uploads SET phase = 'ready'")
		}, want: []string{"row-damaged"}},
		{name: "index behind its table", tamper: func(t *testing.T, v *vault) {
			v.open(t, func(db *sql.DB) {
				for _, s := range []string{
					"CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'intakes_of_exhibit'",
					"PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'intakes_of_exhibit'; PRAGMA writable_schema = RESET",
					"INSERT INTO exhibits SELECT case_id, 'E-009', changed, doc FROM exhibits",
					"UPDATE intakes SET exhibit = 'E-009' WHERE state = 'quarantined'",
					"PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept; PRAGMA writable_schema = RESET",
					"DROP TABLE kept",
				} {
					_, err := db.ExecContext(t.Context(), s)
					must(t, err)
				}
			})
		}, want: []string{"database-damaged", "row-damaged"}},
		{name: "object beside a pending intake", tamper: func(t *testing.T, v *vault) {
			must(t, os.WriteFile(filepath.Join(v.dir, "objects", "objects", v.pending.String()+"-log"), nil, 0o400))
		}, want: []string{"object-unknown"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := original.clone(t)
			row.tamper(t, v)
			r := v.audit(t, func(c *custody.AuditConfig) { c.Contents = row.contents })
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" {
				t.Errorf("kinds of findings (-want +got):\n%s", diff)
				for _, f := range r.Findings {
					t.Log(f)
				}
			}
			if len(r.Notes) != row.notes && len(row.want) == 0 {
				t.Errorf("notes: %q", r.Notes)
			}
			if len(row.want) < 3 {
				return
			}
			again := v.audit(t, func(c *custody.AuditConfig) { c.Contents = row.contents })
			if diff := cmp.Diff(asJSON(t, r), asJSON(t, again)); diff != "" {
				t.Errorf("the second audit says something else (-first +second):\n%s", diff)
			}
		})
	}
}
