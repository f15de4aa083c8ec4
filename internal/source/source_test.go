package source

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/custodyd/custodyd/internal/digest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"disk.dd", "split.001", "split.002", "split.003", "gap.001", "gap.002", "gap.004", "zero.000", "zero.001", "one.001",
		"wide.0001", "wide.0002", "both.001", "both.002", "both.0001", "both.0002", "both.0003",
		"image.E01", "image.E02", "messages.1", "messages.2", "late.002", "tree/b", "tree/a/z", "tree/a.log", "odd/a\nb", "other/disk.dd",
	} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	write(t, filepath.Join(dir, "links", "file"), nil)
	if err := os.Symlink("file", filepath.Join(dir, "links", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("tree", filepath.Join(dir, "dirlink")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		names   []string
		skip    bool
		title   string
		files   []string
		listed  bool
		left    []string
		wantErr error
	}{
		{names: []string{"disk.dd"}, title: "disk.dd", files: []string{""}},
		{names: []string{"split.001"}, title: "split", files: []string{"split.001", "split.002", "split.003"}, listed: true},
		{names: []string{"split.001", "split.002"}, title: "split", files: []string{"split.001", "split.002"}, listed: true},
		{names: []string{"wide.0001"}, title: "wide", files: []string{"wide.0001", "wide.0002"}, listed: true},
		{names: []string{"both.001"}, title: "both", files: []string{"both.001", "both.002"}, listed: true},
		{names: []string{"both.0001"}, title: "both", files: []string{"both.0001", "both.0002", "both.0003"}, listed: true},
		{names: []string{"both.001", "both.0002"}, title: "both.001 and 1 more", files: []string{"both.001", "both.0002"}, listed: true},
		{names: []string{"zero.000"}, title: "zero", files: []string{"zero.000", "zero.001"}, listed: true},
		{names: []string{"image.E01"}, title: "image", files: []string{"image.E01", "image.E02"}, listed: true},
		{names: []string{"one.001"}, title: "one.001", files: []string{""}},
		{names: []string{"late.002"}, title: "late.002", files: []string{""}},
		{names: []string{"messages.1"}, title: "messages.1", files: []string{""}},
		{names: []string{"messages.2", "messages.1"}, title: "messages.2 and 1 more", files: []string{"messages.2", "messages.1"}, listed: true},
		{names: []string{"tree"}, title: "tree", files: []string{"a.log", "a/z", "b"}, listed: true},
		{names: []string{"odd"}, title: "odd", files: []string{"a\nb"}, listed: true},
		{names: []string{"odd/a\nb"}, title: "a\ufffdb", files: []string{""}},
		{names: []string{"links"}, skip: true, title: "links", files: []string{"file"}, listed: true, left: []string{"link (symbolic link)"}},
		{names: []string{"links/link"}, title: "link", files: []string{""}},

		{names: []string{"links"}, left: []string{"link (symbolic link)"}, wantErr: ErrSpecial},
		{names: []string{"dirlink"}, wantErr: ErrSpecial},
		{names: []string{"wide.0002"}, wantErr: ErrGap},
		{names: []string{"pipe"}, wantErr: ErrSpecial},
		{names: []string{"tree", "disk.dd"}, wantErr: ErrSpecial},
		{names: []string{"gap.001"}, wantErr: ErrGap},
		{names: []string{"zero.001"}, wantErr: ErrGap},
		{names: []string{"split.002"}, wantErr: ErrGap},
		{names: []string{"split.002", "split.003"}, wantErr: ErrGap},
		{names: []string{"split.001", "split.003"}, wantErr: ErrGap},
		{names: []string{"split.001", "split.003", "split.002"}, wantErr: ErrGap},
		{names: []string{"split.001", "split.001"}, wantErr: ErrGap},
		{names: []string{"disk.dd", "other/disk.dd"}, wantErr: ErrSet},
		{names: []string{"empty"}, wantErr: ErrSet},
		{names: nil, wantErr: ErrSet},
		{names: []string{"nowhere"}, wantErr: fs.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.names, " "), func(t *testing.T) {
			var paths []string
			for _, name := range test.names {
				paths = append(paths, filepath.Join(dir, name))
			}
			s, err := Find(paths, test.skip)
			if !errors.Is(err, test.wantErr) {
				t.Fatalf("error %v, want %v", err, test.wantErr)
			}
			var files []string
			for _, f := range s.Files {
				files = append(files, f.Name)
			}
			if s.Title != test.title || s.Listed != test.listed || !cmp.Equal(files, test.files) || !cmp.Equal(s.Left, test.left) {
				t.Errorf("got %q %q listed %v left %q", s.Title, files, s.Listed, s.Left)
			}
		})
	}
}

