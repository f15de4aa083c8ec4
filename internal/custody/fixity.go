package custody

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// CheckStatus tells how far a fixity check has come.
type CheckStatus struct {
	ID       uuid.UUID
	Path     evidence.Path
	Size     int64
	Checked  int64 // bytes read so far; an ordinary pass after a damaged segment counts again
	Done     bool
	Verdict  *evidence.FixityChecked // when done
	Recorded *Recorded               // the entry that holds the verdict
	Err      error                   // why there is no verdict
}

// checks are the fixity checks of this run of the service. A restart forgets
// them: what was not recorded did not happen, and is asked for again.
type checks struct {
	mu   sync.Mutex
	byID map[uuid.UUID]*check
	old  []uuid.UUID // in order of arrival
}

type check struct {
	id      uuid.UUID
	caller  *Caller // nil: the service itself, which has met something wrong
	path    evidence.Path
	copied  evidence.Copy
	begun   atomic.Bool
	checked atomic.Int64
	done    chan struct{} // closed after the result is there
	verdict evidence.FixityChecked
	entry   Recorded
	err     error
}

// What bounds checks: how many are remembered, how many people have waiting or
// running, and how many of those are one person's.
const (
	maxChecks  = 1000
	maxRunning = 100
	maxOwn     = 10
)

func (c *checks) init() { c.byID = map[uuid.UUID]*check{} }

// join gives the check of the same copy that is under way, or else has k be it,
// forgetting the oldest that is done. What the service has met may be newer than
// what a running check has read: it joins only one that has not begun.
func (c *checks) join(k *check) (joined *check, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	running, own := 0, 0
	var done []uuid.UUID
	for _, id := range c.old {
		old := c.byID[id]
		if !old.running() {
			done = append(done, id)
			continue
		}
		if old.copied.CopyID == k.copied.CopyID && (k.caller != nil || !old.begun.Load()) {
			return old, nil
		}
		if old.caller == nil {
			continue
		}
		if running++; k.caller != nil && old.caller.Principal == k.caller.Principal {
			own++
		}
	}
	switch {
	case k.caller == nil: // as many as there are copies, at most
	case own >= maxOwn:
		return nil, fmt.Errorf("%w: %d checks of %s are under way", ErrBusy, own, k.caller.Principal)
	case running >= maxRunning:
		return nil, fmt.Errorf("%w: %d checks are under way", ErrBusy, running)
	}
	for _, id := range done[:min(len(done), max(len(c.byID)-maxChecks+1, 0))] {
		delete(c.byID, id)
	}
	c.old = slices.DeleteFunc(c.old, func(id uuid.UUID) bool { return c.byID[id] == nil })
	c.byID[k.id], c.old = k, append(c.old, k.id)
	return k, nil
}

func (c *checks) get(id uuid.UUID) (*check, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.byID[id]
	if !ok {
		return nil, fmt.Errorf("check %s: %w", id, evidence.ErrNotFound)
	}
	return k, nil
}

func (k *check) running() bool {
	select {
	case <-k.done:
		return false
	default:
		return true
	}
}

// StartCheck begins to re-read a copy from the store, or joins a check of it that
// is under way. It goes on when the caller leaves; [Service.Check] tells how far it is.
func (s *Service) StartCheck(ctx context.Context, c Caller, p evidence.Path) (uuid.UUID, error) {
	copied, err := s.find(ctx, p)
	if err != nil {
		return uuid.UUID{}, err
	}
	if err := c.allow(identity.CopyVerify); err != nil {
		return uuid.UUID{}, s.deny(ctx, c, copied.CopyID, evidence.Verify, err)
	}
	if err := s.Alarm(); err != nil { // its verdict could not be recorded
		return uuid.UUID{}, err
	}
	k, err := s.startCheck(&c, p, copied)
	if err != nil {
		return uuid.UUID{}, err
	}
	return k.id, nil
}

func (s *Service) startCheck(who *Caller, p evidence.Path, copied evidence.Copy) (*check, error) {
	id, err := s.newID()
	if err != nil {
		return nil, err
	}
	k := &check{id: id, caller: who, path: p, copied: copied, done: make(chan struct{})}
	if joined, err := s.checks.join(k); err != nil || joined != k {
		return joined, err
	}
	run := func() {
		defer close(k.done)
		if k.err = s.check(s.ctx, k); k.err != nil {
			s.log.Error("fixity check", "copy", k.copied.CopyID.String(), "error", k.err)
		}
	}
	if !s.background(run) {
		return nil, s.gone()
	}
	return k, nil
}

