package database

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

var (
	system       ledger.CaseID
	caseA, caseB = ledger.CaseID{0xaa}, ledger.CaseID{0xbb}
)

// entryOf gives the entry with that envelope, whose payload has its number in it.
func entryOf(env ledger.Envelope, size int) Entry {
	e := Entry{Case: env.Case, Seq: env.Seq, CaseSeq: env.CaseSeq, Payload: make([]byte, max(size, 8)), Signature: make([]byte, 300)}
	binary.BigEndian.PutUint64(e.Payload, uint64(env.Seq))
	copy(e.Signature, e.Payload[:8])
	binary.BigEndian.PutUint64(e.EventID[:], uint64(env.Seq)<<16|0x7000)
	env.Payload, env.Sig = sha256.Sum256(e.Payload), sha256.Sum256(e.Signature)
	e.Envelope = env.Bytes()
	e.Leaf = ledger.LeafHash(e.Envelope)
	return e
}

// nextEnvelope gives the one that follows.
func nextEnvelope(t testing.TB, tx *Tx, id ledger.CaseID) ledger.Envelope {
	head, err := tx.Head()
	if err != nil {
		t.Fatal(err)
	}
	caseHead, err := tx.CaseHead(id)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Next(head, caseHead, ledger.Envelope{
		Case: id, Log: ledger.Origin(lab.Origin), Time: ledger.Time(1e15 + head.Size), Type: ledger.Event,
	})
}

func nextEntry(t testing.TB, tx *Tx, id ledger.CaseID, size int) Entry {
	return entryOf(nextEnvelope(t, tx, id), size)
}

