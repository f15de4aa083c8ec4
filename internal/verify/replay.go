package verify

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// chainCodes are what a chain's check can find.
var chainCodes = []struct {
	err  error
	code Code
}{
	{ledger.ErrEnvelope, CodeEnvelope},
	{ledger.ErrOrigin, CodeEntryOrigin},
	{ledger.ErrCase, CodeEntryCase},
	{ledger.ErrRepeated, CodeEntryRepeated},
	{ledger.ErrMissing, CodeEntryMissing},
	{ledger.ErrPrev, CodeChain},
	{ledger.ErrTimeBackwards, CodeTime},
	{ledger.ErrCaseSequence, CodeCaseSequence},
	{ledger.ErrCasePrev, CodeCaseChain},
}

// placed notes what a chain's check found.
func (e *entry) placed(err error) {
	for _, c := range chainCodes {
		if errors.Is(err, c.err) {
			e.find(c.code, "%v", c.err)
		}
	}
}

// followAt judges an entry's place, and applies the law to what happened. It is called
// in the order of the lines.
func (j *judge) followAt(e *entry) {
	j.r.Entries++
	if e.malformed != nil {
		err := j.chains.Add(e.line) // the chain has to go on behind it
		e.found = append(e.found, NewFinding(CodeEnvelope, fmt.Sprintf("%s line %d", bundle.EntriesFile, j.r.Entries), "%v", err))
		return
	}
	err := j.chains.AddParsed(e.envelope, e.leaf)
	e.placed(err)
	j.seqs[e.envelope.Seq] = true
	j.noteMoment(e)
	if errors.Is(err, ledger.ErrRepeated) || errors.Is(err, ledger.ErrCase) {
		return // it has no place in the story
	}
	if e.envelope.Case == j.id {
		j.last = e
	}
	j.noteDisclosed(e)
	j.noteErased(e)
	if e.event != nil {
		if !j.pseudonymous {
			j.signers = bundle.AppendSigner(j.signers, e.event.Body)
		}
		j.noteFacts(*e.event)
	}
	j.happened(e)
}

// replay is the state that the entries so far have led to.
type replay struct {
	verifier *identity.Verifier // of signatures

	state *evidence.Memory
	ids   map[uuid.UUID]int64 // of payloads, and which entry has it
	// unknown are the chains in which something happened that this program does not
	// know; rekeyed: it was of type keys.
	unknown map[evidence.CaseID]bool
	rekeyed bool
	// without are the chains in which a payload is withheld; unjudged the entries that the
	// law forbids without it.
	without  map[evidence.CaseID]bool
	unjudged []int64
	// Of a pseudonymous bundle there are no people, but the keys that principals sign with.
	pseudonymous bool
	keys         map[identity.Principal]identity.PublicKey
	listed       map[identity.Principal]bool // who stands in signers
	signers      []byte                      // allowed_signers, as the entries say
}

func newReplay() replay {
	return replay{
		verifier: &identity.Verifier{}, state: evidence.NewMemory(), ids: map[uuid.UUID]int64{}, unknown: map[evidence.CaseID]bool{},
		without: map[evidence.CaseID]bool{}, keys: map[identity.Principal]identity.PublicKey{}, listed: map[identity.Principal]bool{},
	}
}

// happened takes an entry into the state, if the law allows what happened.
func (r *replay) happened(e *entry) {
	e.rekeyed = r.rekeyed
	switch {
	case e.event != nil:
		r.apply(e)
	case e.newer != nil:
		r.pass(e)
	case e.withheld != "":
		r.withhold(e)
	}
	r.state.Record(evidence.CaseID(e.envelope.Case), digest.SHA256(e.leaf), e.envelope.CaseSeq)
}

func (r *replay) apply(e *entry) {
	event := *e.event
	e.key = r.keyOf(e)
	r.once(e, event.ID)
	if export, ok := event.Body.(evidence.CaseExported); ok && !r.endsHold(e, export) {
		return
	}
	at := evidence.Position{CaseSeq: e.envelope.CaseSeq, Time: evidence.TimeOf(e.envelope.Time.Std())}
	changes, err := evidence.Apply(r.view(), event, at)
	if err != nil && r.without[event.Case] && evidence.Absent(err) {
		if changes, err = evidence.Stated(r.view(), event, at); err == nil {
			r.unjudged = append(r.unjudged, e.seq)
		}
	}
	if err != nil {
		e.find(r.building(CodeLaw, event.Case), "%s by %s: %v", event.Kind(), event.Actor, err)
		return
	}
	r.state.Save(changes)
}

// pass goes by an entry that this program does not know. It may have changed anything
// of its case, or, of no case, anything at all.
func (r *replay) pass(e *entry) {
	n := e.newer
	e.key = r.keyOf(e)
	r.once(e, n.ID)
	if p, err := r.state.Person(n.Actor); err == nil && p.Revoked != nil {
		e.find(r.building(CodeLaw, evidence.CaseID{}), "%.60q by %s, who was revoked", n.Action, n.Actor)
	}
	e.find(CodeUnknownAction, "%.60q, in version %d of the payload, was made by a newer custodyd; this program cannot judge it", n.Action, n.V)
	r.unknown[n.Case] = true
	r.rekeyed = r.rekeyed || e.envelope.Type == ledger.Keys
}

