package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	directoryPart = 64 << 20
	directoryStep = 8 << 20 // dirty pages of a copy are sent to the disk in steps of this many bytes
)

// partial is where the bytes of u gather. It fails with ErrNoUpload when u is
// not one this store can have begun.
func (d *Directory) partial(u Upload) (string, error) {
	if err := checkKey(u.Key); err != nil {
		return "", err
	}
	if !idForm.MatchString(u.ID) {
		return "", fmt.Errorf("%q: %w", u.ID, ErrNoUpload)
	}
	return filepath.Join(d.path, partialDir, u.Key+"."+u.ID), nil
}

// Begin starts an upload of size bytes that will be retained until the given time.
func (d *Directory) Begin(ctx context.Context, key string, size int64, until time.Time) (Upload, error) {
	u, err := d.begin(ctx, key, size, until)
	if err != nil {
		return Upload{}, fmt.Errorf("begin object %s: %w", key, err)
	}
	return u, nil
}

func (d *Directory) begin(ctx context.Context, key string, size int64, until time.Time) (Upload, error) {
	if err := ctx.Err(); err != nil {
		return Upload{}, err
	}
	if err := checkKey(key); err != nil {
		return Upload{}, err
	}
	if size < 0 {
		return Upload{}, fmt.Errorf("%d bytes: %w", size, ErrSize)
	}
	until, err := retention(until)
	if err != nil {
		return Upload{}, err
	}
	if _, err := os.Lstat(d.object(key)); err == nil {
		return Upload{}, fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Upload{}, err
	}
	u := Upload{Key: key, ID: newID(), Size: size, PartSize: directoryPart, RetainUntil: until}
	path, err := d.partial(u)
	if err != nil {
		return Upload{}, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Upload{}, err
	}
	if err := errors.Join(f.Close(), syncDir(filepath.Dir(path))); err != nil {
		return Upload{}, errors.Join(err, os.Remove(path))
	}
	return u, nil
}

// WritePart writes the size bytes of r as part number of u. They are durable
// when it returns nil.
func (d *Directory) WritePart(ctx context.Context, u Upload, number int, r io.Reader, size int64) (Part, error) {
	p, err := d.writePart(ctx, u, number, r, size)
	if err != nil {
		return Part{}, fmt.Errorf("write part %d of object %s: %w", number, u.Key, err)
	}
	return p, nil
}

func (d *Directory) writePart(ctx context.Context, u Upload, number int, r io.Reader, size int64) (Part, error) {
	off, want, err := u.Part(number)
	if err != nil {
		return Part{}, err
	}
	if size != want {
		return Part{}, fmt.Errorf("%d bytes where the part has %d: %w", size, want, ErrPart)
	}
	exact, err := newExactReader(r, size)
	if err != nil {
		return Part{}, err
	}
	f, err := d.openPartial(u)
	if err != nil {
		return Part{}, err
	}
	if err := errors.Join(writeRange(ctx, f, exact, off, size), f.Close()); err != nil {
		return Part{}, err
	}
	return Part{Number: number, Offset: off, Size: size}, nil
}

func (d *Directory) openPartial(u Upload) (*os.File, error) {
	path, err := d.partial(u)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoUpload
	}
	return f, err
}

// Complete makes the object of u appear. Called again after success, by this
// process or a later one, it gives the same object.
func (d *Directory) Complete(ctx context.Context, u Upload, parts []Part) (Object, error) {
	o, err := d.complete(ctx, u, parts)
	if err != nil {
		return Object{}, fmt.Errorf("complete object %s: %w", u.Key, err)
	}
	return o, nil
}

