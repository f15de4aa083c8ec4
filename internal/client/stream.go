package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// ErrAnswer says that the service answered a stream in a way it should not.
var ErrAnswer = errors.New("unexpected answer")

// stream makes a request whose body or answer may have any length. Elements of
// the path are escaped.
func (c *Client) stream(ctx context.Context, method string, body io.Reader, elements ...string) (*http.Request, error) {
	for i, e := range elements {
		elements[i] = url.PathEscape(e)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"v1/"+strings.Join(elements, "/"), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, strings.Join(elements, "/"), err)
	}
	return req, nil
}

// Attach stores the imaging tool's log, or the list of a set's files, beside the
// content of an intake: size bytes of r.
func (c *Client) Attach(ctx context.Context, intake uuid.UUID, role evidence.Role, size int64, r io.Reader) (evidence.Object, error) {
	req, err := c.stream(ctx, http.MethodPut, nil, "intakes", intake.String(), "objects", string(role))
	if err != nil {
		return evidence.Object{}, err
	}
	body := attach(req, r, size)
	req.Header.Set("Content-Type", "application/octet-stream")
	got, err := c.send(req)
	if body.err != nil {
		return evidence.Object{}, fmt.Errorf("read what is attached: %w", errors.Join(body.err, err))
	}
	if err != nil {
		return evidence.Object{}, err
	}
	text, err := got.all()
	if err != nil {
		return evidence.Object{}, unreachable(ctx, req, err)
	}
	var o evidence.Object
	if err := json.Unmarshal(text, &o); err != nil {
		return evidence.Object{}, fmt.Errorf("answer to %s: %w", req.URL.Path, err)
	}
	return o, nil
}

// Upload sends the content of an intake, size bytes, from where the service
// stands. It asks from for a reader that begins at that offset. The result is the
// number of bytes that are durable; where the connection was cut, with the error,
// and -1 if that could not be learned. Call it again to go on.
func (c *Client) Upload(ctx context.Context, intake uuid.UUID, size int64, from func(offset int64) (io.Reader, error)) (durable int64, err error) {
	if err := c.beginUpload(ctx, intake, size); err != nil {
		return -1, fmt.Errorf("begin upload: %w", err)
	}
	offset, err := c.Offset(ctx, intake)
	if err != nil {
		return -1, err
	}
	if offset >= size {
		return offset, nil
	}
	r, err := from(offset)
	if err != nil {
		return offset, err
	}
	if err = c.write(ctx, intake, offset, size-offset, r); err == nil {
		return size, nil
	}
	// What the answer did not say the service may still know. The caller's
	// context may have ended because somebody pressed a key: no question then.
	if ctx.Err() != nil {
		return -1, err
	}
	durable, lost := c.Offset(ctx, intake)
	if lost != nil {
		return -1, err
	}
	return durable, err
}

