package custody

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/witness"
)

const (
	// witnessTimeout is how long one request to a witness may take.
	witnessTimeout = 3 * time.Second
	// maxSkips bounds how many rounds a witness is left alone that fails.
	maxSkips = 32
	// believed is how many rounds in a row a witness refuses without showing why, until it
	// is believed: one such answer anybody on the way can give.
	believed = 3
	// refusedAgain is how long a start waits before it asks a witness that refused again.
	refusedAgain = time.Second
	// maxSeals is how many exports may wait for witnesses at once; older ones go without.
	maxSeals = 64

	// DefaultWitnessEvery is how often witnesses are asked while there are new entries.
	DefaultWitnessEvery = 10 * time.Second
	// DefaultExportWait is how long an export waits for witnesses, and for time stamps, and
	// MaxExportWait how long it may: a request waits for it.
	DefaultExportWait = 5 * time.Second
	MaxExportWait     = 10 * time.Minute
)

// The states of a witness.
const (
	WitnessOK      = "ok"      // its last answer was a cosignature
	WitnessPending = "pending" // not asked yet
	WitnessFailing = "failing"
)

// WitnessState is what is known of a witness.
type WitnessState struct {
	Name     string
	Key      ledger.WitnessKey
	State    string
	Cosigned int64  // size of the largest checkpoint it has cosigned; 0: none
	Problem  string // why it is failing, in words for everybody; the log has what it said
	Failures int64  // since the start
}

// cosigners asks the witnesses, all about one checkpoint at a time: so that their lines
// stand under the same one.
type cosigners struct {
	all []*cosigner

	mu    sync.Mutex
	gate  chan struct{} // closed when a seal comes or a witness has answered
	seals []*sealed     // the newest, in order

	saved   int   // rounds of which something was noted; of the one round
	putFrom int64 // size from which on the next ones are put into the store; of the same
}

// cosigner is one witness.
type cosigner struct {
	client *witness.Client // of the one round
	skips  int             // rounds for which it is left alone
	tries  int             // that have failed, one after the other

	refusals int // rounds since its last cosignature in which it refused and did not show why

	mu    sync.Mutex
	state WitnessState
}

// sealed is the checkpoint over an export's seal: a bundle carries exactly that one, so
// it is asked about before any larger one.
type sealed struct {
	signed
	notes [][]byte // cosigned, one for each witness that has
	done  bool     // everybody was asked
}

func (c *cosigners) init(cfg Config) {
	c.gate = make(chan struct{})
	for _, e := range cfg.Witnesses {
		c.all = append(c.all, &cosigner{
			client: witness.NewClient(e, cfg.Ledger.Key(), witnessTimeout),
			state:  WitnessState{Name: e.Key.Name(), Key: e.Key, State: WitnessPending},
		})
	}
}

func (c *cosigners) keys() []ledger.WitnessKey {
	keys := make([]ledger.WitnessKey, len(c.all))
	for i, w := range c.all {
		keys[i] = w.client.Key
	}
	return keys
}

// has tells that the witness has cosigned that much and that this was its last answer: a
// start asks everybody.
func (w *cosigner) has(size int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.State == WitnessOK && w.state.Cosigned >= size
}

// states tells of every witness.
func (c *cosigners) states() []WitnessState {
	list := make([]WitnessState, len(c.all))
	for i, w := range c.all {
		w.mu.Lock()
		list[i] = w.state
		w.mu.Unlock()
	}
	return list
}

// seal notes, before the checkpoint becomes the newest, that an export waits for it.
func (c *cosigners) seal(next signed) {
	if len(c.all) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seals = append(c.seals, &sealed{signed: next}); len(c.seals) > maxSeals {
		c.seals = c.seals[1:]
	}
	c.changed()
}

// changed wakes those who wait; mu is held.
func (c *cosigners) changed() {
	close(c.gate)
	c.gate = make(chan struct{})
}

// due gives the oldest seal, of those up to size, that the witnesses were not asked
// about, and a channel that is closed when there may be another.
func (c *cosigners) due(size int64) (*sealed, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seals {
		if !s.done && s.Size <= size {
			return s, c.gate
		}
	}
	return nil, c.gate
}

// answered takes up what one witness has cosigned, or that all were asked.
func (c *cosigners) answered(s *sealed, note []byte, done bool) {
	if s == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if note != nil {
		s.notes = append(s.notes, note)
	}
	s.done = s.done || done
	c.changed()
}

// of gives what there is for the checkpoint of a seal.
func (c *cosigners) of(size int64) (notes [][]byte, done bool, gate <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seals {
		if s.Size == size {
			return s.notes, s.done, c.gate
		}
	}
	return nil, true, c.gate
}

// behind reports whether some witness has not cosigned that much.
func (c *cosigners) behind(size int64) bool {
	for _, s := range c.states() {
		if s.Cosigned < size {
			return true
		}
	}
	return false
}

