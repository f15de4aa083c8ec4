package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// Phase says how far an intake has come on the server. The first five are
// phases of the work, the others end it and follow from the ledger.
type Phase string

// The phases.
const (
	Receiving Phase = "receiving" // an upload: bytes are coming, or awaited
	Received  Phase = "received"  // all bytes are durable; the object is being completed and read back
	Copying   Phase = "copying"   // a working copy: the store is making it
	Checked   Phase = "checked"   // read back; the client has not stated its own hash yet
	Ready     Phase = "ready"     // the facts can be signed

	Sealed      Phase = "sealed"
	Issued      Phase = "issued"
	Quarantined Phase = "quarantined"
	Abandoned   Phase = "abandoned"
)

// upload is the server's own record of an intake under way: what it states to
// the client and later compares with what the client signed.
type upload struct {
	Phase      Phase                             `json:"phase"`
	Store      *objectstore.Upload               `json:"store,omitempty"`
	Declared   digest.Set                        `json:"declared,omitzero"` // the examiner's, complete
	Received   digest.Set                        `json:"received,omitzero"`
	ReadBack   digest.Set                        `json:"read_back,omitzero"`
	ReadSource string                            `json:"read_source,omitempty"`
	Objects    map[evidence.Role]evidence.Object `json:"objects,omitempty"`
	Problem    string                            `json:"problem,omitempty"` // why it cannot go on, for good
	Lost       bool                              `json:"lost,omitempty"`    // the store has forgotten what was sent
}

func saveUpload(tx *database.Tx, id uuid.UUID, u upload) error {
	doc, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("intake %s: %w", id, err)
	}
	return tx.SaveUpload(database.Upload{Intake: id, Phase: string(u.Phase), Doc: doc})
}

// loadUpload reads the record of an intake under way. Where there is none any more
// it begins again.
func loadUpload(tx *database.Tx, id uuid.UUID) (upload, error) {
	row, err := tx.Upload(id)
	if errors.Is(err, evidence.ErrNotFound) {
		i, e := tx.Intake(id)
		switch {
		case e != nil || i.State != evidence.Declared:
			return upload{}, err
		case i.Class == evidence.Master:
			return upload{Phase: Receiving}, nil
		}
		return upload{Phase: Copying}, nil
	}
	if err != nil {
		return upload{}, err
	}
	var u upload
	if err := json.Unmarshal(row.Doc, &u); err != nil {
		return upload{}, fmt.Errorf("intake %s: %w", id, err)
	}
	return u, nil
}

// updateUpload changes the record of an intake in a transaction of its own. One
// that was abandoned meanwhile changes no more.
func (s *Service) updateUpload(ctx context.Context, id uuid.UUID, change func(*upload) error) error {
	return s.updateUploadWith(ctx, id, func(_ *database.Tx, u *upload) error { return change(u) })
}

// updateUploadWith is updateUpload together with other rows.
func (s *Service) updateUploadWith(ctx context.Context, id uuid.UUID, change func(*database.Tx, *upload) error) error {
	err := s.db.Update(ctx, func(tx *database.Tx) error {
		u, err := loadUpload(tx, id)
		if err != nil {
			return err
		}
		if u.Phase == Abandoned {
			return abandoned(id)
		}
		if err := change(tx, &u); err != nil {
			return err
		}
		return saveUpload(tx, id, u)
	})
	if err == nil {
		s.intakes.changed()
	}
	return s.commitOutcome(err)
}

// commitOutcome halts the service when a commit's outcome is unknown.
func (s *Service) commitOutcome(err error) error {
	if errors.Is(err, database.ErrCommit) {
		s.halt(err)
		return s.cause
	}
	return err
}

// key derives the name of an intake's object from its id, never from a file's name.
func key(id uuid.UUID, role evidence.Role) string { return id.String() + "-" + string(role) }

// retainUntil tells until when an object of an intake is locked that is written now:
// for the case's days from now on. The law counts them from the declaration, which
// may be old, so that a store would be asked for a day that is over.
func (s *Service) retainUntil(i evidence.Intake, c evidence.Case) time.Time {
	from := i.DeclaredAt.Time()
	if now := s.cfg.Now(); now.After(from) {
		from = now
	}
	return from.Add(time.Duration(c.RetainDays) * 24 * time.Hour).Truncate(time.Second).Add(time.Second)
}

// object writes down what the store answered.
func object(role evidence.Role, o objectstore.Object, sha256 digest.SHA256) evidence.Object {
	e := evidence.Object{
		Role: role, Bucket: o.Bucket, Key: o.Key, Version: o.Version, Size: o.Size, SHA256: sha256, Lock: string(o.Lock),
	}
	if !o.RetainUntil.IsZero() {
		until := evidence.TimeOf(o.RetainUntil)
		e.RetainUntil = &until
	}
	return e
}

