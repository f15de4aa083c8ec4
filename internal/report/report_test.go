package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

var (
	noon   = evidence.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	people = Names(func(p identity.Principal) string {
		return map[identity.Principal]string{"examiner1": "Erika Examiner", "analyst1": "Anton Analyst"}[p]
	})
)

func hash(t *testing.T, letter string) (digest.SHA256, digest.Set) {
	t.Helper()
	sum, err := digest.ParseSHA256(strings.Repeat(letter, 64))
	if err != nil {
		t.Fatal(err)
	}
	set, err := digest.Set{}.With(digest.AlgSHA256, sum.String())
	if err != nil {
		t.Fatal(err)
	}
	return sum, set
}

func TestSentence(t *testing.T) {
	a, setA := hash(t, "a")
	b, setB := hash(t, "b")
	key, err := identity.GenerateKeyFile(t.TempDir()+"/key", "", bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	facts := evidence.Facts{
		Exhibit: "E-1", Number: "M1", Size: 9, Declared: setA, Received: setA, ReadBack: setA, ReadSource: "medium",
		Objects: []evidence.Object{{Role: evidence.Content, Lock: "compliance", RetainUntil: &noon}},
	}
	unlocked, working := facts, facts
	unlocked.Objects, unlocked.ReadSource = []evidence.Object{{Role: evidence.Content, Lock: "none"}}, "cache"
	working.Number, working.Received = "W1", digest.Set{}
	binding := evidence.Binding{Of: "M1", To: "analyst1", Purpose: "search"}
	tests := []struct {
		body evidence.Body
		want []string
	}{
		{evidence.PersonEnrolled{Principal: "analyst1", Name: "Anton Analyst", Roles: identity.Roles{"analyst"}, Key: key}, []string{"enrolled Anton Analyst (analyst1) as analyst with the key SHA256:"}},
		{evidence.PersonRevoked{Principal: "analyst1", Reason: "left"}, []string{"revoked Anton Analyst (analyst1), because: left"}},
		{evidence.CheckpointAnchored{Size: 7, Tokens: []evidence.AnchorToken{{Authority: "lab2"}}}, []string{"had the checkpoint of the first 7 entries time-stamped by lab2 at "}},
		{evidence.ServiceStarted{Version: "1.0", Store: "s3", Bucket: "b", Lock: "none", Missing: []string{"object lock"}}, []string{"started 1.0 on the s3 store b, lock none, which cannot do: object lock"}},
		{evidence.CaseOpened{Reference: "C-1", Title: "T", Jurisdictions: []string{"DE", "CH"}, RetainDays: 9}, []string{`opened the case C-1, "T"`, "9 day(s)", "jurisdictions DE, CH"}},
		{evidence.CaseClosed{Reason: "final"}, []string{"closed the case, because: final"}},
		{evidence.HoldPlaced{Name: "H-1", Authority: "court", Reason: "appeal"}, []string{"put the case under the legal hold H-1, on the authority of court, because: appeal"}},
		{evidence.HoldLifted{Name: "H-1", Authority: "court", Reason: "judgment"}, []string{"lifted the legal hold H-1, on the authority of court, because: judgment"}},
		{evidence.PayloadErased{Entry: 7, Authority: "court", Reason: "ordered"}, []string{"erased the payload of entry 7, on the authority of court, because: ordered"}},
		{
			evidence.ExhibitAdded{Label: "E-1", Kind: "disk", Make: "M", Model: "X", Serial: "S", FoundBy: "F", FoundAt: "P", FoundOn: "Monday", Witness: "W", Note: "wet"},
			[]string{"took the exhibit E-1 into custody, a disk (M X serial S), found by F on Monday, at P, witnessed by W; with tool 1; note: wet"},
		},
		{
			evidence.IntakeDeclared{Exhibit: "E-1", Title: "d", Size: 9, Files: 2, Declared: setA, Acquisition: evidence.Acquisition{
				Tool: "dd", Witness: "W", Supervisor: "S", Place: "L", WriteBlocker: "T8", BadSectors: 3, Result: "completed",
				Log: &evidence.LogFile{Name: "l", SHA256: b},
			}},
			[]string{`a copy of E-1: "d", 9 bytes in 2 files, made with dd behind the write blocker T8, result: completed, 3 sectors unread, declared sha256:aaa`, "at L, witnessed by W, supervised by S"},
		},
		{evidence.IntakeAbandoned{Intake: uuid.Nil, Reason: "wrong"}, []string{"abandoned the intake", "because: wrong"}},
		{evidence.CopySealed{Facts: facts}, []string{"sealed E-1/M1: 9 bytes, sha256:aaa", "three equal hashes, the last read from the medium; locked (compliance) until 2026-03-01T12"}},
		{evidence.CopySealed{Facts: unlocked}, []string{"the medium could not be had", "not locked"}},
		{
			evidence.CopyQuarantined{Facts: evidence.Facts{Exhibit: "E-1", Number: "M1", Declared: setB, ReadBack: setA}, Differed: []digest.Algorithm{"sha256"}, Finding: 2},
			[]string{"quarantined E-1/M1 with finding 2, because hashes differ (sha256): declared sha256:bbb", "received none; read back sha256:aaa"},
		},
		{
			evidence.CopyQuarantined{Facts: evidence.Facts{Exhibit: "E-1", Number: "M1"}, Strays: []evidence.Stray{{Line: 3, SHA256: a}}, StraysTotal: 7, Finding: 2},
			[]string{"quarantined E-1/M1 with finding 2, because 7 file(s) of the set are not what its list says, the first in line 3, which has sha256:aaa"},
		},
		{
			evidence.FixityChecked{Exhibit: "E-1", Number: "M1", Result: evidence.Unreadable, Source: "store", Unreadable: []evidence.Range{{Offset: 4, Length: 5}}, UnreadableTotal: 7, Gone: true, Finding: 3},
			[]string{"could not be read, 7 unreadable range(s), the first 5 bytes from byte 4, the store has it no more as it was sealed; finding 3"},
		},
		{evidence.CopyRequested{Exhibit: "E-1", Binding: binding}, []string{"requested a working copy of E-1/M1 for Anton Analyst (analyst1), because: search"}},
		{evidence.CopyIssued{Facts: working, Binding: binding}, []string{"issued E-1/W1, made of M1, to Anton Analyst (analyst1): 9 bytes", "two equal hashes", "because: search"}},
		{evidence.ContentRead{Exhibit: "E-1", Number: "W1", Operation: evidence.Export, Length: 9}, []string{"let bytes of E-1/W1 out, for an export: 9 from byte 0"}},
		{evidence.CopyReceived{Exhibit: "E-1", Number: "W1", Size: 9, SHA256: a}, []string{"received E-1/W1: 9 bytes, sha256:aaa"}},
		{evidence.CopyReturned{Exhibit: "E-1", Number: "W1", Outcome: evidence.Altered, Size: 9, SHA256: &a, Note: "n"}, []string{"took back E-1/W1, altered: 9 bytes, sha256:aaa", "note: n"}},
		{evidence.CopyReturned{Exhibit: "E-1", Number: "W1", Outcome: evidence.Deleted}, []string{"took back E-1/W1, as deleted, which rests on the signer's word alone"}},
		{evidence.FixityChecked{Exhibit: "E-1", Number: "M1", Result: evidence.Match, Source: "medium", SHA256: &a}, []string{"it is what was sealed, sha256:aaa"}},
		{
			evidence.FixityChecked{Exhibit: "E-1", Number: "M1", Result: evidence.Mismatch, Source: "store", SHA256: &b, Damaged: []evidence.Range{{Offset: 4, Length: 5}}, Finding: 1, ListWrong: true},
			[]string{"it is NOT what was sealed", "1 damaged range(s), the first 5 bytes from byte 4", "midstate list", "finding 1"},
		},
		{evidence.FixityChecked{Exhibit: "E-1", Number: "M1", Result: evidence.Unreadable, Source: "store", DamagedTotal: 3, Detail: "gone"}, []string{"could not be read: gone"}},
		{evidence.AccessDenied{Exhibit: "E-1", Number: "M1", Operation: evidence.Fetch, Reason: "a master"}, []string{"was asked for E-1/M1, to be fetched, and denied it, because: a master"}},
		{evidence.CaseExported{Case: evidence.ChainEnd{Entries: 7}, Contents: []evidence.CopyID{{Exhibit: "E-1", Number: "W1"}}}, []string{"exported the case up to here, 7 entries, with the bytes of E-1/W1"}},
		{
			evidence.CaseExported{Pseudonymous: true, Withheld: []evidence.Withheld{{Entry: 3, Reason: "privileged"}}},
			[]string{"exported the case up to here, 0 entries, without saying who the people are, without what is in the entries 3 (privileged)"},
		},
	}
	for _, test := range tests {
		e := evidence.Event{Actor: "examiner1", At: noon, Body: test.body, Tool: "tool 1"}
		l := LineOf(e, 5, 2, noon, people)
		got := l.Sentence()
		if !strings.HasPrefix(got, "Erika Examiner (examiner1) ") || !strings.Contains(got, "; with tool 1") || l.Action != e.Kind() {
			t.Errorf("%s: %q", e.Kind(), got)
		}
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", e.Kind(), got, want)
			}
		}
	}
}

