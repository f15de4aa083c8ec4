package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

var (
	// ErrContent says that a source gives something else than its checkpoint was signed
	// over.
	ErrContent = errors.New("not what the checkpoint was signed over")
	// ErrForeign says that a directory holds something, and no mirror.
	ErrForeign = errors.New("is not empty and no mirror: name another directory")
)

// Source gives the resources of a log. None of it is believed before it is checked.
type Source interface {
	Checkpoint(ctx context.Context) ([]byte, error)
	Tile(ctx context.Context, t ledger.Tile) ([]byte, error)
}

// Dir is a mirror of the ledger with this key. It is a Source.
type Dir struct {
	path string
	key  ledger.VerifierKey
}

// At gives the mirror in a directory, which may not be there yet.
func At(path string, key ledger.VerifierKey) *Dir { return &Dir{filepath.Clean(path), key} }

// Contradiction says where the checkpoints are kept that contradict each other.
type Contradiction struct {
	Notes string // a file of package verify's checkpoints
	err   error
}

func (e *Contradiction) Error() string {
	return fmt.Sprintf("%v; both signed notes are kept: %s", e.err, e.Notes)
}

// Unwrap gives what is wrong between the two: a verify.ErrNotConsistent or verify.ErrBehind.
func (e *Contradiction) Unwrap() error { return e.err }

// Last gives the checkpoint that the mirror holds; fs.ErrNotExist, when there is none yet.
func (d *Dir) Last(ctx context.Context) (ledger.Checkpoint, []byte, error) {
	note, err := d.Checkpoint(ctx)
	if err != nil {
		return ledger.Checkpoint{}, nil, err
	}
	c, err := ledger.OpenCheckpoint(note, d.key)
	if err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("%s: %w", d.file(checkpointFile), err)
	}
	return c, note, nil
}

// Update brings the mirror to the source's checkpoint, and gives its own from before,
// which is the zero value for a new mirror, and now.
func (d *Dir) Update(ctx context.Context, from Source) (before, now ledger.Checkpoint, err error) {
	before, now, err = d.update(ctx, from)
	if err != nil {
		return ledger.Checkpoint{}, ledger.Checkpoint{}, fmt.Errorf("mirror %s: %w", d.key.Origin(), err)
	}
	return before, now, nil
}

func (d *Dir) update(ctx context.Context, from Source) (before, now ledger.Checkpoint, err error) {
	before, old, err := d.Last(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		err = d.vacant()
	}
	if err != nil {
		return before, now, err
	}
	note, err := from.Checkpoint(ctx)
	if err != nil {
		return before, now, err
	}
	if now, err = ledger.OpenCheckpoint(note, d.key); err != nil {
		return before, now, err
	}
	if now.Size == 0 {
		return before, now, fmt.Errorf("%w: a tree without entries", ErrContent)
	}
	if old != nil && now.Size <= before.Size {
		if _, _, err := verify.Consistent(old, note, nil, d.key); err != nil {
			return before, now, d.contradiction(old, note, err)
		}
		if len(note) > len(old) { // more have signed it
			err = d.write(checkpointFile, note)
		}
		return before, now, err
	}
	w, err := open(ctx, &resumed{d, from}, now)
	if err != nil {
		return before, now, err
	}
	if old != nil {
		proof, err := ledger.ProveConsistency(now.Size, before.Size, w.reader(ctx))
		if err != nil {
			return before, now, err
		}
		if _, _, err := verify.Consistent(old, note, proof, d.key); err != nil {
			return before, now, d.contradiction(old, note, err)
		}
	}
	if err := w.walk(ctx, before.Size, d.keep); err != nil {
		return before, now, err
	}
	return before, now, d.finish(before, old, now, note)
}

// finish makes all files durable, then says so by the checkpoint.
func (d *Dir) finish(before ledger.Checkpoint, old []byte, now ledger.Checkpoint, note []byte) error {
	if err := d.syncTree(); err != nil {
		return err
	}
	if held, err := d.read(checkpointFile, maxCheckpoint); !errors.Is(err, fs.ErrNotExist) && (err != nil || !bytes.Equal(held, old)) {
		return errors.Join(errors.New("somebody else writes this mirror: run it again"), err)
	}
	if err := d.write(checkpointFile, note); err != nil {
		return err
	}
	for _, t := range ledger.Edge(before.Size) {
		if full := (ledger.Tile{Level: t.Level, Index: t.Index, Width: ledger.TileWidth}); full.Within(now.Size) == nil {
			if err := d.removePartials(full); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check reads all of the mirror again, as an update would from elsewhere.
func (d *Dir) Check(ctx context.Context) (ledger.Checkpoint, error) {
	c, _, err := d.Last(ctx)
	if err != nil {
		return ledger.Checkpoint{}, fmt.Errorf("check the mirror %s: %w", d.path, err)
	}
	w, err := open(ctx, d, c)
	if err == nil {
		err = w.walk(ctx, 0, func(ledger.Tile, []byte) error { return nil })
	}
	if err != nil {
		return ledger.Checkpoint{}, fmt.Errorf("check the mirror %s: %w", d.path, missing(err))
	}
	return c, nil
}

// missing says of a file that is not there that the checkpoint speaks of it.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	return err
}

// Hashes reads the hashes of the tree that the mirror's checkpoint is over, each shown
// to lie under it.
func (d *Dir) Hashes(ctx context.Context) (ledger.Checkpoint, ledger.HashReader, error) {
	c, _, err := d.Last(ctx)
	if err != nil {
		return ledger.Checkpoint{}, nil, err
	}
	w, err := open(ctx, d, c)
	if err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("read the mirror %s: %w", d.path, missing(err))
	}
	return c, w.reader(ctx), nil
}

// contradiction keeps both notes.
func (d *Dir) contradiction(old, now []byte, cause error) error {
	text := verify.MarshalNotes([][]byte{old, now})
	sum := sha256.Sum256(text)
	size := int64(-1)
	if c, err := ledger.OpenCheckpoint(now, d.key); err == nil {
		size = c.Size
	}
	name := fmt.Sprintf("forks/%d-%x.notes", size, sum[:8])
	if err := d.write(name, text); err != nil {
		return errors.Join(&Contradiction{"nowhere, for they could not be written", cause}, err)
	}
	return errors.Join(&Contradiction{d.file(name), cause}, d.syncDirs("forks"))
}

// vacant refuses a directory in which somebody keeps something else.
func (d *Dir) vacant() error {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if name := e.Name(); name != "tile" && name != "forks" && name != checkpointFile+newSuffix {
			return fmt.Errorf("%s %w", d.path, ErrForeign)
		}
	}
	return err
}
