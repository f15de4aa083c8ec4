package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// Backed is what a copy of a database holds.
type Backed struct {
	Meta
	Entries    int64
	Checkpoint ledger.Checkpoint // the newest one kept; of size zero, when there is none yet
}

// Backup copies the database file at path into the new file to, as it is at one moment,
// while a process serves from it: its readers and its writer go on. The copy is checked
// as Damage does, its newest checkpoint against its tree; it is durable, and readable by
// its owner only. The error is fs.ErrExist when there is such a file; after any error
// nothing of the copy stays.
func Backup(ctx context.Context, path, to string) (b Backed, err error) {
	defer func() {
		if err != nil {
			b, err = Backed{}, fmt.Errorf("back up database: %w", err)
		}
	}()
	if path, err = filepath.Abs(path); err != nil {
		return b, err
	}
	if to, err = filepath.Abs(to); err != nil {
		return b, err
	}
	if err := checkHeader(path); err != nil {
		return b, err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return b, err
	}
	defer func() {
		err = errors.Join(err, f.Close(), os.RemoveAll(to+".lock")) // of looking at it
		if err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	if err := copyInto(ctx, path, to); err != nil {
		return b, err
	}
	if b, err = lookAt(ctx, to); err != nil {
		return b, err
	}
	return b, errors.Join(f.Sync(), syncDirectory(filepath.Dir(to)))
}

// copyInto has SQLite write what one read transaction sees into an empty file: what is
// written meanwhile goes into the log and not into the copy. (A connection that may only
// query does not write other files either.)
func copyInto(ctx context.Context, path, to string) (err error) {
	from := connect(path, mode{connections: 1})
	defer func() { err = errors.Join(err, from.Close()) }()
	_, err = from.ExecContext(ctx, from.Rebind("VACUUM INTO ?"), to)
	return err
}

// lookAt judges a copy.
func lookAt(ctx context.Context, path string) (b Backed, err error) {
	db, err := OpenAsIs(ctx, path)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	damage, err := db.Damage(ctx)
	if err == nil && len(damage) > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, strings.Join(damage, "; "))
	}
	if err != nil {
		return b, err
	}
	key, err := ledger.ParseVerifierKey(db.Meta().VerifierKey)
	if err != nil {
		return b, err
	}
	b.Meta = db.Meta()
	return b, db.View(ctx, func(tx *Tx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		b.Entries = head.Size
		_, note, err := tx.LastCheckpoint()
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if b.Checkpoint, err = ledger.OpenCheckpoint(note, key); err != nil {
			return err
		}
		root, err := ledger.RootAt(b.Checkpoint.Size, tx.Hashes())
		if err == nil && root != b.Checkpoint.Root {
			err = fmt.Errorf("%w: its newest checkpoint is not of its tree", ErrDamaged)
		}
		return err
	})
}
