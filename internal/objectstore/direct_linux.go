package objectstore

import (
	"context"
	"errors"
	"io"
	"os"
)

// readsAhead is how many blocks are being read while one is handed out: a disk
// answers several requests faster than one after the other.
const readsAhead = 3

// directReader reads a range of a file opened with O_DIRECT, some blocks ahead of
// its caller, so that the disk works while the caller hashes: readsAhead blocks of
// memory and the one handed out, never more.
type directReader struct {
	ctx    context.Context // of the one range it reads
	cancel context.CancelFunc
	ahead  chan chan block // in the order of the file
	done   chan struct{}
	now    block // being handed out; now.data is what is left of it
	left   int64
	err    error
}

type block struct {
	buf  *[]byte // goes back to the pool; nil when there was none
	data []byte  // of the range
	err  error
}

func newDirectReader(ctx context.Context, f *os.File, off, n int64) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r := &directReader{ctx: ctx, cancel: cancel, ahead: make(chan chan block, readsAhead-1), done: make(chan struct{}), left: n}
	go r.fill(f, off, off+n)
	return r
}

func (r *directReader) fill(f *os.File, off, end int64) {
	defer close(r.done)
	defer close(r.ahead)
	for pos := off &^ (diskAlign - 1); pos < end; pos += blockSize {
		one := make(chan block, 1)
		select {
		case r.ahead <- one:
			go func() { one <- readBlock(r.ctx, f, pos, off, end) }()
		case <-r.ctx.Done():
			return
		}
	}
}

// readBlock reads the block at pos and cuts it to the range from off to end.
func readBlock(ctx context.Context, f *os.File, pos, off, end int64) block {
	if err := ctx.Err(); err != nil {
		return block{err: err}
	}
	b := block{buf: getBlock()}
	whole := min(blockSize, (end-pos+diskAlign-1)&^(diskAlign-1))
	n, err := pread(f, (*b.buf)[:whole], pos)
	from, to := max(off-pos, 0), min(end-pos, blockSize)
	if err == nil && int64(n) < to {
		err = io.ErrUnexpectedEOF
	}
	if to = min(to, int64(n)); from < to {
		b.data = (*b.buf)[from:to]
	}
	b.err = err
	return b
}

func (b *block) release() {
	if b.buf != nil {
		putBlock(b.buf)
	}
	*b = block{}
}

// next makes sure that there is something to hand out, or gives the error.
func (r *directReader) next() error {
	for len(r.now.data) == 0 {
		if r.err == nil {
			r.err = r.now.err
		}
		r.now.release()
		if r.err == nil && r.left == 0 {
			r.err = io.EOF
		}
		if r.err != nil {
			return r.err
		}
		if one, ok := <-r.ahead; ok {
			r.now = <-one
		} else {
			r.err = r.ctx.Err() // the only way fill ends before the range does
		}
	}
	return nil
}

func (r *directReader) Read(p []byte) (int, error) {
	if err := r.next(); err != nil {
		return 0, err
	}
	n := copy(p, r.now.data)
	r.now.data = r.now.data[n:]
	r.left -= int64(n)
	return n, nil
}

// WriteTo implements [io.WriterTo]: whole blocks, without a copy between.
func (r *directReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if err := r.next(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		wrote, err := w.Write(r.now.data)
		n += int64(wrote)
		r.left -= int64(wrote)
		r.now.data = r.now.data[wrote:]
		if err != nil {
			return n, err
		}
	}
}

// Close must not run beside a Read: a block that Read waits for is not waited for here.
func (r *directReader) Close() error {
	r.cancel()
	<-r.done
	for one := range r.ahead { // the file stays open until every read has come back
		b := <-one
		b.release()
	}
	r.now.release()
	r.err = os.ErrClosed
	return nil
}
