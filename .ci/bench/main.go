// Command bench measures custodyd beside what a lab would use instead, in one run
// on one machine, and prints one table: work, ours, alternative, ratio, goal.
//
//	bench table [GROUP...]    groups: directory s3 memory digest ledger latency
//	                          proofs export rebuild; all without a name
//
// The environment says how much and where:
//
//	SIZE        bytes of the file that is ingested and verified, such as 2G, 256M (2G)
//	RUNS        how often each side of a comparison is run (5)
//	APPENDS     entries of the append comparison (6400)
//	ENTRIES     entries of the full check (1000000)
//	BENCH_DIR   directory on a real disk for everything that is written (/var/tmp)
//	BENCH_BIN   directory of custodyd and custody-cli
//	BENCH_MINIO, BENCH_TESSERA, CHECK_PY    the programs; bench.sh sets these and BENCH_BIN
//
// # How
//
// A comparison has two or more sides. They are run in turn, every round in another
// order, so that none always follows the same other, and the medians are compared:
// what else happens on the machine happens to all. A side's target is removed as soon as its run is over.
// Before the next one everything dirty is written, the file is read once, and the
// disk has come to rest: nobody pays for what was written or removed before, and
// all find the file in the page cache. Nothing else is dropped or warmed. What
// is timed is the wall time of a whole command as one types it, start of the
// process and sign-in included. A command that hashes has to print the right
// SHA-256, ours the verdict at least, else the run fails.
//
// The sides that live in one process (appends, the full check) time themselves,
// without their setup, and print "seconds" and a number.
//
// Appends are measured at the operation that every change goes through, in
// process: permission, signature check, law, both chains, tree, one durable
// transaction for a batch, signed checkpoint, receipt. The payloads were signed
// before the clock starts, because signing is the clients' work; HTTP is left
// out on both sides. Each writer waits for its receipt before it appends again.
// Tessera's writers wait in the same way until a checkpoint covers their entry.
// What the median one of them takes is measured with and without two witnesses and a
// time-stamping authority, real ones, each a process of its own. They are asked every
// second, and have to have answered about more than half of the entries. In a lab they
// are other machines: here they run at the lowest priority, on the same disk. Sixteen
// writers leave the processor no rest, so what else is done for witnesses and authority
// shows in the median, as it is.
//
// The server's processor time is that of the custodyd process alone, from before to
// after an ingest, beside that of two plain passes. Its memory is the most that was
// ever resident in a process that did nothing else, start included.
//
// The full check reads the file of envelopes; the reference in Python checks the
// same of a tenth of the entries, and both have to find the right root.
//
// An export is timed without making the case, from the seal to the last byte. A
// verification is the whole command and checks every signature. Both stand beside as many
// plain Ed25519 checks on all cores, with which no key has a table. verify.py is the one
// that the bundle brings. A rebuild is the whole command, which checks hashes, chains, the
// law and the ledger's signatures, and those of entries only when it is asked to; the
// checks beside it say how fast the machine is, of which a goal in entries per second
// knows nothing.
//
// # Floors
//
// One pass of Go's SHA-256, and of MD5, over the cached file on one core, and what
// the disk does: a copy with sync, a direct read, one synchronous small write.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// parts are what runs as a process of its own, so that it starts with an empty
// heap, or none of its heap is left to others.
var parts = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	"table":      table,      // [GROUP...]
	"pass":       pass,       // md5|sha256 FILE: plain, on one core
	"digest":     digests,    // FILE: MD5, SHA-1 and SHA-256 as the product does it
	"append":     appends,    // DIR ENTRIES WRITERS
	"latency":    latencies,  // DIR ENTRIES WHO...: of the median append; DIR has the key, WHO is outside
	"authority":  stamps,     // DIR: stamps until it is stopped
	"entries":    entries,    // ENTRIES FILE: write a ledger
	"check":      check,      // FILE: check it
	"proofs":     proofs,     // DIR ENTRIES: from a database
	"export":     exports,    // DIR ENTRIES FILE: the bundle of a case
	"signatures": signatures, // COUNT: plain Ed25519 on all cores
	"published":  published,  // DIR ENTRIES: the keys and the store of a ledger that is lost
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || parts[args[0]] == nil {
		return fmt.Errorf("%q: want table and the names of groups; .ci/bench.sh does that", args)
	}
	return parts[args[0]](ctx, args[1:], os.Stdout)
}

// arguments fails unless there are as many as the part wants.
func arguments(args []string, usage ...string) error {
	if len(args) != len(usage) {
		return fmt.Errorf("arguments %q, want %q", args, usage)
	}
	return nil
}
