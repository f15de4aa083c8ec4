package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// TestOnline judges what a service answers.
func TestOnline(t *testing.T) {
	sum, other := digest.SHA256{1}, digest.SHA256{2}
	sealed, err := digest.Set{}.With(digest.AlgSHA256, sum.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		check    evidence.FixityChecked
		findings []int
		want     int
		says     string
	}{
		"match":           {evidence.FixityChecked{Result: evidence.Match, SHA256: &sum}, nil, exitOK, ""},
		"no hash":         {evidence.FixityChecked{Result: evidence.Match}, nil, exitFinding, ""},
		"other hash":      {evidence.FixityChecked{Result: evidence.Match, SHA256: &other}, nil, exitFinding, "what was read has sha256:02"},
		"unknown result":  {evidence.FixityChecked{Result: "fine", SHA256: &sum}, nil, exitFinding, ""},
		"mismatch":        {evidence.FixityChecked{Result: evidence.Mismatch, SHA256: &other, Finding: 3}, []int{3}, exitFinding, "finding 3 is open: the copy is quarantined"},
		"in parts":        {evidence.FixityChecked{Result: evidence.Mismatch, Unreadable: []evidence.Range{{Offset: 7, Length: 9}}, UnreadableTotal: 4}, nil, exitFinding, "unreadable: 3 ranges more"},
		"list":            {evidence.FixityChecked{Result: evidence.Match, SHA256: &sum, ListWrong: true}, nil, exitFinding, "midstate list"},
		"quarantined":     {evidence.FixityChecked{Result: evidence.Match, SHA256: &sum}, []int{1}, exitFinding, "finding 1 is open: the copy is quarantined"},
		"unreadable":      {evidence.FixityChecked{Result: evidence.Unreadable}, nil, exitIncomplete, ""},
		"gone":            {evidence.FixityChecked{Result: evidence.Unreadable, Gone: true}, nil, exitFinding, "the store has it no more"},
		"terminal escape": {evidence.FixityChecked{Result: evidence.Unreadable, Detail: "\x1b[2J\nok"}, nil, exitIncomplete, `\x1b[2J\nok`},
	} {
		t.Run(name, func(t *testing.T) {
			r := online{Copy: "C-1/E-1/M1", Check: &row.check, Digests: sealed, Findings: row.findings}
			r.judge()
			err := r.conclude()
			code, next := exitOK, ""
			if err != nil {
				code, next = explain(err)
			}
			if code != row.want {
				t.Errorf("%s: exit code %d, want %d", r.Verdict, code, row.want)
			}
			if code == exitIncomplete && !strings.Contains(next, "operator") {
				t.Errorf("next is %q", next)
			}
			var b strings.Builder
			if err := r.text(&b); err != nil || !strings.Contains(b.String(), row.says) {
				t.Errorf("%v: no %q in %s", err, row.says, &b)
			}
			if strings.ContainsFunc(b.String(), func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' }) {
				t.Errorf("%q", b.String())
			}
		})
	}
}

// cmdForgetful puts a server before the service, whose address is $FORGETFUL, that
// forgets the first N checks it is asked for, as a restart does.
func cmdForgetful(ts *testscript.TestScript, _ bool, args []string) {
	var left atomic.Int64
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	left.Store(int64(n))
	target, err := url.Parse("http://" + labOf(ts).address)
	ts.Check(err)
	check := regexp.MustCompile(`/checks/[0-9a-f-]{36}$`)
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if r.In.Method == http.MethodGet && check.MatchString(r.In.URL.Path) && left.Add(-1) >= 0 {
			r.Out.URL.Path = check.ReplaceAllString(r.In.URL.Path, "/checks/"+uuid.Must(uuid.NewV7()).String())
		}
	}})
	ts.Defer(server.Close)
	ts.Setenv("FORGETFUL", server.URL)
}

// TestPlainResults: what a service calls things does not move the cursor.
func TestPlainResults(t *testing.T) {
	var b strings.Builder
	evil := "x\x1b[2J\nverified\u202e"
	if err := errors.Join(facts("title", evil)(&b), table("title", [][]string{{evil}})(&b)); err != nil {
		t.Fatal(err)
	}
	(&app{stderr: &b}).warn("%s", evil)
	if strings.ContainsFunc(b.String(), func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' }) || strings.Contains(b.String(), "\nverified") {
		t.Errorf("%q", b.String())
	}
}
