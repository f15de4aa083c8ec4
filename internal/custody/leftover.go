package custody

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// roles are those of the objects of an intake, in the order in which facts name them.
var roles = []evidence.Role{evidence.Content, evidence.Midstates, evidence.Files, evidence.ToolLog}

// clear has the store forget the uploads of an object that nobody will go on with:
// all but the noted one. Nobody may be writing to the object.
func (s *Service) clear(ctx context.Context, id uuid.UUID, role evidence.Role, noted *objectstore.Upload) error {
	name := key(id, role)
	for u, err := range s.objects.Uploads(ctx, name) { // the whole key: MinIO finds them by no less
		if err == nil && u.Key == name && (noted == nil || u.ID != noted.ID) {
			s.log.Info("forget an upload that was interrupted", "object", name)
			err = s.objects.Abort(ctx, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clearAll is clear of all objects of an intake.
func (s *Service) clearAll(ctx context.Context, id uuid.UUID, content *objectstore.Upload) error {
	for _, role := range roles {
		noted := content
		if role != evidence.Content {
			noted = nil
		}
		if err := s.clear(ctx, id, role, noted); err != nil {
			return err
		}
	}
	return nil
}

// discard has the store forget an intake that will not come, after its writer has
// let go, and then forgets it too.
func (s *Service) discard(ctx context.Context, id uuid.UUID, u upload) error {
	me := &writer{func() {}, make(chan struct{})}
	if err := s.takeOver(ctx, id, me); err != nil {
		return err
	}
	defer s.release(id, me)
	s.dropTrail(id)
	if u.Store != nil {
		if err := s.objects.Abort(ctx, *u.Store); err != nil {
			return err
		}
	}
	if err := s.clearAll(ctx, id, nil); err != nil {
		return err
	}
	return s.commitOutcome(s.db.Update(ctx, func(tx *database.Tx) error { return tx.DropUpload(id) }))
}

// begin has the store begin the upload of an intake's content, and notes it.
func (u *Upload) begin(ctx context.Context) (objectstore.Upload, error) {
	id := u.intake.Intake
	if err := u.s.clear(ctx, id, evidence.Content, nil); err != nil {
		return objectstore.Upload{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	begun, err := u.s.objects.Begin(ctx, key(id, evidence.Content), u.intake.Size, u.until)
	if errors.Is(err, fs.ErrExist) {
		return objectstore.Upload{}, u.s.giveUp(ctx, id, "its object is in the store already, and what was noted of it is lost: abandon it and declare another")
	}
	if err != nil {
		return objectstore.Upload{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// It is noted even if the client goes now.
	ctx = context.WithoutCancel(ctx)
	err = u.s.updateUpload(ctx, id, func(r *upload) error { r.Store = &begun; return nil })
	if err != nil {
		return objectstore.Upload{}, errors.Join(err, u.s.objects.Abort(ctx, begun))
	}
	return begun, nil
}

// giveUp notes why an intake cannot go on, for good, and gives that as an error.
func (s *Service) giveUp(ctx context.Context, id uuid.UUID, problem string) error {
	err := s.updateUpload(context.WithoutCancel(ctx), id, func(u *upload) error { u.Problem = problem; return nil })
	if err != nil {
		return err
	}
	return stuck(id, problem)
}

func stuck(id uuid.UUID, problem string) error {
	return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "upload", Reason: problem}
}

// lostBytes is what a client is told whose bytes the store no longer has.
const lostBytes = "the store has forgotten what was sent: send it again from the beginning"

// forget begins an upload again that the store does not know any more: aborted
// behind our back, or expired. The client has the bytes, and finds that none are
// durable.
func (s *Service) forget(ctx context.Context, id uuid.UUID, gone objectstore.Upload) error {
	s.dropTrail(id)
	return s.updateUploadWith(context.WithoutCancel(ctx), id, func(tx *database.Tx, u *upload) error {
		if u.Store == nil || u.Store.ID != gone.ID {
			return nil
		}
		*u = upload{Phase: Receiving, Lost: true, Objects: u.Objects}
		return tx.DropParts(id)
	})
}

// existing gives an object that was made before a crash and not noted, as durable
// and locked as one that was made now.
func (s *Service) existing(ctx context.Context, key string, until time.Time) (objectstore.Object, error) {
	o, err := s.objects.Stat(ctx, key, "")
	if err != nil {
		return objectstore.Object{}, err
	}
	if until.Before(o.RetainUntil) {
		until = o.RetainUntil
	}
	return s.objects.Extend(ctx, o, until)
}
