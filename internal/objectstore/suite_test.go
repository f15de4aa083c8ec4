package objectstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
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
		return fmt.Errorf("%s: got %v, want %v", doing, err, want)
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

func putAndReadBack(ctx context.Context, r *rig) error {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1<<20 - 1, 1 << 20, 3<<20 + 5} {
		key, until := name(), time.Now().Add(time.Hour)
		content := noise(1, n)
		o, err := r.Put(ctx, key, bytes.NewReader(content), int64(n), until)
		if err != nil {
			return err
		}
		rounded := until.UTC().Truncate(time.Second).Add(time.Second)
		if o.Key != key || o.Size != int64(n) || o.Version == "" || o.Lock != r.lock || !o.RetainUntil.Equal(rounded) || o.Marker {
			return fmt.Errorf("wrote %d bytes until %s and got %+v", n, until, o)
		}
		if d := r.Describe(); o.Bucket != d.Bucket || o.Lock != d.Lock {
			return fmt.Errorf("object %+v of store %+v", o, d)
		}
		for _, version := range []string{"", o.Version} {
			if again, err := r.Stat(ctx, key, version); err != nil || again != o {
				return fmt.Errorf("stat gives %+v, %w, not %+v", again, err, o)
			}
		}
		if err := holds(ctx, r, o, content); err != nil {
			return err
		}
	}
	return nil
}

func writtenOnce(ctx context.Context, r *rig) error {
	key, first, second := name(), noise(1, 1000), noise(2, 1000)
	o, err := put(ctx, r, key, first)
	if err != nil {
		return err
	}
	_, err = put(ctx, r, key, second)
	if err := expect(err, fs.ErrExist, "put"); err != nil {
		return err
	}
	_, err = r.Begin(ctx, key, 1000, tomorrow())
	if err := expect(err, fs.ErrExist, "begin"); err != nil {
		return err
	}
	_, err = r.Copy(ctx, o, key, tomorrow())
	if err := expect(err, fs.ErrExist, "copy"); err != nil {
		return err
	}
	return holds(ctx, r, o, first)
}

func hostileKeys(ctx context.Context, r *rig) error {
	o, err := put(ctx, r, name(), nil)
	if err != nil {
		return err
	}
	for _, key := range []string{
		"", ".", "..", "../escape", "/etc/passwd", "a/b", "a/", `a\b`, "A", "ä", "a b", "a\x00b", "a\nb", "a.b", "%2e%2e", "a?versionId=1",
		strings.Repeat("a", 101), "probe-1", "probe-",
	} {
		u := Upload{Key: key, ID: newID(), Size: 1, PartSize: 1, RetainUntil: tomorrow()}
		_, put := r.Put(ctx, key, strings.NewReader("x"), 1, tomorrow())
		_, begin := r.Begin(ctx, key, 1, tomorrow())
		_, part := r.WritePart(ctx, u, 1, strings.NewReader("x"), 1)
		_, complete := r.Complete(ctx, u, []Part{{Number: 1, Size: 1}})
		_, stat := r.Stat(ctx, key, "")
		_, open := r.Open(ctx, Object{Key: key}, true)
		_, from := r.Copy(ctx, Object{Key: key}, name(), tomorrow())
		_, to := r.Copy(ctx, o, key, tomorrow())
		_, extend := r.Extend(ctx, Object{Key: key}, tomorrow())
		for i, err := range []error{put, begin, part, complete, stat, open, from, to, extend} {
			if err := expect(err, ErrKey, fmt.Sprintf("key %q, method %d", key, i)); err != nil {
				return err
			}
		}
	}
	for _, key := range []string{"a", "-", "0", strings.Repeat("z", 100), "probe"} {
		if _, err := put(ctx, r, key, nil); err != nil {
			return err
		}
	}
	return nil
}

