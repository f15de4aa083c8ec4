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

func newCopy(a *app) *cobra.Command {
	return group("copy", "Masters, working copies, and what becomes of them",
		newCopyList(a), newCopyShow(a), newCopyIssue(a), newCopyFetch(a), newCopyReturn(a))
}

func newCopyList(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "list CASE[/EXHIBIT]", Short: "The copies of a case or an exhibit",
		Example: "  custody-cli copy list 2026-0042/E-001",
	}, depth(1, 2), func(ctx context.Context, op *operator.Operator, p evidence.Path) (any, text, error) {
		copies, err := op.Copies(ctx, p.Case, p.Exhibit)
		if err != nil {
			return nil, nil, err
		}
		var rows [][]string
		for _, c := range copies {
			sum, _ := c.Digests.SHA256()
			rows = append(rows, []string{
				c.CopyID.String(), string(c.Class), stateOf(c), string(c.Custodian), fmt.Sprint(c.Size), c.Lock, day(c.Sealed), "sha256:" + sum.String(), c.Title,
			})
		}
		return map[string]any{"copies": notNil(copies)}, table("copy class state custodian bytes lock since digest title", rows), nil
	})
}

func newCopyShow(a *app) *cobra.Command {
	return look(a, &cobra.Command{
		Use: "show CASE/EXHIBIT/COPY", Short: "What is known about one copy",
		Example: "  custody-cli copy show 2026-0042/E-001/M1",
	}, depth(3, 3), func(ctx context.Context, op *operator.Operator, p evidence.Path) (any, text, error) {
		c, err := op.Copy(ctx, p)
		if err != nil {
			return nil, nil, err
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
		return c, facts(pairs...), nil
	})
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
