package quota_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/timetest"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const boss = "boss@example.com"

var begin = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// google are Google's limits.
func google() quota.Config {
	return quota.Config{
		Mode: quota.ModeOn, CalendarProject: 10000, CalendarUser: 600, MeetReadProject: 6000, MeetReadUser: 600,
		MeetWriteProject: 1000, MeetWriteUser: 100, MeetCreateProject: 100, MeetCreateUser: 10,
		DriveProject: 12000, DriveUser: 12000, EventsReadProject: 600, EventsReadUser: 100, EventsWriteProject: 600, EventsWriteUser: 100,
		DirectoryProject: 2400, DirectoryUser: 2400,
	}
}

type rig struct {
	server *embeddednats.Server
	clock  *clock.Manual
	// metrics are those of each limiter, in the order they were made.
	metrics []*prometheus.Registry
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return &rig{server: natstest.New(t), clock: clock.NewManual(begin)}
}

// limiter is one scheduler's, connected and running.
func (r *rig) limiter(t *testing.T, c quota.Config) (*quota.Limiter, *bus.Bus) {
	t.Helper()
	return r.on(t, c, r.clock.Now, r.clock.Alarm)
}

func (r *rig) on(t *testing.T, c quota.Config, now clock.Clock, alarm clock.Alarm) (*quota.Limiter, *bus.Bus) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	b := bus.New(bus.Config{Name: "scheduler", Replicas: 1, Wait: 10 * time.Second, InProcess: r.server}, log)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	r.metrics = append(r.metrics, metrics)
	l, err := quota.New(c, true, b, now, alarm, metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := b.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return l, b
}

func calls(urgent bool, organizer string, classes ...job.Class) job.Demand {
	return job.Demand{Organizer: organizer, Urgent: urgent, Calls: classes}
}

// deferred is the failure that err must be.
func deferred(t *testing.T, err error) *job.Failure {
	t.Helper()
	var f *job.Failure
	if !errors.As(err, &f) || f.Kind != job.Deferred || f.After <= 0 {
		t.Fatalf("got %v, want to be put off", err)
	}
	return f
}

// simulation is a clock that jumps to the next alarm once everybody sleeps.
type simulation struct {
	mu       sync.Mutex
	changed  *sync.Cond
	now      time.Time
	sleepers map[*sleeper]struct{}
}

type sleeper struct {
	at   time.Time
	rung chan struct{}
}

func newSimulation() *simulation {
	s := &simulation{now: begin, sleepers: make(map[*sleeper]struct{})}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *simulation) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *simulation) Alarm(at time.Time) (<-chan struct{}, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &sleeper{at, make(chan struct{})}
	if !at.After(s.now) {
		close(one.rung)
		return one.rung, func() {}
	}
	s.sleepers[one] = struct{}{}
	s.changed.Broadcast()
	return one.rung, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sleepers, one)
	}
}

