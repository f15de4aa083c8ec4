package custody

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	_, _, _, err = continuation(ctx, cfg.Database, cfg.Ledger)
	seen = append(seen, observe("signed history", err, fmt.Sprintf("continues the %d entries that were signed", cfg.Ledger.Last().Size),
		"the database was rolled back or rewritten: restore the newest one; do not remove the signer's state"))

	err = nil
	if len(people) > 0 && people[0].Key != cfg.Key.PublicKey() {
		err = fmt.Errorf("%s is not the key enrolled for %s", cfg.Key.PublicKey().Fingerprint(), identity.Service)
	}
	seen = append(seen, observe("service key", err, cfg.Key.PublicKey().Fingerprint(), "restore service_key of this data directory"))

	now := ledger.TimeOf(cfg.Now())
	seen = append(seen, inspectWitnesses(ctx, cfg)...)
	seen = append(seen, observe("clock", behind(now, head), now.String(), "set the clock; until then new entries repeat the time of the newest one"))
	return append(seen, Observation{
		Name: "intakes", OK: true, Detail: fmt.Sprintf("%d under way", len(pending)),
	})
}

// behind says whether a clock is behind the newest entry.
func behind(now ledger.Time, head ledger.Head) error {
	if ahead := time.Duration(head.Time-now) * time.Microsecond; ahead > time.Minute {
		return fmt.Errorf("the newest entry is %s ahead of this clock", ahead.Round(time.Second))
	}
	return nil
}

// continuation proves that the database continues what the signer signed last,
// judges what it holds behind that, and gives the checkpoint to be signed over all
// that is committed. The checkpoint's size is zero for an empty ledger.
func continuation(ctx context.Context, db *database.DB, signer CheckpointSigner) (next ledger.Checkpoint, proof []ledger.Hash, all end, err error) {
	last := signer.Last()
	all = newEnd()
	err = db.View(ctx, func(tx *database.Tx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		if head.Size < last.Size {
			return signerConflict(tx, signer, fmt.Errorf("the database has %d entries, %d were signed", head.Size, last.Size))
		}
		if head.Size == 0 {
			return nil
		}
		// From the entries themselves: the hashes beside them may be as they were, or
		// changed with them.
		signed, err := all.read(tx, last.Size)
		if err != nil {
			return err
		}
		root := all.tree.Root()
		if last.Size > 0 && signed != last.Root {
			return signerConflict(tx, signer, fmt.Errorf("at %d entries the database's root is %s, signed was %s", last.Size, signed, last.Root))
		}
		hashes := memo(tx.Hashes())
		stored, err := ledger.RootAt(head.Size, hashes)
		if err != nil {
			return err
		}
		if stored != root {
			return fmt.Errorf("%w: the hashes beside its %d entries lead to %s, the entries to %s", ErrRollback, head.Size, stored, root)
		}
		if head.Size > last.Size {
			if err := judgeUnsigned(ctx, tx, signer.Key(), last); err != nil {
				return err
			}
		}
		next = ledger.Checkpoint{Origin: signer.Key().Origin(), Size: head.Size, Root: root}
		proof, err = ledger.ProveConsistency(head.Size, last.Size, hashes)
		return err
	})
	if err != nil {
		return ledger.Checkpoint{}, nil, end{}, err
	}
	return next, proof, all, nil
}

// read reads every entry, holds payload and signature against the envelope, what is
// left of an erased payload against the entry that erases it, and gives the root of the
// tree over the first size entries.
func (n *end) read(tx *database.Tx, size int64) (first ledger.Hash, err error) {
	first = n.tree.Root()
	var stored []ledger.Hash
	erased := erased{}
	for e, err := range paged(tx.Entries, asItIs) {
		if err != nil {
			return ledger.Hash{}, err
		}
		envelope, err := e.Check()
		if err == nil {
			err = erased.add(e, envelope)
		}
		if err != nil {
			return ledger.Hash{}, fmt.Errorf("%w: %w", ErrRollback, err)
		}
		stored = n.tree.Append(stored[:0], e.Leaf)
		n.last = e.Leaf
		if n.tree.Size() == size {
			first = n.tree.Root()
		}
	}
	if err := erased.end(); err != nil {
		return ledger.Hash{}, fmt.Errorf("%w: %w", ErrRollback, err)
	}
	return first, nil
}

// signerConflict makes the conflict with what the signer signed last, which it signs again.
func signerConflict(tx *database.Tx, signer CheckpointSigner, fault error) error {
	_, ours, err := tx.LastCheckpoint()
	if err != nil && !errors.Is(err, database.ErrNotFound) {
		return err
	}
	theirs, err := signer.Sign(signer.Last(), nil)
	if err != nil {
		fault = errors.Join(fault, err)
	}
	return &ConflictError{Who: "the signer", Ours: ours, Theirs: theirs, Err: fmt.Errorf("%w: %w\n"+
		"the database was rolled back, restored from an old backup, or rewritten: leave everything as it is, and restore the newest one; "+
		"or run custodyd rebuild --from-store on an empty directory with this one's keys", ErrRollback, fault)}
}

