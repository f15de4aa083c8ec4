package custody

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// MinUnpublished is the least that Config.MaxUnpublished can be: one batch of appends.
const MinUnpublished = maxBatch

// DefaultPublishWithin is how long an entry waits for others to be published with it.
const DefaultPublishWithin = time.Second

// The values of Config's members that are zero.
const (
	defaultMaxUnpublished = 10_000
	defaultRetainDays     = 3650
)

// storeName is how conflicts name whoever holds the segments.
const storeName = "the object store"

// ErrUnpublished: too much is not in the store yet. It is an ErrUnavailable.
var ErrUnpublished = fmt.Errorf("%w: too many entries are not in the object store yet", ErrUnavailable)

// The roles of a segment's objects, in what is noted of them.
const (
	roleEnvelopes evidence.Role = "envelopes"
	rolePayloads  evidence.Role = "payloads"
)

// publisher knows how much of the ledger lies in the store.
type publisher struct {
	tree     *ledger.Tree // over the entries that do; of the one who publishes
	begun    signed       // what the segment that is being put ends with; of the same
	resumed  bool         // it was looked for what an interruption left; of the same
	urged    atomic.Int64 // entries before this number do not wait for company
	failures atomic.Int64
	foreign  atomic.Int64 // objects of strangers, met where a segment, a cosigned checkpoint or time stamps go
	head     newest       // the newest checkpoint of which the store has all entries

	mu      sync.Mutex
	size    int64                // entries that do
	unnoted []database.Published // segments that the database does not know of yet
	oldest  ledger.Time          // of the first entry that does not; 0, if none is known
}

func (p *publisher) published() (size int64, oldest ledger.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size, p.oldest
}

func (p *publisher) waiting(oldest ledger.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.oldest = oldest
}

// add takes up a segment that is in the store now.
func (p *publisher) add(segment database.Published) (unnoted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = segment.To
	p.unnoted = append(p.unnoted, segment)
	return len(p.unnoted)
}

// note writes down what is in the store, with the next entries: a transaction of its
// own would keep them waiting, and what is not noted is found again.
func (p *publisher) note(tx *database.Tx) error {
	durable, err := tx.PublishedSize()
	if err != nil {
		return err
	}
	p.noted(durable)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, segment := range p.unnoted {
		if err := tx.SavePublished(segment); err != nil {
			return err
		}
	}
	return nil
}

// noted forgets what is durable in the database: the segments that end there or before.
func (p *publisher) noted(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.unnoted) > 0 && p.unnoted[0].To <= size {
		p.unnoted = p.unnoted[1:]
	}
}

// room refuses an entry when too many before it are not in the store.
func (s *Service) room(head int64) error {
	if size, _ := s.publisher.published(); head-size >= s.cfg.MaxUnpublished {
		return fmt.Errorf("%w: %d of them, at most %d may wait; it goes on by itself when the store takes them", ErrUnpublished, head-size, s.cfg.MaxUnpublished)
	}
	return nil
}

// maxUnnoted is how many segments the database may not know of; a start reads them.
const maxUnnoted = 64

// publishLoop puts what is signed into the store, until the service ends or the store
// holds another ledger. An alarm does not end it: what was signed before was acknowledged.
func (s *Service) publishLoop() {
	var due <-chan time.Time // runs while something waits
	for try := 0; ; {
		head, next := s.newest.get()
		size, _ := s.publisher.published()
		if head.Size > size && due == nil {
			due = time.After(s.cfg.PublishWithin)
		}
		if head.Size == size || try > 0 || !s.urgent(size, head.Size) {
			select {
			case <-due:
			case <-next:
				continue
			case <-s.ctx.Done():
				s.publishLast()
				return
			}
		}
		err := s.publishTo(s.draining, head) // a segment that was begun is put whole
		switch {
		case errors.Is(err, ErrRollback):
			s.publisher.failures.Add(1)
			s.alarm(err)
			return
		case err != nil:
			s.publisher.failures.Add(1)
			s.log.Warn("publish the ledger", "try", try+1, "error", err)
			due = time.After(retryAfter(try))
			try++
		default:
			if try > 0 {
				s.log.Info("the store takes the ledger again", "tries", try+1, "entries", head.Size)
			}
			due, try = nil, 0
		}
	}
}

