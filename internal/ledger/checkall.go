package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// ErrLine says that a file of envelopes is not made of lines that could be any.
var ErrLine = errors.New("malformed line")

// Entry is one line of a file of envelopes and what CheckAll found.
type Entry struct {
	Envelope Envelope // zero when it could not be read
	Leaf     Hash
	Bytes    []byte // the line without its newline, valid until visit returns
	Err      error  // an *EntryError
}

// blockSize is how much is read, and handed to one core, at a time.
const blockSize = 128 << 10

// CheckAll adds every line of a file of envelopes to the checker, parsing and
// hashing on all cores, and calls visit for each in order, in the caller's
// goroutine, after it was added: c.Root is then the root at that entry. What is
// wrong with an entry stands in its Err, and the check goes on.
//
// The error is that of r, visit or ctx, or an ErrLine when a line is longer than
// 128 KiB; then only the entries visited were checked. ctx is looked at between
// reads.
func CheckAll(ctx context.Context, r io.Reader, c *Checker, visit func(*Entry) error) error {
	workers := runtime.GOMAXPROCS(0)
	depth := 2*workers + 1
	todo := make(chan *block, depth) // holds all there are: sending never waits
	origin := c.Origin()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for b := range todo {
				b.parse(origin)
				b.parsed <- struct{}{}
			}
		})
	}
	defer running.Wait()
	defer close(todo)

	in := lineReader{r: r}
	var pending, free []*block
	var readErr error
	for {
		for !in.eof && readErr == nil && len(pending) < depth {
			if len(free) == 0 {
				free = append(free, newBlock())
			}
			b := free[len(free)-1]
			if readErr = in.fill(b); readErr == nil {
				free = free[:len(free)-1]
				todo <- b
				pending = append(pending, b)
			}
		}
		if len(pending) == 0 {
			return readErr
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("check entries: %w", err)
		}
		b := pending[0]
		pending = pending[1:]
		<-b.parsed
		for i := range b.entries {
			e := &b.entries[i]
			e.Err = c.add(&e.Envelope, e.Leaf, e.Err)
			if err := visit(e); err != nil {
				return err
			}
		}
		free = append(free, b)
	}
}

// A block is some whole lines and what they parse to.
type block struct {
	buf     []byte
	text    []byte // the part of buf in use
	entries []Entry
	parsed  chan struct{}
}

func newBlock() *block {
	return &block{buf: make([]byte, blockSize), parsed: make(chan struct{}, 1)}
}

func (b *block) parse(origin Origin) {
	b.entries = b.entries[:0]
	for text := b.text; len(text) > 0; {
		line, rest, terminated := bytes.Cut(text, []byte{'\n'})
		text = rest
		e, err := parseEnvelope(line, origin)
		if err == nil {
			origin = e.Log
		}
		if !terminated {
			// Else the same ledger would have two files, with it and without.
			e, err = Envelope{}, fmt.Errorf("%w: no newline at the end of the file", ErrEnvelope)
		}
		b.entries = append(b.entries, Entry{Envelope: e, Leaf: LeafHash(line), Bytes: line, Err: err})
	}
}

// A lineReader cuts its input into blocks that end with a line.
type lineReader struct {
	r    io.Reader
	rest []byte // read already, belongs to the next block
	eof  bool
}

func (l *lineReader) fill(b *block) error {
	n := copy(b.buf, l.rest)
	// Not io.ReadFull: it cannot tell the end from an ErrUnexpectedEOF, with which
	// the reader of a cut archive warns.
	for idle := 0; n < len(b.buf) && !l.eof; idle++ {
		m, err := l.r.Read(b.buf[n:])
		n += m
		if m > 0 {
			idle = 0
		}
		switch {
		case err == io.EOF:
			l.eof = true
		case err != nil:
			return fmt.Errorf("read entries: %w", err)
		case idle == 100:
			return fmt.Errorf("read entries: %w", io.ErrNoProgress)
		}
	}
	end := n
	if !l.eof {
		end = bytes.LastIndexByte(b.buf[:n], '\n') + 1
		if end == 0 {
			return fmt.Errorf("read entries: %w: longer than %d bytes", ErrLine, blockSize)
		}
	}
	b.text = b.buf[:end]
	l.rest = append(l.rest[:0], b.buf[end:n]...)
	return nil
}
