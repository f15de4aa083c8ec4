package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/custody"
)

// exports makes a ledger with a case of that many entries, writes the case's bundle to a
// file, tells how long that took, and the key of the ledger.
func exports(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "DIR", "ENTRIES", "FILE"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if err := os.Mkdir(args[0], 0o700); err != nil { //nolint:gosec // The table names it.
		return err
	}
	l, err := newLedger(ctx, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	const writers = 16 // into the same case
	queue, err := l.prepare(ctx, 0, count)
	if err != nil {
		return err
	}
	var group errgroup.Group
	for w := range writers {
		group.Go(func() error {
			for i := w; i < len(queue); i += writers {
				if _, err := l.service.Record(ctx, l.caller, queue[i].payload, queue[i].signature); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	f, err := os.Create(args[2]) //nolint:gosec // The table names it.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	start := time.Now()
	e, err := l.service.Export(ctx, l.caller, "2026-0000", custody.ExportOptions{})
	if err != nil {
		return err
	}
	if err := e.WriteTo(ctx, f); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "seconds %f\nkey %s\n", time.Since(start).Seconds(), l.signer.Key())
	return err
}

// signatures checks that many Ed25519 signatures of as many messages on all cores, each
// by itself, and tells how long that took.
func signatures(_ context.Context, args []string, out io.Writer) error {
	if err := arguments(args, "COUNT"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	message := func(i int) []byte {
		return binary.BigEndian.AppendUint64(bytes.Repeat([]byte("SSHSIG and so on"), 6), uint64(i)) //nolint:gosec // not negative
	}
	signed := make([][]byte, count)
	for i := range signed {
		signed[i] = ed25519.Sign(private, message(i))
	}
	var group errgroup.Group
	cores := runtime.GOMAXPROCS(0)
	start := time.Now()
	for core := range cores {
		group.Go(func() error {
			for i := core; i < count; i += cores {
				if !ed25519.Verify(public, message(i), signed[i]) {
					return fmt.Errorf("signature %d does not hold", i)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "seconds %f\n", time.Since(start).Seconds())
	return err
}
