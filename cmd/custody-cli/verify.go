package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/source"
	"github.com/custodyd/custodyd/internal/verify"
)

type verifyOptions struct {
	against, policy string
	complete        bool
}

func newVerify(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify (BUNDLE | FILE --against BUNDLE | CASE/EXHIBIT/COPY)",
		Short: "Verify a bundle or a file offline, or a copy in the store online",
		Long: "verify judges by your own policy and needs no network for bundles and files. The policy is\n" +
			"--policy FILE, or the one that setup kept for the bundle's ledger; with neither, what needs no\n" +
			"trusted key is checked, and the exit code is 3. FILE may be the first part of a split image. A\n" +
			"copy in the store is read back by the service, and its verdict is believed as far as receipts\n" +
			"prove it: if your roles do not let you read the history, its receipt alone is checked, and the\n" +
			"answer says so.\n\n" +
			"The exit code is 1 also where the bytes are the sealed ones but a finding stands against the copy\n" +
			"(for a file: against every copy that it is), and for a bundle that cannot be read. It is 3 for one\n" +
			"made by a newer service, which this program cannot judge, and with --require-complete for one from\n" +
			"which something was withheld or erased. Findings that a whole bundle records are told, and are no\n" +
			"failure of the bundle." +
			policyHelp,
		Example: "  custody-cli verify case.zip --policy lab.policy\n" +
			"  custody-cli verify disk.dd --against case.zip\n" +
			"  custody-cli verify 2026-0042/E-001/M1",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.against, "against", "", "the bundle that a file is compared with")
	f.BoolVar(&o.complete, "require-complete", false, "a bundle from which something is withheld or erased is not enough: exit code 3")
	f.StringVar(&o.policy, "policy", "", "policy file: which ledger you mean, its key, and which witnesses and time stamps you demand")
	return cmd
}

// policyHelp is how to write a policy; what it means in full is in package verify.
const policyHelp = `

A policy is a text file. Its first two lines say whose ledger you mean, with the verifier key that its keeper
published; all others are optional, and every key in them comes from its owner, not out of the bundle:

  # comment
  origin lab.example/custody
  log lab.example/custody+1b2c3d4e+AfJ…
  witness court witness.court.example/w1+5a6b7c8d+BPk…
  witness north lab-north.example/witness+9e8f7a6b+BOq…
  witness south lab-south.example/witness+0c1d2e3f+BLr…
  group labs any north south
  group both all court labs
  quorum both
  authority lab2 MIIB…
  anchors 1

witness: a name of your own and the key that custodyd witness prints. group: how many of its members (a number,
any or all). quorum: which witness or group has to stand behind the bundle, or none. authority: an RFC 3161
authority as the ledger calls it (custody-cli anchors), and its root. anchors: how many of them must have stamped
the whole bundle. The authority's line, from its root certificate in PEM:

  printf 'authority %s %s\n' lab2 "$(openssl x509 -in root.pem -outform DER | base64 -w0)" >> lab.policy`

// garbage is how much, in percent of what is in use, becomes garbage before it is looked
// for: a verification keeps little of what it reads, so that four times the usual is still little memory.
const garbage = 400

func (o verifyOptions) run(ctx context.Context, a *app, args []string) error {
	debug.SetGCPercent(garbage)
	if o.against != "" {
		return o.file(ctx, a, args)
	}
	if len(args) > 1 {
		return errors.New("one bundle or copy at a time; several files are compared with --against BUNDLE")
	}
	_, err := os.Stat(args[0])
	if errors.Is(err, fs.ErrNotExist) {
		if path, perr := parse(args[0], 3, 3); perr == nil {
			if o.complete {
				return errors.New("--require-complete is for bundles; a copy in the store is judged by itself")
			}
			if o.policy != "" {
				return errors.New("--policy is for bundles; a copy in the store is judged by the key this machine is set up with")
			}
			return verifyOnline(ctx, a, path)
		}
	}
	if err != nil {
		return err
	}
	policy, err := o.policyFor(a)
	if err != nil {
		return err
	}
	report, err := judgeFound(ctx, a, args[0], policy, o.complete)
	if err != nil {
		return err
	}
	if err := a.result(report, report.Text); err != nil {
		return err
	}
	a.findings(report.Found)
	if len(report.Findings) > 0 && report.Findings[0].Code == verify.CodeNoBundle {
		return try(errFindings, "to compare a file with a bundle: custody-cli verify FILE --against BUNDLE")
	}
	return o.conclude(report.Verdict, report)
}

func (o verifyOptions) file(ctx context.Context, a *app, args []string) error {
	set, err := source.Find(args, false)
	if err != nil {
		return err
	}
	var paths []string
	for _, f := range set.Files {
		paths = append(paths, f.Path)
	}
	files, err := verify.OpenFiles(paths...)
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // only read from
	report, err := o.compare(ctx, a, args[0], files)
	if err != nil {
		return err
	}
	if err := a.result(report, report.Text); err != nil {
		return err
	}
	a.findings(report.Found)
	a.findings(report.Bundle.Found)
	return o.conclude(report.Verdict, report.Bundle)
}

