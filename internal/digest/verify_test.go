package digest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// stored serves b as a store does: past the end there is nothing.
func stored(b []byte) Open {
	return func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		off = min(off, int64(len(b)))
		return io.NopCloser(bytes.NewReader(b[off:min(off+n, int64(len(b)))])), nil
	}
}

// changed is a copy of b with one byte flipped at each place.
func changed(b []byte, places ...int) []byte {
	b = slices.Clone(b)
	for _, at := range places {
		b[at] ^= 1
	}
	return b
}

var errBadSector = errors.New("bad sector")

// badSector serves b but for the byte at place.
func badSector(b []byte, place int64) Open {
	return func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		if off > place || off+n <= place {
			return stored(b)(ctx, off, n)
		}
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[off:place]), iotest.ErrReader(errBadSector))), nil
	}
}

// nth serves one content on the first count opens and another one afterwards.
func nth(count int32, first, then Open) func() Open {
	return func() Open {
		var opens atomic.Int32
		return func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
			if opens.Add(1) <= count {
				return first(ctx, off, n)
			}
			return then(ctx, off, n)
		}
	}
}

func always(o Open) func() Open { return func() Open { return o } }

func TestVerify(t *testing.T) {
	const s = Segment
	errGone := errors.New("gone")
	b := content()
	size, list := int64(len(b)), plainMidstates(b)
	want := SHA256(sha256.Sum256(b))
	gone := func(context.Context, int64, int64) (io.ReadCloser, error) { return nil, errGone }
	falseList := slices.Clone(list)
	falseList[1][7] ^= 1

	for name, row := range map[string]struct {
		open func() Open
		list Midstates
		want SHA256
		v    Verdict
	}{
		"same": {always(stored(b)), list, want, Verdict{Result: Match}},

		"first segment":    {always(stored(changed(b, 0))), list, want, Verdict{Result: Mismatch, Damaged: []Range{{0, s}}}},
		"second segment":   {always(stored(changed(b, s))), list, want, Verdict{Result: Mismatch, Damaged: []Range{{s, s}}}},
		"third segment":    {always(stored(changed(b, 3*s-1))), list, want, Verdict{Result: Mismatch, Damaged: []Range{{2 * s, s}}}},
		"last segment":     {always(stored(changed(b, 3*s+4))), list, want, Verdict{Result: Mismatch, Damaged: []Range{{3 * s, 5}}}},
		"neighbours":       {always(stored(changed(b, s, 2*s))), list, want, Verdict{Result: Mismatch, Damaged: []Range{{s, 2 * s}}}},
		"apart":            {always(stored(changed(b, 7, 2*s))), list, want, Verdict{Result: Mismatch, Damaged: []Range{{0, s}, {2 * s, s}}}},
		"one byte missing": {always(stored(b[:size-1])), list, want, Verdict{Result: Mismatch, Damaged: []Range{{3 * s, 5}}}},
		"cut":              {always(stored(b[:s+9])), list, want, Verdict{Result: Mismatch, Damaged: []Range{{s, 2*s + 5}}}},
		"empty":            {always(stored(nil)), list, want, Verdict{Result: Mismatch, Damaged: []Range{{0, size}}}},
		"one byte more":    {always(stored(append(slices.Clone(b), 0))), list, want, Verdict{Result: Mismatch, Longer: true}},
		"other digest":     {always(stored(b)), list, SHA256{}, Verdict{Result: Mismatch, Damaged: []Range{{3 * s, 5}}}},

		"false list":              {always(stored(b)), falseList, want, Verdict{Result: Match, ListWrong: true}},
		"short list":              {always(stored(b)), list[:2], want, Verdict{Result: Match, ListWrong: true}},
		"no list":                 {always(stored(b)), nil, want, Verdict{Result: Match, ListWrong: true}},
		"long list":               {always(stored(b)), append(slices.Clone(list), list[0]), want, Verdict{Result: Match, ListWrong: true}},
		"short list, damage":      {always(stored(changed(b, 0))), list[:2], want, Verdict{Result: Mismatch, ListWrong: true}},
		"short list, longer":      {always(stored(append(slices.Clone(b), 0))), list[:2], want, Verdict{Result: Mismatch, ListWrong: true, Longer: true}},
		"short list, bad sector":  {always(badSector(b, s+9)), list[:2], want, Verdict{Result: Unreadable, ListWrong: true, Unreadable: []Range{{s, 2*s + 5}}, Cause: errBadSector}},
		"short list, bad end":     {always(badSector(b, size)), list[:2], want, Verdict{Result: Unreadable, ListWrong: true, Unreadable: []Range{{3 * s, 5}}, Cause: errBadSector}},
		"bad sector":              {always(badSector(b, 2*s)), list, want, Verdict{Result: Unreadable, Unreadable: []Range{{2 * s, s}}, Cause: errBadSector}},
		"end not seen":            {always(badSector(b, size)), list, want, Verdict{Result: Unreadable, Unreadable: []Range{{3 * s, 5}}, Cause: errBadSector}},
		"bad sector and damage":   {always(badSector(changed(b, 0), 2*s)), list, want, Verdict{Result: Unreadable, Damaged: []Range{{0, s}}, Unreadable: []Range{{2 * s, s}}, Cause: errBadSector}},
		"gone":                    {always(gone), list, want, Verdict{Result: Unreadable, Unreadable: []Range{{0, size}}, Cause: errGone}},
		"gone before second pass": {nth(4, stored(changed(b, s)), gone), list, want, Verdict{Result: Unreadable, Damaged: []Range{{s, s}}, Unreadable: []Range{{0, size}}, Cause: errGone}},
		"other bytes each time":   {nth(4, stored(changed(b, s)), stored(b)), list, want, Verdict{Result: Match, Unstable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var progress atomic.Int64
			v, err := Verify(t.Context(), row.open(), size, row.list, row.want, 2, func(n int64) { progress.Add(n) })
			if err != nil {
				t.Fatal(err)
			}
			got := v.SHA256
			if v.SHA256 = (SHA256{}); v.Result == Match && got != SHA256(sha256.Sum256(b)) {
				t.Errorf("match, with the digest %s", got)
			}
			if v.Result == Mismatch {
				r, err := row.open()(t.Context(), 0, size+1)
				if err != nil {
					t.Fatal(err)
				}
				read, err := io.ReadAll(r)
				if err != nil || got != SHA256(sha256.Sum256(read)) {
					t.Errorf("mismatch, with the digest %s of other bytes (%v)", got, err)
				}
			}
			if diff := cmp.Diff(row.v, v, cmpopts.EquateErrors()); diff != "" {
				t.Error(diff)
			}
			if name == "same" && progress.Load() != size {
				t.Errorf("progress tells %d bytes", progress.Load())
			}
		})
	}
}

