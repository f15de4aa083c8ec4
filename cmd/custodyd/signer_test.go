package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

// signing is a real custodyd signer: of the user nobody, where the test may choose.
type signing struct {
	t *testing.T
	program
	root          string // everything below
	socket, state string
	cmd           *exec.Cmd
	talk          talk
}

const nobody = 65534

func newSigning(t *testing.T, p program) *signing {
	t.Helper()
	dir := t.TempDir()
	s := &signing{t: t, program: p, root: dir, socket: filepath.Join(dir, "run", "s"), state: filepath.Join(dir, "state")}
	for _, made := range []string{filepath.Dir(s.socket), s.state} {
		must(t, os.Mkdir(made, 0o700))
		must(t, os.Chown(made, s.uid(), -1))
	}
	// The test's own directories are closed to others.
	for _, above := range []string{dir, filepath.Dir(dir), filepath.Dir(p.path), filepath.Dir(filepath.Dir(p.path))} {
		must(t, os.Chmod(above, 0o755))
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *signing) uid() int {
	if os.Geteuid() == 0 {
		return nobody
	}
	return os.Geteuid()
}

func (s *signing) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.t.Context(), s.path, append([]string{"signer", "--socket", s.socket, "--state", s.state}, args...)...)
	cmd.Dir = s.root
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// up starts the signer and waits until it answers.
func (s *signing) up(args ...string) {
	s.t.Helper()
	s.cmd = s.command(args...)
	s.talk.Reset()
	s.cmd.Stderr = &s.talk
	must(s.t, s.cmd.Start())
	for {
		c, err := (&settings{signer: s.socket, signerWait: time.Second, logFormat: "text", logLevel: "error"}).dialSigner(s.t.Context())
		if err == nil {
			must(s.t, c.Close())
			return
		}
		if s.t.Context().Err() != nil {
			s.t.Fatalf("signer: %v\n%s", err, &s.talk)
		}
	}
}

// talk is what a program says, which can be read while it goes on.
type talk struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (t *talk) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.Write(p)
}

func (t *talk) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said.Reset()
}

func (t *talk) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said.String()
}

// kill ends the signer as a power cut would end it.
func (s *signing) kill() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Kill())
	_ = s.cmd.Wait()
	s.cmd = nil
}

// refused demands that a signer does not start.
func (s *signing) refused(in string, args ...string) {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), in) {
		s.t.Errorf("signer %q: %v, want %q: %s", args, err, in, out)
	}
}

