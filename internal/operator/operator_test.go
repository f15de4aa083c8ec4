package operator

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/source"
)

func sums(t *testing.T, letter string) (digest.SHA256, digest.Set) {
	t.Helper()
	sum, err := digest.ParseSHA256(strings.Repeat(letter, 64))
	if err != nil {
		t.Fatal(err)
	}
	set, err := digest.Set{}.With(digest.AlgSHA256, sum.String())
	if err == nil {
		set, err = set.With(digest.AlgMD5, strings.Repeat(letter, 32))
	}
	if err != nil {
		t.Fatal(err)
	}
	return sum, set
}

// TestAgree: facts that differ in anything are not signed, and the error names it.
func TestAgree(t *testing.T) {
	a, setA := sums(t, "a")
	b, setB := sums(t, "b")
	only, err := digest.Set{}.With(digest.AlgSHA256, a.String())
	if err != nil {
		t.Fatal(err)
	}
	until := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	late, early := evidence.TimeOf(until), evidence.TimeOf(until.Add(-time.Second))
	id := uuid.Must(uuid.NewV7())
	size := int64(digest.Segment + 1)
	good := func() (Known, evidence.Facts) {
		object := func(role evidence.Role, size int64, sum digest.SHA256) evidence.Object {
			return evidence.Object{Role: role, Size: size, SHA256: sum, Lock: "compliance", RetainUntil: &late}
		}
		k := Known{Intake: id, Exhibit: "E-1", Class: evidence.Master, Size: size, Digests: setA, Files: b, Log: b, Until: until, Received: true}
		return k, evidence.Facts{
			Intake: id, Exhibit: "E-1", Number: "M3", Size: size, Declared: setA, Received: setA, ReadBack: setA, ReadSource: "medium",
			Objects: []evidence.Object{
				object(evidence.Content, size, a), object(evidence.Midstates, 32, b), object(evidence.Files, 50, b), object(evidence.ToolLog, 60, b),
			},
		}
	}
	tests := map[string]struct {
		change func(*Known, *evidence.Facts)
		want   string // "": agreed
	}{
		"good":               {func(*Known, *evidence.Facts) {}, ""},
		"unlocked, and said": {func(_ *Known, f *evidence.Facts) { f.Objects[0].Lock, f.Objects[0].RetainUntil = "none", nil }, ""},
		"working copy": {func(k *Known, f *evidence.Facts) {
			k.Class, k.Received, f.Number, f.Received = evidence.Working, false, "W1", digest.Set{}
		}, ""},
		"intake":              {func(_ *Known, f *evidence.Facts) { f.Intake = uuid.Nil }, "intake"},
		"exhibit":             {func(_ *Known, f *evidence.Facts) { f.Exhibit = "E-2" }, "exhibit E-2"},
		"class":               {func(_ *Known, f *evidence.Facts) { f.Number = "W1" }, "number W1"},
		"size":                {func(_ *Known, f *evidence.Facts) { f.Size-- }, "bytes, not"},
		"declared":            {func(_ *Known, f *evidence.Facts) { f.Declared = setB }, "declared: md5"},
		"received":            {func(_ *Known, f *evidence.Facts) { f.Received = setB }, "received: md5"},
		"not received":        {func(_ *Known, f *evidence.Facts) { f.Received = digest.Set{} }, "received: no sha256"},
		"read back":           {func(_ *Known, f *evidence.Facts) { f.ReadBack = setB }, "read back: sha256"},
		"algorithm missing":   {func(_ *Known, f *evidence.Facts) { f.ReadBack = only }, "read back: no md5"},
		"content":             {func(_ *Known, f *evidence.Facts) { f.Objects[0].SHA256 = b }, "content: SHA-256"},
		"content size":        {func(_ *Known, f *evidence.Facts) { f.Objects[0].Size-- }, "content: "},
		"midstates size":      {func(_ *Known, f *evidence.Facts) { f.Objects[1].Size = 64 }, "midstates: 64 bytes, not 32"},
		"list":                {func(_ *Known, f *evidence.Facts) { f.Objects[2].SHA256 = a }, "files: SHA-256"},
		"log":                 {func(_ *Known, f *evidence.Facts) { f.Objects[3].SHA256 = a }, "log: SHA-256"},
		"lock too short":      {func(_ *Known, f *evidence.Facts) { f.Objects[1].RetainUntil = &early }, "midstates: not locked until"},
		"lock without date":   {func(_ *Known, f *evidence.Facts) { f.Objects[0].RetainUntil = nil }, "content: not locked until"},
		"no content":          {func(_ *Known, f *evidence.Facts) { f.Objects = f.Objects[1:] }, "no object with the role content"},
		"no log":              {func(_ *Known, f *evidence.Facts) { f.Objects = f.Objects[:3] }, "no object with the role log"},
		"an object twice":     {func(_ *Known, f *evidence.Facts) { f.Objects = append(f.Objects, f.Objects[0]) }, "an object with the role content"},
		"an object too many":  {func(k *Known, _ *evidence.Facts) { k.Log = digest.SHA256{} }, "an object with the role log"},
		"a list nobody knows": {func(k *Known, _ *evidence.Facts) { k.Files = digest.SHA256{} }, "an object with the role files"},
	}
	for name, test := range tests {
		k, f := good()
		test.change(&k, &f)
		err := k.Agree(f)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.Is(err, ErrFacts) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one that says %q", name, err, test.want)
		}
	}
}