func TestWho(t *testing.T) {
	closed := evidence.CaseClosed{Reason: "r"}
	late := evidence.TimeOf(noon.Time().Add(3 * time.Minute))
	tests := []struct {
		event evidence.Event
		names Names
		want  string
	}{
		{evidence.Event{Actor: "examiner1", At: noon, Body: closed, Tool: "t"}, nil, "examiner1 closed the case, because: r; with t"},
		{evidence.Event{Actor: "stranger", At: noon, Body: closed, Tool: "t"}, people, "stranger closed the case, because: r; with t"},
		{evidence.Event{Actor: identity.Service, At: noon, Body: closed, Tool: "t"}, people, "the service closed the case, because: r; with t"},
		{
			evidence.Event{Actor: identity.Service, OnBehalfOf: &evidence.OnBehalfOf{Principal: "analyst1", Method: "session"}, At: noon, Body: closed, Tool: "t"},
			people, "the service for Anton Analyst (analyst1) (by session) closed the case, because: r; with t",
		},
		{
			evidence.Event{Actor: "examiner1", OnBehalfOf: &evidence.OnBehalfOf{Principal: "analyst1", Method: "session"}, At: noon, Body: closed, Tool: "t"},
			people, "Erika Examiner (examiner1) for Anton Analyst (analyst1) (by session) closed the case, because: r; with t",
		},
		{evidence.Event{Actor: "x", At: late, Body: closed, Tool: "t"}, nil, "x closed the case, because: r; with t; the actor's clock said 2026-03-01T12:03:00.000000Z"},
	}
	for _, test := range tests {
		if got := LineOf(test.event, 0, 0, noon, test.names).Sentence(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestPlain: what a hostile payload, or a hostile list of names, says stays one line of
// text.
func TestPlain(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"Ærø 木 \\ \"q\"", "Ærø 木 \\ \"q\""},
		{"می\u200cخواهم", "می\u200cخواهم"},
		{"a\x1b[2J\x1b[Hb", `a\x1b[2J\x1b[Hb`},
		{"one\r\ntwo\tthree", `one\r\ntwo\tthree`},
		{"\x7f\u0085\u009b31m", `\x7f\u0085\u009b31m`},
		{"exe.\u202egpj\u2066\ufeff\u2028", `exe.\u202egpj\u2066\ufeff\u2028`},
		{"\xff\xc3(", `\xff\xc3(`},
		{"\ufffd\U000e0041\u00a0", `\ufffd\U000e0041\u00a0`},
	} {
		if got := Plain(test.text); got != test.want {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
	evil := "x\n7  2026-03-01  somebody else sealed E-1/M1\x1b[2J\u202e"
	names := Names(func(identity.Principal) string { return evil })
	for _, body := range []evidence.Body{
		evidence.CaseClosed{Reason: evil},
		evidence.PersonEnrolled{Name: evil},
		evidence.ExhibitAdded{FoundBy: evil, FoundAt: evil, Witness: evil, Note: evil},
		evidence.IntakeDeclared{Title: evil, Acquisition: evidence.Acquisition{Tool: evil, Command: evil, Place: evil, Witness: evil}},
		evidence.FixityChecked{Result: evidence.Unreadable, Source: evil, Detail: evil},
		evidence.CopyReturned{Outcome: evidence.Outcome(evil), Note: evil},
	} {
		got := LineOf(evidence.Event{Actor: "x", At: noon, Body: body, Tool: evil}, 5, 2, noon, names).Sentence()
		if strings.ContainsFunc(got, unprintable) {
			t.Errorf("%T: %q", body, got)
		}
	}
}
