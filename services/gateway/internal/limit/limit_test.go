package limit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
)

var quiet = slog.New(slog.DiscardHandler)

func connect(t *testing.T, server *embeddednats.Server) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{URL: server.ClientURL(), InProcess: server, Replicas: 1, Wait: 10 * time.Second, Name: "gateway"}, quiet)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.WithoutCancel(t.Context())) }) // the server goes right after
	return b
}

func start() *clock.Manual { return clock.NewManual(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)) }

func settings(rate, burst int) Config {
	return Config{Principal: rate, PrincipalBurst: burst, Address: 1000, AddressBurst: 1000, Anonymous: 1, AnonymousBurst: 2, AtOnce: 2}
}

func TestGatewaysShareOneBucket(t *testing.T) {
	server, now := natstest.New(t), start()
	c := settings(100, 1000)
	var limiters []*Limiter
	for range 3 {
		limiters = append(limiters, newLimiter(c, connect(t, server), now.Now, quiet))
	}
	passed := func() int64 {
		var n atomic.Int64
		var all sync.WaitGroup
		for _, l := range limiters {
			for range 4 {
				all.Go(func() {
					for range 200 {
						if l.Principal(t.Context(), "key:x", 1).OK {
							n.Add(1)
						}
					}
				})
			}
		}
		all.Wait()
		return n.Load()
	}
	// What a gateway has leased and not used is lost: at most a quarter of a second's worth each.
	if n := passed(); n > 1000 || n < 1000-3*25 {
		t.Errorf("%d of a burst of 1000", n)
	}
	now.Advance(2 * time.Second)
	if n := passed(); n > 200 || n < 200-3*25 {
		t.Errorf("%d of 2 seconds' 200", n)
	}
	if v := limiters[0].Principal(t.Context(), "key:y", 1); !v.OK || v.Remaining != 999 {
		t.Errorf("another principal: %+v", v)
	}
}

func TestAVerdictSaysWhenToComeAgain(t *testing.T) {
	now := start()
	l := newLimiter(settings(2, 10), connect(t, natstest.New(t)), now.Now, quiet)
	v := l.Principal(t.Context(), "key:x", 10)
	if !v.OK || v.Remaining != 0 || v.Reset != 5 {
		t.Errorf("%+v", v)
	}
	if v = l.Principal(t.Context(), "key:x", 4); v.OK || v.Retry != 2 {
		t.Errorf("%+v", v)
	}
	now.Advance(2 * time.Second)
	if v = l.Principal(t.Context(), "key:x", 4); !v.OK {
		t.Errorf("after the wait: %+v", v)
	}
	if v = l.Principal(t.Context(), "key:z", 1000); !v.OK {
		t.Errorf("what costs more than there ever is takes all: %+v", v)
	}
}

func TestSignInIsThrottledAndARightTryIsGivenBack(t *testing.T) {
	now, server := start(), natstest.New(t)
	one, other := newLimiter(settings(1, 1), connect(t, server), now.Now, quiet), newLimiter(settings(1, 1), connect(t, server), now.Now, quiet)
	for range 50 {
		if v := one.SignIn(t.Context(), "anna", "10.0.0.1"); !v.OK {
			t.Fatalf("a right try counts: %+v", v)
		}
		one.SignedIn(t.Context(), "anna", "10.0.0.1")
	}
	tries := 0
	for i := range 40 {
		if []*Limiter{one, other}[i%2].SignIn(t.Context(), "bert", "10.0.0.2").OK {
			tries++
		}
	}
	if tries != 10 {
		t.Errorf("%d tries at one account", tries)
	}
	now.Advance(30 * time.Second)
	if !one.SignIn(t.Context(), "bert", "10.0.0.3").OK || other.SignIn(t.Context(), "bert", "10.0.0.3").OK {
		t.Error("not one try in half a minute")
	}
	tries = 0
	for i := range 60 {
		if one.SignIn(t.Context(), string(rune('A'+i)), "10.0.0.4").OK {
			tries++
		}
	}
	if tries != 30 {
		t.Errorf("%d accounts tried from one address", tries)
	}
}

func TestWithoutNATSEachGatewayHasABucketOfItsOwn(t *testing.T) {
	now, b := start(), connect(t, natstest.New(t))
	l := newLimiter(settings(1, 10), b, now.Now, quiet)
	b.Conn().Close()
	passed := 0
	for range 30 {
		if l.Principal(t.Context(), "key:x", 1).OK {
			passed++
		}
	}
	if passed != 10 {
		t.Errorf("%d passed", passed)
	}
}

func TestAnAddressThatShowsNothingRightIsKnownWithoutAQuestion(t *testing.T) {
	now := start()
	l := newLimiter(settings(1, 1), connect(t, natstest.New(t)), now.Now, quiet)
	for i := range 3 {
		if _, blocked := l.Blocked("10.0.0.1"); blocked {
			t.Fatalf("blocked after %d", i)
		}
		l.Anonymous(t.Context(), "10.0.0.1", 1)
	}
	if v, blocked := l.Blocked("10.0.0.1"); !blocked || v.Retry != 1 {
		t.Errorf("%+v %v", v, blocked)
	}
	if _, blocked := l.Blocked("10.0.0.2"); blocked {
		t.Error("another is blocked")
	}
	now.Advance(time.Second)
	if _, blocked := l.Blocked("10.0.0.1"); blocked {
		t.Error("still blocked")
	}
}

func TestSoManyAtOnceAndNoMore(t *testing.T) {
	l := New(settings(1, 1), nil, quiet)
	first, ok := l.Enter("x")
	_, second := l.Enter("x")
	_, third := l.Enter("x")
	_, another := l.Enter("y")
	if !ok || !second || third || !another {
		t.Error(ok, second, third, another)
	}
	first()
	if _, again := l.Enter("x"); !again {
		t.Error("a place that is free is not given")
	}
}

func TestLimitsThatLetNobodyInAreRefused(t *testing.T) {
	if _, err := config.Load[Config]([]string{"MEET_RATE_LIMIT_PRINCIPAL=0"}); err == nil {
		t.Error("0 passes")
	}
	c, err := config.Load[Config](nil)
	if err != nil {
		t.Fatal(err)
	}
	l := New(c, nil, quiet)
	if l.On(true) || !l.On(false) {
		t.Error("the default is on with keys and off in open mode")
	}
	if c.Mode = On; !New(c, nil, quiet).On(true) {
		t.Error("on is on in open mode too")
	}
}
