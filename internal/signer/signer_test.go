package signer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/custodyd/custodyd/internal/ledger"
)

const origin = "lab.example/custody"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk is a signer's directory and the ledger that it signs.
type desk struct {
	t      *testing.T
	dir    string
	skey   string
	socket string
	hashes hashes
	tree   ledger.Tree
}

// hashes are the stored ones of a tree.
type hashes []ledger.Hash

// ReadHashes implements [ledger.HashReader].
func (h hashes) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	var read []ledger.Hash
	for _, i := range indexes {
		read = append(read, h[i])
	}
	return read, nil
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	var err error
	d.skey, _, err = ledger.GenerateKey(rand.Reader, origin)
	must(t, err)
	d.socket = filepath.Join(d.dir, "socket")
	s, err := ledger.CreateSigner(filepath.Join(d.dir, "state"), d.skey)
	must(t, err)
	must(t, s.Close())
	return d
}

// serve runs the signer until stop.
func (d *desk) serve(cfg Config) (stop func()) {
	d.t.Helper()
	var err error
	cfg.Signer, err = ledger.OpenSigner(filepath.Join(d.dir, "state"), d.skey)
	must(d.t, err)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Listen(d.t.Context(), d.socket)
	must(d.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, cfg) }()
	return func() {
		d.t.Helper()
		cancel()
		if err := errors.Join(<-done, cfg.Signer.Close()); err != nil {
			d.t.Errorf("serve: %v", err)
		}
	}
}

