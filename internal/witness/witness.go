package witness

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/ledger"
)

var (
	// ErrUnknownLog says that the witness was not told to witness this ledger.
	ErrUnknownLog = errors.New("unknown log")
	// ErrInconsistent says that a checkpoint is not proven to continue the one that the
	// witness cosigned last.
	ErrInconsistent = errors.New("not proven to continue the checkpoint cosigned last")
)

// SizeError says that a request was not made for the size that the witness holds.
type SizeError struct{ Held int64 }

func (e *SizeError) Error() string { return fmt.Sprintf("the witness holds size %d", e.Held) }

// Config is what a witness works with. Everything is required.
type Config struct {
	Dir    string               // its state, from Create
	Logs   []ledger.VerifierKey // whose checkpoints it cosigns, one key for an origin
	Now    func() time.Time
	Logger *slog.Logger
}

// Witness cosigns the checkpoints of some ledgers. Methods may be called concurrently.
type Witness struct {
	cosigner ledger.Cosigner
	now      func() time.Time
	log      *slog.Logger
	lock     *os.File
	logs     map[ledger.Origin]*held
}

// held is what a witness has of one ledger.
type held struct {
	key  ledger.VerifierKey
	path string // without its ending

	mu   sync.Mutex // from asking what is held until it is written
	last ledger.Checkpoint
	note []byte // nil: none yet
}

const (
	checkpointEnding = ".checkpoint"
	forkEnding       = ".fork"
)

// Open takes up the state that Create made. No other process can have it open.
func Open(cfg Config) (_ *Witness, err error) {
	w := &Witness{now: cfg.Now, log: cfg.Logger, logs: map[ledger.Origin]*held{}}
	if w.cosigner, w.lock, err = openKey(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open witness: %w", err)
	}
	for _, key := range cfg.Logs {
		if w.logs[key.Origin()] != nil {
			return nil, errors.Join(fmt.Errorf("open witness: two keys for %s", key.Origin()), w.Close())
		}
		h := &held{key: key, path: filepath.Join(cfg.Dir, OriginHash(key.Origin()))}
		if h.last, h.note, err = load(h.path+checkpointEnding, key, w.Key()); err != nil {
			return nil, errors.Join(fmt.Errorf("open witness: %w", err), w.Close())
		}
		w.logs[key.Origin()] = h
	}
	return w, nil
}

// Close gives the state free. Nothing may be asked of the witness after it.
func (w *Witness) Close() error { return errors.Join(unlockFile(w.lock), w.lock.Close()) }

// Key gives the key that verifies what this witness cosigns.
func (w *Witness) Key() ledger.WitnessKey { return w.cosigner.Key() }

// Held gives the largest checkpoint cosigned of a ledger, with both signatures;
// nil, when there is none.
func (w *Witness) Held(origin ledger.Origin) []byte {
	h := w.logs[origin]
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.note
}

// Add cosigns a checkpoint that continues the one held, or is that one, and gives the
// signature line. The error is an ErrUnknownLog, ledger.ErrUnsigned, ledger.ErrCheckpoint,
// ErrRequest, ErrInconsistent, a *SizeError, or that of the state.
func (w *Witness) Add(r Request) (string, error) {
	origin, _, _ := bytes.Cut(r.Note, []byte("\n"))
	h := w.logs[ledger.Origin(origin)]
	if h == nil {
		return "", fmt.Errorf("%w: %.100q", ErrUnknownLog, origin)
	}
	next, err := ledger.OpenCheckpoint(r.Note, h.key)
	switch {
	case errors.Is(err, ledger.ErrProof): // size 0 and not the empty tree's root
		return "", fmt.Errorf("%w: %w", ErrInconsistent, err)
	case err != nil:
		return "", err
	case r.Old > next.Size:
		return "", fmt.Errorf("%w: old size %d of a checkpoint of size %d", ErrRequest, r.Old, next.Size)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Old != h.last.Size {
		return "", &SizeError{Held: h.last.Size}
	}
	if h.note != nil || len(r.Proof) > 0 {
		err := ledger.CheckConsistency(r.Proof, next.Size, next.Root, h.last.Size, h.last.Root)
		if err != nil {
			return "", w.refuse(h, next, r.Note, err)
		}
	}
	line, err := w.cosigner.Cosign(next.Body(), w.now())
	if err != nil {
		return "", err
	}
	if h.note != nil && next == h.last {
		return line, nil // as of now: it still is the largest
	}
	signed, err := ledger.Cosigned(h.key, []ledger.WitnessKey{w.Key()}, append(bytes.Clone(r.Note), line...))
	if err != nil {
		return "", err
	}
	// SPEC: "The witness MUST persist the new checkpoint before responding."
	if err := write(h.path+checkpointEnding, signed); err != nil {
		return "", fmt.Errorf("keep checkpoint %d of %s: %w", next.Size, next.Origin, err)
	}
	h.last, h.note = next, signed
	return line, nil
}

// refuse tells the operator what may be proof that a ledger forked, and keeps what is.
func (w *Witness) refuse(h *held, next ledger.Checkpoint, note []byte, cause error) error {
	w.log.Error("REFUSED to cosign: not proven to continue what was cosigned",
		"log", next.Origin, "held", string(h.note), "offered", string(note))
	if next.Size == h.last.Size && next.Root != h.last.Root {
		path := h.path + forkEnding
		if _, err := os.Stat(path); err != nil { // the first is proof enough
			if err := write(path, note); err != nil {
				w.log.Error("keep the proof of the fork", "path", path, "error", err)
			}
		}
	}
	return fmt.Errorf("%w: %w", ErrInconsistent, cause)
}
