package custody

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// trail reads an upload back from the medium while later parts still come, one
// durable part behind the writer, where the store can do that. It only saves
// time: without it, or when what it read differs, the object is read back whole.
type trail struct {
	size   int64
	hasher *digest.Hasher // of the reader's goroutine until done is closed; nil at rest
	pos    int64          // bytes read back and hashed; of the reader's goroutine until done is closed
	wake   chan struct{}  // something became durable
	done   chan struct{}  // the reader's goroutine has ended
	cancel context.CancelFunc
	source string
	err    error // why it ended before the end; set before done is closed

	mu      sync.Mutex
	durable int64        // bytes that may be read
	state   digest.State // of the hasher, at rest
}

// trails are those of the uploads under way, each at work or at rest. Nothing in
// it is needed after a restart.
type trails struct {
	mu   sync.Mutex
	byID map[uuid.UUID]*trail
}

// maxTrails bounds how many are remembered; those at rest go first.
const maxTrails = 1000

// trail begins or goes on to read an upload back; nil where the store cannot.
func (s *Service) trail(ctx context.Context, i evidence.Intake, store objectstore.Upload) *trail {
	content, err := s.objects.OpenUpload(ctx, store)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			s.log.Warn("read back while writing", "intake", i.Intake, "error", err)
		}
		return nil
	}
	t := s.trails.take(i.Intake)
	if t == nil || !t.rise() {
		t = &trail{size: i.Size, hasher: digest.NewHasher(i.Declared.Algorithms()...)}
	}
	own, cancel := context.WithCancel(s.ctx)
	t.wake, t.done, t.cancel, t.source, t.err = make(chan struct{}, 1), make(chan struct{}), cancel, content.Source(), nil
	s.trails.put(i.Intake, t)
	started := s.background(func() {
		defer close(t.done)
		defer cancel()
		defer closeQuietly(content)
		t.err = t.follow(own, content, func(n int64) { s.counters.readBack.Add(n) })
	})
	if !started {
		cancel()
		closeQuietly(content)
		close(t.done)
		s.dropTrail(i.Intake)
		return nil
	}
	return t
}

// follow reads what is durable, and waits for more, until the end.
func (t *trail) follow(ctx context.Context, content *objectstore.Content, count func(int64)) error {
	buf := make([]byte, 1<<20)
	for t.pos < t.size {
		t.mu.Lock()
		durable := t.durable
		t.mu.Unlock()
		if t.pos == durable {
			select {
			case <-t.wake:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		r, err := content.Range(ctx, t.pos, durable-t.pos)
		if err != nil {
			return err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{t.hasher}, r, buf)
		closeQuietly(r)
		t.pos += n
		count(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// reach tells that the first n bytes are durable.
func (t *trail) reach(n int64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.durable = n
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// rest stops the reader. The trail keeps its place for the next connection, which
// may never come, and nothing that runs.
func (t *trail) rest() {
	if t == nil {
		return
	}
	t.cancel()
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hasher == nil {
		return
	}
	state, err := t.hasher.State()
	t.hasher.Close()
	if t.hasher = nil; err == nil {
		t.state = state
	}
}

// rise takes up the place of a trail at rest; false when it has none.
func (t *trail) rise() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hasher != nil {
		return true
	}
	hasher, err := digest.ResumeHasher(t.state)
	if err != nil || t.state.Size() != t.pos {
		if err == nil {
			hasher.Close()
		}
		return false
	}
	t.hasher = hasher
	return true
}

func (t *trail) atRest() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hasher == nil
}

// end waits for the reader to come to the end, and gives what it read. It is used
// once, and not at all when the reader did not get there.
func (t *trail) end(ctx context.Context) (reading, bool) {
	select {
	case <-t.done:
	case <-ctx.Done():
		t.rest()
	}
	if t.err != nil || t.pos != t.size || t.atRest() {
		t.rest()
		return reading{}, false
	}
	defer t.hasher.Close()
	set, n, err := t.hasher.Sum()
	return reading{digests: set, source: t.source}, err == nil && n == t.size
}

func (t *trails) put(id uuid.UUID, one *trail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[uuid.UUID]*trail{}
	}
	for old, one := range t.byID {
		if len(t.byID) < maxTrails {
			break
		}
		if one.atRest() {
			delete(t.byID, old)
		}
	}
	t.byID[id] = one
}

// take gives the trail of an intake and forgets it; nil if there is none.
func (t *trails) take(id uuid.UUID) *trail {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.byID[id]
	delete(t.byID, id)
	return one
}

// dropTrail forgets the trail of an intake that will not come.
func (s *Service) dropTrail(id uuid.UUID) {
	if t := s.trails.take(id); t != nil {
		t.rest()
	}
}

// closeTrails ends those at rest when the service ends.
func (s *Service) closeTrails() {
	s.trails.mu.Lock()
	defer s.trails.mu.Unlock()
	for id, t := range s.trails.byID {
		t.rest()
		delete(s.trails.byID, id)
	}
}
