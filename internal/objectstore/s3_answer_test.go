package objectstore

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// TestS3NoSize: a service that does not say how large an object is has not answered.
func TestS3NoSize(t *testing.T) {
	c := startMinIO(t)
	s := newS3(t, c).store.(*S3)
	o, err := put(t.Context(), s, name(), noise(1, 10))
	must(t, err)
	far := behind(t, c, s, func(r *http.Response) {
		if r.Request.Method == http.MethodHead {
			r.Header.Del("Content-Length")
		}
	})
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

// behind gives a store whose service's answers are changed on the way.
func behind(t *testing.T, c Config, s *S3, change func(*http.Response)) *S3 {
	t.Helper()
	host := c.Endpoint
	on := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: host})
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			change(r)
			return nil
		},
	})
	t.Cleanup(on.Close)
	c.Endpoint = on.Listener.Addr().String()
	far, err := connect(c)
	must(t, err)
	far.sum, far.lock, far.conditional = s.sum, s.lock, s.conditional
	t.Cleanup(func() { must(t, far.Close()) })
	return far
}

// TestS3Encrypted: an object that somebody encrypted with a key of their own is told from
// one that cannot be looked at now. A service answers HEAD without words, and GET with an
// error that names it; other errors are others.
func TestS3Encrypted(t *testing.T) {
	c := startMinIO(t)
	s := newS3(t, c).store.(*S3)
	o, err := put(t.Context(), s, name(), noise(1, 10))
	must(t, err)
	for code, foreign := range map[string]bool{"InvalidRequest": true, "InvalidArgument": false, "": false} {
		far := behind(t, c, s, func(r *http.Response) {
			switch {
			case !strings.HasSuffix(r.Request.URL.Path, o.Key):
				return
			case r.Request.Method == http.MethodHead:
				r.StatusCode = http.StatusBadRequest
			case code != "":
				text := "<Error><Code>" + code + "</Code><Message>no</Message></Error>"
				r.StatusCode, r.ContentLength = http.StatusBadRequest, int64(len(text))
				r.Header.Set("Content-Length", strconv.Itoa(len(text)))
				r.Body = io.NopCloser(strings.NewReader(text))
			}
		})
		seen := 0
		for found, err := range far.List(t.Context(), o.Key) {
			seen++
			if err == nil || errors.Is(err, ErrForeign) != foreign || found.Key != o.Key {
				t.Errorf("%q: %+v, %v", code, found, err)
			}
		}
		if seen != 1 {
			t.Errorf("%q: %d objects", code, seen)
		}
	}
}
