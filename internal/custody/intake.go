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

// IntakeStatus tells how far an intake has come.
type IntakeStatus struct {
	Intake  evidence.Intake
	Phase   Phase
	Offset  int64           // bytes that are durable
	Checked int64           // bytes read back so far
	Facts   *evidence.Facts // what can be signed, when Ready
	Problem string          // why it cannot go on, or what is being retried
}

// maxWait bounds a long poll.
const maxWait = 30 * time.Second

// Intake tells how far an intake has come. With a wait it answers when the phase
// changes, or when the wait is over.
func (s *Service) Intake(ctx context.Context, c Caller, id uuid.UUID, wait time.Duration) (IntakeStatus, error) {
	if err := c.allow(identity.CopyRead); err != nil {
		return IntakeStatus{}, err
	}
	timeout := time.NewTimer(min(wait, maxWait))
	defer timeout.Stop()
	first := Phase("")
	for {
		changed := s.intakes.next()
		status, err := s.status(ctx, id)
		if err != nil || wait <= 0 || status.Phase == Ready || status.Phase.over() || status.Problem != "" {
			return status, err
		}
		if first == "" {
			first = status.Phase
		}
		if status.Phase != first {
			return status, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return status, nil
		case <-s.ctx.Done():
			return status, nil
		case <-ctx.Done():
			return IntakeStatus{}, ctx.Err()
		}
	}
}

func (p Phase) over() bool {
	return p == Sealed || p == Issued || p == Quarantined || p == Abandoned
}

func (s *Service) status(ctx context.Context, id uuid.UUID) (IntakeStatus, error) {
	var status IntakeStatus
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		status, err = s.statusIn(tx, id)
		return err
	})
	return status, err
}

func (s *Service) statusIn(tx *database.Tx, id uuid.UUID) (IntakeStatus, error) {
	i, err := tx.Intake(id)
	if err != nil {
		return IntakeStatus{}, fmt.Errorf("intake %s: %w", id, err)
	}
	status := IntakeStatus{Intake: i, Phase: Phase(i.State), Offset: i.Size, Checked: i.Size}
	if i.State != evidence.Declared {
		return status, nil
	}
	u, err := loadUpload(tx, id)
	if err != nil {
		return IntakeStatus{}, err
	}
	status.Phase, status.Problem, status.Checked = u.Phase, u.Problem, 0
	job := s.intakes.job(id)
	status.Checked = job.checked.Load()
	if problem := job.problem.Load(); problem != nil && status.Problem == "" {
		status.Problem = *problem
	}
	switch u.Phase {
	case Receiving:
		status.Offset, err = durable(tx, id)
	case Ready:
		status.Facts, err = facts(tx, i, u)
		status.Checked = i.Size
	}
	return status, err
}

// Intakes tells how far the intakes of a case have come, in order of declaration.
func (s *Service) Intakes(ctx context.Context, c Caller, ref evidence.Name) ([]IntakeStatus, error) {
	if err := c.allow(identity.CopyRead); err != nil {
		return nil, err
	}
	var all []IntakeStatus
	err := s.db.View(ctx, func(tx *database.Tx) error {
		holder, err := caseOf(tx, ref)
		if err != nil {
			return err
		}
		intakes, err := tx.Intakes(holder.ID)
		if err != nil {
			return err
		}
		for _, i := range intakes {
			status, err := s.statusIn(tx, i.Intake)
			if err != nil {
				return err
			}
			all = append(all, status)
		}
		return nil
	})
	return all, err
}

// facts states what the server knows of a copy that lies in the store.
func facts(tx *database.Tx, i evidence.Intake, u upload) (*evidence.Facts, error) {
	x, err := tx.Exhibit(i.Case, i.Exhibit)
	if err != nil {
		return nil, err
	}
	f := &evidence.Facts{
		Intake: i.Intake, Exhibit: i.Exhibit, Number: evidence.NumberOf(i.Class, x.Numbers[i.Class]+1), Size: i.Size,
		Declared: u.Declared, Received: u.Received, ReadBack: u.ReadBack, ReadSource: u.ReadSource,
	}
	for _, role := range []evidence.Role{evidence.Content, evidence.Midstates, evidence.Files, evidence.ToolLog} {
		if o, ok := u.Objects[role]; ok {
			f.Objects = append(f.Objects, o)
		}
	}
	return f, nil
}

