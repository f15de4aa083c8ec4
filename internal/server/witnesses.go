package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/custodyd/custodyd/internal/custody"
)

// witnessFigures are the figures of the outside witnesses, by their names.
type witnessFigures struct{ custody *custody.Service }

var (
	witnessCosigned = prometheus.NewDesc("custodyd_witness_cosigned_entries",
		"Entries under the largest checkpoint that the witness has cosigned.", []string{"witness"}, nil)
	witnessFailures = prometheus.NewDesc("custodyd_witness_failures_total",
		"Times since the start that the witness was asked and did not cosign.", []string{"witness"}, nil)
)

// Describe implements [prometheus.Collector].
func (witnessFigures) Describe(descs chan<- *prometheus.Desc) {
	descs <- witnessCosigned
	descs <- witnessFailures
}

// Collect implements [prometheus.Collector].
func (f witnessFigures) Collect(figures chan<- prometheus.Metric) {
	for _, w := range f.custody.About().Witnesses {
		figures <- prometheus.MustNewConstMetric(witnessCosigned, prometheus.GaugeValue, float64(w.Cosigned), w.Name)
		figures <- prometheus.MustNewConstMetric(witnessFailures, prometheus.CounterValue, float64(w.Failures), w.Name)
	}
}