// urgent reports whether entries that are signed are not to wait for more: an export was
// sealed, they make a segment, or soon nothing more would be taken.
func (s *Service) urgent(published, head int64) bool {
	return s.publisher.urged.Load() > published || head-published >= min(ledger.MaxSegmentEntries, s.cfg.MaxUnpublished/2)
}

// publishLast puts into the store what was signed until the end, and notes it.
func (s *Service) publishLast() {
	<-s.ended
	head, _ := s.newest.get()
	err := s.publishTo(s.draining, head)
	if err == nil {
		err = s.notePublished(s.draining)
	}
	if err != nil {
		size, _ := s.publisher.published()
		s.log.Warn("publish the last of the ledger", "unpublished", head.Size-size, "error", err)
	}
}

// publishTo puts the entries under a checkpoint into the store. An ErrRollback says that
// they do not go on there, or are not what was signed.
func (s *Service) publishTo(ctx context.Context, head signed) error {
	for {
		size, _ := s.publisher.published()
		if size >= head.Size {
			s.publisher.waiting(0)
			s.publisher.head.set(head)
			return nil
		}
		if err := s.publishNext(ctx, size, head); err != nil {
			return err
		}
	}
}

// publishNext puts the next segment.
func (s *Service) publishNext(ctx context.Context, from int64, head signed) error {
	if err := s.beginSegment(ctx, from, head); err != nil {
		return err
	}
	run, note, err := s.nextRun(ctx, from, s.publisher.begun)
	if err != nil {
		return err
	}
	envelope, err := ledger.ParseEnvelope(run[0].Envelope)
	if err != nil {
		return fmt.Errorf("%w: entry %d: %w", ErrRollback, from, err)
	}
	s.publisher.waiting(envelope.Time)
	tree := s.publisher.tree.Clone()
	if err := grow(tree, run, note, s.cfg.Ledger.Key()); err != nil {
		return err
	}
	payloads := make([][]byte, len(run))
	segment := ledger.Segment{From: from, Entries: make([]ledger.SegmentEntry, len(run)), Checkpoint: note}
	for i, e := range run {
		payloads[i], segment.Entries[i] = e.Payload, ledger.SegmentEntry{Envelope: e.Envelope, Signature: e.Signature}
	}
	second, err := s.putPayloads(ctx, &segment, payloads)
	if err != nil {
		return err
	}
	data := segment.Marshal()
	first, found, err := s.putSegment(ctx, from, data)
	if err != nil || found {
		return err
	}
	s.publisher.tree = tree
	return s.keep(ctx, segment, object(roleEnvelopes, first, sha256.Sum256(data)), second)
}

// beginSegment decides what the segment from an entry on ends with, once: so that what is
// tried again is the same bytes, however many entries came between. The first one ends
// where payloads end that an interruption left.
func (s *Service) beginSegment(ctx context.Context, from int64, head signed) error {
	if s.publisher.begun.Size > from {
		return nil
	}
	if !s.publisher.resumed {
		left, err := s.leftPayloads(ctx, from, head)
		if err != nil {
			return err
		}
		s.publisher.resumed, head = true, left
	}
	s.publisher.begun = head
	return nil
}

