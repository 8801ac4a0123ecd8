package quota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

const (
	stateSubject = subject.GoogleState
	// sayEvery is how often, in real time, it is said again that an API is down, for those who have started since.
	sayEvery = 2 * time.Second

	// openAfter failures in a row of all schedulers together an API is down.
	openAfter = 8
	// firstPause is how long it is not asked then; it doubles with each try that fails, up to longPause.
	firstPause = 5 * time.Second
	longPause  = time.Minute
	// probePatience is how long the one call may take that tries it, before another one is let through.
	probePatience = 90 * time.Second
	// probePause is when others come again while it is tried.
	probePause = 2 * time.Second
)

// State of a breaker; the zero value is closed.
type state string

const (
	closed   state = ""
	open     state = "open"
	halfOpen state = "half_open"
)

func (s state) name() string {
	if s == closed {
		return "closed"
	}
	return string(s)
}

// health is the shared record of an API.
type health struct {
	State    state         `json:"state,omitempty"`
	Failures int           `json:"failures,omitempty"` // in a row
	Since    time.Time     `json:"since,omitzero"`     // when it went down
	Until    time.Time     `json:"until,omitzero"`     // when it is tried, or when the try is over
	Pause    time.Duration `json:"pause,omitempty"`    // of the last opening
	Probe    int           `json:"probe,omitempty"`    // number of the try
}

// breaker stops asking an API that has failed openAfter times in a row, whoever asked; then one call at a time tries it. All
// schedulers have the same state, give or take a message; while NATS is away each goes on with its own.
type breaker struct {
	api   API
	key   string
	store *store
	bus   *bus.Bus
	now   clock.Clock
	log   *slog.Logger

	turn chan struct{} // held while the record is changed
	mu   sync.Mutex
	last bus.Record[health]
}

// probe is the call that tries an API.
type probe struct {
	breaker *breaker
	number  int
}

func newBreaker(api API, s *store, b *bus.Bus, now clock.Clock, log *slog.Logger) *breaker {
	return &breaker{api: api, key: "breaker." + string(api), store: s, bus: b, now: now, log: log, turn: make(chan struct{}, 1)}
}

func (b *breaker) seen() health {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.Value
}

// change runs fn on the shared record, or, where NATS does not answer, on what is known here.
func (b *breaker) change(ctx context.Context, fn func(*health) bool) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.mu.Lock()
	last := b.last
	b.mu.Unlock()
	before := last.Value
	wrote := false
	if err := change(ctx, b.store, b.key, &last, func(h *health) bool {
		before = *h
		wrote = fn(h)
		return wrote
	}); err != nil {
		b.log.WarnContext(ctx, "state of google was not shared", "api", string(b.api), "error", err)
		last.Value = before
		wrote = fn(&last.Value)
	}
	b.mu.Lock()
	if last.Revision >= b.last.Revision || wrote { // else more was heard meanwhile
		b.last = last
	}
	b.mu.Unlock()
	if !wrote {
		return
	}
	b.say(ctx, last)
	switch {
	case before.State == last.Value.State:
	case last.Value.State == open && before.State == closed:
		b.log.ErrorContext(ctx, "google is down and is not asked", "api", string(b.api), "failures", last.Value.Failures, "until", last.Value.Until)
	case last.Value.State == closed:
		b.log.InfoContext(ctx, "google is back", "api", string(b.api), "since", before.Since)
	}
}

// allow tells that the API may be asked, by the probe where there is one; else when to come again.
func (b *breaker) allow(ctx context.Context) (p *probe, later time.Duration) {
	h := b.seen()
	if h.State == closed {
		return nil, 0
	}
	now := b.now()
	if h.Until.After(now) {
		return nil, h.later(now)
	}
	b.change(ctx, func(h *health) bool {
		p, later = nil, 0
		switch {
		case h.State == closed:
			return false
		case h.Until.After(now):
			later = h.later(now)
			return false
		}
		h.State, h.Until, h.Probe = halfOpen, now.Add(probePatience), h.Probe+1
		p = &probe{b, h.Probe}
		return true
	})
	return p, later
}

