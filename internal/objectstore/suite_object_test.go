package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

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
		rng := rand.New(rand.NewPCG(1, 2))
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
