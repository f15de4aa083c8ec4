package database

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/custodyd/custodyd/internal/ledger"
)

// Checkpoint is a signed note as it is kept, whatever it says.
type Checkpoint struct {
	Size int64
	Note []byte
}

// Checkpoints gives up to limit checkpoints of size from and more, by size.
func (tx *Tx) Checkpoints(from int64, limit int) ([]Checkpoint, error) {
	var list []Checkpoint
	err := tx.each("SELECT size, note FROM checkpoints WHERE size >= ? ORDER BY size LIMIT ?", []any{from, limit},
		func(rows *sql.Rows) error {
			var c Checkpoint
			err := rows.Scan(&c.Size, &c.Note)
			list = append(list, c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return list, nil
}

// TreeHash is a stored hash of the tree with its index.
type TreeHash struct {
	Index int64
	Hash  ledger.Hash
}

// TreeHashes gives up to limit stored hashes from an index on, in order. What is
// not there is left out.
func (tx *Tx) TreeHashes(from int64, limit int) ([]TreeHash, error) {
	var list []TreeHash
	err := tx.each("SELECT idx, hash FROM hashes WHERE idx >= ? ORDER BY idx LIMIT ?", []any{from, limit},
		func(rows *sql.Rows) error {
			var h TreeHash
			err := rows.Scan(&h.Index, fixed(h.Hash[:]))
			list = append(list, h)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read tree hashes: %w", err)
	}
	return list, nil
}

// CheckSchema is an ErrDamaged unless tables, indexes and triggers are exactly those of
// package schema.
func (db *DB) CheckSchema(ctx context.Context) error {
	if err := checkSchema(ctx, db.reader); err != nil {
		return fmt.Errorf("check schema: %w", err)
	}
	return nil
}
