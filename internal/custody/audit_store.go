package custody

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

// shelf is what explains the objects of a store: intakes, and the copies that came
// of them.
type shelf struct {
	references map[evidence.CaseID]evidence.Name
	intakes    map[uuid.UUID]evidence.Intake
	copies     map[uuid.UUID]evidence.Copy
	held       map[uuid.UUID]int // objects that were found, by intake
	last       string            // key that was found last
}

func newShelf(nouns evidence.Changes) *shelf {
	s := &shelf{
		references: referencesOf(nouns), intakes: make(map[uuid.UUID]evidence.Intake, len(nouns.Intakes)),
		copies: make(map[uuid.UUID]evidence.Copy, len(nouns.Copies)), held: map[uuid.UUID]int{},
	}
	for _, i := range nouns.Intakes {
		s.intakes[i.Intake] = i
	}
	for _, c := range nouns.Copies {
		s.copies[c.Intake] = c
	}
	return s
}

// list looks at every object of the store, with all its versions. The error says
// that the store could not be asked, or not for all.
func (a *audit) list(ctx context.Context, s *shelf) ([]verify.Finding, error) {
	var unexplained []verify.Finding
	for o, err := range a.cfg.Objects.List(ctx, "") {
		if ctx.Err() != nil {
			return unexplained, ctx.Err()
		}
		if err != nil && o.Key == "" {
			return unexplained, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		a.r.Objects++
		subject := "object " + o.Key
		if o.Version != "" {
			subject += " version " + o.Version
		}
		var code verify.Code
		var detail string
		if size, _, ok := witnessedNames.parse(o.Key); ok {
			code, detail = a.explainKept(ctx, a.witnessed, size, o, err)
		} else if entry, _, ok := anchorNames.parse(o.Key); ok {
			code, detail = a.explainKept(ctx, a.stamps, entry, o, err)
		} else if isPublished(o.Key) {
			code, detail = a.explainPublished(ctx, o, err)
		} else {
			code, detail = s.explain(o, err)
		}
		if code != "" {
			unexplained = append(unexplained, finding(code, subject, "%s", detail))
		}
	}
	// Stores list versions in orders of their own.
	slices.SortStableFunc(unexplained, func(x, y verify.Finding) int { return strings.Compare(x.Subject, y.Subject) })
	return unexplained, nil
}

// explain tells what is wrong with an object of the store; no code, when the ledger
// explains it.
func (s *shelf) explain(o objectstore.Object, err error) (verify.Code, string) {
	again := o.Key == s.last
	s.last = o.Key
	id, role, ok := parseKey(o.Key)
	i, declared := s.intakes[id]
	c, deposited := s.copies[id]
	stated, sealed := c.Object(role)
	switch {
	case o.Marker:
		return CodeObjectMarker, "hides the versions below it: somebody has deleted the object"
	case !ok || !declared:
		return CodeObjectUnknown, "its key is of no intake"
	case deposited && !sealed:
		return CodeObjectUnknown, fmt.Sprintf("%s was recorded without it", s.path(c.CopyID))
	case !deposited && !calls(i, role):
		return CodeObjectUnknown, fmt.Sprintf("intake %s calls for no such object", id)
	case err != nil:
		return CodeObjectUnreadable, err.Error()
	case deposited && o.Version != stated.Version:
		return CodeObjectVersion, fmt.Sprintf("the version of %s is %s", s.path(c.CopyID), stated.Version)
	case !deposited && again:
		return CodeObjectVersion, fmt.Sprintf("intake %s has more than one version of it", id)
	}
	s.held[id]++
	return "", ""
}

func (s *shelf) path(id evidence.CopyID) evidence.Path {
	return evidence.Path{Case: s.references[id.Case], Exhibit: id.Exhibit, Copy: id.Number}
}

// parseKey reads what key writes.
func parseKey(s string) (uuid.UUID, evidence.Role, bool) {
	const length = 36 // of a UUID's text
	if len(s) < length {
		return uuid.UUID{}, "", false
	}
	id, err := uuid.Parse(s[:length])
	role := evidence.Role(strings.TrimPrefix(s[length:], "-"))
	return id, role, err == nil && key(id, role) == s
}

// calls reports whether an intake that is under way, or was abandoned, can have put
// an object of that role.
func calls(i evidence.Intake, role evidence.Role) bool {
	if role == evidence.Content || role == evidence.Midstates {
		return true
	}
	_, err := attachable(i, role)
	return err == nil
}

// pending gives the intakes that are under way, in the order of their ids.
func (s *shelf) pending() []PendingIntake {
	list := []PendingIntake{}
	for _, i := range s.intakes {
		if i.State == evidence.Declared {
			list = append(list, PendingIntake{
				Intake: i.Intake, Case: s.references[i.Case], Exhibit: i.Exhibit, Class: i.Class, Title: i.Title,
				Size: i.Size, By: i.By, Declared: i.DeclaredAt, Objects: s.held[i.Intake],
			})
		}
	}
	slices.SortFunc(list, func(x, y PendingIntake) int { return bytes.Compare(x.Intake[:], y.Intake[:]) })
	return list
}
