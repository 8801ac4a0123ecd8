package bus

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/natstest"
)

func TestAReconnectDuringTheStartIsSeenToAfterIt(t *testing.T) {
	const patience = 20 * time.Second
	b := New(Config{Name: "test", Replicas: 1, Wait: patience, InProcess: natstest.New(t)}, slog.New(slog.DiscardHandler))
	told := b.Reconnected()
	b.onReconnect() // as the client does, on a goroutine of its own, when the server goes away and comes back early on
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-told:
	case <-time.After(patience):
		t.Error("who asked to be told of reconnects was not told")
	}
}
