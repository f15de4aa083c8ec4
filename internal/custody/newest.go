package custody

import (
	"fmt"
	"sync"

	"github.com/custodyd/custodyd/internal/ledger"
)

// signed is a checkpoint and the note that the ledger's key has signed over it.
type signed struct {
	ledger.Checkpoint
	note []byte
}

// newest is the newest signed checkpoint. Nothing about an entry is said to anybody
// before it stands under one.
type newest struct {
	mu   sync.Mutex
	gate chan struct{} // closed at the next checkpoint
	now  signed
}

func (n *newest) init() { n.gate = make(chan struct{}) }

func (n *newest) set(c signed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = c
	close(n.gate)
	n.gate = make(chan struct{})
}

// get gives the newest checkpoint, of size zero before the first one, and a channel
// that is closed when there is a newer one.
func (n *newest) get() (signed, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now, n.gate
}

// size is how many entries stand under it.
func (n *newest) size() int64 {
	c, _ := n.get()
	return c.Size
}

// ConflictError says that somebody who keeps this ledger's checkpoints knows another
// ledger than the database holds: a larger one, or one that does not continue in it.
// It is an ErrRollback. Both notes are evidence.
type ConflictError struct {
	Who    string // such as "the object store", "the witness lab2.example/w"
	Ours   []byte // the signed note of this service, nil if there is none
	Theirs []byte // the signed note that they hold, nil if they do not show it
	Err    error  // what does not fit
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s knows another ledger: %v", e.Who, e.Err)
}

// Unwrap returns ErrRollback and Err.
func (e *ConflictError) Unwrap() []error { return []error{ErrRollback, e.Err} }

// AlarmAdvice says to the operator what to do about an alarm. The audit needs the keys
// and the files to itself, and a backup that is behind the signer is not served.
const AlarmAdvice = "stop the service and run custodyd audit on a copy of its data directory; then go on with " +
	"custodyd rebuild --from-store in an empty directory with this one's keys, or with a backup that holds all that was signed"

// alarm stops all writing, for good, and keeps reading: something that was found does
// not agree with what was signed. What is asked for from now on, and would have to be
// an entry, is an ErrStopped. The first cause stands.
func (s *Service) alarm(cause error) {
	err := fmt.Errorf("%w: %w", ErrStopped, cause)
	if s.alarmed.CompareAndSwap(nil, &err) {
		s.log.Error("ALARM: nothing more is written, reading goes on", "cause", cause, "next", AlarmAdvice)
		close(s.alarming)
	}
}

// Alarm tells why nothing is written any more, though the service still answers;
// nil while all is well.
func (s *Service) Alarm() error {
	if err := s.alarmed.Load(); err != nil {
		return *err
	}
	return nil
}

// Alarmed is closed when nothing is written any more; Alarm tells why.
func (s *Service) Alarmed() <-chan struct{} { return s.alarming }
