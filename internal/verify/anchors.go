package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// AnchorState says what a time stamp came to.
type AnchorState string

// The states of a time stamp.
const (
	AnchorVerified  AnchorState = "verified"  // by a root of the policy
	AnchorFailed    AnchorState = "failed"    // there is a finding about it
	AnchorUnchecked AnchorState = "unchecked" // the policy knows no root of the authority: proves nothing
)

// Anchor is a time stamp (RFC 3161) over a checkpoint of the ledger.
type Anchor struct {
	Authority string         `json:"authority"` // as the ledger and the policy call it
	State     AnchorState    `json:"state"`
	Entries   int64          `json:"entries"`          // that the stamped checkpoint covers, of the whole ledger
	Covers    int64          `json:"covers"`           // the newest of them that the bundle holds; -1: none
	Whole     bool           `json:"whole"`            // it covers the whole bundle
	Time      *evidence.Time `json:"time,omitempty"`   // before which all that existed; of one that is not verified its own claim
	Signer    string         `json:"signer,omitempty"` // whose certificate signed, of a verified one
	Serial    string         `json:"serial,omitempty"` // of the token, in decimal
}

// anchoring is what the entries say of time stamps, and when they were made.
type anchoring struct {
	moments []moment // by rising entry
	ofCase  []int64  // the entries of the case, rising
	told    []told
	tokens  map[tokenOf]toldToken
	// stampers are the authorities that have stamped the whole, by the key that signed.
	stampers map[string]string
}

// tokenOf is what a token is over, and whose.
type tokenOf struct {
	size      int64
	authority string
}

type toldToken struct {
	entry          int64
	note, response digest.SHA256
}

type moment struct {
	seq int64
	at  ledger.Time
}

type told struct {
	moment
	evidence.CheckpointAnchored
}

// noteMoment keeps when an entry was made, and what it tells of time stamps.
func (a *anchoring) noteMoment(e *entry) {
	m := moment{e.envelope.Seq, e.envelope.Time}
	a.moments = append(a.moments, m)
	if !e.envelope.Case.IsZero() {
		a.ofCase = append(a.ofCase, m.seq)
	}
	if e.event == nil {
		return
	}
	if b, ok := e.event.Body.(evidence.CheckpointAnchored); ok {
		if a.tokens == nil {
			a.tokens = map[tokenOf]toldToken{}
		}
		a.told = append(a.told, told{m, b})
		for _, t := range b.Tokens {
			a.tokens[tokenOf{b.Size, t.Authority}] = toldToken{m.seq, b.Note, t.SHA256}
		}
	}
}

// newest gives the newest entry of the bundle among the first entries of the ledger.
func (a *anchoring) newest(entries int64) moment {
	i, _ := slices.BinarySearchFunc(a.moments, entries, func(m moment, n int64) int { return cmp.Compare(m.seq, n) })
	if i == 0 {
		return moment{seq: -1}
	}
	return a.moments[i-1]
}

// anchors judges the time stamps of the bundle, and what the entries tell of them.
func (j *judge) anchors(ctx context.Context) error {
	for _, t := range j.told {
		j.entryTells(t)
	}
	sizes := map[int64][]bundle.File{}
	for _, f := range j.b.Files(func(f bundle.File) bool { return !ofEntry(f) }) {
		switch f.Kind {
		case bundle.KindAnchored, bundle.KindConsistency, bundle.KindStamp, bundle.KindCertificates, bundle.KindRevoked:
			sizes[f.Seq] = append(sizes[f.Seq], f)
		}
	}
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		j.anchored(size, sizes[size])
	}
	j.anchorsNotHere()
	j.quorumOfAnchors()
	return nil
}

// maxNotHere is how many time stamps are named that are not in the bundle.
const maxNotHere = 10

// anchorsNotHere tells of the time stamps that belong into the bundle, are told of by its
// entries, and are not in it. They belong there if they were the first over an entry of
// the case; of others a bundle does without.
func (j *judge) anchorsNotHere() {
	slices.SortStableFunc(j.told, func(a, b told) int { return cmp.Compare(a.Size, b.Size) })
	var names []string
	before := int64(0) // entries that the stamps of a smaller size cover
	for i, t := range j.told {
		if i > 0 && j.told[i-1].Size < t.Size {
			before = j.told[i-1].Size
		}
		if first, _ := slices.BinarySearch(j.ofCase, before); first == len(j.ofCase) || j.ofCase[first] >= t.Size {
			continue
		}
		for _, token := range t.Tokens {
			if !j.b.Has(bundle.AnchorPath(bundle.KindStamp, t.Size, token.Authority)) {
				names = append(names, fmt.Sprintf("of %s over %d entries, of %s (entry %d)", token.Authority, t.Size, token.Time, t.seq))
			}
		}
	}
	if more := len(names) - maxNotHere; more > 0 {
		names = append(names[:maxNotHere], fmt.Sprintf("and %d more", more))
	}
	if len(names) > 0 {
		j.r.unchecked(false, "time stamps that the entries tell of and that are not in the bundle: %s", strings.Join(names, "; "))
	}
}

