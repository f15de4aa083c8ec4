package source

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// ErrMark: a mark does not belong to this source.
var ErrMark = errors.New("malformed mark")

// errOver: a reader is used that another one has replaced.
var errOver = errors.New("another reader has taken over")

// Mark is a place from which a pass can go on.
type Mark struct {
	Offset int64           `json:"offset"`
	Whole  []byte          `json:"whole"`           // digest.State of the bytes up to here
	File   []byte          `json:"file,omitempty"`  // of the file the offset lies in, as the standard library marshals SHA-256
	Ended  []digest.SHA256 `json:"ended,omitempty"` // of files whose end lies between the mark before and this one
}

// steps is the number of marks a source leaves at most.
const steps = 8000

// Step is the distance of the marks of a source of that size, in bytes: that of
// the parts in which a store takes an upload.
func Step(size int64) int64 {
	n := (size + steps - 1) / steps
	return max(1, (n+digest.Segment-1)/digest.Segment) * digest.Segment
}

// Pass reads a source once. Methods may be called concurrently; of its readers
// only the newest gives bytes.
type Pass struct {
	set    Set
	starts []int64 // of the files
	size   int64
	step   int64
	algs   []digest.Algorithm
	note   func(Mark) error

	mu     sync.Mutex
	marks  []Mark // by offset
	ended  []digest.SHA256
	reader *reader
}

// NewPass prepares to read a source. The marks are those an earlier pass over the
// same source left, as far as they were kept; note is told each new one.
func NewPass(s Set, algs []digest.Algorithm, marks []Mark, note func(Mark) error) (*Pass, error) {
	p := &Pass{set: s, size: s.Size(), step: Step(s.Size()), algs: algs, note: note}
	at := int64(0)
	for _, f := range s.Files {
		p.starts = append(p.starts, at)
		at += f.Size
	}
	for _, m := range marks {
		if err := p.take(m); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// take adds a mark that was kept.
func (p *Pass) take(m Mark) error {
	last := int64(0)
	if n := len(p.marks); n > 0 {
		last = p.marks[n-1].Offset
	}
	var state digest.State
	if err := state.UnmarshalBinary(m.Whole); err != nil {
		return fmt.Errorf("%w: %w", ErrMark, err)
	}
	ended := len(p.ended) + len(m.Ended)
	if m.Offset <= last && p.size > 0 || m.Offset > p.size || state.Size() != m.Offset || p.set.Listed && ended != p.filesBefore(m.Offset) {
		return fmt.Errorf("%w: at %d", ErrMark, m.Offset)
	}
	p.marks, p.ended = append(p.marks, m), append(p.ended, m.Ended...)
	return nil
}

// filesBefore is the number of files that end at or before an offset.
func (p *Pass) filesBefore(offset int64) int {
	return sort.Search(len(p.starts), func(i int) bool { return p.starts[i]+p.set.Files[i].Size > offset })
}

// From gives a reader of the content from an offset on. It goes on from the
// nearest mark; what lies between mark and offset is read and hashed, and not
// given. Earlier readers give no more bytes.
func (p *Pass) From(offset int64) (io.Reader, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if offset < 0 || offset > p.size {
		return nil, fmt.Errorf("%w: offset %d of %d bytes", ErrMark, offset, p.size)
	}
	p.drop()
	r, err := p.begin(offset)
	if err != nil {
		return nil, err
	}
	p.reader = r
	if err := p.skip(offset); err != nil {
		p.drop()
		return nil, err
	}
	return r, nil
}

// skip hashes what lies before an offset.
func (p *Pass) skip(offset int64) error {
	buf := make([]byte, 1<<20)
	for p.reader.at < offset {
		n, err := p.reader.read(buf[:min(int64(len(buf)), offset-p.reader.at)])
		if n == 0 && err != nil {
			return noEOF(err)
		}
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin makes a reader at the last mark that is not behind offset.
func (p *Pass) begin(offset int64) (*reader, error) {
	r := &reader{pass: p}
	i := sort.Search(len(p.marks), func(i int) bool { return p.marks[i].Offset > offset })
	if i == 0 {
		r.whole, r.part = digest.NewHasher(p.algs...), sha256.New()
		return r, nil
	}
	m := p.marks[i-1]
	var state digest.State
	if err := state.UnmarshalBinary(m.Whole); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMark, err)
	}
	r.at, r.part = m.Offset, sha256.New()
	r.file = p.filesBefore(m.Offset)
	if len(m.File) > 0 {
		restore, ok := r.part.(encoding.BinaryUnmarshaler)
		if !ok {
			return nil, fmt.Errorf("%w: SHA-256 cannot be resumed", ErrMark)
		}
		if err := restore.UnmarshalBinary(m.File); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMark, err)
		}
	}
	var err error
	if r.whole, err = digest.ResumeHasher(state); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMark, err)
	}
	return r, nil
}

// drop ends the present reader.
func (p *Pass) drop() {
	if p.reader != nil {
		p.reader.close()
		p.reader = nil
	}
}

// Close ends the pass.
func (p *Pass) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
}

