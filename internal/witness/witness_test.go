package witness_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/witness"
)

const origin = "lab.example/custody"

// book is a ledger that signs whatever it is asked to.
type book struct {
	tb     testing.TB
	signer note.Signer
	key    ledger.VerifierKey
	hashes []ledger.Hash
	size   int64
}

func newBook(tb testing.TB, origin ledger.Origin) *book {
	tb.Helper()
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		tb.Fatal(err)
	}
	b := &book{tb: tb}
	if b.signer, err = note.NewSigner(skey); err != nil {
		tb.Fatal(err)
	}
	if b.key, err = ledger.ParseVerifierKey(vkey); err != nil {
		tb.Fatal(err)
	}
	return b
}

// fork is another ledger with the same key.
func (b *book) fork() *book { return &book{tb: b.tb, signer: b.signer, key: b.key} }

func (b *book) ReadHashes(indexes []int64) (hashes []ledger.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, b.hashes[i])
	}
	return hashes, nil
}

// grow adds n entries of a word.
func (b *book) grow(n int64, word string) *book {
	b.tb.Helper()
	for range n {
		hashes, err := ledger.StoredHashes(b.size, ledger.LeafHash(fmt.Appendf(nil, "%s %d", word, b.size)), b)
		if err != nil {
			b.tb.Fatal(err)
		}
		b.hashes = append(b.hashes, hashes...)
		b.size++
	}
	return b
}

func (b *book) checkpoint(size int64) []byte {
	b.tb.Helper()
	root, err := ledger.RootAt(size, b)
	if err != nil {
		b.tb.Fatal(err)
	}
	return b.sign(ledger.Checkpoint{Origin: b.key.Origin(), Size: size, Root: root}.Body())
}

func (b *book) sign(body []byte) []byte {
	b.tb.Helper()
	signed, err := note.Sign(&note.Note{Text: string(body)}, b.signer)
	if err != nil {
		b.tb.Fatal(err)
	}
	return signed
}

// prove proves what can be proven.
func (b *book) prove(old, size int64) []ledger.Hash {
	b.tb.Helper()
	proof, err := ledger.ProveConsistency(size, old, b)
	if err != nil {
		b.tb.Fatal(err)
	}
	return proof
}

func (b *book) proveTo(size int64) witness.Prove {
	return func(_ context.Context, old int64) ([]ledger.Hash, error) {
		return ledger.ProveConsistency(size, old, b)
	}
}

func (b *book) request(old, size int64) string {
	return string(witness.Request{Old: old, Proof: b.prove(min(old, size), size), Note: b.checkpoint(size)}.Marshal())
}

// at is the time of all witnesses here.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(tb testing.TB, dir string, logs ...*book) *witness.Witness {
	tb.Helper()
	if there, err := witness.Exists(dir); err != nil {
		tb.Fatal(err)
	} else if !there {
		if _, err := witness.Create(dir, "w.example/1", rand.Reader); err != nil {
			tb.Fatal(err)
		}
	}
	cfg := witness.Config{Dir: dir, Now: func() time.Time { return at }, Logger: slog.New(slog.DiscardHandler)}
	for _, b := range logs {
		cfg.Logs = append(cfg.Logs, b.key)
	}
	w, err := witness.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.Close() })
	return w
}

func serve(tb testing.TB, w *witness.Witness) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(w.Handler())
	tb.Cleanup(s.Close)
	return s
}

