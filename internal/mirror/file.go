package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/custodyd/custodyd/internal/ledger"
)

const (
	checkpointFile = "checkpoint"
	maxCheckpoint  = 1 << 20 // bytes
	newSuffix      = ".new"  // of a file that is being written
)

func (d *Dir) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// Checkpoint implements [Source].
func (d *Dir) Checkpoint(context.Context) ([]byte, error) {
	return d.read(checkpointFile, maxCheckpoint)
}

// Tile implements [Source].
func (d *Dir) Tile(_ context.Context, t ledger.Tile) ([]byte, error) {
	return d.read(t.Path(), ledger.MaxTile)
}

func (d *Dir) read(name string, most int64) ([]byte, error) {
	f, err := os.Open(d.file(name))
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrContent, d.file(name), most)
	}
	return content, nil
}

// keep writes what has been checked, unless it was read from there.
func (d *Dir) keep(t ledger.Tile, content []byte) error {
	if _, err := os.Lstat(d.file(t.Path())); t.Full() && err == nil {
		return nil
	}
	return d.write(t.Path(), content)
}

// write replaces a file: what is there at any moment is the old or the new content. Its
// name is durable only after the directory was synced. All of it is for everybody.
func (d *Dir) write(name string, content []byte) (err error) {
	path := d.file(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // public
		return err
	}
	f, err := os.OpenFile(path+newSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // public
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+newSuffix, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path+newSuffix))
	}
	if name == checkpointFile {
		return d.syncDirs(".")
	}
	return nil
}

// syncTree makes the names of all tiles durable.
func (d *Dir) syncTree() error {
	err := filepath.WalkDir(d.file("tile"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncDir(path)
	})
	return errors.Join(err, syncDir(d.path), syncDir(filepath.Dir(d.path)))
}

// syncDirs makes the names in a directory of the mirror durable, and its own.
func (d *Dir) syncDirs(name string) error { return errors.Join(syncDir(d.file(name)), syncDir(d.path)) }

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// removePartials removes what a full tile, and the bundle under it, has replaced.
//
// SPEC: "… but MAY delete any partial tile once the corresponding full tile is
// available" (C2SP tlog-tiles)
func (d *Dir) removePartials(full ledger.Tile) error {
	err := os.RemoveAll(d.file(full.Path() + ".p"))
	if full.Level == 0 {
		full.Entries = true
		err = errors.Join(err, os.RemoveAll(d.file(full.Path()+".p")))
	}
	return err
}

// resumed reads full tiles from the mirror where an update that was interrupted has
// left them.
type resumed struct {
	d    *Dir
	from Source
}

// Checkpoint implements [Source].
func (r *resumed) Checkpoint(ctx context.Context) ([]byte, error) { return r.from.Checkpoint(ctx) }

// Tile implements [Source].
func (r *resumed) Tile(ctx context.Context, t ledger.Tile) ([]byte, error) {
	if !t.Full() {
		return r.from.Tile(ctx, t)
	}
	content, err := r.d.Tile(ctx, t)
	if errors.Is(err, fs.ErrNotExist) {
		return r.from.Tile(ctx, t)
	}
	return content, err
}
