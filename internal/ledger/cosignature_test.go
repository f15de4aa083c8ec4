package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

func cosigner(tb testing.TB, name string) Cosigner {
	tb.Helper()
	skey, vkey, err := GenerateWitnessKey(bytes.NewReader(bytes.Repeat([]byte(name), 32)), name)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := NewCosigner(skey)
	if err != nil || c.Key().String() != vkey {
		tb.Fatalf("%s becomes %s: %v", vkey, c.Key(), err)
	}
	return c
}

func noteOf(tb testing.TB, c Checkpoint) ([]byte, VerifierKey) {
	tb.Helper()
	skey, _, err := GenerateKey(bytes.NewReader(make([]byte, 64)), c.Origin)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := newSigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	s.last = c
	signed, err := s.Sign(c, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return signed, s.Key()
}

// The example of C2SP tlog-cosignature, whose witness's key is not published: the line has
// its form, and the name and id that belong together.
const specNote = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
	"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" +
	"— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"

func TestSignatureLines(t *testing.T) {
	lines, err := SignatureLines([]byte(specNote))
	if err != nil || len(lines) != 2 || lines[1].String() != "witness.example.com/w1+8d66cf3f" {
		t.Errorf("%v %v", lines, err)
	}
	for name, text := range map[string]string{"none": "a\n1\nb\n", "garbled": specNote + "x\n", "empty": ""} {
		if _, err := SignatureLines([]byte(text)); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCosignature(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 999, time.UTC)
	c := Checkpoint{Origin: "lab.example/custody", Size: 7, Root: Hash{1}}
	note, key := noteOf(t, c)
	one, two := cosigner(t, "one.example/w"), cosigner(t, "two")
	line, err := one.Cosign(c.Body(), at)
	if err != nil {
		t.Fatal(err)
	}
	other := Checkpoint{Origin: c.Origin, Size: 7, Root: Hash{2}}
	elsewhere, err := one.Cosign(other.Body(), at)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		note    string
		key     WitnessKey
		wantErr error
	}{
		"ours":             {string(note) + line, one.Key(), nil},
		"before":           {string(c.Body()) + "\n" + line + strings.SplitN(string(note), "\n\n", 2)[1], one.Key(), nil},
		"not there":        {string(note), one.Key(), ErrNotCosigned},
		"of another":       {string(note) + line, two.Key(), ErrNotCosigned},
		"no key":           {string(note) + line, WitnessKey{}, ErrNotCosigned},
		"other checkpoint": {string(note) + elsewhere, one.Key(), ErrCosignature},
		"other time":       {string(note) + retimed(t, line), one.Key(), ErrCosignature},
		"no note":          {string(c.Body()) + line, one.Key(), ErrCheckpoint},
	} {
		got, err := row.key.Cosignature([]byte(row.note))
		if !errors.Is(err, row.wantErr) || err == nil && !got.Equal(at.Truncate(time.Second)) {
			t.Errorf("%s: %s %v, want %v", name, got, err, row.wantErr)
		}
	}
	if _, err := OpenCheckpoint([]byte(string(note)+line), key); err != nil {
		t.Error(err)
	}
	for name, when := range map[string]time.Time{"1969": time.Unix(-1, 0), "10000": time.Unix(maxSecond+1, 0)} {
		if _, err := one.Cosign(c.Body(), when); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Cosigner{}).Cosign(c.Body(), at); !errors.Is(err, ErrSyntax) {
		t.Errorf("without a key: %v", err)
	}
}

// retimed is a line one second later than was signed.
func retimed(tb testing.TB, line string) string {
	tb.Helper()
	words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	raw, err := parseBase64(words[2])
	if err != nil {
		tb.Fatal(err)
	}
	raw[11]++
	return "— " + words[1] + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

func TestCosigned(t *testing.T) {
	c := Checkpoint{Origin: "lab.example/custody", Size: 7, Root: Hash{1}}
	note, key := noteOf(t, c)
	other, _ := noteOf(t, Checkpoint{Origin: c.Origin, Size: 8, Root: Hash{2}})
	keys := []WitnessKey{}
	lines := []string{}
	for i, name := range []string{"a", "b", "c"} {
		w := cosigner(t, name)
		line, err := w.Cosign(c.Body(), time.Unix(int64(1000+i), 0))
		if err != nil {
			t.Fatal(err)
		}
		keys, lines = append(keys, w.Key()), append(lines, line)
	}
	later, err := cosigner(t, "a").Cosign(c.Body(), time.Unix(5000, 0))
	if err != nil {
		t.Fatal(err)
	}
	n := string(note)
	for name, row := range map[string]struct {
		signed  []string
		want    string
		wantErr error
	}{
		"alone":           {[]string{n}, n, nil},
		"in their order":  {[]string{n, n + lines[2] + lines[0], n + lines[1]}, n + lines[0] + lines[1] + lines[2], nil},
		"the first holds": {[]string{n + lines[0], n + later}, n + lines[0], nil},
		"a false one":     {[]string{n, n + retimed(t, lines[0]), n + later}, n + later, nil},
		"of strangers":    {[]string{n + "— x AAAAAAAAAAAAAAAAAAAA\n", n + lines[1]}, n + lines[1], nil},
		"none":            {nil, "", ErrCheckpoint},
		"unsigned":        {[]string{string(c.Body()) + "\n" + lines[0]}, "", ErrUnsigned},
		"of another":      {[]string{n, string(other) + lines[1]}, "", ErrCosignature},
	} {
		var signed [][]byte
		for _, s := range row.signed {
			signed = append(signed, []byte(s))
		}
		got, err := Cosigned(key, keys, signed...)
		if !errors.Is(err, row.wantErr) || string(got) != row.want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

func TestWitnessKey(t *testing.T) {
	skey, vkey, err := GenerateWitnessKey(bytes.NewReader(make([]byte, 32)), "W.example:8421/x")
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseWitnessKey(vkey)
	if err != nil || k.String() != vkey || k.Name() != "W.example:8421/x" {
		t.Errorf("%s: %v", k, err)
	}
	_, ledgers, err := GenerateKey(bytes.NewReader(make([]byte, 64)), "w")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "+", "++", vkey + "\n", vkey + "+", " " + vkey, strings.ToLower(vkey), vkey[:len(vkey)-1], ledgers,
		strings.Replace(vkey, "W", "w", 1), strings.Replace(vkey, "W", "\u00dc", 1), strings.Repeat("w", 101) + vkey[16:],
	} {
		if k, err := ParseWitnessKey(bad); !errors.Is(err, ErrSyntax) || k != (WitnessKey{}) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", vkey, "PRIVATE+KEY+" + vkey, skey + "\n", skey[:len(skey)-4], strings.Replace(skey, "W", "w", 1)} {
		if _, err := NewCosigner(bad); !errors.Is(err, ErrSyntax) || bad != "" && strings.Contains(err.Error(), skey[60:]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, name := range []string{"", "a b", "a+b", "\u00fc", "a\n", strings.Repeat("w", 101)} {
		if _, _, err := GenerateWitnessKey(bytes.NewReader(make([]byte, 32)), name); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// FuzzWitnessKey: what parses is written with the same bytes.
func FuzzWitnessKey(f *testing.F) {
	f.Add(cosigner(f, "one").Key().String())
	f.Add("a+00000000+BA==")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParseWitnessKey(s); err == nil && k.String() != s {
			t.Errorf("%q becomes %q", s, k)
		}
	})
}

// FuzzCosigned: what comes out holds, and comes out of itself again.
func FuzzCosigned(f *testing.F) {
	c := Checkpoint{Origin: "lab.example/custody", Size: 7, Root: Hash{1}}
	note, key := noteOf(f, c)
	w := cosigner(f, "one")
	line, err := w.Cosign(c.Body(), time.Unix(1000, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(bytes.Clone(note), line...))
	f.Add(append(append(bytes.Clone(note), line...), line...))
	f.Fuzz(func(t *testing.T, signed []byte) {
		out, err := Cosigned(key, []WitnessKey{w.Key()}, signed)
		if err != nil {
			return
		}
		again, err := Cosigned(key, []WitnessKey{w.Key()}, out)
		if err != nil || !bytes.Equal(again, out) || !bytes.HasPrefix(out, note) {
			t.Errorf("%q becomes %q, then %q: %v", signed, out, again, err)
		}
		if _, err := OpenCheckpoint(out, key); err != nil {
			t.Error(err)
		}
	})
}
