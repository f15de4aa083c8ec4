package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/tus/tusd/v2/pkg/handler"
	tuslog "golang.org/x/exp/slog"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
)

const uploadsPath = "/v1/uploads"

// uploads gives the handler of tus 1.0: creation, offset and bytes, nothing else.
// The id of an upload is that of its intake.
func (s *Server) uploads() (echo.HandlerFunc, error) {
	store := handler.NewStoreComposer()
	store.UseCore(uploadStore{s.custody})
	tus, err := handler.NewUnroutedHandler(handler.Config{
		StoreComposer:        store,
		BasePath:             uploadsPath + "/",
		DisableDownload:      true,
		DisableTermination:   true,
		DisableConcatenation: true,
		Cors:                 &handler.CorsConfig{Disable: true},
		Logger:               tuslog.New(tusLog{s.log}),
		// Deadlines are those of every body here. The library's would go on
		// running after the last byte, while the end is made durable.
		NetworkTimeout: 24 * time.Hour,
	})
	if err != nil {
		return nil, fmt.Errorf("set up uploads: %w", err)
	}
	methods := map[string]http.HandlerFunc{
		http.MethodPost: tus.PostFile, http.MethodHead: tus.HeadFile, http.MethodPatch: tus.PatchFile,
	}
	return func(c echo.Context) error {
		r := c.Request()
		method, ok := methods[r.Method]
		if !ok {
			return echo.ErrMethodNotAllowed
		}
		if r.Method == http.MethodPost && r.ContentLength != 0 {
			return api.NewProblem(api.CodeMalformed, "", "an upload is made without bytes, and written to by PATCH")
		}
		r.Header.Del("X-HTTP-Method-Override")
		body, _ := r.Body.(*movingBody)
		held := &outcome{body: body}
		r = r.WithContext(context.WithValue(r.Context(), outcomeKey{}, held))
		w := &tusWriter{ResponseWriter: c.Response()}
		http.StripPrefix(uploadsPath, tus.Middleware(method)).ServeHTTP(w, r)
		switch {
		case !w.refused:
			return nil
		case held.err != nil:
			return held.err
		}
		return tusProblem(w.status, w.said.String())
	}, nil
}

// outcome carries an error of ours around the library, which would put its text
// into the answer, and the body, which the library wraps.
type outcome struct {
	err  error
	body *movingBody // nil if there is none
}

type outcomeKey struct{}

// hold keeps an error for the handler, and gives it to the library.
func hold(ctx context.Context, err error) error {
	if held, ok := ctx.Value(outcomeKey{}).(*outcome); ok && err != nil {
		held.err = err
	}
	return err
}

// tusWriter keeps a refusal of the library back, to be told as a problem.
type tusWriter struct {
	http.ResponseWriter
	refused bool
	status  int
	said    strings.Builder
}

func (w *tusWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.refused, w.status = true, status
		return
	}
	// The library guesses scheme and host; a path is right behind any proxy.
	if at, err := url.Parse(w.Header().Get("Location")); err == nil && at.Path != "" {
		w.Header().Set("Location", at.EscapedPath())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *tusWriter) Write(p []byte) (int, error) {
	if w.refused {
		return w.said.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *tusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// tusCodes are the library's words for what we have words for.
var tusCodes = map[string]api.Code{
	handler.ErrUnsupportedVersion.ErrorCode: api.CodeTusVersion,
	handler.ErrMismatchOffset.ErrorCode:     api.CodeOffsetMismatch,
	handler.ErrSizeExceeded.ErrorCode:       api.CodeTooLarge,
	handler.ErrMaxSizeExceeded.ErrorCode:    api.CodeTooLarge,
	handler.ErrNotFound.ErrorCode:           api.CodeNotFound,
	handler.ErrFileLocked.ErrorCode:         api.CodeBusy,
	handler.ErrReadTimeout.ErrorCode:        api.CodeTimeout,
	handler.ErrInvalidContentType.ErrorCode: api.CodeUnsupportedMediaType,
	handler.ErrServerShutdown.ErrorCode:     api.CodeUnavailable,
}

// tusProblem is a refusal of the library: "CODE: words".
func tusProblem(status int, said string) error {
	word, detail, _ := strings.Cut(strings.TrimSpace(said), ": ")
	if code, ok := tusCodes[word]; ok {
		return api.NewProblem(code, "", detail)
	}
	if status == http.StatusInternalServerError && word != handler.ErrConnectionReset.ErrorCode {
		return fmt.Errorf("upload: %s", said)
	}
	return api.NewProblem(api.CodeMalformed, "", detail)
}

// uploadStore is custody as the library wants to see it.
type uploadStore struct{ custody *custody.Service }

// NewUpload opens the upload of the intake that the metadata names.
func (s uploadStore) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	u, err := s.open(ctx, info.MetaData["intake"], "Upload-Metadata")
	if err == nil && u.upload.Size() != info.Size {
		err = &evidence.FieldError{Field: "Upload-Length", Problem: fmt.Sprintf("is %d, declared were %d", info.Size, u.upload.Size())}
	}
	if err != nil {
		return nil, hold(ctx, err)
	}
	return u, nil
}

// GetUpload opens an upload by its id.
func (s uploadStore) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	u, err := s.open(ctx, id, "intake")
	if err != nil {
		return nil, hold(ctx, err)
	}
	return u, nil
}