// run lets n bodies run beside each other until all have ended.
func (s *simulation) run(n int, body func(i int)) {
	left := n
	for i := range n {
		go func() {
			body(i)
			s.mu.Lock()
			defer s.mu.Unlock()
			left--
			s.changed.Broadcast()
		}()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for left > 0 {
		if len(s.sleepers) < left {
			s.changed.Wait()
			continue
		}
		for one := range s.sleepers {
			if next := one.at; s.now.Before(next) && s.earliest(next) {
				s.now = next
				break
			}
		}
		for one := range s.sleepers {
			if !one.at.After(s.now) {
				close(one.rung)
				delete(s.sleepers, one)
			}
		}
	}
}

func (s *simulation) earliest(at time.Time) bool {
	for one := range s.sleepers {
		if one.at.Before(at) {
			return false
		}
	}
	return true
}

// crowd is callers of several schedulers that all want the same, and come again when they are told to.
type crowd struct {
	mu       sync.Mutex
	granted  []time.Time
	users    map[string][]time.Time
	deferred int
}

// run has n calls of class made, spread over limiters and organizers. It gives how long they took.
func (c *crowd) run(t *testing.T, clock *simulation, limiters []*quota.Limiter, n int, organizers []string, class job.Class) time.Duration {
	t.Helper()
	c.users = make(map[string][]time.Time)
	started := clock.Now()
	clock.run(n, func(i int) {
		for organizer := organizers[i%len(organizers)]; ; {
			at := limiters[rand.N(len(limiters))] // whoever takes the job
			_, release, err := at.Reserve(t.Context(), calls(i%3 == 0, organizer, class))
			now := clock.Now()
			if err == nil {
				release()
				c.mu.Lock()
				defer c.mu.Unlock()
				c.granted = append(c.granted, now)
				c.users[organizer] = append(c.users[organizer], now)
				return
			}
			var f *job.Failure
			if !errors.As(err, &f) || f.Kind != job.Deferred {
				t.Errorf("got %v, want to be put off", err)
				return
			}
			c.mu.Lock()
			c.deferred++
			c.mu.Unlock()
			rung, _ := clock.Alarm(now.Add(f.After))
			<-rung
		}
	})
	return clock.Now().Sub(started)
}

// busiest is the most calls that any minute has.
func busiest(times []time.Time) int {
	times = slices.SortedFunc(slices.Values(times), time.Time.Compare)
	most, first := 0, 0
	for i, at := range times {
		for !times[first].After(at.Add(-time.Minute)) {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestNoMinuteHasMoreCallsThanTheBudgetHoweverManySchedulersThereAre(t *testing.T) {
	for _, c := range []struct {
		name                     string
		schedulers, n, people    int
		class                    job.Class
		project, user            int
		budgetProject, budgetOwn int
	}{
		{"the project's share is the narrow one", 3, 150, 40, job.ClassMeetWrite, 100, 100, 80, 80},
		{"an organizer's share is the narrow one", 3, 60, 1, job.ClassMeetWrite, 1000, 25, 800, 20},
		{"both", 5, 720, 3, job.ClassMeetWrite, 600, 200, 480, 160},
	} {
		t.Run(c.name, func(t *testing.T) {
			timetest.Rounds(t, func(round *timetest.Round) {
				t := round.T
				r, clock := newRig(t), newSimulation()
				config := google()
				config.MeetWriteProject, config.MeetWriteUser = c.project, c.user
				var limiters []*quota.Limiter
				for range c.schedulers {
					l, _ := r.on(t, config, clock.Now, clock.Alarm)
					limiters = append(limiters, l)
				}
				var people []string
				for i := range c.people {
					people = append(people, fmt.Sprintf("user%d@example.com", i))
				}
				crowd := new(crowd)
				took := crowd.run(t, clock, limiters, c.n, people, c.class)
				if most := busiest(crowd.granted); most > c.budgetProject {
					t.Errorf("a minute has %d calls, want at most %d", most, c.budgetProject)
				}
				for who, times := range crowd.users {
					if most := busiest(times); most > c.budgetOwn {
						t.Errorf("a minute of %s has %d calls, want at most %d", who, most, c.budgetOwn)
					}
				}
				best := float64(c.n) / float64(min(c.budgetProject, c.people*c.budgetOwn)) * 60
				t.Logf("%d calls took %.1f s, the budget allows %.1f s; put off %d times; busiest minute %d", c.n, took.Seconds(), best, crowd.deferred, busiest(crowd.granted))
				// Who asks for a slot when depends on the machine: 1 to 7 % are lost.
				if took.Seconds() > 1.15*best {
					round.Latef("took %.1f s, the budget allows %.1f s", took.Seconds(), best)
				}
			})
		})
	}
}

func TestACallThatNobodyIsBeforeDoesNotWait(t *testing.T) {
	r := newRig(t)
	l, _ := r.limiter(t, google())
	for i := range 8 {
		_, release, err := l.Reserve(t.Context(), calls(true, boss, job.ClassCalendar))
		if err != nil {
			t.Fatalf("call %d: %v", i, err) // the clock stands: a wait would never end
		}
		release()
	}
}

func TestUrgentCallsGoBeforeTheOthers(t *testing.T) {
	r := newRig(t)
	l, _ := r.limiter(t, google())
	// Slots of a class of 8 a minute lie 7.65 s apart, so the second one is out of reach of everybody.
	if _, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate)); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(4900 * time.Millisecond) // 1.55 s before the next slot
	// One in eight of the others goes along with the urgent ones, at random, and takes the slot: the lot falls on none of
	// these with calls that are put off.
	granted := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, _, err := l.Reserve(ctx, calls(true, boss, job.ClassMeetCreate))
		granted <- err
	}()
	for {
		if _, waiting := r.clock.Next(); waiting {
			break
		}
		select {
		case err := <-granted:
			t.Fatalf("got %v, want to wait for the slot that is near", err)
		default:
		}
	}
	_, _, err := l.Reserve(t.Context(), calls(false, boss, job.ClassMeetCreate))
	_ = deferred(t, err)
	r.clock.Advance(2 * time.Second)
	if err := <-granted; err != nil {
		t.Fatal(err)
	}
}

func TestARefusalHalvesTheBudgetForAMinuteForAllSchedulers(t *testing.T) {
	r := newRig(t)
	one, _ := r.limiter(t, google())
	other, _ := r.limiter(t, google())
	done, err := one.Begin(t.Context(), boss, job.ClassMeetWrite)
	if err != nil {
		t.Fatal(err)
	}
	done(t.Context(), true, &quota.Refusal{Own: true})
	slow := grants(t, r, other, time.Minute)
	r.clock.Advance(time.Minute)
	usual := grants(t, r, other, time.Minute)
	if slow < 36 || slow > 42 || usual < 74 || usual > 80 {
		t.Errorf("%d calls in the minute after the refusal and %d in one later, want about 40 and 78", slow, usual)
	}
	if _, _, err := other.Reserve(t.Context(), calls(true, "else@example.com", job.ClassMeetWrite)); err != nil {
		t.Errorf("somebody else's call: %v", err)
	}
}

// grants counts the calls that one organizer may make in d.
func grants(t *testing.T, r *rig, l *quota.Limiter, d time.Duration) int {
	t.Helper()
	n := 0
	for end := r.clock.Now().Add(d); r.clock.Now().Before(end); {
		answer := make(chan error, 1)
		go func() {
			_, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassMeetWrite))
			answer <- err
		}()
		for waiting := true; waiting; {
			select {
			case err := <-answer:
				waiting = false
				if err != nil {
					r.clock.Advance(deferred(t, err).After)
				} else if r.clock.Now().Before(end) {
					n++
				}
			default:
				if next, asleep := r.clock.Next(); asleep {
					r.clock.Set(next)
				}
			}
		}
	}
	return n
}

