package evidence_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/evidence/evidencetest"
	"github.com/custodyd/custodyd/internal/identity"
)

// edit changes the body of an event that is good otherwise.
func edit[B evidence.Body](s *story, change func(*B)) evidence.Event {
	var zero B
	e := s.good()[evidence.Event{Body: zero}.Kind()]
	b, ok := e.Body.(B)
	if !ok {
		panic("not that kind of body")
	}
	change(&b)
	e.Body = b
	return e
}

func in(c evidence.CaseID, e evidence.Event, s *story) evidence.Event {
	e.Case, e.Seen = c, s.Newest(c)
	return e
}

func by(p identity.Principal, e evidence.Event) evidence.Event {
	e.Actor = p
	return e
}

func behalf(p identity.Principal, e evidence.Event) evidence.Event {
	e.OnBehalfOf = &evidence.OnBehalfOf{Principal: p, Method: "session"}
	return e
}

// Each wrong state, one at a time: everything else about the event is right.
func TestLawRefuses(t *testing.T) {
	type (
		E = evidence.Event
		S = *story
	)
	unknown := evidence.CaseID{1}
	notFound, exists, stale, forbidden := evidence.ErrNotFound, evidence.ErrExists, evidence.ErrStale, evidence.ErrForbidden
	for name, test := range map[string]struct {
		event func(S) E
		want  error
	}{
		// People.
		"enrol a known principal": {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Principal = "legal1" }) }, exists},
		"enrol a revoked one":     {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Principal = "analyst2" }) }, exists},
		"enrol a known key":       {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Key = evidencetest.Key("legal1") }) }, exists},
		"enrol a revoked key":     {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Key = evidencetest.Key("analyst2") }) }, exists},
		"enrol the service":       {func(s S) E { return edit(s, func(b *evidence.PersonEnrolled) { b.Principal = identity.Service }) }, errTransition},
		"the service enrols a third": {func(s S) E {
			return by(identity.Service, edit(s, func(b *evidence.PersonEnrolled) { b.Roles = identity.Roles{"administrator"} }))
		}, errTransition},
		"revoke an unknown one": {func(s S) E { return edit(s, func(b *evidence.PersonRevoked) { b.Principal = "nobody" }) }, notFound},
		"revoke a revoked one":  {func(s S) E { return edit(s, func(b *evidence.PersonRevoked) { b.Principal = "analyst2" }) }, errTransition},
		"revoke the service":    {func(s S) E { return edit(s, func(b *evidence.PersonRevoked) { b.Principal = identity.Service }) }, errTransition},
		"revoke the last administrator": {func(s S) E {
			revoke(s, "examiner2")
			return edit(s, func(b *evidence.PersonRevoked) { b.Principal = "admin" })
		}, errTransition},

		// Cases and exhibits.
		"open a known case":                 {func(s S) E { return in(s.open, s.good()["case.opened"], s) }, exists},
		"open under a known reference":      {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.Reference = "2026-0001" }) }, exists},
		"open under a closed one's":         {func(s S) E { return edit(s, func(b *evidence.CaseOpened) { b.Reference = "2026-0002" }) }, exists},
		"close an unknown case":             {func(s S) E { return in(unknown, s.good()["case.closed"], s) }, notFound},
		"close a closed case":               {func(s S) E { return in(s.closed, s.good()["case.closed"], s) }, errTransition},
		"close a case with pending intakes": {func(s S) E { return in(s.open, s.good()["case.closed"], s) }, errTransition},
		"close it when they have ended": {func(s S) E {
			for _, id := range []uuid.UUID{s.pending, s.requested} {
				if err := s.Do(s.Event("custodian1", s.open, evidence.IntakeAbandoned{Intake: id, Reason: "no"})); err != nil {
					panic(err)
				}
			}
			return in(s.open, s.good()["case.closed"], s)
		}, nil},
		"add to an unknown case":     {func(s S) E { return in(unknown, s.good()["exhibit.added"], s) }, notFound},
		"add one alike but for case": {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Label = "e-001" }) }, exists},
		"add to a closed case":       {func(s S) E { return in(s.closed, s.good()["exhibit.added"], s) }, errTransition},
		"add a known label":          {func(s S) E { return edit(s, func(b *evidence.ExhibitAdded) { b.Label = "E-002" }) }, exists},

		// Intakes.
		"declare in an unknown case":      {func(s S) E { return in(unknown, s.good()["intake.declared"], s) }, notFound},
		"declare in a closed case":        {func(s S) E { return in(s.closed, s.good()["intake.declared"], s) }, errTransition},
		"declare for an unknown exhibit":  {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Exhibit = "E-009" }) }, notFound},
		"declare a known intake":          {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Intake = s.pending }) }, exists},
		"declare another case's intake":   {func(s S) E { return edit(s, func(b *evidence.IntakeDeclared) { b.Intake = s.late }) }, exists},
		"abandon an unknown intake":       {func(s S) E { return edit(s, func(b *evidence.IntakeAbandoned) { b.Intake = uuid.Max }) }, notFound},
		"abandon a sealed intake":         {func(s S) E { return edit(s, func(b *evidence.IntakeAbandoned) { b.Intake = s.sealed }) }, errTransition},
		"abandon an abandoned intake":     {func(s S) E { return edit(s, func(b *evidence.IntakeAbandoned) { b.Intake = s.abandoned }) }, errTransition},
		"abandon another case's intake":   {func(s S) E { return edit(s, func(b *evidence.IntakeAbandoned) { b.Intake = s.late }) }, notFound},
		"abandon another person's intake": {func(s S) E { return by("examiner3", s.good()["intake.abandoned"]) }, errTransition},
		"abandon it as a custodian":       {func(s S) E { return by("custodian1", s.good()["intake.abandoned"]) }, nil},

		// Sealing.
		"seal an unknown intake":       {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Intake = uuid.Max }) }, notFound},
		"seal an abandoned intake":     {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Intake = s.abandoned }) }, errTransition},
		"seal another case's intake":   {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Facts = s.Facts(s.late, "") }) }, notFound},
		"seal another person's intake": {func(s S) E { return by("examiner2", s.good()["copy.sealed"]) }, errTransition},
		"seal a working copy":          {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Facts = s.Facts(s.requested, "") }) }, errTransition},
		"seal what was read back differently": {func(s S) E {
			return edit(s, func(b *evidence.CopySealed) { b.Facts = s.Facts(s.pending, "damaged") })
		}, evidence.ErrDigestsDiffer},
		"seal what was received differently": {func(s S) E {
			return edit(s, func(b *evidence.CopySealed) { b.Received = evidencetest.Digests("damaged") })
		}, evidence.ErrDigestsDiffer},
		"seal with another MD5 only": {func(s S) E {
			return edit(s, func(b *evidence.CopySealed) {
				b.Received = evidencetest.WithSHA256(evidencetest.Digests("x"), s.pending.String())
			})
		}, evidence.ErrDigestsDiffer},
		"seal under a given number":     {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Number = "M2" }) }, stale},
		"seal under a later number":     {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Number = "M4" }) }, stale},
		"seal under a working number":   {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Number = "W3" }) }, stale},
		"seal as another exhibit":       {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Exhibit = "E-002" }) }, fieldErr("body.exhibit")},
		"seal another size":             {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Size-- }) }, fieldErr("body.size")},
		"seal without received":         {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Received = digest.Set{} }) }, fieldErr("body.received")},
		"seal without read_back":        {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.ReadBack = digest.Set{} }) }, fieldErr("body.read_back")},
		"seal without declared":         {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Declared = digest.Set{} }) }, fieldErr("body.declared")},
		"seal with MD5 not received":    {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Received = onlySHA256(s.pending) }) }, fieldErr("body.received")},
		"seal with MD5 not read back":   {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.ReadBack = onlySHA256(s.pending) }) }, fieldErr("body.read_back")},
		"seal with MD5 forgotten":       {func(s S) E { return edit(s, func(b *evidence.CopySealed) { b.Declared = onlySHA256(s.pending) }) }, fieldErr("body.declared")},
		"seal with all hashes replaced": {func(s S) E { return edit(s, func(b *evidence.CopySealed) { replaceHashes(&b.Facts, "other") }) }, fieldErr("body.declared")},
		"seal without midstates":        {func(s S) E { return edit(s, without(evidence.Midstates)) }, fieldErr("body.objects")},
		"seal without the log":          {func(s S) E { return edit(s, without(evidence.ToolLog)) }, fieldErr("body.objects")},
		"seal without the list":         {func(s S) E { return edit(s, without(evidence.Files)) }, fieldErr("body.objects")},
		"seal without the content":      {func(s S) E { return edit(s, without(evidence.Content)) }, fieldErr("body.objects")},
		"seal another log":              {func(s S) E { return edit(s, object(evidence.ToolLog, func(o *evidence.Object) { o.SHA256[0]++ })) }, fieldErr("body.objects")},
		"seal a longer log":             {func(s S) E { return edit(s, object(evidence.ToolLog, func(o *evidence.Object) { o.Size++ })) }, fieldErr("body.objects")},
		"seal shorter midstates":        {func(s S) E { return edit(s, object(evidence.Midstates, func(o *evidence.Object) { o.Size = 0 })) }, fieldErr("body.objects")},
		"seal other content":            {func(s S) E { return edit(s, object(evidence.Content, func(o *evidence.Object) { o.SHA256[0]++ })) }, fieldErr("body.objects")},
		"seal shorter content":          {func(s S) E { return edit(s, object(evidence.Content, func(o *evidence.Object) { o.Size-- })) }, fieldErr("body.objects")},
		"seal locked too shortly": {func(s S) E {
			return edit(s, object(evidence.Content, func(o *evidence.Object) {
				until := evidence.TimeOf(o.RetainUntil.Time().AddDate(0, 0, -1))
				o.RetainUntil = &until
			}))
		}, fieldErr("body.objects")},

		// Quarantine.
		"quarantine what does not differ": {func(s S) E {
			return edit(s, func(b *evidence.CopyQuarantined) { b.Facts, b.Differed = s.Facts(s.pending, ""), nil })
		}, errTransition},
		"quarantine for another reason": {func(s S) E {
			return edit(s, func(b *evidence.CopyQuarantined) { b.Differed = b.Differed[:1] })
		}, fieldErr("body.differed")},
		"quarantine for strays alone": {func(s S) E {
			return edit(s, func(b *evidence.CopyQuarantined) {
				b.Facts = s.Facts(s.pending, "")
				b.Differed = b.Compare()
				strays(func(*evidence.CopyQuarantined) {}, 2)(b)
			})
		}, nil},
		"quarantine for both": {func(s S) E { return edit(s, strays(func(*evidence.CopyQuarantined) {}, 1)) }, nil},
		"quarantine for a line past the list": {func(s S) E {
			return edit(s, strays(func(b *evidence.CopyQuarantined) { b.Strays[0].Line = 3 }, 1))
		}, fieldErr("body.strays")},
		"quarantine for more than the list has": {func(s S) E {
			return edit(s, strays(func(b *evidence.CopyQuarantined) { b.StraysTotal = 3 }, 2))
		}, fieldErr("body.strays")},
		"quarantine strays of no set": {func(s S) E {
			return edit(s, func(b *evidence.CopyQuarantined) {
				*b = s.quarantined(s.requested)
				strays(func(*evidence.CopyQuarantined) {}, 1)(b)
			})
		}, fieldErr("body.strays")},
		"quarantine under a given finding": {func(s S) E { return edit(s, func(b *evidence.CopyQuarantined) { b.Finding = 2 }) }, stale},
		"quarantine under a later finding": {func(s S) E { return edit(s, func(b *evidence.CopyQuarantined) { b.Finding = 4 }) }, stale},
		"quarantine a sealed intake":       {func(s S) E { return edit(s, func(b *evidence.CopyQuarantined) { b.Intake = s.sealed }) }, errTransition},
		"quarantine an unknown intake":     {func(s S) E { return edit(s, func(b *evidence.CopyQuarantined) { b.Intake = uuid.Max }) }, notFound},
		"quarantine in an unknown case":    {func(s S) E { return in(unknown, s.good()["copy.quarantined"], s) }, notFound},
		"quarantine a working copy": {func(s S) E {
			return edit(s, func(b *evidence.CopyQuarantined) { *b = s.quarantined(s.requested) })
		}, nil},

		// Working copies.
		"request of an unknown copy":      {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Of = "M9" }) }, notFound},
		"request of a working copy":       {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Of = "W1" }) }, errTransition},
		"request of a quarantined copy":   {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Of = "M2" }) }, errTransition},
		"request in a closed case":        {func(s S) E { return in(s.closed, s.good()["copy.requested"], s) }, errTransition},
		"request for an unknown person":   {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.To = "nobody" }) }, notFound},
		"request for a revoked person":    {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.To = "analyst2" }) }, errTransition},
		"request for one who cannot have": {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.To = "legal1" }) }, errTransition},
		"request for the service":         {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.To = identity.Service }) }, errTransition},
		"request a known intake":          {func(s S) E { return edit(s, func(b *evidence.CopyRequested) { b.Intake = s.pending }) }, exists},
		"issue a master":                  {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.Facts = s.Facts(s.pending, "") }) }, errTransition},
		"issue another person's":          {func(s S) E { return by("custodian1", s.good()["copy.issued"]) }, errTransition},
		"issue to another person":         {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.To = "examiner1" }) }, fieldErr("body")},
		"issue of another master":         {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.Of = "M2" }) }, fieldErr("body")},
		"issue for another purpose":       {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.Purpose = "sale" }) }, fieldErr("body")},
		"issue what was received":         {func(s S) E { return edit(s, func(b *evidence.CopyIssued) { b.Received = b.ReadBack }) }, fieldErr("body.received")},
		"issue what is not the master's": {func(s S) E {
			return edit(s, func(b *evidence.CopyIssued) { replaceHashes(&b.Facts, "other"); b.Received = digest.Set{} })
		}, fieldErr("body.declared")},
		"issue what differs": {func(s S) E {
			return edit(s, func(b *evidence.CopyIssued) { b.Facts = s.Facts(s.requested, "damaged") })
		}, evidence.ErrDigestsDiffer},
		"issue after the master was found damaged": {func(s S) E {
			damage(s, "M1")
			return in(s.open, s.good()["copy.issued"], s)
		}, errTransition},
		"issue after the person was revoked": {func(s S) E {
			revoke(s, "analyst1")
			return s.good()["copy.issued"]
		}, errTransition},

		// Content.
		"read a master":             {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Number = "M1" }) }, errTransition},
		"read a quarantined master": {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Number = "M2" }) }, errTransition},
		"export a master": {func(s S) E {
			return edit(s, func(b *evidence.ContentRead) { b.Number, b.Operation = "M1", evidence.Export })
		}, errTransition},
		"read an unknown copy":       {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Number = "W9" }) }, notFound},
		"read a returned copy":       {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Number = "W2" }) }, errTransition},
		"read a damaged copy":        {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Number = "W3" }) }, errTransition},
		"read in another case":       {func(s S) E { return in(s.idle, s.good()["content.read"], s) }, notFound},
		"read another person's copy": {func(s S) E { return behalf("examiner1", s.good()["content.read"]) }, forbidden},
		"read after being revoked":   {func(s S) E { revoke(s, "analyst1"); return s.good()["content.read"] }, forbidden},
		"export after being revoked": {func(s S) E { revoke(s, "analyst1"); return s.good()["case.exported"] }, forbidden},
		"read past the end":          {func(s S) E { return edit(s, func(b *evidence.ContentRead) { b.Offset++ }) }, fieldErr("body.offset")},
		"return another's":           {func(s S) E { return by("analyst3", s.good()["copy.returned"]) }, forbidden},
		"return for the holder":      {func(s S) E { return by("custodian1", s.good()["copy.returned"]) }, nil},
		"receive a master":           {func(s S) E { return edit(s, func(b *evidence.CopyReceived) { b.Number = "M1" }) }, errTransition},
		"receive another's":          {func(s S) E { return by("examiner1", s.good()["copy.received"]) }, forbidden},
		"receive a returned copy":    {func(s S) E { return edit(s, func(b *evidence.CopyReceived) { b.Number = "W2" }) }, errTransition},
		"receive what was not fetched": {func(s S) E {
			return edit(s, func(b *evidence.CopyReceived) { b.Number, b.SHA256 = "W4", *s.sum("W4") })
		}, errTransition},
		"receive what was exported": {func(s S) E {
			e := edit(s, func(b *evidence.ContentRead) { b.Number, b.Operation = "W4", evidence.Export })
			if err := s.Do(e); err != nil {
				panic(err)
			}
			return edit(s, func(b *evidence.CopyReceived) { b.Number, b.SHA256 = "W4", *s.sum("W4") })
		}, nil},
		"receive other bytes":    {func(s S) E { return edit(s, func(b *evidence.CopyReceived) { b.SHA256[0]++ }) }, evidence.ErrDigestsDiffer},
		"receive fewer bytes":    {func(s S) E { return edit(s, func(b *evidence.CopyReceived) { b.Size-- }) }, evidence.ErrDigestsDiffer},
		"return a master":        {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Number = "M1" }) }, errTransition},
		"return a returned copy": {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Number = "W2" }) }, errTransition},
		"return an unknown copy": {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Number = "W9" }) }, notFound},
		"return as altered what is not": {func(s S) E {
			return edit(s, func(b *evidence.CopyReturned) { b.Outcome = evidence.Altered })
		}, fieldErr("body.outcome")},
		"return as unchanged what is not": {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Size++ }) }, fieldErr("body.outcome")},
		"return a damaged copy is fine":   {func(s S) E { return edit(s, func(b *evidence.CopyReturned) { b.Number, b.SHA256 = "W3", s.sum("W3") }) }, nil},

		// Fixity.
		"check an unknown copy":   {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Number = "M9" }) }, notFound},
		"match with another hash": {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.SHA256 = s.sum("M2") }) }, fieldErr("body.result")},
		"mismatch with the hash": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { b.Result, b.Finding = evidence.Mismatch, 3 })
		}, fieldErr("body.result")},
		"match with a finding":             {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.Finding = 3 }) }, fieldErr("body.finding")},
		"mismatch without a finding":       {func(s S) E { return edit(s, mismatch(s, "M1", 0)) }, stale},
		"mismatch with another's finding":  {func(s S) E { return edit(s, mismatch(s, "M1", 1)) }, stale},
		"mismatch with a later finding":    {func(s S) E { return edit(s, mismatch(s, "M1", 4)) }, stale},
		"mismatch with a second finding":   {func(s S) E { return edit(s, mismatch(s, "M2", 3)) }, stale},
		"mismatch with the next finding":   {func(s S) E { return edit(s, mismatch(s, "M1", 3)) }, nil},
		"mismatch with its own finding":    {func(s S) E { return edit(s, mismatch(s, "M2", 1)) }, nil},
		"wrong list without a finding":     {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.ListWrong = true }) }, stale},
		"wrong list with the next finding": {func(s S) E { return edit(s, func(b *evidence.FixityChecked) { b.ListWrong, b.Finding = true, 3 }) }, nil},
		"unreadable is no finding": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) { b.Result, b.SHA256 = evidence.Unreadable, nil })
		}, nil},
		"gone without a finding":     {func(s S) E { return edit(s, gone(0)) }, stale},
		"gone with the next finding": {func(s S) E { return edit(s, gone(3)) }, nil},
		"mismatch of a part without a finding": {func(s S) E {
			return edit(s, func(b *evidence.FixityChecked) {
				partly(make([]evidence.Range, 1), make([]evidence.Range, 1))(b)
				b.Finding = 0
			})
		}, stale},
		"mismatch of a part":                 {func(s S) E { return edit(s, partly(make([]evidence.Range, 1), make([]evidence.Range, 1))) }, nil},
		"deny an unknown copy":               {func(s S) E { return edit(s, func(b *evidence.AccessDenied) { b.Number = "M9" }) }, notFound},
		"export from an older end":           {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Case.Entries-- }) }, stale},
		"export with another head":           {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Case.Head = s.Chains[s.open][0] }) }, fieldErr("body.chain")},
		"export with an unknown head":        {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Case.Head[0]++ }) }, notFound},
		"export with an unknown system head": {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.System.Head[0]++ }) }, notFound},
		"export with another system head": {func(s S) E {
			return edit(s, func(b *evidence.CaseExported) { b.System.Head = s.Chains[evidence.CaseID{}][0] })
		}, fieldErr("body.system")},
		"export from before a revocation": {func(s S) E {
			chain := s.Chains[evidence.CaseID{}]
			return edit(s, func(b *evidence.CaseExported) {
				b.System = evidence.ChainEnd{Entries: int64(len(chain) - 1), Head: chain[len(chain)-2]}
			})
		}, stale},
		"export from a system end to come":  {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.System.Entries++ }) }, stale},
		"export a master's bytes":           {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Contents[0].Number = "M1" }) }, errTransition},
		"export a returned copy":            {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Contents[0].Number = "W2" }) }, errTransition},
		"export a damaged copy":             {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Contents[0].Number = "W3" }) }, errTransition},
		"export another case's copy":        {func(s S) E { return edit(s, func(b *evidence.CaseExported) { b.Contents[0].Case = s.closed }) }, fieldErr("body.contents")},
		"export another person's copy":      {func(s S) E { return behalf("examiner1", s.good()["case.exported"]) }, forbidden},
		"check for who may not verify":      {func(s S) E { return behalf("screener1", s.good()["fixity.checked"]) }, forbidden},
		"deny somebody unknown":             {func(s S) E { return behalf("nobody", s.good()["access.denied"]) }, forbidden},
		"deny who may nothing":              {func(s S) E { return behalf("screener1", s.good()["access.denied"]) }, nil},
		"export for who may not":            {func(s S) E { return behalf("screener1", edit(s, func(b *evidence.CaseExported) { b.Contents = nil })) }, forbidden},
		"export without content by anybody": {func(s S) E { return behalf("examiner1", edit(s, func(b *evidence.CaseExported) { b.Contents = nil })) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t)
			e := test.event(s)
			before := marshal(t, s.Lab)
			ch, err := s.apply(e)
			if !is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			if err != nil && !empty(ch) {
				t.Error("there are changes beside the error")
			}
			if marshal(t, s.Lab) != before {
				t.Error("asking the law has changed the state")
			}
		})
	}
}

