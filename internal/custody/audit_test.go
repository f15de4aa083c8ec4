package custody_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// otherStore answers like a store in which somebody has been.
type otherStore struct {
	custody.Objects
	stat func(objectstore.Object, error) (objectstore.Object, error)
	list func(objectstore.Object) []objectstore.Object
	fail error // of the listing
}

func (s otherStore) Stat(ctx context.Context, key, version string) (objectstore.Object, error) {
	o, err := s.Objects.Stat(ctx, key, version)
	if s.stat != nil {
		return s.stat(o, err)
	}
	return o, err
}

func (s otherStore) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		for o, err := range s.Objects.List(ctx, prefix) {
			versions := []objectstore.Object{o}
			if s.list != nil {
				versions = s.list(o)
			}
			for _, v := range versions {
				if !yield(v, err) {
					return
				}
			}
		}
		if s.fail != nil {
			yield(objectstore.Object{}, s.fail)
		}
	}
}

// auditOtherStore: what only stores with versions, buckets and several locks can
// do to an object.
func auditOtherStore(t *testing.T, v *vault) {
	t.Helper()
	copyOf := func(name string, change func(*objectstore.Object)) func(objectstore.Object) []objectstore.Object {
		return func(o objectstore.Object) []objectstore.Object {
			list := []objectstore.Object{o}
			if o.Key == name {
				change(&o)
				list = append(list, o)
			}
			return list
		}
	}
	stat := func(change func(*objectstore.Object)) func(objectstore.Object, error) (objectstore.Object, error) {
		return func(o objectstore.Object, err error) (objectstore.Object, error) {
			change(&o)
			return o, err
		}
	}
	denied := &fs.PathError{Op: "stat", Path: "object", Err: fs.ErrPermission}
	for _, row := range []struct {
		name  string
		store otherStore
		want  []string
	}{
		{"delete marker", otherStore{list: copyOf(v.keys["M1 content"], func(o *objectstore.Object) { o.Marker = true })}, []string{"object-marker"}},
		{"second version of a copy", otherStore{list: copyOf(v.keys["M1 content"], func(o *objectstore.Object) { o.Version = "2" })}, []string{"object-version"}},
		{"second version on its way", otherStore{list: copyOf(v.pending.String()+"-content", func(o *objectstore.Object) { o.Version = "2" })}, []string{"object-version"}},
		{"other bucket", otherStore{stat: stat(func(o *objectstore.Object) { o.Bucket = "elsewhere" })}, []string{"object-bucket"}},
		{"no lock", otherStore{stat: stat(func(o *objectstore.Object) { o.Lock = objectstore.LockNone })}, []string{"object-lock"}},
		{"stricter lock", otherStore{stat: stat(func(o *objectstore.Object) { o.Lock = objectstore.LockCompliance })}, []string{}},
		{"not to be looked at", otherStore{stat: func(objectstore.Object, error) (objectstore.Object, error) {
			return objectstore.Object{}, denied
		}}, []string{"object-unreadable"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := v.audit(t, func(c *custody.AuditConfig) {
				row.store.Objects = c.Objects
				c.Objects = row.store
			})
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" {
				t.Errorf("kinds of findings (-want +got):\n%s", diff)
			}
		})
	}
}

// auditSigner: the signer's own memory and the checkpoints of the database are
// held against each other.
func auditSigner(t *testing.T, v *vault) {
	t.Helper()
	l := labAt(t, v.dir)
	l.files()
	var newest database.Checkpoint // of the database; the last one is with the signer alone
	must(t, l.db.View(t.Context(), func(tx *database.Tx) (err error) {
		newest.Size, newest.Note, err = tx.LastCheckpoint()
		return err
	}))
	kept, err := ledger.OpenCheckpoint(newest.Note, l.signer.Key())
	must(t, err)
	last := l.signer.Last()
	l.closeFiles()

	older, forked, ahead := kept, last, last
	older.Size, forked.Root, ahead.Size = 1, kept.Root, last.Size+1
	for _, row := range []struct {
		name   string
		signed ledger.Checkpoint
		want   []string
		notes  int
	}{
		{"the last entry is not signed yet", kept, []string{}, 1},
		{"state put back", older, []string{"root", "signer-behind"}, 1},
		{"another history", forked, []string{"root"}, 1},
		{"a longer history", ahead, []string{"rolled-back"}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := v.audit(t, func(c *custody.AuditConfig) { c.Signed = row.signed })
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" {
				t.Errorf("kinds of findings (-want +got):\n%s", diff)
			}
			if len(r.Notes) != row.notes || r.Signed != kept.Size {
				t.Errorf("%d entries are signed, notes %q", r.Signed, r.Notes)
			}
		})
	}
}

