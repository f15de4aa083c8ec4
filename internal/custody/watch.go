package custody

import (
	"sync"
	"sync/atomic"

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
}

// Stats tells what the service has done since its start.
func (s *Service) Stats() Stats {
	return Stats{s.newest.size(), s.counters.appends.Load(), s.counters.received.Load(), s.counters.readBack.Load()}
}
