package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

const (
	theCase = evidence.Name("2026-0042")
	part    = 64 << 20 // bytes, of the directory store
)

// machine sets up the machine of somebody, who is the first person of the ledger.
func (l *lab) machine(ctx context.Context, name string) *operator.Operator {
	l.t.Helper()
	place, err := operator.NewPlace(filepath.Join(l.machines, name))
	l.must(err)
	op, _, err := operator.Setup(ctx, operator.Config{
		Place: place, Tool: "kill_test", Now: time.Now, Random: rand.Reader, Say: func(string, ...any) {},
	}, operator.Binding{
		URL: "http://" + l.service.address, Principal: "admin", KeyFile: filepath.Join(l.service.dir, adminFile),
	}, nil)
	l.must(err)
	l.t.Cleanup(op.Close)
	return op
}

// persist asks until an answer comes: the service may be dead, and comes back.
func persist(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || !operator.Retryable(err) {
			return err
		}
		if gone := operator.Pause(ctx, 20*time.Millisecond); gone != nil {
			return errors.Join(err, gone)
		}
	}
}

// record signs once and sends the same bytes until their receipt is kept.
func record(ctx context.Context, op *operator.Operator, body evidence.Body) error {
	var signed operator.Signed
	if err := persist(ctx, func() (err error) {
		signed, err = op.Sign(ctx, theCase, body)
		return err
	}); err != nil {
		return err
	}
	return persist(ctx, func() error {
		_, err := op.Send(ctx, signed)
		return err
	})
}

func (l *lab) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func exhibit(label evidence.Name) evidence.ExhibitAdded {
	return evidence.ExhibitAdded{Label: label, Kind: "disk", FoundBy: "Erika Examiner", FoundAt: "Office 3.12", Witness: "Wilhelm Witness"}
}

// addExhibits has one entry after the other recorded.
func (l *lab) addExhibits(ctx context.Context, op *operator.Operator, name evidence.Name) error {
	for n := 0; !l.stopped(); n++ {
		if err := record(ctx, op, exhibit(evidence.Name(fmt.Sprintf("%s-%d", name, n)))); err != nil {
			return err
		}
	}
	return nil
}

// takeInSmall seals images of a moment each.
func (l *lab) takeInSmall(ctx context.Context, op *operator.Operator, label evidence.Name) error {
	if err := record(ctx, op, exhibit(label)); err != nil {
		return err
	}
	for n := 0; !l.stopped(); n++ {
		i := l.newImage(op, n%5*99_999)
		if err := i.takeIn(ctx, label); err != nil {
			return err
		}
	}
	return nil
}

// takeInLarge seals images of two parts. What is sent from the first byte on waits in
// the second part until the service dies, so that there is something to resume.
func (l *lab) takeInLarge(ctx context.Context, op *operator.Operator, label evidence.Name) error {
	if err := record(ctx, op, exhibit(label)); err != nil {
		return err
	}
	for !l.stopped() {
		i := l.newImage(op, part+1<<20)
		i.waits = true
		l.large.Store(i)
		if err := i.takeIn(ctx, label); err != nil {
			return err
		}
	}
	return nil
}

