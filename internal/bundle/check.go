package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/custodyd/custodyd/internal/digest"
)

// Check hashes all files that were not read yet, on that many workers (0: one for each core), and notes as
// faults those that are not what the manifests state. Files for which skip is true are
// left out: for who hashes them anyway. progress, if not nil, is told the number of
// bytes of each read, from any goroutine. The error is that of ctx.
func (b *Bundle) Check(ctx context.Context, workers int, skip func(File) bool, progress func(n int64)) error {
	var list []*member
	for _, m := range b.all {
		if (skip == nil || !skip(m.File)) && !b.isStated(m) {
			list = append(list, m)
		}
	}
	// The largest first, so that no core waits long for another.
	slices.SortFunc(list, func(x, y *member) int {
		return cmp.Or(cmp.Compare(y.Size, x.Size), cmp.Compare(x.Path, y.Path))
	})
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workers, len(list)) {
		running.Go(func() {
			buf := make([]byte, 256<<10)
			for i := next.Add(1) - 1; i < int64(len(list)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				b.checkFile(ctx, list[i], buf, progress)
			}
		})
	}
	running.Wait()
	return ctx.Err()
}

// isStated reports whether a file was read already, and is what its row says.
func (b *Bundle) isStated(m *member) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return m.hashed && (!m.listed || m.sum == m.stated)
}

func (b *Bundle) checkFile(ctx context.Context, m *member, buf []byte, progress func(n int64)) {
	sum, known := b.SHA256(m.Path)
	if !known {
		var err error
		sum, err = b.hash(ctx, m.Path, buf, progress)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			b.fault(FaultUnreadable, m.Path, err.Error())
			return
		}
		b.note(m, sum)
	}
	if m.listed && sum != m.stated {
		b.fault(FaultSum, m.Path, fmt.Sprintf("has the SHA-256 %s, its row says %s", sum, m.stated))
	}
}

func (b *Bundle) hash(ctx context.Context, path string, buf []byte, progress func(n int64)) (digest.SHA256, error) {
	r, err := b.OpenFile(path)
	if err != nil {
		return digest.SHA256{}, err
	}
	defer func() { _ = r.Close() }() // only read from
	h := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return digest.SHA256{}, err
		}
		n, err := r.Read(buf)
		_, _ = h.Write(buf[:n]) // hash.Hash: never an error
		if progress != nil {
			progress(int64(n))
		}
		if err == io.EOF {
			return digest.SHA256(h.Sum(nil)), nil
		}
		if err != nil {
			return digest.SHA256{}, err
		}
	}
}

// note keeps the digest of a file.
func (b *Bundle) note(m *member, sum digest.SHA256) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.hashed, m.sum = true, sum
}

// SHA256 gives the digest of a file that was read whole, by Check or ReadFile.
func (b *Bundle) SHA256(path string) (digest.SHA256, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.members[path]; m != nil {
		return m.sum, m.hashed
	}
	return digest.SHA256{}, false
}
