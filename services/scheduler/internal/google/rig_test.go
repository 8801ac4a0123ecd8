package google_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const (
	boss  = "boss@example.com"
	admin = "admin@example.org"
	uid   = "0193a2b4-7c11-7d10-8c33-0a1b2c3d4e5f"
)

// rigNow is when the tests' clocks stand.
var rigNow = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// request is one call as it was on the wire.
type request struct {
	Method, Path, Query, IfMatch, Authorization string
	Body                                        []byte
}

// rig is an emulator on a real port, the real client, and the job over both.
type rig struct {
	*googlefake.Server
	url    string
	client *google.Client
	sync   *job.SyncMeeting
	log    *bytes.Buffer

	mu     sync.Mutex
	seen   []request
	before func(*http.Request) // nil: nothing is done before a request
}

type rigConfig struct {
	fake   googlefake.Config
	google google.Config
}

func newRig(t testing.TB, c rigConfig) *rig {
	t.Helper()
	if c.fake.Now == nil {
		c.fake.Now = func() time.Time { return rigNow }
	}
	fake, err := googlefake.New(c.fake)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: fake, log: new(bytes.Buffer)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		if err != nil {
			t.Error(err)
		}
		in.Body = io.NopCloser(bytes.NewReader(body))
		r.mu.Lock()
		r.seen = append(r.seen, request{in.Method, in.URL.Path, in.URL.RawQuery, in.Header.Get("If-Match"), in.Header.Get("Authorization"), body})
		before := r.before
		r.mu.Unlock()
		if before != nil {
			before(in)
		}
		fake.ServeHTTP(w, in)
	}))
	r.url = server.URL
	if c.google.Timeout == 0 {
		c.google.Timeout = 10 * time.Second
	}
	if c.google.CalendarID == "" {
		c.google.CalendarID = "primary"
	}
	if c.google.AdminEmail == "" && len(c.google.Domains) == 0 {
		c.google.Domains = []string{"example.com"}
	}
	c.google.Mode, c.google.EmulatorURL = google.ModeEmulator, server.URL
	logger := slog.New(slog.NewJSONHandler(&lockedWriter{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := google.New(c.google, true, quota.None{}, prometheus.NewRegistry(), logger)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		server.Close()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	r.client = client
	r.sync = job.NewSyncMeeting(client, client, quota.None{}, clock.NewManual(rigNow).Now, quick(), logger)
	return r
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// quick is the usual timing with pauses that a test need not wait for.
func quick() job.Timing {
	timing := job.DefaultTiming()
	timing.ConferencePolls = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	timing.SecondLook = time.Millisecond
	return timing
}

// requests are the calls since the last time, by method and path.
func (r *rig) requests(method, prefix string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.seen), func(q request) bool {
		return q.Method != method || len(q.Path) < len(prefix) || q.Path[:len(prefix)] != prefix
	})
}

// calls are the API calls, the token's and the key's apart.
func (r *rig) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, q := range r.seen {
		if q.Path != "/token" && q.Path != "/_emulator/service-account.json" {
			n++
		}
	}
	return n
}

func (r *rig) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

func (r *rig) state(t testing.TB) googlefake.State {
	t.Helper()
	s, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// live are the events that were not deleted.
func (r *rig) live(t testing.TB) []googlefake.StateEvent {
	t.Helper()
	return slices.DeleteFunc(r.state(t).Events, func(e googlefake.StateEvent) bool { return e.Status == "cancelled" })
}

func (r *rig) fault(t testing.TB, faults ...googlefake.Fault) {
	t.Helper()
	if err := r.AddFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

// wish is a meeting with two guests that wants nothing of its space.
func wish() job.Wish {
	return job.Wish{
		MeetingID: 7, MeetingUID: uid, Version: 1, Organizer: boss,
		Summary: "Consulta médica", Description: "Control de rutina", TimeZone: "America/Bogota",
		Start: time.Date(2026, 3, 3, 15, 0, 0, 123456000, time.UTC), End: time.Date(2026, 3, 3, 16, 0, 0, 0, time.UTC),
		Guests: []string{"ana@example.net", "luis@example.net"}, Calendar: true,
	}
}

// meetings plays the other side: it keeps what is reported and sends the row again while more is due.
type meetings struct {
	t        testing.TB
	r        *rig
	wish     job.Wish
	dispatch int64
	failed   int
}

func (r *rig) meetings(t testing.TB, w job.Wish) *meetings {
	t.Helper()
	return &meetings{t: t, r: r, wish: w}
}

// once sends the row once, as often as the message asks to come again, up to ten times.
func (m *meetings) once() job.Outcome {
	m.t.Helper()
	m.dispatch++
	for delivered := 1; delivered <= 10; delivered++ {
		v := m.r.sync.Do(m.t.Context(), m.wish, job.Attempt{Dispatch: m.dispatch, Failed: m.failed, Delivered: delivered})
		if v.Outcome == nil {
			continue
		}
		m.wish.Google = v.Outcome.Google
		m.wish.Generation = max(m.wish.Generation, v.Outcome.Generation)
		if v.Outcome.Failure != nil {
			m.failed++
		} else {
			m.failed = 0
		}
		return *v.Outcome
	}
	m.t.Fatal("the message came again for ever")
	return job.Outcome{}
}

// converge sends the row until Google agrees; a failure fails the test.
func (m *meetings) converge() job.Outcome {
	m.t.Helper()
	for range 6 {
		out := m.once()
		if out.Failure != nil {
			m.t.Fatalf("step %s failed: %v", out.Step, out.Failure)
		}
		if out.Complete {
			return out
		}
	}
	m.t.Fatal("the row was never done")
	return job.Outcome{}
}

// change raises the version and applies f.
func (m *meetings) change(f func(*job.Wish)) {
	m.wish.Version++
	f(&m.wish)
}

func told(t testing.TB, r *rig, eventID string) googlefake.Notification {
	t.Helper()
	for _, n := range r.state(t).Notifications {
		if n.EventID == eventID {
			return n
		}
	}
	return googlefake.Notification{}
}

// newClient is another client on the emulator at url.
func newClient(t testing.TB, url string, c google.Config) *google.Client {
	t.Helper()
	c.Mode, c.EmulatorURL, c.CalendarID, c.Timeout = google.ModeEmulator, url, "primary", 10*time.Second
	if len(c.Domains) == 0 {
		c.Domains = []string{"example.com"}
	}
	client, err := google.New(c, true, quota.None{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Stop(context.WithoutCancel(t.Context())) }) // it never fails
	return client
}
