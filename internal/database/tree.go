package database

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/custodyd/custodyd/internal/ledger"
)

// rowsAtOnce is how many hashes one statement reads or writes at most. Statements
// exist for the powers of two up to it, so that each is prepared once.
const rowsAtOnce = 64

var (
	insertHashes = hashStatements()
	selectHashes = statements("SELECT idx, hash FROM hashes WHERE idx IN (", "?", ")")
)

// statements repeats row 1, 2, 4, … times.
func statements(before, row, after string) (texts []string) {
	for n := 1; n <= rowsAtOnce; n *= 2 {
		texts = append(texts, before+strings.Repeat(row+", ", n-1)+row+after)
	}
	return texts
}

// hashStatements insert 1, 2, 4, … hashes: those of one blob, from an index on. A binding
// for each would take as long as the writing.
func hashStatements() (texts []string) {
	for n := 1; n <= rowsAtOnce; n *= 2 {
		text := "INSERT INTO hashes (idx, hash) VALUES "
		for i := range n {
			if i > 0 {
				text += ", "
			}
			text += fmt.Sprintf("(?1 + %d, substr(?2, %d, %d))", i, 1+i*len(ledger.Hash{}), len(ledger.Hash{}))
		}
		texts = append(texts, text)
	}
	return texts
}

// flush writes the tree hashes that Append has left over.
func (tx *Tx) flush() error {
	if len(tx.pending) == 0 {
		return nil
	}
	next := ledger.StoredHashCount(tx.tree.Size()) - int64(len(tx.pending))
	blob := make([]byte, 0, rowsAtOnce*len(ledger.Hash{}))
	for rest := tx.pending; len(rest) > 0; {
		power := bits.Len(uint(min(len(rest), rowsAtOnce))) - 1
		blob = blob[:0]
		for i := range 1 << power {
			blob = append(blob, rest[i][:]...)
		}
		if err := tx.exec(insertHashes[power], next, blob); err != nil {
			return fmt.Errorf("write tree hashes: %w", err)
		}
		rest, next = rest[1<<power:], next+1<<power
	}
	tx.pending = tx.pending[:0]
	return nil
}

// Hashes reads the tree's hashes, for proofs and roots. It is good for as long as
// the transaction.
func (tx *Tx) Hashes() ledger.HashReader { return hashReader{tx} }

type hashReader struct{ tx *Tx }

// ReadHashes implements [ledger.HashReader].
func (r hashReader) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	if err := r.tx.flush(); err != nil {
		return nil, err
	}
	found := make(map[int64]ledger.Hash, len(indexes))
	for rest := indexes; len(rest) > 0; {
		part := rest[:min(len(rest), rowsAtOnce)]
		rest = rest[len(part):]
		power := bits.Len(uint(len(part) - 1))
		args := make([]any, 1<<power)
		for i := range args {
			args[i] = part[min(i, len(part)-1)] // asking for the last one again does no harm
		}
		err := r.tx.each(selectHashes[power], args, func(rows *sql.Rows) error {
			var index int64
			var hash ledger.Hash
			err := rows.Scan(&index, fixed(hash[:]))
			found[index] = hash
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read tree hashes: %w", err)
		}
	}
	hashes := make([]ledger.Hash, len(indexes))
	for i, index := range indexes {
		hash, ok := found[index]
		if !ok {
			return nil, fmt.Errorf("%w: tree hash %d is missing", ErrDamaged, index)
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// SaveCheckpoint keeps a signed note over the first size entries. Saving the
// newest one again does nothing; else it is ErrConstraint unless size is larger
// than every one before and there are as many entries.
func (tx *Tx) SaveCheckpoint(size int64, note []byte) error {
	last, known, err := tx.LastCheckpoint()
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("save checkpoint %d: %w", size, err)
	}
	if last == size && bytes.Equal(known, note) {
		return nil
	}
	if err := tx.exec("INSERT INTO checkpoints (size, note) VALUES (?, ?)", size, note); err != nil {
		return fmt.Errorf("save checkpoint %d: %w", size, err)
	}
	return nil
}

// LastCheckpoint gives the newest checkpoint, or ErrNotFound.
func (tx *Tx) LastCheckpoint() (size int64, note []byte, err error) {
	err = tx.one("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1", nil, &size, &note)
	if err != nil {
		return 0, nil, fmt.Errorf("read last checkpoint: %w", err)
	}
	return size, note, nil
}

// CheckpointUpTo gives the newest checkpoint over at most size entries, or ErrNotFound.
func (tx *Tx) CheckpointUpTo(size int64) (at int64, note []byte, err error) {
	err = tx.one("SELECT size, note FROM checkpoints WHERE size <= ? ORDER BY size DESC LIMIT 1", []any{size}, &at, &note)
	if err != nil {
		return 0, nil, fmt.Errorf("read checkpoint up to %d: %w", size, err)
	}
	return at, note, nil
}
