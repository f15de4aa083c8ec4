package bundletest

import (
	"slices"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Without is what a bundle is made without.
type Without struct {
	People  bool
	Entries []evidence.Withheld // by rising entry
}

// Withhold names entries, with a reason that is the same for all.
func Withhold(entries ...int64) Without {
	var w Without
	for _, seq := range entries {
		w.Entries = append(w.Entries, evidence.Withheld{Entry: seq, Reason: "privileged"})
	}
	return w
}

// Disclose seals the case and gives the source of a bundle made without that.
func (s *Story) Disclose(w Without, contents ...evidence.Number) bundle.Source {
	s.tb.Helper()
	seal := s.Exported(contents...)
	seal.Pseudonymous, seal.Withheld = w.People, w.Entries
	s.service(s.Case, seal)
	src := s.Bundle(contents...)
	src.Pseudonymous = w.People
	src.Withheld = func(seq int64, t ledger.Type) bool {
		return w.names(seq) || w.People && t == ledger.Keys
	}
	src.Objects = slices.DeleteFunc(slices.Clone(src.Objects), func(o bundle.Object) bool { return s.leftOut(w, o) })
	return src
}

func (w Without) names(seq int64) bool {
	return slices.ContainsFunc(w.Entries, func(o evidence.Withheld) bool { return o.Entry == seq })
}

// leftOut tells whether an object goes with a withheld entry: all of a copy with its
// sealing, its log and list of files with its declaration.
func (s *Story) leftOut(w Without, o bundle.Object) bool {
	c, err := s.state.Copy(evidence.CopyID{Case: s.Case, Exhibit: o.Exhibit, Number: o.Number})
	s.must(err)
	for i, e := range s.entries {
		if !w.names(int64(i)) {
			continue
		}
		event, err := evidence.Parse(e.payload)
		s.must(err)
		switch b := event.Body.(type) {
		case evidence.IntakeDeclared:
			if b.Intake == c.Intake && (o.Role == evidence.Files || o.Role == evidence.ToolLog) {
				return true
			}
		case evidence.CopySealed, evidence.CopyIssued, evidence.CopyQuarantined:
			if evidence.SubjectOf(event).Intake == c.Intake {
				return true
			}
		}
	}
	return false
}

// EntryOf gives the number of the n-th entry of a kind, from 0.
func (l *Ledger) EntryOf(kind evidence.Kind, n int) int64 {
	l.tb.Helper()
	for i, e := range l.entries {
		event, err := evidence.Parse(e.payload)
		l.must(err)
		if event.Kind() == kind {
			if n--; n < 0 {
				return int64(i)
			}
		}
	}
	l.tb.Fatalf("there is no such entry: %s", kind)
	return 0
}
