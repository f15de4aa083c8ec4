package verify

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const someNote = "example.org/custody\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— example.org/custody AAAA\n"

func TestNotes(t *testing.T) {
	other := strings.Replace(someNote, "\n1\n", "\n2\n", 1) + "— example.org/witness BBBB\n"
	for _, notes := range [][][]byte{nil, {[]byte(someNote)}, {[]byte(someNote), []byte(other), []byte(someNote)}} {
		got, err := ParseNotes(MarshalNotes(notes))
		if err != nil || len(got) != len(notes) {
			t.Errorf("%q: %v, %v", notes, got, err)
		}
		for i, n := range got {
			if !bytes.Equal(n.Signed, notes[i]) || n.Claimed.Origin != "example.org/custody" {
				t.Errorf("note %d: %+v", i, n)
			}
		}
	}
	good := string(MarshalNotes([][]byte{[]byte(someNote), []byte(other)}))
	for name, text := range map[string]string{
		"empty":           "",
		"another version": strings.Replace(good, " 1\n", " 2\n", 1),
		"no empty line":   strings.Replace(good, "1\n\nex", "1\nex", 1),
		"two empty lines": strings.Replace(good, "1\n\nex", "1\n\n\nex", 1),
		"line ends":       strings.ReplaceAll(good, "\n", "\r\n"),
		"cut":             good[:len(good)-1],
		"cut note":        good[:len(notesHead)+20],
		"cut signatures":  good[:len(notesHead)+1+strings.Index(someNote, "— ")],
		"spare line":      good + "x\n",
		"spare empty":     good + "\n",
		"size":            strings.Replace(good, "\n1\nAA", "\n01\nAA", 1),
		"no signature":    notesHead + "\n" + someNote[:strings.Index(someNote, "— ")],
		"extension":       strings.Replace(good, "=\n\n", "=\nmore\n\n", 1),
		"long note":       notesHead + "\n" + someNote + strings.Repeat("— example.org/witness BBBB\n", 4000),
		"long file":       notesHead + strings.Repeat("\n"+someNote, 20000),
	} {
		if got, err := ParseNotes([]byte(text)); !errors.Is(err, ErrNotes) || got != nil {
			t.Errorf("%s: %d notes, %v", name, len(got), err)
		}
	}
}

func FuzzParseNotes(f *testing.F) {
	f.Add(MarshalNotes([][]byte{[]byte(someNote), []byte(someNote)}))
	f.Fuzz(func(t *testing.T, text []byte) {
		notes, err := ParseNotes(text)
		if err != nil {
			return
		}
		var signed [][]byte
		for _, n := range notes {
			signed = append(signed, n.Signed)
		}
		if got := MarshalNotes(signed); !bytes.Equal(got, text) {
			t.Errorf("%q is written as %q", text, got)
		}
	})
}
