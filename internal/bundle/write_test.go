package bundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
)

func exported(tb testing.TB, contents ...evidence.Number) bundle.Source {
	tb.Helper()
	s := bundletest.NewStory(tb)
	s.Seal(contents...)
	return s.Bundle(contents...)
}

func open(tb testing.TB, packed []byte) *bundle.Bundle {
	tb.Helper()
	b, err := bundle.Open(tb.Context(), bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// faults gives the faults of a bundle after everything was hashed.
func faults(tb testing.TB, b *bundle.Bundle) []bundle.Fault {
	tb.Helper()
	if err := b.Check(tb.Context(), 0, nil, nil); err != nil {
		tb.Fatal(err)
	}
	return b.Faults()
}

func TestWriteAndOpen(t *testing.T) {
	src := exported(t, "W2", "W3")
	packed := bundletest.Write(t, src)
	if again := bundletest.Write(t, src); !bytes.Equal(packed, again) {
		t.Error("the same source gives another bundle")
	}
	b := open(t, packed)
	if found := faults(t, b); len(found) > 0 {
		t.Error(found)
	}
	if b.Reference() != string(bundletest.Reference) {
		t.Error(b.Reference())
	}
	info, ok := b.BagInfo()
	if !ok || info.Reference != "2026-0042" || info.Origin != "lab.example/custody" || info.Date != src.Created.Format(time.DateOnly) {
		t.Errorf("%+v", info)
	}
	if !b.KnownReadme(bundletest.Reference, bundletest.Origin) || b.KnownReadme("2026-0043", bundletest.Origin) {
		t.Error("the readme is not told from others")
	}
	r, ok := b.Ranges("data/content/E-001-W3.bin")
	if !ok {
		t.Fatal("content cannot be read at any place")
	}
	size := int64(len(bundletest.Image()))
	for _, place := range []struct{ off, n int64 }{{0, 9}, {size - 5, 100}, {size, 1}, {size + 9, 1}, {17, size}} {
		part, err := r(t.Context(), place.off, place.n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(part)
		off := min(place.off, size)
		if want := bundletest.Image()[off:min(off+place.n, size)]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes from %d: %d bytes, %v", place.n, place.off, len(got), err)
		}
	}
	dir, err := bundle.OpenDir(t.Context(), bundletest.Unpack(t, packed).WriteTo(t))
	if err != nil {
		t.Fatal(err)
	}
	if found := faults(t, dir); len(found) > 0 {
		t.Error(found)
	}
	if !slices.Equal(b.Files(nil), dir.Files(nil)) {
		t.Error("zip and directory hold different files")
	}
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
}

// TestRepacked has other programs pack and unpack, into a file and into a pipe. The
// image is one that can be compressed a thousand times.
func TestRepacked(t *testing.T) {
	packed := bundletest.Write(t, exported(t, "W2", "W3"))
	dir := t.TempDir()
	run(t, dir, packed, "sh", "-e", "-c", "cat > case.zip && unzip -q case.zip && rm case.zip && zip -q -r again.zip * && zip -q -r - 2026-0042 | cat > piped.zip")
	b, err := bundle.OpenDir(t.Context(), filepath.Join(dir, string(bundletest.Reference)))
	if err != nil {
		t.Fatal(err)
	}
	if found := faults(t, b); len(found) > 0 {
		t.Error(found)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"again.zip", "piped.zip"} {
		again, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if found := faults(t, open(t, again)); len(found) > 0 {
			t.Error(name, found)
		}
	}
}

func run(t *testing.T, dir string, stdin []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

var errGone = errors.New("gone")

func TestWriteRefuses(t *testing.T) {
	src := exported(t, "W2")
	change := func(n int, f func(*bundle.Entry)) func(*bundle.Source) {
		return func(s *bundle.Source) {
			old := s.Entries
			s.Entries = func(yield func(bundle.Entry, error) bool) {
				i := 0
				for e, err := range old {
					if i == n {
						f(&e)
					}
					i++
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}
	object := func(f func(*bundle.Object)) func(*bundle.Source) {
		return func(s *bundle.Source) {
			s.Objects = slices.Clone(s.Objects)
			f(&s.Objects[len(s.Objects)-1])
		}
	}
	for name, row := range map[string]struct {
		change  func(*bundle.Source)
		wantErr error
	}{
		"reference":          {func(s *bundle.Source) { s.Reference = "../x" }, bundle.ErrSource},
		"checkpoint":         {func(s *bundle.Source) { s.Checkpoint = append(slices.Clone(s.Checkpoint), 'x') }, bundle.ErrSource},
		"envelope":           {change(3, func(e *bundle.Entry) { e.Envelope = e.Envelope[1:] }), bundle.ErrSource},
		"payload":            {change(3, func(e *bundle.Entry) { e.Payload = e.Payload[1:] }), bundle.ErrSource},
		"signature":          {change(3, func(e *bundle.Entry) { e.Signature = e.Signature[1:] }), bundle.ErrSource},
		"receipt":            {change(3, func(e *bundle.Entry) { e.Receipt = e.Receipt[:len(e.Receipt)-1] }), bundle.ErrSource},
		"malformed receipt":  {change(3, func(e *bundle.Entry) { e.Receipt = nil }), bundle.ErrSource},
		"entry twice":        {twice, bundle.ErrSource},
		"failing entries":    {failing, errGone},
		"object too short":   {object(func(o *bundle.Object) { o.Size++ }), bundle.ErrSource},
		"object too long":    {object(func(o *bundle.Object) { o.Size-- }), bundle.ErrSource},
		"object's digest":    {object(func(o *bundle.Object) { o.SHA256[0] ^= 1 }), bundle.ErrSource},
		"object's role":      {object(func(o *bundle.Object) { o.Role = "other" }), bundle.ErrSource},
		"object's name":      {object(func(o *bundle.Object) { o.Exhibit = "../x" }), bundle.ErrSource},
		"object gone":        {object(func(o *bundle.Object) { o.Open = gone }), errGone},
		"object breaks off":  {object(breakOff), errGone},
		"alike but for case": {func(s *bundle.Source) { s.Objects = append(slices.Clone(s.Objects), lower(s.Objects[0])) }, bundle.ErrSource},
	} {
		t.Run(name, func(t *testing.T) {
			s := src
			row.change(&s)
			var out bytes.Buffer
			if err := bundle.Write(t.Context(), &out, s); !errors.Is(err, row.wantErr) {
				t.Errorf("error %v, want %v", err, row.wantErr)
			}
			if _, err := bundle.Open(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len())); !errors.Is(err, bundle.ErrFormat) {
				t.Errorf("what was written opens: %v", err)
			}
		})
	}
}

func lower(o bundle.Object) bundle.Object {
	o.Exhibit = evidence.Name(strings.ToLower(string(o.Exhibit)))
	return o
}

func gone(context.Context) (io.ReadCloser, error) { return nil, errGone }

func breakOff(o *bundle.Object) {
	whole := o.Open
	o.Open = func(ctx context.Context) (io.ReadCloser, error) {
		r, err := whole(ctx)
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r, 3), failingReader{}), r}, err
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errGone }

func twice(s *bundle.Source) {
	old := s.Entries
	s.Entries = func(yield func(bundle.Entry, error) bool) {
		for e, err := range old {
			for range 2 {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

func failing(s *bundle.Source) {
	s.Entries = func(yield func(bundle.Entry, error) bool) { yield(bundle.Entry{}, errGone) }
}

func TestWriteCancelled(t *testing.T) {
	src := exported(t, "W2")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bundle.Write(ctx, io.Discard, src); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	packed := bundletest.Write(t, src)
	if _, err := bundle.Open(ctx, bytes.NewReader(packed), int64(len(packed))); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	b := open(t, packed)
	if err := b.Check(ctx, 2, nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestZipIsPlain(t *testing.T) {
	src := exported(t, "W2")
	packed := bundletest.Write(t, src)
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, "2026-0042/") || !f.Modified.Equal(src.Created) || f.Mode() != 0o644 {
			t.Errorf("%s: %v %v", f.Name, f.Modified, f.Mode())
		}
		stored := strings.Contains(f.Name, "/content/") || strings.Contains(f.Name, "/midstates/") || strings.Contains(f.Name, "/payloads/")
		if stored && f.Method != zip.Store {
			t.Errorf("%s is compressed", f.Name)
		}
	}
}
