package client

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// talk gives a client of a server that answers with handler. Pauses are counted,
// not waited for.
func talk(t *testing.T, cfg Config, handler http.HandlerFunc) (c *Client, pauses *atomic.Int32) {
	t.Helper()
	srv := httptest.NewServer(handler)
	cfg.Server = srv.URL
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	pauses = &atomic.Int32{}
	c.pause = func(ctx context.Context, _ time.Duration) error { pauses.Add(1); return ctx.Err() }
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c, pauses
}

func refuseWith(w http.ResponseWriter, code api.Code) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(code.Status())
	_ = json.NewEncoder(w).Encode(api.NewProblem(code, "r1", ""))
}

func TestNewRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{
		{},
		{Server: "lab.example"},
		{Server: "ftp://lab.example"},
		{Server: "https://"},
		{Server: "https://u:p@lab.example"},
		{Server: "https://lab.example/?a"},
		{Server: "https://lab.example/#a"},
		{Server: "://"},
		{Server: "https://lab.example", CAFile: empty},
		{Server: "https://lab.example", CAFile: empty + ".not"},
	} {
		if c, err := New(cfg); !errors.Is(err, ErrServer) || c != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestRetries(t *testing.T) {
	record := func(ctx context.Context, c *Client) error {
		_, err := c.Record(ctx, []byte("{}"), []byte("s"))
		return err
	}
	read := func(ctx context.Context, c *Client) error { _, err := c.Cases(ctx); return err }
	signIn := func(ctx context.Context, c *Client) error { _, err := c.Challenge(ctx, "p"); return err }
	cut := api.Code("cut")
	for name, tt := range map[string]struct {
		call    func(context.Context, *Client) error
		answers []api.Code // before a good one
		want    error
		asked   int32
	}{
		"good":             {read, nil, nil, 1},
		"read later":       {read, []api.Code{api.CodeUnavailable, cut, api.CodeUnavailable}, nil, 4},
		"record later":     {record, []api.Code{cut, api.CodeUnavailable}, nil, 3},
		"never":            {read, []api.Code{cut, cut, cut, cut, cut}, ErrUnreachable, 4},
		"unavailable":      {record, []api.Code{api.CodeUnavailable, api.CodeUnavailable, api.CodeUnavailable, api.CodeUnavailable}, api.CodeUnavailable, 4},
		"not a second one": {signIn, []api.Code{cut}, ErrUnreachable, 1},
		"busy":             {read, []api.Code{api.CodeBusy}, ErrBusy, 1},
		"stopped":          {record, []api.Code{api.CodeLedgerStopped}, api.CodeLedgerStopped, 1},
		"stale":            {record, []api.Code{api.CodeStale}, evidence.ErrStale, 1},
	} {
		var asked atomic.Int32
		c, pauses := talk(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || r.Method == http.MethodPost && len(body) == 0 {
				t.Errorf("%s: body %q, %v", name, body, err)
			}
			n := asked.Add(1)
			if int(n) > len(tt.answers) {
				_, _ = io.WriteString(w, "{}")
				return
			}
			if tt.answers[n-1] == cut {
				panic(http.ErrAbortHandler)
			}
			refuseWith(w, tt.answers[n-1])
		})
		// net/http repeats by itself what was lost on a connection that had served before.
		c.http.Transport.(*http.Transport).DisableKeepAlives = true
		if err := tt.call(t.Context(), c); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if asked.Load() != tt.asked || pauses.Load() != tt.asked-1 {
			t.Errorf("%s: asked %d times, want %d, with %d pauses", name, asked.Load(), tt.asked, pauses.Load())
		}
	}
}

