package custody

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// publishing fills in the members about publication that are zero.
func (cfg Config) publishing() (Config, error) {
	for _, days := range []*int{&cfg.LedgerRetainDays, &cfg.PayloadRetainDays} {
		if *days == 0 {
			*days = defaultRetainDays
		}
		if *days < 1 || *days > evidence.MaxRetainDays {
			return Config{}, fmt.Errorf("the ledger is to be locked for %d days: want 1 to %d", *days, evidence.MaxRetainDays)
		}
	}
	if cfg.MaxUnpublished == 0 {
		cfg.MaxUnpublished = defaultMaxUnpublished
	}
	if cfg.MaxUnpublished < MinUnpublished {
		return Config{}, fmt.Errorf("%d entries may be unpublished: want at least %d", cfg.MaxUnpublished, MinUnpublished)
	}
	return cfg, nil
}

// compareStore holds what the object store has of the ledger against a database of
// which next is true, and takes up what is not noted there: a crash came between. The
// error is a *ConflictError when the store has more, or something else.
func (s *Service) compareStore(ctx context.Context, next ledger.Checkpoint) error {
	var last database.Published
	var ours []byte
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		if last, err = tx.LastPublished(); err != nil && !errors.Is(err, database.ErrNotFound) {
			return err
		}
		if _, ours, err = tx.LastCheckpoint(); err != nil && !errors.Is(err, database.ErrNotFound) {
			return err
		}
		s.publisher.tree, err = ledger.LoadTree(last.To, tx.Hashes())
		return err
	})
	if err != nil {
		return err
	}
	s.publisher.size = last.To
	if err := s.forgetPuts(ctx); err != nil {
		return err
	}
	head := signed{next, ours}
	if last.To > 0 {
		if err := s.compareNewest(ctx, last, head); err != nil {
			return err
		}
	}
	for {
		from, _ := s.publisher.published()
		found, err := s.adoptNext(ctx, from, head)
		if err != nil || !found {
			return err
		}
	}
}

