package custody

import (
	"context"
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

// Attach stores an object beside the content before the intake is complete: the
// imaging tool's log, or the list of a set's files. What is not the declared log,
// or no list of this intake, never becomes an object.
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
		intake, until = i, s.retainUntil(i, holder)
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
	checked := io.Reader(&listReader{list: hash, intake: intake})
	if role == evidence.ToolLog {
		checked = &logReader{log: hash, want: intake.Acquisition.Log.SHA256}
	}
	put, err := s.objects.Put(ctx, key(id, role), checked, size, until)
	if errors.Is(err, fs.ErrExist) {
		if known, ok := record.Objects[role]; ok {
			return known, nil // an answer was lost
		}
		put, err = s.existing(ctx, key(id, role), until)
		if err != nil {
			return evidence.Object{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return s.adopt(ctx, intake, role, put)
	}
	if err != nil {
		return evidence.Object{}, storeFault(err)
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
		return evidence.Object{}, errLog
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

var errLog = fmt.Errorf("the log: %w: what arrived is not what was declared", evidence.ErrDigestsDiffer)

// logReader gives the log's bytes, and fails at their end unless they are the
// declared ones.
type logReader struct {
	log  *digest.Reader
	want digest.SHA256
}

// Read implements io.Reader.
func (l *logReader) Read(p []byte) (int, error) {
	n, err := l.log.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	set, _, err := l.log.Finish()
	if err != nil {
		return 0, err
	}
	if got, _ := set.SHA256(); got != l.want {
		return 0, errLog
	}
	return n, io.EOF
}

// listReader gives the list's bytes, and fails as soon as they are not the list of
// this intake.
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
