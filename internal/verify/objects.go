package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// besides are the objects of a copy that a bundle always holds.
var besides = []evidence.Role{evidence.Midstates, evidence.Files, evidence.ToolLog}

// objects judges what the bundle holds of the copies.
func (j *judge) objects(ctx context.Context) error {
	for i := range j.r.Copies {
		c := &j.r.Copies[i]
		for _, role := range besides {
			o, ok := j.copies[c.id].Object(role)
			switch {
			case !ok:
			case j.repeats(j.copies[c.id], role):
				j.leftOut(c, o)
			default:
				j.object(c, o)
			}
		}
	}
	for _, f := range j.b.Files(func(f bundle.File) bool { return !ofEntry(f) || !j.seqs[f.Seq] }) {
		switch f.Kind {
		case bundle.KindPayload, bundle.KindSignature, bundle.KindProof:
			j.r.find(CodeEntryFile, f.Path, "belongs to no entry of the bundle")
		case bundle.KindMidstates, bundle.KindFiles, bundle.KindLog:
			if _, ok := j.copies[j.copyID(f)].Object(evidence.Role(f.Kind)); !ok {
				j.r.find(j.building(CodeObjectUnknown, evidence.CaseID(j.id)), f.Path, "was never sealed with a copy")
			}
		case bundle.KindContent:
			if err := j.content(ctx, f); err != nil {
				return err
			}
		}
	}
	j.promised()
	for _, c := range j.r.Copies {
		if path := bundle.CopyPath(evidence.Files, c.id.Exhibit, c.id.Number); c.listed {
			if err := j.list(ctx, c, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func ofEntry(f bundle.File) bool {
	return f.Kind == bundle.KindPayload || f.Kind == bundle.KindSignature || f.Kind == bundle.KindProof
}

func (j *judge) copyID(f bundle.File) evidence.CopyID {
	return evidence.CopyID{Case: evidence.CaseID(j.id), Exhibit: f.Exhibit, Number: f.Number}
}

// object compares a midstate list, log or list of files with what was sealed.
func (j *judge) object(c *Copy, o evidence.Object) {
	path := bundle.CopyPath(o.Role, c.id.Exhibit, c.id.Number)
	if !j.b.Has(path) {
		j.r.find(j.building(CodeObjectMissing, evidence.CaseID(j.id)), path, "was sealed with %s and is not in the bundle", c.Copy)
		return
	}
	sum, ok := j.b.SHA256(path)
	switch {
	case !ok: // a fault of the container
	case sum != o.SHA256:
		j.r.find(CodeObjectDiffers, path, "has the SHA-256 %s, sealed with %s was %s", sum, c.Copy, o.SHA256)
	case o.Role == evidence.Midstates:
		c.lists = true
	case o.Role == evidence.Files:
		c.listed = true
	}
}

// promised compares the contents with what the export states.
func (j *judge) promised() {
	if j.r.Export == nil {
		return
	}
	export, _ := j.last.event.Body.(evidence.CaseExported)
	for _, id := range export.Contents {
		if path := bundle.CopyPath(evidence.Content, id.Exhibit, id.Number); !j.b.Has(path) {
			j.r.find(CodeContentMissing, path, "the export states that it is there")
		}
	}
	for _, f := range j.b.Files(func(f bundle.File) bool { return f.Kind == bundle.KindContent }) {
		if !slices.Contains(export.Contents, j.copyID(f)) {
			j.r.find(CodeContentUnknown, f.Path, "the export does not state that it is there")
		}
	}
}

// bySegments reports whether a file's SHA-256 is found on all cores at once, and need
// not be found by an ordinary pass.
func (j *judge) bySegments(f bundle.File) bool {
	if f.Kind != bundle.KindContent {
		return false
	}
	c, known := j.copies[j.copyID(f)]
	_, ranges := j.b.Ranges(f.Path)
	return known && ranges && f.Size == c.Size && digest.MidstateCount(c.Size) > 0
}

// content judges the bytes of a copy.
func (j *judge) content(ctx context.Context, f bundle.File) error {
	i := slices.IndexFunc(j.r.Copies, func(c Copy) bool { return c.id == j.copyID(f) })
	if i < 0 {
		return nil // promised tells
	}
	c := &j.r.Copies[i]
	c.Content = ContentFailed
	want, _ := c.Digests.SHA256()
	if !j.bySegments(f) {
		sum, ok := j.b.SHA256(f.Path)
		switch {
		case !ok: // a fault of the container
		case sum != want:
			j.r.find(CodeContentDiffers, c.Copy, "%s has %d bytes and the SHA-256 %s, sealed were %d and %s", f.Path, f.Size, sum, c.Size, want)
		default:
			c.Content = ContentVerified
		}
		return nil
	}
	open, _ := j.b.Ranges(f.Path)
	v, err := digest.Verify(ctx, open, c.Size, j.midstates(*c), want, j.o.workers(), j.o.Progress)
	if err != nil {
		return err
	}
	if judgeContent(&j.r, c.Copy, f.Path, v, c.lists) {
		c.Content = ContentVerified
		if stated, ok := j.b.Stated(f.Path); ok && stated != want {
			j.r.find(Code(bundle.FaultSum), f.Path, "has the SHA-256 %s, its row says %s", want, stated)
		}
	}
	return nil
}

// midstates gives the list of a copy, if the bundle holds the one that was sealed.
func (j *judge) midstates(c Copy) digest.Midstates {
	return midstates(j.b, c)
}

func midstates(b *bundle.Bundle, c Copy) digest.Midstates {
	if !c.lists {
		return nil
	}
	text, err := b.ReadFile(bundle.CopyPath(evidence.Midstates, c.id.Exhibit, c.id.Number))
	if err != nil {
		return nil
	}
	list, err := digest.ParseMidstates(text)
	if err != nil {
		return nil
	}
	return list
}

// judgeContent puts a verdict into words. It reports whether the bytes are the sealed ones.
func judgeContent(r *Report, subject, where string, v digest.Verdict, lists bool) bool {
	switch {
	case v.Result == digest.Match && v.Unstable:
		r.find(CodeContentChanges, subject, "%s gave other bytes when it was read again", where)
	case v.Result == digest.Match && v.ListWrong && lists:
		r.find(CodeMidstates, subject, "the midstate list that was sealed is not that of the sealed bytes")
	case v.Result == digest.Mismatch:
		detail := where + " is not what was sealed"
		if v.Longer {
			detail += "; it goes on past the sealed size"
		}
		if v.Cause != nil {
			detail += fmt.Sprintf("; and not all of it could be read: %v", v.Cause)
		}
		r.add(NewFinding(CodeContentDiffers, subject, "%s", detail).at(v.Damaged))
	case v.Result == digest.Unreadable:
		r.add(NewFinding(CodeContentRead, subject, "%s: %v", where, v.Cause).at(v.Unreadable))
	}
	return v.Result == digest.Match
}
