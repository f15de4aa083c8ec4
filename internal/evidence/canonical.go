package evidence

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// shape reads a value of one Go type in the one spelling that encoding/json and RFC 8785
// give it, and fails at any other. It may fail at that one too: then the library decides.
// Texts must be UTF-8.
type shape func(m *members, into reflect.Value)

// shapes has those of all bodies; nil for one that only the library reads.
var shapes = map[reflect.Type]shape{}

func init() {
	for _, r := range rules {
		_, _ = r.decode(nil, func(_ []byte, into any) error {
			t := reflect.TypeOf(into).Elem()
			shapes[t] = shapeOf(t)
			return nil
		})
	}
}

// maxWhole is the length of the longest body whose texts are parts of one string. Of most
// bodies most texts stay in the state; a long one would stay for the sake of a name.
const maxWhole = 1 << 10

// readCanonical reads a body.
func readCanonical(text []byte, into any) error {
	body := reflect.ValueOf(into).Elem()
	read := shapes[body.Type()]
	if read == nil {
		return ErrNotCanonical
	}
	m := members{rest: text}
	if len(text) <= maxWhole {
		m.whole = string(text)
	}
	if read(&m, body); m.failed || len(m.rest) > 0 {
		return ErrNotCanonical
	}
	return nil
}

// shapeOf gives nil for a type that it does not know to read.
func shapeOf(t reflect.Type) shape {
	switch {
	case t.Kind() == reflect.Pointer: // written as what it points to
		return pointerShape(t)
	case t == reflect.TypeFor[digest.SHA256](), t == reflect.TypeFor[CaseID]():
		return readHex
	case t == reflect.TypeFor[json.RawMessage](): // a residue: check parses it as a payload
		return func(m *members, into reflect.Value) { into.SetBytes(slices.Clone(m.nested())) }
	case t == reflect.TypeFor[digest.Set](), t == reflect.TypeFor[identity.Roles](): // both are written in order
		return readOwn
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()), t.Implements(reflect.TypeFor[json.Marshaler]()):
		return nil
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return readText
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return nil
	}
	switch t.Kind() { //nolint:exhaustive // others than these are not known
	case reflect.String:
		return func(m *members, into reflect.Value) { into.SetString(m.string(`"`)) }
	case reflect.Int, reflect.Int64:
		return func(m *members, into reflect.Value) { into.SetInt(m.integer()) }
	case reflect.Bool: // false ones are left out
		return func(m *members, into reflect.Value) { m.take("true"); into.SetBool(true) }
	case reflect.Slice:
		return sliceShape(t)
	case reflect.Struct:
		return structShape(t)
	}
	return nil
}

func readHex(m *members, into reflect.Value) {
	m.hex(`"`, into.Bytes())
}

// readText reads what has a text form of its own.
func readText(m *members, into reflect.Value) {
	text := m.text(`"`)
	value := into.Addr().Interface()
	read, _ := value.(encoding.TextUnmarshaler)
	if m.failed || read.UnmarshalText(text) != nil {
		m.failed = true
		return
	}
	again := []byte(nil)
	if write, ok := value.(encoding.TextMarshaler); ok {
		again, _ = write.MarshalText() // an error leaves nothing, which is no text
	} else if into.Kind() == reflect.String {
		again = []byte(into.String())
	}
	m.failed = string(again) != string(text)
}

// readOwn reads what has a JSON form of its own.
func readOwn(m *members, into reflect.Value) {
	text := m.nested()
	if m.failed || json.Unmarshal(text, into.Addr().Interface()) != nil {
		m.failed = true
		return
	}
	again, err := json.Marshal(into.Interface())
	m.failed = err != nil || string(again) != string(text)
}

func pointerShape(t reflect.Type) shape {
	read := shapeOf(t.Elem())
	if read == nil {
		return nil
	}
	return func(m *members, into reflect.Value) {
		into.Set(reflect.New(t.Elem()))
		read(m, into.Elem())
	}
}

func sliceShape(t reflect.Type) shape {
	read := shapeOf(t.Elem())
	if read == nil || t.Elem().Kind() == reflect.Uint8 { // bytes are written in base64
		return nil
	}
	return func(m *members, into reflect.Value) {
		into.Set(reflect.MakeSlice(t, 0, 0))
		m.take("[")
		for !m.failed && !m.has("]") {
			n := into.Len()
			if n > 0 {
				m.take(",")
			}
			into.Grow(1)
			into.SetLen(n + 1)
			read(m, into.Index(n))
		}
		m.take("]")
	}
}

// memberShape is one member of an object.
type memberShape struct {
	name     string
	index    []int
	optional bool // left out when empty
	read     shape
}

func structShape(t reflect.Type) shape {
	list, ok := memberShapes(t, nil)
	if !ok {
		return nil
	}
	// By name, as RFC 8785 has them: ours are ASCII, where UTF-16 and UTF-8 agree.
	slices.SortFunc(list, func(x, y memberShape) int { return strings.Compare(x.name, y.name) })
	first, next := make([]string, len(list)), make([]string, len(list))
	for i, member := range list {
		first[i], next[i] = `{"`+member.name+`":`, `,"`+member.name+`":`
	}
	return func(m *members, into reflect.Value) {
		before := first
		for i := range list {
			member := &list[i]
			if member.optional && !m.has(before[i]) {
				continue
			}
			m.take(before[i])
			before = next
			value := into.FieldByIndex(member.index)
			if member.read(m, value); m.failed {
				return
			}
			if member.optional && (value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0) {
				m.failed = true // it stands there empty
				return
			}
		}
		m.take("}") // of our shapes none is empty
	}
}

// memberShapes lists the members of a struct and of those embedded in it; false, where
// one of them is not known to be read.
func memberShapes(t reflect.Type, at []int) ([]memberShape, bool) {
	var list []memberShape
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(at), i)
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct {
			embedded, ok := memberShapes(f.Type, index)
			if !ok {
				return nil, false
			}
			list = append(list, embedded...)
			continue
		}
		member := memberShape{name, index, option != "", shapeOf(f.Type)}
		again := slices.ContainsFunc(list, func(m memberShape) bool { return m.name == name })
		if name == "" || name == "-" || again || member.read == nil || !knownOption(option, f.Type) {
			return nil, false
		}
		list = append(list, member)
	}
	return list, true
}

// knownOption tells whether a member that is left out is empty in the way that the shape
// of its struct takes it to be.
func knownOption(option string, t reflect.Type) bool {
	switch option {
	case "":
		return t.Kind() != reflect.Bool // false would be written
	case "omitempty":
		return t.Kind() != reflect.Struct && t.Kind() != reflect.Array
	case "omitzero":
		return t == reflect.TypeFor[digest.Set]()
	}
	return false
}
