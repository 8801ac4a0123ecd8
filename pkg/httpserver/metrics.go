package httpserver

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	readyDesc = prometheus.NewDesc("meet_ready", "Whether the program can do its work: 1 as /readyz answers 200, 0 as it answers 503.", nil, nil)
	stateDesc = prometheus.NewDesc("meet_dependency_state", "How a dependency of the program answers: 0 up, 1 degraded, it is done without for a while; 2 down.", []string{"dependency"}, nil)
	checkDesc = prometheus.NewDesc("meet_dependency_check_seconds", "How long the dependency took to answer the check of this scrape.", []string{"dependency"}, nil)
)

// healthMetrics asks the checks at each scrape, as /readyz does.
type healthMetrics struct{ health *Health }

// Describe is [prometheus.Collector].
func (*healthMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- readyDesc
	ch <- stateDesc
	ch <- checkDesc
}

// Collect is [prometheus.Collector].
func (m *healthMetrics) Collect(ch chan<- prometheus.Metric) {
	report := m.health.Report(context.Background()) // the library hands none; each check is bounded
	ready := 0.0
	if report.Ready() {
		ready = 1
	}
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready)
	for _, c := range report.Checks {
		state := map[string]float64{up: 0, impaired: 1, down: 2}[c.Status]
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, state, c.Name)
		ch <- prometheus.MustNewConstMetric(checkDesc, prometheus.GaugeValue, c.LatencyMS/1000, c.Name)
	}
}
