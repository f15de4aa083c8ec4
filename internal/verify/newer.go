package verify

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/gowebpki/jcs"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// newer is a payload that this program does not know: of a later version, or with an
// action that was added to the closed set. It has what every payload has.
type newer struct {
	Action string
	Actor  identity.Principal
	Case   evidence.CaseID
	ID     uuid.UUID
	Log    string
	V      int64
}

// asNewer reads a payload that evidence.Parse refused with that error as one of a newer
// custodyd. It gives nil for what no custodyd writes: another than the canonical form
// (RFC 8785), an older version, or this version with an action that is known.
func asNewer(payload []byte, refused error) *newer {
	if len(payload) > evidence.MaxPayload {
		return nil
	}
	canonical, err := jcs.Transform(payload)
	if err != nil || !bytes.Equal(canonical, payload) {
		return nil
	}
	var members map[string]json.RawMessage // a struct would take members in other cases too
	if json.Unmarshal(payload, &members) != nil {
		return nil
	}
	var n newer
	for name, into := range map[string]any{
		"action": &n.Action, "actor": &n.Actor, "case": &n.Case, "id": &n.ID, "log": &n.Log, "v": &n.V,
	} {
		if json.Unmarshal(members[name], into) != nil {
			return nil
		}
	}
	if n.V < evidence.Version || n.V == evidence.Version && !errors.Is(refused, evidence.ErrUnknownAction) {
		return nil
	}
	return &n
}
