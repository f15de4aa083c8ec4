package database

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/custodyd/custodyd/internal/ledger"
)

// BenchmarkProof makes proofs from the stored hashes of a million entries, each in a
// transaction of its own as the service does.
func BenchmarkProof(b *testing.B) {
	const size = 1_000_000
	db := newDatabase(b)
	err := db.Update(context.Background(), func(tx *Tx) error {
		tx.tree = &ledger.Tree{}
		for n := range uint64(size) {
			leaf := ledger.LeafHash(binary.BigEndian.AppendUint64(nil, n))
			if tx.pending = tx.tree.Append(tx.pending, leaf); len(tx.pending) >= 1<<12 {
				if err := tx.flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		prove func(n int64, r ledger.HashReader) ([]ledger.Hash, error)
	}{
		{"inclusion", func(n int64, r ledger.HashReader) ([]ledger.Hash, error) { return ledger.ProveInclusion(size, n, r) }},
		{"consistency", func(n int64, r ledger.HashReader) ([]ledger.Hash, error) { return ledger.ProveConsistency(size, n, r) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				err := db.View(b.Context(), func(tx *Tx) error {
					_, err := c.prove(random.Int64N(size), tx.Hashes())
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
