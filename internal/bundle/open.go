package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/custodyd/custodyd/internal/digest"
)

// maxFiles is how many files a bundle can have, at most.
const maxFiles = 1 << 20

// maxMetadata is the greatest sum of the sizes of all files but contents, in bytes.
const maxMetadata = 64 << 30

// Bundle is a container whose structure has been looked at. All methods may be called
// concurrently.
type Bundle struct {
	top     string // of a zip; empty for a directory
	members map[string]*member
	all     []*member
	close   func() error
	info    BagInfo

	mu     sync.Mutex
	faults []Fault
	count  map[Code]int // of all faults, kept or not
}

// member is a file with what the container says about it.
type member struct {
	File
	at stored

	listed bool          // has a row in a manifest
	stated digest.SHA256 // of that row
	hashed bool          // read whole
	sum    digest.SHA256 // of what was read
}

// stored is where the bytes of a file stand: in a zip or in a directory.
type stored interface {
	Open() (io.ReadCloser, error)
	whole() ([]byte, bool, error) // all at once; false, where only Open is to be had
	ranges() (digest.Open, bool)  // those at any place; false, where only a stream is to be had
}

// scan collects the members of a container.
type scan struct {
	b        *Bundle
	room     []member          // for those to come
	folded   map[string]string // paths with the label of an exhibit, by their lower-case form: all others have one case
	metadata int64
}

// newScan begins to collect some n members.
func newScan(n int) *scan {
	b := &Bundle{members: make(map[string]*member, n), all: make([]*member, 0, n), count: map[Code]int{}, close: func() error { return nil }}
	return &scan{b: b, room: make([]member, n), folded: map[string]string{}}
}

// noPlace is what is wrong with a file that no bundle has.
const noPlace = "has no place in a bundle"

// admit takes a file into the bundle, or notes why not.
func (s *scan) admit(f File, size int64, at stored) {
	path := f.Path
	other, taken := path, s.b.members[path] != nil
	if f.Exhibit != "" && !taken {
		folded := strings.ToLower(path)
		if other, taken = s.folded[folded]; !taken {
			s.folded[folded] = path
		}
	}
	if taken {
		s.b.fault(FaultName, path, "is there already, as "+other)
		return
	}
	if size < 0 || size > limits[f.Kind] {
		s.b.fault(FaultSize, path, fmt.Sprintf("has %d bytes, at most %d are possible", size, limits[f.Kind]))
		return
	}
	if f.Kind != KindContent {
		if s.metadata += size; s.metadata > maxMetadata {
			s.b.fault(FaultSize, path, fmt.Sprintf("is past the %d bytes that all files but contents can have", int64(maxMetadata)))
			return
		}
	}
	f.Size = size
	if len(s.room) == 0 {
		s.room = make([]member, 1)
	}
	m := &s.room[0]
	s.room = s.room[1:]
	m.File, m.at = f, at
	s.b.members[path] = m
	s.b.all = append(s.b.all, m)
}

// fault notes what is wrong with the container.
func (b *Bundle) fault(code Code, path, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count[code]++; b.count[code] <= MaxFaults {
		b.faults = append(b.faults, Fault{code, printable(path), detail})
	}
}

// Faults gives what was found wrong with the container so far, by path; then, where
// there were more than MaxFaults of a code, how many more.
func (b *Bundle) Faults() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := slices.Clone(b.faults)
	layout := func(f Fault) int { // what is wrong with the place of a file comes first
		if f.Code == FaultLayout {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(faults, func(x, y Fault) int {
		return cmp.Or(strings.Compare(x.Path, y.Path), layout(x)-layout(y))
	})
	for _, code := range slices.Sorted(maps.Keys(b.count)) {
		if more := b.count[code] - MaxFaults; more > 0 {
			faults = append(faults, Fault{code, "...", fmt.Sprintf("and %d more", more)})
		}
	}
	return faults
}

// Reference gives the name of a zip's top directory; a directory has none.
func (b *Bundle) Reference() string { return b.top }

// Close gives free what OpenDir holds. The reader given to Open stays open.
func (b *Bundle) Close() error { return b.close() }

// Files gives the files that could stand in a bundle, by path: those for which keep is
// true, all where it is nil.
func (b *Bundle) Files(keep func(File) bool) []File {
	var files []File
	for _, m := range b.all {
		if keep == nil || keep(m.File) {
			files = append(files, m.File)
		}
	}
	slices.SortFunc(files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	return files
}

// Size gives the sum of the sizes of all files in bytes.
func (b *Bundle) Size() (size int64) {
	for _, m := range b.all {
		size += m.Size
	}
	return size
}

// Has reports whether there is a file of that path.
func (b *Bundle) Has(path string) bool { return b.members[path] != nil }

// OpenFile gives the bytes of a file, never more than its size. The error is
// fs.ErrNotExist when there is none.
func (b *Bundle) OpenFile(path string) (io.ReadCloser, error) {
	m := b.members[path]
	if m == nil {
		return nil, notExist(path)
	}
	r, err := m.at.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &exactReader{r, m.Size}, nil
}

// ReadFile gives the content of a file that is not the content of a copy. Check need not
// read it again.
func (b *Bundle) ReadFile(path string) ([]byte, error) {
	content, _, err := b.ReadSummed(path)
	return content, err
}

// ReadSummed is ReadFile, and gives the SHA-256 of the content too.
func (b *Bundle) ReadSummed(path string) (content []byte, sum digest.SHA256, err error) {
	m := b.members[path]
	if m == nil {
		return nil, digest.SHA256{}, notExist(path)
	}
	if m.Kind == KindContent {
		return nil, digest.SHA256{}, fmt.Errorf("read %s: too large to be read whole", path)
	}
	content, ok, err := m.at.whole()
	if !ok {
		content, err = m.readWhole()
	}
	if err != nil {
		return nil, digest.SHA256{}, fmt.Errorf("read %s: %w", path, err)
	}
	sum = sha256.Sum256(content)
	b.note(m, sum)
	return content, sum, nil
}

func (m *member) readWhole() (content []byte, err error) {
	r, err := m.at.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	// Grown as it comes: a directory entry can state any size.
	var buf bytes.Buffer
	_, err = buf.ReadFrom(&exactReader{r, m.Size})
	return buf.Bytes(), err
}

// Ranges gives the bytes of a file at any place; false, when it can only be streamed.
func (b *Bundle) Ranges(path string) (digest.Open, bool) {
	m := b.members[path]
	if m == nil {
		return nil, false
	}
	return m.at.ranges()
}

// Stated gives the SHA-256 that the manifest states for a file.
func (b *Bundle) Stated(path string) (digest.SHA256, bool) {
	if m := b.members[path]; m != nil {
		return m.stated, m.listed
	}
	return digest.SHA256{}, false
}

// exactReader refuses a file that is longer or shorter than the container states.
type exactReader struct {
	io.ReadCloser
	left int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1] // one more, to see the end
	}
	n, err := r.ReadCloser.Read(p)
	r.left -= int64(n)
	if r.left < 0 {
		return 0, errors.New("longer than the container states")
	}
	if err == io.EOF && r.left > 0 {
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// finish looks at all that needs no hashing of the payload.
func (s *scan) finish(ctx context.Context) (*Bundle, error) {
	b := s.b
	for _, path := range singles {
		if !b.Has(path) {
			b.fault(FaultMissing, path, "is missing")
		}
	}
	if err := b.readManifests(ctx); err != nil {
		return nil, err
	}
	b.checkBag()
	return b, nil
}
