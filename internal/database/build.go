package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/custodyd/custodyd/internal/ledger"
)

// Build makes a new database file of a ledger that lies elsewhere. fill writes all of
// it, in one transaction that nothing can undo but the end of the file: so it is
// fast, and the file appears with its name whole and durable, or not at all. The error
// is that of fill, or as that of Create.
func Build(ctx context.Context, path string, m Meta, fill func(*Bulk) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("build database: %w", err)
		}
	}()
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	lock, err := takeLock(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, giveLock(lock)) }()
	return build(ctx, path, m, func(part string) error { return bulk(ctx, part, m, fill) })
}

// Bulk is the transaction of [Build]. Entries are only counted: whoever appends them has
// checked them.
type Bulk struct {
	*Tx
	size int64
	args []any
}

// rowsOfEntries is how many entries one statement writes.
const rowsOfEntries = 16

var insertEntries = statementOf(rowsOfEntries)

func statementOf(rows int) string {
	return "INSERT INTO entries (seq, case_id, case_seq, event_id, leaf, envelope, payload, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?)" +
		strings.Repeat(", (?, ?, ?, ?, ?, ?, ?, ?)", rows-1)
}

// AppendAll adds the next entries, and their tree hashes.
func (b *Bulk) AppendAll(entries []Entry) error {
	for len(entries) > 0 {
		n, query := rowsOfEntries, insertEntries
		if len(entries) < n {
			n, query = 1, statementOf(1)
		}
		b.args = b.args[:0]
		for i := range entries[:n] {
			e := &entries[i]
			if e.Seq != b.size {
				return fmt.Errorf("append: %w: entry %d where %d was due", ErrEntry, e.Seq, b.size)
			}
			b.size++
			b.pending = b.tree.Append(b.pending, e.Leaf)
			b.args = append(b.args, e.Seq, e.Case[:], e.CaseSeq, e.EventID[:], e.Leaf[:], e.Envelope, e.Payload, e.Signature)
		}
		if err := b.exec(query, b.args...); err != nil {
			return fmt.Errorf("append entry %d: %w", entries[0].Seq, err)
		}
		entries = entries[n:]
	}
	return b.flush()
}

// bulk fills the file that build has made, and makes it durable.
func bulk(ctx context.Context, path string, m Meta, fill func(*Bulk) error) error {
	if err := load(ctx, path, m, fill); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func load(ctx context.Context, path string, m Meta, fill func(*Bulk) error) (err error) {
	db := connect(path, writing) // one connection
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, text := range []string{
		"PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -262144",
	} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	// Two ask for the newest row of a table before it adds one; one is made faster at once.
	restore, err := without(ctx, db, "entries_insert", "hashes_insert", "exhibits_alike")
	if err != nil {
		return err
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	t := (&DB{meta: m}).begin(context.WithoutCancel(ctx), tx)
	t.tree = &ledger.Tree{}
	if err := t.run(func(tx *Tx) error { return fill(&Bulk{Tx: tx}) }); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return restore()
}

// without drops triggers and indexes, and gives what makes them again as they were.
func without(ctx context.Context, db *sqlx.DB, names ...string) (restore func() error, err error) {
	var texts []string
	for _, name := range names {
		var kind, text string
		row := db.QueryRowxContext(ctx, db.Rebind("SELECT type, sql FROM sqlite_schema WHERE type IN ('trigger', 'index') AND name = ?"), name)
		if err := row.Scan(&kind, &text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := db.ExecContext(ctx, "DROP "+kind+" "+name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		texts = append(texts, text)
	}
	return func() error {
		for _, text := range texts {
			if _, err := db.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
