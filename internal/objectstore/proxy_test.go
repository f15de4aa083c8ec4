package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is a connection that goes wrong. On each connection it flips a bit of
// the byte at flip on the way to the server, closes both sides after cutTo bytes
// to it, or after cutBack bytes from it. Negative numbers never come.
type proxy struct {
	l                    net.Listener
	target               string
	flip, cutTo, cutBack int64
	wg                   sync.WaitGroup

	mu      sync.Mutex
	longest []byte // what one connection carried to the server
}

func startProxy(t *testing.T, target string, flip, cutTo, cutBack int64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{l: l, target: target, flip: flip, cutTo: cutTo, cutBack: cutBack}
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
	return p
}

// stop is called when no client is left.
func (p *proxy) stop() {
	_ = p.l.Close()
	p.wg.Wait()
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.pass(server, client, p.flip, p.cutTo, true) })
	wg.Go(func() { p.pass(client, server, -1, p.cutBack, false) })
	wg.Wait()
}

func (p *proxy) pass(to, from net.Conn, flip, cut int64, count bool) {
	defer to.Close()   //nolint:errcheck // the end of it
	defer from.Close() //nolint:errcheck // the end of it
	buf := make([]byte, 16<<10)
	var sent []byte
	if count {
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(sent) > len(p.longest) {
				p.longest = sent
			}
		}()
	}
	for at := int64(0); ; {
		n, err := from.Read(buf)
		if flip >= at && flip < at+int64(n) {
			buf[flip-at] ^= 1
		}
		if cut >= 0 && at+int64(n) > cut {
			_, _ = to.Write(buf[:cut-at])
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		at += int64(n)
		if count {
			sent = append(sent, buf[:n]...)
		}
		if err != nil {
			return
		}
	}
}

// through is s over another connection.
func through(t *testing.T, s *S3, c Config, p *proxy) *S3 {
	t.Helper()
	c.Endpoint = p.l.Addr().String()
	other, err := connect(c)
	must(t, err)
	other.sum, other.lock, other.conditional = s.sum, s.lock, s.conditional
	return other
}

// bad runs do over a bad connection, and gives it no more than a few seconds: a
// damaged length lets both sides wait.
func bad(t *testing.T, s *S3, c Config, flip, cutTo, cutBack int64, do func(context.Context, *S3) error) (sent []byte, err error) {
	t.Helper()
	p := startProxy(t, c.Endpoint, flip, cutTo, cutBack)
	other := through(t, s, c, p)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	err = do(ctx, other)
	cancel()
	must(t, other.Close())
	p.stop()
	return p.longest, err
}

