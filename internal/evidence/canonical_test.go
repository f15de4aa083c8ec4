package evidence

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"path"
	"strconv"
	"testing"

	"github.com/gowebpki/jcs"
)

// FuzzCanonical holds the short way against the library: what it calls canonical is.
func FuzzCanonical(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"b":[1,{"d":"x","c":null}],"a":{"":true}}`, `{"a":"\u0008"}`, `{"a":"\b"}`, `{"a":"\u2028"}`, "{\"a\":\"\u2028\"}",
		`{"a":"<&>"}`, `{"ü":1,"a":2}`, `{"a":1.0}`, `{"a":"\\\""}`, `[[[[1]]]]`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var value any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&value) != nil {
			return
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if e.Encode(value) != nil {
			return
		}
		encoded := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		want, err := jcs.Transform(encoded)
		if err != nil || hasFraction(value) { // events have whole numbers only
			return
		}
		if isCanonical(text, encoded) && !bytes.Equal(want, text) {
			t.Errorf("%q is called canonical, the library writes %q", text, want)
		}
	})
}

func hasFraction(value any) bool {
	switch v := value.(type) {
	case json.Number:
		n, err := v.Int64()
		return err != nil || n < 0 || n > 1<<53-1 || strconv.FormatInt(n, 10) != v.String()
	case []any:
		for _, e := range v {
			if hasFraction(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if hasFraction(e) {
				return true
			}
		}
	}
	return false
}

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

// TestCanonicalSamples: the short way knows what a service writes.
func TestCanonicalSamples(t *testing.T) {
	for _, text := range samples(t) {
		e, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := e.json()
		if err != nil {
			t.Fatal(err)
		}
		if !isCanonical(text, encoded) {
			t.Errorf("not known to be canonical: %s", text)
		}
		if isCanonical(append(bytes.Clone(text), ' '), encoded) || isCanonical(bytes.Replace(text, []byte(`"v":1`), []byte(`"v":2`), 1), encoded) {
			t.Errorf("other bytes are taken for %s", text)
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
