package objectstore

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// exactReader passes on size bytes of a reader and demands its end after them.
// It holds the last bytes back until the end was seen, so that whoever sends
// them on never completes a body from a reader that was too long.
type exactReader struct {
	mu   sync.Mutex
	r    io.Reader // nil after stop
	left int64
	err  error
}

func newExactReader(r io.Reader, size int64) (*exactReader, error) {
	e := &exactReader{r: r, left: size}
	if size < 0 {
		return nil, fmt.Errorf("%d bytes: %w", size, ErrSize)
	}
	if size == 0 {
		if err := e.end(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// errStopped answers a transport that still reads after the call has returned.
var errStopped = errors.New("reader is no longer available")

func (e *exactReader) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return 0, e.err
	case e.r == nil:
		return 0, errStopped
	case e.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if e.left == 0 {
		if e.err = e.atEnd(err); e.err != nil {
			return 0, e.err
		}
		return n, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		// Nobody above may take the end of a cut stream for the end of a block.
		err = fmt.Errorf("%d bytes short (%v): %w", e.left, err, ErrSize) //nolint:errorlint // on purpose, see above
	}
	e.err = err
	return n, err
}

func (e *exactReader) atEnd(err error) error {
	if err == nil {
		return e.end()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// end demands that the reader has nothing more.
func (e *exactReader) end() error {
	var one [1]byte
	for range 100 {
		n, err := e.r.Read(one[:])
		if n > 0 {
			return fmt.Errorf("longer than declared: %w", ErrSize)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// stop waits for a Read in progress; later ones do not reach the reader. An
// HTTP transport may read a body after its request has been answered.
func (e *exactReader) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.r = nil
}

// fault is the reader's own error, if it had one: a transport wraps it beyond
// recognition or reports another.
func (e *exactReader) fault() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
