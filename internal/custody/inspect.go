package custody

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Observation is one thing an inspection looked at.
type Observation struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`         // what is there, or what is wrong
	Mend   string `json:"mend,omitempty"` // what to do about it
}

func observe(name string, err error, good, mend string) Observation {
	if err != nil {
		return Observation{Name: name, Detail: err.Error(), Mend: mend}
	}
	return Observation{Name: name, OK: true, Detail: good}
}

// Inspect looks at a ledger without taking it up and without changing anything:
// whether it continues what was signed, whose keys are there, and whether the
// clock can be right.
func Inspect(ctx context.Context, cfg Config) []Observation {
	var seen []Observation
	key := cfg.Ledger.Key()
	meta := cfg.Database.Meta()
	var err error
	if meta.VerifierKey != key.String() {
		err = fmt.Errorf("the database belongs to %s, the key is %s", meta.VerifierKey, key)
	}
	seen = append(seen, observe("ledger key", err, key.String(), "restore the key file that belongs to this database"))

	var head ledger.Head
	var people []evidence.Person
	var pending []evidence.Intake
	err = cfg.Database.View(ctx, func(tx *database.Tx) error {
		if head, err = tx.Head(); err != nil {
			return err
		}
		if people, err = tx.People(); err != nil {
			return err
		}
		pending, err = tx.PendingIntakes()
		return err
	})
	seen = append(seen, observe("ledger", err, fmt.Sprintf("%d entries, the newest of %s", head.Size, head.Time), "restore the database from a backup, then run custodyd audit"))
	if err != nil {
		return seen
	}
	_, _, err = continuation(ctx, cfg.Database, cfg.Ledger)
	seen = append(seen, observe("signed history", err, fmt.Sprintf("continues the %d entries that were signed", cfg.Ledger.Last().Size),
		"the database was rolled back or rewritten: restore the newest one; do not remove the signer's state"))

	err = nil
	if len(people) > 0 && people[0].Key != cfg.Key.PublicKey() {
		err = fmt.Errorf("%s is not the key enrolled for %s", cfg.Key.PublicKey().Fingerprint(), identity.Service)
	}
	seen = append(seen, observe("service key", err, cfg.Key.PublicKey().Fingerprint(), "restore service_key of this data directory"))

	err = nil
	now := ledger.TimeOf(cfg.Now())
	if ahead := time.Duration(head.Time-now) * time.Microsecond; ahead > time.Minute {
		err = fmt.Errorf("the newest entry is %s ahead of this clock", ahead.Round(time.Second))
	}
	seen = append(seen, observe("clock", err, now.String(), "set the clock; until then new entries repeat the time of the newest one"))
	return append(seen, Observation{
		Name: "intakes", OK: true, Detail: fmt.Sprintf("%d under way", len(pending)),
	})
}

// continuation proves that the database continues what the signer signed last,
// and gives the checkpoint to be signed over all that is committed. The
// checkpoint's size is zero for an empty ledger.
func continuation(ctx context.Context, db *database.DB, signer *ledger.Signer) (next ledger.Checkpoint, proof []ledger.Hash, err error) {
	last := signer.Last()
	err = db.View(ctx, func(tx *database.Tx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		if head.Size < last.Size {
			return fmt.Errorf("%w: it has %d entries, %d were signed", ErrRollback, head.Size, last.Size)
		}
		if head.Size == 0 {
			return nil
		}
		hashes := memo(tx.Hashes())
		if last.Size > 0 {
			root, err := ledger.RootAt(last.Size, hashes)
			if err != nil {
				return err
			}
			if root != last.Root {
				return fmt.Errorf("%w: at %d entries its root is %s, signed was %s", ErrRollback, last.Size, root, last.Root)
			}
		}
		next = ledger.Checkpoint{Origin: signer.Key().Origin(), Size: head.Size}
		if next.Root, err = ledger.RootAt(head.Size, hashes); err != nil {
			return err
		}
		proof, err = ledger.ProveConsistency(head.Size, last.Size, hashes)
		return err
	})
	if err != nil {
		return ledger.Checkpoint{}, nil, err
	}
	return next, proof, nil
}

// takeUp signs what was committed but not signed, after the database has been
// found to continue what was.
func (s *Service) takeUp(ctx context.Context) error {
	if got := s.db.Meta(); got.Origin != string(s.origin) || got.VerifierKey != s.cfg.Ledger.Key().String() {
		return fmt.Errorf("%w: the database belongs to %s, the key is %s", ErrRollback, got.VerifierKey, s.cfg.Ledger.Key())
	}
	next, proof, err := continuation(ctx, s.db, s.cfg.Ledger)
	if err != nil || next.Size == 0 {
		return err
	}
	signed, err := s.cfg.Ledger.Sign(next, proof)
	if err != nil {
		return errors.Join(ErrRollback, err)
	}
	s.counters.size.Store(next.Size)
	s.counters.checkpoint.Store(&signed)
	return nil
}
