package nats

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// exportBusyPause is how long a job is put off whose object or recording somebody else is at.
const exportBusyPause = 15 * time.Second

// The steps of export jobs, as their outcomes' ids and the metrics name them.
const (
	stepExported = "exported"
	stepVerified = "verified"
	stepChecked  = "checked"
	stepDeleted  = "deleted"
	stepShared   = "shared"
)

// ExportJobs consumes the jobs of class export: what is done with one recording's file. They may take hours, so the stop breaks
// them off at once and hands them back; what they had written is taken up or removed by whoever comes next.
type ExportJobs struct {
	*desk

	exports  *job.Exports
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
	running  prometheus.Gauge

	mu     sync.Mutex
	inHand map[int64]struct{} // recordings
}

// NewExportJobs makes the consumer; Run runs it.
func NewExportJobs(c Config, b *bus.Bus, exports *job.Exports, m *Metrics, registry prometheus.Registerer, log *slog.Logger) (*ExportJobs, error) {
	x := &ExportJobs{
		desk: newDesk(c, b, subject.ClassExport, c.ExportWorkers, m, log), exports: exports, inHand: make(map[int64]struct{}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meet_export_seconds", Help: "How long the steps of exports took, by step and by what came of them.",
			Buckets: []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600},
		}, []string{"step", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_export_failures_total", Help: "Steps of exports that failed, by step and code; most are tried again by themselves.",
		}, []string{"step", "code"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meet_export_running", Help: "Export jobs that this scheduler is working on."}),
	}
	x.ahead = 0 // another scheduler may have a free hand for what would wait here for hours
	for _, c := range []prometheus.Collector{x.seconds, x.failures, x.running} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of exports: %w", err)
		}
	}
	return x, nil
}

// Run works until ctx ends; then jobs in hand are broken off and handed back.
func (x *ExportJobs) Run(ctx context.Context) error {
	return x.run(ctx, func(reporting context.Context, msg jetstream.Msg) {
		x.work(trace.ContextWithSpan(ctx, trace.SpanFromContext(reporting)), reporting, msg)
	})
}

// result is what came of a job.
type result struct {
	step    string
	failure *job.Failure
	// again: there is nothing to say, the message is to come again.
	again bool
	post  func(context.Context, bus.Envelope) error
}

// fileJob is what the messages of the class have in common.
type fileJob interface {
	proto.Message
	GetJobId() string
	GetDispatch() int64
	GetRecordingId() int64
}

// work runs one message to its end: settled, handed back, or left to come again. ctx ends with the stop, reporting with the grace.
func (x *ExportJobs) work(ctx, reporting context.Context, msg jetstream.Msg) {
	in, do := x.handler(msg.Subject())
	if in == nil {
		x.bury(reporting, msg, "no handler for this kind of job")
		return
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg.Data(), in); err != nil {
		x.bury(reporting, msg, fmt.Sprintf("the body is no %s: %v", in.ProtoReflect().Descriptor().Name(), err))
		return
	}
	if _, err := uuid.Parse(in.GetJobId()); err != nil || in.GetRecordingId() <= 0 || in.GetDispatch() <= 0 {
		x.bury(reporting, msg, "the job lacks its id, its dispatch or its recording")
		return
	}
	if !x.take(in.GetRecordingId()) {
		x.giveBack(msg, exportBusyPause)
		return
	}
	defer x.leave(in.GetRecordingId())
	failpoint.Here("scheduler.export_took_job")
	x.running.Inc()
	defer x.running.Dec()

	begin := time.Now()
	r, err := x.guard(ctx, in, do)
	if r.again {
		pause := exportBusyPause
		if ctx.Err() != nil {
			pause = 0
		}
		x.giveBack(msg, pause)
		return
	}
	outcome := "ok"
	if r.failure != nil {
		outcome = "failed"
		if r.failure.Kind == job.Deferred {
			outcome = "deferred"
		} else {
			x.failures.WithLabelValues(r.step, r.failure.Code).Inc()
		}
	}
	x.seconds.WithLabelValues(r.step, outcome).Observe(time.Since(begin).Seconds())
	failpoint.Here("scheduler.export_done")
	if postErr := x.report(reporting, in, r); postErr != nil {
		x.log.WarnContext(reporting, "outcome of an export was not stored, the job will come again", "recording_id", in.GetRecordingId(), "job_id", in.GetJobId(), "error", postErr)
		x.giveBack(msg, readPause)
		return
	}
	failpoint.Here("scheduler.export_posted_outcome")
	if err != nil {
		x.bury(reporting, msg, err.Error())
		return
	}
	x.ack(reporting, msg)
	failpoint.Here("scheduler.export_acked")
}

