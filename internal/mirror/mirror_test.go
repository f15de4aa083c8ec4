package mirror

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const origin = "lab.example/custody"

// log is a ledger that signs whatever it has. It is a Source of its first size entries.
type log struct {
	skey  string
	key   ledger.VerifierKey
	head  ledger.Head
	none  ledger.CaseHead
	tree  ledger.Tree
	store hashes
	lines [][]byte
	size  int64

	mu   sync.Mutex
	gave map[string]int                           // how often
	lie  func(path string, content []byte) []byte // may be nil
	fail func(path string) error                  // likewise
}

type hashes []ledger.Hash

func (h hashes) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	out := make([]ledger.Hash, len(indexes))
	for i, n := range indexes {
		out[i] = h[n]
	}
	return out, nil
}

func newLog(t *testing.T) *log {
	t.Helper()
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	must(t, err)
	key, err := ledger.ParseVerifierKey(vkey)
	must(t, err)
	return &log{skey: skey, key: key, gave: map[string]int{}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// grow appends entries until there are so many.
func (l *log) grow(size int64, story string) {
	for ; l.tree.Size() < size; l.size = size {
		e := ledger.Next(l.head, l.none, ledger.Envelope{
			Log: origin, Type: ledger.Event, Payload: ledger.LeafHash([]byte(story)),
			Time: ledger.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
		})
		line := e.Bytes()
		leaf := ledger.LeafHash(line)
		l.head, l.none = l.head.After(e, leaf), l.none.After(e, leaf)
		l.store = l.tree.Append(l.store, leaf)
		l.lines = append(l.lines, line)
	}
}

// fork gives another log with the same key and the same first entries.
func (l *log) fork(t *testing.T, size int64) *log {
	t.Helper()
	f := &log{skey: l.skey, key: l.key, gave: map[string]int{}}
	f.grow(size, "a")
	return f
}

func (l *log) Checkpoint(context.Context) ([]byte, error) {
	root, err := ledger.RootAt(l.size, l.store)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "signer")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := ledger.CreateSigner(filepath.Join(dir, "state"), l.skey)
	if err != nil {
		return nil, err
	}
	note, err := s.Sign(ledger.Checkpoint{Origin: origin, Size: l.size, Root: root}, nil)
	return note, errors.Join(err, s.Close())
}

func (l *log) Tile(_ context.Context, t ledger.Tile) ([]byte, error) {
	l.mu.Lock()
	l.gave[t.Path()]++
	l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(t.Path()); err != nil {
			return nil, err
		}
	}
	if err := t.Within(l.size); err != nil {
		return nil, err
	}
	var content []byte
	var err error
	if t.Entries {
		for i := range int64(t.Width) {
			if content, err = ledger.AppendToBundle(content, l.lines[t.Index*ledger.TileWidth+i]); err != nil {
				return nil, err
			}
		}
	} else if content, err = ledger.ReadTile(t, l.store); err != nil {
		return nil, err
	}
	if l.lie != nil {
		content = l.lie(t.Path(), content)
	}
	return content, nil
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	return names
}

