package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/custodyd/custodyd/internal/ledger"
)

const (
	readTimeout    = 10 * time.Second // of a request, whole
	answerTimeout  = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// sizeType is the media type of a 409's body.
const sizeType = "text/x.tlog.size"

// Handler answers add-checkpoint and shows what the witness holds.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.add)
	mux.HandleFunc("GET /{hash}/checkpoint", w.show)
	return mux
}

func (w *Witness) add(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(out, in.Body, maxBody))
	if err != nil {
		http.Error(out, "the request is cut off or too large", http.StatusBadRequest)
		return
	}
	r, err := ParseRequest(body)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	line, err := w.Add(r)
	var size *SizeError
	switch {
	case err == nil:
		answer(out, "text/plain; charset=utf-8", http.StatusOK, line)
	case errors.As(err, &size):
		answer(out, sizeType, http.StatusConflict, fmt.Sprintf("%d\n", size.Held))
	default:
		status := statusOf(err)
		if status == http.StatusInternalServerError {
			w.log.Error("add-checkpoint", "error", err)
			err = errors.New("the witness cannot keep its state now")
		}
		http.Error(out, err.Error(), status)
	}
}

// statusOf is the one table from errors to HTTP.
func statusOf(err error) int {
	for _, row := range []struct {
		err    error
		status int
	}{
		{ErrUnknownLog, http.StatusNotFound},
		{ledger.ErrUnsigned, http.StatusForbidden},
		{ErrInconsistent, http.StatusUnprocessableEntity}, // of another root too: see the package comment
		{ledger.ErrCheckpoint, http.StatusBadRequest},
		{ledger.ErrOrigin, http.StatusBadRequest},
		{ErrRequest, http.StatusBadRequest},
	} {
		if errors.Is(err, row.err) {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

func (w *Witness) show(out http.ResponseWriter, in *http.Request) {
	for origin := range w.logs {
		if OriginHash(origin) != in.PathValue("hash") {
			continue
		}
		if note := w.Held(origin); note != nil {
			answer(out, "text/plain; charset=utf-8", http.StatusOK, string(note))
			return
		}
	}
	http.Error(out, "no checkpoint of that log", http.StatusNotFound)
}

func answer(out http.ResponseWriter, mediaType string, status int, body string) {
	out.Header().Set("Content-Type", mediaType)
	out.WriteHeader(status)
	_, _ = io.WriteString(out, body) // who hangs up does not want it
}

// Serve answers on a listener until ctx ends, and then lets requests come to their end.
func (w *Witness) Serve(ctx context.Context, listener net.Listener) error {
	srv := &http.Server{
		Handler: w.Handler(), ReadTimeout: readTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	err := srv.Shutdown(last)
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
