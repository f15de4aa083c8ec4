package database

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/pressly/goose/v3"
	"go.uber.org/goleak"

	"github.com/custodyd/custodyd/schema"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashingChild); path != "" {
		appendForEver(path)
	}
	goleak.VerifyTestMain(m)
}

var lab = Meta{Origin: "lab.example/custody", VerifierKey: "lab.example/custody+c0ffee00+AAAA"}

// createDatabase gives an empty database that the test closes itself.
func createDatabase(t testing.TB) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "custody.db")
	db, err := Create(t.Context(), path, lab)
	if err != nil {
		t.Fatal(err)
	}
	return db, path
}

// newDatabase gives an empty database.
func newDatabase(t testing.TB) *DB {
	t.Helper()
	db, _ := createDatabase(t)
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func update(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// tamper runs a statement as somebody with a SQLite program would.
func tamper(t testing.TB, path string, statements ...string) {
	t.Helper()
	raw, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := raw.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, s := range statements {
		if _, err := raw.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestCreateThenOpen(t *testing.T) {
	for _, name := range []string{"custody.db", "a b?c=d#e%20f&g;h'i\"j.db", "ünï", ":memory:", "file:x"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			db, err := Create(t.Context(), name, lab)
			if err != nil {
				t.Fatal(err)
			}
			update(t, db, func(tx *Tx) error { return tx.Append(nextEntry(t, tx, system, 10)) })
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
					t.Errorf("%s: mode %v, error %v", f.Name(), info.Mode(), err)
				}
			}
			closeDB(t, db)
			db, err = Open(t.Context(), filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			defer closeDB(t, db)
			if db.Meta() != lab {
				t.Errorf("meta is %v", db.Meta())
			}
			view(t, db, func(tx *Tx) error {
				_, err := tx.EntryAt(0)
				return err
			})
			if files, err = os.ReadDir(dir); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range files {
				names = append(names, f.Name())
			}
			if want := []string{name, name + "-shm", name + "-wal", name + ".lock"}; !slices.Equal(names, want) {
				t.Errorf("files are %q, want %q", names, want)
			}
		})
	}
}

func TestCreateRefuses(t *testing.T) {
	occupied := func(name string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path+name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		prepare func(*testing.T, string)
		meta    Meta
		wantErr error // nil: any
	}{
		"existing file":           {occupied(""), lab, fs.ErrExist},
		"log of a lost file":      {occupied("-wal"), lab, fs.ErrExist},
		"journal of a lost file":  {occupied("-journal"), lab, fs.ErrExist},
		"dangling symbolic link":  {func(t *testing.T, path string) { must(t, os.Symlink("nowhere", path)) }, lab, fs.ErrExist},
		"missing directory":       {func(t *testing.T, path string) { must(t, os.Remove(filepath.Dir(path))) }, lab, fs.ErrNotExist},
		"no origin":               {nil, Meta{VerifierKey: "k"}, nil},
		"origin of another shape": {nil, Meta{Origin: "Lab", VerifierKey: "k"}, nil},
		"no verifier key":         {nil, Meta{Origin: "lab"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			must(t, os.Mkdir(dir, 0o700))
			path := filepath.Join(dir, "custody.db")
			if test.prepare != nil {
				test.prepare(t, path)
			}
			before, _ := os.ReadFile(path)
			db, err := Create(t.Context(), path, test.meta)
			if err == nil || test.wantErr != nil && !errors.Is(err, test.wantErr) {
				t.Fatalf("error is %v, want %v", err, test.wantErr)
			}
			if db != nil {
				t.Error("there is a database beside the error")
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file that was there has changed")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A crash within Create leaves nothing that looks like a database, and the next
// Create succeeds.
func TestCreateAfterCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "custody.db")
	for _, name := range []string{".new", ".new-wal", ".new-shm", ".lock"} {
		must(t, os.WriteFile(path+name, []byte("half of something"), 0o600))
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open: %v", err)
	}
	db, err := Create(t.Context(), path, lab)
	must(t, err)
	closeDB(t, db)
}

func TestOpenRefuses(t *testing.T) {
	overwrite := func(offset int64, b string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte(b), offset)
			must(t, errors.Join(err, f.Close()))
		}
	}
	statement := func(s ...string) func(*testing.T, string) {
		return func(t *testing.T, path string) { tamper(t, path, s...) }
	}
	for name, test := range map[string]struct {
		damage  func(*testing.T, string)
		wantErr error
	}{
		"no file":                 {func(t *testing.T, path string) { must(t, os.Remove(path)) }, fs.ErrNotExist},
		"directory":               {func(t *testing.T, path string) { must(t, errors.Join(os.Remove(path), os.Mkdir(path, 0o700))) }, ErrFormat},
		"empty file":              {func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, ErrFormat},
		"text file":               {overwrite(0, "Dear Sir or Madam"), ErrFormat},
		"another program's":       {overwrite(68, "OTHR"), ErrFormat},
		"cut":                     {func(t *testing.T, path string) { must(t, os.Truncate(path, 3*4096)) }, ErrDamaged},
		"page overwritten":        {overwrite(4096, string(make([]byte, 4096))), ErrDamaged},
		"newer":                   {statement("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"), ErrNewer},
		"trigger dropped":         {statement("DROP TRIGGER entries_delete"), ErrDamaged},
		"trigger replaced":        {statement("DROP TRIGGER hashes_update", "CREATE TRIGGER hashes_update BEFORE UPDATE ON hashes BEGIN SELECT 1; END"), ErrDamaged},
		"trigger added":           {statement("CREATE TRIGGER x AFTER INSERT ON entries BEGIN DELETE FROM people; END"), ErrDamaged},
		"index dropped":           {statement("DROP INDEX intakes_pending"), ErrDamaged},
		"column added":            {statement("ALTER TABLE copies ADD COLUMN x TEXT"), ErrDamaged},
		"nothing is known of it":  {statement("DROP TRIGGER meta_delete", "DELETE FROM meta", restoreTrigger), ErrDamaged},
		"the origin is not known": {statement("DROP TRIGGER meta_delete", "DELETE FROM meta WHERE key = 'origin'", restoreTrigger), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			db, path := createDatabase(t)
			closeDB(t, db)
			must(t, os.Remove(path+".lock"))
			test.damage(t, path)
			db, err := Open(t.Context(), path)
			if !errors.Is(err, test.wantErr) {
				t.Fatalf("error is %v, want %v", err, test.wantErr)
			}
			if db != nil {
				t.Error("there is a database beside the error")
			}
			if errors.Is(err, ErrFormat) || errors.Is(err, fs.ErrNotExist) {
				if _, err := os.Lstat(path + ".lock"); !errors.Is(err, fs.ErrNotExist) {
					t.Error("a lock was left beside what is not ours")
				}
			}
		})
	}
}

const restoreTrigger = "CREATE TRIGGER meta_delete BEFORE DELETE ON meta\nBEGIN SELECT RAISE(ABORT, 'meta never changes'); END"

func TestOnlyOneProcess(t *testing.T) {
	db, path := createDatabase(t)
	defer closeDB(t, db)
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrLocked) {
		t.Errorf("open: %v, want %v", err, ErrLocked)
	}
	if _, err := Create(t.Context(), path, lab); !errors.Is(err, ErrLocked) {
		t.Errorf("create: %v, want %v", err, ErrLocked)
	}
	update(t, db, func(tx *Tx) error { return tx.Append(nextEntry(t, tx, system, 10)) })
}

