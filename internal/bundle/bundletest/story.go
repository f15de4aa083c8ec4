package bundletest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// Reference is the reference of the story's case.
const Reference evidence.Name = "2026-0042"

// Image gives the bytes of E-001/M1: two segments and five bytes.
var Image = sync.OnceValue(func() []byte {
	return append(bytes.Repeat([]byte("sixteen bytes of"), 2*digest.Segment/16), "tail\n"...)
})

// What the story's other objects hold.
var (
	Small   = []byte("first half of a split image, second half of a split image")
	List    = ListOf(Small[:28], Small[28:])
	ToolLog = []byte("dc3dd 7.2.646 started\ninput results: 0 bad sectors replaced by zeros\n")
)

// ListOf gives the list of a set of image.001, image.002 and so on with these bytes.
func ListOf(files ...[]byte) []byte {
	var list []byte
	for i, content := range files {
		line, err := evidence.File{Name: fmt.Sprintf("image.%03d", i+1), Size: int64(len(content)), SHA256: sha256.Sum256(content)}.Line()
		if err != nil {
			panic(err)
		}
		list = append(list, line...)
	}
	return list
}

// Story is the ledger of a small laboratory:
//
//	E-001/M1  master, with midstates and a tool's log
//	E-001/M2  master, a set of two files
//	E-001/W1  of M1, given to analyst1, received and returned
//	E-001/W2  of M2, with examiner1
//	E-001/W3  of M1, with examiner1
//	E-002/M1  quarantined, by finding 1
//
// with another case's entries between.
type Story struct {
	*Ledger
	Case    evidence.CaseID
	Other   evidence.CaseID          // the case whose entries stand between
	Locks   map[evidence.Role]string // of what comes; "directory" where none is named
	objects []bundle.Object
	until   evidence.Time
}

// NewStory tells the story up to the export.
func NewStory(tb testing.TB) *Story {
	tb.Helper()
	s := &Story{Ledger: NewLedger(tb), Case: newCase(), Other: newCase()}
	s.until = evidence.TimeOf(s.now.AddDate(0, 0, 400))
	s.Enrol(identity.Service, "admin1", identity.RoleAdministrator)
	s.service(evidence.CaseID{}, evidence.ServiceStarted{Version: "1.0", Store: "directory", Bucket: "evidence", Lock: "directory", Missing: []string{"object lock"}})
	s.Enrol("admin1", "examiner1", identity.RoleExaminer)
	s.do("examiner1", evidence.CaseOpened{Reference: Reference, Title: "Case <of> Ærø", Jurisdictions: []string{"DK"}, RetainDays: 365})
	s.Record(s.Event(s.Other, "examiner1", evidence.CaseOpened{Reference: "2026-0043", Title: "Another", RetainDays: 1}))
	s.Enrol("admin1", "analyst1", identity.RoleAnalyst)
	for _, label := range []evidence.Name{"E-001", "E-002"} {
		s.do("examiner1", evidence.ExhibitAdded{Label: label, Kind: "disk", Serial: "S/N 7", FoundBy: "P. Officer", FoundAt: "Room 12", Witness: "W. Itness"})
	}
	s.master("E-001", "M1", "disk.dd", Image(), nil, ToolLog)
	s.Enrol("admin1", "analyst2", identity.RoleAnalyst)
	s.master("E-001", "M2", "image.001", Small, List, nil)
	s.quarantined()
	s.Record(s.Event(evidence.CaseID{}, "admin1", evidence.PersonRevoked{Principal: "analyst2", Reason: "left"}))
	s.working("W1", "M1", "analyst1", Image())
	s.Record(s.Event(s.Other, "examiner1", evidence.CaseClosed{Reason: "a mistake"}))
	s.service(s.Case, evidence.AccessDenied{Exhibit: "E-001", Number: "M1", Operation: evidence.Fetch, Reason: "a master copy never leaves"})
	read := s.Event(s.Case, identity.Service, evidence.ContentRead{Exhibit: "E-001", Number: "W1", Operation: evidence.Fetch, Length: int64(len(Image()))})
	read.OnBehalfOf.Principal = "analyst1"
	s.Record(read)
	sum := digest.SHA256(sha(Image()))
	s.do("analyst1", evidence.CopyReceived{Exhibit: "E-001", Number: "W1", Size: int64(len(Image())), SHA256: sum})
	s.do("analyst1", evidence.CopyReturned{Exhibit: "E-001", Number: "W1", Outcome: evidence.Deleted})
	s.service(s.Case, evidence.FixityChecked{Exhibit: "E-001", Number: "M1", Result: evidence.Match, Source: "medium", SHA256: &sum})
	s.working("W2", "M2", "examiner1", Small)
	s.working("W3", "M1", "examiner1", Image())
	return s
}

