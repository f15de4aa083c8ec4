package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/mirror"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/verify"
)

type mirrorOptions struct {
	server, caFile, policy string
	check                  bool
}

func newMirror(a *app) *cobra.Command {
	var o mirrorOptions
	cmd := &cobra.Command{
		Use:   "mirror DIR",
		Short: "Copy the ledger as files that any monitor can read, checked before they are written",
		Long: "mirror copies the ledger's envelopes, which name neither people nor cases, into DIR as C2SP tlog-tiles\n" +
			"files. The checkpoint must be signed by the pinned key and go on from the one that DIR holds, and every\n" +
			"file must lie under it; else nothing of it is written. Run it again, now and then: it copies what is new.\n" +
			"What is there already is read again with --check alone.\n" +
			"A ledger that does not go on is a finding: both signed checkpoints are kept in DIR/forks. So is one that\n" +
			"does not go on from what this machine has seen. While witnesses\n" +
			"that the policy demands have not signed the checkpoint, the exit code is 3: run it again.\n\n" +
			"It needs no sign-in. Without a set-up machine, name the service with --server and the ledger with --policy.",
		Example: "  custody-cli mirror /srv/mirror/lab.example\n" +
			"  custody-cli mirror mirror --server https://custody.lab.example --policy lab.policy\n" +
			"  custody-cli mirror mirror --check",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "address of the service (default: the one that setup kept)")
	f.StringVar(&o.caFile, "ca-file", "", "PEM certificates to trust instead of the system's")
	f.StringVar(&o.policy, "policy", "", "policy file: which ledger you mean, and its key (default: the one that setup kept)")
	f.BoolVar(&o.check, "check", false, "read and check all of DIR instead, offline")
	return cmd
}

// mirrored is what mirror tells.
type mirrored struct {
	Dir    string        `json:"dir"`
	Origin ledger.Origin `json:"origin"`
	Before int64         `json:"before"` // entries that it held
	Size   int64         `json:"size"`   // entries that it holds
	Root   ledger.Hash   `json:"root"`
}

func (o mirrorOptions) run(ctx context.Context, a *app, path string) error {
	place, err := a.place()
	if err != nil {
		return err
	}
	binding, err := place.Binding()
	if err != nil && !errors.Is(err, operator.ErrNotSetUp) {
		return err
	}
	policy, err := o.ledger(place, binding)
	if err != nil {
		return err
	}
	dir, origin := mirror.At(path, policy.Key), policy.Origin()
	if o.check {
		c, err := dir.Check(ctx)
		if err != nil {
			return err
		}
		err = a.result(mirrored{path, origin, c.Size, c.Size, c.Root},
			line("%s holds the first %d entries of %s, root %s: verified", path, c.Size, origin, c.Root))
		if err != nil {
			return err
		}
		return witnessed(ctx, dir, policy)
	}
	if o.server == "" {
		if o.server, o.caFile = binding.URL, binding.CAFile; binding.Origin != origin {
			return fmt.Errorf("which service has the ledger %s? name it with --server URL", origin)
		}
	}
	c, err := client.New(client.Config{Server: o.server, CAFile: o.caFile, Agent: "custody-cli " + programVersion()})
	if err != nil {
		return err
	}
	defer c.Close()
	before, now, err := dir.Update(ctx, client.Log{Client: c})
	if err != nil {
		return err
	}
	seen, err := compared(ctx, place, dir, now)
	if err == nil && seen.Relation == operator.Unproven { // this machine may have seen more meanwhile
		if _, now, err = dir.Update(ctx, client.Log{Client: c}); err == nil {
			seen, err = compared(ctx, place, dir, now)
		}
	}
	if err != nil {
		return err
	}
	err = a.result(mirrored{path, origin, before.Size, now.Size, now.Root},
		line("%s holds %d entries of %s, %d of them new, root %s", path, now.Size, origin, now.Size-before.Size, now.Root))
	if err != nil {
		return err
	}
	if seen.Relation == operator.SplitView || seen.Relation == operator.Unproven {
		return try(fmt.Errorf("%w: this machine has seen another ledger, of %d entries: %s; both signed checkpoints are kept: %s", errFindings, seen.Here, seen.Detail, seen.Kept),
			"keep the file and "+path+", and tell the person who answers for the ledger")
	}
	return witnessed(ctx, dir, policy)
}

// compared holds the mirror's checkpoint against the newest one that this machine saw, and
// remembers the greater. The mirror itself has the proof, where it has as many entries.
func compared(ctx context.Context, place operator.Place, dir *mirror.Dir, now ledger.Checkpoint) (operator.Comparison, error) {
	note, err := dir.Checkpoint(ctx)
	if err != nil {
		return operator.Comparison{}, err
	}
	return place.Compare(ctx, verify.Note{Claimed: now, Signed: note}, func(ctx context.Context, from, to ledger.Checkpoint) ([]ledger.Hash, error) {
		c, hashes, err := dir.Hashes(ctx)
		if err != nil {
			return nil, err
		}
		if c.Size < to.Size {
			return nil, fmt.Errorf("%w: the service shows %d entries", operator.ErrUnproven, c.Size)
		}
		return ledger.ProveConsistency(to.Size, from.Size, hashes)
	})
}

// witnessed says when the mirror's checkpoint lacks witnesses that the policy demands.
func witnessed(ctx context.Context, dir *mirror.Dir, policy verify.Policy) error {
	note, err := dir.Checkpoint(ctx)
	if err != nil {
		return err
	}
	lines, err := policy.Cosignatures(note)
	if err != nil {
		return err
	}
	reached := policy.Reached(func(name string) bool {
		return slices.ContainsFunc(lines, func(c verify.Cosigned) bool { return c.Name == name && c.State == verify.CosignedValid })
	})
	if !reached {
		return try(fmt.Errorf("the checkpoint lacks witnesses that the policy demands: %w", errIncomplete), "run it again when they have answered")
	}
	return nil
}

// ledger finds which ledger is meant, and its key.
func (o mirrorOptions) ledger(place operator.Place, binding operator.Binding) (verify.Policy, error) {
	if o.policy != "" {
		policy, err := readPolicy(o.policy)
		if err != nil {
			return verify.Policy{}, err
		}
		return *policy, nil
	}
	if binding.Origin == "" {
		return verify.Policy{}, errIncomplete
	}
	policy, err := place.Policy(binding.Origin)
	if errors.Is(err, fs.ErrNotExist) {
		return verify.Policy{}, errIncomplete
	}
	return policy, err
}