// leftPayloads gives the checkpoint that the payloads end with which lie in the store and
// begin with an entry; the newest one, if there are none that one of ours ends with.
func (s *Service) leftPayloads(ctx context.Context, from int64, head signed) (signed, error) {
	for o, err := range s.objects.List(ctx, ledger.PayloadsKey(from, 1)) {
		if err != nil && o.Key == "" {
			return signed{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err != nil || o.Marker {
			continue
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			continue // at worst they are put once more
		}
		first, payloads, err := ledger.ParsePayloads(data)
		to := from + int64(len(payloads))
		if err != nil || first != from || to >= head.Size {
			continue
		}
		left := signed{Checkpoint: ledger.Checkpoint{Origin: s.origin}}
		err = s.db.View(ctx, func(tx *database.Tx) (err error) {
			left.Size, left.note, err = tx.CheckpointUpTo(to)
			return err
		})
		if err == nil && left.Size == to {
			return left, nil
		}
	}
	return head, nil
}

func (s *Service) ledgerUntil() time.Time { return s.cfg.Now().AddDate(0, 0, s.cfg.LedgerRetainDays) }

func (s *Service) payloadsUntil() time.Time {
	return s.cfg.Now().AddDate(0, 0, s.cfg.PayloadRetainDays)
}

// putPayloads puts the payloads of a segment under the first of its names that is free,
// or finds them under one that is not, and names them in it.
func (s *Service) putPayloads(ctx context.Context, segment *ledger.Segment, payloads [][]byte) (evidence.Object, error) {
	data, named := ledger.MarshalPayloads("", segment.From, payloads)
	o, err := s.putNamed(ctx, payloadsNames, segment.From, data, s.payloadsUntil())
	if err != nil {
		return evidence.Object{}, err
	}
	if first := ledger.PayloadsKey(segment.From, 1); o.Key != first {
		if err := s.checkLeft(ctx, first, segment.From); errors.Is(err, errForeign) || errors.Is(err, objectstore.ErrForeign) {
			s.publisher.foreign.Add(1)
			s.log.Error("somebody else's object lies where the next payloads of the ledger go: who can write to the store?", "object", first, "error", err)
		}
	}
	named.Key = o.Key
	segment.Payloads = named
	return object(rolePayloads, o, digest.SHA256(named.SHA256)), nil
}

// checkLeft demands that an object is what an interruption left of this ledger's payloads
// from an entry on; if it is not, the error is errForeign or objectstore.ErrForeign.
func (s *Service) checkLeft(ctx context.Context, key string, from int64) error {
	o, err := s.objects.Stat(ctx, key, "")
	if err != nil {
		return err
	}
	if o.Size > ledger.MaxSegmentSize {
		return fmt.Errorf("%w: it has %d bytes", errForeign, o.Size)
	}
	data, err := s.readWhole(ctx, o)
	if err != nil {
		return err
	}
	return comparePayloads(ctx, s.db, data, from)
}

// comparePayloads demands that bytes are payloads of the database's entries from a number
// on; if they are not, the error is errForeign.
func comparePayloads(ctx context.Context, db *database.DB, data []byte, from int64) error {
	first, payloads, err := ledger.ParsePayloads(data)
	if err != nil || first != from {
		return fmt.Errorf("%w: not payloads from entry %d on: %w", errForeign, from, err)
	}
	var run []database.Entry
	err = db.View(ctx, func(tx *database.Tx) error {
		run, err = tx.Run(from, from+int64(len(payloads)), 2*ledger.MaxSegmentSize)
		return err
	})
	if err != nil {
		return err
	}
	if len(run) < len(payloads) {
		return fmt.Errorf("%w: %d payloads of %d entries", errForeign, len(payloads), len(run))
	}
	return samePayloads(payloads, run)
}

// samePayloads demands that payloads are those of entries. One that was erased since may
// be there. If they are others, the error is errForeign.
func samePayloads(payloads [][]byte, run []database.Entry) error {
	for i, payload := range payloads {
		envelope, err := ledger.ParseEnvelope(run[i].Envelope)
		if err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrRollback, run[i].Seq, err)
		}
		if sha256.Sum256(payload) != envelope.Payload && !bytes.Equal(payload, run[i].Payload) {
			return fmt.Errorf("%w: the payload of entry %d is another", errForeign, run[i].Seq)
		}
	}
	return nil
}

// putSegment puts a segment under the first of its names that is free. Where one of the
// ledger's lies already, that is taken up instead.
func (s *Service) putSegment(ctx context.Context, from int64, data []byte) (o objectstore.Object, found bool, err error) {
	refused := map[int]bool{}
	for n := 1; ; {
		o, err := s.objects.Put(ctx, ledger.SegmentKey(from, n), bytes.NewReader(data), int64(len(data)), s.ledgerUntil())
		if !errors.Is(err, fs.ErrExist) {
			return o, false, err
		}
		head, _ := s.newest.get()
		if found, err := s.adoptNext(ctx, from, head); found || err != nil {
			return objectstore.Object{}, found, err
		}
		refused[n] = true
		if n, err = s.freeName(ctx, segmentNames, from, refused); err != nil {
			return objectstore.Object{}, false, err
		}
	}
}

