package nats

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

func request() *meetv1.CreateMeetingRequest {
	return &meetv1.CreateMeetingRequest{OrganizerEmail: "doctor@clinic.example", InvitedEmails: []string{"p@mail.example"}, TimeZone: "UTC"}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return bus.WithPrincipal(ctx, tester)
}

func TestACommandIsAnsweredAndItsJobIsOut(t *testing.T) {
	w := newWorld(t)
	w.commands(t)
	call, err := bus.Start(w.bus, subject.CreateMeeting, request(), bus.Envelope{CommandID: uuid.New(), Principal: tester, RequestID: "req", RemoteAddr: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	resp, replayed, err := call.Committed(within(t))
	if err != nil || replayed || resp.GetMeeting().GetId() != 1 {
		t.Fatalf("%v, %v, %v", resp, replayed, err)
	}
	if job := jobOf(t, w.jobs(t)()); job.GetWish().GetMeetingUid() != resp.GetMeeting().GetUid() || !slices.Equal(job.GetWish().GetGuests(), []string{"p@mail.example"}) {
		t.Errorf("job %v", job)
	}
	if got := ask[string](t, w, `SELECT request_id || ' ' || remote_addr FROM commands`); got != "req 192.0.2.1" {
		t.Errorf("row %s", got)
	}
}

func TestAnOutcomeWakesEverybodyWhoWaits(t *testing.T) {
	w := newWorld(t)
	w.commands(t)
	id := uuid.New()
	call, err := bus.Start(w.bus, subject.CreateMeeting, request(), bus.Envelope{CommandID: id, Principal: tester})
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if _, _, err := call.Committed(within(t)); err != nil {
		t.Fatal(err)
	}
	other := make(chan *meetv1.OperationDone, 1)
	go func() {
		done, err := bus.Await(within(t), w.bus, id.String(), func(ctx context.Context) (*meetv1.OperationDone, error) {
			// The subscription stands: now the outcome may come, twice.
			for range 2 {
				if err := bus.Post(ctx, w.bus, subject.MeetingSynced, &meetv1.MeetingSyncedRequest{
					JobId: uuid.NewString(), Dispatch: 1, MeetingId: 1, Version: 1, Complete: true,
					Google: &meetv1.GoogleCopy{EventId: "e", MeetLink: "https://meet.example/x", EventVersion: 1, SettingsVersion: 1},
				}, bus.Envelope{CommandID: uuid.New(), Principal: bus.Scheduler}); err != nil {
					return nil, err
				}
			}
			return nil, nil //nolint:nilnil // not done yet
		})
		if err != nil {
			t.Error(err)
		}
		other <- done
	}()
	for who, done := range map[string]*meetv1.OperationDone{"the caller": call.Done(within(t)), "another": <-other} {
		if done.GetMeetLink() != "https://meet.example/x" || done.GetOperation() != id.String() || done.GetProvisioning() != meetv1.Provisioning_PROVISIONING_READY {
			t.Errorf("%s got %v", who, done)
		}
	}
}

func TestWhatNobodyCanReadIsADeadLetterAndItsCallerIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		subject, body string
		id            string
		told          bool
	}{
		"no JSON":           {string(subject.CreateMeeting), "{", uuid.NewString(), true},
		"a number too wide": {string(subject.MeetingSynced), `{"meeting_id":"99999999999999999999"}`, uuid.NewString(), true},
		"a time too late":   {string(subject.CreateMeeting), `{"scheduled_start":"10000-01-01T00:00:00Z"}`, uuid.NewString(), true},
		"no such command":   {"meet.cmd.meeting.explode", "{}", uuid.NewString(), true},
		"no command id":     {string(subject.CreateMeeting), "{}", "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.commands(t)
			inbox := w.bus.Conn().NewInbox()
			replies, err := w.bus.Conn().SubscribeSync(inbox)
			if err != nil {
				t.Fatal(err)
			}
			msg := &natsgo.Msg{Subject: c.subject, Data: []byte(c.body), Header: natsgo.Header{"Meet-Command-Id": []string{c.id}, "Meet-Reply": []string{inbox}}}
			if _, err := w.bus.JetStream().PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
			dead := w.tap(t, subject.StreamDead)()
			if dead.Subject() != "meet.dead.MEET_COMMANDS."+c.subject || string(dead.Data()) != c.body || dead.Headers().Get(bus.HeaderReason) == "" || dead.Headers().Get("Meet-Command-Id") != c.id {
				t.Errorf("dead letter %s %v", dead.Subject(), dead.Headers())
			}
			w.wantDrained(t, subject.StreamCommands)
			if !c.told {
				return
			}
			answer, err := replies.NextMsgWithContext(within(t))
			if err != nil {
				t.Fatal(err)
			}
			reply := new(meetv1.CommandReply)
			if err := proto.Unmarshal(answer.Data, reply); err != nil || reply.GetFault().GetKind() != fault.Invalid.String() {
				t.Errorf("reply %v, %v", reply, err)
			}
		})
	}
}

