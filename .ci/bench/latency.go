package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
)

const (
	latencyWriters = 16
	// latencyShare is how many times the appends of the other comparison it takes: those
	// outside are asked several times then.
	latencyShare = 3
)

// errUnheard: those outside were not asked, or did not answer.
var errUnheard = errors.New("too little was heard from outside; with more APPENDS they have more time")

// latencies is appends for the times that single ones take: the median, and what one of
// a hundred exceeds. Whoever is named outside has to have answered meanwhile.
func latencies(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args[:min(2, len(args))], "DIR", "ENTRIES"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	skey, err := os.ReadFile(filepath.Join(args[0], keyName)) //nolint:gosec // The table names it.
	if err != nil {
		return err
	}
	others, err := parseOutside(args[2:])
	if err != nil {
		return err
	}
	l, err := newLedgerWith(ctx, args[0], string(skey), others)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	queues := make([][]signed, latencyWriters)
	for w := range queues {
		if queues[w], err = l.prepare(ctx, w, max(count/latencyWriters, 1)); err != nil {
			return err
		}
	}
	before := l.signer.Last().Size
	took := make([][]time.Duration, latencyWriters)
	var group errgroup.Group
	for w, queue := range queues {
		group.Go(func() error {
			for _, s := range queue {
				start := time.Now()
				if _, err := l.service.Record(ctx, l.caller, s.payload, s.signature); err != nil {
					return err
				}
				took[w] = append(took[w], time.Since(start))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := l.heard(ctx, others, (before+l.signer.Last().Size)/2); err != nil {
		return err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	_, err = fmt.Fprintf(out, "seconds %f p99 %f\n", all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds())
	return err
}

// heard fails unless those outside have answered about more than so many entries: all
// witnesses under one checkpoint, and every authority.
func (l *oneLedger) heard(ctx context.Context, others outside, size int64) error {
	var cosigned []database.Cosigned
	err := l.db.View(ctx, func(tx *database.Tx) (err error) {
		cosigned, err = tx.NewestCosigned(1)
		return err
	})
	if err != nil {
		return err
	}
	for _, w := range others.witnesses {
		if len(cosigned) == 0 || cosigned[0].Size <= size {
			return fmt.Errorf("%w: the witnesses have not cosigned %d entries", errUnheard, size)
		}
		if _, err := w.Key.Cosignature(cosigned[0].Note); err != nil {
			return fmt.Errorf("%w: the checkpoint of %d entries: %w", errUnheard, cosigned[0].Size, err)
		}
	}
	anchors, err := l.service.Anchors(ctx, l.caller, 0)
	if err != nil {
		return err
	}
	stamped := func(r custody.AnchorRound) bool {
		return r.Size > size && !slices.ContainsFunc(r.Stamps, func(st custody.AnchorStamp) bool { return st.State != database.AnchorAnchored })
	}
	if len(others.authorities) > 0 && !slices.ContainsFunc(anchors.Rounds, stamped) {
		return fmt.Errorf("%w: the authorities have not stamped %d entries", errUnheard, size)
	}
	return nil
}

// latencyRows compare the append of a service that others watch with one alone.
func (b *bench) latencyRows(ctx context.Context) ([]row, error) {
	dir := filepath.Join(b.dir, "latency")
	count := strconv.Itoa(latencyShare * b.appends)
	of := func(name string, watched bool) side {
		others := &outsiders{}
		return side{
			name: name,
			prepare: func(ctx context.Context) error {
				if err := os.Mkdir(dir, 0o700); err != nil {
					return err
				}
				key, err := newLedgerKey(dir)
				if err != nil || !watched {
					return err
				}
				others, err = b.newOutsiders(ctx, dir, key)
				return err
			},
			run: func(ctx context.Context) (sample, error) {
				before, err := others.cpu()
				if err != nil {
					return sample{}, err
				}
				s, _, err := b.command(ctx, nil, append([]string{b.self, "latency", dir, count}, others.texts...)...)
				if err != nil {
					return sample{}, err
				}
				after, err := others.cpu()
				s.server = after - before
				return s, err
			},
			clean: func(context.Context) error { return errors.Join(others.stop(), b.remove(dir)) },
		}
	}
	results, err := b.interleave(ctx, of("append, watched", true), of("append, alone", false))
	if err != nil {
		return nil, err
	}
	ours, theirs, g := results[0].wall(), results[1].wall(), atMost(1.05, " ×")
	ratio := g.ratio(ours, theirs)
	return []row{{
		work:        fmt.Sprintf("ledger: median append, %d writers, two witnesses and an authority asked every %s", latencyWriters, outsideEvery),
		ours:        latency(results[0]),
		alternative: "without them: " + latency(results[1]),
		ratio:       fmt.Sprintf("%.2f ×", ratio), goal: g.String(), met: g.met(ratio),
	}}, nil
}

// latency prints the medians of the runs.
func latency(s samples) string {
	p99 := median(s, func(x sample) time.Duration { return x.p99 })
	return fmt.Sprintf("%.2f ms, p99 %.2f ms", milliseconds(s.wall()), milliseconds(p99))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
