package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/operator"
)

// TestDownloadFails: an export that fails says why, leaves nothing, and touches nothing
// that it did not make.
func TestDownloadFails(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", api.ProblemType)
			w.WriteHeader(api.CodeUnavailable.Status())
			if err := json.NewEncoder(w).Encode(api.NewProblem(api.CodeUnavailable, "r", "")); err != nil {
				t.Error(err)
			}
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.WriteString(w, "half"); err != nil {
				t.Error(err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		},
	} {
		srv := httptest.NewServer(answer)
		c, err := client.New(client.Config{Server: srv.URL})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		own := filepath.Join(dir, "a.zip.partial")
		if err := os.WriteFile(own, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err = download(t.Context(), &app{stderr: io.Discard}, &operator.Operator{Client: c}, "C-1", client.ExportOptions{}, filepath.Join(dir, "a.zip"))
		if code, _ := explain(err); code != exitUnreachable {
			t.Errorf("%s: exit code %d: %v", name, code, err)
		}
		there, err := os.ReadDir(dir)
		if err != nil || len(there) != 1 {
			t.Errorf("%s: there is %v, %v", name, there, err)
		}
		if text, err := os.ReadFile(own); string(text) != "mine" || err != nil {
			t.Errorf("%s: what was there is %q, %v", name, text, err)
		}
		c.Close()
		srv.Close()
	}
}

// TestArriving: a disk that is full is not a server that is gone.
func TestArriving(t *testing.T) {
	full := errors.New("no space left on device")
	for name, row := range map[string]struct {
		from lastWords
		to   error
		gone bool
	}{
		"cut":       {lastWords{io.ErrUnexpectedEOF}, nil, true},
		"full disk": {lastWords{io.EOF}, full, false},
		"whole":     {lastWords{io.EOF}, nil, false},
	} {
		_, err := io.Copy(brokenWriter{row.to}, arriving{row.from})
		if errors.Is(err, client.ErrUnreachable) != row.gone || row.to != nil && !errors.Is(err, row.to) || (err == nil) != (name == "whole") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lastWords gives a few bytes with an error.
type lastWords struct{ err error }

func (r lastWords) Read(p []byte) (int, error) { return copy(p, "half"), r.err }

type brokenWriter struct{ err error }

func (w brokenWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}
