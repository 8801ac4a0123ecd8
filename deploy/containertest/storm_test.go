//go:build container

package containertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// inFlight is how many callers create meetings at once.
	inFlight = 32
	// enough answers show that the stack works after what was done to it.
	enough = 200
	// longestPause bounds what a Retry-After asks for, so that a test gets on.
	longestPause = time.Second
)

// storm is callers who create meetings without a pause and keep what they were told.
type storm struct {
	client *client
	cancel context.CancelCauseFunc
	all    sync.WaitGroup
	stop   atomic.Bool
	prefix string

	mu       sync.Mutex       // guards what follows
	promises map[string]int64 // meeting by Idempotency-Key
	answers  map[string]int   // by status, and lost connections
	slowest  time.Duration    // create, from the first try to the answer, since it was last looked at
	failed   error
	waiting  []*wait
}

// wait is for answers to requests that began later than a time.
type wait struct {
	after time.Time
	left  int
	done  chan struct{}
}

// newStorm starts the callers. They end at stop or at the first answer that no caller should see.
func newStorm(ctx context.Context, c *client, prefix string) *storm {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &storm{client: c, cancel: cancel, prefix: prefix, promises: map[string]int64{}, answers: map[string]int{}}
	for caller := range inFlight {
		s.all.Go(func() {
			for n := 0; !s.stop.Load() && ctx.Err() == nil; n++ {
				if err := s.create(ctx, fmt.Sprintf("%s-%d-%d", prefix, caller, n), caller); err != nil {
					s.fail(err)
					return
				}
			}
		})
	}
	return s
}

func (s *storm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	s.cancel(err)
}

// create creates a meeting: again under the same key where no answer came or 503, which is all that a caller has to expect.
func (s *storm) create(ctx context.Context, key string, caller int) error {
	body := fmt.Sprintf(`{"organizer_email":"doctor%d@clinic.example","invited_emails":["patient@mail.example"],"external_reference":%q,"scheduled_start":"2027-03-01T15:00:00Z","auto_record":%t}`, caller%8, key, caller%4 == 0)
	begin := time.Now()
	for {
		a, err := s.client.send(ctx, http.MethodPost, "meetings/", body, "Idempotency-Key", key)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			s.count("lost connection")
		case a.status == http.StatusCreated || a.status == http.StatusAccepted:
			s.count(strconv.Itoa(a.status))
			return s.promised(key, a, begin)
		case a.status == http.StatusServiceUnavailable:
			s.count("503")
		default:
			return fmt.Errorf("create %s, %s after the first try: %s %v", key, time.Since(begin).Round(time.Millisecond), a, a.header)
		}
		pause := 100 * time.Millisecond
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil {
			pause = min(time.Duration(seconds)*time.Second, longestPause)
		} else if a.status == http.StatusServiceUnavailable {
			return fmt.Errorf("create %s: %s without Retry-After", key, a)
		}
		select {
		case <-time.After(pause): // as a client would wait
		case <-ctx.Done():
		}
	}
}

func (s *storm) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[what]++
}

