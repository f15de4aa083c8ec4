package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/ledger"
)

const (
	maxConnections = 16
	requestTime    = 5 * time.Second
	idleTime       = time.Minute
	drainTime      = 5 * time.Second
)

// Config is what a signer works with.
type Config struct {
	Signer *ledger.Signer
	Logger *slog.Logger
	// AllowUIDs are the users who may connect, beside root and the signer's own. Nil:
	// whoever the mode of the socket lets in.
	AllowUIDs []int64
}

// Serve answers on the listener, which it closes, until ctx ends or the signer can
// sign no more. What is being signed then is finished.
func Serve(ctx context.Context, l net.Listener, cfg Config) error {
	s := &server{Config: cfg, broken: make(chan struct{})}
	h := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: requestTime, ReadTimeout: requestTime, WriteTimeout: 2 * requestTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true,
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(&gate{Listener: l, server: s, free: make(chan struct{}, maxConnections)}) }()
	var err error
	select {
	case err = <-done:
		return fmt.Errorf("serve signer: %w", err)
	case <-s.broken:
		err = s.cause
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if e := h.Shutdown(last); e != nil {
		err = errors.Join(err, e, h.Close())
	}
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("serve signer: %w", err)
	}
	return nil
}

type server struct {
	Config
	once   sync.Once
	broken chan struct{} // closed when nothing more can be signed
	cause  error         // why; set before broken is closed
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+keyPath, func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, []byte(s.Signer.Key().String()+"\n"))
	})
	mux.HandleFunc("GET "+lastPath, func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, s.Signer.Last().Body())
	})
	mux.HandleFunc("POST "+signPath, s.sign)
	return mux
}

func (s *server) answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", plain)
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.Logger.Warn("answer", "error", err)
	}
}

func (s *server) sign(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		s.answer(w, http.StatusBadRequest, []byte(err.Error()+"\n"))
		return
	}
	asked, err := parseRequest(body)
	if err != nil {
		s.answer(w, http.StatusBadRequest, []byte(err.Error()+"\n"))
		return
	}
	note, err := s.Signer.Sign(asked.next, asked.proof)
	refused, ok := errors.AsType[*ledger.RefusalError](err)
	switch {
	case err == nil:
		s.answer(w, http.StatusOK, note)
	case ok:
		s.Logger.Error("refused to sign", "error", err)
		status := http.StatusUnprocessableEntity
		if errors.Is(err, ledger.ErrRollback) {
			status = http.StatusConflict
		}
		s.answer(w, status, refused.Last.Body())
	case errors.Is(err, ledger.ErrOrigin):
		s.Logger.Error("refused to sign", "error", err)
		s.answer(w, http.StatusNotFound, []byte(err.Error()+"\n"))
	default:
		s.once.Do(func() {
			s.cause = err
			s.Logger.Error("nothing more can be signed", "error", err)
			close(s.broken)
		})
		s.answer(w, http.StatusInternalServerError, []byte(err.Error()+"\n"))
	}
}

// gate lets in who may ask, and so many at a time.
type gate struct {
	net.Listener
	server *server
	free   chan struct{}
}

// Accept implements [net.Listener].
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !g.server.admits(conn) {
			if err := conn.Close(); err != nil {
				g.server.Logger.Warn("close a connection", "error", err)
			}
			continue
		}
		g.free <- struct{}{} // idle ones end by themselves
		return &guest{Conn: conn, leave: func() { <-g.free }}, nil
	}
}

// admits asks the system who has connected.
func (s *server) admits(conn net.Conn) bool {
	who, err := peerOf(conn)
	if err != nil {
		s.Logger.Error("refused a connection: the system does not say whose it is", "error", err)
		return false
	}
	log := s.Logger.With("uid", who.uid, "gid", who.gid, "pid", who.pid)
	if s.AllowUIDs != nil && who.uid != 0 && who.uid != int64(os.Geteuid()) && !slices.Contains(s.AllowUIDs, who.uid) {
		log.Error("refused a connection: this user is not allowed")
		return false
	}
	log.Info("connected")
	return true
}

// guest is a connection that gives its place free once.
type guest struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements [net.Conn].
func (g *guest) Close() error {
	g.once.Do(g.leave)
	return g.Conn.Close()
}
