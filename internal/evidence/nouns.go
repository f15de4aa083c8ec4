package evidence

import (
	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/identity"
)

// The nouns are what a fold over the ledger yields. Each carries Changed, the
// case sequence number of the entry that last changed its state: an event whose
// actor had not seen that entry is stale. (For people, who belong to no case,
// it counts the entries of no case.) That a copy was fetched is no such change.

// Person is a principal whose key may sign, with what the lab knows of them.
type Person struct {
	Principal    identity.Principal `json:"principal"`
	Name         string             `json:"name"`
	Title        string             `json:"title,omitempty"`
	Organisation string             `json:"organisation,omitempty"`
	Badge        string             `json:"badge,omitempty"`
	Roles        identity.Roles     `json:"roles"`
	Key          identity.PublicKey `json:"key"`
	Enrolled     Time               `json:"enrolled"`
	EnrolledBy   identity.Principal `json:"enrolled_by"`
	Revoked      *Time              `json:"revoked,omitempty"`
	Reason       string             `json:"reason,omitempty"` // why revoked
	Changed      int64              `json:"changed"`
}

// State is where a case, exhibit, intake, copy or finding stands.
type State string

// The states. Not every noun has every state; each transition is in a law file.
const (
	Open        State = "open"        // case, finding
	Closed      State = "closed"      // case, finding
	Held        State = "held"        // exhibit: in custody
	Declared    State = "declared"    // intake
	Sealed      State = "sealed"      // intake; copy: a master
	Abandoned   State = "abandoned"   // intake
	Quarantined State = "quarantined" // intake; for copies see Copy.Quarantined
	Issued      State = "issued"      // intake; copy: a working copy with its person
	Returned    State = "returned"    // copy: a working copy that came back
)

// Case is an investigation or incident.
type Case struct {
	ID            CaseID             `json:"id"`
	Reference     Name               `json:"reference"`
	Title         string             `json:"title"`
	Jurisdictions []string           `json:"jurisdictions,omitempty"`
	RetainDays    int                `json:"retain_days"` // for how long each sealed object is locked, in days
	State         State              `json:"state"`
	Opened        Time               `json:"opened"`
	OpenedBy      identity.Principal `json:"opened_by,omitempty"`
	Findings      int                `json:"findings"`        // how many were ever opened; numbers the next
	Holds         []Hold             `json:"holds,omitempty"` // that it is under, in the order in which they were placed
	Changed       int64              `json:"changed"`
}

// Exhibit is an original: device, medium, memory, log source, account, paper.
type Exhibit struct {
	Case CaseID `json:"case"`
	ExhibitDescription
	Added   Time               `json:"added"`
	AddedBy identity.Principal `json:"added_by,omitempty"`
	State   State              `json:"state"`
	Numbers map[Class]int      `json:"numbers"` // the highest copy number given in each class
	Changed int64              `json:"changed"`
}

// Intake is one copy on its way in, from declared to sealed, issued,
// quarantined or abandoned.
type Intake struct {
	Case CaseID `json:"case"`
	IntakeDeclaration
	State      State              `json:"state"`
	DeclaredAt Time               `json:"declared_at"`
	By         identity.Principal `json:"by,omitempty"`
	Reason     string             `json:"reason,omitempty"` // why abandoned
	Changed    int64              `json:"changed"`
}

// Copy is acquired bytes of an exhibit.
type Copy struct {
	CopyID
	Class     Class              `json:"class"`
	Intake    uuid.UUID          `json:"intake"`
	Title     string             `json:"title"` // what it is called by people: the file name
	Size      int64              `json:"size"`
	Digests   digest.Set         `json:"digests"` // as read back from the store
	Objects   []Object           `json:"objects"`
	Lock      string             `json:"lock"` // of its objects' locks the weakest
	State     State              `json:"state"`
	Sealed    Time               `json:"sealed"`
	SealedBy  identity.Principal `json:"sealed_by,omitempty"`
	Custodian identity.Principal `json:"custodian,omitempty"`
	Of        Number             `json:"of,omitempty"`       // the copy it was made from
	To        identity.Principal `json:"to,omitempty"`       // to whom a working copy is bound
	Purpose   string             `json:"purpose,omitempty"`  // for what
	Fetched   *Time              `json:"fetched,omitempty"`  // when its person was first given bytes of it
	Findings  []int              `json:"findings,omitempty"` // open findings against it
	Changed   int64              `json:"changed"`
}

// Quarantined reports whether an open finding blocks the copy's release.
func (c Copy) Quarantined() bool { return len(c.Findings) > 0 }

// Object finds the copy's object of a role.
func (c Copy) Object(role Role) (Object, bool) {
	for _, o := range c.Objects {
		if o.Role == role {
			return o, true
		}
	}
	return Object{}, false
}

// Finding is a numbered discrepancy. It blocks the release of its copy for as
// long as it is open; no event closes one yet.
type Finding struct {
	Case    CaseID `json:"case"`
	Number  int    `json:"number"` // from 1 within the case
	Exhibit Name   `json:"exhibit"`
	Copy    Number `json:"copy"`
	What    string `json:"what"`
	State   State  `json:"state"`
	Opened  Time   `json:"opened"`
	Changed int64  `json:"changed"`
}

// Role says what an object of a copy holds.
type Role string

// The roles of objects.
const (
	Content   Role = "content"   // the evidence bytes
	Midstates Role = "midstates" // SHA-256 chaining values, see package digest
	Files     Role = "files"     // the list of files whose concatenation is the content
	ToolLog   Role = "log"       // the imaging tool's log, verbatim
)

// Object is one write-once object, as read back from the store.
type Object struct {
	Role        Role          `json:"role"`
	Bucket      string        `json:"bucket"`
	Key         string        `json:"key"`
	Version     string        `json:"version"`
	Size        int64         `json:"size"` // bytes
	SHA256      digest.SHA256 `json:"sha256"`
	Lock        string        `json:"lock"`                   // compliance, governance, directory or none
	RetainUntil *Time         `json:"retain_until,omitempty"` // absent only where nothing locks
}