func TestRetryAfterAndLimitsAgainstAbuseStopWhatTheyAreAbout(t *testing.T) {
	for name, c := range map[string]struct {
		refusal    quota.Refusal
		atLeast    time.Duration
		othersWait bool
		stillAt    time.Duration
		overAt     time.Duration
	}{
		"Retry-After of the project stops everybody": {refusal: quota.Refusal{After: 30 * time.Second}, atLeast: 28 * time.Second, othersWait: true, stillAt: 27 * time.Second, overAt: 31 * time.Second},
		"Retry-After of a user stops him alone":      {refusal: quota.Refusal{Own: true, After: 30 * time.Second}, atLeast: 28 * time.Second, stillAt: 27 * time.Second, overAt: 31 * time.Second},
		"limits against abuse park him for an hour":  {refusal: quota.Refusal{Abuse: true}, atLeast: 59 * time.Minute, stillAt: 59 * time.Minute, overAt: 61 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			one, _ := r.limiter(t, google())
			other, _ := r.limiter(t, google())
			done, err := one.Begin(t.Context(), boss, job.ClassCalendar)
			if err != nil {
				t.Fatal(err)
			}
			done(t.Context(), true, &c.refusal)
			_, _, err = other.Reserve(t.Context(), calls(true, boss, job.ClassCalendar))
			if f := deferred(t, err); f.After < c.atLeast {
				t.Errorf("put off by %s, want at least %s", f.After, c.atLeast)
			}
			if _, _, err := other.Reserve(t.Context(), calls(true, "else@example.com", job.ClassCalendar)); (err != nil) != c.othersWait {
				t.Errorf("somebody else's call: %v", err)
			}
			r.clock.Advance(c.stillAt)
			if _, _, err := other.Reserve(t.Context(), calls(true, boss, job.ClassCalendar)); err == nil {
				t.Errorf("asked again after %s", c.stillAt)
			}
			r.clock.Advance(c.overAt - c.stillAt)
			if _, _, err := other.Reserve(t.Context(), calls(true, boss, job.ClassCalendar)); err != nil {
				t.Errorf("after %s: %v", c.overAt, err)
			}
		})
	}
}

