// Command tessera measures durable appends to a Tessera POSIX log.
//
//	tessera DIR ENTRIES WRITERS
//
// Each writer adds an entry and waits until it is integrated and a published,
// signed checkpoint covers it, before it adds the next: the synchronous use that
// Tessera's documentation describes, with PublicationAwaiter. Batches are of 64
// entries or 50 ms. Checkpoints are published as often as the storage permits,
// every 100 ms, and looked for every 5 ms. Entries are of the size of a payload
// with its signature. Prints "seconds" and how long it took.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"
)

const (
	batch     = 64
	batchAge  = 50 * time.Millisecond
	publish   = 100 * time.Millisecond // the least that the storage permits
	poll      = 5 * time.Millisecond
	entrySize = 1000 // bytes
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: tessera DIR ENTRIES WRITERS")
		os.Exit(2)
	}
	err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tessera:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, countText, writersText string) error {
	count, err := strconv.Atoi(countText)
	if err != nil {
		return err
	}
	writers, err := strconv.Atoi(writersText)
	if err != nil {
		return err
	}
	skey, _, err := note.GenerateKey(rand.Reader, "bench.example/tessera")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return err
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithBatching(batch, batchAge).WithCheckpointInterval(publish))
	if err != nil {
		return err
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, poll)

	elapsed, err := write(ctx, appender, awaiter, writers, count/writers)
	if err != nil {
		return err
	}
	fmt.Printf("seconds %f\n", elapsed.Seconds())
	return shutdown(ctx)
}

// write has every writer append its entries, one after the other.
func write(ctx context.Context, appender *tessera.Appender, awaiter *tessera.PublicationAwaiter, writers, each int) (time.Duration, error) {
	queues := make([][][]byte, writers)
	for i := range queues {
		queues[i] = make([][]byte, each)
		for n := range queues[i] {
			queues[i][n] = make([]byte, entrySize)
			if _, err := rand.Read(queues[i][n]); err != nil {
				return 0, err
			}
		}
	}
	var group errgroup.Group
	start := time.Now()
	for _, queue := range queues {
		group.Go(func() error {
			for _, entry := range queue {
				if _, _, err := awaiter.Await(ctx, appender.Add(ctx, tessera.NewEntry(entry))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return time.Since(start), err
}