func (w *world) wantDrained(t *testing.T, stream string) {
	t.Helper()
	ctx := within(t)
	for {
		s, err := w.bus.JetStream().Stream(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		if s.CachedInfo().State.Msgs == 0 {
			return
		}
	}
}

// moody breaks on some meetings and takes its store's part otherwise.
type moody struct {
	app.Store
	breakOn func(*app.Unit) error
}

func (m moody) Batch(ctx context.Context, now time.Time, needs *app.Needs, decide func(*app.Unit) error) error {
	return m.Store.Batch(ctx, now, needs, func(u *app.Unit) error {
		if err := decide(u); err != nil {
			return err
		}
		return m.breakOn(u)
	})
}

func TestACommandThatPanicsIsADeadLetterAndHarmsNoOther(t *testing.T) {
	w := newWorld(t)
	s := w.newStore(t)
	store := moody{s, func(u *app.Unit) error {
		for _, m := range u.NewMeetings {
			if m.Summary == "odd" {
				panic("odd")
			}
		}
		return nil
	}}
	run(t, NewCommands(w.newBus(t), app.NewProcessor(store, Codec{}, w.clock.Now, slog.New(slog.DiscardHandler)), metrics(t, s, w.clock.Now), quiet()).Run)
	calls := make([]*bus.Call[*meetv1.CreateMeetingResponse], 0, 20)
	for n := range 20 {
		req := request()
		if n == 7 {
			req.Summary = "odd"
		}
		call, err := bus.Start(w.bus, subject.CreateMeeting, req, bus.Envelope{CommandID: uuid.New(), Principal: tester})
		if err != nil {
			t.Fatal(err)
		}
		defer call.Close()
		calls = append(calls, call)
	}
	for n, call := range calls {
		_, _, err := call.Committed(within(t))
		if n == 7 {
			if fault.KindOf(err) != fault.Internal || strings.Contains(err.Error(), "odd") {
				t.Errorf("the odd one: %v", err)
			}
		} else if err != nil {
			t.Errorf("command %d: %v", n, err)
		}
	}
	if dead := w.tap(t, subject.StreamDead)(); dead.Headers().Get(bus.HeaderReason) == "" || !strings.Contains(string(dead.Data()), "odd") {
		t.Errorf("dead letter %v", dead.Headers())
	}
	w.wantDrained(t, subject.StreamCommands)
}

func TestACommandThatCantBeCarriedOutNowComesAgain(t *testing.T) {
	w := newWorld(t)
	s := w.newStore(t)
	left := 6 // more than soloAfter
	store := moody{s, func(*app.Unit) error {
		if left--; left >= 0 {
			return fmt.Errorf("not now: %w", app.ErrUnreachable)
		}
		return nil
	}}
	run(t, NewCommands(w.newBus(t), app.NewProcessor(store, Codec{}, w.clock.Now, quiet()), metrics(t, s, w.clock.Now), quiet()).Run)
	if err := bus.Post(t.Context(), w.bus, subject.CreateMeeting, request(), bus.Envelope{CommandID: uuid.New(), Principal: tester}); err != nil {
		t.Fatal(err)
	}
	w.wantDrained(t, subject.StreamCommands)
	if got := ask[int64](t, w, `SELECT count(*) FROM meetings`); got != 1 || left >= 0 {
		t.Errorf("%d meetings, %d", got, left)
	}
}

func TestAStopHandsNothingToTheLease(t *testing.T) {
	w := newWorld(t)
	s, b, ctx := w.newStore(t), w.newBus(t), within(t)
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	held := make(chan struct{}, 1)
	store := moody{s, func(*app.Unit) error {
		select {
		case held <- struct{}{}:
		default:
		}
		<-gate
		return nil
	}}
	running, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- NewCommands(b, app.NewProcessor(store, Codec{}, w.clock.Now, quiet()), metrics(t, s, w.clock.Now), quiet()).Run(running)
	}()
	publish := func() {
		t.Helper()
		if _, err := w.bus.JetStream().PublishMsgAsync(&natsgo.Msg{
			Subject: string(subject.CancelMeeting), Data: []byte(`{"id":"1"}`), Header: natsgo.Header{"Meet-Command-Id": []string{uuid.NewString()}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	const n = 1 + prefetch + 100 // a batch in hand, a full queue, and some that were fetched and fit in neither
	publish()
	select {
	case <-held:
	case <-ctx.Done():
		t.Fatal("the first did not come")
	}
	for range n - 1 {
		publish()
	}
	<-w.bus.JetStream().PublishAsyncComplete()
	c, err := w.bus.JetStream().Consumer(t.Context(), subject.StreamCommands, subject.CommandConsumer().Durable)
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, enough func(*jetstream.ConsumerInfo) bool) {
		t.Helper()
		for {
			info, err := c.Info(ctx)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if enough(info) {
				return
			}
		}
	}
	until("all are sent", func(info *jetstream.ConsumerInfo) bool { return info.Delivered.Stream == n })
	config := subject.CommandConsumer()
	config.AckWait = time.Hour
	if _, err := w.bus.JetStream().UpdateConsumer(ctx, subject.StreamCommands, config); err != nil {
		t.Fatal(err)
	}
	cancel()
	open()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	// What has come is handled; what the server was still sending it hands to the next one at once.
	until("all are acknowledged", func(info *jetstream.ConsumerInfo) bool {
		if info.NumAckPending == 0 {
			return true
		}
		rest, err := c.FetchNoWait(n)
		if err != nil {
			t.Fatal(err)
		}
		for msg := range rest.Messages() {
			if err := msg.Ack(); err != nil {
				t.Fatal(err)
			}
		}
		return false
	})
}
