package operator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// Contradiction says where the two notes of a ledger are kept that contradict each other,
// or that its service does not prove to be of one history.
type Contradiction struct {
	Old, New string // files
	err      error
}

func (e *Contradiction) Error() string {
	return fmt.Sprintf("%v; both signed notes are kept: %s and %s", e.err, e.Old, e.New)
}

// Unwrap gives what is wrong between the two, a verify.ErrNotConsistent,
// verify.ErrBehind or ErrUnproven.
func (e *Contradiction) Unwrap() error { return e.err }

// watch asks for the newest checkpoint; it must go on from the last one seen.
func (o *Operator) watch(ctx context.Context) error {
	newest, err := o.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("look at the ledger: %w", err)
	}
	now, err := ledger.OpenCheckpoint(newest, o.VerifierKey)
	if err != nil {
		return fmt.Errorf("look at the ledger: %w", err)
	}
	seen, before, err := o.remembered()
	if err != nil {
		return err
	}
	if seen != nil && now.Size < before.Size {
		// A receipt may be older than what was seen; the newest checkpoint may not.
		return o.contradiction(seen, newest, fmt.Errorf("%w: %d, not %d", verify.ErrBehind, now.Size, before.Size))
	}
	return o.See(ctx, newest)
}

// remembered gives the newest checkpoint this machine saw; nil, when it is the first.
func (o *Operator) remembered() ([]byte, ledger.Checkpoint, error) {
	path := o.Place.path("checkpoints", fileName(o.Origin))
	note, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ledger.Checkpoint{}, nil
	}
	if err != nil {
		return nil, ledger.Checkpoint{}, err
	}
	c, err := ledger.OpenCheckpoint(note, o.VerifierKey)
	if err != nil {
		return nil, ledger.Checkpoint{}, fmt.Errorf("%s: %w", path, err)
	}
	return note, c, nil
}

// See demands that a signed checkpoint, such as that of a bundle, and the newest one
// seen before are of one history, and remembers the greater. A *Contradiction says that
// they are not, or that the service will not prove it; any other error that it cannot at
// present.
func (o *Operator) See(ctx context.Context, note []byte) error {
	c, err := ledger.OpenCheckpoint(note, o.VerifierKey)
	if err != nil {
		return err
	}
	seen, before, err := o.remembered()
	if err != nil {
		return err
	}
	if seen == nil {
		return o.Place.write(note, "checkpoints", fileName(o.Origin))
	}
	older, newer := seen, note
	from, to := before.Size, c.Size
	if to < from {
		older, newer, from, to = note, seen, to, from
	}
	var proof []ledger.Hash
	if from != to {
		err := o.Persist(ctx, func() (err error) {
			proof, err = o.Consistency(ctx, from, to)
			return err
		})
		if err != nil {
			err = fmt.Errorf("prove that %d entries became %d: %w", from, to, notProven(err))
		}
		if errors.Is(err, ErrUnproven) {
			return o.contradiction(older, newer, err)
		}
		if err != nil {
			return err
		}
	}
	if _, _, err := verify.Consistent(older, newer, proof, o.VerifierKey); err != nil {
		return o.contradiction(older, newer, err)
	}
	if c.Size > before.Size {
		return o.Place.write(note, "checkpoints", fileName(o.Origin))
	}
	return nil
}

// contradiction keeps both notes: together they prove it to anybody. Their names hold
// their hashes, so that a later one never takes the place of an earlier one.
func (o *Operator) contradiction(older, newer []byte, err error) error {
	c := &Contradiction{err: err}
	keep := func(note []byte, which string) string {
		size := int64(-1)
		if opened, err := ledger.OpenCheckpoint(note, o.VerifierKey); err == nil {
			size = opened.Size
		}
		sum := sha256.Sum256(note)
		name := fmt.Sprintf("%s-%d-%x-%s.note", fileName(o.Origin), size, sum[:4], which)
		if lost := o.Place.write(note, "forks", name); lost != nil {
			return fmt.Sprintf("(not kept: %v)", lost)
		}
		return o.Place.path("forks", name)
	}
	c.Old, c.New = keep(older, "a"), keep(newer, "b")
	return c
}
