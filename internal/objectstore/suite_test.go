package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// store is what both stores do.
type store interface {
	Describe() Description
	Probe(ctx context.Context) (Report, error)
	Put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (Object, error)
	Begin(ctx context.Context, key string, size int64, until time.Time) (Upload, error)
	WritePart(ctx context.Context, u Upload, number int, r io.Reader, size int64) (Part, error)
	Complete(ctx context.Context, u Upload, parts []Part) (Object, error)
	Abort(ctx context.Context, u Upload) error
	Uploads(ctx context.Context, prefix string) iter.Seq2[Upload, error]
	Stat(ctx context.Context, key, version string) (Object, error)
	Open(ctx context.Context, o Object, fromMedium bool) (*Content, error)
	Copy(ctx context.Context, src Object, key string, until time.Time) (Object, error)
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	Extend(ctx context.Context, o Object, until time.Time) (Object, error)
	Close() error
}

// rig is one store under test. reopen gives another instance of it, as after a
// restart; the earlier one is closed.
type rig struct {
	store
	lock   LockMode
	reopen func() (store, error)
}

// conformance is everything a store must do. Each returns what is wrong, so that
// deviations can be expected.
var conformance = []struct {
	name string
	run  func(ctx context.Context, r *rig) error
}{
	{"put and read back", putAndReadBack},
	{"a key is written once", writtenOnce},
	{"hostile keys", hostileKeys},
	{"readers of another length", otherLengths},
	{"no retention", noRetention},
	{"upload in parts", uploadInParts},
	{"upload of nothing", uploadOfNothing},
	{"parts that do not fit", badParts},
	{"resume in another process", resume},
	{"complete twice", completeTwice},
	{"one of many writers wins", manyWriters},
	{"one of two uploads wins", twoUploads},
	{"abort", abort},
	{"what is not there", notThere},
	{"ranges", ranges},
	{"a cancelled context", cancelled},
	{"copy", copies},
	{"list", list},
	{"extend", extend},
	{"unfinished uploads", unfinished},
}

// conform runs the suite. expected says which checks fail on this store, and
// with what text; one that fails otherwise or not at all is an error.
func conform(t *testing.T, r *rig, expected map[string]string) {
	t.Helper()
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) { judge(t, expected[c.name], c.run(t.Context(), r)) })
	}
}

func judge(t *testing.T, expected string, err error) {
	t.Helper()
	switch {
	case expected == "" && err != nil:
		t.Error(err)
	case expected != "" && err == nil:
		t.Errorf("no longer deviates; expected: %s", expected)
	case expected != "" && !strings.Contains(err.Error(), expected):
		t.Errorf("deviates by %v; expected: %s", err, expected)
	}
}

var names struct {
	sync.Mutex
	n int
}

// name is a key nobody used.
func name() string {
	names.Lock()
	defer names.Unlock()
	names.n++
	return fmt.Sprintf("suite-%d", names.n)
}

func tomorrow() time.Time { return time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second) }

// noise is n bytes that depend on seed only.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// contentOf reads all of o.
func contentOf(ctx context.Context, s store, o Object, fromMedium bool) (_ []byte, err error) {
	c, err := s.Open(ctx, o, fromMedium)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return rangeOf(ctx, c, 0, c.Size())
}

func rangeOf(ctx context.Context, c *Content, off, n int64) (_ []byte, err error) {
	r, err := c.Range(ctx, off, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}

// holds demands that o has this content, however it is read.
func holds(ctx context.Context, s store, o Object, want []byte) error {
	for _, fromMedium := range []bool{true, false} {
		got, err := contentOf(ctx, s, o, fromMedium)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("object %s holds %d other bytes than the %d written", o.Key, len(got), len(want))
		}
	}
	return nil
}

func expect(err, want error, doing string) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got %w, want %w", doing, err, want)
	}
	return nil
}

func put(ctx context.Context, s store, key string, content []byte) (Object, error) {
	return s.Put(ctx, key, bytes.NewReader(content), int64(len(content)), tomorrow())
}

// upload writes content in parts of the given size, as if a store had chosen it.
func upload(ctx context.Context, s store, key string, content []byte, part int64) (Upload, []Part, error) {
	u, err := s.Begin(ctx, key, int64(len(content)), tomorrow())
	if err != nil {
		return Upload{}, nil, err
	}
	u.PartSize = part
	var parts []Part
	for n := 1; n <= u.Parts(); n++ {
		p, err := writePart(ctx, s, u, n, content)
		if err != nil {
			return Upload{}, nil, err
		}
		parts = append(parts, p)
	}
	return u, parts, nil
}

func writePart(ctx context.Context, s store, u Upload, n int, content []byte) (Part, error) {
	off, size, err := u.Part(n)
	if err != nil {
		return Part{}, err
	}
	return s.WritePart(ctx, u, n, bytes.NewReader(content[off:off+size]), size)
}
