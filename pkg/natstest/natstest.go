// Package natstest gives each test a nats-server of its own, with JetStream, so that adapters are
// tested against the real thing and no test sees another's messages. Only tests may import it.
package natstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
)

const stopTimeout = 10 * time.Second

// New starts a server for this test alone: store in its temporary folder, in-process connections
// and a TCP listener on a free port of 127.0.0.1 ([embeddednats.Server.ClientURL]). It is stopped
// when the test and its subtests end, after the clean-ups registered later.
func New(tb testing.TB) *embeddednats.Server {
	tb.Helper()
	s, err := embeddednats.New(embeddednats.Config{
		Addr:     "127.0.0.1:0",
		StoreDir: tb.TempDir(), // removed after the clean-up below
	}, slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), stopTimeout)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Connect gives an in-process client of s, closed when the test ends.
func Connect(tb testing.TB, s *embeddednats.Server, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect("", append([]nats.Option{nats.InProcessServer(s)}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}