// stored turns an object of an entry back into one of the store.
func stored(o evidence.Object) objectstore.Object {
	s := objectstore.Object{Bucket: o.Bucket, Key: o.Key, Version: o.Version, Size: o.Size, Lock: objectstore.LockMode(o.Lock)}
	if o.RetainUntil != nil {
		s.RetainUntil = o.RetainUntil.Time()
	}
	return s
}

// own gives an intake of the caller's that is under way, with its case.
func (s *Service) own(tx *database.Tx, c Caller, id uuid.UUID) (evidence.Intake, evidence.Case, error) {
	i, err := tx.Intake(id)
	if err != nil {
		return evidence.Intake{}, evidence.Case{}, fmt.Errorf("intake %s: %w", id, err)
	}
	if i.By != c.Principal {
		return evidence.Intake{}, evidence.Case{}, fmt.Errorf("%w: intake %s was declared by another person", evidence.ErrForbidden, id)
	}
	if i.State != evidence.Declared {
		return evidence.Intake{}, evidence.Case{}, &evidence.TransitionError{
			Subject: "intake " + id.String(), Kind: "upload", Reason: "it is " + string(i.State) + " already",
		}
	}
	holder, err := tx.Case(i.Case)
	return i, holder, err
}

// Upload is where the bytes of an intake go.
type Upload struct {
	s      *Service
	intake evidence.Intake
	until  time.Time
	offset int64
}

// Size is the number of bytes that were declared.
func (u *Upload) Size() int64 { return u.intake.Size }

// Offset is how many bytes were durable when the upload was opened.
func (u *Upload) Offset() int64 { return u.offset }

// writer is who writes to an intake now.
type writer struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// takeOver is how long a new connection waits for the old one to let go.
const takeOver = 15 * time.Second