// agreeFacts compares what was signed with the server's own record, which must
// have come to that phase.
func (s *Service) agreeFacts(tx *database.Tx, signed evidence.Facts, phase Phase) error {
	i, err := tx.Intake(signed.Intake)
	if err != nil {
		return fmt.Errorf("intake %s: %w", signed.Intake, err)
	}
	u, err := loadUpload(tx, signed.Intake)
	if err != nil {
		return fmt.Errorf("intake %s: %w", signed.Intake, err)
	}
	if u.Phase != phase {
		return &evidence.TransitionError{
			Subject: "intake " + signed.Intake.String(), Kind: "copy.sealed", Reason: "it is " + string(u.Phase) + ", its facts are not established",
		}
	}
	stated, err := facts(tx, i, u)
	if err != nil {
		return err
	}
	if !sameFacts(*stated, signed) {
		return &evidence.FieldError{Field: "body", Problem: "the facts are not those the server stated"}
	}
	return nil
}

// Complete takes the client's own hash of what it sent, once all bytes are there
// and all that was declared is attached. It is the first of the three hashes,
// beside what the examiner declared before. It may be called again.
func (s *Service) Complete(ctx context.Context, c Caller, id uuid.UUID, declared digest.Set) (IntakeStatus, error) {
	if err := c.allow(identity.IntakeUpload); err != nil {
		return IntakeStatus{}, err
	}
	err := s.db.Update(ctx, func(tx *database.Tx) error {
		i, _, err := s.own(tx, c, id)
		if err != nil {
			return err
		}
		u, err := loadUpload(tx, id)
		if err != nil {
			return err
		}
		want, err := completeSet(i, declared)
		if err != nil {
			return err
		}
		switch {
		case u.Phase == Receiving || u.Phase == Copying:
			return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "complete", Reason: "not all bytes are there"}
		case !u.Declared.IsZero() && !u.Declared.Equal(want):
			return fmt.Errorf("intake %s: %w: another hash was stated before", id, evidence.ErrExists)
		}
		for _, role := range []evidence.Role{evidence.Files, evidence.ToolLog} {
			if _, wanted := attachable(i, role); wanted == nil && u.Objects[role].Key == "" {
				return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "complete", Reason: "its " + string(role) + " object was declared and is not there"}
			}
		}
		u.Declared = want
		return saveUpload(tx, id, u)
	})
	if err := s.commitOutcome(err); err != nil {
		return IntakeStatus{}, err
	}
	s.start(id)
	return s.status(ctx, id)
}

// completeSet joins what the examiner declared with what the client computed.
// What they disagree in stays the examiner's word: the other two hashes will
// differ from it.
func completeSet(i evidence.Intake, client digest.Set) (digest.Set, error) {
	if _, ok := client.SHA256(); !ok {
		return digest.Set{}, &evidence.FieldError{Field: "declared", Problem: "has no sha256"}
	}
	want := i.Declared
	if _, ok := want.SHA256(); !ok {
		sha256, _ := client.Get(digest.AlgSHA256)
		return want.With(digest.AlgSHA256, sha256)
	}
	return want, nil
}

// start begins or goes on with the server's own part of an intake, unless that
// is under way.
func (s *Service) start(id uuid.UUID) {
	job := s.intakes.job(id)
	if !job.wake() {
		return
	}
	s.group.Go(func() error {
		for again := true; again; again = job.rest() {
			s.persist(id, job)
		}
		return nil
	})
}

// resumeIntakes starts what a restart interrupted.
func (s *Service) resumeIntakes(ctx context.Context) error {
	var rows []database.Upload
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		rows, err = tx.Uploads()
		return err
	})
	for _, row := range rows {
		if phase := Phase(row.Phase); phase != Receiving && phase != Ready {
			s.start(row.Intake)
		}
	}
	return err
}

