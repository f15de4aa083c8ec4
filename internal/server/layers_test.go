package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
)

type echoContext = echo.Context

var discard = slog.New(slog.DiscardHandler)

// bare is a server without a service, with one public route that does what a test wants.
func bare(t *testing.T, handler echo.HandlerFunc, layers ...func(*Server) echo.MiddlewareFunc) (*Server, *httptest.Server) {
	t.Helper()
	s, err := New(Config{Metrics: prometheus.NewRegistry(), Logger: discard})
	must(t, err)
	var m []echo.MiddlewareFunc
	for _, layer := range layers {
		m = append(m, layer(s))
	}
	s.echo.Any("/v1/cases/:case", handler, m...)
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv
}

// reply is an answer that has been read.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
	Body       string
}

// send asks as any HTTP client may. The problem is nil where the answer is none.
func send(t *testing.T, method, url string, body io.Reader, header ...string) (reply, *api.Problem) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	must(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	got := reply{resp.StatusCode, resp.Status, resp.Header, string(text)}
	if resp.Header.Get("Content-Type") != api.ProblemType {
		return got, nil
	}
	var p api.Problem
	must(t, json.Unmarshal(text, &p))
	if p.RequestID != resp.Header.Get("X-Request-Id") || p.Status != resp.StatusCode || p.Title != p.Code.Title() {
		t.Errorf("problem %+v with id %q and status %d", p, resp.Header.Get("X-Request-Id"), resp.StatusCode)
	}
	return got, &p
}

// TestSentinels sends every sentinel through both tables: into a problem, and out
// of the client again.
func TestSentinels(t *testing.T) {
	var failure error
	_, srv := bare(t, func(echo.Context) error { return fmt.Errorf("secret %w", failure) })
	c, err := client.New(client.Config{Server: srv.URL})
	must(t, err)
	defer c.Close()
	for _, tt := range []struct {
		err    error
		status int
		want   error
		quiet  bool
	}{
		{custody.ErrUnauthenticated, 401, api.CodeUnauthenticated, false},
		{custody.ErrSignature, 422, api.CodeSignature, false},
		{custody.ErrBusy, 423, client.ErrBusy, false},
		{custody.ErrUnavailable, 503, api.CodeUnavailable, true},
		{custody.ErrUnpublished, 503, api.CodeUnavailable, true},
		{custody.ErrStopped, 503, api.CodeLedgerStopped, true},
		{&custody.EntryError{Entry: "entry 5", Err: errors.New("secret")}, 503, api.CodeLedgerStopped, true},
		{evidence.ErrForbidden, 403, evidence.ErrForbidden, false},
		{evidence.ErrNotFound, 404, evidence.ErrNotFound, false},
		{evidence.ErrExists, 409, evidence.ErrExists, false},
		{evidence.ErrStale, 409, evidence.ErrStale, false},
		{evidence.ErrDigestsDiffer, 409, evidence.ErrDigestsDiffer, false},
		{evidence.ErrHeld, 423, evidence.ErrHeld, false},
		{&evidence.TransitionError{Subject: "E-001/M1", Kind: "content.read", Reason: "is a master"}, 409, api.CodeTransition, false},
		{&evidence.FieldError{Field: "body.label", Problem: "is missing"}, 422, api.CodeInvalid, true},
		{evidence.ErrNotCanonical, 422, evidence.ErrNotCanonical, false},
		{evidence.ErrUnknownAction, 422, evidence.ErrUnknownAction, false},
		{&http.MaxBytesError{Limit: 1}, 413, api.CodeTooLarge, false},
		{errors.New("anything else"), 500, api.CodeInternal, true},
		{custody.ErrRollback, 500, api.CodeInternal, true},
		{fmt.Errorf("%w: %w", custody.ErrUnavailable, evidence.ErrNotFound), 503, api.CodeUnavailable, true},
	} {
		failure = tt.err
		resp, p := send(t, http.MethodPost, srv.URL+"/v1/cases/x", nil)
		if resp.StatusCode != tt.status || p == nil {
			t.Errorf("%v: HTTP %s", tt.err, resp.Status)
			continue
		}
		if tells := strings.Contains(p.Detail, "secret"); tells == tt.quiet {
			t.Errorf("%v: tells %q", tt.err, p.Detail)
		}
		if retry := resp.Header.Get("Retry-After") != ""; retry != (p.Code == api.CodeBusy || p.Code == api.CodeUnavailable) {
			t.Errorf("%v: Retry-After %v", tt.err, retry)
		}
		if p.Code == api.CodeUnavailable {
			continue // the client would try again; its own tests have that
		}
		_, err := c.Case(t.Context(), "x")
		if !errors.Is(err, tt.want) {
			t.Errorf("%v: the client says %v, want %v", tt.err, err, tt.want)
		}
		if field, ok := errors.AsType[*evidence.FieldError](tt.err); ok {
			if got, ok := errors.AsType[*evidence.FieldError](err); !ok || *got != *field {
				t.Errorf("field %v, want %v", got, field)
			}
		}
	}
}

