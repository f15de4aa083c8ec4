package evidence

import (
	"errors"
	"fmt"
)

// Questions a caller may ask of an error from this package.
var (
	// ErrNotFound: the case, exhibit, copy, intake, finding or person is not known.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name or number is taken.
	ErrExists = errors.New("exists already")
	// ErrStale: the subject changed after what the actor had seen. Look again, sign again.
	ErrStale = errors.New("changed since it was last seen")
	// ErrForbidden: the actor's roles do not carry the permission.
	ErrForbidden = errors.New("not permitted")
	// ErrHeld: a legal hold stands against it.
	ErrHeld = errors.New("under the legal hold")
	// ErrDigestsDiffer: the hashes that must agree do not.
	ErrDigestsDiffer = errors.New("digests differ")
	// ErrNotCanonical: the payload is not the one canonical form of its content.
	ErrNotCanonical = errors.New("payload is not in canonical form")
	// ErrUnknownAction: the action is not in the closed set.
	ErrUnknownAction = errors.New("unknown action")
)

// TransitionError says that the law of custody does not let the event follow.
type TransitionError struct {
	Subject string // what it would have happened to, such as E-001/M1
	Kind    Kind   // what would have happened
	Reason  string // which rule stands against it
}

func (e *TransitionError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Subject, e.Kind, e.Reason)
}

// FieldError names the member of a payload that cannot stand as it is.
type FieldError struct {
	Field   string // the member's path, such as body.label
	Problem string // what is wrong with it, without the value
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

func field(name, problem string, args ...any) error {
	return &FieldError{Field: name, Problem: fmt.Sprintf(problem, args...)}
}
