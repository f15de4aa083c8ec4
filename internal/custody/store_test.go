package custody_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/objectstore"
)

// errStore is what a faulty store answers.
var errStore = errors.New("the store has a fault")

// point is a place around one step of the store, before or after the n-th call of
// a method, or inside: where the call looks whether it may go on.
type point struct {
	Method string
	N      int // from 1
	After  bool
	Inside int // from 1, or 0
}

func (p point) String() string {
	if p.Inside > 0 {
		return fmt.Sprintf("%s-%d-inside-%d", p.Method, p.N, p.Inside)
	}
	return fmt.Sprintf("%s-%d-%s", p.Method, p.N, map[bool]string{false: "before", true: "after"}[p.After])
}

// store is a directory whose steps can be made to fail, and whose parts are small.
type store struct {
	*objectstore.Directory
	partSize int64
	coarse   bool // parts cannot be read before the object is complete
	lazy     bool // parts are said to be written and not asked for
	ledger   bool // steps with the ledger's own objects are counted and can fail

	mu    sync.Mutex
	calls map[string]int
	trace []point            // every step, in order
	fail  func(p point) bool // nil: nothing fails
	fault error              // what is wrong then; nil: errStore
}

// plain reports whether a step is with an object of the ledger's own: its publication
// goes on beside what a test does, so it is counted only where a test is about it.
func (s *store) plain(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ledger && (strings.HasPrefix(key, "ledger-") || strings.HasPrefix(key, "payload-"))
}

// step does one step, unless it is to fail before or after.
func (s *store) step(method string, do func(inside func(context.Context) context.Context) error) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[method]++
	p := point{Method: method, N: s.calls[method]}
	s.trace = append(s.trace, p)
	fail, fault := s.fail, cmp.Or(s.fault, errStore)
	s.mu.Unlock()
	if fail != nil && fail(p) {
		return fmt.Errorf("%s: %w", p, fault)
	}
	if err := do(func(ctx context.Context) context.Context { return &inside{Context: ctx, s: s, p: p} }); err != nil {
		return err
	}
	p.After = true
	if fail != nil && fail(p) {
		return fmt.Errorf("%s: %w", p, fault)
	}
	return nil
}

func (s *store) setFail(fail func(point) bool) { s.setFault(fail, nil) }

// setFault is setFail with what is wrong.
func (s *store) setFault(fail func(point) bool, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.fault = fail, fault
}

// setLedger has steps with the ledger's own objects counted, from now on.
func (s *store) setLedger(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger, s.calls = on, nil
}

func (s *store) steps() []point {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]point(nil), s.trace...)
}

// inside is the context of one step, at which the step looks now and then.
type inside struct {
	context.Context
	s *store
	p point
}

// Err implements [context.Context].
func (i *inside) Err() error {
	if err := i.Context.Err(); err != nil {
		return err
	}
	i.s.mu.Lock()
	i.p.Inside++
	p := i.p
	i.s.trace = append(i.s.trace, p)
	fail := i.s.fail
	i.s.mu.Unlock()
	if fail != nil && fail(p) {
		return fmt.Errorf("%s: %w", p, errStore)
	}
	return nil
}

func stepped[T any](s *store, method string, do func() (T, error)) (T, error) {
	return steppedInside(s, method, func(func(context.Context) context.Context) (T, error) { return do() })
}

func steppedInside[T any](s *store, method string, do func(inside func(context.Context) context.Context) (T, error)) (T, error) {
	var none, got T
	err := s.step(method, func(inside func(context.Context) context.Context) (err error) {
		got, err = do(inside)
		return err
	})
	if err != nil {
		return none, err
	}
	return got, nil
}

func (s *store) Put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (objectstore.Object, error) {
	if s.plain(key) {
		return s.Directory.Put(ctx, key, r, size, until)
	}
	return steppedInside(s, "Put", func(inside func(context.Context) context.Context) (objectstore.Object, error) {
		return s.Directory.Put(inside(ctx), key, r, size, until)
	})
}

func (s *store) Begin(ctx context.Context, key string, size int64, until time.Time) (objectstore.Upload, error) {
	return stepped(s, "Begin", func() (objectstore.Upload, error) {
		u, err := s.Directory.Begin(ctx, key, size, until)
		u.PartSize = s.partSize
		return u, err
	})
}

func (s *store) WritePart(ctx context.Context, u objectstore.Upload, number int, r io.Reader, size int64) (objectstore.Part, error) {
	if s.lazy {
		return objectstore.Part{Number: number, Size: size}, nil
	}
	return stepped(s, "WritePart", func() (objectstore.Part, error) { return s.Directory.WritePart(ctx, u, number, r, size) })
}

func (s *store) OpenUpload(ctx context.Context, u objectstore.Upload) (*objectstore.Content, error) {
	if s.coarse {
		return nil, errors.ErrUnsupported
	}
	return stepped(s, "OpenUpload", func() (*objectstore.Content, error) { return s.Directory.OpenUpload(ctx, u) })
}

func (s *store) Complete(ctx context.Context, u objectstore.Upload, parts []objectstore.Part) (objectstore.Object, error) {
	return steppedInside(s, "Complete", func(inside func(context.Context) context.Context) (objectstore.Object, error) {
		return s.Directory.Complete(inside(ctx), u, parts)
	})
}

func (s *store) Abort(ctx context.Context, u objectstore.Upload) error {
	return s.step("Abort", func(func(context.Context) context.Context) error { return s.Directory.Abort(ctx, u) })
}

func (s *store) Stat(ctx context.Context, key, version string) (objectstore.Object, error) {
	if s.plain(key) {
		return s.Directory.Stat(ctx, key, version)
	}
	return stepped(s, "Stat", func() (objectstore.Object, error) { return s.Directory.Stat(ctx, key, version) })
}

func (s *store) Open(ctx context.Context, o objectstore.Object, fromMedium bool) (*objectstore.Content, error) {
	if s.plain(o.Key) {
		return s.Directory.Open(ctx, o, fromMedium)
	}
	return stepped(s, "Open", func() (*objectstore.Content, error) { return s.Directory.Open(ctx, o, fromMedium) })
}

func (s *store) Copy(ctx context.Context, src objectstore.Object, key string, until time.Time) (objectstore.Object, error) {
	return steppedInside(s, "Copy", func(inside func(context.Context) context.Context) (objectstore.Object, error) {
		return s.Directory.Copy(inside(ctx), src, key, until)
	})
}

func (s *store) Extend(ctx context.Context, o objectstore.Object, until time.Time) (objectstore.Object, error) {
	if s.plain(o.Key) {
		return s.Directory.Extend(ctx, o, until)
	}
	return stepped(s, "Extend", func() (objectstore.Object, error) { return s.Directory.Extend(ctx, o, until) })
}

func (s *store) List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		if s.plain(prefix) {
			s.Directory.List(ctx, prefix)(yield)
			return
		}
		if err := s.step("List", func(func(context.Context) context.Context) error { return nil }); err != nil {
			yield(objectstore.Object{}, err)
			return
		}
		s.Directory.List(ctx, prefix)(yield)
	}
}
