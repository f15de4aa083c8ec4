package mirror

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/ledger"
)

// bundlesAtOnce is how many bundles, each with its tile, are read at the same time.
const bundlesAtOnce = 4

// A walk reads the tiles of one tree, each shown to lie under its checkpoint before
// anybody sees it. It is for one goroutine.
type walk struct {
	from Source
	now  ledger.Checkpoint

	edge map[int]tile // the partial tiles, by level
	last map[int]tile // the full tile that was read last, by level
}

// tile is one that was checked.
type tile struct {
	ledger.Tile
	content []byte
	hashes  []ledger.Hash
}

// open reads the edge of the tree, which alone leads to the root.
func open(ctx context.Context, from Source, now ledger.Checkpoint) (*walk, error) {
	w := &walk{from: from, now: now, edge: map[int]tile{}, last: map[int]tile{}}
	for _, t := range ledger.Edge(now.Size) {
		read, err := w.read(ctx, t)
		if err != nil {
			return nil, err
		}
		w.edge[t.Level] = read
	}
	root, err := ledger.RootAt(now.Size, w.reader(ctx))
	if err != nil {
		return nil, err
	}
	if root != now.Root {
		return nil, fmt.Errorf("%w: its partial tiles lead to the root %s, not %s", ErrContent, root, now.Root)
	}
	return w, nil
}

// read gets a tile of hashes, unchecked.
func (w *walk) read(ctx context.Context, t ledger.Tile) (tile, error) {
	content, err := w.from.Tile(ctx, t)
	if err != nil {
		return tile{}, fmt.Errorf("read %s: %w", t.Path(), err)
	}
	hashes, err := t.ParseHashes(content)
	if err != nil {
		return tile{}, fmt.Errorf("%w: %w", ErrContent, err)
	}
	return tile{t, content, hashes}, nil
}

// full reads a full tile that has to have this root.
func (w *walk) full(ctx context.Context, level int, index int64, root ledger.Hash) (tile, error) {
	read, err := w.read(ctx, ledger.Tile{Level: level, Index: index, Width: ledger.TileWidth})
	if err != nil {
		return tile{}, err
	}
	if got := ledger.TileRoot([ledger.TileWidth]ledger.Hash(read.hashes)); got != root {
		return tile{}, fmt.Errorf("%w: %s leads to %s, not to %s in the tile above it", ErrContent, read.Path(), got, root)
	}
	return read, nil
}

// rootOf gives what a full tile has to lead to.
func (w *walk) rootOf(ctx context.Context, level int, index int64) (ledger.Hash, error) {
	above, err := w.tile(ctx, level+1, index/ledger.TileWidth)
	if err != nil {
		return ledger.Hash{}, err
	}
	if i := index % ledger.TileWidth; i < int64(len(above.hashes)) {
		return above.hashes[i], nil
	}
	return ledger.Hash{}, fmt.Errorf("%w: level %d, index %d, tree %d", ledger.ErrNoTile, level, index, w.now.Size)
}

// tile gives a tile as the tree has it. A full one is read and checked, and all those
// between it and the edge, unless it is the one that was read last at its level.
func (w *walk) tile(ctx context.Context, level int, index int64) (tile, error) {
	if edge, ok := w.edge[level]; ok && edge.Index == index {
		return edge, nil
	}
	if last, ok := w.last[level]; ok && last.Index == index {
		return last, nil
	}
	if _, err := ledger.TileAt(w.now.Size, level, index); err != nil {
		return tile{}, err
	}
	root, err := w.rootOf(ctx, level, index)
	if err != nil {
		return tile{}, err
	}
	read, err := w.full(ctx, level, index, root)
	if err == nil {
		w.last[level] = read
	}
	return read, err
}

// reader gives the hashes of the tree.
func (w *walk) reader(ctx context.Context) ledger.HashReader {
	return ledger.TileHashes(w.now.Size, func(t ledger.Tile) ([]ledger.Hash, error) {
		read, err := w.tile(ctx, t.Level, t.Index)
		return read.hashes, err
	})
}

// walk keeps everything that the tree has and that of the first from entries has not,
// from the edge down. Bundles are kept by several goroutines.
func (w *walk) walk(ctx context.Context, from int64, keep func(ledger.Tile, []byte) error) error {
	for _, t := range ledger.Edge(w.now.Size) {
		if err := keep(t, w.edge[t.Level].content); err != nil {
			return err
		}
	}
	for level := levels(w.now.Size) - 1; level > 0; level-- {
		first, end := from>>(8*(level+1)), w.now.Size>>(8*(level+1))
		for index := first; index < end; index++ {
			read, err := w.tile(ctx, level, index)
			if err == nil {
				err = keep(read.Tile, read.content)
			}
			if err != nil {
				return err
			}
		}
	}
	return w.leaves(ctx, from, keep)
}

// levels is how many a tree has tiles at.
func levels(size int64) int {
	n := 0
	for ; size>>(8*n) > 0; n++ {
	}
	return n
}

// leaves keeps the tiles of level 0 with the bundles under them.
func (w *walk) leaves(ctx context.Context, from int64, keep func(ledger.Tile, []byte) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(bundlesAtOnce)
	for index := from / ledger.TileWidth; index < w.now.Size/ledger.TileWidth && inner.Err() == nil; index++ {
		read, known := w.last[0]
		known = known && read.Index == index // the proof of the mirror's own checkpoint needed it
		root, err := w.rootOf(inner, 0, index)
		group.Go(func() error {
			if err == nil && !known {
				read, err = w.full(inner, 0, index, root)
			}
			if err == nil {
				err = keep(read.Tile, read.content)
			}
			if err == nil {
				err = w.bundle(inner, read, keep)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if edge, ok := w.edge[0]; ok {
		return w.bundle(ctx, edge, keep)
	}
	return nil
}

// bundle keeps the envelopes under a tile of level 0.
func (w *walk) bundle(ctx context.Context, leaves tile, keep func(ledger.Tile, []byte) error) error {
	t := leaves.Tile
	t.Entries = true
	content, err := w.from.Tile(ctx, t)
	if err != nil {
		return fmt.Errorf("read %s: %w", t.Path(), err)
	}
	envelopes, err := t.ParseBundle(content)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	for i, envelope := range envelopes {
		if ledger.LeafHash(envelope) != leaves.hashes[i] {
			return fmt.Errorf("%w: %s: entry %d is not the one in the tree", ErrContent, t.Path(), t.Index*ledger.TileWidth+int64(i))
		}
	}
	return keep(t, content)
}
