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

// follow judges an entry's place, and applies the law to what happened. It is called
// in the order of the lines.
func (j *judge) follow(e *entry) {
	j.r.Entries++
	if e.malformed != nil {
		err := j.chains.Add(e.line) // the chain has to go on behind it
		e.found = append(e.found, Finding{Code: CodeEnvelope, Subject: fmt.Sprintf("%s line %d", bundle.EntriesFile, j.r.Entries), Detail: err.Error()})
		return
	}
	err := j.chains.AddParsed(e.envelope, e.leaf)
	e.placed(err)
	j.seqs[e.envelope.Seq] = true
	if errors.Is(err, ledger.ErrRepeated) || errors.Is(err, ledger.ErrCase) {
		return // it has no place in the story
	}
	if e.envelope.Case == j.id {
		j.last = e
	}
	if e.event != nil {
		j.signers = bundle.AppendSigner(j.signers, e.event.Body)
		j.noteFacts(*e.event)
	}
	j.happened(e)
}

// replay is the state that the entries so far have led to.
type replay struct {
	state *evidence.Memory
	ids   map[uuid.UUID]int64 // of payloads, and which entry has it
}

func newReplay() replay {
	return replay{state: evidence.NewMemory(), ids: map[uuid.UUID]int64{}}
}

// happened takes an entry into the state, if the law allows what happened.
func (r *replay) happened(e *entry) {
	if e.event != nil {
		r.apply(e)
	}
	r.state.Record(evidence.CaseID(e.envelope.Case), digest.SHA256(e.leaf), e.envelope.CaseSeq)
}

func (r *replay) apply(e *entry) {
	event := *e.event
	e.key = r.keyOf(e)
	if first, used := r.ids[event.ID]; used {
		e.find(CodePayloadID, "has the id %s, as entry %d", event.ID, first)
	} else {
		r.ids[event.ID] = e.seq
	}
	if export, ok := event.Body.(evidence.CaseExported); ok && !r.endsHold(e, export) {
		return
	}
	changes, err := evidence.Apply(r.state, event, evidence.Position{
		CaseSeq: e.envelope.CaseSeq, Time: evidence.TimeOf(e.envelope.Time.Std()),
	})
	if err != nil {
		e.find(CodeLaw, "%s by %s: %v", event.Kind(), event.Actor, err)
		return
	}
	r.state.Save(changes)
}

// keyOf gives the key that was the actor's when the entry was made. With the first
// entry of a ledger the service brings its own.
func (r *replay) keyOf(e *entry) identity.PublicKey {
	p, err := r.state.Person(e.event.Actor)
	if err == nil {
		return p.Key
	}
	if b, ok := e.event.Body.(evidence.PersonEnrolled); ok && b.Principal == identity.Service && e.event.Actor == identity.Service {
		return b.Key
	}
	e.find(CodeSigner, "%s was not enrolled", e.event.Actor)
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
			j.r.note("when the service started on %s, its store was accepted without: %s", event.At, m)
		}
		return
	default:
		return
	}
	j.sources[evidence.CopyID{Case: event.Case, Exhibit: f.Exhibit, Number: f.Number}] = f.ReadSource
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
	if text, err := j.b.ReadFile(bundle.SignersFile); err == nil && !bytes.Equal(text, j.signers) {
		j.r.find(CodeSigners, bundle.SignersFile, "is not what the entries enrol")
	}
	if j.last == nil {
		j.r.find(CodeSealMissing, bundle.EntriesFile, "there is no entry of a case")
		return
	}
	var sealed bool
	if j.last.event != nil && j.last.envelope.Type == ledger.Seal {
		_, sealed = j.last.event.Body.(evidence.CaseExported)
	}
	if !sealed {
		j.r.find(CodeSealMissing, fmt.Sprintf("entry %d", j.last.envelope.Seq),
			"is the newest of the case and not its export: entries after it were left out")
		return
	}
	j.r.Export = &Export{Entry: j.last.envelope.Seq, Time: j.last.envelope.Time}
	if b := j.last.event.OnBehalfOf; b != nil {
		j.r.Export.For = b.Principal
	}
}