func TestVerifySizes(t *testing.T) {
	for _, size := range boundaries {
		b := content()[:size]
		list := plainMidstates(b)
		for _, workers := range []int{0, 1, 2, 7} {
			v, err := VerifySegments(t.Context(), stored(b), int64(size), list, sha256.Sum256(b), workers, nil)
			if err != nil || v.Result != Match {
				t.Errorf("%d bytes, %d workers: %+v, %v", size, workers, v, err)
			}
		}
		if size == 0 {
			continue
		}
		v, err := VerifySegments(t.Context(), stored(changed(b, size-1)), int64(size), list, sha256.Sum256(b), 2, nil)
		if err != nil || v.Result != Undecided || len(v.Damaged) != 1 {
			t.Errorf("%d bytes, damaged: %+v, %v", size, v, err)
		}
	}
	v, err := Verify(t.Context(), stored([]byte("x")), 0, nil, sha256.Sum256(nil), 1, nil)
	if err != nil || v.Result != Mismatch || !v.Longer {
		t.Errorf("not empty: %+v, %v", v, err)
	}
}

// TestVerifyGroups needs more segments than a group has: a bad sector in the middle of one
// must not hide what stands behind it.
func TestVerifyGroups(t *testing.T) {
	const segments = 33 // one worker, groups of four
	b := make([]byte, segments*Segment)
	list := plainMidstatesOnce(t, b)
	want := SHA256(sha256.Sum256(b))
	b[6*Segment] = 1
	v, err := Verify(t.Context(), badSector(b, 5*Segment+3), int64(len(b)), list, want, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	expect := Verdict{Result: Unreadable, Damaged: []Range{{6 * Segment, Segment}}, Unreadable: []Range{{5 * Segment, Segment}}, Cause: errBadSector}
	if diff := cmp.Diff(expect, v, cmpopts.EquateErrors()); diff != "" {
		t.Error(diff)
	}
}

// plainMidstatesOnce is plainMidstates in one pass of the standard library.
func plainMidstatesOnce(t *testing.T, b []byte) Midstates {
	t.Helper()
	h := start(indexSHA256)
	var list Midstates
	for end := Segment; end < len(b); end += Segment {
		h.Write(b[end-Segment : end])
		list = append(list, chainingValue(h))
	}
	return list
}

func TestVerifyCancelled(t *testing.T) {
	b := content()
	size, want, list := int64(len(b)), SHA256(sha256.Sum256(b)), plainMidstates(b)
	for name, l := range map[string]Midstates{"segments": list, "ordinary pass": nil} {
		ctx, cancel := context.WithCancel(t.Context())
		v, err := Verify(ctx, stored(b), size, l, want, 2, func(int64) { cancel() })
		if !errors.Is(err, context.Canceled) || v.Result != Undecided {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := Verify(t.Context(), stored(nil), -1, nil, want, 1, nil); !errors.Is(err, ErrSize) {
		t.Error(err)
	}
}
