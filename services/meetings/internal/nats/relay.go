package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

const (
	// takeOver is how often a standby tries for the lock.
	takeOver = 500 * time.Millisecond
	// idle is the longest the active relay sleeps: a commit whose wake-up was lost waits no longer.
	idle = time.Second
	// publishWindow is how many events are numbered and published at once.
	publishWindow = 500
	// publishWait bounds the wait for the acknowledgements of one window.
	publishWait = 10 * time.Second
	// outcomeWait is how long after its dispatch a job without an outcome is looked for.
	outcomeWait = 10 * time.Second
	// sweepEvery is how often it is looked for them, housekeepEvery how often old rows go.
	sweepEvery, housekeepEvery = 5 * time.Second, time.Hour
	// keepEvents is the age limit of MEET_EVENTS: what is older is not published again after a loss.
	keepEvents = 30 * 24 * time.Hour
	// overlap is how many events before the last one in the stream are published again when its tail was lost: a stream's
	// order may differ from the sequence after a take-over.
	overlap = 2 * publishWindow
)

// Relay publishes events as they happen and jobs as they fall due. One of all instances is active.
type Relay struct {
	bus    *bus.Bus
	outbox app.Outbox
	codec  Codec
	now    clock.Clock
	alarm  clock.Alarm
	log    *slog.Logger
}

// NewRelay makes a relay; Run runs it.
func NewRelay(b *bus.Bus, outbox app.Outbox, codec Codec, now clock.Clock, alarm clock.Alarm, log *slog.Logger) *Relay {
	return &Relay{bus: b, outbox: outbox, codec: codec, now: now, alarm: alarm, log: log}
}

// Run stands by and leads in turn until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	sub, err := r.bus.Conn().Subscribe(subject.RelayWake, func(*nats.Msg) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to wake-ups: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	reconnected := r.bus.Reconnected()
	for ctx.Err() == nil {
		lead, err := r.outbox.Lead(ctx)
		if err == nil {
			r.log.InfoContext(ctx, "this relay is active")
			err = (&leader{Relay: r, lead: lead}).run(ctx, wake, reconnected)
			err = errors.Join(err, lead.Close(ctx))
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, app.ErrFollower) {
			r.log.WarnContext(ctx, "relay lost the lead", "error", err)
		}
		select {
		case <-time.After(takeOver): // leases stay on real time
		case <-ctx.Done():
		}
	}
	return nil
}

// leader is the active relay's state for as long as it leads.
type leader struct {
	*Relay
	lead app.Lead
	// published is the last sequence that the stream has; behind says that numbered events after it are to be published
	// before new ones.
	published int64
	behind    bool
	// swept and kept are when it was last looked for lost jobs, and for old rows.
	swept, kept time.Time
}

// run leads until ctx ends or the database or NATS fails.
func (l *leader) run(ctx context.Context, wake, reconnected <-chan struct{}) error {
	if err := l.recover(ctx); err != nil {
		return err
	}
	pause := time.NewTimer(idle)
	defer pause.Stop()
	for {
		more, err := l.round(ctx)
		if err != nil {
			return err
		}
		if more && ctx.Err() == nil {
			continue
		}
		due, release, err := l.nextDue(ctx)
		if err != nil {
			return err
		}
		pause.Reset(idle)
		select {
		case <-wake:
		case <-due:
		case <-pause.C:
		case <-reconnected:
			err = l.recover(ctx)
		case <-ctx.Done():
			release()
			return nil
		}
		release()
		if err != nil {
			return err
		}
	}
}

// round publishes one window of events and dispatches what is due; more says that another round has work at once.
func (l *leader) round(ctx context.Context) (more bool, err error) {
	events, err := l.publishEvents(ctx)
	if err != nil {
		return false, err
	}
	jobs, err := l.dispatchJobs(ctx)
	if err != nil {
		return false, err
	}
	now := time.Now() // how often to look stays on real time
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		if err := l.resendLost(ctx); err != nil {
			return false, err
		}
	}
	if now.Sub(l.kept) >= housekeepEvery {
		rows, err := l.lead.Sweep(ctx, l.now())
		if err != nil {
			return false, err
		}
		if rows < 5000 { // the bound of one delete: nothing is left
			l.kept = now
		}
	}
	return events >= publishWindow || jobs, nil
}

