package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/source"
)

// intakeWork brings an intake from wherever it stands to the ledger. Every step may
// be repeated, so that it is one and the same for a new and a resumed intake.
type intakeWork struct {
	a      *app
	op     *operator.Operator
	intake *operator.OpenIntake
	path   evidence.Path // of the exhibit
	fresh  bool          // not resumed
	pass   *source.Pass
	own    digest.Set // hash 1
	list   []byte     // of the files of a set
}

// run reports whether the intake is over, well or not.
func (w *intakeWork) run(ctx context.Context) (done bool, err error) {
	w.pass, err = source.NewPass(w.intake.Source, w.intake.Algs, w.intake.Marks, w.intake.Note)
	if err != nil {
		return false, err
	}
	defer w.pass.Close()
	if err := w.declare(ctx); err != nil {
		return w.fresh && refused(err), err
	}
	var status api.IntakeStatus
	if err := w.op.Persist(ctx, func() (err error) {
		status, err = w.op.Intake(ctx, w.intake.ID, 0)
		return err
	}); err != nil {
		return false, err
	}
	if err := final(status); err != nil {
		return false, err
	}
	switch status.Phase {
	case api.PhaseAbandoned:
		return true, &evidence.TransitionError{Subject: "intake " + w.intake.ID.String(), Kind: "copy.sealed", Reason: "it was abandoned: " + status.Intake.Reason}
	case api.PhaseReceiving:
		if err := w.attach(ctx, evidence.ToolLog); err != nil {
			return false, err
		}
		if err := w.upload(ctx); err != nil {
			return false, err
		}
	}
	if err := w.finish(); err != nil {
		return false, err
	}
	if status.Phase == api.PhaseReceiving || status.Phase == api.PhaseReceived || status.Phase == api.PhaseChecked {
		if err := w.complete(ctx); err != nil {
			return false, err
		}
	}
	return w.seal(ctx)
}

// declare has the declaration recorded. When the exhibit moved before the server saw
// it, it is signed again for the new place.
func (w *intakeWork) declare(ctx context.Context) error {
	for try := 1; ; try++ {
		_, err := w.op.Send(ctx, w.intake.Declared)
		if !errors.Is(err, evidence.ErrStale) || try == 5 {
			return err
		}
		event, err := evidence.Parse(w.intake.Declared.Payload)
		if err != nil {
			return err
		}
		kept := w.intake.Intake
		if kept.Declared, err = w.op.Sign(ctx, w.path.Case, event.Body); err != nil {
			return err
		}
		if err := w.intake.Rewrite(kept); err != nil {
			return err
		}
	}
}

// refused tells whether the service said no, so that nothing was recorded.
func refused(err error) bool {
	var p *api.Problem
	if !errors.As(err, &p) || operator.Retryable(err) {
		return false
	}
	return !slices.Contains([]api.Code{api.CodeUnauthenticated, api.CodeInternal, api.CodeLedgerStopped}, p.Code)
}

// attach sends the log, or the list of the files.
func (w *intakeWork) attach(ctx context.Context, role evidence.Role) error {
	content := w.list
	if role == evidence.ToolLog {
		if w.intake.Log == "" {
			return nil
		}
		var err error
		if content, err = readLog(w.intake.Log); err != nil {
			return fmt.Errorf("--log: %w", err)
		}
		if sha256.Sum256(content) != [32]byte(w.intake.LogSum) {
			return fmt.Errorf("--log: %s: %w", w.intake.Log, source.ErrChanged)
		}
	}
	if len(content) == 0 && role == evidence.Files {
		return nil
	}
	return w.op.Persist(ctx, func() error {
		o, err := w.op.Attach(ctx, w.intake.ID, role, int64(len(content)), bytes.NewReader(content))
		if err == nil && o.SHA256 != digest.SHA256(sha256.Sum256(content)) {
			return fmt.Errorf("%w: the %s has another SHA-256 in the store", operator.ErrFacts, role)
		}
		return err
	})
}

