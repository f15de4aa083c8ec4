package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// mayRead waits for a permit to read a whole copy back.
func (s *Service) mayRead(ctx context.Context) (release func(), err error) {
	select {
	case s.reads <- struct{}{}:
		return func() { <-s.reads }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// reading is what re-hashing an object gave.
type reading struct {
	verdict digest.Verdict
	digests digest.Set // of what was read; none when unreadable
	source  string     // medium, cache or store
}

// hash reads an object back and compares it with the wanted digests: on all
// cores from the midstates when SHA-256 is all that is wanted, otherwise in one
// pass over all algorithms. A store that does not have the object, or not as one
// of its own, gives the verdict unreadable; an error means that we could not look
// at all.
func (s *Service) hash(ctx context.Context, o evidence.Object, list digest.Midstates, want digest.Set, progress func(int64)) (reading, error) {
	content, err := s.objects.Open(ctx, stored(o), true)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, objectstore.ErrReadBack) {
		return reading{verdict: digest.Verdict{Result: digest.Unreadable, Cause: err}, source: objectstore.SourceStore}, nil
	}
	if err != nil {
		return reading{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer closeQuietly(content)
	count := func(n int64) {
		s.counters.readBack.Add(n)
		progress(n)
	}
	sha256, ok := want.SHA256()
	if !ok {
		return reading{}, fmt.Errorf("object %s: no SHA-256 to compare with", o.Key)
	}
	read := reading{source: content.Source()}
	if len(want.Algorithms()) == 1 {
		read.verdict, err = digest.Verify(ctx, within(content), o.Size, list, sha256, s.cfg.Workers, count)
		if err == nil && read.verdict.Result != digest.Unreadable {
			read.digests, err = read.digests.With(digest.AlgSHA256, read.verdict.SHA256.String())
		}
	} else {
		err = read.pass(ctx, content, want, count)
	}
	if err != nil {
		return reading{}, err
	}
	read.source = content.Source() // reading may have fallen back from the medium
	return read, nil
}

// pass hashes the whole content once, with every wanted algorithm.
func (read *reading) pass(ctx context.Context, content *objectstore.Content, want digest.Set, progress func(int64)) error {
	r, err := content.Range(ctx, 0, content.Size())
	if err != nil {
		return err
	}
	defer closeQuietly(r)
	set, _, err := digest.Sum(ctx, progressReader{r, progress}, want.Algorithms()...)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		read.verdict = digest.Verdict{Result: digest.Unreadable, Cause: err}
	case len(digest.Differ(want, set)) > 0:
		read.verdict, read.digests = digest.Verdict{Result: digest.Mismatch}, set
	default:
		read.verdict, read.digests = digest.Verdict{Result: digest.Match}, set
	}
	return nil
}

// within opens ranges of the content, cut at its end: a reader that asks for
// more learns that there is no more.
func within(content *objectstore.Content) digest.Open {
	return func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		if rest := content.Size() - off; n > rest {
			n = max(rest, 0)
		}
		return content.Range(ctx, min(off, content.Size()), n)
	}
}

type progressReader struct {
	r        io.Reader
	progress func(int64)
}

// Read implements io.Reader.
func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.progress(int64(n))
	return n, err
}

// checkFiles hashes each file of a set where it lies in the content, and tells
// which one is not what its list says; empty when all are.
func (s *Service) checkFiles(ctx context.Context, u upload) (string, error) {
	release, err := s.mayRead(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	list, err := s.objects.Open(ctx, stored(u.Objects[evidence.Files]), false)
	if err != nil {
		return "", err
	}
	defer closeQuietly(list)
	lines, err := list.Range(ctx, 0, list.Size())
	if err != nil {
		return "", err
	}
	defer closeQuietly(lines)
	bytes, err := s.objects.Open(ctx, stored(u.Objects[evidence.Content]), false)
	if err != nil {
		return "", err
	}
	defer closeQuietly(bytes)

	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(s.cfg.Workers, 1))
	parser := evidence.ListParser{Each: func(f evidence.File, offset int64) error {
		group.Go(func() error { return checkFile(gctx, bytes, f, offset) })
		return gctx.Err()
	}}
	_, err = io.Copy(&parser, lines)
	if err == nil {
		_, _, err = parser.Total()
	}
	if found := group.Wait(); found != nil {
		err = found // the parser's error is only that a check had failed
	}
	var wrong *fileError
	if errors.As(err, &wrong) {
		return wrong.Error(), nil
	}
	return "", err
}

// fileError names the file of a set that is not what its list says.
type fileError struct{ path string }

func (e *fileError) Error() string {
	return fmt.Sprintf("file %q of the set is not what its list says", e.path)
}

func checkFile(ctx context.Context, content *objectstore.Content, f evidence.File, offset int64) error {
	r, err := content.Range(ctx, offset, f.Size)
	if err != nil {
		return err
	}
	defer closeQuietly(r)
	set, _, err := digest.Sum(ctx, r)
	if err != nil {
		return err
	}
	if got, _ := set.SHA256(); got != f.SHA256 {
		return &fileError{f.Path()}
	}
	return nil
}
