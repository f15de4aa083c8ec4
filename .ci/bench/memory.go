package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

const (
	uploads   = 8
	oneLimit  = 64 // MiB
	manyLimit = 128
)

// memoryRows measure the most memory that a server on S3 ever has resident: one
// that took one upload, and one that took several at once, of half the file each.
func (b *bench) memoryRows(ctx context.Context) (rows []row, err error) {
	m, err := b.newMinio(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	half := filepath.Join(b.dir, "half")
	if err := copyFile(half, b.file, b.size/2); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(half)) }()
	for _, of := range []struct{ count, limit int }{{1, oneLimit}, {uploads, manyLimit}} {
		peak, err := b.uploadsPeak(ctx, m, of.count, half)
		if err != nil {
			return nil, err
		}
		mib := float64(peak) / (1 << 20)
		g := atMost(float64(of.limit), " MiB")
		rows = append(rows, row{
			work: fmt.Sprintf("server memory, peak RSS: %d at once, %.2f GiB each, MinIO", of.count, float64(b.size/2)/(1<<30)),
			ours: fmt.Sprintf("%.0f MiB", mib), alternative: "-", ratio: "-", goal: g.String(), met: g.met(mib),
		})
	}
	return rows, nil
}

// uploadsPeak has a new server take some uploads at once.
func (b *bench) uploadsPeak(ctx context.Context, m *minio, count int, file string) (peak int64, err error) {
	l, err := b.newLab(ctx, fmt.Sprintf("memory-%d", count), count, m)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := b.settle(ctx); err != nil {
		return 0, err
	}
	group, gctx := errgroup.WithContext(ctx)
	for machine := range count {
		group.Go(func() error {
			s, _, err := l.cli(gctx, machine, ingest(machine, file)...)
			b.say("  %-48s %8.2f s", fmt.Sprintf("upload %d of %d at once", machine+1, count), s.wall.Seconds())
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return l.server.peak()
}

// copyFile makes a file of the first size bytes of another.
func copyFile(to, from string, size int64) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.CopyN(out, in, size)
	return err
}
