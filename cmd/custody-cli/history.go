package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/report"
)

func newHistory(a *app) *cobra.Command {
	var asTable bool
	cmd := look(a, &cobra.Command{
		Use:   "history CASE[/EXHIBIT[/COPY]]",
		Short: "Who did what, when, where, why and with which tool, in words",
		Long: "history tells the entries of a case, an exhibit or a copy, oldest first. It is what the service answers;\n" +
			"what of it is proven, an exported bundle and verify tell.",
		Example: "  custody-cli history 2026-0042\n  custody-cli history 2026-0042/E-001/W1 --table",
	}, depth(1, 3), func(ctx context.Context, op *operator.Operator, path evidence.Path) (any, text, error) {
		people, err := op.People(ctx)
		if err != nil && !errors.Is(err, evidence.ErrForbidden) {
			return nil, nil, err
		}
		known := map[identity.Principal]string{}
		for _, p := range people {
			known[p.Principal] = p.Name
		}
		var lines []report.Line
		err = op.Walk(ctx, path, func(h api.HistoryEntry, e evidence.Event) (bool, error) {
			l := report.LineOf(e, h.Seq, h.CaseSeq, h.Time, func(p identity.Principal) string { return known[p] })
			if x := h.Erased; x != nil {
				l = l.Without(x.Entry, x.Authority, x.Reason)
			}
			lines = append(lines, l)
			return true, nil
		})
		if err != nil {
			return nil, nil, err
		}
		if len(lines) == 0 {
			return nil, nil, fmt.Errorf("entries about %s: %w", path, evidence.ErrNotFound)
		}
		return map[string]any{"history": lines}, func(w io.Writer) error { return tell(w, lines, asTable) }, nil
	})
	cmd.Flags().BoolVar(&asTable, "table", false, "as a table")
	return cmd
}

// tell writes the history.
func tell(w io.Writer, lines []report.Line, asTable bool) error {
	if asTable {
		var rows [][]string
		for _, l := range lines {
			rows = append(rows, []string{fmt.Sprint(l.Seq), l.When.String(), string(l.Action), l.Who, l.Where, l.Why, l.Tool})
		}
		return table("entry when action who where why tool", rows)(w)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%d  %s  %s\n", l.Seq, l.When, l.Sentence()); err != nil {
			return err
		}
	}
	return nil
}
