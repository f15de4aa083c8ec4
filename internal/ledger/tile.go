package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

var (
	// ErrTile says that a text is not the path of a tile in its one spelling, or
	// bytes are not the content of a tile or bundle.
	ErrTile = errors.New("malformed tile")
	// ErrNoTile says that a tree has no such tile, or not yet.
	ErrNoTile = errors.New("no such tile in the tree")
)

// TileWidth is how many hashes a full tile, and entries a full bundle, holds.
//
// SPEC: "Full tiles MUST be exactly 256 hashes wide, or 8,192 bytes." (C2SP tlog-tiles)
const TileWidth = 1 << tileHeight

const (
	tileHeight   = 8
	maxTileLevel = 63
)

// MaxTile is the length in bytes of the largest tile or bundle of envelopes.
const MaxTile = TileWidth * (2 + MaxEnvelope)

// Tile names a tile of the tree, or the bundle of entries under a tile of level 0.
type Tile struct {
	Entries bool  // a bundle; then Level is 0
	Level   int   // its hashes are the roots of complete subtrees of 256^Level entries
	Index   int64 // place in its level
	Width   int   // hashes or entries, 1 to TileWidth; fewer than TileWidth: partial
}

// Path gives the place of the tile under the log's prefix.
//
// SPEC: "<N> … MUST be a non-negative integer encoded into zero-padded 3-digit path
// elements. All but the last path element MUST begin with an x." (C2SP tlog-tiles)
func (t Tile) Path() string {
	index := fmt.Sprintf("%03d", t.Index%1000)
	for n := t.Index / 1000; n > 0; n /= 1000 {
		index = fmt.Sprintf("x%03d/%s", n%1000, index)
	}
	level := "entries"
	if !t.Entries {
		level = strconv.Itoa(t.Level)
	}
	path := "tile/" + level + "/" + index
	if !t.Full() {
		path += ".p/" + strconv.Itoa(t.Width)
	}
	return path
}

// Full tells whether the tile can grow no more.
func (t Tile) Full() bool { return t.Width == TileWidth }

// ParseTile reads what Path writes, for an index up to MaxInt.
func ParseTile(path string) (Tile, error) {
	fail := func() (Tile, error) { return Tile{}, fmt.Errorf("%w: %.100q", ErrTile, path) }
	elements := strings.Split(path, "/")
	if len(path) > 64 || len(elements) < 3 {
		return fail()
	}
	t := Tile{Width: TileWidth, Entries: elements[1] == "entries"}
	var err error
	if !t.Entries {
		if t.Level, err = strconv.Atoi(elements[1]); err != nil || t.Level < 0 || t.Level > maxTileLevel {
			return fail()
		}
	}
	index := elements[2:]
	if last := len(index) - 1; last > 0 && strings.HasSuffix(index[last-1], ".p") {
		if t.Width, err = strconv.Atoi(index[last]); err != nil || t.Width < 1 || t.Width >= TileWidth {
			return fail()
		}
		index[last-1] = strings.TrimSuffix(index[last-1], ".p")
		index = index[:last]
	}
	for _, digits := range index {
		n, err := strconv.Atoi(strings.TrimPrefix(digits, "x"))
		if err != nil || n < 0 || n > 999 || t.Index > (MaxInt-int64(n))/1000 {
			return fail()
		}
		t.Index = t.Index*1000 + int64(n)
	}
	if t.Path() != path { // spare zeros, signs, a prefix that is missing
		return fail()
	}
	return t, nil
}

// TileAt gives the tile at a place as the tree of that size has it: full, or as wide
// as it is by then. The error is ErrNoTile where there is nothing yet.
func TileAt(size int64, level int, index int64) (Tile, error) {
	t := Tile{Level: level, Index: index, Width: int(min(hashesAt(size, level)-index*TileWidth, TileWidth))}
	if size < 0 || size > MaxInt || index < 0 || index > MaxInt || t.Width < 1 {
		return Tile{}, fmt.Errorf("%w: level %d, index %d, tree %d", ErrNoTile, level, index, size)
	}
	return t, nil
}

// hashesAt is how many complete subtrees of 256^level entries a tree has.
func hashesAt(size int64, level int) int64 {
	if level < 0 || level > maxTileLevel/tileHeight { // a shift by more leaves nothing of 63 bits
		return 0
	}
	return size >> (tileHeight * level)
}

// Within checks that the tree of this size has the tile; a narrower one than it has by
// then still counts. Else the error is ErrNoTile.
func (t Tile) Within(size int64) error {
	now, err := TileAt(size, t.Level, t.Index)
	if err != nil || t.Width < 1 || t.Width > now.Width {
		return fmt.Errorf("%w: %s, tree %d", ErrNoTile, t.Path(), size)
	}
	return nil
}

