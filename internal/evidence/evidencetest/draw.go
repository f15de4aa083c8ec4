package evidencetest

import (
	"crypto/sha256"
	"strconv"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// Draw gives the lab's next event: first its staff, then what comes of the
// choices, each of which is a number from 0 to n-1. About half of the events are
// forbidden, for every reason that the law knows; none is malformed. The lab
// itself does not change: see Record.
func (l *Lab) Draw(choose func(n int) int) evidence.Event {
	if n := len(l.Chains[evidence.CaseID{}]); n < len(Staff) {
		return l.Event(map[bool]identity.Principal{true: identity.Service, false: "admin"}[n < 2], evidence.CaseID{}, Staff[n])
	}
	d := draw{l, choose}
	c := pick(d, l.Cases)
	kind := choose(28)
	var e evidence.Event
	switch kind {
	case 0:
		e = l.Event(d.actor("admin"), evidence.CaseID{}, d.enrolled())
	case 1:
		leaving := identity.Principal("analyst2")
		if choose(4) == 0 {
			leaving = d.actor(leaving)
		}
		e = l.Event(d.actor("admin"), evidence.CaseID{}, evidence.PersonRevoked{Principal: leaving, Reason: "left"})
	case 2:
		e = l.Event(identity.Service, evidence.CaseID{}, evidence.ServiceStarted{
			Version: "1", Store: "directory", Bucket: "vault", Lock: "directory",
		})
		if choose(3) > 0 {
			e.Body = evidence.CheckpointAnchored{Size: 1 + int64(choose(100)), Note: digest.SHA256{1}, Tokens: []evidence.AnchorToken{
				{Authority: "tsa", Serial: strconv.Itoa(choose(100)), SHA256: digest.SHA256{2}, Time: e.At},
			}}
		}
	case 3:
		if choose(8) > 0 || c.IsZero() {
			c = l.CaseID()
		}
		e = l.Event(d.actor("examiner1"), c, evidence.CaseOpened{
			Reference: pick(d, []evidence.Name{"2026-0001", "2026-0002", "2026-0003"}), Title: "A case", RetainDays: 1 + choose(100),
		})
	case 4:
		e = d.ofCase(kind, c)
		if choose(4) > 0 { // closed cases are dull
			return d.restless(l.Event(identity.Service, evidence.CaseID{}, evidence.ServiceStarted{
				Version: "2", Store: "s3", Bucket: "vault", Lock: "compliance",
			}))
		}
	case 24, 25, 26, 27:
		e = d.erasing(kind, c)
	default:
		e = d.ofCase(kind, c)
	}
	return d.restless(e)
}

// erasing gives a hold, its end, or an erasure. What an erasure leaves is always that
// of the entry it names: the law cannot know, and the service sees to it.
func (d draw) erasing(kind int, c evidence.CaseID) evidence.Event {
	if c.IsZero() {
		c = d.CaseID()
	}
	name := pick(d, []evidence.Name{"court-1", "court-2"})
	if holder, err := d.Case(c); err == nil && len(holder.Holds) > 0 && d.choose(3) > 0 {
		kind, name = 25, pick(d, holder.Holds).Name // or nothing would ever be erased
	}
	switch kind {
	case 24:
		return d.Event(d.actor("legal1"), c, evidence.HoldPlaced{Name: name, Authority: "court", Reason: "appeal"})
	case 25:
		return d.Event(d.actor("legal1"), c, evidence.HoldLifted{Name: name, Authority: "court", Reason: "judgment"})
	}
	for range 20 {
		n := d.choose(len(d.Past))
		if b, err := d.Erase(n); err == nil {
			if d.choose(20) > 0 {
				c = d.Past[n].Case
			}
			return d.Event(d.actor("custodian1"), c, b)
		}
	}
	return d.Event(d.actor("legal1"), c, evidence.HoldLifted{Name: name, Authority: "court", Reason: "judgment"})
}

type draw struct {
	*Lab
	choose func(int) int
}

// pick gives one of the list, the newest most often, or the zero value of none.
func pick[T any](d draw, list []T) T {
	var one T
	if len(list) == 0 {
		return one
	}
	if d.choose(2) == 0 {
		return list[len(list)-1]
	}
	return list[d.choose(len(list))]
}

// actor gives usually the one who should, sometimes anybody.
func (d draw) actor(usual identity.Principal) identity.Principal {
	if d.choose(6) > 0 {
		return usual
	}
	anybody := []identity.Principal{"nobody"}
	for _, p := range Staff[1:] {
		anybody = append(anybody, p.Principal)
	}
	return pick(d, anybody)
}

// restless lets the actor sometimes have looked long ago, elsewhere or not at all.
func (d draw) restless(e evidence.Event) evidence.Event {
	switch d.choose(12) {
	case 0:
		e.Seen = digest.SHA256{}
	case 1:
		e.Seen = pick(d, d.Chains[e.Case])
	case 2:
		e.Seen = d.Newest(pick(d, append([]evidence.CaseID{{}}, d.Cases...)))
	case 3:
		if e.OnBehalfOf != nil {
			e.OnBehalfOf.Principal = d.actor(e.OnBehalfOf.Principal)
		}
	}
	return e
}

func (d draw) enrolled() evidence.PersonEnrolled {
	p := pick(d, Staff)
	if d.choose(2) == 0 {
		p.Principal = identity.Principal("new-" + strconv.Itoa(d.choose(30)))
		p.Roles = identity.Roles{pick(d, identity.AllRoles())}
	}
	if d.choose(4) > 0 {
		p.Key = Key(d.ID().String())
	}
	return p
}

// ofCase gives an event of a case that is open, if any is.
func (d draw) ofCase(kind int, c evidence.CaseID) evidence.Event {
	if c.IsZero() {
		c = d.CaseID()
	}
	var intakes []uuid.UUID
	for _, id := range d.Declared {
		if i, err := d.Intake(id); err == nil && (i.State == evidence.Declared || d.choose(8) == 0) {
			intakes = append(intakes, id)
		}
	}
	id := pick(d, intakes)
	copied, _ := d.Copy(pick(d, d.Deposited))
	label := pick(d, []evidence.Name{"E-001", "E-002"})
	switch kind {
	case 4:
		return d.Event(d.actor("examiner1"), c, evidence.CaseClosed{Reason: "done"})
	case 5, 6:
		return d.Event(d.actor("custodian1"), c, evidence.ExhibitAdded{
			Label: label, Kind: "disk", FoundBy: "examiner1", FoundAt: "desk", Witness: "legal1",
		})
	case 7, 8, 9:
		return d.Event(d.actor("examiner1"), c, d.declared(label))
	case 10:
		return d.Event(d.actor("examiner1"), d.caseOf(id, c), evidence.IntakeAbandoned{Intake: id, Reason: "cut"})
	case 11, 12, 13, 14:
		return d.deposited(id, c)
	case 15, 16:
		c, label := c, label
		number := evidence.Number("M1")
		if copied.Number != "" {
			c, label, number = copied.Case, copied.Exhibit, copied.Number
		}
		return d.Event(d.actor("examiner1"), c, evidence.CopyRequested{
			Intake: d.ID(), Exhibit: label, Binding: evidence.Binding{Of: number, To: d.actor("analyst1"), Purpose: "search"},
		})
	}
	return d.ofCopy(kind, copied, c)
}

func (d draw) declared(label evidence.Name) evidence.IntakeDeclared {
	b := evidence.IntakeDeclared{
		Intake: d.ID(), Exhibit: label, Title: "disk.dd", Size: pick(d, []int64{0, 4096, digest.Segment + 1}),
		Acquisition: evidence.Acquisition{Tool: "dc3dd 7.2", Witness: "legal1", Place: "lab"},
	}
	switch d.choose(6) {
	case 0:
		b.Intake = pick(d, append(d.Declared, b.Intake))
	case 1:
		b.Declared = Digests(b.Intake.String())
	case 2:
		b.Declared = Digests("something else")
	case 3:
		b.Files = 3
	case 4:
		b.Acquisition.Log = &evidence.LogFile{Name: "dc3dd.log", Size: 100, SHA256: sha256.Sum256([]byte("log"))}
	}
	return b
}

// caseOf gives the intake's own case, usually.
func (d draw) caseOf(id uuid.UUID, other evidence.CaseID) evidence.CaseID {
	if i, err := d.Intake(id); err == nil && d.choose(12) > 0 {
		return i.Case
	}
	return other
}

// deposited gives the end of an intake: sealed, issued or quarantined.
func (d draw) deposited(id uuid.UUID, other evidence.CaseID) evidence.Event {
	found := ""
	if d.choose(5) == 0 {
		found = "damaged"
	}
	b := d.Facts(id, found)
	if b.Number == "" {
		b = evidence.Facts{
			Intake: id, Exhibit: "E-001", Number: "M1", Declared: Digests(""), Received: Digests(""), ReadBack: Digests(""),
			ReadSource: "cache", Objects: []evidence.Object{{
				Role: "content", Bucket: "b", Key: "k", Version: "v", SHA256: d.hash(), Lock: "none",
			}},
		}
	}
	if d.choose(16) == 0 {
		b.Size++
	}
	c := d.caseOf(id, other)
	i, _ := d.Intake(id)
	differed := b.Compare()
	switch quarantine := d.choose(12) == 0; {
	case (len(differed) > 0) != quarantine:
		holder, _ := d.Case(c)
		return d.Event(identity.Service, c, evidence.CopyQuarantined{Facts: b, Differed: differed, Finding: holder.Findings + 1})
	case i.Class == evidence.Working:
		return d.Event(d.actor(i.By), c, evidence.CopyIssued{
			Facts: b, Binding: evidence.Binding{Of: i.Of, To: i.To, Purpose: i.Purpose},
		})
	}
	return d.Event(d.actor("examiner1"), c, evidence.CopySealed{Facts: b})
}

func (d draw) ofCopy(kind int, copied evidence.Copy, other evidence.CaseID) evidence.Event {
	if kind == 19 && d.choose(4) > 0 {
		copied = d.fetched(copied)
	}
	if copied.Number == "" {
		copied.CopyID = evidence.CopyID{Case: other, Exhibit: "E-001", Number: "W1"}
	}
	c, exhibit, number := copied.Case, copied.Exhibit, copied.Number
	holder := copied.To
	if holder == "" {
		holder = "analyst1"
	}
	sum, _ := copied.Digests.SHA256()
	same := d.choose(6) > 0
	if !same {
		sum = sha256.Sum256([]byte("changed"))
	}
	var e evidence.Event
	switch kind {
	case 17, 18:
		e = d.Event(identity.Service, c, evidence.ContentRead{
			Exhibit: exhibit, Number: number, Operation: pick(d, []evidence.Operation{evidence.Export, evidence.Fetch}), Length: copied.Size,
		})
	case 19:
		return d.Event(d.actor(holder), c, evidence.CopyReceived{Exhibit: exhibit, Number: number, Size: copied.Size, SHA256: sum})
	case 20:
		b := evidence.CopyReturned{Exhibit: exhibit, Number: number, Size: copied.Size, SHA256: &sum}
		b.Outcome = map[bool]evidence.Outcome{true: evidence.Unchanged, false: evidence.Altered}[same]
		return d.Event(d.actor("custodian1"), c, b)
	case 21:
		b := evidence.FixityChecked{Exhibit: exhibit, Number: number, Result: evidence.Match, Source: "medium", SHA256: &sum}
		holder, _ := d.Case(c)
		if b.ListWrong = d.choose(8) == 0; !same {
			b.Result, b.Damaged = evidence.Mismatch, []evidence.Range{{Offset: 0, Length: 10}}
		}
		switch {
		case b.Result == evidence.Match && !b.ListWrong:
		case copied.Quarantined():
			b.Finding = copied.Findings[0]
		default:
			b.Finding = holder.Findings + 1
		}
		e = d.Event(identity.Service, c, b)
	case 22:
		e = d.Event(identity.Service, c, evidence.AccessDenied{
			Exhibit: exhibit, Number: number, Operation: evidence.Fetch, Reason: "never leaves",
		})
	default:
		b := evidence.CaseExported{Case: d.end(c), System: d.end(evidence.CaseID{})}
		if copied.Class == evidence.Working {
			b.Contents = []evidence.CopyID{copied.CopyID}
		}
		e = d.Event(identity.Service, c, b)
	}
	e.OnBehalfOf = &evidence.OnBehalfOf{Principal: holder, Method: "session"}
	return e
}

// fetched gives a copy that is with its person, if there is one.
func (d draw) fetched(other evidence.Copy) evidence.Copy {
	for _, id := range d.Deposited {
		if c, err := d.Copy(id); err == nil && c.Fetched != nil && c.State == evidence.Issued {
			other = c
		}
	}
	return other
}

func (d draw) end(c evidence.CaseID) evidence.ChainEnd {
	return evidence.ChainEnd{Entries: int64(len(d.Chains[c])), Head: d.Newest(c)}
}
