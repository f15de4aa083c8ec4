package custody

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

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
	caller  Caller
	path    evidence.Path
	copied  evidence.Copy
	checked atomic.Int64
	done    chan struct{} // closed after the result is there
	verdict evidence.FixityChecked
	entry   Recorded
	err     error
}

// maxChecks bounds how many checks are remembered, and maxRunning how many wait
// or run.
const (
	maxChecks  = 1000
	maxRunning = 100
)

func (c *checks) init() { c.byID = map[uuid.UUID]*check{} }

// add remembers a check, forgetting the oldest that is done.
func (c *checks) add(id uuid.UUID, k *check) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := 0
	kept := c.old[:0]
	for _, old := range c.old {
		if c.byID[old].running() {
			running++
		} else if len(c.byID) >= maxChecks {
			delete(c.byID, old)
			continue
		}
		kept = append(kept, old)
	}
	c.old = kept
	if running >= maxRunning {
		return fmt.Errorf("%w: %d checks are under way", ErrBusy, running)
	}
	c.byID[id], c.old = k, append(c.old, id)
	return nil
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

// StartCheck begins to re-read a copy from the store. It goes on when the caller
// leaves; [Service.Check] tells how far it is.
func (s *Service) StartCheck(ctx context.Context, c Caller, p evidence.Path) (uuid.UUID, error) {
	copied, err := s.find(ctx, p)
	if err != nil {
		return uuid.UUID{}, err
	}
	if err := c.allow(identity.CopyVerify); err != nil {
		return uuid.UUID{}, s.deny(ctx, c, copied.CopyID, evidence.Verify, err)
	}
	id, err := s.newID()
	if err != nil {
		return uuid.UUID{}, err
	}
	k := &check{caller: c, path: p, copied: copied, done: make(chan struct{})}
	if err := s.checks.add(id, k); err != nil {
		return uuid.UUID{}, err
	}
	run := func() {
		defer close(k.done)
		if k.err = s.check(s.ctx, k); k.err != nil {
			s.log.Error("fixity check", "copy", k.copied.CopyID.String(), "error", k.err)
		}
	}
	if !s.background(run) {
		return uuid.UUID{}, s.gone()
	}
	return id, nil
}

// Check tells how far a check is; with a wait it answers when it is done, or
// when the wait is over.
func (s *Service) Check(ctx context.Context, c Caller, id uuid.UUID, wait time.Duration) (CheckStatus, error) {
	k, err := s.checks.get(id)
	if err != nil {
		return CheckStatus{}, err
	}
	if k.caller.Principal != c.Principal {
		return CheckStatus{}, fmt.Errorf("check %s: %w", id, evidence.ErrNotFound)
	}
	timeout := time.NewTimer(min(max(wait, 0), maxWait))
	defer timeout.Stop()
	select {
	case <-k.done:
	case <-timeout.C:
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
	release, err := s.mayRead(ctx)
	if err != nil {
		return err
	}
	defer release()
	content, ok := k.copied.Object(evidence.Content)
	if !ok {
		return fmt.Errorf("copy %s: has no content object", k.copied.CopyID)
	}
	list, problem, err := s.midstatesOf(ctx, k.copied)
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
	k.verdict = verdictOf(k.copied, read, problem)
	k.entry, err = s.note(ctx, k.copied.Case, &k.caller, func(tx *database.Tx) (evidence.Body, error) {
		v := k.verdict
		if v.Result != evidence.Mismatch && !v.ListWrong {
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
	})
	return err
}

// verdictOf puts a reading into the words of an entry.
func verdictOf(c evidence.Copy, read reading, listProblem string) evidence.FixityChecked {
	v := evidence.FixityChecked{
		Exhibit: c.Exhibit, Number: c.Number, Result: evidence.Result(read.verdict.Result), Source: read.source,
		// Where the sealed list is at hand and a segment disagrees, the content
		// is damaged, not the list: its hash has been checked.
		ListWrong: listProblem != "",
	}
	if v.Result == evidence.Unreadable {
		v.Unreadable, v.UnreadableTotal = cut(read.verdict.Unreadable)
		v.Detail = causeText(read.verdict.Cause)
	} else if sha256, ok := read.digests.SHA256(); ok {
		v.Damaged, v.DamagedTotal = cut(read.verdict.Damaged)
		v.SHA256 = &sha256
	}
	switch {
	case v.Detail != "":
	case listProblem != "":
		v.Detail = "the midstate list " + listProblem
	case read.verdict.Unstable:
		v.Detail = "the store gave different bytes when asked twice"
	}
	return v
}

// cut gives the ranges that an entry has room for, and how many there are if
// these are not all.
func cut(ranges []digest.Range) (listed []evidence.Range, total int) {
	if len(ranges) > evidence.MaxRanges {
		ranges, total = ranges[:evidence.MaxRanges], len(ranges)
	}
	for _, r := range ranges {
		listed = append(listed, evidence.Range{Offset: r.Off, Length: r.Len})
	}
	return listed, total
}

// causeText gives the reason in one plain line: it stands in a signed entry.
func causeText(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the store did not answer in time"
	}
	text := []rune(err.Error())
	for i, r := range text {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			text[i] = ' '
		}
	}
	return string(text[:min(len(text), 500)])
}
