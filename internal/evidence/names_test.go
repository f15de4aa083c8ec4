package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// What parses prints the same; there is no second spelling of a name.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"2026-0042/E-001/M1", "2026-0042", "a/b", "a/b/W12", "a/b/M01", "a/b/M0", "a/b/X1", "a//M1", "a/", "/", "", ".", "..", "-a", "a/b/M1/",
		"00000000000000000000000000000001", "0000000000000000000000000000000A",
		"0000-02-29T23:59:59.999999Z", "2026-13-01T00:00:00.000000Z", "2026-01-01T24:00:00.000000Z", "2026-01-01T00:60:00.000000Z", "2026-01-01T00:00:60.000000Z",
		"2026-00-01T00:00:00.000000Z", "2026-01-00T00:00:00.000000Z", "2100-02-29T00:00:00.000000Z", "2026-03-01T09:30:00.00000 Z", "ä", "a/\n", "a\n",
		"2026-03-01T09:30:00.000000Z", "2026-03-01T09:30:00,000000Z", "2026-03-01T09:30:00.000000+00:00", "2026-02-30T09:30:00.000000Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := evidence.ParsePath(s); err == nil && p.String() != s {
			t.Errorf("path %q prints %q", s, p)
		}
		if n, err := evidence.ParseNumber(s); err == nil && (string(n) != s || n.Class() == "") {
			t.Errorf("number %q is %q of class %q", s, n, n.Class())
		}
		if id, err := evidence.ParseCaseID(s); err == nil && id.String() != s {
			t.Errorf("case id %q prints %q", s, id)
		}
		var at evidence.Time
		if err := at.UnmarshalText([]byte(s)); err == nil && at.String() != s {
			t.Errorf("time %q prints %q", s, at)
		} else if err == nil && evidence.TimeOf(at.Time()) != at {
			t.Errorf("time %q is another after all", s)
		}
		const layout = "2006-01-02T15:04:05.000000Z"
		err := at.UnmarshalText([]byte(s))
		if p, wrong := time.Parse(layout, s); (err == nil) != (wrong == nil && p.Format(layout) == s) || err == nil && !p.Equal(at.Time()) {
			t.Errorf("time %q: %v, package time: %v", s, err, wrong)
		}
		if _, err := evidence.ParseName(s); (err == nil) != nameForm.MatchString(s) {
			t.Errorf("name %q: %v", s, err)
		}
	})
}

func TestTime(t *testing.T) {
	east := time.FixedZone("east", 3600)
	if got := evidence.TimeOf(time.Date(2026, 3, 1, 10, 30, 0, 123456789, east)).String(); got != "2026-03-01T09:30:00.123456Z" {
		t.Errorf("time prints %s", got)
	}
	for _, year := range []int{-1, 10000} {
		if text, err := evidence.TimeOf(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)).MarshalText(); err == nil {
			t.Errorf("year %d marshals as %s", year, text)
		}
	}
}

const line = `{"name":"auth.log","sha256":"%064d","size":%d}` + "\n"

