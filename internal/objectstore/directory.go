package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Directory is a write-once store in a directory of a local file system:
//
//	custodyd-objects      format version and id of the store; locked while in use
//	objects/KEY           the bytes, mode 0400, immutable where that is granted
//	retention/KEY         JSON: version, retain_until, and whether it was made immutable
//	partial/KEY.ID        an upload that is not complete
//
// Objects are plain files that sha256sum reads. The version of an object is the
// random id of the upload that wrote it, so a file that was removed and written
// again is not the version the ledger names. An object whose retention record is
// gone has no version and lock "none". One that can be written to, or is no longer
// immutable as its record says, has lock "none".
//
// Completion makes the bytes durable, then the retention record, then moves the
// file to objects/. So an object never lacks its record, and a record without an
// object belongs to an upload that can still be completed.
//
// A directory protects against mistakes, not against whoever is root on the
// machine; it says "directory" where S3 says "compliance".
type Directory struct {
	path      string
	id        string
	marker    *os.File // holds the lock
	immutable error    // nil: the attribute is granted and wanted
	untouched bool     // nothing is tried or tidied when opening

	// mu is held while an object appears or its retention changes: the check
	// that a key is free and the record of the one who takes it are one step.
	mu sync.Mutex
}

// DirectoryOption changes how a directory is opened.
type DirectoryOption func(*Directory)

// Mutable leaves the immutable attribute alone, for directories that will be
// removed again.
func Mutable() DirectoryOption {
	return func(d *Directory) { d.immutable = errors.New("switched off") }
}

// Untouched opens a directory for looking at it only: nothing is tried and nothing
// tidied. Its caller writes nothing.
func Untouched() DirectoryOption {
	return func(d *Directory) { d.immutable, d.untouched = errors.New("not tried"), true }
}

const (
	markerName   = "custodyd-objects"
	objectsDir   = "objects"
	retentionDir = "retention"
	partialDir   = "partial"
)

var (
	subdirectories = []string{objectsDir, retentionDir, partialDir}
	markerForm     = regexp.MustCompile(`\Acustodyd objects 1\n([0-9a-f]{32})\n\z`)
	idForm         = regexp.MustCompile(`\A[0-9a-f]{32}\z`)
)

// CreateDirectory makes a new store at path, which does not exist or is empty,
// and opens it. It goes on where an earlier CreateDirectory was interrupted.
func CreateDirectory(path string, options ...DirectoryOption) (*Directory, error) {
	if err := createDirectory(path); err != nil {
		return nil, fmt.Errorf("create object directory: %w", err)
	}
	return OpenDirectory(path, options...)
}

func createDirectory(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	unfinished := map[string]bool{markerName + newSuffix: true}
	for _, name := range subdirectories {
		unfinished[name] = true
	}
	for _, e := range entries {
		if !unfinished[e.Name()] {
			return fmt.Errorf("%s is not empty: %w", path, fs.ErrExist)
		}
	}
	for _, name := range subdirectories {
		sub := filepath.Join(path, name)
		if err := os.Mkdir(sub, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if inside, err := os.ReadDir(sub); err != nil {
			return err
		} else if len(inside) > 0 {
			return fmt.Errorf("%s is not empty: %w", sub, fs.ErrExist)
		}
	}
	if err := writeFile(path, markerName, newSuffix, fmt.Appendf(nil, "custodyd objects 1\n%s\n", newID()), 0o600); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// OpenDirectory opens the store that CreateDirectory made. It fails with
// ErrInUse while another process has it open. Uploads that were interrupted stay
// as they are; what else an interrupted process left behind is removed.
func OpenDirectory(path string, options ...DirectoryOption) (*Directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	d := &Directory{path: path}
	for _, option := range options {
		option(d)
	}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	return d, nil
}

func (d *Directory) open() (err error) {
	d.marker, err = os.OpenFile(filepath.Join(d.path, markerName), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.marker.Close())
		}
	}()
	if err := tryLock(d.marker); err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(io.LimitReader(d.marker, 100)); err != nil {
		return err
	}
	m := markerForm.FindStringSubmatch(text.String())
	if m == nil {
		return fmt.Errorf("%s: %w", d.marker.Name(), ErrFormat)
	}
	d.id = m[1]
	for _, name := range subdirectories {
		if info, err := os.Lstat(filepath.Join(d.path, name)); err != nil {
			return err
		} else if !info.IsDir() {
			return fmt.Errorf("%s is not a directory: %w", name, ErrFormat)
		}
	}
	if !d.untouched {
		if err := d.tidy(); err != nil {
			return err
		}
	}
	if d.immutable == nil {
		d.immutable, err = d.tryImmutable()
	}
	return err
}

