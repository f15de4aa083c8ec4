package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain makes one line of printing characters of a text from outside. What a terminal
// would obey, or would show as something else than it is, is written as Go source
// writes it, such as \x1b: control characters, line breaks, directions of writing, and
// bytes that are no UTF-8. Joiners stay, as in payloads: several scripts cannot spell a
// name without them.
func Plain(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unprintable(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

func unprintable(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d'
}
