package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/mirror"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/report"
	"github.com/custodyd/custodyd/internal/verify"
)

// maxGossip is how many bytes of a file are read; one more than it may have.
const maxGossip = 1<<20 + 1

type gossipOptions struct{ write, mirror string }

func newGossip(a *app) *cobra.Command {
	var o gossipOptions
	cmd := &cobra.Command{
		Use:   "gossip (--write FILE | FILE... [--mirror DIR])",
		Short: "Compare what two machines were shown of a ledger",
		Long: "A service that shows one ledger here and another there is found out when two machines compare the newest\n" +
			"checkpoints they saw. gossip --write puts those of this machine into a small file, to be sent by mail or any\n" +
			"other way that is not the service's; gossip FILE... compares the ones of other machines with those seen here.\n" +
			"Where the sizes differ, the service is asked to prove that one ledger became the other, or DIR, a mirror\n" +
			"of the ledger, offline. A newer checkpoint that is consistent is remembered.\n\n" +
			"A split view is a finding (exit code 1), and so is a service that could not prove it (unproven). The two\n" +
			"checkpoints are then kept in a file, which custody-cli gossip reads on any machine. Two of one size prove\n" +
			"the split to everybody who knows the ledger's key; two of different sizes do so together with a mirror.",
		Example: "  custody-cli gossip --write ours.checkpoints\n" +
			"  custody-cli gossip theirs.checkpoints\n" +
			"  custody-cli gossip theirs.checkpoints --mirror /srv/mirror/lab.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.write != "" && (len(args) > 0 || o.mirror != ""):
				return errors.New("--write goes alone: compare in another run")
			case o.write != "":
				return o.tell(a)
			case len(args) == 0:
				return try(errors.New("compare with what?"), "custody-cli gossip --write FILE on the other machine, then custody-cli gossip FILE on this one")
			}
			return o.compare(cmd.Context(), a, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.write, "write", "", "write this machine's checkpoints to a new file; - is the standard output")
	f.StringVar(&o.mirror, "mirror", "", "ask a mirror of the ledger instead of the service")
	return cmd
}

// tell writes what this machine saw.
func (o gossipOptions) tell(a *app) error {
	place, err := a.place()
	if err != nil {
		return err
	}
	seen, err := place.Seen()
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		return try(fmt.Errorf("a checkpoint in %s: %w", place.Dir(), evidence.ErrNotFound), "work with a service first: custody-cli setup")
	}
	var notes [][]byte
	var ledgers []map[string]any
	for _, n := range seen {
		notes = append(notes, n.Signed)
		ledgers = append(ledgers, map[string]any{"origin": n.Claimed.Origin, "size": n.Claimed.Size, "root": n.Claimed.Root})
	}
	text := verify.MarshalNotes(notes)
	if o.write == "-" {
		_, err := a.stdout.Write(text)
		return err
	}
	file, err := os.OpenFile(o.write, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return try(fmt.Errorf("%s: %w", o.write, errFile), "name another file")
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(o.write))
	}
	return a.result(map[string]any{"file": o.write, "ledgers": ledgers}, line("checkpoints of ledgers written to %s: %d", o.write, len(seen)))
}

// compare holds what other machines saw against what this one saw.
func (o gossipOptions) compare(ctx context.Context, a *app, files []string) error {
	place, err := a.place()
	if err != nil {
		return err
	}
	var notes []verify.Note
	for _, path := range files { // all of them, before anything is remembered
		found, err := readNotes(path)
		if err != nil {
			return err
		}
		notes = append(notes, found...)
	}
	prove, done, err := o.prover(a, place)
	if err != nil {
		return err
	}
	defer done()
	compared := []operator.Comparison{}
	for _, n := range notes {
		c, err := place.Compare(ctx, n, prove)
		if err != nil {
			return err
		}
		compared = append(compared, c)
	}
	if err := a.result(map[string]any{"ledgers": compared}, func(w io.Writer) error { return tellRelations(w, compared) }); err != nil {
		return err
	}
	return judge(compared)
}

func readNotes(path string) ([]verify.Note, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxGossip))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	notes, err := verify.ParseNotes(text)
	if err != nil {
		return nil, try(fmt.Errorf("%s: %w", path, err), "have it written anew: custody-cli gossip --write FILE")
	}
	return notes, nil
}

