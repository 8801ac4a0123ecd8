package doctor

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.uber.org/fx"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
)

// visitsAtOnce bounds the visits of one scheduler; others wait.
const visitsAtOnce = 2

// serviceVersion is what NATS shows of the micro service.
const serviceVersion = "1.0.0"

// NewTransport makes the transport of visits. It keeps no connection beyond a visit's, so that a new proxy or address counts.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       10 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: callTimeout,
	}
}

// Serve answers meet.query.scheduler.Diagnose until the returned service is stopped. Visits end early when running does, and
// still remove what they made. Who may ask is the gateway's to decide.
func (d *Doctor) Serve(running context.Context, b *bus.Bus, log *slog.Logger) (*bus.Queries, error) {
	queries, err := bus.ServeQueries(b, subject.ServiceScheduler, serviceVersion, visitsAtOnce, log)
	if err != nil {
		return nil, err
	}
	return queries, bus.Answer(queries, subject.Diagnose, func(ctx context.Context, req *meetv1.DiagnoseRequest) (*meetv1.DiagnoseResponse, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(running, cancel)()
		return d.Visit(ctx, Options{Organizer: req.GetOrganizerEmail(), Write: req.GetWrite()}).Proto(), nil
	})
}

// Proto is the report as it travels.
func (r Report) Proto() *meetv1.DiagnoseResponse {
	out := &meetv1.DiagnoseResponse{Ok: r.OK(), Simulated: r.Simulated, Seconds: r.Took.Seconds()}
	statuses := map[Status]meetv1.SetupStatus{
		OK: meetv1.SetupStatus_SETUP_STATUS_OK, Warning: meetv1.SetupStatus_SETUP_STATUS_WARNING,
		Failed: meetv1.SetupStatus_SETUP_STATUS_FAILED, Skipped: meetv1.SetupStatus_SETUP_STATUS_SKIPPED,
	}
	for _, c := range r.Results {
		out.Checks = append(out.Checks, &meetv1.SetupCheck{
			Name: c.Check, Status: statuses[c.Status], Detail: c.Detail, Place: c.Place, Paste: c.Paste, Seconds: c.Took.Seconds(),
		})
	}
	return out
}

type moduleParams struct {
	fx.In
	Google      google.Config
	Development google.Development
	Bus         *bus.Bus
	Log         *slog.Logger
	More        []Check `group:"doctor_checks"`
}

// Module answers over NATS whether everything is set up. Needs google.Config, google.Development, *bus.Bus, *slog.Logger and
// the checks that features add with [Provide]; provides *Doctor.
var Module = fx.Module("scheduler/doctor",
	fx.Provide(func(p moduleParams) (*Doctor, error) {
		target := TargetOf(p.Google, bool(p.Development))
		checks := append(GoogleChecks(target, NewTransport()), p.More...)
		return New(target.Simulated, append(checks, StackChecks(Joined(p.Bus))...)...)
	}),
	fx.Invoke(func(lc fx.Lifecycle, d *Doctor, b *bus.Bus, log *slog.Logger) {
		var queries *bus.Queries
		var end context.CancelFunc
		lc.Append(fx.Hook{
			OnStart: func(ctx context.Context) (err error) {
				running, stop := context.WithCancel(context.WithoutCancel(ctx)) // the hook's ctx ends with the hook
				end = stop
				queries, err = d.Serve(running, b, log)
				return err
			},
			OnStop: func(ctx context.Context) error {
				end()
				return queries.Stop(ctx)
			},
		})
	}),
)
