package custody_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/objectstore"
)

// errStore is what a faulty store answers.
var errStore = errors.New("the store has a fault")

// point is a place around one step of the store: before or after the n-th call
// of a method.
type point struct {
	Method string
	N      int // from 1
	After  bool
}

func (p point) String() string {
	return fmt.Sprintf("%s-%d-%s", p.Method, p.N, map[bool]string{false: "before", true: "after"}[p.After])
}

// store is a directory whose steps can be made to fail, and whose parts are small.
type store struct {
	*objectstore.Directory
	partSize int64
	coarse   bool // parts cannot be read before the object is complete

	mu    sync.Mutex
	calls map[string]int
	trace []point            // every step, in order
	fail  func(p point) bool // nil: nothing fails
}

// step does one step, unless it is to fail before or after.
func (s *store) step(method string, do func() error) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[method]++
	p := point{Method: method, N: s.calls[method]}
	s.trace = append(s.trace, p)
	fail := s.fail
	s.mu.Unlock()
	if fail != nil && fail(p) {
		return fmt.Errorf("%s: %w", p, errStore)
	}
	if err := do(); err != nil {
		return err
	}
	p.After = true
	if fail != nil && fail(p) {
		return fmt.Errorf("%s: %w", p, errStore)
	}
	return nil
}

func (s *store) setFail(fail func(point) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *store) steps() []point {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]point(nil), s.trace...)
}

func stepped[T any](s *store, method string, do func() (T, error)) (T, error) {
	var none, got T
	err := s.step(method, func() (err error) {
		got, err = do()
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

func (s *store) Put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (objectstore.Object, error) {
	return stepped(s, "Put", func() (objectstore.Object, error) { return s.Directory.Put(ctx, key, r, size, until) })
}

func (s *store) Begin(ctx context.Context, key string, size int64, until time.Time) (objectstore.Upload, error) {
	return stepped(s, "Begin", func() (objectstore.Upload, error) {
		u, err := s.Directory.Begin(ctx, key, size, until)
		u.PartSize = s.partSize
		return u, err
	})
}

func (s *store) WritePart(ctx context.Context, u objectstore.Upload, number int, r io.Reader, size int64) (objectstore.Part, error) {
	return stepped(s, "WritePart", func() (objectstore.Part, error) { return s.Directory.WritePart(ctx, u, number, r, size) })
}

func (s *store) OpenUpload(ctx context.Context, u objectstore.Upload) (*objectstore.Content, error) {
	if s.coarse {
		return nil, errors.ErrUnsupported
	}
	return stepped(s, "OpenUpload", func() (*objectstore.Content, error) { return s.Directory.OpenUpload(ctx, u) })
}

func (s *store) Complete(ctx context.Context, u objectstore.Upload, parts []objectstore.Part) (objectstore.Object, error) {
	return stepped(s, "Complete", func() (objectstore.Object, error) { return s.Directory.Complete(ctx, u, parts) })
}

func (s *store) Abort(ctx context.Context, u objectstore.Upload) error {
	return s.step("Abort", func() error { return s.Directory.Abort(ctx, u) })
}

func (s *store) Stat(ctx context.Context, key, version string) (objectstore.Object, error) {
	return stepped(s, "Stat", func() (objectstore.Object, error) { return s.Directory.Stat(ctx, key, version) })
}

func (s *store) Open(ctx context.Context, o objectstore.Object, fromMedium bool) (*objectstore.Content, error) {
	return stepped(s, "Open", func() (*objectstore.Content, error) { return s.Directory.Open(ctx, o, fromMedium) })
}

func (s *store) Copy(ctx context.Context, src objectstore.Object, key string, until time.Time) (objectstore.Object, error) {
	return stepped(s, "Copy", func() (objectstore.Object, error) { return s.Directory.Copy(ctx, src, key, until) })
}

func (s *store) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		if err := s.step("List", func() error { return nil }); err != nil {
			yield(objectstore.Object{}, err)
			return
		}
		s.Directory.List(ctx, prefix)(yield)
	}
}
