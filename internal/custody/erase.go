package custody

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// agreeErasure holds what is to stay of a payload against the payload: nobody can do
// that later.
func agreeErasure(tx *database.Tx, b evidence.PayloadErased) error {
	e, err := tx.EntryAt(b.Entry)
	if err != nil {
		return err
	}
	if digest.SHA256(e.Leaf) != b.Leaf {
		return &evidence.FieldError{Field: "body.leaf", Problem: fmt.Sprintf("is not that of entry %d", b.Entry)}
	}
	if _, err := intact(tx, tx.Hashes(), e); err != nil {
		return err
	}
	event, err := evidence.Parse(e.Payload)
	if err != nil {
		return fmt.Errorf("entry %d: %w", b.Entry, err)
	}
	left, err := residueOf(event)
	if errors.Is(err, evidence.ErrNothingToErase) {
		return &evidence.FieldError{Field: "body.entry", Problem: fmt.Sprintf("entry %d: %v", b.Entry, err)}
	}
	if err == nil && !bytes.Equal(left, b.Residue) {
		err = &evidence.FieldError{Field: "body.residue", Problem: fmt.Sprintf("is not what stays of entry %d", b.Entry)}
	}
	return err
}

func residueOf(e evidence.Event) ([]byte, error) {
	left, err := evidence.Residue(e)
	if err != nil {
		return nil, err
	}
	return left.Encode()
}

// Erased says that the payload of an entry was erased, by which entry and why.
type Erased struct {
	Entry     int64 // the number of the entry that erased it
	By        identity.Principal
	At        evidence.Time
	Authority string
	Reason    string
}

// erased are the entries of a ledger without their payloads, until the entry comes that
// erases them: a payload that nobody erased must not pass for an erased one.
type erased map[int64]database.Entry

// add looks at the next entry of the ledger.
func (x erased) add(e database.Entry, envelope ledger.Envelope) error {
	if e.Erased {
		x[e.Seq] = e
	}
	if envelope.Type != ledger.Erase {
		return nil
	}
	b, err := erasureIn(e.Payload)
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	gone, ok := x[b.Entry]
	switch {
	case !ok:
		return fmt.Errorf("entry %d, which entry %d erases, is not erased", b.Entry, e.Seq)
	case digest.SHA256(gone.Leaf) != b.Leaf || !bytes.Equal(gone.Payload, b.Residue):
		return fmt.Errorf("entry %d is not what entry %d leaves of it", b.Entry, e.Seq)
	}
	delete(x, b.Entry)
	return nil
}

// end tells of what no entry erases.
func (x erased) end() error {
	if len(x) == 0 {
		return nil
	}
	return fmt.Errorf("entry %d is without its payload, and no entry erases it", slices.Min(slices.Collect(maps.Keys(x))))
}

// erasureIn reads the payload of an entry of type erase.
func erasureIn(payload []byte) (evidence.PayloadErased, error) {
	event, err := evidence.Parse(payload)
	if err != nil {
		return evidence.PayloadErased{}, err
	}
	b, ok := event.Body.(evidence.PayloadErased)
	if !ok {
		return evidence.PayloadErased{}, fmt.Errorf("%s in an entry of type %s", event.Kind(), ledger.Erase)
	}
	return b, nil
}

// scrubs tells that something was erased. The file of the database may still have it.
type scrubs chan struct{}

func (c *scrubs) init() {
	*c = make(chan struct{}, 1)
	c.wake() // a crash may have come before it was done
}

func (c scrubs) wake() {
	select {
	case c <- struct{}{}:
	default: // it will be done anyway
	}
}

// scrubPause is between two tries while readers are in the way.
const scrubPause = time.Second

// scrubLoop has what was erased leave the database's files. A read that goes on for long
// can be in the way; then it is tried again.
func (s *Service) scrubLoop() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.scrubs:
		}
		done, err := s.db.Scrub(s.ctx)
		if err != nil && s.ctx.Err() == nil {
			s.log.Error("what was erased may still be in the files of the database", "error", err)
		}
		if done {
			continue
		}
		timer := time.NewTimer(scrubPause)
		select {
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			s.scrubs.wake()
		}
	}
}
