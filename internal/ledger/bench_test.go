package ledger

import (
	"bytes"
	"context"
	"sync"
	"testing"
)

const million = 1_000_000

var bigLedger = sync.OnceValues(func() (*writer, []byte) { return many(million) })

func BenchmarkParseAndHash(b *testing.B) {
	line := testLedger().lines[7]
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := parseEnvelope(line, testOrigin); err != nil {
			b.Fatal(err)
		}
		LeafHash(line)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkChecker(b *testing.B) {
	w, _ := many(10_000)
	for b.Loop() {
		c := NewChecker(testOrigin)
		for _, line := range w.lines {
			if err := c.Add(line); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(w.lines))/b.Elapsed().Seconds(), "entries/s")
}

// The whole check of a million entries on all cores.
func BenchmarkCheckAll(b *testing.B) {
	w, text := bigLedger()
	want := w.tree.Root()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c := NewChecker(testOrigin)
		if err := CheckAll(context.Background(), bytes.NewReader(text), c, func(e *Entry) error { return e.Err }); err != nil {
			b.Fatal(err)
		}
		if c.Root() != want || c.Size() != million {
			b.Fatal("another root")
		}
	}
	b.ReportMetric(float64(b.N*million)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkProveInclusion(b *testing.B) {
	w, _ := bigLedger()
	index := int64(0)
	for b.Loop() {
		if _, err := ProveInclusion(million, index, w.store); err != nil {
			b.Fatal(err)
		}
		index = (index + 7919) % million
	}
}

func BenchmarkProveConsistency(b *testing.B) {
	w, _ := bigLedger()
	old := int64(1)
	for b.Loop() {
		if _, err := ProveConsistency(million, old, w.store); err != nil {
			b.Fatal(err)
		}
		old = 1 + (old+7919)%million
	}
}

// One durable signature for each entry; a server signs once for a batch.
func BenchmarkSign(b *testing.B) {
	w, _ := many(100_000)
	s, _ := newTestSigner(b)
	size := int64(0)
	for b.Loop() {
		size++
		if size == w.head.Size {
			b.Fatal("ledger too short")
		}
		root, err := RootAt(size, w.store)
		if err != nil {
			b.Fatal(err)
		}
		proof, err := ProveConsistency(size, size-1, w.store)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Sign(Checkpoint{Origin: testOrigin, Size: size, Root: root}, proof); err != nil {
			b.Fatal(err)
		}
	}
}
