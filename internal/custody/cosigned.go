package custody

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// roleWitnessed is that of the object of a cosigned checkpoint.
const roleWitnessed evidence.Role = "witnessed"

const witnessedPrefix = "witnessed-"

// keptEvery is how many rounds lie between two cosigned checkpoints that are kept for
// good, beside those of exports: the store would be full of them otherwise. The newest
// is always in the database, and with the witnesses.
const keptEvery = 60

// saveCosigned notes what witnesses have cosigned; for good, if it is a seal's or its
// turn has come.
func (s *Service) saveCosigned(ctx context.Context, target signed, notes [][]byte, seal bool) error {
	if target.Size == 0 {
		return nil // an empty ledger is nothing to keep
	}
	s.cosigners.saved++
	kept := seal || s.cosigners.saved%keptEvery == 1
	return s.commitOutcome(s.db.Update(ctx, func(tx *database.Tx) error {
		known, err := tx.Cosigned(target.Size)
		switch {
		case errors.Is(err, database.ErrNotFound):
			known = database.Cosigned{Size: target.Size, Note: target.note}
		case err != nil:
			return err
		case known.Kept:
			return nil // it has its final form
		}
		known.Note, err = ledger.Cosigned(s.cfg.Ledger.Key(), s.cosigners.keys(), append([][]byte{known.Note}, notes...)...)
		if err != nil {
			return err
		}
		known.Kept = kept
		return tx.SaveCosigned(known)
	}))
}

// putCosigned puts the kept ones into the store that are not there, maxSeals at once. What
// fails is tried again when the others had their turn, and at the next start.
func (s *Service) putCosigned(ctx context.Context) {
	var due []database.Cosigned
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		due, err = tx.CosignedToPut(s.cosigners.putFrom, maxSeals)
		return err
	})
	s.cosigners.putFrom = 0
	if len(due) == maxSeals {
		s.cosigners.putFrom = due[maxSeals-1].Size + 1
	}
	failed := 0
	for _, c := range due {
		if fault := s.putOneCosigned(ctx, c); fault != nil {
			failed++
			err = cmp.Or(err, fault)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("put cosigned checkpoints into the store", "due", len(due), "failed", failed, "error", err)
	}
}

func (s *Service) putOneCosigned(ctx context.Context, c database.Cosigned) error {
	noted, err := s.putOwn(ctx, witnessedNames, c.Size, roleWitnessed, c.Note)
	if err != nil {
		return fmt.Errorf("cosigned checkpoint %d: %w", c.Size, err)
	}
	c.Object = noted
	return s.commitOutcome(s.db.Update(ctx, func(tx *database.Tx) error { return tx.SaveCosigned(c) }))
}

// lastCosignedBy gives the newest kept or noted checkpoint with a witness's line, or
// database.ErrNotFound.
func (s *Service) lastCosignedBy(ctx context.Context, key ledger.WitnessKey) (found database.Cosigned, err error) {
	err = s.db.View(ctx, func(tx *database.Tx) error {
		list, err := tx.NewestCosigned(maxSeals)
		if err != nil {
			return err
		}
		for _, c := range list {
			if _, err := key.Cosignature(c.Note); err == nil {
				found = c
				return nil
			}
		}
		return database.ErrNotFound
	})
	return found, err
}

// restoreWitnessed notes a cosigned checkpoint that was found in the store. The ledger's
// signature must hold, and its tree be the one in the database; whose the other lines
// are is for verifiers to know.
func restoreWitnessed(tx *database.Tx, key ledger.VerifierKey, o objectstore.Object, note []byte) error {
	size, _, ok := witnessedNames.parse(o.Key)
	if !ok {
		return fmt.Errorf("object %s: is no cosigned checkpoint's name", o.Key)
	}
	switch _, err := tx.Cosigned(size); {
	case err == nil:
		return fmt.Errorf("object %s: another of that size holds that comes before it", o.Key)
	case !errors.Is(err, database.ErrNotFound):
		return err
	}
	c, err := ledger.OpenCheckpoint(note, key)
	if err != nil {
		return fmt.Errorf("object %s: %w", o.Key, err)
	}
	root, err := ledger.RootAt(size, tx.Hashes())
	if err != nil {
		return fmt.Errorf("object %s: %w", o.Key, err)
	}
	if c.Size != size || c.Root != root {
		return fmt.Errorf("object %s: %w: it is of size %d and root %s, the ledger's is %s", o.Key, ErrRollback, c.Size, c.Root, root)
	}
	row := database.Cosigned{Size: size, Note: note, Kept: true}
	if row.Object, err = json.Marshal(object(roleWitnessed, o, sha256.Sum256(note))); err != nil {
		return fmt.Errorf("object %s: %w", o.Key, err)
	}
	return tx.SaveCosigned(row)
}
