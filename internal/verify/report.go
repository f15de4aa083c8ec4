package verify

import (
	"fmt"
	"strings"

	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
)

// Verdict is what a judgement came to.
type Verdict string

// The verdicts.
const (
	Verified   Verdict = "verified"   // all that was asked for was checked, and holds
	Failed     Verdict = "failed"     // there are findings, beside those that say that this program is too old
	Incomplete Verdict = "incomplete" // what was checked holds, something asked for could not be
)

// Code names a kind of finding, for ever. Those of package bundle are codes too.
type Code string

// The findings, beside those of a container.
const (
	CodeKeyForm             Code = "key-form"             // the bundle's verifier key is none
	CodeKeyDiffers          Code = "key-differs"          // the bundle brings another key than the policy
	CodeKeyPEM              Code = "key-pem"              // ledger.pem is another key than ledger.vkey
	CodeCheckpointForm      Code = "checkpoint-form"      // the checkpoint is none
	CodeCheckpointSignature Code = "checkpoint-signature" // not signed by the ledger's key
	CodeCheckpointOrigin    Code = "checkpoint-origin"    // of another ledger
	CodeCheckpointParts     Code = "checkpoint-parts"     // checkpoint.body or .sig are not its parts
	CodeCosignature         Code = "cosignature"          // the line of a witness of the policy does not hold
	CodeWitnessQuorum       Code = "witness-quorum"       // not cosigned by those that the policy demands

	CodeEntriesForm    Code = "entries-form"        // entries.jsonl is not made of lines
	CodeEnvelope       Code = "envelope"            // a line that is no envelope
	CodeEntryOrigin    Code = "entry-origin"        // an entry of another ledger
	CodeEntryCase      Code = "entry-case"          // an entry of another case
	CodeEntryRepeated  Code = "entry-repeated"      // its place is taken: double, late or exchanged
	CodeEntryMissing   Code = "entry-missing"       // entries before this one are not there
	CodeChain          Code = "chain"               // does not follow the entry before it
	CodeCaseSequence   Code = "case-chain-sequence" // is not the next one of its case
	CodeCaseChain      Code = "case-chain"          // does not follow the entry before it in its case
	CodeTime           Code = "time"                // older than the entry before it
	CodeReceiptMissing Code = "receipt-missing"
	CodeReceiptForm    Code = "receipt-form"
	CodeReceiptEntry   Code = "receipt-entry"      // of another entry
	CodeReceiptNote    Code = "receipt-checkpoint" // under another checkpoint
	CodeInclusion      Code = "inclusion"          // does not stand in the checkpoint's tree

	CodePayloadMissing   Code = "payload-missing"
	CodePayloadHash      Code = "payload-hash"     // not the one of its envelope
	CodePayloadForm      Code = "payload-form"     // not an event in canonical form
	CodePayloadEnvelope  Code = "payload-envelope" // says something else than its envelope
	CodePayloadID        Code = "payload-id"       // the id was used before
	CodeSignatureMissing Code = "signature-missing"
	CodeSignatureHash    Code = "signature-hash"  // not the one of its envelope
	CodeSignature        Code = "signature"       // does not hold
	CodeSigner           Code = "signature-actor" // the actor was not enrolled then
	CodeSigners          Code = "allowed-signers" // not what the entries enrol
	CodeUnknownAction    Code = "unknown-action"  // made by a newer custodyd, or behind such an entry: not to be judged
	CodeLaw              Code = "law"             // the law of custody forbids it
	CodeSealMissing      Code = "seal-missing"    // the newest entry of the case is not the export
	CodeSealCheckpoint   Code = "seal-checkpoint" // the checkpoint goes on behind the export: the bundle was cut back
	CodeCaseEnd          Code = "case-end"        // the case's chain did not end there
	CodeSystemEnd        Code = "system-end"      // the chain of no case did not end there
	CodeErasure          Code = "erasure"         // what an entry says that erases another one is not so
	CodeEntryFile        Code = "entry-file"      // payload, signature or proof of no entry

	CodeWithheldPresent Code = "withheld-present" // the seal says that it is withheld, and it is there
	CodeWithheldEntry   Code = "withheld-entry"   // the seal withholds what is not in the bundle, or cannot be withheld

	CodeAnchor       Code = "anchor"        // a time stamp, or what belongs to it, does not hold
	CodeAnchorTime   Code = "anchor-time"   // it is dated before what it covers
	CodeAnchorQuorum Code = "anchor-quorum" // fewer authorities than the policy demands

	CodeObjectMissing  Code = "object-missing"  // what was sealed with a copy is not there
	CodeObjectDiffers  Code = "object-differs"  // is not what was sealed
	CodeObjectUnknown  Code = "object-unknown"  // was never sealed
	CodeList           Code = "file-list"       // is not the list of the files that the copy is made of
	CodeMidstates      Code = "midstates"       // the sealed list is not that of the content
	CodeContentMissing Code = "content-missing" // the seal says that it is there
	CodeContentUnknown Code = "content-unknown" // the seal does not say that it is there
	CodeContentDiffers Code = "content-differs" // not the bytes that were sealed
	CodeContentRead    Code = "content-unreadable"
	CodeContentChanges Code = "content-unstable" // gave different bytes when read twice
	CodeNoCopy         Code = "no-copy"          // a file is no copy of the bundle
	CodeQuarantined    Code = "quarantined"      // a file is a copy against which a finding stands
	CodeNoBundle       Code = "no-bundle"        // nothing that a bundle could be read from
)

