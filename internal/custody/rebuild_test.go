package custody_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// bare gives a copy of a lab that is down of which the database and the signer's state
// are lost.
func bare(t *testing.T, dir string) *lab {
	t.Helper()
	l := labAt(t, clone(t, dir))
	for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm", "signer"} {
		if err := os.Remove(l.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return l
}

// rebuild makes the lab's database and the signer's state again.
func (l *lab) rebuild(change func(*custody.RebuildConfig)) (custody.RebuildReport, error) {
	l.t.Helper()
	skey, err := os.ReadFile(l.path("skey"))
	must(l.t, err)
	key, err := ledger.VerifierKeyOf(string(skey))
	must(l.t, err)
	objects, err := objectstore.OpenDirectory(l.path("objects"), objectstore.Mutable(), objectstore.Untouched())
	must(l.t, err)
	defer func() { must(l.t, objects.Close()) }()
	cfg := custody.RebuildConfig{
		Objects: objects, Key: key, Service: l.key(identity.Service).PublicKey(), Signatures: true, Workers: 2,
		Build: func(ctx context.Context, fill func(*database.Bulk) error) error {
			return database.Build(ctx, l.path("ledger.db"), database.Meta{Origin: origin, VerifierKey: key.String()}, fill)
		},
	}
	if change != nil {
		change(&cfg)
	}
	r, err := custody.Rebuild(l.t.Context(), cfg)
	if err != nil {
		if _, made := os.Lstat(l.path("ledger.db")); !errors.Is(made, fs.ErrNotExist) {
			l.t.Errorf("something was made: %v", made)
		}
		return r, err
	}
	signer, err := ledger.RestoreSigner(l.path("signer"), string(skey), r.Checkpoint)
	must(l.t, err)
	must(l.t, signer.Close())
	return r, nil
}

// dump gives all rows of every table, by table.
func dump(t *testing.T, path string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	must(t, err)
	defer func() { must(t, db.Close()) }()
	query := func(text string) (list []string) {
		rows, err := db.QueryContext(t.Context(), text)
		must(t, err)
		defer func() { must(t, errors.Join(rows.Err(), rows.Close())) }()
		columns, err := rows.Columns()
		must(t, err)
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			must(t, rows.Scan(into...))
			var fields []string
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					v = fmt.Sprintf("%q", b)
				}
				fields = append(fields, fmt.Sprint(v))
			}
			list = append(list, strings.Join(fields, "|"))
		}
		slices.Sort(list)
		return list
	}
	tables := map[string][]string{}
	for _, name := range query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'") {
		tables[name] = query("SELECT * FROM " + name)
	}
	return tables
}

