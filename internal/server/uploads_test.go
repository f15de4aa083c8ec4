package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// zeros is a content of any size that nobody holds.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestUploadIsNotBuffered sends more than may be allocated on the way.
func TestUploadIsNotBuffered(t *testing.T) {
	const size, most = 200 << 20, 40 << 20
	l := newLab(t)
	id := l.declare(l.open(), "disk.dd", size, nil)
	c := l.as("examiner1")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := c.Upload(t.Context(), id, size, func(offset int64) (io.Reader, error) {
		return io.LimitReader(zeros{}, size-offset), nil
	})
	runtime.ReadMemStats(&after)
	if n != size || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d MiB were allocated for an upload of %d MiB", got>>20, size>>20)
	}
}

// TestUploadResumes: cut anywhere, the client learns what is durable and goes on.
func TestUploadResumes(t *testing.T) {
	l := newLab(t)
	c := l.as("examiner1")
	content := bytes.Repeat([]byte("0123456789abcdef"), 9<<20) // 144 MiB: three parts
	size := int64(len(content))
	id := l.declare(l.open(), "disk.dd", size, nil)
	broken := errors.New("the disk is gone")
	durable := int64(0)
	// What the connection before was bringing to the medium may become durable later.
	upload := func(from func(int64) (io.Reader, error)) (int64, error) {
		for {
			n, err := c.Upload(t.Context(), id, size, from)
			if !errors.Is(err, evidence.ErrStale) && !errors.Is(err, api.CodeOffsetMismatch) {
				return n, err
			}
		}
	}
	for _, cut := range []int64{0, 1, 100 << 20, 143 << 20} {
		n, err := upload(func(offset int64) (io.Reader, error) {
			if offset < durable {
				t.Errorf("asked to go on at %d, durable are %d", offset, durable)
			}
			return io.MultiReader(bytes.NewReader(content[offset:max(cut, offset)]), iotest.ErrReader(broken)), nil
		})
		if !errors.Is(err, broken) || n < durable || n > cut {
			t.Fatalf("cut at %d: %d durable, %v", cut, n, err)
		}
		durable = n
	}
	if durable == 0 {
		t.Error("nothing became durable on the way")
	}
	n, err := upload(from(content))
	if n != size || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	// Everything is there: nothing is read or sent.
	n, err = c.Upload(t.Context(), id, size, func(int64) (io.Reader, error) { return nil, broken })
	if n != size || err != nil {
		t.Fatalf("again: %d, %v", n, err)
	}
	if _, err := c.Complete(t.Context(), id, sha256Of(t, content)); err != nil {
		t.Fatal(err)
	}
	facts := l.facts(c, id)
	if differ := facts.Compare(); len(differ) > 0 {
		t.Errorf("digests differ: %v", differ)
	}
}

func TestEmptyUpload(t *testing.T) {
	l := newLab(t)
	l.ingest(l.open(), "empty.dd", nil)
}

