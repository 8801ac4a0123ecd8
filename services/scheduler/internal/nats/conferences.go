package nats

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime/debug"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// plansAtOnce bounds the questions for plans that are out side by side: meetings answers a few at a time, and more would only
// wait in its line until their time is up.
const plansAtOnce = 32

// look runs a job that reads conferences: its plan is asked for, so that it reads what is wanted now and not when it was sent.
func (o *ObserveJobs) look(ctx context.Context, msg jetstream.Msg) {
	l, err := decodeLookJob(msg)
	if err != nil {
		o.bury(ctx, msg, err.Error())
		return
	}
	plan, act := o.plan(ctx, msg, l)
	if !act {
		return
	}
	seen, ok, err := o.read(ctx, l, plan)
	if !ok {
		o.giveBack(msg, 0)
		return
	}
	failpoint.Here("scheduler.observed")
	if reported := o.reportLook(ctx, l, &plan, &seen); reported != nil {
		o.log.WarnContext(ctx, "what was read of conferences was not stored, it will be read again", "meeting_id", l.meeting, "owner", l.owner, "job_id", l.jobID, "error", reported)
		o.giveBack(msg, readPause)
		return
	}
	failpoint.Here("scheduler.posted_observed")
	if err != nil {
		o.bury(ctx, msg, err.Error())
		return
	}
	o.ack(ctx, msg)
}

func decodeLookJob(msg jetstream.Msg) (look, error) {
	var l look
	read := protojson.UnmarshalOptions{DiscardUnknown: true}
	if msg.Subject() == string(subject.FollowConferences) {
		in := new(meetv1.FollowConferencesJob)
		if err := read.Unmarshal(msg.Data(), in); err != nil {
			return l, fmt.Errorf("the body is no FollowConferencesJob: %w", err)
		}
		l = look{jobID: in.GetJobId(), dispatch: in.GetDispatch(), failed: int(in.GetFailedAttempts()), owner: in.GetOwner()}
	} else {
		in := new(meetv1.CheckRecordingJob)
		if err := read.Unmarshal(msg.Data(), in); err != nil {
			return l, fmt.Errorf("the body is no CheckRecordingJob: %w", err)
		}
		l = look{jobID: in.GetJobId(), dispatch: in.GetDispatch(), failed: int(in.GetFailedAttempts()), meeting: in.GetMeetingId()}
	}
	if _, err := uuid.Parse(l.jobID); err != nil || l.dispatch <= 0 || l.failed < 0 || l.meeting < 0 || l.owner < 0 || l.meeting+l.owner == 0 {
		return l, fmt.Errorf("the job lacks its id, its dispatch, or what it is about")
	}
	return l, nil
}

// plan asks what to read. act is false when the message is settled.
func (o *ObserveJobs) plan(ctx context.Context, msg jetstream.Msg, l look) (plan job.ConferencePlan, act bool) {
	select {
	case o.plans <- struct{}{}:
		defer func() { <-o.plans }()
	case <-ctx.Done():
		o.giveBack(msg, 0)
		return plan, false
	}
	asking, cancel := context.WithTimeout(bus.WithPrincipal(ctx, bus.Scheduler), queryTimeout)
	defer cancel()
	answer, err := bus.Ask(bus.WithPrincipal(asking, bus.Scheduler), o.bus, subject.GetConferencePlan, &meetv1.GetConferencePlanRequest{
		MeetingId: l.meeting, Owner: l.owner, JobId: l.jobID, Dispatch: l.dispatch,
	})
	switch {
	case fault.KindOf(err) == fault.NotFound:
		o.log.WarnContext(ctx, "job about what is not there", "meeting_id", l.meeting, "owner", l.owner, "job_id", l.jobID)
		o.ack(ctx, msg)
		return plan, false
	case err != nil:
		if ctx.Err() == nil {
			o.log.WarnContext(ctx, "what to read could not be asked", "meeting_id", l.meeting, "owner", l.owner, "error", err)
		}
		o.giveBack(msg, readPause)
		return plan, false
	case answer.GetStale(): // the row was sent again, or needs nothing any more
		o.ack(ctx, msg)
		return plan, false
	}
	return decodePlan(answer, l.owner), true
}

// read runs the job. A panic is an error with an outcome that lets the row go on, lest the relay sends the same for ever.
func (o *ObserveJobs) read(ctx context.Context, l look, plan job.ConferencePlan) (seen job.Observation, ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err, ok = fmt.Errorf("panic: %v", p), true
			o.log.ErrorContext(ctx, "job handler panicked", "meeting_id", l.meeting, "owner", l.owner, "job_id", l.jobID, "panic", p, "stack", string(debug.Stack()))
			seen = job.Observation{
				RetryAt: clock.Cut(o.now().Add(oddPause)),
				Failure: &job.Failure{Kind: job.Transient, Code: job.CodeInternal, Message: "the scheduler failed; its log and MEET_DEAD say more"},
			}
		}
	}()
	seen, ok = o.conferences.Do(ctx, plan, l.failed)
	return seen, ok, nil
}

// observedIDs is the UUIDv5 name space of the command ids of what was read of conferences.
var observedIDs = uuid.MustParse("b1f4b3f0-6a3e-5f0a-9f5b-5d2f1f0c7a61")

// reportLook stores what was read. The last part says that it is all, so it goes once the others are committed: what NATS could
// lose must not be skipped.
func (o *ObserveJobs) reportLook(ctx context.Context, l look, plan *job.ConferencePlan, seen *job.Observation) error {
	parts := encodeObserved(l, plan.Account, plan, seen)
	for i, part := range parts {
		envelope := bus.Envelope{CommandID: observedID(l, i, part), Principal: bus.Scheduler, Traceparent: tracing.Traceparent(ctx)}
		var err error
		if part.GetPartial() {
			err = committed(ctx, o.bus, subject.ConferenceObserved, part, envelope)
			switch fault.KindOf(err) { //nolint:exhaustive // the others are tried again
			case fault.NotFound, fault.Conflict:
				return nil // nobody waits for it any more
			}
			failpoint.Here("scheduler.observed_part")
		} else {
			err = bus.Post(ctx, o.bus, subject.ConferenceObserved, part, envelope)
		}
		if err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(parts), err)
		}
	}
	return nil
}

// observedID is the same for a double of a part and another for one that says something else: the reading of a second run of
// the same dispatch, which may be later, is no double.
func observedID(l look, number int, part *meetv1.ConferenceObservedRequest) uuid.UUID {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(part)
	if err != nil { // text that is no UTF-8 gets here never; the post says so
		body = nil
	}
	return uuid.NewSHA1(observedIDs, fmt.Appendf(nil, "%s.%d.%d.%x", l.jobID, l.dispatch, number, sha256.Sum256(body)))
}
