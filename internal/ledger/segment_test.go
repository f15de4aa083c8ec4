package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testSegment cuts the test ledger's entries from a number on into a segment.
func testSegment(t testing.TB, from int64) (segment, payloads []byte) {
	t.Helper()
	w := testLedger()
	s := Segment{From: from, Checkpoint: sign(t, w)}
	var texts [][]byte
	for n, line := range w.lines[from:] {
		s.Entries = append(s.Entries, SegmentEntry{Envelope: line, Signature: fmt.Appendf(nil, "signature %d", from+int64(n))})
		texts = append(texts, fmt.Appendf(nil, "payload %d", from+int64(n)))
	}
	payloads, s.Payloads = MarshalPayloads(PayloadsKey(from, 1), from, texts)
	return s.Marshal(), payloads
}

func TestSegment(t *testing.T) {
	for _, from := range []int64{0, 5, 11} {
		b, p := testSegment(t, from)
		s, err := ParseSegment(b)
		if err != nil {
			t.Fatal(err)
		}
		if s.From != from || s.To() != 12 || !bytes.Equal(s.Marshal(), b) {
			t.Errorf("from %d reads as %d to %d:\n%s", from, s.From, s.To(), s.Marshal())
		}
		if c, err := s.Verify(testKey(t)); err != nil || c != testLedger().checkpoint() {
			t.Errorf("its checkpoint is %+v, %v", c, err)
		}
		first, payloads, err := ParsePayloads(p)
		if err != nil || first != from || len(payloads) != len(s.Entries) {
			t.Fatalf("%d payloads from %d, %v", len(payloads), first, err)
		}
		again, name := MarshalPayloads(s.Payloads.Key, first, payloads)
		if !bytes.Equal(again, p) || name != s.Payloads {
			t.Errorf("payloads are %+v:\n%s", name, again)
		}
		for i, e := range s.Entries {
			if want := fmt.Sprintf("payload %d", from+int64(i)); string(payloads[i]) != want || string(e.Signature) != strings.Replace(want, "payload", "signature", 1) {
				t.Errorf("entry %d is %q signed %q", from+int64(i), payloads[i], e.Signature)
			}
		}
	}
}

// Whatever is changed in a segment makes it none, or one that is written as it is.
func TestParseSegmentRefuses(t *testing.T) {
	segment, payloads := testSegment(t, 5)
	change := func(b []byte, old, new string) []byte {
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("there is no %q", old)
		}
		return bytes.Replace(b, []byte(old), []byte(new), 1)
	}
	for name, b := range map[string][]byte{
		"empty":            nil,
		"another header":   change(segment, "segment 1", "segment 2"),
		"payloads":         payloads,
		"spare zero":       change(segment, "from 5", "from 05"),
		"other start":      change(segment, "from 5", "from 4"),
		"no entries":       change(segment, "to 12", "to 5"),
		"backwards":        change(segment, "to 12", "to 4"),
		"too many":         change(segment, "to 12", "to 4102"),
		"fewer":            change(segment, "to 12", "to 11"),
		"no payloads":      change(segment, "payloads ", "payload "),
		"payloads' key":    change(segment, "payload-0000000000000005", "payload-0000000000000006"),
		"payloads' size":   change(segment, "payload-0000000000000005 ", "payload-0000000000000005 9"+strings.Repeat("9", 8)),
		"longer signature": change(segment, "signature 11\n", "signature 12\n"),
		"no signature":     change(segment, "\nsignature 11\n", "\n"),
		"cut":              segment[:len(segment)/2],
		"no empty line":    change(segment, "\n\nexample", "\nexample"),
		"no note":          segment[:bytes.Index(segment, []byte("\n\nexample"))+2],
		"other size":       change(segment, "custody\n12\n", "custody\n13\n"),
		"too large":        append(bytes.Clone(segment), make([]byte, MaxSegmentSize)...),
	} {
		if s, err := ParseSegment(b); !errors.Is(err, ErrSegment) || !cmp.Equal(s, Segment{}) {
			t.Errorf("%s: reads as %+v, %v", name, s, err)
		}
	}
	for name, b := range map[string][]byte{
		"empty":          nil,
		"segment":        segment,
		"other number":   change(payloads, "payload 6 ", "payload 7 "),
		"other length":   change(payloads, "payload 6 9", "payload 6 8"),
		"longer":         append(bytes.Clone(payloads), '\n'),
		"cut":            payloads[:len(payloads)-1],
		"negative":       change(payloads, "payload 6 9", "payload 6 -9"),
		"length of none": change(payloads, "payload 6 9", "payload 6 9999999999999999"),
	} {
		if _, list, err := ParsePayloads(b); !errors.Is(err, ErrSegment) || list != nil {
			t.Errorf("%s: reads as %q, %v", name, list, err)
		}
	}
	forged := bytes.Clone(segment)
	forged[len(forged)-20] ^= 1 // of the signature
	s, err := ParseSegment(forged)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(testKey(t)); err == nil {
		t.Error("a signature that is none verifies")
	}
}

