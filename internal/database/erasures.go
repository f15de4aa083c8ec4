package database

import (
	"context"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// Erasure implements [evidence.View].
func (tx *Tx) Erasure(id evidence.CaseID, leaf digest.SHA256) (evidence.Erasure, error) {
	return find(tx, erasures, "WHERE leaf = ? AND case_id = ?", leaf[:], id[:])
}

// Erasures gives what was erased of a case, by entry.
func (tx *Tx) Erasures(id evidence.CaseID) ([]evidence.Erasure, error) {
	return list(tx, erasures, "WHERE case_id = ? ORDER BY entry", id[:])
}

// erase puts what stays of payloads in their place.
func (tx *Tx) erase(list []evidence.Erasure) error {
	for _, e := range list {
		if err := tx.exec("UPDATE entries SET payload = ? WHERE seq = ?", []byte(e.Residue), e.Entry); err != nil {
			return fmt.Errorf("erase entry %d: %w", e.Entry, err)
		}
	}
	return nil
}

// Scrub has the files hold what the newest transaction left and nothing older: the
// write-ahead log still has the pages as they were. It is false where a reader or writer
// was in the way: then it is to be called again. (In the pages themselves what is
// replaced is overwritten at once, see secure_delete in sqlite.go.)
func (db *DB) Scrub(ctx context.Context) (done bool, err error) {
	conn, err := db.writer.Connx(ctx)
	if err != nil {
		return false, fmt.Errorf("scrub: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx = context.WithoutCancel(ctx)
	// Waiting would have every append wait too.
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return false, fmt.Errorf("scrub: %w", err)
	}
	var busy, pages, moved int
	err = conn.QueryRowxContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	_, again := conn.ExecContext(ctx, "PRAGMA busy_timeout = "+busyTimeout)
	if err := errors.Join(err, again); err != nil {
		return false, fmt.Errorf("scrub: %w", err)
	}
	return busy == 0, nil
}