// TestUpdate: a mirror grows with its log, over every size at which something about
// tiles changes, and nothing is asked for twice.
func TestUpdate(t *testing.T) {
	l := newLog(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	d := At(dir, l.key)
	if _, err := d.Check(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check of no mirror: %v", err)
	}
	var last int64
	for _, size := range []int64{1, 255, 256, 257, 600, 65535, 65536, 65537, 66000} {
		l.grow(size, "a")
		clear(l.gave)
		before, now, err := d.Update(t.Context(), l)
		if err != nil || before.Size != last || now.Size != size {
			t.Fatalf("from %d to %d: %+v, %+v, %v", last, size, before, now, err)
		}
		for path, n := range l.gave {
			if n > 1 {
				t.Errorf("size %d: %s was asked for %d times", size, path, n)
			}
		}
		if want := (size-last)/ledger.TileWidth*2 + 40; int64(len(l.gave)) > want {
			t.Errorf("from %d to %d: %d resources were asked for", last, size, len(l.gave))
		}
		if c, err := d.Check(t.Context()); err != nil || c != now {
			t.Fatalf("check at %d: %+v, %v", size, c, err)
		}
		last = size
	}
	want := map[string]bool{"checkpoint": true}
	for level := range 3 {
		for index := int64(0); ; index++ {
			tile, err := ledger.TileAt(66000, level, index)
			if err != nil {
				break
			}
			want[tile.Path()] = true
			if tile.Entries = true; level == 0 {
				want[tile.Path()] = true
			}
		}
	}
	for _, name := range files(t, dir) {
		if !want[name] && !strings.Contains(name, ".p/") {
			t.Errorf("%s is there too", name)
		}
		delete(want, name)
		if strings.HasPrefix(name, "tile/0/000.p") || strings.HasPrefix(name, "tile/entries/255.p") {
			t.Errorf("%s was not removed", name)
		}
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}

	clear(l.gave)
	if before, now, err := d.Update(t.Context(), l); err != nil || before != now || len(l.gave) > 0 {
		t.Errorf("nothing new: %+v, %+v, %v", before, now, l.gave)
	}
	c, hashes, err := d.Hashes(t.Context())
	must(t, err)
	proof, err := ledger.ProveConsistency(c.Size, 300, hashes)
	must(t, err)
	root, err := ledger.RootAt(300, l.store)
	must(t, err)
	must(t, ledger.CheckConsistency(proof, c.Size, c.Root, 300, root))
}

// TestLies: whatever byte of whatever resource a source changes, it is found before it
// is written; and the honest source then mends nothing but goes on.
func TestLies(t *testing.T) {
	l := newLog(t)
	l.grow(600, "a")
	for _, size := range []int64{1, 600} {
		l.size = size
		empty := filepath.Join(t.TempDir(), "empty")
		_, _, err := At(empty, l.key).Update(t.Context(), l)
		must(t, err)
		for _, path := range files(t, empty) {
			if path == "checkpoint" {
				continue
			}
			for name, change := range map[string]func([]byte) []byte{
				"first": func(b []byte) []byte { b[0] ^= 1; return b },
				"last":  func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b },
				"cut":   func(b []byte) []byte { return b[:len(b)-1] },
				"spare": func(b []byte) []byte { return append(b, 0) },
			} {
				dir := filepath.Join(t.TempDir(), "mirror")
				d := At(dir, l.key)
				l.lie = func(asked string, content []byte) []byte {
					if asked != path {
						return content
					}
					return change(content)
				}
				if _, _, err := d.Update(t.Context(), l); !errors.Is(err, ErrContent) {
					t.Fatalf("size %d, %s, %s: %v", size, path, name, err)
				}
				l.lie = nil
				if _, err := os.Stat(filepath.Join(dir, "checkpoint")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("size %d, %s, %s: there is a checkpoint", size, path, name)
				}
				if _, err := os.Stat(filepath.Join(dir, path)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("size %d, %s, %s: it was written", size, path, name)
				}
				_, _, err := d.Update(t.Context(), l)
				must(t, err)
				_, err = d.Check(t.Context())
				must(t, err)

				file := filepath.Join(dir, path)
				content, err := os.ReadFile(file)
				must(t, err)
				must(t, os.WriteFile(file, change(content), 0o600))
				if _, err := d.Check(t.Context()); !errors.Is(err, ErrContent) {
					t.Errorf("size %d, %s, %s in the mirror: %v", size, path, name, err)
				}
				must(t, os.Remove(file))
				if _, err := d.Check(t.Context()); !errors.Is(err, ErrContent) {
					t.Errorf("size %d, %s missing in the mirror: %v", size, path, err)
				}
			}
		}
	}
}