// retryAfter is how long a job waits before the n-th try after a failure.
func retryAfter(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// persist works on an intake until it rests: ready, over, or waiting for the
// client. A store that cannot be reached is tried again.
func (s *Service) persist(id uuid.UUID, j *job) {
	for try := 0; ; try++ {
		err := s.work(s.ctx, id, j)
		if err == nil || s.ctx.Err() != nil || s.Cause() != nil {
			j.problem.Store(nil)
			s.intakes.changed()
			return
		}
		s.log.Warn("intake", "intake", id, "try", try+1, "error", err)
		problem := "the service will try again"
		j.problem.Store(&problem)
		s.intakes.changed()
		wait := time.NewTimer(retryAfter(try))
		select {
		case <-wait.C:
		case <-s.ctx.Done():
		}
		wait.Stop()
	}
}

// work does the next steps of an intake, each noted before the following one.
func (s *Service) work(ctx context.Context, id uuid.UUID, j *job) error {
	for {
		var i evidence.Intake
		var holder evidence.Case
		var u upload
		err := s.db.View(ctx, func(tx *database.Tx) (err error) {
			if i, err = tx.Intake(id); err != nil {
				return err
			}
			if holder, err = tx.Case(i.Case); err != nil {
				return err
			}
			u, err = loadUpload(tx, id)
			return err
		})
		if errors.Is(err, evidence.ErrNotFound) {
			return nil // sealed, issued or quarantined
		}
		if err != nil {
			return err
		}
		switch {
		case u.Problem != "" || u.Phase == Receiving || u.Phase == Ready:
			return nil
		case u.Phase == Abandoned:
			return s.discard(ctx, id, u)
		case u.Phase == Copying:
			err = s.makeWorking(ctx, i, holder, u)
		case u.Phase == Received:
			err = s.complete(ctx, i, holder, u, j)
		case u.Phase == Checked && u.Declared.IsZero():
			return nil // until the client states its hash
		case u.Phase == Checked:
			err = s.judge(ctx, i, u)
		}
		if err != nil {
			return err
		}
	}
}

// discard tells the store that an upload will not come, and forgets it.
func (s *Service) discard(ctx context.Context, id uuid.UUID, u upload) error {
	if u.Store != nil {
		if err := s.objects.Abort(ctx, *u.Store); err != nil {
			return err
		}
	}
	return s.commitOutcome(s.db.Update(ctx, func(tx *database.Tx) error { return tx.DropUpload(id) }))
}

// complete makes the received parts an object, keeps the midstates beside it,
// and reads it back.
func (s *Service) complete(ctx context.Context, i evidence.Intake, c evidence.Case, u upload, j *job) error {
	content, ok := u.Objects[evidence.Content]
	if !ok {
		o, err := s.completeObject(ctx, i, u)
		if err != nil {
			return err
		}
		sha256, _ := u.Received.SHA256()
		content = object(evidence.Content, o, sha256)
		if err := s.noteObject(ctx, i.Intake, content); err != nil {
			return err
		}
	}
	var list []byte
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		list, err = tx.Midstates(i.Intake)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.keepMidstates(ctx, i, c, u, list); err != nil {
		return err
	}
	midstates, err := digest.ParseMidstates(list)
	if err != nil {
		return err
	}
	return s.readBack(ctx, i, content, midstates, u.Received, j)
}

func (s *Service) completeObject(ctx context.Context, i evidence.Intake, u upload) (objectstore.Object, error) {
	var rows []database.Part
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		rows, err = tx.Parts(i.Intake)
		return err
	})
	if err != nil {
		return objectstore.Object{}, err
	}
	parts := make([]objectstore.Part, len(rows))
	for n, row := range rows {
		if err := json.Unmarshal(row.Doc, &parts[n]); err != nil {
			return objectstore.Object{}, fmt.Errorf("part %d: %w", row.Number, err)
		}
	}
	return s.objects.Complete(ctx, *u.Store, parts)
}

func (s *Service) noteObject(ctx context.Context, id uuid.UUID, o evidence.Object) error {
	return s.updateUpload(ctx, id, func(u *upload) error {
		if u.Objects == nil {
			u.Objects = map[evidence.Role]evidence.Object{}
		}
		u.Objects[o.Role] = o
		return nil
	})
}

