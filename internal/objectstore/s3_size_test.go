package objectstore

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// TestS3NoSize: a service that does not say how large an object is has not answered.
func TestS3NoSize(t *testing.T) {
	c := startMinIO(t)
	s := newS3(t, c).store.(*S3)
	o, err := put(t.Context(), s, name(), noise(1, 10))
	must(t, err)
	on := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: c.Endpoint})
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method == http.MethodHead {
				r.Header.Del("Content-Length")
			}
			return nil
		},
	})
	defer on.Close()
	silent := c
	silent.Endpoint = on.Listener.Addr().String()
	far, err := connect(silent)
	must(t, err)
	far.sum, far.lock, far.conditional = s.sum, s.lock, s.conditional
	defer func() { must(t, far.Close()) }()
	if o, err := far.Stat(t.Context(), o.Key, o.Version); !errors.Is(err, ErrReadBack) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := far.Open(t.Context(), o, false); !errors.Is(err, ErrReadBack) {
		t.Error(err)
	}
	for _, err := range far.List(t.Context(), "") {
		if !errors.Is(err, ErrReadBack) {
			t.Error(err)
		}
	}
}