// TestRebuild loses the database and the signer's state, and makes them again.
func TestRebuild(t *testing.T) {
	v := newVault(t)
	want := dump(t, filepath.Join(v.dir, "ledger.db"))
	l := bare(t, v.dir)
	r, err := l.rebuild(nil)
	must(t, err)
	if r.Entries != int64(len(want["entries"])) || len(r.Notes) != 0 || r.Segments != int64(len(want["published"])) {
		t.Errorf("rebuilt %+v of %d entries in %d segments", r, len(want["entries"]), len(want["published"]))
	}
	got := dump(t, l.path("ledger.db"))
	// The ledger's checkpoints are those that a segment ends with; the service's own
	// memory is lost; when migrations ran is no part of it.
	for _, c := range got["checkpoints"] {
		if !slices.Contains(want["checkpoints"], c) && !strings.HasPrefix(c, fmt.Sprint(r.Entries)) { // the newest is the signer's alone
			t.Errorf("there is another checkpoint: %s", c)
		}
	}
	for _, name := range []string{"checkpoints", "sessions", "uploads", "upload_parts", "goose_db_version"} {
		delete(want, name)
		delete(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows differ (-lost +rebuilt):\n%s", diff)
	}
	report := (&vault{dir: l.dir}).audit(t, func(c *custody.AuditConfig) { c.Contents = true })
	for _, f := range report.Findings {
		t.Errorf("audit: %s", f)
	}

	// Everything goes on: an upload that was under way begins again at its first byte.
	l.up()
	facts := l.issue("M1", "analyst1")
	data, err := l.fetch("analyst1", facts.Number, 0, -1)
	must(t, err)
	if int64(len(data)) != facts.Size {
		t.Errorf("fetched %d bytes", len(data))
	}
	status, err := l.Intake(t.Context(), l.people["examiner1"], v.pending, 0)
	must(t, err)
	if status.Phase != custody.Receiving || status.Offset != 0 {
		t.Errorf("the pending intake is %s at %d", status.Phase, status.Offset)
	}
	_, err = l.Export(t.Context(), l.people["legal1"], theCase, custody.ExportOptions{})
	must(t, err)
	l.audit()
	l.restart()
	l.audit()
}

// TestRebuildResidue: what erasing leaves of an entry stands in the store for nothing that
// was recorded, though the envelope names it and both keys signed it.
func TestRebuildResidue(t *testing.T) {
	l := newLab(t)
	l.openCase()
	last := l.event("examiner1", theCase, exhibit("E-002"))
	_, err := l.send(last)
	must(t, err)
	left, err := evidence.Residue(last)
	must(t, err)
	var entries []database.Entry
	must(t, l.db.View(l.ctx(), func(tx *database.Tx) error {
		entries, err = tx.Entries(0, 1<<20)
		return err
	}))
	for name, row := range map[string]struct {
		event   evidence.Event
		wantErr error
	}{
		"as it was recorded": {event: last},
		"erased before":      {event: left, wantErr: custody.ErrIncompleteStore},
	} {
		t.Run(name, func(t *testing.T) {
			alone := labAt(t, t.TempDir())
			alone.publishAs(l, entries, row.event)
			_, err := alone.rebuild(nil)
			if !errors.Is(err, row.wantErr) || row.wantErr != nil && !strings.Contains(err.Error(), "what erasing leaves") {
				t.Errorf("%v, want %v", err, row.wantErr)
			}
		})
	}
}

// publishAs fills the store of a lab that has none with the entries of another's ledger,
// as its keys can sign them: the last one with another payload.
func (l *lab) publishAs(of *lab, entries []database.Entry, event evidence.Event) {
	l.t.Helper()
	must(l.t, errors.Join(os.Symlink(of.path("keys"), l.path("keys")), os.Symlink(of.path("skey"), l.path("skey"))))
	payload, signature := l.sign(event)
	envelope, err := ledger.ParseEnvelope(entries[len(entries)-1].Envelope)
	must(l.t, err)
	envelope.Payload, envelope.Sig = sha256.Sum256(payload), sha256.Sum256(signature)

	segment, tree := ledger.Segment{}, &ledger.Tree{}
	var payloads [][]byte
	for i, e := range entries {
		if i == len(entries)-1 {
			e.Envelope, e.Payload, e.Signature = envelope.Bytes(), payload, signature
		}
		segment.Entries = append(segment.Entries, ledger.SegmentEntry{Envelope: e.Envelope, Signature: e.Signature})
		payloads = append(payloads, e.Payload)
		tree.Append(nil, ledger.LeafHash(e.Envelope))
	}
	skey, err := os.ReadFile(l.path("skey"))
	must(l.t, err)
	signer, err := ledger.CreateSigner(l.path("signer"), string(skey))
	must(l.t, err)
	segment.Checkpoint, err = signer.Sign(ledger.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root()}, nil)
	must(l.t, errors.Join(err, signer.Close(), os.Remove(l.path("signer"))))
	data, named := ledger.MarshalPayloads(ledger.PayloadsKey(0, 1), 0, payloads)
	segment.Payloads = named

	l.store.Directory, err = objectstore.CreateDirectory(l.path("objects"), objectstore.Mutable())
	must(l.t, err)
	l.put(named.Key, data)
	l.put(ledger.SegmentKey(0, 1), segment.Marshal())
	must(l.t, l.store.Directory.Close())
}
