package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/database"
)

func newBackup() *cobra.Command {
	s := &settings{}
	var asJSON bool
	var to string
	cmd := &cobra.Command{
		Use:   "backup --data DIR --out NEWDIR",
		Short: "Copy the ledger as it is at one moment, while it is served",
		Long: "Copies the ledger and the file that says whose store it belongs to into a new directory, while\n" +
			"the service goes on or not, and checks the copy: pages, tables, and its newest checkpoint.\n\n" +
			"No secret is in it: keep " + keyFile + " and " + serviceFile + " (with .pub) elsewhere, once and for all. Nor\n" +
			"is " + stateFile + ": an old one must never come back. The objects stay in their store.\n\n" +
			"To go on from a backup put these keys and the newest " + stateFile + " beside it. When anything was\n" +
			"recorded after the backup, the service refuses to go on from it; then, and when " + stateFile + "\n" +
			"is lost, the ledger comes from the store: custodyd rebuild --from-store.\n" + exitCodes,
		Example: "  custodyd backup --data /var/lib/custodyd --out /backup/custodyd-2026-03-01",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.load(cmd, args); err != nil {
				return err
			}
			if to == "" {
				return errors.New("--out is missing: name the backup's directory, a new one")
			}
			b, err := s.backup(cmd.Context(), to)
			if err != nil {
				return err
			}
			return printBackup(cmd.OutOrStdout(), b, asJSON)
		},
	}
	s.placeFlags(cmd.Flags())
	cmd.Flags().StringVar(&to, "out", "", "directory of the backup, which must not be there (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was copied as JSON")
	return cmd
}

// backupReport is what a backup holds.
type backupReport struct {
	Out     string   `json:"out"`
	Origin  string   `json:"origin"`
	Entries int64    `json:"entries"`
	Signed  int64    `json:"signed"` // entries under the newest checkpoint in it
	Files   []string `json:"files"`
	Without []string `json:"without"` // what is needed besides to go on from it
}

// backup makes the directory; the marker comes last. A backup that failed leaves none.
func (s *settings) backup(ctx context.Context, to string) (r backupReport, err error) {
	marker, err := readLimited(filepath.Join(s.data, markerFile), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%s: no custodyd data directory; --data names that of the service, as for custodyd serve", s.data)
	}
	if err != nil {
		return r, err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to)) // what failed has left nothing in it
		}
	}()
	b, err := database.Backup(ctx, filepath.Join(s.data, dbFile), filepath.Join(to, dbFile))
	if err != nil {
		return r, err
	}
	if err := errors.Join(writeNew(filepath.Join(to, markerFile), marker, 0o600), syncDir(filepath.Dir(filepath.Clean(to)))); err != nil {
		return r, errors.Join(err, os.Remove(filepath.Join(to, markerFile)), os.Remove(filepath.Join(to, dbFile)))
	}
	return backupReport{
		Out: to, Origin: b.Origin, Entries: b.Entries, Signed: b.Checkpoint.Size, Files: []string{dbFile, markerFile},
		Without: []string{keyFile, stateFile, serviceFile, serviceFile + ".pub", "objects"},
	}, nil
}

func printBackup(out io.Writer, r backupReport, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	p := printer{out: out}
	p.line("%s: %d entries, %d of them under a checkpoint that is in it, copied to %s and checked", r.Origin, r.Entries, r.Signed, r.Out)
	p.line("not in it: the keys (%s, %s), %s, and the objects", keyFile, serviceFile, stateFile)
	return p.err
}
