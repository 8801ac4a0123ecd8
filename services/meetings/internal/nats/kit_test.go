package nats

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// patience bounds every wait; nothing waits that long when it works.
const patience = 20 * time.Second

// today is where the clock of these tests stands.
var today = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

// world is one NATS and one Postgres with a client beside them.
type world struct {
	nats  *embeddednats.Server
	url   string
	clock *clock.Manual
	sql   *pgxpool.Pool
	bus   *bus.Bus
	// processor carries out commands without MEET_COMMANDS and publishes nothing.
	processor *app.Processor
	store     *postgres.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{nats: natstest.New(t), url: pgtest.New(t, postgres.Migrate), clock: clock.NewManual(today)}
	var err error
	if w.sql, err = pgxpool.New(t.Context(), w.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sql.Close)
	w.bus, w.store = w.newBus(t), w.newStore(t)
	w.processor = app.NewProcessor(w.store, Codec{}, w.clock.Now, quiet())
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) newBus(t *testing.T) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{Name: "test", Replicas: 1, Wait: patience, InProcess: w.nats}, quiet())
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (w *world) newStore(t *testing.T) *postgres.Store {
	t.Helper()
	s := postgres.NewStore(postgres.Config{DatabaseURL: config.Secret(w.url), MaxConns: 4, Wait: patience}, quiet())
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(t.Context())) }) // closes pools, fails never
	return s
}

func metrics(t *testing.T, s *postgres.Store, now clock.Clock) *Metrics {
	t.Helper()
	m, err := NewMetrics(prometheus.NewRegistry(), s, app.Counting{}, now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// run runs a loop until the test or the returned stop ends it.
func run(t *testing.T, loop func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- loop(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the loop does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// relay runs one more relay.
func (w *world) relay(t *testing.T) (stop func()) {
	t.Helper()
	s := w.newStore(t)
	return run(t, NewRelay(w.newBus(t), s, Codec{}, w.clock.Now, w.clock.Alarm, metrics(t, s, w.clock.Now), quiet()).Run)
}

// commands runs one more consumer of commands.
func (w *world) commands(t *testing.T) (stop func()) {
	t.Helper()
	s := w.newStore(t)
	return run(t, NewCommands(w.newBus(t), app.NewProcessor(s, Codec{}, w.clock.Now, quiet()), metrics(t, s, w.clock.Now), quiet()).Run)
}

// act carries out commands and publishes nothing, as if the instance had died after its commit.
func (w *world) act(t *testing.T, batch ...*app.Command) app.Effects {
	t.Helper()
	effects := w.processor.Process(t.Context(), batch)
	for _, c := range batch {
		if c.Err != nil || c.Refusal != nil {
			t.Fatalf("%s: %v, %v", c.Kind, c.Err, c.Refusal)
		}
	}
	return effects
}

// wake is what an instance tells the relay after its commit.
func (w *world) wake(t *testing.T) {
	t.Helper()
	if err := w.bus.Conn().Publish(subject.RelayWake, nil); err != nil {
		t.Fatal(err)
	}
}

// tester may do what an admin may.
var tester = bus.Principal{Name: "test", Role: "admin", Mode: "open"}

// asWhom is who may do it without limits.
func asWhom(kind string) app.Actor {
	for _, role := range []access.Role{access.Internal, access.Gateway} {
		if rule, _ := access.RuleOf(kind); rule.Reach(role) == access.All {
			return app.Actor{Role: role}
		}
	}
	return app.Actor{Role: access.Admin}
}

func command(kind string, do app.UseCase) *app.Command {
	return &app.Command{ID: uuid.Must(uuid.NewV7()), Kind: kind, Principal: "test", Actor: asWhom(kind), Do: do, Outcome: kind == "meeting.synced"}
}

func create(organizer string) *app.Command {
	return command("meeting.create", &app.CreateMeeting{Spec: meeting.Spec{OrganizerEmail: organizer, Guests: []string{"p@mail.example"}, TimeZone: "UTC", CreateCalendarEvent: true}})
}

func outcome(id, dispatch int64, o meeting.Outcome) *app.Command {
	o.Dispatch, o.Version = dispatch, 1
	return command("meeting.synced", &app.SyncOutcome{MeetingID: meeting.ID(id), Outcome: o})
}

func ask[T any](t *testing.T, w *world, sql string, args ...any) T {
	t.Helper()
	rows, err := w.sql.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := w.sql.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// tap reads a stream from its beginning; next gives the next message.
func (w *world) tap(t *testing.T, stream string) (next func() jetstream.Msg) {
	t.Helper()
	consumer, err := w.bus.JetStream().OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(messages.Stop)
	return func() jetstream.Msg {
		t.Helper()
		msg, err := messages.Next(jetstream.NextMaxWait(patience))
		if err != nil {
			t.Fatalf("nothing more in %s: %v", stream, err)
		}
		return msg
	}
}

// jobs consumes MEET_JOBS as a scheduler does; next gives the next job with its message.
func (w *world) jobs(t *testing.T) (next func() jetstream.Msg) {
	t.Helper()
	out := make(chan jetstream.Msg, 1024)
	b := w.newBus(t)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, subject.StreamJobs, subject.JobConsumer(subject.ClassGoogle), 1024, func(m jetstream.Msg) { out <- m })
	})
	return func() jetstream.Msg {
		t.Helper()
		select {
		case m := <-out:
			return m
		case <-time.After(patience):
			t.Fatal("no job came")
			return nil
		}
	}
}
