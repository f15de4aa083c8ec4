package custody

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// watch knows which intakes are worked on now, and wakes those who wait for one
// to move. Nothing in it is needed after a restart.
type watch struct {
	mu   sync.Mutex
	gate chan struct{} // closed at the next change
	jobs map[uuid.UUID]*job
}

func (w *watch) init() {
	w.gate = make(chan struct{})
	w.jobs = map[uuid.UUID]*job{}
}

// next gives a channel that is closed when any intake moves.
func (w *watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gate
}

// changed wakes all who wait. Long polls look again and mostly wait on: intakes
// are few.
func (w *watch) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.gate)
	w.gate = make(chan struct{})
}

// maxJobs bounds how many jobs are remembered; those at rest go first.
const maxJobs = 10_000

// job gives the job of an intake, at rest if it is new.
func (w *watch) job(id uuid.UUID) *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	j, ok := w.jobs[id]
	if !ok {
		if len(w.jobs) >= maxJobs {
			for old, j := range w.jobs {
				if j.atRest() {
					delete(w.jobs, old)
				}
			}
		}
		j = &job{}
		w.jobs[id] = j
	}
	return j
}

// job is the server's own work on one intake.
type job struct {
	checked atomic.Int64           // bytes read back
	problem atomic.Pointer[string] // why it is being tried again

	mu      sync.Mutex
	running bool
	again   bool // somebody woke it while it ran
}

// wake reports whether the caller has to run the job; if it is running already
// it will look once more.
func (j *job) wake() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running {
		j.again = true
		return false
	}
	j.running = true
	return true
}

// rest ends a run; it reports whether the job has to look once more.
func (j *job) rest() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running, j.again = j.again, false
	return j.running
}

func (j *job) atRest() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.running
}

// counters are for operators.
type counters struct {
	appends  atomic.Int64
	received atomic.Int64 // bytes made durable in uploads
	readBack atomic.Int64 // bytes hashed from the store
}

// Stats are figures for operators, since the start.
type Stats struct {
	Entries  int64 // in the ledger
	Appends  int64
	Received int64 // bytes
	ReadBack int64 // bytes

	Audit AuditStats

	Anchored        int64         // entries under the newest checkpoint with a time stamp
	AnchoredAt      int64         // when that was stamped, in seconds since 1970; zero: never
	AnchorsPending  int64         // time stamps that are waited for
	AnchorsFailed   int64         // time stamps that were given up
	Published       int64         // entries that the object store holds
	Unpublished     int64         // entries that it does not hold yet
	MaxUnpublished  int64         // no more entries are taken then
	OldestWaits     time.Duration // for how long the first of them has waited
	PublishFailures int64         // tries that did not put a segment
	PublishWithin   time.Duration // for which an entry waits for others
	Foreign         int64         // objects of strangers, met where a segment, a cosigned checkpoint or time stamps go
}

// Stats tells what the service has done since its start.
func (s *Service) Stats() Stats {
	size, oldest := s.publisher.published()
	stats := Stats{
		Entries: s.newest.size(), Appends: s.counters.appends.Load(), Received: s.counters.received.Load(),
		ReadBack: s.counters.readBack.Load(), Published: size, MaxUnpublished: s.cfg.MaxUnpublished,
		PublishFailures: s.publisher.failures.Load(), PublishWithin: s.cfg.PublishWithin, Foreign: s.publisher.foreign.Load(), Audit: s.auditStats(),
		Anchored: s.anchors.size.Load(), AnchoredAt: s.anchors.at.Load(),
		AnchorsPending: s.anchors.pending.Load(), AnchorsFailed: s.anchors.failed.Load(),
	}
	stats.Unpublished = max(stats.Entries-size, 0) // the newest checkpoint was asked for after
	if oldest > 0 && stats.Unpublished > 0 {
		stats.OldestWaits = max(s.cfg.Now().Sub(oldest.Std()), 0)
	}
	return stats
}