// upload sends the content, going on from what is durable after every cut.
func (w *intakeWork) upload(ctx context.Context) error {
	size := w.intake.Source.Size()
	m := w.a.meter("uploaded", size)
	defer m.done()
	reached := int64(-1)
	begun := time.Now()
	for try := 0; ; try++ {
		durable, err := w.op.Upload(ctx, w.intake.ID, size, func(offset int64) (io.Reader, error) {
			m.set(offset)
			r, err := w.pass.From(offset)
			if err != nil {
				return nil, err
			}
			return &counted{r, m}, nil
		})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !operator.Retryable(err) && !errors.Is(err, api.CodeOffsetMismatch) && !errors.Is(err, evidence.ErrStale) && !errors.Is(err, client.ErrAnswer) {
			return err
		}
		if durable > reached { // it moved: patience begins anew
			reached, begun, try = durable, time.Now(), 0
		}
		wait := min(time.Second<<min(try, 4), 15*time.Second)
		if time.Since(begun)+wait > w.op.RetryFor {
			return err
		}
		w.a.say("%v; trying again in %v", err, wait)
		if err := operator.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

// counted tells a meter what was read.
type counted struct {
	io.Reader
	m *meter
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.m.add(int64(n))
	return n, err
}

// finish takes the digests of the pass, reading what is left of it.
func (w *intakeWork) finish() error {
	own, files, err := w.pass.Finish()
	if err != nil {
		return err
	}
	w.own = own
	for _, f := range files {
		line, err := f.Line()
		if err != nil {
			return err
		}
		w.list = append(w.list, line...)
	}
	return nil
}

// complete states the own digests, after the list that belongs to them.
func (w *intakeWork) complete(ctx context.Context) error {
	if err := w.attach(ctx, evidence.ToolLog); err != nil {
		return err
	}
	if err := w.attach(ctx, evidence.Files); err != nil {
		return err
	}
	return w.op.Persist(ctx, func() error {
		_, err := w.op.Complete(ctx, w.intake.ID, w.own)
		return err
	})
}

// seal waits for the facts, compares and signs them.
func (w *intakeWork) seal(ctx context.Context) (done bool, err error) {
	for try := 1; ; try++ {
		status, err := w.a.await(ctx, w.op, w.intake.ID, w.intake.Source.Size())
		if err != nil {
			return false, err
		}
		if status.Phase != api.PhaseReady {
			return true, w.over(ctx, status)
		}
		holder, err := w.op.Case(ctx, w.path.Case)
		if err != nil {
			return false, err
		}
		known := operator.Known{
			Intake: w.intake.ID, Exhibit: w.path.Exhibit, Class: evidence.Master, Size: w.intake.Source.Size(), Digests: w.own,
			Log: w.intake.LogSum, Until: until(status.Intake, holder), Received: true,
		}
		if len(w.list) > 0 {
			known.Files = sha256.Sum256(w.list)
		}
		if err := known.Agree(*status.Facts); err != nil {
			return false, err
		}
		entry, err := w.op.Record(ctx, w.path.Case, evidence.CopySealed{Facts: *status.Facts}, false)
		if errors.Is(err, evidence.ErrStale) && try < 5 {
			continue // another copy took the number: the facts are stated anew
		}
		if err != nil {
			return false, err
		}
		return true, w.a.sealed(deposited(w.path, *status.Facts, "sealed"), &entry)
	}
}

// over reports an intake that is in the ledger already.
func (w *intakeWork) over(ctx context.Context, status api.IntakeStatus) error {
	if status.Phase == api.PhaseAbandoned {
		return &evidence.TransitionError{Subject: "intake " + w.intake.ID.String(), Kind: "copy.sealed", Reason: "it was abandoned"}
	}
	copies, err := w.op.Copies(ctx, w.path.Case, w.path.Exhibit)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(copies, func(c evidence.Copy) bool { return c.Intake == w.intake.ID })
	if i < 0 {
		return fmt.Errorf("copy of intake %s: %w", w.intake.ID, evidence.ErrNotFound)
	}
	c := copies[i]
	path := w.path
	path.Copy = c.Number
	if status.Phase == api.PhaseQuarantined {
		return w.a.quarantined(ctx, w.op, path, c, w.own)
	}
	// It was sealed and the answer lost: the ledger must show what we would have signed.
	entry, event, err := w.op.Proof(ctx, path, func(e evidence.Event) bool {
		b, ok := e.Body.(evidence.CopySealed)
		return ok && b.Intake == w.intake.ID
	})
	if err != nil {
		return err
	}
	body, _ := event.Body.(evidence.CopySealed)
	if differ := digest.Differ(body.ReadBack, w.own); len(differ) > 0 {
		return fmt.Errorf("%w: %v", operator.ErrFacts, differ)
	}
	return w.a.sealed(deposited(w.path, body.Facts, "sealed"), &entry)
}

// until is the moment until which the objects of an intake must be locked.
func until(i evidence.Intake, c evidence.Case) time.Time {
	return i.DeclaredAt.Time().Add(time.Duration(c.RetainDays) * 24 * time.Hour).Truncate(time.Second)
}

// final tells of an intake that the service has given up.
func final(status api.IntakeStatus) error {
	if !status.Final {
		return nil
	}
	return fmt.Errorf("intake %s: %w: %s", status.Intake.Intake, errFinal, status.Problem)
}

// await waits until an intake is ready to be signed or over, with progress of the read-back.
func (a *app) await(ctx context.Context, op *operator.Operator, id uuid.UUID, size int64) (api.IntakeStatus, error) {
	m := a.meter("read back", size)
	defer m.done()
	said := ""
	stuck := time.Now()
	for {
		var status api.IntakeStatus
		err := op.Persist(ctx, func() (err error) {
			status, err = op.Intake(ctx, id, time.Second)
			return err
		})
		if err != nil {
			return api.IntakeStatus{}, err
		}
		m.set(status.Checked)
		switch status.Phase {
		case api.PhaseReady:
			if status.Facts == nil {
				return api.IntakeStatus{}, fmt.Errorf("%w: ready without facts", operator.ErrAnswer)
			}
			return status, nil
		case api.PhaseSealed, api.PhaseIssued, api.PhaseQuarantined, api.PhaseAbandoned:
			return status, nil
		case api.PhaseReceiving:
			return api.IntakeStatus{}, fmt.Errorf("intake %s: %w: the store has lost what was sent: it is wanted again", id, api.CodeUnavailable)
		}
		if err := final(status); err != nil {
			return api.IntakeStatus{}, err
		}
		if status.Problem == "" {
			stuck = time.Now()
			continue
		}
		if status.Problem != said {
			said = status.Problem
			a.say("the service: %s", said)
		}
		if time.Since(stuck) > op.RetryFor {
			return api.IntakeStatus{}, fmt.Errorf("intake %s: %w: %s", id, api.CodeUnavailable, said)
		}
		if err := operator.Pause(ctx, time.Second); err != nil {
			return api.IntakeStatus{}, err
		}
	}
}

// deposit is the result of a command that brought a copy into custody.
type deposit struct {
	Copy        string            `json:"copy"`
	State       string            `json:"state"`
	Size        int64             `json:"size"`
	Digests     digest.Set        `json:"digests"`
	Lock        string            `json:"lock"`
	RetainUntil *evidence.Time    `json:"retain_until,omitempty"`
	ReadSource  string            `json:"read_source"`
	Intake      uuid.UUID         `json:"intake"`
	To          string            `json:"to,omitempty"`
	Purpose     string            `json:"purpose,omitempty"`
	Findings    []int             `json:"findings,omitempty"`
	Differed    []string          `json:"differed,omitempty"`
	Objects     []evidence.Object `json:"objects"`
	Entry       *operator.Entry   `json:"entry,omitempty"`
}

func deposited(exhibit evidence.Path, f evidence.Facts, state string) deposit {
	exhibit.Copy = f.Number
	content, _ := evidence.Copy{Objects: f.Objects}.Object(evidence.Content)
	return deposit{
		Copy: exhibit.String(), State: state, Size: f.Size, Digests: f.ReadBack, Lock: content.Lock, RetainUntil: content.RetainUntil,
		ReadSource: f.ReadSource, Intake: f.Intake, Objects: f.Objects,
	}
}

// sealed prints a copy that came into custody.
func (a *app) sealed(d deposit, entry *operator.Entry) error {
	d.Entry = entry
	if d.Lock == "none" {
		a.warn("the store locks nothing: whoever can write to it can replace the copy, and the entry says so")
	}
	if d.ReadSource == "cache" {
		a.warn("the third hash was read from memory, not from the medium, and the entry says so")
	}
	sum, _ := d.Digests.SHA256()
	lock := "lock:" + d.Lock
	if d.RetainUntil != nil {
		lock += " until " + day(*d.RetainUntil)
	}
	state := d.State
	if d.To != "" {
		state += " to " + d.To
	}
	return a.result(d, line("%s %s %d bytes sha256:%s %s", d.Copy, state, d.Size, sum, lock))
}

// quarantined prints a copy whose hashes differ, and which ones.
func (a *app) quarantined(ctx context.Context, op *operator.Operator, path evidence.Path, c evidence.Copy, own digest.Set) error {
	findings, err := op.Findings(ctx, path.Case)
	if err != nil {
		return err
	}
	what := ""
	for _, f := range findings {
		if slices.Contains(c.Findings, f.Number) {
			what = fmt.Sprintf(": finding %d: %s", f.Number, f.What)
		}
	}
	entry, event, err := op.Proof(ctx, path, func(e evidence.Event) bool {
		b, ok := e.Body.(evidence.CopyQuarantined)
		return ok && b.Intake == c.Intake
	})
	if err != nil {
		return err
	}
	body, _ := event.Body.(evidence.CopyQuarantined)
	exhibit := path
	d := deposited(exhibit, body.Facts, "quarantined")
	d.Findings, d.Entry = c.Findings, &entry
	for _, alg := range body.Differed {
		d.Differed = append(d.Differed, string(alg))
		for _, hash := range []struct {
			name string
			set  digest.Set
		}{{"declared", body.Declared}, {"read here", own}, {"received", body.Received}, {"read back", body.ReadBack}} {
			if value, ok := hash.set.Get(alg); ok {
				a.warn("%s %s: %s", alg, hash.name, value)
			}
		}
	}
	if err := a.result(d, line("%s quarantined%s", d.Copy, what)); err != nil {
		return err
	}
	return try(fmt.Errorf("%s is quarantined: %w", d.Copy, errFindings), "find out which of the hashes is wrong; the copy is released by nobody until the finding is closed")
}
