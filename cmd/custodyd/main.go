// Command custodyd is the evidence chain-of-custody service: it takes in copies of
// digital evidence, seals them into write-once storage, and keeps the custody
// ledger that anybody can check later without trusting it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
)

// version is set by the linker.
var version string

// The exit codes of both commands, never reused (see README).
const (
	exitOK          = 0
	exitFinding     = 1
	exitError       = 2
	exitInterrupted = 130
)

// errFindings says that a check or an audit found something; what, stands on stdout.
var errFindings = errors.New("there are findings")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // whoever asks a second time does not want to wait
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings): // they stand on stdout, with what else is wrong
		return exitFinding
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	}
	fmt.Fprintln(os.Stderr, "custodyd:", err)
	if integrity(err) {
		return exitFinding
	}
	return exitError
}

// integrity reports whether a start, a service or a rebuild ended because something is not
// as it was signed: a restart mends nothing, and whoever supervises has to call somebody.
func integrity(err error) bool {
	return isAny(err, custody.ErrRollback, custody.ErrIncompleteStore, custody.ErrDiscrepancy, database.ErrDamaged) ||
		errors.As(err, new(*ledger.RefusalError))
}

const exitCodes = `
Exit codes:
  0    ok
  1    integrity: something is not as it was signed, or check or audit found something wrong
  2    usage or internal error
  130  interrupted`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "custodyd",
		Short: "Evidence chain-of-custody service",
		Long: "custodyd seals copies of digital evidence into write-once storage and keeps the custody\n" +
			"ledger that anybody can check later, offline, without trusting it.\n" + exitCodes,
		Example: "  custodyd serve --data /var/lib/custodyd --admin-key ~/.ssh/id_ed25519.pub --admin-principal examiner1\n" +
			"  custodyd check --data /var/lib/custodyd\n" +
			"  custodyd audit --data /var/lib/custodyd --contents",
		Version:           programVersion(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.AddCommand(newServe(), newCheck(), newAudit(), newWitness(), newSigner(), newRebuild(), newBackup())
	root.AddCommand(newTiles())
	return root
}

// programVersion names the program in entries and answers.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	return "development"
}

// newLogger writes the operators' log to stderr.
func newLogger(format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}
