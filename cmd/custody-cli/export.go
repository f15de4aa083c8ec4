package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/verify"
)

// exportPurpose binds the working copies that are made for a bundle.
const exportPurpose = "export"

type exportOptions struct {
	output       string
	withContent  bool
	pseudonymous bool
	withhold     []string
	force        bool
}

func newExport(a *app) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export CASE [-o FILE] [--with-content] [--pseudonymous] [--withhold ENTRIES=REASON]...",
		Short: "Export a case as a bundle that anybody can verify offline",
		Long: "export writes a bundle, verifies it, and says so. With --with-content a working copy of every master\n" +
			"that is not quarantined is issued to you for the export, and its bytes go along. Masters never leave.\n\n" +
			"--pseudonymous leaves out who the people are: principals and keys stand for them. --withhold leaves out what\n" +
			"entries say, by their numbers in the history, for a reason that is stated. The bundle says what is withheld and\n" +
			"still verifies; what goes missing beside that is a finding. With an entry that sealed a copy goes all that the\n" +
			"bundle would hold of that copy, with one that declared a copy its log and its list of files. What people wrote\n" +
			"into other entries and logs stays, and export says where that is.",
		Example: "  custody-cli export 2026-0042 -o case.zip\n  custody-cli export 2026-0042 -o case.zip --with-content\n" +
			"  custody-cli export 2026-0042 --pseudonymous --withhold '12,15-17=privileged' --withhold '20=names a minor'",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "the file to write (default: CASE.zip)")
	f.BoolVar(&o.withContent, "with-content", false, "with the bytes of working copies made for this export")
	f.BoolVar(&o.pseudonymous, "pseudonymous", false, "without saying who the people are")
	f.StringArrayVar(&o.withhold, "withhold", nil, "entries whose payloads stay here, and why: 12,15-17=REASON (repeatable)")
	f.BoolVar(&o.force, "force", false, "overwrite the file")
	return cmd
}

func (o exportOptions) run(ctx context.Context, a *app, text string) error {
	path, err := parse(text, 1, 1)
	if err != nil {
		return err
	}
	withheld, err := parseWithheld(o.withhold)
	if err != nil {
		return err
	}
	if o.output == "" {
		o.output = string(path.Case) + ".zip"
	}
	if err := vacant(o.output, o.force); err != nil {
		return err
	}
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	var contents []evidence.Path
	if o.withContent {
		if contents, err = a.contents(ctx, op, path.Case); err != nil {
			return err
		}
	}
	partial, size, err := download(ctx, a, op, path.Case, client.ExportOptions{
		Contents: contents, Pseudonymous: o.pseudonymous, Withheld: withheld,
	}, o.output)
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Field == "withheld" {
		return try(err, fmt.Sprintf("entries go by their numbers in the ledger: custody-cli history %s shows those of the case", path))
	}
	if err != nil {
		return err
	}
	if err := rename(partial, o.output, o.force); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	var checkpoint []byte
	report, err := judgeFound(ctx, a, o.output, func(b *bundle.Bundle) (*verify.Policy, error) {
		checkpoint, err = b.ReadFile(bundle.CheckpointFile)
		return &verify.Policy{Key: op.VerifierKey}, err
	}, false)
	if err != nil {
		return err
	}
	names := []string{}
	for _, c := range contents {
		names = append(names, c.String())
	}
	err = a.result(map[string]any{
		"file": o.output, "size": size, "contents": names, "report": report,
	}, line("%s exported to %s: %d bytes, %d entries, %s", path, o.output, size, report.Entries, report.Verdict))
	if err != nil {
		return err
	}
	a.findings(report.Found)
	a.disclosed(report)
	if report.Verdict == verify.Verified { // what has left the lab, the lab cannot take back
		if err := op.See(ctx, checkpoint); err != nil {
			return err
		}
	}
	return conclude(report.Verdict)
}

// contents gives working copies for the export, one of each master, made where there
// is none yet.
func (a *app) contents(ctx context.Context, op *operator.Operator, reference evidence.Name) ([]evidence.Path, error) {
	copies, err := op.Copies(ctx, reference, "")
	if err != nil {
		return nil, err
	}
	var paths []evidence.Path
	for _, master := range copies {
		path := evidence.Path{Case: reference, Exhibit: master.Exhibit, Copy: master.Number}
		if master.Class != evidence.Master {
			continue
		}
		if master.Quarantined() {
			a.warn("%s is quarantined and goes without its bytes", path)
			continue
		}
		if known, ok := issued(copies, master, op); ok {
			path.Copy = known.Number
		} else {
			d, _, err := a.issue(ctx, op, path, master, op.Principal, exportPurpose)
			if err != nil {
				return nil, fmt.Errorf("issue a copy of %s: %w", path, err)
			}
			a.say("%s issued to %s for the export", d.Copy, op.Principal)
			if path, err = parse(d.Copy, 3, 3); err != nil {
				return nil, err
			}
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// issued finds a working copy of a master that was made for an export of this person.
func issued(copies []evidence.Copy, master evidence.Copy, op *operator.Operator) (evidence.Copy, bool) {
	for _, c := range copies {
		if c.Class == evidence.Working && c.Exhibit == master.Exhibit && c.Of == master.Number && c.To == op.Principal &&
			c.Purpose == exportPurpose && c.State == evidence.Issued && !c.Quarantined() {
			return c, true
		}
	}
	return evidence.Copy{}, false
}

// download writes the bundle to a new file beside the one that it will be, and gives
// its name and size. Nothing is left of what failed.
func download(ctx context.Context, a *app, op *operator.Operator, reference evidence.Name, wanted client.ExportOptions, path string) (string, int64, error) {
	b, err := op.Export(ctx, reference, wanted)
	if err != nil {
		return "", 0, err
	}
	defer b.Close()
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial") // mode 0600
	if err != nil {
		return "", 0, err
	}
	n, err := io.CopyBuffer(file, arriving{b}, make([]byte, 1<<20))
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("download the bundle: %w", err)
	default:
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", 0, errors.Join(err, os.Remove(file.Name()))
	}
	a.say("downloaded %s", bytesText(n))
	return file.Name(), n, nil
}

// arriving is an answer on its way. Only what goes wrong with it is the server's doing,
// a full disk is not.
type arriving struct{ r io.Reader }

func (a arriving) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unreachable(err)
	}
	return n, err
}

// unreachable makes a cut answer what it is: a server that was lost.
func unreachable(err error) error { return fmt.Errorf("%w: %w", client.ErrUnreachable, err) }
