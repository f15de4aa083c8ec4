package verify_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"strconv"
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

// witnessKey makes a witness whose key is that of its name.
func witnessKey(tb testing.TB, name string) ledger.Cosigner {
	tb.Helper()
	seed := sha256.Sum256([]byte(name))
	skey, _, err := ledger.GenerateWitnessKey(bytes.NewReader(seed[:]), name)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := ledger.NewCosigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestPolicy(t *testing.T) {
	k := key(t)
	a, b, c := witnessKey(t, "witness.example/a").Key(), witnessKey(t, "b").Key(), witnessKey(t, "C:8080").Key()
	abc := "witness A " + a.String() + "\nwitness B " + b.String() + "\nwitness C " + c.String() + "\n"
	three := []verify.Witness{{Name: "A", Key: a}, {Name: "B", Key: b}, {Name: "C", Key: c}}
	own := func(name string) string { // a witness that signs with the ledger's own key
		skey, _, err := ledger.GenerateWitnessKey(zeros{}, name)
		if err != nil {
			t.Fatal(err)
		}
		w, err := ledger.NewCosigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		return w.Key().String()
	}
	two := "origin " + origin + "\nlog " + k.String() + "\n"
	for name, row := range map[string]struct {
		text    string
		want    verify.Policy
		wantErr error
	}{
		"plain":       {two, verify.Policy{Key: k}, nil},
		"comments":    {"# a\n\n" + two + "#witness x\n", verify.Policy{Key: k}, nil},
		"other order": {"log " + k.String() + "\norigin " + origin + "\n", verify.Policy{Key: k}, nil},
		"witnesses":   {two + abc + "quorum none\n", verify.Policy{Key: k, Witnesses: three, Quorum: "none"}, nil},
		"one":         {two + abc + "quorum B\n", verify.Policy{Key: k, Witnesses: three, Quorum: "B"}, nil},
		"groups": {two + abc + "group AB 2 A B\ngroup all all AB C\nquorum all\n", verify.Policy{
			Key: k, Witnesses: three, Groups: []verify.Group{{"AB", 2, []string{"A", "B"}}, {"all", 2, []string{"AB", "C"}}}, Quorum: "all",
		}, nil},
		"any": {two + abc + "group x any A B C\nquorum x\n", verify.Policy{
			Key: k, Witnesses: three, Groups: []verify.Group{{"x", 1, []string{"A", "B", "C"}}}, Quorum: "x",
		}, nil},
		"no demand":     {two + "quorum none\n", verify.Policy{Key: k, Quorum: "none"}, nil},
		"empty":         {"", verify.Policy{}, verify.ErrPolicy},
		"no log":        {"origin " + origin + "\n", verify.Policy{}, verify.ErrPolicy},
		"no origin":     {"log " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"other origin":  {"origin example.org\nlog " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"two origins":   {two + "origin " + origin + "\n", verify.Policy{}, verify.ErrPolicy},
		"two logs":      {two + "log " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"two names":     {two + abc + "witness A " + own("x") + "\nquorum none\n", verify.Policy{}, verify.ErrPolicy},
		"two keys":      {two + abc + "witness D " + a.String() + "\nquorum none\n", verify.Policy{}, verify.ErrPolicy},
		"ledger's key":  {two + "witness D " + own("x") + "\nquorum D\n", verify.Policy{}, verify.ErrPolicy},
		"no quorum":     {two + abc, verify.Policy{}, verify.ErrPolicy},
		"two quorums":   {two + abc + "quorum none\nquorum A\n", verify.Policy{}, verify.ErrPolicy},
		"quorum before": {two + "quorum A\n" + abc, verify.Policy{}, verify.ErrPolicy},
		"quorum 2":      {two + "quorum 2\n", verify.Policy{}, verify.ErrPolicy},
		"old witness":   {two + "witness witness.example/w1\nquorum none\n", verify.Policy{}, verify.ErrPolicy},
		"ledger key":    {two + "witness A " + k.String() + "\nquorum A\n", verify.Policy{}, verify.ErrPolicy},
		"with URL":      {two + "witness A " + a.String() + " https://a.example\nquorum A\n", verify.Policy{}, verify.ErrPolicy},
		"named none":    {two + "witness none " + a.String() + "\nquorum none\n", verify.Policy{}, verify.ErrPolicy},
		"group of none": {two + abc + "group x any none\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"group of x":    {two + abc + "group x any x\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"empty group":   {two + abc + "group x any\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"taken":         {two + abc + "group A any B\nquorum A\n", verify.Policy{}, verify.ErrPolicy},
		"0 of 2":        {two + abc + "group x 0 A B\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"3 of 2":        {two + abc + "group x 3 A B\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"02 of 2":       {two + abc + "group x 02 A B\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"twice in one":  {two + abc + "group x 2 A A\nquorum x\n", verify.Policy{}, verify.ErrPolicy},
		"in two groups": {two + abc + "group x any A\ngroup y any A\nquorum y\n", verify.Policy{}, verify.ErrPolicy},
		"unknown word":  {two + "cosigner A\n", verify.Policy{}, verify.ErrPolicy},
		"spaces":        {"origin  " + origin + "\nlog " + k.String() + "\n", verify.Policy{}, verify.ErrPolicy},
		"CRLF":          {strings.ReplaceAll(two, "\n", "\r\n"), verify.Policy{}, verify.ErrPolicy},
		"no last line":  {strings.TrimSuffix(two, "\n"), verify.Policy{}, verify.ErrPolicy},
		"bad key":       {"origin " + origin + "\nlog " + k.String()[:40] + "\n", verify.Policy{}, verify.ErrPolicy},
		"bad witness":   {two + "witness A\n", verify.Policy{}, verify.ErrPolicy},
		"bad name":      {two + "witness A\u00e9 " + a.String() + "\nquorum none\n", verify.Policy{}, verify.ErrPolicy},
		"long":          {two + "#" + strings.Repeat("x", 64<<10) + "\n", verify.Policy{}, verify.ErrPolicy},
		"many":          {two + many(t, 101) + "quorum none\n", verify.Policy{}, verify.ErrPolicy},
	} {
		p, err := verify.ParsePolicy([]byte(row.text))
		if !errors.Is(err, row.wantErr) {
			t.Errorf("%s: error %v, want %v", name, err, row.wantErr)
		}
		if diff := cmp.Diff(row.want, p, cmp.Comparer(func(a, b ledger.VerifierKey) bool { return a == b }),
			cmp.Comparer(func(a, b ledger.WitnessKey) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func many(tb testing.TB, n int) (lines string) {
	for i := range n {
		name := strconv.Itoa(i)
		lines += "witness " + name + " " + witnessKey(tb, name).Key().String() + "\n"
	}
	return lines
}

func TestReached(t *testing.T) {
	list := many(t, 6)
	for _, row := range []struct {
		rules, cosigned string
		want            bool
	}{
		{"quorum none\n", "", true},
		{"quorum 3\n", "3", true},
		{"quorum 3\n", "01245", false},
		{"group x 2 0 1 2\nquorum x\n", "02", true},
		{"group x 2 0 1 2\nquorum x\n", "2345", false},
		{"group x 2 0 1 2\ngroup y any 3 4 5\ngroup z all x y\nquorum z\n", "014", true},
		{"group x 2 0 1 2\ngroup y any 3 4 5\ngroup z all x y\nquorum z\n", "012", false},
		{"group x 2 0 1 2\ngroup y any 3 4 5\ngroup z all x y\nquorum z\n", "0345", false},
		{"group x 2 0 1 2\ngroup z 2 x 3 4\nquorum z\n", "34", true},
		{"group x 2 0 1 2\ngroup z 2 x 3 4\nquorum x\n", "34", false},
	} {
		p, err := verify.ParsePolicy([]byte("origin " + origin + "\nlog " + key(t).String() + "\n" + list + row.rules))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Reached(func(name string) bool { return strings.Contains(row.cosigned, name) }); got != row.want {
			t.Errorf("%q by %q: %t", row.rules, row.cosigned, got)
		}
	}
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
	f.Add([]byte("origin " + origin + "\nlog " + k.String() + "\n" + many(f, 3) + "group x 2 0 2\n# x\ngroup y any x 1\nquorum y\n"))
	f.Add([]byte("origin a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := verify.ParsePolicy(text)
		if err != nil {
			return
		}
		again, err := verify.ParsePolicy(p.Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) || !reflect.DeepEqual(again, p) {
			t.Errorf("%q becomes %q: %v", text, p.Marshal(), err)
		}
	})
}
