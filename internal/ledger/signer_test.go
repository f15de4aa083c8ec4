package ledger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at returns the checkpoint of a ledger at an earlier size, and the proof that it
// continues one still older.
func at(t *testing.T, w *writer, size, old int64) (Checkpoint, []Hash) {
	t.Helper()
	root, err := RootAt(size, w.store)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := ProveConsistency(size, old, w.store)
	if err != nil {
		t.Fatal(err)
	}
	return Checkpoint{Origin: testOrigin, Size: size, Root: root}, proof
}

func reopen(t *testing.T, s *Signer, path string) *Signer {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSigner(path, testSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSignerFollowsTheLedger(t *testing.T) {
	w := testLedger()
	s, path := newTestSigner(t)
	if want := (Checkpoint{Origin: testOrigin, Root: emptyRoot}); s.Last() != want || s.Key() != testKey(t) {
		t.Fatalf("begins at %+v for %s", s.Last(), s.Key())
	}
	last := int64(0)
	for _, size := range []int64{0, 1, 2, 5, 8, 12} {
		next, proof := at(t, w, size, last)
		signed, err := s.Sign(next, proof)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenCheckpoint(signed, s.Key()); err != nil || got != next {
			t.Fatalf("signed %+v, %v, want %+v", got, err, next)
		}
		// A retry after a lost answer, here and after a restart, gives the same bytes.
		for range 2 {
			again, err := s.Sign(next, proof)
			if err != nil || !bytes.Equal(again, signed) {
				t.Fatalf("again %s, %v", again, err)
			}
			s = reopen(t, s, path)
			if s.Last() != next {
				t.Fatalf("goes on at %+v, want %+v", s.Last(), next)
			}
		}
		last = size
	}
}

func TestSignerRefuses(t *testing.T) {
	w := testLedger()
	fork := new(writer)
	for n, e := range testEntries {
		if n == 6 {
			n = 66
		}
		fork.add(draft(n, e.id, e.typ))
	}
	eight, _ := at(t, w, 8, 0)
	for _, tt := range []struct {
		name    string
		next    func() (Checkpoint, []Hash)
		wantErr error
	}{
		{"smaller", func() (Checkpoint, []Hash) { return at(t, w, 7, 5) }, ErrRollback},
		{"empty", func() (Checkpoint, []Hash) { return at(t, w, 0, 0) }, ErrRollback},
		{"negative", func() (Checkpoint, []Hash) { return Checkpoint{testOrigin, -1, Hash{}}, nil }, ErrRollback},
		{"same size, another root", func() (Checkpoint, []Hash) { return at(t, fork, 8, 8) }, ErrInconsistent},
		{"fork", func() (Checkpoint, []Hash) { return at(t, fork, 12, 8) }, ErrInconsistent},
		{"fork with the true proof", func() (Checkpoint, []Hash) {
			next, _ := at(t, fork, 12, 8)
			_, proof := at(t, w, 12, 8)
			return next, proof
		}, ErrInconsistent},
		{"no proof", func() (Checkpoint, []Hash) { next, _ := at(t, w, 12, 8); return next, nil }, ErrInconsistent},
		{"proof from another size", func() (Checkpoint, []Hash) { return at(t, w, 12, 5) }, ErrInconsistent},
		{"too large", func() (Checkpoint, []Hash) { return Checkpoint{testOrigin, MaxInt + 1, Hash{}}, nil }, ErrInconsistent},
		{"another ledger", func() (Checkpoint, []Hash) {
			next, proof := at(t, w, 12, 8)
			next.Origin = "example.org/other"
			return next, proof
		}, ErrOrigin},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, path := newTestSigner(t)
			if _, err := s.Sign(eight, nil); err != nil {
				t.Fatal(err)
			}
			before := contents(t, path)
			next, proof := tt.next()
			signed, err := s.Sign(next, proof)
			if !errors.Is(err, tt.wantErr) || signed != nil {
				t.Fatalf("signed %q, error %v, want %v", signed, err, tt.wantErr)
			}
			var refusal *RefusalError
			if !errors.Is(tt.wantErr, ErrOrigin) && (!errors.As(err, &refusal) || refusal.Last != eight || refusal.Next != next) {
				t.Errorf("refusal %+v", refusal)
			}
			if refusal != nil && !strings.Contains(refusal.Error(), eight.Root.String()) {
				t.Errorf("refusal does not tell the last root: %v", refusal)
			}
			if s.Last() != eight || !bytes.Equal(contents(t, path), before) {
				t.Error("a refusal changed the state")
			}
			// It refuses, and serves the true ledger as before.
			next, proof = at(t, w, 12, 8)
			if _, err := s.Sign(next, proof); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSignerFiles(t *testing.T) {
	s, path := newTestSigner(t)
	if _, err := OpenSigner(path, testSecret); err == nil {
		t.Error("opened twice")
	}
	if _, err := CreateSigner(path, testSecret); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over another: error %v, want %v", err, fs.ErrExist)
	}
	if _, err := OpenSigner(path+"x", testSecret); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened nothing: error %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := CreateSigner(filepath.Join(path, "x"), testSecret); err == nil {
		t.Error("created below a file")
	}
	if _, err := CreateSigner(path+"y", "secret"); err == nil {
		t.Error("created without a key")
	}
	other, _, err := GenerateKey(nil, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(s.Last(), nil); err == nil {
		t.Error("signed after Close")
	}
	if _, err := OpenSigner(path, other); !errors.Is(err, ErrState) {
		t.Errorf("opened with another key: error %v, want %v", err, ErrState)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", info, err)
	}
}

// After a write that failed nobody knows what is on the disk.
func TestSignerStopsAfterAFailedWrite(t *testing.T) {
	w := testLedger()
	s, path := newTestSigner(t)
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	writable := s.state.f
	s.state.f = readOnly
	five, _ := at(t, w, 5, 0)
	if signed, err := s.Sign(five, nil); err == nil {
		t.Fatalf("signed without state: %s", signed)
	}
	s.state.f = writable
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
	for _, next := range []Checkpoint{five, s.Last()} {
		if signed, err := s.Sign(next, nil); err == nil {
			t.Errorf("signed after a failure: %s", signed)
		}
	}
	s = reopen(t, s, path)
	if _, err := s.Sign(five, nil); err != nil {
		t.Error(err)
	}
}

// A crash after any number of bytes leaves the last state or the next, and both
// slots spoilt leave none.
func TestSignerStateTorn(t *testing.T) {
	w := testLedger()
	s, path := newTestSigner(t)
	five, _ := at(t, w, 5, 0)
	eight, proof := at(t, w, 8, 5)
	if _, err := s.Sign(five, nil); err != nil {
		t.Fatal(err)
	}
	before := contents(t, path)
	if _, err := s.Sign(eight, proof); err != nil {
		t.Fatal(err)
	}
	after := contents(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opens := func(content []byte) (Checkpoint, error) {
		t.Helper()
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSigner(torn, testSecret)
		if err != nil {
			return Checkpoint{}, err
		}
		return s.Last(), s.Close()
	}

	slot := 0
	if !bytes.Equal(before[slotSize:], after[slotSize:]) {
		slot = slotSize
	}
	for n := range recordSize + 1 {
		torn := bytes.Clone(before)
		copy(torn[slot:slot+n], after[slot:])
		want := five
		if bytes.Equal(torn, after) {
			want = eight
		}
		if got, err := opens(torn); err != nil || got != want {
			t.Fatalf("torn after %d bytes: %+v, %v, want %+v", n, got, err, want)
		}
	}

	for i := range recordSize {
		for _, at := range []int{0, slotSize} {
			flipped := bytes.Clone(after)
			flipped[at+i] ^= 0x10
			want := five
			if at != slot {
				want = eight
			}
			if got, err := opens(flipped); err != nil || got != want {
				t.Fatalf("byte %d flipped: %+v, %v, want %+v", at+i, got, err, want)
			}
		}
		both := bytes.Clone(after)
		both[i] ^= 0x10
		both[slotSize+recordSize-1-i] ^= 0x10
		if got, err := opens(both); !errors.Is(err, ErrState) {
			t.Fatalf("both slots spoilt: %+v, error %v, want %v", got, err, ErrState)
		}
	}
	for name, bad := range map[string][]byte{
		"empty":     nil,
		"cut":       after[:len(after)-1],
		"longer":    append(bytes.Clone(after), 0),
		"zeros":     make([]byte, stateSize),
		"swapped":   append(bytes.Clone(after[slotSize:]), after[:slotSize]...),
		"one twice": append(bytes.Clone(after[:slotSize]), after[:slotSize]...),
	} {
		if got, err := opens(bad); !errors.Is(err, ErrState) {
			t.Errorf("%s: %+v, error %v, want %v", name, got, err, ErrState)
		}
	}
}

func TestNewestState(t *testing.T) {
	key, root := Hash{1}, Hash{2}
	record := func(turn uint64, size int64) []byte { return state{turn, size, root, key}.marshal() }
	for _, tt := range []struct {
		name     string
		slot     [2][]byte
		wantSize int64
		wantErr  error
	}{
		{"next", [2][]byte{record(4, 10), record(5, 11)}, 11, nil},
		{"next in the first slot", [2][]byte{record(6, 12), record(5, 11)}, 12, nil},
		{"one spoilt", [2][]byte{record(6, 12), nil}, 12, nil},
		{"a turn left out", [2][]byte{record(8, 12), record(5, 11)}, 0, ErrState},
		{"went back", [2][]byte{record(6, 10), record(5, 11)}, 0, ErrState},
		{"wrong slot", [2][]byte{record(5, 11), nil}, 0, ErrState},
		{"other key", [2][]byte{record(4, 10), state{5, 11, root, Hash{9}}.marshal()}, 0, ErrState},
		{"impossible size", [2][]byte{record(4, -1), nil}, 0, ErrState},
		{"empty tree with a root", [2][]byte{record(4, 0), nil}, 0, ErrState},
		{"none", [2][]byte{nil, nil}, 0, ErrState},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newest(tt.slot, key)
			if !errors.Is(err, tt.wantErr) || got.size != tt.wantSize {
				t.Errorf("%+v, error %v, want size %d, %v", got, err, tt.wantSize, tt.wantErr)
			}
		})
	}
}

func FuzzParseState(f *testing.F) {
	f.Add(state{3, 12, Hash{2}, Hash{1}}.marshal()[:96], true)
	f.Add(state{0, 0, emptyRoot, Hash{1}}.marshal(), false)
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal {
			b = sealed(b) // else no input would get past the checksum
		}
		s, err := parseState(b)
		if err == nil && !cmp.Equal(s.marshal(), b) || err != nil && !errors.Is(err, ErrState) {
			t.Fatalf("%x reads as %+v, %v", b, s, err)
		}
	})
}

func sealed(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(bytes.Clone(b), sum[:]...)
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
