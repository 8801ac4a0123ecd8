package nats

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// taskClasses are the classes whose jobs are no meetings'. Each has a limit of its own, so that none waits for another.
func taskClasses() []string { return []string{subject.ClassObserve} }

// dispatchTasks sends the due jobs that are no meetings', as far as there is room, and returns how many it were.
func (l *leader) dispatchTasks(ctx context.Context) (int, error) {
	sent := 0
	for _, class := range taskClasses() {
		tasks, err := l.lead.SendTasks(ctx, class, l.now(), app.TaskLimit)
		if err != nil {
			return sent, err
		}
		if err := l.publishTasks(ctx, class, tasks); err != nil {
			return sent, err
		}
		sent += len(tasks)
	}
	return sent, nil
}

// publishTasks waits for the stream's word; what it did not store is found again by resendLost.
func (l *leader) publishTasks(ctx context.Context, class string, tasks []app.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	failpoint.Here("relay.dispatched")
	futures := make([]jetstream.PubAckFuture, 0, len(tasks))
	for _, t := range tasks {
		future, err := l.bus.JetStream().PublishMsgAsync(&nats.Msg{
			Subject: subject.OfJob(class, t.Kind), Data: t.Body,
			Header: nats.Header{"Nats-Msg-Id": []string{dispatchID(t.JobID, t.Dispatch)}, "Content-Type": []string{"application/json"}},
		})
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
	return nil
}
