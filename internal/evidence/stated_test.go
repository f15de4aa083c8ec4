package evidence_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// TestStated: what an event states of nouns is what the law makes of them, where it can be
// asked; and where nothing is known an event still states its own.
func TestStated(t *testing.T) {
	s := tell(t)
	good := s.good()
	same := cmp.Options{
		cmpopts.EquateEmpty(), cmp.Comparer(func(a, b digest.Set) bool { return a == b }),
		cmp.Comparer(func(a, b evidence.Time) bool { return a == b }),
		cmpopts.IgnoreFields(evidence.Finding{}, "What"), // rests on what the intake declared
	}
	for kind, noun := range map[evidence.Kind]bool{
		"exhibit.added": true, "intake.declared": true, "copy.sealed": true, "copy.issued": true, "copy.quarantined": true,
		"content.read": false, "copy.received": false, "case.exported": false, "person.enrolled": false,
	} {
		e, ok := good[kind]
		if !ok {
			t.Fatalf("there is no %s", kind)
		}
		want, err := evidence.Apply(s, e, s.Position(e))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		got := evidence.Stated(s, e, s.Position(e))
		if !noun {
			want = evidence.Changes{}
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s (-law +stated):\n%s", kind, diff)
		}
		alone := evidence.Stated(evidence.NewMemory(), e, s.Position(e))
		if n := len(alone.Exhibits) + len(alone.Intakes) + len(alone.Copies); (n == 1) != noun || len(alone.Copies) != len(want.Copies) {
			t.Errorf("%s alone states %+v", kind, alone)
		}
	}
}