// Files that live for a moment, in partial/; a key has no full stop.
const (
	attributeName = ".attribute-"
	probeName     = ".probe-"
	newSuffix     = ".new" // of what writeFile writes, in retention/
)

// tidy removes what an interrupted process left behind beside its uploads. What
// cannot be removed does no harm.
func (d *Directory) tidy() error {
	for _, dir := range []string{partialDir, retentionDir} {
		entries, err := os.ReadDir(filepath.Join(d.path, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name, path := e.Name(), filepath.Join(d.path, dir, e.Name())
			switch {
			case dir == partialDir && strings.HasPrefix(name, attributeName):
				_ = setImmutable(path, false)
			case dir == partialDir && strings.HasPrefix(name, probeName), dir == retentionDir && strings.HasSuffix(name, newSuffix):
			default:
				continue
			}
			_ = os.Remove(path)
		}
	}
	return nil
}

// tryImmutable says why the immutable attribute is not to be had, or nil.
func (d *Directory) tryImmutable() (refusal, err error) {
	f, err := os.CreateTemp(filepath.Join(d.path, partialDir), attributeName+"*")
	if err != nil {
		return nil, err
	}
	refusal = setImmutable(f.Name(), true)
	if refusal == nil {
		err = setImmutable(f.Name(), false)
	}
	return refusal, errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// Close lets another process open the directory.
func (d *Directory) Close() error { return errors.Join(unlock(d.marker), d.marker.Close()) }

// Describe says what the store is.
func (d *Directory) Describe() Description {
	missing := []string{"object lock: a directory cannot refuse whoever is root on this machine"}
	if d.immutable != nil {
		missing = append(missing, "immutable files: "+d.immutable.Error())
	}
	return Description{Kind: "directory", Bucket: d.id, Lock: LockDirectory, Missing: missing}
}

// Probe looks whether the directory does what the store relies on.
func (d *Directory) Probe(ctx context.Context) (Report, error) {
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	r := Report{Store: d.Describe()}
	dir := filepath.Join(d.path, partialDir)
	name := probeName + newID()
	path := filepath.Join(dir, name)
	err := writeFile(dir, name, newSuffix, make([]byte, diskAlign), 0o400)
	r.add("write", Required, err, "new files can be written, made durable and renamed")
	if err == nil {
		other := path + ".other"
		err = os.WriteFile(other, nil, 0o600)
		if err == nil {
			err = moveNew(other, path)
			switch {
			case errors.Is(err, fs.ErrExist):
				err = os.Remove(other)
			case err == nil:
				err = errors.New("a rename replaced an existing file")
			default:
				err = errors.Join(err, os.Remove(other))
			}
		}
		r.add("write-once", Required, err, "a rename does not replace an object")

		f, _, source, err := openMedium(path)
		if err == nil {
			err = f.Close()
			if source != SourceMedium {
				err = errors.Join(err, errors.New("this file system answers from memory"))
			}
		}
		r.add("read-back", Advised, err, "read-back comes from the disk, not from the page cache")
		if err := os.Remove(path); err != nil {
			return Report{}, fmt.Errorf("probe directory: %w", err)
		}
	}
	r.add("immutable", Advised, d.immutable, "objects carry the immutable attribute")
	return r, nil
}

func (d *Directory) object(key string) string { return filepath.Join(d.path, objectsDir, key) }

// moveUnlessThere is moveNew for file systems without it. The lock on the marker
// keeps other processes out, and d.mu other goroutines.
func moveUnlessThere(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}

// writeFile replaces dir/name by content in one durable step, by way of a file
// whose name ends in suffix.
func writeFile(dir, name, suffix string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+suffix))
	}
	if err := os.Rename(path+suffix, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
