package custody_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// TestRollback opens what is not the continuation of what was signed.
func TestRollback(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	old := clone(t, l.dir)

	must(t, l.open(l.files()))
	r := l.record("custodian1", theCase, exhibit("E-002"))
	l.down()
	oneMore := clone(t, l.dir)
	must(t, l.open(l.files()))
	l.record("custodian1", theCase, exhibit("E-003"))
	l.down()
	newest := clone(t, l.dir)

	// Another history of the same ledger, longer than the true one.
	fork := labAt(t, clone(t, old))
	must(t, fork.open(fork.files()))
	for _, label := range []evidence.Name{"F-1", "F-2", "F-3", "F-4", "F-5", "F-6"} {
		fork.record("custodian1", theCase, exhibit(label))
	}
	fork.down()

	for name, row := range map[string]struct {
		from string
		file string
		want error // nil: it is fine
	}{
		"newest":             {newest, "ledger.db", nil},
		"older":              {old, "ledger.db", custody.ErrRollback},
		"older by one start": {oneMore, "ledger.db", custody.ErrRollback},
		"rewritten":          {fork.dir, "ledger.db", custody.ErrRollback},
		"signer behind":      {old, "signer", nil}, // a crash leaves that, by one batch
		"signer of a fork":   {fork.dir, "signer", custody.ErrRollback},
	} {
		t.Run(name, func(t *testing.T) {
			victim := labAt(t, clone(t, newest))
			bring(t, row.from, victim.dir, row.file)
			cfg := victim.files()
			healthy := true
			for _, o := range custody.Inspect(t.Context(), cfg) {
				healthy = healthy && o.OK
			}
			if healthy != (row.want == nil) {
				t.Errorf("inspected: %+v", custody.Inspect(t.Context(), cfg))
			}
			err := victim.open(cfg)
			if told := strings.Contains(victim.logged.String(), "has forgotten"); told != (name == "signer behind") {
				t.Errorf("log:\n%s", victim.logged)
			}
			if row.want != nil {
				wantErr(t, err, row.want)
				if c, ok := errors.AsType[*custody.ConflictError](err); !ok || c.Ours == nil || c.Theirs == nil || bytes.Equal(c.Ours, c.Theirs) {
					t.Errorf("not both notes: %+v", c)
				}
				bring(t, newest, victim.dir, "ledger.db") // nothing was spoilt by looking
				bring(t, newest, victim.dir, "signer")
				err = victim.open(victim.files())
			}
			must(t, err)
			victim.ack(r, nil)
			victim.audit()
			victim.down()
		})
	}
}

func meta(t *testing.T, l *lab) database.Meta {
	t.Helper()
	skey, err := os.ReadFile(l.path("skey"))
	must(t, err)
	key, err := ledger.VerifierKeyOf(string(skey))
	must(t, err)
	return database.Meta{Origin: origin, VerifierKey: key.String()}
}

// TestRewritten opens a database in which entries were changed and the tree's hashes
// were not.
func TestRewritten(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.down()
	replace := func(column, old, new string) string {
		return fmt.Sprintf("UPDATE entries SET %s = CAST(replace(CAST(%[1]s AS TEXT), '%s', '%s') AS BLOB) WHERE seq = 5", column, old, new)
	}
	for name, statement := range map[string]string{
		"payload":   replace("payload", `"actor":"admin"`, `"actor":"anton"`),
		"envelope":  replace("envelope", `"time":"2026`, `"time":"2025`),
		"signature": replace("signature", "BEGIN SSH SIGNATURE", "BEGIN SSH SIGNATUR_"),
		"leaf":      "UPDATE entries SET leaf = zeroblob(32) WHERE seq = 5",
		"tree":      "UPDATE hashes SET hash = zeroblob(32) WHERE idx = (SELECT MAX(idx) FROM hashes)",
		"deleted":   "DELETE FROM entries WHERE seq = 5",
	} {
		t.Run(name, func(t *testing.T) {
			victim := labAt(t, clone(t, l.dir))
			(&vault{dir: victim.dir}).sql(t, statement)
			wantErr(t, victim.open(victim.files()), custody.ErrRollback)
		})
	}
}

