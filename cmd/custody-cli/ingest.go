package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/source"
)

// errDeclared: a flag stands beside --resume or --abandon and contradicts the kept
// declaration.
var errDeclared = errors.New("it was declared otherwise")

type ingestOptions struct {
	exhibit, tool, witness, supervisor, place, writeBlocker string
	sha256, md5, sha1, log, abandon                         string
	resume, skipSpecial                                     bool
	retryFor                                                time.Duration
}

func newIngest(a *app) *cobra.Command {
	var o ingestOptions
	cmd := &cobra.Command{
		Use:   "ingest --exhibit CASE/EXHIBIT --tool TEXT --witness WHO --place WHERE FILE...",
		Short: "Seal an image or a log copy as a master",
		Long: "ingest declares an upload, hashes what it sends, and has the copy sealed when three hashes are one: what\n" +
			"was declared and read here, what arrived, and what the store gives back. Otherwise the copy is quarantined.\n\n" +
			"FILE is an image, the first part of a split image (disk.001), all its parts, several files, or a directory;\n" +
			"more than one file is kept as one copy with a list. Hashes that the imaging tool computed are given by flag\n" +
			"or read from its log. After Ctrl-C, a cut or a restart, go on with --resume: nothing durable is sent again.",
		Example: "  custody-cli ingest --exhibit 2026-0042/E-001 --tool 'dc3dd 7.2.646' --witness 'W. Witness' --place 'Lab 2' --log dc3dd.log disk.dd\n" +
			"  custody-cli ingest --exhibit 2026-0042/E-001 --resume disk.dd\n" +
			"  custody-cli ingest --exhibit 2026-0042/E-001 --abandon 'wrong exhibit' disk.dd",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.exhibit, "exhibit", "", "the original, CASE/EXHIBIT")
	f.StringVar(&o.tool, "tool", "", "imaging tool and version (default: what its log states)")
	f.StringVar(&o.witness, "witness", "", "who saw the copying")
	f.StringVar(&o.supervisor, "supervisor", "", "who supervised the copying")
	f.StringVar(&o.place, "place", "", "where the copy was made")
	f.StringVar(&o.writeBlocker, "write-blocker", "", "what kept the original from being written to")
	f.StringVar(&o.sha256, "sha256", "", "SHA-256 that the tool computed, in hexadecimal")
	f.StringVar(&o.md5, "md5", "", "MD5 that the tool computed")
	f.StringVar(&o.sha1, "sha1", "", "SHA-1 that the tool computed")
	f.StringVar(&o.log, "log", "", "the imaging tool's log, to be kept with the copy")
	f.BoolVar(&o.resume, "resume", false, "go on with an intake that was interrupted")
	f.StringVar(&o.abandon, "abandon", "", "end an intake that was interrupted, for this reason")
	f.BoolVar(&o.skipSpecial, "skip-special", false, "leave out links and special files below a directory")
	f.DurationVar(&o.retryFor, "retry-for", 10*time.Minute, "how long to try again when the service cannot be reached")
	require(cmd, "exhibit")
	cmd.MarkFlagsMutuallyExclusive("resume", "abandon")
	return cmd
}

