package custody

import (
	"bytes"
	"cmp"
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
	"github.com/custodyd/custodyd/internal/objectstore"
)

// start begins or goes on with the server's own part of an intake, unless that
// is under way.
func (s *Service) start(id uuid.UUID) {
	job := s.intakes.job(id)
	if !job.wake() {
		return
	}
	s.background(func() {
		for again := true; again; again = job.rest() {
			s.persist(id, job)
		}
	})
}

// resumeIntakes has the store forget what nobody will go on with, which it can as
// nobody writes yet, and starts what a restart interrupted.
func (s *Service) resumeIntakes(ctx context.Context) error {
	records := map[uuid.UUID]upload{}
	err := s.db.View(ctx, func(tx *database.Tx) error {
		rows, err := tx.Uploads() // with those of abandoned intakes
		if err != nil {
			return err
		}
		pending, err := tx.PendingIntakes() // with those of which there is no row any more
		if err != nil {
			return err
		}
		ids := make([]uuid.UUID, 0, len(rows)+len(pending))
		for _, row := range rows {
			ids = append(ids, row.Intake)
		}
		for _, i := range pending {
			ids = append(ids, i.Intake)
		}
		for _, id := range ids {
			if records[id], err = loadUpload(tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, u := range records {
		if err := s.clearAll(ctx, id, u.Store); err != nil { // it costs room; the next start tries again
			s.log.Warn("forget what was interrupted", "intake", id, "error", err)
		}
		if u.Phase != Receiving && u.Phase != Ready {
			s.start(id)
		}
	}
	return nil
}

// retryAfter is how long a job waits before the n-th try after a failure.
func retryAfter(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

// persist works on an intake until it rests: ready, over, or waiting for the
// client. A store that cannot be reached is tried again.
func (s *Service) persist(id uuid.UUID, j *job) {
	for try := 0; ; try++ {
		err := s.work(s.ctx, id, j)
		if err == nil || s.ctx.Err() != nil || cmp.Or(s.Cause(), s.Alarm()) != nil {
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

// complete makes the received parts an object, keeps the midstates beside it,
// and reads it back.
func (s *Service) complete(ctx context.Context, i evidence.Intake, c evidence.Case, u upload, j *job) error {
	content, ok := u.Objects[evidence.Content]
	if !ok {
		o, err := s.completeObject(ctx, i, u)
		if errors.Is(err, objectstore.ErrNoUpload) {
			s.log.Warn("the store has forgotten an upload", "intake", i.Intake, "error", err)
			return s.forget(ctx, i.Intake, *u.Store)
		}
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
	if t := s.trails.take(i.Intake); t != nil {
		if read, ok := t.end(ctx); ok && read.digests.Equal(u.Received) {
			return s.noteReading(ctx, i.Intake, read)
		}
	}
	err = s.readBack(ctx, i, content, midstates, u.Received, j)
	if gone(err) {
		return s.updateUpload(ctx, i.Intake, func(u *upload) error {
			u.Problem = "what was received cannot be read back: " + causeOf(err)
			return nil
		})
	}
	return err
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
	o, err := s.putOnce(ctx, key(i.Intake, evidence.Midstates), list, s.retainUntil(i, c))
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
// crash came between putting and noting. Else the error is fs.ErrExist.
func (s *Service) putOnce(ctx context.Context, key string, data []byte, until time.Time) (objectstore.Object, error) {
	o, err := s.objects.Put(ctx, key, bytes.NewReader(data), int64(len(data)), until)
	if !errors.Is(err, fs.ErrExist) {
		return o, err
	}
	if o, err = s.existing(ctx, key, until); err != nil {
		return objectstore.Object{}, err
	}
	there, err := s.readSmall(ctx, o)
	if err != nil {
		return objectstore.Object{}, err
	}
	if !bytes.Equal(there, data) {
		return objectstore.Object{}, fmt.Errorf("object %s: %w, with other bytes", key, fs.ErrExist)
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
	if content.Size() != o.Size || o.Size < 0 || o.Size > maxSmall {
		return nil, fmt.Errorf("object %s: has %d bytes, want %d: %w", o.Key, content.Size(), o.Size, objectstore.ErrReadBack)
	}
	r, err := content.Range(ctx, 0, o.Size)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(r)
	data := make([]byte, o.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("object %s: %w", o.Key, err)
	}
	return data, nil
}

// readBack hashes what the store holds, and notes it: the third hash.
func (s *Service) readBack(ctx context.Context, i evidence.Intake, o evidence.Object, list digest.Midstates, want digest.Set, j *job) error {
	release, err := s.reading.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	j.checked.Store(0)
	read, err := s.hash(ctx, o, list, want, func(n int64) { j.checked.Add(n) })
	if err != nil {
		return err
	}
	if read.verdict.Result == digest.Unreadable {
		return fmt.Errorf("read back %s: %w", o.Key, read.verdict.Cause)
	}
	return s.noteReading(ctx, i.Intake, read)
}

// noteReading notes the third hash.
func (s *Service) noteReading(ctx context.Context, id uuid.UUID, read reading) error {
	return s.updateUpload(ctx, id, func(u *upload) error {
		u.Phase, u.ReadBack, u.ReadSource = Checked, read.digests, read.source
		content := u.Objects[evidence.Content]
		content.SHA256, _ = read.digests.SHA256()
		u.Objects[evidence.Content] = content
		return nil
	})
}

// judge compares the three hashes, and the files of a set with its list: all agree,
// and the facts are ready to be signed; otherwise the copy is quarantined, signed by
// the service.
func (s *Service) judge(ctx context.Context, i evidence.Intake, u upload) error {
	compare := evidence.Facts{Declared: u.Declared, Received: u.Received, ReadBack: u.ReadBack}
	differed := compare.Compare()
	var strays []evidence.Stray
	total := 0
	if len(differed) == 0 && i.Files > 0 {
		var err error
		if strays, total, err = s.checkFiles(ctx, u); err != nil {
			return err
		}
	}
	if len(differed) == 0 && len(strays) == 0 {
		return s.updateUpload(ctx, i.Intake, func(u *upload) error {
			u.Phase = Ready
			return nil
		})
	}
	if i.Class == evidence.Working { // before: it would be forgotten by a crash after
		master := evidence.CopyID{Case: i.Case, Exhibit: i.Exhibit, Number: i.Of}
		if err := s.confirm(ctx, master, errors.New("a working copy of it has other bytes")); err != nil {
			return err
		}
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
		return evidence.CopyQuarantined{
			Facts: *stated, Differed: differed, Strays: strays, StraysTotal: total, Finding: holder.Findings + 1,
		}, nil
	})
	return err
}
