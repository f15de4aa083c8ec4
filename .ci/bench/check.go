package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/custodyd/custodyd/internal/ledger"
)

// cases is how many chains the entries of the full check belong to.
const cases = 100

// entries writes a ledger as entries.jsonl and prints its root.
func entries(_ context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "ENTRIES", "FILE"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	f, err := os.Create(args[1]) //nolint:gosec // The table names it.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	var head ledger.Head
	var tree ledger.Tree
	heads := map[ledger.CaseID]ledger.CaseHead{}
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var line []byte
	for i := range count {
		of := ledger.CaseID{15: byte(i % cases)}
		e := ledger.Next(head, heads[of], ledger.Envelope{
			Case: of, Log: origin, Type: ledger.Event, Time: ledger.TimeOf(start.Add(time.Duration(i) * time.Second)),
			Payload: sha256.Sum256(fmt.Appendf(nil, "payload %d", i)), Sig: sha256.Sum256(fmt.Appendf(nil, "signature %d", i)),
		})
		line = e.AppendTo(line[:0])
		leaf := ledger.LeafHash(line)
		head, heads[of] = head.After(e, leaf), heads[of].After(e, leaf)
		tree.Append(nil, leaf)
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "root %s\n", tree.Root())
	return err
}

// check checks a whole ledger, as verify does, tells how long that took and
// prints its root.
func check(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "FILE"); err != nil {
		return err
	}
	f, err := os.Open(args[0]) //nolint:gosec // The table names it.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	start := time.Now()
	c := ledger.NewChecker(origin)
	if err := ledger.CheckAll(ctx, f, c, func(e *ledger.Entry) error { return e.Err }); err != nil {
		return err
	}
	root := c.Root()
	_, err = fmt.Fprintf(out, "seconds %f\nentries %d\nroot %s\n", time.Since(start).Seconds(), c.Size(), root)
	return err
}
