package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/custodyd/custodyd/internal/evidence"
)

var (
	// ErrChanged: a file is not, or no longer, the one that was named.
	ErrChanged = errors.New("changed since it was named")
	// ErrSpecial: there is something that is no regular file.
	ErrSpecial = errors.New("not a regular file")
	// ErrGap: a part of a split image is missing, or stands in the wrong place.
	ErrGap = errors.New("parts are not complete and in order")
	// ErrSet: the named files do not make a set.
	ErrSet = errors.New("not a set of files")
)

// File is one file of a source as it was found. Its values can be compared.
type File struct {
	Path     string    `json:"path"`           // absolute
	Name     string    `json:"name,omitempty"` // relative, in the list of the set
	Size     int64     `json:"size"`           // bytes
	Modified time.Time `json:"modified"`
	Device   uint64    `json:"device,omitempty"` // 0 where the system has none
	Inode    uint64    `json:"inode,omitempty"`
}

// Same reports whether both are the same file, untouched.
func (f File) Same(o File) bool {
	return f.Path == o.Path && f.Name == o.Name && f.unchanged(o)
}

func (f File) unchanged(o File) bool {
	return f.Size == o.Size && f.Modified.Equal(o.Modified) && f.Device == o.Device && f.Inode == o.Inode
}

// Set is a source: one file, or several that are kept as one copy.
type Set struct {
	Named  string   `json:"named"` // the path of the file, of the first file, or of the directory
	Title  string   `json:"title"`
	Files  []File   `json:"files"`
	Listed bool     `json:"listed"`         // it is a set, and needs a list of its files
	Left   []string `json:"left,omitempty"` // what was left out of a directory
}

// Size is the number of bytes of the content.
func (s Set) Size() int64 {
	var n int64
	for _, f := range s.Files {
		n += f.Size
	}
	return n
}

// Same reports whether both sets are the same files, untouched.
func (s Set) Same(o Set) bool {
	return s.Listed == o.Listed && slices.EqualFunc(s.Files, o.Files, File.Same)
}

// Find makes a set of what was named. What is no regular file below a directory
// is listed in Left; without skip the error is then ErrSpecial too.
func Find(names []string, skip bool) (Set, error) {
	if len(names) == 0 {
		return Set{}, fmt.Errorf("%w: no file was named", ErrSet)
	}
	paths := make([]string, len(names))
	for i, name := range names {
		var err error
		if paths[i], err = filepath.Abs(name); err != nil {
			return Set{}, fmt.Errorf("find %s: %w", name, err)
		}
	}
	if len(paths) > 1 {
		return several(paths)
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		return Set{}, err
	}
	if info.IsDir() {
		return directory(paths[0], skip)
	}
	parts, err := siblings(paths[0])
	if err != nil {
		return Set{}, err
	}
	if len(parts) > 1 {
		return several(parts)
	}
	f, err := describe(paths[0])
	if err != nil {
		return Set{}, err
	}
	return Set{Named: f.Path, Title: title(filepath.Base(f.Path)), Files: []File{f}}, nil
}

// describe looks at a file; links are followed, as the shell does.
func describe(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("%s: %w", path, ErrSpecial)
	}
	return fileOf(path, info), nil
}

func fileOf(path string, info fs.FileInfo) File {
	f := File{Path: path, Size: info.Size(), Modified: info.ModTime().UTC()}
	f.Device, f.Inode = inode(info)
	return f
}

// several makes a set of files in the order they were named; where all are parts
// of one split image the order is checked.
func several(paths []string) (Set, error) {
	if err := inOrder(paths); err != nil {
		return Set{}, err
	}
	s := Set{Named: paths[0], Title: title(setName(paths)), Listed: true}
	seen := map[string]bool{}
	for _, path := range paths {
		f, err := describe(path)
		if err != nil {
			return Set{}, err
		}
		f.Name = filepath.Base(path)
		if seen[f.Name] {
			return Set{}, fmt.Errorf("%w: two files are called %s", ErrSet, f.Name)
		}
		seen[f.Name] = true
		s.Files = append(s.Files, f)
	}
	return s, nil
}

func setName(paths []string) string {
	base := filepath.Base(paths[0])
	if p, ok := partOf(paths[0]); ok {
		if _, all := sameImage(paths, p); all {
			stem := filepath.Base(p.prefix)
			return stem[:strings.LastIndexByte(stem, '.')]
		}
	}
	return fmt.Sprintf("%s and %d more", base, len(paths)-1)
}

