package evidence_test

import (
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
)

// story is a lab in the middle of its work, with something in every state.
//
//	case open    E-001  M1 sealed; M2 quarantined; W1 issued to analyst1 and fetched;
//	                    W2 came back; W3 issued, then found damaged; W4 issued
//	             E-002  nothing yet
//	case idle           nothing yet
//	case held           nothing yet, and under the hold court-1
//	case closed  E-001  M1 sealed; M2 sealed from the intake late; M3 found damaged;
//	                    W1 and W2 issued to analyst1, W1 fetched
//
// Declared and not yet ended are pending and requested in the open case. analyst2
// has been revoked.
type story struct {
	*evidencetest.Lab
	open, idle, held, closed evidence.CaseID
	pending, requested, late uuid.UUID
	sealed, abandoned        uuid.UUID
}

func tell(t testing.TB) *story {
	t.Helper()
	s := &story{Lab: evidencetest.New()}
	do := func(actor identity.Principal, c evidence.CaseID, body evidence.Body) {
		t.Helper()
		if err := s.Do(s.Event(actor, c, body)); err != nil {
			t.Fatalf("%T: %v", body, err)
		}
	}
	if err := s.Found(); err != nil {
		t.Fatal(err)
	}
	do("admin", evidence.CaseID{}, evidence.PersonRevoked{Principal: "analyst2", Reason: "left"})

	s.open, s.idle, s.closed = s.CaseID(), s.CaseID(), s.CaseID()
	do("examiner1", s.open, evidence.CaseOpened{Reference: "2026-0001", Title: "Open", RetainDays: 365})
	do("examiner1", s.closed, evidence.CaseOpened{Reference: "2026-0002", Title: "Closed", RetainDays: 1})
	do("examiner1", s.idle, evidence.CaseOpened{Reference: "2026-0004", Title: "Idle", RetainDays: 1})
	s.held = s.CaseID()
	do("examiner1", s.held, evidence.CaseOpened{Reference: "2026-0005", Title: "Held", RetainDays: 1})
	do("legal1", s.held, evidence.HoldPlaced{Name: "court-1", Authority: "court", Reason: "appeal"})
	for _, c := range []evidence.CaseID{s.open, s.closed} {
		do("custodian1", c, exhibit("E-001"))
	}
	do("custodian1", s.open, exhibit("E-002"))

	seal := func(c evidence.CaseID) uuid.UUID {
		t.Helper()
		id := s.ID()
		do("examiner1", c, declared(id))
		do("examiner1", c, evidence.CopySealed{Facts: s.Facts(id, "")})
		return id
	}
	s.sealed = seal(s.open)
	seal(s.closed)
	s.late = seal(s.closed)
	seal(s.closed)

	damaged := s.ID()
	do("examiner1", s.open, declared(damaged))
	do(identity.Service, s.open, s.quarantined(damaged))

	issue := func(c evidence.CaseID) {
		t.Helper()
		id := s.ID()
		do("examiner1", c, s.request(id))
		do("examiner1", c, evidence.CopyIssued{Facts: s.Facts(id, ""), Binding: binding})
	}
	for _, c := range []evidence.CaseID{s.open, s.closed, s.open, s.closed, s.open, s.open} {
		issue(c)
	}
	for _, c := range []evidence.CaseID{s.open, s.closed} {
		fetched := s.Event(identity.Service, c, evidence.ContentRead{
			Exhibit: "E-001", Number: "W1", Operation: evidence.Fetch, Length: digest.Segment + 1,
		})
		fetched.OnBehalfOf = &evidence.OnBehalfOf{Principal: "analyst1", Method: "session"}
		if err := s.Do(fetched); err != nil {
			t.Fatal(err)
		}
	}
	do("analyst1", s.open, s.returned("W2"))
	bad := digest.SHA256(sha256.Sum256([]byte("damaged later")))
	do(identity.Service, s.open, evidence.FixityChecked{
		Exhibit: "E-001", Number: "W3", Result: evidence.Mismatch, Source: "store", SHA256: &bad, Finding: 2,
	})
	do(identity.Service, s.closed, evidence.FixityChecked{
		Exhibit: "E-001", Number: "M3", Result: evidence.Mismatch, Source: "store", SHA256: &bad, Finding: 1,
	})

	s.pending, s.requested, s.abandoned = s.ID(), s.ID(), s.ID()
	do("examiner1", s.open, declared(s.pending))
	do("examiner1", s.open, s.request(s.requested))
	do("examiner1", s.open, declared(s.abandoned))
	do("examiner1", s.open, evidence.IntakeAbandoned{Intake: s.abandoned, Reason: "cut"})
	do("examiner1", s.closed, evidence.CaseClosed{Reason: "done"})
	return s
}

