package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/verify"
)

// online is the result of verifying a copy in the store.
type online struct {
	Copy    string                  `json:"copy"`
	Verdict verify.Verdict          `json:"verdict"`
	Check   *evidence.FixityChecked `json:"check,omitempty"`
	Size    int64                   `json:"size"`
	Digests digest.Set              `json:"digests"`          // as they were sealed
	Entry   *operator.Entry         `json:"entry,omitempty"`  // of this check
	Sealed  *operator.Entry         `json:"sealed,omitempty"` // that took the copy into custody
	Proven  bool                    `json:"proven"`           // receipts show that verdict and sealed digests stand in the ledger
	Detail  string                  `json:"detail,omitempty"`
}

// verifyOnline has the service read a copy back, and then believes nothing that no
// receipt proves.
func verifyOnline(ctx context.Context, a *app, path evidence.Path) error {
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	c, err := op.Copy(ctx, path)
	if err != nil {
		return err
	}
	var id uuid.UUID
	if err := op.Persist(ctx, func() (err error) { id, err = op.StartCheck(ctx, path); return err }); err != nil {
		return err
	}
	status, err := a.awaitCheck(ctx, op, id)
	if err != nil {
		return err
	}
	if status.Verdict == nil || status.Recorded == nil {
		return fmt.Errorf("check %s: %w: %s", path, api.CodeUnavailable, status.Problem)
	}
	r := online{Copy: path.String(), Check: status.Verdict, Size: c.Size, Digests: c.Digests}
	if err := r.prove(ctx, op, path, *status.Recorded); err != nil {
		return err
	}
	r.judge()
	if err := a.result(r, r.text); err != nil {
		return err
	}
	switch r.Verdict {
	case verify.Failed:
		return fmt.Errorf("%s: %w", path, errFindings)
	case verify.Incomplete:
		return try(fmt.Errorf("%s: %w", path, errIncomplete), "have it verified by somebody who may read the history, or export the case and verify the bundle")
	}
	return nil
}

func (a *app) awaitCheck(ctx context.Context, op *operator.Operator, id uuid.UUID) (api.CheckStatus, error) {
	var m *meter
	for {
		var status api.CheckStatus
		err := op.Persist(ctx, func() (err error) {
			status, err = op.Check(ctx, id, time.Second)
			return err
		})
		if m == nil && err == nil {
			m = a.meter("read back", status.Size)
			defer m.done()
		}
		if err != nil || status.Done {
			return status, err
		}
		m.set(status.Checked)
	}
}

// prove binds the verdict and the sealed digests to the ledger. Who may not read the
// history gets a receipt without its payload, which proves neither.
func (r *online) prove(ctx context.Context, op *operator.Operator, path evidence.Path, answer api.Recorded) error {
	seq, err := op.KeepReceipt(ctx, []byte(answer.Receipt))
	if err != nil {
		return err
	}
	if seq != answer.Seq {
		return fmt.Errorf("%w: entry %d", operator.ErrAnswer, answer.Seq)
	}
	sealed, event, err := op.Proof(ctx, path, func(e evidence.Event) bool { _, ok := factsOf(e); return ok })
	if errors.Is(err, evidence.ErrForbidden) {
		r.Detail = fmt.Sprintf("your roles do not let you read the history: entry %d is in the ledger, what it says is the service's word", seq)
		return nil
	}
	if err != nil {
		return err
	}
	check, checked, err := op.Proof(ctx, path, func(e evidence.Event) bool {
		b, ok := e.Body.(evidence.FixityChecked)
		return ok && reflect.DeepEqual(b, *r.Check)
	})
	if err != nil {
		return err
	}
	body, _ := checked.Body.(evidence.FixityChecked)
	if check.Seq < seq || body.Number != path.Copy || body.Exhibit != path.Exhibit {
		return fmt.Errorf("%w: the verdict is not that of entry %d", operator.ErrAnswer, seq)
	}
	stated, _ := factsOf(event)
	r.Digests, r.Size, r.Proven, r.Entry, r.Sealed = stated.ReadBack, stated.Size, true, &check, &sealed
	return nil
}

// factsOf gives the facts of the events that take a copy into custody.
func factsOf(e evidence.Event) (evidence.Facts, bool) {
	switch b := e.Body.(type) {
	case evidence.CopySealed:
		return b.Facts, true
	case evidence.CopyIssued:
		return b.Facts, true
	case evidence.CopyQuarantined:
		return b.Facts, true
	}
	return evidence.Facts{}, false
}

// judge compares the hash that was read with the sealed one.
func (r *online) judge() {
	want, _ := r.Digests.SHA256()
	switch {
	case r.Check.Result == evidence.Unreadable:
		r.Verdict = verify.Incomplete
	case r.Check.Result != evidence.Match || r.Check.SHA256 == nil || *r.Check.SHA256 != want || r.Check.ListWrong:
		r.Verdict = verify.Failed
	case !r.Proven:
		r.Verdict = verify.Incomplete
	default:
		r.Verdict = verify.Verified
	}
}

func (r *online) text(w io.Writer) error {
	entry := ""
	if r.Entry != nil {
		entry = fmt.Sprintf(" (entry %d)", r.Entry.Seq)
	}
	sum, _ := r.Digests.SHA256()
	fmt.Fprintf(w, "%s %s: %s, %d bytes read from the %s, sha256:%s%s\n", r.Copy, r.Verdict, r.Check.Result, r.Size, r.Check.Source, sum, entry)
	if r.Check.SHA256 != nil && *r.Check.SHA256 != sum {
		fmt.Fprintf(w, "  what was read has sha256:%s\n", r.Check.SHA256)
	}
	for _, d := range r.Check.Damaged {
		fmt.Fprintf(w, "  damaged: %d bytes from %d\n", d.Length, d.Offset)
	}
	if more := r.Check.DamagedTotal - len(r.Check.Damaged); more > 0 {
		fmt.Fprintf(w, "  damaged: %d ranges more\n", more)
	}
	if r.Check.ListWrong {
		fmt.Fprintln(w, "  the midstate list is not the one that was sealed")
	}
	if r.Check.Finding != 0 {
		fmt.Fprintf(w, "  finding %d is open: the copy is quarantined\n", r.Check.Finding)
	}
	for _, more := range []string{r.Check.Detail, r.Detail} {
		if more != "" {
			fmt.Fprintf(w, "  %s\n", more)
		}
	}
	return nil
}
