package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

func newCase(a *app) *cobra.Command {
	return group("case", "Investigations and incidents", newCaseOpen(a), newCaseList(a), newCaseShow(a), newCaseClose(a))
}

type caseOptions struct {
	reference, title string
	jurisdictions    []string
	retainDays       int
}

func newCaseOpen(a *app) *cobra.Command {
	var o caseOptions
	cmd := &cobra.Command{
		Use:     "open --reference REF --title TEXT [--jurisdiction TEXT]... [--retain-days N]",
		Short:   "Open a case",
		Example: "  custody-cli case open --reference 2026-0042 --title 'Theft of trade secrets' --jurisdiction DE",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.StringVar(&o.reference, "reference", "", "how the case is called: letters, digits, '.', '_', '-'")
	f.StringVar(&o.title, "title", "", "what it is about")
	f.StringArrayVar(&o.jurisdictions, "jurisdiction", nil, "where it may go to court; may be repeated")
	f.IntVar(&o.retainDays, "retain-days", 0, "days for which each sealed object is locked (default: the server's)")
	require(cmd, "reference", "title")
	return cmd
}

func (o caseOptions) run(ctx context.Context, a *app) error {
	reference, err := evidence.ParseName(o.reference)
	if err != nil {
		return fmt.Errorf("--reference: %w", err)
	}
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	if o.retainDays == 0 {
		about, err := op.About(ctx)
		if err != nil {
			return err
		}
		o.retainDays = about.RetainDays
	}
	return a.recordAs(ctx, op, reference, evidence.CaseOpened{
		Reference: reference, Title: o.title, Jurisdictions: o.jurisdictions, RetainDays: o.retainDays,
	}, true, o.reference, fmt.Sprintf("opened; what is sealed is locked for %d day(s)", o.retainDays))
}

func newCaseList(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "list", Short: "All cases",
		Example: "  custody-cli case list",
	}, nil, func(ctx context.Context, op *operator.Operator, _ evidence.Path) (any, text, error) {
		cases, err := op.Cases(ctx)
		if err != nil {
			return nil, nil, err
		}
		var rows [][]string
		for _, c := range cases {
			rows = append(rows, []string{string(c.Reference), string(c.State), day(c.Opened), string(c.OpenedBy), fmt.Sprint(c.Findings), c.Title})
		}
		return map[string]any{"cases": notNil(cases)}, table("reference state opened by findings title", rows), nil
	})
}

func newCaseShow(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "show CASE", Short: "One case, with its findings",
		Example: "  custody-cli case show 2026-0042",
	}, depth(1, 1), func(ctx context.Context, op *operator.Operator, p evidence.Path) (any, text, error) {
		c, err := op.Case(ctx, p.Case)
		if err != nil {
			return nil, nil, err
		}
		pairs := []string{
			"reference", string(c.Reference), "title", c.Title, "id", c.ID.String(), "state", string(c.State),
			"jurisdictions", strings.Join(c.Jurisdictions, ", "), "retention", fmt.Sprintf("%d day(s)", c.RetainDays),
			"opened", fmt.Sprintf("%s by %s", c.Opened, c.OpenedBy),
		}
		answer := map[string]any{"case": c}
		for _, h := range c.Holds {
			pairs = append(pairs, "hold "+string(h.Name), fmt.Sprintf("on the authority of %s, because: %s (placed %s by %s)", h.Authority, h.Reason, h.Placed, h.PlacedBy))
		}
		findings, err := op.Findings(ctx, p.Case)
		switch {
		case errors.Is(err, evidence.ErrForbidden):
			pairs = append(pairs, "findings", fmt.Sprintf("%d, which your roles do not show", c.Findings))
		case err != nil:
			return nil, nil, err
		default:
			answer["findings"] = notNil(findings)
		}
		for _, f := range findings {
			pairs = append(pairs, fmt.Sprintf("finding %d", f.Number), fmt.Sprintf("%s/%s: %s (%s, opened %s)", f.Exhibit, f.Copy, f.What, f.State, f.Opened))
		}
		return answer, facts(pairs...), nil
	})
}

func newCaseClose(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "close CASE --reason TEXT", Short: "No further exhibits, intakes or copies", Args: cobra.ExactArgs(1),
		Example: "  custody-cli case close 2026-0042 --reason 'judgment is final'",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parse(args[0], 1, 1)
			if err != nil {
				return err
			}
			return a.record(cmd.Context(), p.Case, evidence.CaseClosed{Reason: reason}, false, args[0], "closed")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	require(cmd, "reason")
	return cmd
}
