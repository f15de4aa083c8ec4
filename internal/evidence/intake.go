package evidence

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// Acquisition is the copying process, as ISO/IEC 27002:2005 13.2.3 wants it
// kept: by which tool, where, when, and under whose eyes.
type Acquisition struct {
	Tool         string   `json:"tool"` // name and version
	Command      string   `json:"command,omitempty"`
	Source       string   `json:"source,omitempty"` // the device or path that was read
	WriteBlocker string   `json:"write_blocker,omitempty"`
	Witness      string   `json:"witness"`
	Supervisor   string   `json:"supervisor,omitempty"`
	Place        string   `json:"place"`
	Started      string   `json:"started,omitempty"` // as the tool states it
	Ended        string   `json:"ended,omitempty"`
	Result       string   `json:"result,omitempty"`         // as the tool states it
	BadSectors   int64    `json:"unread_sectors,omitempty"` // sectors the tool could not read
	Log          *LogFile `json:"log,omitempty"`
}

// LogFile is the imaging tool's log, stored verbatim beside the copy.
type LogFile struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	SHA256 digest.SHA256 `json:"sha256"`
}

func (a Acquisition) check() error {
	if a.BadSectors < 0 || a.BadSectors > maxInteger {
		return field("body.acquisition.unread_sectors", "is out of range")
	}
	if a.Log != nil {
		if a.Log.Size < 0 || a.Log.Size > MaxLog {
			return field("body.acquisition.log.size", "is %d, want 0 to %d", a.Log.Size, int64(MaxLog))
		}
		if a.Log.SHA256 == (digest.SHA256{}) {
			return field("body.acquisition.log.sha256", "is missing")
		}
		if err := line("body.acquisition.log.name", a.Log.Name, 1, 255); err != nil {
			return err
		}
	}
	return all(
		line("body.acquisition.tool", a.Tool, 1, 200),
		line("body.acquisition.command", a.Command, 0, 4000),
		line("body.acquisition.source", a.Source, 0, 1000),
		line("body.acquisition.write_blocker", a.WriteBlocker, 0, 200),
		line("body.acquisition.witness", a.Witness, 1, 200),
		line("body.acquisition.supervisor", a.Supervisor, 0, 200),
		line("body.acquisition.place", a.Place, 1, 300),
		line("body.acquisition.started", a.Started, 0, 100),
		line("body.acquisition.ended", a.Ended, 0, 100),
		line("body.acquisition.result", a.Result, 0, 100),
	)
}

// Bounds of what an intake may hold.
const (
	MaxLog     = 64 << 20  // bytes of an imaging tool's log
	MaxFiles   = 1 << 20   // files in a set
	MaxContent = 64 << 40  // bytes of a copy: 64 TiB
	maxInteger = 1<<53 - 1 // RFC 8785 §3.2.2.3: what every JSON reader keeps exactly
)

// IntakeDeclaration is what is known of a copy before its bytes come. For a
// working copy the bytes come from copy Of.
type IntakeDeclaration struct {
	Intake      uuid.UUID          `json:"intake"` // version 7; the keys of the objects derive from it
	Exhibit     Name               `json:"exhibit"`
	Class       Class              `json:"class"`
	Title       string             `json:"title"` // the file's name, or what the set is called
	Size        int64              `json:"size"`  // bytes
	Files       int                `json:"files,omitempty"`
	Declared    digest.Set         `json:"declared,omitzero"`     // stated by the imaging tool or the examiner
	Acquisition *Acquisition       `json:"acquisition,omitempty"` // absent for a working copy
	Of          Number             `json:"of,omitempty"`
	To          identity.Principal `json:"to,omitempty"`
	Purpose     string             `json:"purpose,omitempty"`
}

// IntakeDeclared announces the upload of a master copy: a single file, or a set
// of Files files whose concatenation is the copy (a split image, a directory).
type IntakeDeclared struct {
	Intake      uuid.UUID   `json:"intake"`
	Exhibit     Name        `json:"exhibit"`
	Title       string      `json:"title"`
	Size        int64       `json:"size"`
	Files       int         `json:"files,omitempty"`
	Declared    digest.Set  `json:"declared,omitzero"`
	Acquisition Acquisition `json:"acquisition"`
}