func otherLengths(ctx context.Context, r *rig) error {
	cut := errors.New("the line went dead")
	content := noise(3, 200<<10)
	whole := func() io.Reader { return bytes.NewReader(content) }
	for i, c := range []struct {
		r    io.Reader
		size int64
		want error
	}{
		{whole(), 200<<10 + 1, ErrSize},
		{whole(), 200<<10 - 1, ErrSize},
		{whole(), 1, ErrSize},
		{whole(), 0, ErrSize},
		{strings.NewReader(""), 1, ErrSize},
		{strings.NewReader(""), -1, ErrSize},
		{io.MultiReader(whole(), iotest.ErrReader(cut)), 300 << 10, cut},
		{io.MultiReader(whole(), iotest.ErrReader(io.ErrUnexpectedEOF)), 300 << 10, ErrSize},
		// The error comes where the end should.
		{io.MultiReader(whole(), iotest.ErrReader(cut)), 200 << 10, cut},
		{io.MultiReader(whole(), iotest.ErrReader(io.ErrUnexpectedEOF)), 200 << 10, io.ErrUnexpectedEOF},
	} {
		key := name()
		_, err := r.Put(ctx, key, c.r, c.size, tomorrow())
		if err := expect(err, c.want, fmt.Sprintf("put %d", i)); err != nil {
			return err
		}
		_, err = r.Stat(ctx, key, "")
		if err := expect(err, fs.ErrNotExist, fmt.Sprintf("stat %d", i)); err != nil {
			return err
		}
	}
	u, err := r.Begin(ctx, name(), 200<<10, tomorrow())
	if err != nil {
		return err
	}
	for i, c := range []struct {
		r    io.Reader
		want error
	}{
		{bytes.NewReader(content[1:]), ErrSize},
		{io.MultiReader(whole(), strings.NewReader("x")), ErrSize},
		{io.MultiReader(bytes.NewReader(content[:1000]), iotest.ErrReader(cut)), cut},
		{io.MultiReader(bytes.NewReader(content[:1000]), iotest.ErrReader(io.ErrUnexpectedEOF)), ErrSize},
	} {
		_, err := r.WritePart(ctx, u, 1, c.r, u.Size)
		if err := expect(err, c.want, fmt.Sprintf("part %d", i)); err != nil {
			return err
		}
	}
	// After all that the part is written as if nothing had been.
	p, err := r.WritePart(ctx, u, 1, iotest.OneByteReader(whole()), u.Size)
	if err != nil {
		return err
	}
	o, err := r.Complete(ctx, u, []Part{p})
	if err != nil {
		return err
	}
	return holds(ctx, r, o, content)
}

func noRetention(ctx context.Context, r *rig) error {
	key := name()
	_, err := r.Put(ctx, key, strings.NewReader("x"), 1, time.Time{})
	if err := expect(err, ErrRetention, "put"); err != nil {
		return err
	}
	_, err = r.Begin(ctx, key, 1, time.Time{})
	if err := expect(err, ErrRetention, "begin"); err != nil {
		return err
	}
	_, err = r.Stat(ctx, key, "")
	return expect(err, fs.ErrNotExist, "stat")
}

func uploadInParts(ctx context.Context, r *rig) error {
	content := noise(4, 11<<20+17)
	u, parts, err := upload(ctx, r, name(), content, 5<<20)
	if err != nil {
		return err
	}
	if _, err := r.Stat(ctx, u.Key, ""); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("before completion: %w", err)
	}
	// A part is written again, first wrong and then right.
	if _, err := writePart(ctx, r, u, 2, noise(5, len(content))); err != nil {
		return err
	}
	if parts[1], err = writePart(ctx, r, u, 2, content); err != nil {
		return err
	}
	o, err := r.Complete(ctx, u, parts)
	if err != nil {
		return err
	}
	if o.Size != u.Size || o.Lock != r.lock || !o.RetainUntil.Equal(u.RetainUntil) || o.Version == "" {
		return fmt.Errorf("completed %+v as %+v", u, o)
	}
	return holds(ctx, r, o, content)
}

func uploadOfNothing(ctx context.Context, r *rig) error {
	for n := range 2 {
		u, err := r.Begin(ctx, name(), 0, tomorrow())
		if err != nil {
			return err
		}
		var parts []Part
		if n == 1 {
			p, err := r.WritePart(ctx, u, 1, strings.NewReader(""), 0)
			if err != nil {
				return err
			}
			parts = append(parts, p)
		}
		o, err := r.Complete(ctx, u, parts)
		if err != nil {
			return err
		}
		if err := holds(ctx, r, o, nil); err != nil {
			return err
		}
	}
	return nil
}

