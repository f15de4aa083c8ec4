package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/signer"
)

// signerSettings are what the operator of a separate signer may choose.
type signerSettings struct {
	settings
	socket string
	state  string
	uids   []string
}

func newSigner() *cobra.Command {
	g := &signerSettings{}
	cmd := &cobra.Command{
		Use:   "signer --socket PATH --state DIR",
		Short: "Sign a ledger's checkpoints as another user than the service",
		Long: "Holds the ledger's secret key and its own record of what it signed last, and signs nothing but\n" +
			"checkpoints that provably continue it. Run it as a user of its own, with the group of the\n" +
			"service: the socket is for that group (0660), the state for nobody else. The service is then\n" +
			"told with serve --signer PATH, and holds no key of the ledger.\n\n" +
			"A new or empty --state gets a key only with --origin, the name of a new ledger. Keep the\n" +
			"directory, and never put an older one back: a signer that has forgotten is none.\n\n" +
			"To take the key of a service that has it: stop the service, make DIR (0700) for the signer's\n" +
			"user, move ledger.key and ledger.state from the data directory into it, and start both.\n\n" +
			"Every flag can be given as CUSTODYD_<FLAG>, several values with commas between, or as lines\n" +
			"\"flag = value\" of --config.\n" + exitCodes,
		Example: "  custodyd signer --socket /run/custodyd/signer.sock --state /var/lib/custodyd-signer --origin lab.example/custody\n" +
			"  custodyd serve --data /var/lib/custodyd --signer /run/custodyd/signer.sock",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.load(cmd, args); err != nil {
				return err
			}
			return g.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	g.flags(cmd.Flags())
	return cmd
}

func (g *signerSettings) flags(f *pflag.FlagSet) {
	f.StringVar(&g.socket, "socket", "", "unix socket to answer on (required)")
	f.StringVar(&g.state, "state", "", "directory of the ledger's key and of what it signed last (required)")
	f.StringVar(&g.origin, "origin", "", "name of a new ledger, such as lab.example/custody")
	f.StringArrayVar(&g.uids, "allow-uid", nil, "number of a user who may connect, beside root and the signer's own; may be given several times (whoever may write to the socket)")
	f.StringVar(&g.config, "config", "", "file of lines \"flag = value\"")
	f.StringVar(&g.logFormat, "log-format", "text", "text or json")
	f.StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
}

// load fills in what no flag gave, and checks what can be checked without touching anything.
func (g *signerSettings) load(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q: no arguments are expected", args[0])
	}
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return err
	}
	if g.config != "" {
		if err := fromFile(cmd.Flags(), g.config); err != nil {
			return err
		}
	}
	var faults []error
	if g.socket == "" {
		faults = append(faults, errors.New("--socket is missing: name the unix socket to answer on"))
	}
	if g.state == "" {
		faults = append(faults, errors.New("--state is missing: name the signer's directory, new or existing"))
	}
	return errors.Join(faults...)
}

func (g *signerSettings) run(ctx context.Context, out io.Writer) (err error) {
	log, err := newLogger(g.logFormat, g.logLevel)
	if err != nil {
		return err
	}
	cfg := signer.Config{Logger: log}
	for _, text := range g.uids {
		uid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("--allow-uid %q: want the number of a user", text)
		}
		cfg.AllowUIDs = append(cfg.AllowUIDs, int64(uid))
	}
	fresh, err := createSignerState(g.state, g.origin)
	if err != nil {
		return err
	}
	if cfg.Signer, err = openSignerState(g.state); err != nil {
		if lostLedger(g.state, err) != "" {
			err = fmt.Errorf("%w\nwithout its note of what it signed last a signer signs nothing; custodyd rebuild --from-store makes that again "+
				"with the ledger: bring %s into its --data, and both of %s and %s back when it is done", err, keyFile, keyFile, stateFile)
		}
		return err
	}
	defer func() { err = errors.Join(err, cfg.Signer.Close()) }()
	key := cfg.Signer.Key()
	if g.origin != "" && g.origin != string(key.Origin()) {
		return fmt.Errorf("--origin %s: the key in %s is of %s", g.origin, g.state, key.Origin())
	}
	listener, err := signer.Listen(ctx, g.socket)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "custodyd signer %s\n  socket    %s\n  verifier  %s\n  signed    %d entries\n",
		programVersion(), g.socket, key, cfg.Signer.Last().Size)
	if fresh {
		_, _ = fmt.Fprint(out, "\nA new key. Keep the verifier key where nobody of the service can change it: it is what a court\nchecks against.\n")
	}
	return signer.Serve(ctx, listener, cfg)
}