// forgetPuts has the store forget segments whose putting was interrupted.
func (s *Service) forgetPuts(ctx context.Context) error {
	for _, prefix := range []string{"ledger-", "payload-"} {
		for u, err := range s.objects.Uploads(ctx, prefix) {
			if err == nil {
				err = s.objects.Abort(ctx, u)
			}
			if err != nil {
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
	}
	return nil
}

// compareNewest holds the newest segment that was noted against the database: somebody
// who rewrites that may rewrite the note too, and not the store.
func (s *Service) compareNewest(ctx context.Context, last database.Published, head signed) error {
	var noted evidence.Object
	if err := json.Unmarshal(last.Envelopes, &noted); err != nil {
		return fmt.Errorf("%w: segment from %d: %w", database.ErrDamaged, last.From, err)
	}
	data, err := s.readWhole(ctx, stored(noted))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrReadBack) {
		s.log.Error("the newest segment of the ledger is gone from the object store: run custodyd audit", "object", noted.Key, "error", err)
		return s.compareAll(ctx, head)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	segment, err := ledger.ParseSegment(data)
	if err != nil {
		return s.conflict(head, nil, fmt.Errorf("object %s: %w", noted.Key, err))
	}
	c, err := segment.Verify(s.cfg.Ledger.Key())
	if err != nil {
		return s.conflict(head, segment.Checkpoint, fmt.Errorf("object %s: %w", noted.Key, err))
	}
	return s.consistent(ctx, c, segment, head)
}

// compareAll holds every segment that is in the store against the database: what was
// noted is not there, so it may be of another history.
func (s *Service) compareAll(ctx context.Context, head signed) error {
	for o, err := range s.objects.List(ctx, "ledger-") {
		if err != nil && o.Key == "" {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if _, ok := ledger.ParseSegmentKey(o.Key); err != nil || !ok || o.Marker {
			continue // for the audit to tell
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		segment, err := ledger.ParseSegment(data)
		if err != nil {
			continue
		}
		if c, err := segment.Verify(s.cfg.Ledger.Key()); err == nil {
			if err := s.consistent(ctx, c, segment, head); err != nil {
				return err
			}
		}
	}
	return nil
}

// consistent demands that the checkpoint of a segment is one of the database's.
func (s *Service) consistent(ctx context.Context, c ledger.Checkpoint, segment ledger.Segment, head signed) error {
	if c.Size > head.Size {
		newest, note := s.newestInStore(ctx, c, segment.Checkpoint)
		return s.conflict(head, note, fmt.Errorf("it holds %d entries, the database %d: the database was rolled back; run custodyd rebuild --from-store on an empty directory with this one's keys", newest, head.Size))
	}
	var root ledger.Hash
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		root, err = ledger.RootAt(c.Size, tx.Hashes())
		return err
	})
	if err != nil {
		return err
	}
	if root != c.Root {
		return s.conflict(head, segment.Checkpoint, fmt.Errorf("at %d entries its root is %s, the database's %s: one of them was rewritten", c.Size, c.Root, root))
	}
	return nil
}

func (s *Service) conflict(ours signed, theirs []byte, err error) error {
	return &ConflictError{Who: storeName, Ours: ours.note, Theirs: theirs, Err: err}
}

// newestInStore gives the largest size that the store has a good checkpoint of, and its
// note: not less than what is known.
func (s *Service) newestInStore(ctx context.Context, known ledger.Checkpoint, note []byte) (int64, []byte) {
	size := known.Size
	for o, err := range s.objects.List(ctx, "ledger-") {
		if from, ok := ledger.ParseSegmentKey(o.Key); err != nil || !ok || o.Marker || from < size {
			continue
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			continue
		}
		segment, err := ledger.ParseSegment(data)
		if err != nil {
			continue
		}
		if c, err := segment.Verify(s.cfg.Ledger.Key()); err == nil && c.Size > size {
			size, note = c.Size, segment.Checkpoint
		}
	}
	return size, note
}

// adoptNext takes up the segment that lies in the store where the next one would be put,
// if there is one: it has to be what the database holds under a checkpoint of this
// ledger. Delete markers hide nothing from it.
func (s *Service) adoptNext(ctx context.Context, from int64, head signed) (found bool, err error) {
	key := ledger.SegmentKey(from)
	var mine *objectstore.Object
	var segment ledger.Segment
	var sum digest.SHA256
	var stranger error
	for o, err := range s.objects.List(ctx, key) {
		if o.Key != key || o.Marker {
			if err != nil && o.Key == "" {
				return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			continue
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		here, err := s.judgeSegment(ctx, from, data, head)
		if conflict := (*ConflictError)(nil); errors.As(err, &conflict) && conflict.Theirs != nil {
			return false, err
		}
		if err != nil {
			stranger = err
			continue
		}
		mine, segment, sum = &o, here, sha256.Sum256(data)
	}
	if mine == nil {
		return false, stranger
	}
	return true, s.takeSegment(ctx, segment, *mine, sum)
}

// judgeSegment holds the bytes of a segment against the database. A conflict without
// their note is about bytes that this ledger's key did not sign.
func (s *Service) judgeSegment(ctx context.Context, from int64, data []byte, head signed) (ledger.Segment, error) {
	name := ledger.SegmentKey(from)
	segment, err := ledger.ParseSegment(data)
	if err != nil {
		return ledger.Segment{}, s.conflict(head, nil, fmt.Errorf("object %s: %w", name, err))
	}
	c, err := segment.Verify(s.cfg.Ledger.Key())
	if err != nil || segment.From != from {
		return ledger.Segment{}, s.conflict(head, nil, fmt.Errorf("object %s is not of this ledger's key: %w", name, errors.Join(err, ErrOtherStore)))
	}
	if err := s.consistent(ctx, c, segment, head); err != nil {
		return ledger.Segment{}, err
	}
	var run []database.Entry
	err = s.db.View(ctx, func(tx *database.Tx) error {
		run, err = tx.Run(from, segment.To(), 2*ledger.MaxSegmentSize)
		return err
	})
	if err != nil {
		return ledger.Segment{}, err
	}
	for i, e := range segment.Entries {
		if i >= len(run) || !bytes.Equal(run[i].Envelope, e.Envelope) || !bytes.Equal(run[i].Signature, e.Signature) {
			return ledger.Segment{}, s.conflict(head, nil, fmt.Errorf("object %s: entry %d is not the database's", name, from+int64(i)))
		}
	}
	return segment, nil
}

// takeSegment takes up a segment that is in the store and not noted, as durable and locked as
// one that was put now, with its payloads.
func (s *Service) takeSegment(ctx context.Context, segment ledger.Segment, o objectstore.Object, sum digest.SHA256) error {
	first, err := s.lockOn(ctx, o, s.ledgerUntil())
	if err != nil {
		return err
	}
	second, err := s.payloadsOf(ctx, segment)
	if err != nil {
		return err
	}
	tree := s.publisher.tree.Clone()
	var hashes []ledger.Hash
	for _, e := range segment.Entries {
		hashes = tree.Append(hashes[:0], ledger.LeafHash(e.Envelope))
	}
	s.publisher.tree = tree
	return s.keep(ctx, segment, object(roleEnvelopes, first, sum), object(rolePayloads, second, digest.SHA256(segment.Payloads.SHA256)))
}

// payloadsOf gives the object with the payloads that a segment names.
func (s *Service) payloadsOf(ctx context.Context, segment ledger.Segment) (objectstore.Object, error) {
	for o, err := range s.objects.List(ctx, segment.Payloads.Key) {
		if err != nil {
			return objectstore.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if o.Key != segment.Payloads.Key || o.Marker || o.Size != segment.Payloads.Size {
			continue
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			return objectstore.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if sha256.Sum256(data) == segment.Payloads.SHA256 {
			return s.lockOn(ctx, o, s.cfg.Now().AddDate(0, 0, s.cfg.PayloadRetainDays))
		}
	}
	return objectstore.Object{}, fmt.Errorf("%w: object %s, which %s names, is not in the store", ErrUnavailable, segment.Payloads.Key, ledger.SegmentKey(segment.From))
}

// lockOn makes an object as durable and locked as one that is put now.
func (s *Service) lockOn(ctx context.Context, o objectstore.Object, until time.Time) (objectstore.Object, error) {
	if until.Before(o.RetainUntil) {
		until = o.RetainUntil
	}
	return s.objects.Extend(ctx, o, until)
}

// publishBacklog puts what waits before the service begins, where it is so much that
// the note of the start might be refused: a ledger that was never published.
func (s *Service) publishBacklog(ctx context.Context) error {
	head, _ := s.newest.get()
	size, _ := s.publisher.published()
	if head.Size-size+maxBatch <= s.cfg.MaxUnpublished {
		return nil
	}
	s.log.Info("publish what is not in the object store yet", "entries", head.Size-size)
	if err := s.publishTo(ctx, head); err != nil {
		return err
	}
	return s.notePublished(ctx)
}
