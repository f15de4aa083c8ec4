package objectstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing/iotest"
	"time"
)

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