// A finding says what disagreed, and blocks its copy.
func TestFindings(t *testing.T) {
	quarantine := func(s *story, found string, n int) evidence.Event {
		return edit(s, func(b *evidence.CopyQuarantined) {
			b.Facts = s.Facts(s.pending, found)
			b.Differed = b.Compare()
			strays(func(*evidence.CopyQuarantined) {}, n)(b)
		})
	}
	for what, event := range map[string]func(*story) evidence.Event{
		"the content is not what was sealed":               func(s *story) evidence.Event { return edit(s, mismatch(s, "M1", 3)) },
		"the content is not in the store as it was sealed": func(s *story) evidence.Event { return edit(s, gone(3)) },
		"the midstate list is not what was sealed": func(s *story) evidence.Event {
			return edit(s, func(b *evidence.FixityChecked) { b.ListWrong, b.Finding = true, 3 })
		},
		"hashes differ: md5, sha256": func(s *story) evidence.Event { return quarantine(s, "damaged", 0) },
		"2 files of the set are not what its list says, first line 1": func(s *story) evidence.Event {
			return quarantine(s, "", 2)
		},
		"hashes differ: md5, sha256; 1 files of the set are not what its list says, first line 1": func(s *story) evidence.Event {
			return quarantine(s, "damaged", 1)
		},
	} {
		s := tell(t)
		e := event(s)
		number := evidence.SubjectOf(e).Number
		at := s.Position(e)
		if err := s.Do(e); err != nil {
			t.Fatal(err)
		}
		f, err := s.Finding(s.open, 3)
		want := evidence.Finding{
			Case: s.open, Number: 3, Exhibit: "E-001", Copy: number, What: what, State: evidence.Open, Opened: at.Time, Changed: at.CaseSeq,
		}
		if f != want || err != nil {
			t.Errorf("finding is %+v, %v, want %+v", f, err, want)
		}
		if got := s.copied(number).Findings; !slices.Equal(got, []int{3}) {
			t.Errorf("findings against the copy are %v", got)
		}
	}
}

