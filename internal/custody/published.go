package custody

import (
	"bytes"
	"cmp"
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
	if cfg.PayloadRetainDays < cfg.LedgerRetainDays {
		return Config{}, fmt.Errorf("the ledger's payloads are to be locked for %d days, its segments for %d: a ledger without payloads cannot be rebuilt, so want at least as many",
			cfg.PayloadRetainDays, cfg.LedgerRetainDays)
	}
	cfg.PublishWithin = cmp.Or(cfg.PublishWithin, DefaultPublishWithin)
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
	var segment ledger.Segment
	var c ledger.Checkpoint
	if err == nil {
		segment, c, err = openSegment(data, s.cfg.Ledger.Key(), last.From)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrReadBack) || errors.Is(err, errForeign) {
		s.log.Error("the newest segment of the ledger is gone from the object store: run custodyd audit", "object", noted.Key, "error", err)
		return s.compareAll(ctx, head)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return s.consistent(ctx, c, segment, head)
}

// errForeign: the ledger's key did not sign that. Whoever may write to the store can put
// it there, and it decides nothing.
var errForeign = errors.New("the key of the ledger did not sign it")

// openSegment reads a segment that begins with an entry and is signed with the ledger's
// key; else the error is errForeign. The signature is the checkpoint's: whether the
// entries are those under it is for the caller to find out.
func openSegment(data []byte, key ledger.VerifierKey, from int64) (ledger.Segment, ledger.Checkpoint, error) {
	segment, err := ledger.ParseSegment(data)
	if err != nil {
		return ledger.Segment{}, ledger.Checkpoint{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	c, err := segment.Verify(key)
	if err == nil && segment.From != from {
		err = fmt.Errorf("it is the segment from %d", segment.From)
	}
	if err != nil {
		return ledger.Segment{}, ledger.Checkpoint{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	return segment, c, nil
}

// compareAll holds every segment that is in the store against the database: what was
// noted is not there, so it may be of another history.
func (s *Service) compareAll(ctx context.Context, head signed) error {
	for o, err := range s.objects.List(ctx, "ledger-") {
		if err != nil && o.Key == "" {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		from, _, ok := ledger.ParseSegmentKey(o.Key)
		if err != nil || !ok || o.Marker || o.Size > ledger.MaxSegmentSize {
			continue // for the audit to tell
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if segment, c, err := openSegment(data, s.cfg.Ledger.Key(), from); err == nil {
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
		from, _, ok := ledger.ParseSegmentKey(o.Key)
		if err != nil || !ok || o.Marker || from < size {
			continue
		}
		data, err := s.readWhole(ctx, o)
		if err != nil {
			continue
		}
		if segment, c, err := openSegment(data, s.cfg.Ledger.Key(), from); err == nil && c.Size > size {
			size, note = c.Size, segment.Checkpoint
		}
	}
	return size, note
}

// adoptNext takes up the segment that lies in the store where the next one would be put,
// if there is one: it has to be what the database holds under a checkpoint of this
// ledger. What the ledger's key did not sign is told of, and is in nobody's way. Delete
// markers hide nothing from it.
func (s *Service) adoptNext(ctx context.Context, from int64, head signed) (found bool, err error) {
	for o, err := range s.objects.List(ctx, ledger.SegmentKey(from, 1)) {
		if err != nil && o.Key == "" {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if first, _, ok := ledger.ParseSegmentKey(o.Key); !ok || first != from || o.Marker {
			continue
		}
		switch {
		case err == nil:
			err = s.adoptSegment(ctx, from, o, head)
		case !errors.Is(err, objectstore.ErrForeign):
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, errForeign) && !errors.Is(err, objectstore.ErrForeign) {
			return false, err
		}
		s.publisher.foreign.Add(1)
		s.log.Error("somebody else's object lies where the next segment of the ledger goes: who can write to the store?",
			"object", o.Key, "version", o.Version, "error", err)
	}
	return false, nil
}

// adoptSegment takes up one object as the next segment, as durable and locked as one that was put
// now, with its payloads. A [*ConflictError] says that the ledger's key has signed
// something else than the database holds, errForeign that it has not signed this.
func (s *Service) adoptSegment(ctx context.Context, from int64, o objectstore.Object, head signed) error {
	if o.Size > ledger.MaxSegmentSize {
		return fmt.Errorf("%w: it has %d bytes", errForeign, o.Size)
	}
	data, err := s.readWhole(ctx, o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	segment, c, err := openSegment(data, s.cfg.Ledger.Key(), from)
	if err != nil {
		return err
	}
	if err := s.consistent(ctx, c, segment, head); err != nil {
		return err
	}
	// Whoever was shown a checkpoint can put it under other bytes.
	var run []database.Entry
	err = s.db.View(ctx, func(tx *database.Tx) error {
		run, err = tx.Run(from, segment.To(), 2*ledger.MaxSegmentSize)
		return err
	})
	if err != nil {
		return err
	}
	for i, e := range segment.Entries {
		if i >= len(run) || !bytes.Equal(run[i].Envelope, e.Envelope) || !bytes.Equal(run[i].Signature, e.Signature) {
			return fmt.Errorf("%w: entry %d is not the one under the checkpoint", errForeign, from+int64(i))
		}
	}
	second, found, err := s.findNamed(ctx, payloadsNames, from, sought{segment.Payloads.Key, segment.Payloads.Size, segment.Payloads.SHA256}, s.payloadsUntil())
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: object %s, which it names, is not in the store", errForeign, segment.Payloads.Key)
	}
	if err := s.holdsPayloads(ctx, second, run); err != nil {
		return err
	}
	first, err := s.lockOn(ctx, o, s.ledgerUntil())
	if err != nil {
		return err
	}
	tree := s.publisher.tree.Clone()
	var hashes []ledger.Hash
	for _, e := range run {
		hashes = tree.Append(hashes[:0], e.Leaf)
	}
	s.publisher.tree = tree
	return s.keep(ctx, segment, object(roleEnvelopes, first, sha256.Sum256(data)), object(rolePayloads, second, digest.SHA256(segment.Payloads.SHA256)))
}

// holdsPayloads demands that an object holds the payloads of entries, and no others.
func (s *Service) holdsPayloads(ctx context.Context, o objectstore.Object, run []database.Entry) error {
	data, err := s.readWhole(ctx, o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	_, payloads, err := ledger.ParsePayloads(data)
	if err != nil || len(payloads) != len(run) {
		return fmt.Errorf("%w: object %s: has %d payloads of %d entries: %w", errForeign, o.Key, len(payloads), len(run), err)
	}
	if err := samePayloads(payloads, run); err != nil {
		return fmt.Errorf("object %s: %w", o.Key, err)
	}
	return nil
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
