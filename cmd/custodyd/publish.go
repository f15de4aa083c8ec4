package main

import (
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
	f.IntVar(&s.payloadRetainDays, "payload-retain-days", 0, "days for which their payloads are locked (as --ledger-retain-days)")
	f.Int64Var(&s.maxUnpublished, "max-unpublished", 10_000,
		"entries that may not be in the store yet, and would be lost with the database; then no more are taken")
}

func (s *settings) checkPublish() error {
	if s.payloadRetainDays == 0 {
		s.payloadRetainDays = s.ledgerRetainDays
	}
	var faults []error
	for name, days := range map[string]int{"ledger-retain-days": s.ledgerRetainDays, "payload-retain-days": s.payloadRetainDays} {
		if days < 1 || days > evidence.MaxRetainDays {
			faults = append(faults, fmt.Errorf("--%s %d: want 1 to %d", name, days, evidence.MaxRetainDays))
		}
	}
	if s.maxUnpublished < custody.MinUnpublished {
		faults = append(faults, fmt.Errorf("--max-unpublished %d: want at least %d", s.maxUnpublished, custody.MinUnpublished))
	}
	return errors.Join(faults...)
}

// keepNotes writes the signed notes of a conflict into files beside the data, which are
// never written again, and names them in the error.
func keepNotes(dir string, now time.Time, err error) error {
	conflict := (*custody.ConflictError)(nil)
	if !errors.As(err, &conflict) {
		return err
	}
	stem := filepath.Join(dir, "conflict-"+now.UTC().Format("20060102T150405.000000Z")+"-")
	for _, note := range []struct {
		name, whose string
		text        []byte
	}{
		{"ours", "ours", conflict.Ours}, {"theirs", "that of " + conflict.Who, conflict.Theirs},
	} {
		if note.text == nil {
			continue
		}
		path := stem + note.name
		if failed := writeNew(path, note.text, 0o600); failed != nil && !errors.Is(failed, fs.ErrExist) {
			return errors.Join(err, failed)
		}
		err = fmt.Errorf("%w\nthe signed checkpoint, %s, is kept in %s", err, note.whose, path)
	}
	return err
}