// What has ended, and what goes on, in a case that was closed while a copy was with
// its person and a finding was open.
func TestClosedCase(t *testing.T) {
	s := tell(t)
	sum := func(n evidence.Number) digest.SHA256 {
		sum, _ := s.copyOf(s.closed, n).Digests.SHA256()
		return sum
	}
	m1, w1, other := sum("M1"), sum("W1"), sum("W2")
	other[0]++
	exported := s.exported()
	exported.Case = evidence.ChainEnd{Entries: int64(len(s.Chains[s.closed])), Head: s.Newest(s.closed)}
	exported.Contents = nil
	withContent := exported
	withContent.Contents = []evidence.CopyID{{Case: s.closed, Exhibit: "E-001", Number: "W1"}}
	for name, test := range map[string]struct {
		actor identity.Principal // empty: the service, for the holder
		body  evidence.Body
		want  error
	}{
		"close":         {"examiner1", evidence.CaseClosed{Reason: "done"}, errTransition},
		"add":           {"custodian1", exhibit("E-003"), errTransition},
		"declare":       {"examiner1", declared(s.ID()), errTransition},
		"request":       {"examiner1", s.request(s.ID()), errTransition},
		"fetch":         {"", evidence.ContentRead{Exhibit: "E-001", Number: "W1", Operation: evidence.Fetch, Length: 1}, errTransition},
		"export":        {"", evidence.ContentRead{Exhibit: "E-001", Number: "W1", Operation: evidence.Export, Length: 1}, errTransition},
		"seal content":  {"", withContent, errTransition},
		"seal":          {"", exported, nil},
		"deny":          {"", evidence.AccessDenied{Exhibit: "E-001", Number: "W1", Operation: evidence.Fetch, Reason: "closed"}, nil},
		"receive":       {"analyst1", evidence.CopyReceived{Exhibit: "E-001", Number: "W1", Size: digest.Segment + 1, SHA256: w1}, nil},
		"receive later": {"analyst1", evidence.CopyReceived{Exhibit: "E-001", Number: "W2", Size: digest.Segment + 1, SHA256: w1}, errTransition},
		"return":        {"analyst1", evidence.CopyReturned{Exhibit: "E-001", Number: "W1", Outcome: evidence.Deleted}, nil},
		"take back":     {"custodian1", evidence.CopyReturned{Exhibit: "E-001", Number: "W2", Outcome: evidence.Deleted}, nil},
		"check":         {"", evidence.FixityChecked{Exhibit: "E-001", Number: "M1", Result: evidence.Match, Source: "store", SHA256: &m1}, nil},
		"find": {"", evidence.FixityChecked{
			Exhibit: "E-001", Number: "M1", Result: evidence.Mismatch, Source: "store", SHA256: &other, Finding: 2,
		}, nil},
		"find again": {"", evidence.FixityChecked{
			Exhibit: "E-001", Number: "M3", Result: evidence.Mismatch, Source: "store", SHA256: &other, Finding: 1,
		}, nil},
	} {
		e := s.Event(test.actor, s.closed, test.body)
		if test.actor == "" {
			e = behalf("analyst1", by(identity.Service, e))
		}
		if _, err := s.apply(e); !is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// Closing names what stands against it.
func TestClosingNamesIntakes(t *testing.T) {
	s := tell(t)
	_, err := s.apply(in(s.open, s.good()["case.closed"], s))
	want := fmt.Sprintf("2 intakes have neither come nor been abandoned: %s of E-001, %s of E-001", s.pending, s.requested)
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// A copy is locked no better than the worst of its objects.
func TestWeakestLock(t *testing.T) {
	for _, test := range []struct{ content, rest, want string }{
		{"compliance", "compliance", "compliance"},
		{"compliance", "governance", "governance"},
		{"governance", "compliance", "governance"},
		{"compliance", "none", "none"},
		{"none", "compliance", "none"},
		{"directory", "none", "none"},
		{"directory", "directory", "directory"},
	} {
		for _, other := range []evidence.Role{evidence.Midstates, evidence.Files, evidence.ToolLog} {
			s := tell(t)
			e := edit(s, object(evidence.Content, func(o *evidence.Object) { o.Lock = test.content }))
			b := e.Body.(evidence.CopySealed)
			for i, o := range b.Objects {
				if b.Objects[i].Lock = test.content; o.Role == other {
					b.Objects[i].Lock = test.rest
				}
			}
			if err := s.Do(e); err != nil {
				t.Fatal(err)
			}
			if got := s.copied(b.Number).Lock; got != test.want {
				t.Errorf("content %s, %s %s: the copy's lock is %s, want %s", test.content, other, test.rest, got, test.want)
			}
		}
	}
}

func onlySHA256(id uuid.UUID) digest.Set { return evidencetest.WithSHA256(digest.Set{}, id.String()) }

func replaceHashes(b *evidence.Facts, content string) {
	set := evidencetest.Digests(content)
	b.Declared, b.Received, b.ReadBack = set, set, set
	b.Objects = slices.Clone(b.Objects)
	b.Objects[0].SHA256, _ = set.SHA256()
}

func without(role evidence.Role) func(*evidence.CopySealed) {
	return func(b *evidence.CopySealed) {
		b.Objects = slices.DeleteFunc(slices.Clone(b.Objects), func(o evidence.Object) bool { return o.Role == role })
	}
}

func object(role evidence.Role, change func(*evidence.Object)) func(*evidence.CopySealed) {
	return func(b *evidence.CopySealed) {
		b.Objects = slices.Clone(b.Objects)
		for i := range b.Objects {
			if b.Objects[i].Role == role {
				change(&b.Objects[i])
			}
		}
	}
}

func gone(finding int) func(*evidence.FixityChecked) {
	return func(b *evidence.FixityChecked) {
		b.Result, b.SHA256, b.Gone, b.Finding = evidence.Unreadable, nil, true, finding
	}
}

func mismatch(s *story, number evidence.Number, finding int) func(*evidence.FixityChecked) {
	return func(b *evidence.FixityChecked) {
		sum := *s.sum(number)
		sum[0]++
		b.Number, b.Result, b.SHA256, b.Finding = number, evidence.Mismatch, &sum, finding
	}
}

func revoke(s *story, p identity.Principal) {
	if err := s.Do(edit(s, func(b *evidence.PersonRevoked) { b.Principal = p })); err != nil {
		panic(err)
	}
}

func damage(s *story, number evidence.Number) {
	if err := s.Do(edit(s, mismatch(s, number, 3))); err != nil {
		panic(err)
	}
}
