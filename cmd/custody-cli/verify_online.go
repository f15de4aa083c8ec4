package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/report"
	"github.com/custodyd/custodyd/internal/verify"
)

// online is the result of verifying a copy in the store.
type online struct {
	Copy       string                  `json:"copy"`
	Verdict    verify.Verdict          `json:"verdict"`
	Check      *evidence.FixityChecked `json:"check,omitempty"`
	Size       int64                   `json:"size"`
	Digests    digest.Set              `json:"digests"`                 // as they were sealed
	Findings   []int                   `json:"open_findings,omitempty"` // that quarantine the copy
	Entry      *operator.Entry         `json:"entry,omitempty"`         // of this check
	Sealed     *operator.Entry         `json:"sealed,omitempty"`        // that took the copy into custody
	Proven     bool                    `json:"proven"`                  // receipts show that verdict and sealed digests stand in the ledger
	Checked    string                  `json:"checked"`
	NotChecked string                  `json:"not_checked,omitempty"`
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
	status, err := a.check(ctx, op, path)
	if err != nil {
		return err
	}
	if status.Verdict == nil || status.Recorded == nil {
		return fmt.Errorf("check %s: %w: %s", path, api.CodeUnavailable, status.Problem)
	}
	r := online{Copy: path.String(), Check: status.Verdict, Size: c.Size, Digests: c.Digests, Findings: c.Findings}
	if n := r.Check.Finding; n != 0 && !slices.Contains(r.Findings, n) {
		r.Findings = append(r.Findings, n)
	}
	if err := r.prove(ctx, op, path, c.Case, *status.Recorded); err != nil {
		return err
	}
	r.judge()
	if p, err := op.Place.Policy(op.Origin); err == nil && p.Demands() {
		// They are asked after the answer was given.
		r.NotChecked = join(r.NotChecked, "the witnesses that your policy demands: the receipts' checkpoint has no line of theirs yet; a bundle's has (custody-cli export)")
	}
	if err := a.result(r, r.text); err != nil {
		return err
	}
	return r.conclude()
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// maxChecks is how often a check that the service forgets is begun.
const maxChecks = 5

// check has the service read a copy back. A service that was started anew has forgotten
// what it had not recorded: it is asked again.
func (a *app) check(ctx context.Context, op *operator.Operator, path evidence.Path) (api.CheckStatus, error) {
	for begun := 1; ; begun++ {
		var id uuid.UUID
		if err := op.Persist(ctx, func() (err error) { id, err = op.StartCheck(ctx, path); return err }); err != nil {
			return api.CheckStatus{}, err
		}
		status, err := a.awaitCheck(ctx, op, id)
		if !errors.Is(err, evidence.ErrNotFound) {
			return status, err
		}
		if begun == maxChecks {
			return api.CheckStatus{}, fmt.Errorf("check %s: %w: it was begun %d times, and forgotten each time", path, api.CodeUnavailable, begun)
		}
		a.say("the service has forgotten the check of %s, as after a restart; beginning it anew", path)
	}
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
// history gets a receipt without its payload: it proves that an entry of the case was
// made, and not what it says.
func (r *online) prove(ctx context.Context, op *operator.Operator, path evidence.Path, of evidence.CaseID, answer api.Recorded) error {
	seq, err := op.KeepReceipt(ctx, []byte(answer.Receipt))
	if err != nil {
		return err
	}
	receipt, err := ledger.ParseReceipt([]byte(answer.Receipt))
	if err != nil {
		return err
	}
	envelope, err := ledger.ParseEnvelope(receipt.Envelope)
	if err != nil {
		return err
	}
	if seq != answer.Seq || envelope.Case != ledger.CaseID(of) {
		return fmt.Errorf("%w: entry %d", operator.ErrAnswer, answer.Seq)
	}
	sealed, event, err := op.Proof(ctx, path, func(e evidence.Event) bool { _, ok := factsOf(e); return ok })
	if errors.Is(err, evidence.ErrForbidden) {
		r.Checked = fmt.Sprintf("entry %d of this case stands in the ledger whose key is pinned here", seq)
		r.NotChecked = fmt.Sprintf("what entry %d and that of the sealing say, which your roles do not let you read: result and hashes are the service's word", seq)
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
	r.Checked = fmt.Sprintf("the sealed hashes stand in entry %d, the result in entry %d of the ledger whose key is pinned here", sealed.Seq, check.Seq)
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
	case len(r.Findings) > 0, r.Check.Result == evidence.Mismatch, r.Check.ListWrong, r.Check.Gone:
		r.Verdict = verify.Failed
	case r.Check.Result == evidence.Unreadable:
		r.Verdict = verify.Incomplete
	case r.Check.Result != evidence.Match || r.Check.SHA256 == nil || *r.Check.SHA256 != want:
		r.Verdict = verify.Failed
	default:
		r.Verdict = verify.Verified
	}
}

// conclude makes the verdict an exit.
func (r *online) conclude() error {
	switch r.Verdict {
	case verify.Failed:
		return fmt.Errorf("%s: %w", r.Copy, errFindings)
	case verify.Incomplete:
		return try(fmt.Errorf("%s: %w", r.Copy, errIncomplete), "the store did not give the bytes: have the service's operator look at it with custodyd check, then verify again")
	}
	return nil
}

// text writes the result. Half of it is the service's: nothing of that moves the cursor.
func (r *online) text(w io.Writer) error {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, report.Plain(fmt.Sprintf(format, args...))) }
	entry := ""
	if r.Entry != nil {
		entry = fmt.Sprintf(" (entry %d)", r.Entry.Seq)
	}
	sum, _ := r.Digests.SHA256()
	add("%s %s: %s, %d bytes read from the %s, sha256:%s%s", r.Copy, r.Verdict, r.Check.Result, r.Size, r.Check.Source, sum, entry)
	if r.Check.SHA256 != nil && *r.Check.SHA256 != sum {
		add("  what was read has sha256:%s", r.Check.SHA256)
	}
	for _, part := range []struct {
		how   string
		list  []evidence.Range
		total int
	}{{"damaged", r.Check.Damaged, r.Check.DamagedTotal}, {"unreadable", r.Check.Unreadable, r.Check.UnreadableTotal}} {
		for _, d := range part.list {
			add("  %s: %d bytes from %d", part.how, d.Length, d.Offset)
		}
		if more := part.total - len(part.list); more > 0 {
			add("  %s: %d ranges more", part.how, more)
		}
	}
	if r.Check.Gone {
		add("  the store has it no more as it was sealed")
	}
	if r.Check.ListWrong {
		add("  the midstate list is not the one that was sealed")
	}
	for _, n := range r.Findings {
		add("  finding %d is open: the copy is quarantined", n)
	}
	if r.Check.Detail != "" {
		add("  %s", r.Check.Detail)
	}
	add("  checked: %s", r.Checked)
	if r.NotChecked != "" {
		add("  not checked: %s", r.NotChecked)
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}
