package evidence

import (
	"archive/zip"
	"encoding/json"
	"io"
	"math/big"
	"path"
	"reflect"
	"testing"
	"time"
)

// samples are the payloads of a bundle.
func samples(tb testing.TB) [][]byte {
	tb.Helper()
	b, err := zip.OpenReader("../verify/testdata/2026-0042.zip")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = b.Close() }() // only read from
	var all [][]byte
	for _, f := range b.File {
		if ok, err := path.Match("*/data/payloads/*.json", f.Name); err != nil || !ok {
			continue
		}
		r, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, text)
	}
	if len(all) < 10 {
		tb.Fatalf("%d payloads", len(all))
	}
	return all
}

// TestQuickSamples: the short way knows what a service writes.
func TestQuickSamples(t *testing.T) {
	for _, text := range samples(t) {
		if _, ok := quick(text); !ok {
			t.Errorf("not known to be canonical: %s", text)
		}
	}
}

// TestShapes: a type is read in the short way only if nothing of it is written in a way
// that its shape does not know.
func TestShapes(t *testing.T) {
	for _, test := range []struct {
		name  string
		of    any
		known bool
	}{
		{"a body", CopySealed{}, true},
		{"embedded", struct{ ExhibitAdded }{}, true},
		{"the same member twice", struct {
			ExhibitAdded
			Label Name `json:"label"`
		}{}, false},
		{"a member without a name", struct{ A string }{}, false},
		{"a member that is not written", struct {
			A string `json:"-"`
		}{}, false},
		{"false", struct {
			A bool `json:"a"`
		}{}, false},
		{"a fraction", struct {
			A float64 `json:"a"`
		}{}, false},
		{"bytes", struct {
			A []byte `json:"a"`
		}{}, false},
		{"a map", struct {
			A map[string]string `json:"a"`
		}{}, false},
		{"a number as text", struct {
			A int `json:"a,string"`
		}{}, false},
		{"a time of package time", struct {
			A time.Time `json:"a"`
		}{}, false},
		{"left out when zero", struct {
			A Time `json:"a,omitzero"`
		}{}, false},
		{"a struct that cannot be left out", struct {
			A LogFile `json:"a,omitempty"`
		}{}, false},
		{"read by itself", struct {
			A json.Number `json:"a"`
			B *big.Int    `json:"b"`
		}{}, false},
	} {
		if got := shapeOf(reflect.TypeOf(test.of)) != nil; got != test.known {
			t.Errorf("%s: known is %v", test.name, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	all := samples(b)
	var size int64
	for _, text := range all {
		size += int64(len(text))
	}
	b.SetBytes(size / int64(len(all)))
	b.ReportAllocs()
	for i := range b.N {
		if _, err := Parse(all[i%len(all)]); err != nil {
			b.Fatal(err)
		}
	}
}