// createSignerState makes key and state in a new or empty directory, for a ledger that
// was named. The key is written last: without it the directory is not a finished one.
func createSignerState(dir, origin string) (fresh bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	case len(entries) > 0:
		return false, nil
	case origin == "":
		return false, fmt.Errorf("%s holds no key: give --origin to make one for a new ledger, such as lab.example/custody", dir)
	}
	name, err := ledger.ParseOrigin(origin)
	if err != nil {
		return false, fmt.Errorf("--origin: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return false, err
	}
	_, err = createKey(dir, name)
	return err == nil, err
}

// createKey makes a ledger's key, and its signer's state.
func createKey(dir string, origin ledger.Origin) (vkey string, err error) {
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", err
	}
	s, err := ledger.CreateSigner(filepath.Join(dir, stateFile), skey)
	if err != nil {
		return "", err
	}
	if err := s.Close(); err != nil {
		return "", err
	}
	return vkey, writeNew(filepath.Join(dir, keyFile), []byte(skey+"\n"), 0o600)
}

// openSignerState opens the key and state in a directory.
func openSignerState(dir string) (*ledger.Signer, error) {
	skey, _, err := readLedgerKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is no signer's directory (or one whose making was interrupted): name another, or empty it", err, dir)
	}
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, stateFile)
	s, err := ledger.OpenSigner(path, skey)
	if errors.Is(err, ledger.ErrState) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return s, err
}

// readLedgerKey reads the secret key in a directory, and tells whose it is.
func readLedgerKey(dir string) (skey string, key ledger.VerifierKey, err error) {
	path := filepath.Join(dir, keyFile)
	text, err := readLimited(path, 4096)
	if err != nil {
		return "", key, err
	}
	skey = strings.TrimSuffix(string(text), "\n")
	if key, err = ledger.VerifierKeyOf(skey); err != nil {
		return "", key, fmt.Errorf("%s is not the key of a ledger; restore it: %w", path, err)
	}
	return skey, key, nil
}

// checkpointSigner signs for a data directory: in this process, or in another.
type checkpointSigner interface {
	custody.CheckpointSigner
	io.Closer
}

// signerFlags are those of who speaks to a separate signer.
func (s *settings) signerFlags(f *pflag.FlagSet) {
	f.StringVar(&s.signer, "signer", "", "unix socket of custodyd signer, which then holds the ledger's key; without it the key lies under --data")
	f.DurationVar(&s.signerWait, "signer-wait", 15*time.Second, "how long a signer that does not answer is waited for, before the service stops")
}

// checkSigner checks what signerFlags gave.
func (s *settings) checkSigner() error {
	if s.signerWait <= 0 {
		return fmt.Errorf("--signer-wait %s: want some time, such as 15s", s.signerWait)
	}
	return nil
}

// dialSigner asks for the separate signer.
func (s *settings) dialSigner(ctx context.Context) (*signer.Client, error) {
	log, err := newLogger(s.logFormat, s.logLevel)
	if err != nil {
		return nil, err
	}
	return signer.Dial(ctx, s.signer, signer.Options{Patience: s.signerWait, Logger: log.With("signer", slog.StringValue(s.signer))})
}

// openSigner opens the signer of a data directory, wherever it is.
func (s *settings) openSigner(ctx context.Context) (checkpointSigner, error) {
	_, err := os.Lstat(filepath.Join(s.data, keyFile))
	switch here := err == nil; {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case here && s.signer != "":
		return nil, fmt.Errorf("%s holds the key of its ledger: leave out --signer, or move %s and %s into the --state directory of custodyd signer first",
			s.data, keyFile, stateFile)
	case here:
		return openSignerState(s.data)
	case s.signer == "":
		return nil, fmt.Errorf("%s does not hold the key of its ledger: custodyd signer does, give its socket with --signer, or restore %s and %s",
			s.data, keyFile, stateFile)
	}
	return s.dialSigner(ctx)
}

// createSigner gives a new data directory the key of its ledger, or takes that of a
// separate signer, which must not have signed anything yet.
func (s *settings) createSigner(ctx context.Context) (vkey string, err error) {
	if s.signer == "" {
		origin, err := originOf(s)
		if err != nil {
			return "", err
		}
		return createKey(s.data, origin)
	}
	c, err := s.dialSigner(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	key := c.Key()
	if s.origin != "" && s.origin != string(key.Origin()) {
		return "", fmt.Errorf("--origin %s: the signer is of %s", s.origin, key.Origin())
	}
	if n := c.Last().Size; n > 0 {
		return "", fmt.Errorf("the signer has signed %d entries of %s: this is not a new ledger; give the data directory that it is of", n, key.Origin())
	}
	return key.String(), nil
}
