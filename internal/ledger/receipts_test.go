package ledger

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestReceipts: it takes every receipt, and no text that parsing, comparing and checking
// refuse, whichever byte is changed, added or left out.
func TestReceipts(t *testing.T) {
	w := testLedger()
	tree := w.checkpoint()
	var many *Receipts
	for index := range w.head.Size {
		receipt := testReceipt(t, w, index)
		good, envelope, leaf := receipt.Marshal(), receipt.Envelope, LeafHash(receipt.Envelope)
		if many == nil {
			many = NewReceipts(receipt.Checkpoint, tree)
		}
		if !many.Good(good, envelope, index, leaf) {
			t.Fatalf("receipt %d is refused", index)
		}
		check := func(text []byte) {
			t.Helper()
			if !many.Good(text, envelope, index, leaf) {
				return
			}
			r, err := ParseReceipt(text)
			if err != nil || !bytes.Equal(r.Envelope, envelope) || r.Index != index || !bytes.Equal(r.Checkpoint, receipt.Checkpoint) ||
				CheckInclusion(r.Proof, tree.Size, tree.Root, index, leaf) != nil {
				t.Errorf("receipt %d is taken as %q: %v", index, text, err)
			}
		}
		for i := range good {
			for _, b := range []byte{'A', 'B', '=', '\n', '\r', ' ', 0, good[i] ^ 1} {
				changed := bytes.Clone(good)
				changed[i] = b
				check(changed)
				check(slices.Insert(bytes.Clone(good), i, b))
			}
			check(slices.Delete(bytes.Clone(good), i, i+1))
		}
		for _, line := range []string{strings.Repeat("A", 44), strings.Repeat("A", 43) + "=", strings.Repeat("A", 42) + "=="} {
			check(bytes.Replace(good, []byte("\n\n"), []byte("\n"+line+"\n\n"), 1))
		}
		if many.Good(good, envelope, index+1, leaf) || many.Good(good, envelope, index, Hash{}) || many.Good(good, envelope[1:], index, leaf) ||
			NewReceipts(receipt.Checkpoint[1:], tree).Good(good, envelope, index, leaf) ||
			NewReceipts(receipt.Checkpoint, Checkpoint{}).Good(good, envelope, index, leaf) {
			t.Errorf("receipt %d is taken for another", index)
		}
	}
}

// TestReceiptsOfTrees: in trees of every form, whichever receipts came before, the good
// ones are taken, and none whose proof is another's or partly so.
func TestReceiptsOfTrees(t *testing.T) {
	const most = 37
	var tree Tree
	var hashes memory
	note := []byte("a note")
	random := rand.New(rand.NewPCG(1, 2))
	for size := int64(1); size <= most; size++ {
		leaf := func(i int64) Hash { return LeafHash([]byte{byte(i)}) }
		hashes = tree.Append(hashes, leaf(size-1))
		many := NewReceipts(note, Checkpoint{Size: size, Root: tree.Root()})
		var proofs [][]Hash
		for i := range size {
			proof, err := ProveInclusion(size, i, hashes)
			if err != nil {
				t.Fatal(err)
			}
			proofs = append(proofs, proof)
		}
		for range 20 * size {
			i, j := random.Int64N(size), random.Int64N(size)
			proof := slices.Clone(proofs[i])
			if k := random.IntN(most); k < len(proof) && k < len(proofs[j]) { // the end of another's
				proof = append(proof[:k], proofs[j][k:]...)
			}
			r := Receipt{Index: i, Envelope: []byte{byte(i)}, Proof: proof, Checkpoint: note}
			want := CheckInclusion(proof, size, tree.Root(), i, leaf(i)) == nil
			if got := many.Good(r.Marshal(), r.Envelope, i, leaf(i)); got != want {
				t.Fatalf("%d of %d, with the end of %d: %v, want %v", i, size, j, got, want)
			}
		}
	}
}
