package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/report"
)

func newHistory(a *app) *cobra.Command {
	var asTable bool
	cmd := &cobra.Command{
		Use:   "history CASE[/EXHIBIT[/COPY]]",
		Short: "Who did what, when, where, why and with which tool, in words",
		Long: "history tells the entries of a case, an exhibit or a copy, oldest first. It is what the service answers;\n" +
			"what of it is proven, an exported bundle and verify tell.",
		Example: "  custody-cli history 2026-0042\n  custody-cli history 2026-0042/E-001/W1 --table",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parse(args[0], 1, 3)
			if err != nil {
				return err
			}
			op, err := a.open(cmd.Context(), patience)
			if err != nil {
				return err
			}
			defer op.Close()
			people, err := op.People(cmd.Context())
			if err != nil && !errors.Is(err, evidence.ErrForbidden) {
				return err
			}
			known := map[identity.Principal]string{}
			for _, p := range people {
				known[p.Principal] = p.Name
			}
			var lines []report.Line
			err = op.Walk(cmd.Context(), path, func(h api.HistoryEntry, e evidence.Event) (bool, error) {
				lines = append(lines, report.LineOf(e, h.Seq, h.CaseSeq, h.Time, func(p identity.Principal) string { return known[p] }))
				return true, nil
			})
			if err != nil {
				return err
			}
			if len(lines) == 0 {
				return fmt.Errorf("entries about %s: %w", path, evidence.ErrNotFound)
			}
			return a.result(map[string]any{"history": lines}, func(w io.Writer) error { return tell(w, lines, asTable) })
		},
	}
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