func newCase() (id evidence.CaseID) {
	_, _ = rand.Read(id[:]) // never an error
	return id
}

// do records what a person did to the case.
func (s *Story) do(actor identity.Principal, body evidence.Body) {
	s.tb.Helper()
	s.Record(s.Event(s.Case, actor, body))
}

func (s *Story) service(c evidence.CaseID, body evidence.Body) {
	s.tb.Helper()
	s.Record(s.Event(c, identity.Service, body))
}

// Seal records the export of the case with those contents.
func (s *Story) Seal(contents ...evidence.Number) {
	s.tb.Helper()
	s.service(s.Case, s.Exported(contents...))
}

// Exported gives the seal of the case as the ledger stands.
func (s *Story) Exported(contents ...evidence.Number) evidence.CaseExported {
	b := evidence.CaseExported{Case: end(s.Head(s.Case).Size, s.Head(s.Case).Last), System: end(s.Head(evidence.CaseID{}).Size, s.Head(evidence.CaseID{}).Last)}
	for _, n := range contents {
		b.Contents = append(b.Contents, evidence.CopyID{Case: s.Case, Exhibit: "E-001", Number: n})
	}
	return b
}

func end(entries int64, head [32]byte) evidence.ChainEnd {
	return evidence.ChainEnd{Entries: entries, Head: head}
}

// Bundle gives the source of the case's bundle with those contents.
func (s *Story) Bundle(contents ...evidence.Number) bundle.Source {
	s.tb.Helper()
	objects := s.objects
	for _, n := range contents {
		bytes := Image()
		if n != "W1" && n != "W3" {
			bytes = Small
		}
		objects = append(objects[:len(objects):len(objects)], object(evidence.Content, "E-001", n, bytes))
	}
	return s.Source(s.Case, Reference, objects)
}

