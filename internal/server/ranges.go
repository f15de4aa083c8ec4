package server

import (
	"net/http"
	"strconv"
	"strings"
)

// byteRange is one range of a Range header: from first to last, or the last
// suffix bytes.
type byteRange struct {
	first, last int64 // last is -1 where it goes to the end
	suffix      int64 // -1 where first counts
}

// parseRange reads a Range header that asks for one range of bytes. Anything else
// is as if it were not there: more than one range, other units, nonsense.
//
// SPEC: "A server MAY ignore the Range header field." (RFC 9110, section 14.2) And
// with If-Range it has to, for no validator of ours can match (section 13.1.5).
func parseRange(h http.Header) (byteRange, bool) {
	list, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	first, last, dash := strings.Cut(list, "-")
	if !ok || !dash || h.Get("If-Range") != "" || len(h.Values("Range")) != 1 {
		return byteRange{}, false
	}
	if first == "" {
		suffix, ok := number(last)
		return byteRange{suffix: suffix}, ok
	}
	r := byteRange{last: -1, suffix: -1}
	if r.first, ok = number(first); !ok {
		return byteRange{}, false
	}
	if last != "" {
		if r.last, ok = number(last); !ok || r.last < r.first {
			return byteRange{}, false
		}
	}
	return r, true
}

// number reads digits and nothing else.
func number(s string) (int64, bool) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// within gives the part of a content of size bytes that is asked for, and whether
// there is such a part.
func (r byteRange) within(size int64) (offset, length int64, ok bool) {
	if r.suffix >= 0 {
		length = min(r.suffix, size)
		return size - length, length, length > 0
	}
	if r.first >= size {
		return 0, 0, false
	}
	last := size - 1
	if r.last >= 0 {
		last = min(r.last, last)
	}
	return r.first, last - r.first + 1, true
}
