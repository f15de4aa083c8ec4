package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof says that a proof does not lead from what it should prove to the root.
var ErrProof = errors.New("invalid proof")

// emptyRoot is the root of a tree without entries.
//
// SPEC: "The hash of an empty list is the hash of an empty string:
// MTH({}) = SHA-256()." (RFC 6962, section 2.1)
var emptyRoot = Hash(sha256.Sum256(nil))

// HashReader reads hashes that StoredHashes or Tree.Append returned, each by its
// index: entry n's begin at StoredHashCount(n). ReadHashes returns exactly one
// hash for each index, or an error.
type HashReader interface {
	ReadHashes(indexes []int64) ([]Hash, error)
}

// StoredHashCount returns how many hashes are stored for a tree of size entries,
// which is also the index of the first one that the next entry stores.
func StoredHashCount(size int64) int64 { return tlog.StoredHashCount(size) }

// StoredHashes returns the hashes to store for entry n with this leaf hash, to be
// put at StoredHashCount(n) and on. It reads at most log n earlier ones.
func StoredHashes(n int64, leaf Hash, r HashReader) ([]Hash, error) {
	if n < 0 || n > MaxInt {
		return nil, fmt.Errorf("hashes to store for entry %d: out of range", n)
	}
	hashes, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(leaf), reader(r))
	if err != nil {
		return nil, fmt.Errorf("hashes to store for entry %d: %w", n, err)
	}
	return fromTlog(hashes), nil
}

// RootAt returns the root of the tree when it had size entries.
func RootAt(size int64, r HashReader) (Hash, error) {
	if size < 0 || size > MaxInt {
		return Hash{}, fmt.Errorf("root of tree %d: out of range", size)
	}
	root, err := tlog.TreeHash(size, reader(r))
	if err != nil {
		return Hash{}, fmt.Errorf("root of tree %d: %w", size, err)
	}
	return Hash(root), nil
}

// ProveInclusion proves that the entry at index stands in the tree of this size.
func ProveInclusion(size, index int64, r HashReader) ([]Hash, error) {
	if index < 0 || index >= size || size > MaxInt {
		return nil, fmt.Errorf("prove entry %d in tree %d: out of range", index, size)
	}
	proof, err := tlog.ProveRecord(size, index, reader(r))
	if err != nil {
		return nil, fmt.Errorf("prove entry %d in tree %d: %w", index, size, err)
	}
	return fromTlog(proof), nil
}

// CheckInclusion checks that the tree with this size and root has leaf at index.
// Anything else is an ErrProof.
func CheckInclusion(proof []Hash, size int64, root Hash, index int64, leaf Hash) error {
	if index < 0 || index >= size || size > MaxInt ||
		tlog.CheckRecord(toTlog(proof), size, tlog.Hash(root), index, tlog.Hash(leaf)) != nil {
		return fmt.Errorf("%w: entry %d in tree %d", ErrProof, index, size)
	}
	return nil
}

// ProveConsistency proves that the tree of size entries begins with the tree of
// old entries. The proof is empty when old is 0 or size.
func ProveConsistency(size, old int64, r HashReader) ([]Hash, error) {
	if old < 0 || old > size || size > MaxInt {
		return nil, fmt.Errorf("prove tree %d in tree %d: out of range", old, size)
	}
	if old == 0 {
		return nil, nil
	}
	proof, err := tlog.ProveTree(size, old, reader(r))
	if err != nil {
		return nil, fmt.Errorf("prove tree %d in tree %d: %w", old, size, err)
	}
	return fromTlog(proof), nil
}

// CheckConsistency checks that the tree with this size and root begins with the
// tree that had the old size and root. Anything else is an ErrProof.
func CheckConsistency(proof []Hash, size int64, root Hash, old int64, oldRoot Hash) error {
	ok := false
	switch {
	case old < 0 || old > size || size > MaxInt:
	case size == 0:
		ok = len(proof) == 0 && root == emptyRoot && oldRoot == emptyRoot
	case old == 0:
		// Every tree begins with the empty one; tlog leaves this case out.
		ok = len(proof) == 0 && oldRoot == emptyRoot
	default:
		ok = tlog.CheckTree(toTlog(proof), size, tlog.Hash(root), old, tlog.Hash(oldRoot)) == nil
	}
	if !ok {
		return fmt.Errorf("%w: tree %d in tree %d", ErrProof, old, size)
	}
	return nil
}

// Tree grows a tree entry by entry in memory, keeping only the roots of its
// complete subtrees, at most 53. The zero value is the empty tree.
type Tree struct {
	size  int64
	peaks []Hash // roots of the complete subtrees, largest first
}

// LoadTree reads what a tree of this size needs to go on growing, so that a batch
// of entries is appended without reading the store again.
func LoadTree(size int64, r HashReader) (*Tree, error) {
	if size < 0 || size > MaxInt {
		return nil, fmt.Errorf("load tree %d: out of range", size)
	}
	if size == 0 {
		return &Tree{}, nil
	}
	var indexes []int64
	for rest := size; rest > 0; {
		level := bits.Len64(uint64(rest)) - 1
		rest -= 1 << level
		// The subtree ends where the entries not yet covered begin.
		indexes = append(indexes, tlog.StoredHashIndex(level, (size-rest)>>level-1))
	}
	peaks, err := r.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("load tree %d: %w", size, err)
	}
	if len(peaks) != len(indexes) {
		return nil, fmt.Errorf("load tree %d: %d hashes for %d indexes", size, len(peaks), len(indexes))
	}
	return &Tree{size: size, peaks: append([]Hash(nil), peaks...)}, nil
}

// Append adds the next entry's leaf hash to the tree, and to dst the hashes to
// store for it: the leaf, then the root of each subtree that it completes.
func (t *Tree) Append(dst []Hash, leaf Hash) []Hash {
	h := leaf
	dst = append(dst, h)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		h = nodeHash(t.peaks[last], h)
		t.peaks = t.peaks[:last]
		dst = append(dst, h)
	}
	t.peaks = append(t.peaks, h)
	t.size++
	return dst
}

// Clone returns a tree that grows apart from t.
func (t *Tree) Clone() *Tree { return &Tree{size: t.size, peaks: append([]Hash(nil), t.peaks...)} }

// Size returns the number of entries.
func (t *Tree) Size() int64 { return t.size }

// Root returns the root hash of the tree as it stands.
func (t *Tree) Root() Hash {
	if len(t.peaks) == 0 {
		return emptyRoot
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = nodeHash(t.peaks[i], h)
	}
	return h
}

func nodeHash(left, right Hash) Hash {
	return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right)))
}

// reader shows our hashes to tlog, whose type prints in base64.
func reader(r HashReader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if len(indexes) == 0 {
			return nil, nil
		}
		hashes, err := r.ReadHashes(indexes)
		return toTlog(hashes), err
	})
}

func toTlog(hashes []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = tlog.Hash(h)
	}
	return out
}

func fromTlog(hashes []tlog.Hash) []Hash {
	out := make([]Hash, len(hashes))
	for i, h := range hashes {
		out[i] = Hash(h)
	}
	return out
}
