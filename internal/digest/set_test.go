package digest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	emptyMD5    = "d41d8cd98f00b204e9800998ecf8427e"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func TestParseAlgorithm(t *testing.T) {
	for _, name := range []string{"md5", "sha1", "sha256", "sha384", "sha512"} {
		if a, err := ParseAlgorithm(name); err != nil || string(a) != name {
			t.Errorf("%s: %q, %v", name, a, err)
		}
	}
	for _, name := range []string{"", "SHA256", "sha-256", "sha224", "sha256 "} {
		if a, err := ParseAlgorithm(name); !errors.Is(err, ErrAlgorithm) || a != "" {
			t.Errorf("%q: %q, %v", name, a, err)
		}
	}
}

func TestSHA256JSON(t *testing.T) {
	for _, row := range []struct {
		text    string
		wantErr error
	}{
		{`"` + emptySHA256 + `"`, nil},
		{`"` + strings.ToUpper(emptySHA256) + `"`, ErrDigest},
		{`"` + emptySHA256[1:] + `"`, ErrDigest},
		{`"` + emptySHA256 + `0"`, ErrDigest},
		{`"` + emptySHA256[1:] + `\u0065"`, ErrDigest},
		{`"\u0065` + emptySHA256[1:] + `"`, ErrDigest},
		{`""`, ErrDigest},
		{`null`, ErrDigest},
		{`7`, ErrDigest},
	} {
		got := SHA256{1}
		err := json.Unmarshal([]byte(row.text), &got)
		if !errors.Is(err, row.wantErr) {
			t.Errorf("%s: %v, want %v", row.text, err, row.wantErr)
			continue
		}
		if err != nil {
			if got != (SHA256{}) {
				t.Errorf("%s: %v beside an error", row.text, got)
			}
			continue
		}
		if again, err := json.Marshal(got); err != nil || string(again) != row.text {
			t.Errorf("%s became %s, %v", row.text, again, err)
		}
	}
}

func TestSetJSON(t *testing.T) {
	m, s := `"md5":"`+emptyMD5+`"`, `"sha256":"`+emptySHA256+`"`
	for _, row := range []struct {
		text    string
		wantErr error
	}{
		{`{}`, nil},
		{`{` + m + `}`, nil},
		{`{` + m + `,` + s + `}`, nil},
		{"{\n " + m + " ,\n " + s + "\n}", nil},
		{`{` + s + `,` + m + `}`, ErrDigest},
		{`{` + m + `,` + m + `}`, ErrDigest},
		{`{"\u006dd5":"` + emptyMD5 + `"}`, ErrDigest},
		{`{"md5":"\u0064` + emptyMD5[1:] + `"}`, ErrDigest},
		{`{"md5":"` + strings.ToUpper(emptyMD5) + `"}`, ErrDigest},
		{`{"md5":"` + emptySHA256 + `"}`, ErrDigest},
		{`{"md5":""}`, ErrDigest},
		{`{"md5":null}`, ErrDigest},
		{`{"MD5":"` + emptyMD5 + `"}`, ErrAlgorithm},
		{`{"crc32":"00000000"}`, ErrAlgorithm},
		{`null`, ErrDigest},
		{`[]`, ErrDigest},
	} {
		var got Set
		err := json.Unmarshal([]byte(row.text), &got)
		if !errors.Is(err, row.wantErr) {
			t.Errorf("%s: %v, want %v", row.text, err, row.wantErr)
		}
		if err != nil && !got.IsZero() {
			t.Errorf("%s: %v beside an error", row.text, got)
		}
		if err == nil {
			checkSetJSON(t, []byte(row.text), got)
		}
	}
}

// checkSetJSON demands that what parsed is written as it was, but for white space.
func checkSetJSON(t *testing.T, text []byte, s Set) {
	t.Helper()
	var want bytes.Buffer
	if err := json.Compact(&want, text); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(s); err != nil || !bytes.Equal(again, want.Bytes()) {
		t.Errorf("%s became %s, %v", text, again, err)
	}
}

func FuzzSetJSON(f *testing.F) {
	f.Add([]byte(`{"md5":"` + emptyMD5 + `","sha256":"` + emptySHA256 + `"}`))
	f.Add([]byte(`{ }`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Set
		if json.Unmarshal(text, &s) == nil {
			checkSetJSON(t, text, s)
		}
	})
}

func TestSetOmitted(t *testing.T) {
	var record struct {
		Declared Set    `json:"declared,omitzero"`
		List     SHA256 `json:"list,omitzero"`
	}
	if b, err := json.Marshal(record); err != nil || string(b) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
}

func TestSet(t *testing.T) {
	with := func(s Set, a Algorithm, digest string) Set {
		t.Helper()
		s, err := s.With(a, digest)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	md5Only := with(Set{}, AlgMD5, emptyMD5)
	both := with(md5Only, AlgSHA256, emptySHA256)
	other := with(both, AlgMD5, strings.Repeat("0", 32))
	shaOnly := with(Set{}, AlgSHA256, emptySHA256)

	for _, row := range []struct {
		a, b Set
		want []Algorithm
	}{
		{both, both, nil},
		{md5Only, both, nil},
		{md5Only, shaOnly, nil},
		{both, other, []Algorithm{AlgMD5}},
		{other, md5Only, []Algorithm{AlgMD5}},
		{with(other, AlgSHA256, strings.Repeat("1", 64)), both, []Algorithm{AlgMD5, AlgSHA256}},
	} {
		if got := Differ(row.a, row.b); !slices.Equal(got, row.want) {
			t.Errorf("Differ(%v, %v) = %v", row.a, row.b, got)
		}
	}
	if both.Equal(other) || both.Equal(md5Only) || !both.Equal(with(shaOnly, AlgMD5, emptyMD5)) {
		t.Error("Equal")
	}
	if got := both.String(); got != "md5:"+emptyMD5+" sha256:"+emptySHA256 {
		t.Error(got)
	}
	if got := both.Algorithms(); !slices.Equal(got, []Algorithm{AlgMD5, AlgSHA256}) {
		t.Error(got)
	}
	if d, ok := both.SHA256(); !ok || d.String() != emptySHA256 {
		t.Error(d, ok)
	}
	if d, ok := md5Only.SHA256(); ok || d != (SHA256{}) {
		t.Error(d, ok)
	}
	if d, ok := both.Get(AlgMD5); !ok || d != emptyMD5 {
		t.Error(d, ok)
	}
	for _, a := range []Algorithm{AlgSHA1, "crc32"} {
		if d, ok := both.Get(a); ok || d != "" {
			t.Error(a, d, ok)
		}
	}
	if s, err := both.With("crc32", "00000000"); !errors.Is(err, ErrAlgorithm) || !s.IsZero() {
		t.Error(s, err)
	}
	if s, err := both.With(AlgSHA1, emptyMD5); !errors.Is(err, ErrDigest) || !s.IsZero() {
		t.Error(s, err)
	}
}
