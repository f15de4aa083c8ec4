package custody

import (
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// roundWait is how long a round can wait that is due then.
func (s *Service) roundWait(due time.Time) time.Duration {
	if s.anchors.overdue == nil {
		gate := make(chan struct{})
		s.anchors.overdue = gate
		time.AfterFunc(s.cfg.AnchorEvery, func() { close(gate) })
	}
	select {
	case <-s.anchors.overdue:
		return 0
	default:
		return due.Sub(s.cfg.Now())
	}
}

// nextRound tells when a round is due, if there are entries that none covers.
func (s *Service) nextRound(size int64) (due time.Time, active bool, err error) {
	err = s.db.View(s.ctx, func(tx *database.Tx) error {
		last, err := tx.LastRounds(0, 1)
		if err != nil {
			return err
		}
		from := int64(0)
		if len(last) > 0 {
			from = last[0]
			newest, err := tx.EntryAt(from - 1)
			if err != nil {
				return err
			}
			envelope, err := ledger.ParseEnvelope(newest.Envelope)
			if err != nil {
				return err
			}
			due = envelope.Time.Std().Add(s.cfg.AnchorEvery)
		}
		for from < size && !active {
			page, err := tx.Entries(from, exportPage)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, e := range page {
				envelope, err := ledger.ParseEnvelope(e.Envelope)
				if err != nil {
					return err
				}
				active = active || envelope.Type != ledger.Type(evidence.AnchorEntry)
			}
			from += int64(len(page))
		}
		return nil
	})
	return due, active, err
}

// beginRound has all authorities asked about a checkpoint.
func (s *Service) beginRound(size int64, note []byte) error {
	names := make([]string, len(s.cfg.Authorities))
	for i, a := range s.cfg.Authorities {
		names[i] = a.Name()
	}
	err := s.commitOutcome(s.db.Update(s.ctx, func(tx *database.Tx) error {
		if _, err := tx.AddRound(size, note, names); err != nil {
			return err
		}
		for _, name := range names {
			if err := tx.ExpireAnchors(name, maxPending, "given up: newer checkpoints are pending, which cover this one"); err != nil {
				return err
			}
		}
		return nil
	}))
	s.anchors.changed()
	return err
}
