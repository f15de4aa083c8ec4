package custody_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// TestFixity harms a copy in the store in every way and reads the verdict.
func TestFixity(t *testing.T) {
	const size = digest.Segment + 100
	retention := func(l *lab) string {
		return filepath.Join(l.dir, "objects", "retention", filepath.Base(l.objectFile("M1", evidence.Content)))
	}
	whole := func(t *testing.T, l *lab) {}
	for name, row := range map[string]struct {
		harm      func(t *testing.T, l *lab)
		result    evidence.Result
		damaged   []evidence.Range
		gone      bool
		listWrong bool
		detail    string
	}{
		"unharmed": {harm: whole, result: evidence.Match},
		"second segment": {
			harm:   func(t *testing.T, l *lab) { damage(t, l.objectFile("M1", evidence.Content), digest.Segment+5) },
			result: evidence.Mismatch, damaged: []evidence.Range{{Offset: digest.Segment, Length: 100}},
		},
		"both segments": {
			harm: func(t *testing.T, l *lab) {
				damage(t, l.objectFile("M1", evidence.Content), 0)
				damage(t, l.objectFile("M1", evidence.Content), size-1)
			},
			result: evidence.Mismatch, damaged: []evidence.Range{{Offset: 0, Length: size}},
		},
		"cut": {
			harm:   func(t *testing.T, l *lab) { must(t, os.Truncate(l.objectFile("M1", evidence.Content), size-1)) },
			result: evidence.Mismatch, damaged: []evidence.Range{{Offset: digest.Segment, Length: 100}},
		},
		"longer": {
			harm:   func(t *testing.T, l *lab) { must(t, os.Truncate(l.objectFile("M1", evidence.Content), size+1)) },
			result: evidence.Mismatch,
		},
		"removed": {
			harm:   func(t *testing.T, l *lab) { must(t, os.Remove(l.objectFile("M1", evidence.Content))) },
			result: evidence.Unreadable, gone: true, detail: "the object is missing",
		},
		"retention removed": {
			harm:   func(t *testing.T, l *lab) { must(t, os.Remove(retention(l))) },
			result: evidence.Unreadable, gone: true, detail: "the object is missing",
		},
		"retention damaged": {
			harm:   func(t *testing.T, l *lab) { damage(t, retention(l), 0) },
			result: evidence.Unreadable, gone: true, detail: "the object is not as it was written",
		},
		"list damaged": {
			harm:   func(t *testing.T, l *lab) { damage(t, l.objectFile("M1", evidence.Midstates), 20) },
			result: evidence.Match, listWrong: true, detail: "the midstate list is not the one that was sealed",
		},
		"list cut": {
			harm:   func(t *testing.T, l *lab) { must(t, os.Truncate(l.objectFile("M1", evidence.Midstates), 31)) },
			result: evidence.Match, listWrong: true, detail: "the midstate list is not the one that was sealed",
		},
		"list removed": {
			harm:   func(t *testing.T, l *lab) { must(t, os.Remove(l.objectFile("M1", evidence.Midstates))) },
			result: evidence.Match, listWrong: true, detail: "the midstate list is missing from the store",
		},
		"list unreadable": {
			harm: func(_ *testing.T, l *lab) {
				var opened atomic.Int64
				l.store.setFault(func(p point) bool { // a check opens the list before the content
					return p.Method == "Open" && !p.After && opened.Add(1)%2 == 1
				}, syscall.EIO)
			},
			result: evidence.Match, detail: "the midstate list could not be read: input/output error",
		},
		"list and content": {
			harm: func(t *testing.T, l *lab) {
				must(t, os.Remove(l.objectFile("M1", evidence.Midstates)))
				damage(t, l.objectFile("M1", evidence.Content), digest.Segment+5)
			},
			result: evidence.Mismatch, listWrong: true, detail: "the midstate list is missing from the store",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.openCase()
			l.seal(content(size, 3))
			row.harm(t, l)
			finding := 0
			if row.result == evidence.Mismatch || row.gone || row.listWrong {
				finding = 1
			}
			for range 2 { // the second time nothing new is found
				status := l.verify("legal1", "M1")
				must(t, status.Err)
				v := *status.Verdict
				if v.Result != row.result || v.Gone != row.gone || v.ListWrong != row.listWrong || v.Detail != row.detail || v.Finding != finding || (v.SHA256 == nil) != (v.Result == evidence.Unreadable) {
					t.Errorf("the verdict is %+v", v)
				}
				if row.damaged != nil && !equalRanges(v.Damaged, row.damaged) {
					t.Errorf("damaged are %v, want %v", v.Damaged, row.damaged)
				}
				last := l.last()
				if b, ok := last.Body.(evidence.FixityChecked); !ok || b.Result != v.Result || last.OnBehalfOf.Principal != "legal1" {
					t.Errorf("the newest entry is %+v", last)
				}
				l.ack(*status.Recorded, nil)
			}
			findings, err := l.Findings(t.Context(), l.people["legal1"], theCase)
			must(t, err)
			if len(findings) != finding || l.copyOf("M1").Quarantined() != (finding > 0) {
				t.Errorf("the findings are %+v, the copy's %v", findings, l.copyOf("M1").Findings)
			}
			_, err = l.try("examiner1", theCase, evidence.CopyRequested{
				Intake: newUUID(t), Exhibit: "E-001", Binding: evidence.Binding{Of: "M1", To: "analyst1", Purpose: "p"},
			})
			if refused := errors.As(err, new(*evidence.TransitionError)); refused != (finding > 0) {
				t.Errorf("a working copy of it: %v", err)
			}
		})
	}
}

