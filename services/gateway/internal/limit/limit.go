// Package limit bounds what one caller may ask for: token buckets that all gateways share over a key-value bucket in the memory of
// NATS, and how many requests of one principal a gateway answers at once. A gateway leases a few tokens at a time, so that most
// requests cost no message; while NATS is away each gateway has buckets of its own. It knows no route and no HTTP.
//
// Libraries for this either keep a process's own buckets (golang.org/x/time/rate) or speak to Redis (go-redis/redis_rate,
// throttled); the few lines that decide are below, and what is shared is one record by compare-and-set.
package limit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// Config of the limits.
type Config struct {
	Mode           Mode `env:"MEET_RATE_LIMIT" oneof:"on off" help:"whether callers are limited; absent: on with MEET_AUTH=keys, off in open mode; sign-in is always limited"`
	Principal      int  `env:"MEET_RATE_LIMIT_PRINCIPAL" envDefault:"2000" help:"units that one principal may use each second, over all gateways: a read is 1, a change 2, what is dear more (docs/reference/rest.md)"`
	PrincipalBurst int  `env:"MEET_RATE_LIMIT_PRINCIPAL_BURST" envDefault:"20000" help:"units that it may use at once after a rest"`
	Address        int  `env:"MEET_RATE_LIMIT_ADDRESS" envDefault:"4000" help:"units each second for all principals that call from one address (IPv6: /64)"`
	AddressBurst   int  `env:"MEET_RATE_LIMIT_ADDRESS_BURST" envDefault:"40000" help:"units that it may use at once after a rest"`
	Anonymous      int  `env:"MEET_RATE_LIMIT_ANONYMOUS" envDefault:"20" help:"units each second for requests of one address without a credential, or with a wrong one; health is not counted"`
	AnonymousBurst int  `env:"MEET_RATE_LIMIT_ANONYMOUS_BURST" envDefault:"400" help:"units that it may use at once after a rest"`
	AtOnce         int  `env:"MEET_RATE_LIMIT_CONCURRENT" envDefault:"256" help:"requests of one principal that one gateway answers at once; 0: any number"`
}

// Mode is whether callers are limited.
type Mode string

// The modes.
const (
	On  Mode = "on"
	Off Mode = "off"
)

// Check refuses what would let nobody in.
func (c Config) Check() error {
	var problems []error
	for _, setting := range []struct {
		name  string
		value int
	}{
		{"MEET_RATE_LIMIT_PRINCIPAL", c.Principal},
		{"MEET_RATE_LIMIT_PRINCIPAL_BURST", c.PrincipalBurst},
		{"MEET_RATE_LIMIT_ADDRESS", c.Address},
		{"MEET_RATE_LIMIT_ADDRESS_BURST", c.AddressBurst},
		{"MEET_RATE_LIMIT_ANONYMOUS", c.Anonymous},
		{"MEET_RATE_LIMIT_ANONYMOUS_BURST", c.AnonymousBurst},
	} {
		if setting.value < 1 {
			problems = append(problems, config.Bad(setting.name, fmt.Sprintf("%d lets nobody in", setting.value), "write more than 0, or MEET_RATE_LIMIT=off"))
		}
	}
	if c.AtOnce < 0 {
		problems = append(problems, config.Bad("MEET_RATE_LIMIT_CONCURRENT", fmt.Sprintf("%d is no number of requests", c.AtOnce), "write 0 for no limit"))
	}
	return errors.Join(problems...)
}

// Policy is a bucket's size and how it fills again.
type Policy struct {
	Name string
	// Rate is units each second; Burst is how many there are after a rest.
	Rate, Burst float64
	// Header says so to callers (draft-ietf-httpapi-ratelimit-headers-10): the size, and the seconds in which it fills.
	Header []string
}

func newPolicy(name string, rate, burst float64) Policy {
	return Policy{name, rate, burst, []string{fmt.Sprintf("%q;q=%d;w=%d", name, int64(burst), max(int64(burst/rate), 1))}}
}

// The policies of sign-in, whatever is configured: after a burst, an account is tried twice a minute and an address six times. The
// owner of an account that is being guessed signs in from an address that has done nothing, and waits at most half a minute.
var (
	signInAccount = Policy{Name: "sign-in-account", Rate: 1.0 / 30, Burst: 10}
	signInAddress = Policy{Name: "sign-in-address", Rate: 1.0 / 10, Burst: 30}
)