// TestBadConnection: whatever happens on the way, no error means that the store
// holds the right bytes, and an error means that it holds none or the right ones.
func TestBadConnection(t *testing.T) {
	c := startMinIO(t)
	s := newS3(t, c).store.(*S3)
	content := noise(1, 150<<10)

	whole := func(key string) func(context.Context, *S3) error {
		return func(ctx context.Context, s *S3) error {
			_, err := put(ctx, s, key, content)
			return err
		}
	}
	sent, err := bad(t, s, c, -1, -1, -1, whole(name()))
	must(t, err)
	total := int64(len(sent))
	if total < int64(len(content)) {
		t.Fatalf("%d bytes went through the proxy", total)
	}
	trailer, end := trailerOf(t, sent)
	var places []int64
	for at := int64(0); at < 1200; at += 37 { // the request and its headers
		places = append(places, at)
	}
	for at := int64(1200); at < total-200; at += total / 12 { // the content
		places = append(places, at)
	}
	for at := total - 1200; at < total; at += 37 { // the trailer, and the request that looks
		places = append(places, at)
	}
	refusals := 0
	for _, at := range places {
		for _, cut := range []bool{false, true} {
			key, flip, cutTo := name(), at, int64(-1)
			if cut {
				if at > trailer && at < end {
					continue // see TestCutTrailer
				}
				flip, cutTo = -1, at
			}
			_, err := bad(t, s, c, flip, cutTo, -1, whole(key))
			if err != nil {
				refusals++
			}
			if faulty := consistent(t.Context(), s, key, content, err); faulty != nil {
				t.Errorf("byte %d of %d, cut %v: %v", at, total, cut, faulty)
			}
		}
	}
	if refusals < len(places) {
		t.Errorf("%d errors at %d places: the proxy does nothing", refusals, len(places))
	}

	t.Run("parts", func(t *testing.T) {
		u, err := s.Begin(t.Context(), name(), int64(len(content)), tomorrow())
		must(t, err)
		part := func(ctx context.Context, s *S3) error {
			_, err := writePart(ctx, s, u, 1, content)
			return err
		}
		sent, err := bad(t, s, c, -1, -1, -1, part)
		must(t, err)
		total, _ := trailerOf(t, sent)
		for at := int64(0); at < total; at += total/15 + 1 {
			for _, x := range [][2]int64{{at, -1}, {-1, at}} {
				if _, err := bad(t, s, c, x[0], x[1], -1, part); err == nil && x[1] >= 0 {
					t.Errorf("a part cut at %d of %d was taken", at, total)
				}
			}
		}
		p, err := writePart(t.Context(), s, u, 1, content)
		must(t, err)
		o, err := s.Complete(t.Context(), u, []Part{p})
		must(t, err)
		must(t, holds(t.Context(), s, o, content))
	})

	t.Run("a part damaged on the way is not completed", func(t *testing.T) {
		for at := int64(2000); at < 150<<10; at += 15 << 10 {
			u, err := s.Begin(t.Context(), name(), int64(len(content)), tomorrow())
			must(t, err)
			var p Part
			_, err = bad(t, s, c, at, -1, -1, func(ctx context.Context, s *S3) (err error) {
				p, err = writePart(ctx, s, u, 1, content)
				return err
			})
			if err == nil {
				t.Errorf("byte %d: the part was taken", at)
				_, err = s.Complete(t.Context(), u, []Part{p})
			}
			if err == nil {
				t.Errorf("byte %d: the upload was completed", at)
			}
			must(t, s.Abort(t.Context(), u))
		}
	})

	t.Run("the answer to a completion is lost", func(t *testing.T) {
		for _, cutBack := range []int64{0, 10, 300} {
			u, parts, err := upload(t.Context(), s, name(), content, 5<<20)
			must(t, err)
			_, err = bad(t, s, c, -1, -1, cutBack, func(ctx context.Context, s *S3) error {
				_, err := s.Complete(ctx, u, parts)
				return err
			})
			if err == nil {
				t.Errorf("complete with an answer of %d bytes", cutBack)
			}
			o, err := s.Complete(t.Context(), u, parts)
			must(t, err)
			must(t, holds(t.Context(), s, o, content))
			must(t, listed(t.Context(), s, u.Key, []string{o.Version}))
		}
	})

	t.Run("content cut on the way back", func(t *testing.T) {
		o, err := put(t.Context(), s, name(), content)
		must(t, err)
		for _, cutBack := range []int64{900, 5000, 100 << 10} {
			_, err := bad(t, s, c, -1, -1, cutBack, func(ctx context.Context, s *S3) error {
				b, err := contentOf(ctx, s, o, true)
				if err == nil {
					return nil
				}
				if len(b) >= len(content) {
					return errors.Join(fmt.Errorf("%d bytes", len(b)), err)
				}
				return io.ErrUnexpectedEOF
			})
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %v", cutBack, err)
			}
		}
	})
}

// consistent judges what is stored after put of content to key ended with err.
func consistent(ctx context.Context, s *S3, key string, content []byte, err error) error {
	o, statErr := s.Stat(ctx, key, "")
	if err != nil && errors.Is(statErr, fs.ErrNotExist) {
		return nil
	}
	if statErr != nil {
		return fmt.Errorf("put said %w, stat %w", err, statErr)
	}
	if o.Lock != s.lock || o.RetainUntil.IsZero() {
		return fmt.Errorf("lock %s until %s", o.Lock, o.RetainUntil)
	}
	return holds(ctx, s, o, content)
}

// trailerOf finds where in a request its trailing checksum is.
func trailerOf(t *testing.T, sent []byte) (from, to int64) {
	t.Helper()
	i := bytes.LastIndex(sent, []byte("0\r\n"+sumCRC.header()+":"))
	j := bytes.Index(sent[max(i, 0):], []byte("\r\n\r\n"))
	if i < 0 || j < 0 {
		t.Fatal("no trailer was sent")
	}
	return int64(i), int64(i + j + 4)
}

// TestCutTrailer cuts a connection in the middle of the trailing checksum. MinIO
// then reads on for ever, fills its memory and keeps the key locked
// (readTrailers takes io.ErrUnexpectedEOF for a byte). The trailer is some 45
// bytes that leave in one packet with the content before them, so that nothing
// but a packet boundary right there can do it; an operator restarts MinIO.
func TestCutTrailer(t *testing.T) {
	expected := map[string]string{"minio": "context deadline exceeded"}
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			c := server.start(t)
			s := newS3(t, c).store.(*S3)
			content := noise(1, 100<<10)
			send := func(key string) func(context.Context, *S3) error {
				return func(ctx context.Context, s *S3) error {
					_, err := put(ctx, s, key, content)
					return err
				}
			}
			sent, err := bad(t, s, c, -1, -1, -1, send(name()))
			must(t, err)
			from, _ := trailerOf(t, sent)
			key := name()
			if _, err := bad(t, s, c, -1, from+20, -1, send(key)); err == nil {
				t.Error("content without its checksum was taken")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = s.Stat(ctx, key, "")
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			judge(t, expected[server.name], err)
		})
	}
}
