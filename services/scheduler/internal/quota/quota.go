// Package quota keeps the calls of all schedulers together within Google's quotas, and stops asking an API of Google that is
// down. It shares what it needs through NATS, so that nobody has to say how many schedulers there are. It makes no calls and
// knows no meeting.
//
// A budget is 80 % of a quota, for the project and for each organizer. Its calls are given slots: times that lie evenly apart.
// The next free slot of each budget is a record in a bucket in the memory of NATS, from which an instance leases a run of
// slots, at most a quarter of a second's worth, by compare-and-set; so a busy instance asks NATS a few times a second and not
// for each call. Because slots are times and not tokens, a lease can't be hoarded: an instance that dies loses a quarter of a
// second of the budget, and a record that is lost lets a second's worth more pass.
//
// A call that gets a slot within moments waits for it. Any other is put off: its job comes again when its turn is near and
// holds nothing meanwhile. Calls that somebody waits for may take slots further ahead than the others, and so go before them.
package quota

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// The codes of calls that were not made; see the table in package google.
const (
	CodeTurn = "GOOGLE_TURN"
	CodeDown = "GOOGLE_DOWN"
)

const (
	// aheadUrgent and aheadOther are how far ahead a slot may be that a call waits for. The difference is what goes before.
	aheadUrgent = 2 * time.Second
	aheadOther  = time.Second
	// aheadUnforeseen is the same for a call that its step did not foresee: giving up would cost those already made.
	aheadUnforeseen = 10 * time.Second
	// fairness: one in so many other calls goes with the urgent ones, so that they never starve.
	fairness = 8
	// storeAway is when a job comes again that can't be counted because NATS does not answer.
	storeAway = 2 * time.Second
	// parked is how long an organizer rests whose calendar has reached Google's limits against abuse: they last hours.
	parked = time.Hour
	// longestPause bounds a pause that Google asks for, lest a wrong header stops an API for good.
	longestPause = 6 * time.Hour
	// bucketsKept is how many budgets of organizers an instance remembers; what it forgets it reads again.
	bucketsKept = 50_000
)

// Refusal is an answer of Google that is about quotas.
type Refusal struct {
	// Own: the organizer's share is used up; else the project's.
	Own bool
	// Abuse: Calendar's limits against abuse, which last hours, were reached.
	Abuse bool
	// After is how long Google asks to wait; 0: it does not say.
	After time.Duration
}

// Limiter is this instance's part of the limits.
type Limiter struct {
	enabled  bool
	quotas   map[job.Class]Quota
	store    *store
	now      clock.Clock
	alarm    clock.Alarm
	log      *slog.Logger
	breakers map[API]*breaker
	metrics  *metrics

	mu      sync.Mutex
	buckets map[string]*bucket
	name    string               // this instance's
	others  map[string]time.Time // when each instance was last heard, in real time
}

// New makes a limiter of c; emulated decides where c does not say. now and alarm are the domain's: quotas run on the clock that
// Google is thought to run on.
func New(c Config, emulated bool, b *bus.Bus, now clock.Clock, alarm clock.Alarm, registry prometheus.Registerer, log *slog.Logger) (*Limiter, error) {
	l := &Limiter{
		enabled: c.Enabled(emulated), quotas: c.Quotas(), store: &store{bus: b}, now: now, alarm: alarm, log: log,
		breakers: make(map[API]*breaker), buckets: make(map[string]*bucket), name: uuid.NewString(), others: make(map[string]time.Time),
	}
	var err error
	if l.metrics, err = newMetrics(registry, l); err != nil {
		return nil, err
	}
	for _, api := range []API{APICalendar, APIMeet, APIDrive, APIEvents, APIDirectory} {
		l.breakers[api] = newBreaker(api, l.store, b, now, log)
	}
	return l, nil
}

// Enabled tells whether the limits hold; breakers always do.
func (l *Limiter) Enabled() bool { return l.enabled }

// grant is calls that were reserved and not made yet. It travels in the context from the job to the Google client.
type grant struct {
	mu     sync.Mutex
	left   map[job.Class]int
	probes map[API]*probe
}

type grantKey struct{}

// giveUp lets others try what g was to try.
func (g *grant) giveUp(ctx context.Context) {
	for api, p := range g.probes {
		p.unused(context.WithoutCancel(ctx))
		delete(g.probes, api)
	}
}

// Reserve is [job.Quotas].
func (l *Limiter) Reserve(ctx context.Context, d job.Demand) (context.Context, func(), error) {
	g := &grant{left: make(map[job.Class]int), probes: make(map[API]*probe)}
	ahead := aheadOther
	if d.Urgent || rand.N(fairness) == 0 { //nolint:gosec // a lot that is drawn, no secret
		ahead = aheadUrgent
	}
	if err := l.allow(ctx, d, ahead, g); err != nil {
		g.giveUp(ctx)
		return ctx, func() {}, err
	}
	return context.WithValue(ctx, grantKey{}, g), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.giveUp(ctx)
	}, nil
}