func TestAttach(t *testing.T) {
	l := newLab(t)
	c := l.as("examiner1")
	log := []byte("dd: 10 records in\n")
	sum := digest.SHA256(sha256.Sum256(log))
	of := l.open()
	id := l.declare(of, "disk.dd", 1, &evidence.LogFile{Name: "dd.log", Size: int64(len(log)), SHA256: sum})
	for range 2 { // an answer may have been lost
		o, err := c.Attach(t.Context(), id, evidence.ToolLog, int64(len(log)), bytes.NewReader(log))
		if err != nil || o.SHA256 != sum || o.Role != evidence.ToolLog {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if _, err := c.Attach(t.Context(), id, "content", 1, strings.NewReader("x")); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("content past the uploads: %v", err)
	}
	token := l.token("examiner1")
	resp, p := send(t, http.MethodPut, l.url+"/v1/intakes/"+id.String()+"/objects/log", io.MultiReader(bytes.NewReader(log)), "Authorization", "Bearer "+token)
	if p == nil || p.Code != api.CodeLengthRequired {
		t.Errorf("without a length: %s %+v", resp.Status, p)
	}
}

// TestTus speaks the protocol wrongly.
func TestTus(t *testing.T) {
	l := newLab(t)
	l.enrol("examiner2", identity.RoleExaminer)
	of := l.open()
	id := l.declare(of, "disk.dd", 10, nil)
	mine, other := l.token("examiner1"), l.token("examiner2")
	meta := func(id string) string { return "intake " + base64.StdEncoding.EncodeToString([]byte(id)) }
	one := "/v1/uploads/" + id.String()
	stream := "application/offset+octet-stream"
	for name, tt := range map[string]struct {
		method, path, token, body string
		header                    []string
		want                      api.Code
	}{
		"no version":       {"POST", "/v1/uploads", mine, "", []string{"Upload-Length", "10", "Upload-Metadata", meta(id.String())}, api.CodeTusVersion},
		"other version":    {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "0.2", "Upload-Length", "10", "Upload-Metadata", meta(id.String())}, api.CodeTusVersion},
		"no length":        {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "1.0.0", "Upload-Metadata", meta(id.String())}, api.CodeMalformed},
		"deferred length":  {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "1.0.0", "Upload-Defer-Length", "1", "Upload-Metadata", meta(id.String())}, api.CodeMalformed},
		"other length":     {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "11", "Upload-Metadata", meta(id.String())}, api.CodeInvalid},
		"with bytes":       {"POST", "/v1/uploads", mine, "0123456789", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "10", "Upload-Metadata", meta(id.String()), "Content-Type", stream}, api.CodeMalformed},
		"no intake":        {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "10"}, api.CodeInvalid},
		"second spelling":  {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "10", "Upload-Metadata", meta(strings.ToUpper(id.String()))}, api.CodeInvalid},
		"unknown intake":   {"POST", "/v1/uploads", mine, "", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "10", "Upload-Metadata", meta(uuid.NewString())}, api.CodeNotFound},
		"another person":   {"POST", "/v1/uploads", other, "", []string{"Tus-Resumable", "1.0.0", "Upload-Length", "10", "Upload-Metadata", meta(id.String())}, api.CodeForbidden},
		"another's bytes":  {"PATCH", one, other, "0123456789", []string{"Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", stream}, api.CodeForbidden},
		"method override":  {"POST", one, mine, "", []string{"Tus-Resumable", "1.0.0", "X-HTTP-Method-Override", "PATCH"}, api.CodeMethodNotAllowed},
		"not an id":        {"PATCH", "/v1/uploads/x", mine, "0123456789", []string{"Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", stream}, api.CodeInvalid},
		"offset":           {"PATCH", one, mine, "0", []string{"Tus-Resumable", "1.0.0", "Upload-Offset", "9", "Content-Type", stream}, api.CodeOffsetMismatch},
		"no offset":        {"PATCH", one, mine, "0", []string{"Tus-Resumable", "1.0.0", "Content-Type", stream}, api.CodeMalformed},
		"too many bytes":   {"PATCH", one, mine, "0123456789a", []string{"Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", stream}, api.CodeTooLarge},
		"other media type": {"PATCH", one, mine, "0123456789", []string{"Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "text/plain"}, api.CodeUnsupportedMediaType},
	} {
		resp, p := send(t, tt.method, l.url+tt.path, strings.NewReader(tt.body), append(tt.header, "Authorization", "Bearer "+tt.token)...)
		if p == nil || p.Code != tt.want {
			t.Errorf("%s: %s %+v", name, resp.Status, p)
		}
	}
	resp, p := send(t, "POST", l.url+"/v1/uploads", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "10", "Upload-Metadata", meta(id.String()), "Authorization", "Bearer "+mine)
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != one {
		t.Errorf("created: %s %q %+v", resp.Status, resp.Header.Get("Location"), p)
	}
	resp, _ = send(t, "HEAD", l.url+one, nil, "Tus-Resumable", "1.0.0", "Authorization", "Bearer "+mine)
	if got, err := strconv.Atoi(resp.Header.Get("Upload-Offset")); err != nil || got != 0 {
		t.Errorf("after all that: %s, offset %d, %v", resp.Status, got, err)
	}
	if resp, _ := send(t, "HEAD", l.url+"/v1/uploads/"+uuid.NewString(), nil, "Authorization", "Bearer "+mine); resp.StatusCode != http.StatusNotFound {
		t.Errorf("offset of nothing: %s", resp.Status)
	}
}
