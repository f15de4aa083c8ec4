package verify

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Withheld is an entry whose payload the bundle was made without, as its seal states.
type Withheld struct {
	Entry  int64       `json:"entry"`
	Type   ledger.Type `json:"type"`
	Reason string      `json:"reason"`
}

// pseudonymous is the reason for which entries of type keys are withheld.
const pseudonymous = "pseudonymous"

// disclosure is what the seal of a bundle states that it was made without. A seal that is
// not the one of its envelope states nothing: then whatever is missing is a finding.
type disclosure struct {
	seal     int64
	reasons  map[int64]string
	met      map[int64]bool            // of the stated entries, those that are in the bundle
	declared map[uuid.UUID]bool        // intakes whose declaration is here, whatever the law says of it
	hidden   []int64                   // events of the case that are withheld
	texts    map[evidence.Kind][]int64 // entries of a pseudonymous bundle with text that somebody wrote
}

// disclose reads the seal that newest envelope of the case is of.
func (j *judge) disclose(newest ledger.Envelope) {
	j.disclosure = disclosure{seal: newest.Seq, met: map[int64]bool{}, declared: map[uuid.UUID]bool{}, texts: map[evidence.Kind][]int64{}}
	if newest.Type != ledger.Seal {
		return
	}
	payload, err := j.b.ReadFile(bundle.EntryPath(bundle.KindPayload, newest.Seq))
	if err != nil || sha256.Sum256(payload) != newest.Payload {
		return // told with the entry
	}
	event, err := evidence.Parse(payload)
	if err != nil {
		return
	}
	export, _ := event.Body.(evidence.CaseExported)
	j.pseudonymous, j.r.Pseudonymous = export.Pseudonymous, export.Pseudonymous
	j.reasons = make(map[int64]string, len(export.Withheld))
	for _, w := range export.Withheld {
		j.reasons[w.Entry] = w.Reason
	}
}

// withholds tells why the payload of an entry is not in the bundle; empty: it must be.
func (j *judge) withholds(e ledger.Envelope) string {
	if e.Type == ledger.Keys {
		if j.pseudonymous {
			return pseudonymous
		}
		return ""
	}
	if e.Seq == j.seal || !evidence.CanWithhold(evidence.EntryType(e.Type)) {
		return ""
	}
	return j.reasons[e.Seq]
}

// withheldPayload judges an entry whose payload is said to be withheld. It reports whether
// it is; otherwise the payload is there and has to be judged like any other.
func (j *judge) withheldPayload(e *entry, path string) bool {
	if e.withheld = j.withholds(e.envelope); e.withheld == "" {
		return false
	}
	if j.b.Has(path) {
		e.find(CodeWithheldPresent, "%s is there, and the export states that it is withheld", path)
		e.withheld = ""
		return false
	}
	return true
}

// noteDisclosed keeps what the judgement of objects needs to know of an entry.
func (j *judge) noteDisclosed(e *entry) {
	if _, stated := j.reasons[e.seq]; stated {
		j.met[e.seq] = true
		if j.withholds(e.envelope) == "" {
			e.find(CodeWithheldEntry, "is of type %s, which cannot be withheld, and the export states that it is", e.envelope.Type)
		}
	}
	if e.withheld != "" {
		j.r.Withheld = append(j.r.Withheld, Withheld{e.seq, e.envelope.Type, e.withheld})
		if e.envelope.Type == ledger.Event && e.envelope.Case == j.id {
			j.hidden = append(j.hidden, e.seq)
		}
	}
	if e.event == nil {
		return
	}
	switch b := e.event.Body.(type) {
	case evidence.IntakeDeclared:
		j.declared[b.Intake] = true
	case evidence.CopyRequested:
		j.declared[b.Intake] = true
	}
	if j.pseudonymous && !e.erased && e.seq != j.seal && worded(*e.event) {
		j.texts[e.event.Kind()] = append(j.texts[e.event.Kind()], e.seq)
	}
}

// worded reports whether an event holds text in which somebody can be named.
func worded(e evidence.Event) bool {
	switch b := e.Body.(type) {
	case evidence.PayloadErased:
		return true
	case evidence.CaseExported:
		return len(b.Withheld) > 0
	}
	_, err := evidence.Residue(e)
	return err == nil
}

// unmet finds what the seal withholds and the bundle has never heard of.
func (j *judge) unmet() {
	for seq := range j.reasons {
		if !j.met[seq] {
			j.r.find(CodeWithheldEntry, fmt.Sprintf("entry %d", j.seal), "states that entry %d is withheld, which is not in the bundle", seq)
		}
	}
}

// repeats reports whether an object of a copy repeats what a withheld declaration says: then
// it is withheld like that.
func (j *judge) repeats(c evidence.Copy, role evidence.Role) bool {
	return !j.declared[c.Intake] && len(j.reasons) > 0 && (role == evidence.Files || role == evidence.ToolLog)
}

// leftOut looks that such an object is not there.
func (j *judge) leftOut(c *Copy, o evidence.Object) {
	c.without = true
	if path := bundle.CopyPath(o.Role, c.id.Exhibit, c.id.Number); j.b.Has(path) {
		j.r.find(CodeWithheldPresent, path, "is there, and what was declared of %s is withheld", c.Copy)
	}
}