func post(tb testing.TB, url, body string) (int, string, string) {
	tb.Helper()
	resp, err := http.Post(url+"/add-checkpoint", "", strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
}

// TestProtocol holds the server to the words of the specification, one witness through
// all rows, which stand in their order.
func TestProtocol(t *testing.T) {
	lab, second, stranger := newBook(t, origin).grow(40, "a"), newBook(t, "second").grow(3, "a"), newBook(t, "stranger").grow(3, "a")
	other := lab.fork().grow(40, "b")
	thief := newBook(t, origin).grow(40, "a") // the same ledger under another key
	dir := t.TempDir()
	w := open(t, dir, lab, second)
	url := serve(t, w).URL
	noRoot := lab.sign(ledger.Checkpoint{Origin: origin, Root: ledger.Hash{1}}.Body())
	extended := lab.sign([]byte(strings.SplitN(string(lab.checkpoint(9)), "\n\n", 2)[0] + "\nextension\n"))
	for _, row := range []struct {
		name, body string
		status     int
		held       string // of a 409
	}{
		{"empty", "", 400, ""},
		{"no size", "\n\n" + string(lab.checkpoint(1)), 400, ""},
		{"spare zero", strings.Replace(lab.request(0, 1), "old 0", "old 00", 1), 400, ""},
		{"sign", strings.Replace(lab.request(0, 1), "old 0", "old +0", 1), 400, ""},
		{"no old", strings.Replace(lab.request(0, 1), "old ", "", 1), 400, ""},
		{"CRLF", strings.ReplaceAll(lab.request(0, 1), "\n", "\r\n"), 400, ""},
		{"short hash", "old 0\nAAAA\n\n" + string(lab.checkpoint(1)), 400, ""},
		{"second spelling", "old 0\n" + strings.Repeat("A", 42) + "B=\n\n" + string(lab.checkpoint(1)), 400, ""},
		{"64 hashes", "old 0\n" + strings.Repeat(strings.Repeat("A", 43)+"=\n", 64) + "\n" + string(lab.checkpoint(1)), 400, ""},
		{"too large", "old 0\n\n" + strings.Repeat("x", 70_000), 400, ""},
		{"no note", "old 0\n\n" + origin + "\n", 400, ""},
		{"unknown", stranger.request(0, 1), 404, ""},
		{"other key", thief.request(0, 1), 403, ""},
		{"spoilt signature", strings.Replace(lab.request(0, 1), "\n1\n", "\n2\n", 1), 403, ""},
		{"nothing of a size 0", "old 0\n\n" + string(noRoot), 422, ""},
		{"proof from 0", strings.Replace(lab.request(0, 8), "old 0\n", "old 0\n"+strings.Repeat("A", 43)+"=\n", 1), 422, ""},
		{"extension", "old 0\n\n" + string(extended), 400, ""},
		{"ahead of an empty one", lab.request(5, 8), 409, "0"},
		{"empty ledger", lab.request(0, 0), 200, ""},
		{"empty ledger again", lab.request(0, 0), 200, ""},
		{"first", lab.request(0, 8), 200, ""},
		{"again from 0", lab.request(0, 8), 409, "8"},
		{"again", lab.request(8, 8), 200, ""},
		{"next", lab.request(8, 21), 200, ""},
		{"from an old one", lab.request(8, 30), 409, "21"},
		{"smaller", lab.request(21, 13), 400, ""},
		{"smaller from there", lab.request(13, 13), 409, "21"},
		{"fork of the size", other.request(21, 21), 422, ""},
		{"fork", other.request(21, 33), 422, ""},
		{"no proof", strings.SplitN(lab.request(21, 33), "\n", 2)[0] + "\n\n" + string(lab.checkpoint(33)), 422, ""},
		{"goes on", lab.request(21, 33), 200, ""},
		{"second", second.request(0, 3), 200, ""},
	} {
		status, media, text := post(t, url, row.body)
		switch {
		case status != row.status:
			t.Errorf("%s: %d %s, want %d", row.name, status, text, row.status)
		case status == 409 && (media != "text/x.tlog.size" || text != row.held+"\n"):
			t.Errorf("%s: %s %q", row.name, media, text)
		case status == 200:
			_, n, _ := strings.Cut(row.body, "\n\n")
			if got, err := w.Key().Cosignature([]byte(n + text)); err != nil || !got.Equal(at) {
				t.Errorf("%s: %s %v", row.name, got, err)
			}
		}
	}
	// Both the fork's proof and what was cosigned are kept.
	fork, err := os.ReadFile(filepath.Join(dir, witness.OriginHash(origin)+".fork"))
	if err != nil || !bytes.Equal(fork, other.checkpoint(21)) {
		t.Errorf("%v\n%s", err, fork)
	}
	if c, err := ledger.OpenCheckpoint(w.Held(origin), lab.key); err != nil || c.Size != 33 {
		t.Errorf("%v %v", c, err)
	}
}

func TestShow(t *testing.T) {
	lab := newBook(t, origin).grow(5, "a")
	w := open(t, t.TempDir(), lab)
	s := serve(t, w)
	c := witness.NewClient(witness.Endpoint{Key: w.Key(), URL: s.URL}, lab.key, 5*time.Second)
	if _, err := c.Shown(t.Context()); !errors.Is(err, witness.ErrUnreachable) {
		t.Error(err)
	}
	signed, err := c.Offer(t.Context(), lab.checkpoint(5), lab.proveTo(5))
	if err != nil {
		t.Fatal(err)
	}
	if shown, err := c.Shown(t.Context()); err != nil || !bytes.Equal(shown, signed) {
		t.Errorf("%v\n%s", err, shown)
	}
	resp, err := http.Get(s.URL + "/add-checkpoint")
	if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("%v %v", resp.StatusCode, err)
	}
	_ = resp.Body.Close()
}

