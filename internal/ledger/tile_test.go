package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTilePath(t *testing.T) {
	for path, want := range map[string]Tile{
		"tile/0/000":                          {Width: 256},
		"tile/0/000.p/1":                      {Width: 1},
		"tile/0/x001/x234/067.p/255":          {Index: 1234067, Width: 255},
		"tile/3/x001/x234/067":                {Level: 3, Index: 1234067, Width: 256},
		"tile/63/999":                         {Level: 63, Index: 999, Width: 256},
		"tile/entries/x001/000.p/8":           {Entries: true, Index: 1000, Width: 8},
		"tile/entries/273.p/112":              {Entries: true, Index: 273, Width: 112},
		"tile/0/x009/x007/x199/x254/x740/991": {Index: MaxInt, Width: 256},
	} {
		got, err := ParseTile(path)
		if err != nil || got != want || want.Path() != path {
			t.Errorf("%s: %+v, %v, written as %s", path, got, err, want.Path())
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/0/x000", "tile/0/x000/001",
		"tile/0/001/001", "tile/0/x001/x001", "tile/0/xx01/001", "tile/0/x01/001", "tile/00/001", "tile/64/001", "tile/-1/001", "tile/+1/001",
		"tile/0/+01", "tile/0/-01", "tile/0/x-01/000", "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p/+1",
		"tile/0/000.p/-1", "tile/0/000.p/1/2", "tile/0/000.p.p/1", "tile/0/.p/1", "tile/.p/1", "tile/0/000/", "/tile/0/000", "tile//0/000",
		"tile/data/000", "tile/8/0/000.p/1.p/1", "tile/Entries/000", "tile/entries/entries/000", "tile/0/000 ", "tiles/0/000", "tile/0/x009/x007/x199/x254/x740/992",
		"tile/0/" + strings.Repeat("x999/", 20) + "999", "tile/0/../../etc", "tile/0/x000/../001",
	} {
		if got, err := ParseTile(path); !errors.Is(err, ErrTile) || got != (Tile{}) {
			t.Errorf("%q: %+v, error %v", path, got, err)
		}
	}
}

// The sizes at which something about tiles changes.
var tileSizes = []int64{0, 1, 2, 255, 256, 257, 511, 512, 700, 65535, 65536, 65537, 65536 + 300, 70000}

// Tiles of every size lead to the tree's root, and each to the one above it.
func TestTiles(t *testing.T) {
	w, _ := many(70001)
	for _, size := range tileSizes {
		root, err := RootAt(size, w.store)
		if err != nil {
			t.Fatal(err)
		}
		readTile := func(tile Tile) ([]Hash, error) {
			if err := tile.Within(size); err != nil {
				return nil, err
			}
			content, err := ReadTile(tile, w.store)
			if err != nil {
				return nil, err
			}
			return tile.ParseHashes(content)
		}
		edge := Edge(size)
		only := func(tile Tile) ([]Hash, error) {
			if !slices.Contains(edge, tile) {
				return nil, fmt.Errorf("%s is not of the edge", tile.Path())
			}
			return readTile(tile)
		}
		if got, err := RootAt(size, TileHashes(size, only)); err != nil || got != root {
			t.Errorf("root at %d from the edge: %v, %v", size, got, err)
		}
		for level := 0; hashesAt(size, level) >= TileWidth; level++ {
			for index := range hashesAt(size, level) / TileWidth {
				hashes, err := readTile(Tile{Level: level, Index: index, Width: TileWidth})
				if err != nil {
					t.Fatal(err)
				}
				above, err := TileAt(size, level+1, index/TileWidth)
				if err != nil {
					t.Fatal(err)
				}
				parent, err := readTile(above)
				if err != nil {
					t.Fatal(err)
				}
				if got := TileRoot([TileWidth]Hash(hashes)); got != parent[index%TileWidth] {
					t.Fatalf("tree %d, level %d, index %d: root is %s", size, level, index, got)
				}
			}
		}
	}
}

// Proofs from tiles are those from the stored hashes.
func TestTileHashes(t *testing.T) {
	w, _ := many(70001)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 70001).Draw(t, "size")
		old := rapid.Int64Range(0, size).Draw(t, "old")
		index := rapid.Int64Range(0, size-1).Draw(t, "index")
		tiles := TileHashes(size, func(tile Tile) ([]Hash, error) {
			content, err := ReadTile(tile, w.store)
			if err != nil {
				return nil, err
			}
			return tile.ParseHashes(content)
		})
		consistency, err := ProveConsistency(size, old, tiles)
		if want, _ := ProveConsistency(size, old, w.store); err != nil || !slices.Equal(consistency, want) {
			t.Errorf("%d in %d: %v, %v", old, size, consistency, err)
		}
		inclusion, err := ProveInclusion(size, index, tiles)
		if want, _ := ProveInclusion(size, index, w.store); err != nil || !slices.Equal(inclusion, want) {
			t.Errorf("entry %d in %d: %v, %v", index, size, inclusion, err)
		}
	})
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path string
		size int64
		want error
	}{
		{"tile/0/000.p/1", 0, ErrNoTile},
		{"tile/0/000.p/1", 1, nil},
		{"tile/0/000.p/2", 1, ErrNoTile},
		{"tile/0/000", 255, ErrNoTile},
		{"tile/0/000", 256, nil},
		{"tile/0/000.p/255", 256, nil},
		{"tile/0/001.p/1", 256, ErrNoTile},
		{"tile/1/000.p/1", 255, ErrNoTile},
		{"tile/1/000.p/1", 256, nil},
		{"tile/1/000.p/2", 511, ErrNoTile},
		{"tile/1/000", 65536, nil},
		{"tile/2/000.p/1", 65535, ErrNoTile},
		{"tile/2/000.p/1", 65536, nil},
		{"tile/entries/000.p/3", 2, ErrNoTile},
		{"tile/entries/000.p/2", 2, nil},
		{"tile/6/000.p/32", MaxInt, ErrNoTile},
		{"tile/6/000.p/31", MaxInt, nil},
		{"tile/7/000.p/1", MaxInt, ErrNoTile},
		{"tile/63/000.p/1", MaxInt, ErrNoTile},
		{"tile/0/x009/x007/x199/x254/x740/991", MaxInt, ErrNoTile},
	} {
		tile, err := ParseTile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := tile.Within(c.size); !errors.Is(err, c.want) {
			t.Errorf("%s in %d: %v, want %v", c.path, c.size, err, c.want)
		}
	}
	for _, c := range []struct {
		size  int64
		level int
		index int64
	}{{-1, 0, 0}, {MaxInt + 1, 0, 0}, {10, -1, 0}, {10, 0, -1}, {10, 0, MaxInt + 1}, {10, 0, 1 << 62}, {0, 0, 0}} {
		if _, err := TileAt(c.size, c.level, c.index); !errors.Is(err, ErrNoTile) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestBundle(t *testing.T) {
	w := testLedger()
	var content []byte
	for _, line := range w.lines {
		var err error
		if content, err = AppendToBundle(content, line); err != nil {
			t.Fatal(err)
		}
	}
	bundle := Tile{Entries: true, Width: len(w.lines)}
	got, err := bundle.ParseBundle(content)
	if err != nil || !slices.EqualFunc(got, w.lines, bytes.Equal) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := AppendToBundle(nil, make([]byte, MaxEnvelope+1)); !errors.Is(err, ErrTile) {
		t.Errorf("too long an entry: %v", err)
	}
	narrow, wide := bundle, bundle
	narrow.Width--
	wide.Width++
	for name, c := range map[string]struct {
		tile    Tile
		content []byte
	}{
		"narrow": {narrow, content}, "wide": {wide, content}, "empty": {bundle, nil}, "cut": {bundle, content[:len(content)-1]},
		"length cut": {wide, append(slices.Clone(content), 0)}, "spare": {bundle, append(slices.Clone(content), 0)},
		"too long an entry": {Tile{Entries: true, Width: 1}, append([]byte{2, 46}, make([]byte, MaxEnvelope+1)...)},
	} {
		if got, err := c.tile.ParseBundle(c.content); !errors.Is(err, ErrTile) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := (Tile{Width: 2}).ParseHashes(make([]byte, 63)); !errors.Is(err, ErrTile) {
		t.Errorf("a tile of 63 bytes: %v", err)
	}
	if _, err := ReadTile(bundle, w.store); !errors.Is(err, ErrTile) {
		t.Errorf("hashes of a bundle: %v", err)
	}
}

func FuzzParseTile(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/255")
	f.Add("tile/entries/000")
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := ParseTile(path)
		if err != nil {
			return
		}
		if got := tile.Path(); got != path {
			t.Errorf("%q is written as %q", path, got)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, 2)
	f.Fuzz(func(t *testing.T, content []byte, width int) {
		tile := Tile{Entries: true, Width: width}
		entries, err := tile.ParseBundle(content)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			if again, err = AppendToBundle(again, e); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, content) || len(entries) != width {
			t.Errorf("%q is written as %q", content, again)
		}
	})
}
