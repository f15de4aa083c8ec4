package custody

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// EntryError names the entry of the database that is not the one that was recorded. It is
// an ErrDiscrepancy.
type EntryError struct {
	Entry string // such as "entry 5"
	Err   error  // what does not hold
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("%s is not the one that was recorded: %v", e.Entry, e.Err)
}

// Unwrap returns ErrDiscrepancy and Err.
func (e *EntryError) Unwrap() []error { return []error{ErrDiscrepancy, e.Err} }

func entryError(seq int64, err error) error { return &EntryError{fmt.Sprintf("entry %d", seq), err} }

// standing is an entry as it may be given to a reader.
type standing struct {
	ledger.Envelope
	erased *Erased // nil, unless its payload was
}

// intact holds entries that somebody is to be given against their envelopes, these against
// the hashes of the tree, and what is left of an erased payload against the erasure. The
// first that does not hold is an *EntryError.
func intact(tx *database.Tx, hashes ledger.HashReader, entries ...database.Entry) ([]standing, error) {
	all, leaves := make([]standing, len(entries)), make([]int64, len(entries))
	for i, e := range entries {
		envelope, err := e.Check()
		if err != nil {
			return nil, entryError(e.Seq, err)
		}
		all[i].Envelope = envelope
		leaves[i] = ledger.StoredHashCount(e.Seq) // the index of a leaf among the hashes of the tree
	}
	tree, err := hashes.ReadHashes(leaves)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if e.Leaf != tree[i] {
			return nil, entryError(e.Seq, errors.New("the tree has another"))
		}
		if !e.Erased {
			continue
		}
		if all[i].erased, err = erasureOf(tx, hashes, e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// erasureOf reads from the entry that erased another what it says of that.
func erasureOf(tx *database.Tx, hashes ledger.HashReader, e database.Entry) (*Erased, error) {
	row, err := tx.Erasure(evidence.CaseID(e.Case), digest.SHA256(e.Leaf))
	if errors.Is(err, evidence.ErrNotFound) {
		return nil, entryError(e.Seq, errors.New("nothing erases it"))
	}
	if err != nil {
		return nil, err
	}
	by, err := tx.CaseEntries(e.Case, row.Changed, 1)
	if err != nil {
		return nil, err
	}
	if len(by) == 0 || by[0].Erased { // an erasure is never erased
		return nil, entryError(e.Seq, errors.New("nothing erases it"))
	}
	erasing, err := intact(tx, hashes, by[0])
	if err != nil {
		return nil, err
	}
	event, err := evidence.Parse(by[0].Payload)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", by[0].Seq, err)
	}
	b, ok := event.Body.(evidence.PayloadErased)
	if !ok || b.Entry != e.Seq || b.Leaf != digest.SHA256(e.Leaf) || !bytes.Equal(e.Payload, b.Residue) {
		return nil, entryError(e.Seq, fmt.Errorf("it is not what entry %d leaves of it", by[0].Seq))
	}
	return &Erased{Entry: by[0].Seq, By: event.Actor, At: evidence.TimeOf(erasing[0].Time.Std()), Authority: b.Authority, Reason: b.Reason}, nil
}

// unbroken refuses entries of a case's chain between which one is missing.
func unbroken(c ledger.CaseID, from int64, entries []database.Entry) error {
	for i, e := range entries {
		if due := from + int64(i); e.CaseSeq != due {
			return missing(c, due)
		}
	}
	return nil
}

func missing(c ledger.CaseID, caseSeq int64) error {
	return &EntryError{fmt.Sprintf("entry %d of the chain of case %s", caseSeq, evidence.CaseID(c)), errors.New("there is none")}
}

// raise gives the alarm where an error of reading shows that the database is not what was
// written to it: whoever meets that first does not wait for the self-audit. The reader
// gets an ErrStopped, and nothing of what was read.
func (s *Service) raise(err error) error {
	if !errors.Is(err, ErrDiscrepancy) && !errors.Is(err, database.ErrDamaged) {
		return err
	}
	s.alarm(err)
	return fmt.Errorf("%w: %w", ErrStopped, err)
}
