package bundle

import (
	"bufio"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"
)

// inflater reads a deflated member, and demands that it is nothing but that: a reader
// that goes by the end of the compressed stream would find more members there.
type inflater struct {
	*inflating // nil when closed
}

type inflating struct {
	in    *bufio.Reader // flate takes no byte too many from it
	flate io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	in := bufio.NewReader(nil)
	return &inflating{in, flate.NewReader(in)}
}}

// inflate is a zip.Decompressor.
func inflate(r io.Reader) io.ReadCloser {
	i, _ := inflaters.Get().(*inflating)
	i.in.Reset(r)
	if err := i.flate.(flate.Resetter).Reset(i.in, nil); err != nil {
		panic("bundle: flate's Reset has no errors: " + err.Error())
	}
	return &inflater{i}
}

func (i *inflater) Read(p []byte) (int, error) {
	if i.inflating == nil {
		return 0, errors.New("read after close")
	}
	n, err := i.flate.Read(p)
	if err != io.EOF {
		return n, err
	}
	switch _, err := i.in.ReadByte(); {
	case err == nil:
		return 0, errors.New("compressed data goes on behind its end")
	case err != io.EOF:
		return 0, fmt.Errorf("read the end of compressed data: %w", err)
	}
	return n, io.EOF
}

func (i *inflater) Close() error {
	if i.inflating == nil {
		return nil
	}
	i.in.Reset(nil)
	inflaters.Put(i.inflating)
	i.inflating = nil
	return nil
}