// auditErrors: an audit that could not look at everything is no verdict, and what it
// found is told.
func auditErrors(t *testing.T, v *vault) {
	t.Helper()
	l := labAt(t, v.dir)
	l.files()
	defer l.closeFiles()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	down := errors.New("no route to host")
	for _, row := range []struct {
		name    string
		ctx     context.Context //nolint:containedctx // a row of a table
		store   custody.Objects
		wantErr error
	}{
		{"interrupted", ended, l.store, context.Canceled},
		{"store down", t.Context(), otherStore{Objects: l.store, fail: down}, custody.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := custody.Audit(row.ctx, custody.AuditConfig{Database: l.db, Objects: row.store, Key: l.signer.Key(), Signed: l.signer.Last()})
			wantErr(t, err, row.wantErr)
		})
	}
	marked := otherStore{Objects: l.store, fail: down, list: func(o objectstore.Object) []objectstore.Object {
		o.Marker = true
		return []objectstore.Object{o}
	}}
	r, err := custody.Audit(t.Context(), custody.AuditConfig{Database: l.db, Objects: marked, Key: l.signer.Key(), Signed: l.signer.Last()})
	wantErr(t, err, custody.ErrUnavailable)
	if diff := cmp.Diff([]string{"object-marker"}, codes(r.Findings)); diff != "" || r.Incomplete == "" || r.Entries == 0 || len(r.Pending) == 0 {
		t.Errorf("%s, incomplete %q, kinds of findings (-want +got):\n%s", asJSON(t, r), r.Incomplete, diff)
	}
	for name, damage := range map[string]error{"another format": objectstore.ErrFormat, "gone": fs.ErrNotExist} {
		r, err := custody.Audit(t.Context(), custody.AuditConfig{Database: l.db, StoreErr: damage, Key: l.signer.Key(), Signed: l.signer.Last()})
		must(t, err)
		if diff := cmp.Diff([]string{"store-damaged"}, codes(r.Findings)); diff != "" || r.Entries == 0 {
			t.Errorf("%s: kinds of findings (-want +got):\n%s", name, diff)
		}
	}
	r, err = custody.Audit(t.Context(), custody.AuditConfig{Database: l.db, StoreErr: down, Key: l.signer.Key(), Signed: l.signer.Last()})
	wantErr(t, err, down)
	if r.Entries == 0 || len(r.Findings) > 0 {
		t.Errorf("%s", asJSON(t, r))
	}
}

// TestAuditDamage: a database of another form, or a spoilt signer's file, is a
// finding, though nothing else can be looked at. A file that is not there is none.
func TestAuditDamage(t *testing.T) {
	for _, row := range []struct {
		name   string
		tamper func(t *testing.T, v *vault)
		want   []string
	}{
		{"table added", func(t *testing.T, v *vault) {
			v.open(t, func(db *sql.DB) {
				_, err := db.ExecContext(t.Context(), "CREATE TABLE notes (text TEXT)")
				must(t, err)
			})
		}, []string{"database-damaged"}},
		{"signer's file emptied", func(t *testing.T, v *vault) {
			must(t, os.Truncate(filepath.Join(v.dir, "signer"), 0))
		}, []string{"signer-state"}},
		{"database's head overwritten", func(t *testing.T, v *vault) {
			change(t, filepath.Join(v.dir, "ledger.db"), func(data []byte) []byte { clear(data[:100]); return data })
		}, []string{"database-damaged"}},
		{"database gone", func(t *testing.T, v *vault) { must(t, os.Remove(filepath.Join(v.dir, "ledger.db"))) }, []string{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := &vault{dir: emptyLab(t).dir}
			row.tamper(t, v)
			skey, err := os.ReadFile(filepath.Join(v.dir, "skey"))
			must(t, err)
			signer, signerErr := ledger.OpenSigner(filepath.Join(v.dir, "signer"), string(skey))
			if signerErr == nil {
				must(t, signer.Close())
			}
			db, databaseErr := database.Open(t.Context(), filepath.Join(v.dir, "ledger.db"))
			if databaseErr == nil {
				must(t, db.Close())
			}
			r, damaged := custody.AuditDamage(errors.Join(signerErr, databaseErr))
			if diff := cmp.Diff(row.want, codes(r.Findings)); diff != "" || damaged != (len(row.want) > 0) {
				t.Errorf("kinds of findings (-want +got):\n%s", diff)
			}
		})
	}
}

// auditProgress: every stage comes to its total.
func auditProgress(t *testing.T, v *vault) {
	t.Helper()
	var done [3]atomic.Int64
	var totals [3]atomic.Int64
	stage := map[custody.AuditStage]int{custody.AuditEntries: 0, custody.AuditObjects: 1, custody.AuditBytes: 2}
	r := v.audit(t, func(c *custody.AuditConfig) {
		c.Contents = true
		c.Progress = func(s custody.AuditStage, n, total int64) {
			i := stage[s]
			for old := done[i].Load(); n > old && !done[i].CompareAndSwap(old, n); old = done[i].Load() {
			}
			totals[i].Store(total)
		}
	})
	if len(r.Findings) > 0 {
		t.Errorf("findings: %v", r.Findings)
	}
	for s, i := range stage {
		if done[i].Load() == 0 || done[i].Load() != totals[i].Load() {
			t.Errorf("%s: %d of %d", s, done[i].Load(), totals[i].Load())
		}
	}
}
