package operator

import (
	"context"
	"fmt"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/evidence"
)

// page is how many entries of a history are asked for at once.
const page = 500

// Walk gives the entries about a case, exhibit or copy in order, until each returns
// false. Nothing of it is proven.
func (o *Operator) Walk(ctx context.Context, path evidence.Path, each func(api.HistoryEntry, evidence.Event) (bool, error)) error {
	after := int64(-1)
	for {
		entries, err := o.History(ctx, path, after, page)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, h := range entries {
			if h.CaseSeq <= after {
				return fmt.Errorf("%w: entry %d of the case comes twice", ErrAnswer, h.CaseSeq)
			}
			after = h.CaseSeq
			event, err := evidence.Parse([]byte(h.Payload))
			if err != nil {
				return fmt.Errorf("entry %d: %w", h.Seq, err)
			}
			if more, err := each(h, event); err != nil || !more {
				return err
			}
		}
	}
}

// Proof finds the last entry about something that fits, with a receipt that shows it to
// stand in the ledger as it is. The error is evidence.ErrNotFound when there is none.
func (o *Operator) Proof(ctx context.Context, path evidence.Path, fits func(evidence.Event) bool) (Entry, evidence.Event, error) {
	var found api.HistoryEntry
	var event evidence.Event
	err := o.Walk(ctx, path, func(h api.HistoryEntry, e evidence.Event) (bool, error) {
		if h.Erased == nil && fits(e) { // what is left of an erased one proves nothing
			found, event = h, e
		}
		return true, nil
	})
	if err != nil {
		return Entry{}, evidence.Event{}, err
	}
	if event.Body == nil {
		return Entry{}, evidence.Event{}, fmt.Errorf("entry about %s: %w", path, evidence.ErrNotFound)
	}
	raw, err := o.Receipt(ctx, found.Seq)
	if err != nil {
		return Entry{}, evidence.Event{}, err
	}
	entry, err := o.accept(ctx, api.Recorded{
		Seq: found.Seq, CaseSeq: found.CaseSeq, Envelope: found.Envelope, Receipt: string(raw),
	}, Signed{[]byte(found.Payload), []byte(found.Signature)})
	return entry, event, err
}