// set makes files of these sizes and finds them as one set.
func set(t testing.TB, sizes ...int) (Set, []byte) {
	t.Helper()
	dir := t.TempDir()
	var whole []byte
	random := rand.NewChaCha8([32]byte{1})
	for i, size := range sizes {
		content := make([]byte, size)
		_, _ = random.Read(content)
		write(t, filepath.Join(dir, string(rune('a'+i))), content)
		whole = append(whole, content...)
	}
	name := dir
	if len(sizes) == 1 {
		name = filepath.Join(dir, "a")
	}
	s, err := Find([]string{name}, false)
	if err != nil {
		t.Fatal(err)
	}
	return s, whole
}

func check(t testing.TB, p *Pass, s Set, whole []byte) {
	t.Helper()
	sums, list, err := p.Finish()
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(whole)
	if got, _ := sums.SHA256(); got != want {
		t.Errorf("SHA-256 %s, want %x", got, want)
	}
	wantMD5 := md5.Sum(whole)
	if got, _ := sums.Get(digest.AlgMD5); got != hex.EncodeToString(wantMD5[:]) {
		t.Errorf("MD5 %s, want %x", got, wantMD5)
	}
	if !s.Listed {
		if list != nil {
			t.Errorf("a single file has a list: %v", list)
		}
		return
	}
	at := int64(0)
	for i, f := range s.Files {
		if want := sha256.Sum256(whole[at : at+f.Size]); list[i].SHA256 != want || list[i].Size != f.Size || list[i].Path() != f.Name {
			t.Errorf("file %d is %+v", i, list[i])
		}
		at += f.Size
	}
}

// TestResume: whatever is cut, and wherever another process goes on, the digests are
// those of the whole, and bytes are given from the wanted offset on.
func TestResume(t *testing.T) {
	const step = 64 // small, so that small files have marks
	layouts := [][]int{{0}, {5}, {step}, {2*step + 77}, {0, 3, 0}, {step, 0, step + 1, 9, 0}, {7, 2 * step, 5}}
	for _, sizes := range layouts {
		s, whole := set(t, sizes...)
		rapid.Check(t, func(r *rapid.T) {
			var kept []Mark
			note := func(m Mark) error { kept = append(kept, m); return nil }
			algs := []digest.Algorithm{digest.AlgMD5}
			for range rapid.IntRange(0, 3).Draw(r, "processes") {
				p, err := NewPass(s, algs, kept, note)
				if err != nil {
					r.Fatal(err)
				}
				p.step = step
				for range rapid.IntRange(0, 2).Draw(r, "connections") {
					offset := rapid.Int64Range(0, int64(len(whole))).Draw(r, "offset")
					n := rapid.Int64Range(0, int64(len(whole))-offset).Draw(r, "bytes")
					from, err := p.From(offset)
					if err != nil {
						r.Fatal(err)
					}
					got, err := io.ReadAll(io.LimitReader(from, n))
					if err != nil || !bytes.Equal(got, whole[offset:offset+n]) {
						r.Fatalf("%d bytes from %d: wrong bytes or %v", n, offset, err)
					}
				}
				p.Close()
				if len(kept) > 0 && rapid.Bool().Draw(r, "power cut") {
					kept = kept[:len(kept)-1]
				}
			}
			p, err := NewPass(s, algs, kept, note)
			if err != nil {
				r.Fatal(err)
			}
			p.step = step
			defer p.Close()
			check(t, p, s, whole)
		})
	}
}

