package stacktest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// storm is what a kill test does to a stack.
type storm struct {
	clients int
	// kills of each service, and of each server.
	services, servers int
	// calm is the longest pause between two kills of one kind, once the last one serves again; away the longest time that
	// something killed stays away.
	calm, away time.Duration
	// patience of a client with one request.
	patience time.Duration
}

// run sends requests while everything is killed, and gives back what was promised.
func (k storm) run(t *testing.T, s *stacktest.Stack) []*stacktest.Promise {
	t.Helper()
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	killed := errors.New("every kill is done")
	var killers, clients sync.WaitGroup
	var mu sync.Mutex // guards counts and promises
	counts := make(map[string]int)
	var promises []*stacktest.Promise

	kill := func(kind string, n int, victims ...*stacktest.Process) {
		killers.Go(func() {
			for range n {
				if !pause(ctx, rand.N(k.calm)) {
					return
				}
				victim := victims[rand.IntN(len(victims))]
				if err := victim.Kill(); err != nil {
					t.Error(err)
				}
				pause(ctx, rand.N(k.away))
				if err := victim.Start(ctx); err != nil {
					t.Error(err)
					stop(err)
					return
				}
				mu.Lock()
				counts[kind]++
				mu.Unlock()
			}
		})
	}
	begin := time.Now()
	kill("gateway", k.services, s.Gateways...)
	kill("meetings", k.services, s.Meetings...)
	kill("scheduler", k.services, s.Schedulers...)
	kill("postgres", k.servers, s.Postgres)
	kill("nats", k.servers, s.NATS)

	var retries int64
	for c := range k.clients {
		clients.Go(func() {
			client := s.NewClient()
			for n := 0; ctx.Err() == nil; n++ {
				// The request in hand is carried to its end: what was asked for under a key is followed until it is answered.
				p, err := k.life(context.WithoutCancel(t.Context()), client, fmt.Sprintf("c%d-n%d", c, n), c)
				mu.Lock()
				if p != nil {
					promises = append(promises, p)
				}
				mu.Unlock()
				if err != nil {
					t.Error(err)
					stop(err)
				}
			}
			mu.Lock()
			retries += client.Retries.Load()
			mu.Unlock()
		})
	}
	killers.Wait()
	stop(killed)
	clients.Wait()
	cancelled, accepted := 0, 0
	for _, p := range promises {
		if p.Cancelled {
			cancelled++
		}
		if p.Link == "" {
			accepted++
		}
	}
	t.Logf("%s: kills %v; %d meetings promised, %d of them as 202, %d cancelled; %d requests sent again",
		time.Since(begin).Round(100*time.Millisecond), counts, len(promises), accepted, cancelled, retries)
	return promises
}

// life is a meeting from its create over changes to, for some, its end.
func (k storm) life(ctx context.Context, client *stacktest.Client, reference string, c int) (*stacktest.Promise, error) {
	patient := func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, k.patience) }
	asking, done := patient()
	defer done()
	p, answer, err := client.Create(asking, reference, fmt.Sprintf("doctor%d@clinic.example", c), nil)
	if err != nil {
		return nil, err
	}
	if answer.Status >= 500 {
		return p, fmt.Errorf("create %s: %d %s", reference, answer.Status, answer.Body)
	}
	for n := 1; n <= rand.IntN(3); n++ {
		changing, done := patient()
		err := client.Change(changing, p, n)
		done()
		if err != nil {
			return p, err
		}
	}
	if rand.IntN(3) > 0 {
		return p, nil
	}
	cancelling, done := patient()
	defer done()
	return p, client.Cancel(cancelling, p)
}

// pause is the randomness of a kill, not a wait for anything; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func TestNothingAnsweredIsLostWhenEveryPartIsKilled(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{Gateways: 2, Meetings: 2, Schedulers: 2})
	promises := storm{
		clients: 8, services: 4, servers: 1, calm: 600 * time.Millisecond, away: 200 * time.Millisecond, patience: time.Minute,
	}.run(t, s)
	s.Drain(t)
	s.Verify(t, promises)
}

// loseJetStream leaves work under way, stops everything, removes all that NATS has kept and starts again.
func loseJetStream(t *testing.T, s *stacktest.Stack, promises *[]*stacktest.Promise) {
	t.Helper()
	ctx := t.Context()
	// Google does not answer for now: what is asked for stays under way.
	if err := s.Faults(ctx, map[string]any{"match": "/", "status": 503}); err != nil {
		t.Fatal(err)
	}
	client := s.NewClient()
	for n := range 5 {
		p, err := client.Accept(ctx, fmt.Sprintf("under-way-%d", n), "doctor@clinic.example")
		if err != nil {
			t.Fatal(err)
		}
		*promises = append(*promises, p)
	}
	changed := 0
	for _, p := range *promises {
		if changed < 5 && !p.Cancelled && p.Link != "" {
			changed++
			if err := client.Change(ctx, p, 9); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range append(s.Services(), s.NATS) {
		took, err := p.Stop()
		if err != nil {
			t.Error(err)
		}
		if took > 10*time.Second {
			t.Errorf("%s took %s to end after SIGTERM", p.Name, took)
		}
	}
	if err := errors.Join(s.LoseJetStream(), s.Faults(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := s.NATS.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.StartServices(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestNothingAnsweredIsLostWithJetStream(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{Throwaway: true})
	client := s.NewClient()
	var promises []*stacktest.Promise
	for n := range 6 {
		p, _, err := client.Create(t.Context(), fmt.Sprintf("before-%d", n), "doctor@clinic.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		promises = append(promises, p)
	}
	s.Drain(t)
	before := s.Log(t)
	loseJetStream(t, s, &promises)
	s.Drain(t)
	s.Verify(t, promises)
	stacktest.SameLog(t, before, s.Log(t))
}
