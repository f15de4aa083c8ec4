package server

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/custodyd/custodyd/internal/custody"
)

// measure registers the figures of requests and of the custody service. Their
// labels are routes, never paths: a case's reference is nobody's business here.
func (s *Server) measure(registry *prometheus.Registry, version string) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "custodyd_build_info", Help: "Always 1; the label says which program runs.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	s.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "custodyd_http_request_seconds",
		Help:    "Time from the head of a request to the end of its answer.",
		Buckets: []float64{.001, .005, .025, .1, .5, 2, 10, 60, 600, 3600},
	}, []string{"method", "route", "status"})
	figure := func(name, help string, of func(custody.Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(of(s.custody.Stats())) })
	}
	gauge := func(name, help string, of func(custody.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return of(s.custody.Stats()) })
	}
	return errors.Join(
		registry.Register(gauge("custodyd_ledger_published_entries", "Entries that the object store holds.",
			func(c custody.Stats) float64 { return float64(c.Published) })),
		registry.Register(gauge("custodyd_ledger_unpublished_entries", "Entries that the object store does not hold yet: what would be lost with the database.",
			func(c custody.Stats) float64 { return float64(c.Unpublished) })),
		registry.Register(gauge("custodyd_ledger_unpublished_entries_limit", "So many may wait; then no entry is taken.",
			func(c custody.Stats) float64 { return float64(c.MaxUnpublished) })),
		registry.Register(gauge("custodyd_ledger_publish_within_seconds", "For how long an entry waits for others to be put into the object store with it.",
			func(c custody.Stats) float64 { return c.PublishWithin.Seconds() })),
		registry.Register(figure("custodyd_ledger_foreign_objects_total", "Objects of others met where a segment, a cosigned checkpoint or time stamps go: somebody else writes to the store.",
			func(c custody.Stats) int64 { return c.Foreign })),
		registry.Register(gauge("custodyd_ledger_unpublished_seconds", "For how long the oldest entry that the object store does not hold has waited.",
			func(c custody.Stats) float64 { return c.OldestWaits.Seconds() })),
		registry.Register(figure("custodyd_ledger_publish_failures_total", "Tries since the start that did not put entries into the object store.",
			func(c custody.Stats) int64 { return c.PublishFailures })),
		registry.Register(gauge("custodyd_anchored_entries", "Entries under the newest checkpoint with an RFC 3161 time stamp.",
			func(c custody.Stats) float64 { return float64(c.Anchored) })),
		registry.Register(gauge("custodyd_anchored_timestamp_seconds", "When that checkpoint was stamped, in seconds since 1970; zero: never.",
			func(c custody.Stats) float64 { return float64(c.AnchoredAt) })),
		registry.Register(gauge("custodyd_anchors_pending", "Time stamps that are waited for.",
			func(c custody.Stats) float64 { return float64(c.AnchorsPending) })),
		registry.Register(gauge("custodyd_anchors_failed", "Time stamps that were given up.",
			func(c custody.Stats) float64 { return float64(c.AnchorsFailed) })),
		registry.Register(build),
		registry.Register(s.seconds),
		registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "custodyd_ledger_entries", Help: "Entries under the newest checkpoint.",
		}, func() float64 { return float64(s.custody.Stats().Entries) })),
		registry.Register(figure("custodyd_ledger_appends_total", "Entries recorded since the start.",
			func(c custody.Stats) int64 { return c.Appends })),
		registry.Register(figure("custodyd_upload_bytes_total", "Bytes of uploads made durable since the start.",
			func(c custody.Stats) int64 { return c.Received })),
		registry.Register(figure("custodyd_read_back_bytes_total", "Bytes hashed from the object store since the start.",
			func(c custody.Stats) int64 { return c.ReadBack })),
	)
}

// known gives a method as it may stand in a label, which is never forgotten: any word
// can be sent as one.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// count notes one request.
func (s *Server) count(c echo.Context, status string, took time.Duration) {
	route := c.Path()
	if route == "" {
		route = "none"
	}
	s.seconds.WithLabelValues(known(c.Request().Method), route, status).Observe(took.Seconds())
}