var binding = evidence.Binding{Of: "M1", To: "analyst1", Purpose: "search"}

func exhibit(label evidence.Name) evidence.ExhibitAdded {
	return evidence.ExhibitAdded{Label: label, Kind: "disk", FoundBy: "examiner1", FoundAt: "desk", Witness: "legal1"}
}

// declared is the upload of a split image with a log, of just over a segment.
func declared(id uuid.UUID) evidence.IntakeDeclared {
	return evidence.IntakeDeclared{
		Intake: id, Exhibit: "E-001", Title: "disk.dd", Size: digest.Segment + 1, Files: 2,
		Declared: evidencetest.Digests(id.String()),
		Acquisition: evidence.Acquisition{
			Tool: "dc3dd 7.2", Witness: "legal1", Place: "lab",
			Log: &evidence.LogFile{Name: "dc3dd.log", Size: 100, SHA256: sha256.Sum256([]byte("log"))},
		},
	}
}

func (s *story) request(id uuid.UUID) evidence.CopyRequested {
	return evidence.CopyRequested{Intake: id, Exhibit: "E-001", Binding: binding}
}

func (s *story) quarantined(id uuid.UUID) evidence.CopyQuarantined {
	b := s.Facts(id, "damaged")
	c, _ := s.Case(s.open)
	return evidence.CopyQuarantined{Facts: b, Differed: b.Compare(), Finding: c.Findings + 1}
}

func (s *story) copied(number evidence.Number) evidence.Copy { return s.copyOf(s.open, number) }

func (s *story) copyOf(id evidence.CaseID, number evidence.Number) evidence.Copy {
	c, _ := s.Copy(evidence.CopyID{Case: id, Exhibit: "E-001", Number: number})
	return c
}

func (s *story) sum(number evidence.Number) *digest.SHA256 {
	sum, _ := s.copied(number).Digests.SHA256()
	return &sum
}

func (s *story) returned(number evidence.Number) evidence.CopyReturned {
	return evidence.CopyReturned{
		Exhibit: "E-001", Number: number, Outcome: evidence.Unchanged, Size: s.copied(number).Size, SHA256: s.sum(number),
	}
}

func (s *story) exported() evidence.CaseExported {
	return evidence.CaseExported{
		Case:     evidence.ChainEnd{Entries: int64(len(s.Chains[s.open])), Head: s.Newest(s.open)},
		System:   evidence.ChainEnd{Entries: int64(len(s.Chains[evidence.CaseID{}])), Head: s.Newest(evidence.CaseID{})},
		Contents: []evidence.CopyID{{Case: s.open, Exhibit: "E-001", Number: "W1"}},
	}
}

// erased is the erasure of the first exhibit's description.
func (s *story) erased() evidence.PayloadErased {
	b, err := s.Erase(slices.IndexFunc(s.Past, func(e evidencetest.Entry) bool {
		return e.Case == s.open && e.Kind() == "exhibit.added"
	}))
	if err != nil {
		panic(err)
	}
	return b
}