// entryTells judges what an entry says of time stamps.
func (j *judge) entryTells(t told) {
	subject := fmt.Sprintf("entry %d", t.seq)
	if t.Size > t.seq {
		j.r.find(CodeAnchor, subject, "tells of a time stamp over %d entries, and there were %d", t.Size, t.seq)
	}
	for _, token := range t.Tokens {
		if ahead := token.Time.Time().Sub(t.at.Std()); ahead > timestamp.Tolerance {
			j.r.note("entry %d has the time %s and tells of a time stamp of %s at %s: the ledger's clock was behind by %s at least",
				t.seq, t.at, token.Authority, token.Time, ahead)
		}
	}
}

// anchored judges all that the bundle has about one checkpoint.
func (j *judge) anchored(size int64, files []bundle.File) {
	note, err := j.anchoredNote(size)
	if err != nil {
		j.r.find(CodeAnchor, bundle.AnchorPath(bundle.KindAnchored, size, ""), "%v", err)
	}
	stamped := map[string]bool{}
	for _, f := range files {
		if f.Kind == bundle.KindStamp {
			stamped[f.Authority] = true
			j.r.Anchors = append(j.r.Anchors, j.stamp(size, f.Authority, note))
		}
	}
	for _, f := range files {
		if f.Authority != "" && !stamped[f.Authority] {
			j.r.find(CodeAnchor, f.Path, "belongs to no time stamp")
		}
	}
	if len(stamped) == 0 && err == nil {
		j.r.note("the checkpoint of %d entries was given to time-stamping authorities, and none had answered when the bundle was written", size)
	}
}

// anchoredNote gives the checkpoint that was stamped, if the ledger's key has signed it
// and the bundle's checkpoint continues it.
func (j *judge) anchoredNote(size int64) ([]byte, error) {
	note, err := j.b.ReadFile(bundle.AnchorPath(bundle.KindAnchored, size, ""))
	if err != nil {
		return nil, fmt.Errorf("there is no checkpoint that was stamped: %w", err)
	}
	tree, err := ledger.OpenCheckpoint(note, j.key)
	if err != nil {
		return nil, err
	}
	text, err := j.b.ReadFile(bundle.AnchorPath(bundle.KindConsistency, size, ""))
	if err != nil {
		return nil, fmt.Errorf("there is no proof that it is of the same ledger: %w", err)
	}
	proof, err := bundle.ParseProof(text)
	if err != nil {
		return nil, err
	}
	if tree.Size != size {
		return nil, fmt.Errorf("is of %d entries", tree.Size)
	}
	if err := ledger.CheckConsistency(proof, j.tree.Size, j.tree.Root, tree.Size, tree.Root); err != nil {
		return nil, fmt.Errorf("is not continued by %s: another story was stamped", bundle.CheckpointFile)
	}
	return note, nil
}