func equalRanges(a, b []evidence.Range) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func newUUID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	must(t, err)
	return id
}

// TestQuarantine brings copies whose three hashes are not one.
func TestQuarantine(t *testing.T) {
	l := newLab(t)
	l.openCase()
	image := content(digest.Segment+1000, 4)
	other := hexSum([]byte("other"))
	for n, row := range []struct {
		name     string
		declared digest.Set
		client   digest.Set
		harm     bool // between the write of each part and the reading back
		differed []digest.Algorithm
	}{
		{"md5 of the tool", only(t, digest.AlgMD5, other[:32]), hashes(t, image), false, []digest.Algorithm{"md5"}},
		{"sha256 of the tool", only(t, digest.AlgSHA256, other), hashes(t, image), false, []digest.Algorithm{"sha256"}},
		{"sha256 of the client", digest.Set{}, only(t, digest.AlgSHA256, other), false, []digest.Algorithm{"sha256"}},
		{"the store", digest.Set{}, hashes(t, image), true, []digest.Algorithm{"sha256"}},
		{"the store, and more", hashes(t, image, digest.AlgSHA1), hashes(t, image), true, []digest.Algorithm{"sha1", "sha256"}},
	} {
		d := declaration(image)
		d.Declared = row.declared
		l.record("examiner1", theCase, d)
		if row.harm {
			var harmed atomic.Bool // once: twice is not at all
			l.store.setFail(func(p point) bool {
				if p.Method == "WritePart" && p.After && harmed.CompareAndSwap(false, true) {
					parts, err := filepath.Glob(l.path("objects", "partial", d.Intake.String()+"-content.*"))
					must(t, err)
					damage(t, parts[0], 77)
				}
				return false
			})
		}
		l.upload(d.Intake, image)
		_, err := l.Complete(t.Context(), l.people["examiner1"], d.Intake, row.client)
		must(t, err)
		l.await(d.Intake, custody.Quarantined)
		number := evidence.NumberOf(evidence.Master, n+1)
		b, ok := l.last().Body.(evidence.CopyQuarantined)
		if !ok || b.Number != number || len(b.Differed) != len(row.differed) || b.Finding != n+1 || l.last().OnBehalfOf.Principal != "examiner1" {
			t.Errorf("%s: the newest entry is %+v", row.name, l.last())
		}
		for i := range row.differed {
			if b.Differed[i] != row.differed[i] {
				t.Errorf("%s: %v differed", row.name, b.Differed)
			}
		}
		if !l.copyOf(number).Quarantined() {
			t.Errorf("%s: the copy is not quarantined", row.name)
		}
		_, err = l.try("examiner1", theCase, evidence.CopySealed{Facts: b.Facts})
		if !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("%s: sealing it: %v", row.name, err)
		}
		_, err = l.Complete(t.Context(), l.people["examiner1"], d.Intake, hashes(t, image))
		if !errors.As(err, new(*evidence.TransitionError)) {
			t.Errorf("%s: completing it again: %v", row.name, err)
		}
	}
	l.store.setFail(nil)
	if facts := l.seal(image); facts.Number != "M6" {
		t.Errorf("the good one is %s", facts.Number)
	}
	l.audit()
}
