package custody

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// maxBatch bounds how many appends one transaction takes.
const maxBatch = 256

// draft is one append on its way to the committer.
type draft struct {
	ctx       context.Context
	event     evidence.Event
	payload   []byte
	signature []byte
	signer    identity.PublicKey // with which the signature verified
	answer    chan answer        // buffered: the committer never waits for a caller
}

type answer struct {
	recorded Recorded
	err      error
}

// Recorded is what stands in the ledger now, with the proof of it.
type Recorded struct {
	Seq      int64
	CaseSeq  int64
	Time     evidence.Time // the ledger's clock
	Leaf     digest.SHA256 // leaf hash: what a later event of the case names as seen
	Envelope []byte
	Receipt  []byte // a C2SP tlog-proof, see ledger.Receipt
	Again    bool   // the same payload had been recorded before
}

// append hands a draft to the committer and waits for the outcome. When ctx
// ends first the append may still happen: the caller asks again with the same payload.
func (s *Service) append(ctx context.Context, d *draft) (Recorded, error) {
	d.ctx, d.answer = ctx, make(chan answer, 1)
	select {
	case s.appends <- d:
	case <-s.ended:
		return Recorded{}, s.gone()
	case <-ctx.Done():
		return Recorded{}, ctx.Err()
	}
	select {
	case a := <-d.answer:
		return a.recorded, a.err
	case <-s.ended:
	case <-ctx.Done():
		return Recorded{}, ctx.Err()
	}
	select {
	case a := <-d.answer: // it came with the end
		return a.recorded, a.err
	default:
		return Recorded{}, s.gone()
	}
}

