package operator

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/source"
)

// FuzzFiles: what is read from a file of the directory is written as what reads the same
// again; nothing that is half, or more, is read.
func FuzzFiles(f *testing.F) {
	key := "lab.example/custody+49ee79db+AW+Y4eXSnLes8PEsxfsWISQCcBTZ3+qWRHcEyzCqFcZp"
	f.Add("server.json", []byte(`{"server":"https://x","principal":"examiner1","key_file":"/k","origin":"lab.example/custody","verifier_key":"`+key+`"}`))
	f.Add("server.json", []byte(`{"server":"https://x","principal":"examiner1","origin":"other.example","verifier_key":"`+key+`"}`))
	f.Add("session.json", []byte(`{"server":"s","principal":"p","token":"t","expires":"2026-01-01T00:00:00Z"} {}`))
	f.Add("intakes/x.json", []byte(`{"intake":"01234567-89ab-7def-8123-456789abcdef","server":"s","origin":"o","exhibit":"C/E",`+
		`"source":{"named":"/x","title":"x","files":[{"path":"/x","size":1,"modified":"2026-01-01T00:00:00Z"}],"listed":false},`+
		`"algorithms":["md5"],"log":"/l","log_sha256":"`+"00000000000000000000000000000000000000000000000000000000000000ab"+`","declared":{"payload":"e30=","signature":"cw=="}}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		var value any
		switch name {
		case "server.json":
			value = &Binding{}
		case "session.json":
			value = &session{}
		default:
			name, value = "intakes/x.json", &Intake{}
		}
		p := Place{t.TempDir()}
		if err := p.write(text, name); err != nil {
			t.Fatal(err)
		}
		if p.readJSON(name, value) != nil {
			return
		}
		if err := p.writeJSON(name, value); err != nil {
			return // such as a time that JSON has no words for
		}
		again := reflect.New(reflect.TypeOf(value).Elem()).Interface()
		if err := p.readJSON(name, again); err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		first, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		second, err := json.Marshal(again)
		if err != nil || string(first) != string(second) {
			t.Errorf("%s\nbecame\n%s, %v", first, second, err)
		}
		if b, err := p.Binding(); name == "server.json" && err == nil && b.Origin != b.VerifierKey.Origin() {
			t.Errorf("a key of %s for %s", b.VerifierKey.Origin(), b.Origin)
		}
	})
}

// FuzzMarks: whatever a crash left of the marks, those that are read are kept, and what
// is noted next is read behind them.
func FuzzMarks(f *testing.F) {
	f.Add([]byte("{\"offset\":1,\"whole\":\"AQ==\"}\n{\"offset\":2,\"whole\":\"Ag==\",\"file\":\"Aw==\",\"ended\":[]}\n"))
	f.Add([]byte("{\"offset\":1,\"whole\":\"AQ==\"}\n{\"offset\":2,"))
	f.Add([]byte("{\"offset\":1,\"whole\":\"AQ==\",\"x\":1}\n"))
	f.Add([]byte("{\"offset\":1,\"whole\":\"AQ==\"} {}\n"))
	f.Add([]byte("\x00\x00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o := operator(t)
		kept := Intake{Path: "C/E"}
		name := o.Place.path("intakes", kept.ID.String()+".marks")
		if err := o.Place.write(text, "intakes", kept.ID.String()+".marks"); err != nil {
			t.Fatal(err)
		}
		open, err := o.Resume(kept)
		if err != nil {
			t.Fatal(err)
		}
		before := len(open.Marks)
		if err := open.Note(source.Mark{Offset: 9, Whole: []byte{9}}); err != nil {
			t.Fatal(err)
		}
		if err := open.Close(); err != nil {
			t.Fatal(err)
		}
		if open, err = o.Resume(kept); err != nil {
			t.Fatal(err)
		}
		if len(open.Marks) != before+1 {
			left, _ := os.ReadFile(name)
			t.Errorf("%d marks, then %d: %q", before, len(open.Marks), left)
		}
		if err := open.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzFileName: no two origins share a file, and none leaves the directory.
func FuzzFileName(f *testing.F) {
	f.Add("lab.example/custody", "lab.example/custody/x")
	f.Add("..", "a/b")
	f.Fuzz(func(t *testing.T, a, b string) {
		one, errOne := ledger.ParseOrigin(a)
		two, errTwo := ledger.ParseOrigin(b)
		if errOne != nil || errTwo != nil {
			return
		}
		if (fileName(one) == fileName(two)) != (one == two) {
			t.Errorf("%q and %q are kept as %q and %q", a, b, fileName(one), fileName(two))
		}
		if strings.ContainsRune(fileName(one), filepath.Separator) {
			t.Errorf("%q is kept as %q", a, fileName(one))
		}
	})
}