// nextRun gives the entries of the next segment and the signed checkpoint that it ends
// with: the newest one, or the last that a segment has room for.
func (s *Service) nextRun(ctx context.Context, from int64, head signed) (run []database.Entry, note []byte, err error) {
	err = s.db.View(ctx, func(tx *database.Tx) error {
		run, err = tx.Run(from, min(head.Size, from+ledger.MaxSegmentEntries), 2*ledger.MaxSegmentSize)
		if err != nil {
			return err
		}
		run = run[:fitting(run)]
		to := from + int64(len(run))
		if to == head.Size {
			note = head.note
			return nil
		}
		var size int64
		size, note, err = tx.CheckpointUpTo(to)
		if err != nil || size <= from {
			return fmt.Errorf("no checkpoint ends after entry %d and within %d entries: %w", from, len(run), errors.Join(err, database.ErrNotFound))
		}
		run = run[:size-from]
		return nil
	})
	return run, note, err
}

// fitting gives how many of the entries a segment has room for.
func fitting(run []database.Entry) int {
	const headers = 4096 // and a checkpoint with the signatures of witnesses
	envelopes, payloads := headers, headers
	for i, e := range run {
		envelopes += ledger.SegmentRoom(ledger.SegmentEntry{Envelope: e.Envelope, Signature: e.Signature})
		payloads += ledger.PayloadRoom(e.Payload)
		if max(envelopes, payloads) > ledger.MaxSegmentSize {
			return i
		}
	}
	return len(run)
}

// grow adds entries to a tree, and holds it against the checkpoint that was signed over
// them: what somebody changed in the database since is not published.
func grow(tree *ledger.Tree, run []database.Entry, note []byte, key ledger.VerifierKey) error {
	var stored []ledger.Hash
	for _, e := range run {
		if _, err := e.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrRollback, err)
		}
		stored = tree.Append(stored[:0], e.Leaf)
	}
	c, err := ledger.OpenCheckpoint(note, key)
	if err != nil {
		return fmt.Errorf("%w: the checkpoint over %d entries: %w", ErrRollback, tree.Size(), err)
	}
	if c.Size != tree.Size() || c.Root != tree.Root() {
		return fmt.Errorf("%w: the root at %d entries is %s, signed was %s at %d", ErrRollback, tree.Size(), tree.Root(), c.Root, c.Size)
	}
	return nil
}

// keep takes up a segment whose objects are in the store.
func (s *Service) keep(ctx context.Context, segment ledger.Segment, envelopes, payloads evidence.Object) error {
	row, err := publishedRow(segment, envelopes, payloads)
	if err != nil {
		return err
	}
	if s.publisher.add(row) >= maxUnnoted {
		return s.notePublished(ctx)
	}
	return nil
}

func publishedRow(segment ledger.Segment, envelopes, payloads evidence.Object) (database.Published, error) {
	row := database.Published{From: segment.From, To: segment.To()}
	var errs [2]error
	row.Envelopes, errs[0] = json.Marshal(envelopes)
	row.Payloads, errs[1] = json.Marshal(payloads)
	return row, errors.Join(errs[:]...)
}

func (s *Service) notePublished(ctx context.Context) error {
	if s.Alarm() != nil {
		return nil // nothing more is written into this database; the next start finds it
	}
	size, _ := s.publisher.published()
	if err := s.commitOutcome(s.db.Update(ctx, s.publisher.note)); err != nil {
		return err
	}
	s.publisher.noted(size)
	return nil
}

// readWhole reads an object of the ledger's own into memory.
func (s *Service) readWhole(ctx context.Context, o objectstore.Object) ([]byte, error) {
	if o.Size > ledger.MaxSegmentSize {
		return nil, fmt.Errorf("object %s: has %d bytes, a segment at most %d", o.Key, o.Size, ledger.MaxSegmentSize)
	}
	return s.readSmall(ctx, o)
}
