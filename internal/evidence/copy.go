package evidence

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// Binding says from what a working copy is made, for whom, and why.
type Binding struct {
	Of      Number             `json:"of"`
	To      identity.Principal `json:"to"`
	Purpose string             `json:"purpose"`
}

func (b Binding) check() error {
	if _, err := ParseNumber(string(b.Of)); err != nil {
		return field("body.of", "%v", err)
	}
	if _, err := identity.ParsePrincipal(string(b.To)); err != nil {
		return field("body.to", "%v", err)
	}
	return line("body.purpose", b.Purpose, 1, 500)
}

// CopyRequested announces a working copy, before the store makes it.
type CopyRequested struct {
	Intake  uuid.UUID `json:"intake"`
	Exhibit Name      `json:"exhibit"`
	Binding
}

func (CopyRequested) kind() Kind { return "copy.requested" }

func (b CopyRequested) check() error {
	if err := version7("body.intake", b.Intake); err != nil {
		return err
	}
	if _, err := ParseName(string(b.Exhibit)); err != nil {
		return field("body.exhibit", "%v", err)
	}
	return b.Binding.check()
}

func (b CopyRequested) apply(f *frame) error {
	c, err := f.openCase()
	if err != nil {
		return err
	}
	master, err := f.releasable(CopyID{c.ID, b.Exhibit, b.Of})
	if err != nil {
		return err
	}
	if err := f.fresh(master.String(), master.Changed); err != nil {
		return err
	}
	if err := f.mayHold(b.To); err != nil {
		return err
	}
	return f.declare(c, IntakeDeclaration{
		Intake: b.Intake, Exhibit: b.Exhibit, Class: Working, Title: master.Title, Size: master.Size,
		Of: b.Of, To: b.To, Purpose: b.Purpose,
	})
}

// releasable gives a master of which working copies may be made.
func (f *frame) releasable(id CopyID) (Copy, error) {
	master, err := f.Copy(id)
	switch {
	case err != nil:
		return Copy{}, lookup("copy "+id.String(), err)
	case master.Class != Master:
		return Copy{}, f.forbid(id.String(), "working copies are made of a master copy, this is a %s one", master.Class)
	case master.Quarantined():
		return Copy{}, f.forbid(id.String(), "it is quarantined: finding %d is open", master.Findings[0])
	}
	return master, nil
}

// mayHold refuses a person to whom no working copy can be given.
func (f *frame) mayHold(to identity.Principal) error {
	p, err := f.Person(to)
	if err != nil {
		return named("person "+string(to), err)
	}
	if p.Revoked != nil || !p.Roles.Allow(identity.CopyFetch) {
		return f.forbid(string(to), "needs the permission %s to be given a working copy", identity.CopyFetch)
	}
	return nil
}

// CopyIssued hands a working copy, made in the store and re-hashed, to the
// person it is bound to.
type CopyIssued struct {
	Facts
	Binding
}

func (CopyIssued) kind() Kind { return "copy.issued" }

func (b CopyIssued) check() error { return all(b.Facts.check(), b.Binding.check()) }

func (b CopyIssued) apply(f *frame) error {
	c, err := f.openCase()
	if err != nil {
		return err
	}
	i, err := f.pending(b.Intake)
	if err != nil {
		return err
	}
	if err := b.follows(f, i); err != nil {
		return err
	}
	master, err := f.releasable(CopyID{c.ID, i.Exhibit, i.Of})
	if err != nil {
		return err
	}
	if err := f.mayHold(i.To); err != nil {
		return err
	}
	x, err := f.complete(b.Facts, i, c, master.Digests)
	if err != nil {
		return err
	}
	f.changes.Copies = append(f.changes.Copies, f.deposit(b.Facts, i, x, Issued))
	return nil
}

// follows checks that this is what was requested, and that the digests agree.
func (b CopyIssued) follows(f *frame, i Intake) error {
	subject := "intake " + i.Intake.String()
	switch {
	case i.Class != Working:
		return f.forbid(subject, "a %s copy is not issued", i.Class)
	case i.By != f.event.Actor:
		return f.forbid(subject, "only %s, who requested it, may issue it", i.By)
	case b.Of != i.Of, b.To != i.To, !f.sameText(b.Purpose, i.Purpose):
		return field("body", "of, to and purpose are not those of the request")
	}
	return b.agree()
}

// Operation is why content is read.
type Operation string

// The operations that read content.
const (
	Fetch  Operation = "fetch"  // by the person the copy is bound to
	Export Operation = "export" // into a bundle, by the same person
	Verify Operation = "verify" // re-hashing; recorded as fixity.checked
)

// ContentRead stands before the first byte of a working copy leaves. There is
// no event under which a byte of a master could leave.
type ContentRead struct {
	Exhibit   Name      `json:"exhibit"`
	Number    Number    `json:"number"`
	Operation Operation `json:"operation"`
	Offset    int64     `json:"offset"` // first byte
	Length    int64     `json:"length"` // bytes
}

func (ContentRead) kind() Kind { return "content.read" }

func (b ContentRead) check() error {
	if b.Offset < 0 || b.Length < 0 || b.Offset > MaxContent || b.Length > MaxContent {
		return field("body.offset", "with length is out of range")
	}
	return all(checkCopy(b.Exhibit, b.Number), oneOf("body.operation", b.Operation, Fetch, Export))
}

func checkCopy(exhibit Name, number Number) error {
	if _, err := ParseName(string(exhibit)); err != nil {
		return field("body.exhibit", "%v", err)
	}
	if _, err := ParseNumber(string(number)); err != nil {
		return field("body.number", "%v", err)
	}
	return nil
}

