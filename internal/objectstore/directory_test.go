package objectstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newDirectory(t *testing.T, options ...DirectoryOption) *rig {
	t.Helper()
	return newDirectoryIn(t, filepath.Join(t.TempDir(), "store"), options...)
}

func newDirectoryIn(t *testing.T, path string, options ...DirectoryOption) *rig {
	t.Helper()
	d, err := CreateDirectory(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{store: d, lock: LockDirectory}
	r.reopen = func() (store, error) {
		if err := r.Close(); err != nil {
			return nil, err
		}
		return OpenDirectory(path, options...)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestDirectory(t *testing.T) {
	conform(t, newDirectory(t, Mutable()), nil)
}

func TestDirectoryCreateAndOpen(t *testing.T) {
	write := func(name, content string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			t.Helper()
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(path, name)), 0o700))
			must(t, os.WriteFile(filepath.Join(path, name), []byte(content), 0o600))
		}
	}
	const marker = "custodyd objects 1\n0123456789abcdef0123456789abcdef\n"
	for _, c := range []struct {
		name         string
		prepare      func(t *testing.T, path string)
		create, open error
	}{
		{"nothing there", func(*testing.T, string) {}, nil, fs.ErrNotExist},
		{"an empty directory", func(t *testing.T, path string) { t.Helper(); must(t, os.Mkdir(path, 0o700)) }, nil, fs.ErrNotExist},
		{"no parent", func(t *testing.T, path string) { t.Helper(); must(t, os.Remove(filepath.Dir(path))) }, fs.ErrNotExist, fs.ErrNotExist},
		{"something else", write("letter.txt", "hello"), fs.ErrExist, fs.ErrNotExist},
		{"an interrupted creation", write("custodyd-objects.new", "custo"), nil, fs.ErrNotExist},
		{"objects without a marker", write("objects/key", "bytes"), fs.ErrExist, fs.ErrNotExist},
		{"a newer format", write("custodyd-objects", strings.Replace(marker, "1", "2", 1)), fs.ErrExist, ErrFormat},
		{"a long marker", write("custodyd-objects", marker+marker), fs.ErrExist, ErrFormat},
		{"an empty marker", write("custodyd-objects", ""), fs.ErrExist, ErrFormat},
		{"a marker alone", write("custodyd-objects", marker), fs.ErrExist, fs.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "parent", "store")
			must(t, os.Mkdir(filepath.Dir(path), 0o700))
			c.prepare(t, path)
			if _, err := OpenDirectory(path); !errors.Is(err, c.open) {
				t.Errorf("open: got %v, want %v", err, c.open)
			}
			d, err := CreateDirectory(path)
			if !errors.Is(err, c.create) {
				t.Fatalf("create: got %v, want %v", err, c.create)
			}
			if err != nil {
				return
			}
			if _, err := OpenDirectory(path); !errors.Is(err, ErrInUse) {
				t.Errorf("open of an open one: %v", err)
			}
			if _, err := CreateDirectory(path); !errors.Is(err, fs.ErrExist) {
				t.Errorf("create of an existing one: %v", err)
			}
			// As a program has it that this process is starting, until it executes.
			inherited, err := syscall.Dup(int(d.marker.Fd()))
			must(t, err)
			defer syscall.Close(inherited) //nolint:errcheck // of a test
			must(t, d.Close())
			again, err := OpenDirectory(path)
			must(t, err)
			if diff := cmp.Diff(d.Describe(), again.Describe()); diff != "" {
				t.Error(diff)
			}
			must(t, again.Close())
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDirectoryInterrupted cuts Complete between any two of its steps. The next
// process completes.
func TestDirectoryInterrupted(t *testing.T) {
	content := noise(1, 1<<20)
	for _, c := range []struct {
		name string
		do   func(d *Directory, u Upload, path string) error
	}{
		{"before the first step", func(*Directory, Upload, string) error { return nil }},
		{"after chmod", func(_ *Directory, _ Upload, path string) error { return os.Chmod(path, 0o400) }},
		{"while writing the record", func(d *Directory, u Upload, _ string) error {
			return os.WriteFile(filepath.Join(d.path, retentionDir, u.Key+".new"), []byte(`{"ver`), 0o600)
		}},
		{"after the record", func(d *Directory, u Upload, _ string) error {
			return d.writeRecord(u.Key, record{Version: u.ID, RetainUntil: u.RetainUntil})
		}},
		{"after the record of another upload", func(d *Directory, u Upload, _ string) error {
			return d.writeRecord(u.Key, record{Version: newID(), RetainUntil: u.RetainUntil.Add(time.Hour)})
		}},
		{"after the move", func(d *Directory, u Upload, path string) error { return d.finish(context.Background(), u, path) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newDirectory(t, Mutable())
			u, parts, err := upload(t.Context(), r, "key", content, directoryPart)
			must(t, err)
			d := r.store.(*Directory)
			path, err := d.partial(u)
			must(t, err)
			must(t, c.do(d, u, path))
			r.store, err = r.reopen()
			must(t, err)
			o, err := r.Complete(t.Context(), u, parts)
			must(t, err)
			if o.Version != u.ID || !o.RetainUntil.Equal(u.RetainUntil) {
				t.Errorf("completed %+v as %+v", u, o)
			}
			must(t, holds(t.Context(), r, o, content))
			nothingLeft(t, d, "key")
		})
	}
}

// nothingLeft demands that there are no files but objects and their records.
func nothingLeft(t *testing.T, d *Directory, keys ...string) {
	t.Helper()
	for dir, want := range map[string][]string{partialDir: nil, retentionDir: keys} {
		var names []string
		entries, err := os.ReadDir(filepath.Join(d.path, dir))
		must(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
	}
}

// TestDirectoryTidies: opening removes what an interrupted process left, except
// uploads; looking removes nothing.
func TestDirectoryTidies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	d, err := CreateDirectory(path, Mutable())
	must(t, err)
	must(t, d.Close())
	litter := []string{"partial/.attribute-123", "partial/.probe-123", "partial/.probe-123.new", "partial/.probe-123.other", "retention/key.new"}
	for _, name := range litter {
		must(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
	}
	_ = setImmutable(filepath.Join(path, litter[0]), true) // where it is granted
	upload := filepath.Join(path, partialDir, "key."+newID())
	must(t, os.WriteFile(upload, nil, 0o600))

	d, err = OpenDirectory(path, Untouched())
	must(t, err)
	must(t, d.Close())
	for _, name := range litter {
		_, err := os.Lstat(filepath.Join(path, name))
		must(t, err)
	}
	d, err = OpenDirectory(path)
	must(t, err)
	must(t, errors.Join(os.Remove(upload), d.Close()))
	nothingLeft(t, d)
}

// TestDirectoryAdopted: an object whose making was interrupted after the move is
// made durable and immutable by Extend.
func TestDirectoryAdopted(t *testing.T) {
	r := newDirectory(t)
	d := r.store.(*Directory)
	u, _, err := upload(t.Context(), r, "key", []byte("bytes"), directoryPart)
	must(t, err)
	path, err := d.partial(u)
	must(t, err)
	must(t, d.finish(t.Context(), u, path))
	t.Cleanup(func() { _ = setImmutable(d.object("key"), false) })
	r.store, err = r.reopen()
	must(t, err)
	o, err := r.Stat(t.Context(), "key", "")
	must(t, err)
	if granted := d.immutable == nil; granted != (o.Lock == LockNone) {
		t.Errorf("before: %+v, the attribute is granted: %v", o, granted)
	}
	o, err = r.Extend(t.Context(), o, o.RetainUntil)
	must(t, err)
	set, err := isImmutable(d.object("key"))
	must(t, err)
	if o.Lock != LockDirectory || set != (d.immutable == nil) {
		t.Errorf("after: %+v, immutable: %v", o, set)
	}
}

// TestDirectoryGone: that all objects are gone does not read as one that is gone.
func TestDirectoryGone(t *testing.T) {
	r := newDirectory(t, Mutable())
	must(t, os.Remove(filepath.Join(r.store.(*Directory).path, objectsDir)))
	if _, err := r.Stat(t.Context(), "key", ""); errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrFormat) {
		t.Errorf("stat: %v", err)
	}
}

// TestDirectoryTampered changes what lies in the directory behind our back.
func TestDirectoryTampered(t *testing.T) {
	const text = "the content"
	loose := func(o *Object) { o.Lock = LockNone }
	for _, c := range []struct {
		name   string
		tamper func(object, retention string) error
		stat   error // of the version the ledger knows
		list   error
		want   func(o *Object) // what is listed, as a change of what was written
	}{
		{
			"record removed", func(_, r string) error { return os.Remove(r) }, fs.ErrNotExist, nil,
			func(o *Object) { o.Version, o.Lock, o.RetainUntil = "", LockNone, time.Time{} },
		},
		{"record emptied", func(_, r string) error { return os.WriteFile(r, nil, 0o600) }, ErrReadBack, ErrReadBack, bare},
		{"record in another spelling", func(_, r string) error {
			b, err := os.ReadFile(r)
			return errors.Join(err, os.WriteFile(r, append([]byte(" "), b...), 0o600))
		}, ErrReadBack, ErrReadBack, bare},
		{"record of another version", func(_, r string) error {
			b, err := os.ReadFile(r)
			return errors.Join(err, os.WriteFile(r, append([]byte(`{"version":"00000000000000000000000000000000`), b[len(`{"version":"`)+32:]...), 0o600))
		}, fs.ErrNotExist, nil, func(o *Object) { o.Version, o.Lock = strings.Repeat("0", 32), LockNone }},
		{"content cut", func(o, _ string) error { return os.Truncate(o, 3) }, nil, nil, func(o *Object) { o.Size, o.Lock = 3, LockNone }},
		{"content longer", func(o, _ string) error { return os.Truncate(o, 30) }, nil, nil, func(o *Object) { o.Size, o.Lock = 30, LockNone }},
		{"for everybody to write", func(o, _ string) error { return os.Chmod(o, 0o666) }, nil, nil, loose},
		{"for its owner to write", func(string, string) error { return nil }, nil, nil, loose},
		{"for nobody to write", func(o, _ string) error { return os.Chmod(o, 0o444) }, nil, nil, func(*Object) {}},
		{"not immutable as it was", func(o, r string) error {
			b, err := os.ReadFile(r)
			b = append(bytes.TrimSuffix(b, []byte("}\n")), []byte(",\"immutable\":true}\n")...)
			return errors.Join(err, os.WriteFile(r, b, 0o600), os.Chmod(o, 0o400))
		}, nil, nil, loose},
		{"a link in its place", func(o, r string) error { return errors.Join(os.Remove(o), os.Symlink(r, o)) }, ErrReadBack, ErrReadBack, bare},
		{"a directory in its place", func(o, _ string) error { return errors.Join(os.Remove(o), os.Mkdir(o, 0o700)) }, ErrReadBack, ErrReadBack, bare},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newDirectory(t, Mutable())
			d := r.store.(*Directory)
			o, err := put(t.Context(), r, "key", []byte(text))
			must(t, err)
			must(t, os.Chmod(d.object("key"), 0o600))
			must(t, c.tamper(d.object("key"), filepath.Join(d.path, retentionDir, "key")))
			if _, err := r.Stat(t.Context(), "key", o.Version); !errors.Is(err, c.stat) {
				t.Errorf("stat: got %v, want %v", err, c.stat)
			}
			if _, err := put(t.Context(), r, "key", []byte(text)); err == nil {
				t.Error("the key was written again")
			}
			c.want(&o)
			n := 0
			for got, err := range r.List(t.Context(), "") {
				n++
				if !errors.Is(err, c.list) || got != o {
					t.Errorf("list: got %+v, %v, want %+v, %v", got, err, o, c.list)
				}
			}
			if n != 1 {
				t.Errorf("%d objects listed", n)
			}
		})
	}
	t.Run("a foreign file", func(t *testing.T) {
		r := newDirectory(t, Mutable())
		must(t, os.WriteFile(r.store.(*Directory).object("Thumbs.db"), nil, 0o600))
		for o, err := range r.List(t.Context(), "") {
			if o.Key != "Thumbs.db" || !errors.Is(err, ErrKey) {
				t.Errorf("list: %+v, %v", o, err)
			}
		}
	})
	t.Run("content cut while it is read", func(t *testing.T) {
		r := newDirectory(t, Mutable())
		o, err := put(t.Context(), r, "key", noise(1, 3<<20))
		must(t, err)
		for _, fromMedium := range []bool{true, false} {
			c, err := r.Open(t.Context(), o, fromMedium)
			must(t, err)
			must(t, os.Chmod(r.store.(*Directory).object("key"), 0o600))
			must(t, os.Truncate(r.store.(*Directory).object("key"), 2<<20+1))
			b, err := rangeOf(t.Context(), c, 0, 3<<20)
			if err == nil || len(b) > 2<<20+1 {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			must(t, os.Truncate(r.store.(*Directory).object("key"), 3<<20))
			must(t, c.Close())
		}
	})
}

