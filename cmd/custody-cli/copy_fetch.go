package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/operator"
)

type fetchOptions struct {
	output   string
	force    bool
	retryFor time.Duration
}

func newCopyFetch(a *app) *cobra.Command {
	var o fetchOptions
	cmd := &cobra.Command{
		Use:   "fetch CASE/EXHIBIT/COPY -o FILE",
		Short: "Fetch a working copy that was issued to you",
		Long: "fetch writes FILE.partial, hashes what arrives, and gives it its name when it is the copy that was issued.\n" +
			"Interrupted, give the same command again: it goes on where it stood. What is not the copy is kept as\n" +
			"FILE.rejected, and the copy is checked in the store: a mismatch there is a finding.",
		Example: "  custody-cli copy fetch 2026-0042/E-001/W1 -o working.dd",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return goOn(o.run(cmd.Context(), a, args[0])) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "the file to write")
	f.BoolVar(&o.force, "force", false, "overwrite the file")
	f.DurationVar(&o.retryFor, "retry-for", 10*time.Minute, "how long to try again when the service cannot be reached")
	require(cmd, "output")
	return cmd
}

func (o fetchOptions) run(ctx context.Context, a *app, text string) (err error) {
	path, err := parse(text, 3, 3)
	if err != nil {
		return err
	}
	if err := vacant(o.output, o.force); err != nil {
		return err
	}
	op, err := a.open(ctx, o.retryFor)
	if err != nil {
		return err
	}
	defer op.Close()
	c, err := op.Copy(ctx, path)
	if err != nil {
		return err
	}
	partial := o.output + ".partial"
	file, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	f := &fetch{a: a, op: op, path: path, file: file, copy: c, hasher: digest.NewHasher(c.Digests.Algorithms()...)}
	defer f.hasher.Close()
	differ, err := f.run(ctx)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		if !f.began {
			err = errors.Join(err, os.Remove(partial))
		}
		return err
	}
	if len(differ) > 0 {
		return f.reject(ctx, o.output+".rejected", differ)
	}
	sum, _ := c.Digests.SHA256()
	entry, err := op.Record(ctx, path.Case, evidence.CopyReceived{Exhibit: path.Exhibit, Number: path.Copy, Size: c.Size, SHA256: sum}, true)
	if err != nil {
		return err
	}
	if err := rename(partial, o.output, o.force); err != nil {
		return err
	}
	return a.result(map[string]any{
		"copy": path.String(), "file": o.output, "size": c.Size, "digests": c.Digests, "entry": entry,
	}, line("%s fetched to %s: %d bytes sha256:%s (entry %d)", path, o.output, c.Size, sum, entry.Seq))
}

// fetch brings the content of a working copy into a file.
type fetch struct {
	a      *app
	op     *operator.Operator
	path   evidence.Path
	file   *os.File
	copy   evidence.Copy
	hasher *digest.Hasher
	at     int64
	began  bool // there are bytes in the file
}

// run tells which digests of what is there in the end are not those of the copy.
func (f *fetch) run(ctx context.Context) ([]digest.Algorithm, error) {
	m := f.a.meter("fetched", f.copy.Size)
	defer m.done()
	if err := f.known(); err != nil {
		return nil, err
	}
	for first := true; first || f.at < f.copy.Size; first = false {
		m.set(f.at)
		err := f.op.Persist(ctx, func() error { return f.more(ctx, m) })
		if err != nil {
			return nil, err
		}
	}
	got, _, err := f.hasher.Sum()
	if err != nil {
		return nil, err
	}
	return digest.Differ(got, f.copy.Digests), nil
}

