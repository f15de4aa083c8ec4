package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Time stamps. A round asks all configured authorities for a time stamp over one signed
// checkpoint. It begins when entries are there that no round covers, AnchorEvery after
// the newest entry that the round before covered, and with every export. Entries that
// tell of time stamps do not count: else it would go on for ever.
//
// In a round each authority is pending, anchored or failed. Pending is who cannot be
// reached: it is asked again, later and later, through restarts, and offline work is so
// anchored in the end. Failed is who answers something else than a time stamp too often,
// or one that does not verify. What came becomes one entry of the round once all its
// authorities were asked, and another entry if more comes later; then an object of the
// store. After a crash the loop goes on by what the database says is missing of that.

const (
	// DefaultAnchorEvery is for how long an entry waits for a time stamp, at most.
	DefaultAnchorEvery = time.Hour
	// maxRefusals is after how many answers that are no time stamp a round gives up an authority.
	maxRefusals = 5
	// maxPending is how many rounds an authority that cannot be reached is asked about
	// when it comes back: the newest ones, which cover all others.
	maxPending = 100
)

// anchors is what the service knows of its time stamps without asking the database.
type anchors struct {
	mu   sync.Mutex
	gate chan struct{} // closed at the next change of any round

	// overdue is closed when entries have waited for a round for AnchorEvery, by a clock that
	// nobody sets; nil while none wait. It belongs to anchorLoop.
	overdue chan struct{}

	size, at, pending, failed atomic.Int64 // for operators
}

func (a *anchors) init() { a.gate = make(chan struct{}) }

func (a *anchors) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate
}

func (a *anchors) changed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.gate)
	a.gate = make(chan struct{})
}

// startAnchors begins the loops of the time stamps.
func (s *Service) startAnchors() {
	s.background(s.anchorLoop)
	for _, a := range s.cfg.Authorities {
		s.background(func() { s.askLoop(a) })
	}
}

// backOff is how long to wait after that many tries.
func (s *Service) backOff(tries int) time.Duration {
	return min(s.cfg.AnchorEvery/60<<min(tries-1, 6), s.cfg.AnchorEvery)
}