// building is the code of a finding that rests on what happened before in a case.
func (r *replay) building(code Code, c evidence.CaseID) Code {
	if r.unknown[c] || r.unknown[evidence.CaseID{}] {
		return CodeUnknownAction
	}
	return code
}

// once checks that an id was not used before.
func (r *replay) once(e *entry, id uuid.UUID) {
	if first, used := r.ids[id]; used {
		e.find(CodePayloadID, "has the id %s, as entry %d", id, first)
		return
	}
	r.ids[id] = e.seq
}

// keyOf gives the key that was the actor's when the entry was made. With the first
// entry of a ledger the service brings its own.
func (r *replay) keyOf(e *entry) identity.PublicKey {
	if r.pseudonymous {
		return r.claimed(e)
	}
	actor := e.actor()
	p, err := r.state.Person(actor)
	if err == nil {
		return p.Key
	}
	if e.event != nil {
		if b, ok := e.event.Body.(evidence.PersonEnrolled); ok && b.Principal == identity.Service && actor == identity.Service {
			return b.Key
		}
	}
	e.find(e.rekeying(CodeSigner), "%s was not enrolled", actor)
	return identity.PublicKey{}
}

// noteFacts keeps what the nouns do not.
func (j *judge) noteFacts(event evidence.Event) {
	var f evidence.Facts
	switch b := event.Body.(type) {
	case evidence.CopySealed:
		f = b.Facts
	case evidence.CopyIssued:
		f = b.Facts
	case evidence.CopyQuarantined:
		f = b.Facts
	case evidence.ServiceStarted:
		for _, m := range b.Missing {
			j.noteLack(m, event.At)
		}
		return
	default:
		return
	}
	j.sources[evidence.CopyID{Case: event.Case, Exhibit: f.Exhibit, Number: f.Number}] = f.ReadSource
}

// A lack is what a store was accepted without, when the service started.
type lack struct {
	what        string
	starts      int
	first, last evidence.Time
}

// noteLack counts the starts that state the same: each states it again.
func (j *judge) noteLack(what string, at evidence.Time) {
	if l := j.lacking[what]; l != nil {
		l.starts, l.last = l.starts+1, at
		return
	}
	l := &lack{what, 1, at, at}
	j.lacking[what] = l
	j.lacks = append(j.lacks, l)
}

func (j *judge) noteLacks() {
	for _, l := range j.lacks {
		if l.starts == 1 {
			j.r.note("when the service started on %s, its store was accepted without: %s", l.first, l.what)
			continue
		}
		j.r.note("when the service started, %d times from %s to %s, its store was accepted without: %s", l.starts, l.first, l.last, l.what)
	}
}

// endsHold checks what an export states of both chains.
func (r *replay) endsHold(e *entry, b evidence.CaseExported) bool {
	holds := true
	for _, end := range []struct {
		code Code
		name string
		of   evidence.CaseID
		evidence.ChainEnd
	}{
		{CodeCaseEnd, "the case", evidence.CaseID(e.envelope.Case), b.Case},
		{CodeSystemEnd, "the entries of no case", evidence.CaseID{}, b.System},
	} {
		n, err := r.state.Entry(end.of, end.Head)
		if err != nil || n != end.Entries-1 {
			e.find(end.code, "the export states %d entries of the chain of %s, the last with the hash %s; that one is not here",
				end.Entries, end.name, end.Head)
			holds = false
		}
	}
	return holds
}

// ends judges where the bundle ends.
func (j *judge) ends() {
	j.noteLacks()
	if text, err := j.b.ReadFile(bundle.SignersFile); err == nil && !bytes.Equal(text, j.signers) {
		j.r.find(j.building(CodeSigners, evidence.CaseID{}), bundle.SignersFile, "is not what the entries enrol")
	}
	j.unmet()
	if j.last == nil {
		j.r.find(CodeSealMissing, bundle.EntriesFile, "there is no entry of a case")
		return
	}
	subject, seq := fmt.Sprintf("entry %d", j.last.envelope.Seq), j.last.envelope.Seq
	var sealed bool
	if j.last.envelope.Type == ledger.Seal && j.last.event != nil {
		_, sealed = j.last.event.Body.(evidence.CaseExported)
	}
	switch known := j.tree.Origin != ""; {
	case !sealed && (j.last.newer == nil || j.last.envelope.Type != ledger.Seal):
		j.r.find(CodeSealMissing, subject, "is the newest of the case and not its export: entries after it were left out")
	case known && j.tree.Size != seq+1:
		j.r.find(CodeSealCheckpoint, subject, "is the export, and the checkpoint of an export ends with it: at %d entries, not %d. "+
			"The bundle was cut back to an earlier export than its checkpoint's: entries after it were left out", seq+1, j.tree.Size)
	}
	if !sealed {
		return
	}
	j.r.Export = &Export{Entry: seq, Time: j.last.envelope.Time}
	if b := j.last.event.OnBehalfOf; b != nil {
		j.r.Export.For = b.Principal
	}
}
