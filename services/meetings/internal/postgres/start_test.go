package postgres

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
)

// cutting passes connections on to a database and cuts the n-th one off in the middle of its first answer.
func cutting(t *testing.T, database string, n int64) string {
	t.Helper()
	target, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() }) // ends the loop below
	var count atomic.Int64
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), "tcp", target.Host)
			if err != nil {
				_ = client.Close() // as a database that is away
				continue
			}
			cut := count.Add(1) == n
			go func() {
				_, _ = io.Copy(server, client) // until either side ends
				_ = server.Close()
			}()
			go func() {
				if cut {
					_, _ = io.CopyN(client, server, 600) // past the log-in, into the first answers
				} else {
					_, _ = io.Copy(client, server)
				}
				_ = client.Close()
				_ = server.Close()
			}()
		}
	}()
	through := *target
	through.Host = ln.Addr().String()
	return through.String()
}

func TestAStartSurvivesADatabaseThatGoesAwayDuringTheMigrations(t *testing.T) {
	const migrations = 2 // the first connection is that of the wait
	s := NewStore(Config{DatabaseURL: config.Secret(cutting(t, pgtest.New(t, nil), migrations)), MaxConns: 2, Wait: 20 * time.Second}, slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(context.WithoutCancel(t.Context())) }()
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