// pause waits until one of the gates, of which each may be nil, opens, or for that time,
// or until the service ends.
func (s *Service) pause(wait time.Duration, gate, other <-chan struct{}) {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case <-gate:
	case <-other:
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// anchorLoop begins rounds, and tells of what came.
func (s *Service) anchorLoop() {
	if err := s.forgetAuthorities(); err != nil {
		s.log.Error("time stamps", "error", err)
	}
	failures := 0
	for s.ctx.Err() == nil {
		stamps := s.anchors.next()
		_, entries := s.newest.get()
		wait, idle, err := s.anchorStep()
		if failures++; err == nil {
			failures = 0
		} else if s.ctx.Err() == nil {
			s.log.Error("time stamps", "error", err)
			s.pause(s.backOff(failures), nil, nil)
			continue
		}
		if !idle {
			entries = s.anchors.overdue // more of them are no news
		}
		s.pause(wait, stamps, entries)
	}
}

// forgetAuthorities gives up what is pending with authorities that are not configured.
func (s *Service) forgetAuthorities() error {
	return s.commitOutcome(s.db.Update(s.ctx, func(tx *database.Tx) error {
		waiting, err := tx.WaitingAuthorities()
		if err != nil {
			return err
		}
		for _, name := range waiting {
			if s.authority(name) == nil {
				if err := tx.ExpireAnchors(name, 0, "the authority is not configured any more"); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

func (s *Service) authority(name string) *authority.Authority {
	for _, a := range s.cfg.Authorities {
		if a.Name() == name {
			return a
		}
	}
	return nil
}

// anchorStep does what there is to do, and tells when there will be more at the latest;
// idle: or with the next entry. A clock that was set back, or an entry from when it was
// ahead, puts no round off: entries wait for AnchorEvery as this process measures it.
func (s *Service) anchorStep() (wait time.Duration, idle bool, err error) {
	now, _ := s.newest.get()
	wait = s.cfg.AnchorEvery
	if len(s.cfg.Authorities) > 0 && now.Size > 0 {
		due, active, err := s.nextRound(now.Size)
		if err != nil {
			return 0, false, err
		}
		idle = !active
		if idle {
			s.anchors.overdue = nil
		} else {
			wait = s.roundWait(due)
		}
		if wait <= 0 {
			if err := s.beginRound(now.Size, now.note); err != nil {
				return 0, false, err
			}
			s.anchors.overdue = nil
			wait, idle = s.cfg.AnchorEvery, true
		}
	}
	if err := s.tell(s.ctx); err != nil {
		return 0, false, err
	}
	return wait, idle, s.countAnchors()
}

// askLoop asks one authority about what is pending with it, the newest first.
func (s *Service) askLoop(a *authority.Authority) {
	defer a.Close()
	for failures := 0; s.ctx.Err() == nil; {
		changed := s.anchors.next()
		var pending database.Anchor
		var note []byte
		err := s.db.View(s.ctx, func(tx *database.Tx) (err error) {
			if pending, err = tx.PendingAnchor(a.Name(), s.cfg.Now()); err != nil {
				return err
			}
			note, err = tx.RoundNote(pending.Size)
			return err
		})
		wait := s.cfg.AnchorEvery
		if err == nil {
			// No try is put off for longer: then the clock was set back since.
			if wait = pending.Due.Sub(s.cfg.Now()); wait <= 0 || wait > s.cfg.AnchorEvery {
				err = s.ask(a, pending, note)
			}
		}
		switch {
		case s.ctx.Err() != nil:
			return
		case errors.Is(err, evidence.ErrNotFound):
			s.pause(s.cfg.AnchorEvery, changed, nil)
		case err != nil:
			failures++
			s.log.Error("time stamps", "authority", a.Name(), "error", err)
			s.pause(s.backOff(failures), nil, nil)
		default:
			failures = 0
			s.pause(wait, changed, nil)
		}
	}
}

// ask asks an authority about one checkpoint, and keeps what came of it.
func (s *Service) ask(a *authority.Authority, p database.Anchor, note []byte) error {
	answer, asked := a.Ask(s.ctx, note, s.cfg.Random)
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	p.Tries++
	p.Due = s.cfg.Now().Add(s.backOff(p.Tries))
	if asked != nil {
		p.Problem = asked.Error()
		if !authority.Unmet(asked) {
			p.Refusals++
		}
		if authority.Distrusted(asked) || p.Refusals >= maxRefusals {
			p.State = database.AnchorFailed
		}
		s.log.Warn("no time stamp", "authority", a.Name(), "entries", p.Size, "state", p.State, "tries", p.Tries, "problem", asked)
	} else {
		doc, err := json.Marshal(fileOf(a.Name(), answer))
		if err != nil {
			return err
		}
		p.State, p.Problem, p.Doc = database.AnchorAnchored, "", doc
	}
	err := s.commitOutcome(s.db.Update(s.ctx, func(tx *database.Tx) error {
		if err := tx.SaveAnchor(p); err != nil {
			return err
		}
		if authority.Unmet(asked) { // nor can it be for the others
			return tx.DelayAnchors(a.Name(), p.Due)
		}
		return nil
	}))
	s.anchors.changed()
	return err
}

// asked reports whether all authorities of a round were asked.
func asked(stamps []database.Anchor) bool {
	for _, a := range stamps {
		if a.State == database.AnchorPending && a.Tries == 0 {
			return false
		}
	}
	return true
}

// tell makes entries and objects of the time stamps that came.
func (s *Service) tell(ctx context.Context) error {
	var untold []database.Anchor
	ready := map[int64]bool{}
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		if untold, err = tx.UntoldAnchors(); err != nil {
			return err
		}
		for _, a := range untold {
			if _, known := ready[a.Size]; a.Entry >= 0 || known {
				continue
			}
			all, err := tx.AnchorsOf(a.Size)
			if err != nil {
				return err
			}
			ready[a.Size] = asked(all)
		}
		return nil
	})
	if err != nil {
		return err
	}
	entries := map[int64]bool{}
	for _, a := range untold {
		switch {
		case a.Entry >= 0:
			entries[a.Entry] = true
		case ready[a.Size]:
			ready[a.Size] = false
			recorded, err := s.note(ctx, evidence.CaseID{}, nil, func(tx *database.Tx) (evidence.Body, error) {
				d, _, err := untoldOf(tx, a.Size)
				if err != nil {
					return nil, err
				}
				return d.body()
			})
			if err != nil {
				return fmt.Errorf("tell of time stamps: %w", err)
			}
			entries[recorded.Seq] = true
		}
	}
	var faults []error
	for entry := range entries {
		err := s.storeAnchors(ctx, entry)
		if errors.Is(err, fs.ErrExist) { // under all of its names; the database has the time stamps
			s.log.Error("time stamps have no place in the store: who can write to it?", "entry", entry, "error", err)
			continue
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// untoldOf gives the time stamps of a round that no entry tells of, as a document.
func untoldOf(tx *database.Tx, size int64) (anchorDocument, []database.Anchor, error) {
	all, err := tx.AnchorsOf(size)
	if err != nil {
		return anchorDocument{}, nil, err
	}
	var untold []database.Anchor
	for _, a := range all {
		if a.State == database.AnchorAnchored && a.Entry < 0 {
			untold = append(untold, a)
		}
	}
	d, err := documentOf(tx, size, untold)
	return d, untold, err
}

func documentOf(tx *database.Tx, size int64, stamps []database.Anchor) (anchorDocument, error) {
	note, err := tx.RoundNote(size)
	if err != nil {
		return anchorDocument{}, err
	}
	d := anchorDocument{V: 1, Note: note}
	for _, a := range stamps {
		f, err := strict[anchorFile](a.Doc)
		if err != nil {
			return anchorDocument{}, err
		}
		d.Entry, d.Stamps = a.Entry, append(d.Stamps, f)
	}
	return d, nil
}

// agreeAnchors refuses an entry that does not tell of just those time stamps that wait for
// one. Another may have come since the entry was made up: then it is made up again.
func agreeAnchors(tx *database.Tx, b evidence.CheckpointAnchored) error {
	d, _, err := untoldOf(tx, b.Size)
	if err != nil {
		return err
	}
	is, err := d.body()
	if err != nil {
		return err
	}
	if !sameAnchor(is, b) {
		return fmt.Errorf("%w: other time stamps than those of the entry are there", evidence.ErrStale)
	}
	return nil
}

// followAnchors notes, in the transaction of an entry, of which time stamps it tells.
func followAnchors(tx *database.Tx, b evidence.CheckpointAnchored) error {
	head, err := tx.Head()
	if err != nil {
		return err
	}
	_, untold, err := untoldOf(tx, b.Size)
	if err != nil {
		return err
	}
	for _, a := range untold {
		a.Entry = head.Size - 1
		if err := tx.SaveAnchor(a); err != nil {
			return err
		}
	}
	return nil
}

// storeAnchors puts what an entry tells of into the store.
func (s *Service) storeAnchors(ctx context.Context, entry int64) error {
	var d anchorDocument
	var told []database.Anchor
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		if told, err = tx.AnchorsTold(entry); err != nil || len(told) == 0 {
			return err
		}
		d, err = documentOf(tx, told[0].Size, told)
		return err
	})
	if err != nil || len(told) == 0 {
		return err
	}
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	noted, err := s.putOwn(ctx, anchorNames, entry, roleAnchor, data)
	if err != nil {
		return fmt.Errorf("keep the time stamps of entry %d: %w", entry, err)
	}
	return s.commitOutcome(s.db.Update(ctx, func(tx *database.Tx) error {
		for _, a := range told {
			a.Object = noted
			if err := tx.SaveAnchor(a); err != nil {
				return err
			}
		}
		return nil
	}))
}

// countAnchors brings the figures for operators up to date.
func (s *Service) countAnchors() error {
	return s.db.View(s.ctx, func(tx *database.Tx) error {
		size, err := tx.LastAnchored()
		if err != nil {
			return err
		}
		pending, errPending := tx.CountAnchors(database.AnchorPending)
		failed, errFailed := tx.CountAnchors(database.AnchorFailed)
		if err := errors.Join(errPending, errFailed); err != nil {
			return err
		}
		if size > 0 && size != s.anchors.size.Load() {
			stamps, err := anchorsOf(tx, size)
			if err != nil {
				return err
			}
			for _, st := range stamps.Stamps {
				if st.Time != nil {
					s.anchors.at.Store(st.Time.Time().Unix())
				}
			}
		}
		s.anchors.size.Store(size)
		s.anchors.pending.Store(pending)
		s.anchors.failed.Store(failed)
		return nil
	})
}

// anchorNote gives the part of a signed checkpoint that is stamped: the ledger's own
// signature, whoever signed beside it.
func anchorNote(note []byte, key ledger.VerifierKey) ([]byte, error) {
	body, _, err := ledger.SplitCheckpoint(note, key)
	if err != nil {
		return nil, err
	}
	begin := []byte("— " + string(key.Origin()) + " ")
	for _, line := range bytes.SplitAfter(note[len(body)+1:], []byte("\n")) {
		if bytes.HasPrefix(line, begin) {
			return append(append(bytes.Clone(body), '\n'), line...), nil
		}
	}
	return nil, errors.New("the checkpoint has no signature line of the ledger")
}
