package evidence

import (
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// line refuses text that is not one line of least to most characters. Control
// and formatting characters are refused: what a court reads is what was signed.
func line(name, s string, least, most int) error {
	return text(name, s, least, most, false)
}

// prose is line with line breaks.
func prose(name, s string, least, most int) error {
	return text(name, s, least, most, true)
}

func text(name, s string, least, most int, breaks bool) error {
	if !utf8.ValidString(s) {
		return field(name, "is not UTF-8")
	}
	n := utf8.RuneCountInString(s)
	if n < least && n == 0 {
		return field(name, "is missing")
	}
	if n < least || n > most {
		return field(name, "has %d characters, want %d to %d", n, least, most)
	}
	for _, r := range s {
		if r == '\n' && breaks || ' ' <= r && r < 0x7f {
			continue
		}
		if r == '\u200c' || r == '\u200d' {
			continue // joiners: several scripts cannot spell a name without them
		}
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return field(name, "has the invisible character %U", r)
		}
	}
	return nil
}

// oneOf refuses a word that is not in the list.
func oneOf[T ~string](name string, s T, words ...T) error {
	for _, w := range words {
		if s == w {
			return nil
		}
	}
	return field(name, "is %.40q, want one of %q", string(s), words)
}

// version7 refuses an id whose order tells nothing.
func version7(name string, id uuid.UUID) error {
	if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
		return field(name, "is not a version 7 UUID (RFC 9562)")
	}
	return nil
}

// all gives the first error of a list of checks.
func all(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
