package report

import (
	"fmt"
	"strings"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
)

// body says what happened. An event that is not known by name is called by its action.
func (l *Line) body(body evidence.Body, names Names) {
	switch b := body.(type) {
	case evidence.PersonEnrolled:
		l.What = fmt.Sprintf("enrolled %s (%s) as %s with the key %s", b.Name, b.Principal, b.Roles, b.Key.Fingerprint())
	case evidence.PersonRevoked:
		l.What, l.Why = "revoked "+names.call(b.Principal), b.Reason
	case evidence.ServiceStarted:
		l.What = fmt.Sprintf("started %s on the %s store %s, lock %s", b.Version, b.Store, b.Bucket, b.Lock)
		if len(b.Missing) > 0 {
			l.What += ", which cannot do: " + strings.Join(b.Missing, ", ")
		}
	case evidence.CheckpointAnchored:
		var stamps []string
		for _, t := range b.Tokens {
			stamps = append(stamps, fmt.Sprintf("%s at %s", t.Authority, t.Time))
		}
		l.What = fmt.Sprintf("had the checkpoint of the first %d entries time-stamped by %s", b.Size, strings.Join(stamps, ", "))
	case evidence.CaseOpened:
		l.What = fmt.Sprintf("opened the case %s, %q, what is sealed to be locked for %d day(s)", b.Reference, b.Title, b.RetainDays)
		if len(b.Jurisdictions) > 0 {
			l.What += ", jurisdictions " + strings.Join(b.Jurisdictions, ", ")
		}
	case evidence.CaseClosed:
		l.What, l.Why = "closed the case", b.Reason
	case evidence.HoldPlaced:
		l.What, l.Why = fmt.Sprintf("put the case under the legal hold %s, on the authority of %s", b.Name, b.Authority), b.Reason
	case evidence.HoldLifted:
		l.What, l.Why = fmt.Sprintf("lifted the legal hold %s, on the authority of %s", b.Name, b.Authority), b.Reason
	case evidence.PayloadErased:
		l.What, l.Why = fmt.Sprintf("erased the payload of entry %d, on the authority of %s", b.Entry, b.Authority), b.Reason
	case evidence.ExhibitAdded:
		l.exhibit(evidence.ExhibitDescription(b))
	case evidence.IntakeDeclared:
		l.declared(b)
	case evidence.IntakeAbandoned:
		l.What, l.Why = fmt.Sprintf("abandoned the intake %s", b.Intake), b.Reason
	case evidence.CopySealed:
		l.What = fmt.Sprintf("sealed %s: %s; %s", name(b.Exhibit, b.Number), content(b.Facts), kept(b.Facts))
	case evidence.CopyQuarantined:
		l.What = fmt.Sprintf("quarantined %s with finding %d, because %s", name(b.Exhibit, b.Number), b.Finding, differences(b))
	case evidence.CopyRequested:
		l.What, l.Why = fmt.Sprintf("requested a working copy of %s for %s", name(b.Exhibit, b.Of), names.call(b.To)), b.Purpose
	case evidence.CopyIssued:
		l.What = fmt.Sprintf("issued %s, made of %s, to %s: %s; %s", name(b.Exhibit, b.Number), b.Of, names.call(b.To), content(b.Facts), kept(b.Facts))
		l.Why = b.Purpose
	case evidence.ContentRead:
		l.What = fmt.Sprintf("let bytes of %s out, %s: %d from byte %d", name(b.Exhibit, b.Number), operation(b.Operation), b.Length, b.Offset)
	case evidence.CopyReceived:
		l.What = fmt.Sprintf("received %s: %d bytes, sha256:%s", name(b.Exhibit, b.Number), b.Size, b.SHA256)
	case evidence.CopyReturned:
		l.What = fmt.Sprintf("took back %s, %s", name(b.Exhibit, b.Number), outcome(b))
		l.Note = noted(l.Note, b.Note)
	case evidence.FixityChecked:
		l.What = fixity(b)
	case evidence.AccessDenied:
		l.What = fmt.Sprintf("was asked for %s, %s, and denied it", name(b.Exhibit, b.Number), operation(b.Operation))
		l.Why = b.Reason
	case evidence.CaseExported:
		l.What = fmt.Sprintf("exported the case up to here, %d entries", b.Case.Entries)
		var copies []string
		for _, id := range b.Contents {
			copies = append(copies, id.String())
		}
		if len(copies) > 0 {
			l.What += ", with the bytes of " + strings.Join(copies, ", ")
		}
		if b.Pseudonymous {
			l.What += ", without saying who the people are"
		}
		var withheld []string
		for _, w := range b.Withheld {
			withheld = append(withheld, fmt.Sprintf("%d (%s)", w.Entry, w.Reason))
		}
		if len(withheld) > 0 {
			l.What += ", without what is in the entries " + strings.Join(withheld, ", ")
		}
	default:
		l.What = "recorded " + string(l.Action)
	}
}

func (l *Line) exhibit(b evidence.ExhibitDescription) {
	var device []string
	for _, part := range []struct{ word, text string }{{"", b.Make}, {"", b.Model}, {"serial ", b.Serial}} {
		if part.text != "" {
			device = append(device, part.word+part.text)
		}
	}
	l.What = fmt.Sprintf("took the exhibit %s into custody, a %s", b.Label, b.Kind)
	if len(device) > 0 {
		l.What += " (" + strings.Join(device, " ") + ")"
	}
	l.What += ", found by " + b.FoundBy
	if b.FoundOn != "" {
		l.What += " on " + b.FoundOn
	}
	l.Where, l.Witness, l.Note = b.FoundAt, b.Witness, noted(l.Note, b.Note)
}

