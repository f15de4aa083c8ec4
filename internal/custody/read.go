package custody

import (
	"context"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// caseOf finds a case by its reference.
func caseOf(tx *database.Tx, ref evidence.Name) (evidence.Case, error) {
	c, err := tx.CaseByReference(ref)
	if err != nil {
		return evidence.Case{}, fmt.Errorf("case %s: %w", ref, err)
	}
	return c, nil
}

// look reads with a permission. Who holds only status.read gets what mask
// leaves: that things exist, and their state.
func look[T any](ctx context.Context, s *Service, c Caller, p identity.Permission, mask func(T) T, read func(*database.Tx) (T, error)) (T, error) {
	var none, found T
	masked := false
	if err := c.allow(p); err != nil {
		if mask == nil || c.allow(identity.StatusRead) != nil {
			return none, err
		}
		masked = true
	}
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		found, err = read(tx)
		return err
	})
	if err != nil {
		return none, err
	}
	if masked {
		found = mask(found)
	}
	return found, nil
}

// each masks every element of a list.
func each[T any](mask func(T) T) func([]T) []T {
	return func(list []T) []T {
		for i := range list {
			list[i] = mask(list[i])
		}
		return list
	}
}

func maskCase(c evidence.Case) evidence.Case {
	return evidence.Case{ID: c.ID, Reference: c.Reference, State: c.State, Opened: c.Opened, RetainDays: c.RetainDays, Findings: c.Findings, Changed: c.Changed}
}

func maskExhibit(x evidence.Exhibit) evidence.Exhibit {
	return evidence.Exhibit{
		Case: x.Case, ExhibitDescription: evidence.ExhibitDescription{Label: x.Label, Kind: x.Kind},
		Added: x.Added, State: x.State, Numbers: x.Numbers, Changed: x.Changed,
	}
}

func maskCopy(c evidence.Copy) evidence.Copy {
	return evidence.Copy{
		CopyID: c.CopyID, Class: c.Class, Intake: c.Intake, Size: c.Size, Lock: c.Lock, State: c.State,
		Sealed: c.Sealed, Of: c.Of, Findings: c.Findings, Changed: c.Changed,
	}
}

// People lists everybody ever enrolled.
func (s *Service) People(ctx context.Context, c Caller) ([]evidence.Person, error) {
	return look(ctx, s, c, identity.PersonRead, nil, func(tx *database.Tx) ([]evidence.Person, error) { return tx.People() })
}

// Person gives one principal. Everybody may look at themselves.
func (s *Service) Person(ctx context.Context, c Caller, p identity.Principal) (evidence.Person, error) {
	need := identity.PersonRead
	if p == c.Principal {
		need = identity.StatusRead
	}
	return look(ctx, s, c, need, nil, func(tx *database.Tx) (evidence.Person, error) {
		found, err := tx.Person(p)
		if err != nil {
			return evidence.Person{}, fmt.Errorf("person %s: %w", p, err)
		}
		return found, nil
	})
}

// Cases lists all cases.
func (s *Service) Cases(ctx context.Context, c Caller) ([]evidence.Case, error) {
	return look(ctx, s, c, identity.CaseRead, each(maskCase), func(tx *database.Tx) ([]evidence.Case, error) { return tx.Cases() })
}

// Case gives one case.
func (s *Service) Case(ctx context.Context, c Caller, ref evidence.Name) (evidence.Case, error) {
	return look(ctx, s, c, identity.CaseRead, maskCase, func(tx *database.Tx) (evidence.Case, error) { return caseOf(tx, ref) })
}

// ofCase reads a list that belongs to a case.
func ofCase[T any](ref evidence.Name, list func(*database.Tx, evidence.CaseID) ([]T, error)) func(*database.Tx) ([]T, error) {
	return func(tx *database.Tx) ([]T, error) {
		holder, err := caseOf(tx, ref)
		if err != nil {
			return nil, err
		}
		return list(tx, holder.ID)
	}
}

// Exhibits lists the exhibits of a case.
func (s *Service) Exhibits(ctx context.Context, c Caller, ref evidence.Name) ([]evidence.Exhibit, error) {
	return look(ctx, s, c, identity.ExhibitRead, each(maskExhibit), ofCase(ref, (*database.Tx).Exhibits))
}