func TestClient(t *testing.T) {
	lab := newBook(t, origin).grow(40, "a")
	other := lab.fork().grow(40, "b")
	dir := t.TempDir()
	w := open(t, dir, lab)
	s := serve(t, w)
	client := func() *witness.Client {
		return witness.NewClient(witness.Endpoint{Key: w.Key(), URL: s.URL}, lab.key, 5*time.Second)
	}
	offer := func(c *witness.Client, b *book, size int64) error {
		t.Helper()
		signed, err := c.Offer(t.Context(), b.checkpoint(size), b.proveTo(size))
		if err != nil {
			return err
		}
		if got, err := ledger.OpenCheckpoint(signed, lab.key); err != nil || got.Size != size || c.Cosigned() != size {
			t.Errorf("%v, cosigned %d: %v", got, c.Cosigned(), err)
		}
		if _, err := w.Key().Cosignature(signed); err != nil {
			t.Error(err)
		}
		return nil
	}
	first := client()
	for _, size := range []int64{3, 3, 7, 12} {
		if err := offer(first, lab, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := offer(client(), lab, 20); err != nil { // knows nothing: is told 12
		t.Fatal(err)
	}
	if err := offer(first, lab, 25); err != nil { // believes 12: is told 20
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		b       *book
		size    int64
		wantErr error
	}{
		"rolled back":          {lab, 13, witness.ErrAhead},
		"fork, smaller":        {other, 13, witness.ErrAhead},
		"fork of the size":     {other, 25, witness.ErrInconsistent},
		"fork, larger":         {other, 33, witness.ErrInconsistent},
		"fork, larger, at end": {other, 40, witness.ErrInconsistent},
	} {
		err := offer(client(), row.b, row.size)
		conflict, ok := errors.AsType[*witness.ConflictError](err)
		if !ok || !errors.Is(err, row.wantErr) || conflict.Witness != "w.example/1" || conflict.Held != 25 ||
			conflict.Offered.Size != row.size || !bytes.Equal(conflict.Theirs, w.Held(origin)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A witness that was rolled back tells so once, and goes on from what it holds.
	reset := witness.NewClient(witness.Endpoint{Key: w.Key(), URL: s.URL}, lab.key, 5*time.Second)
	reset.Recall(30)
	if err := offer(reset, lab, 33); !errors.Is(err, witness.ErrForgotten) {
		t.Error(err)
	}
	if err := offer(reset, lab, 33); err != nil {
		t.Error(err)
	}
	stranger := newBook(t, "stranger").grow(3, "a")
	c := witness.NewClient(witness.Endpoint{Key: w.Key(), URL: s.URL}, stranger.key, 5*time.Second)
	if _, err := c.Offer(t.Context(), stranger.checkpoint(3), stranger.proveTo(3)); !errors.Is(err, witness.ErrUnknownLog) {
		t.Error(err)
	}
	s.Close()
	if err := offer(client(), lab, 30); !errors.Is(err, witness.ErrUnreachable) {
		t.Error(err)
	}
}

// TestBadWitness: answers that a witness must not give end in an error, and in nothing
// that could be taken for a cosignature.
func TestBadWitness(t *testing.T) {
	lab := newBook(t, origin).grow(9, "a")
	honest := open(t, t.TempDir(), lab)
	stranger := open(t, t.TempDir(), lab)
	for name, answer := range map[string]func(out http.ResponseWriter, n int){
		"nothing":   func(http.ResponseWriter, int) {},
		"garbage":   func(out http.ResponseWriter, _ int) { _, _ = io.WriteString(out, "\u2014 x\n") },
		"endless":   func(out http.ResponseWriter, _ int) { _, _ = io.WriteString(out, strings.Repeat("x", 100_000)) },
		"redirect":  func(out http.ResponseWriter, _ int) { out.Header().Set("Location", "/"); out.WriteHeader(307) },
		"500":       func(out http.ResponseWriter, _ int) { out.WriteHeader(500) },
		"409":       func(out http.ResponseWriter, n int) { size(out, fmt.Sprint(n%5+1)) },
		"409 same":  func(out http.ResponseWriter, _ int) { size(out, "0") },
		"409 words": func(out http.ResponseWriter, _ int) { size(out, "many") },
		"stranger": func(out http.ResponseWriter, _ int) {
			line, err := stranger.Add(witness.Request{Note: lab.checkpoint(9)})
			if err != nil && !errors.As(err, new(*witness.SizeError)) {
				t.Error(err)
			}
			_, _ = io.WriteString(out, line)
		},
	} {
		n := 0
		s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { n++; answer(out, n) }))
		c := witness.NewClient(witness.Endpoint{Key: honest.Key(), URL: s.URL}, lab.key, 5*time.Second)
		signed, err := c.Offer(t.Context(), lab.checkpoint(9), lab.proveTo(9))
		if !errors.Is(err, witness.ErrUnreachable) || signed != nil || n > 2 {
			t.Errorf("%s: %v after %d requests", name, err, n)
		}
		s.Close()
	}
	// One that refuses a good proof, and shows that it is good.
	if _, err := honest.Add(witness.Request{Note: lab.checkpoint(4)}); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		switch {
		case err != nil:
			t.Error(err)
		case in.Method == http.MethodGet:
			_, _ = out.Write(honest.Held(origin))
		case bytes.HasPrefix(body, []byte("old 0\n")):
			size(out, "4")
		default:
			out.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	defer s.Close()
	c := witness.NewClient(witness.Endpoint{Key: honest.Key(), URL: s.URL}, lab.key, 5*time.Second)
	if _, err := c.Offer(t.Context(), lab.checkpoint(9), lab.proveTo(9)); !errors.Is(err, witness.ErrUnreachable) {
		t.Error(err)
	}
}

// TestRefusals: what a witness shows decides, not what nobody signed.
func TestRefusals(t *testing.T) {
	lab := newBook(t, origin).grow(12, "a")
	other := lab.fork().grow(12, "b")
	key := open(t, t.TempDir(), lab).Key()
	sized := func(n string) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { size(out, n) }
	}
	status := func(code int) http.HandlerFunc {
		return func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(code) }
	}
	for name, row := range map[string]struct {
		answer  http.HandlerFunc
		shown   []byte
		wantErr error // of nine entries
		held    int64
		proven  bool
	}{
		"larger, nothing shown":        {sized("12"), nil, witness.ErrAhead, 12, false},
		"larger, as shown":             {sized("12"), lab.checkpoint(12), witness.ErrAhead, 12, true},
		"larger, an older one shown":   {sized("999999"), lab.checkpoint(4), witness.ErrAhead, 999999, false},
		"larger, a fork shown":         {sized("12"), other.checkpoint(4), witness.ErrInconsistent, 4, true},
		"not proven, nothing shown":    {status(422), nil, witness.ErrInconsistent, 0, false},
		"not proven, older shown":      {status(422), lab.checkpoint(4), witness.ErrInconsistent, 0, false},
		"not proven, a fork shown":     {status(422), other.checkpoint(9), witness.ErrInconsistent, 9, true},
		"not proven, a larger shown":   {status(422), other.checkpoint(12), witness.ErrAhead, 12, true},
		"bare 409, nothing shown":      {status(409), nil, witness.ErrUnreachable, 0, false},
		"bare 409, older shown":        {status(409), lab.checkpoint(4), witness.ErrUnreachable, 0, false},
		"bare 409, another root shown": {status(409), other.checkpoint(9), witness.ErrInconsistent, 9, true},
		"409 in words, a fork shown":   {sized("many"), other.checkpoint(9), witness.ErrInconsistent, 9, true},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			switch {
			case in.Method == http.MethodPost:
				row.answer(out, in)
			case row.shown == nil:
				out.WriteHeader(http.StatusNotFound)
			default:
				_, _ = out.Write(row.shown)
			}
		}))
		c := witness.NewClient(witness.Endpoint{Key: key, URL: s.URL}, lab.key, 5*time.Second)
		_, err := c.Offer(t.Context(), lab.checkpoint(9), lab.proveTo(9))
		conflict, ok := errors.AsType[*witness.ConflictError](err)
		if !errors.Is(err, row.wantErr) || ok == errors.Is(row.wantErr, witness.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
		if ok && (conflict.Held != row.held || (conflict.Theirs != nil) != row.proven) {
			t.Errorf("%s: %+v", name, conflict)
		}
		s.Close()
	}
}

