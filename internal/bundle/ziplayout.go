package bundle

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// The records of a zip (PKWARE APPNOTE, sections 4.3.7, 4.3.9, 4.3.12, 4.3.14 to 4.3.16).
const (
	localMagic      = "PK\x03\x04"
	descriptorMagic = "PK\x07\x08"
	headerMagic     = "PK\x01\x02"
	endMagic        = "PK\x05\x06"
	end64Magic      = "PK\x06\x06"
	locatorMagic    = "PK\x06\x07"

	localLen   = 30
	headerLen  = 46
	endLen     = 22
	end64Len   = 56
	locatorLen = 20

	flagEncrypted  = 0x1
	flagDescriptor = 0x8
	max16, max32   = 1<<16 - 1, 1<<32 - 1 // the value stands in a Zip64 record
)

// maxDirectory bounds how much is read to find out what a zip holds, in bytes.
const maxDirectory = 256 << 20

func u16(b []byte, at int) uint64 { return uint64(binary.LittleEndian.Uint16(b[at:])) }
func u32(b []byte, at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

// directory is where the members of a zip are listed.
type directory struct{ files, offset, size uint64 }

// findDirectory reads the end of a zip, which must be the last bytes of the file and
// follow the directory: then every reader finds this directory and no other.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	tail := make([]byte, min(size, end64Len+locatorLen+endLen))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && err != io.EOF {
		return directory{}, err
	}
	end := tail[max(0, len(tail)-endLen):]
	if len(end) < endLen || !bytes.HasPrefix(end, []byte(endMagic)) || u16(end, 20) != 0 {
		return directory{}, fmt.Errorf("%w: it does not end as a zip, perhaps it was cut off", ErrFormat)
	}
	d, until := directory{u16(end, 10), u32(end, 16), u32(end, 12)}, uint64(size-endLen) //nolint:gosec // end was read
	plain := u32(end, 4) == 0 && u16(end, 8) == d.files                                  // one disk
	if len(tail) > endLen+locatorLen && bytes.HasPrefix(tail[len(tail)-endLen-locatorLen:], []byte(locatorMagic)) {
		if len(tail) < end64Len+locatorLen+endLen {
			return directory{}, fmt.Errorf("%w: its Zip64 end was cut off", ErrFormat)
		}
		until -= end64Len + locatorLen
		end64, locator := tail, tail[end64Len:]
		large := directory{u64(end64, 32), u64(end64, 48), u64(end64, 40)}
		plain = plain && bytes.HasPrefix(end64, []byte(end64Magic)) && u64(end64, 4) == end64Len-12 && u64(end64, 16) == 0 &&
			u64(end64, 24) == large.files && u32(locator, 4) == 0 && u64(locator, 8) == until && u32(locator, 16) == 1 &&
			(d.files == max16 || d.files == large.files) && (d.size == max32 || d.size == large.size) &&
			(d.offset == max32 || d.offset == large.offset)
		d = large
	}
	switch {
	case !plain || d.offset > until || d.size != until-d.offset:
		return directory{}, fmt.Errorf("%w: its end does not say where its directory is", ErrFormat)
	case d.files > maxFiles || d.size > maxDirectory:
		return directory{}, fmt.Errorf("%w: %d files in a directory of %d bytes, possible are %d and %d",
			ErrFormat, d.files, d.size, maxFiles, maxDirectory)
	}
	return d, nil
}

// count demands that the directory is as many headers as its end says, one after the
// other, before anything is kept of them.
func (d directory) count(ctx context.Context, r io.ReaderAt) error {
	in := bufio.NewReader(io.NewSectionReader(r, int64(d.offset), int64(d.size))) //nolint:gosec // within the file
	left := d.size
	for i := range d.files {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		header, err := in.Peek(headerLen)
		if err != nil && err != io.EOF {
			return err
		}
		n := uint64(headerLen)
		if len(header) == headerLen {
			n += u16(header, 28) + u16(header, 30) + u16(header, 32)
		}
		if n > left || !bytes.HasPrefix(header, []byte(headerMagic)) {
			return fmt.Errorf("%w: its directory ends after %d of %d files", ErrFormat, i, d.files)
		}
		if _, err := in.Discard(int(n)); err != nil {
			return err
		}
		left -= n
	}
	if left > 0 {
		return fmt.Errorf("%w: its directory goes on after %d files", ErrFormat, d.files)
	}
	return nil
}

// placed is a member with where its bytes stand.
type placed struct {
	*zip.File
	in     *windows
	offset int64
	plain  bool // nothing is wrong with its header and descriptor, and one of them has its CRC
}

// maxGap is the most that can stand between the bytes of two members.
const maxGap = 24 + localLen + 2*max16

// place finds where the members stand.
func (s *scan) place(ctx context.Context, r *windows, list []*zip.File) ([]placed, error) {
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
		files = append(files, placed{f, r, offset, f.Flags&flagDescriptor != 0 || f.CRC32 != 0})
	}
	return files, nil
}

