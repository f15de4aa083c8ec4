package verify

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Options are how to judge.
type Options struct {
	Policy   *Policy       // nil: nobody is believed, and the verdict is at best incomplete
	Workers  int           // 0: one for each core
	Complete bool          // a bundle from which something is withheld or erased is incomplete
	Progress func(n int64) // told the bytes of evidence and files that were hashed, from any goroutine
}

func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// Bundle judges a bundle. What is wrong with it stands in the report; the error is
// that of ctx.
func Bundle(ctx context.Context, b *bundle.Bundle, o Options) (Report, error) {
	j := &judge{
		b: b, o: o, r: newReport(), replay: newReplay(), seqs: map[int64]bool{}, erasures: map[int64]*erasure{},
		sources: map[evidence.CopyID]string{}, lacking: map[string]*lack{},
	}
	j.checkpoint()
	j.witnesses()
	if err := j.entries(ctx); err != nil {
		return Report{}, fmt.Errorf("verify bundle: %w", err)
	}
	j.summary()
	if err := b.Check(ctx, o.workers(), j.bySegments, o.Progress); err != nil {
		return Report{}, fmt.Errorf("verify bundle: %w", err)
	}
	if err := j.objects(ctx); err != nil {
		return Report{}, fmt.Errorf("verify bundle: %w", err)
	}
	if err := j.anchors(ctx); err != nil {
		return Report{}, fmt.Errorf("verify bundle: %w", err)
	}
	j.clocks()
	j.limits()
	found := j.r.Found
	j.r.Found = newFound()
	j.r.faults(b) // first, though the last of them are known only now
	j.r.join(found)
	j.r.conclude()
	return j.r, nil
}

// NoBundle is the report on what bundle.Open or bundle.OpenDir refused as a
// bundle.ErrFormat: something that was cut off, garbled, or never a bundle.
func NoBundle(path string, err error) Report {
	r := newReport()
	r.find(CodeNoBundle, path, "%v; it was cut off or garbled, or is not what an export wrote", err)
	r.conclude()
	return r
}

// judge is one judgement of a bundle.
type judge struct {
	b *bundle.Bundle
	o Options
	r Report

	key  ledger.VerifierKey // that the checkpoint must be signed with
	note []byte             // the checkpoint as it stands in the bundle
	tree ledger.Checkpoint  // zero when there is none to be read

	chains   *ledger.CaseChecker
	receipts sync.Pool     // of *ledger.Receipts
	id       ledger.CaseID // the bundle's case
	replay
	disclosure
	anchoring
	erasures map[int64]*erasure // by the entry that is erased
	seqs     map[int64]bool
	last     *entry // newest of the case
	sources  map[evidence.CopyID]string
	copies   map[evidence.CopyID]evidence.Copy
	lacks    []*lack // in the order in which they were first stated
	lacking  map[string]*lack
}

// checkpoint judges the checkpoint, its parts and the key that it is signed with.
func (j *judge) checkpoint() {
	own, known := j.ownKey()
	j.key = own
	if p := j.o.Policy; p != nil {
		j.key, j.r.Policy = p.Key, true
		if known && own != p.Key {
			j.r.find(CodeKeyDiffers, bundle.KeyFile, "the bundle brings the key %s, the policy demands %s", own, p.Key)
		}
	}
	note, err := j.b.ReadFile(bundle.CheckpointFile)
	if err != nil {
		return // a fault of the container
	}
	j.note = note
	tree, err := ledger.OpenCheckpoint(note, j.key)
	signed := err == nil
	if signed {
		j.parts()
	} else {
		j.r.find(checkpointCode(err), bundle.CheckpointFile, "%v", err)
		// Nobody vouches for it; still, do the entries agree with it?
		body, _, _ := bytes.Cut(note, []byte("\n\n"))
		if tree, err = ledger.ParseCheckpoint(append(bytes.Clone(body), '\n')); err != nil {
			return
		}
	}
	j.tree = tree
	j.r.Checkpoint = &Checkpoint{Origin: tree.Origin, Size: tree.Size, Root: tree.Root, Trusted: signed && j.r.Policy}
}