func (x *ExportJobs) take(recording int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, busy := x.inHand[recording]; busy {
		return false
	}
	x.inHand[recording] = struct{}{}
	return true
}

func (x *ExportJobs) leave(recording int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.inHand, recording)
}

// handler is an empty job of the subject's kind, and what does it; nil where there is none.
func (x *ExportJobs) handler(kind string) (fileJob, func(ctx context.Context, failed *panicked) result) {
	switch kind {
	case string(subject.ExportRecording):
		in := new(meetv1.ExportRecordingJob)
		return in, func(ctx context.Context, p *panicked) result { return x.export(ctx, in, p) }
	case string(subject.VerifyExport):
		in := new(meetv1.VerifyExportJob)
		return in, func(ctx context.Context, p *panicked) result { return x.verify(ctx, in, p) }
	case string(subject.DeleteExport):
		in := new(meetv1.DeleteExportJob)
		return in, func(ctx context.Context, p *panicked) result { return x.delete(ctx, in, p) }
	case string(subject.ShareRecordingJob):
		in := new(meetv1.ShareRecordingJob)
		return in, func(ctx context.Context, p *panicked) result { return x.share(ctx, in, p) }
	}
	return nil, nil
}

// panicked takes the place of an outcome where there is none.
type panicked struct {
	failure *job.Failure
	retryAt time.Time
}

// guard runs do. A panic is an error with an outcome that lets the row go on, lest the relay sends the same for ever.
func (x *ExportJobs) guard(ctx context.Context, in fileJob, do func(context.Context, *panicked) result) (r result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			x.log.ErrorContext(ctx, "job handler panicked", "recording_id", in.GetRecordingId(), "job_id", in.GetJobId(), "panic", p, "stack", string(debug.Stack()))
			r = do(ctx, &panicked{
				failure: &job.Failure{Kind: job.Transient, Code: job.CodeInternal, Message: "the scheduler failed; its log and MEET_DEAD say more"},
				retryAt: x.exports.Later(oddPause),
			})
		}
	}()
	return do(ctx, nil), nil
}

func (x *ExportJobs) export(ctx context.Context, in *meetv1.ExportRecordingJob, p *panicked) result {
	out, ok := job.Exported{}, true
	if p != nil {
		out.Failure, out.RetryAt = p.failure, p.retryAt
	} else {
		out, ok = x.exports.Export(ctx, job.Export{
			Account: in.GetAccount(), FileID: in.GetDriveFileId(), Key: in.GetObjectKey(), SHA256: in.GetSha256(), Size: in.GetSizeBytes(),
			File: decodeFile(in.GetFile()), Failed: int(in.GetFailedAttempts()),
		})
	}
	step := stepExported
	if in.GetSha256() != "" {
		step = stepVerified
	}
	return result{step: step, failure: out.Failure, again: !ok, post: func(ctx context.Context, e bus.Envelope) error {
		return bus.Post(ctx, x.bus, subject.RecordingExported, &meetv1.RecordingExportedRequest{
			JobId: in.GetJobId(), Dispatch: in.GetDispatch(), RecordingId: in.GetRecordingId(), Failure: encodeFailure(out.Failure, out.RetryAt),
			Uri: out.URI, Sha256: out.SHA256, SizeBytes: out.Size, ComparedWith: out.ComparedWith, Verified: out.Verified,
			SourceGone: out.SourceGone, Mismatch: out.Mismatch,
		}, e)
	}}
}

