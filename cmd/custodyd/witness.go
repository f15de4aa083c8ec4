package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/witness"
)

// witnessSettings are what the operator of a witness may choose.
type witnessSettings struct {
	settings
	state string
	name  string
	logs  []string
}

func newWitness() *cobra.Command {
	w := &witnessSettings{}
	cmd := &cobra.Command{
		Use:   "witness --state DIR --log VKEY",
		Short: "Witness the ledgers of others",
		Long: "Cosigns the checkpoints of the ledgers that are named by their verifier keys, each only with\n" +
			"proof that it continues what was cosigned before (C2SP tlog-witness). Whoever demands this\n" +
			"witness cannot be shown another ledger than everybody else. It sees no entry, only checkpoints.\n\n" +
			"Run it where nobody of the lab that it witnesses can reach its state, behind TLS (--tls-cert, or\n" +
			"a proxy). A new directory gets a key; the verifier key that is printed goes to the lab, as\n" +
			"serve --witness 'VKEY URL', and into the policies of those who verify. Keep the directory: a\n" +
			"witness that has forgotten is none.\n\n" +
			"Every flag can be given as CUSTODYD_<FLAG>, several values with commas between, or as lines\n" +
			"\"flag = value\" of --config.\n" + exitCodes,
		Example: "  custodyd witness --state /var/lib/witness --name witness.firm.example --listen 0.0.0.0:8422 \\\n" +
			"      --tls-cert firm.pem --tls-key firm.key --log 'lab.example/custody+1b2c3d4e+AfJ…'\n" +
			"  custodyd serve --data /var/lib/custodyd --witness 'witness.firm.example+5a6b7c8d+BPk… https://witness.firm.example:8422'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := w.load(cmd, args); err != nil {
				return err
			}
			return w.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	w.flags(cmd.Flags())
	return cmd
}

func (w *witnessSettings) flags(f *pflag.FlagSet) {
	f.StringVar(&w.state, "state", "", "directory of the witness's key and of what it cosigned (required)")
	f.StringVar(&w.name, "name", "", "name of a new witness, such as witness.firm.example")
	f.StringArrayVar(&w.logs, "log", nil, "verifier key of a ledger to witness; may be given several times")
	f.StringVar(&w.listen, "listen", "127.0.0.1:8422", "address to serve on; port 0 picks a free one")
	f.StringVar(&w.tlsCert, "tls-cert", "", "PEM certificate chain")
	f.StringVar(&w.tlsKey, "tls-key", "", "PEM private key")
	f.StringVar(&w.config, "config", "", "file of lines \"flag = value\"")
	f.StringVar(&w.logFormat, "log-format", "text", "text or json")
	f.StringVar(&w.logLevel, "log-level", "info", "debug, info, warn or error")
}

// load fills in what no flag gave, and checks what can be checked without touching anything.
func (w *witnessSettings) load(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q: no arguments are expected", args[0])
	}
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return err
	}
	if w.config != "" {
		if err := fromFile(cmd.Flags(), w.config); err != nil {
			return err
		}
	}
	var faults []error
	if w.state == "" {
		faults = append(faults, errors.New("--state is missing: name the witness's directory, new or existing"))
	}
	if (w.tlsCert == "") != (w.tlsKey == "") {
		faults = append(faults, errors.New("--tls-cert and --tls-key go together"))
	}
	return errors.Join(faults...)
}

func (w *witnessSettings) run(ctx context.Context, out io.Writer) (err error) {
	log, err := newLogger(w.logFormat, w.logLevel)
	if err != nil {
		return err
	}
	var keys []ledger.VerifierKey
	for _, text := range w.logs {
		key, err := ledger.ParseVerifierKey(text)
		if err != nil {
			return fmt.Errorf("--log: %w", err)
		}
		keys = append(keys, key)
	}
	// What is signed needs no secrecy: plain HTTP is no reason to warn.
	listener, err := w.bind(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() {
		if e := listener.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}()
	if err := w.create(); err != nil {
		return err
	}
	server, err := witness.Open(witness.Config{Dir: w.state, Logs: keys, Now: time.Now, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if w.name != "" && w.name != server.Key().Name() {
		return fmt.Errorf("--name %s: the witness in %s is %s", w.name, w.state, server.Key().Name())
	}
	w.greet(out, listener.Addr().String(), server, keys)
	return server.Serve(ctx, listener)
}

// create makes the state where there is none.
func (w *witnessSettings) create() error {
	there, err := witness.Exists(w.state)
	if err != nil || there {
		return err
	}
	if w.name == "" {
		return fmt.Errorf("%s holds no witness: give --name to make one, such as witness.firm.example", w.state)
	}
	_, err = witness.Create(w.state, w.name, rand.Reader)
	return err
}

func (w *witnessSettings) greet(out io.Writer, address string, server *witness.Witness, keys []ledger.VerifierKey) {
	url := "http://" + address
	if w.tlsCert != "" {
		url = "https://" + address
	}
	_, _ = fmt.Fprintf(out, "custodyd witness %s\n  address   %s\n  witness   %s\n", programVersion(), url, server.Key())
	for _, key := range keys {
		state := "nothing cosigned yet"
		if c, err := ledger.OpenCheckpoint(server.Held(key.Origin()), key); err == nil {
			state = fmt.Sprintf("cosigned at %d entries", c.Size)
		}
		_, _ = fmt.Fprintf(out, "  log       %s, %s\n", key.Origin(), state)
	}
	if len(keys) == 0 {
		_, _ = fmt.Fprint(out, "\nNo ledger yet: give --log with the verifier key that the lab's serve prints.\n")
	}
}