func (d *desk) dial() *Client {
	d.t.Helper()
	c, err := Dial(d.t.Context(), d.socket, Options{Patience: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	must(d.t, err)
	d.t.Cleanup(func() { must(d.t, c.Close()) })
	return c
}

// grow adds entries, and gives the checkpoint over all and its proof from a size.
func (d *desk) grow(n int, from int64) (ledger.Checkpoint, []ledger.Hash) {
	d.t.Helper()
	for range n {
		d.hashes = d.tree.Append(d.hashes, ledger.LeafHash(fmt.Appendf(nil, "entry %d", d.tree.Size())))
	}
	proof, err := ledger.ProveConsistency(d.tree.Size(), from, d.hashes)
	must(d.t, err)
	return ledger.Checkpoint{Origin: origin, Size: d.tree.Size(), Root: d.tree.Root()}, proof
}

// TestSign: the answers are those of a signer in this process.
func TestSign(t *testing.T) {
	d := newDesk(t)
	stop := d.serve(Config{})
	c := d.dial()
	if key, err := ledger.VerifierKeyOf(d.skey); err != nil || c.Key() != key || c.Last().Size != 0 {
		t.Fatalf("key %s, last %+v, %v", c.Key(), c.Last(), err)
	}
	var signed []ledger.Checkpoint
	for _, n := range []int{1, 1, 5, 300} {
		next, proof := d.grow(n, c.Last().Size)
		note, err := c.Sign(next, proof)
		must(t, err)
		again, err := c.Sign(next, nil)
		must(t, err)
		if got, err := ledger.OpenCheckpoint(note, c.Key()); err != nil || got != next || c.Last() != next || !bytes.Equal(note, again) {
			t.Fatalf("%+v: %v", got, err)
		}
		signed = append(signed, next)
	}
	last := c.Last()
	next, proof := d.grow(3, last.Size)
	wrong, other := next, next
	wrong.Root[0] ^= 1
	other.Origin = "lab.example/other"
	_, old := d.grow(0, signed[1].Size)
	for name, row := range map[string]struct {
		next    ledger.Checkpoint
		proof   []ledger.Hash
		wantErr error
		refused bool
	}{
		"older":           {signed[0], nil, ledger.ErrRollback, true},
		"another root":    {wrong, proof, ledger.ErrInconsistent, true},
		"no proof":        {next, nil, ledger.ErrInconsistent, true},
		"proof of others": {next, old, ledger.ErrInconsistent, true},
		"another ledger":  {other, proof, ledger.ErrOrigin, false},
		"no such proof":   {next, make([]ledger.Hash, maxProof+1), errAnswer, false},
	} {
		note, err := c.Sign(row.next, row.proof)
		refusal, ok := errors.AsType[*ledger.RefusalError](err)
		if !errors.Is(err, row.wantErr) || note != nil || ok != row.refused || ok && (refusal.Last != last || refusal.Next != row.next) {
			t.Errorf("%s: %v, want %v", name, err, row.wantErr)
		}
	}
	_, err := c.Sign(next, proof)
	must(t, err)
	stop()
}

// TestRestart: what signers before knew is what the next one knows, and whoever waits
// for one gets the answer.
func TestRestart(t *testing.T) {
	d := newDesk(t)
	stop := d.serve(Config{})
	c := d.dial()
	next, proof := d.grow(4, 0)
	_, err := c.Sign(next, proof)
	must(t, err)
	stop()

	next, proof = d.grow(4, 4)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Sign(next, proof)
		answered <- err
	}()
	stop = d.serve(Config{})
	must(t, <-answered)
	stop()
	old, err := os.ReadFile(filepath.Join(d.dir, "state"))
	must(t, err)

	// Its durable record was made, and its answer did not arrive.
	next, proof = d.grow(4, 8)
	s, err := ledger.OpenSigner(filepath.Join(d.dir, "state"), d.skey)
	must(t, err)
	want, err := s.Sign(next, proof)
	must(t, errors.Join(err, s.Close()))
	stop = d.serve(Config{})
	if note, err := c.Sign(next, proof); err != nil || !bytes.Equal(note, want) {
		t.Fatalf("%s: %v", note, err)
	}
	stop()

	must(t, os.WriteFile(filepath.Join(d.dir, "state"), old, 0o600)) // put back
	stop = d.serve(Config{})
	next, proof = d.grow(4, 12)
	if _, err := c.Sign(next, proof); !errors.Is(err, ledger.ErrInconsistent) || !strings.Contains(err.Error(), "put back") {
		t.Errorf("signer with an old state: %v", err)
	}
	stop()
}

// TestOthers: what another key signs, and what is no signer, is not believed.
func TestOthers(t *testing.T) {
	d := newDesk(t)
	stop := d.serve(Config{})
	c := d.dial()
	next, proof := d.grow(4, 0)
	good, err := c.Sign(next, proof)
	must(t, err)
	stop()

	other := newDesk(t)
	other.socket = d.socket
	stop = other.serve(Config{})
	next, proof = d.grow(0, 0)
	if _, err := c.Sign(next, proof); !errors.Is(err, ledger.ErrUnsigned) {
		t.Errorf("signer with another key: %v", err)
	}
	stop()

	for name, row := range map[string]struct {
		status  int
		body    string
		wantErr error
	}{
		"nothing":            {200, "", ledger.ErrCheckpoint},
		"unsigned":           {200, string(next.Body()), ledger.ErrCheckpoint},
		"with another line":  {200, string(good) + "— lab.example/x " + strings.Repeat("A", 92) + "\n", errAnswer},
		"refusal of nothing": {422, "no", ledger.ErrCheckpoint},
		"refusal of others":  {409, "lab.example/x\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", ledger.ErrOrigin},
		"elsewhere":          {302, "", errAnswer},
		"no such page":       {405, "", errAnswer},
		"too long":           {200, strings.Repeat("x", maxAnswer+1), ErrGone},
		"out of order":       {500, "no space left on device", ErrGone},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(t.Context(), d.socket)
			must(t, err)
			h := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, row.body)
			})}
			go func() { _ = h.Serve(l) }()
			c.options.Patience = time.Nanosecond
			if note, err := c.Sign(next, proof); !errors.Is(err, row.wantErr) || note != nil {
				t.Errorf("%v, want %v", err, row.wantErr)
			}
			must(t, h.Close())
		})
	}
	if _, err := Dial(t.Context(), d.socket, Options{Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrGone) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestGarbage: whatever is said to the socket, the signer goes on and signs nothing.
func TestGarbage(t *testing.T) {
	d := newDesk(t)
	defer d.serve(Config{})()
	c := d.dial()
	next, proof := d.grow(7, 0)
	good := string(request{proof, next}.marshal())
	for name, row := range map[string]struct {
		request string
		status  string
	}{
		"noise":         {"\x00\xff\x16\x03\x01\r\n\r\n", "400"},
		"other method":  {"DELETE /last HTTP/1.1\r\nHost: s\r\n\r\n", "405"},
		"other path":    {"GET /secret HTTP/1.1\r\nHost: s\r\n\r\n", "404"},
		"empty":         {post(""), "400"},
		"no checkpoint": {post("\n"), "400"},
		"no empty line": {post(strings.TrimPrefix(good, "\n")), "400"},
		"more behind":   {post(good + "x"), "400"},
		"not base64":    {post("!\n" + good), "400"},
		"short hash":    {post("AAAA\n" + good), "400"},
		"carriage":      {post(strings.ReplaceAll(good, "\n", "\r\n")), "400"},
		"too long":      {post(strings.Repeat("A", maxRequest+1)), "400"},
		"long headers":  {"GET /last HTTP/1.1\r\nHost: s\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431"},
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", d.socket)
		must(t, err)
		_, _ = io.WriteString(conn, row.request) // it may hang up first
		answer, _ := io.ReadAll(io.LimitReader(conn, 12))
		if !strings.HasPrefix(string(answer), "HTTP/1.1 "+row.status) {
			t.Errorf("%s: %q, want %s", name, answer, row.status)
		}
		must(t, conn.Close())
	}
	if got := c.Last(); got.Size != 0 {
		t.Errorf("signed %+v", got)
	}
	_, err := c.Sign(next, proof)
	must(t, err)
}

func post(body string) string {
	return fmt.Sprintf("POST /sign HTTP/1.1\r\nHost: s\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestSocket: the socket's mode, and what may stand in its place.
func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := Listen(t.Context(), path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %s", info.Mode())
	}
	if _, err := Listen(t.Context(), path); err == nil {
		t.Error("two listen on one socket")
	}
	must(t, l.Close())
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	stale, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, stale.Close())
	l, err = Listen(t.Context(), path)
	must(t, err)
	must(t, l.Close())

	must(t, os.WriteFile(path, []byte("notes"), 0o600))
	if _, err := Listen(t.Context(), path); err == nil {
		t.Error("a file was replaced")
	}
	must(t, os.Remove(path))
	must(t, os.Chmod(dir, 0o777))
	if _, err := Listen(t.Context(), path); err == nil {
		t.Error("everybody can replace the socket")
	}
}

// TestPeers: a user who was not allowed gets no answer, though the mode lets everybody
// in. Without another user to be, the test's own is the one who is allowed.
func TestPeers(t *testing.T) {
	const nobody = 65534
	for name, row := range map[string]struct {
		allow []int64
		want  bool
	}{
		"no list": {nil, true},
		"listed":  {[]int64{7, nobody}, true},
		"others":  {[]int64{7}, os.Geteuid() != 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			must(t, errors.Join(os.Chmod(filepath.Dir(d.dir), 0o755), os.Chmod(d.dir, 0o755)))
			var log bytes.Buffer
			stop := d.serve(Config{AllowUIDs: row.allow, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			must(t, os.Chmod(d.socket, 0o666))
			uid := os.Geteuid()
			if uid == 0 {
				uid = nobody
			}
			out, err := askAs(t.Context(), uid, d.socket)
			if row.want {
				must(t, err)
			}
			if got := strings.Contains(out, origin); got != row.want {
				t.Errorf("answer %q", out)
			}
			stop()
			if said := log.String(); !strings.Contains(said, fmt.Sprintf("uid=%d", uid)) || strings.Contains(said, "not allowed") == row.want {
				t.Errorf("log: %s", said)
			}
		})
	}
}

// askAs asks for the key as another user, whom one thread of this process becomes.
func askAs(ctx context.Context, uid int, socket string) (string, error) {
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if uid != os.Geteuid() {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
				done <- answer{"", errno}
				return
			}
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			done <- answer{"", err}
			return
		}
		_, err = io.WriteString(conn, "GET /key HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
		text, readErr := io.ReadAll(conn)
		done <- answer{string(text), errors.Join(err, readErr, conn.Close())}
	}()
	a := <-done
	return a.text, a.err
}

// FuzzRequest: what is read is written to the same bytes.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("\nlab.example/custody\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"))
	f.Add([]byte("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\nlab.example/custody\n12\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseRequest(body)
		if err != nil {
			return
		}
		if !bytes.Equal(r.marshal(), body) {
			t.Errorf("%q became %q", body, r.marshal())
		}
	})
}