func (IntakeDeclared) kind() Kind { return "intake.declared" }

func (b IntakeDeclared) check() error {
	if err := version7("body.intake", b.Intake); err != nil {
		return err
	}
	if _, err := ParseName(string(b.Exhibit)); err != nil {
		return field("body.exhibit", "%v", err)
	}
	if b.Size < 0 || b.Size > MaxContent {
		return field("body.size", "is %d, want 0 to %d", b.Size, int64(MaxContent))
	}
	if b.Files < 0 || b.Files > MaxFiles {
		return field("body.files", "is %d, want 0 to %d", b.Files, MaxFiles)
	}
	return all(line("body.title", b.Title, 1, 255), b.Acquisition.check())
}

func (b IntakeDeclared) apply(f *frame) error {
	c, x, err := f.openExhibit(b.Exhibit)
	if err != nil {
		return err
	}
	return f.declare(c, IntakeDeclaration{
		Intake: b.Intake, Exhibit: x.Label, Class: Master, Title: b.Title, Size: b.Size, Files: b.Files,
		Declared: b.Declared, Acquisition: &b.Acquisition,
	})
}

// openExhibit gives the case and an exhibit of it that the actor had seen as it is.
func (f *frame) openExhibit(label Name) (Case, Exhibit, error) {
	c, err := f.openCase()
	if err != nil {
		return Case{}, Exhibit{}, err
	}
	x, err := f.Exhibit(c.ID, label)
	if err != nil {
		return Case{}, Exhibit{}, lookup("exhibit "+string(label), err)
	}
	return c, x, f.fresh(string(label), x.Changed)
}

