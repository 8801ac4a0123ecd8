package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
)

// CheckTimeout bounds one check; a dependency that answers later is down.
const CheckTimeout = 2 * time.Second

// Check is one thing that must work before this process can do its work.
type Check struct {
	// Name is what /readyz calls it: "postgres".
	Name string
	// Probe returns nil while it works. Its error is shown at /readyz and holds no secret; one made by [Degraded] leaves the
	// process ready.
	Probe func(context.Context) error
}

// Degraded makes err the error of a check of something that the process can do without for a while.
func Degraded(err error) error { return &degraded{err} }

type degraded struct{ error }

func (d *degraded) Unwrap() error { return d.error }

// Health knows whether this process is ready, and since when each of its checks answers as it does.
// It is not ready before [Health.SetReady].
type Health struct {
	now clock.Clock

	mu     sync.Mutex
	ready  bool
	checks []Check
	seen   map[string]seen
}

// seen is how a check answers, and since when.
type seen struct {
	status string
	since  time.Time
}

// NewHealth makes one without checks.
func NewHealth(now clock.Clock) *Health {
	return &Health{now: now, seen: map[string]seen{}}
}

// Add adds checks. Each has a name of its own.
func (h *Health) Add(checks ...Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, checks...)
}

// SetReady says that the start is over (true) or the stop has begun (false).
func (h *Health) SetReady(ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = ready
}

// Report is what /readyz answers.
type Report struct {
	// Status is "ready", "degraded" (ready, but something that can be done without fails), "starting_or_stopping" or
	// "not_ready" (a check fails).
	Status string         `json:"status"`
	Checks []CheckOutcome `json:"checks"`
}

// Ready says whether the process can do its work.
func (r Report) Ready() bool { return r.Status == "ready" || r.Status == "degraded" }

// CheckOutcome is how one check went.
type CheckOutcome struct {
	Name      string  `json:"name"`
	Status    string  `json:"status"` // "up", "degraded" or "down"
	LatencyMS float64 `json:"latency_ms"`
	Error     string  `json:"error,omitempty"`
	// Since is when it was first seen in this state: the first report that asked, not the moment it happened.
	Since time.Time `json:"since"`
}

// The states of a check.
const (
	up       = "up"
	impaired = "degraded"
	down     = "down"
)

// Report asks all checks, side by side.
func (h *Health) Report(ctx context.Context) Report {
	h.mu.Lock()
	checks := slices.Clone(h.checks)
	h.mu.Unlock()

	outcomes := make([]CheckOutcome, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { outcomes[i] = probe(ctx, c) })
	}
	wg.Wait()

	h.mu.Lock()
	defer h.mu.Unlock()
	report := Report{Status: "ready", Checks: outcomes}
	if !h.ready {
		report.Status = "starting_or_stopping"
	}
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.Status == down:
			report.Status = "not_ready"
		case o.Status == impaired && report.Status == "ready":
			report.Status = "degraded"
		}
		before, known := h.seen[o.Name]
		if !known || before.status != o.Status {
			before = seen{o.Status, h.now()}
			h.seen[o.Name] = before
		}
		o.Since = before.since
	}
	slices.SortStableFunc(outcomes, func(a, b CheckOutcome) int { return strings.Compare(a.Name, b.Name) })
	return report
}

// probe does not wait for a check that ignores its context.
func probe(ctx context.Context, c Check) CheckOutcome {
	ctx, cancel := context.WithTimeoutCause(ctx, CheckTimeout, errors.New("no answer in "+CheckTimeout.String()))
	defer cancel()
	begin := time.Now()
	answer := make(chan error, 1)
	go func() { answer <- c.Probe(ctx) }()
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	o := CheckOutcome{Name: c.Name, Status: up, LatencyMS: float64(time.Since(begin).Microseconds()) / 1000}
	if err != nil {
		o.Status, o.Error = down, err.Error()
		if softly := (*degraded)(nil); errors.As(err, &softly) {
			o.Status = impaired
		}
	}
	return o
}

func (h *Health) serveReady(w http.ResponseWriter, r *http.Request) {
	report := h.Report(r.Context())
	status := http.StatusOK
	if !report.Ready() {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, report)
}

// serveAlive answers while the process can answer at all; whoever restarts processes asks here, and
// a dependency that is down is no reason to restart.
func serveAlive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody to tell
}
