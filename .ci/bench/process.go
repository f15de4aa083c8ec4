package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server that runs beside what is measured.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string // the file that holds all it says
	exited chan struct{}
}

// start starts a server whose output goes to a file.
func (b *bench) start(ctx context.Context, name, log string, env []string, argv ...string) (p *process, err error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	// Not CommandContext: an interrupt stops servers in order, see stop.
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // The commands are written down here.
	cmd.Env = slices.Concat(b.env, env)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is ours to pass on
	if err := errors.Join(ctx.Err(), cmd.Start(), f.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p = &process{name: name, cmd: cmd, log: log, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // a server that is told to stop may call that an error
		close(p.exited)
	}()
	return p, nil
}

// greets is how long a server can take to say what it is to say.
const greets = time.Minute

// says waits until a server has said what it is to say, and gives the parts in parentheses.
func (p *process) says(ctx context.Context, what *regexp.Regexp) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, greets, fmt.Errorf("%s did not say %s", p.name, what))
	defer cancel()
	for {
		out, err := os.ReadFile(p.log)
		if err != nil {
			return nil, err
		}
		if m := what.FindSubmatch(out); m != nil {
			var parts []string
			for _, part := range m[1:] {
				parts = append(parts, string(part))
			}
			return parts, nil
		}
		if err := p.wait(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// wait passes some time, and fails if the server or ctx has ended.
func (p *process) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-p.exited:
		out, err := os.ReadFile(p.log)
		return errors.Join(fmt.Errorf("%s ended:\n%s", p.name, last(out)), err)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// stop asks a server to end, and after a while makes it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(20 * time.Second):
	}
	err := p.cmd.Process.Kill()
	<-p.exited
	return errors.Join(fmt.Errorf("%s did not stop when asked", p.name), err)
}

// cpu is the time that a server has spent on all cores so far.
func (p *process) cpu() (time.Duration, error) {
	stat, err := p.proc("stat")
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may hold anything. Behind it:
	// state is field 3, utime 14, stime 15, in ticks of USER_HZ, which is 100.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: no times in %q", p.name, stat)
	}
	user, errUser := strconv.ParseInt(string(fields[11]), 10, 64)
	system, errSystem := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(errUser, errSystem)
}

var peakForm = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak is the most memory, in bytes, that was ever resident.
func (p *process) peak() (int64, error) {
	status, err := p.proc("status")
	if err != nil {
		return 0, err
	}
	m := peakForm.FindSubmatch(status)
	if m == nil {
		return 0, fmt.Errorf("%s: no VmHWM", p.name)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	return kib << 10, err
}

func (p *process) proc(name string) ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
}

// without gives an environment without what could change a program that is measured.
func without(env []string, prefixes ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(v, p) })
	})
}
