package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
)

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[T error](err error) bool { _, ok := errors.AsType[T](err); return ok }

// whole tells the error as it is, words only these words of ours.
func whole(err error) string { return err.Error() }

func words(text string) func(error) string { return func(error) string { return text } }

// falsified names the entry, and not what does not hold of it.
func falsified(err error) string {
	entry, _ := errors.AsType[*custody.EntryError](err)
	return entry.Entry + " of the ledger is not the one that was recorded, and is shown to nobody: the service writes nothing more until its operator has looked"
}

// problems is the one table from errors to codes; the first match wins. Those without a
// detail keep their words for the log: they speak of our insides.
var problems = []struct {
	is     func(error) bool
	code   api.Code
	detail func(error) string
}{
	{is(custody.ErrUnauthenticated), api.CodeUnauthenticated, whole},
	{as[*custody.EntryError], api.CodeLedgerStopped, falsified},
	{is(custody.ErrStopped), api.CodeLedgerStopped, nil},
	{is(custody.ErrUnpublished), api.CodeUnavailable, words("too many entries are not in the object store yet; it goes on by itself when the store takes them")},
	{is(custody.ErrUnavailable), api.CodeUnavailable, nil},
	{is(custody.ErrBusy), api.CodeBusy, whole},
	{is(custody.ErrSignature), api.CodeSignature, whole},
	{is(evidence.ErrForbidden), api.CodeForbidden, whole},
	{is(evidence.ErrHeld), api.CodeLegalHold, whole},
	{as[*evidence.TransitionError], api.CodeTransition, whole},
	{as[*evidence.FieldError], api.CodeInvalid, whole},
	{is(evidence.ErrStale), api.CodeStale, whole},
	{is(evidence.ErrExists), api.CodeExists, whole},
	{is(evidence.ErrDigestsDiffer), api.CodeDigestsDiffer, whole},
	{is(evidence.ErrNotCanonical), api.CodeNotCanonical, whole},
	{is(evidence.ErrUnknownAction), api.CodeUnknownAction, whole},
	{is(evidence.ErrNotFound), api.CodeNotFound, whole},
	{as[*http.MaxBytesError], api.CodeTooLarge, whole},
	{is(os.ErrDeadlineExceeded), api.CodeTimeout, nil},
	{is(context.Canceled), api.CodeUnavailable, nil}, // the client has gone, or we are going
	{is(context.DeadlineExceeded), api.CodeUnavailable, nil},
}

// statuses gives the code for what echo itself refuses.
var statuses = map[int]api.Code{
	http.StatusBadRequest:            api.CodeMalformed,
	http.StatusNotFound:              api.CodeNotFound,
	http.StatusMethodNotAllowed:      api.CodeMethodNotAllowed,
	http.StatusRequestEntityTooLarge: api.CodeTooLarge,
	http.StatusUnsupportedMediaType:  api.CodeUnsupportedMediaType,
}

// problemOf finds the problem that an error is to whoever asked.
func problemOf(err error, requestID string) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		answer := *p
		answer.RequestID = requestID
		return &answer
	}
	for _, row := range problems {
		if !row.is(err) {
			continue
		}
		p := api.NewProblem(row.code, requestID, "")
		if field, ok := errors.AsType[*evidence.FieldError](err); ok && row.code == api.CodeInvalid {
			p.Field, p.Detail = field.Field, field.Problem
		} else if row.detail != nil {
			p.Detail = row.detail(err)
		}
		return p
	}
	if refused, ok := errors.AsType[*echo.HTTPError](err); ok {
		if code, ok := statuses[refused.Code]; ok {
			p := api.NewProblem(code, requestID, "")
			if code == api.CodeMalformed {
				p.Field, p.Detail = malformed(refused)
			}
			return p
		}
	}
	return api.NewProblem(api.CodeInternal, requestID, "")
}

// malformed says what does not fit the document, and where, without the value.
func malformed(refused *echo.HTTPError) (field, detail string) {
	request, ok := errors.AsType[*openapi3filter.RequestError](refused.Internal)
	if !ok {
		text, _ := refused.Message.(string)
		return "", shorten(text)
	}
	detail = request.Reason
	if schema, ok := errors.AsType[*openapi3.SchemaError](request.Err); ok {
		at, unknown := schema.JSONPointer(), ""
		if n, err := fmt.Sscanf(schema.Reason, "property %q is unsupported", &unknown); n == 1 && err == nil {
			at = append(at, unknown)
		}
		field, detail = strings.Join(at, "."), schema.Reason
	} else if parse, ok := errors.AsType[*openapi3filter.ParseError](request.Err); ok && parse.Reason != "" {
		detail = parse.Reason
	}
	if request.Parameter != nil {
		field = request.Parameter.Name
	}
	return shorten(field), shorten(detail)
}

// most is how many characters of what a request brought are repeated, in an answer or
// in the log.
const most = 300

func shorten(text string) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// fail answers with the problem that an error is. It is echo's error handler.
func (s *Server) fail(err error, c echo.Context) {
	requestID := requestID(c.Request().Context())
	p := problemOf(err, requestID)
	level := slog.LevelInfo
	switch p.Code {
	case api.CodeInternal, api.CodeLedgerStopped:
		level = slog.LevelError
	case api.CodeUnavailable:
		level = slog.LevelWarn
	}
	if c.Request().Context().Err() != nil {
		level = slog.LevelDebug // nobody hears the answer
	}
	cause := err.Error()
	if p.Code == api.CodeMalformed {
		cause = p.Error() // the validator's own words hold the body
	}
	s.log.Log(c.Request().Context(), level, "refused", "request_id", requestID, "code", string(p.Code), "error", shorten(cause))
	if c.Response().Committed {
		// What was begun must not look complete.
		panic(http.ErrAbortHandler)
	}
	h := c.Response().Header()
	h.Del("Content-Length")
	h.Del("Content-Type")
	h.Del("Content-Disposition")
	h.Set("Cache-Control", "no-store")
	switch p.Code {
	case api.CodeUnauthenticated:
		h.Set("WWW-Authenticate", "Bearer")
	case api.CodeBusy, api.CodeUnavailable:
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if c.Request().Method == http.MethodHead {
		c.Response().WriteHeader(p.Status)
		return
	}
	body, err := json.Marshal(p)
	if err == nil {
		err = c.Blob(p.Status, api.ProblemType, append(body, '\n'))
	}
	if err != nil {
		s.log.Debug("write problem", "request_id", requestID, "error", err)
	}
}

// retryAfter is when we would like to hear again of who found us busy, in seconds.
const retryAfter = 2