// TestSignIn: an ended session is renewed once, by one of those who notice.
func TestSignIn(t *testing.T) {
	token, _, err := identity.NewToken(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	var signedIn atomic.Int32
	var c *Client
	c, _ = talk(t, Config{SignIn: func(ctx context.Context) (identity.Token, error) {
		signedIn.Add(1)
		if _, err := c.Challenge(ctx, "p"); err != nil {
			return identity.Token{}, err
		}
		return token, nil
	}}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/challenges":
			if r.Header.Get("Authorization") != "" {
				t.Error("a challenge was asked for with a token")
			}
		case r.Header.Get("Authorization") != "Bearer "+token.Reveal():
			refuseWith(w, api.CodeUnauthenticated)
			return
		}
		_, _ = io.WriteString(w, "{}")
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := c.Record(t.Context(), []byte("{}"), []byte("s")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := signedIn.Load(); n != 1 {
		t.Errorf("signed in %d times", n)
	}

	refused := errors.New("no key")
	c, _ = talk(t, Config{SignIn: func(context.Context) (identity.Token, error) { return identity.Token{}, refused }},
		func(w http.ResponseWriter, _ *http.Request) { refuseWith(w, api.CodeUnauthenticated) })
	if _, err := c.Cases(t.Context()); !errors.Is(err, refused) {
		t.Errorf("cannot sign in: %v", err)
	}
	c, _ = talk(t, Config{SignIn: func(context.Context) (identity.Token, error) { return token, nil }},
		func(w http.ResponseWriter, _ *http.Request) { refuseWith(w, api.CodeUnauthenticated) })
	if _, err := c.Cases(t.Context()); !errors.Is(err, api.CodeUnauthenticated) {
		t.Errorf("signed in for nothing: %v", err)
	}
}

// TestOthers: what stands between may answer too.
func TestOthers(t *testing.T) {
	for _, tt := range []struct {
		status      int
		contentType string
		body        string
		want        error
	}{
		{502, "text/html", "<h1>Bad Gateway</h1>", api.CodeUnavailable},
		{404, "text/plain", "no", evidence.ErrNotFound},
		{401, "application/problem+json", "{", api.CodeUnauthenticated},
		{423, "application/problem+json; charset=utf-8", `{"code":"busy","status":423}`, ErrBusy},
		{409, "application/problem+json", `{"code":"something new","status":409}`, api.Code("something new")},
		{302, "", "", api.CodeInternal},
		{500, "application/problem+json", `{}`, api.CodeInternal},
	} {
		c, _ := talk(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tt.contentType)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		if _, err := c.Cases(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("HTTP %d: %v, want %v", tt.status, err, tt.want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, trusted := range []bool{true, false} {
		cfg := Config{Server: srv.URL + "/"}
		if trusted {
			cfg.CAFile = ca
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.About(t.Context()); (err == nil) != trusted || errors.Is(err, ErrDistrusted) == trusted || errors.Is(err, ErrUnreachable) {
			t.Errorf("trusted %v: %v", trusted, err)
		}
		c.Close()
	}
	srv.Close()
	c, err := New(Config{Server: srv.URL, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.pause = func(context.Context, time.Duration) error { return nil }
	if _, err := c.About(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.About(ended); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("given up: %v", err)
	}
}

// TestUpload: nothing is sent to who refuses it, and what is sent is all there.
func TestUpload(t *testing.T) {
	id := uuid.New()
	var sent, durable atomic.Int64
	var refusal atomic.Value
	refusal.Store(api.Code(""))
	c, _ := talk(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodHead:
			w.Header().Set("Upload-Offset", fmt.Sprint(durable.Load()))
		case http.MethodPatch:
			if code, _ := refusal.Load().(api.Code); code != "" {
				refuseWith(w, code)
				return
			}
			n, err := io.Copy(io.Discard, r.Body)
			sent.Add(n)
			if err != nil {
				return
			}
			w.Header().Set("Upload-Offset", fmt.Sprint(durable.Load()+n))
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusCreated)
		}
	})
	read := &source{r: strings.NewReader(strings.Repeat("a", 1<<20))}
	counted := &counter{r: read}
	give := func(int64) (io.Reader, error) { return counted, nil }

	refusal.Store(api.CodeForbidden)
	if n, err := c.Upload(t.Context(), id, 1<<20, give); n != 0 || !errors.Is(err, evidence.ErrForbidden) {
		t.Errorf("refused: %d, %v", n, err)
	}
	if counted.n != 0 {
		t.Errorf("%d bytes were read for who refused them", counted.n)
	}
	refusal.Store(api.Code(""))
	durable.Store(1 << 19)
	counted.r = strings.NewReader(strings.Repeat("a", 1<<19))
	if n, err := c.Upload(t.Context(), id, 1<<20, give); n != 1<<20 || err != nil || sent.Load() != 1<<19 {
		t.Errorf("the second half: %d, %v, %d sent", n, err, sent.Load())
	}
	counted.r = strings.NewReader("short")
	if n, err := c.Upload(t.Context(), id, 1<<20, give); n != 1<<19 || err == nil {
		t.Errorf("a source that is too short: %d, %v", n, err)
	}
	none := errors.New("none")
	if _, err := c.Upload(t.Context(), id, 1<<20, func(int64) (io.Reader, error) { return nil, none }); !errors.Is(err, none) {
		t.Errorf("no source: %v", err)
	}
}

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// TestFetchRefuses answers that are not what was asked for.
func TestFetchRefuses(t *testing.T) {
	good := map[string]string{
		"Content-Range": "bytes 4-9/10", "Repr-Digest": "sha-256=:" + strings.Repeat("A", 43) + "=:", "Custody-Receipt": "AAAA",
	}
	for name, tt := range map[string]struct {
		header, value string
		status        int
		ok            bool
	}{
		"good":            {"", "", 206, true},
		"all of it":       {"", "", 200, false},
		"another range":   {"Content-Range", "bytes 3-8/10", 206, false},
		"not to the end":  {"Content-Range", "bytes 4-9/11", 206, false},
		"no size":         {"Content-Range", "bytes 4-9/*", 206, false},
		"no digest":       {"Repr-Digest", "", 206, false},
		"other digest":    {"Repr-Digest", "md5=:AAAA:", 206, false},
		"short digest":    {"Repr-Digest", "sha-256=:AAAA:", 206, false},
		"receipt garbled": {"Custody-Receipt", "%", 206, false},
	} {
		c, _ := talk(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range good {
				w.Header().Set(k, v)
			}
			if tt.header != "" {
				w.Header().Set(tt.header, tt.value)
			}
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, "456789")
		})
		d, err := c.Fetch(t.Context(), evidence.Path{Case: "c", Exhibit: "e", Copy: "W1"}, 4)
		if tt.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if body, err := io.ReadAll(d); string(body) != "456789" || err != nil || d.Size != 10 {
				t.Errorf("%s: %q, %v, %+v", name, body, err, d)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCutStreams: a stream that ends early is an error to its reader.
func TestCutStreams(t *testing.T) {
	c, _ := talk(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Repr-Digest", "sha-256=:"+strings.Repeat("A", 43)+"=:")
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", "10")
		}
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	d, err := c.Fetch(t.Context(), evidence.Path{Case: "c", Exhibit: "e", Copy: "W1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(d); err == nil || string(body) != "half" {
		t.Errorf("download: %q, %v", body, err)
	}
	b, err := c.Export(t.Context(), "c", ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(b); err == nil || string(body) != "half" {
		t.Errorf("bundle: %q, %v", body, err)
	}
	if err := errors.Join(d.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}