// ownKey gives the key that the bundle brings.
func (j *judge) ownKey() (ledger.VerifierKey, bool) {
	text, err := j.b.ReadFile(bundle.KeyFile)
	if err != nil {
		return ledger.VerifierKey{}, false
	}
	line, ok := strings.CutSuffix(string(text), "\n")
	key, err := ledger.ParseVerifierKey(line)
	if err != nil || !ok {
		j.r.find(CodeKeyForm, bundle.KeyFile, "is not a verifier key and a newline")
		return ledger.VerifierKey{}, false
	}
	want, err := key.PEM()
	if err != nil {
		j.r.find(CodeKeyForm, bundle.KeyFile, "%v", err)
		return ledger.VerifierKey{}, false
	}
	if text, err := j.b.ReadFile(bundle.KeyPEMFile); err == nil && !bytes.Equal(text, want) {
		j.r.find(CodeKeyPEM, bundle.KeyPEMFile, "is not the key of %s", bundle.KeyFile)
	}
	return key, true
}

// parts compares the files made for openssl.
func (j *judge) parts() {
	body, sig, err := ledger.SplitCheckpoint(j.note, j.key)
	if err != nil {
		j.r.find(CodeCheckpointForm, bundle.CheckpointFile, "%v", err)
		return
	}
	for _, part := range []struct {
		path string
		want []byte
	}{{bundle.CheckpointBodyFile, body}, {bundle.CheckpointSigFile, sig}} {
		if text, err := j.b.ReadFile(part.path); err == nil && !bytes.Equal(text, part.want) {
			j.r.find(CodeCheckpointParts, part.path, "is not what stands in the checkpoint")
		}
	}
}

// summary says what the entries came to.
func (j *judge) summary() {
	people, err := j.state.People()
	if err != nil {
		people = nil // Memory has no errors
	}
	for _, p := range people {
		j.r.People = append(j.r.People, Person{
			Principal: p.Principal, Name: p.Name, Roles: p.Roles, Fingerprint: p.Key.Fingerprint(), Enrolled: p.Enrolled, Revoked: p.Revoked,
		})
	}
	if c, err := j.state.Case(evidence.CaseID(j.id)); err == nil {
		j.r.Case = &Case{
			ID: c.ID, Reference: c.Reference, Title: c.Title, Jurisdictions: c.Jurisdictions, State: c.State,
			Entries: j.chains.CaseHead(j.id).Size,
		}
		j.bag(c.Reference)
	}
	all := j.state.All()
	j.copies = map[evidence.CopyID]evidence.Copy{}
	slices.SortFunc(all.Copies, func(x, y evidence.Copy) int {
		return cmp.Or(cmp.Compare(x.Exhibit, y.Exhibit), cmp.Compare(x.Class, y.Class),
			cmp.Compare(len(x.Number), len(y.Number)), cmp.Compare(x.Number, y.Number))
	})
	for _, c := range all.Copies {
		j.copies[c.CopyID] = c
		j.r.Copies = append(j.r.Copies, Copy{
			Copy: c.String(), Class: c.Class, Title: c.Title, Size: c.Size, Digests: c.Digests, State: c.State,
			Quarantined: c.Quarantined(), Open: c.Findings, Custodian: c.Custodian, Of: c.Of, To: c.To, Lock: c.Lock,
			RetainUntil: lockedUntil(c), ReadSource: j.sources[c.CopyID], id: c.CopyID,
		})
	}
	slices.SortFunc(all.Findings, func(x, y evidence.Finding) int { return cmp.Compare(x.Number, y.Number) })
	for _, f := range all.Findings {
		j.r.Recorded = append(j.r.Recorded, Recorded{
			Number: f.Number, Copy: string(f.Exhibit) + "/" + string(f.Copy), What: f.What, State: f.State, Opened: f.Opened,
		})
	}
}

