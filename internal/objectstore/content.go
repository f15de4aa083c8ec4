package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Where the bytes of a Content come from.
const (
	SourceMedium = "medium" // the disk: direct I/O, or the page cache was seen to be empty
	SourceCache  = "cache"  // perhaps the page cache
	SourceStore  = "store"  // whatever the S3 service answers from
)

// Content is the bytes of one object version, open for reading. Its methods may
// be called concurrently.
type Content struct {
	size   int64
	source string
	open   func(ctx context.Context, off, n int64) (io.ReadCloser, error)
	close  func() error
}

// Size is the number of bytes the store holds now. It can differ from that of an
// Object written down earlier: then the object was damaged.
func (c *Content) Size() int64 { return c.size }

// Source is SourceMedium, SourceCache or SourceStore.
func (c *Content) Source() string { return c.source }

// Range reads n bytes from off on. The reader gives exactly n bytes and then
// io.EOF, or an error; io.ErrUnexpectedEOF when the store ended early.
func (c *Content) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > c.size || n > c.size-off {
		return nil, fmt.Errorf("%d bytes at %d of %d: %w", n, off, c.size, io.ErrUnexpectedEOF)
	}
	return c.open(ctx, off, n)
}

// Close ends the use of c. Readers from Range are closed first.
func (c *Content) Close() error { return c.close() }

// fullReader demands left bytes of r.
type fullReader struct {
	ctx   context.Context // of the one range it reads
	r     io.Reader
	left  int64
	close func() error
}

func (f *fullReader) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if f.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (f *fullReader) Close() error { return f.close() }
