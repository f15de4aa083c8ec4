package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/custodyd/custodyd/api"
)

// process is a program that serves.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *bufio.Reader
	said map[string]string // what it says first, such as "address"
}

// begin starts a program and waits until it has said the word and what comes with it.
func (p program) begin(until string, env []string, args ...string) *process {
	p.t.Helper()
	s := &process{t: p.t, cmd: exec.CommandContext(p.t.Context(), p.path, args...), said: map[string]string{}}
	s.cmd.Env = append(os.Environ(), env...)
	s.cmd.Stderr = p.t.Output()
	out, err := s.cmd.StdoutPipe()
	must(p.t, err)
	s.out = bufio.NewReader(out)
	must(p.t, s.cmd.Start())
	for s.said[until] == "" {
		line, err := s.out.ReadString('\n')
		if err != nil {
			p.t.Fatalf("%q ended: %v, %v", args, err, s.cmd.Wait())
		}
		if words := strings.Fields(line); len(words) > 1 {
			s.said[words[0]] = words[1]
		}
	}
	return s
}

// end asks the program to end, or kills it.
func (s *process) end(how syscall.Signal) {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(how))
	_, err := io.Copy(io.Discard, s.out)
	must(s.t, err)
	if err := s.cmd.Wait(); (err == nil) != (how == syscall.SIGTERM) {
		s.t.Fatalf("%s: %v", s.cmd, err)
	}
}

func (s *process) about() (about api.About) {
	s.t.Helper()
	s.get("/v1/server", func(body []byte) error { return json.Unmarshal(body, &about) })
	return about
}

func (s *process) get(path string, read func([]byte) error) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.said["address"]+path, nil)
	must(s.t, err)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(s.t, err)
	must(s.t, read(body))
}

// cosigned waits until so many witnesses have cosigned all that there is, and gives how
// much that is.
func (s *process) cosigned(ok int) int64 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for {
		var size int64
		s.get("/v1/checkpoint", func(body []byte) error {
			_, err := fmt.Sscan(strings.Split(string(body), "\n")[1], &size)
			return err
		})
		good := 0
		about := s.about()
		for _, w := range about.Witnesses {
			if w.State == "ok" && w.Cosigned == size {
				good++
			}
		}
		if good == ok {
			return size
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("at %d: %+v", size, about.Witnesses)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestWitnesses: two witnesses as programs of their own. One is killed, and comes back with
// what it knew; a ledger that was rolled back, and another one of the same key, are refused
// by the name of the witness that knows better.
func TestWitnesses(t *testing.T) {
	p := build(t)
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-f", "-i", dir).Run() })
	serve := func(env []string, args ...string) *process {
		t.Helper()
		return p.begin("store", env, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--witness-every", "1s"}, args...)...)
	}
	s := serve(nil)
	vkey := s.said["verifier"]
	s.end(syscall.SIGTERM)
	old := filepath.Join(t.TempDir(), "old")
	cp(t, dir, old)

	states := t.TempDir()
	witness := func(name, listen string) *process {
		t.Helper()
		return p.begin("log", nil, "witness", "--state", filepath.Join(states, name), "--name", name+".example/w", "--listen", listen, "--log", vkey)
	}
	firm, court := witness("firm", "127.0.0.1:0"), witness("court", "127.0.0.1:0")
	firmAt, courtAt := firm.said["witness"]+" "+firm.said["address"], court.said["witness"]+" "+court.said["address"]

	// From the environment, and from the file.
	s = serve([]string{"CUSTODYD_WITNESS=" + firmAt + ", " + courtAt})
	s.cosigned(2)
	s.get("/metrics", func(body []byte) error {
		for _, want := range []string{`custodyd_witness_cosigned_entries\{witness="firm\.example/w"\} [1-9]`, `custodyd_witness_failures_total\{witness="court\.example/w"\} 0`} {
			if !regexp.MustCompile(want).Match(body) {
				t.Errorf("no %s in the metrics", want)
			}
		}
		return nil
	})
	s.end(syscall.SIGTERM)
	config := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(config, []byte("witness = "+firmAt+"\nwitness = "+courtAt+"\n"), 0o600))
	must(t, os.WriteFile(config+".twice", []byte("retain-days = 3\nretain-days = 4\n"), 0o600))

	// One is killed: the ledger goes on, and says so.
	court.end(syscall.SIGKILL)
	s = serve(nil, "--config", config)
	s.cosigned(1)
	for _, w := range s.about().Witnesses {
		if failing := w.Name == "court.example/w"; failing != (w.State == "failing") || failing != (w.Problem != "") {
			t.Errorf("%+v", w)
		}
	}
	s.end(syscall.SIGTERM)
	court = witness("court", strings.TrimPrefix(court.said["address"], "http://"))
	s = serve(nil, "--config", config)
	s.cosigned(2)
	s.end(syscall.SIGTERM)

	want := func(code int, in string, args ...string) {
		t.Helper()
		got, stdout, stderr := p.run(args...)
		if got != code || !strings.Contains(stdout+stderr, in) {
			t.Errorf("%q: exit %d, want %d and %q:\n%s%s", args, got, code, in, stdout, stderr)
		}
	}
	want(exitOK, "witness court.example/w", "check", "--data", dir, "--config", config)
	want(exitError, "retain-days is there twice", "serve", "--data", dir, "--config", config+".twice")
	want(exitError, "--witness: not a witness's verifier key", "serve", "--data", dir, "--witness", "court")
	want(exitError, "is there twice", "serve", "--data", dir, "--witness", firmAt, "--witness", firmAt)
	want(exitError, "--state is missing", "witness", "--log", vkey)
	want(exitError, "holds no witness: give --name", "witness", "--state", filepath.Join(states, "none"), "--log", vkey)
	want(exitError, "is the witness running already?", "witness", "--state", filepath.Join(states, "firm"), "--listen", "127.0.0.1:0")

	// Rolled back, with signer, objects and all: nothing of the lab's own tells.
	rolled := filepath.Join(t.TempDir(), "rolled")
	cp(t, old, rolled)
	there := []string{"serve", "--data", rolled, "--listen", "127.0.0.1:0", "--witness", courtAt}
	want(exitFinding, "the witness court.example/w knows another ledger", there...)
	want(exitFinding, "WRONG  witness court.example/w", "check", "--data", rolled, "--witness", courtAt)

	// Split view: it goes on without the witness, past what was cosigned, and comes back.
	for range 6 {
		p.serve(rolled)()
	}
	want(exitFinding, "the witness court.example/w knows another ledger", there...)
	notes, err := filepath.Glob(filepath.Join(rolled, "conflict-*"))
	if err != nil || len(notes) != 3 { // both meet the same note of theirs
		t.Errorf("of two conflicts the notes %q were kept: %v", notes, err)
	}
	firm.end(syscall.SIGTERM)
	court.end(syscall.SIGTERM)
}
