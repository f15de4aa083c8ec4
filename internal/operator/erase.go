package operator

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Erasable is an entry that can be erased, as the service shows it.
type Erasable struct {
	Event evidence.Event
	Body  evidence.PayloadErased // without an authority and a reason
	Texts []Text                 // what goes, by member
}

// Text is a member of a payload with what stands there.
type Text struct {
	Member string `json:"member"` // such as body.acquisition.place
	Text   string `json:"text"`
}

// Erasable finds an entry of a case by its number, and what erasing takes from it and
// leaves. That it is what the ledger holds is checked against its envelope. The errors
// are evidence.ErrNotFound, evidence.ErrNothingToErase, a TransitionError where it is
// erased already, and ErrAnswer.
func (o *Operator) Erasable(ctx context.Context, reference evidence.Name, seq int64) (Erasable, error) {
	var found *api.HistoryEntry
	var event evidence.Event
	err := o.Walk(ctx, evidence.Path{Case: reference}, func(h api.HistoryEntry, e evidence.Event) (bool, error) {
		if h.Seq == seq {
			found, event = &h, e
		}
		return found == nil, nil
	})
	subject := fmt.Sprintf("entry %d", seq)
	switch {
	case err != nil:
		return Erasable{}, err
	case found == nil:
		return Erasable{}, fmt.Errorf("%s of %s: %w", subject, reference, evidence.ErrNotFound)
	case found.Erased != nil:
		return Erasable{}, &evidence.TransitionError{
			Subject: subject, Kind: "payload.erased", Reason: fmt.Sprintf("it is erased already, by entry %d", found.Erased.Entry),
		}
	}
	envelope, err := ledger.ParseEnvelope([]byte(found.Envelope))
	if err != nil || envelope.Seq != seq || envelope.Payload != sha256.Sum256([]byte(found.Payload)) {
		return Erasable{}, errors.Join(fmt.Errorf("%w: %s is not that of its envelope", ErrAnswer, subject), err)
	}
	left, err := evidence.Residue(event)
	if err != nil {
		return Erasable{}, fmt.Errorf("%s: %w", subject, err)
	}
	residue, err := left.Encode()
	if err != nil {
		return Erasable{}, err
	}
	texts, err := differing([]byte(found.Payload), residue)
	return Erasable{
		Event: event, Texts: texts,
		Body: evidence.PayloadErased{Entry: seq, Leaf: digest.SHA256(ledger.LeafHash([]byte(found.Envelope))), Residue: residue},
	}, err
}

// differing gives the members in whose place a residue has evidence.Erased.
func differing(payload, residue []byte) ([]Text, error) {
	var before, after any
	if err := errors.Join(json.Unmarshal(payload, &before), json.Unmarshal(residue, &after)); err != nil {
		return nil, err
	}
	var texts []Text
	var walk func(member string, before, after any)
	walk = func(member string, before, after any) {
		switch b := before.(type) {
		case map[string]any:
			a, _ := after.(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(b)) {
				at := name
				if member != "" {
					at = member + "." + name
				}
				walk(at, b[name], a[name])
			}
		case []any:
			a, _ := after.([]any)
			for i := range min(len(b), len(a)) {
				walk(fmt.Sprintf("%s[%d]", member, i), b[i], a[i])
			}
		case string:
			if after == evidence.Erased {
				texts = append(texts, Text{member, b})
			}
		}
	}
	walk("", before, after)
	return texts, nil
}
