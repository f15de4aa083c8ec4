package database

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestOpenAsIs: what can be read is opened, and what is wrong with it told; nothing
// is changed.
func TestOpenAsIs(t *testing.T) {
	statement := func(s ...string) func(*testing.T, string) {
		return func(t *testing.T, path string) { tamper(t, path, s...) }
	}
	for name, test := range map[string]struct {
		damage  func(*testing.T, string)
		wantErr error
		want    string // of what is damaged
	}{
		"whole":           {damage: func(*testing.T, string) {}},
		"no file":         {damage: func(t *testing.T, path string) { must(t, os.Remove(path)) }, wantErr: fs.ErrNotExist},
		"empty file":      {damage: func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, wantErr: ErrFormat},
		"newer":           {damage: statement("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"), wantErr: ErrNewer},
		"older":           {damage: statement("DELETE FROM goose_db_version WHERE version_id > 2"), wantErr: ErrOlder},
		"nothing known":   {damage: statement("DROP TRIGGER meta_delete", "DELETE FROM meta", restoreTrigger), wantErr: ErrDamaged},
		"no table meta":   {damage: statement("DROP TABLE meta"), wantErr: ErrDamaged},
		"trigger dropped": {damage: statement("DROP TRIGGER entries_delete"), want: "entries_delete"},
		"index behind its table": {damage: statement(
			// The index is taken away while a row changes, and put back.
			"CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'sessions_by_expiry'",
			"INSERT INTO people VALUES (1, 'p', 'k', 0, '{}')",
			"INSERT INTO sessions VALUES (zeroblob(32), 'p', 'm', 1)",
			"PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'sessions_by_expiry'; PRAGMA writable_schema = RESET",
			"UPDATE sessions SET expires = 2",
			"PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept; PRAGMA writable_schema = RESET",
			"DROP TABLE kept",
		), want: "missing from index sessions_by_expiry"},
	} {
		t.Run(name, func(t *testing.T) {
			db, path := createDatabase(t)
			closeDB(t, db)
			test.damage(t, path)
			before, _ := os.ReadFile(path) // there may be none
			db, err := OpenAsIs(t.Context(), path)
			if !errors.Is(err, test.wantErr) {
				t.Fatalf("error is %v, want %v", err, test.wantErr)
			}
			if err != nil {
				return
			}
			found, err := db.Damage(t.Context())
			must(t, err)
			if got := strings.Join(found, "; "); !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("damage is %q, want %q", got, test.want)
			}
			if db.Meta() != lab {
				t.Errorf("meta is %v", db.Meta())
			}
			if err := db.Update(t.Context(), func(*Tx) error { return nil }); err == nil {
				t.Error("it was written to")
			}
			closeDB(t, db)
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}
