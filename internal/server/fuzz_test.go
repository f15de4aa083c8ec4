package server

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"
)

// FuzzRange: a range that is taken lies within the content, and written out again asks
// for the same; everything else is as if it were not there.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{
		"bytes=0-", "bytes=2-4", "bytes=-3", "bytes=-0", "bytes=10-", "bytes=4-2", "bytes=0-1,4-5", "bytes=+1-2", "lines=1-2",
		"bytes=-", "bytes=", "bytes=9223372036854775807-9223372036854775807", "bytes=99999999999999999999-", "bytes=1-2-3", "BYTES=1-2",
	} {
		f.Add(seed, int64(10))
	}
	f.Add("bytes=-1", int64(0))
	f.Fuzz(func(t *testing.T, text string, size int64) {
		r, ok := parseRange(http.Header{"Range": {text}})
		if !ok || size < 0 {
			return
		}
		again := fmt.Sprintf("bytes=%d-", r.first)
		switch {
		case r.suffix >= 0:
			again = fmt.Sprintf("bytes=-%d", r.suffix)
		case r.last >= 0:
			again += fmt.Sprint(r.last)
		}
		if other, ok := parseRange(http.Header{"Range": {again}}); !ok || other != r {
			t.Fatalf("%q is %+v, which is %q, which is %+v %v", text, r, again, other, ok)
		}
		offset, length, ok := r.within(size)
		if ok && (offset < 0 || length < 1 || length > size || offset > size-length) {
			t.Errorf("%q of %d bytes: %d bytes from %d", text, size, length, offset)
		}
	})
}

// FuzzAttachment: whatever a copy is called, the header is one line that reads as an
// attachment without a directory.
func FuzzAttachment(f *testing.F) {
	for _, seed := range []string{"disk.dd", `..\..\é "x".dd`, "../../etc/passwd", "a\r\nX: y", "\xff", "", "a;b=c", "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		h := attachment(name)
		kind, params, err := mime.ParseMediaType(h)
		if err != nil || kind != "attachment" || strings.ContainsAny(h, "\r\n\x00") || strings.ContainsAny(params["filename"], `/\`) {
			t.Errorf("%q: %q: %q %q %v", name, h, kind, params, err)
		}
	})
}