// cosigned gives the checkpoint of a seal with the lines of the witnesses that have
// answered within Config.ExportWait. It returns what there is, at worst what it got.
func (s *Service) cosigned(ctx context.Context, note []byte) []byte {
	if len(s.cosigners.all) == 0 {
		return note
	}
	c, err := ledger.OpenCheckpoint(note, s.cfg.Ledger.Key())
	if err != nil {
		return note // no bundle will hold under it
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ExportWait)
	defer cancel()
	for {
		notes, done, gate := s.cosigners.of(c.Size)
		if !done && ctx.Err() == nil {
			select {
			case <-gate:
				continue
			case <-ctx.Done():
			case <-s.leaving:
			}
		}
		merged, err := ledger.Cosigned(s.cfg.Ledger.Key(), s.cosigners.keys(), append([][]byte{note}, notes...)...)
		if err != nil {
			s.log.Error("merge cosignatures", "size", c.Size, "error", err)
			return note
		}
		return merged
	}
}

// witnessLoop has the newest published checkpoint cosigned, at most once in
// Config.WitnessEvery, and at once the one that an export waits for. A witness that knew
// of entries that the store does not have would not let a ledger go on that was rebuilt
// from there.
func (s *Service) witnessLoop() {
	s.putCosigned(s.ctx)
	rest := time.NewTimer(0)
	defer rest.Stop()
	rested := false
	for {
		head, newer := s.publisher.head.get() // before the seals: one that is not there yet is larger
		seal, due := s.cosigners.due(head.Size)
		var err error
		switch {
		case s.ctx.Err() != nil:
			return
		case seal != nil:
			err = s.round(s.ctx, seal.signed, seal)
		case rested && head.Size > 0 && s.cosigners.behind(head.Size):
			err = s.round(s.ctx, head, nil)
			rest.Reset(s.cfg.WitnessEvery)
			rested = false
		default:
			select {
			case <-newer:
			case <-due:
			case <-rest.C:
				rested = true
			case <-s.ctx.Done():
			}
		}
		if err != nil { // of one of them, or of several
			s.alarm(err)
			return
		}
	}
}

// round asks the witnesses about one checkpoint, side by side, and notes what they have
// cosigned. The error is a *ConflictError.
func (s *Service) round(ctx context.Context, target signed, seal *sealed) error {
	type answer struct {
		note []byte
		err  error
	}
	answers := make([]answer, len(s.cosigners.all))
	var asked sync.WaitGroup
	for i, w := range s.cosigners.all {
		if seal == nil && w.has(target.Size) {
			continue // the round is for the others
		}
		if w.skips > 0 && seal == nil {
			w.skips--
			continue
		}
		asked.Go(func() {
			note, err := s.offer(ctx, w, target, seal == nil)
			answers[i] = answer{note, err}
			s.cosigners.answered(seal, note, false)
		})
	}
	asked.Wait()
	s.cosigners.answered(seal, nil, true)
	var notes [][]byte
	var errs []error
	for _, a := range answers {
		if a.note != nil {
			notes = append(notes, a.note)
		}
		errs = append(errs, a.err)
	}
	if len(notes) > 0 {
		if err := s.saveCosigned(ctx, target, notes, seal != nil); err != nil {
			s.log.Warn("keep what the witnesses cosigned", "size", target.Size, "error", err)
		}
		s.putCosigned(ctx)
	}
	return errors.Join(errs...)
}

// offer asks one witness. The error is a *ConflictError; every other one is noted only.
// Rounds of exports can follow on each other at once: there a refusal does not count that
// the witness does not show to be right.
func (s *Service) offer(ctx context.Context, w *cosigner, target signed, counts bool) ([]byte, error) {
	prove := provesTo(s.db, target.Size)
	note, err := w.client.Offer(ctx, target.note, prove)
	if errors.Is(err, witness.ErrForgotten) {
		s.log.Error("a witness has lost its state, or was rolled back: ask who runs it", "witness", w.client.Key.Name(), "error", err)
		note, err = w.client.Offer(ctx, target.note, prove)
	}
	if ctx.Err() != nil {
		return nil, nil
	}
	w.note(err)
	if err == nil {
		w.tries, w.skips, w.refusals = 0, 0, 0
		return note, nil
	}
	w.skips = min(1<<min(w.tries, 10)-1, maxSkips)
	w.tries++
	conflict, ok := errors.AsType[*witness.ConflictError](err)
	if ok && errors.Is(err, witness.ErrAhead) && conflict.Held <= s.newest.size() {
		ok = false // it has cosigned a larger one of ours
	}
	if !ok {
		s.log.Warn("witness", "witness", w.client.Key.Name(), "size", target.Size, "error", err)
		return nil, nil
	}
	if conflict.Theirs == nil {
		w.tries, w.skips = 0, 0 // it answers: ask on
		if counts {
			w.refusals++
		}
		if w.refusals < believed {
			s.log.Error("a witness refuses the ledger and does not show why: ask who runs it", "witness", w.client.Key.Name(),
				"size", target.Size, "times", w.refusals, "believed", believed, "error", err)
			return nil, nil
		}
	}
	return nil, witnessConflict(w.client.Key, target, conflict)
}