// limitsOfDisclosure says what was not checked because of what is withheld.
func (j *judge) limitsOfDisclosure() {
	if j.pseudonymous {
		kinds := slices.SortedFunc(maps.Keys(j.texts), func(x, y evidence.Kind) int { return cmp.Compare(j.texts[x][0], j.texts[y][0]) })
		for _, kind := range kinds {
			j.r.MayName = append(j.r.MayName, fmt.Sprintf("%s (%s)", runs(j.texts[kind]), kind))
		}
		for _, f := range j.b.Files(func(f bundle.File) bool { return f.Kind == bundle.KindLog || f.Kind == bundle.KindFiles }) {
			j.r.MayName = append(j.r.MayName, f.Path)
		}
		j.r.unchecked(j.o.Complete, "who signed: the bundle is pseudonymous. Each principal signed all that is here with one key, the one in %s; "+
			"who that is, whether they were enrolled then, and what their roles allowed, is not here", bundle.SignersFile)
	}
	var others []int64
	for _, w := range j.r.Withheld {
		if w.Type != ledger.Keys {
			others = append(others, w.Entry)
		}
	}
	if len(others) > 0 {
		j.r.unchecked(j.o.Complete, "what stands in %s, whether it is signed, and whether the law allowed it: withheld", runs(others))
	}
	if len(j.hidden) > 0 {
		j.r.unchecked(j.o.Complete, "whether what is withheld in %s holds or closes the case, or quarantines a copy: then the law forbids what "+
			"is shown behind it, and a file that is a copy is not said to be one that was quarantined", runs(j.hidden))
	}
	if len(j.unjudged) > 0 {
		j.r.unchecked(j.o.Complete, "whether the law allowed %s: that rests on what is withheld", runs(j.unjudged))
	}
	if without := j.r.those(func(c Copy) bool { return c.without }); without != "" {
		j.r.unchecked(j.o.Complete, "the logs and lists of files of %s: they are withheld like what was declared", without)
	}
}

// withheld says for each reason which entries are withheld, in the order of the first of them.
func (r *Report) withheld() []string {
	type why struct {
		kind   ledger.Type
		reason string
	}
	var order []why
	entries := map[why][]int64{}
	for _, w := range r.Withheld {
		y := why{w.Type, w.Reason}
		if entries[y] == nil {
			order = append(order, y)
		}
		entries[y] = append(entries[y], w.Entry)
	}
	items := make([]string, len(order))
	for i, y := range order {
		items[i] = fmt.Sprintf("%s (%s): %s", runs(entries[y]), y.kind, y.reason)
	}
	return items
}

// hides reports whether there can be copies of which the bundle shows nothing.
func (r *Report) hides() bool {
	return slices.ContainsFunc(r.Withheld, func(w Withheld) bool { return w.Type == ledger.Event })
}

// runs writes rising numbers of entries, those that follow each other as a range.
func runs(seqs []int64) string {
	var words []string
	for i := 0; i < len(seqs); {
		last := i
		for last+1 < len(seqs) && seqs[last+1] == seqs[last]+1 {
			last++
		}
		word := fmt.Sprint(seqs[i])
		if last > i {
			word += fmt.Sprintf("-%d", seqs[last])
		}
		words = append(words, word)
		i = last + 1
	}
	if len(seqs) == 1 {
		return "entry " + words[0]
	}
	return "entries " + strings.Join(words, ", ")
}

// anybody is the state of a pseudonymous bundle: who is not known may do everything.
type anybody struct{ *evidence.Memory }

// Person implements evidence.View.
func (a anybody) Person(p identity.Principal) (evidence.Person, error) {
	return evidence.Person{Principal: p, Roles: identity.AllRoles()}, nil
}

// view is what the law is asked on.
func (r *replay) view() evidence.View {
	if r.pseudonymous {
		return anybody{r.state}
	}
	return r.state
}

// withhold goes by an entry whose payload is withheld. By whom it is signed stands in the
// signature, which can be compared with who there was.
func (r *replay) withhold(e *entry) {
	if !e.envelope.Case.IsZero() && e.envelope.Type == ledger.Event {
		r.without[evidence.CaseID(e.envelope.Case)] = true
	}
	if !e.holds() {
		return // told
	}
	key, err := identity.SignatureKey(e.signature)
	if err != nil {
		e.find(CodeSignature, "%v", err)
		return
	}
	if r.pseudonymous {
		return
	}
	people, _ := r.state.People() // Memory has no errors
	if !slices.ContainsFunc(people, func(p evidence.Person) bool { return p.Key == key && p.Revoked == nil }) {
		e.find(e.rekeying(CodeSigner), "is withheld, and signed with the key %s, which was nobody's", key.Fingerprint())
	}
}

// holds reports whether the signature is the one of its envelope.
func (e *entry) holds() bool {
	return e.signature != nil && sha256.Sum256(e.signature) == e.envelope.Sig
}

// claimed gives the key of an actor of whom there is nothing but signatures: that of the
// first one, and no other from then on. Who signed what is shown stands in allowed_signers.
func (r *replay) claimed(e *entry) identity.PublicKey {
	actor := e.actor()
	key, known := r.keys[actor]
	if !known {
		if !e.holds() {
			return identity.PublicKey{} // told
		}
		var err error
		if key, err = identity.SignatureKey(e.signature); err != nil {
			e.find(CodeSignature, "by %s: %v", actor, err)
			return identity.PublicKey{}
		}
		for other, taken := range r.keys {
			if taken == key {
				e.find(CodeSigner, "%s signs with the key of %s", actor, other)
			}
		}
		r.keys[actor] = key
	}
	if !e.erased && !r.listed[actor] {
		r.listed[actor] = true
		r.signers = bundle.AppendKey(r.signers, actor, key)
	}
	return key
}
