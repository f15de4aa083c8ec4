package server

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
)

// bufferSize is how much of a stream is read and written at once, in bytes.
const bufferSize = 256 << 10

// streams are the operations that are not generated, by their id in the document.
func (s *Server) streams(metrics http.Handler) (map[string]echo.HandlerFunc, error) {
	uploads, err := s.uploads()
	if err != nil {
		return nil, err
	}
	return map[string]echo.HandlerFunc{
		"getHealth":    func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") },
		"getReadiness": s.ready,
		"getMetrics":   echo.WrapHandler(metrics),
		"getDocument": func(c echo.Context) error {
			return c.Blob(http.StatusOK, "application/yaml", api.Document)
		},
		"createUpload": uploads, "getUpload": uploads, "writeUpload": uploads,
		"attachObject": s.attach,
		"fetchContent": s.fetch,
		"exportCase":   s.export,
	}, nil
}

func (s *Server) ready(c echo.Context) error {
	if alarm := s.custody.Alarm(); alarm != nil { // the operator should not have to look for the cause
		return api.NewProblem(api.CodeLedgerStopped, "", alarm.Error()+"; "+custody.AlarmAdvice)
	}
	if err := s.custody.Ready(c.Request().Context()); err != nil {
		return err
	}
	return c.String(http.StatusOK, "ready\n")
}

// pathOf reads a copy's path from the parameters of the route.
func pathOf(c echo.Context) (evidence.Path, error) {
	var path evidence.Path
	var err error
	if path.Case, err = evidence.ParseName(c.Param("case")); err != nil {
		return evidence.Path{}, &evidence.FieldError{Field: "case", Problem: err.Error()}
	}
	if path.Exhibit, err = evidence.ParseName(c.Param("exhibit")); err != nil {
		return evidence.Path{}, &evidence.FieldError{Field: "exhibit", Problem: err.Error()}
	}
	if path.Copy, err = evidence.ParseNumber(c.Param("copy")); err != nil {
		return evidence.Path{}, &evidence.FieldError{Field: "copy", Problem: err.Error()}
	}
	return path, nil
}

func (s *Server) attach(c echo.Context) error {
	id, err := uuid.Parse(c.Param("intake"))
	if err != nil || id.String() != c.Param("intake") {
		return &evidence.FieldError{Field: "intake", Problem: "is not a UUID"}
	}
	role := evidence.Role(c.Param("role"))
	if role != evidence.ToolLog && role != evidence.Files {
		return fmt.Errorf("object %.20q: %w", role, evidence.ErrNotFound)
	}
	r := c.Request()
	if r.ContentLength < 0 {
		return api.NewProblem(api.CodeLengthRequired, "", "")
	}
	object, err := s.custody.Attach(r.Context(), caller(r.Context()), id, role, r.ContentLength, r.Body)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, object)
}

func (s *Server) fetch(c echo.Context) (err error) {
	path, err := pathOf(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	offset, length, status, size := int64(0), int64(-1), http.StatusOK, int64(0)
	wanted, ok := parseRange(c.Request().Header)
	if ok {
		// Whoever may fetch may know the size. Where it cannot be had, asking for
		// the whole gives, and records, the refusal.
		if known, err := s.custody.Copy(ctx, caller(ctx), path); err == nil {
			size, status = known.Size, http.StatusPartialContent
			if offset, length, ok = wanted.within(size); !ok {
				offset, length = 0, 0 // who may not fetch is refused, and on record
			}
		}
	}
	d, err := s.custody.Fetch(ctx, caller(ctx), path, offset, length)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	h := c.Response().Header()
	h.Set("Accept-Ranges", "bytes")
	if status == http.StatusPartialContent {
		if !ok {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
			return api.NewProblem(api.CodeRangeNotSatisfiable, "", fmt.Sprintf("the copy has %d bytes", size))
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", d.Offset, d.Offset+d.Length-1, size))
	}
	sha256, ok := d.Copy.Digests.SHA256()
	if !ok {
		return fmt.Errorf("copy %s: has no sha256", path)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Disposition", attachment(d.Copy.Title))
	h.Set("Content-Length", strconv.FormatInt(d.Length, 10))
	h.Set("Content-Type", "application/octet-stream")
	// SPEC: "The Repr-Digest field … the digest of the entire selected
	// representation data" (RFC 9530, section 3), so it is the same in a 206.
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sha256[:])+":")
	h.Set("Custody-Receipt", base64.StdEncoding.EncodeToString(d.Recorded.Receipt))
	c.Response().WriteHeader(status)
	n, err := io.CopyBuffer(struct{ io.Writer }{c.Response()}, io.LimitReader(d, d.Length), make([]byte, bufferSize))
	if err == nil && n != d.Length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("send %s: %d of %d bytes: %w", path, n, d.Length, err)
	}
	return nil
}

// attachment names a file without letting the name do anything.
func attachment(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	if h := mime.FormatMediaType("attachment", map[string]string{"filename": name}); h != "" {
		return h
	}
	return "attachment"
}

func (s *Server) export(c echo.Context) error {
	reference, err := evidence.ParseName(c.Param("case"))
	if err != nil {
		return &evidence.FieldError{Field: "case", Problem: err.Error()}
	}
	r := c.Request()
	var wanted api.ExportRequest
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		return fmt.Errorf("decode what was validated: %w", err)
	}
	contents := make([]evidence.Path, len(wanted.Contents))
	for i, text := range wanted.Contents {
		if contents[i], err = evidence.ParsePath(text); err != nil || contents[i].Copy == "" {
			return &evidence.FieldError{Field: fmt.Sprintf("contents.%d", i), Problem: "is not CASE/EXHIBIT/COPY"}
		}
	}
	bundle, err := s.custody.Export(r.Context(), caller(r.Context()), reference, custody.ExportOptions{
		Contents: contents, Pseudonymous: wanted.Pseudonymous, Withheld: wanted.Withheld,
	})
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Disposition", attachment(bundle.Name()))
	h.Set("Content-Type", "application/zip")
	w := bufio.NewWriterSize(c.Response(), bufferSize)
	if err := bundle.WriteTo(r.Context(), w); err != nil {
		return fmt.Errorf("export %s: %w", reference, err) // not flushed: a problem if nothing has gone yet
	}
	return w.Flush()
}
