package verify_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

const origin = "example.org/custody"

func key(tb testing.TB) ledger.VerifierKey {
	tb.Helper()
	_, text, err := ledger.GenerateKey(zeros{}, origin)
	if err != nil {
		tb.Fatal(err)
	}
	k, err := ledger.ParseVerifierKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestPolicy(t *testing.T) {
	k := key(t)
	two := "origin " + origin + "\nlog " + k.String() + "\n"
	for name, row := range map[string]struct {
		text    string
		want    verify.Policy
		wantErr error
	}{
		"plain":         {two, verify.Policy{Key: k}, nil},
		"comments":      {"# a\n\n" + two + "#witness x\n", verify.Policy{Key: k}, nil},
		"other order":   {"log " + k.String() + "\norigin " + origin + "\n", verify.Policy{Key: k}, nil},
		"witnesses":     {two + "witness b\nwitness a\n", verify.Policy{Key: k, Witnesses: []string{"a", "b"}}, nil},
		"empty":         {"", verify.Policy{}, verify.ErrPolicy},
		"no log":        {"origin " + origin + "\n", verify.Policy{}, verify.ErrPolicy},
		"no origin":     {"log " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"other origin":  {"origin example.org\nlog " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"two origins":   {two + "origin " + origin + "\n", verify.Policy{}, verify.ErrPolicy},
		"two logs":      {two + "log " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"two witnesses": {two + "witness a\nwitness a\n", verify.Policy{}, verify.ErrPolicy},
		"unknown word":  {two + "quorum 2\n", verify.Policy{}, verify.ErrPolicy},
		"spaces":        {"origin  " + origin + "\nlog " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"CRLF":          {strings.ReplaceAll(two, "\n", "\r\n"), verify.Policy{}, verify.ErrPolicy},
		"no last line":  {strings.TrimSuffix(two, "\n"), verify.Policy{}, verify.ErrPolicy},
		"bad key":       {"origin " + origin + "\nlog " + k.String()[:40] + "\n", verify.Policy{}, verify.ErrPolicy},
		"bad witness":   {two + "witness A\n", verify.Policy{}, verify.ErrPolicy},
		"long":          {two + "#" + strings.Repeat("x", 64<<10) + "\n", verify.Policy{}, verify.ErrPolicy},
		"many":          {two + "witness " + strings.Join(names(101), "\nwitness ") + "\n", verify.Policy{}, verify.ErrPolicy},
	} {
		p, err := verify.ParsePolicy([]byte(row.text))
		if !errors.Is(err, row.wantErr) {
			t.Errorf("%s: error %v, want %v", name, err, row.wantErr)
		}
		if diff := cmp.Diff(row.want, p, cmp.Comparer(func(a, b ledger.VerifierKey) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Repeat("x", i+1)[:min(i+1, 100)]
	}
	return list
}

func TestFileName(t *testing.T) {
	for origin, want := range map[ledger.Origin]string{
		"lab.example/custody": "lab.example+custody.policy", "../x": "..+x.policy", "lab": "lab.policy", "/": "+.policy",
	} {
		if got := verify.FileName(origin); got != want {
			t.Errorf("%s: %s", origin, got)
		}
	}
}

// FuzzPolicy: what parses is written in one form, which parses to the same.
func FuzzPolicy(f *testing.F) {
	k := key(f)
	f.Add([]byte("origin " + origin + "\nlog " + k.String() + "\nwitness b\nwitness a\n# x\n"))
	f.Add([]byte("origin a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := verify.ParsePolicy(text)
		if err != nil {
			return
		}
		again, err := verify.ParsePolicy(p.Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) || again.Key != p.Key {
			t.Errorf("%q becomes %q: %v", text, p.Marshal(), err)
		}
	})
}
