package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
)

// idleTimeout is how long a connection may stand still while a body is on its way.
const idleTimeout = 60 * time.Second

// jsonTimeout is how long a JSON body may take to arrive.
const jsonTimeout = 30 * time.Second

type key int

const (
	requestIDKey key = iota
	callerKey
	bearerKey
)

func requestID(ctx context.Context) string { id, _ := ctx.Value(requestIDKey).(string); return id }

// caller is who asks; every operation that is not public has one.
func caller(ctx context.Context) custody.Caller {
	c, _ := ctx.Value(callerKey).(custody.Caller)
	return c
}

func bearer(ctx context.Context) string { b, _ := ctx.Value(bearerKey).(string); return b }

// saneID is what a request id from outside may look like to stand in our log.
var saneID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observe names the request, answers its errors, catches its panics, and notes
// it: route, not path, and no query, since both may name people and cases.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		start := time.Now()
		id := c.Request().Header.Get("X-Request-Id")
		if !saneID.MatchString(id) {
			id = rand.Text()
		}
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), requestIDKey, id)))
		h := c.Response().Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")

		var aborted any
		func() {
			defer func() {
				aborted = recover()
				if aborted == nil || aborted == http.ErrAbortHandler { //nolint:errorlint // it is a panic's value
					return
				}
				s.log.Error("panic", "request_id", id, "cause", fmt.Sprint(aborted), "stack", string(debug.Stack()))
				if !c.Response().Committed {
					aborted = nil
					s.fail(api.NewProblem(api.CodeInternal, id, ""), c)
				} else {
					aborted = http.ErrAbortHandler
				}
			}()
			if err := next(c); err != nil {
				s.fail(err, c)
			}
		}()
		status, took := strconv.Itoa(c.Response().Status), time.Since(start)
		if aborted != nil {
			status = "cut"
		}
		s.count(c, status, took)
		s.log.Info("request", "request_id", id, "method", known(c.Request().Method), "route", c.Path(), "status", status,
			"bytes_out", c.Response().Size, "seconds", took.Seconds(), "remote", c.RealIP(),
			"principal", string(caller(c.Request().Context()).Principal))
		if aborted != nil {
			panic(http.ErrAbortHandler) // net/http closes the connection
		}
		return nil
	}
}

// authenticate lets pass who bears the token of a session.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		scheme, token, _ := strings.Cut(c.Request().Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return custody.ErrUnauthenticated
		}
		ctx := c.Request().Context()
		who, err := s.custody.Authenticate(ctx, token)
		if err != nil {
			return err
		}
		ctx = context.WithValue(context.WithValue(ctx, callerKey, who), bearerKey, token)
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// limit reads a JSON body, bounded in size and in the time it takes. More than one
// value, or none, is no JSON text; the decoders behind this would not look.
func (s *Server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Body == nil || r.Body == http.NoBody {
			return next(c)
		}
		if b, ok := r.Body.(*movingBody); ok {
			b.until = time.Now().Add(jsonTimeout)
		}
		body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, api.MaxJSON))
		if err != nil {
			return err
		}
		if len(body) > 0 && !json.Valid(body) {
			return api.NewProblem(api.CodeMalformed, "", "the body is not one JSON value")
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return next(c)
	}
}

// deadlines gives up a connection on which nothing moves, in either direction.
func (s *Server) deadlines(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		control := http.NewResponseController(c.Response().Writer)
		c.Response().Writer = &movingWriter{c.Response().Writer, control, s.idle}
		r := c.Request()
		if r.Body == nil || r.Body == http.NoBody {
			return next(c)
		}
		body := &movingBody{ReadCloser: r.Body, control: control, idle: s.idle}
		r.Body = body
		err := next(c)
		// What was not read net/http reads now, for a while: not for ever.
		return errors.Join(err, body.leave())
	}
}

// movingBody is a request's body of which every read must bring something within
// the idle time. Interrupt ends a read that waits, and all later ones.
type movingBody struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	until   time.Time // if set, the whole body must be there by then

	mu          sync.Mutex
	whole       bool // the end has been seen
	interrupted bool // it will not come
}

func (b *movingBody) Read(p []byte) (int, error) {
	if err := b.extend(); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		b.interrupted = true
		return n, err
	}
	// A deadline left behind would end the request while it is worked on.
	b.whole = true
	if err := supported(b.control.SetReadDeadline(time.Time{})); err != nil {
		return n, err
	}
	return n, io.EOF
}

// leave bounds the time for the rest of a body that nobody wants. net/http reads
// it between the handler's last write and its own, so the time is a part only of
// that for writing.
func (b *movingBody) leave() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.whole:
		return nil
	case b.interrupted:
		return supported(b.control.SetReadDeadline(time.Unix(1, 0)))
	}
	return supported(b.control.SetReadDeadline(time.Now().Add(b.idle / 4)))
}

func (b *movingBody) extend() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.interrupted {
		return os.ErrDeadlineExceeded
	}
	until := b.until
	if until.IsZero() {
		until = time.Now().Add(b.idle)
	}
	return supported(b.control.SetReadDeadline(until))
}

// Interrupt makes the body end with os.ErrDeadlineExceeded.
func (b *movingBody) Interrupt() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interrupted = true
	return supported(b.control.SetReadDeadline(time.Unix(1, 0)))
}

// movingWriter is an answer of which every write must go out within the idle time.
type movingWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
}

func (w *movingWriter) Write(p []byte) (int, error) {
	if err := supported(w.control.SetWriteDeadline(time.Now().Add(w.idle))); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *movingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// supported forgives connections that know no deadlines: those of tests.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