// Finish gives the digests of the whole content and, for a set, the list of its
// files. What no reader has read is read now.
func (p *Pass) Finish() (digest.Set, []evidence.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reader == nil {
		r, err := p.begin(p.size)
		if err != nil {
			return digest.Set{}, nil, err
		}
		p.reader = r
	}
	defer p.drop()
	if err := p.skip(p.size); err != nil {
		return digest.Set{}, nil, err
	}
	if _, err := p.reader.read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return digest.Set{}, nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	sums, _, err := p.reader.whole.Sum()
	if err != nil || !p.set.Listed {
		return sums, nil, err
	}
	list := make([]evidence.File, len(p.set.Files))
	for i, f := range p.set.Files {
		modified := evidence.TimeOf(f.Modified)
		list[i] = evidence.File{SHA256: p.ended[i], Size: f.Size, Modified: &modified}.Named(f.Name)
	}
	return sums, list, nil
}

// reader is one run over the content.
type reader struct {
	pass  *Pass
	at    int64
	file  int // index of the file that at lies in
	open  *os.File
	whole *digest.Hasher
	part  hash.Hash // of the file
	over  bool
	err   error
}

// Read gives the next bytes, hashed. An error stays.
func (r *reader) Read(b []byte) (int, error) {
	r.pass.mu.Lock()
	defer r.pass.mu.Unlock()
	if r.over {
		return 0, errOver
	}
	return r.read(b)
}

func (r *reader) read(b []byte) (int, error) {
	if r.err != nil || len(b) == 0 {
		return 0, r.err
	}
	n, err := r.next(b)
	if err != nil {
		r.err = err
	}
	return n, err
}

// next reads from the file at hand, up to its end or the next mark. Files that end
// here are finished before bytes are given, so that nothing behind a changed file
// ever leaves.
func (r *reader) next(b []byte) (int, error) {
	p := r.pass
	if err := r.finishFiles(); err != nil {
		return 0, err
	}
	if r.file == len(p.set.Files) {
		return 0, io.EOF
	}
	f := p.set.Files[r.file]
	if err := r.enter(f); err != nil {
		return 0, err
	}
	limit := min(p.starts[r.file]+f.Size, (r.at/p.step+1)*p.step) - r.at
	n, err := r.open.Read(b[:min(int64(len(b)), limit)])
	if n == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s: %w: it is shorter", f.Path, ErrChanged)
		}
		return 0, err
	}
	if _, err := r.whole.Write(b[:n]); err != nil {
		return 0, err
	}
	if p.set.Listed {
		r.part.Write(b[:n]) // hash.Hash: never an error
	}
	r.at += int64(n)
	if err := r.finishFiles(); err != nil {
		return 0, err
	}
	if r.at%p.step == 0 || r.at == p.size {
		if err := r.mark(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// enter opens the file that the reader stands in.
func (r *reader) enter(f File) error {
	if r.open != nil {
		return nil
	}
	file, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	if err := sameNow(file, f); err != nil {
		return errors.Join(err, file.Close())
	}
	if _, err := file.Seek(r.at-r.pass.starts[r.file], io.SeekStart); err != nil {
		return errors.Join(err, file.Close())
	}
	r.open = file
	return nil
}

func sameNow(file *os.File, f File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || !fileOf(f.Path, info).unchanged(f) {
		return fmt.Errorf("%s: %w", f.Path, ErrChanged)
	}
	return nil
}

// finishFiles closes every file that ends where the reader stands, empty ones too.
func (r *reader) finishFiles() error {
	p := r.pass
	for r.file < len(p.set.Files) {
		f := p.set.Files[r.file]
		if p.starts[r.file]+f.Size > r.at {
			return nil
		}
		if err := r.enter(f); err != nil {
			return err
		}
		err := sameNow(r.open, f)
		if err = errors.Join(err, r.open.Close()); err != nil {
			return err
		}
		r.open = nil
		sum := digest.SHA256(r.part.Sum(nil))
		switch {
		case !p.set.Listed:
		case r.file == len(p.ended):
			p.ended = append(p.ended, sum)
		case p.ended[r.file] != sum:
			return fmt.Errorf("%s: %w: it gave other bytes before", f.Path, ErrChanged)
		}
		r.part.Reset()
		r.file++
	}
	return nil
}

// mark notes the place, if it was not noted before.
func (r *reader) mark() error {
	p := r.pass
	ended := 0
	if n := len(p.marks); n > 0 {
		if p.marks[n-1].Offset >= r.at {
			return nil
		}
		ended = p.filesBefore(p.marks[n-1].Offset)
	}
	state, err := r.whole.State()
	if err != nil {
		return err
	}
	m := Mark{Offset: r.at}
	if m.Whole, err = state.MarshalBinary(); err != nil {
		return err
	}
	if p.set.Listed {
		m.Ended = slices.Clone(p.ended[ended:])
		save, ok := r.part.(encoding.BinaryMarshaler)
		if !ok {
			return fmt.Errorf("%w: SHA-256 cannot be saved", ErrMark)
		}
		if m.File, err = save.MarshalBinary(); err != nil {
			return err
		}
	}
	if p.note != nil {
		if err := p.note(m); err != nil {
			return fmt.Errorf("keep the mark at %d: %w", r.at, err)
		}
	}
	p.marks = append(p.marks, m)
	return nil
}

func (r *reader) close() {
	r.over = true
	r.whole.Close()
	if r.open != nil {
		_ = r.open.Close() // only read from
		r.open = nil
	}
}
