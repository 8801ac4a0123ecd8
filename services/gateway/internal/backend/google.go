package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// The APIs of Google that a create needs, as schedulers name them.
const (
	apiCalendar = "calendar"
	apiMeet     = "meet"
)

// googleMemory is how long what a scheduler said of Google is believed: three times as long as it takes to be said again. A
// gateway that hears nothing waits for Google as ever.
const googleMemory = 6 * time.Second

// googleState is which of Google's APIs are down, as the schedulers say.
type googleState struct {
	now func() time.Time // real time: it is about how old messages are

	mu   sync.Mutex
	down map[string]time.Time // by API: when it was last said
	// fell is closed, and replaced, when an API goes down.
	fell chan struct{}
}

func newGoogleState(now func() time.Time) *googleState {
	return &googleState{now: now, down: make(map[string]time.Time), fell: make(chan struct{})}
}

func (g *googleState) hear(msg *nats.Msg) {
	var s subject.GoogleAPIState
	if json.Unmarshal(msg.Data, &s) != nil || s.API == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.State == "closed" {
		delete(g.down, s.API)
		return
	}
	was := g.isDown(s.API)
	g.down[s.API] = g.now()
	if !was {
		close(g.fell)
		g.fell = make(chan struct{})
	}
}

func (g *googleState) isDown(api string) bool {
	said, known := g.down[api]
	return known && g.now().Sub(said) < googleMemory
}

// is tells whether the API is down, and gives the channel that is closed when the next one goes down.
func (g *googleState) is(api string) (down bool, fell <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.isDown(api), g.fell
}

// any tells whether some API is down.
func (g *googleState) any() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for api := range g.down {
		if g.isDown(api) {
			return true
		}
	}
	return false
}

// Start begins to hear how Google is doing. It ends with the bus.
func (b *Backend) Start(ctx context.Context) error {
	if _, err := b.bus.Conn().Subscribe(subject.GoogleState, b.google.hear); err != nil {
		return fmt.Errorf("subscribe to google's state: %w", err)
	}
	return b.bus.Subscribed(ctx)
}
