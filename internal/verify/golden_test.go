package verify_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/bundle/bundletest"
	"github.com/custodyd/custodyd/internal/verify"
)

// golden is a bundle and a policy of 2026 that stay for ever. If a change makes this
// test fail, the change is wrong, not the file.
func golden(t *testing.T) ([]byte, verify.Policy) {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("testdata", "2026-0042.zip"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", verify.FileName(bundletest.Origin)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := verify.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return packed, p
}

func TestGolden(t *testing.T) {
	packed, policy := golden(t)
	r := judge(t, packed, verify.Options{Policy: &policy})
	if r.Verdict != verify.Verified || r.Entries != 28 || len(r.Copies) != 6 || len(r.People) != 5 || len(r.Recorded) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestNoByteUnnoticed changes one byte anywhere but in the two files that nobody signs,
// with the manifests recomputed.
func TestNoByteUnnoticed(t *testing.T) {
	packed, policy := golden(t)
	whole := bundletest.Unpack(t, packed)
	var paths []string
	for path, content := range whole {
		switch path {
		case bundle.ReadmeFile, bundle.BagInfoFile, bundle.ManifestFile, bundle.TagManifestFile:
		default:
			if len(content) > 0 {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	rapid.Check(t, func(r *rapid.T) {
		bag := whole.Clone()
		path := rapid.SampledFrom(paths).Draw(r, "path")
		at := rapid.IntRange(0, len(bag[path])-1).Draw(r, "at")
		bag[path] = slices.Clone(bag[path])
		bag[path][at] ^= rapid.ByteRange(1, 255).Draw(r, "xor")
		bag.Recompute()
		if report := judge(t, bag.Zip(t), verify.Options{Policy: &policy}); report.Verdict != verify.Failed {
			r.Errorf("%s: byte %d of %s", report.Verdict, at, path)
		}
	})
}

// FuzzBundle: whatever opens is judged, without a panic, and is not found good unless
// it is as good as what was written.
func FuzzBundle(f *testing.F) {
	packed, err := os.ReadFile(filepath.Join("testdata", "2026-0042.zip"))
	if err != nil {
		f.Fatal(err)
	}
	whole := bundletest.Unpack(f, packed)
	f.Add("data/entries.jsonl", whole["data/entries.jsonl"])
	f.Add("data/payloads/7.json", whole["data/payloads/7.json"])
	f.Add("data/proofs/7.tlog-proof", whole["data/proofs/7.tlog-proof"])
	f.Add("data/checkpoint", whole["data/checkpoint"])
	f.Fuzz(func(t *testing.T, path string, content []byte) {
		_, policy := golden(t)
		if whole[path] == nil || path == bundle.ReadmeFile || path == bundle.BagInfoFile {
			return
		}
		bag := whole.Clone()
		bag[path] = content
		bag.Recompute()
		same := string(content) == string(whole[path]) || path == bundle.ManifestFile || path == bundle.TagManifestFile
		if r := judge(t, bag.Zip(t), verify.Options{Policy: &policy}); (r.Verdict == verify.Verified) != same {
			t.Errorf("%s with another %s", r.Verdict, path)
		}
	})
}
