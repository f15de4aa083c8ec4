// Package server is the HTTP side of custodyd: it decodes a request, calls one
// operation of package custody, and encodes the answer. It decides nothing about
// custody. What it serves is described by api/openapi.yaml, and a test holds the
// two together.
//
// # Layers
//
// Every request gets an id, one line in the log, the metrics, and deadlines that
// move with its progress: images take hours, so a connection is given up when
// nothing moves, never because it is old. Then, by what the document says of the
// operation:
//
//	public           nothing more
//	not public       a bearer token that custody knows
//	JSON bodies      at most 1 MiB, one value, validated against the document
//	streams          nothing between the socket and custody
//
// The validation reads a body whole; a test makes sure that it never stands in
// front of a stream. An export is asked for by a JSON body and answered by a stream.
//
// # Errors
//
// Handlers return errors. One table turns them into problems (RFC 9457); what is
// not in the table is an internal error, whose text goes to the log only. A
// stream that fails after its first byte is cut, so that nobody takes a part for
// the whole.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"
	validator "github.com/oapi-codegen/echo-middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
)

// Config is what a server works with. Everything is required.
type Config struct {
	Custody *custody.Service
	Logger  *slog.Logger
	Metrics *prometheus.Registry // gets the server's figures; all of it is served
	Version string               // of the program, for the metrics
}

// Server is the HTTP side of one custody service.
type Server struct {
	custody *custody.Service
	log     *slog.Logger
	echo    *echo.Echo
	seconds *prometheus.HistogramVec
	idle    time.Duration
}

// New makes the handler of every route in the API document.
func New(cfg Config) (*Server, error) {
	s := &Server{custody: cfg.Custody, log: cfg.Logger, echo: echo.New(), idle: idleTimeout}
	if err := s.measure(cfg.Metrics, cfg.Version); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if err := s.measureAudit(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if err := cfg.Metrics.Register(witnessFigures{cfg.Custody}); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		return nil, fmt.Errorf("read API document: %w", err)
	}
	s.echo.IPExtractor = echo.ExtractIPDirect()
	s.echo.HTTPErrorHandler = s.fail
	s.echo.Use(s.observe, s.deadlines)

	streams, err := s.streams(promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError)}))
	if err != nil {
		return nil, err
	}
	streams["getLogCheckpoint"], streams["getLogTile"] = s.logCheckpoint, s.logTile()
	validate := validator.OapiRequestValidatorWithOptions(doc, &validator.Options{
		DoNotValidateServers: true,
		Options:              openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		ErrorHandler:         func(_ echo.Context, err *echo.HTTPError) error { return err },
	})
	layers := map[string][]echo.MiddlewareFunc{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			var guard []echo.MiddlewareFunc
			if public := op.Security != nil && len(*op.Security) == 0; !public {
				guard = append(guard, s.authenticate)
			}
			if handler, ok := streams[op.OperationID]; ok {
				if op.RequestBody != nil && op.RequestBody.Value.Content.Get("application/json") != nil {
					guard = append(guard, s.limit, validate)
				}
				s.echo.Add(method, echoPath(path), handler, guard...)
				continue
			}
			layers[op.OperationID] = append(guard, s.limit, validate)
		}
	}
	RegisterHandlersWithOptions(s.echo, NewStrictHandler(operations{s.custody, s.log}, nil), RegisterHandlersOptions{OperationMiddlewares: layers})
	return s, nil
}

// echoPath writes a path of the document as echo does: {case} is :case, and {tile},
// which has slashes of its own, is *.
func echoPath(path string) string {
	elements := strings.Split(path, "/")
	for i, e := range elements {
		if e == "{tile}" {
			elements[i] = "*"
		} else if name, ok := strings.CutPrefix(e, "{"); ok {
			elements[i] = ":" + strings.TrimSuffix(name, "}")
		}
	}
	return strings.Join(elements, "/")
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

const (
	headerTimeout  = 10 * time.Second // to send the head of a request
	keepAlive      = 2 * time.Minute  // of a connection that nothing is asked of
	maxHeaderBytes = 32 << 10
)

// Serve answers on a listener until ctx ends. Then it stops listening and lets
// requests come to their end for at most drain; what is not done by then is cut,
// and resumes with the next process.
func Serve(ctx context.Context, listener net.Listener, s *Server, drain time.Duration) error {
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // hand shakes of scanners
		// Requests outlive ctx until they are drained.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := srv.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("cut the requests that were not done", "after", drain)
		err = srv.Close()
	}
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
