package custody

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// IntakeStatus tells how far an intake has come.
type IntakeStatus struct {
	Intake  evidence.Intake
	Phase   Phase
	Offset  int64           // bytes that are durable
	Checked int64           // bytes read back so far
	Facts   *evidence.Facts // what can be signed, when Ready
	Problem string          // why it cannot go on, or what is being retried
	Final   bool            // the problem is no passing one: it cannot go on, ever
}

// maxWait bounds a long poll.
const maxWait = 30 * time.Second

// Intake tells how far an intake has come. With a wait it answers when the phase
// or the problem changes, or when the wait is over.
func (s *Service) Intake(ctx context.Context, c Caller, id uuid.UUID, wait time.Duration) (IntakeStatus, error) {
	if err := c.allow(identity.CopyRead); err != nil {
		return IntakeStatus{}, err
	}
	timeout := time.NewTimer(min(wait, maxWait))
	defer timeout.Stop()
	var first IntakeStatus
	for {
		changed := s.intakes.next()
		status, err := s.status(ctx, id)
		if err != nil || wait <= 0 || status.Phase == Ready || status.Phase.over() || status.Final {
			return status, err
		}
		if first.Phase == "" {
			first = status
		}
		if status.Phase != first.Phase || status.Problem != first.Problem {
			return status, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return status, nil
		case <-s.leaving:
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
	status.Phase, status.Problem, status.Final = u.Phase, u.Problem, u.Problem != ""
	if u.Lost {
		status.Problem = lostBytes
	}
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
	for _, role := range roles {
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
