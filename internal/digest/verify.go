package digest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrSize means a negative size.
var ErrSize = errors.New("negative size")

// Open returns the bytes of the content from off on, at most n of them. At the end of
// the content there are fewer, or none: that is no error, and Verify asks for one byte
// past the size to see whether the content goes on. It is called concurrently.
type Open func(ctx context.Context, off, n int64) (io.ReadCloser, error)

// Range is Len bytes from Off on.
type Range struct {
	Off int64 `json:"off"`
	Len int64 `json:"len"`
}

// Result is what a verification came to.
type Result string

// The results. Only Match says that the content is what it was.
const (
	Undecided  Result = ""           // of VerifySegments alone: the ordinary pass must decide
	Match      Result = "match"      // size and SHA-256 are as wanted
	Mismatch   Result = "mismatch"   // all was read, and it is something else
	Unreadable Result = "unreadable" // not all could be read
)

// Verdict is a result and what was seen on the way. The ranges are whole segments, in
// order, adjacent ones joined. They are as good as the list: check its SHA-256 against
// the signed one. With a wrong digest but a right list, the last segment is named.
type Verdict struct {
	Result     Result
	SHA256     SHA256  // of what was read, on Match and Mismatch; past size, with one byte more
	Damaged    []Range // do not lead from one midstate to the next, or are missing; empty on Match
	Unreadable []Range // gave an error when read; empty on Match
	Longer     bool    // the content goes on past its size
	ListWrong  bool    // the list is not that of the content, or has the wrong length
	Unstable   bool    // Match, yet the segments read before disagreed with a right list: the store gave different bytes
	Cause      error   // of the first read that failed
}

// Verify reports whether the content has the wanted size and SHA-256. It reads segments
// on that many workers; where they disagree, or the list has the wrong length, it reads
// everything once more in order, and that pass decides. progress, if not nil, is told the
// number of bytes of each read, from any goroutine; with a second pass they add up to
// more than size. The error is that of ctx, or ErrSize: content that cannot be read is a
// verdict, not an error.
func Verify(ctx context.Context, open Open, size int64, list Midstates, want SHA256, workers int, progress func(n int64)) (Verdict, error) {
	v, err := VerifySegments(ctx, open, size, list, want, workers, progress)
	if err != nil || v.Result != Undecided {
		return v, err
	}
	got, n, noted, err := ordinaryPass(ctx, open, size, progress)
	if ctx.Err() != nil {
		return Verdict{}, ctx.Err()
	}
	switch {
	case err != nil:
		v.Result = Unreadable
		if v.Cause == nil {
			off := min(n, max(size-1, 0)) / Segment * Segment // the segment where that pass stopped
			v.Cause, v.Unreadable = err, []Range{{off, size - off}}
		}
	case n == size && got == want:
		wrong := !slices.Equal(noted, list)
		v = Verdict{Result: Match, SHA256: got, ListWrong: wrong, Unstable: !wrong}
	default:
		v.Result, v.SHA256 = Mismatch, got
		v.Longer = v.Longer || n > size
	}
	return v, nil
}

// ordinaryPass reads the content in order, up to one byte past its size.
func ordinaryPass(ctx context.Context, open Open, size int64, progress func(n int64)) (got SHA256, n int64, noted Midstates, err error) {
	src, err := open(ctx, 0, size+1)
	if err != nil {
		return SHA256{}, 0, nil, err
	}
	defer func() { _ = src.Close() }() // only read from
	r := NewReader(io.LimitReader(src, size+1))
	defer r.Close()
	if n, err = r.WriteTo(contextWriter{ctx, progress}); err != nil {
		return SHA256{}, n, nil, err
	}
	set, n, err := r.Finish()
	if err != nil {
		return SHA256{}, n, nil, err
	}
	if noted, err = r.Midstates(); err != nil {
		return SHA256{}, n, nil, err
	}
	got, _ = set.SHA256()
	return got, n, noted, nil
}

