// Package database is all SQL of the product: the ledger's entries, tree hashes
// and checkpoints, the projections of package evidence, and what the service
// remembers for itself (sessions, uploads). It decides nothing: no policy, no
// HTTP, no signing, no clock.
//
// # The file
//
// One SQLite file, made whole or not at all by [Create], opened by [Open] only if
// its header says that it is ours, its pages are sound, its version is not newer
// than the program's and its tables and triggers are exactly those of package
// schema (so that nobody has dropped one). Beside it lie FILE-wal and FILE-shm while
// it is in use, and FILE.lock: whoever holds that lock (flock) is the one process
// that has the database open.
//
// # Transactions
//
// [DB.Update] is the one writer: BEGIN IMMEDIATE on the one connection that can
// write, WAL, synchronous=FULL. When it returns nil, what was written is on the
// medium. An error that is [ErrCommit] means that nobody knows: the process has to
// end, and the next one reads what happened. Until then no other Update runs. Every
// other error means that nothing was written.
//
// [DB.View] reads one moment's state from a bounded pool of connections that
// cannot write. Readers and the writer never wait for each other. [DB.ViewApart] has one
// beside them, for who must not wait for readers.
//
// An error of Append, Save or any other writing method leaves the transaction half
// done: return it from the function, so that all of it is undone.
//
// # Rows
//
// Entries are added, each as the next one; the schema refuses anything else. A
// projection's row holds its noun as JSON and, beside it, the members it is looked
// up by. A row is read only if it is exactly what Save writes for its noun, else
// the error is a [*RowError].
//
// # Cost
//
// SQLite checkpoints the WAL by itself when it has grown to 4096 pages (16 MiB), at
// the end of an Update. Go test -bench prints durable appends per second in batches
// of 64.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Questions a caller may ask of an error from this package.
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = evidence.ErrNotFound
	// ErrCommit: COMMIT itself failed, nobody knows what is on the medium. End the process.
	ErrCommit = errors.New("the outcome of the commit is unknown")
	// ErrConstraint: a constraint or trigger of the schema refused the write.
	ErrConstraint = errors.New("refused by the schema")
	// ErrLocked: another process has the database open.
	ErrLocked = errors.New("database is in use by another process")
	// ErrFormat: the file is not a database of custodyd.
	ErrFormat = errors.New("not a database of custodyd")
	// ErrNewer: a newer program has written the file.
	ErrNewer = errors.New("database is newer than this program")
	// ErrOlder: an older program has written the file, and it is not to be migrated.
	ErrOlder = errors.New("database is older than this program: start the service once")
	// ErrDamaged: pages, tables, triggers or rows are not as they have to be.
	ErrDamaged = errors.New("database is damaged")
)

// Meta is what a database is for. It never changes.
type Meta struct {
	Origin      string // the ledger's name
	VerifierKey string // the public key of its checkpoints, as a note verifier key
}

// DB is an open database. All methods may be called concurrently.
type DB struct {
	meta   Meta
	lock   *os.File
	writer *sqlx.DB // nil when opened as it is
	reader *sqlx.DB
	apart  *sqlx.DB    // a connection for ViewApart alone; nil when opened as it is
	failed atomic.Bool // a COMMIT has failed
}

// Create makes a new database file, readable by its owner only, and opens it. The
// directory must exist. If there is a file of that name already, or what one left
// behind, the error is fs.ErrExist.
func Create(ctx context.Context, path string, m Meta) (*DB, error) {
	db, err := create(ctx, path, m)
	if err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	return db, nil
}

