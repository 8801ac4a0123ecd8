package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// patience bounds every wait; nothing waits that long when it works.
const patience = 20 * time.Second

// today is where the clock of these tests stands.
var today = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

// instance is one meetings instance without its NATS side.
type instance struct {
	*app.Processor
	store *postgres.Store
	clock *clock.Manual
	url   string
	sql   *pgxpool.Pool
}

func newInstance(tb testing.TB) *instance {
	tb.Helper()
	return instanceAt(tb, pgtest.New(tb, postgres.Migrate), clock.NewManual(today))
}

func instanceAt(tb testing.TB, url string, at *clock.Manual) *instance {
	tb.Helper()
	log := logging.New(tb.Output(), logging.Config{Level: slog.LevelError})
	store := postgres.NewStore(postgres.Config{DatabaseURL: config.Secret(url), MaxConns: 8, Wait: patience}, log)
	if err := store.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	sql, err := pgxpool.New(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		sql.Close()
		if err := store.Stop(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
	return &instance{Processor: app.NewProcessor(store, nats.Codec{}, at.Now, log), store: store, clock: at, url: url, sql: sql}
}

// another is one more instance on the same database and clock.
func (i *instance) another(tb testing.TB) *instance {
	tb.Helper()
	return instanceAt(tb, i.url, i.clock)
}

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
	return &app.Command{ID: uuid.Must(uuid.NewV7()), Kind: kind, BodyHash: "h", Principal: "test", Actor: asWhom(kind), Do: do, Outcome: kind == "meeting.synced"}
}

func create(organizer string, guests ...string) *app.Command {
	if len(guests) == 0 {
		guests = []string{"p@mail.example"}
	}
	return command("meeting.create", &app.CreateMeeting{Spec: meeting.Spec{
		OrganizerEmail: organizer, Guests: guests, TimeZone: "America/Bogota", CreateCalendarEvent: true,
	}})
}

func update(id int64, p meeting.Patch) *app.Command {
	return command("meeting.update", &app.UpdateMeeting{Ref: meeting.Ref{ID: meeting.ID(id)}, Patch: p})
}

func cancel(id int64) *app.Command {
	return command("meeting.cancel", &app.CancelMeeting{Ref: meeting.Ref{ID: meeting.ID(id)}})
}

// synced is an outcome that made everything equal.
func synced(id, dispatch, version int64) *app.Command {
	return command("meeting.synced", &app.SyncOutcome{MeetingID: meeting.ID(id), Outcome: meeting.Outcome{
		Dispatch: dispatch, Version: version, Complete: true,
		Google: &meeting.GoogleCopy{EventID: fmt.Sprintf("ev%d", id), MeetLink: fmt.Sprintf("https://meet.example/%d", id), EventVersion: version, SettingsVersion: version},
	}})
}

// process runs a batch and wants every command to have an answer.
func (i *instance) process(tb testing.TB, batch ...*app.Command) app.Effects {
	tb.Helper()
	effects := i.Process(tb.Context(), batch)
	for _, c := range batch {
		if c.Err != nil {
			tb.Fatalf("%s: %v", c.Kind, c.Err)
		}
	}
	return effects
}

// accept is process that also wants no refusal.
func (i *instance) accept(tb testing.TB, batch ...*app.Command) app.Effects {
	tb.Helper()
	effects := i.process(tb, batch...)
	for _, c := range batch {
		if c.Refusal != nil {
			tb.Fatalf("%s was refused: %v", c.Kind, c.Refusal)
		}
	}
	return effects
}

// ask reads one value.
func ask[T any](tb testing.TB, i *instance, sql string, args ...any) T {
	tb.Helper()
	rows, err := i.sql.Query(tb.Context(), sql, args...)
	if err != nil {
		tb.Fatal(err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return v
}

// column reads one column.
func column[T any](tb testing.TB, i *instance, sql string, args ...any) []T {
	tb.Helper()
	rows, err := i.sql.Query(tb.Context(), sql, args...)
	if err != nil {
		tb.Fatal(err)
	}
	v, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (i *instance) exec(tb testing.TB, sql string, args ...any) {
	tb.Helper()
	if _, err := i.sql.Exec(tb.Context(), sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}