func bare(o *Object) { o.Version, o.Lock, o.RetainUntil, o.Size = "", LockNone, time.Time{}, 0 }

// TestDirectoryImmutable: where the attribute is granted nobody changes an
// object; where not, the store says so.
func TestDirectoryImmutable(t *testing.T) {
	r := newDirectory(t)
	d := r.store.(*Directory)
	o, err := put(t.Context(), r, "key", []byte("bytes"))
	must(t, err)
	if d.immutable != nil {
		if missing := strings.Join(r.Describe().Missing, "\n"); !strings.Contains(missing, "immutable files") {
			t.Errorf("missing: %s", missing)
		}
		return
	}
	path := d.object("key")
	t.Cleanup(func() { must(t, setImmutable(path, false)) })
	for name, err := range map[string]error{
		"remove":   os.Remove(path),
		"rename":   os.Rename(path, path+"x"),
		"truncate": os.Truncate(path, 0),
		"write":    os.WriteFile(path, []byte("other"), 0o600),
		"chmod":    os.Chmod(path, 0o600),
		"link":     os.Link(path, path+"y"),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	extended, err := r.Extend(t.Context(), o, o.RetainUntil.Add(time.Hour))
	must(t, err)
	must(t, holds(t.Context(), r, extended, []byte("bytes")))
	must(t, setImmutable(path, false))
	if o, err := r.Stat(t.Context(), "key", ""); err != nil || o.Lock != LockNone {
		t.Errorf("without the attribute: %+v, %v", o, err)
	}
}

// TestDirectorySource: read-back from a disk says so, from memory never does.
func TestDirectorySource(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "custodyd-*")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(shm)) })
	// The temporary directory is in memory on many machines, the checkout is not.
	disk, err := os.MkdirTemp(".", "tmp-*")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(disk)) })
	for _, c := range []struct{ path, want string }{
		{filepath.Join(disk, "store"), SourceMedium},
		{filepath.Join(shm, "store"), SourceCache},
	} {
		r := newDirectoryIn(t, c.path, Mutable())
		content := noise(1, 3<<20+7)
		o, err := put(t.Context(), r, "key", content)
		must(t, err)
		for fromMedium, want := range map[bool]string{true: c.want, false: SourceCache} {
			content, err := r.Open(t.Context(), o, fromMedium)
			must(t, err)
			if content.Source() != want {
				t.Errorf("%s: from medium %v: %s, want %s", c.path, fromMedium, content.Source(), want)
			}
			must(t, content.Close())
		}
		must(t, holds(t.Context(), r, o, content))
		report, err := r.Probe(t.Context())
		must(t, err)
		if missing := report.Missing(Required); missing != nil {
			t.Errorf("missing: %v", missing)
		}
		if got := strings.Contains(strings.Join(report.Missing(Advised), "\n"), "read-back"); got != (c.want == SourceCache) {
			t.Errorf("probe of %s: %v", c.path, report.Missing(Advised))
		}
	}
}