// TestSeparateSigner has the signer in a process of another user, kills it while
// people work, and puts others in its place.
func TestSeparateSigner(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p := build(t)
	g := newSigning(t, p)
	s := &service{t: t, program: p, dir: filepath.Join(t.TempDir(), "data"), signer: g.socket}
	t.Cleanup(func() { cancel(); s.clear() })
	want := func(code int, in string, args ...string) {
		t.Helper()
		got, stdout, stderr := p.run(args...)
		if got != code || !strings.Contains(stdout+stderr, in) {
			t.Fatalf("custodyd %q: exit %d, want %d and %q:\n%s%s", args, got, code, in, stdout, stderr)
		}
	}
	serve := []string{"serve", "--data", s.dir, "--listen", "127.0.0.1:0", "--signer-wait", "200ms"}
	there := slices.Concat(serve, []string{"--signer", g.socket})

	// It is made only when told to.
	g.refused("give --origin")
	g.refused("--origin: ", "--origin", "No Origin")
	want(exitError, "is custodyd signer running", there...)
	g.up("--origin", "lab.example/separate")
	other := newSigning(t, p)
	other.socket = g.socket
	other.refused("another signer listens on it", "--origin", "lab.example/separate")
	g.refused("resource temporarily unavailable", "--socket", g.socket+"2")
	want(exitError, "the signer is of lab.example/separate", append(slices.Clip(there), "--origin", "lab.example/other")...)

	// People work while it is killed again and again.
	s.up(ctx)
	l := newLab(ctx, t, s)
	t.Cleanup(func() { cancel(); l.people.Wait() })
	for _, name := range []string{"ann", "bob"} {
		op := l.machine(ctx, name)
		l.people.Go(func() {
			if err := l.addExhibits(ctx, op, evidence.Name(name)); err != nil {
				t.Errorf("%s: %v", name, err)
				cancel()
			}
		})
	}
	for range 6 {
		must(t, operator.Pause(ctx, 150*time.Millisecond))
		g.kill()
		must(t, operator.Pause(ctx, 50*time.Millisecond))
		g.up()
	}
	close(l.stop)
	l.people.Wait()
	for _, name := range []string{keyFile, stateFile} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the data directory has %s: %v", name, err)
		}
	}
	if said := g.talk.String(); strings.Contains(said, "PRIVATE") || !strings.Contains(said, fmt.Sprintf("uid=%d", os.Geteuid())) {
		t.Errorf("the signer said:\n%s", said)
	}
	s.kill()
	want(exitOK, "findings: 0\n", "audit", "--data", s.dir, "--signer", g.socket)
	want(exitOK, "continues the", "check", "--data", s.dir, "--signer", g.socket)
	want(exitError, "give its socket with --signer", serve...)
	want(exitError, "give its socket with --signer", "audit", "--data", s.dir)
	l.judge(ctx)

	// An older database, which its own tables call whole.
	older := filepath.Join(t.TempDir(), "older")
	cp(t, s.dir, older)
	s.up(ctx)
	must(t, record(ctx, l.desk, exhibit("later")))
	s.kill()
	swap(t, s.dir, older)
	want(exitFinding, "not a continuation of what was signed", there...)
	want(exitFinding, "rolled-back", "audit", "--data", s.dir, "--signer", g.socket)
	swap(t, s.dir, older)

	// Database and the last segment are lost: what is left is read, and never served.
	for range 2 { // the second start is a segment of its own
		s.up(ctx)
		s.end()
	}
	lost := filepath.Join(t.TempDir(), "lost")
	carry(t, s.dir, lost, serviceFile, serviceFile+".pub", objectsPath)
	unlock(lost)
	segments, err := filepath.Glob(filepath.Join(lost, objectsPath, "objects", "ledger-*"))
	must(t, err)
	must(t, os.Remove(slices.Max(segments)))
	want(exitFinding, "were signed and never published", "rebuild", "--from-store", "--data", lost, "--signer", g.socket)
	want(exitFinding, "rolled-back", "audit", "--data", lost, "--signer", g.socket)
	want(exitFinding, "were signed", "serve", "--data", lost, "--listen", "127.0.0.1:0", "--signer", g.socket)
	want(exitOK, "copied to", "backup", "--data", lost, "--out", lost+"-copy")

	// The signer goes while somebody waits, and does not come back: nothing is said
	// that is not signed, and nothing is lost.
	g.kill()
	want(exitError, "the signer does not answer", there...)
	g.up()
	s.up(ctx)
	g.kill()
	signed, err := l.desk.Sign(ctx, theCase, exhibit("waiting"))
	must(t, err)
	if _, err := l.desk.Send(ctx, signed); err == nil {
		t.Error("an entry was acknowledged without a signature")
	}
	<-s.life.Load().gone
	if said := s.life.Load().talk.String(); !strings.Contains(said, "the signer does not answer") {
		t.Errorf("the service said:\n%s", said)
	}
	g.up()
	s.up(ctx)
	if _, err := l.desk.Send(ctx, signed); err != nil {
		t.Errorf("the entry was lost: %v", err)
	}
	s.kill()

	// Another key in its place, and the key where it was before.
	g.kill()
	other.up()
	want(exitFinding, "the database belongs to", there...)
	other.kill()
	g.up()
	want(exitError, "this is not a new ledger", "serve", "--data", filepath.Join(t.TempDir(), "new"), "--listen", "127.0.0.1:0", "--signer", g.socket)
	g.kill()
	for _, name := range []string{keyFile, stateFile} {
		must(t, os.Rename(filepath.Join(g.state, name), filepath.Join(s.dir, name)))
	}
	want(exitError, "move ledger.key and ledger.state", there...)
	want(exitOK, "findings: 0\n", "audit", "--data", s.dir)
	s.signer = ""
	s.up(ctx)
	must(t, record(ctx, l.desk, exhibit("home")))
	s.kill()
}

func cp(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("chattr", "-R", "-f", "-i", to).Run() })
}

// swap exchanges the databases of two data directories.
func swap(t *testing.T, a, b string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		x, y, z := filepath.Join(a, dbFile+suffix), filepath.Join(b, dbFile+suffix), filepath.Join(b, "swap"+suffix)
		must(t, ignoreGone(os.Rename(x, z)))
		must(t, ignoreGone(os.Rename(y, x)))
		must(t, ignoreGone(os.Rename(z, y)))
	}
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
