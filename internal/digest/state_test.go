package digest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
)

// stateOf is the state after text.
func stateOf(t testing.TB, text string, algs ...Algorithm) []byte {
	t.Helper()
	h := NewHasher(algs...)
	defer h.Close()
	if _, err := h.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	s, err := h.State()
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStateForm pins the form: states saved by an older program must be understood.
func TestStateForm(t *testing.T) {
	const want = "637573746f6479206469676573742073746174652031" + "0a" + // magic
		"05" + "0000000000000003" + // md5 and sha256, after "abc"
		"6d643501" + "67452301efcdab8998badcfe10325476" // md5, first chaining value
	b := stateOf(t, "abc", AlgMD5)
	if got := hex.EncodeToString(b); !bytes.HasPrefix([]byte(got), []byte(want)) {
		t.Errorf("state begins %s", got[:len(want)])
	}
	if len(b) != 23+1+8+92+108 {
		t.Errorf("state has %d bytes", len(b))
	}
}

func TestStateRefused(t *testing.T) {
	good := stateOf(t, "abc", AlgMD5)
	change := func(at int, to byte) []byte {
		b := slices.Clone(good)
		b[at] = to
		return b
	}
	const head = len(stateMagic)
	for name, b := range map[string][]byte{
		"empty":             nil,
		"another version":   change(head-2, '2'),
		"no sha256":         slices.Concat(good[:head], []byte{1}, good[head+1:head+9+92]),
		"unknown algorithm": change(head, 0x25),
		"one missing":       change(head, 0x07),
		"negative size":     change(head+1, 0x80),
		"another size":      change(head+8, 4),
		"another md5 size":  change(head+9+91, 4),
		"wrong magic":       change(head+9, 'x'),
		"rest of a block":   change(head+9+4+16+3, 1),
		"one byte short":    good[:len(good)-1],
		"one byte long":     append(slices.Clone(good), 0),
		"only the head":     good[:head+9],
	} {
		var s State
		if err := s.UnmarshalBinary(b); !errors.Is(err, ErrState) || s != (State{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (State{}).MarshalBinary(); !errors.Is(err, ErrState) {
		t.Errorf("zero state marshals: %v", err)
	}
	if _, err := ResumeReader(nil, State{}); !errors.Is(err, ErrState) {
		t.Errorf("zero state resumes: %v", err)
	}
}

func FuzzState(f *testing.F) {
	f.Add(stateOf(f, ""))
	f.Add(stateOf(f, "abc", AlgMD5, AlgSHA1, AlgSHA384, AlgSHA512))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if s.UnmarshalBinary(b) != nil {
			return
		}
		if again, err := s.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		h, err := ResumeHasher(s)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if back, err := h.State(); err != nil || back != s {
			t.Fatalf("state does not survive a resume: %v", err)
		}
	})
}

func FuzzMidstates(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := ParseMidstates(b)
		if err != nil {
			if !errors.Is(err, ErrMidstates) || len(b)%32 == 0 {
				t.Fatal(err)
			}
			return
		}
		if again := list.Bytes(); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