func (d *Directory) complete(ctx context.Context, u Upload, parts []Part) (Object, error) {
	if err := ctx.Err(); err != nil {
		return Object{}, err
	}
	if err := u.check(parts); err != nil {
		return Object{}, err
	}
	path, err := d.partial(u)
	if err != nil {
		return Object{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	o, err := d.stat(u.Key)
	if err == nil && o.Version != u.ID {
		return Object{}, fs.ErrExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = d.finish(ctx, u, path)
	}
	if err != nil {
		return Object{}, err
	}
	// From here on all is repeated when we were interrupted before.
	if err := d.seal(u.Key); err != nil {
		return Object{}, err
	}
	if o, err = d.stat(u.Key); err != nil {
		return Object{}, err
	}
	if o.Version != u.ID || o.Size != u.Size || o.Lock != LockDirectory || o.RetainUntil.Before(u.RetainUntil) {
		return Object{}, fmt.Errorf("%d bytes of version %q, lock %s until %s: %w", o.Size, o.Version, o.Lock, o.RetainUntil, ErrReadBack)
	}
	return o, nil
}

// seal makes the name of an object durable and, where that is granted, the object
// immutable.
func (d *Directory) seal(key string) error {
	err := errors.Join(syncDir(filepath.Join(d.path, objectsDir)), syncDir(filepath.Join(d.path, partialDir)))
	if err == nil && d.immutable == nil {
		err = setImmutable(d.object(key), true)
	}
	return err
}

// finish takes the right to write from the partial file, records its retention and
// moves it to objects.
func (d *Directory) finish(ctx context.Context, u Upload, path string) error {
	// Not for writing: an interrupted finish may have taken that right away.
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoUpload
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != u.Size {
		err = fmt.Errorf("%d bytes of %d written: %w", info.Size(), u.Size, ErrPart)
	}
	if err == nil {
		err = f.Chmod(0o400)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.writeRecord(u.Key, record{Version: u.ID, RetainUntil: u.RetainUntil, Immutable: d.immutable == nil}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return moveNew(path, d.object(u.Key))
}

// Abort forgets an upload. It does nothing to one that is complete or unknown.
func (d *Directory) Abort(_ context.Context, u Upload) error {
	path, err := d.partial(u)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNoUpload) {
		return fmt.Errorf("abort object %s: %w", u.Key, err)
	}
	return nil
}

// Uploads yields the key and id of every upload of keys beginning with prefix
// that is neither complete nor aborted: enough for Abort.
func (d *Directory) Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		entries, err := os.ReadDir(filepath.Join(d.path, partialDir))
		if err != nil {
			yield(Upload{}, fmt.Errorf("list uploads: %w", err))
			return
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(Upload{}, err)
				return
			}
			key, id, _ := strings.Cut(e.Name(), ".")
			if checkKey(key) != nil || !idForm.MatchString(id) || !strings.HasPrefix(key, prefix) {
				continue
			}
			if !yield(Upload{Key: key, ID: id}, nil) {
				return
			}
		}
	}
}

// Put writes a small object of size bytes in one step.
func (d *Directory) Put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (Object, error) {
	o, err := d.put(ctx, key, size, until, func(f *os.File) error {
		exact, err := newExactReader(r, size)
		if err != nil {
			return err
		}
		return writeRange(ctx, f, exact, 0, size)
	})
	if err != nil {
		return Object{}, fmt.Errorf("put object %s: %w", key, err)
	}
	return o, nil
}

// Copy makes a new object of the bytes of src. Where the file system can, both
// share them on the disk until one changes, which none can.
func (d *Directory) Copy(ctx context.Context, src Object, key string, until time.Time) (Object, error) {
	o, err := d.put(ctx, key, src.Size, until, func(f *os.File) error {
		return d.copyTo(ctx, f, src)
	})
	if err != nil {
		return Object{}, fmt.Errorf("copy object %s to %s: %w", src.Key, key, err)
	}
	return o, nil
}

func (d *Directory) copyTo(ctx context.Context, f *os.File, src Object) error {
	now, err := d.Stat(ctx, src.Key, src.Version)
	if err != nil {
		return err
	}
	if now.Size != src.Size {
		return fmt.Errorf("source has %d bytes and had %d: %w", now.Size, src.Size, ErrReadBack)
	}
	from, err := os.Open(d.object(src.Key))
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // nothing was written through it
	for off := int64(0); off < src.Size; off += directoryStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(directoryStep, src.Size-off)
		// This is copy_file_range where the system has it.
		if _, err := io.CopyN(f, from, n); err != nil {
			return err
		}
		startWriteback(f, off, n)
		dropCache(from, off, n)
	}
	if err := datasync(f); err != nil {
		return err
	}
	dropCache(f, 0, 0)
	return nil
}

// put is Begin, all parts at once by fill, and Complete; or nothing.
func (d *Directory) put(ctx context.Context, key string, size int64, until time.Time, fill func(*os.File) error) (Object, error) {
	u, err := d.begin(ctx, key, size, until)
	if err != nil {
		return Object{}, err
	}
	f, err := d.openPartial(u)
	if err == nil {
		err = errors.Join(fill(f), f.Close())
	}
	if err == nil {
		u.PartSize = max(size, 1)
		var o Object
		if o, err = d.complete(ctx, u, []Part{{Number: 1, Size: size}}); err == nil {
			return o, nil
		}
	}
	return Object{}, errors.Join(err, d.Abort(ctx, u))
}