// firstPart waits until the service says of a large image that its first part is
// durable, and its second one is still on its way.
func (l *lab) firstPart(ctx context.Context) error {
	for {
		if i := l.large.Load(); i != nil {
			status, err := l.desk.Intake(ctx, i.id, 0)
			switch {
			case err == nil && status.Phase == api.PhaseReceiving && status.Offset >= part:
				i.told.Store(status.Offset)
				return nil
			case err != nil && !errors.Is(err, evidence.ErrNotFound): // it is not declared yet
				return err
			}
		}
		if err := operator.Pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// image is one image on its way to its seal.
type image struct {
	lab     *lab
	op      *operator.Operator
	id      uuid.UUID
	content []byte
	waits   bool         // in its second part, when sent from the first byte on
	told    atomic.Int64 // bytes that the service said are durable
}

func (l *lab) newImage(op *operator.Operator, size int) *image {
	id := uuid.Must(uuid.NewV7())
	content := make([]byte, size)
	_, _ = mathrand.NewChaCha8([32]byte(append(id[:], id[:]...))).Read(content) // it never fails
	return &image{lab: l, op: op, id: id, content: content}
}

// takeIn brings an image from its declaration to its seal.
func (i *image) takeIn(ctx context.Context, label evidence.Name) error {
	own, size, err := digest.Sum(ctx, bytes.NewReader(i.content), digest.AlgSHA256)
	if err != nil {
		return err
	}
	if err := record(ctx, i.op, evidence.IntakeDeclared{
		Intake: i.id, Exhibit: label, Title: "disk.dd", Size: size,
		Acquisition: evidence.Acquisition{Tool: "dc3dd 7.2.646", Witness: "Wilhelm Witness", Place: "Lab 2"},
	}); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	if err := i.upload(ctx); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if err := persist(ctx, func() error {
		_, err := i.op.Complete(ctx, i.id, own)
		return err
	}); err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	facts, err := i.facts(ctx)
	if err != nil {
		return err
	}
	known := operator.Known{Intake: i.id, Exhibit: label, Class: evidence.Master, Size: size, Digests: own, Received: true}
	if err := known.Agree(facts); err != nil {
		return err
	}
	if err := record(ctx, i.op, evidence.CopySealed{Facts: facts}); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

// upload sends what is not durable yet, until all is.
func (i *image) upload(ctx context.Context) error {
	for {
		durable, err := i.op.Upload(ctx, i.id, int64(len(i.content)), i.from(ctx))
		if err == nil {
			return nil
		}
		i.told.Store(max(i.told.Load(), durable))
		if !operator.Retryable(err) && !errors.Is(err, api.CodeOffsetMismatch) && !errors.Is(err, client.ErrAnswer) {
			return err
		}
		if gone := operator.Pause(ctx, 20*time.Millisecond); gone != nil {
			return errors.Join(err, gone)
		}
	}
}

var errLost = errors.New("what was durable is not any more")

// from gives the reader of one attempt.
func (i *image) from(ctx context.Context) func(int64) (io.Reader, error) {
	return func(offset int64) (io.Reader, error) {
		if told := i.told.Load(); offset < told {
			return nil, fmt.Errorf("%w: %d bytes, not %d", errLost, offset, told)
		}
		if offset > 0 {
			i.lab.resumed.Add(1)
		}
		whole := bytes.NewReader(i.content[offset:])
		if !i.waits || offset > 0 {
			return whole, nil
		}
		middle := (part + len(i.content)) / 2
		return io.MultiReader(
			bytes.NewReader(i.content[:middle]),
			pause{ctx, i.lab.stop, i.lab.service.life.Load().gone},
			bytes.NewReader(i.content[middle:]),
		), nil
	}
}

// pause is a reader that has nothing, once there is no more reason to wait.
type pause struct {
	ctx        context.Context
	stop, gone <-chan struct{}
}

func (p pause) Read([]byte) (int, error) {
	select {
	case <-p.stop:
	case <-p.gone:
	case <-p.ctx.Done():
	}
	return 0, io.EOF
}

// facts waits for what the service states of an image that it has read back.
func (i *image) facts(ctx context.Context) (evidence.Facts, error) {
	for {
		var status api.IntakeStatus
		if err := persist(ctx, func() (err error) {
			status, err = i.op.Intake(ctx, i.id, time.Second)
			return err
		}); err != nil {
			return evidence.Facts{}, err
		}
		switch status.Phase {
		case api.PhaseReady:
			return *status.Facts, nil
		case api.PhaseReceived, api.PhaseChecked: // being read back
		default:
			return evidence.Facts{}, fmt.Errorf("intake %s is %s: %s", i.id, status.Phase, status.Problem)
		}
	}
}