// nextDue rings when the next job falls due; one that is due but has no room waits for an outcome's wake-up.
func (l *leader) nextDue(ctx context.Context) (<-chan struct{}, func(), error) {
	at, waiting, err := l.lead.NextDue(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !waiting || !at.After(l.now()) {
		return nil, func() {}, nil
	}
	rung, release := l.alarm(at)
	return rung, release, nil
}

// publishEvents numbers and publishes one window, oldest first, and returns how many it were.
func (l *leader) publishEvents(ctx context.Context) (int, error) {
	var events []app.LoggedEvent
	var err error
	if l.behind {
		events, err = l.lead.EventsAfter(ctx, l.published, publishWindow)
		if err == nil && len(events) == 0 {
			l.behind = false
		}
	}
	if err == nil && !l.behind {
		events, err = l.lead.NumberEvents(ctx, publishWindow)
	}
	if err != nil || len(events) == 0 {
		return 0, err
	}
	failpoint.Here("relay.numbered")
	last, err := l.publish(ctx, events)
	if err != nil {
		l.behind = true // numbered, and not known to be in the stream
		return 0, err
	}
	failpoint.Here("relay.published")
	l.published = events[len(events)-1].Seq
	return len(events), l.lead.MarkPublished(ctx, l.published, last)
}

// publish sends a window and waits for every acknowledgement; it returns the highest stream sequence.
func (l *leader) publish(ctx context.Context, events []app.LoggedEvent) (uint64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, publishWait, fmt.Errorf("MEET_EVENTS acknowledged nothing within %s", publishWait))
	defer cancel()
	js := l.bus.JetStream()
	futures := make([]jetstream.PubAckFuture, 0, len(events))
	for i := range events {
		future, err := js.PublishMsgAsync(eventMessage(&events[i]))
		if err != nil {
			return 0, fmt.Errorf("publish event %d: %w", events[i].Seq, err)
		}
		futures = append(futures, future)
	}
	var last uint64
	for i, future := range futures {
		select {
		case ack := <-future.Ok():
			last = max(last, ack.Sequence)
		case err := <-future.Err():
			return 0, fmt.Errorf("publish event %d: %w", events[i].Seq, err)
		case <-ctx.Done():
			return 0, fmt.Errorf("publish event %d: %w", events[i].Seq, context.Cause(ctx))
		}
	}
	return last, nil
}

// source is the ce-source of every event.
const source = "/meet-middleware/meetings"

// eventMessage renders an event in CloudEvents' NATS binding, binary mode: attributes are headers, the body is JSON.
func eventMessage(e *app.LoggedEvent) *nats.Msg {
	header := nats.Header{
		"ce-specversion": []string{"1.0"},
		"ce-id":          []string{e.ID.String()},
		"ce-source":      []string{source},
		"ce-type":        []string{e.Type},
		"ce-subject":     []string{e.Subject},
		"ce-time":        []string{e.OccurredAt.Format(time.RFC3339Nano)},
		"ce-sequence":    []string{Sequence(e.Seq)},
		"Content-Type":   []string{"application/json"},
		"Nats-Msg-Id":    []string{e.ID.String()},
	}
	if e.Traceparent != "" {
		header["ce-traceparent"] = []string{e.Traceparent}
	}
	return &nats.Msg{Subject: subject.OfEvent(e.Type), Data: []byte(e.Body), Header: header}
}

// Sequence is an event's number as ce-sequence shows it: zero-padded, so that text order is number order.
func Sequence(seq int64) string { return fmt.Sprintf("%020d", seq) }

// dispatchJobs sends what is due, as far as there is room; more says that more is due than was taken.
func (l *leader) dispatchJobs(ctx context.Context) (more bool, err error) {
	sent, full, err := l.lead.SendDue(ctx, l.now(), app.DispatchLimit)
	if err != nil || len(sent) == 0 {
		return false, err
	}
	failpoint.Here("relay.dispatched")
	futures := make([]jetstream.PubAckFuture, 0, len(sent))
	var failed []app.JobRef
	for _, m := range sent {
		body, err := l.codec.Job(m, true)
		if err != nil {
			return false, fmt.Errorf("render the job of meeting %d: %w", m.ID, err)
		}
		future, err := l.bus.JetStream().PublishMsgAsync(jobMessage(app.Dispatch{JobID: m.Job.ID, Dispatch: m.Job.Dispatch, Body: body}))
		if err != nil {
			return false, fmt.Errorf("publish the job of meeting %d: %w", m.ID, err)
		}
		futures = append(futures, future)
	}
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	var refused error
	for i, future := range futures {
		select {
		case <-future.Ok():
			continue
		case refused = <-future.Err():
		case <-ctx.Done():
			refused = ctx.Err()
		}
		failed = append(failed, app.JobRef{ID: sent[i].Job.ID, Dispatch: sent[i].Job.Dispatch})
	}
	if len(failed) > 0 { // found again by resendLost
		return false, fmt.Errorf("%d of %d jobs were not stored by the stream: %w", len(failed), len(sent), refused)
	}
	return full, nil
}

