package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/custody"
)

const maxAuditRate = 1_000_000

func (s *settings) selfAuditFlags(f *pflag.FlagSet) {
	f.IntVar(&s.auditRate, "audit-rate", custody.DefaultAuditRate, "entries a second that the service reads again while it runs, to judge its whole ledger; a pass takes about (entries + rows made of them) / rate seconds, never less than 1000 / rate, and up to 1.5 KB of memory an entry while it lasts; 0: never")
}

// checkSelfAudit checks what selfAuditFlags gave.
func (s *settings) checkSelfAudit() error {
	if s.auditRate < 0 || s.auditRate > maxAuditRate {
		return fmt.Errorf("--audit-rate %d: want 0 to %d entries a second", s.auditRate, maxAuditRate)
	}
	return nil
}
