package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// bench is one run of everything.
type bench struct {
	dir, file        string
	size             int64  // of the file, in bytes
	sum              string // SHA-256 of the file, in hex
	runs             int
	appends, entries int

	bin, self, minio, tessera string // where programs are
	env                       []string

	pass time.Duration // processor time of one SHA-256 pass over the file

	mu  sync.Mutex
	log io.Writer
}

// A group is a part of the table that can be asked for.
type group struct {
	name string
	rows func(*bench, context.Context) ([]row, error)
}

var groups = []group{
	{"directory", (*bench).directoryRows},
	{"s3", (*bench).s3Rows},
	{"memory", (*bench).memoryRows},
	{"digest", (*bench).digestRows},
	{"ledger", (*bench).ledgerRows},
	{"latency", (*bench).latencyRows},
	{"proofs", (*bench).proofRows},
	{"export", (*bench).exportRows},
	{"rebuild", (*bench).rebuildRows},
}

// table measures the named groups, or all, and prints what came out. A group that
// fails does not keep the others from being measured.
func table(ctx context.Context, args []string, out io.Writer) (err error) {
	asked := groups
	if len(args) > 0 {
		asked = nil
		for _, name := range args {
			i := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
			if i < 0 {
				return fmt.Errorf("no group %q", name)
			}
			asked = append(asked, groups[i])
		}
	}
	b, err := newBench()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.remove(b.dir)) }()
	load, start := loadAverage(), time.Now()
	if err := b.makeFile(); err != nil {
		return err
	}
	floors, err := b.floors(ctx)
	if err != nil {
		return err
	}
	var rows []row
	var failed error
	for _, g := range asked {
		b.say("%s", g.name)
		measured, err := g.rows(b, ctx)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
			measured = []row{{work: g.name, ours: "failed", met: "NO"}}
		}
		rows = append(rows, measured...)
	}

	runs := fmt.Sprintf("medians of %d interleaved runs", b.runs)
	if b.runs == 1 {
		runs = "one run of each"
	}
	head := fmt.Sprintf("\n%.2f GiB of random data, %s, %s, took %s\nload average %s before, %s after\n\n",
		float64(b.size)/(1<<30), runs, start.UTC().Format("2006-01-02 15:04 UTC"), time.Since(start).Round(time.Second), load, loadAverage())
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}
	if err := printRows(out, rows); err != nil {
		return err
	}
	facts := "\nFloors: " + strings.Join(floors, "; ") + ".\n" + b.machine(ctx)
	_, err = io.WriteString(out, facts)
	return errors.Join(failed, err)
}

// newBench reads the settings and makes the directory for everything that is written.
func newBench() (*bench, error) {
	b := &bench{
		bin: os.Getenv("BENCH_BIN"), minio: os.Getenv("BENCH_MINIO"), tessera: os.Getenv("BENCH_TESSERA"), log: os.Stderr,
	}
	if b.bin == "" || b.minio == "" || b.tessera == "" {
		return nil, errors.New("BENCH_BIN, BENCH_MINIO and BENCH_TESSERA are not set: start .ci/bench.sh")
	}
	var errs [5]error
	b.size, errs[0] = sizeOf("SIZE", "2G")
	b.runs, errs[1] = countOf("RUNS", "5")
	b.appends, errs[2] = countOf("APPENDS", "6400")
	b.entries, errs[3] = countOf("ENTRIES", "1000000")
	b.self, errs[4] = os.Executable()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	root := setting("BENCH_DIR", "/var/tmp")
	var disk syscall.Statfs_t
	if err := syscall.Statfs(root, &disk); err != nil {
		return nil, fmt.Errorf("BENCH_DIR %s: %w", root, err)
	}
	free := int64(disk.Bavail) * disk.Bsize          //nolint:gosec // a disk's size
	need := b.size*int64(max(b.runs+4, 7)) + 500<<20 // every run's sealed copy stays until the end of its group
	if free < need {
		return nil, fmt.Errorf("BENCH_DIR %s: %d MiB are free, SIZE and RUNS need %d", root, free>>20, need>>20)
	}
	dir, err := os.MkdirTemp(root, "custodyd-bench-")
	if err != nil {
		return nil, err
	}
	b.dir, b.file = dir, filepath.Join(dir, "image.dd")
	b.env = append(without(os.Environ(), "CUSTODY", "RCLONE_", "RESTIC_", "MINIO_", "AWS_"),
		"F="+b.file, "G="+filepath.Join(dir, "copy"), "SELF="+b.self, "CLI="+filepath.Join(b.bin, "custody-cli"), "LC_ALL=C",
		"RESTIC_REPOSITORY="+filepath.Join(dir, "copy.restic"), "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR="+filepath.Join(dir, "copy.cache"))
	return b, nil
}

func setting(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func countOf(name, otherwise string) (int, error) {
	n, err := strconv.Atoi(setting(name, otherwise))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%s: want a number from 1", name, os.Getenv(name))
	}
	return n, nil
}

// sizeOf reads whole mebibytes (M) or gibibytes (G): a direct read wants whole blocks.
func sizeOf(name, otherwise string) (int64, error) {
	text := setting(name, otherwise)
	digits, unit := text[:len(text)-1], text[len(text)-1]
	n, err := strconv.ParseInt(digits, 10, 32)
	shift, ok := map[byte]int{'M': 20, 'G': 30}[unit]
	if err != nil || n < 1 || !ok {
		return 0, fmt.Errorf("%s=%s: want a size such as 256M or 2G", name, text)
	}
	return n << shift, nil
}

// makeFile makes the file that everything is measured with.
func (b *bench) makeFile() (err error) {
	f, err := os.Create(b.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.Reader, b.size); err != nil {
		return err
	}
	b.sum = hex.EncodeToString(h.Sum(nil))
	return nil
}

// remove removes a directory, also one of objects that resist even their maker.
func (b *bench) remove(dir string) error {
	// Where the attribute was never granted there is nothing to take away.
	_ = exec.Command("chattr", "-R", "-i", dir).Run() //nolint:gosec,noctx // has to happen after an interrupt too
	return os.RemoveAll(dir)
}

// say tells how far we are.
func (b *bench) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = fmt.Fprintf(b.log, "bench: "+format+"\n", args...) // nobody is there to hear of an error
}