// good gives, for every kind of event, one that may happen next.
func (s *story) good() map[evidence.Kind]evidence.Event {
	none := evidence.CaseID{}
	events := []evidence.Event{
		s.Event("admin", none, evidence.PersonEnrolled{
			Principal: "new", Name: "New", Title: "Dr", Organisation: "Lab", Badge: "7",
			Roles: identity.Roles{identity.RoleAnalyst}, Key: evidencetest.Key("new"),
		}),
		s.Event("admin", none, evidence.PersonRevoked{Principal: "legal1", Reason: "left"}),
		s.Event(identity.Service, none, evidence.ServiceStarted{
			Version: "1", Store: "s3", Bucket: "vault", Lock: "compliance", Missing: []string{"checksums"},
		}),
		s.Event(identity.Service, none, evidence.CheckpointAnchored{
			Size: 7, Root: digest.SHA256{1}, Note: digest.SHA256{2}, Tokens: []evidence.AnchorToken{
				{Authority: "tsa-1", Serial: "0", SHA256: digest.SHA256{3}, Time: s.Position(evidence.Event{}).Time},
				{Authority: "tsa-2", Serial: "12", SHA256: digest.SHA256{4}, Time: s.Position(evidence.Event{}).Time},
			},
		}),
		s.Event("examiner1", s.CaseID(), evidence.CaseOpened{
			Reference: "2026-0003", Title: "New", Jurisdictions: []string{"DE"}, RetainDays: 30,
		}),
		s.Event("examiner1", s.idle, evidence.CaseClosed{Reason: "done"}),
		s.Event("legal1", s.idle, evidence.HoldPlaced{Name: "court-1", Authority: "court", Reason: "appeal"}),
		s.Event("legal1", s.held, evidence.HoldLifted{Name: "court-1", Authority: "court", Reason: "judgment"}),
		s.Event("custodian1", s.open, s.erased()),
		s.Event("custodian1", s.open, exhibit("E-003")),
		s.Event("examiner1", s.open, declared(s.ID())),
		s.Event("examiner1", s.open, evidence.IntakeAbandoned{Intake: s.pending, Reason: "cut"}),
		s.Event("examiner1", s.open, evidence.CopySealed{Facts: s.Facts(s.pending, "")}),
		s.Event(identity.Service, s.open, s.quarantined(s.pending)),
		s.Event("examiner1", s.open, s.request(s.ID())),
		s.Event("examiner1", s.open, evidence.CopyIssued{Facts: s.Facts(s.requested, ""), Binding: binding}),
		s.Event(identity.Service, s.open, evidence.ContentRead{
			Exhibit: "E-001", Number: "W1", Operation: evidence.Fetch, Offset: 1, Length: digest.Segment,
		}),
		s.Event("analyst1", s.open, evidence.CopyReceived{
			Exhibit: "E-001", Number: "W1", Size: digest.Segment + 1, SHA256: *s.sum("W1"),
		}),
		s.Event("analyst1", s.open, s.returned("W1")),
		s.Event(identity.Service, s.open, evidence.FixityChecked{
			Exhibit: "E-001", Number: "M1", Result: evidence.Match, Source: "medium", SHA256: s.sum("M1"),
		}),
		s.Event(identity.Service, s.open, evidence.AccessDenied{
			Exhibit: "E-001", Number: "M1", Operation: evidence.Fetch, Reason: "never leaves",
		}),
		s.Event(identity.Service, s.open, s.exported()),
	}
	good := map[evidence.Kind]evidence.Event{}
	for _, e := range events {
		switch e.Body.(type) {
		case evidence.ContentRead, evidence.AccessDenied, evidence.CaseExported:
			e.OnBehalfOf = &evidence.OnBehalfOf{Principal: "analyst1", Method: "session"}
		}
		good[e.Kind()] = e
	}
	return good
}

// apply asks the law, without consequence.
func (s *story) apply(e evidence.Event) (evidence.Changes, error) {
	return evidence.Apply(s, e, s.Position(e))
}