// TestWithoutDirectIO takes the way of file systems that refuse O_DIRECT.
func TestWithoutDirectIO(t *testing.T) {
	disk, err := os.MkdirTemp(".", "tmp-*")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(disk)) })
	path := filepath.Join(disk, "file")
	must(t, os.WriteFile(path, noise(1, 3<<20), 0o600))
	f, err := os.Open(path)
	must(t, err)
	if cached, err := inCache(f); err != nil || !cached {
		t.Errorf("just written: %v, %v", cached, err)
	}
	g, source, err := dropAndLook(f)
	must(t, err)
	if source != SourceMedium {
		t.Errorf("dropped, and the source is %s", source)
	}
	if _, err := g.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if cached, err := inCache(f); err != nil || !cached {
		t.Errorf("just read: %v, %v", cached, err)
	}
	must(t, f.Close())
	if !takesDirect(f) { // it cannot be read at all
		t.Error("an error of the bytes was taken for a refusal of direct reads")
	}
}

func FuzzRecord(f *testing.F) {
	good, err := record{Version: strings.Repeat("a", 32), RetainUntil: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC)}.format()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRecord(text)
		if err != nil {
			if r != (record{}) || !errors.Is(err, ErrReadBack) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		if again, err := r.format(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q became %q, %v", text, again, err)
		}
	})
}

func TestCancelledDirectory(t *testing.T) {
	r := newDirectory(t, Mutable())
	o, err := put(t.Context(), r, "key", []byte("x"))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, begin := r.Begin(ctx, "other", 1, tomorrow())
	_, stat := r.Stat(ctx, "key", "")
	_, copied := r.Copy(ctx, o, "other", tomorrow())
	_, probed := r.Probe(ctx)
	for i, err := range []error{begin, stat, copied, probed} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("method %d: %v", i, err)
		}
	}
}
