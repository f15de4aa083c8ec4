package verify_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// keptLedger is a whole ledger in memory, with all that a service keeps beside it.
type keptLedger struct {
	key         ledger.VerifierKey
	last        ledger.Checkpoint
	records     []verify.Record
	hashes      []verify.TreeHash
	checkpoints []verify.KeptCheckpoint
}

// newKeptLedger makes a ledger of some entries with a checkpoint over every hundred.
func newKeptLedger(tb testing.TB, entries int) keptLedger {
	tb.Helper()
	l := bundletest.NewLedger(tb)
	k := keptLedger{key: l.Key()}
	for l.Size() < int64(entries) {
		l.Record(l.Event(evidence.CaseID{}, identity.Service, evidence.ServiceStarted{
			Version: "1", Store: "directory", Bucket: "b", Lock: "directory",
		}))
		if l.Size()%100 == 0 {
			k.checkpoints = append(k.checkpoints, verify.KeptCheckpoint{Size: l.Size(), Note: l.Checkpoint()})
		}
	}
	source := l.Source(evidence.CaseID{}, "all", nil)
	for e, err := range source.Entries {
		if err != nil {
			tb.Fatal(err)
		}
		envelope, err := ledger.ParseEnvelope(e.Envelope)
		if err != nil {
			tb.Fatal(err)
		}
		event, err := evidence.Parse(e.Payload)
		if err != nil {
			tb.Fatal(err)
		}
		k.records = append(k.records, verify.Record{
			Seq: envelope.Seq, Case: envelope.Case, CaseSeq: envelope.CaseSeq, EventID: event.ID, Leaf: ledger.LeafHash(e.Envelope),
			Envelope: e.Envelope, Payload: e.Payload, Signature: e.Signature,
		})
	}
	for i := range ledger.StoredHashCount(l.Size()) {
		hash, err := l.ReadHashes([]int64{i})
		if err != nil {
			tb.Fatal(err)
		}
		k.hashes = append(k.hashes, verify.TreeHash{Index: i, Hash: hash[0]})
	}
	var err error
	k.last, err = ledger.OpenCheckpoint(source.Checkpoint, k.key)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// yieldAll yields the items, and then an error if there is one.
func yieldAll[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

func (k keptLedger) source() verify.LedgerSource {
	return verify.LedgerSource{
		Key: k.key, Last: k.last, Entries: yieldAll(k.records, nil), Hashes: yieldAll(k.hashes, nil), Checkpoints: yieldAll(k.checkpoints, nil),
	}
}

// TestLedger: what a database cannot hold, and what reaches over batches; the tamper table
// of the audit has the rest.
func TestLedger(t *testing.T) {
	whole := newKeptLedger(t, 1150) // more than are held at a time
	stranger := newKeptLedger(t, 100)
	for _, row := range []struct {
		name   string
		change func(k *keptLedger, s *verify.LedgerSource)
		want   []string // subject: code
		signed int64
	}{
		{name: "whole", signed: 1150},
		{name: "nothing beside the entries", signed: 1150, change: func(_ *keptLedger, s *verify.LedgerSource) { s.Hashes, s.Checkpoints = nil, nil }},
		{name: "nobody signed", change: func(_ *keptLedger, s *verify.LedgerSource) { s.Last, s.Checkpoints = ledger.Checkpoint{}, nil }},
		{name: "no signer at hand", signed: 1100, change: func(_ *keptLedger, s *verify.LedgerSource) { s.Last = ledger.Checkpoint{} }},
		{name: "no entries", change: func(_ *keptLedger, s *verify.LedgerSource) {
			s.Entries = yieldAll[verify.Record](nil, nil)
		}, want: []string{"tree hash 0: tree-hash", "checkpoint 100: rolled-back"}},
		{name: "newest batch gone", change: func(k *keptLedger, s *verify.LedgerSource) {
			s.Entries = yieldAll(k.records[:1024], nil)
		}, want: []string{"tree hash 2047: tree-hash", "checkpoint 1100: rolled-back"}, signed: 1000},
		{name: "signature across batches", change: func(k *keptLedger, s *verify.LedgerSource) {
			records := slices.Clone(k.records)
			records[1100].Signature = records[3].Signature
			s.Entries = yieldAll(records, nil)
		}, want: []string{"entry 1100: signature-hash", "entry 1100: signature"}, signed: 1150},
		{name: "id used before", change: func(k *keptLedger, s *verify.LedgerSource) {
			records := slices.Clone(k.records)
			records[1149].Payload, records[1149].EventID = records[3].Payload, records[3].EventID
			s.Entries = yieldAll(records, nil)
		}, want: []string{"entry 1149: payload-hash", "entry 1149: payload-id", "entry 1149: signature"}, signed: 1150},
		{name: "checkpoints out of order", change: func(k *keptLedger, s *verify.LedgerSource) {
			checkpoints := slices.Clone(k.checkpoints)
			checkpoints[2], checkpoints[3] = checkpoints[3], checkpoints[2]
			s.Checkpoints = yieldAll(checkpoints, nil)
		}, want: []string{"checkpoint 300: checkpoint-size"}, signed: 1150},
		{name: "checkpoint of another key", change: func(k *keptLedger, s *verify.LedgerSource) {
			s.Checkpoints = yieldAll(append(slices.Clone(stranger.checkpoints), k.checkpoints[1:]...), nil)
		}, want: []string{"checkpoint 100: checkpoint-signature"}, signed: 1150},
		{name: "tree hashes out of order", change: func(k *keptLedger, s *verify.LedgerSource) {
			hashes := slices.Clone(k.hashes)
			hashes[5], hashes[6] = hashes[6], hashes[5]
			s.Hashes = yieldAll(hashes, nil)
		}, want: []string{"tree hash 5: tree-hash"}, signed: 1150},
		{name: "one tree hash twice", change: func(k *keptLedger, s *verify.LedgerSource) {
			s.Hashes = yieldAll(slices.Insert(slices.Clone(k.hashes), 5, k.hashes[4]), nil)
		}, want: []string{"tree hash 4: tree-hash"}, signed: 1150},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := whole.source()
			if row.change != nil {
				row.change(&whole, &s)
			}
			r, state, err := verify.Ledger(t.Context(), s, 2)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Findings {
				got = append(got, fmt.Sprintf("%s: %s", f.Subject, f.Code))
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
				t.Log(r.Findings)
			}
			if r.Signed != row.signed || (r.Verdict == verify.Verified) != (len(row.want) == 0) {
				t.Errorf("%s, %d entries signed, want %d", r.Verdict, r.Signed, row.signed)
			}
			if people, err := state.People(); err != nil || r.Entries > 0 && len(people) != 1 {
				t.Errorf("people %v, %v", people, err)
			}
		})
	}
}

