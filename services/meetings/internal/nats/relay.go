package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

const (
	// leadAgain is the pause after a lead was lost or could not be had.
	leadAgain = 500 * time.Millisecond
	// idle is the longest the active relay sleeps: a commit whose wake-up was lost waits no longer.
	idle = time.Second
	// publishWindow is how many events are numbered and published at once.
	publishWindow = 500
	// markEvery bounds the events that are published again after a leader died.
	markEvery = 4 * publishWindow
	// publishWait bounds the wait for the acknowledgements of one window.
	publishWait = 10 * time.Second
	// outcomeWait is how long after its dispatch a job without an outcome is looked for. With two looks sweepEvery apart, one whose
	// message is lost is sent again within ten seconds.
	outcomeWait = 4 * time.Second
	// sentBefore is what was surely published before its stream was lost: a batch publishes its jobs a moment after its commit.
	sentBefore = time.Second
	// sweepEvery is how often it is looked for lost jobs, compareEvery for lost streams, housekeepEvery how often old rows go.
	sweepEvery, compareEvery, housekeepEvery = 2 * time.Second, 30 * time.Second, time.Hour
	// sweepRows is the most that one sweep deletes of a kind.
	sweepRows = 5000
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

	metrics *Metrics
	leads   atomic.Bool
}

