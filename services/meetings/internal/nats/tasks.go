package nats

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// outLimits says of each class of jobs that are no meetings' how many are out at most, so that none waits for another. More than
// a class's consumer may hold unacknowledged would only wait in the stream, and be looked through when a job is missed.
var outLimits = map[string]int{
	subject.ClassObserve: 1024,
	// Long ones, of which a scheduler runs a few.
	subject.ClassExport:       64,
	subject.ClassHousekeeping: 8,
}

// classes are all whose jobs the relay sends.
func classes() []string {
	return append([]string{subject.ClassGoogle}, slices.Sorted(maps.Keys(outLimits))...)
}

// taskWindow is how many jobs of a class are sent before the meetings' own are looked at again: a create never waits longer.
const taskWindow = 256

// dispatch sends the jobs of a class that are due, as far as there is room, and returns how many it were.
func (l *leader) dispatch(ctx context.Context, class string) (int, error) {
	if class == subject.ClassGoogle {
		return l.dispatchJobs(ctx)
	}
	tasks, err := l.lead.SendTasks(ctx, class, l.now(), outLimits[class], taskWindow)
	if err != nil {
		return 0, err
	}
	return len(tasks), l.publishTasks(ctx, class, tasks)
}

// publishTasks waits for the stream's word; what it did not store is found again by resendLost.
func (l *leader) publishTasks(ctx context.Context, class string, tasks []app.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	failpoint.Here("relay.dispatched")
	futures := make([]jetstream.PubAckFuture, 0, len(tasks))
	for _, t := range tasks {
		msg, span := sendJob(l.bus, &nats.Msg{
			Subject: subject.OfJob(class, t.Kind), Data: t.Body,
			Header: nats.Header{"Nats-Msg-Id": []string{dispatchID(t.JobID, t.Dispatch)}, "Content-Type": []string{"application/json"}},
		}, t.Traceparent)
		future, err := l.bus.JetStream().PublishMsgAsync(msg)
		span.End()
		if err != nil {
			return fmt.Errorf("publish job %s: %w", t.JobID, err)
		}
		futures = append(futures, future)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, publishWait, fmt.Errorf("MEET_JOBS acknowledged nothing within %s", publishWait))
	defer cancel()
	for i, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return fmt.Errorf("publish job %s: %w", tasks[i].JobID, err)
		case <-ctx.Done():
			return fmt.Errorf("publish job %s: %w", tasks[i].JobID, context.Cause(ctx))
		}
	}
	failpoint.Here("relay.jobs_published")
	return nil
}
