package main

import (
	"context"
	"crypto/md5" //nolint:gosec // A floor: examiners' tools still declare MD5.
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/custodyd/custodyd/internal/digest"
)

// pass hashes a file once, plainly, on one core.
func pass(_ context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "md5|sha256", "FILE"); err != nil {
		return err
	}
	var h hash.Hash
	switch args[0] {
	case "md5":
		h = md5.New() //nolint:gosec // see above
	case "sha256":
		h = sha256.New()
	default:
		return fmt.Errorf("no digest %q", args[0])
	}
	f, err := os.Open(args[1]) //nolint:gosec // The table names it.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%x  %s\n", h.Sum(nil), args[1])
	return err
}

// digests hashes a file with three digests in one pass.
func digests(ctx context.Context, args []string, out io.Writer) (err error) {
	if err := arguments(args, "FILE"); err != nil {
		return err
	}
	f, err := os.Open(args[0]) //nolint:gosec // The table names it.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	set, size, err := digest.Sum(ctx, f, digest.AlgMD5, digest.AlgSHA1, digest.AlgSHA256)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, size, set)
	return err
}

// digestRows compare three digests in one pass.
func (b *bench) digestRows(ctx context.Context) ([]row, error) {
	results, err := b.interleave(ctx,
		b.shell("md5, sha1, sha256 in one pass", `"$SELF" digest "$F"`, b.sum),
		b.shell("hashdeep", `hashdeep -c md5,sha1,sha256 "$F"`, b.sum))
	if err != nil {
		return nil, err
	}
	return []row{b.compare("three digests (SHA-256, SHA-1, MD5) in one pass", atLeast(2, " ×"),
		results[0].wall(), "hashdeep", results[1].wall())}, nil
}
