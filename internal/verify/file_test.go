package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/verify"
)

// files writes parts into files and opens them as one.
func files(t *testing.T, parts ...[]byte) *verify.Files {
	t.Helper()
	var paths []string
	dir := t.TempDir()
	for i, part := range parts {
		path := filepath.Join(dir, "image."+string(rune('a'+i)))
		if err := os.WriteFile(path, part, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	f, err := verify.OpenFiles(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func flipped(b []byte, places ...int) []byte {
	b = bytes.Clone(b)
	for _, at := range places {
		b[at] ^= 1
	}
	return b
}

func TestFile(t *testing.T) {
	story := tell(t)
	b, err := bundle.Open(t.Context(), bytes.NewReader(story.packed), int64(len(story.packed)))
	if err != nil {
		t.Fatal(err)
	}
	good, err := verify.Bundle(t.Context(), b, verify.Options{Policy: &story.policy})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := verify.Bundle(t.Context(), b, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	image := bundletest.Image()
	const s = digest.Segment
	for name, row := range map[string]struct {
		parts   [][]byte
		report  verify.Report
		verdict verify.Verdict
		copies  []string
		found   []string
		ranges  []digest.Range
	}{
		"master":           {[][]byte{image}, good, verify.Verified, []string{"E-001/M1", "E-001/W1", "E-001/W3"}, nil, nil},
		"in parts":         {[][]byte{image[:s-9], image[s-9 : s+9], nil, image[s+9:]}, good, verify.Verified, []string{"E-001/M1", "E-001/W1", "E-001/W3"}, nil, nil},
		"without policy":   {[][]byte{image}, alone, verify.Incomplete, []string{"E-001/M1", "E-001/W1", "E-001/W3"}, nil, nil},
		"small":            {[][]byte{bundletest.Small}, good, verify.Verified, []string{"E-001/M2", "E-001/W2"}, nil, nil},
		"first segment":    {[][]byte{flipped(image, 0)}, good, verify.Failed, nil, []string{"content-differs x.dd"}, []digest.Range{{Off: 0, Len: s}}},
		"last byte":        {[][]byte{flipped(image, 2*s+4)}, good, verify.Failed, nil, []string{"content-differs x.dd"}, []digest.Range{{Off: 2 * s, Len: 5}}},
		"two places":       {[][]byte{flipped(image, 9, 2*s)}, good, verify.Failed, nil, []string{"content-differs x.dd"}, []digest.Range{{Off: 0, Len: s}, {Off: 2 * s, Len: 5}}},
		"parts swapped":    {[][]byte{image[s+1:], image[:s+1]}, good, verify.Failed, nil, []string{"content-differs x.dd"}, []digest.Range{{Off: 0, Len: 2*s + 5}}},
		"small differs":    {[][]byte{flipped(bundletest.Small, 3)}, good, verify.Failed, nil, []string{"content-differs x.dd"}, nil},
		"one byte more":    {[][]byte{append(bytes.Clone(image), 0)}, good, verify.Failed, nil, []string{"no-copy x.dd"}, nil},
		"nothing like it":  {[][]byte{[]byte("x")}, good, verify.Failed, nil, []string{"no-copy x.dd"}, nil},
		"empty":            {[][]byte{{}}, good, verify.Failed, nil, []string{"no-copy x.dd"}, nil},
		"quarantined copy": {[][]byte{[]byte("what has really come.")}, good, verify.Failed, []string{"E-002/M1"}, []string{"quarantined x.dd"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t, row.parts...)
			r, err := verify.File(t.Context(), b, row.report, "x.dd", f.Open, f.Size(), verify.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != row.verdict || !slices.Equal(r.Copies, row.copies) || !slices.Equal(codes(r.Findings), row.found) {
				t.Errorf("%s %q %q", r.Verdict, r.Copies, r.Findings)
			}
			if r.SHA256 == nil || *r.SHA256 != [32]byte(sum(slices.Concat(row.parts...))) {
				t.Errorf("SHA-256 %v", r.SHA256)
			}
			if name == "quarantined copy" && !strings.HasPrefix(text(t, r), "failed: x.dd is E-002/M1, which is quarantined: finding 1\n") {
				t.Error(text(t, r))
			}
			if len(r.Findings) > 0 {
				if diff := cmp.Diff(row.ranges, r.Findings[0].Ranges); diff != "" {
					t.Error(diff)
				}
			}
			if out := text(t, r); !strings.HasPrefix(out, string(row.verdict)+": x.dd is ") {
				t.Error(out)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFileOfTwo compares a file with a set of which one copy is quarantined: it is the
// other one too, so no finding stands against it.
func TestFileOfTwo(t *testing.T) {
	s := bundletest.NewStory(t)
	other := digest.SHA256{7}
	s.Record(s.Event(s.Case, "custodyd", evidence.FixityChecked{
		Exhibit: "E-001", Number: "M2", Result: evidence.Mismatch, Source: "medium", SHA256: &other, Finding: 2,
	}))
	s.Seal()
	packed := bundletest.Write(t, s.Bundle())
	b, err := bundle.Open(t.Context(), bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	report, err := verify.Bundle(t.Context(), b, verify.Options{Policy: &verify.Policy{Key: s.Key()}})
	if err != nil {
		t.Fatal(err)
	}
	f := files(t, bundletest.Small)
	r, err := verify.File(t.Context(), b, report, "x.dd", f.Open, f.Size(), verify.Options{})
	if err != nil || r.Verdict != verify.Verified || !strings.HasPrefix(text(t, r), "verified: x.dd is E-001/M2, which is quarantined: finding 2; E-001/W2\n") {
		t.Errorf("%v\n%s", err, text(t, r))
	}
}

func text(t *testing.T, r verify.FileReport) string {
	t.Helper()
	var out strings.Builder
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func sum(b []byte) digest.SHA256 {
	set, _, err := digest.Sum(context.Background(), bytes.NewReader(b))
	if err != nil {
		panic(err)
	}
	s, _ := set.SHA256()
	return s
}

// TestFileWithoutList takes the midstates away, or gives false ones: the verdict stays.
func TestFileWithoutList(t *testing.T) {
	story := tell(t)
	for name, change := range map[string]func(bundletest.Bag){
		"dropped": drop("data/midstates/E-001-M1.midstates"),
		"changed": flip("data/midstates/E-001-M1.midstates", 3),
	} {
		bag := story.bag.Clone()
		change(bag)
		for _, n := range []string{"W1", "W3"} { // the same list
			bag["data/midstates/E-001-"+n+".midstates"] = bag["data/midstates/E-001-M1.midstates"]
			if bag["data/midstates/E-001-M1.midstates"] == nil {
				delete(bag, "data/midstates/E-001-"+n+".midstates")
			}
		}
		bag.Recompute()
		packed := bag.Zip(t)
		b, err := bundle.Open(t.Context(), bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			t.Fatal(err)
		}
		report, err := verify.Bundle(t.Context(), b, verify.Options{Policy: &story.policy})
		if err != nil {
			t.Fatal(err)
		}
		f := files(t, bundletest.Image())
		r, err := verify.File(t.Context(), b, report, "x.dd", f.Open, f.Size(), verify.Options{})
		if err != nil || len(r.Copies) != 3 || len(r.Findings) > 0 || r.Verdict != verify.Failed {
			t.Errorf("%s: %v %+v", name, err, r)
		}
	}
}

var errSector = errors.New("bad sector")

func TestFileUnreadable(t *testing.T) {
	story := tell(t)
	b, err := bundle.Open(t.Context(), bytes.NewReader(story.packed), int64(len(story.packed)))
	if err != nil {
		t.Fatal(err)
	}
	report, err := verify.Bundle(t.Context(), b, verify.Options{Policy: &story.policy})
	if err != nil {
		t.Fatal(err)
	}
	open := func(context.Context, int64, int64) (io.ReadCloser, error) { return nil, errSector }
	for _, size := range []int{len(bundletest.Image()), len(bundletest.Small), 3} {
		r, err := verify.File(t.Context(), b, report, "x.dd", open, int64(size), verify.Options{})
		if err != nil || r.Verdict != verify.Failed || r.SHA256 != nil || !slices.Equal(codes(r.Findings), []string{"content-unreadable x.dd"}) {
			t.Errorf("%d bytes: %v %+v", size, err, r.Findings)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.File(ctx, b, report, "x.dd", files(t, bundletest.Image()).Open, int64(len(bundletest.Image())), verify.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := verify.OpenFiles(t.TempDir()); err == nil {
		t.Error("a directory opens as a file")
	}
	if _, err := verify.OpenFiles(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