func size(out http.ResponseWriter, n string) {
	out.Header().Set("Content-Type", "text/x.tlog.size")
	out.WriteHeader(http.StatusConflict)
	_, _ = io.WriteString(out, n+"\n")
}

// TestRestart: what was cosigned is known after a restart, and a damaged state is refused.
func TestRestart(t *testing.T) {
	lab := newBook(t, origin).grow(20, "a")
	dir := t.TempDir()
	w := open(t, dir, lab)
	if _, err := w.Add(witness.Request{Note: lab.checkpoint(10)}); err != nil {
		t.Fatal(err)
	}
	cfg := witness.Config{Dir: dir, Logs: []ledger.VerifierKey{lab.key}, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	if _, err := witness.Open(cfg); err == nil {
		t.Error("two witnesses on one state")
	}
	key := w.Key()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, dir, lab)
	var size *witness.SizeError
	if _, err := w.Add(witness.Request{Note: lab.checkpoint(20)}); !errors.As(err, &size) || size.Held != 10 || w.Key() != key {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, witness.OriginHash(origin)+".checkpoint")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	thief := newBook(t, origin).grow(5, "a")
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)-1], "flipped": bytes.Replace(whole, []byte("\n10\n"), []byte("\n11\n"), 1),
		"not cosigned": lab.checkpoint(5), "of another key": thief.checkpoint(5),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := witness.Open(cfg); !errors.Is(err, witness.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	twice := cfg
	twice.Logs = append(twice.Logs, thief.key)
	if _, err := witness.Open(twice); err == nil {
		t.Error("two keys for one ledger")
	}
	if _, err := witness.Create(dir, "w", rand.Reader); err == nil {
		t.Error("made anew over another")
	}
}

