package database

import (
	"database/sql"
	"fmt"
)

// Cosigned is a signed checkpoint with the lines of witnesses.
type Cosigned struct {
	Size   int64
	Note   []byte
	Kept   bool   // for good: the note does not change any more
	Object []byte // where it lies in the object store, the caller's own JSON; empty: not there yet
}

// SaveCosigned notes a cosigned checkpoint, or more lines or an object of one that is
// noted. Of those before it only the kept ones stay. What is kept never changes, and
// has as many entries: else it is ErrConstraint.
func (tx *Tx) SaveCosigned(c Cosigned) error {
	err := tx.exec(`INSERT INTO cosigned (size, note, kept, object) VALUES (?, ?, ?, ?)
		ON CONFLICT (size) DO UPDATE SET note = excluded.note, kept = excluded.kept, object = excluded.object`,
		c.Size, c.Note, c.Kept, string(c.Object))
	if err == nil {
		err = tx.exec("DELETE FROM cosigned WHERE kept = 0 AND size < ?", c.Size)
	}
	if err != nil {
		return fmt.Errorf("save cosigned %d: %w", c.Size, err)
	}
	return nil
}

const selectCosigned = "SELECT size, note, kept, object FROM cosigned "

func (c *Cosigned) columns() []any { return []any{&c.Size, &c.Note, &c.Kept, &c.Object} }

// Cosigned gives the cosigned checkpoint of a size, or ErrNotFound.
func (tx *Tx) Cosigned(size int64) (Cosigned, error) {
	var c Cosigned
	if err := tx.one(selectCosigned+"WHERE size = ?", []any{size}, c.columns()...); err != nil {
		return Cosigned{}, fmt.Errorf("read cosigned %d: %w", size, err)
	}
	return c, nil
}

// NewestCosigned gives up to limit cosigned checkpoints, newest first.
func (tx *Tx) NewestCosigned(limit int) ([]Cosigned, error) {
	return tx.cosigned("ORDER BY size DESC LIMIT ?", limit)
}

// CosignedFrom gives up to limit cosigned checkpoints from a size on, in order.
func (tx *Tx) CosignedFrom(size int64, limit int) ([]Cosigned, error) {
	return tx.cosigned("WHERE size >= ? ORDER BY size LIMIT ?", size, limit)
}

// CosignedToPut gives up to limit kept ones that are not in the object store, from a size
// on, in order.
func (tx *Tx) CosignedToPut(size int64, limit int) ([]Cosigned, error) {
	return tx.cosigned("WHERE kept = 1 AND object = '' AND size >= ? ORDER BY size LIMIT ?", size, limit)
}

func (tx *Tx) cosigned(where string, args ...any) ([]Cosigned, error) {
	var list []Cosigned
	err := tx.each(selectCosigned+where, args, func(rows *sql.Rows) error {
		var c Cosigned
		err := rows.Scan(c.columns()...)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read cosigned: %w", err)
	}
	return list, nil
}