// TestDetails: what is told of an alarm and of a store that takes nothing is ours, and
// says who does what next.
func TestDetails(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&custody.EntryError{Entry: "entry 5", Err: errors.New("secret")}, "entry 5 of the ledger is not the one that was recorded, and is shown to nobody"},
		{fmt.Errorf("secret: %w: 9 of them", custody.ErrUnpublished), "it goes on by itself when the store takes them"},
		{fmt.Errorf("%w: secret", custody.ErrStopped), ""},
	} {
		if p := problemOf(fmt.Errorf("%w: %w", custody.ErrUnavailable, tt.err), "r"); !strings.Contains(p.Detail, tt.want) || strings.Contains(p.Detail, "secret") || (tt.want == "") != (p.Detail == "") {
			t.Errorf("%v: tells %q, want %q", tt.err, p.Detail, tt.want)
		}
	}
}

func TestRequestID(t *testing.T) {
	_, srv := bare(t, func(c echo.Context) error { return evidence.ErrNotFound })
	for _, tt := range []struct {
		sent string
		kept bool
	}{
		{"", false},
		{"trace-1.a_B", true},
		{strings.Repeat("x", 65), false},
		{"a b", false},
		{`"}{`, false},
	} {
		resp, _ := send(t, http.MethodGet, srv.URL+"/v1/cases/x", nil, "X-Request-Id", tt.sent)
		if got := resp.Header.Get("X-Request-Id"); (got == tt.sent) != tt.kept || got == "" {
			t.Errorf("sent %q, got %q", tt.sent, got)
		}
	}
}

func TestUnknownRoutes(t *testing.T) {
	_, srv := bare(t, func(echo.Context) error { return nil })
	for _, tt := range []struct {
		method, path string
		want         api.Code
	}{
		{http.MethodGet, "/", api.CodeNotFound},
		{http.MethodGet, "/v1/nothing", api.CodeNotFound},
		{http.MethodDelete, "/v1/server", api.CodeMethodNotAllowed},
		{http.MethodGet, "/v1/uploads", api.CodeMethodNotAllowed},
		{http.MethodDelete, "/v1/uploads/x", api.CodeMethodNotAllowed},
		{http.MethodGet, "/v1/uploads/x", api.CodeMethodNotAllowed},
	} {
		if resp, p := send(t, tt.method, srv.URL+tt.path, nil); p == nil || p.Code != tt.want {
			t.Errorf("%s %s: %s %+v", tt.method, tt.path, resp.Status, p)
		}
	}
}

