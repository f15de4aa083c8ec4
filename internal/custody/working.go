package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// makeWorking has the store copy a master, and reads the copy back. No byte
// passes through anybody's hands.
func (s *Service) makeWorking(ctx context.Context, i evidence.Intake, c evidence.Case, u upload) error {
	var master evidence.Copy
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		master, err = tx.Copy(evidence.CopyID{Case: i.Case, Exhibit: i.Exhibit, Number: i.Of})
		return err
	})
	if err != nil {
		return err
	}
	source, ok := master.Object(evidence.Content)
	if !ok {
		return fmt.Errorf("copy %s: has no content object", master.CopyID)
	}
	list, problem, err := s.midstatesOf(ctx, master)
	if problem != "" {
		err = errors.New("the midstate list " + problem)
		return s.blame(ctx, i.Intake, master, err, err.Error())
	}
	if spoilt(err) {
		return s.blame(ctx, i.Intake, master, err, "the midstate list: "+causeOf(err))
	}
	if err != nil {
		return err
	}
	content, ok := u.Objects[evidence.Content]
	if !ok {
		if err := s.clear(ctx, i.Intake, evidence.Content, nil); err != nil {
			return err
		}
		name, until := key(i.Intake, evidence.Content), s.retainUntil(i, c)
		o, err := s.copy(ctx, stored(source), name, until)
		if errors.Is(err, fs.ErrExist) { // made before a crash, not noted
			o, err = s.existing(ctx, name, until)
		}
		if spoilt(err) {
			return s.blame(ctx, i.Intake, master, err, causeOf(err))
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", source.Key, err)
		}
		content = object(evidence.Content, o, source.SHA256)
		if err := s.noteObject(ctx, i.Intake, content); err != nil {
			return err
		}
	}
	if err := s.keepMidstates(ctx, i, c, u, list.Bytes()); err != nil {
		return err
	}
	err = s.updateUpload(ctx, i.Intake, func(u *upload) error { u.Declared = master.Digests; return nil })
	if err != nil {
		return err
	}
	err = s.readBack(ctx, i, content, list, master.Digests, s.intakes.job(i.Intake))
	if spoilt(err) {
		return s.blame(ctx, i.Intake, master, err, "read back: "+causeOf(err))
	}
	return err
}

// copy has the store copy an object, when it is not copying enough already.
func (s *Service) copy(ctx context.Context, source objectstore.Object, name string, until time.Time) (objectstore.Object, error) {
	release, err := s.copying.take(ctx)
	if err != nil {
		return objectstore.Object{}, err
	}
	defer release()
	return s.objects.Copy(ctx, source, name, until)
}

// blame ends the making of a working copy that no other try would mend, after the
// master has been checked: what is wrong with it is an entry by then.
func (s *Service) blame(ctx context.Context, id uuid.UUID, master evidence.Copy, why error, words string) error {
	if err := s.confirm(ctx, master.CopyID, why); err != nil {
		return err
	}
	return s.updateUpload(ctx, id, func(u *upload) error {
		u.Problem = fmt.Sprintf("%s/%s cannot be copied: %s; its history tells what a check of it found", master.Exhibit, master.Number, words)
		return nil
	})
}

// midstatesOf reads the midstate list of a copy and checks it against the hash
// that was sealed. The problem says why a list cannot be used.
func (s *Service) midstatesOf(ctx context.Context, c evidence.Copy) (list digest.Midstates, problem string, err error) {
	o, ok := c.Object(evidence.Midstates)
	if !ok {
		return nil, "", nil
	}
	data, err := s.readSmall(ctx, stored(o))
	if gone(err) && s.answers(ctx) == nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, "is missing from the store", nil
		}
		return nil, "is not the one that was sealed", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if digest.SHA256(sha256.Sum256(data)) != o.SHA256 {
		return nil, "is not the one that was sealed", nil
	}
	if list, err = digest.ParseMidstates(data); err != nil {
		return nil, "is none", nil
	}
	return list, "", nil
}
