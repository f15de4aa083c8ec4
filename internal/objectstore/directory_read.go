package objectstore

import (
	"bytes"
	"context"
	"encoding/json"
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

// record is the file retention/KEY.
type record struct {
	Version     string    `json:"version"`
	RetainUntil time.Time `json:"retain_until"`
	Immutable   bool      `json:"immutable,omitempty"` // the attribute was granted when the object was made
}

func (r record) format() ([]byte, error) {
	text, err := json.Marshal(r)
	return append(text, '\n'), err
}

func (d *Directory) writeRecord(key string, r record) error {
	text, err := r.format()
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(d.path, retentionDir), key, newSuffix, text, 0o600)
}

func (d *Directory) readRecord(key string) (record, error) {
	text, err := os.ReadFile(filepath.Join(d.path, retentionDir, key))
	if err != nil {
		return record{}, err
	}
	return parseRecord(text)
}

// parseRecord takes what writeRecord wrote, and nothing else.
func parseRecord(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("retention record: %w: %w", err, ErrReadBack)
	}
	again, err := r.format()
	if err != nil || !bytes.Equal(again, text) || !idForm.MatchString(r.Version) {
		return record{}, fmt.Errorf("retention record is not in the form it is written in: %w", ErrReadBack)
	}
	return r, nil
}

// stat looks at the object of a key. It is not called locked when it could be
// written to, or has lost the immutable attribute that it was given.
func (d *Directory) stat(key string) (Object, error) {
	info, err := os.Lstat(d.object(key))
	if errors.Is(err, fs.ErrNotExist) {
		// That all objects are gone must not read as one that is gone.
		if _, lost := os.Lstat(filepath.Join(d.path, objectsDir)); lost != nil {
			return Object{}, fmt.Errorf("%s is gone: %w", objectsDir, ErrFormat)
		}
	}
	if err != nil {
		return Object{}, err
	}
	if !info.Mode().IsRegular() {
		return Object{}, fmt.Errorf("not a regular file: %w: %w", ErrForeign, ErrReadBack)
	}
	o := Object{Bucket: d.id, Key: key, Size: info.Size(), Lock: LockNone}
	r, err := d.readRecord(key)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return Object{}, err
	}
	o.Version, o.RetainUntil = r.Version, r.RetainUntil
	locked := info.Mode().Perm()&0o222 == 0
	if locked && r.Immutable {
		if locked, err = isImmutable(d.object(key)); err != nil {
			return Object{}, err
		}
	}
	if locked {
		o.Lock = LockDirectory
	}
	return o, nil
}

// Stat looks at a version of an object, or with version "" at whichever is there.
func (d *Directory) Stat(ctx context.Context, key, version string) (Object, error) {
	err := ctx.Err()
	if err == nil {
		err = checkKey(key)
	}
	var o Object
	if err == nil {
		o, err = d.stat(key)
	}
	if err == nil && version != "" && o.Version != version {
		err = fmt.Errorf("version %q is there instead of %q: %w", o.Version, version, fs.ErrNotExist)
	}
	if err != nil {
		return Object{}, fmt.Errorf("look at object %s: %w", key, err)
	}
	return o, nil
}

// Open opens a version of an object. With fromMedium its bytes come from the
// disk if the system can do that, which Content.Source then says; without, from
// the page cache if they are there.
func (d *Directory) Open(ctx context.Context, o Object, fromMedium bool) (*Content, error) {
	now, err := d.Stat(ctx, o.Key, o.Version)
	if err != nil {
		return nil, err
	}
	var (
		f      *os.File
		direct bool
		source = SourceCache
	)
	if fromMedium {
		f, direct, source, err = openMedium(d.object(o.Key))
	} else {
		f, err = os.Open(d.object(o.Key))
	}
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", o.Key, err)
	}
	open := func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		if direct {
			return newDirectReader(ctx, f, off, n), nil
		}
		return &fullReader{ctx: ctx, r: io.NewSectionReader(f, off, n), left: n, close: func() error { return nil }}, nil
	}
	return &Content{size: now.Size, source: source, open: open, close: f.Close}, nil
}

// OpenUpload opens an upload that is not complete, to read from the medium the
// parts that are durable while others are written. Where that cannot be had the
// error is errors.ErrUnsupported.
func (d *Directory) OpenUpload(ctx context.Context, u Upload) (*Content, error) {
	path, err := d.partial(u)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("open upload of object %s: %w", u.Key, err)
	}
	f, direct, source, err := openMedium(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoUpload
	}
	if err == nil && (!direct || source != SourceMedium) {
		err = errors.Join(errors.ErrUnsupported, f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("open upload of object %s: %w", u.Key, err)
	}
	open := func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		return newDirectReader(ctx, f, off, n), nil
	}
	return &Content{size: u.Size, source: source, open: open, close: f.Close}, nil
}

// List yields every file in objects/ whose name begins with prefix, in order. One
// that is no object, or has no good retention record, comes with an error beside
// its name, and the listing goes on.
func (d *Directory) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		entries, err := os.ReadDir(filepath.Join(d.path, objectsDir))
		if err != nil {
			yield(Object{}, fmt.Errorf("list objects: %w", err))
			return
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), prefix) {
				continue
			}
			o, err := d.Stat(ctx, e.Name(), "")
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed since
			}
			if err != nil {
				o = Object{Bucket: d.id, Key: e.Name(), Lock: LockNone}
			}
			if !yield(o, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

// Extend lengthens the retention of an object. A time before the one in force is
// ErrRetention. With the same time it still makes sure that the object is durable
// and locked, which one is not whose making was interrupted.
func (d *Directory) Extend(ctx context.Context, o Object, until time.Time) (Object, error) {
	until, err := retention(until)
	if err != nil {
		return Object{}, fmt.Errorf("extend object %s: %w", o.Key, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now, err := d.Stat(ctx, o.Key, o.Version)
	if err != nil {
		return Object{}, err
	}
	switch {
	case now.Version == "":
		err = fmt.Errorf("no retention record: %w", ErrReadBack)
	case until.Before(now.RetainUntil):
		err = ErrRetention
	case until.After(now.RetainUntil):
		var r record
		if r, err = d.readRecord(o.Key); err == nil {
			r.RetainUntil = until
			err = d.writeRecord(o.Key, r)
		}
	}
	if err == nil {
		err = d.seal(o.Key)
	}
	if err == nil {
		now, err = d.stat(o.Key)
	}
	if err == nil && (!now.RetainUntil.Equal(until) || now.Lock != LockDirectory) {
		err = fmt.Errorf("lock %s until %s: %w", now.Lock, now.RetainUntil.Format(time.RFC3339), ErrReadBack)
	}
	if err != nil {
		return Object{}, fmt.Errorf("extend object %s: %w", o.Key, err)
	}
	return now, nil
}
