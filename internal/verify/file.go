package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
)

// FileReport is the judgement of a file against a bundle.
type FileReport struct {
	Verdict Verdict        `json:"verdict"`
	File    string         `json:"file"`
	Size    int64          `json:"size"`
	SHA256  *digest.SHA256 `json:"sha256,omitempty"` // absent when not all bytes could be read
	Copies  []string       `json:"copies"`           // whose bytes these are
	Found                  // about the file
	Bundle  Report         `json:"bundle"`

	unknown bool // it can be a copy that is withheld
}

// File judges whether a file is a copy of the bundle that the report is about, and
// which one. With midstates it is hashed on all cores, and damage is located. A file
// that is not a copy is a finding; the error is that of ctx.
func File(ctx context.Context, b *bundle.Bundle, r Report, name string, open digest.Open, size int64, o Options) (FileReport, error) {
	f := FileReport{File: name, Size: size, Copies: []string{}, Bundle: r}
	own := newReport()
	sum, err := f.judge(ctx, b, &own, open, o)
	if err != nil {
		return FileReport{}, fmt.Errorf("verify %s: %w", name, err)
	}
	if sum != nil {
		f.SHA256 = sum
		f.matched(&own)
	}
	f.Found = own.Found
	f.Verdict = f.verdict(r.Verdict == Incomplete || f.unknown)
	if r.Verdict == Failed {
		f.Verdict = Failed
	}
	return f, nil
}

// NoBundleFor is the report on a file that is to be compared with what is no bundle.
func NoBundleFor(name string, size int64, r Report) FileReport {
	return FileReport{Verdict: r.Verdict, File: name, Size: size, Copies: []string{}, Found: newFound(), Bundle: r}
}

// matched names the copies whose bytes the file has. Bytes of which every copy is
// quarantined are a finding: they are what was sealed, and the record itself says that
// this is not what it should have been.
func (f *FileReport) matched(r *Report) {
	var quarantined []Copy
	for _, c := range f.Bundle.Copies {
		if want, _ := c.Digests.SHA256(); c.Size != f.Size || want != *f.SHA256 {
			continue
		}
		f.Copies = append(f.Copies, c.Copy)
		if c.Quarantined {
			quarantined = append(quarantined, c)
		}
	}
	if len(quarantined) < len(f.Copies) {
		return
	}
	for _, c := range quarantined {
		r.find(CodeQuarantined, f.File, "is %s as it was sealed, and that copy is quarantined: %s", c.Copy, c.findings())
	}
}

// judge finds the SHA-256 of the file, and notes in r when it is that of no copy.
func (f *FileReport) judge(ctx context.Context, b *bundle.Bundle, r *Report, open digest.Open, o Options) (*digest.SHA256, error) {
	var nearest *Finding
	candidates := f.candidates()
	for _, c := range candidates {
		list := midstates(b, c)
		if len(list) == 0 {
			continue
		}
		want, _ := c.Digests.SHA256()
		v, err := digest.VerifySegments(ctx, open, f.Size, list, want, o.workers(), o.Progress)
		if err != nil {
			return nil, err
		}
		switch {
		case v.Result == digest.Match:
			return &want, nil
		case v.Result == digest.Unreadable:
			r.add(NewFinding(CodeContentRead, f.File, "cannot be read: %v", v.Cause).at(v.Unreadable))
			return nil, nil
		case nearest == nil || length(v.Damaged) < length(nearest.Ranges):
			differs := NewFinding(CodeContentDiffers, f.File, "is not %s as it was sealed", c.Copy).at(v.Damaged)
			nearest = &differs
		}
	}
	// The lists have proven nothing: an ordinary pass decides.
	sum, err := f.pass(ctx, open, o)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		if r.find(CodeContentRead, f.File, "cannot be read: %v", err); nearest != nil {
			r.add(*nearest)
		}
		return nil, nil
	}
	for _, c := range candidates {
		if want, _ := c.Digests.SHA256(); want == sum {
			return &sum, nil
		}
	}
	switch {
	case nearest != nil:
		r.add(*nearest)
	case len(candidates) == 1:
		r.find(CodeContentDiffers, f.File, "is not %s as it was sealed", candidates[0].Copy)
	case len(candidates) > 1:
		r.find(CodeContentDiffers, f.File, "is none of the copies that have its size")
	case f.Bundle.hides():
		f.unknown = true
		f.Bundle.unchecked(true, "whether %s is a copy that is withheld: no copy that the bundle shows has %d bytes", f.File, f.Size)
	default:
		r.find(CodeNoCopy, f.File, "no copy in the bundle has %d bytes", f.Size)
	}
	return &sum, nil
}

// candidates are the copies of the file's size, one for each digest, those with
// midstates first.
func (f *FileReport) candidates() []Copy {
	var list []Copy
	for _, c := range f.Bundle.Copies {
		if c.Size != f.Size {
			continue
		}
		i := slices.IndexFunc(list, func(o Copy) bool { return o.Digests == c.Digests })
		switch {
		case i < 0:
			list = append(list, c)
		case c.lists && !list[i].lists:
			list[i] = c
		}
	}
	return list
}

func length(ranges []digest.Range) int64 {
	var n int64
	for _, r := range ranges {
		n += r.Len
	}
	return n
}

// pass is an ordinary pass over the file.
func (f *FileReport) pass(ctx context.Context, open digest.Open, o Options) (digest.SHA256, error) {
	src, err := open(ctx, 0, math.MaxInt64)
	if err != nil {
		return digest.SHA256{}, err
	}
	defer func() { _ = src.Close() }() // only read from
	set, n, err := digest.Sum(ctx, progressReader{src, o.Progress})
	if err != nil {
		return digest.SHA256{}, err
	}
	if n != f.Size {
		return digest.SHA256{}, fmt.Errorf("it has %d bytes, not %d as before", n, f.Size)
	}
	sum, _ := set.SHA256()
	return sum, nil
}

type progressReader struct {
	io.Reader
	progress func(n int64)
}

func (r progressReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.progress != nil {
		r.progress(int64(n))
	}
	return n, err
}

// Files are files of this machine as one content: a single image, or a split one.
type Files struct {
	files []*os.File
	ends  []int64 // where each file ends in the whole
}

// OpenFiles opens files that make one content together, in that order.
func OpenFiles(paths ...string) (*Files, error) {
	f := &Files{}
	var size int64
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.files = append(f.files, file)
		info, err := file.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("open %s: not a file", path)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		size += info.Size()
		f.ends = append(f.ends, size)
	}
	return f, nil
}

// Size gives the number of bytes of the whole.
func (f *Files) Size() int64 {
	if len(f.ends) == 0 {
		return 0
	}
	return f.ends[len(f.ends)-1]
}

// Open is a digest.Open.
func (f *Files) Open(_ context.Context, off, n int64) (io.ReadCloser, error) {
	var parts []io.Reader
	start := int64(0)
	for i, file := range f.files {
		end := f.ends[i]
		if i == len(f.files)-1 {
			end = math.MaxInt64 // should it have grown, that must show
		}
		if from := max(off, start); from < end && n > 0 {
			length := min(n, end-from)
			parts = append(parts, io.NewSectionReader(file, from-start, length))
			off, n = from+length, n-length
		}
		start = f.ends[i]
	}
	if len(parts) == 1 {
		return io.NopCloser(parts[0]), nil
	}
	return io.NopCloser(io.MultiReader(parts...)), nil
}

// Close closes all files.
func (f *Files) Close() error {
	var err error
	for _, file := range f.files {
		err = errors.Join(err, file.Close())
	}
	return err
}
