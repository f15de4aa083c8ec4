package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/operator"
)

type setupOptions struct {
	server, principal, key, verifierKey, caFile string
	agent                                       bool
}

func newSetup(a *app) *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use:   "setup --server URL --principal NAME [--key FILE | --agent] [--verifier-key KEY]",
		Short: "Bind this machine to a server, pin its ledger key, sign in",
		Long: "setup keeps the server, the person and the ledger's key in the configuration directory, with the policy\n" +
			"that verify uses. The private key stays where it is. Give the verifier key as the service's operator told\n" +
			"it to you; without it, the key that the server shows is believed this once.",
		Example: "  custody-cli setup --server https://custody.lab.example --principal examiner1 --key ~/.ssh/id_ed25519\n" +
			"  custody-cli setup --server https://custody.lab.example --principal examiner1 --agent --verifier-key lab.example+1b2c3d4e+AfJ...",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "address of the service, https://HOST[:PORT]")
	f.StringVar(&o.principal, "principal", "", "the name under which you were enrolled")
	f.StringVar(&o.key, "key", "", "OpenSSH private key; with --agent the public key of the one to use (default ~/.ssh/id_ed25519)")
	f.BoolVar(&o.agent, "agent", false, "sign with a key that the ssh-agent holds")
	f.StringVar(&o.verifierKey, "verifier-key", "", "the ledger's verifier key, as it was told to you by another way than the network")
	f.StringVar(&o.caFile, "ca-file", "", "PEM certificates to trust instead of the system's")
	require(cmd, "server", "principal")
	return cmd
}

func (o setupOptions) run(ctx context.Context, a *app) error {
	b := operator.Binding{URL: o.server}
	var err error
	if b.Principal, err = identity.ParsePrincipal(o.principal); err != nil {
		return fmt.Errorf("--principal: %w", err)
	}
	if o.caFile != "" {
		if b.CAFile, err = filepath.Abs(o.caFile); err != nil {
			return fmt.Errorf("--ca-file: %w", err)
		}
	}
	if o.agent {
		b.AgentKey, err = o.agentKey(ctx)
	} else {
		b.KeyFile, err = o.keyFile()
	}
	if err != nil {
		return err
	}
	var pin *ledger.VerifierKey
	if o.verifierKey != "" {
		key, err := ledger.ParseVerifierKey(o.verifierKey)
		if err != nil {
			return fmt.Errorf("--verifier-key: %w", err)
		}
		pin = &key
	}
	cfg, err := a.operatorConfig(patience)
	if err != nil {
		return err
	}
	if address, err := url.Parse(o.server); err == nil && address.Scheme == "http" && !loopback(address.Hostname()) {
		a.warn("the connection to %s is not encrypted: whoever can listen there can read what is sent and act as you; use https", address.Host)
	}
	op, session, err := operator.Setup(ctx, cfg, b, pin)
	if err != nil {
		return err
	}
	defer op.Close()
	if op.Believed {
		a.warn("the ledger key was believed as the server showed it; compare it with what the service's operator tells you: %s", op.VerifierKey)
	}
	return a.result(map[string]any{
		"server": op.URL, "principal": op.Principal, "roles": session.Roles, "origin": op.Origin,
		"verifier_key": op.VerifierKey, "pinned": !op.Believed, "expires": session.Expires, "config": op.Place.Dir(),
	}, facts(
		"server", op.URL, "principal", string(op.Principal), "roles", session.Roles.String(), "ledger", string(op.Origin),
		"verifier key", op.VerifierKey.String(), "configuration", op.Place.Dir(),
	))
}

// loopback tells whether a host is this machine.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// keyFile finds the private key.
func (o setupOptions) keyFile() (string, error) {
	path := o.key
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("--key: %w", err)
		}
		path = filepath.Join(home, ".ssh", "id_ed25519")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	if strings.HasSuffix(path, ".pub") {
		return "", errors.New("--key: this is a public key; name the private one, or use --agent")
	}
	return path, nil
}

// agentKey finds the key of the agent: the named one, or the only one.
func (o setupOptions) agentKey(ctx context.Context) (identity.PublicKey, error) {
	if o.key != "" {
		path := o.key
		if !strings.HasSuffix(path, ".pub") {
			path += ".pub"
		}
		key, err := readPublicKey(path)
		if err != nil {
			return identity.PublicKey{}, fmt.Errorf("--key: %w", err)
		}
		return key, nil
	}
	keys, err := operator.AgentKeys(ctx)
	switch {
	case err != nil:
		return identity.PublicKey{}, err
	case len(keys) == 0:
		return identity.PublicKey{}, fmt.Errorf("%w: it holds none of an accepted kind", identity.ErrAgentKey)
	case len(keys) > 1:
		var list []string
		for _, k := range keys {
			list = append(list, k.Fingerprint())
		}
		return identity.PublicKey{}, fmt.Errorf("the ssh-agent holds %d keys (%s); name one with --key FILE.pub", len(keys), strings.Join(list, ", "))
	}
	return keys[0], nil
}

// readPublicKey reads a .pub file.
func readPublicKey(path string) (identity.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return identity.PublicKey{}, err
	}
	key, _, err := identity.ParsePublicKey(string(text))
	if err != nil {
		return identity.PublicKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