// Verdict is what became of a request for units.
type Verdict struct {
	OK     bool
	Policy Policy
	// Remaining is about how many units are left; others may be using them.
	Remaining int
	// Reset is when the bucket is full again, from now, in seconds; Retry when as many units are there as were asked for.
	Reset, Retry int
}

const (
	// leaseSpan is how much of a bucket's rate is leased at most at a time; what is leased and not used by its end is lost.
	leaseSpan = 250 * time.Millisecond
	// deniedSpan is how long an empty bucket is believed to be empty without another look, at most.
	deniedSpan = time.Second
	// maxBuckets bounds what is remembered here; beyond it, what nobody used for restSpan goes, and then anything.
	maxBuckets = 50_000
	restSpan   = time.Minute
)

// bucketID names a bucket here.
type bucketID struct{ policy, key string }

// Limiter decides.
type Limiter struct {
	config Config
	store  *store
	now    func() time.Time // real time
	log    *slog.Logger
	names  [3]Policy

	mu      sync.Mutex
	buckets map[bucketID]*bucket
	running map[string]int
}

// New makes a limiter; it makes its record at NATS when it is first needed.
func New(c Config, b *bus.Bus, log *slog.Logger) *Limiter {
	return newLimiter(c, b, time.Now, log)
}

func newLimiter(c Config, b *bus.Bus, now func() time.Time, log *slog.Logger) *Limiter {
	return &Limiter{
		config: c, store: &store{bus: b}, now: now, log: log, buckets: make(map[bucketID]*bucket), running: make(map[string]int),
		names: [3]Policy{
			newPolicy("principal", float64(c.Principal), float64(c.PrincipalBurst)), newPolicy("address", float64(c.Address), float64(c.AddressBurst)),
			newPolicy("anonymous", float64(c.Anonymous), float64(c.AnonymousBurst)),
		},
	}
}

// On tells whether requests are limited in a mode of authentication where everybody may call, or not.
func (l *Limiter) On(open bool) bool { return l.config.Mode == On || l.config.Mode == "" && !open }

// Principal takes units of a principal.
func (l *Limiter) Principal(ctx context.Context, name string, units int) Verdict {
	return l.take(ctx, l.names[0], name, units)
}

// Address takes units of an address that known principals call from.
func (l *Limiter) Address(ctx context.Context, address string, units int) Verdict {
	return l.take(ctx, l.names[1], address, units)
}

// Anonymous takes units of an address that shows no credential, or a wrong one.
func (l *Limiter) Anonymous(ctx context.Context, address string, units int) Verdict {
	return l.take(ctx, l.names[2], address, units)
}

// Blocked tells that an address has shown nothing right for too often, as far as is known here; it takes nothing.
func (l *Limiter) Blocked(address string) (Verdict, bool) {
	b, known := l.known(l.names[2], address)
	if !known {
		return Verdict{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := l.now()
	if b.tokens >= 1 && now.Before(b.leaseEnd) || !now.Before(b.denied) {
		return Verdict{}, false
	}
	return b.verdict(l.names[2], false, now), true
}

// SignIn takes one try to sign in to an account from an address; both must have one left.
func (l *Limiter) SignIn(ctx context.Context, account, address string) Verdict {
	if v := l.take(ctx, signInAddress, address, 1); !v.OK {
		return v
	}
	return l.take(ctx, signInAccount, account, 1)
}

// SignedIn gives a try back that was right.
func (l *Limiter) SignedIn(ctx context.Context, account, address string) {
	l.bucket(signInAddress, address).give(ctx, l, signInAddress, 1)
	l.bucket(signInAccount, account).give(ctx, l, signInAccount, 1)
}

// Enter counts a request of a principal as long as it runs; false when too many do.
func (l *Limiter) Enter(name string) (leave func(), ok bool) {
	if l.config.AtOnce == 0 {
		return func() {}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[name] >= l.config.AtOnce {
		return nil, false
	}
	l.running[name]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running[name]--; l.running[name] == 0 {
			delete(l.running, name)
		}
	}, true
}

func (l *Limiter) take(ctx context.Context, p Policy, key string, units int) Verdict {
	return l.bucket(p, key).take(ctx, l, p, float64(units))
}

func (l *Limiter) known(p Policy, key string) (*bucket, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[bucketID{p.Name, key}]
	return b, known
}

func (l *Limiter) bucket(p Policy, key string) *bucket {
	id := bucketID{p.Name, key}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[id]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.tidy()
		}
		sum := sha256.Sum256([]byte(p.Name + " " + key)) // a key there has no room for every address, and needs none to be read
		b = &bucket{key: p.Name + "." + hex.EncodeToString(sum[:16])}
		l.buckets[id] = b
	}
	return b
}

