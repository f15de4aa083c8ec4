package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	writers = 64
	// A check in Python of a tenth of the entries is long enough to measure.
	pythonShare = 10
)

// ledgerRows compare appends with those of another transparency log, and the full
// check with a reference, and time proofs.
func (b *bench) ledgerRows(ctx context.Context) ([]row, error) {
	appended, err := b.appendRow(ctx)
	if err != nil {
		return nil, err
	}
	checked, err := b.checkRow(ctx)
	if err != nil {
		return nil, err
	}
	return []row{appended, checked}, nil
}

func (b *bench) appendRow(ctx context.Context) (row, error) {
	count := b.appends - b.appends%writers
	dir := filepath.Join(b.dir, "log")
	log := func(name string, argv ...string) side {
		return side{
			name:    name,
			prepare: func(context.Context) error { return os.Mkdir(dir, 0o700) },
			run: func(ctx context.Context) (sample, error) {
				s, _, err := b.command(ctx, nil, append(argv, dir, strconv.Itoa(count), strconv.Itoa(writers))...)
				return s, err
			},
			clean: func(context.Context) error { return os.RemoveAll(dir) },
		}
	}
	results, err := b.interleave(ctx, log("append", b.self, "append"), log("append, Tessera", b.tessera))
	if err != nil {
		return row{}, err
	}
	ours, theirs := results[0].wall(), results[1].wall()
	r := b.compare(fmt.Sprintf("ledger: durable appends, %d writers, %s entries", writers, number(float64(count))), atLeast(2, " ×"), ours, "", theirs)
	r.ours, r.alternative = perSecond(count, ours), "Tessera POSIX, batch 64 / 50 ms: "+perSecond(count, theirs)
	return r, nil
}

func (b *bench) checkRow(ctx context.Context) (row, error) {
	fewer := max(b.entries/pythonShare, 1)
	all, err := b.ledgerFile(ctx, b.entries)
	if err != nil {
		return row{}, err
	}
	part, err := b.ledgerFile(ctx, fewer)
	if err != nil {
		return row{}, err
	}
	results, err := b.interleave(ctx,
		b.shell("full check", fmt.Sprintf(`"$SELF" check '%s'`, all.path), all.root),
		b.shell("full check, Python", fmt.Sprintf(`python3 "$CHECK_PY" '%s'`, part.path), part.root))
	if err != nil {
		return row{}, err
	}
	rate := float64(b.entries) / results[0].wall().Seconds()
	g := atLeast(500_000, "/s")
	return row{
		work:        fmt.Sprintf("ledger: full check of %s entries", number(float64(b.entries))),
		ours:        perSecond(b.entries, results[0].wall()),
		alternative: fmt.Sprintf("Python, %s entries: %s", number(float64(fewer)), perSecond(fewer, results[1].wall())),
		ratio:       fmt.Sprintf("%.1f ×", rate*results[1].wall().Seconds()/float64(fewer)),
		goal:        g.String(), met: g.met(rate),
	}, nil
}

// ledgerFile is a file of entries and the line that tells its root.
type ledgerFile struct{ path, root string }

func (b *bench) ledgerFile(ctx context.Context, count int) (ledgerFile, error) {
	path := filepath.Join(b.dir, fmt.Sprintf("entries-%d.jsonl", count))
	_, out, err := b.command(ctx, nil, b.self, "entries", strconv.Itoa(count), path)
	return ledgerFile{path, string(bytes.TrimSpace(out))}, err
}
