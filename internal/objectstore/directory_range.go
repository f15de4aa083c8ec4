package objectstore

import (
	"context"
	"errors"
	"io"
	"os"
)

// writeRange writes the size bytes of r to f from off on and makes them durable.
// While a block goes to the disk the next is received. Where the system allows it
// they go past the page cache: nobody reads those pages, and to fill, write and
// drop them costs a core half of what a hash does.
func writeRange(ctx context.Context, f *os.File, r *exactReader, off, size int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blocks := make(chan filled, 1)
	written := make(chan error, 1)
	go func() {
		err := writeBlocks(f, blocks)
		if err != nil {
			cancel() // nothing more needs to come
		}
		for b := range blocks {
			putBlock(b.buf)
		}
		written <- err
	}()
	err := fillBlocks(ctx, r, off, off+size, blocks)
	close(blocks)
	if e := <-written; e != nil {
		return e
	}
	if err != nil {
		return err
	}
	if err := datasync(f); err != nil {
		return err
	}
	dropCache(f, off, size)
	return nil
}

// filled is a block that goes to a place in a file.
type filled struct {
	buf *[]byte // of the pool
	n   int64   // bytes of it
	at  int64
}

func fillBlocks(ctx context.Context, r io.Reader, at, end int64, blocks chan<- filled) error {
	for at < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := filled{getBlock(), min(blockSize, end-at), at}
		if _, err := io.ReadFull(r, (*b.buf)[:b.n]); err != nil {
			putBlock(b.buf)
			return err
		}
		blocks <- b
		at += b.n
	}
	return nil
}

func writeBlocks(f *os.File, blocks <-chan filled) (err error) {
	past := openPast(f)
	if past != nil {
		defer func() { err = errors.Join(err, past.Close()) }()
	}
	for b := range blocks {
		var err error = errNotAligned
		if past != nil && b.at%diskAlign == 0 && b.n%diskAlign == 0 {
			_, err = past.WriteAt((*b.buf)[:b.n], b.at)
		}
		if errors.Is(err, errNotAligned) {
			if _, err = f.WriteAt((*b.buf)[:b.n], b.at); err == nil {
				startWriteback(f, b.at, b.n)
			}
		}
		putBlock(b.buf)
		if err != nil {
			return err
		}
	}
	return nil
}