func (o ingestOptions) run(ctx context.Context, a *app, files []string) (err error) {
	path, err := parse(o.exhibit, 2, 2)
	if err != nil {
		return fmt.Errorf("--exhibit: %w", err)
	}
	set, err := source.Find(files, o.skipSpecial)
	for _, name := range set.Left {
		a.warn("left out: %s", name)
	}
	if errors.Is(err, source.ErrSpecial) && len(set.Left) > 0 {
		return try(err, "give --skip-special to leave them out")
	}
	if err != nil {
		return err
	}
	var declaration evidence.IntakeDeclared
	var logSum digest.SHA256
	if !o.resume && o.abandon == "" { // what can be wrong is wrong before anybody is asked
		if declaration, err = o.declare(a, path, set); err != nil {
			return err
		}
		if l := declaration.Acquisition.Log; l != nil {
			logSum = l.SHA256
		}
	}
	op, err := a.open(ctx, o.retryFor)
	if err != nil {
		return err
	}
	defer op.Close()
	kept, found, err := op.FindIntake(path, set)
	switch {
	case err != nil:
		return err
	case !found && (o.resume || o.abandon != ""):
		return try(fmt.Errorf("unfinished intake of %s for %s: %w", set.Named, path, evidence.ErrNotFound), "give the command without --resume and --abandon")
	case found && !o.resume && o.abandon == "":
		return try(fmt.Errorf("%w: intake %s of %s for %s", errUnfinished, kept.ID, set.Named, path),
			"go on with --resume, or end it with --abandon REASON")
	}
	var intake *operator.OpenIntake
	if found {
		if err := o.agree(kept); err != nil {
			return try(err, "leave the flag out, or end the intake with --abandon REASON and begin anew")
		}
		if o.abandon != "" {
			return o.end(ctx, a, op, kept, path)
		}
		if !kept.Source.Same(set) {
			return fmt.Errorf("%s: %w, at the time of the intake %s", set.Named, source.ErrChanged, kept.ID)
		}
		intake, err = o.goOn(op, kept)
	} else {
		intake, err = o.begin(ctx, op, path, set, declaration, logSum)
	}
	if err != nil {
		return err
	}
	w := &intakeWork{a: a, op: op, intake: intake, path: path, fresh: !found}
	done, err := w.run(ctx)
	if done {
		return errors.Join(err, intake.Done())
	}
	command := "custody-cli ingest --exhibit " + path.String()
	switch {
	case errors.Is(err, errFinal):
		err = try(err, "end it with: "+command+" --abandon REASON "+quote(files))
	case err != nil && !errors.Is(err, source.ErrChanged):
		err = try(err, "go on with: "+command+" --resume "+quote(files))
	}
	return errors.Join(err, intake.Close())
}

// begin signs the declaration and writes the intake down, before it is declared: a
// crash between the two finds both.
func (o ingestOptions) begin(ctx context.Context, op *operator.Operator, path evidence.Path, set source.Set, d evidence.IntakeDeclared, logSum digest.SHA256) (*operator.OpenIntake, error) {
	var err error
	if d.Intake, err = op.NewID(); err != nil {
		return nil, err
	}
	kept := operator.Intake{ID: d.Intake, Path: path.String(), Source: set, Algs: d.Declared.Algorithms(), LogSum: logSum}
	if kept.Log, err = o.logPath(); err != nil {
		return nil, err
	}
	if kept.Declared, err = op.Sign(ctx, path.Case, d); err != nil {
		return nil, err
	}
	return op.KeepIntake(kept)
}

// agree refuses flags that say something else than what was declared: an intake goes
// on, and ends, as the one it was begun as.
func (o ingestOptions) agree(kept operator.Intake) error {
	event, err := evidence.Parse(kept.Declared.Payload)
	if err != nil {
		return fmt.Errorf("intake %s: %w", kept.ID, err)
	}
	d, ok := event.Body.(evidence.IntakeDeclared)
	if !ok {
		return fmt.Errorf("intake %s: its declaration is a %s", kept.ID, event.Kind())
	}
	q := d.Acquisition
	for _, f := range []struct{ name, given, declared string }{
		{"tool", o.tool, q.Tool},
		{"witness", o.witness, q.Witness},
		{"supervisor", o.supervisor, q.Supervisor},
		{"place", o.place, q.Place},
		{"write-blocker", o.writeBlocker, q.WriteBlocker},
		{"sha256", strings.ToLower(o.sha256), stated(d, digest.AlgSHA256)},
		{"md5", strings.ToLower(o.md5), stated(d, digest.AlgMD5)},
		{"sha1", strings.ToLower(o.sha1), stated(d, digest.AlgSHA1)},
	} {
		if f.given != "" && f.given != f.declared {
			return fmt.Errorf("--%s: %w: %q, and intake %s was declared with %q", f.name, errDeclared, f.given, kept.ID, f.declared)
		}
	}
	if o.log == "" {
		return nil
	}
	text, err := readLog(o.log)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	if digest.SHA256(sha256.Sum256(text)) != kept.LogSum {
		return fmt.Errorf("--log: %w: %s is not the log that intake %s was declared with", errDeclared, o.log, kept.ID)
	}
	return nil
}

