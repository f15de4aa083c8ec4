package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/bundle"
	"github.com/custodyd/custodyd/internal/client"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/mirror"
	"github.com/custodyd/custodyd/internal/operator"
	"github.com/custodyd/custodyd/internal/source"
	"github.com/custodyd/custodyd/internal/verify"
)

// The exit codes, never reused.
const (
	exitOK          = 0
	exitFinding     = 1
	exitError       = 2
	exitIncomplete  = 3
	exitNotFound    = 4
	exitDenied      = 5
	exitConflict    = 6
	exitUnreachable = 7
	exitInterrupted = 130
)

// exitHelp is printed in every help.
const exitHelp = `
Exit codes:
  0    ok, verified
  1    integrity finding: verification failed
  2    usage or internal error
  3    incomplete: something asked for could not be checked
  4    not found
  5    denied, or not signed in
  6    conflict: the law of custody or a hold forbids it
  7    unreachable or busy: a retry makes sense
  130  interrupted
`

var (
	errFindings   = errors.New("there are findings")
	errIncomplete = errors.New("not everything that was asked for could be checked")
	errUnfinished = errors.New("an intake of this is not finished")
	errFile       = errors.New("would overwrite a file")
	errFinal      = errors.New("the service has given it up")
)

// hint is an error with the next thing to try.
type hint struct {
	error
	next string
}

func (h *hint) Unwrap() error { return h.error }

// try adds the next thing to try to an error.
func try(err error, next string) error {
	if err == nil {
		return nil
	}
	return &hint{err, next}
}

// exits is the one table from errors to exit codes; the first row that fits wins.
var exits = []struct {
	code int
	next string
	errs []error
}{
	{exitInterrupted, "", []error{context.Canceled}},
	{exitFinding, "keep both files and tell the person who answers for the ledger", []error{verify.ErrNotConsistent, verify.ErrBehind, operator.ErrUnproven}},
	{exitFinding, "do not go on before the key was compared with the service's operator by another way", []error{operator.ErrPin, ledger.ErrUnsigned, ledger.ErrOrigin}},
	{exitFinding, "try another copy of the ledger, and tell the person who answers for it", []error{mirror.ErrContent}},
	{exitFinding, "", []error{
		errFindings, operator.ErrFacts, operator.ErrAnswer, verify.ErrOtherEntry, evidence.ErrDigestsDiffer,
		bundle.ErrFormat, ledger.ErrProof, ledger.ErrReceipt, ledger.ErrCheckpoint, ledger.ErrEnvelope, ledger.ErrSequence,
	}},
	{exitFinding, "find out who changed it; an intake that will not come is ended with: ingest --abandon REASON", []error{source.ErrChanged}},
	{exitIncomplete, "name the policy of the ledger with --policy FILE, or run custody-cli setup", []error{errIncomplete}},
	{exitDenied, "run custody-cli setup --server URL --principal NAME", []error{operator.ErrNotSetUp}},
	{exitDenied, "set up this machine again with the key that was enrolled: custody-cli setup", []error{
		api.CodeUnauthenticated, api.CodeSignature, operator.ErrChallenge,
	}},
	{exitDenied, "ssh-add the key, or name a key file with custody-cli setup --key FILE", []error{identity.ErrAgentKey, operator.ErrNoAgent}},
	{exitDenied, "", []error{evidence.ErrForbidden, identity.ErrPassphrase, identity.ErrKeyMode, identity.ErrKeyFile, fs.ErrPermission}},
	{exitConflict, "look again with show or history, then decide again", []error{evidence.ErrStale}},
	{exitConflict, "see the holds with case show; who answers for one lifts it: hold lift CASE --name NAME", []error{evidence.ErrHeld}},
	{exitConflict, "", []error{evidence.ErrExists, api.CodeTransition, errUnfinished, errNotConfirmed, errFinal, errFile, fs.ErrExist}},
	{exitConflict, "history shows what each entry says", []error{evidence.ErrNothingToErase}},
	{exitConflict, "", []error{mirror.ErrForeign}},
	{exitNotFound, "", []error{evidence.ErrNotFound, fs.ErrNotExist}},
	{exitUnreachable, "try again", []error{
		client.ErrUnreachable, client.ErrBusy, api.CodeUnavailable, api.CodeTimeout, context.DeadlineExceeded,
	}},
	{exitUnreachable, "tell the service's operator", []error{api.CodeLedgerStopped}},
	{exitError, "name the authority that vouches for the service: custody-cli setup --ca-file FILE", []error{client.ErrDistrusted}},
}

// explain gives an error's exit code and the next thing to try, if there is one.
func explain(err error) (code int, next string) {
	code = exitError
	for _, row := range exits {
		if isAny(err, row.errs) {
			code, next = row.code, row.next
			break
		}
	}
	var transition *evidence.TransitionError
	if code == exitError && errors.As(err, &transition) {
		code = exitConflict
	}
	var own *hint
	if errors.As(err, &own) {
		next = own.next
	}
	return code, next
}

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