func TestList(t *testing.T) {
	good := fmt.Sprintf(line, 1, 10) + fmt.Sprintf(line, 2, 0) + fmt.Sprintf(line, 3, 5)
	for name, test := range map[string]struct {
		list    string
		wantErr error
	}{
		"none":                     {"", nil},
		"three":                    {good, nil},
		"no line break at the end": {strings.TrimSuffix(good, "\n"), evidence.ErrList},
		"empty line":               {good + "\n", evidence.ErrList},
		"carriage return":          {strings.ReplaceAll(good, "\n", "\r\n"), evidence.ErrList},
		"another order":            {`{"size":1,"name":"a","sha256":"` + strings.Repeat("0", 64) + "\"}\n", evidence.ErrNotCanonical},
		"space":                    {strings.Replace(good, ",", ", ", 1), evidence.ErrNotCanonical},
		"unknown member":           {strings.Replace(good, `{"name"`, `{"a":1,"name"`, 1), evidence.ErrList},
		"negative size":            {strings.Replace(good, `:10}`, `:-1}`, 1), evidence.ErrList},
		"absolute":                 {strings.Replace(good, "auth.log", "/auth.log", 1), evidence.ErrList},
		"climbing":                 {strings.Replace(good, "auth.log", "../auth.log", 1), evidence.ErrList},
		"climbing inside":          {strings.Replace(good, "auth.log", "a/../../auth.log", 1), evidence.ErrList},
		"not clean":                {strings.Replace(good, "auth.log", "a//auth.log", 1), evidence.ErrList},
		"the folder itself":        {strings.Replace(good, "auth.log", ".", 1), evidence.ErrList},
		"no name":                  {strings.Replace(good, "auth.log", "", 1), evidence.ErrList},
		"no hash":                  {`{"name":"a","size":1}` + "\n", evidence.ErrNotCanonical},
		"two names":                {strings.Replace(good, `"auth.log"`, `"auth.log","name_b64":"YQ=="`, 1), evidence.ErrList},
		"plain name as bytes":      {strings.Replace(good, `"name":"auth.log"`, `"name_b64":"YXV0aC5sb2c="`, 1), evidence.ErrList},
		"name as bytes":            {strings.Replace(good, `"name":"auth.log"`, `"name_b64":"/w=="`, 1), nil},
		"name with a NUL":          {strings.Replace(good, `"name":"auth.log"`, `"name_b64":"YQBi"`, 1), evidence.ErrList},
		"line too long":            {strings.Replace(good, "auth.log", strings.Repeat("a", 40<<10), 1), evidence.ErrList},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 7, len(test.list) + 1} {
				files, offsets, err := readList([]byte(test.list), piece)
				if !errors.Is(err, test.wantErr) || (err == nil) != (test.wantErr == nil) {
					t.Fatalf("in pieces of %d: %v, want %v", piece, err, test.wantErr)
				}
				if name == "three" && (len(files) != 3 || offsets[1] != 10 || offsets[2] != 10) {
					t.Errorf("files %v at %v", files, offsets)
				}
			}
		})
	}
}

func readList(list []byte, piece int) (files []evidence.File, offsets []int64, err error) {
	p := evidence.ListParser{Each: func(f evidence.File, offset int64) error {
		files, offsets = append(files, f), append(offsets, offset)
		return nil
	}}
	for len(list) > 0 {
		n := min(piece, len(list))
		if _, err := p.Write(list[:n]); err != nil {
			return nil, nil, err
		}
		list = list[n:]
	}
	count, size, err := p.Total()
	if err != nil {
		return nil, nil, err
	}
	var sum int64
	for _, f := range files {
		sum += f.Size
	}
	if count != len(files) || size != sum {
		return nil, nil, fmt.Errorf("total of %d files is %d, %d", len(files), count, size)
	}
	return files, offsets, nil
}

// What parses re-encodes to the same bytes, in pieces of any size, and every path
// stays below the folder that it is written to.
func FuzzList(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(line, 1, 10)+fmt.Sprintf(line, 2, 0)), 3)
	f.Add([]byte(`{"name_b64":"/w==","sha256":"`+strings.Repeat("0", 64)+"\",\"size\":0}\n"), 100)
	f.Fuzz(func(t *testing.T, list []byte, piece int) {
		files, _, err := readList(list, max(1, piece))
		if err != nil {
			return
		}
		var again []byte
		for _, file := range files {
			line, err := file.Line()
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, line...)
			if p := file.Path(); p == "" || p[0] == '/' || strings.HasPrefix(p+"/", "../") || strings.Contains(p, "/../") {
				t.Errorf("path %q leads out", p)
			}
			if named := file.Named(file.Path()); !bytes.Equal(named.NameB64, file.NameB64) || named.Name != file.Name {
				t.Errorf("%q has two spellings", file.Path())
			}
		}
		if !bytes.Equal(again, list) {
			t.Errorf("parsed  %s\nencoded %s", list, again)
		}
	})
}