// TestLedgerErrors: what could not be read to its end has no verdict.
func TestLedgerErrors(t *testing.T) {
	k := newKeptLedger(t, 150)
	broken := errors.New("disk fell out")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name    string
		ctx     context.Context //nolint:containedctx // a row of a table
		change  func(s *verify.LedgerSource)
		wantErr error
	}{
		{"entries", t.Context(), func(s *verify.LedgerSource) { s.Entries = yieldAll(k.records[:7], broken) }, broken},
		{"hashes", t.Context(), func(s *verify.LedgerSource) { s.Hashes = yieldAll(k.hashes[:7], broken) }, broken},
		{"hashes at once", t.Context(), func(s *verify.LedgerSource) { s.Hashes = yieldAll[verify.TreeHash](nil, broken) }, broken},
		{"hashes at the end", t.Context(), func(s *verify.LedgerSource) { s.Hashes = yieldAll(k.hashes, broken) }, broken},
		{"checkpoints", t.Context(), func(s *verify.LedgerSource) { s.Checkpoints = yieldAll(k.checkpoints, broken) }, broken},
		{"checkpoints at once", t.Context(), func(s *verify.LedgerSource) { s.Checkpoints = yieldAll[verify.KeptCheckpoint](nil, broken) }, broken},
		{"interrupted", ended, func(*verify.LedgerSource) {}, context.Canceled},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := k.source()
			row.change(&s)
			if _, _, err := verify.Ledger(row.ctx, s, 2); !errors.Is(err, row.wantErr) {
				t.Errorf("error is %v, want %v", err, row.wantErr)
			}
		})
	}
}

// TestLedgerCutOff: what was found before the entries could no longer be read is told.
func TestLedgerCutOff(t *testing.T) {
	k := newKeptLedger(t, 10)
	s := k.source()
	broken := errors.New("disk fell out")
	records := slices.Clone(k.records[:7])
	records[3].Leaf[0] ^= 1
	s.Entries = yieldAll(records, broken)
	r, _, err := verify.Ledger(t.Context(), s, 2)
	if !errors.Is(err, broken) || r.Verdict != verify.Incomplete || r.Entries != 7 || len(r.Findings) != 1 || r.Findings[0].Code != verify.CodeColumns {
		t.Errorf("%+v, error %v", r, err)
	}
}

// BenchmarkLedger prints how many entries a second are judged, signatures included.
func BenchmarkLedger(b *testing.B) {
	k := newKeptLedger(b, 5000)
	for b.Loop() {
		if r, _, err := verify.Ledger(b.Context(), k.source(), 0); err != nil || r.Verdict != verify.Verified {
			b.Fatal(r.Findings, err)
		}
	}
	b.ReportMetric(float64(len(k.records)*b.N)/b.Elapsed().Seconds(), "entries/s")
}
