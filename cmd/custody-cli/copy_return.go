package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

type returnOptions struct {
	file, note string
	deleted    bool
}

func newCopyReturn(a *app) *cobra.Command {
	var o returnOptions
	cmd := &cobra.Command{
		Use:   "return CASE/EXHIBIT/COPY (--file FILE | --deleted) [--note TEXT]",
		Short: "Record what came back of a working copy",
		Example: "  custody-cli copy return 2026-0042/E-001/W1 --file working.dd --note 'no documents found'\n" +
			"  custody-cli copy return 2026-0042/E-001/W1 --deleted",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.file, "file", "", "the bytes that came back; they are hashed, not sent")
	f.BoolVar(&o.deleted, "deleted", false, "nothing came back: the holder states that it was deleted")
	f.StringVar(&o.note, "note", "", "what else is to be known")
	cmd.MarkFlagsMutuallyExclusive("file", "deleted")
	cmd.MarkFlagsOneRequired("file", "deleted")
	return cmd
}

func (o returnOptions) run(ctx context.Context, a *app, text string) error {
	path, err := parse(text, 3, 3)
	if err != nil {
		return err
	}
	b := evidence.CopyReturned{Exhibit: path.Exhibit, Number: path.Copy, Outcome: evidence.Deleted, Note: o.note}
	if !o.deleted {
		sum, size, err := hashFile(ctx, a, o.file)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		b.SHA256, b.Size = &sum, size
	}
	op, err := a.open(ctx, patience)
	if err != nil {
		return err
	}
	defer op.Close()
	if b.SHA256 != nil {
		c, err := op.Copy(ctx, path)
		if err != nil {
			return err
		}
		b.Outcome = evidence.Altered
		if want, _ := c.Digests.SHA256(); *b.SHA256 == want && b.Size == c.Size {
			b.Outcome = evidence.Unchanged
		}
	}
	return a.recordAs(ctx, op, path.Case, b, false, path.String(), "returned, "+string(b.Outcome))
}

// hashFile gives the SHA-256 of a file and its size.
func hashFile(ctx context.Context, a *app, path string) (sum digest.SHA256, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return digest.SHA256{}, 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return digest.SHA256{}, 0, err
	}
	if !info.Mode().IsRegular() {
		return digest.SHA256{}, 0, fmt.Errorf("%s is not a regular file", path)
	}
	m := a.meter("hashed", info.Size())
	defer m.done()
	set, size, err := digest.Sum(ctx, &counted{file, m})
	if err != nil {
		return digest.SHA256{}, 0, err
	}
	sum, _ = set.SHA256()
	return sum, size, nil
}