// Exhibit gives one exhibit.
func (s *Service) Exhibit(ctx context.Context, c Caller, ref, label evidence.Name) (evidence.Exhibit, error) {
	return look(ctx, s, c, identity.ExhibitRead, maskExhibit, func(tx *database.Tx) (evidence.Exhibit, error) {
		holder, err := caseOf(tx, ref)
		if err != nil {
			return evidence.Exhibit{}, err
		}
		x, err := tx.Exhibit(holder.ID, label)
		if err != nil {
			return evidence.Exhibit{}, fmt.Errorf("exhibit %s/%s: %w", ref, label, err)
		}
		return x, nil
	})
}

// Copies lists the copies of a case, or of one exhibit of it.
func (s *Service) Copies(ctx context.Context, c Caller, ref, label evidence.Name) ([]evidence.Copy, error) {
	return look(ctx, s, c, identity.CopyRead, each(maskCopy), func(tx *database.Tx) ([]evidence.Copy, error) {
		holder, err := caseOf(tx, ref)
		if err != nil {
			return nil, err
		}
		if label != "" {
			if _, err := tx.Exhibit(holder.ID, label); err != nil {
				return nil, fmt.Errorf("exhibit %s/%s: %w", ref, label, err)
			}
		}
		all, err := tx.Copies(holder.ID)
		var of []evidence.Copy
		for _, copied := range all {
			if label == "" || copied.Exhibit == label {
				of = append(of, copied)
			}
		}
		return of, err
	})
}

// Copy gives one copy.
func (s *Service) Copy(ctx context.Context, c Caller, p evidence.Path) (evidence.Copy, error) {
	return look(ctx, s, c, identity.CopyRead, maskCopy, func(tx *database.Tx) (evidence.Copy, error) { return copyAt(tx, p) })
}

// Findings lists the findings of a case.
func (s *Service) Findings(ctx context.Context, c Caller, ref evidence.Name) ([]evidence.Finding, error) {
	return look(ctx, s, c, identity.CopyRead, nil, ofCase(ref, (*database.Tx).Findings))
}

// Position is where the chain of a case stands: what a client names as seen.
type Position struct {
	Case    evidence.CaseID
	Entries int64
	Seen    digest.SHA256
}

// Position tells where a case's chain stands; an empty reference means the
// chain of the entries of no case.
func (s *Service) Position(ctx context.Context, c Caller, ref evidence.Name) (Position, error) {
	return look(ctx, s, c, identity.StatusRead, nil, func(tx *database.Tx) (Position, error) {
		var p Position
		if ref != "" {
			holder, err := caseOf(tx, ref)
			if err != nil {
				return Position{}, err
			}
			p.Case = holder.ID
		}
		head, err := tx.CaseHead(ledger.CaseID(p.Case))
		if err != nil {
			return Position{}, err
		}
		p.Entries, p.Seen = head.Size, digest.SHA256(head.Last)
		return p, nil
	})
}

// HistoryEntry is one entry as it stands.
type HistoryEntry struct {
	Seq       int64
	CaseSeq   int64
	Time      evidence.Time
	Leaf      digest.SHA256
	Envelope  []byte
	Payload   []byte // of an erased entry what stays of it
	Signature []byte
	Erased    *Erased // nil, unless it was
}

// maxHistory bounds one answer, and maxHistoryBytes what it holds; its last entry
// may pass that.
const (
	maxHistory      = 1000
	maxHistoryBytes = 1 << 20
)

// History gives entries of a case in order, after the given place in its chain
// (-1: from the start): up to limit, fewer where they are large, and none only
// where there are no more. A path with an exhibit or a copy leaves out what does not
// concern it.
func (s *Service) History(ctx context.Context, c Caller, p evidence.Path, after int64, limit int) ([]HistoryEntry, error) {
	if limit <= 0 || limit > maxHistory {
		limit = maxHistory
	}
	found, err := look(ctx, s, c, identity.HistoryRead, nil, func(tx *database.Tx) ([]HistoryEntry, error) {
		holder, err := caseOf(tx, p.Case)
		if err != nil {
			return nil, err
		}
		concerns, err := s.concerns(tx, holder, p)
		if err != nil {
			return nil, err
		}
		var found []HistoryEntry
		for from, size := after+1, 0; len(found) < limit && size < maxHistoryBytes; {
			entries, err := tx.CaseEntries(ledger.CaseID(holder.ID), from, maxHistory)
			if err != nil || len(entries) == 0 {
				return found, err
			}
			standing, err := intact(tx, tx.Hashes(), entries...)
			if err == nil {
				err = unbroken(ledger.CaseID(holder.ID), from, entries)
			}
			if err != nil {
				return nil, err
			}
			for i, e := range entries {
				from = e.CaseSeq + 1
				event, err := evidence.Parse(e.Payload)
				if err != nil {
					return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
				}
				if len(found) == limit {
					break
				}
				if !concerns(event) {
					continue
				}
				size += len(e.Envelope) + len(e.Payload) + len(e.Signature)
				found = append(found, HistoryEntry{
					Seq: e.Seq, CaseSeq: e.CaseSeq, Time: evidence.TimeOf(standing[i].Time.Std()),
					Leaf: digest.SHA256(e.Leaf), Envelope: e.Envelope, Payload: e.Payload, Signature: e.Signature,
					Erased: standing[i].erased,
				})
			}
		}
		return found, nil
	})
	return found, s.raise(err)
}