// Edge gives the partial tiles of a tree, the lowest level first. Their hashes are
// those of all entries together, so they alone lead to its root.
//
// SPEC: "The partial tile at level l for a tree of size s has floor(s / 256**l) mod 256
// entries." (C2SP tlog-tiles)
func Edge(size int64) []Tile {
	var tiles []Tile
	for level := 0; hashesAt(size, level) > 0; level++ {
		n := hashesAt(size, level)
		if width := int(n % TileWidth); width > 0 {
			tiles = append(tiles, Tile{Level: level, Index: n / TileWidth, Width: width})
		}
	}
	return tiles
}

// ReadTile gives the content of a tile of hashes from what Tree.Append returned: the
// hashes one after the other. The caller has checked that it is Within the tree.
func ReadTile(t Tile, r HashReader) ([]byte, error) {
	if t.Entries || t.Level < 0 || t.Level > maxTileLevel/tileHeight || t.Width < 1 || t.Width > TileWidth {
		return nil, fmt.Errorf("%w: no hashes at %s", ErrTile, t.Path())
	}
	indexes := make([]int64, t.Width)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(tileHeight*t.Level, t.Index*TileWidth+int64(i))
	}
	hashes, err := r.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.Path(), err)
	}
	content := make([]byte, 0, t.Width*len(Hash{}))
	for _, h := range hashes {
		content = append(content, h[:]...)
	}
	return content, nil
}

// ParseHashes reads the content of a tile of hashes.
func (t Tile) ParseHashes(content []byte) ([]Hash, error) {
	if len(content) != t.Width*len(Hash{}) {
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d", ErrTile, t.Path(), len(content), t.Width*len(Hash{}))
	}
	hashes := make([]Hash, t.Width)
	for i := range hashes {
		hashes[i] = Hash(content[i*len(Hash{}):])
	}
	return hashes, nil
}

// TileRoot gives the root of a full tile, which is a hash of the tile above it.
func TileRoot(hashes [TileWidth]Hash) Hash {
	for n := TileWidth; n > 1; n /= 2 {
		for i := range n / 2 {
			hashes[i] = nodeHash(hashes[2*i], hashes[2*i+1])
		}
	}
	return hashes[0]
}

// AppendToBundle adds the next entry to the content of a bundle.
//
// SPEC: "Entry bundles are sequences of big-endian uint16 length-prefixed log entries."
// (C2SP tlog-tiles)
func AppendToBundle(bundle, envelope []byte) ([]byte, error) {
	if len(envelope) > MaxEnvelope {
		return nil, fmt.Errorf("%w: an entry of %d bytes is none of ours", ErrTile, len(envelope))
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(envelope))) //nolint:gosec // not more than MaxEnvelope
	return append(bundle, envelope...), nil
}

// ParseBundle reads the content of a bundle: as many entries as it is wide.
func (t Tile) ParseBundle(content []byte) ([][]byte, error) {
	rest, entries := content, make([][]byte, 0, TileWidth)
	for len(rest) >= 2 && len(entries) < t.Width {
		n := int(binary.BigEndian.Uint16(rest))
		if n > MaxEnvelope || n > len(rest)-2 {
			return nil, fmt.Errorf("%w: %s: entry %d has %d bytes", ErrTile, t.Path(), len(entries), n)
		}
		entries, rest = append(entries, rest[2:2+n:2+n]), rest[2+n:]
	}
	if len(rest) > 0 || len(entries) != t.Width {
		return nil, fmt.Errorf("%w: %s: %d entries and %d spare bytes, not %d entries", ErrTile, t.Path(), len(entries), len(rest), t.Width)
	}
	return entries, nil
}

// TileHashes reads the hashes of a tree of this size from its tiles, for proofs and
// roots. read gives the hashes of a tile, as many as it is wide.
func TileHashes(size int64, read func(Tile) ([]Hash, error)) HashReader {
	return &tileReader{size, read}
}

type tileReader struct {
	size int64
	read func(Tile) ([]Hash, error)
}

// ReadHashes implements [HashReader].
func (r *tileReader) ReadHashes(indexes []int64) ([]Hash, error) {
	hashes := make([]Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		inside := level % tileHeight // how far above the tile's own hashes
		first := n << inside
		t, err := TileAt(r.size, level/tileHeight, first/TileWidth)
		if err != nil {
			return nil, err
		}
		tile, err := r.read(t)
		if err != nil {
			return nil, err
		}
		from, to := int(first%TileWidth), int(first%TileWidth)+1<<inside
		if len(tile) != t.Width || to > t.Width {
			return nil, fmt.Errorf("%w: %s does not have hash %d of level %d", ErrNoTile, t.Path(), n, level)
		}
		var subtree Tree
		for _, h := range tile[from:to] {
			subtree.Append(nil, h)
		}
		hashes[i] = subtree.Root()
	}
	return hashes, nil
}
