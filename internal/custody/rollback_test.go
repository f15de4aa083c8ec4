package custody_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// clone copies the files of a lab that is down.
func clone(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "clone")
	out, err := exec.CommandContext(t.Context(), "cp", "-a", dir, to).CombinedOutput()
	if err != nil {
		t.Fatalf("copy the lab: %v: %s", err, out)
	}
	return to
}

// bring replaces a file of a lab by that of another.
func bring(t *testing.T, from, to, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(from, name))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(to, name), data, 0o600))
}

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
			if row.want != nil {
				wantErr(t, err, row.want)
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

// TestOtherKeys opens a ledger with keys that are not its own.
func TestOtherKeys(t *testing.T) {
	l := newLab(t)
	l.down()
	another := emptyLab(t)
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
