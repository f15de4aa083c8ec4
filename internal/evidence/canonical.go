package evidence

import (
	"bytes"
	"slices"
)

// isCanonical tells whether text is what jcs.Transform makes of encoded, which
// encoding/json wrote without escaping for HTML. It may say no where the answer is yes:
// then the library decides. To that end members are put in order and nothing else is
// done, which is all that is left to do (RFC 8785, section 3.2) when
//
//   - no character is written by its number: of the other escapes there is one
//     spelling, of U+2028 or a control character there are two;
//   - names are plain ASCII, so that they sort by bytes as by UTF-16, and with the
//     quotation mark behind them;
//   - numbers are whole, as all of ours are.
func isCanonical(text, encoded []byte) bool {
	if len(text) != len(encoded) || bytes.Contains(text, []byte(`\u`)) {
		return false
	}
	s := sorter{in: encoded, out: make([]byte, 0, len(encoded))}
	return s.value(0) && s.at == len(encoded) && bytes.Equal(s.out, text)
}

// sorter copies a JSON value without white space, with the members of its objects in
// order.
type sorter struct {
	in  []byte
	at  int
	out []byte
}

// maxDepth is deeper than any of our shapes.
const maxDepth = 20

func (s *sorter) value(depth int) bool {
	if s.at >= len(s.in) || depth > maxDepth {
		return false
	}
	switch s.in[s.at] {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		return s.text()
	}
	from := s.at
	for s.at < len(s.in) && s.in[s.at] != ',' && s.in[s.at] != ']' && s.in[s.at] != '}' {
		s.at++
	}
	s.out = append(s.out, s.in[from:s.at]...)
	return s.at > from
}

// text copies a string.
func (s *sorter) text() bool {
	from := s.at
	for s.at++; s.at < len(s.in); s.at++ {
		switch s.in[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			s.out = append(s.out, s.in[from:s.at]...)
			return true
		}
	}
	return false
}

// take goes past a byte, if it is the next one.
func (s *sorter) take(b byte) bool {
	if s.at < len(s.in) && s.in[s.at] == b {
		s.at++
		return true
	}
	return false
}

func (s *sorter) array(depth int) bool {
	s.at++
	s.out = append(s.out, '[')
	for first := true; !s.take(']'); first = false {
		if !first {
			if !s.take(',') {
				return false
			}
			s.out = append(s.out, ',')
		}
		if !s.value(depth + 1) {
			return false
		}
	}
	s.out = append(s.out, ']')
	return true
}

// member is a name and its value, at a place of the output.
type member struct{ name, whole []byte }

func (s *sorter) object(depth int) bool {
	s.at++
	start := len(s.out)
	var array [16]member
	members, sorted := array[:0], true
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return false
		}
		from := len(s.out)
		if s.at >= len(s.in) || s.in[s.at] != '"' || !s.text() {
			return false
		}
		name := s.out[from:]
		for _, b := range name {
			if b >= 0x80 || b == '\\' || b < '"' { // before a quotation mark, which ends the others
				return false
			}
		}
		if !s.take(':') {
			return false
		}
		s.out = append(s.out, ':')
		if !s.value(depth + 1) {
			return false
		}
		m := member{name, s.out[from:]} // the output has room from the beginning: it never moves
		sorted = sorted && (first || bytes.Compare(members[len(members)-1].name, name) < 0)
		members = append(members, m)
	}
	if !sorted {
		slices.SortFunc(members, func(x, y member) int { return bytes.Compare(x.name, y.name) })
	}
	whole := make([]byte, 0, len(s.out)-start+len(members)+1)
	whole = append(whole, '{')
	for i, m := range members {
		if i > 0 {
			whole = append(whole, ',')
		}
		whole = append(whole, m.whole...)
	}
	s.out = append(append(s.out[:start], whole...), '}')
	return true
}
