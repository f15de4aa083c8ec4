package api

import (
	"fmt"
	"net/http"

	"github.com/custodyd/custodyd/internal/evidence"
)

// codes is the closed list of problem codes: the HTTP status and the words of
// each, and the sentinel it means to the program that receives it.
var codes = map[Code]struct {
	status   int
	title    string
	sentinel error
}{
	CodeMalformed:            {http.StatusBadRequest, "not the form the API describes", nil},
	CodeUnauthenticated:      {http.StatusUnauthorized, "not signed in", nil},
	CodeForbidden:            {http.StatusForbidden, "not permitted", evidence.ErrForbidden},
	CodeNotFound:             {http.StatusNotFound, "not found", evidence.ErrNotFound},
	CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, "no such operation here", nil},
	CodeTimeout:              {http.StatusRequestTimeout, "the body came too slowly", nil},
	CodeExists:               {http.StatusConflict, "exists already", evidence.ErrExists},
	CodeStale:                {http.StatusConflict, "changed since it was last seen", evidence.ErrStale},
	CodeTransition:           {http.StatusConflict, "the law of custody does not allow it", nil},
	CodeDigestsDiffer:        {http.StatusConflict, "digests differ", evidence.ErrDigestsDiffer},
	CodeOffsetMismatch:       {http.StatusConflict, "the upload stands at another byte", nil},
	CodeLengthRequired:       {http.StatusLengthRequired, "the length must be told first", nil},
	CodeTusVersion:           {http.StatusPreconditionFailed, "another version of the tus protocol", nil},
	CodeTooLarge:             {http.StatusRequestEntityTooLarge, "too large", nil},
	CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, "another media type is expected", nil},
	CodeRangeNotSatisfiable:  {http.StatusRequestedRangeNotSatisfiable, "no such range", nil},
	CodeInvalid:              {http.StatusUnprocessableEntity, "a member cannot stand as it is", nil},
	CodeNotCanonical:         {http.StatusUnprocessableEntity, "payload is not in canonical form", evidence.ErrNotCanonical},
	CodeUnknownAction:        {http.StatusUnprocessableEntity, "unknown action", evidence.ErrUnknownAction},
	CodeSignature:            {http.StatusUnprocessableEntity, "signature does not verify", nil},
	CodeLegalHold:            {http.StatusLocked, "under a legal hold", evidence.ErrHeld},
	CodeBusy:                 {http.StatusLocked, "busy", nil},
	CodeInternal:             {http.StatusInternalServerError, "internal error", nil},
	CodeUnavailable:          {http.StatusServiceUnavailable, "unavailable", nil},
	CodeLedgerStopped:        {http.StatusServiceUnavailable, "the ledger has stopped", nil},
}

// Status is the HTTP status that goes with the code; 500 for an unknown code.
func (c Code) Status() int {
	if row, ok := codes[c]; ok {
		return row.status
	}
	return http.StatusInternalServerError
}

// Title is the code in words.
func (c Code) Title() string {
	if row, ok := codes[c]; ok {
		return row.title
	}
	return string(c)
}

// Error makes a code an error that a [Problem] can be asked for with errors.Is.
func (c Code) Error() string { return string(c) }

// NewProblem gives the problem of a code.
func NewProblem(c Code, requestID, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: c.Title(), Status: c.Status(), Code: c, RequestID: requestID, Detail: detail}
}

// Error says the occurrence where there are words for it, else the kind.
func (p *Problem) Error() string {
	what := p.Title
	if p.Detail != "" {
		what = p.Detail
	}
	if p.Field != "" {
		what = p.Field + ": " + what
	}
	if p.Code == CodeInternal || p.Code == CodeLedgerStopped {
		return fmt.Sprintf("%s (request %s)", what, p.RequestID)
	}
	return what
}

// Unwrap makes errors.Is answer to the problem's [Code] and to the sentinel of
// package evidence it stands for, and errors.As to [evidence.FieldError].
func (p *Problem) Unwrap() []error {
	errs := []error{p.Code}
	if s := codes[p.Code].sentinel; s != nil {
		errs = append(errs, s)
	}
	if p.Field != "" {
		errs = append(errs, &evidence.FieldError{Field: p.Field, Problem: p.Detail})
	}
	return errs
}
