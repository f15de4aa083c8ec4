package bundle

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/evidence"
)

const (
	// maxDirectory bounds how much is read to find out what a zip holds, in bytes.
	maxDirectory = 512 << 20
	// maxRatio is how far metadata can be compressed; what is smaller than freeRatio
	// uncompressed is not looked at. SHA-256 values fill most of it.
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

func scanZip(ctx context.Context, r io.ReaderAt, size int64) (*Bundle, error) {
	directory := &bounded{r: r, left: maxDirectory}
	z, err := zip.NewReader(directory, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are judged below
		if directory.err != nil {
			return nil, directory.err
		}
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(z.File) > maxFiles {
		return nil, fmt.Errorf("%w: %d files, more than %d", ErrFormat, len(z.File), maxFiles)
	}
	directory.free = true
	s := newScan()
	if s.b.top, err = topDirectory(z.File); err != nil {
		return nil, err
	}
	files, err := s.layout(ctx, r, z.File)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		s.admitZip(r, f)
	}
	return s.finish(ctx)
}

// bounded lets the directory of a zip be read only so far.
type bounded struct {
	r    io.ReaderAt
	left int64
	free bool  // the directory has been read
	err  error // of r, or of the bound
}

func (b *bounded) ReadAt(p []byte, off int64) (int, error) {
	if b.free {
		return b.r.ReadAt(p, off)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		b.err = fmt.Errorf("%w: its directory has more than %d bytes", ErrFormat, maxDirectory)
		return 0, b.err
	}
	n, err := b.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
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

// placed is a member with where its bytes stand.
type placed struct {
	*zip.File
	offset int64
}

// layout demands that the members stand one after the other from the first byte on,
// each with a local header that agrees with the directory. Else a reader that goes from
// local header to local header sees other files than one that reads the directory.
func (s *scan) layout(ctx context.Context, r io.ReaderAt, list []*zip.File) ([]placed, error) {
	files := make([]placed, 0, len(list))
	for i, f := range list {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		offset, err := f.DataOffset()
		if err != nil {
			s.b.fault(FaultLayout, f.Name, "has no local header: "+err.Error())
			continue
		}
		files = append(files, placed{f, offset})
	}
	inOrder := slices.Clone(files)
	slices.SortStableFunc(inOrder, func(x, y placed) int { return cmp.Compare(x.offset, y.offset) })
	end, descriptor, buf := int64(0), false, make([]byte, maxGap+1)
	for i, f := range inOrder {
		if i%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		gap := buf[:min(max(f.offset-end, 0), int64(len(buf)))]
		if _, err := r.ReadAt(gap, end); err != nil && len(gap) > 0 {
			return nil, err
		}
		if detail := localHeader(gap, descriptor, f.File); detail != "" {
			s.b.fault(FaultLayout, f.Name, detail)
		}
		end, descriptor = f.offset+int64(f.CompressedSize64), f.Flags&flagDescriptor != 0 //nolint:gosec // compared below
		if end < f.offset {
			return nil, fmt.Errorf("%w: a member without end", ErrFormat)
		}
	}
	return files, nil
}

const (
	flagEncrypted  = 0x1
	flagDescriptor = 0x8
	headerLen      = 30
	maxGap         = 24 + headerLen + 2*(1<<16)
)

// localHeader tells what is wrong with the bytes between two members: perhaps the data
// descriptor of the one before, then exactly the local header of this one (PKWARE
// APPNOTE 4.3.7 and 4.3.9).
func localHeader(gap []byte, descriptor bool, f *zip.File) string {
	skips := []int{0}
	if descriptor {
		skips = []int{16, 24, 12, 20} // with signature, Zip64; without
	}
	for _, skip := range skips {
		if len(gap) < skip+headerLen || !bytes.HasPrefix(gap[skip:], []byte("PK\x03\x04")) {
			continue
		}
		h := gap[skip:]
		u16 := func(at int) int { return int(binary.LittleEndian.Uint16(h[at:])) }
		name, extra := u16(26), u16(28)
		if len(h) != headerLen+name+extra {
			continue
		}
		size := binary.LittleEndian.Uint32(h[22:])
		switch {
		case string(h[headerLen:headerLen+name]) != f.Name:
			return "has another name in its local header"
		case u16(8) != int(f.Method), u16(6)&(flagEncrypted|flagDescriptor) != int(f.Flags)&(flagEncrypted|flagDescriptor):
			return "is stored in another way by its local header"
		case f.Flags&flagDescriptor == 0 && size != 1<<32-1 && uint64(size) != f.UncompressedSize64:
			return "has another size in its local header"
		}
		return ""
	}
	return "does not follow the file before it"
}

// admitZip takes a member into the bundle, or notes why not.
func (s *scan) admitZip(r io.ReaderAt, f placed) {
	path, ok := strings.CutPrefix(f.Name, s.b.top+"/")
	isDir := strings.HasSuffix(f.Name, "/") && f.UncompressedSize64 == 0
	switch {
	case strings.ContainsAny(f.Name, "\\:\x00") || strings.HasPrefix(f.Name, "/") || !isDir && !fs.ValidPath(f.Name):
		s.b.fault(FaultName, f.Name, "is not a plain relative path")
	case !ok:
		s.b.fault(FaultUnknown, f.Name, "is outside the top directory "+s.b.top)
	case isDir && isBagDir(path):
	case f.Flags&flagEncrypted != 0:
		s.b.fault(FaultIrregular, path, "is encrypted")
	case f.Mode().Type() != 0:
		s.b.fault(FaultIrregular, path, "is not a file but a "+f.Mode().Type().String())
	case f.Method != zip.Store && f.Method != zip.Deflate:
		s.b.fault(FaultIrregular, path, fmt.Sprintf("is compressed by the unknown method %d", f.Method))
	case f.UncompressedSize64 > evidence.MaxContent:
		s.b.fault(FaultSize, path, fmt.Sprintf("has %d bytes", f.UncompressedSize64))
	case f.UncompressedSize64 > freeRatio && f.UncompressedSize64/maxRatio > f.CompressedSize64:
		s.b.fault(FaultSize, path, fmt.Sprintf("has %d bytes compressed to %d, more than %d to 1",
			f.UncompressedSize64, f.CompressedSize64, maxRatio))
	case f.Method == zip.Store && f.UncompressedSize64 != f.CompressedSize64:
		s.b.fault(FaultSize, path, "is stored with two sizes")
	default:
		size := int64(f.UncompressedSize64) //nolint:gosec // at most MaxContent
		if f.Method == zip.Deflate {
			s.admit(path, size, f.Open, nil)
			return
		}
		s.admit(path, size, f.Open, func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			off = min(off, size)
			return io.NopCloser(io.NewSectionReader(r, f.offset+off, min(n, size-off))), nil
		})
	}
}

// isBagDir reports whether some file of a bundle stands in that directory; zip programs
// write directories as members.
func isBagDir(path string) bool {
	if path == "" || path == "data/" {
		return true
	}
	return slices.ContainsFunc(families, func(f family) bool { return f.before == path })
}