// noteForgotten tells of a signer that knows less than it signed for this database: its
// state was put back, if it is not what the last batch before a crash left.
func (s *Service) noteForgotten(ctx context.Context) error {
	return s.db.View(ctx, func(tx *database.Tx) error {
		size, _, err := tx.LastCheckpoint()
		if last := s.cfg.Ledger.Last(); err == nil && size > last.Size {
			s.log.Error("the signer has forgotten what it signed: was its state put back? Ask who can write to it, and compare with clients and witnesses (custody-cli gossip)",
				"database", size, "signer", last.Size)
		}
		if errors.Is(err, database.ErrNotFound) {
			return nil
		}
		return err
	})
}

// takeUp signs what was committed but not signed, after the database has been
// found to continue what was.
func (s *Service) takeUp(ctx context.Context) error {
	if got := s.db.Meta(); got.Origin != string(s.origin) || got.VerifierKey != s.cfg.Ledger.Key().String() {
		return fmt.Errorf("%w: the database belongs to %s, the key is %s", ErrRollback, got.VerifierKey, s.cfg.Ledger.Key())
	}
	next, proof, all, err := continuation(ctx, s.db, s.cfg.Ledger)
	if err != nil {
		return err
	}
	s.end = all
	if next.Size > 0 {
		err = errors.Join(s.noteForgotten(ctx), s.sameStore(ctx))
	}
	if err == nil {
		err = s.compareStore(ctx, next)
	}
	if err != nil {
		return err
	}
	if next.Size == 0 {
		return s.compareWitnesses(ctx, signed{})
	}
	note, err := s.cfg.Ledger.Sign(next, proof)
	if refused := (*ledger.RefusalError)(nil); errors.As(err, &refused) {
		return errors.Join(ErrRollback, err)
	}
	if err != nil {
		return err
	}
	s.newest.set(signed{next, note})
	if err := s.compareWitnesses(ctx, signed{next, note}); err != nil {
		return err
	}
	return s.publishBacklog(ctx)
}

// sampled is how many copies are looked for in a store that could be another of the
// same name.
const sampled = 8

// sameStore demands the store that the ledger names, and warns of a clock that it
// knows to be behind.
func (s *Service) sameStore(ctx context.Context) error {
	var start evidence.ServiceStarted
	var objects []evidence.Object
	now := s.objects.Describe()
	err := s.db.View(ctx, func(tx *database.Tx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		if err := behind(ledger.TimeOf(s.cfg.Now()), head); err != nil {
			s.log.Warn("set the clock: until then new entries repeat the time of the newest one", "error", err)
		}
		if start, err = lastStart(tx); err != nil || now.Kind == "directory" {
			return err
		}
		cases, err := tx.Cases()
		for i := len(cases) - 1; i >= 0 && err == nil && len(objects) < sampled; i-- {
			var copies []evidence.Copy
			copies, err = tx.Copies(cases[i].ID)
			for _, c := range copies {
				if o, ok := c.Object(evidence.Content); ok {
					objects = append(objects, o)
				}
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if start.Store != "" && (start.Store != now.Kind || start.Bucket != now.Bucket) {
		return fmt.Errorf("%w: it is %s %s, the ledger's is %s %s", ErrOtherStore, now.Kind, now.Bucket, start.Store, start.Bucket)
	}
	// A directory has an id of its own. Of a bucket there may be others of its name.
	for _, o := range objects[:min(len(objects), sampled)] {
		if _, err := s.objects.Stat(ctx, o.Key, o.Version); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if len(objects) > 0 {
		return fmt.Errorf("%w: bucket %s at %s has none of the copies that the ledger names", ErrOtherStore, now.Bucket, now.Endpoint)
	}
	return nil
}

// lastStart gives what the service noted when it started last; the zero value, if it
// never did.
func lastStart(tx *database.Tx) (evidence.ServiceStarted, error) {
	head, err := tx.CaseHead(ledger.CaseID{})
	if err != nil {
		return evidence.ServiceStarted{}, err
	}
	for end := head.Size; end > 0; end -= auditPage {
		from := max(end-auditPage, 0)
		entries, err := tx.CaseEntries(ledger.CaseID{}, from, int(end-from))
		if err != nil {
			return evidence.ServiceStarted{}, err
		}
		for _, e := range slices.Backward(entries) {
			event, err := evidence.Parse(e.Payload)
			if err != nil {
				return evidence.ServiceStarted{}, fmt.Errorf("entry %d: %w", e.Seq, err)
			}
			if b, ok := event.Body.(evidence.ServiceStarted); ok {
				return b, nil
			}
		}
	}
	return evidence.ServiceStarted{}, nil
}
