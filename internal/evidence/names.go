package evidence

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// CaseID is the 16 random bytes that name a case in the ledger; the zero value
// stands for entries of no case. Text form: 32 lower-case hexadecimal digits.
type CaseID [16]byte

// IsZero reports whether the id stands for "no case".
func (id CaseID) IsZero() bool { return id == CaseID{} }

func (id CaseID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText gives the 32 hexadecimal digits.
func (id CaseID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText accepts nothing but the canonical text form.
func (id *CaseID) UnmarshalText(text []byte) error {
	p, err := ParseCaseID(string(text))
	*id = p
	return err
}

// ParseCaseID reads the canonical text form.
func ParseCaseID(s string) (CaseID, error) {
	var id CaseID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return CaseID{}, fmt.Errorf("case id: want 32 lower-case hexadecimal digits")
	}
	copy(id[:], b)
	return id, nil
}

// Time is an instant with microseconds in UTC, written in exactly 27
// characters: 2006-01-02T15:04:05.000000Z.
type Time struct{ t time.Time }

const timeLayout = "2006-01-02T15:04:05.000000Z"

// TimeOf truncates t to microseconds, in UTC.
func TimeOf(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// Time gives the instant as a time.Time in UTC.
func (t Time) Time() time.Time { return t.t }

// IsZero reports whether the time is not set.
func (t Time) IsZero() bool { return t.t.IsZero() }

func (t Time) String() string { return t.t.UTC().Format(timeLayout) }

// MarshalText gives the 27 characters.
func (t Time) MarshalText() ([]byte, error) {
	s := t.String()
	if len(s) != len(timeLayout) {
		return nil, fmt.Errorf("time %s does not fit %s", s, timeLayout)
	}
	return []byte(s), nil
}

// UnmarshalText accepts nothing but the canonical text form.
func (t *Time) UnmarshalText(text []byte) error {
	p, ok := parseTime(text)
	if !ok {
		return fmt.Errorf("time: want the form %s", timeLayout)
	}
	*t = Time{p}
	return nil
}

// parseTime is by hand because time.Parse takes as long as all the rest of a payload and
// accepts a comma for the point.
func parseTime(text []byte) (time.Time, bool) {
	if len(text) != len(timeLayout) {
		return time.Time{}, false
	}
	var parts [7]int // year to microsecond
	part := 0
	for i, b := range text {
		switch form := timeLayout[i]; {
		case form >= '0' && form <= '9':
			if b < '0' || b > '9' {
				return time.Time{}, false
			}
			parts[part] = 10*parts[part] + int(b-'0')
		case b != form:
			return time.Time{}, false
		default:
			part++
		}
	}
	year, month, day, hour, minute, second := parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5]
	t := time.Date(year, month, day, hour, minute, second, parts[6]*1000, time.UTC)
	y, m, d := t.Date() // other ones, where there is no such day
	return t, y == year && m == month && d == day && hour < 24 && minute < 60 && second < 60
}

// Name is a case reference or an exhibit label: short, visible, and safe as a
// path element and in a file name. One letter or digit, then up to 63 of
// letters, digits, '.', '_' and '-'.
type Name string

const maxName = 64

// ParseName refuses anything that is not a [Name].
func ParseName(s string) (Name, error) {
	ok := len(s) > 0 && len(s) <= maxName
	for i := 0; i < len(s) && ok; i++ {
		c := s[i]
		letter := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		ok = letter || i > 0 && (c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return "", fmt.Errorf("%.80q: want a letter or digit, then up to 63 of letters, digits, '.', '_' and '-'", s)
	}
	return Name(s), nil
}

// Class says what a copy is for.
type Class string

// The classes of copies.
const (
	Master  Class = "master"  // sealed, never analysed, never leaves
	Working Class = "working" // made from a master, issued to one person for one purpose
	Derived Class = "derived" // the result of an analysis of a working copy
)

var classLetters = map[Class]string{Master: "M", Working: "W", Derived: "D"}

// Number names a copy within its exhibit: the class's letter and a counter from
// 1, such as M1, W12, D3.
type Number string

var numberForm = regexp.MustCompile(`^[MWD][1-9][0-9]{0,8}$`)

// ParseNumber refuses anything that is not a [Number].
func ParseNumber(s string) (Number, error) {
	if !numberForm.MatchString(s) {
		return "", fmt.Errorf("%.20q: want M, W or D and a number, such as M1", s)
	}
	return Number(s), nil
}

// NumberOf gives the n-th number of a class, n from 1.
func NumberOf(c Class, n int) Number { return Number(classLetters[c] + strconv.Itoa(n)) }

// Class tells the class that the number's letter stands for.
func (n Number) Class() Class {
	for class, letter := range classLetters {
		if strings.HasPrefix(string(n), letter) {
			return class
		}
	}
	return ""
}

// Path is how people name things: a case reference, an exhibit of it, a copy of
// that: 2026-0042, 2026-0042/E-001, 2026-0042/E-001/M1. Exhibit and Copy may be empty.
type Path struct {
	Case    Name
	Exhibit Name
	Copy    Number
}

// ParsePath reads the form people type.
func ParsePath(s string) (Path, error) {
	var p Path
	parts := strings.Split(s, "/")
	if len(parts) > 3 {
		return Path{}, fmt.Errorf("%.200q: want CASE, CASE/EXHIBIT or CASE/EXHIBIT/COPY", s)
	}
	var err error
	if p.Case, err = ParseName(parts[0]); err != nil {
		return Path{}, fmt.Errorf("case reference %w", err)
	}
	if len(parts) > 1 {
		if p.Exhibit, err = ParseName(parts[1]); err != nil {
			return Path{}, fmt.Errorf("exhibit label %w", err)
		}
	}
	if len(parts) > 2 {
		if p.Copy, err = ParseNumber(parts[2]); err != nil {
			return Path{}, fmt.Errorf("copy number %w", err)
		}
	}
	return p, nil
}

func (p Path) String() string {
	s := string(p.Case)
	if p.Exhibit != "" {
		s += "/" + string(p.Exhibit)
	}
	if p.Copy != "" {
		s += "/" + string(p.Copy)
	}
	return s
}

// CopyID names a copy in the ledger.
type CopyID struct {
	Case    CaseID `json:"case"`
	Exhibit Name   `json:"exhibit"`
	Number  Number `json:"number"`
}

func (id CopyID) String() string { return string(id.Exhibit) + "/" + string(id.Number) }
