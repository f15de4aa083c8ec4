package verify

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Erased is an entry whose payload was taken away, as another entry says.
type Erased struct {
	Entry     int64              `json:"entry"`
	ErasedBy  int64              `json:"erased_by"` // the entry that says so
	By        identity.Principal `json:"by"`
	At        ledger.Time        `json:"at"`
	Authority string             `json:"authority"`
	Reason    string             `json:"reason"`
}

// erasure is what an entry of a bundle says that it erases.
type erasure struct {
	evidence.PayloadErased
	left evidence.Event
	by   Erased
	met  bool // the entry that it names is in the bundle before it
}

// noteErasure keeps what an envelope of type erase stands for, before the entries are
// judged: what is erased comes first. What is not as it has to be is told with the entry.
func (j *judge) noteErasure(e ledger.Envelope) {
	if e.Type != ledger.Erase {
		return
	}
	payload, err := j.b.ReadFile(bundle.EntryPath(bundle.KindPayload, e.Seq))
	if err != nil || sha256.Sum256(payload) != e.Payload {
		return
	}
	event, err := evidence.Parse(payload)
	if err != nil || disagree(e, event) != "" {
		return
	}
	b, ok := event.Body.(evidence.PayloadErased)
	if _, known := j.erasures[b.Entry]; !ok || known || b.Entry >= e.Seq {
		return // an entry is erased once
	}
	left, err := b.Left()
	if err != nil {
		return
	}
	j.erasures[b.Entry] = &erasure{b, left, Erased{b.Entry, e.Seq, event.Actor, e.Time, b.Authority, b.Reason}, false}
}

// erasedPayload judges an entry without a payload as one that was erased, if another
// entry says so.
func (j *judge) erasedPayload(e *entry) bool {
	x := j.erasures[e.seq]
	if x == nil || x.Leaf != digest.SHA256(e.leaf) {
		return false
	}
	e.erase(x.left)
	return true
}

// erase puts what is left of an entry in its place.
func (e *entry) erase(left evidence.Event) {
	e.event, e.erased = &left, true
	if detail := disagree(e.envelope, left); detail != "" {
		e.find(CodeErasure, "what is left of it: %s", detail)
	}
}

// stillThere judges an entry whose payload is there although it was erased: this is where
// it shows what should have been left of it.
func (j *judge) stillThere(e *entry) {
	x := j.erasures[e.seq]
	if x == nil || e.event == nil || x.Leaf != digest.SHA256(e.leaf) || sha256.Sum256(e.payload) != e.envelope.Payload {
		return
	}
	left, err := evidence.Residue(*e.event)
	var want []byte
	if err == nil {
		want, err = left.Encode()
	}
	if err != nil || !bytes.Equal(want, x.Residue) {
		e.find(CodeErasure, "entry %d erases it, and what that leaves of it is not what has to be left", x.by.ErasedBy)
	}
}

// noteErased holds an erasure against the entry that it names, in the order of the entries.
func (j *judge) noteErased(e *entry) {
	if x := j.erasures[e.seq]; x != nil && x.Leaf == digest.SHA256(e.leaf) && x.left.Case == evidence.CaseID(e.envelope.Case) {
		x.met = true
		if e.erased {
			j.r.Erased = append(j.r.Erased, x.by)
		} else if e.event != nil {
			j.r.note("entry %d was erased with entry %d, and its payload is still here", e.seq, x.by.ErasedBy)
		}
	}
	if e.event == nil {
		return
	}
	if b, ok := e.event.Body.(evidence.PayloadErased); ok {
		if x := j.erasures[b.Entry]; x == nil || x.by.ErasedBy == e.seq && !x.met {
			e.find(CodeErasure, "erases entry %d with the hash %s, which is not an entry of the case before it", b.Entry, b.Leaf)
		}
	}
}

// signedErased judges what is left of a signature: by whose key it was made.
func (e *entry) signedErased() {
	if e.key.IsZero() || e.signature == nil || sha256.Sum256(e.signature) != e.envelope.Sig {
		return // told
	}
	if key, err := identity.SignatureKey(e.signature); err != nil || key != e.key {
		e.find(e.rekeying(CodeSignature), "is erased, and its signature is not with the key of %s", e.actor())
	}
}

// limitsOfErasure says what was not checked because it is gone.
func (j *judge) limitsOfErasure() {
	var seqs []int64
	for _, e := range j.r.Erased {
		seqs = append(seqs, e.Entry)
	}
	if len(seqs) > 0 {
		j.r.unchecked(j.o.Complete, "what %s, which were erased, said, and their signatures: what was signed is gone, and what is left rests on who erased it", runs(seqs))
	}
}

// erased says what was erased, by whom and why.
func (r *Report) erased() []string {
	var items []string
	for _, e := range r.Erased {
		items = append(items, fmt.Sprintf("entry %d by entry %d, %s by %s, on the authority of %s: %s", e.Entry, e.ErasedBy, e.At, e.By, e.Authority, e.Reason))
	}
	return items
}

// gone are the entries of a ledger without their payloads, until the entry comes that
// erases them.
type gone map[int64]*row

// lookErased judges what is left of an entry, alone.
func (e *row) lookErased() {
	left, err := evidence.Parse(e.payload)
	if err == nil {
		err = evidence.IsResidue(left)
	}
	if err != nil {
		e.find(CodeErasure, "what is left of it: %v", err)
		return
	}
	e.erase(left)
}

// follow holds an erasure against what is left of the entry that it names.
func (g gone) follow(e *row) {
	if e.Record.Erased {
		g[e.envelope.Seq] = e
	}
	if e.event == nil {
		return
	}
	b, ok := e.event.Body.(evidence.PayloadErased)
	if !ok {
		return
	}
	switch left := g[b.Entry]; {
	case left == nil:
		e.find(CodeErasure, "erases entry %d, whose payload is still there", b.Entry)
	case digest.SHA256(left.leaf) != b.Leaf || !bytes.Equal(left.Payload, b.Residue):
		e.find(CodeErasure, "entry %d is not what this leaves of it", b.Entry)
	}
	delete(g, b.Entry)
}

// end tells of payloads that are gone and that nobody erased.
func (g gone) end(found *Found) {
	for _, seq := range slices.Sorted(maps.Keys(g)) {
		found.find(CodePayloadMissing, fmt.Sprintf("entry %d", seq), "is without its payload, and no entry erases it")
	}
}
