package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// piece is one file of a set, at its place in the content.
type piece struct {
	evidence.File
	line    int // of the list, from 1
	off     int64
	problem string
}

// list judges the list of the files that a copy is made of: its form, how many files of
// how many bytes, and, where the bundle holds these bytes as a working copy that was
// found good, the hash of each file.
func (j *judge) list(ctx context.Context, c Copy, path string) error {
	open := j.bytesOf(c)
	if open == nil {
		j.r.unchecked(false, "the hash of each file that %s names", path)
	}
	var wrong tally
	var batch []*piece
	check := func() error {
		if err := parallel(ctx, j.o.workers(), batch, func(p *piece) { p.check(ctx, open) }); err != nil {
			return err
		}
		for _, p := range batch {
			if p.problem != "" {
				wrong.add(CodeList, path, "line %d: %s", p.line, p.problem)
			}
		}
		batch = batch[:0]
		return nil
	}
	lines := 0
	parser := evidence.ListParser{Each: func(f evidence.File, off int64) error {
		lines++
		if open == nil {
			return ctx.Err()
		}
		if batch = append(batch, &piece{File: f, line: lines, off: off}); len(batch) < batchSize {
			return nil
		}
		return check()
	}}
	count, size, err := j.parseList(path, &parser)
	if err == nil {
		err = check()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wrong.to(&j.r.Found)
	if err != nil {
		j.r.find(CodeList, path, "%v", err)
		return nil
	}
	declared, err := j.state.Intake(j.copies[c.id].Intake)
	if err != nil || count != declared.Files || size != c.Size {
		j.r.find(CodeList, path, "has %d files of %d bytes, %s was declared as %d files of %d bytes", count, size, c.Copy, declared.Files, c.Size)
	}
	return nil
}

func (j *judge) parseList(path string, parser *evidence.ListParser) (count int, size int64, err error) {
	r, err := j.b.OpenFile(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = r.Close() }() // only read from
	if _, err := io.Copy(parser, r); err != nil {
		return 0, 0, err
	}
	return parser.Total()
}

// bytesOf opens the bytes of a master, if the bundle holds them; else nil.
func (j *judge) bytesOf(master Copy) digest.Open {
	for _, c := range j.r.Copies {
		if c.id.Exhibit != master.id.Exhibit || c.Of != master.id.Number || c.Content != ContentVerified || c.Digests != master.Digests {
			continue
		}
		if open, ok := j.b.Ranges(bundle.CopyPath(evidence.Content, c.id.Exhibit, c.id.Number)); ok {
			return open
		}
	}
	return nil
}

// check compares the bytes at the file's place with its hash.
func (p *piece) check(ctx context.Context, open digest.Open) {
	r, err := open(ctx, p.off, p.Size)
	if err != nil {
		p.problem = err.Error()
		return
	}
	defer func() { _ = r.Close() }() // only read from
	h := sha256.New()
	n, err := io.Copy(h, r)
	switch sum := digest.SHA256(h.Sum(nil)); {
	case err != nil:
		p.problem = err.Error()
	case n != p.Size:
		p.problem = fmt.Sprintf("the content ends within the file's %d bytes", p.Size)
	case sum != p.SHA256:
		p.problem = fmt.Sprintf("the file's bytes have the SHA-256 %s, not %s", sum, p.SHA256)
	}
}
