package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

func newExhibit(a *app) *cobra.Command {
	return group("exhibit", "Originals", newExhibitAdd(a), newExhibitList(a), newExhibitShow(a))
}

func newExhibitAdd(a *app) *cobra.Command {
	var reference, label string
	var b evidence.ExhibitDescription
	cmd := &cobra.Command{
		Use:   "add --case REF --label LABEL --kind KIND --found-by WHO --found-at PLACE --witness WHO",
		Short: "Take an original into custody",
		Example: "  custody-cli exhibit add --case 2026-0042 --label E-001 --kind disk --make Samsung --model '870 EVO' --serial S5Y1NX0R " +
			"--found-by 'E. Examiner' --found-at 'Office 3.12' --found-on 2026-03-01 --witness 'W. Witness'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			holder, err := evidence.ParseName(reference)
			if err != nil {
				return fmt.Errorf("--case: %w", err)
			}
			if b.Label, err = evidence.ParseName(label); err != nil {
				return fmt.Errorf("--label: %w", err)
			}
			return a.record(cmd.Context(), holder, evidence.ExhibitAdded(b), true, reference+"/"+label, "added: "+b.Kind)
		},
	}
	f := cmd.Flags()
	f.StringVar(&reference, "case", "", "reference of the case")
	f.StringVar(&label, "label", "", "label of the exhibit, such as E-001")
	f.StringVar(&b.Kind, "kind", "", "disk, device, medium, memory, log, account, paper or other")
	f.StringVar(&b.Make, "make", "", "manufacturer")
	f.StringVar(&b.Model, "model", "", "model")
	f.StringVar(&b.Serial, "serial", "", "serial number")
	f.StringVar(&b.FoundBy, "found-by", "", "who found it")
	f.StringVar(&b.FoundAt, "found-at", "", "where")
	f.StringVar(&b.FoundOn, "found-on", "", "when, in the finder's words")
	f.StringVar(&b.Witness, "witness", "", "who saw it taken")
	f.StringVar(&b.Note, "note", "", "what else is to be known")
	require(cmd, "case", "label", "kind", "found-by", "found-at", "witness")
	return cmd
}

func newExhibitList(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "list CASE", Short: "The exhibits of a case",
		Example: "  custody-cli exhibit list 2026-0042",
	}, depth(1, 1), func(ctx context.Context, op *operator.Operator, p evidence.Path) (any, text, error) {
		exhibits, err := op.Exhibits(ctx, p.Case)
		if err != nil {
			return nil, nil, err
		}
		var rows [][]string
		for _, x := range exhibits {
			rows = append(rows, []string{string(x.Label), x.Kind, x.Make, x.Model, x.Serial, string(x.State), day(x.Added), string(x.AddedBy), numbers(x)})
		}
		return map[string]any{"exhibits": notNil(exhibits)}, table("label kind make model serial state added by copies", rows), nil
	})
}

func newExhibitShow(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "show CASE/EXHIBIT", Short: "One exhibit",
		Example: "  custody-cli exhibit show 2026-0042/E-001",
	}, depth(2, 2), func(ctx context.Context, op *operator.Operator, p evidence.Path) (any, text, error) {
		x, err := op.Exhibit(ctx, p.Case, p.Exhibit)
		if err != nil {
			return nil, nil, err
		}
		return x, facts(
			"exhibit", p.String(), "kind", x.Kind, "make", x.Make, "model", x.Model, "serial", x.Serial,
			"found by", x.FoundBy, "found at", x.FoundAt, "found on", x.FoundOn, "witness", x.Witness, "note", x.Note,
			"state", string(x.State), "added", fmt.Sprintf("%s by %s", x.Added, x.AddedBy), "copies", numbers(x),
		), nil
	})
}

// numbers tells how many copies of each class there are.
func numbers(x evidence.Exhibit) string {
	text := ""
	for _, class := range []evidence.Class{evidence.Master, evidence.Working, evidence.Derived} {
		if n := x.Numbers[class]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%d %s", n, class)
		}
	}
	return text
}