// resendLost sends again what was sent a while ago, has no outcome, and is not in the stream any more. Age alone is no reason.
func (l *leader) resendLost(ctx context.Context) error {
	out, err := l.lead.OutSince(ctx, l.now().Add(-outcomeWait))
	if err != nil || len(out) == 0 {
		return err
	}
	waiting, err := l.inStream(ctx)
	if err != nil {
		return err
	}
	var lost []app.JobRef
	for _, job := range out {
		if _, there := waiting[dispatchID(job.ID, job.Dispatch)]; !there {
			lost = append(lost, job)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	l.log.WarnContext(ctx, "jobs without an outcome are sent again", "jobs", len(lost))
	return l.lead.SendAgain(ctx, lost, l.now())
}

func dispatchID(job string, dispatch int64) string {
	return job + "." + strconv.FormatInt(dispatch, 10)
}

// inStream collects the message ids that MEET_JOBS holds; they are few, because the jobs that are out are bounded.
func (l *leader) inStream(ctx context.Context) (map[string]struct{}, error) {
	stream, err := l.bus.JetStream().Stream(ctx, subject.StreamJobs)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", subject.StreamJobs, err)
	}
	found := make(map[string]struct{})
	for seq := stream.CachedInfo().State.FirstSeq; ; {
		msg, err := stream.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject("meet.job.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", subject.StreamJobs, err)
		}
		found[msg.Header.Get("Nats-Msg-Id")] = struct{}{}
		seq = msg.Sequence + 1
	}
}

// recover compares the streams with what was last known of them, and arranges that what NATS lost is published again. It runs
// before the first publish after each connect.
func (l *leader) recover(ctx context.Context) error {
	if err := l.bus.EnsureStreams(ctx); err != nil {
		return err
	}
	state, err := l.lead.State(ctx)
	if err != nil {
		return err
	}
	events, err := l.bus.JetStream().Stream(ctx, subject.StreamEvents)
	if err != nil {
		return fmt.Errorf("look at %s: %w", subject.StreamEvents, err)
	}
	jobs, err := l.bus.JetStream().Stream(ctx, subject.StreamJobs)
	if err != nil {
		return fmt.Errorf("look at %s: %w", subject.StreamJobs, err)
	}
	now := app.RelayState{
		PublishedSeq: state.PublishedSeq, EventsCreated: clock.Cut(events.CachedInfo().Created), JobsCreated: clock.Cut(jobs.CachedInfo().Created),
		EventsLastSeq: events.CachedInfo().State.LastSeq,
	}
	if !now.EventsCreated.Equal(state.EventsCreated) || now.EventsLastSeq < state.EventsLastSeq {
		if now.PublishedSeq, err = l.lastKept(ctx, events, state.PublishedSeq); err != nil {
			return err
		}
		if now.PublishedSeq < state.PublishedSeq {
			l.log.WarnContext(ctx, "MEET_EVENTS lost messages; they are published again", "after_sequence", now.PublishedSeq, "up_to", state.PublishedSeq)
		}
	}
	if !now.JobsCreated.Equal(state.JobsCreated) {
		n, err := l.lead.AllOutDue(ctx, l.now())
		if err != nil {
			return err
		}
		if n > 0 {
			l.log.WarnContext(ctx, "MEET_JOBS lost its store; what was out is sent again", "jobs", n)
		}
	}
	l.published, l.behind = now.PublishedSeq, now.PublishedSeq < state.LastSeq
	return l.lead.MarkStreams(ctx, now)
}

// lastKept is the sequence after which events are to be published again, given what the stream still holds.
func (l *leader) lastKept(ctx context.Context, stream jetstream.Stream, published int64) (int64, error) {
	first, err := l.lead.FirstSequenceSince(ctx, l.now().Add(-keepEvents))
	if err != nil {
		return 0, err
	}
	from := max(first-1, 0)
	if first == 0 { // nothing young enough
		return published, nil
	}
	if last := stream.CachedInfo().State.LastSeq; last > 0 && stream.CachedInfo().State.Msgs > 0 {
		msg, err := stream.GetMsg(ctx, last)
		if err != nil {
			return 0, fmt.Errorf("read the last message of %s: %w", subject.StreamEvents, err)
		}
		seq, err := strconv.ParseInt(strings.TrimLeft(msg.Header.Get("ce-sequence"), "0"), 10, 64)
		if err == nil {
			from = max(from, seq-overlap)
		}
	}
	return min(from, published), nil
}