// TestFailure: a panic, and an error after the first byte, never look like an answer.
func TestFailure(t *testing.T) {
	for name, tt := range map[string]struct {
		handler echo.HandlerFunc
		cut     bool
	}{
		"panic": {func(echo.Context) error { panic("secret") }, false},
		"panic in the middle": {func(c echo.Context) error {
			must(t, c.String(http.StatusOK, "half"))
			panic("secret")
		}, true},
		"error in the middle": {func(c echo.Context) error {
			must(t, c.String(http.StatusOK, "half"))
			return errors.New("secret")
		}, true},
	} {
		_, srv := bare(t, tt.handler)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v1/cases/x", nil)
		must(t, err)
		resp, err := http.DefaultClient.Do(req)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			must(t, resp.Body.Close())
		}
		if tt.cut {
			if err == nil {
				t.Errorf("%s: %s %q looks complete", name, resp.Status, body)
			}
			continue
		}
		must(t, err)
		if resp.StatusCode != http.StatusInternalServerError || bytes.Contains(body, []byte("secret")) {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
}

// TestJSONBodies: what is not what the document describes is refused before
// custody hears of it, with the field.
func TestJSONBodies(t *testing.T) {
	l := newLab(t)
	token := l.token("examiner1")
	big := `{"payload":"` + strings.Repeat("a", api.MaxJSON) + `","signature":"s"}`
	for name, tt := range map[string]struct {
		path, contentType, body string
		want                    api.Code
		field                   string
	}{
		"no body":        {"/v1/entries", "application/json", "", api.CodeMalformed, ""},
		"not JSON":       {"/v1/entries", "application/json", "{", api.CodeMalformed, ""},
		"missing member": {"/v1/entries", "application/json", `{"payload":"x"}`, api.CodeMalformed, "signature"},
		"other type":     {"/v1/entries", "application/json", `{"payload":1,"signature":"s"}`, api.CodeMalformed, "payload"},
		"unknown member": {"/v1/entries", "application/json", `{"payload":"x","signature":"s","x":1}`, api.CodeMalformed, "x"},
		"one too many":   {"/v1/challenges", "application/json", `{"principal":"examiner1"} {}`, api.CodeMalformed, ""},
		"something else": {"/v1/challenges", "application/json", `{"principal":"examiner1"}x`, api.CodeMalformed, ""},
		"other media":    {"/v1/entries", "text/plain", `{"payload":"x","signature":"s"}`, api.CodeMalformed, ""},
		"too large":      {"/v1/entries", "application/json", big, api.CodeTooLarge, ""},
		"long payload":   {"/v1/entries", "application/json", `{"payload":"` + strings.Repeat("a", 50_000) + `","signature":"s"}`, api.CodeMalformed, "payload"},
		"not canonical":  {"/v1/entries", "application/json", `{"payload":"{}","signature":"s"}`, api.CodeInvalid, "v"},
		"bad principal":  {"/v1/challenges", "application/json", `{"principal":"A B"}`, api.CodeMalformed, "principal"},
		"bad digest":     {"/v1/intakes/00000000-0000-7000-8000-000000000000/complete", "application/json", `{"declared":{"sha256":"XX"}}`, api.CodeMalformed, "declared.sha256"},
		"export, path":   {"/v1/cases/2026-0042/exports", "application/json", `{"contents":["x"]}`, api.CodeMalformed, "contents.0"},
		"export, other":  {"/v1/cases/2026-0042/exports", "application/json", `{"contents":[],"content":[]}`, api.CodeMalformed, "content"},
		"export, case":   {"/v1/cases/2026-0042/exports", "application/json", `{"Contents":[]}`, api.CodeMalformed, "Contents"},
		"export, none":   {"/v1/cases/2026-0042/exports", "application/json", `{}`, api.CodeMalformed, "contents"},
		"export, null":   {"/v1/cases/2026-0042/exports", "application/json", `{"contents":null}`, api.CodeMalformed, "contents"},
		"export, twice":  {"/v1/cases/2026-0042/exports", "application/json", `{"contents":[]}{"contents":[]}`, api.CodeMalformed, ""},
		"export, junk":   {"/v1/cases/2026-0042/exports", "application/json", `{"contents":[]}]`, api.CodeMalformed, ""},
		"export, empty":  {"/v1/cases/2026-0042/exports", "application/json", "", api.CodeMalformed, ""},
		"export, big":    {"/v1/cases/2026-0042/exports", "application/json", `{"contents":["` + strings.Repeat("a", api.MaxJSON) + `"]}`, api.CodeTooLarge, ""},
	} {
		resp, p := send(t, http.MethodPost, l.url+tt.path, strings.NewReader(tt.body), "Content-Type", tt.contentType, "Authorization", "Bearer "+token)
		if p == nil || p.Code != tt.want || p.Field != tt.field {
			t.Errorf("%s: %s %+v", name, resp.Status, p)
		}
	}
}

// TestParameters: what cannot be a parameter is refused, and named.
func TestParameters(t *testing.T) {
	l := newLab(t)
	token := l.token("examiner1")
	for path, want := range map[string]string{
		"/v1/cases/%2e%2e/exhibits":                                "case",
		"/v1/cases/a%2Fb":                                          "case",
		"/v1/cases/x/exhibits/e/copies/Q1":                         "copy",
		"/v1/cases/x/exhibits/-/copies/M1":                         "exhibit",
		"/v1/cases/-/exhibits/e/copies/M1/content":                 "case",
		"/v1/cases/x/exhibits/a%2Fb/copies/M1/content":             "exhibit",
		"/v1/cases/x/exhibits/e/copies/Q1/content":                 "copy",
		"/v1/intakes/x":                                            "intake",
		"/v1/entries/-1/receipt":                                   "seq",
		"/v1/cases/x/history?limit=0":                              "limit",
		"/v1/cases/x/history?limit=5000":                           "limit",
		"/v1/cases/x/history?after=a":                              "after",
		"/v1/consistency?from=1":                                   "to",
		"/v1/intakes/00000000-0000-7000-8000-000000000000?wait=31": "wait",
		"/v1/cases/2026-0042/history?copy=M1":                      "copy",
	} {
		resp, p := send(t, http.MethodGet, l.url+path, nil, "Authorization", "Bearer "+token)
		if p == nil || p.Code != api.CodeMalformed && p.Code != api.CodeInvalid || p.Field != want || p.Detail == "" {
			t.Errorf("%s: %s %+v", path, resp.Status, p)
		}
	}
}

// TestPublic: what operators and newcomers ask.
func TestPublic(t *testing.T) {
	l := newLab(t)
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ready\n", "/openapi.yaml": string(api.Document),
		"/metrics": "custodyd_ledger_entries 3",
	} {
		resp, _ := send(t, http.MethodGet, l.url+path, nil)
		if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Body, want) {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// TestStandstill: a body that stops coming, and an answer that nobody reads, end.
func TestStandstill(t *testing.T) {
	read := make(chan error, 1)
	s, srv := bare(t, func(c echo.Context) error {
		_, err := io.Copy(io.Discard, c.Request().Body)
		read <- err
		return err
	})
	s.idle = 50 * time.Millisecond
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	must(t, err)
	defer func() { must(t, conn.Close()) }()
	_, err = io.WriteString(conn, "PUT /v1/cases/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	must(t, resp.Body.Close())
	if err := <-read; err == nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a body that stops: %v, answered with %s", err, resp.Status)
	}

	written := make(chan error, 1)
	s, srv = bare(t, func(c echo.Context) error {
		c.Response().WriteHeader(http.StatusOK)
		for {
			if _, err := c.Response().Write(make([]byte, 1<<20)); err != nil {
				written <- err
				return err
			}
		}
	})
	s.idle = 50 * time.Millisecond
	deaf, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	must(t, err)
	defer func() { must(t, deaf.Close()) }()
	_, err = io.WriteString(deaf, "GET /v1/cases/x HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	if err := <-written; err == nil {
		t.Error("an answer that nobody reads goes on for ever")
	}
}

// TestWaitOutlivesBody: the deadline of a body does not end the work that follows it.
func TestWaitOutlivesBody(t *testing.T) {
	s, srv := bare(t, func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		select {
		case <-c.Request().Context().Done():
			return errors.New("the request was ended")
		case <-time.After(200 * time.Millisecond):
			return c.NoContent(http.StatusNoContent)
		}
	})
	s.idle = 50 * time.Millisecond
	if resp, p := send(t, http.MethodPut, srv.URL+"/v1/cases/x", strings.NewReader("body")); resp.StatusCode != http.StatusNoContent {
		t.Errorf("%s %+v", resp.Status, p)
	}
}
