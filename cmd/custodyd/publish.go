package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
)

// publishFlags are those of the ledger in the object store.
func (s *settings) publishFlags(f *pflag.FlagSet) {
	f.IntVar(&s.ledgerRetainDays, "ledger-retain-days", 3650, "days for which the ledger's segments are locked in the store")
	f.IntVar(&s.payloadRetainDays, "payload-retain-days", 0, "days for which their payloads are locked; not less: without them nothing is rebuilt (as --ledger-retain-days)")
	f.DurationVar(&s.publishWithin, "publish-within", custody.DefaultPublishWithin,
		"how long an entry waits for others to be put into the store with it, and is in the database alone; the seal of an export does not wait")
	f.Int64Var(&s.maxUnpublished, "max-unpublished", 10_000,
		fmt.Sprintf("entries that may not be in the store yet, and would be lost with the database; then no more are taken; %d at least", custody.MinUnpublished))
}

func (s *settings) checkPublish() error {
	var faults []error
	if s.ledgerRetainDays < 1 || s.ledgerRetainDays > evidence.MaxRetainDays {
		faults = append(faults, fmt.Errorf("--ledger-retain-days %d: want 1 to %d", s.ledgerRetainDays, evidence.MaxRetainDays))
	}
	switch {
	case s.payloadRetainDays == 0:
		s.payloadRetainDays = s.ledgerRetainDays
	case s.payloadRetainDays < 0 || s.payloadRetainDays > evidence.MaxRetainDays:
		faults = append(faults, fmt.Errorf("--payload-retain-days %d: want 1 to %d", s.payloadRetainDays, evidence.MaxRetainDays))
	case s.payloadRetainDays < s.ledgerRetainDays && faults == nil:
		faults = append(faults, fmt.Errorf("--payload-retain-days %d: want at least --ledger-retain-days, %d", s.payloadRetainDays, s.ledgerRetainDays))
	}
	if s.publishWithin <= 0 || s.publishWithin > time.Minute {
		faults = append(faults, fmt.Errorf("--publish-within %s: want more than 0s and at most 1m", s.publishWithin))
	}
	if s.maxUnpublished < custody.MinUnpublished {
		faults = append(faults, fmt.Errorf("--max-unpublished %d: want at least %d", s.maxUnpublished, custody.MinUnpublished))
	}
	return errors.Join(faults...)
}

// keepNotes writes the signed notes of all conflicts in an error into files beside the data,
// and names them in the error. A file is named by what it holds and never written again:
// however often a service is started, there is one of each.
func keepNotes(dir string, err error) error {
	kept := err
	named := map[string]bool{}
	for _, conflict := range conflicts(err) {
		for _, note := range []struct {
			name, whose string
			text        []byte
		}{
			{"ours", "ours", conflict.Ours}, {"theirs", "that of " + conflict.Who, conflict.Theirs},
		} {
			sum := sha256.Sum256(note.text)
			path := filepath.Join(dir, fmt.Sprintf("conflict-%x-%s", sum[:8], note.name))
			if note.text == nil || named[path] {
				continue
			}
			named[path] = true
			if failed := writeNew(path, note.text, 0o600); failed != nil && !errors.Is(failed, fs.ErrExist) {
				kept = errors.Join(kept, failed)
				continue
			}
			kept = fmt.Errorf("%w\nthe signed checkpoint, %s, is kept in %s", kept, note.whose, path)
		}
	}
	return kept
}

// conflicts gives all that an error holds, such as those of several witnesses.
func conflicts(err error) []*custody.ConflictError {
	if c, ok := err.(*custody.ConflictError); ok { //nolint:errorlint // each level by itself
		return []*custody.ConflictError{c}
	}
	var all []*custody.ConflictError
	switch e := err.(type) { //nolint:errorlint // likewise
	case interface{ Unwrap() error }:
		all = conflicts(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, conflicts(one)...)
		}
	}
	return all
}