func (l *Limiter) tidy() {
	rested := l.now().Add(-restSpan)
	for id, b := range l.buckets {
		if b.usedBefore(rested) {
			delete(l.buckets, id)
		}
	}
	for id := range l.buckets {
		if len(l.buckets) < maxBuckets {
			break
		}
		delete(l.buckets, id)
	}
}

// record is a bucket as all gateways share it.
type record struct {
	Tokens float64   `json:"tokens"`
	At     time.Time `json:"at"`
}

// fill brings a record to now. A record that is not there is a full bucket.
func (r *record) fill(p Policy, now time.Time) {
	switch {
	case r.At.IsZero():
		r.Tokens = p.Burst
	case now.After(r.At):
		r.Tokens = min(p.Burst, r.Tokens+p.Rate*now.Sub(r.At).Seconds())
	default: // another gateway's clock is ahead
		return
	}
	r.At = now
}

// bucket is what this gateway knows of one, and has leased from it.
type bucket struct {
	key string

	mu       sync.Mutex
	tokens   float64 // leased and not used
	leaseEnd time.Time
	chunk    float64 // of the last lease
	used     float64 // of it
	shared   float64 // what the last look left to all
	denied   time.Time
	retryAt  time.Time
	touched  time.Time
	last     bus.Record[record]
}

func (b *bucket) usedBefore(t time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.touched.Before(t)
}

func (b *bucket) verdict(p Policy, ok bool, now time.Time) Verdict {
	left := b.tokens + b.shared
	v := Verdict{OK: ok, Policy: p, Remaining: max(int(left), 0), Reset: int(math.Ceil(max(p.Burst-left, 0) / p.Rate))}
	if !ok {
		v.Remaining = 0
		v.Retry = max(int(math.Ceil(b.retryAt.Sub(now).Seconds())), 1)
	}
	return v
}

func (b *bucket) take(ctx context.Context, l *Limiter, p Policy, units float64) Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := l.now()
	b.touched = now
	units = min(units, p.Burst) // else it would never be granted
	leased := now.Before(b.leaseEnd)
	if leased && b.tokens >= units {
		b.tokens -= units
		b.used += units
		return b.verdict(p, true, now)
	}
	if now.Before(b.denied) {
		return b.verdict(p, false, now)
	}
	// As many as the last time were used; twice as many where those did not last.
	want := b.used
	if leased {
		want = 2 * b.chunk
	} else {
		b.tokens = 0
	}
	want = max(min(want, p.Rate*leaseSpan.Seconds()), units)
	need := units - b.tokens
	var got, left float64
	l.change(ctx, b, func(r *record) bool {
		r.fill(p, now)
		got, left = 0, r.Tokens
		if r.Tokens < need {
			return false
		}
		got = min(want, r.Tokens)
		r.Tokens -= got
		left = r.Tokens
		return true
	})
	b.shared = left
	if got == 0 {
		wait := time.Duration((need - left) / p.Rate * float64(time.Second))
		b.retryAt, b.denied = now.Add(wait), now.Add(min(wait, deniedSpan))
		return b.verdict(p, false, now)
	}
	b.tokens += got - units
	b.chunk, b.used, b.leaseEnd = got, units, now.Add(leaseSpan)
	return b.verdict(p, true, now)
}

func (b *bucket) give(ctx context.Context, l *Limiter, p Policy, units float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := l.now()
	l.change(ctx, b, func(r *record) bool {
		r.fill(p, now)
		r.Tokens = min(p.Burst, r.Tokens+units)
		return true
	})
	b.denied = time.Time{}
}

// change runs fn on the shared record, or, where NATS does not answer, on what is known here.
func (l *Limiter) change(ctx context.Context, b *bucket, fn func(*record) bool) {
	err := change(context.WithoutCancel(ctx), l.store, l.now(), b.key, &b.last, fn)
	if err == nil {
		return
	}
	if !errors.Is(err, errAway) {
		l.log.WarnContext(ctx, "limits are not shared with other gateways", "error", err)
	}
	b.last.Revision = 0
	fn(&b.last.Value)
}