// directory makes a set of the regular files below a directory.
func directory(root string, skip bool) (Set, error) {
	s := Set{Named: root, Title: title(filepath.Base(root)), Listed: true}
	if at, err := os.Lstat(root); err != nil {
		return Set{}, err
	} else if !at.IsDir() {
		return Set{}, fmt.Errorf("%s: %w: it is a %s to a directory; name the directory itself", root, ErrSpecial, kindOf(at.Mode()))
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			s.Left = append(s.Left, fmt.Sprintf("%s (%s)", name, kindOf(d.Type())))
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := fileOf(path, info)
		f.Name = filepath.ToSlash(name)
		s.Files = append(s.Files, f)
		if len(s.Files) > evidence.MaxFiles {
			return fmt.Errorf("%w: more than %d files", ErrSet, evidence.MaxFiles)
		}
		return nil
	})
	if err != nil {
		return Set{}, fmt.Errorf("look below %s: %w", root, err)
	}
	slices.SortFunc(s.Files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	if len(s.Left) > 0 && !skip {
		return Set{Left: s.Left}, fmt.Errorf("below %s, in %d place(s): %w", root, len(s.Left), ErrSpecial)
	}
	if len(s.Files) == 0 {
		return Set{}, fmt.Errorf("%w: no file below %s", ErrSet, root)
	}
	return s, nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "named pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// part is the place of a file in a split image.
type part struct {
	prefix string // path up to the number: "/x/disk.", "/x/disk.E"
	width  int    // digits of the number, at least
	number int
}

// name is the spelling of the part with so many digits at least.
func (p part) name(width int) string { return fmt.Sprintf("%s%0*d", p.prefix, width, p.number) }

// path is the part's file.
func (p part) path() string { return p.name(p.width) }

// beside tells whether both can be parts of one image, numbered in one way. Without a
// zero in front a number does not tell its width: disk.1000 goes with .001 and .0001.
func (p part) beside(o part) bool {
	width := max(p.width, o.width)
	return p.name(width) == p.path() && o.name(width) == o.path() && p.prefix == o.prefix
}

// partForm finds numbers as imaging tools write them: three digits or more, or the
// letter of an EWF segment and two. A rotated log, messages.1, is none of these.
var partForm = regexp.MustCompile(`^(.+\.)(?:([0-9]{3,})|([EeSsLl](?:x)?)([0-9]{2}))$`)

func partOf(path string) (part, bool) {
	m := partForm.FindStringSubmatch(path)
	if m == nil {
		return part{}, false
	}
	digits := m[2] + m[4]
	n, err := strconv.Atoi(digits)
	p := part{prefix: m[1] + m[3], width: 3, number: n}
	switch {
	case m[3] != "":
		p.width = 2
	case digits[0] == '0':
		p.width = len(digits)
	}
	return p, err == nil
}

// siblings finds all parts of the image whose first part was named; nil, when the
// file is not part of one.
func siblings(path string) ([]string, error) {
	first, ok := partOf(path)
	if !ok {
		return nil, nil
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, e := range entries {
		if p, ok := partOf(filepath.Join(filepath.Dir(path), e.Name())); ok && p.beside(first) {
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.number, b.number) })
	if len(parts) < 2 && first.number > 1 {
		return nil, nil // a name that only looks like a part
	}
	paths := make([]string, len(parts))
	for i, p := range parts {
		paths[i] = p.path()
	}
	if first.number != parts[0].number {
		return nil, fmt.Errorf("%w: %s is not the first part, %s is", ErrGap, filepath.Base(path), filepath.Base(paths[0]))
	}
	return paths, nil
}

// sameImage gives the numbers of paths that are all parts of one image.
func sameImage(paths []string, first part) ([]int, bool) {
	numbers := make([]int, len(paths))
	for i, path := range paths {
		p, ok := partOf(path)
		if !ok || !p.beside(first) {
			return nil, false
		}
		numbers[i] = p.number
	}
	return numbers, true
}

// inOrder refuses parts of one image that do not follow each other from the first on.
func inOrder(paths []string) error {
	first, ok := partOf(paths[0])
	if !ok {
		return nil
	}
	numbers, ok := sameImage(paths, first)
	if !ok {
		return nil
	}
	if first.number > 1 {
		return fmt.Errorf("%w: %s is not the first part", ErrGap, filepath.Base(paths[0]))
	}
	for i, n := range numbers[1:] {
		if want := numbers[i] + 1; n != want {
			missing := first
			missing.number = want
			return fmt.Errorf("%w: after %s comes %s, not %s",
				ErrGap, filepath.Base(paths[i]), filepath.Base(missing.path()), filepath.Base(paths[i+1]))
		}
	}
	return nil
}

// title makes a name one visible line of at most 255 characters.
func title(name string) string {
	runes := []rune(strings.ToValidUTF8(name, "\ufffd"))
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '\ufffd'
		}
	}
	if len(runes) > 255 {
		runes = append(runes[:254], '…')
	}
	return string(runes)
}
