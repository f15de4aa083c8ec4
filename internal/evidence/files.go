package evidence

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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
	NameB64  []byte        `json:"name_b64,omitempty"` // instead of name, for a path that is not UTF-8
	SHA256   digest.SHA256 `json:"sha256"`
	Size     int64         `json:"size"`               // bytes
	Modified *Time         `json:"modified,omitempty"` // as its file system stated
}

// ErrList: the list of a set is malformed.
var ErrList = errors.New("malformed list of files")

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
	case p == "" || p == "." || path.Clean(p) != p || path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../") || strings.ContainsRune(p, 0):
		return fmt.Errorf("%w: %.200q is not a plain relative path", ErrList, p)
	case f.Size < 0 || f.Size > MaxContent:
		return fmt.Errorf("%w: %.200q has the size %d", ErrList, p, f.Size)
	case f.Name != "" && text("name", f.Name, 1, 4096, false) != nil:
		return fmt.Errorf("%w: %w", ErrList, text("name", f.Name, 1, 4096, false))
	}
	return nil
}

// ReadFiles gives the files of a list, in the order of their bytes in the
// content. It ends with the first error; a list that was read to its end without
// one is well-formed.
func ReadFiles(list io.Reader) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		lines := bufio.NewScanner(io.LimitReader(list, MaxList+1))
		lines.Buffer(make([]byte, 4096), maxListLine)
		lines.Split(wholeLines)
		read, count := 0, 0
		for lines.Scan() {
			read += len(lines.Bytes())
			count++
			f, err := parseFile(lines.Bytes())
			if err == nil && (read > MaxList || count > MaxFiles) {
				err = fmt.Errorf("%w: too long", ErrList)
			}
			if err != nil {
				yield(File{}, fmt.Errorf("line %d: %w", count, err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(File{}, fmt.Errorf("line %d: %w", count+1, err))
		}
	}
}

// wholeLines splits into lines with their line break; a last line without one is an error.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("%w: no line break at the end", ErrList)
	}
	return 0, nil, nil
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
