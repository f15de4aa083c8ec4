package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/api"
	"github.com/custodyd/custodyd/internal/acquire"
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

// TestExplain sends every sentinel that can come up through the table, wrapped as
// callers wrap.
func TestExplain(t *testing.T) {
	problem := func(code api.Code, field string) error {
		p := api.NewProblem(code, "r", "detail")
		p.Field = field
		return p
	}
	tests := []struct {
		err  error
		want int
	}{
		{context.Canceled, exitInterrupted},
		{errFindings, exitFinding},
		{verify.ErrNotConsistent, exitFinding},
		{&verify.ForkError{}, exitFinding},
		{verify.ErrBehind, exitFinding},
		{fmt.Errorf("%w: %w", operator.ErrUnproven, problem(api.CodeNotFound, "")), exitFinding},
		{fmt.Errorf("%w: %w", api.CodeUnavailable, problem(api.CodeInternal, "")), exitUnreachable},
		{verify.ErrOtherEntry, exitFinding},
		{operator.ErrPin, exitFinding},
		{operator.ErrFacts, exitFinding},
		{operator.ErrAnswer, exitFinding},
		{ledger.ErrUnsigned, exitFinding},
		{ledger.ErrOrigin, exitFinding},
		{ledger.ErrProof, exitFinding},
		{ledger.ErrReceipt, exitFinding},
		{ledger.ErrCheckpoint, exitFinding},
		{ledger.ErrEnvelope, exitFinding},
		{ledger.ErrMissing, exitFinding},
		{ledger.ErrRepeated, exitFinding},
		{mirror.ErrContent, exitFinding},
		{mirror.ErrForeign, exitConflict},
		{verify.ErrNotes, exitError},
		{evidence.ErrDigestsDiffer, exitFinding},
		{evidence.ErrHeld, exitConflict},
		{source.ErrChanged, exitFinding},
		{source.ErrSpecial, exitError},
		{source.ErrGap, exitError},
		{source.ErrSet, exitError},
		{source.ErrMark, exitError},
		{acquire.ErrMalformed, exitError},
		{acquire.ErrTooLarge, exitError},
		{bundle.ErrFormat, exitFinding},
		{errDisagree, exitError},
		{errRuns, exitError},
		{errDeclared, exitError},
		{ledger.ErrSyntax, exitError},
		{client.ErrServer, exitError},
		{client.ErrAnswer, exitError},
		{client.ErrDistrusted, exitError},
		{errIncomplete, exitIncomplete},
		{evidence.ErrNotFound, exitNotFound},
		{fs.ErrNotExist, exitNotFound},
		{operator.ErrNotSetUp, exitDenied},
		{operator.ErrNoAgent, exitDenied},
		{operator.ErrChallenge, exitDenied},
		{identity.ErrAgentKey, exitDenied},
		{identity.ErrKeyFile, exitDenied},
		{identity.ErrKeyMode, exitDenied},
		{identity.ErrPassphrase, exitDenied},
		{evidence.ErrForbidden, exitDenied},
		{fs.ErrPermission, exitDenied},
		{evidence.ErrExists, exitConflict},
		{evidence.ErrStale, exitConflict},
		{&evidence.TransitionError{}, exitConflict},
		{errUnfinished, exitConflict},
		{errFinal, exitConflict},
		{errFile, exitConflict},
		{fs.ErrExist, exitConflict},
		{client.ErrUnreachable, exitUnreachable},
		{client.ErrBusy, exitUnreachable},
		{context.DeadlineExceeded, exitUnreachable},
		{&evidence.FieldError{Field: "body.label", Problem: "is missing"}, exitError},

		{problem(api.CodeMalformed, ""), exitError},
		{problem(api.CodeUnauthenticated, ""), exitDenied},
		{problem(api.CodeForbidden, ""), exitDenied},
		{problem(api.CodeNotFound, ""), exitNotFound},
		{problem(api.CodeMethodNotAllowed, ""), exitError},
		{problem(api.CodeTimeout, ""), exitUnreachable},
		{problem(api.CodeExists, ""), exitConflict},
		{problem(api.CodeStale, ""), exitConflict},
		{problem(api.CodeTransition, ""), exitConflict},
		{problem(api.CodeDigestsDiffer, ""), exitFinding},
		{problem(api.CodeOffsetMismatch, ""), exitError},
		{problem(api.CodeLengthRequired, ""), exitError},
		{problem(api.CodeTusVersion, ""), exitError},
		{problem(api.CodeTooLarge, ""), exitError},
		{problem(api.CodeUnsupportedMediaType, ""), exitError},
		{problem(api.CodeRangeNotSatisfiable, ""), exitError},
		{problem(api.CodeInvalid, "body.title"), exitError},
		{problem(api.CodeNotCanonical, ""), exitError},
		{problem(api.CodeUnknownAction, ""), exitError},
		{problem(api.CodeSignature, ""), exitDenied},
		{problem(api.CodeBusy, ""), exitUnreachable},
		{problem(api.CodeInternal, ""), exitError},
		{problem(api.CodeUnavailable, ""), exitUnreachable},
		{problem(api.CodeLedgerStopped, ""), exitUnreachable},
	}
	for _, test := range tests {
		for _, err := range []error{test.err, fmt.Errorf("do a thing: %w", test.err), errors.Join(errors.New("other"), test.err)} {
			if code, _ := explain(err); code != test.want {
				t.Errorf("%T %v: exit code %d, want %d", test.err, err, code, test.want)
			}
		}
	}
}

func TestExplainNext(t *testing.T) {
	if _, next := explain(fmt.Errorf("x: %w", try(evidence.ErrNotFound, "look elsewhere"))); next != "look elsewhere" {
		t.Errorf("next is %q, want the error's own", next)
	}
	if try(nil, "x") != nil {
		t.Error("a hint made an error of nil")
	}
}

// TestHelp: every command shows an example and the exit codes.
func TestHelp(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Example == "" {
			t.Errorf("%s: no example", c.CommandPath())
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q", c.CommandPath(), c.Short)
		}
		var b strings.Builder
		c.SetOut(&b)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for code, row := range exitRows(t) {
			if !strings.Contains(b.String(), row) {
				t.Errorf("%s: help does not tell exit code %s", c.CommandPath(), code)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(&app{}))
}

// exitRows are the rows of the help, one for each code of the table.
func exitRows(t *testing.T) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (\d+) +.*$`).FindAllStringSubmatch(exitHelp, -1) {
		rows[m[1]] = m[0]
	}
	for _, row := range exits {
		if rows[fmt.Sprint(row.code)] == "" {
			t.Fatalf("exit code %d is not in the help", row.code)
		}
	}
	return rows
}