func (l *Line) declared(b evidence.IntakeDeclared) {
	q := b.Acquisition
	what := fmt.Sprintf("%q, %d bytes", b.Title, b.Size)
	if b.Files > 0 {
		what += fmt.Sprintf(" in %d files", b.Files)
	}
	l.What = fmt.Sprintf("announced a copy of %s: %s, made with %s", b.Exhibit, what, q.Tool)
	for _, part := range []struct{ word, text string }{
		{" from ", q.Source},
		{" behind the write blocker ", q.WriteBlocker},
		{", begun ", q.Started},
		{", ended ", q.Ended},
		{", result: ", q.Result},
		{", command: ", q.Command},
	} {
		if part.text != "" {
			l.What += part.word + part.text
		}
	}
	if q.BadSectors > 0 {
		l.What += fmt.Sprintf(", %d sectors unread", q.BadSectors)
	}
	if !b.Declared.IsZero() {
		l.What += ", declared " + b.Declared.String()
	}
	if q.Log != nil {
		l.What += fmt.Sprintf(", with the tool's log %q (sha256:%s)", q.Log.Name, q.Log.SHA256)
	}
	l.Where, l.Witness = q.Place, q.Witness
	if q.Supervisor != "" {
		l.Witness += ", supervised by " + q.Supervisor
	}
}

func name(x evidence.Name, n evidence.Number) string { return string(x) + "/" + string(n) }

// content says what the hashes are, and from where the last was read.
func content(f evidence.Facts) string {
	sets := "two"
	if !f.Received.IsZero() {
		sets = "three"
	}
	source := map[string]string{"medium": "the medium", "cache": "memory, the medium could not be had", "store": "the store"}[f.ReadSource]
	return fmt.Sprintf("%d bytes, %s, %s equal hashes, the last read from %s", f.Size, f.ReadBack, sets, source)
}

// kept says how the object is locked.
func kept(f evidence.Facts) string {
	o, ok := evidence.Copy{Objects: f.Objects}.Object(evidence.Content)
	switch {
	case !ok || o.Lock == "none":
		return "not locked"
	case o.RetainUntil == nil:
		return fmt.Sprintf("locked (%s)", o.Lock)
	}
	return fmt.Sprintf("locked (%s) until %s", o.Lock, o.RetainUntil)
}

// differences says what a copy is quarantined for.
func differences(b evidence.CopyQuarantined) string {
	var why []string
	if len(b.Differed) > 0 {
		why = append(why, fmt.Sprintf("hashes differ (%s): declared %s; received %s; read back %s",
			algorithms(b.Differed), only(b.Declared, b.Differed), only(b.Received, b.Differed), only(b.ReadBack, b.Differed)))
	}
	if len(b.Strays) > 0 {
		why = append(why, fmt.Sprintf("%d file(s) of the set are not what its list says, the first in line %d, which has sha256:%s",
			max(b.StraysTotal, len(b.Strays)), b.Strays[0].Line, b.Strays[0].SHA256))
	}
	return strings.Join(why, "; and ")
}

func operation(o evidence.Operation) string {
	switch o {
	case evidence.Fetch:
		return "to be fetched"
	case evidence.Export:
		return "for an export"
	case evidence.Verify:
		return "to be verified"
	}
	return string(o)
}

func outcome(b evidence.CopyReturned) string {
	switch b.Outcome {
	case evidence.Unchanged:
		return fmt.Sprintf("unchanged: %d bytes, sha256:%s", b.Size, b.SHA256)
	case evidence.Altered:
		return fmt.Sprintf("altered: %d bytes, sha256:%s", b.Size, b.SHA256)
	case evidence.Deleted:
		return "as deleted, which rests on the signer's word alone"
	}
	return string(b.Outcome)
}

func fixity(b evidence.FixityChecked) string {
	what := map[evidence.Result]string{
		evidence.Match: "is what was sealed", evidence.Mismatch: "is NOT what was sealed", evidence.Unreadable: "could not be read",
	}[b.Result]
	text := fmt.Sprintf("read %s again from the %s: it %s", name(b.Exhibit, b.Number), b.Source, what)
	if b.SHA256 != nil {
		text += fmt.Sprintf(", sha256:%s", b.SHA256)
	}
	text += ranges("damaged", b.Damaged, b.DamagedTotal) + ranges("unreadable", b.Unreadable, b.UnreadableTotal)
	if b.Gone {
		text += ", the store has it no more as it was sealed"
	}
	if b.ListWrong {
		text += ", and its midstate list is not the sealed one"
	}
	if b.Detail != "" {
		text += ": " + b.Detail
	}
	if b.Finding > 0 {
		text += fmt.Sprintf("; finding %d", b.Finding)
	}
	return text
}

func ranges(how string, list []evidence.Range, total int) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf(", %d %s range(s), the first %d bytes from byte %d", max(total, len(list)), how, list[0].Length, list[0].Offset)
}

func algorithms(list []digest.Algorithm) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = string(a)
	}
	return strings.Join(words, ", ")
}

// only gives the digests of some algorithms.
func only(set digest.Set, list []digest.Algorithm) string {
	var words []string
	for _, a := range list {
		if value, ok := set.Get(a); ok {
			words = append(words, string(a)+":"+value)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " ")
}

// noted adds what a person noted.
func noted(before, note string) string {
	switch {
	case note == "":
		return before
	case before == "":
		return "note: " + note
	}
	return before + "; note: " + note
}
