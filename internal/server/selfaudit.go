package server

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/custodyd/custodyd/internal/custody"
)

// measureAudit registers the figures of the self-audit. What an operator wants to be
// woken for is custodyd_alarm, and a last pass that lies too far back.
func (s *Server) measureAudit(registry *prometheus.Registry) error {
	counter := func(name, help string, of func(custody.AuditStats) int64) error {
		return registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of(s.custody.Stats().Audit)) }))
	}
	gauge := func(name, help string, of func(custody.AuditStats) float64) error {
		return registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return of(s.custody.Stats().Audit) }))
	}
	return errors.Join(
		gauge("custodyd_alarm", "1 when something was found that does not agree with what was signed: nothing more is written.",
			func(a custody.AuditStats) float64 {
				if a.Alarm {
					return 1
				}
				return 0
			}),
		gauge("custodyd_audit_rate", "Entries a second that the self-audit reads; 0: it is off.",
			func(a custody.AuditStats) float64 { return float64(a.Rate) }),
		gauge("custodyd_audit_last_pass_timestamp_seconds", "When the self-audit last came through the whole ledger and found nothing; 0: not since the start.",
			func(a custody.AuditStats) float64 {
				if a.Passed.IsZero() {
					return 0
				}
				return float64(a.Passed.UnixMilli()) / 1000
			}),
		counter("custodyd_audit_passes_total", "Passes of the self-audit over the whole ledger since the start that found nothing.",
			func(a custody.AuditStats) int64 { return a.Passes }),
		counter("custodyd_audit_entries_total", "Entries that the self-audit has judged since the start.",
			func(a custody.AuditStats) int64 { return a.Entries }),
		counter("custodyd_audit_discrepancies_total", "Discrepancies that the self-audit has found since the start.",
			func(a custody.AuditStats) int64 { return a.Discrepancies }),
	)
}
