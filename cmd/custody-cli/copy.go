package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
)

func newCopy(a *app) *cobra.Command {
	return group("copy", "Masters, working copies, and what becomes of them",
		newCopyList(a), newCopyShow(a), newCopyIssue(a), newCopyFetch(a), newCopyReturn(a))
}

func newCopyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list CASE[/EXHIBIT]", Short: "The copies of a case or an exhibit", Args: cobra.ExactArgs(1),
		Example: "  custody-cli copy list 2026-0042/E-001",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parse(args[0], 1, 2)
			if err != nil {
				return err
			}
			op, err := a.open(cmd.Context(), patience)
			if err != nil {
				return err
			}
			defer op.Close()
			copies, err := op.Copies(cmd.Context(), p.Case, p.Exhibit)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, c := range copies {
				sum, _ := c.Digests.SHA256()
				rows = append(rows, []string{
					c.CopyID.String(), string(c.Class), stateOf(c), string(c.Custodian), fmt.Sprint(c.Size), c.Lock, day(c.Sealed), "sha256:" + sum.String(), c.Title,
				})
			}
			return a.result(map[string]any{"copies": notNil(copies)}, table("copy class state custodian bytes lock since digest title", rows))
		},
	}
}

func newCopyShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show CASE/EXHIBIT/COPY", Short: "What is known about one copy", Args: cobra.ExactArgs(1),
		Example: "  custody-cli copy show 2026-0042/E-001/M1",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parse(args[0], 3, 3)
			if err != nil {
				return err
			}
			op, err := a.open(cmd.Context(), patience)
			if err != nil {
				return err
			}
			defer op.Close()
			c, err := op.Copy(cmd.Context(), p)
			if err != nil {
				return err
			}
			pairs := []string{
				"copy", p.String(), "title", c.Title, "class", string(c.Class), "state", stateOf(c), "bytes", fmt.Sprint(c.Size),
				"sealed", fmt.Sprintf("%s by %s", c.Sealed, c.SealedBy), "custodian", string(c.Custodian),
				"made of", string(c.Of), "for", string(c.To), "purpose", c.Purpose,
			}
			for _, alg := range c.Digests.Algorithms() {
				value, _ := c.Digests.Get(alg)
				pairs = append(pairs, string(alg), value)
			}
			for _, o := range c.Objects {
				until := ""
				if o.RetainUntil != nil {
					until = " until " + o.RetainUntil.String()
				}
				pairs = append(pairs, string(o.Role)+" object", fmt.Sprintf("%s/%s version %s, %d bytes, lock:%s%s", o.Bucket, o.Key, o.Version, o.Size, o.Lock, until))
			}
			return a.result(c, facts(pairs...))
		},
	}
}

// goOn says that a command that was interrupted goes on when it is given again.
func goOn(err error) error {
	if errors.Is(err, context.Canceled) {
		return try(err, "give the same command again: it goes on where it stood")
	}
	return err
}

// stateOf is a copy's state with what blocks it.
func stateOf(c evidence.Copy) string {
	if !c.Quarantined() {
		return string(c.State)
	}
	var open []string
	for _, n := range c.Findings {
		open = append(open, fmt.Sprint(n))
	}
	return fmt.Sprintf("%s, quarantined by finding %s", c.State, strings.Join(open, ", "))
}
