package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestLongestEnvelope(t *testing.T) {
	e := Envelope{CaseSeq: MaxInt, Seq: MaxInt, Log: Origin(strings.Repeat("a", maxOrigin)), Type: Anchor, Time: maxTime}
	b := e.Bytes()
	if len(b) != MaxEnvelope {
		t.Errorf("longest envelope has %d bytes, not %d", len(b), MaxEnvelope)
	}
	if got, err := ParseEnvelope(b); err != nil || got != e {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEnvelopeIsSortedJSON(t *testing.T) {
	want := testLedger().lines[4]
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(want))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(members) // sorts
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s\nnot %s, %v", want, got, err)
	}
}

func TestParseEnvelope(t *testing.T) {
	good := string(testLedger().lines[4])
	for _, tt := range []struct {
		name, old, new string
		member         string // at fault
	}{
		{"space in front", `{"case"`, ` {"case"`, "case"},
		{"space inside", `"case":`, `"case": `, "case"},
		{"capital digit", `"case":"a1`, `"case":"A1`, "case"},
		{"short case", `"case":"a1`, `"case":"`, "case"},
		{"long case", `"case":"a1`, `"case":"a1a1`, "cprev"},
		{"order", `"cprev":`, `"cseq":`, "cprev"},
		{"escape", `"cprev":"`, `"cprev":"\u0030`, "cprev"},
		{"cseq with a zero", `"cseq":2`, `"cseq":02`, "cseq"},
		{"cseq negative", `"cseq":2`, `"cseq":-2`, "cseq"},
		{"cseq minus zero", `"cseq":2`, `"cseq":-0`, "cseq"},
		{"cseq with a point", `"cseq":2`, `"cseq":2.0`, "log"},
		{"cseq with an exponent", `"cseq":2`, `"cseq":2e0`, "log"},
		{"cseq as a string", `"cseq":2`, `"cseq":"2"`, "cseq"},
		{"cseq 2^53", `"cseq":2`, `"cseq":9007199254740992`, "cseq"},
		{"cseq of 17 digits", `"cseq":2`, `"cseq":10000000000000000`, "cseq"},
		{"cseq of 30 digits", `"cseq":2`, `"cseq":` + strings.Repeat("1", 30), "cseq"},
		{"cseq wraps around", `"cseq":2`, `"cseq":18446744073709551618`, "cseq"},
		{"no cseq", `"cseq":2`, `"cseq":`, "cseq"},
		{"null", `"cseq":2`, `"cseq":null`, "cseq"},
		{"no log", `"log":"example.org/custody"`, `"log":""`, "log"},
		{"log of capitals", `"log":"example`, `"log":"Example`, "log"},
		{"long log", `"log":"`, `"log":"` + strings.Repeat("a", 100), "log"},
		{"log with an escape", `"log":"example`, `"log":"\u0065xample`, "log"},
		{"payload", `"payload":"`, `"payload":"x`, "payload"},
		{"prev", `"prev":"`, `"prev":"x`, "prev"},
		{"seq", `"seq":4`, `"seq":+4`, "seq"},
		{"sig", `"sig":"`, `"sig":"x`, "sig"},
		{"no sig", `"sig":`, `"sog":`, "sig"},
		{"time", `.123456Z`, `.123Z`, "time"},
		{"type", `"type":"event"`, `"type":"evil"`, "type"},
		{"long type", `"type":"event"`, `"type":"eventful"`, "type"},
		{"type not closed", `"type":"event",`, `"type":"event,`, "type"},
		{"version", `"v":1`, `"v":2`, "v"},
		{"version 10", `"v":1`, `"v":10`, "v"},
		{"twice", `"v":1`, `"v":1,"v":1`, "v"},
		{"another member", `"v":1`, `"v":1,"x":1`, "v"},
		{"newline", `"v":1}`, "\"v\":1}\n", "v"},
		{"carriage return", `"v":1}`, "\"v\":1}\r", "v"},
		{"NUL", `"v":1}`, "\"v\":1}\x00", "v"},
		{"byte order mark", `{"case"`, "\ufeff" + `{"case"`, "case"},
		{"cut", `"v":1}`, `"v":1`, "v"},
		{"cut in the time", `00Z","type":"event","v":1}`, "", "time"},
		{"empty", good, "", "case"},
		{"two", good, good + good, "v"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if tt.name == "cut in the time" {
				bad = good[:strings.Index(good, `"type"`)-9]
			}
			if bad == good {
				t.Fatalf("%s does not stand in %s", tt.old, good)
			}
			e, err := ParseEnvelope([]byte(bad))
			var member *MemberError
			if !errors.Is(err, ErrEnvelope) || !errors.As(err, &member) || member.Member != tt.member {
				t.Errorf("error %v, want one of member %q", err, tt.member)
			}
			if e != (Envelope{}) {
				t.Errorf("error with a value: %+v", e)
			}
		})
	}
}

// Every prefix is refused, and every change of one byte is refused or stays.
func TestParseEnvelopeByteByByte(t *testing.T) {
	good := testLedger().lines[7]
	for i := range good {
		if _, err := ParseEnvelope(good[:i]); !errors.Is(err, ErrEnvelope) {
			t.Fatalf("the first %d bytes: error %v", i, err)
		}
		for _, c := range []byte{0, ' ', '"', '0', '9', 'a', 'g', 'F', '/', ':', 0x7f, 0xff} {
			b := bytes.Clone(good)
			b[i] = c
			e, err := ParseEnvelope(b)
			if err == nil && !bytes.Equal(e.Bytes(), b) {
				t.Fatalf("%s\nwrites %s", b, e.Bytes())
			}
		}
	}
}

func TestParseEnvelopeAllocates(t *testing.T) {
	b := testLedger().lines[7]
	if n := testing.AllocsPerRun(100, func() {
		if _, err := parseEnvelope(b, testOrigin); err != nil {
			t.Fatal(err)
		}
		LeafHash(b)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestLeafHashOfAnyLength(t *testing.T) {
	long := bytes.Repeat([]byte("x"), MaxEnvelope+1)
	for _, n := range []int{0, 1, MaxEnvelope, MaxEnvelope + 1} {
		if got, want := LeafHash(long[:n]), fromTlogRecord(long[:n]); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	for _, line := range testLedger().lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEnvelope(b)
		if err != nil {
			if e != (Envelope{}) || !errors.Is(err, ErrEnvelope) {
				t.Fatalf("%+v, %v", e, err)
			}
			return
		}
		if !bytes.Equal(e.Bytes(), b) {
			t.Fatalf("%s\nwrites %s", b, e.Bytes())
		}
		if len(b) > MaxEnvelope || !json.Valid(b) {
			t.Fatalf("accepted %s", b)
		}
	})
}
