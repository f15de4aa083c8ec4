package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
)

func newHold(a *app) *cobra.Command {
	return group("hold", "Legal holds: while a case is under one, nothing of it is erased",
		newHoldCommand(a, "place", "Put a case under a legal hold",
			"  custody-cli hold place 2026-0042 --name graz-7C12 --authority 'Court of Graz, 7 C 12/26' --reason 'appeal pending'",
			func(name evidence.Name, authority, reason string) evidence.Body {
				return evidence.HoldPlaced{Name: name, Authority: authority, Reason: reason}
			}),
		newHoldCommand(a, "lift", "Lift a legal hold; others stay",
			"  custody-cli hold lift 2026-0042 --name graz-7C12 --authority 'Court of Graz, 7 C 12/26' --reason 'judgment is final'",
			func(name evidence.Name, authority, reason string) evidence.Body {
				return evidence.HoldLifted{Name: name, Authority: authority, Reason: reason}
			}))
}

func newHoldCommand(a *app, verb, short, example string, body func(name evidence.Name, authority, reason string) evidence.Body) *cobra.Command {
	var name, authority, reason string
	cmd := &cobra.Command{
		Use: verb + " CASE --name NAME --authority TEXT --reason TEXT", Short: short, Example: example, Args: cobra.ExactArgs(1),
		Long: short + ". Case show tells the holds that a case is under. A hold stops erasure; the work goes on, and\n" +
			"a case can be closed under it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parse(args[0], 1, 1)
			if err != nil {
				return err
			}
			hold, err := evidence.ParseName(name)
			if err != nil {
				return fmt.Errorf("--name: %w", err)
			}
			said := map[string]string{"place": "is under the hold " + name, "lift": "is no longer under the hold " + name}[verb]
			err = a.record(cmd.Context(), p.Case, body(hold, authority, reason), true, args[0], said)
			if errors.Is(err, evidence.ErrNotFound) {
				return try(err, "see the case and the holds that it is under: custody-cli case show "+args[0])
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "what the hold is called: letters, digits, '.', '_', '-'")
	f.StringVar(&authority, "authority", "", "who demands or allows it, and by which order")
	f.StringVar(&reason, "reason", "", "why")
	require(cmd, "name", "authority", "reason")
	return cmd
}
