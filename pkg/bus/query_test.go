package bus_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// Queries that the server has sent wait in the client for a free slot; a stop used to end their ctx, or raced with their start.
func TestAStopAnswersEveryQueryThatHasCome(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	q, err := bus.ServeQueries(meetings, subject.ServiceMeetings, "1.0.0", 1, quiet())
	if err != nil {
		t.Fatal(err)
	}
	began, finish := make(chan struct{}, 1), make(chan struct{})
	if err := bus.Answer(q, subject.CheckHealth, func(ctx context.Context, _ *meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		select {
		case began <- struct{}{}:
		default:
		}
		select {
		case <-finish:
			return &meetv1.CheckHealthResponse{}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := meetings.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	const asked = 20
	before := meetings.Conn().Stats().InMsgs
	answers := make(chan error, asked)
	for range asked {
		go func() {
			_, err := bus.Ask(within(t, patience), b, subject.CheckHealth, &meetv1.CheckHealthRequest{})
			answers <- err
		}()
	}
	<-began
	for meetings.Conn().Stats().InMsgs < before+asked {
		if err := meetings.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- q.Stop(within(t, patience)) }()
	ping, err := micro.ControlSubject(micro.PingVerb, subject.ServiceMeetings, "")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // until nobody is subscribed
		_, err = b.Conn().Request(ping, nil, patience)
	}
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Fatal(err)
	}
	close(finish)
	for n := range asked {
		if err := <-answers; err != nil {
			t.Errorf("query %d of %d: %v", n+1, asked, err)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