func (s uploadStore) open(ctx context.Context, text, field string) (*upload, error) {
	id, err := uuid.Parse(text)
	if err != nil || id.String() != text {
		return nil, &evidence.FieldError{Field: field, Problem: "does not name an intake by its UUID"}
	}
	u, err := s.custody.OpenUpload(ctx, caller(ctx), id)
	if err != nil {
		return nil, err
	}
	return &upload{id, u}, nil
}

// upload is one intake's content on its way in.
type upload struct {
	id     uuid.UUID
	upload *custody.Upload
}

// GetInfo tells how far it is.
func (u *upload) GetInfo(context.Context) (handler.FileInfo, error) {
	return handler.FileInfo{ID: u.id.String(), Size: u.upload.Size(), Offset: u.upload.Offset()}, nil
}

// WriteChunk gives custody the bytes as they come.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	body := &cutReader{r: src}
	if held, ok := ctx.Value(outcomeKey{}).(*outcome); ok {
		body.body = held.body
	}
	n, err := u.upload.WriteFrom(ctx, offset, body)
	if err != nil && body.ended && offset+body.n < u.upload.Size() {
		// The bytes stopped coming: that is no fault of the store's, and not the
		// end of the upload. The library knows why, if there is somebody to tell;
		// the offset says what is durable.
		return n, nil
	}
	return n, hold(ctx, err)
}

// FinishUpload has nothing to add, except that an upload of no bytes is never
// written to by the library.
func (u *upload) FinishUpload(ctx context.Context) error {
	if u.upload.Size() > 0 {
		return nil
	}
	_, err := u.upload.WriteFrom(ctx, 0, http.NoBody)
	return hold(ctx, err)
}

// GetReader refuses: content leaves as a working copy only.
func (u *upload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, errors.New("uploads are not read")
}

// cutReader counts what was read, and knows whether the end was seen.
type cutReader struct {
	r     io.Reader
	body  *movingBody
	n     int64
	ended bool
}

// Close ends a read that waits for bytes which may never come, so that a newer
// connection can take over. It may be called while Read runs.
func (c *cutReader) Close() error {
	if c.body == nil {
		return nil
	}
	return c.body.Interrupt()
}

func (c *cutReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.ended = c.ended || err != nil
	return n, err
}

// tusLog passes on what the library calls an error. It writes to a logger of its
// own kind, from before there was one in the standard library.
type tusLog struct{ log *slog.Logger }

// Enabled implements the library's handler.
func (tusLog) Enabled(_ context.Context, l tuslog.Level) bool { return l >= tuslog.LevelError }

// Handle implements the library's handler.
func (t tusLog) Handle(ctx context.Context, r tuslog.Record) error {
	args := []any{"request_id", requestID(ctx)}
	r.Attrs(func(a tuslog.Attr) bool {
		args = append(args, a.Key, a.Value.String())
		return true
	})
	t.log.DebugContext(ctx, "upload: "+r.Message, args...)
	return nil
}

// WithAttrs implements the library's handler.
func (t tusLog) WithAttrs([]tuslog.Attr) tuslog.Handler { return t }

// WithGroup implements the library's handler.
func (t tusLog) WithGroup(string) tuslog.Handler { return t }