func (b ContentRead) apply(f *frame) error {
	if f.event.OnBehalfOf == nil {
		return field("on_behalf_of", "is missing")
	}
	if _, err := f.openCase(); err != nil {
		return err
	}
	return b.read(f)
}

func (b ContentRead) read(f *frame) error {
	c, err := f.held(b.Exhibit, b.Number, f.event.OnBehalfOf.Principal)
	if err != nil {
		return err
	}
	if b.Offset+b.Length > c.Size {
		return field("body.offset", "with length is past the copy's %d bytes", c.Size)
	}
	if c.Fetched == nil {
		c.Fetched = &f.at.Time
		f.changes.Copies = append(f.changes.Copies, c)
	}
	return nil
}

// held gives a working copy that is with the person it is bound to.
func (f *frame) held(exhibit Name, number Number, holder identity.Principal) (Copy, error) {
	id := CopyID{f.event.Case, exhibit, number}
	c, err := f.Copy(id)
	switch {
	case err != nil:
		return Copy{}, lookup("copy "+id.String(), err)
	case c.Class != Working:
		return Copy{}, f.forbid(id.String(), "a %s copy never leaves", c.Class)
	case c.To != holder:
		return Copy{}, fmt.Errorf("%w: %s is bound to another person", ErrForbidden, id)
	case c.State != Issued:
		return Copy{}, f.forbid(id.String(), "it is %s", c.State)
	case c.Quarantined():
		return Copy{}, f.forbid(id.String(), "it is quarantined: finding %d is open", c.Findings[0])
	}
	if err := f.mayHold(holder); err != nil { // revoked since it was issued
		return Copy{}, err
	}
	return c, nil
}

// CopyReceived is the holder's own statement of what arrived, after bytes had left.
type CopyReceived struct {
	Exhibit Name          `json:"exhibit"`
	Number  Number        `json:"number"`
	Size    int64         `json:"size"`
	SHA256  digest.SHA256 `json:"sha256"` // computed by the holder's client
}

func (CopyReceived) kind() Kind { return "copy.received" }

func (b CopyReceived) check() error {
	if b.Size < 0 || b.Size > MaxContent {
		return field("body.size", "is out of range")
	}
	return checkCopy(b.Exhibit, b.Number)
}

func (b CopyReceived) apply(f *frame) error {
	c, err := f.held(b.Exhibit, b.Number, f.event.Actor)
	if err != nil {
		return err
	}
	if want, _ := c.Digests.SHA256(); b.Size != c.Size || b.SHA256 != want {
		return fmt.Errorf("%s: %w: what arrived is not what was issued", c.CopyID, ErrDigestsDiffer)
	}
	if c.Fetched == nil {
		return absent{f.forbid(c.CopyID.String(), "nothing of it has been fetched")}
	}
	return nil
}

// CopyReturned records what came back from the holder, if anything did.
type CopyReturned struct {
	Exhibit Name           `json:"exhibit"`
	Number  Number         `json:"number"`
	Outcome Outcome        `json:"outcome"`
	Size    int64          `json:"size,omitempty"`   // of what came back
	SHA256  *digest.SHA256 `json:"sha256,omitempty"` // of what came back
	Note    string         `json:"note,omitempty"`
}

// Outcome says in what state a working copy came back.
type Outcome string

// The outcomes of a return.
const (
	Unchanged Outcome = "unchanged" // the returned bytes are those that were issued
	Altered   Outcome = "altered"   // they are not
	Deleted   Outcome = "deleted"   // no bytes came back: the holder states that they were deleted
)

func (CopyReturned) kind() Kind { return "copy.returned" }

func (b CopyReturned) check() error {
	if (b.SHA256 == nil) != (b.Outcome == Deleted) {
		return field("body.sha256", "stands where bytes came back, and only there")
	}
	if b.Size < 0 || b.Size > MaxContent || b.SHA256 == nil && b.Size != 0 {
		return field("body.size", "is out of range")
	}
	return all(
		checkCopy(b.Exhibit, b.Number),
		oneOf("body.outcome", b.Outcome, Unchanged, Altered, Deleted),
		prose("body.note", b.Note, 0, 4000),
	)
}

func (b CopyReturned) apply(f *frame) error {
	id := CopyID{f.event.Case, b.Exhibit, b.Number}
	c, err := f.Copy(id)
	switch {
	case err != nil:
		return lookup("copy "+id.String(), err)
	case c.Class != Working:
		return f.forbid(id.String(), "a %s copy was never given out", c.Class)
	case c.To == "": // quarantined, and who requested it for whom is not known
		return absent{named("whom "+id.String()+" is bound to", ErrNotFound)}
	case c.To != f.event.Actor && !f.actor.Roles.Allow(identity.CopyIssue):
		return fmt.Errorf("%w: %s is bound to another person", ErrForbidden, id)
	case c.State != Issued:
		return f.forbid(id.String(), "it is %s", c.State)
	}
	if err := f.fresh(id.String(), c.Changed); err != nil {
		return err
	}
	if b.SHA256 != nil {
		want, _ := c.Digests.SHA256()
		if same := b.Size == c.Size && *b.SHA256 == want; same != (b.Outcome == Unchanged) {
			return field("body.outcome", "%s does not agree with the returned bytes", b.Outcome)
		}
	}
	c.State, c.Custodian, c.Changed = Returned, f.event.Actor, f.at.CaseSeq
	f.changes.Copies = append(f.changes.Copies, c)
	return nil
}
