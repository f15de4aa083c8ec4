package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// loadAverage is that of the last one, five and fifteen minutes.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}

// settle puts the machine into the state in which each run begins: nothing left
// to write, the file in the page cache, the disk at rest.
func (b *bench) settle(ctx context.Context) error {
	syscall.Sync()
	f, err := os.Open(b.file)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return b.rest(ctx)
}

// rest waits until the disks move next to nothing: file systems free the blocks of
// what was removed, and devices discard them, when sync has long returned. A
// machine that works for others as well never rests; then that is said.
func (b *bench) rest(ctx context.Context) error {
	const (
		look   = 500 * time.Millisecond
		little = 2 << 20 // bytes in that time
		most   = 30 * time.Second
	)
	before, err := diskBytes()
	for range most / look {
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		var now int64
		if now, err = diskBytes(); now-before < little {
			return err
		}
		before = now
	}
	b.say("the disk is still busy after %v", most)
	return err
}

// diskBytes is what all disks have read, written and discarded so far.
func diskBytes() (int64, error) {
	text, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return 0, err
	}
	return sectors(text) * 512, nil
}

// sectors adds up those read, written and, since Linux 4.18, discarded: fields 3, 7
// and 14 of iostats.rst, which stand behind the device's numbers and name.
func sectors(diskstats []byte) (n int64) {
	for line := range bytes.Lines(diskstats) {
		fields := strings.Fields(string(line))
		for _, i := range []int{5, 9, 16} {
			if i < len(fields) {
				k, err := strconv.ParseInt(fields[i], 10, 64)
				if err == nil { // it is always a number
					n += k
				}
			}
		}
	}
	return n
}

// machine says on what, and with which versions, all was measured.
func (b *bench) machine(ctx context.Context) string {
	first := func(path, pattern string) string {
		text, err := os.ReadFile(path)
		m := regexp.MustCompile(`(?m)^` + pattern).FindSubmatch(text)
		if err != nil || m == nil {
			return "unknown"
		}
		return string(m[1])
	}
	says := func(argv ...string) string {
		_, out, err := b.command(ctx, nil, argv...)
		line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		if err != nil || len(line) == 0 {
			return argv[0] + ": unknown version"
		}
		return string(line)
	}
	built := func(program, module string) string {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return module + ": unknown version"
		}
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module {
				return m.Path + " " + m.Version
			}
		}
		return module + ": unknown version"
	}
	return fmt.Sprintf("Machine: %s, %d cores, %s kB of memory, %s, Linux %s.\nVersions: %s.\n",
		first("/proc/cpuinfo", `model name\s*:\s*(.+)`), runtime.NumCPU(), first("/proc/meminfo", `MemTotal:\s*(\d+)`),
		says("bash", "-c", `df --output=fstype "$F" | tail -n 1`), first("/proc/sys/kernel/osrelease", `(.+)`),
		strings.Join([]string{
			says(filepath.Join(b.bin, "custodyd"), "--version"), runtime.Version(), says("sha256sum", "--version"), says("openssl", "version"),
			says("dc3dd", "--version"), says("ewfacquire", "-V"), says("restic", "version"), says("rclone", "version"),
			"hashdeep " + says("hashdeep", "-V"), says("python3", "--version"), built(b.minio, "github.com/minio/minio"), built(b.tessera, "github.com/transparency-dev/tessera"),
		}, "; "))
}
