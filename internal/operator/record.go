package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// ErrAnswer: the server's answer contradicts itself.
var ErrAnswer = errors.New("the server's answer contradicts its receipt")

// Entry is what was recorded, as its receipt shows it.
type Entry struct {
	ID      uuid.UUID       `json:"id"`
	Seq     int64           `json:"seq"`
	CaseSeq int64           `json:"case_seq"`
	Case    evidence.CaseID `json:"case"`
	Time    ledger.Time     `json:"time"`
	Receipt string          `json:"receipt"` // the file it is kept in
}

// Signed is a payload with its signature, to be sent as often as needed.
type Signed struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// staleTries bounds how often a payload is made anew because its subject moved.
const staleTries = 5

// Record signs what happened in a case, or in no case for an empty reference, and
// has it recorded. With again the payload is made anew when its subject changed
// meanwhile: only for what says the same about any state of it.
func (o *Operator) Record(ctx context.Context, reference evidence.Name, body evidence.Body, again bool) (Entry, error) {
	for try := 1; ; try++ {
		signed, err := o.Sign(ctx, reference, body)
		if err != nil {
			return Entry{}, err
		}
		entry, err := o.Send(ctx, signed)
		if !again || !errors.Is(err, evidence.ErrStale) || try == staleTries {
			return entry, err
		}
	}
}

// Sign looks where the case stands and signs a payload for that place. A case that
// is opened gets its id here.
func (o *Operator) Sign(ctx context.Context, reference evidence.Name, body evidence.Body) (Signed, error) {
	id, err := o.NewID()
	if err != nil {
		return Signed{}, err
	}
	e := evidence.Event{
		Actor: o.Principal, At: evidence.TimeOf(o.Now()), Body: body, ID: id, Log: string(o.Origin), Tool: o.Tool,
	}
	if _, err := io.ReadFull(o.Random, e.Salt[:]); err != nil {
		return Signed{}, fmt.Errorf("draw a salt: %w", err)
	}
	if _, opens := body.(evidence.CaseOpened); opens {
		if _, err := io.ReadFull(o.Random, e.Case[:]); err != nil {
			return Signed{}, fmt.Errorf("draw a case id: %w", err)
		}
	} else {
		p, err := o.Position(ctx, reference)
		if err != nil {
			return Signed{}, err
		}
		e.Case, e.Seen = p.Case, p.Seen
	}
	payload, err := e.Encode()
	if err != nil {
		return Signed{}, err
	}
	signer, err := o.Signer(ctx)
	if err != nil {
		return Signed{}, err
	}
	signature, err := signer.Sign(ctx, identity.NamespaceEvent, payload)
	if err != nil {
		return Signed{}, err
	}
	return Signed{payload, signature}, nil
}

// Send has a signed payload recorded, and believes nothing but the receipt. It asks
// again, with the same bytes, for as long as no answer comes.
func (o *Operator) Send(ctx context.Context, s Signed) (Entry, error) {
	var answer api.Recorded
	err := o.Persist(ctx, func() (err error) {
		answer, err = o.Client.Record(ctx, s.Payload, s.Signature)
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return o.accept(ctx, answer, s)
}

// accept checks a receipt against what was sent and keeps it.
func (o *Operator) accept(ctx context.Context, answer api.Recorded, s Signed) (Entry, error) {
	receipt, envelope, _, err := verify.Receipt([]byte(answer.Receipt), o.VerifierKey, s.Payload, s.Signature)
	if err != nil {
		return Entry{}, err
	}
	if envelope.Seq != answer.Seq || envelope.CaseSeq != answer.CaseSeq || string(receipt.Envelope) != answer.Envelope {
		return Entry{}, fmt.Errorf("%w: entry %d", ErrAnswer, answer.Seq)
	}
	if err := o.See(ctx, receipt.Checkpoint); err != nil {
		return Entry{}, err
	}
	event, err := evidence.Parse(s.Payload)
	if err != nil {
		return Entry{}, err
	}
	name := event.ID.String() + ".tlog-proof"
	if err := o.Place.write([]byte(answer.Receipt), "receipts", name); err != nil {
		return Entry{}, err
	}
	return Entry{
		ID: event.ID, Seq: envelope.Seq, CaseSeq: envelope.CaseSeq, Case: evidence.CaseID(envelope.Case), Time: envelope.Time,
		Receipt: o.Place.path("receipts", name),
	}, nil
}

// KeepReceipt checks and keeps the receipt of an entry that the service made for
// this person and whose payload it does not show. It tells the entry's number.
func (o *Operator) KeepReceipt(ctx context.Context, raw []byte) (int64, error) {
	receipt, err := ledger.ParseReceipt(raw)
	if err != nil {
		return 0, err
	}
	envelope, _, err := receipt.Verify(o.VerifierKey)
	if err != nil {
		return 0, err
	}
	if err := o.See(ctx, receipt.Checkpoint); err != nil {
		return 0, err
	}
	return envelope.Seq, o.Place.write(raw, "receipts", fmt.Sprintf("entry-%d.tlog-proof", envelope.Seq))
}

// NewID draws a version 7 UUID.
func (o *Operator) NewID() (uuid.UUID, error) {
	id, err := uuid.NewV7FromReader(o.Random)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("draw an id: %w", err)
	}
	return id, nil
}

// Retryable tells whether asking again makes sense.
func Retryable(err error) bool {
	return errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrBusy) ||
		errors.Is(err, api.CodeUnavailable) || errors.Is(err, api.CodeTimeout)
}

// pauses between tries, the last one for ever.
var pauses = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second}

// Persist calls ask until it succeeds, fails for good, or RetryFor is over since the
// first failure.
func (o *Operator) Persist(ctx context.Context, ask func() error) error {
	var deadline time.Time
	for try := 0; ; try++ {
		err := ask()
		if err == nil || !Retryable(err) || ctx.Err() != nil {
			return err
		}
		if deadline.IsZero() {
			deadline = o.Now().Add(o.RetryFor)
		}
		wait := pauses[min(try, len(pauses)-1)]
		if o.Now().Add(wait).After(deadline) {
			return err
		}
		o.Say("%v; trying again in %v", err, wait)
		if err := Pause(ctx, wait); err != nil {
			return err
		}
	}
}

// Pause waits, unless ctx ends first.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