func create(ctx context.Context, path string, m Meta) (*DB, error) {
	if _, err := ledger.ParseOrigin(m.Origin); err != nil {
		return nil, err
	}
	if m.VerifierKey == "" {
		return nil, errors.New("the verifier key is missing")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	if err := build(ctx, path, m, nil); err != nil {
		return nil, errors.Join(err, giveLock(lock))
	}
	return open(ctx, path, lock)
}

// build makes the file under another name first, so that after a crash it is there
// whole or not at all.
func build(ctx context.Context, path string, m Meta, more func(part string) error) error {
	// SQLite would play a log that was left behind into the new file.
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(&fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}, err)
		}
	}
	part := path + ".new"
	for _, name := range []string{part, part + "-wal", part + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fill(ctx, part, m); err != nil {
		return err
	}
	if more != nil {
		if err := more(part); err != nil {
			return errors.Join(err, os.Remove(part))
		}
	}
	if err := os.Link(part, path); err != nil { // unlike Rename it replaces nothing
		return err
	}
	return errors.Join(os.Remove(part), syncDirectory(filepath.Dir(path)))
}

// fill writes the tables and what never changes.
func fill(ctx context.Context, path string, m Meta) (err error) {
	db := connect(path, writing)
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	if err := migrate(ctx, db); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, db.Rebind("INSERT INTO meta (key, value) VALUES ('origin', ?), ('verifier_key', ?)"),
		m.Origin, m.VerifierKey)
	return err
}

// Open opens a database file that exists, and brings it to this program's version.
// What it refuses is in the package comment; the errors are fs.ErrNotExist,
// ErrLocked, ErrFormat, ErrNewer and ErrDamaged.
func Open(ctx context.Context, path string) (*DB, error) {
	db, err := lockAndOpen(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

func lockAndOpen(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(path); err != nil { // before the lock: it would leave a file behind
		return nil, err
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	return open(ctx, path, lock)
}

// OpenAsIs opens a database file for looking at it alone: nothing is migrated, and
// Update fails. It opens damaged ones too, if their header is whole: see Damage. The
// errors are those of Open, and ErrOlder.
func OpenAsIs(ctx context.Context, path string) (*DB, error) {
	db, err := openAsIs(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

func openAsIs(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	db := &DB{lock: lock, reader: connect(path, reading)}
	current, target, err := versions(ctx, db.reader)
	switch {
	case errors.Is(err, ErrNewer):
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	case current < target:
		err = fmt.Errorf("%w: version %d, this program's is %d", ErrOlder, current, target)
	default:
		err = db.readMeta(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Damage tells what is wrong with pages, indexes, constraints, tables and triggers,
// in SQLite's words and ours. It reads the whole file.
func (db *DB) Damage(ctx context.Context) ([]string, error) {
	found, err := pragma(ctx, db.reader, "PRAGMA integrity_check(100)")
	if err != nil {
		return nil, fmt.Errorf("check database: %w", err)
	}
	err = checkSchema(ctx, db.reader)
	if errors.Is(err, ErrDamaged) {
		return append(found, err.Error()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("check database: %w", err)
	}
	return found, nil
}

// open takes the lock over: it is released when opening fails.
func open(ctx context.Context, path string, lock *os.File) (*DB, error) {
	db := &DB{lock: lock, writer: connect(path, writing), reader: connect(path, reading), apart: connect(path, apart)}
	if err := db.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare checks and migrates the file, and reads what never changes.
func (db *DB) prepare(ctx context.Context) error {
	if err := checkPages(ctx, db.writer); err != nil {
		return err
	}
	if err := migrate(ctx, db.writer); err != nil {
		return err
	}
	if err := checkSchema(ctx, db.writer); err != nil {
		return err
	}
	return db.readMeta(ctx)
}

func (db *DB) readMeta(ctx context.Context) error {
	for key, value := range map[string]*string{"origin": &db.meta.Origin, "verifier_key": &db.meta.VerifierKey} {
		query := db.reader.Rebind("SELECT value FROM meta WHERE key = ?")
		if err := db.reader.GetContext(ctx, value, query, key); errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: meta has no %s", ErrDamaged, key)
		} else if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return nil
}

// Meta tells what the database is for.
func (db *DB) Meta() Meta { return db.meta }

// Close waits for transactions under way, and lets go of the file.
func (db *DB) Close() error {
	var err error
	if db.writer != nil {
		err = errors.Join(db.apart.Close(), db.writer.Close())
	}
	return errors.Join(db.reader.Close(), err, giveLock(db.lock))
}
