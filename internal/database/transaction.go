package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"

	"github.com/custodyd/custodyd/internal/ledger"
)

// Tx is a transaction, for one goroutine and only until the function that was
// given it returns. It is an [evidence.View].
type Tx struct {
	ctx    context.Context
	tx     *sqlx.Tx
	origin ledger.Origin

	// The ends of the ledger and of its cases as this transaction has left them,
	// and the tree hashes that it has yet to write.
	head    *ledger.Head
	heads   map[ledger.CaseID]ledger.CaseHead
	tree    *ledger.Tree
	pending []ledger.Hash
}

// Update runs fn in a transaction that can write, after those that came before,
// and commits it. Of what is wrong: an error of fn, or of waiting for the turn,
// means that nothing was written; ErrCommit that nobody knows. ctx is for waiting:
// once begun, the transaction goes on to its end.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) (err error) {
	if db.writer == nil {
		return errors.New("begin update: the database was opened for looking at it")
	}
	conn, err := db.writer.Connx(ctx)
	if err != nil {
		return fmt.Errorf("begin update: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if db.failed.Load() {
		return fmt.Errorf("begin update: an earlier one failed: %w", ErrCommit)
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin update: %w", err)
	}
	t := db.begin(ctx, tx)
	if err := t.run(fn); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		db.failed.Store(true)
		return fmt.Errorf("%w: %w", ErrCommit, err)
	}
	return nil
}

// View runs fn in a transaction that can only read, and sees the state of one
// moment. It ends early, with an error, when ctx is done.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	return db.view(ctx, db.reader, fn)
}

// ViewApart is View through the one connection that View does not use: however many read,
// it waits for none of them. It is for one goroutine, and not for a database that was
// opened for looking at it.
func (db *DB) ViewApart(ctx context.Context, fn func(*Tx) error) error {
	return db.view(ctx, db.apart, fn)
}

func (db *DB) view(ctx context.Context, pool *sqlx.DB, fn func(*Tx) error) error {
	tx, err := pool.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin view: %w", err)
	}
	if err := db.begin(ctx, tx).run(fn); err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return fmt.Errorf("end view: %w", err)
	}
	return nil
}

func (db *DB) begin(ctx context.Context, tx *sqlx.Tx) *Tx {
	return &Tx{ctx: ctx, tx: tx, origin: ledger.Origin(db.meta.Origin), heads: map[ledger.CaseID]ledger.CaseHead{}}
}

// run rolls back unless fn and the writing of what it left over succeed.
func (tx *Tx) run(fn func(*Tx) error) (err error) {
	whole := false
	defer func() {
		if !whole { // also when fn panics
			err = errors.Join(err, tx.tx.Rollback())
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.flush(); err != nil {
		return err
	}
	whole = true
	return nil
}

// exec writes.
func (tx *Tx) exec(query string, args ...any) error {
	_, err := tx.tx.ExecContext(tx.ctx, tx.tx.Rebind(query), args...) //nolint:gosec // our own text
	if e, ok := errors.AsType[sqlite3.Error](err); ok && e.Code == sqlite3.ErrConstraint {
		return fmt.Errorf("%w: %w", ErrConstraint, err)
	}
	return err
}

// one reads the one row of a query, or ErrNotFound.
func (tx *Tx) one(query string, args []any, into ...any) error {
	err := tx.tx.QueryRowContext(tx.ctx, tx.tx.Rebind(query), args...).Scan(into...) //nolint:gosec // our own text
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// each reads all rows of a query.
func (tx *Tx) each(query string, args []any, row func(*sql.Rows) error) (err error) {
	rows, err := tx.tx.QueryContext(tx.ctx, tx.tx.Rebind(query), args...) //nolint:gosec // our own text
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// fixed reads a BLOB of exactly its own length, such as a hash.
type fixed []byte

// Scan implements [sql.Scanner].
func (f fixed) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok || len(b) != len(f) {
		return fmt.Errorf("want %d bytes, have %d of %T", len(f), len(b), value)
	}
	copy(f, b)
	return nil
}