// VerifySegments is the first half of Verify: Match is proven, Unreadable says that what
// could be read agrees, and Undecided that the ordinary pass must decide.
func VerifySegments(ctx context.Context, open Open, size int64, list Midstates, want SHA256, workers int, progress func(n int64)) (Verdict, error) {
	if size < 0 || size == math.MaxInt64 {
		return Verdict{}, fmt.Errorf("%w: %d", ErrSize, size)
	}
	if int64(len(list)) != MidstateCount(size) {
		return Verdict{ListWrong: true}, nil
	}
	segments, workers := len(list)+1, max(workers, 1)
	p := &segmentPass{
		open: open, size: size, list: list, want: want, progress: progress,
		marks: make([]mark, segments),
		group: min(groupMax, max(segments/(4*workers), 1)),
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { p.work(ctx) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return Verdict{}, err
	}
	v := Verdict{Damaged: p.ranges(damaged), Unreadable: p.ranges(unread), Longer: p.longer.Load(), Cause: p.cause}
	switch {
	case len(v.Damaged) > 0 || v.Longer:
		v.Result = Undecided
	case len(v.Unreadable) > 0:
		v.Result = Unreadable
	default:
		v.Result, v.SHA256 = Match, want
	}
	return v, nil
}

// groupMax is how many segments are read through one Open, at most: 64 MiB.
const groupMax = 4

// mark is what is known of a segment. What nobody judged counts as unread.
type mark byte

const (
	unread mark = iota
	proven
	damaged
)

type segmentPass struct {
	open     Open
	size     int64
	list     Midstates
	want     SHA256
	progress func(n int64)
	group    int          // segments read through one open
	next     atomic.Int64 // group to read next
	marks    []mark       // each written by the one worker that reads the segment
	longer   atomic.Bool
	dead     atomic.Bool // the content cannot be opened: do not go on

	mu    sync.Mutex
	cause error
}

func (p *segmentPass) work(ctx context.Context) {
	h, buf := start(indexSHA256), make([]byte, bufferLen)
	for {
		i := int(p.next.Add(1)-1) * p.group
		if i >= len(p.marks) {
			return
		}
		// A read error concerns its place only: go on behind it.
		for end := min(i+p.group, len(p.marks)); i < end && ctx.Err() == nil && !p.dead.Load(); {
			i = p.read(ctx, h, buf, i, end)
		}
	}
}

// read judges the segments from i up to end through one open, and returns the first
// that it leaves to another.
func (p *segmentPass) read(ctx context.Context, h resumable, buf []byte, i, end int) int {
	off := int64(i) * Segment
	n := min(int64(end)*Segment, p.size) - off
	if end == len(p.marks) {
		n++ // to see whether the content goes on
	}
	src, err := p.open(ctx, off, n)
	if err != nil {
		p.dead.Store(true)
		p.failed(err)
		return end
	}
	defer func() { _ = src.Close() }() // only read from
	for ; i < end; i++ {
		p.marks[i], err = p.segment(src, h, buf, i)
		if err != nil {
			p.failed(err)
			return i + 1
		}
	}
	return end
}

// segment hashes segment i, which comes next from src. The error is that of src.
func (p *segmentPass) segment(src io.Reader, h resumable, buf []byte, i int) (mark, error) {
	off := int64(i) * Segment
	h.Reset()
	if i > 0 {
		if err := setChain(h, p.list[i-1], off); err != nil {
			return unread, err
		}
	}
	for left := min(Segment, p.size-off); left > 0; {
		n, err := fill(src, buf[:min(int64(len(buf)), left)])
		_, _ = h.Write(buf[:n]) // hash.Hash: never an error
		left -= int64(n)
		if p.progress != nil {
			p.progress(int64(n))
		}
		switch {
		case err == nil:
		case !isEnd(err):
			return unread, err
		case left > 0:
			return damaged, nil // the content ends too early
		}
	}
	if i < len(p.list) {
		if chainingValue(h) == p.list[i] {
			return proven, nil
		}
		return damaged, nil
	}
	switch n, err := fill(src, buf[:1]); {
	case n > 0:
		p.longer.Store(true)
	case !isEnd(err):
		return unread, err // whether the content ends here is not known
	}
	if SHA256(h.Sum(nil)) == p.want {
		return proven, nil
	}
	return damaged, nil
}

func (p *segmentPass) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == nil {
		p.cause = err
	}
}

// ranges returns the segments with that mark, adjacent ones joined.
func (p *segmentPass) ranges(m mark) []Range {
	var list []Range
	for i := range p.marks {
		if p.marks[i] != m {
			continue
		}
		off := int64(i) * Segment
		n := min(Segment, p.size-off)
		if last := len(list) - 1; last >= 0 && list[last].Off+list[last].Len == off {
			list[last].Len += n
		} else {
			list = append(list, Range{off, n})
		}
	}
	return list
}