// A program that this process is starting has its open files, and so its locks, until it
// executes. Closing lets go of the file all the same.
func TestClosedIsFree(t *testing.T) {
	db, path := createDatabase(t)
	inherited, err := syscall.Dup(int(db.lock.Fd()))
	must(t, err)
	defer syscall.Close(inherited) //nolint:errcheck // of a test
	closeDB(t, db)
	db, err = Open(t.Context(), path)
	must(t, err)
	closeDB(t, db)
}

// Every version that there was is brought to this one, with what it holds.
func TestMigrateOlder(t *testing.T) {
	migrations, err := fs.Glob(schema.Migrations, "*.sql")
	must(t, err)
	for version := 1; version < len(migrations); version++ {
		path := filepath.Join(t.TempDir(), "custody.db")
		must(t, os.WriteFile(path, nil, 0o600))
		old := connect(path, writing)
		_, err := old.ExecContext(t.Context(), "PRAGMA application_id = 1129665364")
		must(t, err)
		provider, err := goose.NewProvider(goose.DialectSQLite3, old.DB, schema.Migrations, goose.WithDisableGlobalRegistry(true))
		must(t, err)
		_, err = provider.UpTo(t.Context(), int64(version))
		must(t, err)
		_, err = old.ExecContext(t.Context(), "INSERT INTO meta VALUES ('origin', ?), ('verifier_key', ?)", lab.Origin, lab.VerifierKey)
		must(t, errors.Join(err, old.Close()))

		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if db.Meta() != lab {
			t.Errorf("version %d: meta is %v", version, db.Meta())
		}
		update(t, db, func(tx *Tx) error { return tx.Append(nextEntry(t, tx, system, 10)) })
		closeDB(t, db)
	}
}