// NewRelay makes a relay; Run runs it.
func NewRelay(b *bus.Bus, outbox app.Outbox, codec Codec, now clock.Clock, alarm clock.Alarm, metrics *Metrics, log *slog.Logger) *Relay {
	return &Relay{bus: b, outbox: outbox, codec: codec, now: now, alarm: alarm, metrics: metrics, log: log}
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
	level := slog.LevelWarn
	for {
		lead, err := r.outbox.Lead(ctx)
		if err == nil {
			r.log.InfoContext(ctx, "this relay is active")
			l := &leader{Relay: r, lead: lead}
			r.leading(true)
			err = errors.Join(l.run(ctx, wake, reconnected), lead.Close(ctx))
			r.leading(false)
			if l.worked {
				level = slog.LevelWarn
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		r.log.Log(ctx, level, "relay lost the lead", "error", err)
		level = slog.LevelDebug // said once for one outage
		select {
		case <-time.After(leadAgain): // network back-off stays on real time
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Relay) leading(yes bool) {
	r.leads.Store(yes)
	r.metrics.leading(yes)
}

// Check is a readiness check: degraded while no instance's relay is active. Nothing is lost then, but events and due jobs wait.
func (r *Relay) Check(ctx context.Context) error {
	if r.leads.Load() {
		return nil
	}
	led, err := r.outbox.Led(ctx)
	if err == nil && !led {
		err = errNoRelay
	}
	if err != nil {
		return httpserver.Degraded(err)
	}
	return nil
}

var errNoRelay = errors.New("no instance's relay is active: events and due jobs wait")

// leader is the active relay's state for as long as it leads.
type leader struct {
	*Relay
	lead app.Lead
	// published is the last sequence that the stream has; behind says that numbered events after it are to be published
	// before new ones.
	published int64
	behind    bool
	// streamSeq is where the stream has the last of them; marked is what of published is kept in the database.
	streamSeq uint64
	marked    int64
	// first is the first message that the stream holds.
	first uint64
	// refill is the end of the message ids while a stream that was emptied gets its events again: it may still know their own ids, and
	// what is swallowed at first would come out of order.
	refill string
	// swept, compared and kept are when it was last looked for lost jobs, for lost streams, and for old rows.
	swept, compared, kept time.Time
	// missed are the dispatches whose messages were not there at the last look. Only those missed twice are sent again: an outcome
	// may be on its way, and the clock may run faster than the machine's.
	missed map[string]struct{}
	// worked: a round went well.
	worked bool
}

// run leads until ctx ends or the database or NATS fails.
func (l *leader) run(ctx context.Context, wake, reconnected <-chan struct{}) error {
	if err := l.recover(ctx); err != nil {
		return err
	}
	pause := time.NewTimer(idle)
	defer pause.Stop()
	for ctx.Err() == nil {
		more, due, err := l.round(ctx)
		if err != nil {
			return err
		}
		l.worked = true
		if more {
			continue
		}
		if err := l.sleep(ctx, due, pause, wake, reconnected); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for the next thing to do.
func (l *leader) sleep(ctx context.Context, due time.Time, pause *time.Timer, wake, reconnected <-chan struct{}) error {
	var rung <-chan struct{}
	if !due.IsZero() {
		var release func()
		rung, release = l.alarm(due)
		defer release()
	}
	pause.Reset(idle)
	select {
	case <-wake:
	case <-rung:
	case <-pause.C:
		return l.mark(ctx)
	case <-ctx.Done():
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // ctx has ended; the next leader has less to do
		defer cancel()
		return l.mark(stopping)
	case <-reconnected:
		return l.recover(ctx)
	}
	return nil
}

// round publishes one window of events and dispatches what is due; more says that another round has work at once, due is when
// the next job falls due, zero when none waits. A job that is due already and was not sent has no room: the outcome that makes
// some wakes the relay.
func (l *leader) round(ctx context.Context) (more bool, due time.Time, err error) {
	events, err := l.publishEvents(ctx)
	if err != nil {
		return false, due, err
	}
	next, err := l.lead.NextDue(ctx, classes())
	if err != nil {
		return false, due, err
	}
	jobs, now := 0, l.now()
	for _, class := range classes() { // the meetings' own first
		at, waits := next[class]
		if !waits {
			continue
		}
		if at.After(now) {
			if due.IsZero() || at.Before(due) {
				due = at
			}
			continue
		}
		sent, err := l.dispatch(ctx, class)
		if err != nil {
			return false, due, err
		}
		jobs += sent
	}
	return events >= publishWindow || jobs > 0, due, l.lookAfter(ctx)
}

// lookAfter does what is done now and then. How often stays on real time.
func (l *leader) lookAfter(ctx context.Context) error {
	now := time.Now()
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		if err := l.resendLost(ctx, outcomeWait, 2); err != nil {
			return err
		}
	}
	if now.Sub(l.compared) >= compareEvery {
		if err := l.recover(ctx); err != nil {
			return err
		}
	}
	if now.Sub(l.kept) >= housekeepEvery {
		rows, err := l.lead.Sweep(ctx, l.now())
		if err != nil {
			return err
		}
		if rows < sweepRows { // nothing is left
			l.kept = now
		}
	}
	return nil
}

// publishEvents numbers and publishes one window, oldest first, and returns how many it were.
func (l *leader) publishEvents(ctx context.Context) (int, error) {
	var events []app.LoggedEvent
	var err error
	if l.behind {
		events, err = l.lead.EventsAfter(ctx, l.published, publishWindow)
		if err == nil && len(events) == 0 {
			l.behind, l.refill = false, ""
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
		return 0, err // numbered, and not known to be in the stream: the next lead publishes from the last mark
	}
	failpoint.Here("relay.published")
	l.published, l.streamSeq = events[len(events)-1].Seq, max(last, l.streamSeq)
	l.metrics.published.Add(float64(len(events)))
	if l.published-l.marked < markEvery {
		return len(events), nil
	}
	return len(events), l.mark(ctx)
}

// mark keeps how far the stream has come. It is written when the relay pauses and every markEvery events, not after each
// window: a leader that dies before it costs the next one a few publishes, which the stream knows by their ids.
func (l *leader) mark(ctx context.Context) error {
	if l.published == l.marked {
		return nil
	}
	if err := l.lead.MarkPublished(ctx, l.published, l.streamSeq); err != nil {
		return err
	}
	failpoint.Here("relay.marked")
	l.marked = l.published
	return nil
}

// publish sends a window and waits for every acknowledgement; it returns the highest stream sequence. A stream that was emptied
// still knows the ids of late and would swallow them, so what it calls a double of a message that it no longer holds is sent
// under another message id; the event's own stays.
func (l *leader) publish(ctx context.Context, events []app.LoggedEvent) (uint64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, publishWait, fmt.Errorf("MEET_EVENTS acknowledged nothing within %s", publishWait))
	defer cancel()
	last, swallowed, err := l.send(ctx, events, l.refill)
	if err != nil || len(swallowed) == 0 {
		return last, err
	}
	again, _, err := l.send(ctx, swallowed, refillOf(l.first))
	return max(last, again), err
}

func refillOf(first uint64) string { return "." + strconv.FormatUint(first, 10) }

func (l *leader) send(ctx context.Context, events []app.LoggedEvent, suffix string) (last uint64, swallowed []app.LoggedEvent, err error) {
	js := l.bus.JetStream()
	futures := make([]jetstream.PubAckFuture, 0, len(events))
	spans := make([]trace.Span, 0, len(events))
	defer func() {
		for _, span := range spans { // those that were not acknowledged
			span.End()
		}
	}()
	for i := range events {
		msg, span := sendEvent(l.bus, &events[i])
		spans = append(spans, span)
		if suffix != "" {
			msg.Header.Set("Nats-Msg-Id", msg.Header.Get("Nats-Msg-Id")+suffix)
		}
		future, err := js.PublishMsgAsync(msg)
		if err != nil {
			return 0, nil, fmt.Errorf("publish event %d: %w", events[i].Seq, err)
		}
		futures = append(futures, future)
	}
	for i, future := range futures {
		select {
		case ack := <-future.Ok():
			spans[i].End()
			last = max(last, ack.Sequence)
			if ack.Duplicate && ack.Sequence < l.first {
				swallowed = append(swallowed, events[i])
			}
		case err := <-future.Err():
			return 0, nil, fmt.Errorf("publish event %d: %w", events[i].Seq, err)
		case <-ctx.Done():
			return 0, nil, fmt.Errorf("publish event %d: %w", events[i].Seq, context.Cause(ctx))
		}
	}
	return last, swallowed, nil
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

// dispatchJobs sends what is due, as far as there is room, and returns how many it were.
func (l *leader) dispatchJobs(ctx context.Context) (int, error) {
	sent, err := l.lead.SendDue(ctx, l.now(), app.DispatchLimit)
	if err != nil || len(sent) == 0 {
		return 0, err
	}
	failpoint.Here("relay.dispatched")
	futures := make([]jetstream.PubAckFuture, 0, len(sent))
	for _, m := range sent {
		body, err := l.codec.Job(m, true)
		if err != nil {
			return 0, fmt.Errorf("render the job of meeting %d: %w", m.ID, err)
		}
		msg, span := sendJob(l.bus, jobMessage(app.Dispatch{JobID: m.Job.ID, Dispatch: m.Job.Dispatch, Body: body}), m.Job.Traceparent)
		future, err := l.bus.JetStream().PublishMsgAsync(msg)
		span.End() // what the stream says of it is waited for together
		if err != nil {
			return 0, fmt.Errorf("publish the job of meeting %d: %w", m.ID, err)
		}
		futures = append(futures, future)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, publishWait, fmt.Errorf("MEET_JOBS acknowledged nothing within %s", publishWait))
	defer cancel()
	for i, future := range futures { // what the stream did not store is found again by resendLost
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return 0, fmt.Errorf("publish the job of meeting %d: %w", sent[i].ID, err)
		case <-ctx.Done():
			return 0, fmt.Errorf("publish the job of meeting %d: %w", sent[i].ID, context.Cause(ctx))
		}
	}
	failpoint.Here("relay.jobs_published")
	return len(sent), nil
}

// resendLost sends again what was sent longer than age ago, has no outcome, and was not in the stream at this many looks in a
// row, one or two. Age alone is no reason.
func (l *leader) resendLost(ctx context.Context, age time.Duration, looks int) error {
	out, err := l.lead.OutSince(ctx, l.now().Add(-age), classes())
	if err != nil {
		return err
	}
	missed := l.missed
	l.missed = make(map[string]struct{})
	var lost []app.JobRef
	for class, jobs := range out {
		waiting, err := l.inStream(ctx, class)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			id := dispatchID(job.ID, job.Dispatch)
			if _, there := waiting[id]; there {
				continue
			}
			if _, before := missed[id]; before || looks == 1 {
				lost = append(lost, job)
				continue
			}
			l.missed[id] = struct{}{}
		}
	}
	if len(lost) == 0 {
		return nil
	}
	l.log.WarnContext(ctx, "jobs without a message and without an outcome are sent again", "jobs", len(lost))
	if err := l.lead.SendAgain(ctx, lost, l.now()); err != nil {
		return err
	}
	failpoint.Here("relay.resent")
	return nil
}

func dispatchID(job string, dispatch int64) string {
	return job + "." + strconv.FormatInt(dispatch, 10)
}

// inStream collects the message ids of the jobs of a class that MEET_JOBS holds; they are few, because the jobs that are out are
// bounded.
func (l *leader) inStream(ctx context.Context, class string) (map[string]struct{}, error) {
	stream, err := l.bus.JetStream().Stream(ctx, subject.StreamJobs)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", subject.StreamJobs, err)
	}
	found := make(map[string]struct{})
	for seq := stream.CachedInfo().State.FirstSeq; ; {
		msg, err := stream.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject(subject.OfJob(class, "*")))
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
// before the first publish after each connect, and now and then.
func (l *leader) recover(ctx context.Context) error {
	l.compared = time.Now()
	if err := l.bus.EnsureStreams(ctx); err != nil {
		return err
	}
	failpoint.Here("relay.streams_ensured")
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
	newest, err := newestNumber(ctx, events)
	if err != nil {
		return err
	}
	if err := older(newest, state.LastSeq); err != nil {
		return err
	}
	held := events.CachedInfo().State
	l.first = held.FirstSeq
	now := state
	now.EventsCreated, now.JobsCreated = clock.Cut(events.CachedInfo().Created), clock.Cut(jobs.CachedInfo().Created)
	now.EventsLastSeq = held.LastSeq
	remade, shorter, emptied := !now.EventsCreated.Equal(state.EventsCreated), now.EventsLastSeq < state.EventsLastSeq, held.Msgs == 0
	if state.PublishedSeq > 0 && (remade || shorter || emptied) {
		if now.PublishedSeq, err = l.lastKept(ctx, newest, state.PublishedSeq); err != nil {
			return err
		}
		if now.PublishedSeq < state.PublishedSeq {
			if emptied {
				l.refill = refillOf(l.first)
			}
			l.log.WarnContext(ctx, "MEET_EVENTS lost messages; they are published again", "after_sequence", now.PublishedSeq, "up_to", state.PublishedSeq)
		}
	}
	if !now.JobsCreated.Equal(state.JobsCreated) {
		if err := l.resendLost(ctx, sentBefore, 1); err != nil {
			return err
		}
	}
	l.published, l.behind = now.PublishedSeq, now.PublishedSeq < state.LastSeq
	l.marked, l.streamSeq = now.PublishedSeq, now.EventsLastSeq
	if now == state {
		return nil
	}
	if err := l.lead.MarkStreams(ctx, now); err != nil {
		return err
	}
	failpoint.Here("relay.streams_marked")
	return nil
}

// lastKept is the sequence after which events are to be published again, given the newest number that the stream still holds.
func (l *leader) lastKept(ctx context.Context, newest, published int64) (int64, error) {
	first, err := l.lead.FirstSequenceSince(ctx, l.now().Add(-keepEvents))
	if err != nil {
		return 0, err
	}
	if first == 0 { // nothing young enough
		return published, nil
	}
	return min(max(first-1, newest-overlap), published), nil
}