// conclude makes a verdict an exit, and tells what could help: with a policy that is not
// another one.
func (o verifyOptions) conclude(v verify.Verdict, r verify.Report) error {
	if v != verify.Incomplete || !r.Policy {
		return conclude(v)
	}
	var next []string
	if len(r.Findings) > 0 { // only those of entries that a newer service made
		next = append(next, "verify it with a newer custody-cli")
	} else if len(r.Withheld) > 0 {
		next = append(next, "ask whoever exported it for a bundle from which nothing is withheld")
	}
	if o.complete && len(r.Erased) > 0 {
		next = append(next, "what was erased is gone, and no new bundle has it: without --require-complete all else is judged")
	}
	return try(errIncomplete, strings.Join(next, "; "))
}

// compare judges a file and the bundle that it is compared with.
func (o verifyOptions) compare(ctx context.Context, a *app, name string, files *verify.Files) (verify.FileReport, error) {
	choose, err := o.policyFor(a)
	if err != nil {
		return verify.FileReport{}, err
	}
	b, closeBundle, err := openBundle(ctx, o.against)
	if errors.Is(err, bundle.ErrFormat) {
		return verify.NoBundleFor(name, files.Size(), verify.NoBundle(o.against, err)), nil
	}
	if err != nil {
		return verify.FileReport{}, err
	}
	defer closeBundle()
	policy, err := choose(b)
	if err != nil {
		return verify.FileReport{}, err
	}
	m := a.meter("verified", files.Size())
	defer m.done()
	bundleReport, err := verify.Bundle(ctx, b, verify.Options{Policy: policy, Complete: o.complete})
	if err != nil {
		return verify.FileReport{}, err
	}
	return verify.File(ctx, b, bundleReport, name, files.Open, files.Size(), verify.Options{Progress: m.add})
}

// maxWarned is how many findings are talked about on stderr; the result has them all.
const maxWarned = 20

func (a *app) findings(found verify.Found) {
	for _, f := range found.Findings[:min(len(found.Findings), maxWarned)] {
		a.warn("%s", f)
	}
	if more := found.Total() - maxWarned; more > 0 {
		a.warn("and %d findings more", more)
	}
}

// conclude makes a verdict an exit.
func conclude(v verify.Verdict) error {
	switch v {
	case verify.Verified:
		return nil
	case verify.Incomplete:
		return errIncomplete
	}
	return errFindings
}

// openBundle opens a zip file or an unpacked bag.
func openBundle(ctx context.Context, path string) (*bundle.Bundle, func(), error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		b, err := bundle.OpenDir(ctx, path)
		if err != nil {
			return nil, nil, fmt.Errorf("open %s: %w", path, err)
		}
		return b, func() { _ = b.Close() }, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	b, err := bundle.Open(ctx, file, info.Size())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %s: %w", path, err), file.Close())
	}
	return b, func() { _ = b.Close(); _ = file.Close() }, nil // only read from
}

// choosePolicy finds the policy that a bundle is judged by; nil, when there is none.
type choosePolicy func(*bundle.Bundle) (*verify.Policy, error)

// judgeFound judges a bundle by the policy that is chosen for it.
func judgeFound(ctx context.Context, a *app, path string, choose choosePolicy, complete bool) (verify.Report, error) {
	b, closeBundle, err := openBundle(ctx, path)
	if errors.Is(err, bundle.ErrFormat) {
		return verify.NoBundle(path, err), nil
	}
	if err != nil {
		return verify.Report{}, err
	}
	defer closeBundle()
	policy, err := choose(b)
	if err != nil {
		return verify.Report{}, err
	}
	m := a.meter("verified", b.Size())
	defer m.done()
	return verify.Bundle(ctx, b, verify.Options{Policy: policy, Complete: complete, Progress: m.add})
}

// policyFor finds the verifier's policy: the named one, which is read at once, or the one
// kept for the ledger that the bundle says it is of.
func (o verifyOptions) policyFor(a *app) (choosePolicy, error) {
	if o.policy != "" {
		policy, err := readPolicy(o.policy)
		return func(*bundle.Bundle) (*verify.Policy, error) { return policy, nil }, err
	}
	return func(b *bundle.Bundle) (*verify.Policy, error) {
		origin, ok := originOf(b)
		if !ok {
			return nil, nil // what is wrong with it the judgement tells
		}
		place, err := a.place()
		if err != nil {
			return nil, err
		}
		p, err := place.Policy(origin)
		if errors.Is(err, fs.ErrNotExist) {
			a.warn("no policy for the ledger %s in %s", origin, filepath.Clean(place.Dir()))
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return &p, nil
	}, nil
}

func readPolicy(path string) (*verify.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	p, err := verify.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("--policy: %s: %w", path, err)
	}
	return &p, nil
}

// originOf tells of which ledger a bundle claims to be. It only chooses the policy: a
// bundle that lies about it does not hold under that policy.
func originOf(b *bundle.Bundle) (ledger.Origin, bool) {
	text, err := b.ReadFile(bundle.CheckpointFile)
	if err != nil {
		return "", false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	origin, err := ledger.ParseOrigin(line)
	return origin, err == nil
}