// Begin is called before each call to Google: a call that was not reserved is, now. done is to be told how it ended.
func (l *Limiter) Begin(ctx context.Context, organizer string, class job.Class) (done func(ctx context.Context, answered bool, r *Refusal), err error) {
	api := apiOf(class)
	g, reserved := ctx.Value(grantKey{}).(*grant)
	if !reserved {
		g = &grant{left: make(map[job.Class]int), probes: make(map[API]*probe)}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left[class] == 0 {
		d := job.Demand{Organizer: organizer, Urgent: true, Calls: []job.Class{class}}
		if err := l.allow(ctx, d, aheadUnforeseen, g); err != nil {
			if !reserved {
				g.giveUp(ctx)
			}
			return nil, err
		}
	}
	g.left[class]--
	p := g.probes[api]
	delete(g.probes, api)
	begun := l.now()
	return func(ctx context.Context, answered bool, r *Refusal) {
		ctx = context.WithoutCancel(ctx) // what Google said stays true
		l.breakers[api].report(ctx, p, answered, begun)
		if r != nil {
			l.refused(ctx, organizer, class, *r)
		}
	}, nil
}

// allow waits until the calls of d may be made, and adds them to g.
func (l *Limiter) allow(ctx context.Context, d job.Demand, ahead time.Duration, g *grant) error {
	for _, class := range d.Calls {
		api := apiOf(class)
		if g.probes[api] != nil || g.left[class] > 0 {
			continue
		}
		p, later := l.breakers[api].allow(ctx)
		if later > 0 {
			l.metrics.deferred.WithLabelValues(string(class), "breaker").Inc()
			return &job.Failure{Kind: job.Deferred, Code: CodeDown, After: later, Message: "Google's " + string(api) + " API is down and is not asked until it answers again; it is tried again by itself"}
		}
		if p != nil {
			g.probes[api] = p
		}
	}
	if l.enabled {
		if err := l.slots(ctx, d, ahead); err != nil {
			return err
		}
	}
	for _, class := range d.Calls {
		g.left[class]++
		l.metrics.granted.WithLabelValues(string(class)).Inc()
	}
	return nil
}

// taken is a slot and where it is of.
type taken struct {
	*bucket
	slot time.Time
}

// slots takes a slot of each budget that d needs and waits for it. The narrowest one is waited for first, and then the others
// are taken, which have to come within the slack: a slot that waits for another is used late.
func (l *Limiter) slots(ctx context.Context, d job.Demand, ahead time.Duration) error {
	var held []taken
	for _, want := range l.budgets(d) {
		slot, later, err := l.take(ctx, want.bucket, d, ahead)
		if later == 0 && err == nil {
			held = append(held, taken{want.bucket, slot})
			if len(held) == 1 {
				err = l.wait(ctx, slot)
				ahead = l.slack(d)
			}
		}
		if later == 0 && err == nil {
			continue
		}
		l.putBack(held)
		switch {
		case later > 0:
			l.metrics.deferred.WithLabelValues(string(want.class), want.scope).Inc()
			return &job.Failure{Kind: job.Deferred, Code: CodeTurn, After: later, Message: "Google's quota of calls a minute is used up by what came before; it is this one's turn later, by itself"}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		l.metrics.deferred.WithLabelValues(string(want.class), "nats").Inc()
		l.log.WarnContext(ctx, "quota could not be counted", "class", string(want.class), "error", err)
		return &job.Failure{Kind: job.Deferred, Code: CodeTurn, After: storeAway, Message: "the schedulers can't agree on Google's quota because NATS does not answer; it is tried again by itself", Err: err}
	}
	for _, h := range held {
		if err := l.wait(ctx, h.slot); err != nil {
			l.putBack(held)
			return err
		}
	}
	return nil
}

// budget is a bucket that a call needs.
type budget struct {
	*bucket
	class job.Class
}

// slack is how far the slots of d may lie apart.
func (l *Limiter) slack(d job.Demand) time.Duration {
	least := mostSlack
	for _, class := range d.Calls {
		least = min(least, slackOf(l.quotas[class]))
	}
	return least
}

// budgets are those of d, the organizer's first, for nobody else waits there, and of each kind the narrowest first.
func (l *Limiter) budgets(d job.Demand) []budget {
	out := make([]budget, 0, 2*len(d.Calls))
	user := userKey(d.Organizer)
	for _, class := range d.Calls {
		out = append(out, budget{l.user(user, class), class})
	}
	for _, class := range d.Calls {
		out = append(out, budget{l.project(class), class})
	}
	slices.SortStableFunc(out, func(a, b budget) int {
		return cmp.Or(-strings.Compare(a.scope, b.scope), -cmp.Compare(a.interval, b.interval))
	})
	return out
}

func (l *Limiter) wait(ctx context.Context, at time.Time) error {
	if !at.After(l.now()) {
		return nil
	}
	rung, release := l.alarm(at)
	defer release()
	select {
	case <-rung:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Limiter) putBack(held []taken) {
	for _, h := range held {
		if h.enter(context.Background()) == nil { // a lease under way holds it up, for moments
			h.bucket.putBack(h.slot)
			h.leave()
		}
	}
}

func (l *Limiter) take(ctx context.Context, b *bucket, d job.Demand, ahead time.Duration) (slot time.Time, later time.Duration, err error) {
	if err := b.enter(ctx); err != nil {
		return time.Time{}, 0, err
	}
	defer b.leave()
	now := l.now()
	slot, later, err = b.take(ctx, l.store, now, ahead)
	if later > 0 {
		later = b.place(d, now, later-ahead, l.instances())
	}
	return slot, later, err
}

func (l *Limiter) refused(ctx context.Context, organizer string, class job.Class, r Refusal) {
	scope := "project"
	if r.Own || r.Abuse {
		scope = "user"
	}
	l.metrics.refused.WithLabelValues(string(class), scope).Inc()
	if !l.enabled {
		return
	}
	after := min(r.After, longestPause)
	b := l.project(class)
	if scope == "user" {
		b = l.user(userKey(organizer), class)
		if r.Abuse {
			after = max(after, parked)
		}
	}
	l.log.WarnContext(ctx, "google refused a call for its quota", "class", string(class), "scope", scope, "abuse", r.Abuse, "after", after)
	if err := b.enter(ctx); err != nil {
		return
	}
	defer b.leave()
	if err := b.slow(ctx, l.store, l.now(), after); err != nil {
		l.log.WarnContext(ctx, "quota was not halved", "class", string(class), "scope", scope, "error", err)
	}
}

// userKey names an organizer in records without telling who it is.
func userKey(organizer string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(organizer)))
	return hex.EncodeToString(sum[:12])
}

func (l *Limiter) user(key string, class job.Class) *bucket {
	return l.bucket("user."+key+"."+string(class), "user", class)
}

func (l *Limiter) project(class job.Class) *bucket {
	return l.bucket("project."+string(class), "project", class)
}

func (l *Limiter) bucket(key, scope string, class job.Class) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b != nil {
		return b
	}
	if len(l.buckets) >= bucketsKept {
		l.tidy()
	}
	q := l.quotas[class]
	perMinute := q.Project
	if scope == "user" {
		perMinute = q.User
	}
	b = newBucket(key, scope, perMinute, slackOf(q))
	l.buckets[key] = b
	return b
}

