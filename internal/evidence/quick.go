package evidence

import (
	"encoding/hex"
	"strconv"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/identity"
)

// quick is [Parse] for payloads as they are all but always: the members stand one after
// the other as the canonical form has them, in the spelling that they are written in, so
// that nothing has to be decoded, sorted and written again. It may say no to any payload:
// then Parse finds out, and what is wrong.
func quick(payload []byte) (Event, bool) {
	m := members{rest: payload}
	action := Kind(m.text(`{"action":"`))
	e := Event{Actor: identity.Principal(m.text(`,"actor":"`))}
	at := m.text(`,"at":"`)
	m.take(`,"body":`)
	body := m.nested()
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
	if e.ID, err = uuid.ParseBytes(id); err != nil || len(id) != uuidLen || !small(id) { // else it has other spellings
		return Event{}, false
	}
	if err := e.At.UnmarshalText(at); err != nil {
		return Event{}, false
	}
	if e.Body, err = rule.decode(body, readCanonical); err != nil || e.check() != nil {
		return Event{}, false
	}
	return e, true
}

// version is Version as it is written.
var version = strconv.Itoa(Version)

// uuidLen is the length of a UUID as they are written, with hyphens.
const uuidLen = 36

// members reads an object from its front. The first failure sticks.
type members struct {
	rest   []byte
	whole  string // what rest was the end of, if its strings are to be parts of that
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

// string is text that stays.
func (m *members) string(before string) string {
	text := m.text(before)
	if end := len(m.whole) - len(m.rest) - 1; end > 0 && !m.failed {
		return m.whole[end-len(text) : end]
	}
	return string(text)
}

// hex reads a string of lower-case digits.
func (m *members) hex(before string, into []byte) {
	text := m.text(before)
	if n, err := hex.Decode(into[:min(len(into), len(text)/2)], text[:min(len(text), 2*len(into))]); err != nil || n != len(into) || len(text) != 2*n {
		m.failed = true
		return
	}
	m.failed = m.failed || !small(text)
}

// small tells whether no hexadecimal digit is a capital letter.
func small(text []byte) bool {
	for _, b := range text {
		if b >= 'A' && b <= 'F' {
			return false
		}
	}
	return true
}

// integer reads a whole number that JSON readers of every kind take for the same.
func (m *members) integer() (n int64) {
	const most = 15 // digits: always below 2^53
	digits := 0
	for ; digits < len(m.rest) && m.rest[digits] >= '0' && m.rest[digits] <= '9' && digits <= most; digits++ {
		n = 10*n + int64(m.rest[digits]-'0')
	}
	if digits == 0 || digits > most || m.rest[0] == '0' && digits > 1 {
		m.failed = true
		return 0
	}
	m.rest = m.rest[digits:]
	return n
}

// nested finds the end of an object or array. Whether it is one is for a decoder to tell.
func (m *members) nested() []byte {
	if !m.has("{") && !m.has("[") {
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
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			depth--
		}
		if depth == 0 {
			nested := m.rest[:i+1]
			m.rest = m.rest[i+1:]
			return nested
		}
	}
	m.failed = true
	return nil
}
