package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// floors measure what no program on this machine can be faster than.
func (b *bench) floors(ctx context.Context) ([]string, error) {
	b.say("floors")
	plain := func(name string) side {
		return side{name: name + ", one pass, one core", run: func(ctx context.Context) (sample, error) {
			s, _, err := b.command(ctx, []string{"GOMAXPROCS=1"}, b.self, "pass", name, b.file)
			return s, err
		}}
	}
	results, err := b.interleave(ctx,
		plain("sha256"), plain("md5"),
		b.shell("cp, sync", `cp "$F" "$G" && sync`, "").leaving(b.script(`rm "$G"`)),
		b.shell("direct read", `dd if="$F" of=/dev/null bs=1M iflag=direct status=none`, ""))
	if err != nil {
		return nil, err
	}
	small, err := smallWrite(b.dir)
	if err != nil {
		return nil, err
	}
	b.pass = median(results[0], func(s sample) time.Duration { return s.cpu })
	return []string{
		fmt.Sprintf("SHA-256, one pass on one core, %s (%.2f s CPU)", timed(results[0].wall(), b.size), b.pass.Seconds()),
		"MD5, " + timed(results[1].wall(), b.size),
		"cp && sync, " + timed(results[2].wall(), b.size),
		"direct read, " + timed(results[3].wall(), b.size),
		fmt.Sprintf("durable write of 4 KiB, %.2f ms", float64(small)/float64(time.Millisecond)),
	}, nil
}

// smallWrite is how long a write of a page and its fsync take.
func smallWrite(dir string) (d time.Duration, err error) {
	path := filepath.Join(dir, "small")
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	page := make([]byte, 4096)
	all := make([]time.Duration, 101)
	for i := range all {
		start := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all[i] = time.Since(start)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
