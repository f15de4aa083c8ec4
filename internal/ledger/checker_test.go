package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// findings maps the line of each finding, from 1, to its faults in order.
type findings map[int64][]error

var sentinels = []error{
	ErrEnvelope, ErrOrigin, ErrMissing, ErrRepeated, ErrCase, ErrPrev,
	ErrTimeBackwards, ErrCaseSequence, ErrCasePrev,
}

// see takes a finding apart, strictly: each fault is of exactly one kind.
func (f findings) see(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var entry *EntryError
	if !errors.As(err, &entry) || len(entry.Faults) == 0 {
		t.Fatalf("%v is not an EntryError with faults", err)
	}
	for _, fault := range entry.Faults {
		var kinds []error
		for _, sentinel := range sentinels {
			if errors.Is(fault, sentinel) && errors.Is(err, sentinel) {
				kinds = append(kinds, sentinel)
			}
		}
		if len(kinds) != 1 {
			t.Fatalf("%v is of kinds %v", fault, kinds)
		}
		f[entry.Line] = append(f[entry.Line], kinds[0])
	}
}

func (f findings) String() string {
	var b strings.Builder
	for _, line := range slices.Sorted(keys(f)) {
		fmt.Fprintf(&b, "line %d: %v\n", line, f[line])
	}
	return b.String()
}

func keys(f findings) func(func(int64) bool) {
	return func(yield func(int64) bool) {
		for line := range f {
			if !yield(line) {
				return
			}
		}
	}
}

// change rewrites one entry and nothing else.
func change(n int, how func(*Envelope)) func(*testing.T, [][]byte) [][]byte {
	return func(t *testing.T, lines [][]byte) [][]byte {
		e, err := ParseEnvelope(lines[n])
		if err != nil {
			t.Fatal(err)
		}
		how(&e)
		lines[n] = e.Bytes()
		return lines
	}
}

func lines(how func([][]byte) [][]byte) func(*testing.T, [][]byte) [][]byte {
	return func(_ *testing.T, lines [][]byte) [][]byte { return how(lines) }
}

// forged is an entry 4 of case B that nobody recorded, well chained to what is before.
func forged() []byte {
	w := new(writer)
	for n, e := range testEntries[:4] {
		w.add(draft(n, e.id, e.typ))
	}
	return w.add(draft(4, caseB, Event)).Bytes()
}

