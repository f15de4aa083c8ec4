package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/report"
)

// app is what all commands share.
type app struct {
	stdout, stderr io.Writer
	config         string
	json, quiet    bool
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "custody-cli",
		Short: "Take digital evidence into custody, work on copies, verify",
		Long: "custody-cli seals images and logs in a custody service, issues and fetches working copies, exports\n" +
			"cases as bundles, and verifies all of it, online and offline.\n\n" +
			"Every flag can be given as an environment variable: CUSTODY_ and the flag's name in capitals, with\n" +
			"'_' for '-', such as CUSTODY_EXHIBIT.",
		Example: "  custody-cli setup --server https://custody.lab.example --principal examiner1\n" +
			"  custody-cli ingest --exhibit 2026-0042/E-001 --tool 'dc3dd 7.2.646' --witness 'W. Witness' --place 'Lab 2' disk.dd\n" +
			"  custody-cli verify case.zip",
		Version:           programVersion(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) },
	}
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", "", "configuration directory (default: custody in the user's configuration directory)")
	f.BoolVar(&a.json, "json", false, "print results as JSON")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no talk on stderr, only errors")
	root.SetUsageTemplate(root.UsageTemplate() + exitHelp)
	root.AddCommand(
		newSetup(a), newPerson(a), newCase(a), newExhibit(a), newIngest(a), newCopy(a), newHistory(a), newAnchors(a), newHold(a), newErase(a), newExport(a), newVerify(a),
	)
	root.AddCommand(newMirror(a), newGossip(a))
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			if len(args) > 0 {
				return fmt.Errorf("%s %.40q is unknown; want one of: %s", use, args[0], strings.Join(names, ", "))
			}
			return fmt.Errorf("%s what? one of: %s", use, strings.Join(names, ", "))
		},
	}
	var examples []string
	for _, c := range commands {
		examples = append(examples, strings.Split(c.Example, "\n")[0])
	}
	g.Example = strings.Join(examples, "\n")
	g.AddCommand(commands...)
	return g
}

// require marks flags that have to be given.
func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}

// fromEnvironment sets the flags that were not given from CUSTODY_<FLAG>.
func fromEnvironment(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "CUSTODY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if f.Changed || !ok || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

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

// say talks to the person.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		a.warn(format, args...)
	}
}

// warn says what must be said.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintln(a.stderr, "custody-cli:", report.Plain(fmt.Sprintf(format, args...)))
}

// result prints a command's result: as JSON, or as text writes it.
func (a *app) result(value any, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.stdout)
	}
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// lines gives a text of result: one line.
func line(format string, args ...any) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		return err
	}
}

// table gives a text of result: rows under a head. What a service says is made plain.
func table(head string, rows [][]string) func(io.Writer) error {
	return func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, strings.ReplaceAll(strings.ToUpper(head), " ", "\t"))
		for _, row := range rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = report.Plain(cell)
			}
			fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
		return t.Flush()
	}
}

// facts gives a text of result: names and values, empty ones left out.
func facts(pairs ...string) func(io.Writer) error {
	return func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				fmt.Fprintf(t, "%s\t%s\n", pairs[i], report.Plain(pairs[i+1]))
			}
		}
		return t.Flush()
	}
}

// quote writes words so that a shell takes them as they are.
func quote(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if w == "" || strings.Trim(w, plain) != "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		quoted[i] = w
	}
	return strings.Join(quoted, " ")
}

// plain is what means nothing to a shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./_-+=:,@%"

func (a *app) place() (operator.Place, error) { return operator.NewPlace(a.config) }

func (a *app) operatorConfig(retryFor time.Duration) (operator.Config, error) {
	place, err := a.place()
	return operator.Config{
		Place: place, Tool: "custody-cli " + programVersion(), Now: time.Now, Random: rand.Reader,
		Passphrase: a.passphrase, Say: a.say, RetryFor: retryFor,
	}, err
}

// patience is for how long a command that moves little asks again.
const patience = 30 * time.Second

// open gives the operator this machine is set up for.
func (a *app) open(ctx context.Context, retryFor time.Duration) (*operator.Operator, error) {
	cfg, err := a.operatorConfig(retryFor)
	if err != nil {
		return nil, err
	}
	return operator.Open(ctx, cfg)
}

// passphrase asks for a key's passphrase on the terminal, never on a pipe.
func (a *app) passphrase() ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("the key has a passphrase and there is no terminal to ask on; use ssh-agent")
	}
	fmt.Fprint(tty, "passphrase of the signing key: ")
	secret, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(tty)
	return secret, errors.Join(err, tty.Close())
}

// parse reads a path as people type it, of the wanted depth: 1 a case, 2 an exhibit,
// 3 a copy.
func parse(text string, least, most int) (evidence.Path, error) {
	p, err := evidence.ParsePath(text)
	if err != nil {
		return evidence.Path{}, err
	}
	depth := strings.Count(text, "/") + 1
	if depth < least || depth > most {
		want := []string{"CASE", "CASE/EXHIBIT", "CASE/EXHIBIT/COPY"}
		return evidence.Path{}, fmt.Errorf("%.200q: want %s", text, strings.Join(want[least-1:most], " or "))
	}
	return p, nil
}
