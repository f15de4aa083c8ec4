package client

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// FuzzDownload: an answer to a fetch that is taken says what was asked for, and its
// headers can be written again from what was read.
func FuzzDownload(f *testing.F) {
	sum := "sha-256=:" + strings.Repeat("A", 43) + "=:"
	f.Add(206, int64(6), int64(4), "bytes 4-9/10", sum, "AAAA", "attachment; filename=a.dd")
	f.Add(200, int64(10), int64(0), "", sum, "", `attachment; filename*=utf-8''%C3%A9%20%22x%22.dd`)
	f.Add(206, int64(6), int64(4), "bytes 4-9/9223372036854775807", sum, "", "")
	f.Add(206, int64(0), int64(4), "bytes 4-3/4", sum, "", "")
	f.Add(206, int64(6), int64(4), "bytes 4-9/+10", sum, "", "")
	f.Add(206, int64(6), int64(4), "bytes 4-9/10", strings.TrimSuffix(sum, ":"), "", "")
	f.Add(206, int64(1), int64(9223372036854775807), "bytes 9223372036854775807-9223372036854775807/-9223372036854775808", sum, "", "")
	f.Add(200, int64(-1), int64(0), "", "sha-256=:AAAA", "%", "attachment; filename=\"../x\"")
	f.Fuzz(func(t *testing.T, status int, length, offset int64, contentRange, digest, receipt, disposition string) {
		if offset < 0 || strings.ContainsAny(contentRange+digest+receipt+disposition, "\r\n") {
			return // no caller has got that far, and no header either
		}
		header := http.Header{}
		for name, value := range map[string]string{
			"Content-Range": contentRange, "Repr-Digest": digest, "Custody-Receipt": receipt, "Content-Disposition": disposition,
		} {
			header.Set(name, value)
		}
		d, err := download(&answer{status, header, length, io.NopCloser(&bytes.Buffer{})}, offset)
		if err != nil {
			if !errors.Is(err, ErrAnswer) {
				t.Errorf("error %v, want %v", err, ErrAnswer)
			}
			return
		}
		if d.Offset != offset || length < 0 || d.Size < offset || d.Size-offset != length {
			t.Fatalf("%d bytes from %d of %d", length, d.Offset, d.Size)
		}
		if again := fmt.Sprintf("bytes %d-%d/%d", offset, d.Size-1, d.Size); offset > 0 && (again != contentRange || status != http.StatusPartialContent) {
			t.Errorf("HTTP %d: Content-Range %q was read as %q", status, contentRange, again)
		}
		if again := "sha-256=:" + base64.StdEncoding.EncodeToString(d.SHA256[:]) + ":"; again != digest {
			t.Errorf("Repr-Digest %q was read as %q", digest, again)
		}
		if again := base64.StdEncoding.EncodeToString(d.Receipt); again != receipt {
			t.Errorf("Custody-Receipt %q was read as %q", receipt, again)
		}
	})
}

// FuzzUploadOffset: an offset has one spelling and is never negative.
func FuzzUploadOffset(f *testing.F) {
	for _, seed := range []string{"0", "9223372036854775807", "9223372036854775808", "-1", "+1", "01", " 1", "0x1", "1_000", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := uploadOffset(http.Header{"Upload-Offset": {text}})
		switch {
		case err != nil && !errors.Is(err, ErrAnswer):
			t.Errorf("%q: error %v, want %v", text, err, ErrAnswer)
		case err == nil && (n < 0 || strconv.FormatInt(n, 10) != text):
			t.Errorf("%q was read as %d", text, n)
		}
	})
}
