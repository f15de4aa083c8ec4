package main

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/operator"
)

// TestSelfAudit edits the database of the real service while it runs: it tells, writes
// nothing more, answers on, and does not start again on what it found.
func TestSelfAudit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := &service{t: t, program: build(t), dir: filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() { cancel(); s.clear() })
	s.up(ctx)
	l := newLab(ctx, t, s)
	must(t, record(ctx, l.desk, exhibit("E-001")))
	signed, err := l.desk.Sign(ctx, theCase, exhibit("E-002"))
	must(t, err)
	// await asks until an answer has all the words.
	await := func(path string, status int, words ...string) {
		t.Helper()
		for {
			code, body := get(ctx, t, "http://"+s.address+path)
			has := code == status
			for _, w := range words {
				has = has && strings.Contains(body, w)
			}
			if has {
				return
			}
			if err := operator.Pause(ctx, 20*time.Millisecond); err != nil {
				t.Fatalf("%s: %d, want %d and %q:\n%s", path, code, status, words, body)
			}
		}
	}
	await("/readyz", http.StatusOK)
	await("/metrics", http.StatusOK, "\ncustodyd_alarm 0\n", "\ncustodyd_audit_passes_total 1\n", "\ncustodyd_audit_rate 200\n", "\ncustodyd_audit_discrepancies_total 0\n")

	tamper(t, s.dir, `DROP TRIGGER entries_update;
		UPDATE entries SET payload = CAST(replace(CAST(payload AS TEXT), 'Erika', 'Erich') AS BLOB) WHERE instr(CAST(payload AS TEXT), 'Erika') > 0`)
	await("/readyz", http.StatusServiceUnavailable, "ledger-stopped", "database-damaged", "payload-hash")
	await("/metrics", http.StatusOK, "\ncustodyd_alarm 1\n", "\ncustodyd_audit_discrepancies_total 4\n")
	await("/healthz", http.StatusOK)
	await("/v1/checkpoint", http.StatusOK, "— ")
	if _, err := l.desk.Case(ctx, theCase); err != nil {
		t.Errorf("reading: %v", err)
	}
	if _, err := l.desk.Send(ctx, signed); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("writing: %v", err)
	}
	s.kill()
	if said := s.life.Load().talk.String(); !strings.Contains(said, "ALARM") || !strings.Contains(said, "payload-hash") || strings.Contains(said, "Erich") {
		t.Errorf("the service said:\n%s", said)
	}
	code, _, stderr := s.run("serve", "--data", s.dir, "--listen", "127.0.0.1:0")
	if code != exitFinding || !strings.Contains(stderr, "database is damaged") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func get(ctx context.Context, t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(t, err)
	response, err := http.DefaultClient.Do(r)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, string(text)
}