func badParts(ctx context.Context, r *rig) error {
	content := noise(6, 6<<20)
	u, parts, err := upload(ctx, r, name(), content, 5<<20)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		number int
		size   int64
	}{{0, 5 << 20}, {3, 0}, {-1, 1}, {1, 5<<20 - 1}, {2, 5 << 20}} {
		_, err := r.WritePart(ctx, u, c.number, bytes.NewReader(make([]byte, c.size)), c.size)
		if err := expect(err, ErrPart, fmt.Sprintf("part %+v", c)); err != nil {
			return err
		}
	}
	twice := parts[0]
	twice.Number = 2
	for i, list := range [][]Part{nil, parts[:1], {parts[1], parts[0]}, {parts[0], twice}, append(parts[:2:2], twice)} {
		_, err := r.Complete(ctx, u, list)
		if err := expect(err, ErrPart, fmt.Sprintf("list %d", i)); err != nil {
			return err
		}
	}
	_, err = r.Complete(ctx, u, parts)
	return err
}

func resume(ctx context.Context, r *rig) error {
	content := noise(7, 11<<20)
	u, err := r.Begin(ctx, name(), int64(len(content)), tomorrow())
	if err != nil {
		return err
	}
	u.PartSize = 5 << 20
	first, err := writePart(ctx, r, u, 1, content)
	if err != nil {
		return err
	}
	// The second part is cut.
	if _, err := r.WritePart(ctx, u, 2, bytes.NewReader(content[:1<<20]), 5<<20); err == nil {
		return errors.New("a cut part was taken")
	}
	note, err := json.Marshal(struct {
		U Upload
		P []Part
	}{u, []Part{first}})
	if err != nil {
		return err
	}
	if r.store, err = r.reopen(); err != nil {
		return err
	}
	var read struct {
		U Upload
		P []Part
	}
	if err := json.Unmarshal(note, &read); err != nil {
		return err
	}
	for n := 2; n <= 3; n++ {
		p, err := writePart(ctx, r, read.U, n, content)
		if err != nil {
			return err
		}
		read.P = append(read.P, p)
	}
	o, err := r.Complete(ctx, read.U, read.P)
	if err != nil {
		return err
	}
	return holds(ctx, r, o, content)
}

func completeTwice(ctx context.Context, r *rig) error {
	content := noise(8, 6<<20)
	u, parts, err := upload(ctx, r, name(), content, 5<<20)
	if err != nil {
		return err
	}
	o, err := r.Complete(ctx, u, parts)
	if err != nil {
		return err
	}
	for range 2 {
		again, err := r.Complete(ctx, u, parts)
		if err != nil || again != o {
			return fmt.Errorf("%+v became %+v, %w", o, again, err)
		}
		if r.store, err = r.reopen(); err != nil {
			return err
		}
	}
	if err := r.Abort(ctx, u); err != nil {
		return fmt.Errorf("abort of a complete upload: %w", err)
	}
	return holds(ctx, r, o, content)
}

func manyWriters(ctx context.Context, r *rig) error {
	const writers = 8
	key := name()
	objects, errs := make([]Object, writers), make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { objects[i], errs[i] = put(ctx, r, key, noise(byte(i), 100<<10)) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			return fmt.Errorf("writers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("writer %d: %w", i, err)
		}
	}
	if winner < 0 {
		return errors.New("nobody won")
	}
	return holds(ctx, r, objects[winner], noise(byte(winner), 100<<10))
}

func twoUploads(ctx context.Context, r *rig) error {
	key, a, b := name(), noise(1, 1<<20), noise(2, 1<<20)
	ua, pa, err := upload(ctx, r, key, a, 5<<20)
	if err != nil {
		return err
	}
	ub, pb, err := upload(ctx, r, key, b, 5<<20)
	if err != nil {
		return err
	}
	o, err := r.Complete(ctx, ub, pb)
	if err != nil {
		return err
	}
	_, err = r.Complete(ctx, ua, pa)
	if err := expect(err, fs.ErrExist, "second completion"); err != nil {
		return err
	}
	if again, err := r.Complete(ctx, ub, pb); err != nil || again != o {
		return fmt.Errorf("%+v became %+v, %w", o, again, err)
	}
	return errors.Join(holds(ctx, r, o, b), r.Abort(ctx, ua))
}

