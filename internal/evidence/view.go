package evidence

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// View is the state before an event. A lookup that finds nothing gives
// [ErrNotFound]. It has two implementations: [Memory], and the server's
// database transaction.
type View interface {
	Person(identity.Principal) (Person, error)
	// People gives everybody ever enrolled, in the order of enrolment.
	People() ([]Person, error)
	Case(CaseID) (Case, error)
	CaseByReference(Name) (Case, error)
	Exhibit(CaseID, Name) (Exhibit, error)
	// Alike gives the label, of the case's exhibits, that differs from this one in
	// nothing but upper and lower case.
	Alike(CaseID, Name) (Name, error)
	Intake(uuid.UUID) (Intake, error)
	// Pending gives the intakes of the case that are declared and have not ended, by id.
	Pending(CaseID) ([]Intake, error)
	// Intakes gives all intakes of the case, by id.
	Intakes(CaseID) ([]Intake, error)
	Copy(CopyID) (Copy, error)
	// Copies gives all copies of the case, in one order.
	Copies(CaseID) ([]Copy, error)
	Finding(c CaseID, number int) (Finding, error)
	// Entry gives the case sequence number of the entry with that leaf hash in
	// the chain of that case.
	Entry(CaseID, digest.SHA256) (int64, error)
	// Erasure tells that the entry of that case with that leaf hash was erased.
	Erasure(CaseID, digest.SHA256) (Erasure, error)
	// Length gives how many entries the chain of that case has: none is no error.
	Length(CaseID) (int64, error)
}

// Changes are the nouns as they stand after an event, to be written over those
// of the same identity.
type Changes struct {
	People   []Person
	Cases    []Case
	Exhibits []Exhibit
	Intakes  []Intake
	Copies   []Copy
	Findings []Finding
	Erasures []Erasure
}

// Memory is a [View] in memory. The zero value is an empty ledger's state.
type Memory struct {
	people     map[identity.Principal]Person
	order      []identity.Principal
	cases      map[CaseID]Case
	references map[Name]CaseID
	exhibits   map[exhibitID]Exhibit // by the label in lower case: only one may have it
	twins      map[exhibitID]Exhibit // by the label, those that may not
	intakes    map[uuid.UUID]Intake
	copies     map[CopyID]Copy
	findings   map[findingID]Finding
	erasures   map[erasureID]Erasure
	entries    map[CaseID]map[digest.SHA256]int64
	lengths    map[CaseID]int64
}

type exhibitID struct {
	c     CaseID
	label Name
}

func folded(c CaseID, label Name) exhibitID {
	return exhibitID{c, Name(strings.ToLower(string(label)))}
}

type findingID struct {
	c      CaseID
	number int
}

type erasureID struct {
	c    CaseID
	leaf digest.SHA256
}

// NewMemory gives the state of an empty ledger.
func NewMemory() *Memory {
	return &Memory{
		people: map[identity.Principal]Person{}, cases: map[CaseID]Case{}, references: map[Name]CaseID{},
		exhibits: map[exhibitID]Exhibit{}, twins: map[exhibitID]Exhibit{}, intakes: map[uuid.UUID]Intake{}, copies: map[CopyID]Copy{},
		findings: map[findingID]Finding{}, erasures: map[erasureID]Erasure{}, entries: map[CaseID]map[digest.SHA256]int64{}, lengths: map[CaseID]int64{},
	}
}

func get[K comparable, V any](m map[K]V, k K) (V, error) {
	v, ok := m[k]
	if !ok {
		return v, ErrNotFound
	}
	return v, nil
}

// Person implements [View].
func (m *Memory) Person(p identity.Principal) (Person, error) { return get(m.people, p) }

// People implements [View].
func (m *Memory) People() ([]Person, error) {
	people := make([]Person, 0, len(m.order))
	for _, p := range m.order {
		people = append(people, m.people[p])
	}
	return people, nil
}

// Case implements [View].
func (m *Memory) Case(id CaseID) (Case, error) { return get(m.cases, id) }

// CaseByReference implements [View].
func (m *Memory) CaseByReference(ref Name) (Case, error) {
	id, err := get(m.references, ref)
	if err != nil {
		return Case{}, err
	}
	return m.Case(id)
}

// Exhibit implements [View].
func (m *Memory) Exhibit(c CaseID, label Name) (Exhibit, error) {
	if x, ok := m.exhibits[folded(c, label)]; ok && x.Label == label {
		return x, nil
	}
	return get(m.twins, exhibitID{c, label})
}

// Alike implements [View].
func (m *Memory) Alike(c CaseID, label Name) (Name, error) {
	x, err := get(m.exhibits, folded(c, label))
	return x.Label, err
}

// Intake implements [View].
func (m *Memory) Intake(id uuid.UUID) (Intake, error) { return get(m.intakes, id) }

// Pending implements [View].
func (m *Memory) Pending(c CaseID) ([]Intake, error) {
	return m.those(func(i Intake) bool { return i.Case == c && i.State == Declared }), nil
}

// Intakes implements [View].
func (m *Memory) Intakes(c CaseID) ([]Intake, error) {
	return m.those(func(i Intake) bool { return i.Case == c }), nil
}

