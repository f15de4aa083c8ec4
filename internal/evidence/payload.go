package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/gowebpki/jcs"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// MaxPayload is the greatest size of a payload in bytes.
const MaxPayload = 48 << 10

// Version is the version of the payload format.
const Version = 1

// OnBehalfOf names the person the service made an entry for, and how that
// person had been authenticated.
type OnBehalfOf struct {
	Principal identity.Principal `json:"principal"`
	Method    string             `json:"method"` // such as "session": a bearer token given for an SSH signature
}

// Event is one payload as a typed value. Body says what happened.
type Event struct {
	Actor      identity.Principal
	At         Time
	Body       Body
	Case       CaseID
	ID         uuid.UUID // version 7
	Log        string    // the ledger's origin
	OnBehalfOf *OnBehalfOf
	Salt       digest.SHA256
	Seen       digest.SHA256
	Tool       string
}

// Kind tells what happened.
func (e Event) Kind() Kind { return e.Body.kind() }

// wire is the JSON shape of an event, with its body as B.
type wire[B any] struct {
	Action     Kind               `json:"action"`
	Actor      identity.Principal `json:"actor"`
	At         Time               `json:"at"`
	Body       B                  `json:"body"`
	Case       CaseID             `json:"case"`
	ID         uuid.UUID          `json:"id"`
	Log        string             `json:"log"`
	OnBehalfOf *OnBehalfOf        `json:"on_behalf_of,omitempty"`
	Salt       digest.SHA256      `json:"salt"`
	Seen       digest.SHA256      `json:"seen"`
	Tool       string             `json:"tool"`
	V          int                `json:"v"`
}

// Encode gives the canonical bytes of the event, to be signed and stored as
// they are. It refuses an event that [Parse] would refuse.
func (e Event) Encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	payload, err := e.encode()
	if err != nil {
		return nil, err
	}
	if err := e.genuine(payload); err != nil {
		return nil, err
	}
	return payload, nil
}

func (e Event) encode() ([]byte, error) {
	encoded, err := e.json()
	if err != nil {
		return nil, err
	}
	canonical, err := jcs.Transform(encoded)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Kind(), err)
	}
	if len(canonical) > MaxPayload {
		return nil, field("payload", "is %d bytes, more than %d", len(canonical), MaxPayload)
	}
	return canonical, nil
}

// json gives the event as JSON whose members are not yet in order.
func (e Event) json() ([]byte, error) {
	encoded, err := withoutEscapes(wire[Body]{
		Action: e.Kind(), Actor: e.Actor, At: e.At, Body: e.Body, Case: e.Case, ID: e.ID, Log: e.Log,
		OnBehalfOf: e.OnBehalfOf, Salt: e.Salt, Seen: e.Seen, Tool: e.Tool, V: Version,
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Kind(), err)
	}
	return encoded, nil
}

// withoutEscapes is json.Marshal for those who do not write HTML.
func withoutEscapes(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Parse reads a payload. Anything but the canonical form of a well-formed event
// is refused, with a [FieldError] where one member is to blame.
func Parse(payload []byte) (Event, error) {
	if len(payload) > MaxPayload {
		return Event{}, field("payload", "is %d bytes, more than %d", len(payload), MaxPayload)
	}
	if !utf8.Valid(payload) {
		return Event{}, field("payload", "is not UTF-8")
	}
	e, ok := quick(payload)
	if !ok {
		var err error
		if e, err = carefully(payload); err != nil {
			return Event{}, err
		}
	}
	if err := e.genuine(payload); err != nil {
		return Event{}, err
	}
	return e, nil
}

// carefully is Parse for any payload.
func carefully(payload []byte) (Event, error) {
	var w wire[json.RawMessage]
	if err := decodeStrict(payload, &w, ""); err != nil {
		return Event{}, err
	}
	if w.V != Version {
		return Event{}, field("v", "is %d, this program knows %d", w.V, Version)
	}
	rule, ok := rules[w.Action]
	if !ok {
		return Event{}, fmt.Errorf("%w: %.60q", ErrUnknownAction, w.Action)
	}
	body, err := rule.decode(w.Body, strictBody)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Actor: w.Actor, At: w.At, Body: body, Case: w.Case, ID: w.ID, Log: w.Log,
		OnBehalfOf: w.OnBehalfOf, Salt: w.Salt, Seen: w.Seen, Tool: w.Tool,
	}
	if err := e.check(); err != nil {
		return Event{}, err
	}
	// Encoding again catches everything a JSON decoder forgives: duplicate and
	// differently cased members, other spellings of strings and numbers,
	// members that stand there empty, white space, order.
	again, err := e.encode()
	if err != nil {
		return Event{}, err
	}
	if !bytes.Equal(again, payload) {
		return Event{}, ErrNotCanonical
	}
	return e, nil
}

func strictBody(data []byte, into any) error { return decodeStrict(data, into, "body.") }

func decodeStrict(data []byte, into any, prefix string) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return field(prefix+wrongType.Field, "cannot be a JSON %s", wrongType.Value)
	case err != nil:
		return field(prefix+"payload", "%v", err)
	case d.InputOffset() != int64(len(data)):
		return ErrNotCanonical
	}
	return nil
}

func (e Event) check() error {
	if e.Body == nil {
		return field("body", "is missing")
	}
	if _, err := identity.ParsePrincipal(string(e.Actor)); err != nil {
		return field("actor", "%v", err)
	}
	if e.OnBehalfOf != nil {
		if _, err := identity.ParsePrincipal(string(e.OnBehalfOf.Principal)); err != nil {
			return field("on_behalf_of.principal", "%v", err)
		}
		if err := line("on_behalf_of.method", e.OnBehalfOf.Method, 1, 60); err != nil {
			return err
		}
	}
	if e.At.IsZero() {
		return field("at", "is missing")
	}
	if err := version7("id", e.ID); err != nil {
		return err
	}
	if e.Salt == (digest.SHA256{}) {
		return field("salt", "is all zeros")
	}
	if e.Log == "" {
		return field("log", "is missing")
	}
	if err := line("tool", e.Tool, 1, 200); err != nil {
		return err
	}
	rule := rules[e.Kind()]
	if rule.ofCase == e.Case.IsZero() {
		if rule.ofCase {
			return field("case", "is missing")
		}
		return field("case", "%s belongs to no case", e.Kind())
	}
	if err := e.checkSigner(); err != nil {
		return err
	}
	return e.Body.check()
}

// checkSigner tells whether the service or a person signs such an event, and that
// nobody but the service acts for somebody else.
func (e Event) checkSigner() error {
	rule, service := rules[e.Kind()], e.Actor == identity.Service
	switch {
	case rule.service && !service:
		return field("actor", "%s is recorded by the service itself", e.Kind())
	case service && !rule.service && !rule.bootstrap:
		return field("actor", "%s is signed by a person", e.Kind())
	case e.OnBehalfOf != nil && !service:
		return field("on_behalf_of", "is for the service's own entries")
	case e.OnBehalfOf != nil && e.OnBehalfOf.Principal == identity.Service:
		return field("on_behalf_of.principal", "is the service itself")
	}
	return nil
}
