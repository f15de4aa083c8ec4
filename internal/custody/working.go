package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

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
	if err != nil {
		return err
	}
	if problem != "" {
		return s.updateUpload(ctx, i.Intake, func(u *upload) error {
			u.Problem = "the midstate list of " + master.CopyID.String() + " " + problem + ": verify that copy"
			return nil
		})
	}
	content, ok := u.Objects[evidence.Content]
	if !ok {
		name := key(i.Intake, evidence.Content)
		o, err := s.objects.Copy(ctx, stored(source), name, retainUntil(i, c))
		if errors.Is(err, fs.ErrExist) { // made before a crash, not noted
			o, err = s.objects.Stat(ctx, name, "")
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
	return s.readBack(ctx, i, content, list, master.Digests, s.intakes.job(i.Intake))
}

// midstatesOf reads the midstate list of a copy and checks it against the hash
// that was sealed. The problem says why a list cannot be used.
func (s *Service) midstatesOf(ctx context.Context, c evidence.Copy) (list digest.Midstates, problem string, err error) {
	o, ok := c.Object(evidence.Midstates)
	if !ok {
		return nil, "", nil
	}
	data, err := s.readSmall(ctx, stored(o))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "is missing from the store", nil
	}
	if err != nil && !errors.Is(err, objectstore.ErrReadBack) {
		return nil, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil || digest.SHA256(sha256.Sum256(data)) != o.SHA256 {
		return nil, "is not the one that was sealed", nil
	}
	list, err = digest.ParseMidstates(data)
	return list, "", err
}
