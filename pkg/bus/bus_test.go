package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/timetest"
)

// patience bounds every wait; nothing waits that long when it works.
const patience = 15 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, s *embeddednats.Server) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{Name: "test", Replicas: 1, Wait: patience, InProcess: s}, quiet())
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.WithoutCancel(t.Context())) }) // the server may be gone
	return b
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// commands receives what is published for meetings.
func commands(t *testing.T, b *bus.Bus) (next func() *nats.Msg) {
	t.Helper()
	sub, err := b.Conn().SubscribeSync(string(subject.CancelMeeting))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	return func() *nats.Msg {
		t.Helper()
		m, err := sub.NextMsgWithContext(within(t, patience))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

func reply(t *testing.T, b *bus.Bus, to *nats.Msg, r *meetv1.CommandReply) {
	t.Helper()
	body, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Conn().Publish(to.Header.Get("Meet-Reply"), body); err != nil {
		t.Fatal(err)
	}
}

func answer(t *testing.T, id int64) *meetv1.CommandReply {
	t.Helper()
	body, err := proto.Marshal(&meetv1.CancelMeetingResponse{Meeting: &meetv1.Meeting{Id: id}})
	if err != nil {
		t.Fatal(err)
	}
	return &meetv1.CommandReply{Response: body, Replayed: true}
}

var done = &meetv1.CommandReply{Done: &meetv1.OperationDone{Operation: "op", MeetLink: "link"}}

func call(t *testing.T, b *bus.Bus, id uuid.UUID) *bus.Call[*meetv1.CancelMeetingResponse] {
	t.Helper()
	c, err := bus.Start(b, subject.CancelMeeting, &meetv1.CancelMeetingRequest{Id: "1"}, bus.Envelope{CommandID: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestACommandWithoutAReplyIsPublishedAgainUnderAnotherMessageID(t *testing.T) {
	timetest.Rounds(t, func(r *timetest.Round) {
		t := r.T
		s := natstest.New(t)
		b, meetings := start(t, s), start(t, s)
		next := commands(t, meetings)
		id, began := uuid.New(), time.Now()
		c := call(t, b, id)
		again := make(chan time.Duration, 1)
		go func() {
			first, second := next(), next()
			again <- time.Since(began)
			if first.Header.Get("Nats-Msg-Id") == second.Header.Get("Nats-Msg-Id") || first.Header.Get("Meet-Command-Id") != id.String() || second.Header.Get("Meet-Command-Id") != id.String() {
				t.Errorf("headers %v, %v", first.Header, second.Header)
			}
			reply(t, meetings, second, answer(t, 7))
		}()
		resp, replayed, err := c.Committed(within(t, patience))
		if err != nil || !replayed || resp.GetMeeting().GetId() != 7 {
			t.Fatalf("%v, %v, %v", resp, replayed, err)
		}
		switch d := <-again; {
		case d < 500*time.Millisecond:
			t.Errorf("again after %s", d)
		case d > 3*time.Second:
			r.Latef("again after %s", d)
		}
	})
}

func TestTwoRepliesMayComeInEitherOrderAndTwice(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	next := commands(t, meetings)
	for name, order := range map[string][]*meetv1.CommandReply{
		"in order": {answer(t, 7), done}, "reversed": {done, answer(t, 7)}, "twice each": {answer(t, 7), answer(t, 7), done, done},
	} {
		c := call(t, b, uuid.New())
		m := next()
		for _, r := range order {
			reply(t, meetings, m, r)
		}
		if resp, _, err := c.Committed(within(t, patience)); err != nil || resp.GetMeeting().GetId() != 7 {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
		for d := c.Done(within(t, patience)); d.GetMeetLink() != "link"; d = c.Done(within(t, patience)) {
			if name != "twice each" || d != nil { // the double of the first reply may stand before the second
				t.Errorf("%s: %v", name, d)
				break
			}
		}
	}
}

func TestARefusalIsTheAnswerersFault(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	next := commands(t, meetings)
	c := call(t, b, uuid.New())
	want := fault.New(fault.Conflict, "X", "no").WithMeta("a", "b").WithFields(fault.Field{Path: "p", Reason: "R", Text: "t", Params: map[string]string{"max": "1"}})
	reply(t, meetings, next(), &meetv1.CommandReply{Fault: bus.EncodeFault(want)})
	_, _, err := c.Committed(within(t, patience))
	if got := fault.Of(err); got.Kind != fault.Conflict || got.Reason != "X" || got.Meta["a"] != "b" || got.Fields[0].Params["max"] != "1" {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAnAnswerTheOutcomeIsUnknown(t *testing.T) {
	b := start(t, natstest.New(t))
	c := call(t, b, uuid.New())
	if _, _, err := c.Committed(within(t, 100*time.Millisecond)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("time is up: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Committed(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller went: %v", err)
	}
	if c.Done(gone) != nil {
		t.Error("done without an end")
	}
}

func TestAFullStreamIsUnavailableAndSaysSo(t *testing.T) {
	b := start(t, natstest.New(t))
	full := subject.Streams(1)[0]
	full.MaxMsgs = 1
	if _, err := b.JetStream().UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if err := bus.Post(t.Context(), b, subject.CancelMeeting, &meetv1.CancelMeetingRequest{}, bus.Envelope{CommandID: uuid.New()}); err != nil {
		t.Fatal(err)
	}
	c := call(t, b, uuid.New())
	_, _, err := c.Committed(within(t, 300*time.Millisecond))
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "maximum messages exceeded") {
		t.Errorf("got %v", err)
	}
	if err := bus.Post(t.Context(), b, subject.CancelMeeting, &meetv1.CancelMeetingRequest{}, bus.Envelope{CommandID: uuid.New()}); err == nil {
		t.Error("a full stream took a command")
	}
}

func TestAWaitSurvivesARestartThatLostTheStore(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	again := meetings.Reconnected()
	next := commands(t, meetings)
	id := uuid.New()
	c := call(t, b, id)
	next()
	for _, stream := range subject.Streams(1) { // what a lost store looks like afterwards
		if err := b.JetStream().DeleteStream(t.Context(), stream.Name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Check(t.Context()) == nil {
		t.Error("ready without NATS")
	}
	if _, err := bus.Ask(within(t, patience), b, subject.CheckHealth, &meetv1.CheckHealthRequest{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a query without NATS: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-again:
	case <-within(t, patience).Done():
		t.Fatal("no word of the reconnect")
	}
	go func() {
		for m := next(); ; m = next() {
			if m.Header.Get("Meet-Command-Id") == id.String() {
				reply(t, meetings, m, answer(t, 7))
				return
			}
		}
	}()
	if resp, _, err := c.Committed(within(t, patience)); err != nil || resp.GetMeeting().GetId() != 7 {
		t.Errorf("%v, %v", resp, err)
	}
	for _, stream := range subject.Streams(1) {
		if _, err := b.JetStream().Stream(within(t, patience), stream.Name); err != nil {
			t.Errorf("%s: %v", stream.Name, err)
		}
	}
}

func TestAWaitEndsWithTheBus(t *testing.T) {
	b := start(t, natstest.New(t))
	c := call(t, b, uuid.New())
	ended := make(chan error, 1)
	go func() { _, _, err := c.Committed(within(t, patience)); ended <- err }()
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, bus.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := bus.Start(b, subject.CancelMeeting, &meetv1.CancelMeetingRequest{}, bus.Envelope{}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("a call after the end: %v", err)
	}
}

func TestNobodyThereIsUnavailableAtOnce(t *testing.T) {
	b := start(t, natstest.New(t))
	began := time.Now()
	if _, err := bus.Ask(within(t, patience), b, subject.CheckHealth, &meetv1.CheckHealthRequest{}); fault.KindOf(err) != fault.Unavailable || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestAwaitAsksOnceItListens(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	body, err := proto.Marshal(done)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bus.Await(within(t, patience), b, "op", func(context.Context) (*meetv1.OperationDone, error) {
		return nil, meetings.Conn().Publish(subject.Done("op"), body)
	})
	if err != nil || got.GetMeetLink() != "link" {
		t.Errorf("%v, %v", got, err)
	}
	got, err = bus.Await(within(t, patience), b, "op", func(context.Context) (*meetv1.OperationDone, error) {
		return &meetv1.OperationDone{Operation: "before"}, nil
	})
	if err != nil || got.GetOperation() != "before" {
		t.Errorf("%v, %v", got, err)
	}
	got, err = bus.Await(within(t, 50*time.Millisecond), b, "op", func(context.Context) (*meetv1.OperationDone, error) { return nil, nil }) //nolint:nilnil // not done
	if err != nil || got != nil {
		t.Errorf("time is up: %v, %v", got, err)
	}
}

// consume counts what a consumer gets.
func consume(t *testing.T, b *bus.Bus) (came chan jetstream.Msg, stop func()) {
	t.Helper()
	return consumeAs(t, b, subject.JobConsumer(subject.ClassGoogle))
}

func consumeAs(t *testing.T, b *bus.Bus, config jetstream.ConsumerConfig) (came chan jetstream.Msg, stop func()) {
	t.Helper()
	came = make(chan jetstream.Msg, 1024)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, subject.StreamJobs, config, 16, func(m jetstream.Msg) {
			if err := m.Ack(); err == nil {
				came <- m
			}
		})
	}()
	var once atomic.Bool
	stop = func() {
		if cancel(); once.CompareAndSwap(false, true) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return came, stop
}

// said is a log that tells of each record.
type said struct {
	slog.Handler
	messages chan string
}

func (s said) Handle(_ context.Context, r slog.Record) error {
	s.messages <- r.Message
	return nil
}

func (said) Enabled(context.Context, slog.Level) bool { return true }

func TestWhenAConsumerHasEndedNothingIsHandedOver(t *testing.T) {
	t.Parallel()
	log := said{slog.DiscardHandler, make(chan string, 1024)}
	b := bus.New(bus.Config{Name: "test", Replicas: 1, Wait: patience, InProcess: natstest.New(t)}, slog.New(log))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.WithoutCancel(t.Context())) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	came, gate, ended := make(chan struct{}, 16), make(chan struct{}), make(chan error, 1)
	var handling atomic.Int32
	go func() {
		ended <- b.Consume(ctx, subject.StreamJobs, subject.JobConsumer(subject.ClassGoogle), 16, func(jetstream.Msg) {
			handling.Add(1)
			defer handling.Add(-1)
			came <- struct{}{}
			<-gate
		})
	}()
	for range 3 {
		if _, err := b.JetStream().Publish(within(t, patience), string(subject.SyncMeeting), nil); err != nil {
			t.Fatal(err)
		}
	}
	<-came
	cancel()
	for late := within(t, patience); ; { // it waits for the handler, and for what was fetched no longer than it may
		select {
		case text := <-log.messages:
			if text != "consumer is left with what was fetched" {
				continue
			}
		case err := <-ended:
			t.Fatalf("it ended while a message was being handled: %v", err)
		case <-late.Done():
			t.Fatal("it says nothing")
		}
		break
	}
	close(gate)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := handling.Load(); n != 0 {
		t.Errorf("%d messages are being handled after the end", n)
	}
}

func TestAConsumerComesBackWhateverIsLost(t *testing.T) {
	for name, lose := range map[string]func(ctx context.Context, s *embeddednats.Server, b *bus.Bus) error{
		"the consumer": func(ctx context.Context, _ *embeddednats.Server, b *bus.Bus) error {
			return b.JetStream().DeleteConsumer(ctx, subject.StreamJobs, subject.JobConsumer(subject.ClassGoogle).Durable)
		},
		"the stream": func(ctx context.Context, _ *embeddednats.Server, b *bus.Bus) error {
			return b.JetStream().DeleteStream(ctx, subject.StreamJobs)
		},
		"the server, for a moment": func(ctx context.Context, s *embeddednats.Server, _ *bus.Bus) error {
			return errors.Join(s.Stop(ctx), s.Start(ctx))
		},
		"the store": func(ctx context.Context, s *embeddednats.Server, b *bus.Bus) error {
			return errors.Join(b.JetStream().DeleteStream(ctx, subject.StreamJobs), s.Stop(ctx), s.Start(ctx))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.New(t)
			b := start(t, s)
			came, _ := consume(t, b)
			ctx := within(t, patience)
			send := func(text string) {
				t.Helper()
				for { // until the stream is there again
					_, err := b.JetStream().Publish(ctx, string(subject.SyncMeeting), []byte(text))
					if err == nil {
						return
					}
					if ctx.Err() != nil {
						t.Fatal(err)
					}
				}
			}
			wait := func(text string) {
				t.Helper()
				for {
					select {
					case m := <-came:
						if string(m.Data()) == text {
							return
						}
					case <-ctx.Done():
						t.Fatalf("%s did not come", text)
					}
				}
			}
			send("before")
			wait("before")
			if err := lose(ctx, s, b); err != nil {
				t.Fatal(err)
			}
			send("after")
			wait("after")
		})
	}
}

func TestAConsumersStopLeavesNothingToTheLease(t *testing.T) {
	s := natstest.New(t)
	b := start(t, s)
	config := subject.JobConsumer(subject.ClassGoogle)
	config.AckWait = time.Hour
	const sent = 200
	for n := range sent {
		if _, err := b.JetStream().PublishAsync(string(subject.SyncMeeting), fmt.Append(nil, n)); err != nil {
			t.Fatal(err)
		}
	}
	<-b.JetStream().PublishAsyncComplete()
	came, stop := consumeAs(t, b, config)
	<-came
	stop()
	handled := 1 + len(came)
	rest, _ := consumeAs(t, start(t, s), config) // what was fetched is handled; what was still being sent the server has kept
	ctx := within(t, patience)
	for ; handled < sent; handled++ {
		select {
		case <-rest:
		case <-ctx.Done():
			t.Fatalf("%d of %d came", handled, sent)
		}
	}
}

func TestADeadLetterIsKeptWithItsReason(t *testing.T) {
	b := start(t, natstest.New(t))
	config := subject.JobConsumer(subject.ClassGoogle)
	c, err := b.JetStream().CreateOrUpdateConsumer(t.Context(), subject.StreamJobs, config)
	if err != nil {
		t.Fatal(err)
	}
	in := &nats.Msg{Subject: string(subject.SyncMeeting), Data: []byte("{"), Header: nats.Header{"Nats-Msg-Id": []string{"j.1"}, "Content-Type": []string{"application/json"}}}
	if _, err := b.JetStream().PublishMsg(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a crash between copy and end does it twice
		if err := b.Bury(t.Context(), msg, subject.Dead(subject.StreamJobs, msg.Subject()), "not JSON"); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			t.Fatal(err)
		}
	}
	dead, err := b.JetStream().Stream(t.Context(), subject.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d dead letters", n)
	}
	kept, err := dead.GetLastMsgForSubject(t.Context(), "meet.dead.>")
	if err != nil {
		t.Fatal(err)
	}
	if kept.Header.Get(bus.HeaderReason) != "not JSON" || kept.Header.Get(bus.HeaderSubject) != string(subject.SyncMeeting) || string(kept.Data) != "{" ||
		kept.Header.Get("Content-Type") != "application/json" || kept.Header.Get("Nats-Msg-Id") == "j.1" {
		t.Errorf("kept %v", kept.Header)
	}
	ctx := within(t, patience)
	for {
		s, err := b.JetStream().Stream(ctx, subject.StreamJobs)
		if err != nil {
			t.Fatal(err)
		}
		if s.CachedInfo().State.Msgs == 0 {
			return
		}
	}
}

func TestAStartWithoutNATSGivesUpAndSaysWhere(t *testing.T) {
	b := bus.New(bus.Config{Name: "test", URL: "nats://127.0.0.1:1", Wait: 200 * time.Millisecond}, quiet())
	err := b.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nats://127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEveryKindOfFaultHasACode(t *testing.T) {
	for _, kind := range fault.Kinds() {
		if c := bus.Code(kind); c.String() == "unknown" {
			t.Errorf("%s has none", kind)
		}
		if back := bus.DecodeFault(bus.EncodeFault(fault.New(kind, "R", "t"))); back.Kind != kind || back.Reason != "R" || back.Text != "t" {
			t.Errorf("%s became %v", kind, back)
		}
	}
	if f := bus.DecodeFault(&meetv1.Fault{Kind: "of a newer release"}); f.Kind != fault.Internal {
		t.Errorf("an unknown kind became %v", f)
	}
}

func FuzzEnvelope(f *testing.F) {
	id := uuid.NewString()
	f.Add(id, "1700000000000", "_INBOX.x", "local-admin", "12", "hash")
	f.Add(id, "", "", "", "", "")
	f.Add("x", "-9223372036854775808", "a b\r\nc", "\x00", "99999999999999999999", "\xff")
	f.Add(id, "", "meet.evt.recording.verified", "", "", "")
	f.Add(id, "", "_INBOX_gateway.>", "", "", "")
	f.Add(id, "1e9", strings.Repeat("x", 2000), "p", "-1", "h")
	f.Fuzz(func(t *testing.T, id, deadline, reply, principal, user, hash string) {
		e, err := bus.ParseEnvelope(nats.Header{
			"Meet-Command-Id": {id}, "Meet-Deadline": {deadline}, "Meet-Reply": {reply}, "Meet-Principal": {principal}, "Meet-User-Id": {user}, "Meet-Body-Hash": {hash},
		})
		if err != nil {
			return
		}
		if reply != "" && !strings.HasPrefix(reply, "_INBOX") {
			t.Errorf("meetings would publish on %q for whoever may not", reply)
		}
		if e.Reply != reply || e.Principal.Name != principal || e.BodyHash != hash || (deadline == "") != e.Deadline.IsZero() {
			t.Errorf("%+v", e)
		}
		for _, text := range []string{e.Reply, e.Principal.Name, e.BodyHash} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || len(text) > 1024 {
				t.Errorf("%q went through", text)
			}
		}
	})
}
