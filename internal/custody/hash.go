package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// Whole objects are read and copied by so many at once: each read uses all cores
// already. Checks, which many may ask for, do not keep intakes waiting.
const (
	concurrentChecks = 2 // fixity checks
	concurrentReads  = 2 // intakes that are read back
	concurrentCopies = 2 // working copies that the store makes
)

// permits bounds how many do a thing at once.
type permits chan struct{}

// take waits for a permit.
func (p permits) take(ctx context.Context) (release func(), err error) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, nil
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
	if gone(err) {
		// A store that has lost one object is another thing than one that is away.
		if away := s.answers(ctx); away != nil {
			return reading{}, away
		}
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

// answers tells whether the store can be asked at all.
func (s *Service) answers(ctx context.Context) error {
	// That an object is not there costs a store of any size the same to say.
	if _, err := s.objects.Stat(ctx, "ready", ""); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: object store: %w", ErrUnavailable, err)
	}
	return nil
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

// checkFiles hashes each file of a set where it lies in the content, and gives
// those that are not what the list says, by line, with the number of all where the
// list is cut.
func (s *Service) checkFiles(ctx context.Context, u upload) (strays []evidence.Stray, total int, err error) {
	release, err := s.reading.take(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	list, err := s.objects.Open(ctx, stored(u.Objects[evidence.Files]), false)
	if err != nil {
		return nil, 0, err
	}
	defer closeQuietly(list)
	lines, err := list.Range(ctx, 0, list.Size())
	if err != nil {
		return nil, 0, err
	}
	defer closeQuietly(lines)
	bytes, err := s.objects.Open(ctx, stored(u.Objects[evidence.Content]), false)
	if err != nil {
		return nil, 0, err
	}
	defer closeQuietly(bytes)

	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(s.cfg.Workers, 1))
	var mu sync.Mutex
	line := 0
	parser := evidence.ListParser{Each: func(f evidence.File, offset int64) error {
		line++
		at := line
		group.Go(func() error {
			got, err := sumOf(gctx, bytes, offset, f.Size)
			if err == nil && got != f.SHA256 {
				mu.Lock()
				strays = append(strays, evidence.Stray{Line: at, SHA256: got})
				mu.Unlock()
			}
			return err
		})
		return gctx.Err()
	}}
	_, err = io.Copy(&parser, lines)
	if err == nil {
		_, _, err = parser.Total()
	}
	if failed := group.Wait(); failed != nil {
		err = failed // the parser's error is only that a file could not be read
	}
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(strays, func(a, b evidence.Stray) int { return a.Line - b.Line })
	if len(strays) > evidence.MaxRanges {
		strays, total = strays[:evidence.MaxRanges], len(strays)
	}
	return strays, total, nil
}

// sumOf hashes a run of bytes of the content.
func sumOf(ctx context.Context, content *objectstore.Content, offset, length int64) (digest.SHA256, error) {
	r, err := content.Range(ctx, offset, length)
	if err != nil {
		return digest.SHA256{}, err
	}
	defer closeQuietly(r)
	set, _, err := digest.Sum(ctx, r)
	sha256, _ := set.SHA256()
	return sha256, err
}
