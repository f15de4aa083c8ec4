package ledger

import (
	"fmt"
	"time"
)

// Time is a moment in UTC: microseconds since 1970-01-01T00:00:00Z without leap
// seconds, from 1970 to the end of 9999. Compare with <, == and >.
type Time int64

const (
	timeLayout = "2006-01-02T15:04:05.000000Z"
	maxTime    = Time(253402300799_999999) // 9999-12-31T23:59:59.999999Z
)

// TimeOf cuts t to whole microseconds. A clock outside 1970 to 9999 is taken to
// stand at that end: every Time has a text of 27 characters.
func TimeOf(t time.Time) Time {
	switch {
	case t.Unix() < 0:
		return 0
	case t.Unix() > int64(maxTime/1e6):
		return maxTime
	}
	return Time(t.UnixMicro())
}

// ParseTime reads exactly YYYY-MM-DDTHH:MM:SS.ffffffZ, the one spelling of a Time.
func ParseTime(s string) (Time, error) {
	t, ok := parseTime(s)
	if !ok {
		return 0, fmt.Errorf("parse time: %w: not YYYY-MM-DDTHH:MM:SS.ffffffZ", ErrSyntax)
	}
	return t, nil
}

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// String returns t in the form that ParseTime reads.
func (t Time) String() string { return string(t.appendTo(nil)) }

// MarshalText writes what String returns.
func (t Time) MarshalText() ([]byte, error) { return t.appendTo(nil), nil }

// UnmarshalText reads what ParseTime reads.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := ParseTime(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

func (t Time) appendTo(dst []byte) []byte { return t.Std().AppendFormat(dst, timeLayout) }

// daysBefore holds the days of a common year that lie before each month.
var daysBefore = [...]int64{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

// parseTime is by hand because time.Parse takes half as long as all the rest of
// an envelope and accepts a comma for the point.
func parseTime[T string | []byte](s T) (Time, bool) {
	if len(s) != len(timeLayout) || s[4] != '-' || s[7] != '-' || s[10] != 'T' ||
		s[13] != ':' || s[16] != ':' || s[19] != '.' || s[26] != 'Z' {
		return 0, false
	}
	var bad byte
	number := func(from, to int) int64 {
		var n int64
		for i := from; i < to; i++ {
			d := s[i] - '0'
			if d > 9 {
				bad = 1
			}
			n = 10*n + int64(d)
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second, micro := number(11, 13), number(14, 16), number(17, 19), number(20, 26)
	if bad != 0 || year < 1970 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	length := daysBefore[month] - daysBefore[month-1]
	if month == 2 && leap {
		length++
	}
	if day < 1 || day > length {
		return 0, false
	}
	// Leap days before this year, counted from 1970: 477 lie before that.
	y := year - 1
	days := (year-1970)*365 + y/4 - y/100 + y/400 - 477 + daysBefore[month-1] + day - 1
	if leap && month > 2 {
		days++
	}
	return Time((((days*24+hour)*60+minute)*60+second)*1e6 + micro), true
}