// TestRace: of many who go on from one size one alone is cosigned at each step.
func TestRace(t *testing.T) {
	lab := newBook(t, origin).grow(64, "a")
	w := open(t, t.TempDir(), lab)
	url := serve(t, w).URL
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c := witness.NewClient(witness.Endpoint{Key: w.Key(), URL: url}, lab.key, 10*time.Second)
			for n := int64(1); n <= 64; n += 7 {
				_, err := c.Offer(t.Context(), lab.checkpoint(n), lab.proveTo(n))
				if err != nil && !errors.Is(err, witness.ErrAhead) && !errors.Is(err, witness.ErrUnreachable) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if c, err := ledger.OpenCheckpoint(w.Held(origin), lab.key); err != nil || c.Size != 64 {
		t.Errorf("%v %v", c, err)
	}
}

// TestNotKept: what could not be kept is not cosigned.
func TestNotKept(t *testing.T) {
	lab := newBook(t, origin).grow(4, "a")
	dir := filepath.Join(t.TempDir(), "w")
	w := open(t, dir, lab)
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if status, _, text := post(t, serve(t, w).URL, lab.request(0, 4)); status != 500 || strings.Contains(text, dir) {
		t.Errorf("%d %s", status, text)
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(witness.Request{Note: lab.checkpoint(3)}); err != nil {
		t.Error(err)
	}
}

func TestEndpoint(t *testing.T) {
	w := open(t, t.TempDir())
	for text, wantErr := range map[string]error{
		w.Key().String() + " http://w.example:8422": nil,
		w.Key().String() + " https://w.example/lab": nil,
		w.Key().String():                      witness.ErrEndpoint,
		w.Key().String() + " w.example":       witness.ErrEndpoint,
		w.Key().String() + " ftp://w.example": witness.ErrEndpoint,
		w.Key().String() + " https://a@b":     witness.ErrEndpoint,
		w.Key().String() + " https://b?x=1":   witness.ErrEndpoint,
		"w+00000000+AAAA http://w.example":    witness.ErrEndpoint,
	} {
		e, err := witness.ParseEndpoint(text)
		if !errors.Is(err, wantErr) || err == nil && e.String() != text {
			t.Errorf("%q: %v %v", text, e, err)
		}
	}
}

// FuzzRequest: what parses is written with the same bytes.
func FuzzRequest(f *testing.F) {
	lab := newBook(f, origin).grow(9, "a")
	f.Add([]byte(lab.request(0, 4)))
	f.Add([]byte(lab.request(4, 9)))
	f.Add([]byte("old 0\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := witness.ParseRequest(body)
		if err == nil && !bytes.Equal(r.Marshal(), body) {
			t.Errorf("%q becomes %q", body, r.Marshal())
		}
	})
}