func (x *ExportJobs) verify(ctx context.Context, in *meetv1.VerifyExportJob, p *panicked) result {
	request := &meetv1.ExportVerifiedRequest{JobId: in.GetJobId(), Dispatch: in.GetDispatch(), RecordingId: in.GetRecordingId()}
	r := result{step: stepChecked}
	if p != nil {
		r.failure, request.Failure = p.failure, encodeFailure(p.failure, p.retryAt)
	} else {
		found, failure, retryAt, ok := x.exports.Verify(ctx, job.Export{
			Key: in.GetObjectKey(), SHA256: in.GetSha256(), Size: in.GetSizeBytes(), Failed: int(in.GetFailedAttempts()),
		})
		r.failure, r.again = failure, !ok
		request.Result, request.Failure = found, encodeFailure(failure, retryAt)
	}
	r.post = func(ctx context.Context, e bus.Envelope) error {
		return bus.Post(ctx, x.bus, subject.ExportVerified, request, e)
	}
	return r
}

func (x *ExportJobs) delete(ctx context.Context, in *meetv1.DeleteExportJob, p *panicked) result {
	request := &meetv1.ExportDeletedRequest{JobId: in.GetJobId(), Dispatch: in.GetDispatch(), RecordingId: in.GetRecordingId()}
	r := result{step: stepDeleted}
	if p != nil {
		r.failure, request.Failure = p.failure, encodeFailure(p.failure, p.retryAt)
	} else {
		failure, retryAt, ok := x.exports.Delete(ctx, job.Export{Key: in.GetObjectKey(), Failed: int(in.GetFailedAttempts())})
		r.failure, r.again = failure, !ok
		request.Failure = encodeFailure(failure, retryAt)
	}
	r.post = func(ctx context.Context, e bus.Envelope) error {
		return bus.Post(ctx, x.bus, subject.ExportDeleted, request, e)
	}
	return r
}

func (x *ExportJobs) share(ctx context.Context, in *meetv1.ShareRecordingJob, p *panicked) result {
	request := &meetv1.RecordingSharedRequest{JobId: in.GetJobId(), Dispatch: in.GetDispatch(), RecordingId: in.GetRecordingId()}
	r := result{step: stepShared}
	if p != nil {
		r.failure, request.Failure = p.failure, encodeFailure(p.failure, p.retryAt)
	} else {
		shared, failure, retryAt, ok := x.exports.Share(ctx, job.Export{
			Account: in.GetAccount(), FileID: in.GetDriveFileId(), Failed: int(in.GetFailedAttempts()),
		}, in.GetEmails())
		r.failure, r.again = failure, !ok
		request.Emails, request.Failure = shared, encodeFailure(failure, retryAt)
	}
	r.post = func(ctx context.Context, e bus.Envelope) error {
		return bus.Post(ctx, x.bus, subject.RecordingShared, request, e)
	}
	return r
}

// report posts the outcome under an id that is the same for every run of this dispatch that took this step, so that a double
// acts once. It has no deadline: what was written stays written.
func (x *ExportJobs) report(ctx context.Context, in fileJob, r result) error {
	step := r.step
	if r.failure != nil {
		step += "-failed"
	}
	envelope := bus.Envelope{
		CommandID: uuid.NewSHA1(outcomeIDs, fmt.Appendf(nil, "%s.%d.%s", in.GetJobId(), in.GetDispatch(), step)),
		Principal: bus.Scheduler, Traceparent: tracing.Traceparent(ctx),
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, r.post(ctx, envelope)
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(postPatience))
	return err
}

// decodeFile is a file without anything for nil.
func decodeFile(f *meetv1.ObservedFile) job.File {
	return job.File{State: job.FileState(f.GetState()), Size: f.GetSizeBytes(), SHA256: f.GetSha256(), MD5: f.GetMd5()}
}

// encodeFailure is nil for nil.
func encodeFailure(f *job.Failure, retryAt time.Time) *meetv1.SyncFailure {
	if f == nil {
		return nil
	}
	out := &meetv1.SyncFailure{Permanent: f.Permanent(), Code: f.Code, Message: f.Message, Deferred: f.Kind == job.Deferred}
	if !out.GetPermanent() {
		out.RetryAt = timestamppb.New(retryAt)
	}
	return out
}

// exportModule needs what [Module] needs, and *job.Exports.
var exportModule = fx.Options(
	fx.Provide(NewExportJobs, fx.Private),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, x *ExportJobs) {
		lifecycle.Go(lc, sd, log, "export jobs", x.Run)
	}),
)
