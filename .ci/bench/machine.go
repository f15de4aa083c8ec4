package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
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
