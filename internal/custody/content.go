package custody

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// Download is a run of bytes of a working copy on its way to its person. The
// entry that says so is durable already.
type Download struct {
	Copy     evidence.Copy
	Offset   int64
	Length   int64
	Recorded Recorded
	io.ReadCloser
}

// Fetch gives bytes of a working copy to the person it is bound to; a length of
// -1 means to the end. For anything else (a master, another person's copy, one
// that is quarantined or came back) the attempt is recorded as denied, whether
// the caller waits for the answer or has gone.
func (s *Service) Fetch(ctx context.Context, c Caller, p evidence.Path, offset, length int64) (*Download, error) {
	copied, err := s.find(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := c.allow(identity.CopyFetch); err != nil {
		return nil, s.deny(ctx, c, copied.CopyID, evidence.Fetch, err)
	}
	if length == -1 {
		length = max(copied.Size-offset, 0)
	}
	object, ok := copied.Object(evidence.Content)
	if !ok {
		return nil, fmt.Errorf("copy %s: has no content object", copied.CopyID)
	}
	recorded, err := s.noteRead(ctx, c, copied.CopyID, evidence.Fetch, offset, length)
	if err != nil {
		return nil, err
	}
	r, err := s.open(ctx, copied.CopyID, object, offset, length)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return &Download{copied, offset, length, recorded, r}, nil
}

// open gives bytes of an object of a sealed copy. Where the store does not give what
// was sealed, now or while they are read, the copy is suspect.
func (s *Service) open(ctx context.Context, id evidence.CopyID, o evidence.Object, offset, length int64) (io.ReadCloser, error) {
	r, err := s.openRange(ctx, o, offset, length)
	if err != nil {
		if spoilt(err) {
			s.met(id, o, err)
		}
		return nil, err
	}
	w := &watched{ReadCloser: r, s: s, id: id, object: o, rest: length}
	if offset == 0 && length == o.Size && length > 0 {
		w.hasher = digest.NewHasher()
	}
	return w, nil
}

// met has a copy checked of which an object is wrong. A check reads the content and
// its midstates; of another object the audit has to tell.
func (s *Service) met(id evidence.CopyID, o evidence.Object, why error) {
	if o.Role == evidence.Content || o.Role == evidence.Midstates {
		s.suspect(id, why)
		return
	}
	s.log.Error("an object is not what was sealed", "copy", id.String(), "role", o.Role, "why", why)
}

func (s *Service) openRange(ctx context.Context, o evidence.Object, offset, length int64) (io.ReadCloser, error) {
	content, err := s.objects.Open(ctx, stored(o), false)
	if err != nil {
		return nil, err
	}
	var r io.ReadCloser
	if content.Size() == o.Size {
		r, err = content.Range(ctx, offset, length)
	} else {
		err = fmt.Errorf("object %s: has %d bytes, want %d: %w", o.Key, content.Size(), o.Size, objectstore.ErrReadBack)
	}
	if err != nil {
		return nil, errors.Join(err, content.Close())
	}
	return &contentReader{r, content}, nil
}

// watched gives the bytes of an object and hashes them where they are the whole of
// it: nobody but their receiver would notice otherwise that they are others.
type watched struct {
	io.ReadCloser
	s      *Service
	id     evidence.CopyID
	object evidence.Object
	hasher *digest.Hasher // nil where a part is read
	rest   int64          // bytes to come
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if spoilt(err) {
		w.s.met(w.id, w.object, err)
	}
	if w.rest -= int64(n); w.hasher == nil || n == 0 {
		return n, err
	}
	if _, closed := w.hasher.Write(p[:n]); closed != nil {
		return 0, closed
	}
	if w.rest > 0 {
		return n, err
	}
	set, _, closed := w.hasher.Sum()
	if got, _ := set.SHA256(); closed == nil && got != w.object.SHA256 {
		w.s.met(w.id, w.object, fmt.Errorf("object %s: gave bytes with the SHA-256 %s, want %s", w.object.Key, got, w.object.SHA256))
	}
	return n, err
}

// Close ends it.
func (w *watched) Close() error {
	if w.hasher != nil {
		w.hasher.Close()
	}
	return w.ReadCloser.Close()
}

// noteRead records that content is about to leave, or that it was asked for and
// may not.
func (s *Service) noteRead(ctx context.Context, c Caller, id evidence.CopyID, op evidence.Operation, offset, length int64) (Recorded, error) {
	recorded, err := s.note(context.WithoutCancel(ctx), id.Case, &c, just(evidence.ContentRead{
		Exhibit: id.Exhibit, Number: id.Number, Operation: op, Offset: offset, Length: length,
	}))
	var transition *evidence.TransitionError
	if errors.Is(err, evidence.ErrForbidden) || errors.As(err, &transition) {
		return Recorded{}, s.deny(ctx, c, id, op, err)
	}
	return recorded, err
}

// deny records an attempt that is refused, and gives the refusal. When it cannot
// be recorded, that is the answer: nothing happens off the ledger, not even a no.
// A caller who has gone is denied all the same.
func (s *Service) deny(ctx context.Context, c Caller, id evidence.CopyID, op evidence.Operation, refusal error) error {
	_, err := s.note(context.WithoutCancel(ctx), id.Case, &c, just(evidence.AccessDenied{
		Exhibit: id.Exhibit, Number: id.Number, Operation: op, Reason: refusal.Error(),
	}))
	if err != nil {
		return fmt.Errorf("%w: record the denial: %w", ErrUnavailable, err)
	}
	return refusal
}

// find resolves the path of a copy that is asked for. Even when the caller has
// gone: who hangs up at once has asked.
func (s *Service) find(ctx context.Context, p evidence.Path) (evidence.Copy, error) {
	var c evidence.Copy
	err := s.db.View(context.WithoutCancel(ctx), func(tx *database.Tx) (err error) {
		c, err = copyAt(tx, p)
		return err
	})
	return c, err
}

func copyAt(tx *database.Tx, p evidence.Path) (evidence.Copy, error) {
	holder, err := caseOf(tx, p.Case)
	if err != nil {
		return evidence.Copy{}, err
	}
	c, err := tx.Copy(evidence.CopyID{Case: holder.ID, Exhibit: p.Exhibit, Number: p.Copy})
	if err != nil {
		return evidence.Copy{}, fmt.Errorf("copy %s: %w", p, err)
	}
	return c, nil
}

// contentReader closes a range together with its content.
type contentReader struct {
	io.ReadCloser
	content *objectstore.Content
}

// Close ends both.
func (r *contentReader) Close() error {
	return errors.Join(r.ReadCloser.Close(), r.content.Close())
}
