package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func fromTlogRecord(b []byte) Hash { return Hash(tlog.RecordHash(b)) }

// reference computes the root as RFC 6962, section 2.1, defines it.
func reference(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return emptyRoot
	case 1:
		return leaves[0]
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		return nodeHash(reference(leaves[:k]), reference(leaves[k:]))
	}
}

// Every way to grow and read a tree agrees with the definition, and every proof
// between its sizes holds for what it proves and for nothing else.
func TestTree(t *testing.T) {
	const size = 70
	var leaves []Hash
	var store memory
	var tree Tree
	roots := []Hash{tree.Root()}
	for n := range int64(size) {
		leaf := LeafHash(fmt.Appendf(nil, "%d", n))
		want, err := StoredHashes(n, leaf, store)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := LoadTree(n, store)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(store)) != StoredHashCount(n) {
			t.Fatalf("%d hashes stored for %d entries, want %d", len(store), n, StoredHashCount(n))
		}
		if got := loaded.Append(nil, leaf); !slices.Equal(got, want) {
			t.Fatalf("entry %d stores %v, want %v", n, got, want)
		}
		store = tree.Append(store, leaf)
		leaves = append(leaves, leaf)
		root, err := RootAt(n+1, store)
		if err != nil {
			t.Fatal(err)
		}
		if want := reference(leaves); tree.Root() != want || loaded.Root() != want || root != want {
			t.Fatalf("root at %d is not %s", n+1, want)
		}
		if tree.Size() != n+1 || loaded.Size() != n+1 {
			t.Fatalf("sizes %d and %d, want %d", tree.Size(), loaded.Size(), n+1)
		}
		roots = append(roots, root)
	}
	for size := range int64(size + 1) {
		for index := range size {
			proof, err := ProveInclusion(size, index, store)
			if err != nil {
				t.Fatal(err)
			}
			check := func(proof []Hash, size int64, root Hash, index int64, leaf Hash, want error) {
				t.Helper()
				if err := CheckInclusion(proof, size, root, index, leaf); !errors.Is(err, want) {
					t.Errorf("entry %d in tree %d: error %v, want %v", index, size, err, want)
				}
			}
			check(proof, size, roots[size], index, leaves[index], nil)
			check(proof, size, roots[size], index, Hash{1}, ErrProof)
			check(proof, size, Hash{1}, index, leaves[index], ErrProof)
			check(proof, size, roots[size], size, leaves[index], ErrProof)
			check(proof, size, roots[size], -1, leaves[index], ErrProof)
			check(append(slices.Clone(proof), Hash{}), size, roots[size], index, leaves[index], ErrProof)
			if len(proof) > 0 {
				check(proof[1:], size, roots[size], index, leaves[index], ErrProof)
			}
		}
		for old := range size + 1 {
			proof, err := ProveConsistency(size, old, store)
			if err != nil {
				t.Fatal(err)
			}
			check := func(proof []Hash, size int64, root Hash, old int64, oldRoot Hash, want error) {
				t.Helper()
				if err := CheckConsistency(proof, size, root, old, oldRoot); !errors.Is(err, want) {
					t.Errorf("tree %d in tree %d: error %v, want %v", old, size, err, want)
				}
			}
			check(proof, size, roots[size], old, roots[old], nil)
			check(proof, size, roots[size], old, Hash{1}, ErrProof)
			check(append(slices.Clone(proof), Hash{}), size, roots[size], old, roots[old], ErrProof)
			check(proof, size, roots[size], size+1, roots[old], ErrProof)
			check(proof, size, roots[size], -1, roots[old], ErrProof)
			if old > 0 {
				// From the empty tree anything follows: there the root is not proven.
				check(proof, size, Hash{1}, old, roots[old], ErrProof)
			}
			if len(proof) > 0 {
				check(proof[1:], size, roots[size], old, roots[old], ErrProof)
			}
		}
	}
}

func TestLoadTreeAtAnySize(t *testing.T) {
	w, _ := many(1000)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, 1000).Draw(t, "size")
		tree, err := LoadTree(at, w.store)
		if err != nil {
			t.Fatal(err)
		}
		stored := append(memory(nil), w.store[:StoredHashCount(at)]...)
		for _, line := range w.lines[at:] {
			stored = tree.Append(stored, LeafHash(line))
		}
		if tree.Root() != w.tree.Root() || !slices.Equal(stored, w.store) {
			t.Fatal("another tree grew")
		}
	})
}

func TestTreeOutOfRange(t *testing.T) {
	w := testLedger()
	short := w.store[:3]
	for name, call := range map[string]func() error{
		"root below 0":             func() error { _, err := RootAt(-1, w.store); return err },
		"root beyond the store":    func() error { _, err := RootAt(13, short); return err },
		"root of too large a tree": func() error { _, err := RootAt(MaxInt+1, w.store); return err },
		"entry below 0":            func() error { _, err := ProveInclusion(12, -1, w.store); return err },
		"entry beyond the tree":    func() error { _, err := ProveInclusion(12, 12, w.store); return err },
		"proof beyond the store":   func() error { _, err := ProveInclusion(12, 3, short); return err },
		"older below 0":            func() error { _, err := ProveConsistency(12, -1, w.store); return err },
		"older is larger":          func() error { _, err := ProveConsistency(11, 12, w.store); return err },
		"trees beyond the store":   func() error { _, err := ProveConsistency(12, 5, short); return err },
		"load below 0":             func() error { _, err := LoadTree(-1, w.store); return err },
		"load beyond the store":    func() error { _, err := LoadTree(12, short); return err },
		"load from a wrong store":  func() error { _, err := LoadTree(12, wrong{}); return err },
		"root from a wrong store":  func() error { _, err := RootAt(12, wrong{}); return err },
		"store below 0":            func() error { _, err := StoredHashes(-1, Hash{}, w.store); return err },
		"store beyond the store":   func() error { _, err := StoredHashes(7, Hash{}, short); return err },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// wrong answers with too few hashes.
type wrong struct{}

func (wrong) ReadHashes([]int64) ([]Hash, error) { return []Hash{{}}, nil }
