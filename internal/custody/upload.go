package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
}

func saveUpload(tx *database.Tx, id uuid.UUID, u upload) error {
	doc, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("intake %s: %w", id, err)
	}
	return tx.SaveUpload(database.Upload{Intake: id, Phase: string(u.Phase), Doc: doc})
}

func loadUpload(tx *database.Tx, id uuid.UUID) (upload, error) {
	row, err := tx.Upload(id)
	if err != nil {
		return upload{}, err
	}
	var u upload
	if err := json.Unmarshal(row.Doc, &u); err != nil {
		return upload{}, fmt.Errorf("intake %s: %w", id, err)
	}
	return u, nil
}

// updateUpload changes the record of an intake in a transaction of its own.
func (s *Service) updateUpload(ctx context.Context, id uuid.UUID, change func(*upload) error) error {
	err := s.db.Update(ctx, func(tx *database.Tx) error {
		u, err := loadUpload(tx, id)
		if err != nil {
			return err
		}
		if err := change(&u); err != nil {
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

// retainUntil tells until when the objects of an intake are locked.
func retainUntil(i evidence.Intake, c evidence.Case) time.Time {
	return i.DeclaredAt.Time().Add(time.Duration(c.RetainDays) * 24 * time.Hour).Truncate(time.Second).Add(time.Second)
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
		u.intake, u.until, u.offset = i, retainUntil(i, holder), i.Size
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
	parts, err := tx.Parts(id)
	if err != nil || len(parts) == 0 {
		return 0, err
	}
	last := parts[len(parts)-1]
	return last.Offset + last.Size, nil
}

// WriteFrom takes the bytes from offset on, part by part, each hashed while it
// flows into the store, each durable and noted with its hash state before the
// next. It returns how many bytes became durable; after an error the client asks
// for the offset and goes on from there. A newer connection takes over from an
// older one, which may be dead without knowing it.
func (u *Upload) WriteFrom(ctx context.Context, offset int64, r io.Reader) (n int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(u.s.ctx, cancel)()
	me := &writer{cancel, make(chan struct{})}
	if err := u.s.takeOver(ctx, u.intake.Intake, me); err != nil {
		return 0, err
	}
	defer func() {
		u.s.uploads.CompareAndDelete(u.intake.Intake, me)
		close(me.done)
	}()
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
		old := other.(*writer) //nolint:errcheck,forcetypeassert // the map holds nothing else
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

// session is one run of parts: the store's upload and the hasher beside it.
type session struct {
	store  objectstore.Upload
	hasher *digest.Hasher
	next   int // the number of the next part
}

func (u *Upload) write(ctx context.Context, offset int64, r io.Reader) (n int64, err error) {
	run, err := u.resume(ctx, offset)
	if err != nil || run == nil {
		return 0, err
	}
	defer run.hasher.Close()
	for at := offset; at < u.intake.Size || at == 0; {
		var size int64
		if u.intake.Size > 0 {
			if _, size, err = run.store.Part(run.next); err != nil {
				return n, err
			}
			if err := u.part(ctx, run, at, size, r); err != nil {
				return n, err
			}
		}
		at, n, run.next = at+size, n+size, run.next+1
		u.s.counters.received.Add(size)
		if at == u.intake.Size {
			break
		}
	}
	received, _, err := run.hasher.Sum()
	if err != nil {
		return n, err
	}
	return n, u.s.updateUpload(ctx, u.intake.Intake, func(record *upload) error {
		record.Phase, record.Received = Received, received
		return nil
	})
}

// part moves one part into the store and notes it.
func (u *Upload) part(ctx context.Context, run *session, offset, size int64, r io.Reader) error {
	// The store reads from its own goroutines; nothing of the next part may go
	// through the hasher before this one is noted.
	part, err := u.s.objects.WritePart(ctx, run.store, run.next, io.TeeReader(io.LimitReader(r, size), run.hasher), size)
	if err != nil {
		return fmt.Errorf("part %d: %w", run.next, err)
	}
	state, err := run.hasher.State()
	if err != nil {
		return err
	}
	if state.Size() != offset+size {
		return fmt.Errorf("part %d: %d bytes were hashed, %d stored", run.next, state.Size()-offset, size)
	}
	stateBytes, err := state.MarshalBinary()
	if err != nil {
		return err
	}
	midstates, err := run.hasher.Midstates()
	if err != nil {
		return err
	}
	doc, err := json.Marshal(part)
	if err != nil {
		return err
	}
	// A part that is durable in the store is noted even if the client goes now.
	err = u.s.db.Update(context.WithoutCancel(ctx), func(tx *database.Tx) error {
		return tx.AddPart(u.intake.Intake, database.Part{
			Number: run.next, Offset: offset, Size: size, Doc: doc, State: stateBytes, Midstates: midstates.Bytes(),
		})
	})
	if err == nil {
		u.s.intakes.changed()
	}
	return u.s.commitOutcome(err)
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
		parts, err := tx.Parts(u.intake.Intake)
		if err != nil || len(parts) == 0 {
			return err
		}
		last := parts[len(parts)-1]
		at, run.next = last.Offset+last.Size, last.Number+1
		state, err = tx.LastState(u.intake.Intake)
		return err
	})
	if err != nil {
		return nil, err
	}
	if record.Phase != Receiving {
		return nil, nil
	}
	if at != offset {
		return nil, fmt.Errorf("%w: the upload stands at byte %d, not %d", evidence.ErrStale, at, offset)
	}
	if record.Store == nil {
		begun, err := u.s.objects.Begin(ctx, key(u.intake.Intake, evidence.Content), u.intake.Size, u.until)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err := u.s.updateUpload(ctx, u.intake.Intake, func(r *upload) error { r.Store = &begun; return nil }); err != nil {
			return nil, err
		}
		record.Store = &begun
	}
	run.store = *record.Store
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

// Attach stores an object beside the content before the intake is complete: the
// imaging tool's log, or the list of a set's files.
func (s *Service) Attach(ctx context.Context, c Caller, id uuid.UUID, role evidence.Role, size int64, r io.Reader) (evidence.Object, error) {
	if err := c.allow(identity.IntakeUpload); err != nil {
		return evidence.Object{}, err
	}
	var intake evidence.Intake
	var until time.Time
	var record upload
	err := s.db.View(ctx, func(tx *database.Tx) error {
		i, holder, err := s.own(tx, c, id)
		if err != nil {
			return err
		}
		intake, until = i, retainUntil(i, holder)
		record, err = loadUpload(tx, id)
		return err
	})
	if err != nil {
		return evidence.Object{}, err
	}
	most, err := attachable(intake, role)
	if err != nil {
		return evidence.Object{}, err
	}
	if size < 0 || size > most {
		return evidence.Object{}, &evidence.FieldError{Field: "size", Problem: fmt.Sprintf("is %d, want 0 to %d", size, most)}
	}
	hash := digest.NewReader(io.LimitReader(r, size))
	defer hash.Close()
	checked := io.Reader(hash)
	if role == evidence.Files {
		// The list is parsed while it flows; a malformed one never becomes an object.
		checked = checkList(hash, intake)
	}
	put, err := s.objects.Put(ctx, key(id, role), checked, size, until)
	if errors.Is(err, fs.ErrExist) {
		if known, ok := record.Objects[role]; ok {
			return known, nil // an answer was lost
		}
		put, err = s.objects.Stat(ctx, key(id, role), "")
		if err != nil {
			return evidence.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return s.adopt(ctx, intake, role, put)
	}
	if err != nil {
		return evidence.Object{}, err
	}
	set, _, err := hash.Finish()
	if err != nil {
		return evidence.Object{}, err
	}
	sha256, _ := set.SHA256()
	return s.attach(ctx, intake, object(role, put, sha256))
}

// adopt takes over an attachment that was stored but not noted: it is read back
// to learn its hash.
func (s *Service) adopt(ctx context.Context, i evidence.Intake, role evidence.Role, o objectstore.Object) (evidence.Object, error) {
	content, err := s.objects.Open(ctx, o, false)
	if err != nil {
		return evidence.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer closeQuietly(content)
	r, err := content.Range(ctx, 0, o.Size)
	if err != nil {
		return evidence.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer closeQuietly(r)
	set, _, err := digest.Sum(ctx, r)
	if err != nil {
		return evidence.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	sha256, _ := set.SHA256()
	return s.attach(ctx, i, object(role, o, sha256))
}

// attach notes an attachment, if it is the declared one.
func (s *Service) attach(ctx context.Context, i evidence.Intake, o evidence.Object) (evidence.Object, error) {
	if o.Role == evidence.ToolLog && (o.SHA256 != i.Acquisition.Log.SHA256 || o.Size != i.Acquisition.Log.Size) {
		return evidence.Object{}, fmt.Errorf("the log: %w: what arrived is not what was declared; abandon this intake", evidence.ErrDigestsDiffer)
	}
	return o, s.updateUpload(ctx, i.Intake, func(u *upload) error {
		if u.Objects == nil {
			u.Objects = map[evidence.Role]evidence.Object{}
		}
		u.Objects[o.Role] = o
		return nil
	})
}

// attachable tells how big an attachment of a role may be, if the intake calls for one.
func attachable(i evidence.Intake, role evidence.Role) (int64, error) {
	switch {
	case role == evidence.ToolLog && i.Acquisition != nil && i.Acquisition.Log != nil:
		return i.Acquisition.Log.Size, nil
	case role == evidence.Files && i.Files > 0:
		return evidence.MaxList, nil
	}
	return 0, &evidence.FieldError{Field: "role", Problem: "the intake was not declared with one"}
}

// checkList gives the list's bytes to its reader, and fails the read as soon as
// they are not the list of this intake.
func checkList(list io.Reader, i evidence.Intake) io.Reader {
	return &listReader{list: list, intake: i}
}

type listReader struct {
	list   io.Reader
	intake evidence.Intake
	parser evidence.ListParser
}

// Read implements io.Reader.
func (l *listReader) Read(p []byte) (int, error) {
	n, err := l.list.Read(p)
	if _, malformed := l.parser.Write(p[:n]); malformed != nil {
		return 0, &evidence.FieldError{Field: "files", Problem: malformed.Error()}
	}
	if errors.Is(err, io.EOF) {
		count, size, malformed := l.parser.Total()
		if malformed != nil || count != l.intake.Files || size != l.intake.Size {
			return 0, &evidence.FieldError{Field: "files", Problem: fmt.Sprintf(
				"the list has %d files of %d bytes, declared were %d of %d", count, size, l.intake.Files, l.intake.Size)}
		}
	}
	return n, err
}

// abandon ends the record of an intake that will not come; the job that follows
// tells the store.
func abandon(tx *database.Tx, id uuid.UUID) error {
	u, err := loadUpload(tx, id)
	if err != nil {
		return err
	}
	u.Phase = Abandoned
	return saveUpload(tx, id, u)
}

func closeQuietly(c io.Closer) { _ = c.Close() } // only read from

// sameFacts compares what was stated with what was signed.
func sameFacts(a, b evidence.Facts) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
