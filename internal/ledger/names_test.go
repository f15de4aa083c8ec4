package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseNames(t *testing.T) {
	hash := func(s string) (string, error) { v, err := ParseHash(s); return v.String(), err }
	caseID := func(s string) (string, error) { v, err := ParseCaseID(s); return v.String(), err }
	origin := func(s string) (string, error) { v, err := ParseOrigin(s); return string(v), err }
	typ := func(s string) (string, error) { v, err := ParseType(s); return string(v), err }
	moment := func(s string) (string, error) { v, err := ParseTime(s); return v.String(), err }
	tests := []struct {
		name    string
		parse   func(string) (string, error)
		in      string
		wantErr error
	}{
		{"hash", hash, strings.Repeat("0f", 32), nil},
		{"hash of capitals", hash, strings.Repeat("0F", 32), ErrSyntax},
		{"hash too short", hash, strings.Repeat("0f", 31), ErrSyntax},
		{"hash too long", hash, strings.Repeat("0f", 33), ErrSyntax},
		{"hash of odd length", hash, strings.Repeat("0f", 31) + "0", ErrSyntax},
		{"hash with a letter too many", hash, strings.Repeat("0g", 32), ErrSyntax},
		{"no hash", hash, "", ErrSyntax},
		{"case", caseID, strings.Repeat("a9", 16), nil},
		{"case with dashes", caseID, "a9a9a9a9-a9a9-a9a9-a9a9-a9a9a9a9a9a9", ErrSyntax},
		{"case of capitals", caseID, strings.Repeat("A9", 16), ErrSyntax},
		{"origin", origin, "example.org/custody_1-a", nil},
		{"longest origin", origin, strings.Repeat("a", 100), nil},
		{"origin too long", origin, strings.Repeat("a", 101), ErrSyntax},
		{"no origin", origin, "", ErrSyntax},
		{"origin with a space", origin, "a b", ErrSyntax},
		{"origin with a plus", origin, "a+b", ErrSyntax},
		{"origin of capitals", origin, "Example.org", ErrSyntax},
		{"origin with a quotation mark", origin, `a"b`, ErrSyntax},
		{"origin not ASCII", origin, "exämple", ErrSyntax},
		{"origin with a newline", origin, "a\n", ErrSyntax},
		{"event", typ, "event", nil},
		{"keys", typ, "keys", nil},
		{"anchor", typ, "anchor", nil},
		{"erase", typ, "erase", nil},
		{"seal", typ, "seal", nil},
		{"type of capitals", typ, "Event", ErrSyntax},
		{"unknown type", typ, "note", ErrSyntax},
		{"no type", typ, "", ErrSyntax},
		{"first moment", moment, "1970-01-01T00:00:00.000000Z", nil},
		{"last moment", moment, "9999-12-31T23:59:59.999999Z", nil},
		{"leap day", moment, "2024-02-29T00:00:00.000001Z", nil},
		{"leap day of a leap century", moment, "2000-02-29T12:00:00.000000Z", nil},
		{"no leap day", moment, "2026-02-29T00:00:00.000000Z", ErrSyntax},
		{"no leap day in a century", moment, "2100-02-29T00:00:00.000000Z", ErrSyntax},
		{"31 April", moment, "2026-04-31T00:00:00.000000Z", ErrSyntax},
		{"day 0", moment, "2026-04-00T00:00:00.000000Z", ErrSyntax},
		{"month 0", moment, "2026-00-01T00:00:00.000000Z", ErrSyntax},
		{"month 13", moment, "2026-13-01T00:00:00.000000Z", ErrSyntax},
		{"hour 24", moment, "2026-04-01T24:00:00.000000Z", ErrSyntax},
		{"minute 60", moment, "2026-04-01T00:60:00.000000Z", ErrSyntax},
		{"leap second", moment, "2016-12-31T23:59:60.000000Z", ErrSyntax},
		{"before 1970", moment, "1969-12-31T23:59:59.999999Z", ErrSyntax},
		{"milliseconds", moment, "2026-04-01T00:00:00.000Z", ErrSyntax},
		{"nanoseconds", moment, "2026-04-01T00:00:00.000000000Z", ErrSyntax},
		{"comma", moment, "2026-04-01T00:00:00,000000Z", ErrSyntax},
		{"space for T", moment, "2026-04-01 00:00:00.000000Z", ErrSyntax},
		{"small z", moment, "2026-04-01T00:00:00.000000z", ErrSyntax},
		{"another zone", moment, "2026-04-01T00:00:00.00000+1", ErrSyntax},
		{"sign", moment, "+026-04-01T00:00:00.000000Z", ErrSyntax},
		{"slash is one before 0", moment, "2026-04-01T00:00:00.00000/Z", ErrSyntax},
		{"no moment", moment, "", ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.parse(tt.in)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if err == nil && got != tt.in {
				t.Errorf("prints as %q", got)
			}
		})
	}
}

func TestTextOfNames(t *testing.T) {
	type texts struct {
		h Hash
		c CaseID
		t Time
	}
	want := texts{Hash{1, 0xff}, CaseID{2, 0xfe}, TimeOf(start)}
	var got texts
	for _, p := range []struct {
		from interface{ MarshalText() ([]byte, error) }
		to   interface{ UnmarshalText([]byte) error }
	}{{want.h, &got.h}, {want.c, &got.c}, {want.t, &got.t}} {
		text, err := p.from.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.to.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		if err := p.to.UnmarshalText(append(text, ' ')); !errors.Is(err, ErrSyntax) {
			t.Errorf("%T with a space behind: error %v, want %v", p.to, err, ErrSyntax)
		}
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.h.IsZero() || got.c.IsZero() || !(Hash{}).IsZero() || !(CaseID{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestTimeOf(t *testing.T) {
	tests := []struct {
		in   time.Time
		want string
	}{
		{start, "2026-03-01T12:00:00.123456Z"},
		{start.In(time.FixedZone("", 3600)), "2026-03-01T12:00:00.123456Z"},
		{time.Date(2026, 1, 1, 0, 0, 0, 999_999_999, time.UTC), "2026-01-01T00:00:00.999999Z"},
		{time.Time{}, "1970-01-01T00:00:00.000000Z"},
		{time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "1970-01-01T00:00:00.000000Z"},
		{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "9999-12-31T23:59:59.999999Z"},
	}
	for _, tt := range tests {
		if got := TimeOf(tt.in).String(); got != tt.want {
			t.Errorf("TimeOf(%v) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// The parser by hand agrees with the standard library on every moment.
func TestTimeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Time(rapid.Int64Range(0, int64(maxTime)).Draw(t, "micros"))
		got, err := ParseTime(want.String())
		if err != nil || got != want {
			t.Fatalf("%s reads as %d, %v", want, got, err)
		}
		if want.Std().Format(timeLayout) != want.String() || TimeOf(want.Std()) != want {
			t.Fatalf("%d is not %s", want, want.Std())
		}
	})
}

func FuzzParseTime(f *testing.F) {
	f.Add("2026-03-01T12:00:00.123456Z")
	f.Add("2024-02-30T12:00:00.123456Z")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseTime(s)
		std, stdErr := time.Parse(timeLayout, s)
		if err != nil {
			// What the library reads and we do not is another spelling or before 1970.
			if stdErr == nil && std.Year() >= 1970 && std.Format(timeLayout) == s {
				t.Fatalf("%q refused", s)
			}
			return
		}
		if v.String() != s || stdErr != nil || !std.Equal(v.Std()) {
			t.Fatalf("%q reads as %s, library has %s, %v", s, v, std, stdErr)
		}
	})
}
