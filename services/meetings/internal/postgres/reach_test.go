package postgres

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

func TestAReadWithoutADatabaseMayBeRepeated(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil { // nobody listens there now
		t.Fatal(err)
	}
	s := NewStore(Config{DatabaseURL: config.Secret("postgres://meet@" + ln.Addr().String() + "/meet"), MaxConns: 2}, slog.New(slog.DiscardHandler))
	if s.pool, err = s.open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s.lists, err = s.open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(context.WithoutCancel(t.Context())) }()
	for name, read := range map[string]func() error{
		"a pipeline": func() error { _, err := s.MeetingDetail(t.Context(), meeting.Ref{ID: 1}); return err },
		"a row":      func() error { _, err := s.User(t.Context(), 1, true); return err },
		"rows": func() error {
			_, err := s.ListMeetings(t.Context(), app.MeetingFilter{Page: app.Page{Limit: 1}})
			return err
		},
	} {
		if err := read(); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyALostDatabaseIsUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		lost bool
	}{
		"starting up":      {&pgconn.PgError{Code: "57P03"}, true},
		"shutting down":    {fmt.Errorf("read: %w", &pgconn.PgError{Code: "57P01"}), true},
		"cut off":          {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"stopping":         {context.Canceled, true},
		"no row":           {pgx.ErrNoRows, false},
		"a wrong column":   {&pgconn.PgError{Code: "42703"}, false},
		"a slow statement": {&pgconn.PgError{Code: "57014"}, false},
	} {
		if got := fault.KindOf(reach(c.err)) == fault.Unavailable; got != c.lost {
			t.Errorf("%s: unreachable %v", name, got)
		}
	}
	if reach(nil) != nil {
		t.Error("no error became one")
	}
}