// TestInterrupted: an update goes on where it was cut.
func TestInterrupted(t *testing.T) {
	l := newLog(t)
	l.grow(256*9+7, "a")
	d := At(filepath.Join(t.TempDir(), "mirror"), l.key)
	gone := errors.New("gone")
	l.fail = func(path string) error {
		if path == "tile/entries/006" {
			return gone
		}
		return nil
	}
	if _, _, err := d.Update(t.Context(), l); !errors.Is(err, gone) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.fail = func(path string) error {
		if path == "tile/entries/007" {
			cancel()
		}
		return nil
	}
	if _, _, err := d.Update(ctx, l); !errors.Is(err, context.Canceled) && err != nil {
		t.Fatal(err)
	}
	l.fail = nil
	clear(l.gave)
	_, _, err := d.Update(t.Context(), l)
	must(t, err)
	if l.gave["tile/0/002"]+l.gave["tile/entries/002"] > 0 {
		t.Errorf("asked for again: %v", l.gave)
	}
	_, err = d.Check(t.Context())
	must(t, err)
}

// TestContradiction: what does not go on from the mirror's own checkpoint is kept.
func TestContradiction(t *testing.T) {
	for name, c := range map[string]struct {
		shared, ours, theirs int64
		want                 error
	}{
		"forked":            {300, 600, 900, verify.ErrNotConsistent},
		"forked at the end": {599, 600, 601, verify.ErrNotConsistent},
		"same size":         {300, 600, 600, verify.ErrNotConsistent},
		"rolled back":       {600, 600, 500, verify.ErrBehind},
	} {
		l := newLog(t)
		l.grow(c.shared, "a")
		l.grow(c.ours, "b")
		dir := filepath.Join(t.TempDir(), "mirror")
		d := At(dir, l.key)
		_, _, err := d.Update(t.Context(), l)
		must(t, err)
		before := files(t, dir)
		f := l.fork(t, c.shared)
		f.grow(c.theirs, "c")
		f.size = c.theirs
		var kept *Contradiction
		if _, _, err := d.Update(t.Context(), f); !errors.Is(err, c.want) || !errors.As(err, &kept) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := os.ReadFile(kept.Notes)
		must(t, err)
		notes, err := verify.ParseNotes(text)
		if err != nil || len(notes) != 2 {
			t.Fatalf("%s: %d notes, %v", name, len(notes), err)
		}
		ours, err := l.Checkpoint(t.Context())
		must(t, err)
		theirs, err := f.Checkpoint(t.Context())
		must(t, err)
		if !bytes.Equal(notes[0].Signed, ours) || !bytes.Equal(notes[1].Signed, theirs) {
			t.Errorf("%s: other notes were kept", name)
		}
		if got := files(t, dir); len(got) != len(before)+1 {
			t.Errorf("%s: from %d files to %d", name, len(before), len(got))
		}
		_, err = d.Check(t.Context())
		must(t, err)
	}
}

// TestForeign: nothing is written among other things, nor under another key.
func TestForeign(t *testing.T) {
	l := newLog(t)
	l.grow(3, "a")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600))
	if _, _, err := At(dir, l.key).Update(t.Context(), l); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
	other := newLog(t)
	empty := filepath.Join(t.TempDir(), "mirror")
	if _, _, err := At(empty, other.key).Update(t.Context(), l); !errors.Is(err, ledger.ErrUnsigned) {
		t.Error(err)
	}
	if _, err := os.Stat(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written")
	}
	_, _, err := At(empty, l.key).Update(t.Context(), l)
	must(t, err)
	if _, _, err := At(empty, other.key).Update(t.Context(), other); !errors.Is(err, ledger.ErrUnsigned) {
		t.Error(err)
	}
	must(t, os.WriteFile(filepath.Join(empty, "checkpoint"), bytes.Repeat([]byte("x"), maxCheckpoint+1), 0o600))
	if _, _, err := At(empty, l.key).Update(t.Context(), l); !errors.Is(err, ErrContent) {
		t.Error(err)
	}
}
