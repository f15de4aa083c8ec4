package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A side is one way to do a piece of work.
type side struct {
	name    string
	prepare func(context.Context) error // not timed, as clean; nil: nothing
	run     func(context.Context) (sample, error)
	clean   func(context.Context) error // removes the target of the run
}

// A sample is what one run of a side cost.
type sample struct {
	wall   time.Duration
	cpu    time.Duration // of the command and what it started, on all cores
	server time.Duration // the same of the server that it talked to
	p99    time.Duration // where the wall time is the median of many
}

// samples are the runs of one side.
type samples []sample

func (s samples) wall() time.Duration {
	return median(s, func(x sample) time.Duration { return x.wall })
}

func median(s samples, of func(sample) time.Duration) time.Duration {
	if len(s) == 0 {
		return 0
	}
	all := make([]time.Duration, len(s))
	for i, x := range s {
		all[i] = of(x)
	}
	slices.Sort(all)
	mid := len(all) / 2
	if len(all)%2 == 0 {
		return (all[mid-1] + all[mid]) / 2
	}
	return all[mid]
}

// interleave runs the sides in turn, runs times each, in another order every time: what
// one leaves behind (a cache, a warm processor) does not always fall on the same next.
func (b *bench) interleave(ctx context.Context, sides ...side) ([]samples, error) {
	results := make([]samples, len(sides))
	for run := range b.runs {
		order := rand.New(rand.NewPCG(uint64(run), uint64(len(sides)))) //nolint:gosec // the same orders in every run of the bench
		for _, i := range order.Perm(len(sides)) {
			got, err := b.once(ctx, sides[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", sides[i].name, err)
			}
			b.say("  %d/%d %-40s %8.4f s, CPU %.2f s, server's %.2f s", run+1, b.runs, sides[i].name,
				got.wall.Seconds(), got.cpu.Seconds(), got.server.Seconds())
			results[i] = append(results[i], got)
		}
	}
	return results, nil
}

// once is one run of a side, from a machine at rest to one without its target.
func (b *bench) once(ctx context.Context, s side) (got sample, err error) {
	if s.clean != nil {
		defer func() { err = errors.Join(err, s.clean(ctx)) }()
	}
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			return sample{}, fmt.Errorf("prepare: %w", err)
		}
	}
	if err := b.settle(ctx); err != nil {
		return sample{}, err
	}
	return s.run(ctx)
}

// shell is a side that runs a bash script. proof, if not empty, is text that has
// to stand in its output.
func (b *bench) shell(name, script, proof string) side {
	return side{name: name, run: func(ctx context.Context) (sample, error) {
		s, out, err := b.command(ctx, nil, "bash", "-euo", "pipefail", "-c", script)
		if err != nil {
			return sample{}, err
		}
		return s, proven(out, proof)
	}}
}

func proven(out []byte, proof string) error {
	if !bytes.Contains(out, []byte(proof)) {
		return fmt.Errorf("the output has no %s:\n%s", proof, last(out))
	}
	return nil
}

// after gives the side with something to do before each run.
func (s side) after(prepare func(context.Context) error) side {
	s.prepare = prepare
	return s
}

// leaving gives the side with what removes its target after each run.
func (s side) leaving(clean func(context.Context) error) side {
	s.clean = clean
	return s
}

// script is bash to be run before or after each run of a side.
func (b *bench) script(text string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, _, err := b.command(ctx, nil, "bash", "-euo", "pipefail", "-c", text)
		return err
	}
}

// ownTime is how a process says that it timed itself, and if it did so many times, what
// one of a hundred takes.
var ownTime = regexp.MustCompile(`(?m)^seconds ([0-9.]+)(?: p99 ([0-9.]+))?$`)

// command runs a program to its end, with more environment than the bench's own,
// and gives what it cost and what it said. When ctx ends so does everything
// that it started.
func (b *bench) command(ctx context.Context, env []string, argv ...string) (sample, []byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // The commands are written down here.
	cmd.Env = slices.Concat(b.env, env)
	cmd.Dir = b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(start)}
	if cmd.ProcessState != nil {
		s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return s, nil, fmt.Errorf("%s: %w:\n%s", strings.Join(argv, " "), err, last(out.Bytes()))
	}
	if m := ownTime.FindSubmatch(out.Bytes()); m != nil {
		for i, d := range []*time.Duration{&s.wall, &s.p99} {
			if m[i+1] == nil {
				continue
			}
			seconds, err := strconv.ParseFloat(string(m[i+1]), 64)
			if err != nil {
				return s, nil, err
			}
			*d = time.Duration(seconds * float64(time.Second))
		}
	}
	return s, out.Bytes(), nil
}

// last is the end of what a program said.
func last(out []byte) []byte {
	const most = 2000
	return bytes.TrimSpace(out[max(0, len(out)-most):])
}