func TestSegmentKeys(t *testing.T) {
	for key, want := range map[string]string{
		SegmentKey(0, 1): "ledger-0000000000000000", SegmentKey(MaxInt, 1): "ledger-9007199254740991", SegmentKey(3, 12): "ledger-0000000000000003-12",
		PayloadsKey(7, 1): "payload-0000000000000007", PayloadsKey(7, MaxNames): "payload-0000000000000007-999999",
	} {
		if key != want {
			t.Errorf("key %s, want %s", key, want)
		}
	}
	for _, key := range []string{SegmentKey(0, 1), SegmentKey(42, 1), SegmentKey(42, 10), PayloadsKey(42, 1), PayloadsKey(0, 2), "ledger-42", "ledger-9999999999999999", "payload-0000000000000007-1", "payload-0000000000000007-", "payload-0000000000000007-02", "payload-0000000000000007-+2", "payload-0000000000000007-1000000", "ledger--000000000000007", "ledger-000000000000000a"} {
		from, m, isSegment := ParseSegmentKey(key)
		first, n, isPayloads := ParsePayloadsKey(key)
		if isSegment && SegmentKey(from, m) != key || isPayloads && PayloadsKey(first, n) != key {
			t.Errorf("%s: reads as %d, %d", key, from, first)
		}
		if good := len(key) > 10 && strings.Contains("ledger-0000000000000042 ledger-0000000000000042-10 payload-0000000000000042 ledger-0000000000000000 payload-0000000000000000-2", key); good != (isSegment || isPayloads) {
			t.Errorf("%s: segment %v, payloads %v", key, isSegment, isPayloads)
		}
	}
}

func FuzzParseSegment(f *testing.F) {
	for _, from := range []int64{0, 11} {
		segment, payloads := testSegment(f, from)
		f.Add(segment)
		f.Add(payloads)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSegment(b)
		if err == nil && !bytes.Equal(s.Marshal(), b) || err != nil && !errors.Is(err, ErrSegment) {
			t.Fatalf("%q reads as %+v, %v", b, s, err)
		}
		from, payloads, err := ParsePayloads(b)
		if err != nil {
			return
		}
		if again, _ := MarshalPayloads("", from, payloads); !bytes.Equal(again, b) {
			t.Fatalf("%q reads as %q from %d", b, payloads, from)
		}
	})
}

func BenchmarkParseSegment(b *testing.B) {
	w := &writer{}
	s := Segment{}
	for n := range MaxSegmentEntries {
		w.add(draft(n, caseA, Event))
		s.Entries = append(s.Entries, SegmentEntry{Envelope: w.lines[n], Signature: make([]byte, 305)})
	}
	s.Payloads.Key = PayloadsKey(0, 1)
	s.Checkpoint = sign(b, w)
	data := s.Marshal()
	for b.Loop() {
		if _, err := ParseSegment(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*MaxSegmentEntries/b.Elapsed().Seconds(), "entries/s")
}

// TestRestoreSigner begins where the key's newest known checkpoint ends, and nowhere else.
func TestRestoreSigner(t *testing.T) {
	w := testLedger()
	eight, _ := at(t, w, 8, 0)
	path := filepath.Join(t.TempDir(), "state")
	s, _ := newTestSigner(t)
	signed, err := s.Sign(eight, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(signed)
	forged[len(forged)-20] ^= 1
	for name, note := range map[string][]byte{"forged": forged, "none": nil, "cut": signed[:len(signed)-2]} {
		if _, err := RestoreSigner(path, testSecret, note); err == nil {
			t.Errorf("%s: restored", name)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: left a file, %v", name, err)
		}
	}
	restored, err := RestoreSigner(path, testSecret, signed)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Last() != eight {
		t.Errorf("goes on at %+v, want %+v", restored.Last(), eight)
	}
	seven, proof := at(t, w, 7, 5)
	if _, err := restored.Sign(seven, proof); !errors.Is(err, ErrRollback) {
		t.Errorf("signs less: %v", err)
	}
	next, proof := at(t, w, 12, 8)
	if _, err := restored.Sign(next, proof); err != nil {
		t.Error(err)
	}
	if err := restored.Close(); err != nil {
		t.Error(err)
	}
	if _, err := RestoreSigner(path, testSecret, signed); !errors.Is(err, fs.ErrExist) {
		t.Errorf("restored over what is there: %v", err)
	}
}