// TestMarksSpareHashing: from a mark on nothing before it is read again.
func TestMarksSpareHashing(t *testing.T) {
	s, whole := set(t, 2*digest.Segment+5)
	var kept []Mark
	p, err := NewPass(s, []digest.Algorithm{digest.AlgMD5}, nil, func(m Mark) error { kept = append(kept, m); return nil })
	if err != nil {
		t.Fatal(err)
	}
	check(t, p, s, whole)
	if len(kept) != 3 || kept[2].Offset != int64(len(whole)) {
		t.Fatalf("%d marks", len(kept))
	}
	// The bytes before the mark are others now; whoever read them again would notice.
	path := s.Files[0].Path
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{whole[9] ^ 1}, 9); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), os.Chtimes(path, time.Time{}, info.ModTime())); err != nil {
		t.Fatal(err)
	}
	p, err = NewPass(s, []digest.Algorithm{digest.AlgMD5}, kept[:2], nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, p, s, whole)
}

func TestChanged(t *testing.T) {
	tests := map[string]func(path string) error{
		"grown":    func(path string) error { return os.Truncate(path, digest.Segment+100) },
		"shorter":  func(path string) error { return os.Truncate(path, 10) },
		"touched":  func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)) },
		"replaced": func(path string) error { return os.Rename(path+".other", path) },
		"gone":     os.Remove,
	}
	for name, change := range tests {
		for _, when := range []string{"before", "within"} {
			t.Run(name+" "+when, func(t *testing.T) {
				s, whole := set(t, digest.Segment+50)
				path := s.Files[0].Path
				write(t, path+".other", whole)
				if err := os.Chtimes(path+".other", time.Time{}, s.Files[0].Modified); err != nil {
					t.Fatal(err)
				}
				p, err := NewPass(s, nil, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				if when == "within" {
					if name == "gone" || name == "replaced" {
						return // the open file is still the one that was named
					}
					r, err := p.From(0)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.CopyN(io.Discard, r, 20); err != nil {
						t.Fatal(err)
					}
				}
				if err := change(path); err != nil {
					t.Fatal(err)
				}
				want := ErrChanged
				if name == "gone" {
					want = fs.ErrNotExist
				}
				if _, _, err := p.Finish(); !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			})
		}
	}
}

func TestMarksRefused(t *testing.T) {
	s, _ := set(t, digest.Segment+5, 3)
	var kept []Mark
	p, err := NewPass(s, nil, nil, func(m Mark) error { kept = append(kept, m); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 2 {
		t.Fatalf("%d marks", len(kept))
	}
	twice := kept[0]
	moved, ended, cut := kept[0], kept[1], kept[0]
	moved.Offset++
	ended.Ended = ended.Ended[:1]
	cut.Whole = cut.Whole[:20]
	for name, marks := range map[string][]Mark{
		"twice": {kept[0], twice}, "backwards": {kept[1], kept[0]}, "moved": {moved}, "files missing": {kept[0], ended}, "cut": {cut},
	} {
		if _, err := NewPass(s, nil, marks, nil); !errors.Is(err, ErrMark) {
			t.Errorf("%s: error %v, want %v", name, err, ErrMark)
		}
	}
	if _, err := NewPass(s, nil, kept, nil); err != nil {
		t.Errorf("good marks: %v", err)
	}
}

// TestTakeOver: a connection that is dead without knowing it gets no more bytes.
func TestTakeOver(t *testing.T) {
	s, _ := set(t, 100)
	p, err := NewPass(s, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	old, err := p.From(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.From(50); err != nil {
		t.Fatal(err)
	}
	if n, err := old.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errOver) {
		t.Errorf("the old reader gave %d bytes, %v", n, err)
	}
	if _, err := p.From(101); !errors.Is(err, ErrMark) {
		t.Errorf("error %v, want %v", err, ErrMark)
	}
}

func TestStep(t *testing.T) {
	for size, want := range map[int64]int64{
		0: 16 << 20, 1: 16 << 20, 8000 * 16 << 20: 16 << 20, 8000*16<<20 + 1: 32 << 20, 4 << 40: 528 << 20,
	} {
		if got := Step(size); got != want {
			t.Errorf("Step(%d) = %d, want %d", size, got, want)
		}
	}
}