func object(role evidence.Role, exhibit evidence.Name, n evidence.Number, content []byte) bundle.Object {
	return bundle.Object{
		Role: role, Exhibit: exhibit, Number: n, Size: int64(len(content)), SHA256: sha(content),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

func (s *Story) newIntake() uuid.UUID {
	id, err := uuid.NewV7()
	s.must(err)
	return id
}

func (s *Story) master(exhibit evidence.Name, n evidence.Number, title string, content, list, log []byte) {
	s.tb.Helper()
	d := s.declared(exhibit, title, content, log)
	if list != nil {
		d.Files = 2
	}
	s.do("examiner1", d)
	f := s.facts(d.Intake, exhibit, n, content, list, log)
	f.Received = f.ReadBack
	s.do("examiner1", evidence.CopySealed{Facts: f})
}

// Set seals Small as the master n of E-001, a set of so many files with that list, and
// issues a working copy of it to examiner1.
func (s *Story) Set(n, working evidence.Number, files int, list []byte) {
	s.tb.Helper()
	d := s.declared("E-001", "image.001", Small, nil)
	d.Files = files
	s.do("examiner1", d)
	f := s.facts(d.Intake, "E-001", n, Small, list, nil)
	f.Received = f.ReadBack
	s.do("examiner1", evidence.CopySealed{Facts: f})
	s.working(working, n, "examiner1", Small)
}

func (s *Story) declared(exhibit evidence.Name, title string, content, log []byte) evidence.IntakeDeclared {
	d := evidence.IntakeDeclared{
		Intake: s.newIntake(), Exhibit: exhibit, Title: title, Size: int64(len(content)), Declared: s.set(content),
		Acquisition: evidence.Acquisition{Tool: "dc3dd 7.2.646", Witness: "W. Itness", Place: "Lab 3"},
	}
	if log != nil {
		d.Acquisition.Log = &evidence.LogFile{Name: "../../etc/passwd", Size: int64(len(log)), SHA256: sha(log)}
	}
	return d
}

// facts are those of content in the store. What a bundle holds of it is kept.
func (s *Story) facts(intake uuid.UUID, exhibit evidence.Name, n evidence.Number, content, list, log []byte) evidence.Facts {
	f := evidence.Facts{
		Intake: intake, Exhibit: exhibit, Number: n, Size: int64(len(content)), Declared: s.set(content), ReadBack: s.set(content), ReadSource: "medium",
	}
	for _, o := range []struct {
		role    evidence.Role
		content []byte
	}{{evidence.Content, content}, {evidence.Midstates, sums(content).list}, {evidence.Files, list}, {evidence.ToolLog, log}} {
		if len(o.content) == 0 {
			continue
		}
		f.Objects = append(f.Objects, evidence.Object{
			Role: o.role, Bucket: "evidence", Key: intake.String() + "." + string(o.role), Version: "1",
			Size: int64(len(o.content)), SHA256: sha(o.content), Lock: cmp.Or(s.Locks[o.role], "directory"), RetainUntil: &s.until,
		})
		if o.role != evidence.Content {
			s.objects = append(s.objects, object(o.role, exhibit, n, o.content))
		}
	}
	return f
}

func (s *Story) quarantined() {
	s.tb.Helper()
	d := s.declared("E-002", "stick.dd", []byte("what the examiner saw"), nil)
	s.do("examiner1", d)
	f := s.facts(d.Intake, "E-002", "M1", []byte("what has really come."), nil, nil)
	f.Declared, f.Received = d.Declared, f.ReadBack
	s.service(s.Case, evidence.CopyQuarantined{Facts: f, Differed: f.Compare(), Finding: 1})
}

func (s *Story) working(n, of evidence.Number, to identity.Principal, content []byte) {
	s.tb.Helper()
	binding := evidence.Binding{Of: of, To: to, Purpose: "timeline"}
	r := evidence.CopyRequested{Intake: s.newIntake(), Exhibit: "E-001", Binding: binding}
	s.do("examiner1", r)
	s.do("examiner1", evidence.CopyIssued{Facts: s.facts(r.Intake, "E-001", n, content, nil, nil), Binding: binding})
}

func (s *Story) set(content []byte) digest.Set {
	sum := digest.SHA256(sha(content))
	set, err := digest.Set{}.With(digest.AlgSHA256, sum.String())
	s.must(err)
	return set
}

func sha(content []byte) digest.SHA256 { return sums(content).sum }

type summed struct {
	sum  digest.SHA256
	list []byte
}

// imageSums are those of the one large content.
var imageSums = sync.OnceValue(func() summed { return compute(Image()) })

func sums(content []byte) summed {
	if len(content) == len(Image()) && &content[0] == &Image()[0] {
		return imageSums()
	}
	return compute(content)
}

func compute(content []byte) summed {
	h := digest.NewHasher()
	defer h.Close()
	_, errWrite := h.Write(content)
	set, _, errSum := h.Sum()
	list, errList := h.Midstates()
	if errWrite != nil || errSum != nil || errList != nil {
		panic("bundletest: a hasher that is open does not fail")
	}
	sum, _ := set.SHA256()
	return summed{sum, list.Bytes()}
}
