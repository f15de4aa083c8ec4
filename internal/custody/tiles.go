package custody

import (
	"context"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// LogCheckpoint gives the newest signed checkpoint, with the lines of the witnesses that
// have cosigned it by now.
func (s *Service) LogCheckpoint(ctx context.Context) ([]byte, error) {
	note, err := s.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return cosignedBy(ctx, s.db, s.cfg.Ledger.Key(), note)
}

// cosignedBy gives the cosigned form of a checkpoint, if there is one.
func cosignedBy(ctx context.Context, db *database.DB, key ledger.VerifierKey, note []byte) ([]byte, error) {
	plain, err := ledger.OpenCheckpoint(note, key)
	if err != nil {
		return nil, err
	}
	var kept database.Cosigned
	err = db.View(ctx, func(tx *database.Tx) (err error) {
		kept, err = tx.Cosigned(plain.Size)
		return err
	})
	if errors.Is(err, database.ErrNotFound) {
		return note, nil
	}
	if err != nil {
		return nil, err
	}
	if c, err := ledger.OpenCheckpoint(kept.Note, key); err != nil || c != plain {
		return note, nil // the audit tells what is wrong with what was kept
	}
	return kept.Note, nil
}

// Tile gives a tile or a bundle of the tree under the newest signed checkpoint. It is
// for everybody: envelopes say nothing about people or cases. What the tree does not
// have, or not yet, is an evidence.ErrNotFound.
func (s *Service) Tile(ctx context.Context, t ledger.Tile) ([]byte, error) {
	content, err := readTile(ctx, s.db, s.newest.size(), t)
	if err != nil {
		return nil, fmt.Errorf("tile: %w", s.raise(err))
	}
	return content, nil
}

// readTile reads at most TileWidth rows. An entry goes to nobody that the tree does not
// hold as it is.
func readTile(ctx context.Context, db *database.DB, size int64, t ledger.Tile) (content []byte, err error) {
	if err := t.Within(size); err != nil {
		return nil, fmt.Errorf("%w: %w", evidence.ErrNotFound, err)
	}
	err = db.View(ctx, func(tx *database.Tx) error {
		if !t.Entries {
			content, err = ledger.ReadTile(t, tx.Hashes())
			return err
		}
		content, err = readBundle(tx, t)
		return err
	})
	return content, err
}

func readBundle(tx *database.Tx, t ledger.Tile) ([]byte, error) {
	leaves := ledger.Tile{Index: t.Index, Width: t.Width}
	tile, err := ledger.ReadTile(leaves, tx.Hashes())
	if err != nil {
		return nil, err
	}
	want, err := leaves.ParseHashes(tile)
	if err != nil {
		return nil, err
	}
	envelopes, err := tx.Envelopes(t.Index*ledger.TileWidth, t.Width)
	if err != nil {
		return nil, err
	}
	if len(envelopes) != len(want) {
		return nil, fmt.Errorf("%w: %d entries, not %d, at %s", database.ErrDamaged, len(envelopes), len(want), t.Path())
	}
	var content []byte
	for i, envelope := range envelopes {
		if ledger.LeafHash(envelope) != want[i] {
			return nil, entryError(t.Index*ledger.TileWidth+int64(i), errors.New("the tree has another"))
		}
		if content, err = ledger.AppendToBundle(content, envelope); err != nil {
			return nil, err
		}
	}
	return content, nil
}

// Tiles reads the log from a database whose service does not run.
type Tiles struct {
	db   *database.DB
	size int64
	note []byte
}

// NewTiles gives the log up to the checkpoint that was signed last, which has the same
// bytes when it is signed again: the database holds it only from the next entry on.
func NewTiles(ctx context.Context, db *database.DB, signer CheckpointSigner) (*Tiles, error) {
	last := signer.Last()
	err := db.View(ctx, func(tx *database.Tx) error {
		head, err := tx.Head()
		if err == nil && head.Size < last.Size {
			err = fmt.Errorf("%w: the ledger has %d entries, the signer signed %d", ErrRollback, head.Size, last.Size)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	note, err := signer.Sign(last, nil)
	if err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	if note, err = cosignedBy(ctx, db, signer.Key(), note); err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	return &Tiles{db, last.Size, note}, nil
}

// Checkpoint gives the signed note, cosigned as far as it was.
func (t *Tiles) Checkpoint(context.Context) ([]byte, error) { return t.note, nil }

// Tile gives the content of a tile or a bundle.
func (t *Tiles) Tile(ctx context.Context, tile ledger.Tile) ([]byte, error) {
	return readTile(ctx, t.db, t.size, tile)
}
