package attack

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// invent appends a read of a working copy that nobody made, signed by the service's key.
func (l *lab) invent() {
	l.t.Helper()
	key, err := identity.LoadKeyFile(l.path("data", "service_key"), func() ([]byte, error) { return nil, os.ErrInvalid })
	must(l.t, err)
	l.recompute(func(all []kept) []kept {
		last := all[slices.IndexFunc(all, func(k kept) bool { return strings.Contains(string(k.payload), `"action":"copy.issued"`) })]
		envelope, err := ledger.ParseEnvelope(last.envelope)
		must(l.t, err)
		newest, err := ledger.ParseEnvelope(all[len(all)-1].envelope)
		must(l.t, err)
		id, err := uuid.NewV7()
		must(l.t, err)
		event := evidence.Event{
			Actor: identity.Service, At: evidence.TimeOf(time.Now()), Case: evidence.CaseID(envelope.Case), ID: id, Log: string(envelope.Log),
			Body:       evidence.ContentRead{Exhibit: "E-001", Number: "W1", Operation: evidence.Fetch, Length: 1},
			OnBehalfOf: &evidence.OnBehalfOf{Principal: "analyst1", Method: "session"},
			Salt:       digest.SHA256{1}, Seen: digest.SHA256(ledger.LeafHash(last.envelope)), Tool: "custodyd",
		}
		payload, err := event.Encode()
		must(l.t, err)
		signature, err := key.Sign(l.t.Context(), identity.NamespaceEvent, payload)
		must(l.t, err)
		envelope.Time = newest.Time
		return append(all, kept{event: id[:], envelope: envelope.Bytes(), payload: payload, signature: signature})
	})
}

var peopleRows = []row{
	{
		attacker: "a person's key", does: "signs as that person",
		caught: "that person, who reads the history; once revoked, it signs nothing",
		not:    "the ledger, which cannot tell who used a key",
		attack: func(l *lab) {
			l.up()
			l.must("thief", "setup", "--server", "http://"+l.address, "--principal", "analyst1", "--key", l.path("keys", "analyst1"), "--verifier-key", l.vkey)
			l.must("thief", "copy", "fetch", "2026-0042/E-001/W1", "-o", l.path("stolen.dd"))
			if history := l.must("examiner1", "history", "2026-0042"); !strings.Contains(history, "analyst1") {
				l.t.Fatalf("the history does not tell of the fetch: %s", history)
			}
			l.must("examiner1", "person", "revoke", "analyst1", "--reason", "the key was stolen")
			l.refused("thief", 5, "", "copy", "fetch", "2026-0042/E-001/W1", "-o", l.path("again.dd"))
			l.down()
			l.audit()
		},
	},
	{
		attacker: "the service's key and the database", does: "invents reads, checks or denials",
		caught: "the person named, who reads the history",
		not:    "the verifier: the signature is good; whoever may not read the history takes the service's word for a check",
		attack: func(l *lab) {
			l.invent()
			l.up()
			if history := l.must("examiner1", "history", "2026-0042/E-001/W1"); !strings.Contains(history, "analyst1") {
				l.t.Fatalf("the history does not tell of the read: %s", history)
			}
			l.must("examiner1", "export", "2026-0042", "-o", l.path("invented.zip"))
			l.down()
			l.verify(l.path("invented.zip"))
		},
	},
	{
		attacker: "everything, as the lab itself", does: "withholds or erases what is awkward",
		caught: "the verdict, which says what is not there, on whose word and why; `verify --require-complete` takes nothing less than all",
		not:    "anybody, as to what it said",
		attack: func(l *lab) {
			l.up()
			l.must("examiner1", "export", "2026-0042", "--pseudonymous", "--withhold", "6=privileged", "-o", l.path("less.zip"))
			l.down()
			l.verify(l.path("less.zip"))
			if r := l.cli("examiner1", "verify", l.path("less.zip")); !strings.Contains(r.stdout+r.stderr, "privileged") {
				l.t.Fatalf("the verdict does not say what is withheld: %s%s", r.stdout, r.stderr)
			}
			l.refused("examiner1", 3, "", "verify", "--require-complete", l.path("less.zip"))
			l.up()
			l.must("examiner1", "erase", "2026-0042", "6", "--authority", "Court of Graz", "--reason", "awkward", "--yes")
			l.must("examiner1", "export", "2026-0042", "-o", l.path("erased.zip"))
			l.down()
			l.audit()
			l.verify(l.path("erased.zip"))
			if r := l.cli("examiner1", "verify", l.path("erased.zip")); !strings.Contains(r.stdout+r.stderr, "Court of Graz") {
				l.t.Fatalf("the verdict does not say what is erased: %s%s", r.stdout, r.stderr)
			}
			l.refused("examiner1", 3, "", "verify", "--require-complete", l.path("erased.zip"))
		},
	},
	{
		attacker: "everything, as the lab itself", does: "seals a false image in the first place",
		caught: "the witness and the imaging tool's log, if they are honest",
		not:    "the ledger, which keeps what people say and does not know what is true",
		attack: func(l *lab) {
			l.write("false.dd", image(5000))
			l.up()
			l.must("examiner1", "ingest", "--exhibit", "2026-0042/E-001", "--tool", "none", "--witness", "Nobody", "--place", "Lab 2", l.path("false.dd"))
			l.must("examiner1", "export", "2026-0042", "-o", l.path("false.zip"))
			l.down()
			l.verify(l.path("false.zip"))
		},
	},
}
