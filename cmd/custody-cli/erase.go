package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/report"
)

// beyond is what erasing does not reach. It is said before and after.
const beyond = "not reached: the same words in other entries of the case, such as the purpose in the request for a working copy and " +
	"in its issue (each is erased by itself), the store's copy of the ledger until its lock ends, tool logs and lists of files that were sealed, " +
	"bundles that left, receipts and notes on people's machines, backups"

var errNotConfirmed = errors.New("not confirmed: nothing was erased")

type eraseOptions struct {
	authority, reason string
	yes               bool
}

func newErase(a *app) *cobra.Command {
	var o eraseOptions
	cmd := &cobra.Command{
		Use:   "erase CASE ENTRY --authority TEXT --reason TEXT [--yes]",
		Short: "Take what an entry says away, under authority, for ever",
		Long: "erase takes the payload of an entry, by its number in the ledger (history shows it), out of the\n" +
			"ledger. What is left of it are ids, labels, sizes and hashes; every text that somebody wrote in it\n" +
			"is gone, from the entry and from what list and show tell. That it was erased, by whom, on which\n" +
			"authority and why is an entry of its own, and everything still verifies; the signature of the\n" +
			"erased entry can no longer be checked. It is refused while the case is under a legal hold.\n\n" +
			"The same words can stand in other entries of the case: a request for a working copy (copy.requested)\n" +
			"and its issue (copy.issued) both have the purpose. Each is erased by itself, with a command of its\n" +
			"own; history and bundles show the words until the last one is.\n\n" +
			"Not reached are the store's copy of the ledger until its lock ends, tool logs and lists of files\n" +
			"that were sealed, bundles that left, receipts and notes on people's machines, and backups.",
		Example: "  custody-cli erase 2026-0042 17 --authority 'Court of Graz, 7 C 12/26' --reason 'names a person who is not concerned'",
		Args:    cobra.ExactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0], args[1]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.authority, "authority", "", "who demands it, and by which order")
	f.StringVar(&o.reason, "reason", "", "why")
	f.BoolVar(&o.yes, "yes", false, "do not ask")
	require(cmd, "authority", "reason")
	return cmd
}

// erasedEntry is the result, for --json.
type erasedEntry struct {
	recorded
	Erased     int64           `json:"erased"` // the entry
	Members    []operator.Text `json:"members"`
	NotReached string          `json:"not_reached"`
}

func (o eraseOptions) run(ctx context.Context, a *app, text, number string) error {
	path, err := parse(text, 1, 1)
	if err != nil {
		return err
	}
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil || seq < 0 {
		return fmt.Errorf("%.40q is not the number of an entry; custody-cli history %s shows them", number, path)
	}
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	found, err := op.Erasable(ctx, path.Case, seq)
	if errors.Is(err, evidence.ErrNotFound) {
		return try(err, fmt.Sprintf("an entry goes by its number in the ledger: custody-cli history %s shows those of the case", path))
	}
	if err != nil {
		return err
	}
	if !o.yes {
		if err := a.confirm(ctx, found); err != nil {
			return err
		}
	}
	body := found.Body
	body.Authority, body.Reason = o.authority, o.reason
	entry, err := op.Record(ctx, path.Case, body, false)
	if err != nil {
		return err
	}
	for i := range found.Texts {
		found.Texts[i].Text = "" // it is gone: nor is it for somebody's log
	}
	kind := evidence.Event{Body: body}.Kind()
	return a.result(erasedEntry{recorded{string(kind), text, entry}, seq, found.Texts, beyond}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s entry %d erased (entry %d)\n%s\n", text, seq, entry.Seq, beyond)
		return err
	})
}

// confirm shows on the terminal what will be gone, and waits for a yes.
func (a *app) confirm(ctx context.Context, found operator.Erasable) error {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return try(errors.New("this cannot be undone, and there is no terminal to ask on"), "give --yes, when it is certain")
	}
	defer func() { _ = tty.Close() }() // only talked to
	stop := context.AfterFunc(ctx, func() { _ = tty.Close() })
	defer stop()
	fmt.Fprintf(tty, "entry %d, %s by %s, will lose:\n", found.Body.Entry, found.Event.Kind(), found.Event.Actor)
	for _, t := range found.Texts {
		fmt.Fprintf(tty, "  %s: %s\n", t.Member, report.Plain(t.Text))
	}
	fmt.Fprintf(tty, "%s\nThis cannot be undone. Erase it? Type yes: ", beyond)
	answer, err := bufio.NewReader(io.LimitReader(tty, 100)).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil || strings.TrimSpace(answer) != "yes":
		return errNotConfirmed
	}
	return nil
}