// tidy forgets the budgets that nobody has used lately. One that is in use just now may be forgotten too: its slots are taken
// already, and the next one reads the record anew.
func (l *Limiter) tidy() {
	for key, b := range l.buckets {
		if b.scope == "user" && len(b.turn) == 0 && b.waiting.Load() == 0 {
			delete(l.buckets, key)
		}
	}
}

// None keeps no quotas and counts nothing.
type None struct{}

// Reserve is [job.Quotas].
func (None) Reserve(ctx context.Context, _ job.Demand) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

// Begin is as [Limiter.Begin].
func (None) Begin(context.Context, string, job.Class) (done func(context.Context, bool, *Refusal), err error) {
	return func(context.Context, bool, *Refusal) {}, nil
}

// Start begins to hear what other schedulers say.
func (l *Limiter) Start(ctx context.Context) error {
	conn := l.store.bus.Conn()
	if _, err := conn.Subscribe(stateSubject, l.hear); err != nil { // both end with the connection
		return fmt.Errorf("subscribe to google's state: %w", err)
	}
	if _, err := conn.Subscribe(subject.SchedulerAlive, l.meet); err != nil {
		return fmt.Errorf("subscribe to schedulers: %w", err)
	}
	l.greet(ctx)
	return l.store.bus.Subscribed(ctx)
}

func (l *Limiter) greet(ctx context.Context) {
	if err := l.store.bus.Conn().Publish(subject.SchedulerAlive, []byte(l.name)); err != nil {
		l.log.DebugContext(ctx, "other schedulers were not told of this one", "error", err)
	}
}

func (l *Limiter) meet(msg *nats.Msg) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.others[string(msg.Data)] = now
	for name, at := range l.others {
		if now.Sub(at) > 3*sayEvery {
			delete(l.others, name)
		}
	}
}

// instances is about how many schedulers there are. Nothing hangs on it but how often work that was put off comes in vain.
func (l *Limiter) instances() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(1, len(l.others))
}

// Run tells others of this instance and which APIs are down, again and again until ctx ends.
func (l *Limiter) Run(ctx context.Context) error {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.greet(ctx)
			for _, b := range l.breakers {
				b.repeat(ctx)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Module keeps the quotas. Needs Config, Emulated, *bus.Bus, clock.Clock, clock.Alarm, prometheus.Registerer, *slog.Logger;
// provides *Limiter, also as job.Quotas.
var Module = fx.Module("scheduler/quota",
	fx.Provide(
		fx.Annotate(func(c Config, emulated Emulated, b *bus.Bus, now clock.Clock, alarm clock.Alarm, registry prometheus.Registerer, log *slog.Logger) (*Limiter, error) {
			return New(c, bool(emulated), b, now, alarm, registry, log)
		}, fx.As(fx.Self()), fx.As(new(job.Quotas))),
	),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, l *Limiter) {
		lc.Append(fx.StartHook(l.Start))
		lifecycle.Go(lc, sd, log, "google quotas", l.Run)
	}),
)

// Emulated tells whether the emulator is at the far end.
type Emulated bool