// Entry 4 stands in line 5 and is the third of case A, whose next is entry 7 in line 8.
var tampers = []struct {
	name   string
	tamper func(*testing.T, [][]byte) [][]byte
	want   findings
}{
	{"flip in payload", change(4, func(e *Envelope) { e.Payload[0] ^= 1 }), findings{6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"flip in sig", change(4, func(e *Envelope) { e.Sig[31] ^= 128 }), findings{6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"flip in prev", change(4, func(e *Envelope) { e.Prev[0] ^= 1 }), findings{5: {ErrPrev}, 6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"prev wiped", change(4, func(e *Envelope) { e.Prev = Hash{} }), findings{5: {ErrPrev}, 6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"flip in cprev", change(4, func(e *Envelope) { e.CasePrev[0] ^= 1 }), findings{5: {ErrCasePrev}, 6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"flip in case", change(4, func(e *Envelope) { e.Case[0] ^= 1 }), findings{5: {ErrCaseSequence}, 6: {ErrPrev}, 8: {ErrCaseSequence}}},
	{"moved to another case", change(4, func(e *Envelope) { e.Case = caseB }), findings{5: {ErrCaseSequence}, 6: {ErrPrev}, 7: {ErrCaseSequence}, 8: {ErrCaseSequence}}},
	{"cseq raised", change(4, func(e *Envelope) { e.CaseSeq++ }), findings{5: {ErrCaseSequence}, 6: {ErrPrev}, 8: {ErrCaseSequence}}},
	{"cseq lowered", change(4, func(e *Envelope) { e.CaseSeq-- }), findings{5: {ErrCaseSequence}, 6: {ErrPrev}, 8: {ErrCaseSequence}}},
	{"seq raised", change(4, func(e *Envelope) { e.Seq++ }), findings{5: {ErrMissing}, 6: {ErrRepeated}, 8: {ErrCasePrev}}},
	{"seq and cseq at their ends", change(4, func(e *Envelope) { e.Seq, e.CaseSeq = MaxInt, MaxInt }), findings{5: {ErrMissing, ErrCaseSequence}, 6: {ErrRepeated}, 8: {ErrCaseSequence}}},
	{"seq lowered", change(4, func(e *Envelope) { e.Seq-- }), findings{5: {ErrRepeated}, 6: {ErrMissing}, 8: {ErrCasePrev}}},
	{"time put back", change(4, func(e *Envelope) { e.Time = 0 }), findings{5: {ErrTimeBackwards}, 6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"time put forward", change(4, func(e *Envelope) { e.Time = maxTime }), findings{6: {ErrPrev, ErrTimeBackwards}, 8: {ErrCasePrev}}},
	{"type changed", change(4, func(e *Envelope) { e.Type = Keys }), findings{6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"of another ledger", change(4, func(e *Envelope) { e.Log = "example.org/other" }), findings{5: {ErrOrigin}, 6: {ErrPrev}, 8: {ErrCasePrev}}},
	{"newest changed", change(11, func(e *Envelope) { e.Sig[0] ^= 1 }), findings{}},
	{"first changed", change(0, func(e *Envelope) { e.Sig[0] ^= 1 }), findings{2: {ErrPrev}, 6: {ErrCasePrev}}},
	{"first with a prev", change(0, func(e *Envelope) { e.Prev[0] = 1 }), findings{1: {ErrPrev}, 2: {ErrPrev}, 6: {ErrCasePrev}}},

	{"spoilt", lines(func(l [][]byte) [][]byte { l[4][9] = 'A'; return l }), findings{5: {ErrEnvelope}, 8: {ErrCaseSequence}}},
	{"cut", lines(func(l [][]byte) [][]byte { l[4] = l[4][:100]; return l }), findings{5: {ErrEnvelope}, 8: {ErrCaseSequence}}},
	{"emptied", lines(func(l [][]byte) [][]byte { l[4] = nil; return l }), findings{5: {ErrEnvelope}, 8: {ErrCaseSequence}}},

	{"drop", lines(func(l [][]byte) [][]byte { return slices.Delete(l, 4, 5) }), findings{5: {ErrMissing}, 7: {ErrCaseSequence}}},
	{"drop two", lines(func(l [][]byte) [][]byte { return slices.Delete(l, 4, 6) }), findings{5: {ErrMissing}, 6: {ErrCaseSequence}, 8: {ErrCaseSequence}}},
	{"drop two apart", lines(func(l [][]byte) [][]byte { return slices.Delete(slices.Delete(l, 8, 9), 4, 5) }), findings{5: {ErrMissing}, 7: {ErrCaseSequence}, 8: {ErrMissing}}},
	{"drop first", lines(func(l [][]byte) [][]byte { return l[1:] }), findings{1: {ErrMissing}, 5: {ErrCaseSequence}}},
	{"drop newest", lines(func(l [][]byte) [][]byte { return l[:11] }), findings{}},
	{"drop all", lines(func(l [][]byte) [][]byte { return nil }), findings{}},

	{"swap neighbours", lines(func(l [][]byte) [][]byte { l[4], l[5] = l[5], l[4]; return l }), findings{5: {ErrMissing}, 6: {ErrRepeated}, 7: {ErrMissing}}},
	{"swap far", lines(func(l [][]byte) [][]byte { l[4], l[6] = l[6], l[4]; return l }), findings{5: {ErrMissing}, 6: {ErrRepeated}, 7: {ErrRepeated}, 8: {ErrMissing}}},
	{"repeat at once", lines(func(l [][]byte) [][]byte { return slices.Insert(l, 5, l[4]) }), findings{6: {ErrRepeated}}},
	{"repeat at the end", lines(func(l [][]byte) [][]byte { return append(l, l[4]) }), findings{13: {ErrRepeated}}},
	{"repeat in place of the next", lines(func(l [][]byte) [][]byte { l[5] = l[4]; return l }), findings{6: {ErrRepeated}, 7: {ErrMissing}, 10: {ErrCaseSequence}}},
	{"reverse", lines(func(l [][]byte) [][]byte { slices.Reverse(l); return l }), findings{
		1: {ErrMissing, ErrCaseSequence}, 2: {ErrRepeated}, 3: {ErrRepeated}, 4: {ErrRepeated}, 5: {ErrRepeated}, 6: {ErrRepeated},
		7: {ErrRepeated}, 8: {ErrRepeated}, 9: {ErrRepeated}, 10: {ErrRepeated}, 11: {ErrRepeated}, 12: {ErrRepeated},
	}},

	{"insert", lines(func(l [][]byte) [][]byte { return slices.Insert(l, 4, forged()) }), findings{6: {ErrRepeated}, 8: {ErrCaseSequence}}},
	{"insert a blank line", lines(func(l [][]byte) [][]byte { return slices.Insert(l, 4, []byte{}) }), findings{5: {ErrEnvelope}, 6: {ErrRepeated}}},
	{"replace", lines(func(l [][]byte) [][]byte { l[4] = forged(); return l }), findings{6: {ErrPrev}, 7: {ErrCaseSequence}, 8: {ErrCaseSequence}}},
	{"append", lines(func(l [][]byte) [][]byte { return append(l, forged()) }), findings{13: {ErrRepeated}}},
	{"two ledgers one after the other", lines(func(l [][]byte) [][]byte { return append(l[:3:3], l...) }), findings{4: {ErrRepeated}, 5: {ErrCaseSequence}}},
	{"everything recomputed", lines(func([][]byte) [][]byte {
		w := new(writer)
		for n, e := range testEntries {
			w.add(draft(n+1, e.id, e.typ))
		}
		return w.lines
	}), findings{}},
}

func TestCheckerTamper(t *testing.T) {
	want := testLedger().checkpoint()
	for _, tt := range tampers {
		t.Run(tt.name, func(t *testing.T) {
			tampered := tt.tamper(t, testLedger().lines)
			c := NewChecker(testOrigin)
			got := findings{}
			for _, line := range tampered {
				got.see(t, c.Add(line))
			}
			if !cmp.Equal(got.String(), tt.want.String()) {
				t.Errorf("found:\n%swant:\n%s", got, tt.want)
			}
			// Whatever the chains say, the checkpoint never fits.
			if c.Size() == want.Size && c.Root() == want.Root {
				t.Error("size and root are those of the ledger")
			}
			if len(tampered) == 0 {
				return
			}
			parallel := NewChecker(testOrigin)
			again := findings{}
			if err := CheckAll(context.Background(), bytes.NewReader(file(tampered)), parallel, func(e *Entry) error {
				again.see(t, e.Err)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if again.String() != got.String() || parallel.Root() != c.Root() || parallel.Head() != c.Head() {
				t.Errorf("CheckAll found:\n%sroot %s, not %s", again, parallel.Root(), c.Root())
			}
		})
	}
}

func TestCheckerAcceptsWhatNextMakes(t *testing.T) {
	w := testLedger()
	for _, origin := range []Origin{testOrigin, ""} {
		c := NewChecker(origin)
		for n, line := range w.lines {
			if err := c.Add(line); err != nil {
				t.Fatal(err)
			}
			root, err := RootAt(int64(n+1), w.store)
			if err != nil || c.Root() != root {
				t.Fatalf("root at %d is %s, want %s, %v", n+1, c.Root(), root, err)
			}
		}
		if c.Origin() != testOrigin || c.Size() != 12 || c.Head() != w.head {
			t.Errorf("ends at %s, %d, %+v", c.Origin(), c.Size(), c.Head())
		}
		for id, want := range w.cases {
			if got := c.CaseHead(id); got != want {
				t.Errorf("case %s ends at %+v, want %+v", id, got, want)
			}
		}
	}
}

// No change of any byte of the whole ledger goes unseen.
func TestCheckerSeesEveryByte(t *testing.T) {
	original := testLedger()
	want := original.tree.Root()
	for n := range original.lines {
		for i := range original.lines[n] {
			tampered := slices.Clone(original.lines)
			tampered[n] = bytes.Clone(tampered[n])
			tampered[n][i] ^= 1
			c := NewChecker(testOrigin)
			found := 0
			for _, line := range tampered {
				if c.Add(line) != nil {
					found++
				}
			}
			if c.Root() == want {
				t.Fatalf("byte %d of entry %d: same root", i, n)
			}
			if found == 0 && n != len(tampered)-1 {
				t.Fatalf("byte %d of entry %d: the chains do not show it", i, n)
			}
		}
	}
}

func TestNextNeverGoesBack(t *testing.T) {
	w := new(writer)
	first := w.add(draft(10, caseA, Event))
	second := w.add(draft(3, caseA, Event))
	third := w.add(draft(11, caseA, Event))
	if second.Time != first.Time || third.Time <= second.Time {
		t.Errorf("times %s, %s, %s", first.Time, second.Time, third.Time)
	}
	c := NewChecker(testOrigin)
	for _, line := range w.lines {
		if err := c.Add(line); err != nil {
			t.Error(err)
		}
	}
}

func TestEntryError(t *testing.T) {
	l := testLedger().lines
	c := NewChecker(testOrigin)
	if err := c.Add(l[0]); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Add(l[4]), "\n", c.Add(l[2]), "\n", c.Add(nil))
	want := `line 2, entry 4: out of sequence: entries are missing: 1 to 3; out of sequence in its case: 2, next is 0
line 3, entry 2: out of sequence: the place has passed: next is 5
line 4: malformed envelope: member "case": it does not stand here as {"case":"`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCaseChecker(t *testing.T) {
	l := testLedger().lines
	pick := func(numbers ...int) [][]byte {
		var out [][]byte
		for _, n := range numbers {
			out = append(out, bytes.Clone(l[n]))
		}
		return out
	}
	a := func() [][]byte { return pick(1, 2, 4, 7, 10, 11) }
	tests := []struct {
		name   string
		cases  []CaseID
		lines  [][]byte
		tamper func(*testing.T, [][]byte) [][]byte
		want   findings
	}{
		{"case A", []CaseID{caseA}, a(), nil, findings{}},
		{"case B", []CaseID{caseB}, pick(3, 6, 8), nil, findings{}},
		{"no case", []CaseID{noCase}, pick(0, 5, 9), nil, findings{}},
		{"case A and none", []CaseID{caseA, noCase}, pick(0, 1, 2, 4, 5, 7, 9, 10, 11), nil, findings{}},
		{"all", []CaseID{caseA, caseB, noCase}, l, nil, findings{}},
		{"case B among A", []CaseID{caseA}, pick(1, 2, 3, 4, 7, 10, 11), nil, findings{3: {ErrCase}}},
		{"only case B for A", []CaseID{caseA}, pick(3, 6), nil, findings{1: {ErrCase}, 2: {ErrCase}}},
		{"drop", []CaseID{caseA}, pick(1, 2, 7, 10, 11), nil, findings{3: {ErrCaseSequence}}},
		{"drop first", []CaseID{caseA}, pick(2, 4, 7, 10, 11), nil, findings{1: {ErrCaseSequence}}},
		{"repeat", []CaseID{caseA}, pick(1, 2, 4, 4, 7, 10, 11), nil, findings{4: {ErrRepeated}}},
		{"swap", []CaseID{caseA}, pick(1, 4, 2, 7, 10, 11), nil, findings{2: {ErrCaseSequence}, 3: {ErrRepeated}, 4: {ErrCaseSequence}}},
		{"flip", []CaseID{caseA}, a(), change(2, func(e *Envelope) { e.Payload[0] ^= 1 }), findings{4: {ErrCasePrev}}},
		{"flip before a neighbour", []CaseID{caseA}, a(), change(0, func(e *Envelope) { e.Payload[0] ^= 1 }), findings{2: {ErrPrev, ErrCasePrev}}},
		{"neighbour's prev", []CaseID{caseA}, a(), change(1, func(e *Envelope) { e.Prev[0] ^= 1 }), findings{2: {ErrPrev}, 3: {ErrCasePrev}}},
		{"prev wiped", []CaseID{caseA}, a(), change(2, func(e *Envelope) { e.Prev = Hash{} }), findings{3: {ErrPrev}, 4: {ErrCasePrev}}},
		{"moved in the ledger", []CaseID{caseA}, a(), change(2, func(e *Envelope) { e.Seq = 6 }), findings{4: {ErrPrev, ErrCasePrev}}},
		{"time put forward", []CaseID{caseA}, a(), change(2, func(e *Envelope) { e.Time = maxTime }), findings{4: {ErrTimeBackwards, ErrCasePrev}}},
		{"of another ledger", []CaseID{caseA}, a(), change(5, func(e *Envelope) { e.Log = "x" }), findings{6: {ErrOrigin}}},
		{"spoilt", []CaseID{caseA}, a(), lines(func(l [][]byte) [][]byte { l[2][9] = 'A'; return l }), findings{3: {ErrEnvelope}, 4: {ErrCaseSequence}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.tamper != nil {
				tt.lines = tt.tamper(t, tt.lines)
			}
			c := NewCaseChecker(testOrigin, tt.cases...)
			got := findings{}
			for _, line := range tt.lines {
				got.see(t, c.Add(line))
			}
			if got.String() != tt.want.String() {
				t.Errorf("found:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestAddParsed(t *testing.T) {
	w := testLedger()
	whole, some := NewChecker(""), NewCaseChecker("", caseA, caseB, noCase)
	for _, line := range w.lines {
		e, err := ParseEnvelope(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(whole.AddParsed(e, LeafHash(line)), some.AddParsed(e, LeafHash(line))); err != nil {
			t.Fatal(err)
		}
	}
	if whole.Root() != w.tree.Root() || whole.Head() != w.head || some.Origin() != testOrigin {
		t.Errorf("ends at %s, %+v, of %s", whole.Root(), whole.Head(), some.Origin())
	}
	for id, want := range w.cases {
		if whole.CaseHead(id) != want || some.CaseHead(id) != want {
			t.Errorf("case %s ends at %+v and %+v, want %+v", id, whole.CaseHead(id), some.CaseHead(id), want)
		}
	}
	e := draft(4, caseA, Event) // as if nothing were before it
	got := findings{}
	got.see(t, whole.AddParsed(e, Hash{1}))
	got.see(t, some.AddParsed(e, Hash{1}))
	if want := (findings{13: {ErrRepeated, ErrRepeated}}); got.String() != want.String() {
		t.Errorf("found %v, want %v", got, want)
	}
}