func TestQuotasGoOnAfterTheStoreWasLost(t *testing.T) {
	r := newRig(t)
	one, b := r.limiter(t, google())
	other, _ := r.limiter(t, google())
	for _, l := range []*quota.Limiter{one, other} {
		if _, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate)); err == nil {
			continue
		}
		if l == one {
			t.Fatal("the first call was put off")
		}
	}
	if err := b.JetStream().DeleteKeyValue(t.Context(), subject.BucketQuota); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(10 * time.Second)
	if _, _, err := one.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate)); err != nil {
		t.Fatal(err)
	}
	// What one has just counted, another may count once more: the records of the new store look like those of the old.
	_, _, first := other.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate))
	_, _, second := other.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate))
	_ = deferred(t, errors.Join(first, second))
	kv, err := b.JetStream().KeyValue(t.Context(), subject.BucketQuota)
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info := status.(*jetstream.KeyValueBucketStatus).StreamInfo(); info.Config.Storage != jetstream.MemoryStorage || info.Config.MaxAge == 0 {
		t.Errorf("storage %s, kept for %s: want memory and an end", info.Config.Storage, info.Config.MaxAge)
	}
}

func TestWithoutNATSJobsArePutOffAndNotCounted(t *testing.T) {
	r := newRig(t)
	l, b := r.limiter(t, google())
	b.Conn().Close()
	_, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassCalendar))
	if f := deferred(t, err); f.After > 5*time.Second {
		t.Errorf("put off by %s, want moments", f.After)
	}
}

func TestASwitchedOffLimiterLimitsNothing(t *testing.T) {
	r := newRig(t)
	config := google()
	config.Mode = ""
	l, _ := r.limiter(t, config) // with the emulator
	for range 500 {
		if _, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAReservedCallIsNotCountedTwice(t *testing.T) {
	r := newRig(t)
	l, _ := r.limiter(t, google())
	ctx, release, err := l.Reserve(t.Context(), calls(true, boss, job.ClassMeetCreate))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := l.Begin(ctx, boss, job.ClassMeetCreate); err != nil {
		t.Fatalf("the call that was reserved: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.Begin(ctx, boss, job.ClassMeetCreate) // waits for its slot, 6.45 s on
		ended <- err
	}()
	for {
		if next, waiting := r.clock.Next(); waiting {
			if wait := next.Sub(begin); wait < 6*time.Second {
				t.Errorf("the call that was not reserved waits %s", wait)
			}
			r.clock.Set(next)
			break
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// gauge is a metric of one class.
func gauge(t *testing.T, from *prometheus.Registry, name string, class job.Class) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == string(class) {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %s", name, class)
	return 0
}

func TestEveryInstanceShowsWhatIsLeftOfAMinutesBudget(t *testing.T) {
	r := newRig(t)
	l, _ := r.limiter(t, google())
	r.limiter(t, google())
	const left, budget = "meet_google_quota_left", "meet_google_quota_budget"
	for range 10 { // a call at a time: each leases one slot
		if _, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassMeetWrite)); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(time.Second)
	}
	idle := r.metrics[1] // of the other one, which made no call
	if got := gauge(t, idle, budget, job.ClassMeetWrite); got != 800 {
		t.Errorf("budget %v", got)
	}
	taken := 800 - gauge(t, idle, left, job.ClassMeetWrite)
	if taken < 10 || taken > 40 {
		t.Errorf("%v of the budget are gone after ten calls", taken)
	}
	if got := gauge(t, idle, left, job.ClassCalendar); got != 8000 {
		t.Errorf("%v of the budget of a class are left that nobody used", got)
	}
	r.clock.Advance(2 * time.Minute)
	if got := gauge(t, idle, left, job.ClassMeetWrite); got != 800 {
		t.Errorf("two minutes later %v are left", got)
	}
}