// OpenUpload gives the upload of an intake that the caller declared, new or
// resumed.
func (s *Service) OpenUpload(ctx context.Context, c Caller, id uuid.UUID) (*Upload, error) {
	if err := c.allow(identity.IntakeUpload); err != nil {
		return nil, err
	}
	u := &Upload{s: s}
	err := s.db.View(ctx, func(tx *database.Tx) error {
		i, holder, err := s.own(tx, c, id)
		if err != nil {
			return err
		}
		record, err := loadUpload(tx, id)
		if err != nil {
			return err
		}
		if i.Class != evidence.Master {
			return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "upload", Reason: "the store makes a working copy itself"}
		}
		u.intake, u.until, u.offset = i, s.retainUntil(i, holder), i.Size
		if record.Phase == Receiving {
			u.offset, err = durable(tx, id)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// durable tells how many bytes of an intake are noted as durable.
func durable(tx *database.Tx, id uuid.UUID) (int64, error) {
	last, err := tx.LastPart(id)
	if errors.Is(err, evidence.ErrNotFound) {
		return 0, nil
	}
	return last.Offset + last.Size, err
}

// WriteFrom takes the bytes from offset on, part by part, each hashed while it
// flows into the store, and noted with its hash state when it is durable and all
// before it are noted. It returns how many bytes became durable; after an error the client asks
// for the offset and goes on from there. A newer connection takes over from an
// older one, which may be dead without knowing it.
func (u *Upload) WriteFrom(ctx context.Context, offset int64, r io.Reader) (n int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(u.s.ctx, cancel)()
	if c, ok := r.(io.Closer); ok { // a read that waits on a dead connection ends with ctx
		defer context.AfterFunc(ctx, func() { closeQuietly(c) })()
	}
	me := &writer{cancel, make(chan struct{})}
	if err := u.s.takeOver(ctx, u.intake.Intake, me); err != nil {
		return 0, err
	}
	defer u.s.release(u.intake.Intake, me)
	if err := u.s.Cause(); err != nil {
		return 0, err
	}
	n, err = u.write(ctx, offset, r)
	if err == nil && offset+n == u.intake.Size {
		u.s.start(u.intake.Intake)
	}
	return n, err
}

// takeOver makes w the one writer of an intake, ending another that is there.
func (s *Service) takeOver(ctx context.Context, id uuid.UUID, w *writer) error {
	timeout := time.NewTimer(takeOver)
	defer timeout.Stop()
	for {
		other, busy := s.uploads.LoadOrStore(id, w)
		if !busy {
			return nil
		}
		old := other.(*writer)
		old.cancel()
		select {
		case <-old.done:
		case <-timeout.C:
			return fmt.Errorf("%w: another connection is writing to intake %s", ErrBusy, id)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release lets another writer begin.
func (s *Service) release(id uuid.UUID, w *writer) {
	s.uploads.CompareAndDelete(id, w)
	close(w.done)
}

// session is one run of parts: the store's upload and the hasher beside it.
type session struct {
	store  objectstore.Upload
	hasher *digest.Hasher
	next   int // the number of the next part
}

// write takes part after part. While the store makes one durable the next is
// received, so that neither the line nor the disk waits for the other; a third
// part waits. The first that fails is the last.
func (u *Upload) write(ctx context.Context, offset int64, r io.Reader) (n int64, err error) {
	run, err := u.resume(ctx, offset)
	if err != nil || run == nil {
		return 0, err
	}
	defer run.hasher.Close()
	if u.intake.Size == 0 {
		return 0, u.nothing(ctx, run)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	behind := u.s.trail(ctx, u.intake, run.store)
	defer func() {
		if offset+n < u.intake.Size {
			behind.rest()
		}
	}()
	last := &part{ended: closed} // there is none
	for at := offset; at < u.intake.Size && ctx.Err() == nil; run.next++ {
		_, size, fault := run.store.Part(run.next)
		if fault != nil {
			<-last.ended
			return n, errors.Join(last.err, fault)
		}
		before, p := last, newPart(ctx, run, at, size, r)
		go func() {
			defer close(p.ended)
			if p.err = u.send(ctx, run.store, p, before); p.err != nil {
				cancel()
				return
			}
			n += size // one part at a time comes here
			behind.reach(p.offset + size)
			u.s.counters.received.Add(size)
		}()
		select {
		case <-p.taken:
		case <-p.ended:
		}
		<-before.ended
		last, at = p, at+size
	}
	<-last.ended
	if last.err == nil && offset+n < u.intake.Size {
		return n, ctx.Err()
	}
	return n, last.err
}

// nothing notes an upload of no bytes.
func (u *Upload) nothing(ctx context.Context, run *session) error {
	digests, _, err := run.hasher.Sum()
	if err != nil {
		return err
	}
	return u.s.updateUpload(ctx, u.intake.Intake, func(record *upload) error { return record.receive(u.intake.Intake, digests) })
}

func abandoned(id uuid.UUID) error {
	return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "upload", Reason: "it is abandoned already"}
}

// receive notes that all bytes are durable, and the hash of them.
func (u *upload) receive(id uuid.UUID, all digest.Set) error {
	if u.Phase != Receiving {
		return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "upload", Reason: "it is " + string(u.Phase) + " already"}
	}
	u.Phase, u.Received, u.Lost = Received, all, false
	return nil
}

// resume reads where the upload stands. The offset must be that place. It gives
// nil when nothing is left to write.
func (u *Upload) resume(ctx context.Context, offset int64) (*session, error) {
	var record upload
	var at int64
	var state []byte
	run := &session{next: 1}
	err := u.s.db.View(ctx, func(tx *database.Tx) (err error) {
		if record, err = loadUpload(tx, u.intake.Intake); err != nil {
			return err
		}
		last, err := tx.LastPart(u.intake.Intake)
		if errors.Is(err, evidence.ErrNotFound) {
			return nil
		}
		at, run.next, state = last.Offset+last.Size, last.Number+1, last.State
		return err
	})
	if err != nil {
		return nil, err
	}
	if record.Phase == Abandoned {
		return nil, abandoned(u.intake.Intake)
	}
	if record.Problem != "" {
		return nil, stuck(u.intake.Intake, record.Problem)
	}
	if record.Phase != Receiving {
		return nil, nil
	}
	if at != offset {
		return nil, fmt.Errorf("%w: the upload stands at byte %d, not %d", evidence.ErrStale, at, offset)
	}
	if record.Store != nil {
		run.store = *record.Store
	} else if run.store, err = u.begin(ctx); err != nil {
		return nil, err
	}
	if state == nil {
		run.hasher = digest.NewHasher(u.intake.Declared.Algorithms()...)
		return run, nil
	}
	var s digest.State
	if err := s.UnmarshalBinary(state); err != nil {
		return nil, fmt.Errorf("intake %s: %w", u.intake.Intake, err)
	}
	run.hasher, err = digest.ResumeHasher(s)
	return run, err
}

// abandon ends the record of an intake that will not come; the job that follows
// tells the store.
func abandon(tx *database.Tx, id uuid.UUID) error {
	u, err := loadUpload(tx, id)
	if err != nil && !errors.Is(err, evidence.ErrNotFound) {
		return err
	}
	u.Phase = Abandoned
	return saveUpload(tx, id, u)
}

// storeFault marks an error of the store as one that a retry may mend. What the
// sender's bytes are to blame for stays as it is.
func storeFault(err error) error {
	if refusal(err) || errors.Is(err, objectstore.ErrSize) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func closeQuietly(c io.Closer) { _ = c.Close() } // only read from

// sameFacts compares what was stated with what was signed.
func sameFacts(a, b evidence.Facts) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