// keepMidstates puts the list of an intake beside its content, if there is one.
func (s *Service) keepMidstates(ctx context.Context, i evidence.Intake, c evidence.Case, u upload, list []byte) error {
	if int64(len(list)) != 32*digest.MidstateCount(i.Size) {
		return fmt.Errorf("intake %s: %d bytes of midstates for %d bytes", i.Intake, len(list), i.Size)
	}
	if _, noted := u.Objects[evidence.Midstates]; noted || len(list) == 0 {
		return nil
	}
	o, err := s.putOnce(ctx, key(i.Intake, evidence.Midstates), list, retainUntil(i, c))
	if err != nil {
		return err
	}
	midstates, err := digest.ParseMidstates(list)
	if err != nil {
		return err
	}
	return s.noteObject(ctx, i.Intake, object(evidence.Midstates, o, midstates.SHA256()))
}

// putOnce stores small bytes. A key that is taken must hold the same bytes: a
// crash came between putting and noting.
func (s *Service) putOnce(ctx context.Context, key string, data []byte, until time.Time) (objectstore.Object, error) {
	o, err := s.objects.Put(ctx, key, bytes.NewReader(data), int64(len(data)), until)
	if !errors.Is(err, fs.ErrExist) {
		return o, err
	}
	if o, err = s.objects.Stat(ctx, key, ""); err != nil {
		return objectstore.Object{}, err
	}
	there, err := s.readSmall(ctx, o)
	if err != nil {
		return objectstore.Object{}, err
	}
	if !bytes.Equal(there, data) {
		return objectstore.Object{}, fmt.Errorf("object %s: is there already, with other bytes", key)
	}
	return o, nil
}

// maxSmall bounds an object that is read into memory: the midstates of the
// largest copy.
const maxSmall = evidence.MaxContent / digest.Segment * 32

func (s *Service) readSmall(ctx context.Context, o objectstore.Object) ([]byte, error) {
	content, err := s.objects.Open(ctx, o, false)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(content)
	if content.Size() != o.Size || o.Size > maxSmall {
		return nil, fmt.Errorf("object %s: has %d bytes, want %d", o.Key, content.Size(), o.Size)
	}
	r, err := content.Range(ctx, 0, o.Size)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(r)
	return io.ReadAll(r)
}

// readBack hashes what the store holds, and notes it: the third hash.
func (s *Service) readBack(ctx context.Context, i evidence.Intake, o evidence.Object, list digest.Midstates, want digest.Set, j *job) error {
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	j.checked.Store(0)
	read, err := s.hash(ctx, o, list, want, func(n int64) { j.checked.Add(n) })
	if err != nil {
		return err
	}
	if read.verdict.Result == digest.Unreadable {
		return fmt.Errorf("read back %s: %w", o.Key, read.verdict.Cause)
	}
	problem := ""
	if i.Files > 0 && len(digest.Differ(want, read.digests)) == 0 {
		if problem, err = s.checkFiles(ctx, i, o); err != nil {
			return err
		}
	}
	return s.updateUpload(ctx, i.Intake, func(u *upload) error {
		u.Phase, u.ReadBack, u.ReadSource, u.Problem = Checked, read.digests, read.source, problem
		content := u.Objects[evidence.Content]
		content.SHA256, _ = read.digests.SHA256()
		u.Objects[evidence.Content] = content
		return nil
	})
}

// judge compares the three hashes: one, and the facts are ready to be signed;
// otherwise the copy is quarantined, signed by the service.
func (s *Service) judge(ctx context.Context, i evidence.Intake, u upload) error {
	compare := evidence.Facts{Declared: u.Declared, Received: u.Received, ReadBack: u.ReadBack}
	if len(compare.Compare()) == 0 {
		return s.updateUpload(ctx, i.Intake, func(u *upload) error { u.Phase = Ready; return nil })
	}
	_, err := s.note(ctx, i.Case, &Caller{Principal: i.By, Method: methodSession}, func(tx *database.Tx) (evidence.Body, error) {
		stated, err := facts(tx, i, u)
		if err != nil {
			return nil, err
		}
		holder, err := tx.Case(i.Case)
		if err != nil {
			return nil, err
		}
		return evidence.CopyQuarantined{Facts: *stated, Differed: stated.Compare(), Finding: holder.Findings + 1}, nil
	})
	return err
}