func (s *storm) promised(key string, a answer, begin time.Time) error {
	var told struct {
		ID   int64  `json:"id"`
		Link string `json:"meet_link"`
	}
	if err := a.into(&told); err != nil {
		return err
	}
	if told.ID == 0 || a.status == http.StatusCreated && told.Link == "" {
		return fmt.Errorf("create %s: %s", key, a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promises[key] = told.ID
	s.slowest = max(s.slowest, time.Since(begin))
	s.waiting = slices.DeleteFunc(s.waiting, func(w *wait) bool {
		if begin.After(w.after) {
			w.left--
		}
		if w.left == 0 {
			close(w.done)
		}
		return w.left == 0
	})
	return nil
}

// answered returns once so many creates that began after this call are answered.
func (s *storm) answered(ctx context.Context, n int) error {
	w := &wait{time.Now(), n, make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no %d creates were answered within %s", n, patience))
	defer cancel()
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return nil
		case <-tick.C:
			if err := s.err(); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *storm) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// lookedAt gives the slowest create since the last look.
func (s *storm) lookedAt() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.slowest = 0 }()
	return s.slowest
}

// end lets every caller have his answer.
func (s *storm) end() error {
	s.stop.Store(true)
	s.all.Wait()
	s.cancel(nil)
	return s.failed
}

// testStorm leaves the stack running, with what was made in it.
func testStorm(t *testing.T, r *run) {
	s, c := r.running()
	s.environ = append(s.environ, "MEET_EMULATOR_CONTROL=True") // so that it tells what it has made
	s.up("--no-build")
	s.slowGoogle()
	before, err := c.meetings(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	load := newStorm(r.ctx, c, r.name)
	defer load.end() //nolint:errcheck // told below, and where the test gave up before, of no interest
	after := func(what string, do func()) {
		t.Helper()
		since := time.Now()
		do()
		took := time.Since(since)
		if err := load.answered(r.ctx, enough); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, s.tail())
		}
		r.note("under load: "+what, "", "%s", fmt.Sprintf("%.1f s, slowest create %.1f s", took.Seconds(), load.lookedAt().Seconds()))
	}
	scale := func(service string, n int) {
		t.Helper()
		after(fmt.Sprintf("%s to %d", service, n), func() {
			s.scale[service] = n
			s.up("--no-build", "--no-recreate")
		})
	}
	kill := func(service string) string {
		t.Helper()
		victim := s.containers(service)[0].ID
		r.docker("kill", "-s", "KILL", victim)
		return victim
	}
	after("nothing", func() {})
	scale("gateway", 2)
	balanced(s, load)
	scale("meetings", 3)
	scale("scheduler", 5)
	for _, service := range []string{"gateway", "meetings", "scheduler"} {
		var victim string
		after("kill -9 of one "+service+" of several", func() { victim = kill(service) })
		after("the "+service+" comes back", func() { r.docker("start", victim) })
	}
	for _, service := range []string{"gateway", "meetings", "scheduler"} {
		scale(service, 1)
	}
	for _, service := range []string{"gateway", "meetings", "scheduler", "nats", "db", "emulator", "front"} {
		after("kill -9 and up of the only "+service, func() {
			kill(service)
			// Without --wait, which gives up at who is not healthy for want of what was killed.
			s.compose(append([]string{"up", "-d", "--no-build", "--no-recreate"}, s.scales()...)...)
			if service == "emulator" { // which has forgotten it
				s.slowGoogle()
			}
		})
	}
	for _, service := range []string{"nats", "db"} {
		after("restart of "+service, func() { s.compose("restart", service) })
	}
	if err := load.end(); err != nil {
		t.Fatalf("%v\n%s", err, s.tail())
	}
	r.note("under load: meetings created", "", "%d in %s", len(load.promises), time.Since(begin).Round(time.Second))
	t.Logf("answers: %v", load.answers)
	s.healthy()
	begin = time.Now()
	s.atRest()
	r.note("under load: at rest after the last answer", "", "%s", time.Since(begin).Round(100*time.Millisecond))
	s.verify(c, before, load)
}

// balanced checks that every gateway answers a share of what is asked.
func balanced(s *stack, load *storm) {
	s.t.Helper()
	before := s.requests()
	if err := load.answered(s.ctx, 2*enough); err != nil {
		s.t.Fatal(err)
	}
	after, shares := s.requests(), []string(nil)
	all, least := 0.0, 0.0
	for id := range after {
		n := after[id] - before[id]
		if all == 0 || n < least {
			least = n
		}
		all += n
		shares = append(shares, strconv.Itoa(int(n)))
	}
	if len(after) != 2 || least < all/5 {
		s.t.Errorf("of %v requests the gateways answered %v", all, shares)
	}
	s.note("under load: two gateways answered", "", "%s", strings.Join(shares, " and "))
}

// requests are how many requests each gateway has answered.
func (s *stack) requests() map[string]float64 {
	s.t.Helper()
	counts := make(map[string]float64)
	for _, c := range s.containers("gateway") {
		address := c.NetworkSettings.Networks[s.project+"_bus"].IPAddress
		for line := range strings.SplitSeq(s.within("http://"+address+":9100/metrics"), "\n") {
			if name, value, _ := strings.Cut(line, " "); strings.HasPrefix(name, "meet_http_requests_total{") {
				n, err := strconv.ParseFloat(value, 64)
				if err != nil {
					s.t.Fatal(err)
				}
				counts[c.ID] += n
			}
		}
	}
	return counts
}

// slowGoogle makes Google take its usual time to make an event, so that the callers wait and are not as many as the machine can do.
func (s *stack) slowGoogle() {
	s.t.Helper()
	s.until(patience, "the emulator listens", func(context.Context) (bool, error) {
		_, err := s.try("exec", "-T", "nats", "wget", "-qO-", "--header", "Content-Type: application/json", "--post-data", `[{"match":"POST /calendar/v3/","latency":"250ms"}]`, "http://emulator:8090/_emulator/faults")
		return err == nil, err
	})
}

