package edge

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of requests. Labels come from closed sets, so that no caller can make them grow.
type metrics struct {
	inFlight   prometheus.Gauge
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	isRPC      func(path string) bool
	procedures map[string]bool
	routes     map[string]string // first segment under /api/v1/ → label
}

func newMetrics(registry prometheus.Registerer, surfaces Surfaces) (*metrics, error) {
	m := &metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meet_http_requests_in_flight", Help: "Requests that are being answered."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_http_requests_total", Help: "Requests answered, by route class and HTTP status; 499 is an answer cut off.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meet_http_request_duration_seconds", Help: "From a request's header to the end of its answer, by route class.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		isRPC: surfaces.IsRPC, procedures: make(map[string]bool), routes: make(map[string]string),
	}
	for _, procedure := range surfaces.Procedures {
		m.procedures[procedure] = true
	}
	for _, route := range surfaces.Routes {
		m.routes[route] = apiPrefix + route
	}
	for _, c := range []prometheus.Collector{m.inFlight, m.requests, m.seconds} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of requests: %w", err)
		}
	}
	return m, nil
}

const apiPrefix = "/api/v1/"

// route is the class that a path is counted under.
func (m *metrics) route(path string) string {
	if rest, ok := strings.CutPrefix(path, apiPrefix); ok {
		if rest == "" {
			return apiPrefix
		}
		segment, _, _ := strings.Cut(rest, "/")
		if label, ok := m.routes[segment]; ok {
			return label
		}
		return "other"
	}
	if m.isRPC(path) {
		if m.procedures[path] {
			return path
		}
		return "other rpc"
	}
	return "other"
}

func (m *metrics) observe(path string, status int, took time.Duration) {
	m.inFlight.Dec()
	route := m.route(path)
	m.requests.WithLabelValues(route, code(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// code is a status as text, without making a new one each time for the usual.
func code(status int) string {
	switch status {
	case http.StatusOK:
		return "200"
	case http.StatusCreated:
		return "201"
	}
	return strconv.Itoa(status)
}