// beginUpload makes the upload of an intake; it may be there already.
func (c *Client) beginUpload(ctx context.Context, intake uuid.UUID, size int64) error {
	req, err := c.stream(ctx, http.MethodPost, nil, "uploads")
	if err != nil {
		return err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Length", strconv.FormatInt(size, 10))
	req.Header.Set("Upload-Metadata", "intake "+base64.StdEncoding.EncodeToString([]byte(intake.String())))
	_, err = text(ctx, c)(req, nil)
	return err
}

// Offset tells how many bytes of an intake's content are durable.
func (c *Client) Offset(ctx context.Context, intake uuid.UUID) (int64, error) {
	req, err := c.stream(ctx, http.MethodHead, nil, "uploads", intake.String())
	if err != nil {
		return 0, err
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	got, _, err := c.ask(ctx, req)
	if err != nil {
		return 0, fmt.Errorf("ask for the durable offset: %w", err)
	}
	return uploadOffset(got.header)
}

func uploadOffset(h http.Header) (int64, error) {
	offset, err := strconv.ParseInt(h.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || strconv.FormatInt(offset, 10) != h.Get("Upload-Offset") {
		return 0, fmt.Errorf("%w: Upload-Offset %.40q", ErrAnswer, h.Get("Upload-Offset"))
	}
	return offset, nil
}

// write sends length bytes of r that belong at offset.
func (c *Client) write(ctx context.Context, intake uuid.UUID, offset, length int64, r io.Reader) error {
	req, err := c.stream(ctx, http.MethodPatch, nil, "uploads", intake.String())
	if err != nil {
		return err
	}
	body := attach(req, r, length)
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	got, err := c.send(req)
	if body.err != nil {
		return fmt.Errorf("read what is uploaded: %w", errors.Join(body.err, err))
	}
	if err != nil {
		return err
	}
	defer got.body.Close()
	reached, err := uploadOffset(got.header)
	if err == nil && reached != offset+length {
		err = fmt.Errorf("%w: %d bytes are durable, %d were sent", ErrAnswer, reached, offset+length)
	}
	return err
}

// source is a body that can be read once. It remembers what went wrong with the
// caller's reader, to be told apart from what goes wrong with the connection.
type source struct {
	r     io.Reader
	begun atomic.Bool
	err   error
}

// attach makes length bytes of r the body of a request. The service is asked to
// say first whether it wants them: a refusal comes before the bytes went, not in
// the middle of them, and after a renewed sign-in they can still be sent.
func attach(req *http.Request, r io.Reader, length int64) *source {
	s := &source{r: io.LimitReader(r, length)}
	if length == 0 {
		return s // a length of 0 beside a body would mean that it is not known
	}
	req.ContentLength = length
	req.Header.Set("Expect", "100-continue")
	req.Body = io.NopCloser(s)
	req.GetBody = func() (io.ReadCloser, error) {
		if s.begun.Load() {
			return nil, errBegun
		}
		return io.NopCloser(s), nil
	}
	return s
}

// errBegun: a body that was read from cannot be sent again.
var errBegun = errors.New("the body has been read from")

func (s *source) Read(p []byte) (int, error) {
	s.begun.Store(true)
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Download is the content of a working copy, from Offset on.
type Download struct {
	io.ReadCloser
	Offset, Size int64         // first byte, and bytes of the whole copy
	SHA256       digest.SHA256 // of the whole copy, as the service states it
	Receipt      []byte        // of the entry about this fetch, a C2SP tlog-proof
	Name         string        // suggested by the service; not safe as a path
}

// Fetch gives the content of a working copy from an offset on. To go on after a
// cut, call it again with the offset that was reached. An answer that is cut is
// io.ErrUnexpectedEOF to its reader.
func (c *Client) Fetch(ctx context.Context, path evidence.Path, offset int64) (*Download, error) {
	req, err := c.stream(ctx, http.MethodGet, nil,
		"cases", string(path.Case), "exhibits", string(path.Exhibit), "copies", string(path.Copy), "content")
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	got, err := c.send(req)
	if err != nil {
		return nil, err
	}
	d, err := download(got, offset)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fetch %s: %w", path, err), got.body.Close())
	}
	return d, nil
}

func download(got *answer, offset int64) (*Download, error) {
	d := &Download{ReadCloser: got.body, Offset: offset, Size: got.length, Name: fileName(got.header)}
	switch {
	case got.length < 0:
		return nil, fmt.Errorf("%w: no length", ErrAnswer)
	case offset > 0:
		d.Size = offset + got.length
		want := fmt.Sprintf("bytes %d-%d/%d", offset, d.Size-1, d.Size)
		if got.status != http.StatusPartialContent || d.Size <= offset || got.header.Get("Content-Range") != want {
			return nil, fmt.Errorf("%w: Content-Range %.80q", ErrAnswer, got.header.Get("Content-Range"))
		}
	case got.status != http.StatusOK:
		return nil, fmt.Errorf("%w: HTTP %d", ErrAnswer, got.status)
	}
	encoded, begun := strings.CutPrefix(got.header.Get("Repr-Digest"), "sha-256=:")
	encoded, ended := strings.CutSuffix(encoded, ":")
	sum, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !begun || !ended || err != nil || len(sum) != len(d.SHA256) {
		return nil, fmt.Errorf("%w: Repr-Digest %.80q", ErrAnswer, got.header.Get("Repr-Digest"))
	}
	d.SHA256 = digest.SHA256(sum)
	if d.Receipt, err = base64.StdEncoding.Strict().DecodeString(got.header.Get("Custody-Receipt")); err != nil {
		return nil, fmt.Errorf("%w: Custody-Receipt: %w", ErrAnswer, err)
	}
	return d, nil
}

// Bundle is an export on its way, a zip file of unknown length.
type Bundle struct {
	io.ReadCloser
	Name string // suggested by the service; not safe as a path
}

// ExportOptions say what of a case a bundle is to hold.
type ExportOptions struct {
	Contents     []evidence.Path     // working copies, with their bytes
	Pseudonymous bool                // without saying who the people are
	Withheld     []evidence.Withheld // entries without their payloads
}

// Export seals an export of a case and gives the bundle. A bundle that the service could not finish is an error to
// its reader, never a short file.
func (c *Client) Export(ctx context.Context, reference evidence.Name, o ExportOptions) (*Bundle, error) {
	wanted := api.ExportRequest{
		Contents: make([]api.Path, len(o.Contents)), Pseudonymous: o.Pseudonymous, Withheld: o.Withheld,
	}
	for i, path := range o.Contents {
		wanted.Contents[i] = path.String()
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", reference, err)
	}
	req, err := c.stream(ctx, http.MethodPost, bytes.NewReader(body), "cases", string(reference), "exports")
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	got, err := c.send(req)
	if err != nil {
		return nil, err
	}
	return &Bundle{got.body, fileName(got.header)}, nil
}

func fileName(h http.Header) string {
	_, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}
