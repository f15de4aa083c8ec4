package evidence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/identity"
)

// quick is [Parse] for payloads as they are all but always: the members stand one after
// the other as the canonical form has them, in the spelling that they are written in, so
// that only the body needs a decoder of JSON. It may say no to any payload: then Parse
// finds out, and what is wrong.
func quick(payload []byte) (Event, bool) {
	m := members{rest: payload}
	action := Kind(m.text(`{"action":"`))
	e := Event{Actor: identity.Principal(m.text(`,"actor":"`))}
	at := m.text(`,"at":"`)
	body := m.object(`,"body":`)
	m.hex(`,"case":"`, e.Case[:])
	id := m.text(`,"id":"`)
	e.Log = string(m.text(`,"log":"`))
	if m.has(`,"on_behalf_of":`) {
		e.OnBehalfOf = &OnBehalfOf{
			Method: string(m.text(`,"on_behalf_of":{"method":"`)), Principal: identity.Principal(m.text(`,"principal":"`)),
		}
		m.take(`}`)
	}
	m.hex(`,"salt":"`, e.Salt[:])
	m.hex(`,"seen":"`, e.Seen[:])
	e.Tool = string(m.text(`,"tool":"`))
	m.take(`,"v":` + version + `}`)
	rule, known := rules[action]
	if m.failed || len(m.rest) > 0 || !known {
		return Event{}, false
	}
	var err error
	if e.ID, err = uuid.ParseBytes(id); err != nil || e.ID.String() != string(id) {
		return Event{}, false
	}
	if err := e.At.UnmarshalText(at); err != nil {
		return Event{}, false
	}
	if e.Body, err = rule.decode(body, json.Unmarshal); err != nil || e.check() != nil {
		return Event{}, false
	}
	again, err := withoutEscapes(e.Body)
	return e, err == nil && isCanonical(body, again)
}

// version is Version as it is written.
var version = strconv.Itoa(Version)

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

// members reads an object from its front. The first failure sticks.
type members struct {
	rest   []byte
	failed bool
}

func (m *members) has(text string) bool {
	return !m.failed && len(m.rest) >= len(text) && string(m.rest[:len(text)]) == text
}

func (m *members) take(text string) {
	if m.failed = !m.has(text); !m.failed {
		m.rest = m.rest[len(text):]
	}
}

// text reads a string in which nothing is escaped, after what stands before it with the
// quotation mark.
func (m *members) text(before string) []byte {
	m.take(before)
	if m.failed {
		return nil
	}
	for i, b := range m.rest {
		switch {
		case b == '"':
			text := m.rest[:i]
			m.rest = m.rest[i+1:]
			return text
		case b == '\\' || b < ' ':
			m.failed = true
			return nil
		}
	}
	m.failed = true
	return nil
}

// hex reads a string of lower-case digits.
func (m *members) hex(before string, into []byte) {
	text := m.text(before)
	if n, err := hex.Decode(into[:min(len(into), len(text)/2)], text[:min(len(text), 2*len(into))]); err != nil || n != len(into) || len(text) != 2*n {
		m.failed = true
		return
	}
	m.failed = m.failed || bytes.ContainsAny(text, "ABCDEF")
}

// object finds the end of an object. Whether it is one is for a decoder to tell.
func (m *members) object(before string) []byte {
	m.take(before)
	if !m.has(`{`) {
		m.failed = true
		return nil
	}
	depth, quoted := 0, false
	for i := 0; i < len(m.rest); i++ {
		switch b := m.rest[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{':
			depth++
		case b == '}':
			if depth--; depth == 0 {
				object := m.rest[:i+1]
				m.rest = m.rest[i+1:]
				return object
			}
		}
	}
	m.failed = true
	return nil
}