// Report is the judgement of a bundle. Lists are never nil.
type Report struct {
	Verdict Verdict `json:"verdict"`
	Found
	NotChecked []string    `json:"not_checked"`
	Notes      []string    `json:"notes"` // what holds, and should be known all the same
	Policy     bool        `json:"policy"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	Anchors    []Anchor    `json:"anchors"`   // time stamps, by the size of what was stamped
	Witnesses  []Cosigned  `json:"witnesses"` // of the policy, and others whose lines stand in the checkpoint
	Entries    int64       `json:"entries"`   // of the case and of no case, as many as were judged
	Case       *Case       `json:"case,omitempty"`
	Export     *Export     `json:"export,omitempty"`
	People     []Person    `json:"people"`
	Copies     []Copy      `json:"copies"`
	// Recorded are the discrepancies that the ledger itself tells of: a record that is
	// whole can be the record of a damaged copy.
	Recorded []Recorded `json:"recorded"`
	// Withheld are the entries whose payloads the bundle was made without, as its seal
	// states: of a pseudonymous one those of type keys too. MayName is what of a pseudonymous
	// bundle holds text that somebody wrote, and that can name people.
	Pseudonymous bool       `json:"pseudonymous"`
	Withheld     []Withheld `json:"withheld"`
	MayName      []string   `json:"may_name"`
	// Erased are the entries whose payloads were taken away, by an entry of the same case.
	Erased []Erased `json:"erased"`

	incomplete bool
}

// Checkpoint is what the proofs lead to.
type Checkpoint struct {
	Origin  ledger.Origin `json:"origin"`
	Size    int64         `json:"size"`
	Root    ledger.Hash   `json:"root"`
	Trusted bool          `json:"trusted"` // signed by the key of the policy
}

// Case is the case that the bundle is about.
type Case struct {
	ID            evidence.CaseID `json:"id"`
	Reference     evidence.Name   `json:"reference"`
	Title         string          `json:"title"`
	Jurisdictions []string        `json:"jurisdictions,omitempty"`
	State         evidence.State  `json:"state"`
	Entries       int64           `json:"entries"`
}

// Export is the entry that ends the bundle.
type Export struct {
	Entry int64              `json:"entry"`
	Time  ledger.Time        `json:"time"`
	For   identity.Principal `json:"for"`
}

// Person is somebody whose key can sign.
type Person struct {
	Principal   identity.Principal `json:"principal"`
	Name        string             `json:"name"`
	Roles       identity.Roles     `json:"roles"`
	Fingerprint string             `json:"fingerprint"`
	Enrolled    evidence.Time      `json:"enrolled"`
	Revoked     *evidence.Time     `json:"revoked,omitempty"`
}

// Copy is a copy as the bundle's entries leave it.
type Copy struct {
	Copy        string             `json:"copy"` // such as E-001/M1
	Class       evidence.Class     `json:"class"`
	Title       string             `json:"title"`
	Size        int64              `json:"size"`
	Digests     digest.Set         `json:"digests"`
	State       evidence.State     `json:"state"`
	Quarantined bool               `json:"quarantined"`
	Open        []int              `json:"open_findings,omitempty"` // the recorded ones that quarantine it
	Custodian   identity.Principal `json:"custodian"`
	Of          evidence.Number    `json:"of,omitempty"`
	To          identity.Principal `json:"to,omitempty"`
	Lock        string             `json:"lock"` // the weakest of its objects
	RetainUntil *evidence.Time     `json:"retain_until,omitempty"`
	ReadSource  string             `json:"read_source"`       // from where the third hash was read
	Content     Content            `json:"content,omitempty"` // of the bytes in the bundle

	id      evidence.CopyID
	without bool // what else was sealed with it is withheld
	lists   bool // the midstate list in the bundle is the sealed one
	listed  bool // so is the list of files
}

// findings names what quarantines the copy.
func (c Copy) findings() string {
	words := make([]string, len(c.Open))
	for i, n := range c.Open {
		words[i] = fmt.Sprintf("finding %d", n)
	}
	return strings.Join(words, ", ")
}

// Content says what is known of the bytes of a copy in a bundle; empty, when it holds none.
type Content string

// What can be known of bytes.
const (
	ContentVerified Content = "verified"
	ContentFailed   Content = "failed"
)

// Recorded is a discrepancy that the ledger tells of.
type Recorded struct {
	Number int            `json:"number"`
	Copy   string         `json:"copy"`
	What   string         `json:"what"`
	State  evidence.State `json:"state"`
	Opened evidence.Time  `json:"opened"`
}

func newReport() Report {
	return Report{
		Found: newFound(), NotChecked: []string{}, Notes: []string{}, Witnesses: []Cosigned{}, Anchors: []Anchor{}, People: []Person{}, Copies: []Copy{}, Recorded: []Recorded{},
		Withheld: []Withheld{}, MayName: []string{}, Erased: []Erased{},
	}
}

// unchecked says what was not checked. wanted: the verifier asked for it.
func (r *Report) unchecked(wanted bool, format string, args ...any) {
	r.NotChecked = append(r.NotChecked, fmt.Sprintf(format, args...))
	r.incomplete = r.incomplete || wanted
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// those names the copies for which is is true.
func (r *Report) those(is func(Copy) bool) string {
	var names []string
	for _, c := range r.Copies {
		if is(c) {
			names = append(names, c.Copy)
		}
	}
	return strings.Join(names, ", ")
}

// conclude sets the verdict.
func (r *Report) conclude() { r.Verdict = r.verdict(r.incomplete) }

// faults takes over what is wrong with the container.
func (r *Report) faults(b *bundle.Bundle) {
	for _, f := range b.Faults() {
		r.find(Code(f.Code), f.Path, "%s", f.Detail)
	}
}
