// Command gate runs "go test -json -count=1" with its own arguments and judges what
// comes out more strictly than go test does:
//
//   - nothing is taken from the cache, which knows nothing of the programs that
//     tests start;
//   - a skipped test is a failure: what CI did not look at it cannot vouch for;
//   - a test that began and never ended is a failure, and is named;
//   - a package that failed without a failed test (it does not build, it panicked,
//     it ran out of time) counts as one failure;
//   - a run in which nothing passed is a failure.
//
// It prints the usual line of each package, the output of what failed or was
// skipped, and as its last line "N passed, N failed, N skipped", counting tests
// and subtests. The exit code is 0 if every package passed, else 1.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1"}, args...)...) //nolint:gosec // The arguments are the Makefile's.
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := newReport(out)
	return errors.Join(r.read(events), cmd.Wait(), r.finish())
}

// event is one line of go test -json, see "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string // empty: the package itself
	Output  string
}

// test names a test, or with an empty name its package.
type test struct{ pkg, name string }

// report is what is known of the run so far.
type report struct {
	out     io.Writer
	output  map[test][]string // what a running test has printed
	running []test            // in the order they began
	failing map[string]bool   // packages in which a test has failed

	passed, failed, skipped int
	bad                     []string // what the last lines repeat
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[test][]string{}, failing: map[string]bool{}}
}

// read takes events until the stream ends. What is no event is printed: it is
// the go command or a test binary talking past test2json.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &e) != nil {
				r.printf("%s", line)
			} else {
				r.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (r *report) add(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "start", "run":
		r.running = append(r.running, t)
	case "build-output":
		r.printf("%s", e.Output)
	case "output":
		r.output[t] = append(r.output[t], e.Output)
	case "pass", "fail", "skip":
		if t.name == "" {
			r.endPackage(t, e.Action)
		} else {
			r.endTest(t, e.Action)
		}
	}
}

func (r *report) endTest(t test, action string) {
	switch action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped++
		r.tell(t, "skipped")
	case "fail":
		r.failed++
		r.failing[t.pkg] = true
		r.tell(t, "failed")
	}
	r.forget(t)
}

func (r *report) endPackage(p test, action string) {
	for _, t := range slices.Clone(r.running) {
		if t.pkg == p.pkg && t.name != "" {
			r.failed++
			r.failing[p.pkg] = true
			r.tell(t, "never ended")
			r.forget(t)
		}
	}
	if action == "fail" && !r.failing[p.pkg] {
		r.failed++
		r.bad = append(r.bad, "failed: "+p.pkg)
	}
	for _, line := range r.output[p] {
		// A package that passed says "ok", one without tests "?".
		if action == "fail" || strings.HasPrefix(line, "ok") || strings.HasPrefix(line, "?") {
			r.printf("%s", line)
		}
	}
	r.forget(p)
}

// finish prints the summary and says whether the run may count as a success.
func (r *report) finish() error {
	for _, t := range slices.Clone(r.running) {
		if t.name == "" {
			r.endPackage(t, "fail")
		}
	}
	for _, line := range r.bad {
		r.printf("%s\n", line)
	}
	r.printf("%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	switch {
	case r.failed > 0:
		return errors.New("tests failed")
	case r.skipped > 0:
		return errors.New("a skipped test is a failure")
	case r.passed == 0:
		return errors.New("nothing was tested")
	}
	return nil
}

func (r *report) tell(t test, what string) {
	r.bad = append(r.bad, fmt.Sprintf("%s: %s %s", what, t.pkg, t.name))
	for _, line := range r.output[t] {
		r.printf("%s", line)
	}
}

func (r *report) forget(t test) {
	delete(r.output, t)
	r.running = slices.DeleteFunc(r.running, func(u test) bool { return u == t })
}

func (r *report) printf(format string, args ...any) {
	// A terminal that went away must not stop the counting.
	_, _ = fmt.Fprintf(r.out, format, args...)
}
