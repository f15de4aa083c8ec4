package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/operator"
)

type issueOptions struct{ to, purpose string }

func newCopyIssue(a *app) *cobra.Command {
	var o issueOptions
	cmd := &cobra.Command{
		Use:   "issue CASE/EXHIBIT[/MASTER] --to PRINCIPAL --purpose TEXT",
		Short: "Have a working copy made, for one person and one purpose",
		Long: "issue has the store make a working copy of a master, read it back, and gives it to one person. Without\n" +
			"the master's number the exhibit must have one master only. Interrupted, give the same command again.",
		Example: "  custody-cli copy issue 2026-0042/E-001/M1 --to analyst1 --purpose 'search for sent documents'",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return goOn(o.run(cmd.Context(), a, args[0])) },
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "who gets it")
	f.StringVar(&o.purpose, "purpose", "", "what for")
	require(cmd, "to", "purpose")
	return cmd
}

func (o issueOptions) run(ctx context.Context, a *app, text string) error {
	path, err := parse(text, 2, 3)
	if err != nil {
		return err
	}
	to, err := identity.ParsePrincipal(o.to)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	master, err := findMaster(ctx, op, path)
	if err != nil {
		return err
	}
	path.Copy = master.Number
	d, entry, err := a.issue(ctx, op, path, master, to, o.purpose)
	if err != nil {
		return err
	}
	return a.sealed(d, entry)
}

// findMaster gives the named master, or the only one of an exhibit.
func findMaster(ctx context.Context, op *operator.Operator, path evidence.Path) (evidence.Copy, error) {
	if path.Copy != "" {
		return op.Copy(ctx, path)
	}
	copies, err := op.Copies(ctx, path.Case, path.Exhibit)
	if err != nil {
		return evidence.Copy{}, err
	}
	var masters []evidence.Copy
	var names, blocked []string
	for _, c := range copies {
		switch {
		case c.Class != evidence.Master:
		case c.Quarantined():
			blocked = append(blocked, fmt.Sprintf("%s is %s", c.Number, stateOf(c)))
		default:
			masters, names = append(masters, c), append(names, path.String()+"/"+string(c.Number))
		}
	}
	switch {
	case len(masters) == 1:
		return masters[0], nil
	case len(masters) == 0 && len(blocked) > 0:
		err := &evidence.TransitionError{Subject: path.String(), Kind: "copy.requested", Reason: "no master can be released: " + strings.Join(blocked, "; ")}
		return evidence.Copy{}, try(err, fmt.Sprintf("see what was found: custody-cli case show %s", path.Case))
	case len(masters) == 0:
		return evidence.Copy{}, fmt.Errorf("master of %s: %w", path, evidence.ErrNotFound)
	}
	return evidence.Copy{}, fmt.Errorf("%s has %d masters; say which: %s", path, len(masters), strings.Join(names, ", "))
}

// issue has a working copy made and hands it over. One that was requested before in
// the same words, and not finished, is gone on with.
func (a *app) issue(ctx context.Context, op *operator.Operator, path evidence.Path, master evidence.Copy, to identity.Principal, purpose string) (deposit, *operator.Entry, error) {
	binding := evidence.Binding{Of: master.Number, To: to, Purpose: purpose}
	id, err := requested(ctx, op, path, binding)
	if err != nil {
		return deposit{}, nil, err
	}
	if id == uuid.Nil {
		if id, err = op.NewID(); err != nil {
			return deposit{}, nil, err
		}
		if _, err := op.Record(ctx, path.Case, evidence.CopyRequested{Intake: id, Exhibit: path.Exhibit, Binding: binding}, true); err != nil {
			return deposit{}, nil, err
		}
	} else {
		a.say("going on with the copy that was requested before, intake %s", id)
	}
	exhibit := evidence.Path{Case: path.Case, Exhibit: path.Exhibit}
	for n := 1; ; n++ {
		status, err := a.await(ctx, op, id, master.Size)
		if errors.Is(err, errFinal) {
			err = try(err, "verify "+path.String()+"; when its cause is mended, give the command again: it requests another copy")
		}
		if err != nil {
			return deposit{}, nil, err
		}
		if status.Phase != api.PhaseReady {
			return deposit{}, nil, a.notIssued(ctx, op, exhibit, status)
		}
		holder, err := op.Case(ctx, path.Case)
		if err != nil {
			return deposit{}, nil, err
		}
		known := operator.Known{
			Intake: id, Exhibit: path.Exhibit, Class: evidence.Working, Size: master.Size, Digests: master.Digests, Until: until(status.Intake, holder),
		}
		if err := known.Agree(*status.Facts); err != nil {
			return deposit{}, nil, err
		}
		entry, err := op.Record(ctx, path.Case, evidence.CopyIssued{Facts: *status.Facts, Binding: binding}, false)
		if errors.Is(err, evidence.ErrStale) && n < 5 {
			continue // another copy took the number: the facts are stated anew
		}
		if err != nil {
			return deposit{}, nil, err
		}
		d := deposited(exhibit, *status.Facts, "issued")
		d.To, d.Purpose = string(to), purpose
		return d, &entry, nil
	}
}

// requested finds a working copy that this person asked for in the same words and
// that is on its way.
func requested(ctx context.Context, op *operator.Operator, path evidence.Path, b evidence.Binding) (uuid.UUID, error) {
	intakes, err := op.Intakes(ctx, path.Case)
	if err != nil {
		return uuid.Nil, err
	}
	i := slices.IndexFunc(intakes, func(s api.IntakeStatus) bool {
		i := s.Intake
		return i.State == evidence.Declared && !s.Final && i.Class == evidence.Working && i.By == op.Principal && i.Exhibit == path.Exhibit &&
			b == evidence.Binding{Of: i.Of, To: i.To, Purpose: i.Purpose}
	})
	if i < 0 {
		return uuid.Nil, nil
	}
	return intakes[i].Intake.Intake, nil
}

// notIssued reports a working copy that is over without having been issued now.
func (a *app) notIssued(ctx context.Context, op *operator.Operator, exhibit evidence.Path, status api.IntakeStatus) error {
	id := status.Intake.Intake
	copies, err := op.Copies(ctx, exhibit.Case, exhibit.Exhibit)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(copies, func(c evidence.Copy) bool { return c.Intake == id })
	if status.Phase != api.PhaseQuarantined || i < 0 {
		return &evidence.TransitionError{Subject: "intake " + id.String(), Kind: "copy.issued", Reason: "it is " + string(status.Phase) + " already"}
	}
	exhibit.Copy = copies[i].Number
	return a.quarantined(ctx, op, exhibit, copies[i], copies[i].Digests)
}
