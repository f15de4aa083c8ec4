package evidence

import (
	"fmt"

	"github.com/custodyd/custodyd/internal/identity"
)

// PersonEnrolled makes a principal known, with the key that signs for it. The
// service enrols itself with the first entry of a ledger and the first
// administrator with the second; from then on an administrator enrols.
type PersonEnrolled struct {
	Principal    identity.Principal `json:"principal"`
	Name         string             `json:"name"`
	Title        string             `json:"title,omitempty"`
	Organisation string             `json:"organisation,omitempty"`
	Badge        string             `json:"badge,omitempty"`
	Roles        identity.Roles     `json:"roles"`
	Key          identity.PublicKey `json:"key"`
}

func (PersonEnrolled) kind() Kind { return "person.enrolled" }

func (b PersonEnrolled) check() error {
	if _, err := identity.ParsePrincipal(string(b.Principal)); err != nil {
		return field("body.principal", "%v", err)
	}
	if b.Key.IsZero() {
		return field("body.key", "is missing")
	}
	if err := b.Roles.HeldBy(b.Principal); err != nil {
		return field("body.roles", "%v", err)
	}
	return all(
		line("body.name", b.Name, 1, 200),
		line("body.title", b.Title, 0, 200),
		line("body.organisation", b.Organisation, 0, 200),
		line("body.badge", b.Badge, 0, 100),
	)
}

func (b PersonEnrolled) apply(f *frame) error {
	people, err := f.People()
	if err != nil {
		return err
	}
	if f.event.Actor == identity.Service {
		first := len(people) == 0 && b.Principal == identity.Service
		second := len(people) == 1 && b.Roles.Allow(identity.PersonEnrol)
		if !first && !second {
			return f.forbid(string(b.Principal), "the service enrols only itself and then the first administrator")
		}
	} else if b.Principal == identity.Service {
		return f.forbid(string(b.Principal), "the service enrols itself")
	}
	for _, p := range people {
		if p.Principal == b.Principal {
			return fmt.Errorf("principal %s: %w", b.Principal, ErrExists)
		}
		if p.Key == b.Key {
			return fmt.Errorf("key %s: %w, with %s", b.Key.Fingerprint(), ErrExists, p.Principal)
		}
	}
	f.changes.People = append(f.changes.People, Person{
		Principal: b.Principal, Name: b.Name, Title: b.Title, Organisation: b.Organisation, Badge: b.Badge,
		Roles: b.Roles, Key: b.Key, Enrolled: f.at.Time, EnrolledBy: f.event.Actor, Changed: f.at.CaseSeq,
	})
	return nil
}

// PersonRevoked ends a principal: its key signs nothing from this entry on, and
// what it signed before stays as it was.
type PersonRevoked struct {
	Principal identity.Principal `json:"principal"`
	Reason    string             `json:"reason"`
}

func (PersonRevoked) kind() Kind { return "person.revoked" }

func (b PersonRevoked) check() error {
	if _, err := identity.ParsePrincipal(string(b.Principal)); err != nil {
		return field("body.principal", "%v", err)
	}
	return prose("body.reason", b.Reason, 1, 2000)
}

func (b PersonRevoked) apply(f *frame) error {
	if b.Principal == identity.Service {
		return f.forbid(string(b.Principal), "the service cannot be revoked")
	}
	people, err := f.People()
	if err != nil {
		return err
	}
	var subject *Person
	others := 0 // administrators who stay
	for i, p := range people {
		switch {
		case p.Principal == b.Principal:
			subject = &people[i]
		case p.Revoked == nil && p.Roles.Allow(identity.PersonEnrol):
			others++
		}
	}
	switch {
	case subject == nil:
		return named("person "+string(b.Principal), ErrNotFound)
	case subject.Revoked != nil:
		return f.forbid(string(b.Principal), "is revoked already")
	case others == 0:
		return f.forbid(string(b.Principal), "is the last one who may enrol people")
	}
	if err := f.fresh(string(b.Principal), subject.Changed); err != nil {
		return err
	}
	subject.Revoked, subject.Reason, subject.Changed = &f.at.Time, b.Reason, f.at.CaseSeq
	f.changes.People = append(f.changes.People, *subject)
	return nil
}

// ServiceStarted says which program took up the ledger, and what its object
// store proved to be able to do.
type ServiceStarted struct {
	Version string   `json:"version"`
	Store   string   `json:"store"` // s3 or directory
	Bucket  string   `json:"bucket"`
	Lock    string   `json:"lock"`              // what writes are locked with
	Missing []string `json:"missing,omitempty"` // what the store cannot do, by name
}

func (ServiceStarted) kind() Kind { return "service.started" }

func (b ServiceStarted) check() error {
	if len(b.Missing) > 100 {
		return field("body.missing", "has %d rows, want at most 100", len(b.Missing))
	}
	for i, m := range b.Missing {
		if err := line(fmt.Sprintf("body.missing[%d]", i), m, 1, 300); err != nil {
			return err
		}
	}
	return all(
		line("body.version", b.Version, 1, 100),
		oneOf("body.store", b.Store, "s3", "directory"),
		line("body.bucket", b.Bucket, 1, 200),
		oneOf("body.lock", b.Lock, locks...),
	)
}

func (b ServiceStarted) apply(*frame) error { return nil }