// layout demands that the members stand one after the other from the first byte up to
// the directory, each with a local header and descriptor that agree with it. Else a
// reader that goes from local header to local header sees other files than one that
// reads the directory.
func (s *scan) layout(ctx context.Context, r *windows, files []placed, until int64) error {
	inOrder := make([]*placed, len(files))
	for i := range files {
		inOrder[i] = &files[i]
	}
	slices.SortStableFunc(inOrder, func(x, y *placed) int { return cmp.Compare(x.offset, y.offset) })
	end, before, buf := int64(0), (*placed)(nil), make([]byte, maxGap+1)
	for i, f := range inOrder {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		gap, err := between(r, buf, end, f.offset)
		if err != nil {
			return err
		}
		if detail := localHeader(before.without(gap), f.File); detail != "" {
			s.b.fault(FaultLayout, f.Name, detail)
			f.plain = false
			if before != nil {
				before.plain = false
			}
		}
		if detail := extras(f.Extra, nil); detail != "" {
			s.b.fault(FaultLayout, f.Name, detail)
		}
		end, before = f.offset+int64(f.CompressedSize64), f //nolint:gosec // compared below
		if end < f.offset {
			return fmt.Errorf("%w: a member without end", ErrFormat)
		}
	}
	gap, err := between(r, buf, end, until)
	if err != nil {
		return err
	}
	if before != nil && (end > until || len(before.without(gap)) > 0) {
		s.b.fault(FaultLayout, before.Name, "is not followed by the directory")
		before.plain = false
	}
	return nil
}

// between reads what stands between two places, but no more than fits into buf.
func between(r io.ReaderAt, buf []byte, from, to int64) ([]byte, error) {
	gap := buf[:min(max(to-from, 0), int64(len(buf)))]
	if len(gap) == 0 {
		return nil, nil
	}
	if _, err := r.ReadAt(gap, from); err != nil && err != io.EOF {
		return nil, err
	}
	return gap, nil
}

// without cuts the data descriptor of the member before off a gap, if it must have one:
// then its size and CRC stand there, in 64 or 32 bits each size.
func (f *placed) without(gap []byte) []byte {
	if f == nil || f.Flags&flagDescriptor == 0 {
		return gap
	}
	if len(gap) < 8 || string(gap[:4]) != descriptorMagic || u32(gap, 4) != uint64(f.CRC32) {
		return gap
	}
	if len(gap) >= 24 && u64(gap, 8) == f.CompressedSize64 && u64(gap, 16) == f.UncompressedSize64 {
		return gap[24:]
	}
	if len(gap) >= 16 && u32(gap, 8) == f.CompressedSize64 && u32(gap, 12) == f.UncompressedSize64 {
		return gap[16:]
	}
	return gap // in which no header begins
}

// localHeader tells what is wrong with the local header of a member.
func localHeader(h []byte, f *zip.File) string {
	if len(h) < localLen || !bytes.HasPrefix(h, []byte(localMagic)) ||
		uint64(len(h)) != localLen+u16(h, 26)+u16(h, 28) {
		return "does not follow the file before it, or the end of that is not what the directory says"
	}
	name := h[localLen : localLen+u16(h, 26)]
	const kept = flagEncrypted | flagDescriptor
	switch {
	case string(name) != f.Name:
		return "has another name in its local header"
	case u16(h, 8) != uint64(f.Method), u16(h, 6)&kept != uint64(f.Flags)&kept:
		return "is stored in another way by its local header"
	}
	// With a descriptor they may not be known yet, and are 0.
	later := f.Flags&flagDescriptor != 0
	is := func(v, want uint64) bool { return v == want || later && v == 0 }
	packed, size := u32(h, 18), u32(h, 22)
	var large []byte
	if detail := extras(h[localLen+len(name):], &large); detail != "" {
		return detail
	}
	if large != nil {
		if len(large) != 16 || !is(u64(large, 8), f.CompressedSize64) || !is(u64(large, 0), f.UncompressedSize64) {
			return "has another size in its local header"
		}
		if packed == max32 {
			packed = f.CompressedSize64
		}
		if size == max32 {
			size = f.UncompressedSize64
		}
	}
	switch {
	case !is(packed, f.CompressedSize64) || !is(size, f.UncompressedSize64):
		return "has another size in its local header"
	case !is(u32(h, 14), uint64(f.CRC32)):
		return "has another CRC in its local header"
	}
	return ""
}

// extras tells which extra field a reader other than ours could act on: only large
// sizes, times and owners are let pass, none of those that give another name, a link's
// target or a key. Large sizes go to large, if it is not nil.
func extras(b []byte, large *[]byte) string {
	seen := false
	for len(b) > 0 {
		if len(b) < 4 || uint64(len(b)) < 4+u16(b, 2) {
			return "has extra fields that cannot be read"
		}
		id, value := u16(b, 0), b[4:4+u16(b, 2)]
		switch id {
		case 0x0001: // Zip64
			if seen {
				return "has two sizes in its extra fields"
			}
			if seen = true; large != nil {
				*large = value
			}
		case 0x000a, 0x5455, 0x5855, 0x7855, 0x7875: // NTFS and Unix times, Unix owners
		default:
			return fmt.Sprintf("has an extra field of the unknown kind 0x%04x", id)
		}
		b = b[4+len(value):]
	}
	return ""
}
