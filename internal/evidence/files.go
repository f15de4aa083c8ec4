package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/gowebpki/jcs"

	"github.com/custodyd/custodyd/internal/digest"
)

// A set is several files kept as one copy: a split image, a directory of logs.
// The copy's content is the files' bytes one after the other, in the order of
// its list. The list is one JSON object in RFC 8785 form a line:
//
//	{"name":"auth.log","sha256":"<64 hex>","size":4096}
//
// so that each file can be cut out and checked by hand:
//
//	tail -c +$((offset+1)) copy.bin | head -c "$size" | sha256sum

// MaxList is the greatest size of a set's list in bytes.
const MaxList = 256 << 20

// maxListLine bounds one line of a list.
const maxListLine = 32 << 10

// File is one file of a set.
type File struct {
	Name     string        `json:"name,omitempty"`     // relative path with '/', as UTF-8
	NameB64  []byte        `json:"name_b64,omitempty"` // instead of name, for a path that is not plain text
	SHA256   digest.SHA256 `json:"sha256"`
	Size     int64         `json:"size"`               // bytes
	Modified *Time         `json:"modified,omitempty"` // as its file system stated
}

// ErrList: the list of a set is malformed.
var ErrList = errors.New("malformed list of files")

// Named gives the file with its relative path, in the member that can hold it.
func (f File) Named(p string) File {
	if text("name", p, 1, 4096, false) == nil {
		f.Name, f.NameB64 = p, nil
	} else {
		f.Name, f.NameB64 = "", []byte(p)
	}
	return f
}

// Path gives the file's relative path.
func (f File) Path() string {
	if f.NameB64 != nil {
		return string(f.NameB64)
	}
	return f.Name
}

// Line gives the file's line in a list, with its line break.
func (f File) Line() ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	line, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("list of files: %w", err)
	}
	if line, err = jcs.Transform(line); err != nil {
		return nil, fmt.Errorf("list of files: %w", err)
	}
	if len(line) >= maxListLine {
		return nil, fmt.Errorf("%w: a line has %d bytes", ErrList, len(line))
	}
	return append(line, '\n'), nil
}

func (f File) check() error {
	p := f.Path()
	switch {
	case (f.Name == "") == (f.NameB64 == nil):
		return fmt.Errorf("%w: want name or name_b64", ErrList)
	case f.NameB64 != nil && f.Named(p).NameB64 == nil:
		return fmt.Errorf("%w: name_b64 is plain text, want name", ErrList)
	case p == "" || p == "." || path.Clean(p) != p || path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") || strings.ContainsRune(p, 0):
		return fmt.Errorf("%w: %.200q is not a plain relative path", ErrList, p)
	case f.Size < 0 || f.Size > MaxContent:
		return fmt.Errorf("%w: %.200q has the size %d", ErrList, p, f.Size)
	case f.Name != "" && text("name", f.Name, 1, 4096, false) != nil:
		return fmt.Errorf("%w: %w", ErrList, text("name", f.Name, 1, 4096, false))
	}
	return nil
}

// ListParser is the strict reader of a list: its bytes are written to it, in
// pieces of any size. The zero value is ready.
type ListParser struct {
	Each  func(f File, offset int64) error // called for every file with the offset of its bytes in the content; may be nil
	line  []byte
	read  int
	count int
	size  int64
}

// Write takes the next bytes of the list. It fails with [ErrList] as soon as
// they cannot be part of one, or with the error of Each.
func (l *ListParser) Write(p []byte) (int, error) {
	if l.read += len(p); l.read > MaxList {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrList, MaxList)
	}
	n := len(p)
	for len(p) > 0 {
		piece, rest, whole := bytes.Cut(p, []byte("\n"))
		if len(l.line)+len(piece) >= maxListLine {
			return 0, fmt.Errorf("line %d: %w: too long", l.count+1, ErrList)
		}
		l.line, p = append(l.line, piece...), rest
		if !whole {
			break
		}
		if err := l.endLine(); err != nil {
			return 0, fmt.Errorf("line %d: %w", l.count, err)
		}
	}
	return n, nil
}

func (l *ListParser) endLine() error {
	l.count++
	f, err := parseFile(append(l.line, '\n'))
	l.line = l.line[:0]
	switch {
	case err != nil:
		return err
	case l.count > MaxFiles || l.size+f.Size > MaxContent:
		return fmt.Errorf("%w: too much", ErrList)
	case l.Each != nil:
		err = l.Each(f, l.size)
	}
	l.size += f.Size
	return err
}

// Total ends the list and tells how many files of how many bytes it has.
func (l *ListParser) Total() (count int, size int64, err error) {
	if len(l.line) > 0 {
		return 0, 0, fmt.Errorf("%w: no line break at the end", ErrList)
	}
	return l.count, l.size, nil
}

func parseFile(line []byte) (File, error) {
	var f File
	if err := decodeStrict(bytes.TrimSuffix(line, []byte("\n")), &f, ""); err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrList, err)
	}
	again, err := f.Line()
	if err != nil {
		return File{}, err
	}
	if !bytes.Equal(again, line) {
		return File{}, fmt.Errorf("%w: %w", ErrList, ErrNotCanonical)
	}
	return f, nil
}
