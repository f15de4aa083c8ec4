package source

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/digest"
)

// TestBeside: which numbers are those of one image.
func TestBeside(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"disk.001", "disk.002", true},
		{"disk.001", "disk.1000", true},
		{"disk.0001", "disk.1000", true},
		{"disk.001", "disk.0002", false},
		{"disk.0001", "disk.999", false},
		{"disk.0001", "disk.0999", true},
		{"disk.001", "disc.002", false},
		{"disk.E01", "disk.E99", true},
		{"disk.E01", "disk.S02", false},
		{"disk.E01", "disk.001", false},
	} {
		a, oka := partOf(tt.a)
		b, okb := partOf(tt.b)
		if !oka || !okb || a.beside(b) != tt.want || b.beside(a) != tt.want {
			t.Errorf("%s (%v) beside %s (%v): want %v", tt.a, oka, tt.b, okb, tt.want)
		}
	}
}

// FuzzPart: what is read as a part has one spelling, the one that was read, and is
// beside itself and whatever comes next to it.
func FuzzPart(f *testing.F) {
	for _, seed := range []string{"disk.001", "disk.0001", "disk.1000", "disk.000", "image.E01", "image.Ex01", "messages.1", "a.99999999999999999999", ".001", "x.0\n1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p, ok := partOf(path)
		if !ok {
			return
		}
		if p.path() != path || !p.beside(p) || p.number < 0 {
			t.Fatalf("%q is read as %+v, which is %q", path, p, p.path())
		}
		next := p
		next.number++
		after, ok := partOf(next.path())
		if p.prefix[len(p.prefix)-1] == '.' && (!ok || !after.beside(p) || after.number != p.number+1) {
			t.Fatalf("after %q comes %q, read as %+v %v", path, next.path(), after, ok)
		}
	})
}

// FuzzMark: marks come from a file; what is taken as one writes itself as it was read
// and gives a pass that can go on, and nothing panics.
func FuzzMark(f *testing.F) {
	s, whole := set(f, 100, 0, digest.Segment+7)
	var kept []Mark
	p, err := NewPass(s, []digest.Algorithm{digest.AlgMD5}, nil, func(m Mark) error { kept = append(kept, m); return nil })
	if err != nil {
		f.Fatal(err)
	}
	check(f, p, s, whole)
	for _, m := range kept {
		text, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"offset":16777216,"whole":"AA==","file":"AA==","ended":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Mark
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if d.Decode(&m) != nil {
			return
		}
		p, err := NewPass(s, []digest.Algorithm{digest.AlgMD5}, []Mark{m}, nil)
		if err != nil {
			return
		}
		defer p.Close()
		if m.Offset < 1 || m.Offset > s.Size() {
			t.Fatalf("a mark at %d of %d", m.Offset, s.Size())
		}
		if r, err := p.begin(m.Offset); err == nil {
			if r.at != m.Offset || r.file > len(s.Files) {
				t.Errorf("the mark at %d begins at %d in file %d", m.Offset, r.at, r.file)
			}
			r.close()
		}
	})
}

// FuzzTitle: a title is one visible line of at most 255 characters, whatever the file is
// called.
func FuzzTitle(f *testing.F) {
	for _, seed := range []string{"disk.dd", "a\nb", "\xff", "\u202e", strings.Repeat("é", 300), ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := title(name)
		if n := len([]rune(got)); n > 255 || strings.ContainsAny(got, "\n\r\t\x00\u202e") || got != title(got) {
			t.Errorf("%q: %d characters: %q", name, n, got)
		}
		if clean := filepath.ToSlash(name); strings.Trim(clean, "abcdefghijklmnopqrstuvwxyz.") == "" && len(clean) < 255 && got != clean {
			t.Errorf("%q became %q", name, got)
		}
	})
}
