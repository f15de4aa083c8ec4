package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/custodyd/custodyd/internal/ledger"
)

// treeJudge compares the stored hashes of a tree with those that the entries make.
type treeJudge struct {
	kept   bool
	stored puller[TreeHash]
	tree   ledger.Tree
	made   []ledger.Hash // reused
	wrong  tally
}

func (t *treeJudge) start(hashes iter.Seq2[TreeHash, error]) (stop func(), err error) {
	t.kept = hashes != nil
	return t.stored.start(hashes)
}

// add compares what the next entry makes.
func (t *treeJudge) add(leaf ledger.Hash) error {
	if !t.kept {
		return nil
	}
	index := ledger.StoredHashCount(t.tree.Size())
	t.made = t.tree.Append(t.made[:0], leaf)
	for _, want := range t.made {
		if !t.stored.more || t.stored.next.Index > index {
			t.wrong.add(CodeTreeHash, treeHashName(index), "is missing")
			index++
			continue
		}
		if t.stored.next != (TreeHash{index, want}) {
			t.wrong.add(CodeTreeHash, treeHashName(t.stored.next.Index), "is not what the entries make")
		}
		if err := t.stored.advance(); err != nil {
			return err
		}
		index++
	}
	return nil
}

func treeHashName(index int64) string { return fmt.Sprintf("tree hash %d", index) }

// end looks for hashes of no entry.
func (t *treeJudge) end(r *LedgerReport) error {
	for t.stored.more {
		t.wrong.add(CodeTreeHash, treeHashName(t.stored.next.Index), "is of no entry")
		if err := t.stored.advance(); err != nil {
			return err
		}
	}
	t.wrong.to(&r.Found)
	return nil
}

// signedJudge compares the roots that the entries make with those that were signed.
type signedJudge struct {
	key    ledger.VerifierKey
	last   ledger.Checkpoint
	stored puller[KeptCheckpoint]
	due    []*kept // of the entries that come next
	count  int64
	signed int64 // entries under the newest checkpoint that holds
	newest int64 // the largest size that the key is seen to have signed

	found Found
	roots tally
	lost  tally
}

// kept is a checkpoint and what its note says.
type kept struct {
	KeptCheckpoint
	tree ledger.Checkpoint
	err  error
}

func (k *kept) subject() string { return fmt.Sprintf("checkpoint %d", k.Size) }

func (s *signedJudge) start(source LedgerSource) (stop func(), err error) {
	s.key, s.last, s.found = source.Key, source.Last, newFound()
	return s.stored.start(source.Checkpoints)
}

// expect reads the checkpoints up to a size, and checks their signatures.
func (s *signedJudge) expect(ctx context.Context, size int64, workers int) error {
	s.due = s.due[:0]
	for s.stored.more && s.stored.next.Size <= size {
		s.due = append(s.due, &kept{KeptCheckpoint: s.stored.next})
		if err := s.stored.advance(); err != nil {
			return err
		}
	}
	return s.open(ctx, workers)
}

func (s *signedJudge) open(ctx context.Context, workers int) error {
	err := parallel(ctx, workers, s.due, func(k *kept) { k.tree, k.err = ledger.OpenCheckpoint(k.Note, s.key) })
	for _, k := range s.due {
		s.count++
		switch {
		case k.err != nil:
			s.find(checkpointCode(k.err), k, "%v", k.err)
		case k.tree.Size != k.Size:
			k.err = ledger.ErrCheckpoint
			s.find(CodeCheckpointSize, k, "is over %d entries", k.tree.Size)
		}
		if k.err == nil {
			s.newest = max(s.newest, k.tree.Size)
		}
	}
	return err
}

func (s *signedJudge) find(code Code, k *kept, format string, args ...any) {
	s.found.find(code, k.subject(), format, args...)
}

// checkpointCode tells what kind of finding an error of ledger.OpenCheckpoint is.
func checkpointCode(err error) Code {
	switch {
	case errors.Is(err, ledger.ErrUnsigned):
		return CodeCheckpointSignature
	case errors.Is(err, ledger.ErrOrigin):
		return CodeCheckpointOrigin
	}
	return CodeCheckpointForm
}

// at compares what was signed over the first size entries with the root they make.
func (s *signedJudge) at(size int64, makes func() ledger.Hash) {
	for len(s.due) > 0 && s.due[0].Size <= size {
		k := s.due[0]
		s.due = s.due[1:]
		switch {
		case k.err != nil: // told already
		case k.Size < size:
			s.find(CodeCheckpointSize, k, "stands behind a larger one")
		case k.tree.Root != makes():
			s.roots.add(CodeRoot, k.subject(), "was signed over the root %s, the entries make %s", k.tree.Root, makes())
		default:
			s.signed = size
		}
	}
	switch {
	case s.last.Origin == "" || s.last.Size != size:
	case s.last.Root != makes():
		s.roots.add(CodeRoot, "signer", "signed the root %s over %d entries, which make %s", s.last.Root, size, makes())
	default:
		s.signed = size
	}
}

// end looks for checkpoints over entries that are not there.
func (s *signedJudge) end(ctx context.Context, r *LedgerReport, workers int) error {
	for s.stored.more {
		if err := s.expect(ctx, s.stored.next.Size+batchSize, workers); err != nil {
			return err
		}
		for _, k := range s.due {
			if k.err == nil {
				s.lost.add(CodeRolledBack, k.subject(), "was signed; there are %d entries", r.Entries)
			}
		}
	}
	if known := s.last.Origin != ""; known && s.last.Size > r.Entries {
		s.lost.add(CodeRolledBack, "signer", "signed %d entries; there are %d", s.last.Size, r.Entries)
	} else if known && s.last.Size < s.newest {
		s.find(CodeSignerBehind, &kept{KeptCheckpoint: KeptCheckpoint{Size: s.newest}},
			"was signed, and the signer knows of %d entries: its state was put back, or the key is used elsewhere", s.last.Size)
	}
	s.roots.to(&r.Found)
	s.lost.to(&r.Found)
	r.join(s.found)
	r.Checkpoints, r.Signed = s.count, s.signed
	return nil
}
