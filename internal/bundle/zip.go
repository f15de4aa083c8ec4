package bundle

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// maxRatio is how far metadata can be compressed; what is smaller than freeRatio
// uncompressed is not looked at. SHA-256 values fill most of it. Contents and logs are
// only streamed, and can be one byte or one line repeated: they have no such bound.
const (
	maxRatio  = 100
	freeRatio = 1 << 20
)

// Open looks at a bundle in a zip of that size. What is wrong with it stands in Faults;
// the error is an ErrFormat, that of ctx, or that of r.
func Open(ctx context.Context, r io.ReaderAt, size int64) (*Bundle, error) {
	b, err := scanZip(ctx, r, size)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	return b, nil
}

func scanZip(ctx context.Context, whole io.ReaderAt, size int64) (*Bundle, error) {
	r := &windows{r: whole}
	d, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	if err := d.count(ctx, r); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(r, size)
	switch {
	case errors.Is(err, zip.ErrFormat):
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // names are judged below
		return nil, err
	case uint64(len(z.File)) != d.files:
		return nil, fmt.Errorf("%w: its directory can be read in two ways", ErrFormat)
	}
	z.RegisterDecompressor(zip.Deflate, inflate)
	s := newScan(len(z.File))
	if s.b.top, err = topDirectory(z.File); err != nil {
		return nil, err
	}
	files, err := s.place(ctx, r, z.File)
	if err != nil {
		return nil, err
	}
	var looking errgroup.Group                                                   // beside each other, as only one core has anything to do yet
	looking.Go(func() error { return s.layout(ctx, r, files, int64(d.offset)) }) //nolint:gosec // within the file
	for i := range files {
		s.admitZip(&files[i])
	}
	if err := looking.Wait(); err != nil {
		return nil, err
	}
	return s.finish(ctx)
}

// topDirectory gives the one directory in which all files must be.
func topDirectory(files []*zip.File) (string, error) {
	for _, f := range files {
		top, rest, ok := strings.Cut(f.Name, "/")
		if _, err := evidence.ParseName(top); err == nil && ok && rest == BagItFile {
			return top, nil
		}
	}
	return "", fmt.Errorf("%w: no directory with a %s in it", ErrFormat, BagItFile)
}

// admitZip takes a member into the bundle, or notes why not.
func (s *scan) admitZip(f *placed) {
	path, ok := strings.CutPrefix(f.Name, s.b.top+"/")
	file, known := parsePath(path)
	isDir := strings.HasSuffix(f.Name, "/")
	switch {
	case strings.ContainsAny(f.Name, "\\:\x00") || strings.HasPrefix(f.Name, "/") || !isDir && !fs.ValidPath(f.Name):
		s.b.fault(FaultName, f.Name, "is not a plain relative path")
	case !ok:
		s.b.fault(FaultUnknown, f.Name, "is outside the top directory "+s.b.top)
	case isDir && !isBagDir(path):
		s.b.fault(FaultUnknown, path, noPlace)
	case isDir:
		if f.Mode().Type() != fs.ModeDir || f.Flags&flagEncrypted != 0 || f.CRC32 != 0 || f.CompressedSize64 != 0 || f.UncompressedSize64 != 0 {
			s.b.fault(FaultIrregular, path, "is a directory, but is not empty or also something else")
		}
	case f.Flags&flagEncrypted != 0:
		s.b.fault(FaultIrregular, path, "is encrypted")
	case f.Mode().Type() != 0:
		s.b.fault(FaultIrregular, path, "is not a file but a "+f.Mode().Type().String())
	case f.Method != zip.Store && f.Method != zip.Deflate:
		s.b.fault(FaultIrregular, path, fmt.Sprintf("is compressed by the unknown method %d", f.Method))
	case f.UncompressedSize64 > evidence.MaxContent:
		s.b.fault(FaultSize, path, fmt.Sprintf("has %d bytes", f.UncompressedSize64))
	case file.Kind != KindContent && file.Kind != KindLog && f.UncompressedSize64 > freeRatio && f.UncompressedSize64/maxRatio > f.CompressedSize64:
		s.b.fault(FaultSize, path, fmt.Sprintf("has %d bytes compressed to %d, more than %d to 1",
			f.UncompressedSize64, f.CompressedSize64, maxRatio))
	case f.Method == zip.Store && f.UncompressedSize64 != f.CompressedSize64:
		s.b.fault(FaultSize, path, "is stored with two sizes")
	case !known:
		s.b.fault(FaultUnknown, path, noPlace)
	default:
		s.admit(file, int64(f.UncompressedSize64), f)
	}
}

// whole implements stored. It reads as Open of package zip does: the bytes are held
// against the CRC, which layout has held against its descriptor.
func (f *placed) whole() ([]byte, bool, error) {
	if f.Method != zip.Store || !f.plain || f.UncompressedSize64 > windowSize {
		return nil, false, nil
	}
	content := make([]byte, f.UncompressedSize64)
	if n, err := f.in.ReadAt(content, f.offset); n < len(content) {
		return nil, true, errors.Join(io.ErrUnexpectedEOF, err)
	}
	if crc32.ChecksumIEEE(content) != f.CRC32 {
		return nil, true, zip.ErrChecksum
	}
	return content, true, nil
}

// ranges implements stored.
func (f *placed) ranges() (digest.Open, bool) {
	size := int64(f.UncompressedSize64) //nolint:gosec // admitted
	return func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		off = min(off, size)
		return io.NopCloser(io.NewSectionReader(f.in.r, f.offset+off, min(n, size-off))), nil
	}, f.Method == zip.Store
}

// isBagDir reports whether some file of a bundle stands in that directory; zip programs
// write directories as members.
func isBagDir(path string) bool {
	if path == "" || path == "data/" {
		return true
	}
	return slices.ContainsFunc(families, func(f family) bool { return f.before == path })
}