// bag compares what nobody has signed with what was.
func (j *judge) bag(reference evidence.Name) {
	if top := j.b.Reference(); top != "" && top != string(reference) {
		j.r.find(Code(bundle.FaultReference), top, "the bundle is named so, its case is %s", reference)
	}
	info, ok := j.b.BagInfo()
	if !ok {
		return // a fault of the container
	}
	if info.Reference != string(reference) {
		j.r.find(Code(bundle.FaultReference), bundle.BagInfoFile, "is of the case %q, the entries are of %s", info.Reference, reference)
	}
	if origin := j.origin(); info.Origin != string(origin) {
		j.r.find(Code(bundle.FaultBag), bundle.BagInfoFile, "names the ledger %q, the entries are of %s", info.Origin, origin)
	}
	if e := j.r.Export; e != nil && info.Date != e.Time.Std().Format(time.DateOnly) {
		j.r.find(Code(bundle.FaultBag), bundle.BagInfoFile, "has the date %q, the export was made %s", info.Date, e.Time)
	}
	if !j.b.KnownReadme(reference, j.origin()) {
		j.r.note("%s is not what this version of the program writes: it can be of another version, or of somebody else. "+
			"Take commands to be pasted from the program's documentation", bundle.ReadmeFile)
	}
	if !j.b.KnownVerifier() {
		j.r.note("%s is not what this version of the program writes: it can be of another version, or of somebody else. "+
			"Do not run it; take it from the program's public source", bundle.VerifierFile)
	}
}

// lockedUntil tells how long all objects of a copy are locked; nil, where one is not.
func lockedUntil(c evidence.Copy) *evidence.Time {
	until := c.Objects[0].RetainUntil
	for _, o := range c.Objects {
		if o.Lock == "none" || o.RetainUntil == nil || until == nil {
			return nil
		}
		if o.RetainUntil.Time().Before(until.Time()) {
			until = o.RetainUntil
		}
	}
	return until
}

// locked names the copies with a lock of that kind, and where it is not on their bytes,
// on what it is.
func (j *judge) locked(lock string) string {
	var names []string
	for _, c := range j.r.Copies {
		var roles []string
		for _, o := range j.copies[c.id].Objects {
			if o.Lock == lock {
				roles = append(roles, string(o.Role))
			}
		}
		switch {
		case slices.Contains(roles, string(evidence.Content)):
			names = append(names, c.Copy)
		case len(roles) > 0:
			names = append(names, fmt.Sprintf("%s (%s)", c.Copy, strings.Join(roles, " and ")))
		}
	}
	return strings.Join(names, ", ")
}

// limits says what the report does not cover, and what should be known beside it.
func (j *judge) limits() {
	for _, n := range []struct{ lock, text string }{
		{"none", "nothing in the store keeps them from being changed or deleted (lock: none)"},
		{"directory", "the store is a directory, whose administrator can change or delete them (lock: directory)"},
		{"governance", "some administrators of the store can lift their locks (lock: governance)"},
	} {
		if objects := j.locked(n.lock); objects != "" {
			j.r.note("%s: %s", objects, n.text)
		}
	}
	if copies := j.r.those(func(c Copy) bool { return c.ReadSource == "cache" }); copies != "" {
		j.r.note("%s: when sealed they were read back from memory, the medium could not be asked", copies)
	}
	if j.o.Policy == nil {
		origin := j.key.Origin()
		j.r.unchecked(true, "whose key signed the checkpoint: there is no policy for %s. "+
			"Get one where the ledger is known (custody-cli setup writes it), or compare the key by hand: %s", origin, j.key)
	}
	j.limitsOfDisclosure()
	j.limitsOfErasure()
	if e := j.r.Export; e != nil {
		j.r.unchecked(false, "what happened after entry %d, the export", e.Entry)
	}
	if !j.demandsWitnesses() {
		j.r.unchecked(false, "outside witnesses: none is demanded, so that others were shown the same ledger rests on its key")
	}
	j.limitsOfAnchors()
	j.r.unchecked(false, "other cases: of them there are only hashes here, so a reference, an upload or an id used in two cases would not show")
	if absent := j.r.those(func(c Copy) bool { return c.Content == "" }); absent != "" {
		j.r.unchecked(false, "the bytes of %s: they are not in the bundle. Check a file with custody-cli verify FILE --against BUNDLE", absent)
	}
	if more := j.r.those(func(c Copy) bool { return c.Content != "" && len(c.Digests.Algorithms()) > 1 }); more != "" {
		j.r.unchecked(false, "other digests than SHA-256 of the bytes of %s", more)
	}
}
