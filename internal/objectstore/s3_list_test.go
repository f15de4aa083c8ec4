package objectstore

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
)

// gate is a way to a server on which those who look at objects wait for each other.
type gate struct {
	*httptest.Server
	refused string // key that nobody may look at

	mu     sync.Mutex
	now    int
	most   int           // at once
	opened chan struct{} // closed when as many look as may
}

func newGate(t *testing.T, endpoint, refused string) *gate {
	t.Helper()
	g := &gate{refused: refused, opened: make(chan struct{})}
	on := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: endpoint})
		r.Out.Host = r.In.Host // it is signed
	}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			defer g.enter(r.Context())()
			if strings.HasSuffix(r.URL.Path, "/"+g.refused) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
		}
		on.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

// enter waits until as many look as may.
func (g *gate) enter(ctx context.Context) (leave func()) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	if g.now == looks {
		select {
		case <-g.opened:
		default:
			close(g.opened)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.opened:
	case <-ctx.Done():
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}
}

// TestS3List: objects are looked at side by side, so many and no more, come in the listing's
// order, each with its own error, and nobody looks on when the caller has enough.
func TestS3List(t *testing.T) {
	c := startMinIO(t)
	s := newS3(t, c).store.(*S3)
	var want []string
	for n := range 3 * looks {
		o, err := put(t.Context(), s, name(), noise(byte(n), n))
		must(t, err)
		want = append(want, o.Key+" "+o.Version)
	}
	slices.Sort(want)
	hidden, _, _ := strings.Cut(want[2*looks], " ")
	refused, _, _ := strings.Cut(want[7], " ")
	must(t, s.core.RemoveObject(t.Context(), s.bucket, hidden, minio.RemoveObjectOptions{}))
	want = slices.Insert(want, 2*looks, hidden+" hidden")

	g := newGate(t, c.Endpoint, refused)
	c.Endpoint = g.Listener.Addr().String()
	far, err := connect(c)
	must(t, err)
	far.sum, far.lock, far.conditional = s.sum, s.lock, s.conditional
	defer func() { must(t, far.Close()) }()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for the gate stays shut before too few
	defer cancel()
	var got []string
	for o, err := range far.List(ctx, "") {
		switch {
		case o.Marker:
			o.Version = "hidden"
		case o.Key == refused:
			if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), refused) {
				t.Errorf("%s: %v", refused, err)
			}
		case err != nil || o.Lock != s.lock || o.RetainUntil.IsZero():
			t.Errorf("%+v, %v", o, err)
		}
		got = append(got, o.Key+" "+o.Version)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if g.most != looks {
		t.Errorf("%d looked at once, want %d", g.most, looks)
	}

	for _, enough := range []int{0, 1, looks, 2*looks - 1} {
		count := 0
		for range far.List(t.Context(), "") { //nolint:errcheck // what it tells is judged above
			if count++; count > enough {
				break
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var last error
		told := 0
		for _, err := range far.List(ctx, "") {
			if told++; told > enough {
				cancel()
			}
			last = err
		}
		cancel()
		if told <= enough || !errors.Is(last, context.Canceled) {
			t.Errorf("canceled after %d of %d: %v", enough, told, last)
		}
	}
}