// concerns gives the test for what belongs to a path.
func (s *Service) concerns(tx *database.Tx, holder evidence.Case, p evidence.Path) (func(evidence.Event) bool, error) {
	if p.Exhibit == "" {
		return func(evidence.Event) bool { return true }, nil
	}
	if _, err := tx.Exhibit(holder.ID, p.Exhibit); err != nil {
		return nil, fmt.Errorf("exhibit %s/%s: %w", p.Case, p.Exhibit, err)
	}
	if p.Copy == "" {
		return func(e evidence.Event) bool { return evidence.SubjectOf(e).Exhibit == p.Exhibit }, nil
	}
	copied, err := copyAt(tx, p)
	if err != nil {
		return nil, err
	}
	return func(e evidence.Event) bool {
		subject := evidence.SubjectOf(e)
		return subject.Intake == copied.Intake || subject.Exhibit == p.Exhibit && subject.Number == p.Copy
	}, nil
}

// Checkpoint gives the newest signed checkpoint.
func (s *Service) Checkpoint(context.Context) ([]byte, error) {
	newest, _ := s.newest.get()
	if newest.Size == 0 {
		return nil, fmt.Errorf("%w: nothing is signed yet", ErrUnavailable)
	}
	return newest.note, nil
}

// Consistency proves that the ledger of the second size continues that of the first.
func (s *Service) Consistency(ctx context.Context, from, to int64) ([]ledger.Hash, error) {
	if to > s.newest.size() || from < 0 || from > to {
		return nil, &evidence.FieldError{Field: "from", Problem: "and to do not lie within the ledger"}
	}
	var proof []ledger.Hash
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		proof, err = ledger.ProveConsistency(to, from, tx.Hashes())
		return err
	})
	return proof, s.raise(err)
}

// Proof gives the receipt of any entry, under the newest checkpoint.
func (s *Service) Proof(ctx context.Context, c Caller, seq int64) (ledger.Receipt, error) {
	if c.allow(identity.LedgerRead) != nil {
		if err := c.allow(identity.HistoryRead); err != nil {
			return ledger.Receipt{}, err
		}
	}
	var receipt ledger.Receipt
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		receipt, err = s.proveIn(tx, seq)
		return err
	})
	return receipt, s.raise(err)
}

// proveIn makes the receipt of an entry under the newest signed checkpoint.
func (s *Service) proveIn(tx *database.Tx, seq int64) (ledger.Receipt, error) {
	newest, _ := s.newest.get()
	if newest.Size == 0 {
		return ledger.Receipt{}, fmt.Errorf("%w: nothing is signed yet", ErrUnavailable)
	}
	if seq < 0 || seq >= newest.Size {
		return ledger.Receipt{}, fmt.Errorf("entry %d: %w", seq, evidence.ErrNotFound)
	}
	e, err := tx.EntryAt(seq)
	if errors.Is(err, database.ErrNotFound) {
		return ledger.Receipt{}, entryError(seq, errors.New("there is none"))
	}
	if err != nil {
		return ledger.Receipt{}, fmt.Errorf("entry %d: %w", seq, err)
	}
	if _, err := intact(tx, tx.Hashes(), e); err != nil {
		return ledger.Receipt{}, err
	}
	path, err := ledger.ProveInclusion(newest.Size, seq, tx.Hashes())
	if err != nil {
		return ledger.Receipt{}, err
	}
	return ledger.Receipt{Index: seq, Envelope: e.Envelope, Proof: path, Checkpoint: newest.note}, nil
}