// declare records a new intake.
func (f *frame) declare(c Case, d IntakeDeclaration) error {
	switch _, err := f.Intake(d.Intake); {
	case err == nil:
		return named("intake "+d.Intake.String(), ErrExists)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	f.changes.Intakes = append(f.changes.Intakes, Intake{
		Case: c.ID, IntakeDeclaration: d, State: Declared, DeclaredAt: f.at.Time, By: f.event.Actor, Changed: f.at.CaseSeq,
	})
	return nil
}

// IntakeAbandoned explains why an announced copy will not come.
type IntakeAbandoned struct {
	Intake uuid.UUID `json:"intake"`
	Reason string    `json:"reason"`
}

func (IntakeAbandoned) kind() Kind { return "intake.abandoned" }

func (b IntakeAbandoned) check() error { return prose("body.reason", b.Reason, 1, 2000) }

func (b IntakeAbandoned) apply(f *frame) error {
	i, err := f.pending(b.Intake)
	if err != nil {
		return err
	}
	if i.By != f.event.Actor && !f.actor.Roles.Has(identity.RoleCustodian) {
		return f.forbid("intake "+i.Intake.String(), "only %s, who declared it, or a custodian may abandon it", i.By)
	}
	i.State, i.Reason, i.Changed = Abandoned, b.Reason, f.at.CaseSeq
	f.changes.Intakes = append(f.changes.Intakes, i)
	return nil
}

// pending gives an intake of this case that is still on its way.
func (f *frame) pending(id uuid.UUID) (Intake, error) {
	i, err := f.Intake(id)
	if err != nil {
		return Intake{}, lookup("intake "+id.String(), err)
	}
	if i.Case != f.event.Case {
		return Intake{}, named("intake "+id.String(), ErrNotFound)
	}
	if i.State != Declared {
		return Intake{}, f.forbid("intake "+id.String(), "is %s already", i.State)
	}
	return i, f.fresh("intake "+id.String(), i.Changed)
}

// Facts are what the server knows of a copy that lies in the store: told to the
// client first, checked by it, signed by it, checked again by the server.
type Facts struct {
	Intake     uuid.UUID  `json:"intake"`
	Exhibit    Name       `json:"exhibit"`
	Number     Number     `json:"number"`
	Size       int64      `json:"size"`
	Declared   digest.Set `json:"declared,omitzero"` // hash 1: the examiner's; for a working copy, its master's
	Received   digest.Set `json:"received,omitzero"` // hash 2: while the bytes arrived; none for a working copy, made in the store
	ReadBack   digest.Set `json:"read_back"`         // hash 3: from the store, after the write
	ReadSource string     `json:"read_source"`       // medium, cache (the medium could not be had) or store (as S3 answers)
	Objects    []Object   `json:"objects"`
}

func (b Facts) check() error {
	if _, err := ParseNumber(string(b.Number)); err != nil {
		return field("body.number", "%v", err)
	}
	if len(b.Objects) == 0 || len(b.Objects) > 4 {
		return field("body.objects", "has %d rows, want 1 to 4", len(b.Objects))
	}
	seen := map[Role]bool{}
	for _, o := range b.Objects {
		if seen[o.Role] {
			return field("body.objects", "has the role %s twice", o.Role)
		}
		seen[o.Role] = true
		if o.Size < 0 || o.Size > MaxContent {
			return field("body.objects.size", "of the %s object is out of range", o.Role)
		}
		if o.SHA256 == (digest.SHA256{}) {
			return field("body.objects.sha256", "is missing from the %s object", o.Role)
		}
		if o.Lock != "none" && o.RetainUntil == nil {
			return field("body.objects.retain_until", "is missing from the %s object, which is locked", o.Role)
		}
		err := all(
			oneOf("body.objects.role", o.Role, Content, Midstates, Files, ToolLog),
			line("body.objects.bucket", o.Bucket, 1, 200),
			line("body.objects.key", o.Key, 1, 200),
			line("body.objects.version", o.Version, 1, 200),
			oneOf("body.objects.lock", o.Lock, locks...),
		)
		if err != nil {
			return err
		}
	}
	return oneOf("body.read_source", b.ReadSource, "medium", "cache", "store")
}

// locks are the ways in which a store locks an object, the weakest first.
// (Governance and directory, which an administrator can undo, are never of one store.)
var locks = []string{"none", "governance", "directory", "compliance"}

// weakest gives the lock that holds for all the objects.
func weakest(objects []Object) string {
	least := len(locks) - 1
	for _, o := range objects {
		least = min(least, max(slices.Index(locks, o.Lock), 0))
	}
	return locks[least]
}

// Compare tells in which algorithms the hashes of the facts disagree with each
// other; none, but not nil, when the three (for a working copy: two) hashes are one.
func (b Facts) Compare() []digest.Algorithm {
	differ := slices.Concat(
		digest.Differ(b.Declared, b.Received),
		digest.Differ(b.Declared, b.ReadBack),
		digest.Differ(b.Received, b.ReadBack),
	)
	if differ == nil {
		differ = []digest.Algorithm{}
	}
	slices.Sort(differ)
	return slices.Compact(differ)
}

// agree refuses hashes that are not one.
func (b Facts) agree() error {
	if differ := b.Compare(); len(differ) > 0 {
		return fmt.Errorf("%s: %w: %s", b.Number, ErrDigestsDiffer, names(differ))
	}
	return nil
}

// complete checks that the facts are those of a whole copy of this intake, with
// every algorithm that was declared computed wherever it can be.
func (f *frame) complete(b Facts, i Intake, c Case, expected digest.Set) (Exhibit, error) {
	x, err := f.Exhibit(i.Case, i.Exhibit)
	if err != nil {
		return Exhibit{}, lookup("exhibit "+string(i.Exhibit), err)
	}
	if err := f.whole(b, i, c, expected); err != nil {
		return Exhibit{}, err
	}
	return x, f.next(b, i, x)
}

// next checks that the copy has the next number of its exhibit and class.
func (f *frame) next(b Facts, i Intake, x Exhibit) error {
	want := NumberOf(i.Class, x.Numbers[i.Class]+1)
	if b.Number == want {
		return nil
	}
	err := f.stale("copy number %s: the next one is %s", b.Number, want)
	if n, _ := strconv.Atoi(string(b.Number[1:])); b.Number.Class() == i.Class && n > x.Numbers[i.Class] {
		err = absent{err}
	}
	return err
}

// whole checks the facts against the intake.
func (f *frame) whole(b Facts, i Intake, c Case, expected digest.Set) error {
	if b.Exhibit != i.Exhibit {
		return field("body.exhibit", "is not the intake's, %s", i.Exhibit)
	}
	if b.Size != i.Size {
		return field("body.size", "is %d, declared were %d", b.Size, i.Size)
	}
	sets := map[string]digest.Set{"declared": b.Declared, "read_back": b.ReadBack}
	if i.Class == Master {
		sets["received"] = b.Received
	} else if len(b.Received.Algorithms()) > 0 {
		return field("body.received", "a copy made in the store was not received")
	}
	for name, set := range sets {
		if _, ok := set.Get(digest.AlgSHA256); !ok {
			return field("body."+name, "has no sha256")
		}
		for _, a := range b.Declared.Algorithms() {
			if _, ok := set.Get(a); !ok {
				return field("body."+name, "has no %s, which was declared", a)
			}
		}
	}
	for _, a := range expected.Algorithms() {
		want, _ := expected.Get(a)
		if got, ok := b.Declared.Get(a); !ok || got != want {
			return field("body.declared", "%s is not what was declared before", a)
		}
	}
	return f.objects(b, i, c)
}

// wanted is what is known of an object beforehand: its size (-1: nothing) and its
// hash (zero: nothing).
type wanted struct {
	size   int64
	sha256 digest.SHA256
}

// objects checks that the objects are those the intake calls for, locked for as
// long as the case wants.
func (f *frame) objects(b Facts, i Intake, c Case) error {
	content, _ := b.ReadBack.SHA256()
	want := map[Role]wanted{Content: {b.Size, content}}
	if n := digest.MidstateCount(b.Size); n > 0 {
		want[Midstates] = wanted{size: 32 * n}
	}
	if i.Files > 0 {
		want[Files] = wanted{size: -1}
	}
	if i.Acquisition != nil && i.Acquisition.Log != nil {
		want[ToolLog] = wanted{i.Acquisition.Log.Size, i.Acquisition.Log.SHA256}
	}
	until := i.DeclaredAt.Time().Add(time.Duration(c.RetainDays) * 24 * time.Hour).Truncate(time.Second)
	for _, o := range b.Objects {
		w, ok := want[o.Role]
		switch {
		case !ok:
			return field("body.objects", "the intake calls for no %s", o.Role)
		case w.size >= 0 && o.Size != w.size:
			return field("body.objects", "%s has %d bytes, want %d", o.Role, o.Size, w.size)
		case w.sha256 != (digest.SHA256{}) && o.SHA256 != w.sha256:
			return field("body.objects", "%s has another SHA-256 than it must have", o.Role)
		case o.Lock != "none" && o.RetainUntil.Time().Before(until):
			return field("body.objects", "%s is locked for less than the case's %d days", o.Role, c.RetainDays)
		}
		delete(want, o.Role)
	}
	for role := range want {
		return field("body.objects", "%s is missing", role)
	}
	return nil
}

// deposit gives the state changes of a copy that now lies in the store.
func (f *frame) deposit(b Facts, i Intake, x Exhibit, state State) Copy {
	i.State, i.Changed = state, f.at.CaseSeq
	x.Numbers = maps.Clone(x.Numbers)
	x.Numbers[i.Class]++
	if i.State == Quarantined {
		state = map[Class]State{Master: Sealed, Working: Issued}[i.Class]
	}
	custodian := i.By
	if i.To != "" {
		custodian = i.To
	}
	c := Copy{
		CopyID: CopyID{i.Case, i.Exhibit, b.Number}, Class: i.Class, Intake: i.Intake, Title: i.Title, Size: b.Size,
		Digests: b.ReadBack, Objects: b.Objects, Lock: weakest(b.Objects), State: state, Sealed: f.at.Time,
		SealedBy: f.event.Actor, Custodian: custodian, Of: i.Of, To: i.To, Purpose: i.Purpose, Changed: f.at.CaseSeq,
	}
	f.changes.Intakes = append(f.changes.Intakes, i)
	f.changes.Exhibits = append(f.changes.Exhibits, x)
	return c
}