// note keeps what came of asking.
func (w *cosigner) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Cosigned = w.client.Cosigned()
	w.state.State, w.state.Problem = WitnessOK, ""
	if err != nil {
		w.state.State, w.state.Problem = WitnessFailing, witnessProblem(err)
		w.state.Failures++
	}
}

// witnessProblem tells everybody what is wrong with a witness, without an address of ours
// and without a word of theirs.
func witnessProblem(err error) string {
	for _, known := range []error{
		witness.ErrAhead, witness.ErrInconsistent, witness.ErrUnknownLog, witness.ErrForgotten, witness.ErrUnreachable,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the service cannot ask it now"
}

// witnessConflict makes the conflict out of a witness's, and says how to go on.
func witnessConflict(key ledger.WitnessKey, target signed, c *witness.ConflictError) error {
	who := "the witness " + key.Name()
	shown := who + " shows no signed checkpoint that contradicts it: it has said so " + strconv.Itoa(believed) + " times"
	if c.Theirs != nil {
		shown = "this ledger's key signed both checkpoints: one of them is of a ledger that was rolled back, restored from an old backup, or forked"
	}
	return &ConflictError{Who: who, Ours: target.note, Theirs: c.Theirs, Err: fmt.Errorf("%w\n%s\n"+
		"leave everything as it is; compare the checkpoints with who runs %s, and restore the newest database; "+
		"start without this --witness only when it is the witness that is wrong", c, shown, who)}
}

// compareWitnesses asks every witness about the newest checkpoint before the service
// begins. One that cannot be asked is no reason not to begin; one that refuses and does
// not show why is asked until it is believed, or does not. The error is a *ConflictError.
func (s *Service) compareWitnesses(ctx context.Context, head signed) error {
	if len(s.cosigners.all) == 0 {
		return nil
	}
	if head.Size == 0 {
		// The one checkpoint that is signed of an empty ledger: a witness that knows more
		// says so.
		note, err := s.cfg.Ledger.Sign(s.cfg.Ledger.Last(), nil)
		if err != nil {
			return err
		}
		head = signed{s.cfg.Ledger.Last(), note}
	}
	for _, w := range s.cosigners.all {
		known, err := s.lastCosignedBy(ctx, w.client.Key)
		if err != nil && !errors.Is(err, database.ErrNotFound) {
			return err
		}
		if known.Size > 0 {
			w.client.Recall(known.Size)
			w.state.Cosigned = known.Size
		}
	}
	for range believed {
		if err := s.round(ctx, head, nil); err != nil || !s.cosigners.refusing() {
			return err
		}
		select {
		case <-time.After(refusedAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil // it refused and then gave no answer: the next rounds count on
}

// refusing reports whether a witness refuses that is not believed yet; of the one round.
func (c *cosigners) refusing() bool {
	return slices.ContainsFunc(c.all, func(w *cosigner) bool { return w.refusals > 0 })
}

// provesTo proves that a ledger of some size continues its earlier ones.
func provesTo(db *database.DB, size int64) witness.Prove {
	return func(ctx context.Context, old int64) (proof []ledger.Hash, err error) {
		err = db.View(ctx, func(tx *database.Tx) error {
			proof, err = ledger.ProveConsistency(size, old, tx.Hashes())
			return err
		})
		return proof, err
	}
}

// unshown reports whether a witness refuses without showing why.
func unshown(err error) bool {
	c, ok := errors.AsType[*witness.ConflictError](err)
	return ok && c.Theirs == nil
}

// inspectWitnesses asks the witnesses for a service that is not running.
func inspectWitnesses(ctx context.Context, cfg Config) []Observation {
	var seen []Observation
	last := cfg.Ledger.Last()
	note, err := cfg.Ledger.Sign(last, nil)
	for _, e := range cfg.Witnesses {
		problem, mend := err, ""
		if err == nil {
			_, problem = witness.NewClient(e, cfg.Ledger.Key(), witnessTimeout).Offer(ctx, note, provesTo(cfg.Database, last.Size))
		}
		switch {
		case unshown(problem):
			mend = "it does not show which checkpoint contradicts: run check again, and ask who runs it"
		case errors.As(problem, new(*witness.ConflictError)):
			mend = "the database was rolled back or rewritten, or somebody signs with its key: keep everything, restore the newest database"
		case errors.Is(problem, witness.ErrUnknownLog):
			mend = "have it run with --log '" + cfg.Ledger.Key().String() + "'"
		case problem != nil:
			mend = "see that the witness runs and is reached at " + e.URL
		}
		seen = append(seen, observe("witness "+e.Key.Name(), problem, fmt.Sprintf("cosigned %d entries", last.Size), mend))
	}
	return seen
}
