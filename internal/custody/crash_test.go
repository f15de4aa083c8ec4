package custody_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
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
		name, size := "", 0
		if _, err := fmt.Sscan(arg, &name, &size); err != nil {
			t.Fatal(err)
		}
		l.crashAt(name)
		must(t, l.open(l.files()))
		err := newJourney(l, size).run()
		if errors.Is(err, custody.ErrStopped) {
			os.Exit(unsigned)
		}
		must(t, err)
	case "publish":
		l.store.setLedger(true)
		l.crashAt(arg)
		must(t, l.open(l.files()))
		l.enrolAll()
		l.openCase()
		for n := range 1000 {
			say(l.record("custodian1", theCase, exhibit(evidence.Name(fmt.Sprintf("X-%d", n)))).Receipt)
		}
	case "load":
		l.load(arg)
	case "full":
		l.fillDisk(arg)
	}
}

// child runs the test binary again and gives its output and how it ended.
func child(t *testing.T, dir, what string) (output string, state *os.ProcessState) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
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
	l.clock.each(func() {
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
	})
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

// interruption is a point of a journey with an image of that size.
type interruption struct {
	name string
	at   point // of the store, or zero
	size int
}

// interruptions gives every point of a whole journey at which it can be
// interrupted. A large image adds the putting of its midstates, and more steps of
// copying it.
func interruptions(t *testing.T) (all []interruption, entries int) {
	t.Helper()
	for _, size := range []int{small, large} {
		entries = 0
		l := emptyLab(t)
		l.clock.each(func() {
			if inInsert() {
				entries++
			}
		})
		l.up()
		must(t, newJourney(l, size).run())
		l.audit()
		for _, p := range l.store.steps() {
			if slices.ContainsFunc(all, func(i interruption) bool { return i.at == p && i.size != size }) ||
				size == large && p.Method != "Put" && p.Method != "Copy" {
				continue
			}
			all = append(all, interruption{p.String(), p, size})
			if p.Inside == 0 && !slices.Contains([]string{"Open", "OpenUpload", "Stat"}, p.Method) { // these leave nothing behind
				p.After = true
				all = append(all, interruption{p.String(), p, size})
			}
		}
	}
	for _, want := range []string{"Begin", "WritePart", "Complete", "Put", "Copy"} {
		if !slices.ContainsFunc(all, func(i interruption) bool { return i.at.Method == want }) {
			t.Fatalf("the journey never comes to %s: %v", want, all)
		}
	}
	if entries < 15 {
		t.Fatalf("the journey makes %d entries", entries)
	}
	return all, entries
}

// TestCrash is the table of the package comment: a real process dies around every
// durable step, the ledger is opened again, all is explained, and the client goes
// on to the end.
func TestCrash(t *testing.T) {
	all, entries := interruptions(t)
	for n := range entries {
		all = append(all, interruption{name: fmt.Sprintf("entry-%d", n+1), size: small},
			interruption{name: fmt.Sprintf("unsigned-%d", n+1), size: small})
	}
	for _, i := range all {
		t.Run(fmt.Sprintf("%s/%d", i.name, i.size), func(t *testing.T) {
			t.Parallel()
			l := emptyLab(t)
			output, state := child(t, l.dir, fmt.Sprintf("journey %s %d", i.name, i.size))
			stopped := state.ExitCode() == unsigned || strings.Contains(output, custody.ErrStopped.Error())
			if strings.HasPrefix(i.name, "unsigned") && !stopped || !strings.HasPrefix(i.name, "unsigned") && !killed(state) {
				t.Fatalf("the child ended with %v:\n%s", state, output)
			}
			l.up()
			l.remember()
			l.audit()
			must(t, newJourney(l, i.size).run())
			l.audit()
			if n := l.uploads(); n != 0 {
				t.Errorf("%d uploads are remembered", n)
			}
			l.nothingLeft()
		})
	}
}

// TestFault has each step of the store fail once, before or after it was done,
// while the process lives. The client tries again; the service does by itself.
func TestFault(t *testing.T) {
	all, _ := interruptions(t)
	for _, i := range all {
		t.Run(fmt.Sprintf("%s/%d", i.name, i.size), func(t *testing.T) {
			t.Parallel()
			l := emptyLab(t)
			var failed atomic.Bool
			l.store.setFail(func(at point) bool { return at == i.at && failed.CompareAndSwap(false, true) })
			l.up()
			j := newJourney(l, i.size)
			err := j.run()
			for range 2 {
				if err != nil {
					wantErr(t, err, errStore)
					err = j.run()
				}
			}
			must(t, err)
			if !failed.Load() {
				t.Error("the step was never reached")
			}
			l.audit()
			l.nothingLeft()
			if i.at.After && (i.at.Method == "Put" || i.at.Method == "Copy") && !slices.Contains(l.store.steps(), point{Method: "Extend", N: 1}) {
				t.Error("what was made and not noted was taken as it is")
			}
		})
	}
}

// TestResume has a restart go on with what was under way, without any client.
func TestResume(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.openCase()
	l.seal([]byte("a small image"))
	l.store.setFail(func(p point) bool { return p.Method == "Complete" || p.Method == "Copy" })
	d := declaration([]byte("another"))
	l.record("examiner1", theCase, d)
	l.upload(d.Intake, []byte("another"))
	request := evidence.CopyRequested{
		Intake: newUUID(t), Exhibit: "E-001", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "search"},
	}
	l.record("examiner1", theCase, request)
	l.await(d.Intake, custody.Received)
	l.await(request.Intake, custody.Copying)
	l.restart()
	l.await(d.Intake, custody.Checked)
	l.await(request.Intake, custody.Ready)
	l.audit()
}