func operator(t *testing.T) *Operator {
	t.Helper()
	place, err := NewPlace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Operator{Config: Config{Place: place, Now: time.Now}, Binding: Binding{URL: "http://x", Origin: "lab.example/custody"}}
}

// TestIntake: what was kept is found again, and a half-written mark costs nothing else.
func TestIntake(t *testing.T) {
	o := operator(t)
	path := evidence.Path{Case: "C-1", Exhibit: "E-1"}
	set := source.Set{Named: "/e/disk.dd", Title: "disk.dd", Files: []source.File{{Path: "/e/disk.dd", Size: 5, Modified: time.Unix(1e9, 5).UTC(), Inode: 7}}}
	kept := Intake{
		ID: uuid.Must(uuid.NewV7()), Path: path.String(), Source: set, Algs: []digest.Algorithm{digest.AlgMD5},
		Declared: Signed{Payload: []byte("{}"), Signature: []byte("s\n")},
	}
	open, err := o.KeepIntake(kept)
	if err != nil {
		t.Fatal(err)
	}
	marks := []source.Mark{{Offset: 1, Whole: []byte{1}}, {Offset: 2, Whole: []byte{2}, File: []byte{3}, Ended: []digest.SHA256{{4}}}}
	for _, m := range marks {
		if err := open.Note(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	file := o.Place.path("intakes", kept.ID.String()+".marks")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, cut := range map[string]struct {
		text  string
		marks int
	}{
		"whole":          {string(text), 2},
		"half a line":    {string(text[:len(text)-9]), 1},
		"no line break":  {string(text[:len(text)-1]), 1},
		"zeros at end":   {string(text) + "\x00\x00\x00\n", 2},
		"another member": {strings.Replace(string(text), `"offset":1`, `"offset":1,"x":2`, 1), 0},
		"empty":          {"", 0},
	} {
		if err := os.WriteFile(file, []byte(cut.text), 0o600); err != nil {
			t.Fatal(err)
		}
		found, ok, err := o.FindIntake(path, source.Set{Named: set.Named})
		if err != nil || !ok || !found.Source.Same(set) {
			t.Fatalf("%s: found %v, %v: %+v", name, ok, err, found)
		}
		again, err := o.Resume(found)
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(again.Marks, marks[:cut.marks], cmp.Transformer("nil", func(m []source.Mark) int { return len(m) })) {
			t.Errorf("%s: %d marks, want %d", name, len(again.Marks), cut.marks)
		}
		// What is noted now is read next time.
		next := source.Mark{Offset: 9, Whole: []byte{9}}
		if err := errors.Join(again.Note(next), again.Close()); err != nil {
			t.Fatal(err)
		}
		again, err = o.Resume(found)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(again.Marks); n != cut.marks+1 || again.Marks[n-1].Offset != 9 {
			t.Errorf("%s: %d marks after another one", name, n)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := o.FindIntake(evidence.Path{Case: "C-1", Exhibit: "E-2"}, set); ok || err != nil {
		t.Errorf("found for another exhibit: %v %v", ok, err)
	}
	open, err = o.Resume(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Done(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(o.Place.path("intakes", "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestFiles: nothing in the directory can be read by others, and a file is never half.
func TestFiles(t *testing.T) {
	o := operator(t)
	if err := o.Place.writeJSON("intakes/x.json", session{Server: "s"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"intakes": 0o700 | fs.ModeDir, "intakes/x.json": 0o600} {
		info, err := os.Stat(o.Place.path(name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	for name, text := range map[string]string{
		"unknown member": `{"server":"s","colour":"red"}`, "more behind": `{"server":"s"} {}`, "not JSON": `server=s`,
	} {
		if err := o.Place.write([]byte(text), "session.json"); err != nil {
			t.Fatal(err)
		}
		var s session
		if err := o.Place.readJSON("session.json", &s); err == nil {
			t.Errorf("%s: read without error", name)
		}
		if o.savedToken().Reveal() != "" {
			t.Errorf("%s: a token", name)
		}
	}
	if _, err := o.Place.Binding(); !errors.Is(err, ErrNotSetUp) {
		t.Errorf("error %v, want %v", err, ErrNotSetUp)
	}
}
