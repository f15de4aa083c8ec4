package verify_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

func TestReceipt(t *testing.T) {
	s, other := bundletest.NewStory(t), bundletest.NewStory(t)
	// The ledger takes in a payload that is for another one.
	foreign := s.Event(s.Case, "examiner1", evidence.CaseClosed{Reason: "so"})
	foreign.Log = "lab.example/other"
	s.Append(foreign)
	list := collect(t, s.Bundle())
	e, o, f := list[7], list[8], list[len(list)-1]
	strange := collect(t, other.Bundle())[7]
	for name, row := range map[string]struct {
		raw, payload, signature []byte
		wantErr                 error
	}{
		"good":              {e.Receipt, e.Payload, e.Signature, nil},
		"malformed":         {e.Receipt[1:], e.Payload, e.Signature, ledger.ErrReceipt},
		"cut":               {e.Receipt[:len(e.Receipt)-1], e.Payload, e.Signature, ledger.ErrCheckpoint},
		"of another ledger": {strange.Receipt, strange.Payload, strange.Signature, ledger.ErrUnsigned},
		"of another entry":  {o.Receipt, e.Payload, e.Signature, verify.ErrOtherEntry},
		"other signature":   {e.Receipt, e.Payload, o.Signature, verify.ErrOtherEntry},
		"other payload":     {e.Receipt, o.Payload, e.Signature, verify.ErrOtherEntry},
		"payload elsewhere": {f.Receipt, f.Payload, f.Signature, verify.ErrOtherEntry},
		"not in the tree":   {moved(t, e.Receipt, o.Receipt), e.Payload, e.Signature, ledger.ErrProof},
	} {
		receipt, envelope, checkpoint, err := verify.Receipt(row.raw, s.Key(), row.payload, row.signature)
		if !errors.Is(err, row.wantErr) {
			t.Errorf("%s: error %v, want %v", name, err, row.wantErr)
		}
		if good := err == nil; good != (checkpoint.Size == s.Size()) || good != (envelope.Seq == 8) || good != bytes.Equal(receipt.Envelope, e.Envelope) {
			t.Errorf("%s: %+v %+v", name, envelope, checkpoint)
		}
	}
}

func collect(tb testing.TB, src bundle.Source) []bundle.Entry {
	tb.Helper()
	var list []bundle.Entry
	for e, err := range src.Entries {
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// moved gives the first receipt the proof of the second.
func moved(t *testing.T, raw, from []byte) []byte {
	a, errA := ledger.ParseReceipt(raw)
	b, errB := ledger.ParseReceipt(from)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	a.Proof = b.Proof
	return a.Marshal()
}

func TestConsistent(t *testing.T) {
	// Two signers with one key: a ledger that tells two stories.
	skey, vkey, err := ledger.GenerateKey(rand.Reader, "lab.example/custody")
	if err != nil {
		t.Fatal(err)
	}
	k, err := ledger.ParseVerifierKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	first, second := newHistory(t, skey, "a"), newHistory(t, skey, "b")
	_, otherKey := newHistory(t, fresh(t), "c"), key(t)
	proof := first.proof(t, 3, 5)
	for name, row := range map[string]struct {
		old, now []byte
		proof    []ledger.Hash
		key      ledger.VerifierKey
		wantErr  error
	}{
		"goes on":       {first.notes[3], first.notes[5], proof, k, nil},
		"same":          {first.notes[3], first.notes[3], nil, k, nil},
		"from nothing":  {first.notes[0], first.notes[3], nil, k, nil},
		"rolled back":   {first.notes[5], first.notes[3], proof, k, verify.ErrBehind},
		"no proof":      {first.notes[3], first.notes[5], nil, k, verify.ErrNotConsistent},
		"other history": {second.notes[3], first.notes[5], proof, k, verify.ErrNotConsistent},
		"fork":          {second.notes[3], first.notes[3], nil, k, verify.ErrNotConsistent},
		"other key":     {first.notes[3], first.notes[5], proof, otherKey, ledger.ErrUnsigned},
		"malformed old": {nil, first.notes[5], proof, k, ledger.ErrCheckpoint},
		"malformed new": {first.notes[3], nil, proof, k, ledger.ErrCheckpoint},
	} {
		before, after, err := verify.Consistent(row.old, row.now, row.proof, row.key)
		if !errors.Is(err, row.wantErr) {
			t.Errorf("%s: error %v, want %v", name, err, row.wantErr)
		}
		if err != nil && (before != ledger.Checkpoint{} || after != ledger.Checkpoint{}) {
			t.Errorf("%s: checkpoints in spite of %v", name, err)
		}
		fork, is := errors.AsType[*verify.ForkError](err)
		if is != (name == "fork") {
			t.Errorf("%s: %v", name, err)
		}
		if is && (!bytes.Equal(fork.Old, row.old) || !bytes.Equal(fork.New, row.now)) {
			t.Errorf("%s: a fork without its proof", name)
		}
	}
}

func fresh(t *testing.T) string {
	skey, _, err := ledger.GenerateKey(rand.Reader, "lab.example/custody")
	if err != nil {
		t.Fatal(err)
	}
	return skey
}

// history is a ledger of five entries, with its checkpoint at every size.
type history struct {
	hashes []ledger.Hash
	notes  [][]byte
}

func newHistory(t *testing.T, skey, salt string) *history {
	t.Helper()
	signer, err := ledger.CreateSigner(filepath.Join(t.TempDir(), "signer"), skey)
	if err != nil {
		t.Fatal(err)
	}
	h := &history{}
	var tree ledger.Tree
	for n := range int64(6) {
		proof := h.proof(t, max(n-1, 0), n)
		note, err := signer.Sign(ledger.Checkpoint{Origin: signer.Key().Origin(), Size: n, Root: tree.Root()}, proof)
		if err != nil {
			t.Fatal(err)
		}
		h.notes = append(h.notes, note)
		h.hashes = tree.Append(h.hashes, ledger.LeafHash(fmt.Appendf(nil, "%s%d", salt, n)))
	}
	if err := signer.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *history) proof(t *testing.T, old, size int64) []ledger.Hash {
	t.Helper()
	proof, err := ledger.ProveConsistency(size, old, h)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func (h *history) ReadHashes(indexes []int64) ([]ledger.Hash, error) {
	var out []ledger.Hash
	for _, i := range indexes {
		out = append(out, h.hashes[i])
	}
	return slices.Clip(out), nil
}
