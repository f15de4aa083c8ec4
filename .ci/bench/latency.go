package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/witness"
)

const (
	latencyWriters = 16
	outsideDelay   = 200 * time.Millisecond // until one of the others answers
	outsideEvery   = time.Second            // at most, are they asked anew
)

// latencies is appends for the time that the median append takes; with "outside" the
// service has two witnesses and an authority. They answer late, and that they cannot: so
// each is asked again and again, and always under way.
func latencies(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "DIR", "ENTRIES", "alone|outside"); err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var others func(*custody.Config) error
	if args[2] == "outside" {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(outsideDelay)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		defer server.Close()
		others = func(cfg *custody.Config) error { return outside(cfg, server.URL) }
	}
	l, err := newLedger(ctx, args[0], others)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	queues := make([][]signed, latencyWriters)
	for w := range queues {
		if queues[w], err = l.prepare(ctx, w, count/latencyWriters); err != nil {
			return err
		}
	}
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
	all := slices.Concat(took...)
	slices.Sort(all)
	_, err = fmt.Fprintf(out, "seconds %f\n", all[len(all)/2].Seconds())
	return err
}

// outside adds two witnesses and an authority at that address.
func outside(cfg *custody.Config, url string) error {
	for _, name := range []string{"north.example/w", "south.example/w"} {
		_, vkey, err := ledger.GenerateWitnessKey(rand.Reader, name)
		if err != nil {
			return err
		}
		e, err := witness.ParseEndpoint(vkey + " " + url)
		if err != nil {
			return err
		}
		cfg.Witnesses = append(cfg.Witnesses, e)
	}
	a, err := authority.New("bench", url, []*x509.Certificate{{}}, time.Now)
	cfg.Authorities, cfg.AnchorEvery, cfg.WitnessEvery = []*authority.Authority{a}, outsideEvery, outsideEvery
	return err
}

// latencyRow compares the append of a service that others watch with one alone.
func (b *bench) latencyRow(ctx context.Context) (row, error) {
	dir := filepath.Join(b.dir, "latency")
	of := func(whose string) side {
		return side{
			name:    "append, " + whose,
			prepare: func(context.Context) error { return os.Mkdir(dir, 0o700) },
			run: func(ctx context.Context) (sample, error) {
				s, _, err := b.command(ctx, nil, b.self, "latency", dir, strconv.Itoa(b.appends), whose)
				return s, err
			},
			clean: func(context.Context) error { return b.remove(dir) },
		}
	}
	results, err := b.interleave(ctx, of("outside"), of("alone"))
	if err != nil {
		return row{}, err
	}
	ours, theirs, g := results[0].wall(), results[1].wall(), atMost(1.05, " ×")
	ratio := g.ratio(ours, theirs)
	return row{
		work: fmt.Sprintf("ledger: median append, %d writers, two witnesses and an authority that answer after %s", latencyWriters, outsideDelay),
		ours: ours.Round(time.Microsecond).String(), alternative: "without them: " + theirs.Round(time.Microsecond).String(),
		ratio: fmt.Sprintf("%.2f ×", ratio), goal: g.String(), met: g.met(ratio),
	}, nil
}
