package attack

import (
	"database/sql"
	"testing"

	_ "github.com/mattn/go-sqlite3"
)

// insider changes the database as somebody with its file can, who takes the triggers
// away, and puts them back so that the schema looks as it was.
func (l *lab) insider(statements ...string) {
	l.t.Helper()
	l.edit(func(t *testing.T, db *sql.DB) {
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	})
}

func (l *lab) edit(change func(*testing.T, *sql.DB)) {
	l.t.Helper()
	db, err := sql.Open("sqlite3", l.path("data", "ledger.db")+"?_foreign_keys=off")
	must(l.t, err)
	defer func() { must(l.t, db.Close()) }()
	db.SetMaxOpenConns(1)
	type trigger struct{ name, text string }
	var triggers []trigger
	each(l.t, db, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'", func(scan func(...any) error) error {
		var x trigger
		err := scan(&x.name, &x.text)
		triggers = append(triggers, x)
		return err
	})
	for _, x := range triggers {
		_, err := db.ExecContext(l.t.Context(), "DROP TRIGGER "+x.name)
		must(l.t, err)
	}
	change(l.t, db)
	for _, x := range triggers {
		_, err := db.ExecContext(l.t.Context(), x.text)
		must(l.t, err)
	}
}

// each reads all rows of a query.
func each(t *testing.T, db *sql.DB, query string, row func(scan func(...any) error) error) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	must(t, err)
	defer func() { must(t, rows.Close()) }()
	for rows.Next() {
		must(t, row(rows.Scan))
	}
	must(t, rows.Err())
}
