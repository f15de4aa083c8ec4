package custody

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// ErrDiscrepancy: the database does not hold what the service wrote or what was signed.
var ErrDiscrepancy = errors.New("the database is not what was written to it")

// ErrUnread: the self-audit could not read the ledger, several times and minutes apart. It
// says nothing of what is written there.
var ErrUnread = errors.New("the self-audit cannot read the ledger")

// DefaultAuditRate is how many entries a second the self-audit reads unless the
// operator chooses: a small part of a core.
const DefaultAuditRate = 200

// end is the ledger as it was signed last, in memory: what the database is held
// against before the next signature. It belongs to the committer.
type end struct {
	tree *ledger.Tree
	last ledger.Hash // leaf hash of the newest entry; zeros, when there is none
}

func newEnd() end { return end{tree: &ledger.Tree{}} }

// reread reads what was just committed, and the entry before it, through another
// connection than wrote it, and demands that it is what was handed in, that nothing
// else was put beside it, and that it makes the root that is about to be signed. The
// error is an ErrDiscrepancy, or that it could not be read.
func (s *Service) reread(ctx context.Context, next ledger.Checkpoint, answers []answer) error {
	var want []digest.SHA256
	for _, a := range answers {
		if a.err == nil && !a.recorded.Again {
			want = append(want, a.recorded.Leaf)
		}
	}
	size := s.end.tree.Size()
	if next.Size != size+int64(len(want)) {
		return fmt.Errorf("%w: it has %d entries; there were %d, and %d were added", ErrDiscrepancy, next.Size, size, len(want))
	}
	if len(want) == 0 {
		return nil
	}
	due, stored := size, []ledger.Hash(nil)
	if due > 0 {
		due--
	}
	err := s.db.ViewApart(ctx, func(tx *database.Tx) error {
		for e, err := range pagedFrom(due, tx.Entries, asItIs) {
			if err != nil {
				return err
			}
			if _, err := e.Check(); err != nil {
				return fmt.Errorf("%w: %w", ErrDiscrepancy, err)
			}
			right := e.Seq == due && due < next.Size
			switch {
			case right && due < size:
				right = e.Leaf == s.end.last
			case right:
				right = digest.SHA256(e.Leaf) == want[due-size]
				stored = s.end.tree.Append(stored[:0], e.Leaf)
				s.end.last = e.Leaf
			}
			if !right {
				return fmt.Errorf("%w: entry %d is not the one that was written", ErrDiscrepancy, e.Seq)
			}
			due++
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case due != next.Size:
		return fmt.Errorf("%w: entry %d is not there", ErrDiscrepancy, due)
	case s.end.tree.Root() != next.Root:
		return fmt.Errorf("%w: the hashes beside its %d entries lead to the root %s, the entries to %s", ErrDiscrepancy, next.Size, next.Root, s.end.tree.Root())
	}
	return nil
}

// AuditStats tell what the self-audit has done since the start.
type AuditStats struct {
	Rate          int       // entries a second; zero: it is off
	Passes        int64     // over the whole ledger, to its end
	Entries       int64     // that were judged
	Discrepancies int64     // that were found
	Passed        time.Time // when the last pass that found nothing came to its end; zero: none has
	Alarm         bool      // nothing more is written, whoever found something
}

// auditor counts what the self-audit does.
type auditor struct {
	passes, entries, found atomic.Int64
	passed                 atomic.Int64 // in microseconds since 1970
}

func (s *Service) auditStats() AuditStats {
	stats := AuditStats{
		Rate: s.cfg.AuditRate, Passes: s.auditor.passes.Load(), Entries: s.auditor.entries.Load(),
		Discrepancies: s.auditor.found.Load(), Alarm: s.Alarm() != nil,
	}
	if at := s.auditor.passed.Load(); at > 0 {
		stats.Passed = time.UnixMicro(at)
	}
	return stats
}

// unreadWaits are for how long the self-audit waits after the passes in turn that ended
// with an error. Behind the last one the error is taken for what it then is: the ledger
// cannot be read.
var unreadWaits = []time.Duration{10 * time.Second, 5 * time.Minute}

// maxTold is how many findings of the self-audit the log tells one by one.
const maxTold = 20

// auditLoop audits the ledger again and again while the service runs. What it finds
// stops all writing.
func (s *Service) auditLoop() {
	if s.cfg.AuditRate <= 0 {
		s.log.Warn("the self-audit is off: what somebody changes in the database shows at the next custodyd audit")
		return
	}
	s.log.Info("self-audit", "entries_per_second", s.cfg.AuditRate)
	for unread := 0; s.ctx.Err() == nil && s.Alarm() == nil; {
		found, err := s.auditPass(s.ctx)
		switch {
		case s.ctx.Err() != nil:
		case errors.Is(err, errAgain):
			s.log.Info("self-audit begins again: a payload was erased meanwhile")
		case err != nil:
			s.log.Warn("self-audit", "try", unread+1, "error", err)
			if unread == len(unreadWaits) {
				s.alarm(fmt.Errorf("%w: %w", ErrUnread, err))
				return
			}
			s.pause(unreadWaits[unread], nil, nil)
			unread++
		case len(found) > 0:
			s.auditor.found.Add(int64(len(found)))
			var codes []string
			for i, f := range found {
				if codes = append(codes, string(f.Code)); i < maxTold {
					s.log.Error("self-audit found a discrepancy", "code", f.Code, "subject", f.Subject, "detail", f.Detail)
				}
			}
			slices.Sort(codes)
			s.alarm(fmt.Errorf("%w: the self-audit found %d discrepancies: %s", ErrDiscrepancy, len(found), strings.Join(slices.Compact(codes), ", ")))
		default:
			unread = 0
			s.auditor.passes.Add(1)
			s.auditor.passed.Store(s.cfg.Now().UnixMicro())
		}
	}
}

// rest waits for as long as n entries may take.
func (s *Service) rest(ctx context.Context, n int) {
	wait := time.NewTimer(time.Duration(float64(n) / float64(s.cfg.AuditRate) * float64(time.Second)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// leastPass is how many entries a pass takes the time of at least: small ledgers are
// not read all the time.
const leastPass = 1000

// errAgain says that what a pass found may be the doing of an erasure behind its end.
var errAgain = errors.New("audit again")

// auditPass judges the whole ledger as an offline audit does, up to the newest signed
// checkpoint, and then its rows. It reads a page at a time, each in a transaction of
// its own, so that the database's log can be cut meanwhile: entries up to a checkpoint
// never change, but by an erasure. Rows change with every entry. They are read in one
// moment, to which what was recorded since is taken into the state.
func (s *Service) auditPass(ctx context.Context) ([]verify.Finding, error) {
	newest, _ := s.newest.get()
	if newest.Size == 0 {
		s.rest(ctx, leastPass)
		return nil, ctx.Err()
	}
	a := &audit{r: AuditReport{Findings: []verify.Finding{}}}
	if err := s.db.CheckSchema(ctx); errors.Is(err, database.ErrDamaged) {
		a.find(CodeDatabaseDamaged, "database", "%v", err)
	} else if err != nil {
		return nil, err
	}
	report, state, err := verify.Ledger(ctx, verify.LedgerSource{
		Key: s.cfg.Ledger.Key(), Last: newest.Checkpoint,
		Entries:     s.signedEntries(ctx, newest.Size),
		Hashes:      inPages(ctx, s, (*database.Tx).TreeHashes, treeHashOf, ledger.StoredHashCount(newest.Size)),
		Checkpoints: inPages(ctx, s, (*database.Tx).Checkpoints, checkpointOf, newest.Size+1),
	}, 1)
	if err != nil {
		return nil, err
	}
	a.r.Findings = append(a.r.Findings, report.Findings...)
	a.state = state
	erased, err := s.auditRows(ctx, a, newest.Size)
	if err != nil {
		return nil, err
	}
	if len(a.r.Findings) > 0 && erased {
		return nil, errAgain
	}
	s.rest(ctx, max(leastPass-int(min(report.Entries, leastPass)), int(a.r.Rows)))
	return a.r.Findings, ctx.Err()
}

// signedEntries gives the entries under a checkpoint at the rate of the audit.
func (s *Service) signedEntries(ctx context.Context, size int64) iter.Seq2[verify.Record, error] {
	return func(yield func(verify.Record, error) bool) {
		n := 0
		for e, err := range inPages(ctx, s, (*database.Tx).Entries, recordOf, size) {
			if n++; n == auditPage {
				s.rest(ctx, n)
				n = 0
			}
			s.auditor.entries.Add(1)
			if !yield(e, err) {
				return
			}
		}
		s.rest(ctx, n)
	}
}

// inPages reads rows below a number, each page in a transaction of its own.
func inPages[R, T any](ctx context.Context, s *Service, read func(*database.Tx, int64, int) ([]R, error), item func(R) (T, int64), below int64) iter.Seq2[T, error] {
	return paged(func(from int64, limit int) (page []R, err error) {
		err = s.db.View(ctx, func(tx *database.Tx) error {
			page, err = read(tx, from, limit)
			return err
		})
		for i, row := range page {
			if _, number := item(row); number >= below {
				return page[:i], err
			}
		}
		return page, err
	}, item)
}

func asItIs(e database.Entry) (database.Entry, int64) { return e, e.Seq }

// auditRows takes what was recorded from a number on into the state, and compares the
// rows with it in the moment in which nothing more was. It tells whether something was
// erased since.
func (s *Service) auditRows(ctx context.Context, a *audit, from int64) (erased bool, err error) {
	// In transactions of their own until little is left.
	for more := true; more; {
		err := s.db.View(ctx, func(tx *database.Tx) error {
			page, err := tx.Entries(from, auditPage)
			more = len(page) == auditPage
			for _, e := range page {
				from = e.Seq + 1
				erased = a.take(e) || erased
			}
			return err
		})
		if err != nil {
			return false, err
		}
	}
	err = s.db.View(ctx, func(tx *database.Tx) error {
		for e, err := range pagedFrom(from, tx.Entries, asItIs) {
			if err != nil {
				return err
			}
			erased = a.take(e) || erased
		}
		switch size, _, err := tx.LastCheckpoint(); {
		case errors.Is(err, database.ErrNotFound):
		case err != nil:
			return err
		case size > s.newest.size():
			a.find(verify.CodeSignerBehind, fmt.Sprintf("checkpoint %d", size), "is kept, and the signer has not signed it for this service")
		}
		return a.rows(tx)
	})
	return erased, err
}

// take has an entry that nobody judged yet lead to the next state; its signature and
// its chains are for the next pass. It tells whether it erased another.
func (a *audit) take(e database.Entry) bool {
	subject := fmt.Sprintf("entry %d", e.Seq)
	envelope, err := e.Check()
	if err != nil {
		a.find(verify.CodeColumns, subject, "%v", err)
		return false
	}
	event, err := evidence.Parse(e.Payload)
	if err != nil {
		a.find(verify.CodePayloadForm, subject, "%v", err)
		return false
	}
	changes, err := evidence.Apply(a.state, event, evidence.Position{
		CaseSeq: envelope.CaseSeq, Time: evidence.TimeOf(envelope.Time.Std()),
	})
	if err != nil {
		a.find(verify.CodeLaw, subject, "%s by %s: %v", event.Kind(), event.Actor, err)
	}
	a.state.Record(event.Case, digest.SHA256(e.Leaf), envelope.CaseSeq)
	a.state.Save(changes)
	return envelope.Type == ledger.Erase
}

// judgeUnsigned judges what the database holds behind the entries that were signed: a
// crash leaves true entries there, and only those are signed.
func judgeUnsigned(ctx context.Context, tx *database.Tx, key ledger.VerifierKey, signed ledger.Checkpoint) error {
	report, _, err := verify.Ledger(ctx, verify.LedgerSource{
		Key: key, Last: signed, Known: signed.Size, Entries: paged(tx.Entries, recordOf),
	}, 0)
	if err != nil {
		return err
	}
	if n := report.Total(); n > 0 {
		return fmt.Errorf("%w: behind the %d entries that were signed it holds what the service did not write (%d findings): %s",
			ErrRollback, signed.Size, n, report.Findings[0])
	}
	return nil
}