// later is when to come again: at random in the pause after the next try, so that what waits does not come at once.
func (h health) later(now time.Time) time.Duration {
	if h.State == halfOpen {
		return probePause + rand.N(probePause) //nolint:gosec // spreads tries
	}
	return h.Until.Sub(now) + rand.N(max(h.Pause/2, time.Second)) //nolint:gosec // spreads tries
}

// report takes how a call ended that began at begun; p is the probe that it was, if it was one.
func (b *breaker) report(ctx context.Context, p *probe, answered bool, begun time.Time) {
	if h := b.seen(); p == nil && answered && (h.Failures == 0 || h.State != closed) {
		return // the usual case costs nothing
	}
	now := b.now()
	b.change(ctx, func(h *health) bool {
		if p != nil && (h.State != halfOpen || h.Probe != p.number) || p == nil && h.State != closed {
			return false // of another time
		}
		switch {
		case answered:
			if p == nil && h.Failures == 0 {
				return false
			}
			*h = health{Probe: h.Probe}
		case p == nil && h.Failures+1 < openAfter:
			h.Failures++
		default:
			h.Failures++
			if h.State == closed {
				h.Since, h.Pause = begun, firstPause/2
			}
			h.State, h.Pause = open, min(2*h.Pause, longPause)
			h.Until = now.Add(h.Pause)
		}
		return true
	})
}

// unused lets another call try the API.
func (p *probe) unused(ctx context.Context) {
	now := p.breaker.now()
	p.breaker.change(ctx, func(h *health) bool {
		if h.State != halfOpen || h.Probe != p.number {
			return false
		}
		h.State, h.Until = open, now
		return true
	})
}

// message is what is said of an API: what others may know, and what schedulers need to go on from it.
type message struct {
	subject.GoogleAPIState
	Pause    time.Duration `json:"pause,omitempty"`
	Probe    int           `json:"probe,omitempty"`
	Revision uint64        `json:"revision"` // of the record
}

func (b *breaker) say(ctx context.Context, k bus.Record[health]) {
	h := k.Value
	body, err := json.Marshal(message{
		GoogleAPIState: subject.GoogleAPIState{API: string(b.api), State: h.State.name(), Failures: h.Failures, Since: h.Since, Until: h.Until},
		Pause:          h.Pause, Probe: h.Probe, Revision: k.Revision,
	})
	if err == nil {
		err = b.bus.Conn().Publish(stateSubject, body)
	}
	if err != nil {
		b.log.DebugContext(ctx, "state of google was not told", "api", string(b.api), "error", err)
	}
}

func (b *breaker) repeat(ctx context.Context) {
	b.mu.Lock()
	last := b.last
	b.mu.Unlock()
	if last.Value.State != closed {
		b.say(ctx, last)
	}
}

// hear takes what another scheduler says, unless more is known here.
func (l *Limiter) hear(msg *nats.Msg) {
	var m message
	if json.Unmarshal(msg.Data, &m) != nil {
		return
	}
	b := l.breakers[API(m.API)]
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Revision <= b.last.Revision {
		return
	}
	h := health{Failures: m.Failures, Since: m.Since, Until: m.Until, Pause: m.Pause, Probe: m.Probe}
	if m.State == open.name() || m.State == halfOpen.name() {
		h.State = state(m.State)
	}
	b.last = bus.Record[health]{Value: h, Revision: m.Revision}
}

func (b *breaker) level() float64 {
	switch b.seen().State {
	case open:
		return 2
	case halfOpen:
		return 1
	case closed:
	}
	return 0
}

// Check is a readiness check: degraded while an API of Google is down. Nothing is lost then, only later.
func (l *Limiter) Check(context.Context) error {
	var down []string
	for api, b := range l.breakers {
		if h := b.seen(); h.State != closed {
			down = append(down, fmt.Sprintf("%s since %s", api, h.Since.Format(time.RFC3339)))
		}
	}
	if len(down) == 0 {
		return nil
	}
	slices.Sort(down)
	return httpserver.Degraded(errors.New("not answering: " + strings.Join(down, ", ")))
}
