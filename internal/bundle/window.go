package bundle

import (
	"io"
	"sync"
)

const (
	windowSize = 64 << 10
	windowSlot = 64 // how many windows are kept
)

// windows reads a file by stretches of it: the small members of a zip stand beside each
// other, and are asked for one by one.
type windows struct {
	r     io.ReaderAt
	slots [windowSlot]window
}

type window struct {
	mu    sync.Mutex
	index int64 // of the stretch, from 1; 0: none
	buf   []byte
}

// ReadAt implements [io.ReaderAt]. What is large, or stands where a whole stretch cannot
// be read, is read alone.
func (w *windows) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || len(p) > windowSize/2 {
		return w.r.ReadAt(p, off)
	}
	n := 0
	for n < len(p) {
		got, ok := w.slots[(off+int64(n))/windowSize%windowSlot].read(w.r, p[n:], off+int64(n))
		if n += got; !ok {
			return w.r.ReadAt(p, off)
		}
		if got == 0 {
			return n, io.EOF
		}
	}
	return n, nil
}

func (w *window) read(r io.ReaderAt, p []byte, off int64) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if index := off/windowSize + 1; w.index != index {
		if w.buf == nil {
			w.buf = make([]byte, windowSize)
		}
		w.index = 0
		n, err := r.ReadAt(w.buf[:windowSize], off-off%windowSize)
		if err != nil && err != io.EOF {
			return 0, false
		}
		w.index, w.buf = index, w.buf[:n]
	}
	from := off % windowSize
	if from >= int64(len(w.buf)) {
		return 0, true
	}
	return copy(p, w.buf[from:]), true
}