// Check tells how far a check is, to whoever may verify; with a wait it answers
// when it is done, or when the wait is over.
func (s *Service) Check(ctx context.Context, c Caller, id uuid.UUID, wait time.Duration) (CheckStatus, error) {
	if err := c.allow(identity.CopyVerify); err != nil {
		return CheckStatus{}, err
	}
	k, err := s.checks.get(id)
	if err != nil {
		return CheckStatus{}, err
	}
	timeout := time.NewTimer(min(max(wait, 0), maxWait))
	defer timeout.Stop()
	select {
	case <-k.done:
	case <-timeout.C:
	case <-s.leaving:
	case <-ctx.Done():
		return CheckStatus{}, ctx.Err()
	}
	status := CheckStatus{ID: id, Path: k.path, Size: k.copied.Size, Checked: k.checked.Load(), Done: !k.running()}
	if status.Done {
		if status.Err = k.err; k.err == nil {
			status.Verdict, status.Recorded = &k.verdict, &k.entry
		}
	}
	return status, nil
}

// check reads a copy back and records the verdict.
func (s *Service) check(ctx context.Context, k *check) error {
	release, err := s.checking.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	k.begun.Store(true)
	content, ok := k.copied.Object(evidence.Content)
	if !ok {
		return fmt.Errorf("copy %s: has no content object", k.copied.CopyID)
	}
	list, problem, unread := s.midstatesOf(ctx, k.copied)
	if unread != nil {
		// The list speeds up and locates, it never decides: go on without.
		s.log.Warn("midstate list", "copy", k.copied.CopyID.String(), "error", unread)
	}
	var came evidence.Intake
	err = s.db.View(ctx, func(tx *database.Tx) (err error) {
		came, err = tx.Intake(k.copied.Intake)
		return err
	})
	if err != nil {
		return err
	}
	sha256, _ := k.copied.Digests.SHA256()
	want, err := digest.Set{}.With(digest.AlgSHA256, sha256.String())
	if err != nil {
		return err
	}
	read, err := s.hash(ctx, content, list, want, func(n int64) { k.checked.Add(n) })
	if err != nil {
		return err
	}
	if came.State == evidence.Quarantined {
		read.verdict.ListWrong = false // the list is of the bytes that arrived, not of those that were kept
	}
	if read.verdict.Cause != nil {
		s.log.Warn("fixity check", "copy", k.copied.CopyID.String(), "cause", read.verdict.Cause)
	}
	k.verdict = verdictOf(k.copied, read, problem, unread)
	record := func(who *Caller) (Recorded, error) { return s.note(ctx, k.copied.Case, who, k.entryIn) }
	k.entry, err = record(k.caller)
	if k.caller != nil && errors.Is(err, evidence.ErrForbidden) { // revoked meanwhile: the verdict stands without them
		k.entry, err = record(nil)
	}
	return err
}

// entryIn gives the verdict with the number of the finding that it opens, or that
// is open.
func (k *check) entryIn(tx *database.Tx) (evidence.Body, error) {
	v := k.verdict
	if v.Result != evidence.Mismatch && !v.Gone && !v.ListWrong {
		return v, nil
	}
	now, err := tx.Copy(k.copied.CopyID)
	if err != nil {
		return nil, err
	}
	if now.Quarantined() {
		v.Finding = now.Findings[0]
	} else {
		holder, err := tx.Case(k.copied.Case)
		if err != nil {
			return nil, err
		}
		v.Finding = holder.Findings + 1
	}
	k.verdict = v
	return v, nil
}

// suspect has a copy checked about which the store has given something wrong: what
// the check finds is an entry, whoever met it and whatever became of them.
func (s *Service) suspect(id evidence.CopyID, why error) {
	if _, err := s.inquire(id, why); err != nil {
		s.log.Error("cannot check a suspect copy", "copy", id.String(), "error", err)
	}
}

// confirm is suspect for work that cannot go on before it is known what is wrong.
func (s *Service) confirm(ctx context.Context, id evidence.CopyID, why error) error {
	k, err := s.inquire(id, why)
	if err != nil || k == nil {
		return err
	}
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inquire begins the check of a suspect; nil when a finding is open already and
// another check would say nothing new.
func (s *Service) inquire(id evidence.CopyID, why error) (*check, error) {
	s.log.Warn("suspect copy", "copy", id.String(), "why", why)
	var copied evidence.Copy
	var holder evidence.Case
	err := s.db.View(s.ctx, func(tx *database.Tx) (err error) {
		if copied, err = tx.Copy(id); err != nil {
			return err
		}
		holder, err = tx.Case(id.Case)
		return err
	})
	if err != nil || copied.Quarantined() {
		return nil, err
	}
	return s.startCheck(nil, evidence.Path{Case: holder.Reference, Exhibit: id.Exhibit, Copy: id.Number}, copied)
}
