package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

var (
	// ErrOtherEntry says that a receipt is a good one, but for something else than
	// what was sent.
	ErrOtherEntry = errors.New("receipt of another entry")
	// ErrBehind says that a checkpoint is smaller than one that was seen before: the
	// ledger was rolled back, or the answer is an old one.
	ErrBehind = errors.New("the ledger has fewer entries than before")
	// ErrNotConsistent says that a ledger is not shown to continue what it was.
	ErrNotConsistent = errors.New("the ledger is not shown to continue what it was")
)

// ForkError says that a ledger signed two histories. Both notes together prove it to
// anybody. It is an ErrNotConsistent.
type ForkError struct {
	Old, New []byte // signed checkpoints
}

func (e *ForkError) Error() string {
	return "the ledger signed two different trees of the same size: keep both checkpoints"
}

// Unwrap returns ErrNotConsistent.
func (e *ForkError) Unwrap() error { return ErrNotConsistent }

// Receipt checks a server's answer to an operation: the receipt is signed by the
// ledger, and what it shows to stand there is exactly the payload and the signature that
// were sent. The error is one of package ledger's, or ErrOtherEntry.
func Receipt(raw []byte, key ledger.VerifierKey, payload, signature []byte) (ledger.Receipt, ledger.Envelope, ledger.Checkpoint, error) {
	fail := func(err error) (ledger.Receipt, ledger.Envelope, ledger.Checkpoint, error) {
		return ledger.Receipt{}, ledger.Envelope{}, ledger.Checkpoint{}, fmt.Errorf("check receipt: %w", err)
	}
	r, err := ledger.ParseReceipt(raw)
	if err != nil {
		return fail(err)
	}
	envelope, checkpoint, err := r.Verify(key)
	if err != nil {
		return fail(err)
	}
	event, err := evidence.Parse(payload)
	if err != nil {
		return fail(err)
	}
	if envelope.Payload != sha256.Sum256(payload) {
		return fail(fmt.Errorf("%w: entry %d has another payload", ErrOtherEntry, envelope.Seq))
	}
	if envelope.Sig != sha256.Sum256(signature) {
		return fail(fmt.Errorf("%w: entry %d has another signature", ErrOtherEntry, envelope.Seq))
	}
	if detail := disagree(envelope, event); detail != "" {
		return fail(fmt.Errorf("%w: entry %d: %s", ErrOtherEntry, envelope.Seq, detail))
	}
	return r, envelope, checkpoint, nil
}

// disagree tells which of the members that stand in both an envelope and its payload
// differ; "", when none does.
func disagree(envelope ledger.Envelope, event evidence.Event) string {
	switch {
	case string(envelope.Log) != event.Log:
		return fmt.Sprintf("the payload is for the ledger %.100q", event.Log)
	case envelope.Case != ledger.CaseID(event.Case):
		return fmt.Sprintf("the payload is for the case %s", event.Case)
	case string(envelope.Type) != string(evidence.EntryTypeOf(event)):
		return fmt.Sprintf("the type is %s, %s has the type %s", envelope.Type, event.Kind(), evidence.EntryTypeOf(event))
	}
	return ""
}

// Consistent checks that a ledger whose signed checkpoint was old goes on as now, and
// returns both. The error is one of package ledger's for a checkpoint that does not
// hold, ErrBehind, or ErrNotConsistent: a *ForkError, where the two notes alone prove it.
func Consistent(old, now []byte, proof []ledger.Hash, key ledger.VerifierKey) (before, after ledger.Checkpoint, err error) {
	fail := func(err error) (before, after ledger.Checkpoint, _ error) {
		return ledger.Checkpoint{}, ledger.Checkpoint{}, fmt.Errorf("compare checkpoints: %w", err)
	}
	if before, err = ledger.OpenCheckpoint(old, key); err != nil {
		return fail(fmt.Errorf("the old one: %w", err))
	}
	if after, err = ledger.OpenCheckpoint(now, key); err != nil {
		return fail(fmt.Errorf("the new one: %w", err))
	}
	switch {
	case after.Size < before.Size:
		return fail(fmt.Errorf("%w: %d, not %d", ErrBehind, after.Size, before.Size))
	case after.Size == before.Size && after.Root != before.Root:
		return fail(&ForkError{Old: old, New: now})
	}
	if err := ledger.CheckConsistency(proof, after.Size, after.Root, before.Size, before.Root); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrNotConsistent, err))
	}
	return before, after, nil
}