// reject sets aside what is not the copy, so that the next fetch begins anew, and has
// the copy checked: whether it is the store that gives other bytes must be on record.
func (f *fetch) reject(ctx context.Context, name string, differ []digest.Algorithm) error {
	kept := name
	err := rename(f.file.Name(), kept, false)
	for n := 2; errors.Is(err, errFile); n++ {
		kept = fmt.Sprintf("%s-%d", name, n)
		err = rename(f.file.Name(), kept, false)
	}
	if err != nil {
		return fmt.Errorf("set aside what is not %s: %w", f.path, err)
	}
	rejected := fmt.Errorf("%s: %w: %v of what arrived; it is kept as %s", f.path, evidence.ErrDigestsDiffer, differ, kept)
	f.a.say("%s is checked in the store, since what arrived is not the copy", f.path)
	verdict, err := f.check(ctx)
	if err != nil {
		return errors.Join(rejected, try(fmt.Errorf("check %s: %w", f.path, err), "have the copy verified: custody-cli verify "+f.path.String()))
	}
	next := "the store holds the copy as it was sealed: what arrived was changed on its way, or was there before; fetch again"
	switch {
	case verdict.Finding != 0:
		next = fmt.Sprintf("the store does not hold what was sealed: finding %d is open, and the copy is quarantined", verdict.Finding)
	case verdict.Result != evidence.Match:
		next = fmt.Sprintf("the store says of the copy: %s %s", verdict.Result, verdict.Detail)
	}
	return try(rejected, next)
}

// check has the copy read back in the store.
func (f *fetch) check(ctx context.Context) (evidence.FixityChecked, error) {
	status, err := f.a.check(ctx, f.op, f.path)
	if err != nil {
		return evidence.FixityChecked{}, err
	}
	if status.Verdict == nil || status.Recorded == nil {
		return evidence.FixityChecked{}, fmt.Errorf("%w: %s", api.CodeUnavailable, status.Problem)
	}
	_, err = f.op.KeepReceipt(ctx, []byte(status.Recorded.Receipt))
	return *status.Verdict, err
}

// known hashes what an earlier fetch left.
func (f *fetch) known() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > f.copy.Size {
		return try(fmt.Errorf("%s is larger than %s: %w", f.file.Name(), f.path, errFile), "remove it and fetch again")
	}
	n, err := io.CopyBuffer(f.hasher, onlyReader{f.file}, make([]byte, 1<<20))
	f.at, f.began = n, n > 0
	return err
}

// onlyReader hides what io.Copy would rather use than the given buffer.
type onlyReader struct{ io.Reader }

// more fetches from where the file ends. A cut connection is the same as an
// unreachable server.
func (f *fetch) more(ctx context.Context, m *meter) (err error) {
	if f.at == f.copy.Size && f.began {
		return nil // all is there; the entry about its arrival was lost
	}
	d, err := f.op.Fetch(ctx, f.path, f.at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if want, _ := f.copy.Digests.SHA256(); d.Size != f.copy.Size || d.SHA256 != want {
		return fmt.Errorf("%s: %w: the service offers %d bytes with the SHA-256 %s", f.path, operator.ErrFacts, d.Size, d.SHA256)
	}
	if _, err := f.op.KeepReceipt(ctx, d.Receipt); err != nil {
		return err
	}
	begun := f.at
	buf := make([]byte, 1<<20)
	for {
		n, err := d.Read(buf)
		if n > 0 {
			if _, werr := f.file.Write(buf[:n]); werr != nil {
				return werr
			}
			if _, herr := f.hasher.Write(buf[:n]); herr != nil {
				return herr
			}
			f.at, f.began = f.at+int64(n), true
			m.set(f.at)
		}
		switch {
		case errors.Is(err, io.EOF) && f.at == f.copy.Size:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && f.at > begun: // it moved: patience begins anew
			f.a.say("the connection was cut at byte %d: %v; going on", f.at, err)
			return operator.Pause(ctx, time.Second)
		case err != nil:
			return unreachable(err)
		}
	}
}

// vacant refuses a name that is taken.
func vacant(path string, force bool) error {
	_, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case force:
		return nil
	}
	return try(fmt.Errorf("%s: %w", path, errFile), "name another file, or give --force")
}

// rename gives a finished file its name, without overwriting another unless forced.
func rename(partial, path string, force bool) error {
	if !force {
		switch err := os.Link(partial, path); { // fails where the name is taken, in one step
		case err == nil:
			return os.Remove(partial)
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("%s: %w", path, errFile)
		}
		if err := vacant(path, false); err != nil { // no links on this file system
			return err
		}
	}
	return os.Rename(partial, path)
}