// within reads a page that is not published. NATS is on the network of all programs, and its image has a wget.
func (s *stack) within(url string) string {
	s.t.Helper()
	return s.compose("exec", "-T", "nats", "wget", "-qO-", url)
}

// healthy returns once all services are.
func (s *stack) healthy() {
	s.t.Helper()
	s.until(patience, "healthy", func(context.Context) (bool, error) {
		for _, c := range s.containers("") {
			if c.State.Health.Status != "healthy" {
				return false, fmt.Errorf("%s is %s", c.service(), c.State.Health.Status)
			}
		}
		return true, nil
	})
}

// sql asks the stack's database.
func (s *stack) sql(query string) (string, error) {
	out, err := s.try("exec", "-T", "db", "sh", "-c", `psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -Atc "$1"`, "-", query)
	return strings.TrimSpace(out), err
}

// atRest returns once no job is due or under way and all events are numbered and published.
func (s *stack) atRest() {
	s.t.Helper()
	var left string
	s.until(3*time.Minute, "at rest", func(context.Context) (bool, error) {
		var err error
		left, err = s.sql(`SELECT (SELECT count(*) FROM jobs WHERE state = 'out' OR state = 'due' AND (class = 'google' OR due_at <= now()))
			+ (SELECT count(*) FROM events WHERE seq IS NULL) + (SELECT last_seq - published_seq FROM relay)`)
		if err == nil && left != "0" {
			err = errors.New(left + " jobs and events are left")
		}
		return left == "0", err
	})
}

// verify checks that every answer was true and that nothing else is there.
func (s *stack) verify(c *client, before []meeting, load *storm) {
	s.t.Helper()
	found, err := c.meetings(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	there, doubled := make(map[int64]meeting, len(found)), 0
	for _, m := range found {
		if _, ok := there[m.ID]; ok {
			doubled++
		}
		there[m.ID] = m
	}
	for _, m := range before {
		if _, ok := there[m.ID]; !ok {
			s.t.Errorf("meeting %d of before is gone", m.ID)
		}
	}
	keys := make(map[int64]string, len(load.promises))
	for _, key := range slices.Sorted(maps.Keys(load.promises)) {
		id := load.promises[key]
		if other, ok := keys[id]; ok {
			s.t.Errorf("%s and %s were both told of meeting %d", key, other, id)
		}
		keys[id] = key
		if m, ok := there[id]; !ok || m.Link == "" || m.GoogleEventID == "" {
			s.t.Errorf("meeting %d, promised under %s, is %+v (there: %v)", id, key, m, ok)
		}
	}
	if want := len(before) + len(load.promises); len(found) != want || doubled > 0 {
		s.t.Errorf("there are %d meetings, %d of them listed twice; promised were %d", len(found), doubled, want)
	}
	references, err := s.sql(`SELECT count(*) || ' ' || count(DISTINCT external_reference) FROM meetings WHERE external_reference LIKE '` + load.prefix + `-%'`)
	if want := fmt.Sprintf("%d %d", len(load.promises), len(load.promises)); err != nil || references != want {
		s.t.Errorf("meetings and their references: %s (%v), want %s", references, err, want)
	}
	numbers, err := s.sql("SELECT count(*) || ' ' || coalesce(max(seq), 0) || ' ' || count(DISTINCT seq) FROM events")
	if n := strings.Fields(numbers); err != nil || len(n) != 3 || n[0] != n[1] || n[0] != n[2] {
		s.t.Errorf("events, their last number, and how many numbers: %s (%v), want the same thrice", numbers, err)
	}
	s.verifyGoogle(there)
}

// verifyGoogle checks that each meeting has the one event that it names, and that there are no others.
func (s *stack) verifyGoogle(there map[int64]meeting) {
	s.t.Helper()
	var state struct {
		Events []struct{ ID, Status, HangoutLink string }
	}
	s.decode(s.within("http://emulator:8090/_emulator/state?only=events"), &state)
	events := make(map[string]string, len(state.Events)) // links by id
	for _, e := range state.Events {
		if _, ok := events[e.ID]; ok {
			s.t.Errorf("Google has event %s twice", e.ID)
		}
		events[e.ID] = e.HangoutLink
	}
	for _, m := range there {
		if link, ok := events[m.GoogleEventID]; !ok || link != m.Link {
			s.t.Errorf("meeting %d has the link %s; its event %s at Google (there: %v) has %s", m.ID, m.Link, m.GoogleEventID, ok, link)
		}
	}
	if len(events) != len(there) {
		s.t.Errorf("Google has %d events of %d meetings", len(events), len(there))
	}
}