func stated(d evidence.IntakeDeclared, alg digest.Algorithm) string {
	value, _ := d.Declared.Get(alg)
	return value
}

// goOn opens a kept intake, with the place where its log is now.
func (o ingestOptions) goOn(op *operator.Operator, kept operator.Intake) (*operator.OpenIntake, error) {
	intake, err := op.Resume(kept)
	if err != nil || o.log == "" {
		return intake, err
	}
	if kept.Log, err = o.logPath(); err == nil {
		err = intake.Rewrite(kept)
	}
	if err != nil {
		return nil, errors.Join(err, intake.Close())
	}
	return intake, nil
}

// logPath is where the log lies, also for who goes on from another directory.
func (o ingestOptions) logPath() (string, error) {
	if o.log == "" {
		return "", nil
	}
	path, err := filepath.Abs(o.log)
	if err != nil {
		return "", fmt.Errorf("--log: %w", err)
	}
	return path, nil
}

// declare makes the declaration from the flags, the files and the log.
func (o ingestOptions) declare(a *app, path evidence.Path, set source.Set) (evidence.IntakeDeclared, error) {
	d := evidence.IntakeDeclared{
		Exhibit: path.Exhibit, Title: set.Title, Size: set.Size(),
		Acquisition: evidence.Acquisition{
			Tool: o.tool, Witness: o.witness, Supervisor: o.supervisor, Place: o.place, WriteBlocker: o.writeBlocker,
		},
	}
	if set.Listed {
		d.Files = len(set.Files)
	}
	var err error
	if d.Declared, err = o.digests(); err != nil {
		return evidence.IntakeDeclared{}, err
	}
	if o.log != "" {
		text, err := readLog(o.log)
		if err != nil {
			return evidence.IntakeDeclared{}, fmt.Errorf("--log: %w", err)
		}
		if err := addLog(a, &d, o.log, text); err != nil {
			return evidence.IntakeDeclared{}, fmt.Errorf("--log: %w", err)
		}
	}
	var missing []string
	for _, f := range []struct{ name, value string }{
		{"tool", d.Acquisition.Tool}, {"witness", o.witness}, {"place", o.place},
	} {
		if f.value == "" {
			missing = append(missing, fmt.Sprintf("%q", f.name))
		}
	}
	if len(missing) > 0 {
		return evidence.IntakeDeclared{}, fmt.Errorf("required flag(s) %s not set", strings.Join(missing, ", "))
	}
	return d, nil
}

// digests gives those that were given by flag.
func (o ingestOptions) digests() (digest.Set, error) {
	var set digest.Set
	for _, f := range []struct {
		alg   digest.Algorithm
		value string
	}{{digest.AlgSHA256, o.sha256}, {digest.AlgMD5, o.md5}, {digest.AlgSHA1, o.sha1}} {
		if f.value == "" {
			continue
		}
		var err error
		if set, err = set.With(f.alg, strings.ToLower(f.value)); err != nil {
			return digest.Set{}, fmt.Errorf("--%s: %w", f.alg, err)
		}
	}
	return set, nil
}

// end abandons an intake, here and in the ledger.
func (o ingestOptions) end(ctx context.Context, a *app, op *operator.Operator, kept operator.Intake, path evidence.Path) error {
	intake, err := op.Resume(kept)
	if err != nil {
		return err
	}
	entry, err := op.Record(ctx, path.Case, evidence.IntakeAbandoned{Intake: kept.ID, Reason: o.abandon}, true)
	if errors.Is(err, evidence.ErrNotFound) {
		if err := intake.Done(); err != nil {
			return err
		}
		return a.result(map[string]any{"forgotten": kept.ID}, line("intake %s forgotten: the service never heard of it", kept.ID))
	}
	if err != nil {
		return errors.Join(err, intake.Close())
	}
	if err := intake.Done(); err != nil {
		return err
	}
	return a.result(recorded{"intake.abandoned", kept.ID.String(), entry}, line("intake %s abandoned (entry %d)", kept.ID, entry.Seq))
}

// readLog reads the imaging tool's log, whole.
func readLog(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > evidence.MaxLog {
		return nil, fmt.Errorf("%s: want a regular file of at most %s", path, bytesText(evidence.MaxLog))
	}
	return os.ReadFile(path)
}