// stamp judges the time stamp of an authority over a checkpoint; nil: one that has its
// finding already.
func (j *judge) stamp(size int64, authority string, note []byte) Anchor {
	newest := j.newest(size)
	a := Anchor{Authority: authority, State: AnchorFailed, Entries: size, Covers: newest.seq, Whole: size == j.tree.Size}
	path := bundle.AnchorPath(bundle.KindStamp, size, authority)
	if note == nil {
		return a
	}
	fail := func(code Code, format string, args ...any) Anchor {
		j.r.find(code, path, format, args...)
		return a
	}
	response, err := j.b.ReadFile(path)
	if err != nil {
		return fail(CodeAnchor, "%v", err)
	}
	token, err := timestamp.ParseResponse(response, note, nil)
	if err != nil {
		return fail(CodeAnchor, "%v", err)
	}
	at := evidence.TimeOf(token.Time())
	a.Time, a.Serial = &at, token.Serial()
	if t, ok := j.tokens[tokenOf{size, authority}]; ok && (t.note != sha256.Sum256(note) || t.response != sha256.Sum256(response)) {
		return fail(CodeAnchor, "is not the time stamp that entry %d tells of", t.entry)
	}
	trust, known := j.o.Policy.trust(authority)
	if err := j.evidenceOf(size, authority, &trust); err != nil {
		return fail(CodeAnchor, "%v", err)
	}
	if !known {
		a.State = AnchorUnchecked
		return a
	}
	s, err := timestamp.Verify(response, note, nil, trust)
	if err != nil {
		return fail(CodeAnchor, "%v", err)
	}
	a.Signer = clip(s.Authority)
	if late := newest.at.Std().Sub(s.Time); newest.seq >= 0 && late > timestamp.Tolerance+s.Accuracy {
		return fail(CodeAnchorTime, "is dated %s, and covers entry %d of %s, which did not exist then: the authority's clock or the ledger's was wrong, or somebody back-dates",
			at, newest.seq, newest.at)
	}
	a.State = AnchorVerified
	if a.Whole && newest.seq >= 0 && s.Time.Sub(newest.at.Std()) > farOff {
		j.r.note("the time stamp of %s over the bundle is of %s, its newest entry of %s: it was asked for that much later, or a clock is wrong", authority, at, newest.at)
	}
	if a.Whole {
		if j.stampers == nil {
			j.stampers = map[string]string{}
		}
		j.stampers[string(s.Chain[0].RawSubjectPublicKeyInfo)] = authority
	}
	for _, n := range s.Notes {
		j.r.note("time stamp of %s over %d entries: %s", authority, size, n)
	}
	if len(s.Unknown) > 0 {
		j.r.unchecked(false, "whether the certificates behind the time stamp of %s over %d entries were revoked: nothing is known of %s",
			authority, size, strings.Join(s.Unknown, "; "))
	}
	return a
}

// evidenceOf reads the certificates and revocation lists that lie beside a time stamp.
func (j *judge) evidenceOf(size int64, authority string, trust *timestamp.Trust) error {
	path := bundle.AnchorPath(bundle.KindCertificates, size, authority)
	text, err := j.b.ReadFile(path)
	if err != nil {
		return fmt.Errorf("its certificates: %w", err)
	}
	if trust.Intermediates, err = timestamp.ParseCertificates(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	path = bundle.AnchorPath(bundle.KindRevoked, size, authority)
	if !j.b.Has(path) {
		return nil
	}
	if text, err = j.b.ReadFile(path); err != nil {
		return err
	}
	if trust.Lists, err = timestamp.ParseLists(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// quorumOfAnchors finds that fewer authorities have stamped the bundle's checkpoint than
// the policy demands. One key that signs under two names is one authority.
func (j *judge) quorumOfAnchors() {
	if j.o.Policy == nil || len(j.stampers) >= j.o.Policy.Anchors {
		return
	}
	there := "none"
	if len(j.stampers) > 0 {
		there = strings.Join(slices.Sorted(maps.Values(j.stampers)), ", ")
	}
	j.r.find(CodeAnchorQuorum, bundle.CheckpointFile, "the policy demands time stamps over it by %d authorities with keys of their own; those that hold: %s",
		j.o.Policy.Anchors, there)
}

// limitsOfAnchors says what no time stamp covers.
func (j *judge) limitsOfAnchors() {
	unknown := map[string]bool{}
	verified := false
	for _, a := range j.r.Anchors {
		unknown[a.Authority] = unknown[a.Authority] || a.State == AnchorUnchecked
		verified = verified || a.State == AnchorVerified
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		if unknown[name] {
			j.r.unchecked(false, "the time stamps of %s: the policy knows no root of it (authority %s BASE64)", name, name)
		}
	}
	switch {
	case verified:
		j.r.unchecked(false, "times between time stamps: those are of the ledger's own clock")
	case j.o.Policy != nil && j.o.Policy.Anchors > 0:
		j.r.unchecked(false, "times: none of the time stamps that are demanded holds, so they are those of the ledger's own clock")
	default:
		j.r.unchecked(false, "time stamps: none is demanded and none verified, so the times are those of the ledger's own clock")
	}
}

// words says what a time stamp shows.
func (a Anchor) words() string {
	covered := fmt.Sprintf("entries up to %d", a.Covers)
	switch {
	case a.Whole:
		covered = "all of this"
	case a.Covers < 0:
		covered = "none of these entries"
	}
	switch a.State {
	case AnchorVerified:
		return fmt.Sprintf("%s existed before %s, says %s (%s)", covered, a.Time, a.Authority, a.Signer)
	case AnchorUnchecked:
		return fmt.Sprintf("not checked: %s says that %s existed before %s", a.Authority, covered, a.Time)
	}
	return fmt.Sprintf("failed: %s over the first %d entries of the ledger", a.Authority, a.Entries)
}
