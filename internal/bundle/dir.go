package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/custodyd/custodyd/internal/digest"
)

// OpenDir looks at an unpacked bundle: dir is the directory that holds bagit.txt. What
// is wrong with it stands in Faults; the error is an ErrFormat, that of ctx, or that of
// the file system.
func OpenDir(ctx context.Context, dir string) (*Bundle, error) {
	// A Root does not follow links out of the directory.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	b, err := scanDir(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", errors.Join(err, root.Close()))
	}
	b.close = root.Close
	return b, nil
}

func scanDir(ctx context.Context, root *os.Root) (*Bundle, error) {
	s, files := newScan(0), 0
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		if files++; files > maxFiles {
			return fmt.Errorf("%w: more than %d files", ErrFormat, maxFiles)
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			s.b.fault(FaultIrregular, path, "is not a file but a "+info.Mode().Type().String())
			return nil
		}
		file, known := parsePath(path)
		if !known {
			s.b.fault(FaultUnknown, path, noPlace)
			return nil
		}
		s.admit(file, info.Size(), dirFile{root, path})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.b.members) == 0 {
		return nil, fmt.Errorf("%w: no file of one in the directory", ErrFormat)
	}
	return s.finish(ctx)
}

// dirFile is a file of a directory.
type dirFile struct {
	root *os.Root
	path string
}

// Open implements stored.
func (f dirFile) Open() (io.ReadCloser, error) { return f.root.Open(f.path) }

// whole implements stored.
func (dirFile) whole() ([]byte, bool, error) { return nil, false, nil }

// ranges implements stored.
func (f dirFile) ranges() (digest.Open, bool) {
	return func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		r, err := f.root.Open(f.path)
		if err != nil {
			return nil, err
		}
		return fileRange{io.NewSectionReader(r, off, n), r}, nil
	}, true
}

type fileRange struct {
	io.Reader
	io.Closer
}
