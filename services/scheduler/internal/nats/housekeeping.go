package nats

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/fx"
	"google.golang.org/protobuf/encoding/protojson"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

const (
	// housekeepers is how many periodic tasks one scheduler brings back side by side; each waits for its answer.
	housekeepers = 2
	// housekeepingWait bounds the wait for the answer; the task may go through much.
	housekeepingWait = time.Minute
)

// HousekeepingJobs consumes the jobs of class housekeeping. What a periodic task does is the truth's own business: it is only
// brought back there, as a command, when its time has come.
type HousekeepingJobs struct{ *desk }

// NewHousekeepingJobs makes the consumer; Run runs it.
func NewHousekeepingJobs(c Config, b *bus.Bus, m *Metrics, log *slog.Logger) *HousekeepingJobs {
	return &HousekeepingJobs{newDesk(c, b, subject.ClassHousekeeping, housekeepers, m, log)}
}

// Run works until ctx ends; then what is in hand gets the grace to be answered and the rest is handed back.
func (h *HousekeepingJobs) Run(ctx context.Context) error { return h.run(ctx, h.work) }

// work runs one message to its end: answered, or to come again.
func (h *HousekeepingJobs) work(ctx context.Context, msg jetstream.Msg) {
	kinds := map[string]string{string(subject.SyncAll): subject.SyncAll.Kind(), string(subject.Report): subject.Report.Kind(), string(subject.Retention): subject.Retention.Kind()}
	task, known := kinds[msg.Subject()]
	if !known {
		h.bury(ctx, msg, "no handler for this kind of job")
		return
	}
	in := new(meetv1.HousekeepingJob)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg.Data(), in); err != nil {
		h.bury(ctx, msg, "the body is no HousekeepingJob: "+err.Error())
		return
	}
	if _, err := uuid.Parse(in.GetJobId()); err != nil || in.GetDispatch() <= 0 || in.GetTask() != "" && in.GetTask() != task {
		h.bury(ctx, msg, "the job lacks its id or its dispatch, or names another task than its subject")
		return
	}
	envelope := bus.Envelope{
		CommandID: uuid.NewSHA1(outcomeIDs, fmt.Appendf(nil, "%s.%d.%s", in.GetJobId(), in.GetDispatch(), task)),
		Principal: bus.Scheduler, Traceparent: tracing.Traceparent(ctx),
	}
	ctx, cancel := context.WithTimeoutCause(ctx, housekeepingWait, fmt.Errorf("no answer within %s", housekeepingWait))
	defer cancel()
	call, err := bus.Start(h.bus, subject.RunHousekeeping, &meetv1.RunHousekeepingRequest{JobId: in.GetJobId(), Dispatch: in.GetDispatch(), Task: task}, envelope)
	if err == nil {
		_, _, err = call.Committed(ctx)
		call.Close()
	}
	failpoint.Here("scheduler.housekeeping_answered")
	switch kind := fault.KindOf(err); {
	case err == nil:
		h.ack(ctx, msg)
	case ctx.Err() != nil, kind == fault.Unavailable, kind == fault.Internal, kind == fault.Exhausted, kind == fault.InFlight:
		// The command may still be carried out; under the same id it is then found done.
		h.log.WarnContext(ctx, "periodic task was not answered, it is brought again", "task", task, "job_id", in.GetJobId(), "error", err)
		h.giveBack(msg, readPause)
	default: // the same would be said to the same again
		h.log.ErrorContext(ctx, "periodic task was refused", "task", task, "job_id", in.GetJobId(), "error", err)
		h.ack(ctx, msg)
	}
}

// housekeepingModule needs what [Module] needs.
var housekeepingModule = fx.Options(
	fx.Provide(NewHousekeepingJobs, fx.Private),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, h *HousekeepingJobs) {
		lifecycle.Go(lc, sd, log, "housekeeping jobs", h.Run)
	}),
)
