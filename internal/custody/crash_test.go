package custody_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/custodyd/custodyd/internal/custody"
)

// A child is this test binary, run again for one test to be killed.
const (
	childKind = "CUSTODY_TEST_CHILD" // what the child does
	childDir  = "CUSTODY_TEST_DIR"
)

// unsigned is the exit code of a child whose service has stopped.
const unsigned = 3

// TestChild does what a parent test asks for.
func TestChild(t *testing.T) {
	kind, arg, _ := strings.Cut(os.Getenv(childKind), " ")
	if kind == "" {
		return // there is no parent
	}
	l := labAt(t, os.Getenv(childDir))
	switch kind {
	case "journey":
		l.crashAt(arg)
		must(t, l.open(l.files()))
		err := newJourney(l).run()
		if errors.Is(err, custody.ErrStopped) {
			os.Exit(unsigned)
		}
		must(t, err)
	case "load":
		l.load(arg)
	case "full":
		l.fillDisk(arg)
	}
}

// child runs the test binary again and gives its output and how it ended.
func child(t *testing.T, dir, what string) (output string, state *os.ProcessState) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$") //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), childKind+"="+what, childDir+"="+dir)
	text, err := cmd.CombinedOutput()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState
}

func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// crashAt has the lab's process die at a point: of the store, or "entry-N" while
// the N-th entry's transaction is open, or "unsigned-N" takes the signer away
// then, so that the entry is committed and never signed.
func (l *lab) crashAt(name string) {
	l.store.setFail(func(p point) bool {
		if p.String() == name {
			die()
		}
		return false
	})
	var entries atomic.Int64
	l.clock.look = func() {
		if !inInsert() {
			return
		}
		n := entries.Add(1)
		switch name {
		case fmt.Sprintf("entry-%d", n):
			die()
		case fmt.Sprintf("unsigned-%d", n):
			_ = l.signer.Close()
		}
	}
}

// inInsert tells whether the committer is looking at the clock.
func inInsert() bool {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); strings.HasSuffix(f.Function, "custody.(*Service).insert") {
			return true
		}
	}
	return false
}

// points gives every point of a whole journey at which it can be interrupted.
func points(t *testing.T) (steps []point, entries int) {
	t.Helper()
	l := emptyLab(t)
	l.clock.look = func() {
		if inInsert() {
			entries++
		}
	}
	l.up()
	must(t, newJourney(l).run())
	l.audit()
	for _, p := range l.store.steps() {
		steps = append(steps, p)
		if p.Method != "Open" && p.Method != "Stat" { // these leave nothing behind
			p.After = true
			steps = append(steps, p)
		}
	}
	for _, want := range []string{"Begin", "WritePart", "Complete", "Put", "Copy"} {
		if !strings.Contains(fmt.Sprint(steps), want) {
			t.Fatalf("the journey never comes to %s: %v", want, steps)
		}
	}
	if entries < 15 {
		t.Fatalf("the journey makes %d entries", entries)
	}
	return steps, entries
}

// TestCrash is the table of the package comment: a real process dies around every
// durable step, the ledger is opened again, all is explained, and the client goes
// on to the end.
func TestCrash(t *testing.T) {
	steps, entries := points(t)
	var names []string
	for _, p := range steps {
		names = append(names, p.String())
	}
	for n := range entries {
		names = append(names, fmt.Sprintf("entry-%d", n+1), fmt.Sprintf("unsigned-%d", n+1))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := emptyLab(t)
			output, state := child(t, l.dir, "journey "+name)
			if want := strings.HasPrefix(name, "unsigned"); want && state.ExitCode() != unsigned && !strings.Contains(output, "has stopped") || !want && !killed(state) {
				t.Fatalf("the child ended with %v:\n%s", state, output)
			}
			l.up()
			l.remember()
			l.audit()
			must(t, newJourney(l).run())
			l.audit()
			l.restart()
			l.audit()
			if n := l.uploads(); n != 0 {
				t.Errorf("%d uploads are remembered", n)
			}
		})
	}
}

// TestFault has each step of the store fail once, before or after it was done,
// while the process lives. The client tries again; the service does by itself.
func TestFault(t *testing.T) {
	steps, _ := points(t)
	for _, p := range steps {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			l := emptyLab(t)
			var once sync.Once
			failed := false
			l.store.setFail(func(at point) (fail bool) {
				if at == p {
					once.Do(func() { fail, failed = true, true })
				}
				return fail
			})
			l.up()
			j := newJourney(l)
			var err error
			for range 3 {
				if err = j.run(); err == nil {
					break
				}
				wantErr(t, err, errStore)
			}
			must(t, err)
			if !failed {
				t.Error("the step was never reached")
			}
			l.audit()
		})
	}
}