func abort(ctx context.Context, r *rig) error {
	content := noise(9, 1<<20)
	u, parts, err := upload(ctx, r, name(), content, 5<<20)
	if err != nil {
		return err
	}
	for range 2 {
		if err := r.Abort(ctx, u); err != nil {
			return err
		}
	}
	_, err = writePart(ctx, r, u, 1, content)
	if err := expect(err, ErrNoUpload, "part"); err != nil {
		return err
	}
	_, err = r.Complete(ctx, u, parts)
	if err := expect(err, ErrNoUpload, "complete"); err != nil {
		return err
	}
	_, err = put(ctx, r, u.Key, content)
	return err
}

func notThere(ctx context.Context, r *rig) error {
	o, err := put(ctx, r, name(), []byte("x"))
	if err != nil {
		return err
	}
	other := o
	if other.Version = strings.Repeat("0", len(o.Version)); r.lock != LockDirectory {
		// Of a form every service takes for one of its own.
		two, err := put(ctx, r, name(), []byte("y"))
		if err != nil {
			return err
		}
		other.Version = two.Version
	}
	missing := Object{Key: name()}
	for i, o := range []Object{other, missing} {
		_, stat := r.Stat(ctx, o.Key, o.Version)
		_, open := r.Open(ctx, o, true)
		_, extend := r.Extend(ctx, o, tomorrow().Add(time.Hour))
		_, copied := r.Copy(ctx, o, name(), tomorrow())
		for j, err := range []error{stat, open, extend, copied} {
			if err := expect(err, fs.ErrNotExist, fmt.Sprintf("object %d, method %d", i, j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func ranges(ctx context.Context, r *rig) (err error) {
	content := noise(10, 5<<20+123)
	size := int64(len(content))
	o, err := put(ctx, r, name(), content)
	if err != nil {
		return err
	}
	for _, fromMedium := range []bool{true, false} {
		c, err := r.Open(ctx, o, fromMedium)
		if err != nil {
			return err
		}
		rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // places to read, the same every time
		var wg sync.WaitGroup
		errs := make([]error, 40)
		for i := range errs {
			off := rng.Int64N(size + 1)
			n := rng.Int64N(size - off + 1)
			switch i {
			case 0:
				off, n = 0, size
			case 1:
				off, n = size, 0
			case 2:
				off, n = size-1, 1
			case 3:
				off, n = 4096, 1<<20
			case 4:
				off, n = 1, 4095
			}
			wg.Go(func() {
				got, err := rangeOf(ctx, c, off, n)
				if err == nil && !bytes.Equal(got, content[off:off+n]) {
					err = fmt.Errorf("%d bytes at %d are others", n, off)
				}
				errs[i] = err
			})
		}
		wg.Wait()
		for _, x := range [][2]int64{{-1, 1}, {0, -1}, {0, size + 1}, {size, 1}, {size + 1, 0}, {1, 1<<63 - 1}} {
			_, err := c.Range(ctx, x[0], x[1])
			errs = append(errs, expect(err, io.ErrUnexpectedEOF, fmt.Sprintf("range %v", x)))
		}
		// A reader that is given up half-way leaves nothing running.
		half, err := c.Range(ctx, 0, size)
		if err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, half, 100)
		if err := errors.Join(append(errs, err, half.Close(), c.Close())...); err != nil {
			return err
		}
	}
	return nil
}

func cancelled(ctx context.Context, r *rig) error {
	content := noise(11, 4<<20)
	o, err := put(ctx, r, name(), content)
	if err != nil {
		return err
	}
	c, err := r.Open(ctx, o, true)
	if err != nil {
		return err
	}
	reading, cancel := context.WithCancel(ctx)
	half, err := c.Range(reading, 0, c.Size())
	cancel()
	if err == nil {
		_, err = io.Copy(io.Discard, half)
		err = errors.Join(expect(err, context.Canceled, "range"), half.Close())
	} else {
		err = expect(err, context.Canceled, "range")
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return err
	}
	u, err := r.Begin(ctx, name(), int64(len(content)), tomorrow())
	if err != nil {
		return err
	}
	writing, cancel := context.WithCancel(ctx)
	_, err = r.WritePart(writing, u, 1, io.MultiReader(bytes.NewReader(content[:1<<20]), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, context.Canceled
	})), u.Size)
	if err := expect(err, context.Canceled, "part"); err != nil {
		return err
	}
	return r.Abort(ctx, u)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func copies(ctx context.Context, r *rig) error {
	for _, n := range []int{0, 1, 1<<20 + 1, 12 << 20} {
		content := noise(12, n)
		src, err := put(ctx, r, name(), content)
		if err != nil {
			return err
		}
		key, until := name(), tomorrow().Add(time.Hour)
		o, err := r.Copy(ctx, src, key, until)
		if err != nil {
			return err
		}
		if o.Key != key || o.Size != src.Size || o.Version == "" || o.Lock != r.lock || !o.RetainUntil.Equal(until) {
			return fmt.Errorf("copied %+v to %+v", src, o)
		}
		if err := holds(ctx, r, o, content); err != nil {
			return err
		}
		if again, err := r.Stat(ctx, src.Key, src.Version); err != nil || again != src {
			return fmt.Errorf("source %+v became %+v, %w", src, again, err)
		}
		_, err = r.Copy(ctx, src, key, until)
		if err := expect(err, fs.ErrExist, "second copy"); err != nil {
			return err
		}
		src.Size++
		_, err = r.Copy(ctx, src, name(), until)
		if err := expect(err, ErrReadBack, "copy of another size"); err != nil {
			return err
		}
	}
	return nil
}

func list(ctx context.Context, r *rig) error {
	prefix := name() + "x-"
	want := make(map[Object]bool)
	for i := range 5 {
		o, err := put(ctx, r, fmt.Sprintf("%s%d", prefix, i), noise(byte(i), i))
		if err != nil {
			return err
		}
		want[o] = true
	}
	for o, err := range r.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if !want[o] {
			return fmt.Errorf("lists %+v", o)
		}
		delete(want, o)
	}
	if len(want) > 0 {
		return fmt.Errorf("does not list %v", want)
	}
	for o, err := range r.List(ctx, "") {
		if err != nil || strings.HasPrefix(o.Key, reserved) {
			return fmt.Errorf("lists %+v, %w", o, err)
		}
	}
	return nil
}

func extend(ctx context.Context, r *rig) error {
	o, err := put(ctx, r, name(), []byte("x"))
	if err != nil {
		return err
	}
	later := o.RetainUntil.Add(time.Hour)
	extended, err := r.Extend(ctx, o, later)
	if err != nil {
		return err
	}
	want := o
	want.RetainUntil = later
	if extended != want {
		return fmt.Errorf("extended %+v to %+v", o, extended)
	}
	if same, err := r.Extend(ctx, o, later); err != nil || same != want {
		return fmt.Errorf("the same again: %+v, %w", same, err)
	}
	for _, until := range []time.Time{o.RetainUntil, time.Now().Add(-time.Hour), {}} {
		_, err := r.Extend(ctx, o, until)
		if err := expect(err, ErrRetention, "shorten"); err != nil {
			return err
		}
	}
	if now, err := r.Stat(ctx, o.Key, o.Version); err != nil || now != want {
		return fmt.Errorf("in the end: %+v, %w", now, err)
	}
	return holds(ctx, r, o, []byte("x"))
}

func unfinished(ctx context.Context, r *rig) error {
	key := name()
	u, err := r.Begin(ctx, key, 1, tomorrow())
	if err != nil {
		return err
	}
	if _, err := writePart(ctx, r, u, 1, []byte("x")); err != nil {
		return err
	}
	count := func() (n int, err error) {
		for v, err := range r.Uploads(ctx, key) {
			if err != nil {
				return n, err
			}
			if v.Key != key || v.ID != u.ID {
				return n, fmt.Errorf("lists %+v", v)
			}
			n++
			if err := r.Abort(ctx, v); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	for _, want := range []int{1, 0} {
		if n, err := count(); err != nil || n != want {
			return fmt.Errorf("lists %d uploads of %d, %w", n, want, err)
		}
	}
	return nil
}
