package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

func TestAScrapeShowsHowFarBehindWhatIsConsumedHereIs(t *testing.T) {
	b := bus.New(bus.Config{Name: "test", Replicas: 1, Wait: patience, InProcess: natstest.New(t)}, quiet())
	lag := bus.NewLag(b)
	if n := testutil.CollectAndCount(lag); n != 0 {
		t.Errorf("%d metrics before the start", n)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.WithoutCancel(t.Context())) })

	// One message is in hand, one was handed back and is in hand again, and of the two that the consumer may not have yet none is.
	consumer := subject.CommandConsumer()
	consumer.MaxAckPending = 2
	for range 4 {
		if _, err := b.JetStream().Publish(t.Context(), string(subject.CancelMeeting), nil); err != nil {
			t.Fatal(err)
		}
	}
	taken := make(chan jetstream.Msg, 4)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, subject.StreamCommands, consumer, 1, func(msg jetstream.Msg) { taken <- msg })
	}()
	next := func() jetstream.Msg {
		t.Helper()
		select {
		case msg := <-taken:
			return msg
		case <-within(t, patience).Done():
			t.Fatal("no message")
		}
		return nil
	}
	first := next()
	next()
	if err := first.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	third := next()
	if err := third.Nak(); err != nil {
		t.Fatal(err)
	}
	next()
	if err := testutil.CollectAndCompare(lag, strings.NewReader(`
# HELP meet_consumer_ack_pending Messages of a durable consumer that were handed out and not settled. Every instance shows the same: max, not sum.
# TYPE meet_consumer_ack_pending gauge
meet_consumer_ack_pending{consumer="meetings",stream="MEET_COMMANDS"} 2
# HELP meet_consumer_pending Messages of a durable consumer that were handed to nobody yet. Every instance shows the same: max, not sum.
# TYPE meet_consumer_pending gauge
meet_consumer_pending{consumer="meetings",stream="MEET_COMMANDS"} 1
# HELP meet_consumer_redelivered Messages of a durable consumer that were handed out more than once and are not settled. Every instance shows the same: max, not sum.
# TYPE meet_consumer_redelivered gauge
meet_consumer_redelivered{consumer="meetings",stream="MEET_COMMANDS"} 1
# HELP meet_stream_messages Messages that a stream holds; MEET_DEAD holds dead letters. Every instance shows the same: max, not sum.
# TYPE meet_stream_messages gauge
meet_stream_messages{stream="MEET_COMMANDS"} 3
meet_stream_messages{stream="MEET_DEAD"} 0
meet_stream_messages{stream="MEET_EVENTS"} 0
meet_stream_messages{stream="MEET_JOBS"} 0
# HELP meet_stream_stored_total Messages that were ever stored in a stream, by its last sequence; starts anew when NATS loses its store. Every instance shows the same: max, not sum.
# TYPE meet_stream_stored_total counter
meet_stream_stored_total{stream="MEET_COMMANDS"} 4
meet_stream_stored_total{stream="MEET_DEAD"} 0
meet_stream_stored_total{stream="MEET_EVENTS"} 0
meet_stream_stored_total{stream="MEET_JOBS"} 0
`), "meet_consumer_pending", "meet_consumer_ack_pending", "meet_consumer_redelivered", "meet_stream_messages", "meet_stream_stored_total"); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAGuestShowsNoStreams(t *testing.T) {
	b := bus.New(bus.Config{Name: "test", Replicas: 1, Wait: patience, Guest: true, InProcess: natstest.New(t)}, quiet())
	lag := bus.NewLag(b)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.WithoutCancel(t.Context())) })
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(lag)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || families[0].GetName() != "meet_nats_reconnects_total" {
		t.Errorf("a gateway shows %v", families)
	}
}
