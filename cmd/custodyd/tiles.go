package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/mirror"
)

func newTiles() *cobra.Command {
	s := &settings{}
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tiles --data DIR --out DIR",
		Short: "Write the ledger as files that any monitor can read (C2SP tlog-tiles)",
		Long: "Looks at a service that is not running, and writes its ledger's envelopes and tree up to the newest\n" +
			"signed checkpoint, without anything personal. A directory that it wrote before is brought up to date,\n" +
			"unless the ledger does not go on from what stands there: then both signed checkpoints are kept in its\n" +
			"forks, and the exit code is 1. Everything is checked before it is written. While the service runs,\n" +
			"custody-cli mirror does the same.\n" + exitCodes,
		Example: "  custodyd tiles --data /var/lib/custodyd --out /srv/mirror",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := s.load(cmd, args); err != nil {
				return err
			}
			if out == "" {
				return errors.New("--out is missing: name the directory to write, new or written before")
			}
			data, err := openExisting(cmd.Context(), s)
			if err != nil {
				return running(err)
			}
			defer func() { err = errors.Join(err, data.close()) }()
			log, err := custody.NewTiles(cmd.Context(), data.db, data.signer)
			if err != nil {
				return wrong(cmd.OutOrStdout(), err)
			}
			before, now, err := mirror.At(out, data.signer.Key()).Update(cmd.Context(), log)
			if err != nil {
				return wrong(cmd.OutOrStdout(), err)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"dir": out, "origin": now.Origin, "before": before.Size, "size": now.Size, "root": now.Root})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d entries of %s, %d of them new, root %s\n",
				out, now.Size, now.Origin, now.Size-before.Size, now.Root)
			return err
		},
	}
	s.dataFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.Flags().StringVar(&out, "out", "", "directory of the files (required)")
	return cmd
}

// wrong tells what is a finding as one, on stdout.
func wrong(out io.Writer, err error) error {
	split := new(mirror.Contradiction)
	if !errors.As(err, &split) && !isAny(err, mirror.ErrContent, custody.ErrRollback, database.ErrDamaged) {
		return err
	}
	_, printed := fmt.Fprintln(out, "WRONG ", err)
	return errors.Join(errFindings, printed)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
