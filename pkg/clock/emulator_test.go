package clock_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
)

// emulator is the clock route alone, as the emulator documents it.
type emulator struct {
	mu       sync.Mutex
	real     time.Time
	emulated time.Time
	rate     float64
	revision int64
	changed  chan struct{}
	away     bool
}

func newEmulator(t *testing.T, at time.Time, rate float64) (*emulator, string) {
	t.Helper()
	e := &emulator{changed: make(chan struct{})}
	e.set(at, rate)
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return e, server.URL
}

func (e *emulator) set(at time.Time, rate float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.real, e.emulated, e.rate = time.Now(), at, rate
	e.revision++
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *emulator) now() time.Time {
	return e.emulated.Add(time.Duration(float64(time.Since(e.real)) * e.rate))
}

func (e *emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if after := r.URL.Query().Get("after"); after != "" {
		e.mu.Lock()
		known, changed := after == strconv.FormatInt(e.revision, 10), e.changed
		e.mu.Unlock()
		if known {
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone: nobody to tell
		"now": e.now(), "rate": e.rate, "revision": e.revision, "epoch": map[string]time.Time{"real": e.real, "emulated": e.emulated},
	})
}

func follow(t *testing.T, url string) *clock.Followed {
	t.Helper()
	f := clock.Follow(func() string { return url + "/" }, slog.New(slog.DiscardHandler))
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

var emulated = time.Date(2030, 5, 1, 8, 0, 0, 0, time.UTC)

// rings waits for an alarm.
func rings(t *testing.T, what string, rung <-chan struct{}) {
	t.Helper()
	select {
	case <-rung:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: no alarm", what)
	}
}

func TestAFollowedClockRunsAtTheEmulatorsRate(t *testing.T) {
	_, url := newEmulator(t, emulated, 36_000)
	f := follow(t, url)
	began := time.Now()
	rung, release := f.Alarm(emulated.Add(time.Hour))
	defer release()
	rings(t, "an hour in a tenth of a second", rung)
	took, now := time.Since(began), f.Now()
	if took > 5*time.Second || now.Before(emulated.Add(time.Hour)) {
		t.Errorf("rang after %s, at %s", took, now)
	}
	if now.Location() != time.UTC || now != now.Truncate(clock.Resolution) {
		t.Errorf("%s is not of a clock's kind", now)
	}
}

func TestAFollowedClockJumpsFreezesAndGoesOn(t *testing.T) {
	e, url := newEmulator(t, emulated, 0)
	f := follow(t, url)
	if !f.Now().Equal(emulated) {
		t.Fatalf("a frozen clock shows %s", f.Now())
	}
	month, release := f.Alarm(emulated.AddDate(0, 1, 0))
	defer release()
	released, free := f.Alarm(emulated.AddDate(0, 1, 0))
	free()
	free()
	year, alsoRelease := f.Alarm(emulated.AddDate(1, 0, 0))
	defer alsoRelease()
	e.set(emulated.AddDate(0, 2, 0), 0)
	rings(t, "a month that was jumped over", month)
	select {
	case <-year:
		t.Error("an alarm of next year rang")
	case <-released:
		t.Error("a released alarm rang")
	default:
	}
	if now := f.Now(); !now.Equal(emulated.AddDate(0, 2, 0)) {
		t.Errorf("shows %s", now)
	}
	e.set(emulated.AddDate(1, 0, 0).Add(-time.Hour), 36_000)
	rings(t, "a clock that goes on", year)
	past, _ := f.Alarm(emulated)
	select {
	case <-past:
	default:
		t.Error("a time that has passed is waited for")
	}
}

func TestAFollowedClockGoesOnWhileTheEmulatorIsAway(t *testing.T) {
	e, url := newEmulator(t, emulated, 36_000)
	f := follow(t, url)
	e.mu.Lock()
	e.away = true
	e.mu.Unlock()
	e.set(emulated, 36_000) // ends the question that is held
	rung, release := f.Alarm(emulated.Add(2 * time.Hour))
	defer release()
	rings(t, "without an emulator", rung)
	e.mu.Lock()
	e.away = false
	e.mu.Unlock()
	e.set(emulated.AddDate(5, 0, 0), 0)
	back, alsoRelease := f.Alarm(emulated.AddDate(4, 0, 0))
	defer alsoRelease()
	rings(t, "with the emulator back", back)
}

func TestAStartWithoutAnEmulatorFails(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no such route": http.NotFound,
		"no clock":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"rate":1}`) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := clock.Follow(func() string { return server.URL }, slog.New(slog.DiscardHandler)).Start(ctx); err == nil {
				t.Error("started")
			}
		})
	}
}

func TestTheEmulatorsClockIsRefusedWithGoogleItself(t *testing.T) {
	if err := (clock.Config{Mode: clock.ModeEmulator}).CheckAgainst(true); err != nil {
		t.Error(err)
	}
	if err := (clock.Config{Mode: clock.ModeEmulator}).CheckAgainst(false); err == nil {
		t.Error("accepted")
	}
	if err := (clock.Config{Mode: clock.ModeSystem}).CheckAgainst(false); err != nil {
		t.Error(err)
	}
}
