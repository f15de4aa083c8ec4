package digest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrClosed means use of a Reader or Hasher after Close.
var ErrClosed = errors.New("digest is closed")

// The ring is a mebibyte. Eight buffers of 128 KiB measured alike, twice as much no faster.
const (
	ringLen   = 4
	bufferLen = 256 << 10
)

// Hasher hashes what is written to it. Methods may be called from several goroutines,
// writes of course in one order only. Close it, or its goroutines stay.
type Hasher struct {
	mu      sync.Mutex
	lanes   []*lane
	free    chan *buffer
	made    int            // buffers so far: short streams do not pay for the whole ring
	filling *buffer        // what Write has begun and no lane has seen, or nil
	pending sync.WaitGroup // buffers handed to lanes, once for each lane
	running sync.WaitGroup // the lanes' goroutines
	closed  bool
}

// buffer is one place of the ring. It is free again when every holder let go.
type buffer struct {
	data    []byte // length is what is filled, capacity bufferLen
	holders atomic.Int32
}

// lane is one algorithm and, while the Hasher is open, its goroutine.
type lane struct {
	algorithm int
	hash      resumable
	work      chan *buffer
	pos       int64
	noted     Midstates // of SHA-256 only
}

// NewHasher starts the given algorithms and SHA-256. It panics on an algorithm that
// ParseAlgorithm would refuse.
func NewHasher(algs ...Algorithm) *Hasher {
	var wanted [len(algorithms)]bool
	wanted[indexSHA256] = true
	for _, a := range algs {
		i, err := a.index()
		if err != nil {
			panic("digest: " + err.Error())
		}
		wanted[i] = true
	}
	var lanes []*lane
	for i := range algorithms {
		if wanted[i] {
			lanes = append(lanes, &lane{algorithm: i, hash: start(i)})
		}
	}
	return run(lanes)
}

// ResumeHasher goes on from a saved state. ErrState when it holds nothing.
func ResumeHasher(s State) (*Hasher, error) {
	if s.hashes[indexSHA256] == "" {
		return nil, fmt.Errorf("%w: no sha256", ErrState)
	}
	var lanes []*lane
	for i := range algorithms {
		if s.hashes[i] == "" {
			continue
		}
		h, err := s.restore(i)
		if err != nil {
			return nil, err
		}
		lanes = append(lanes, &lane{algorithm: i, hash: h, pos: s.size})
	}
	return run(lanes), nil
}

func run(lanes []*lane) *Hasher {
	h := &Hasher{lanes: lanes, free: make(chan *buffer, ringLen)}
	for _, l := range lanes {
		l.work = make(chan *buffer, ringLen) // room for the ring: handing over never waits
		h.running.Go(func() {
			for b := range l.work {
				l.write(b.data)
				h.release(b)
				h.pending.Done()
			}
		})
	}
	return h
}

func (l *lane) write(p []byte) {
	for len(p) > 0 {
		done := l.pos % Segment
		if l.algorithm == indexSHA256 && done == 0 && l.pos > 0 {
			l.noted = append(l.noted, chainingValue(l.hash))
		}
		n := int(min(int64(len(p)), Segment-done))
		_, _ = l.hash.Write(p[:n]) // hash.Hash: never an error
		l.pos += int64(n)
		p = p[n:]
	}
}

// Write takes a copy of p. The only error is ErrClosed.
func (h *Hasher) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, ErrClosed
	}
	for rest := p; len(rest) > 0; {
		if h.filling == nil {
			h.filling = h.take()
		}
		b := h.filling
		n := min(len(rest), cap(b.data)-len(b.data))
		b.data = append(b.data, rest[:n]...)
		rest = rest[n:]
		if len(b.data) == cap(b.data) {
			h.flush()
		}
	}
	return len(p), nil
}

// take returns an empty buffer, waiting for the slowest lane when all are in use.
func (h *Hasher) take() *buffer {
	var b *buffer
	select {
	case b = <-h.free:
	default:
		if h.made < ringLen {
			h.made++
			return &buffer{data: make([]byte, 0, bufferLen)}
		}
		b = <-h.free
	}
	b.data = b.data[:0]
	return b
}

// hand gives a filled buffer to all lanes. It has that many holders more than the lanes.
func (h *Hasher) hand(b *buffer, more int) {
	h.pending.Add(len(h.lanes))
	b.holders.Store(int32(len(h.lanes) + more)) //nolint:gosec // at most 6
	for _, l := range h.lanes {
		l.work <- b
	}
}

func (h *Hasher) release(b *buffer) {
	if b.holders.Add(-1) == 0 {
		h.free <- b // has room for the ring
	}
}

func (h *Hasher) flush() {
	if h.filling != nil {
		h.hand(h.filling, 0)
		h.filling = nil
	}
}

// borrow returns an empty buffer that follows all that was written.
func (h *Hasher) borrow() (*buffer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	h.flush()
	return h.take(), nil
}

// lend has a borrowed buffer hashed while the borrower goes on reading it, until release.
func (h *Hasher) lend(b *buffer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.hand(b, 1)
	return nil
}

// settle waits until all that was written is hashed, and runs look over the lanes.
func (h *Hasher) settle(look func(*lane) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	h.flush()
	h.pending.Wait()
	for _, l := range h.lanes {
		if err := look(l); err != nil {
			return err
		}
	}
	return nil
}

// Sum returns the digests of what was written so far, and its size. More may be
// written afterwards. The only error is ErrClosed.
func (h *Hasher) Sum() (Set, int64, error) {
	var set Set
	var size int64
	err := h.settle(func(l *lane) error {
		set.hex[l.algorithm] = hex.EncodeToString(l.hash.Sum(nil))
		size = l.pos
		return nil
	})
	if err != nil {
		return Set{}, 0, err
	}
	return set, size, nil
}

// State returns where the pass stands. More may be written afterwards. The only error
// to expect is ErrClosed.
func (h *Hasher) State() (State, error) {
	var s State
	err := h.settle(func(l *lane) error {
		b, err := l.hash.AppendBinary(nil)
		s.hashes[l.algorithm], s.size = string(b), l.pos
		return err
	})
	if err != nil {
		return State{}, err
	}
	return s, nil
}

// Midstates returns the values noted since the last call, or since the state from which
// the pass was resumed: who saves a State appends them to the list in the same breath.
// After the last byte the list is complete. The only error is ErrClosed.
func (h *Hasher) Midstates() (Midstates, error) {
	var noted Midstates
	err := h.settle(func(l *lane) error {
		noted = append(noted, l.noted...)
		l.noted = nil
		return nil
	})
	return noted, err
}

// Close ends the goroutines and waits for them. It may be called more than once, and
// while another goroutine writes: that one gets ErrClosed.
func (h *Hasher) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.closed = true
	for _, l := range h.lanes {
		close(l.work)
	}
	h.running.Wait()
}