// prover gives who proves that one size of a ledger became another: the mirror, or the
// service that this machine is set up for.
func (o gossipOptions) prover(a *app, place operator.Place) (operator.Prove, func(), error) {
	none := func() {}
	if o.mirror != "" {
		return func(ctx context.Context, from, to ledger.Checkpoint) ([]ledger.Hash, error) {
			policy, err := place.Policy(to.Origin)
			if err != nil {
				return nil, err
			}
			c, hashes, err := mirror.At(o.mirror, policy.Key).Hashes(ctx)
			if err != nil {
				return nil, err
			}
			if c.Size < to.Size {
				return nil, fmt.Errorf("the mirror %s has %d entries, not %d: %w", o.mirror, c.Size, to.Size, errIncomplete)
			}
			return ledger.ProveConsistency(to.Size, from.Size, hashes)
		}, none, nil
	}
	binding, err := place.Binding()
	if err != nil && !errors.Is(err, operator.ErrNotSetUp) {
		return nil, none, err
	}
	if err != nil { // then nobody can be asked, and same sizes are compared
		return func(_ context.Context, from, _ ledger.Checkpoint) ([]ledger.Hash, error) {
			return nil, fmt.Errorf("no service of %s is known here: %w", from.Origin, errIncomplete)
		}, none, nil
	}
	service, err := client.New(client.Config{Server: binding.URL, CAFile: binding.CAFile, Agent: "custody-cli " + programVersion()})
	if err != nil {
		return nil, none, err
	}
	ask := operator.ProofOf(service, binding.VerifierKey)
	return func(ctx context.Context, from, to ledger.Checkpoint) ([]ledger.Hash, error) {
		if from.Origin != binding.Origin {
			return nil, fmt.Errorf("no service of %s is known here: %w", from.Origin, errIncomplete)
		}
		return ask(ctx, from, to)
	}, service.Close, nil
}

// tellRelations writes a line for each checkpoint that was compared.
func tellRelations(w io.Writer, compared []operator.Comparison) error {
	for _, c := range compared {
		text := fmt.Sprintf("%s: %s, %d entries here, %d there", c.Origin, c.Relation, c.Here, c.There)
		switch c.Relation {
		case operator.UnknownLedger:
			text = fmt.Sprintf("%s: %s, %d entries there; no key of it is pinned here", c.Origin, c.Relation, c.There)
		case operator.FirstSeen:
			text = fmt.Sprintf("%s: %s, %d entries there; nothing to compare it with, it is remembered", c.Origin, c.Relation, c.There)
		case operator.Same, operator.SplitView, operator.Unproven, operator.NotSigned, operator.NotCompared:
		}
		if c.Detail != "" {
			text += ": " + c.Detail
		}
		if c.Kept != "" {
			text += "; both signed checkpoints are kept: " + c.Kept
		}
		if _, err := fmt.Fprintln(w, report.Plain(text)); err != nil {
			return err
		}
	}
	return nil
}

// judge makes an exit of what was found.
func judge(compared []operator.Comparison) error {
	same, split, unproven, unsigned := 0, 0, 0, 0
	var open error
	for _, c := range compared {
		switch c.Relation {
		case operator.SplitView:
			split++
		case operator.Unproven:
			unproven++
		case operator.NotSigned:
			unsigned++
		case operator.Same:
			same++
		case operator.NotCompared:
			open = errors.Join(open, c.Err)
		case operator.UnknownLedger, operator.FirstSeen:
		}
	}
	switch {
	case split > 0:
		return try(errFindings, "keep the file of both checkpoints, and tell the person who answers for the ledger")
	case unproven > 0:
		return try(errFindings, "keep the file of both checkpoints, and ask the service again; a mirror of the ledger shows whether they contradict each other: --mirror DIR")
	case unsigned > 0:
		return try(errFindings, "compare the pinned keys of both machines with the one of the service's operator, by another way")
	case errors.Is(open, client.ErrUnreachable):
		return try(open, "try again, or name a mirror of the ledger: --mirror DIR")
	case open != nil:
		return try(fmt.Errorf("%w: %w", errIncomplete, open), "name a mirror of the ledger that has all these entries: --mirror DIR")
	case same == 0:
		return try(errIncomplete, "set up this machine for the ledger, and work with it, before comparing: custody-cli setup")
	}
	return nil
}
