package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrRole says that a text is not a role, that a list of roles is not in its
// one spelling, or that roles do not belong to a principal.
var ErrRole = errors.New("not a valid role")

// Role is a kind of person. The set is closed.
type Role string

// The roles, as in the table of the package comment.
const (
	RoleAdministrator Role = "administrator"
	RoleCustodian     Role = "custodian"
	RoleExaminer      Role = "examiner"
	RoleAnalyst       Role = "analyst"
	RoleLegal         Role = "legal"
	RoleAuditor       Role = "auditor"
	RoleScreener      Role = "screener"
	RoleService       Role = "service" // of Service, never of a person
)

// Permission is the right to one operation. The set is closed.
type Permission string

// The permissions, as in the table of the package comment.
const (
	PersonEnrol   Permission = "person.enrol"
	PersonRevoke  Permission = "person.revoke"
	PersonRead    Permission = "person.read"
	CaseOpen      Permission = "case.open"
	CaseClose     Permission = "case.close"
	CaseRead      Permission = "case.read"
	HoldPlace     Permission = "hold.place"
	HoldLift      Permission = "hold.lift"
	PayloadErase  Permission = "payload.erase"
	ExhibitAdd    Permission = "exhibit.add"
	ExhibitRead   Permission = "exhibit.read"
	IntakeDeclare Permission = "intake.declare"
	IntakeUpload  Permission = "intake.upload"
	IntakeSeal    Permission = "intake.seal"
	IntakeAbandon Permission = "intake.abandon"
	CopyIssue     Permission = "copy.issue"
	CopyFetch     Permission = "copy.fetch"
	CopyReturn    Permission = "copy.return"
	CopyRead      Permission = "copy.read" // what is known about a copy, not its content
	CopyVerify    Permission = "copy.verify"
	HistoryRead   Permission = "history.read"
	ExportCreate  Permission = "export.create"
	LedgerRead    Permission = "ledger.read"
	FindingDecide Permission = "finding.decide"
	StatusRead    Permission = "status.read" // existence and state, no personal data, no content
)

// permissions are all permissions, in the order of the package comment.
var permissions = []Permission{
	PersonEnrol, PersonRevoke, PersonRead,
	CaseOpen, CaseClose, CaseRead, HoldPlace, HoldLift, PayloadErase,
	ExhibitAdd, ExhibitRead,
	IntakeDeclare, IntakeUpload, IntakeSeal, IntakeAbandon,
	CopyIssue, CopyFetch, CopyReturn, CopyRead, CopyVerify,
	HistoryRead, ExportCreate, LedgerRead, FindingDecide, StatusRead,
}

// roles are all roles, in the order of the package comment.
var roles = []Role{
	RoleAdministrator, RoleCustodian, RoleExaminer, RoleAnalyst,
	RoleLegal, RoleAuditor, RoleScreener, RoleService,
}

// allowed is the table. What is not in it is denied.
var allowed = map[Role][]Permission{
	RoleAdministrator: {
		PersonEnrol, PersonRevoke, PersonRead, HoldPlace, HoldLift, StatusRead,
	},
	RoleCustodian: {
		PersonRead, CaseRead, HoldPlace, PayloadErase, ExhibitAdd, ExhibitRead, IntakeAbandon,
		CopyIssue, CopyReturn, CopyRead, CopyVerify, HistoryRead, FindingDecide, StatusRead,
	},
	RoleExaminer: {
		PersonRead, CaseOpen, CaseClose, CaseRead, ExhibitAdd, ExhibitRead,
		IntakeDeclare, IntakeUpload, IntakeSeal, IntakeAbandon,
		CopyIssue, CopyFetch, CopyReturn, CopyRead, CopyVerify,
		HistoryRead, ExportCreate, StatusRead,
	},
	RoleAnalyst: {
		CaseRead, ExhibitRead, CopyFetch, CopyReturn, CopyRead, CopyVerify, StatusRead,
	},
	RoleLegal: {
		PersonRead, CaseRead, HoldPlace, HoldLift, ExhibitRead, CopyRead, CopyVerify, HistoryRead, ExportCreate, StatusRead,
	},
	RoleAuditor: {
		PersonRead, CaseRead, ExhibitRead, CopyRead, CopyVerify, HistoryRead, LedgerRead, StatusRead,
	},
	RoleScreener: {
		StatusRead,
	},
	RoleService: {
		CopyVerify, LedgerRead, StatusRead,
	},
}

