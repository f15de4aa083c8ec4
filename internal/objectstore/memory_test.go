package objectstore

import (
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestMemory streams a part of 256 MiB into and out of each store, and looks at
// the heap on the way: a part of a 4 TB image has 480 MiB, and eight go at once.
func TestMemory(t *testing.T) {
	const size, limit = 256 << 20, 24 << 20
	for name, r := range map[string]*rig{"directory": newDirectory(t, Mutable()), "minio": newS3(t, startMinIO(t))} {
		t.Run(name, func(t *testing.T) {
			u, err := r.Begin(t.Context(), "key", size, tomorrow())
			must(t, err)
			u.PartSize = size
			w := newWatched(io.LimitReader(rand.NewChaCha8([32]byte{1}), size))
			p, err := r.WritePart(t.Context(), u, 1, w, size)
			must(t, err)
			o, err := r.Complete(t.Context(), u, []Part{p})
			must(t, err)
			c, err := r.Open(t.Context(), o, true)
			must(t, err)
			content, err := c.Range(t.Context(), 0, size)
			must(t, err)
			w.r = content
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, w, make([]byte, 128<<10))
			must(t, err)
			must(t, content.Close())
			must(t, c.Close())
			if n != size || w.peak > limit {
				t.Errorf("%d bytes, %d KiB of memory", n, w.peak>>10)
			}
		})
	}
}

// watched looks at the heap now and then while it is read.
type watched struct {
	r          io.Reader
	base, peak uint64
	n          int
}

func newWatched(r io.Reader) *watched {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &watched{r: r, base: m.HeapAlloc}
}

func (w *watched) Read(p []byte) (int, error) {
	if w.n++; w.n%64 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.peak = max(w.peak, m.HeapAlloc-min(w.base, m.HeapAlloc))
	}
	return w.r.Read(p)
}
