package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

// text writes a result for people.
type text = func(io.Writer) error

// look makes a command of one that shows what the service tells. Its one argument is
// read before anybody is asked; nil: it takes none. What ask gives is printed as JSON,
// or as the text.
func look[T any](a *app, cmd *cobra.Command, argument func(string) (T, error),
	ask func(context.Context, *operator.Operator, T) (any, text, error),
) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	if argument == nil {
		cmd.Args = cobra.NoArgs
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		var of T
		if argument != nil {
			if of, err = argument(args[0]); err != nil {
				return err
			}
		}
		op, err := a.open(cmd.Context(), patience)
		if err != nil {
			return err
		}
		defer op.Close()
		answer, words, err := ask(cmd.Context(), op, of)
		if err != nil {
			return err
		}
		return a.result(answer, words)
	}
	return cmd
}

// depth reads a path of that depth, see parse.
func depth(least, most int) func(string) (evidence.Path, error) {
	return func(text string) (evidence.Path, error) { return parse(text, least, most) }
}
