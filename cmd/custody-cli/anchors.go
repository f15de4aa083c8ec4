package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/operator"
)

func newAnchors(a *app) *cobra.Command {
	var below int64
	cmd := look(a, &cobra.Command{
		Use:   "anchors",
		Short: "How far the ledger's RFC 3161 time stamps are",
		Long: "anchors lists the checkpoints of the ledger that were given to time-stamping authorities, the newest\n" +
			"first, and what each authority has answered: pending ones are asked again, failed ones are not. It is\n" +
			"what the service answers; what is proven, an exported bundle and verify tell.",
		Example: "  custody-cli anchors\n  custody-cli anchors --json",
	}, nil, func(ctx context.Context, op *operator.Operator, _ string) (any, text, error) {
		all, err := op.Anchors(ctx, below)
		if err != nil {
			return nil, nil, err
		}
		return all, func(w io.Writer) error { return tellAnchors(w, all) }, nil
	})
	cmd.Flags().Int64Var(&below, "below", 0, "only checkpoints of fewer entries: the page after the one that ends there")
	return cmd
}

func tellAnchors(w io.Writer, all api.Anchors) error {
	if len(all.Rounds) == 0 {
		words := "no checkpoint was given to an authority yet"
		if len(all.Authorities) == 0 {
			words = "no authority is configured: see custodyd serve --authority"
		}
		_, err := fmt.Fprintln(w, words)
		return err
	}
	var rows [][]string
	for _, r := range all.Rounds {
		for _, s := range r.Stamps {
			rows = append(rows, []string{fmt.Sprint(r.Entries), s.Authority, string(s.State), anchorTime(s), anchorNote(s)})
		}
	}
	return table("entries authority state time note", rows)(w)
}

// anchorTime is when a checkpoint was stamped.
func anchorTime(s api.AnchorStamp) string {
	if s.Time == nil {
		return ""
	}
	return s.Time.String()
}

// anchorNote is what should be known beside the state.
func anchorNote(s api.AnchorStamp) string {
	var notes []string
	if s.Entry != nil {
		notes = append(notes, fmt.Sprintf("entry %d", *s.Entry))
	}
	if s.Missing != nil {
		notes = append(notes, "without revocation lists: "+strings.Join(*s.Missing, "; "))
	}
	if s.Problem != nil {
		notes = append(notes, fmt.Sprintf("asked %d times: %s", s.Tries, *s.Problem))
	}
	if s.Due != nil {
		notes = append(notes, fmt.Sprintf("again at %s", s.Due))
	}
	return strings.Join(notes, "; ")
}
