package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/signer"
)

func newCheck() *cobra.Command {
	s := &settings{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "check --data DIR",
		Short:   "Look at configuration, store, ledger and clock: what is wrong, and how to mend it",
		Long:    "Looks at a service that is not running: its configuration, its store (the whole probe), its\nledger and its clock. It changes nothing but the probe's own objects.\n" + exitCodes,
		Example: "  custodyd check --data /var/lib/custodyd",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.load(cmd, args); err != nil {
				return err
			}
			return s.check(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	s.dataFlags(cmd.Flags())
	s.witnessFlags(cmd.Flags())
	s.authorityFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the observations as JSON")
	return cmd
}

// check lists what was looked at.
func (s *settings) check(ctx context.Context, out io.Writer, asJSON bool) error {
	var seen []custody.Observation
	seen = append(seen, s.checkLedger(ctx)...)
	seen = append(seen, s.checkStore(ctx)...)
	seen = append(seen, s.checkAuthorities(ctx)...)
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(seen); err != nil {
			return err
		}
	}
	wrong := 0
	for _, o := range seen {
		if !o.OK {
			wrong++
		}
		if !asJSON {
			printObservation(out, o)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%w: %d of %d", errFindings, wrong, len(seen))
	}
	return nil
}

func printObservation(out io.Writer, o custody.Observation) {
	state := "ok   "
	if !o.OK {
		state = "WRONG"
	}
	_, _ = fmt.Fprintf(out, "%s  %-18s %s\n", state, o.Name, o.Detail)
	if !o.OK && o.Mend != "" {
		_, _ = fmt.Fprintf(out, "%26s%s\n", "", o.Mend)
	}
}

func (s *settings) checkLedger(ctx context.Context) []custody.Observation {
	data, err := openExisting(ctx, s)
	if err != nil {
		o := custody.Observation{Name: "data directory", Detail: err.Error(), Mend: lostLedger(s.data, err)}
		switch {
		case errors.Is(err, signer.ErrGone):
			o.Name, o.Mend = "signer", "start custodyd signer with --socket "+s.signer
		case errors.Is(err, database.ErrLocked):
			o.Mend = "the service is running: stop it first, or ask its /readyz"
			if len(s.witnesses.texts) > 0 {
				o.Mend += "; no witness is asked meanwhile, its /v1/server says how they stand"
			}
		}
		return []custody.Observation{o}
	}
	witnesses, err := s.witnesses.endpoints()
	if err != nil {
		return []custody.Observation{{Name: "witnesses", Detail: err.Error()}}
	}
	first := custody.Observation{Name: "data directory", OK: data.damage == "", Detail: s.data}
	if !first.OK {
		first.Detail, first.Mend = markerFile+": "+data.damage, "restore the file from a backup"
	}
	seen := append([]custody.Observation{first}, custody.Inspect(ctx, custody.Config{
		Database: data.db, Ledger: data.signer, Key: data.service, Now: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		Witnesses: witnesses,
	})...)
	if err := data.close(); err != nil {
		seen = append(seen, custody.Observation{Name: "close", Detail: err.Error()})
	}
	return seen
}

func (s *settings) checkStore(ctx context.Context) []custody.Observation {
	objects, err := openStore(ctx, s)
	if err != nil {
		mend := "see that the store runs, is reached and takes these keys"
		if errors.Is(err, objectstore.ErrInUse) {
			mend = "the service is running: stop it first, or ask its /readyz"
		}
		if errors.Is(err, fs.ErrNotExist) {
			mend = "see that --data names the service's directory"
		}
		if errors.Is(err, objectstore.ErrNoBucket) {
			mend = "" // said with it
		}
		return []custody.Observation{{Name: "store", Detail: err.Error(), Mend: mend}}
	}
	report, err := objects.Probe(ctx)
	if err != nil {
		return []custody.Observation{{Name: "store", Detail: err.Error(), Mend: "see that the store runs, is reached and takes these keys"}}
	}
	var seen []custody.Observation
	for _, c := range report.Checks {
		o := custody.Observation{Name: c.Name, OK: c.OK || c.Weight != objectstore.Required, Detail: c.Means}
		if !c.OK {
			o.Detail = c.Detail
			o.Mend = "use a store that can; with --allow-unlocked-store every entry says that it cannot"
			if o.OK {
				o.Detail = "advice: " + c.Detail
			}
		}
		seen = append(seen, o)
	}
	if err := objects.Close(); err != nil {
		seen = append(seen, custody.Observation{Name: "store", Detail: err.Error()})
	}
	return seen
}