// TestOtherStore opens a ledger with a store that is not its own.
func TestOtherStore(t *testing.T) {
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	l.down()
	entries := func(victim *lab) (n int64) {
		must(t, victim.db.View(t.Context(), func(tx *database.Tx) error {
			head, err := tx.Head()
			n = head.Size
			return err
		}))
		return n
	}
	for name, row := range map[string]struct {
		store func(custody.Objects) custody.Objects
		want  error
	}{
		"its own":           {func(o custody.Objects) custody.Objects { return o }, nil},
		"another directory": {func(o custody.Objects) custody.Objects { return elsewhere{o, "directory", "0123", ""} }, custody.ErrOtherStore},
		"another kind":      {func(o custody.Objects) custody.Objects { return elsewhere{o, "s3", o.Describe().Bucket, ""} }, custody.ErrOtherStore},
		"an emptied one":    {func(o custody.Objects) custody.Objects { return elsewhere{o, "directory", o.Describe().Bucket, "gone"} }, nil}, // a finding, when it is read
	} {
		t.Run(name, func(t *testing.T) {
			victim := labAt(t, clone(t, l.dir))
			cfg := victim.files()
			before := entries(victim)
			cfg.Objects = row.store(cfg.Objects)
			s, err := custody.Open(t.Context(), cfg)
			wantErr(t, err, row.want)
			if err == nil {
				must(t, s.Close(t.Context()))
			} else if entries(victim) != before {
				t.Error("it was noted")
			}
			victim.closeFiles()
		})
	}
	t.Run("another bucket of that name", func(t *testing.T) {
		s3 := emptyLab(t)
		cfg := s3.files()
		own := cfg.Objects
		cfg.Objects = elsewhere{own, "s3", "evidence", ""}
		must(t, s3.open(cfg))
		s3.enrolAll()
		s3.openCase()
		s3.seal([]byte("a small image"))
		must(t, s3.Close(t.Context()))
		s3.Service = nil
		cfg.Objects = elsewhere{own, "s3", "evidence", "gone"}
		_, err := custody.Open(t.Context(), cfg)
		wantErr(t, err, custody.ErrOtherStore)
		cfg.Objects = elsewhere{own, "s3", "evidence", ""}
		must(t, s3.open(cfg))
		s3.down()
	})
}

// elsewhere is a store of another name, perhaps without anything in it.
type elsewhere struct {
	custody.Objects
	kind, bucket, gone string
}

func (e elsewhere) Describe() objectstore.Description {
	d := e.Objects.Describe()
	d.Kind, d.Bucket = e.kind, e.bucket
	return d
}

func (e elsewhere) Stat(ctx context.Context, key, version string) (objectstore.Object, error) {
	if e.gone != "" {
		return objectstore.Object{}, fs.ErrNotExist
	}
	return e.Objects.Stat(ctx, key, version)
}

// TestStartFaults: what is no rollback is not called one, and a clock that cannot be
// right is told of.
func TestStartFaults(t *testing.T) {
	l := newLab(t)
	l.down()
	must(t, l.open(l.files()))
	l.down()
	cfg := l.files()
	must(t, l.signer.Close()) // as with any fault of its file
	_, err := custody.Open(t.Context(), cfg)
	if err == nil || errors.Is(err, custody.ErrRollback) {
		t.Errorf("the signer cannot write: %v", err)
	}
	must(t, errors.Join(l.db.Close(), l.store.Directory.Close()))

	l.clock.advance(-time.Hour)
	must(t, l.open(l.files()))
	if !strings.Contains(l.logged.String(), "set the clock") {
		t.Errorf("log:\n%s", l.logged)
	}
	l.down()
}

// TestOtherKeys opens a ledger with keys that are not its own.
func TestOtherKeys(t *testing.T) {
	l := newLab(t)
	l.down()
	another := anotherLab(t)
	t.Run("ledger key", func(t *testing.T) {
		victim := labAt(t, clone(t, l.dir))
		bring(t, another.dir, victim.dir, "skey")
		bring(t, another.dir, victim.dir, "signer")
		wantErr(t, victim.open(victim.files()), custody.ErrRollback)
	})
	t.Run("service key", func(t *testing.T) {
		victim := labAt(t, clone(t, l.dir))
		cfg := victim.files()
		cfg.Key = another.key(identity.Service)
		if err := victim.open(cfg); err == nil {
			t.Error("it was opened")
			victim.down()
		}
		must(t, victim.open(victim.files()))
		victim.audit()
		victim.down()
	})
	t.Run("empty database", func(t *testing.T) {
		victim := labAt(t, clone(t, l.dir))
		must(t, os.Remove(victim.path("ledger.db")))
		db, err := database.Create(t.Context(), victim.path("ledger.db"), meta(t, victim))
		must(t, err)
		must(t, db.Close())
		wantErr(t, victim.open(victim.files()), custody.ErrRollback)
	})
}

// TestFirstStart opens an empty ledger.
func TestFirstStart(t *testing.T) {
	l := emptyLab(t)
	cfg := l.files()
	cfg.Administrator = nil
	if err := l.open(cfg); err == nil {
		t.Fatal("an empty ledger was opened without an administrator")
	}
	l.up()
	people, err := l.People(t.Context(), l.people["admin"])
	must(t, err)
	if len(people) != 2 || people[0].Principal != identity.Service || people[1].Principal != "admin" || l.Stats().Entries != 3 {
		t.Errorf("there are %+v and %d entries", people, l.Stats().Entries)
	}
	about := l.About()
	if about.Origin != origin || about.VerifierKey != l.signer.Key() || about.Store.Kind != "directory" || about.RetainDays != 30 {
		t.Errorf("about: %+v", about)
	}
	must(t, l.Ready(t.Context()))
	l.store.setFail(func(point) bool { return true })
	wantErr(t, l.Ready(t.Context()), custody.ErrUnavailable)
	l.audit()
	l.restart()
	if l.Stats().Entries != 4 {
		t.Errorf("after a restart there are %d entries", l.Stats().Entries)
	}
}
