package custody

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// part is one part of an upload on its way into the store. It is the reader that
// the store reads, from goroutines of its own.
type part struct {
	number       int
	offset, size int64

	ctx    context.Context // of the whole upload
	from   io.Reader
	rest   int64 // bytes to come
	hasher *digest.Hasher

	// Where the hasher stood behind the last byte, set before taken is closed.
	state     digest.State
	midstates digest.Midstates
	soFar     digest.Set

	taken chan struct{} // closed when all bytes were received; from is free for the next part
	ended chan struct{} // closed when the part is noted, or err is set
	err   error
}

// closed is the end of what never began.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func newPart(ctx context.Context, run *session, offset, size int64, from io.Reader) *part {
	return &part{
		number: run.next, offset: offset, size: size,
		ctx: ctx, from: from, rest: size, hasher: run.hasher,
		taken: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Read gives the bytes of this part and hashes them. It asks for nothing behind
// them: that is the next part's, which may be on its way already.
func (p *part) Read(b []byte) (int, error) {
	if p.rest == 0 {
		return 0, io.EOF
	}
	if err := p.ctx.Err(); err != nil { // the part before failed
		return 0, err
	}
	n, err := p.from.Read(b[:min(int64(len(b)), p.rest)])
	if _, e := p.hasher.Write(b[:n]); e != nil {
		return 0, e
	}
	if p.rest -= int64(n); p.rest > 0 {
		return n, err
	}
	if err := p.look(); err != nil {
		return 0, err
	}
	close(p.taken)
	return n, nil
}

// whole tells whether the store has read all of the part.
func (p *part) whole() bool {
	select {
	case <-p.taken:
		return true
	default:
		return false
	}
}

// look takes the state of the hasher behind the last byte.
func (p *part) look() (err error) {
	if p.state, err = p.hasher.State(); err != nil {
		return err
	}
	if p.midstates, err = p.hasher.Midstates(); err != nil {
		return err
	}
	p.soFar, _, err = p.hasher.Sum()
	return err
}

// send moves a part into the store and notes it, after the one before.
func (u *Upload) send(ctx context.Context, store objectstore.Upload, p, before *part) error {
	written, err := u.s.objects.WritePart(ctx, store, p.number, p, p.size)
	<-before.ended
	if before.err != nil {
		return before.err
	}
	if err == nil && !p.whole() {
		err = fmt.Errorf("%w: the store has not asked for all of its %d bytes", objectstore.ErrPart, p.size)
	}
	if errors.Is(err, objectstore.ErrNoUpload) {
		err = errors.Join(err, u.s.forget(ctx, u.intake.Intake, store))
	}
	if err != nil {
		return fmt.Errorf("part %d: %w", p.number, storeFault(err))
	}
	return u.note(ctx, p, written)
}

// note writes down that a part is durable.
func (u *Upload) note(ctx context.Context, p *part, written objectstore.Part) error {
	if p.state.Size() != p.offset+p.size {
		return fmt.Errorf("part %d: %d bytes were hashed, %d stored", p.number, p.state.Size()-p.offset, p.size)
	}
	state, err := p.state.MarshalBinary()
	if err != nil {
		return err
	}
	doc, err := json.Marshal(written)
	if err != nil {
		return err
	}
	// A part that is durable in the store is noted even if the client goes now.
	// With the last one it is noted that all are there: no crash comes between.
	return u.s.updateUploadWith(context.WithoutCancel(ctx), u.intake.Intake, func(tx *database.Tx, record *upload) error {
		if p.offset+p.size == u.intake.Size {
			if err := record.receive(u.intake.Intake, p.soFar); err != nil {
				return err
			}
		}
		return tx.AddPart(u.intake.Intake, database.Part{
			Number: p.number, Offset: p.offset, Size: p.size, Doc: doc, State: state, Midstates: p.midstates.Bytes(),
		})
	})
}