// A page of large entries is no larger than a page.
func TestPage(t *testing.T) {
	db := newDatabase(t)
	const size, count = 48 << 10, 50
	must(t, db.Update(t.Context(), func(tx *Tx) error {
		for range count {
			if err := tx.Append(nextEntry(t, tx, caseA, size)); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, db.View(t.Context(), func(tx *Tx) error {
		for from := int64(0); from < count; {
			page, err := tx.CaseEntries(caseA, from, count)
			if err != nil {
				return err
			}
			if n := len(page); n == 0 || n > maxPage/size+1 || page[0].CaseSeq != from {
				t.Fatalf("from %d on there are %d entries", from, n)
			}
			from += int64(len(page))
		}
		return nil
	}))
}

// The heads, hashes, proofs and lists of the database are those of a ledger in
// memory, within the transaction that appends and after it, in batches of any size.
func TestAppend(t *testing.T) {
	db := newDatabase(t)
	var tree ledger.Tree
	var all []Entry
	checker := ledger.NewChecker(ledger.Origin(lab.Origin))
	same := func(tx *Tx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		if head != checker.Head() {
			t.Errorf("head is %v, want %v", head, checker.Head())
		}
		for _, id := range []ledger.CaseID{system, caseA, caseB} {
			caseHead, err := tx.CaseHead(id)
			if err != nil {
				return err
			}
			if n, err := tx.Length(evidence.CaseID(id)); n != caseHead.Size || err != nil {
				t.Errorf("length of %s is %d, %v, its head says %d", id, n, err, caseHead.Size)
			}
			if want := checker.CaseHead(id); caseHead != want {
				t.Errorf("head of %s is %v, want %v", id, caseHead, want)
			}
		}
		root, err := ledger.RootAt(head.Size, tx.Hashes())
		if err != nil {
			return err
		}
		if root != tree.Root() {
			t.Errorf("root of %d entries is %s, want %s", head.Size, root, tree.Root())
		}
		return nil
	}
	for _, size := range []int{0, 1, 2, 64, 1, 130, 3} {
		update(t, db, func(tx *Tx) error {
			for range size {
				e := nextEntry(t, tx, []ledger.CaseID{system, caseA, caseB}[len(all)*7/4%3], 10)
				if err := tx.Append(e); err != nil {
					return err
				}
				if err := checker.Add(e.Envelope); err != nil {
					t.Error(err)
				}
				tree.Append(nil, e.Leaf)
				all = append(all, e)
			}
			return same(tx)
		})
		view(t, db, same)
	}

	view(t, db, func(tx *Tx) error {
		got, err := tx.Entries(0, len(all)+1)
		if diff := cmp.Diff(all, got); diff != "" || err != nil {
			t.Errorf("entries: %v %s", err, diff)
		}
		got, err = tx.Entries(5, 3)
		if diff := cmp.Diff(all[5:8], got); diff != "" || err != nil {
			t.Errorf("entries: %v %s", err, diff)
		}
		var ofB []Entry
		for i, e := range all {
			if e.Case == caseB {
				ofB = append(ofB, e)
			}
			at, err := tx.EntryAt(int64(i))
			if diff := cmp.Diff(e, at); diff != "" || err != nil {
				t.Errorf("entry %d: %v %s", i, err, diff)
			}
			byEvent, err := tx.EntryByEvent(e.EventID)
			if diff := cmp.Diff(e, byEvent); diff != "" || err != nil {
				t.Errorf("entry %d by event: %v %s", i, err, diff)
			}
			if n, err := tx.Entry(evidence.CaseID(e.Case), digest.SHA256(e.Leaf)); n != e.CaseSeq || err != nil {
				t.Errorf("entry %d by leaf: %d, %v", i, n, err)
			}
			if _, err := tx.Entry(evidence.CaseID{0xcc}, digest.SHA256(e.Leaf)); !errors.Is(err, ErrNotFound) {
				t.Errorf("entry %d in another case: %v", i, err)
			}
			proof, err := ledger.ProveInclusion(int64(len(all)), int64(i), tx.Hashes())
			if err != nil {
				return err
			}
			if err := ledger.CheckInclusion(proof, int64(len(all)), tree.Root(), int64(i), e.Leaf); err != nil {
				t.Error(err)
			}
		}
		got, err = tx.CaseEntries(caseB, 2, 5)
		if diff := cmp.Diff(ofB[2:7], got); diff != "" || err != nil {
			t.Errorf("entries of a case: %v %s", err, diff)
		}
		if got, err = tx.CaseEntries(ledger.CaseID{0xcc}, 0, 5); len(got) != 0 || err != nil {
			t.Errorf("entries of an unknown case: %v, %v", got, err)
		}
		if _, err := tx.EntryAt(int64(len(all))); !errors.Is(err, ErrNotFound) {
			t.Errorf("entry after the last: %v", err)
		}
		if _, err := tx.EntryByEvent(uuid.Max); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown event: %v", err)
		}
		return nil
	})
}

func TestReadHashes(t *testing.T) {
	db := newDatabase(t)
	var want []ledger.Hash
	update(t, db, func(tx *Tx) error {
		var tree ledger.Tree
		for range 150 {
			e := nextEntry(t, tx, system, 10)
			want = tree.Append(want, e.Leaf)
			if err := tx.Append(e); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(tx *Tx) error {
		for _, n := range []int{0, 1, 2, 3, 63, 64, 65, len(want)} {
			var indexes []int64
			var hashes []ledger.Hash
			for i := range n { // backwards, and the first one twice
				indexes, hashes = append(indexes, int64(n-1-i)), append(hashes, want[n-1-i])
			}
			if n > 0 {
				indexes, hashes = append(indexes, int64(n-1)), append(hashes, want[n-1])
			}
			got, err := tx.Hashes().ReadHashes(indexes)
			if err != nil {
				return err
			}
			if !cmp.Equal(got, append([]ledger.Hash{}, hashes...)) {
				t.Errorf("%d hashes are not those that were stored", n)
			}
		}
		list, err := tx.TreeHashes(5, 3)
		for i, h := range list {
			if h.Index != int64(5+i) || h.Hash != want[5+i] {
				t.Errorf("hash %d is %v", 5+i, h)
			}
		}
		if len(list) != 3 || err != nil {
			t.Errorf("%d hashes, %v", len(list), err)
		}
		if _, err := tx.Hashes().ReadHashes([]int64{1, int64(len(want))}); !errors.Is(err, ErrDamaged) {
			t.Errorf("missing hash: %v", err)
		}
		return nil
	})
}

func TestAppendRefuses(t *testing.T) {
	type change func(*ledger.Envelope)
	remake := func(c change) func(*testing.T, *Tx) Entry {
		return func(t *testing.T, tx *Tx) Entry {
			env := nextEnvelope(t, tx, caseA)
			c(&env)
			return entryOf(env, 10)
		}
	}
	spoil := func(c func(*Entry)) func(*testing.T, *Tx) Entry {
		return func(t *testing.T, tx *Tx) Entry {
			e := nextEntry(t, tx, caseA, 10)
			c(&e)
			return e
		}
	}
	for name, test := range map[string]struct {
		entry   func(*testing.T, *Tx) Entry
		wantErr error
	}{
		"gap":                  {remake(func(e *ledger.Envelope) { e.Seq++ }), ErrEntry},
		"repeated":             {remake(func(e *ledger.Envelope) { e.Seq-- }), ErrEntry},
		"gap in case":          {remake(func(e *ledger.Envelope) { e.CaseSeq++ }), ErrEntry},
		"not after the last":   {remake(func(e *ledger.Envelope) { e.Prev[0]++ }), ErrEntry},
		"not after the case's": {remake(func(e *ledger.Envelope) { e.CasePrev[0]++ }), ErrEntry},
		"back in time":         {remake(func(e *ledger.Envelope) { e.Time = 0 }), ErrEntry},
		"another ledger's":     {remake(func(e *ledger.Envelope) { e.Log = "other" }), ErrEntry},
		"another's place":      {spoil(func(e *Entry) { e.Seq++ }), ErrEntry},
		"another case":         {spoil(func(e *Entry) { e.Case = caseB }), ErrEntry},
		"another case seq":     {spoil(func(e *Entry) { e.CaseSeq++ }), ErrEntry},
		"another leaf":         {spoil(func(e *Entry) { e.Leaf[31]++ }), ErrEntry},
		"another payload":      {spoil(func(e *Entry) { e.Payload[0]++ }), ErrEntry},
		"another signature":    {spoil(func(e *Entry) { e.Signature[0]++ }), ErrEntry},
		"no envelope":          {spoil(func(e *Entry) { e.Envelope = nil }), ErrEntry},
		"longer envelope":      {spoil(func(e *Entry) { e.Envelope = append(e.Envelope, '\n') }), ErrEntry},
		"event id is taken":    {spoil(func(e *Entry) { binary.BigEndian.PutUint64(e.EventID[:], 0x7000) }), ErrConstraint},
	} {
		t.Run(name, func(t *testing.T) {
			db := newDatabase(t)
			update(t, db, func(tx *Tx) error {
				return errors.Join(tx.Append(nextEntry(t, tx, system, 10)), tx.Append(nextEntry(t, tx, caseA, 10)))
			})
			before := contents(t, db)
			err := db.Update(t.Context(), func(tx *Tx) error {
				if err := tx.Append(nextEntry(t, tx, caseA, 10)); err != nil { // undone with the other
					t.Error(err)
				}
				return tx.Append(test.entry(t, tx))
			})
			if !errors.Is(err, test.wantErr) {
				t.Fatalf("error is %v, want %v", err, test.wantErr)
			}
			if after := contents(t, db); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			update(t, db, func(tx *Tx) error { return tx.Append(nextEntry(t, tx, caseA, 10)) })
		})
	}
}

func TestCheckpoints(t *testing.T) {
	db := newDatabase(t)
	update(t, db, func(tx *Tx) error {
		if _, _, err := tx.LastCheckpoint(); !errors.Is(err, ErrNotFound) {
			t.Errorf("last of none: %v", err)
		}
		for range 3 {
			if err := tx.Append(nextEntry(t, tx, caseA, 10)); err != nil {
				return err
			}
		}
		for _, size := range []int64{1, 1, 3} { // the newest one again
			if err := tx.SaveCheckpoint(size, []byte{byte(size)}); err != nil {
				return err
			}
		}
		return nil
	})
	for name, bad := range map[string]struct {
		size int64
		note string
	}{
		"smaller": {2, "\x02"}, "older again": {1, "\x01"}, "another note": {3, "\x04"}, "fewer entries": {4, "\x04"},
		"nothing": {0, "\x00"}, "empty": {3, ""},
	} {
		err := db.Update(t.Context(), func(tx *Tx) error { return tx.SaveCheckpoint(bad.size, []byte(bad.note)) })
		if !errors.Is(err, ErrConstraint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	view(t, db, func(tx *Tx) error {
		all, err := tx.Checkpoints(1, 10)
		if diff := cmp.Diff([]Checkpoint{{1, []byte{1}}, {3, []byte{3}}}, all); diff != "" || err != nil {
			t.Errorf("checkpoints: %v %s", err, diff)
		}
		if all, err = tx.Checkpoints(2, 1); len(all) != 1 || all[0].Size != 3 || err != nil {
			t.Errorf("checkpoints from 2: %v, %v", all, err)
		}
		size, note, err := tx.LastCheckpoint()
		if size != 3 || !bytes.Equal(note, []byte{3}) {
			t.Errorf("last is %d, %x", size, note)
		}
		return err
	})
}

func BenchmarkAppend(b *testing.B) {
	const batch = 64
	db := newDatabase(b)
	b.ResetTimer()
	for range (b.N + batch - 1) / batch {
		err := db.Update(context.Background(), func(tx *Tx) error {
			for i := range batch {
				if err := tx.Append(nextEntry(b, tx, ledger.CaseID{byte(i % 8)}, 1000)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