// AllRoles returns every role a person can hold, in the order of the table.
func AllRoles() []Role {
	return slices.DeleteFunc(slices.Clone(roles), func(r Role) bool { return r == RoleService })
}

// ParseRole returns the role text spells, or ErrRole. It knows RoleService,
// because records name it; Roles.HeldBy says who may hold it.
func ParseRole(text string) (Role, error) {
	if !slices.Contains(roles, Role(text)) {
		return "", fmt.Errorf("%w: %q", ErrRole, text)
	}
	return Role(text), nil
}

// Roles are what one principal holds: sorted, unique, at least one.
type Roles []Role

// NewRoles returns the roles in order. It refuses unknown and repeated ones
// and an empty list with ErrRole.
func NewRoles(list ...Role) (Roles, error) {
	sorted := Roles(slices.Sorted(slices.Values(list)))
	if err := sorted.check(); err != nil {
		return nil, err
	}
	return sorted, nil
}

// ParseRoles returns the roles of a list separated by commas, as String writes
// it: known, sorted, unique, at least one. Anything else is ErrRole.
func ParseRoles(text string) (Roles, error) {
	var rs Roles
	for name := range strings.SplitSeq(text, ",") {
		rs = append(rs, Role(name))
	}
	if err := rs.check(); err != nil {
		return nil, err
	}
	return rs, nil
}

// check reports whether rs is in its one spelling.
func (rs Roles) check() error {
	if len(rs) == 0 {
		return fmt.Errorf("%w: no role", ErrRole)
	}
	for i, r := range rs {
		if _, err := ParseRole(string(r)); err != nil {
			return err
		}
		if i > 0 && rs[i-1] >= r {
			return fmt.Errorf("%w: %q after %q", ErrRole, r, rs[i-1])
		}
	}
	return nil
}

// HeldBy reports whether p may hold rs: Service holds RoleService and nothing
// else, everybody else anything but that. Otherwise the error is ErrRole.
func (rs Roles) HeldBy(p Principal) error {
	if err := rs.check(); err != nil {
		return err
	}
	if p == Service && (len(rs) != 1 || rs[0] != RoleService) {
		return fmt.Errorf("%w: %s is the service and holds the role %q only", ErrRole, p, RoleService)
	}
	if p != Service && rs.Has(RoleService) {
		return fmt.Errorf("%w: %q cannot be given to %s", ErrRole, RoleService, p)
	}
	return nil
}

// Has reports whether r is one of rs.
func (rs Roles) Has(r Role) bool { return slices.Contains(rs, r) }

// Allow reports whether any of rs gives the permission.
func (rs Roles) Allow(p Permission) bool {
	for _, r := range rs {
		if slices.Contains(allowed[r], p) {
			return true
		}
	}
	return false
}

// String joins the roles with commas; ParseRoles reads it.
func (rs Roles) String() string {
	names := make([]string, len(rs))
	for i, r := range rs {
		names[i] = string(r)
	}
	return strings.Join(names, ",")
}

// UnmarshalJSON reads an array of role names in the one order ParseRoles takes.
func (rs *Roles) UnmarshalJSON(data []byte) error {
	var list []Role
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("%w: %w", ErrRole, err)
	}
	if err := Roles(list).check(); err != nil {
		return err
	}
	*rs = list
	return nil
}
