package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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

// The client calls a connection closed that is only lost; a start took that for the end.
func TestAStartWaitsForAConnectionThatIsLostInTheMiddleOfIt(t *testing.T) {
	const patience = 20 * time.Second
	s := natstest.New(t)
	b := New(Config{Name: "test", Replicas: 1, Wait: patience, InProcess: s}, slog.New(slog.DiscardHandler))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	// That nothing is under way when the server stops can't be ruled out of one, but of eight.
	over := make(chan struct{})
	var starts sync.WaitGroup
	for range 8 {
		starts.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				if err := b.Subscribed(t.Context()); err != nil {
					t.Errorf("start %d: %v", n, err)
					return
				}
			}
		})
	}
	back := b.Reconnected()
	for range 3 {
		if err := errors.Join(s.Stop(t.Context()), s.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		<-back
	}
	close(over)
	starts.Wait()
}

func TestAStartEndsWithAConnectionThatIsClosed(t *testing.T) {
	b := New(Config{Name: "test", Replicas: 1, Wait: time.Hour, InProcess: natstest.New(t)}, slog.New(slog.DiscardHandler))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Subscribed(t.Context()); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("got %v", err)
	}
}
