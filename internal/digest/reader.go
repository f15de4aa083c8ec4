package digest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrIncomplete means that the end of the stream was not seen: there is no digest.
var ErrIncomplete = errors.New("stream is incomplete")

// Reader hashes what is read through it. One goroutine reads; State, Finish and Close
// may be called from another. Close it, or its goroutines stay.
//
// Close returns nothing on purpose: were a Reader an io.ReadCloser, net/http would
// close it after sending it as a body, before its digests can be asked for.
type Reader struct {
	src    io.Reader
	hasher *Hasher

	mu  sync.Mutex
	end error // io.EOF after the last byte, or what cut the stream; it stays
}

// NewReader starts the given algorithms and SHA-256 over src. It panics on an algorithm
// that ParseAlgorithm would refuse.
func NewReader(src io.Reader, algs ...Algorithm) *Reader {
	return &Reader{src: src, hasher: NewHasher(algs...)}
}

// ResumeReader goes on from a saved state. The first byte of src is the one at
// offset State.Size. ErrState when the state holds nothing.
func ResumeReader(src io.Reader, s State) (*Reader, error) {
	h, err := ResumeHasher(s)
	if err != nil {
		return nil, err
	}
	return &Reader{src: src, hasher: h}, nil
}

// Read reads from the source and hashes a copy. An error stays: what comes after a
// gap is not the same stream.
func (r *Reader) Read(p []byte) (int, error) {
	if end := r.ended(); end != nil {
		return 0, end
	}
	n, err := r.src.Read(p)
	if _, closed := r.hasher.Write(p[:n]); closed != nil {
		return 0, r.stop(closed)
	}
	return n, r.stop(err)
}

// WriteTo reads the source to its end into the buffers of the ring and writes these to
// w while they are hashed, without a further copy. Each is filled before it is written.
// After an error of w nothing more can be read and there is no digest.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		if end := r.ended(); isEnd(end) {
			return written, nil
		} else if end != nil {
			return written, end
		}
		n, err := r.pass(w)
		written += int64(n)
		_ = r.stop(err)
	}
}

// pass moves one buffer from the source to w. io.EOF means that all of it has arrived.
func (r *Reader) pass(w io.Writer) (int, error) {
	h := r.hasher
	b, err := h.borrow()
	if err != nil {
		return 0, err
	}
	n, end := fill(r.src, b.data[:cap(b.data)])
	b.data = b.data[:n]
	if err := h.lend(b); err != nil {
		return 0, err
	}
	defer h.release(b)
	if n > 0 {
		if m, err := w.Write(b.data); err != nil {
			return m, fmt.Errorf("write: %w", err) // so that io.EOF from w is not the stream's
		} else if m != n {
			return m, io.ErrShortWrite
		}
	}
	return n, end
}

// fill reads until p is full or the source ends. Unlike io.ReadFull it returns the
// source's error as it is: io.ErrUnexpectedEOF is what a cut HTTP body says, and must
// not look like a short but complete read.
func fill(src io.Reader, p []byte) (int, error) {
	n := 0
	for empty := 0; n < len(p); {
		m, err := src.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// isEnd reports whether err is the end of a stream. A wrapped io.EOF is an error: it tells
// of an end somewhere else.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // for that reason

func (r *Reader) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

func (r *Reader) stop(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end == nil {
		r.end = err
	}
	return err
}

// Finish returns the digests and the size of the whole stream, from its first byte even
// when resumed. Before the source has said io.EOF it is ErrIncomplete, with the cause:
// who stops reading at a known size reads once more to see the end.
func (r *Reader) Finish() (Set, int64, error) {
	end := r.ended()
	switch {
	case isEnd(end):
		return r.hasher.Sum()
	case end == nil:
		return Set{}, 0, ErrIncomplete
	default:
		return Set{}, 0, fmt.Errorf("%w: %w", ErrIncomplete, end)
	}
}

// State returns where the pass stands, whether or not the source has ended: a source may
// be one part of the stream. It counts what was read from the source, which after an
// error can be more than what anybody received. The only error to expect is ErrClosed.
func (r *Reader) State() (State, error) { return r.hasher.State() }

// Midstates returns the values noted since the last call, as Hasher.Midstates does.
func (r *Reader) Midstates() (Midstates, error) { return r.hasher.Midstates() }

// Close ends the goroutines and waits for them. It may be called more than once, and
// while another goroutine reads: that one gets ErrClosed.
func (r *Reader) Close() { r.hasher.Close() }

// Sum returns the digests and the size of all that src holds.
func Sum(ctx context.Context, src io.Reader, algs ...Algorithm) (Set, int64, error) {
	r := NewReader(src, algs...)
	defer r.Close()
	if _, err := r.WriteTo(contextWriter{ctx, nil}); err != nil {
		return Set{}, 0, err
	}
	return r.Finish()
}

// contextWriter drops what it gets, tells how much, and refuses more once ctx is done.
type contextWriter struct {
	ctx      context.Context
	progress func(n int64)
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.progress != nil {
		w.progress(int64(len(p)))
	}
	return len(p), nil
}