// commitLoop is the one committer: it ends with the service or when the
// ledger stops.
func (s *Service) commitLoop() {
	defer close(s.ended)
	for {
		select {
		case first := <-s.appends:
			batch := s.drain(first)
			if err := s.commit(batch); err != nil {
				s.halt(err)
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// drain takes what waits already, without waiting for more. A seal is the last of its
// batch: the checkpoint that is signed then ends with it, so a bundle under a larger one
// was cut back to an earlier seal.
func (s *Service) drain(first *draft) []*draft {
	batch := []*draft{first}
	for len(batch) < maxBatch && evidence.EntryTypeOf(batch[len(batch)-1].event) != evidence.SealEntry {
		select {
		case d := <-s.appends:
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch in one transaction, signs the checkpoint over it, and
// answers. An error means that the ledger's state is not known any more.
func (s *Service) commit(batch []*draft) error {
	if err := s.Alarm(); err != nil {
		for _, d := range batch {
			d.answer <- answer{err: err}
		}
		return nil
	}
	answers := make([]answer, len(batch))
	var receipts []ledger.Receipt // of the answers without an error
	var next ledger.Checkpoint
	var proof []ledger.Hash
	// The batch belongs to many callers, so none of their contexts ends it.
	err := s.db.Update(context.WithoutCancel(s.ctx), func(tx *database.Tx) error {
		view := batchView{tx, map[identity.Principal]evidence.Person{}}
		for i, d := range batch {
			recorded, err := s.insert(view, d)
			var broken *brokenError
			if errors.As(err, &broken) {
				return err
			}
			answers[i] = answer{recorded, err}
		}
		var err error
		next, proof, receipts, err = s.prove(tx, answers)
		return err
	})
	if errors.Is(err, database.ErrCommit) {
		return err
	}
	if err != nil { // rolled back: nothing happened
		s.log.Error("append", "entries", len(batch), "error", err)
		err = s.raise(err)
		if len(batch) > 1 { // one of them may have spoilt it for all: each alone
			for _, d := range batch {
				if err := s.commit([]*draft{d}); err != nil {
					return err
				}
			}
			return nil
		}
		batch[0].answer <- answer{err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
		return nil
	}
	err = s.reread(context.WithoutCancel(s.ctx), next, answers)
	if errors.Is(err, ErrDiscrepancy) {
		s.alarm(err)
	} else if err != nil {
		return err
	}
	if err := s.Alarm(); err != nil { // nothing is signed over it; the next start judges it
		for i, d := range batch {
			d.answer <- answer{err: cmp.Or(answers[i].err, err)}
		}
		return nil
	}
	note, err := s.cfg.Ledger.Sign(next, proof)
	if err != nil {
		return err
	}
	if last := len(batch) - 1; answers[last].err == nil && evidence.EntryTypeOf(batch[last].event) == evidence.SealEntry {
		s.cosigners.seal(signed{next, note}) // before a larger one can be asked about
		s.publisher.urged.Store(next.Size)
	}
	s.newest.set(signed{next, note})
	for i, d := range batch {
		a := answers[i]
		if a.err == nil {
			receipts[i].Checkpoint = note
			a.recorded.Receipt = receipts[i].Marshal()
			if !a.recorded.Again {
				s.counters.appends.Add(1)
				s.intakes.changed() // the entry may have moved an intake
			}
		}
		d.answer <- a
	}
	return nil
}

// batchView is the ledger's state within one batch. People are read once: they are
// asked for with every entry, and few entries change them.
type batchView struct {
	*database.Tx
	people map[identity.Principal]evidence.Person
}

// Person implements [evidence.View].
func (v batchView) Person(p identity.Principal) (evidence.Person, error) {
	if known, ok := v.people[p]; ok {
		return known, nil
	}
	found, err := v.Tx.Person(p)
	if err == nil {
		v.people[p] = found
	}
	return found, err
}

// Save writes the changes of an entry.
func (v batchView) Save(ch evidence.Changes) error {
	if len(ch.People) > 0 {
		clear(v.people)
	}
	return v.Tx.Save(ch)
}

// brokenError wraps an error after which the transaction cannot go on.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// broken marks errors that are no refusal by the law: the database's own.
func broken(err error) error {
	if err == nil || refusal(err) {
		return err
	}
	return &brokenError{err}
}

// refusal tells whether the law, and not a fault, is behind the error.
func refusal(err error) bool {
	for _, is := range []error{
		evidence.ErrNotFound, evidence.ErrExists, evidence.ErrStale, evidence.ErrForbidden, evidence.ErrHeld,
		evidence.ErrDigestsDiffer, ErrSignature, ErrBusy, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	var transition *evidence.TransitionError
	var fieldError *evidence.FieldError
	return errors.As(err, &transition) || errors.As(err, &fieldError)
}

// insert puts one entry at the end of the ledger, if the law allows it. It
// writes nothing before the law has spoken, so a refused entry leaves no trace
// in the transaction of the others.
func (s *Service) insert(tx batchView, d *draft) (Recorded, error) {
	if err := d.ctx.Err(); err != nil {
		return Recorded{}, err // the caller has gone; it will ask again
	}
	known, err := tx.EntryByEvent(d.event.ID)
	switch {
	case err == nil:
		return again(tx.Tx, known, d)
	case !errors.Is(err, evidence.ErrNotFound):
		return Recorded{}, broken(err)
	}
	head, err := tx.Head()
	if err != nil {
		return Recorded{}, broken(err)
	}
	if err := s.room(head.Size); err != nil {
		return Recorded{}, err
	}
	caseHead, err := tx.CaseHead(ledger.CaseID(d.event.Case))
	if err != nil {
		return Recorded{}, broken(err)
	}
	envelope := ledger.Next(head, caseHead, ledger.Envelope{
		Case: ledger.CaseID(d.event.Case), Log: s.origin, Type: ledger.Type(evidence.EntryTypeOf(d.event)),
		Payload: sha256.Sum256(d.payload), Sig: sha256.Sum256(d.signature), Time: ledger.TimeOf(s.cfg.Now()),
	})
	at := evidence.Position{CaseSeq: envelope.CaseSeq, Time: evidence.TimeOf(time.UnixMicro(int64(envelope.Time)))}
	changes, err := evidence.Apply(tx, d.event, at)
	if err != nil {
		return Recorded{}, broken(err)
	}
	if err := s.agree(tx, d); err != nil {
		return Recorded{}, broken(err)
	}
	line := envelope.Bytes()
	leaf := ledger.LeafHash(line)
	err = errors.Join(
		tx.Append(database.Entry{
			Seq: envelope.Seq, Case: ledger.CaseID(d.event.Case), CaseSeq: envelope.CaseSeq, EventID: d.event.ID,
			Leaf: leaf, Envelope: line, Payload: d.payload, Signature: d.signature,
		}),
		tx.Save(changes),
		follow(tx.Tx, d),
	)
	if err != nil {
		return Recorded{}, &brokenError{err}
	}
	return Recorded{Seq: envelope.Seq, CaseSeq: envelope.CaseSeq, Time: at.Time, Leaf: digest.SHA256(leaf), Envelope: line}, nil
}

// again answers a payload that was recorded before: the same receipt, if it is
// the same to the byte. (The signature may differ: some algorithms are randomised.)
func again(tx *database.Tx, known database.Entry, d *draft) (Recorded, error) {
	standing, err := intact(tx, tx.Hashes(), known)
	if err != nil {
		return Recorded{}, &brokenError{err}
	}
	if sha256.Sum256(d.payload) != standing[0].Payload {
		return Recorded{}, fmt.Errorf("event %s: %w, with another payload", d.event.ID, evidence.ErrExists)
	}
	return Recorded{
		Seq: known.Seq, CaseSeq: known.CaseSeq, Time: evidence.TimeOf(standing[0].Time.Std()),
		Leaf: digest.SHA256(known.Leaf), Envelope: known.Envelope, Again: true,
	}, nil
}

// prove computes, over the entries of the open transaction, the checkpoint to
// be signed after it, the proof that it continues the last signed one, and the
// receipts.
func (s *Service) prove(tx *database.Tx, answers []answer) (ledger.Checkpoint, []ledger.Hash, []ledger.Receipt, error) {
	head, err := tx.Head()
	if err != nil {
		return ledger.Checkpoint{}, nil, nil, err
	}
	hashes := memo(tx.Hashes())
	root, err := ledger.RootAt(head.Size, hashes)
	if err != nil {
		return ledger.Checkpoint{}, nil, nil, err
	}
	proof, err := ledger.ProveConsistency(head.Size, s.cfg.Ledger.Last().Size, hashes)
	if err != nil {
		return ledger.Checkpoint{}, nil, nil, err
	}
	receipts := make([]ledger.Receipt, len(answers))
	for i, a := range answers {
		if a.err != nil {
			continue
		}
		path, err := ledger.ProveInclusion(head.Size, a.recorded.Seq, hashes)
		if err != nil {
			return ledger.Checkpoint{}, nil, nil, err
		}
		receipts[i] = ledger.Receipt{Index: a.recorded.Seq, Envelope: a.recorded.Envelope, Proof: path}
	}
	// The checkpoint before this batch is kept with it, and what is in the store; the
	// one over it exists only after the commit.
	if last, _ := s.newest.get(); last.Size > 0 {
		if err := tx.SaveCheckpoint(last.Size, last.note); err != nil {
			return ledger.Checkpoint{}, nil, nil, err
		}
	}
	if err := s.publisher.note(tx); err != nil {
		return ledger.Checkpoint{}, nil, nil, err
	}
	return ledger.Checkpoint{Origin: s.origin, Size: head.Size, Root: root}, proof, receipts, nil
}

// memo reads each tree hash once: the proofs of a batch share most of theirs.
func memo(r ledger.HashReader) ledger.HashReader {
	known := map[int64]ledger.Hash{}
	return hashReader(func(indexes []int64) ([]ledger.Hash, error) {
		var missing []int64
		for _, i := range indexes {
			if _, ok := known[i]; !ok {
				missing = append(missing, i)
			}
		}
		if len(missing) > 0 {
			read, err := r.ReadHashes(missing)
			if err != nil {
				return nil, err
			}
			for n, i := range missing {
				known[i] = read[n]
			}
		}
		hashes := make([]ledger.Hash, len(indexes))
		for n, i := range indexes {
			hashes[n] = known[i]
		}
		return hashes, nil
	})
}

type hashReader func([]int64) ([]ledger.Hash, error)

// ReadHashes implements [ledger.HashReader].
func (f hashReader) ReadHashes(indexes []int64) ([]ledger.Hash, error) { return f(indexes) }
