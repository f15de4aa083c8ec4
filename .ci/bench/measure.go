package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	prepare func(context.Context) error // not timed; nil: nothing
	run     func(context.Context) (sample, error)
}

// A sample is what one run of a side cost.
type sample struct {
	wall   time.Duration
	cpu    time.Duration // of the command and what it started, on all cores
	server time.Duration // the same of the server that it talked to
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

// interleave runs the sides in turn, runs times each.
func (b *bench) interleave(ctx context.Context, sides ...side) ([]samples, error) {
	results := make([]samples, len(sides))
	for run := range b.runs {
		for i, s := range sides {
			if s.prepare != nil {
				if err := s.prepare(ctx); err != nil {
					return nil, fmt.Errorf("prepare %s: %w", s.name, err)
				}
			}
			if err := b.settle(); err != nil {
				return nil, err
			}
			got, err := s.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			b.say("  %d/%d %-40s %8.2f s, CPU %.2f s, server's %.2f s", run+1, b.runs, s.name,
				got.wall.Seconds(), got.cpu.Seconds(), got.server.Seconds())
			results[i] = append(results[i], got)
		}
	}
	return results, nil
}

// settle puts the machine into the state in which each run begins: nothing left
// to write, the file in the page cache.
func (b *bench) settle() error {
	syscall.Sync()
	f, err := os.Open(b.file)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
	return errors.Join(err, f.Close())
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

// script is bash to be run before each run of a side.
func (b *bench) script(text string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, _, err := b.command(ctx, nil, "bash", "-euo", "pipefail", "-c", text)
		return err
	}
}

// ownTime is how a process says that it timed itself.
var ownTime = regexp.MustCompile(`(?m)^seconds ([0-9.]+)$`)

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
		seconds, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return s, nil, err
		}
		s.wall = time.Duration(seconds * float64(time.Second))
	}
	return s, out.Bytes(), nil
}

// last is the end of what a program said.
func last(out []byte) []byte {
	const most = 2000
	return bytes.TrimSpace(out[max(0, len(out)-most):])
}