// What had been deleted leaves a file from before secured ahead of its migration: there is
// no moment at which it is of this version and still has it.
func TestMigrateWritesAnew(t *testing.T) {
	const secret = "Jane-Doe-of-Salzburg"
	path := filepath.Join(t.TempDir(), "custody.db")
	must(t, os.WriteFile(path, nil, 0o600))
	old := connect(path, mode{1, "&_secure_delete=off"})
	provider, err := goose.NewProvider(goose.DialectSQLite3, old.DB, schema.Migrations, goose.WithDisableGlobalRegistry(true))
	must(t, err)
	_, err = provider.UpTo(t.Context(), secured-1)
	must(t, err)
	for _, text := range []string{
		"PRAGMA application_id = 1129665364",
		"CREATE TABLE junk (text TEXT)",
		"INSERT INTO junk VALUES ('" + secret + "')",
		"DELETE FROM junk",
		"CREATE TABLE erasures (entry INTEGER)", // the migration fails on it
	} {
		_, err := old.ExecContext(t.Context(), text)
		must(t, err)
	}
	must(t, old.Close())
	if where(t, path, secret) == 0 {
		t.Fatal("it is nowhere to begin with")
	}
	if _, err := Open(t.Context(), path); err == nil {
		t.Fatal("it was migrated")
	}
	if n := where(t, path, secret); n > 0 {
		t.Errorf("it is still in %d places", n)
	}
}

// Who views apart does not wait for those who hold all connections of View.
func TestViewApart(t *testing.T) {
	db := newDatabase(t)
	var hold func(n int) error
	hold = func(n int) error {
		return db.View(t.Context(), func(tx *Tx) error {
			if n > 1 {
				return hold(n - 1)
			}
			return db.ViewApart(t.Context(), func(tx *Tx) error {
				_, err := tx.Head()
				return err
			})
		})
	}
	must(t, hold(reading.connections))
}

func TestConnections(t *testing.T) {
	db := newDatabase(t)
	for pragma, want := range map[string][2]string{ // writer, reader
		"journal_mode":       {"wal", "wal"},
		"synchronous":        {"2", "2"}, // FULL
		"foreign_keys":       {"1", "1"},
		"recursive_triggers": {"1", "1"},
		"busy_timeout":       {"5000", "5000"},
		"query_only":         {"0", "1"},
		"wal_autocheckpoint": {"4096", "4096"},
		"journal_size_limit": {"16777216", "16777216"},
		"application_id":     {"1129665364", "1129665364"},
	} {
		var got [2]string
		must(t, db.writer.GetContext(t.Context(), &got[0], "PRAGMA "+pragma))
		must(t, db.reader.GetContext(t.Context(), &got[1], "PRAGMA "+pragma))
		if got != want {
			t.Errorf("%s is %q, want %q", pragma, got, want)
		}
	}
	var apart string
	if must(t, db.apart.GetContext(t.Context(), &apart, "PRAGMA query_only")); apart != "1" {
		t.Errorf("who views apart can write")
	}
	if w, r := db.writer.Stats().MaxOpenConnections, db.reader.Stats().MaxOpenConnections; w != 1 || r != 8 {
		t.Errorf("%d connections write and %d read, want 1 and 8", w, r)
	}
}