func (m *Memory) those(is func(Intake) bool) []Intake {
	var list []Intake
	for _, i := range m.intakes {
		if is(i) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(x, y Intake) int { return bytes.Compare(x.Intake[:], y.Intake[:]) })
	return list
}

// Copies implements [View]: by exhibit and class, then by number.
func (m *Memory) Copies(c CaseID) ([]Copy, error) {
	var list []Copy
	for id, one := range m.copies {
		if id.Case == c {
			list = append(list, one)
		}
	}
	order := []Class{Master, Working, Derived}
	slices.SortFunc(list, func(x, y Copy) int {
		return cmp.Or(cmp.Compare(x.Exhibit, y.Exhibit), cmp.Compare(slices.Index(order, x.Class), slices.Index(order, y.Class)),
			cmp.Compare(len(x.Number), len(y.Number)), cmp.Compare(x.Number, y.Number))
	})
	return list, nil
}

// Copy implements [View].
func (m *Memory) Copy(id CopyID) (Copy, error) { return get(m.copies, id) }

// Finding implements [View].
func (m *Memory) Finding(c CaseID, number int) (Finding, error) {
	return get(m.findings, findingID{c, number})
}

// Erasure implements [View].
func (m *Memory) Erasure(c CaseID, leaf digest.SHA256) (Erasure, error) {
	return get(m.erasures, erasureID{c, leaf})
}

// Entry implements [View].
func (m *Memory) Entry(c CaseID, leaf digest.SHA256) (int64, error) { return get(m.entries[c], leaf) }

// Length implements [View].
func (m *Memory) Length(c CaseID) (int64, error) { return m.lengths[c], nil }

// Record notes an entry's place in its case's chain, so that later events may
// name it as seen.
func (m *Memory) Record(c CaseID, leaf digest.SHA256, caseSeq int64) {
	if m.entries[c] == nil {
		m.entries[c] = map[digest.SHA256]int64{}
	}
	m.entries[c][leaf] = caseSeq
	m.lengths[c] = max(m.lengths[c], caseSeq+1)
}

// Save writes the changes over what was there.
func (m *Memory) Save(ch Changes) {
	for _, p := range ch.People {
		if _, known := m.people[p.Principal]; !known {
			m.order = append(m.order, p.Principal)
		}
		m.people[p.Principal] = p
	}
	for _, c := range ch.Cases {
		m.cases[c.ID] = c
		m.references[c.Reference] = c.ID
	}
	for _, x := range ch.Exhibits {
		id := folded(x.Case, x.Label)
		if first, taken := m.exhibits[id]; taken && first.Label != x.Label {
			m.twins[exhibitID{x.Case, x.Label}] = x
			continue
		}
		m.exhibits[id] = x
	}
	for _, i := range ch.Intakes {
		m.intakes[i.Intake] = i
	}
	for _, c := range ch.Copies {
		m.copies[c.CopyID] = c
	}
	for _, f := range ch.Findings {
		m.findings[findingID{f.Case, f.Number}] = f
	}
	for _, e := range ch.Erasures {
		m.erasures[erasureID{e.Case, e.Leaf}] = e
	}
}

// Nouns are the nouns of a state, table by table. A sequence is good until the state
// changes.
type Nouns struct {
	People   iter.Seq[Person] // in the order of enrolment; all others in none
	Cases    iter.Seq[Case]
	Exhibits iter.Seq[Exhibit]
	Intakes  iter.Seq[Intake]
	Copies   iter.Seq[Copy]
	Findings iter.Seq[Finding]
	Erasures iter.Seq[Erasure]
}

// Nouns gives every noun of the state, one by one.
func (m *Memory) Nouns() Nouns {
	return Nouns{
		People: func(yield func(Person) bool) {
			for _, p := range m.order {
				if !yield(m.people[p]) {
					return
				}
			}
		},
		Cases: maps.Values(m.cases), Exhibits: func(yield func(Exhibit) bool) {
			for _, exhibits := range []map[exhibitID]Exhibit{m.exhibits, m.twins} {
				for _, x := range exhibits {
					if !yield(x) {
						return
					}
				}
			}
		},
		Intakes: maps.Values(m.intakes),
		Copies:  maps.Values(m.copies), Findings: maps.Values(m.findings), Erasures: maps.Values(m.erasures),
	}
}

// All gives every noun of the state at once.
func (m *Memory) All() Changes {
	n := m.Nouns()
	return Changes{
		People: collect(n.People, len(m.people)), Cases: collect(n.Cases, len(m.cases)), Exhibits: collect(n.Exhibits, len(m.exhibits)+len(m.twins)),
		Intakes: collect(n.Intakes, len(m.intakes)), Copies: collect(n.Copies, len(m.copies)), Findings: collect(n.Findings, len(m.findings)),
		Erasures: collect(n.Erasures, len(m.erasures)),
	}
}

func collect[N any](from iter.Seq[N], n int) []N {
	if n == 0 {
		return nil
	}
	return slices.AppendSeq(make([]N, 0, n), from)
}
