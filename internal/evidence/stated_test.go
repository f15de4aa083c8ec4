package evidence_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
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
		"copy.requested": true,
	} {
		e, ok := good[kind]
		if !ok {
			t.Fatalf("there is no %s", kind)
		}
		want, err := evidence.Apply(s, e, s.Position(e))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		got, err := evidence.Stated(s, e, s.Position(e))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if !noun {
			want = evidence.Changes{}
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s (-law +stated):\n%s", kind, diff)
		}
		alone, err := evidence.Stated(people{evidence.NewMemory(), s}, e, s.Position(e))
		if err != nil {
			t.Errorf("%s alone: %v", kind, err)
		}
		if n := len(alone.Exhibits) + len(alone.Intakes) + len(alone.Copies); (n == 1) != noun || len(alone.Copies) != len(want.Copies) {
			t.Errorf("%s alone states %+v", kind, alone)
		}
	}
}

// people is a state of which nothing is known but people and what entries there are.
type people struct {
	*evidence.Memory
	lab evidence.View
}

func (p people) Person(name identity.Principal) (evidence.Person, error) { return p.lab.Person(name) }

func (p people) Entry(c evidence.CaseID, leaf digest.SHA256) (int64, error) {
	return p.lab.Entry(c, leaf)
}
