package stacktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

func TestManyInstancesAreOneProduct(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{Gateways: 2, Meetings: 3, Schedulers: 2, Throwaway: true})
	promises := everyCallerSeesHisOwnOrder(t, s)
	s.Drain(t)
	s.Verify(t, promises)

	active := activeRelay(t, s)
	client := s.NewClient()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 90*time.Second, errors.New("the relay was not taken over in time"))
	defer cancel()
	events := listen(t, s)
	asking, stop := context.WithCancel(ctx)
	var asker sync.WaitGroup
	defer asker.Wait()
	defer stop()
	asker.Go(func() {
		for n := 0; asking.Err() == nil; n++ {
			p, err := client.Accept(ctx, fmt.Sprintf("meanwhile-%d", n), "other@clinic.example")
			if err != nil {
				t.Error(err)
				return
			}
			promises = append(promises, p)
		}
	})
	await := func(after time.Time, n int) (longest time.Duration) {
		for n > 0 {
			select {
			case e := <-events:
				if e.happened.After(after) {
					n--
					longest = max(longest, e.arrived.Sub(e.happened))
				}
			case <-ctx.Done():
				t.Fatal(context.Cause(ctx))
			}
		}
		return longest
	}
	t.Logf("with the relay at work an event arrives %s after it happened, at most", await(time.Now(), 50).Round(time.Millisecond))
	if err := active.Kill(); err != nil {
		t.Fatal(err)
	}
	longest := await(time.Now(), 50)
	t.Logf("with the relay killed an event arrives %s after it happened, at most", longest.Round(time.Millisecond))
	const most = 2 * time.Second
	if longest > most*3/2 { // half of it again for a machine that does much else
		t.Errorf("an event was %s late after the active relay was killed, want at most %s", longest, most)
	}
	stop()
	asker.Wait()
	if next := activeRelay(t, s); next == active {
		t.Errorf("%s was killed and is the active relay", active.Name)
	}
	s.Drain(t)
	s.Verify(t, promises)
}

// everyCallerSeesHisOwnOrder changes meetings one call after the other, each through another gateway, and reads each change.
func everyCallerSeesHisOwnOrder(t *testing.T, s *stacktest.Stack) []*stacktest.Promise {
	t.Helper()
	const callers, changes = 8, 6
	promises := make([]*stacktest.Promise, callers)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			client := s.NewClient()
			p, answer, err := client.Create(t.Context(), fmt.Sprintf("caller-%d", c), "doctor@clinic.example", nil)
			if err != nil || answer.Status != http.StatusCreated {
				t.Errorf("create: %d %v", answer.Status, err)
				return
			}
			promises[c] = p
			for n := range changes {
				if err := client.Change(t.Context(), p, n+1); err != nil {
					t.Error(err)
					return
				}
				answer, err := client.Do(t.Context(), http.MethodGet, "meetings/"+strconv.FormatInt(p.ID, 10)+"/", "", nil)
				var seen struct {
					Start time.Time `json:"scheduled_start"`
				}
				if err = errors.Join(err, answer.Into(&seen)); err != nil || !seen.Start.Equal(p.Start) {
					t.Errorf("after change %d of %s the start is %s, want %s (%v)", n+1, p.Reference, seen.Start, p.Start, err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return promises
}

// relayLock is the advisory lock that the active relay holds.
const relayLock = 0x6d656574_00000002

// activeRelay is the instance that relays; there is exactly one.
func activeRelay(t *testing.T, s *stacktest.Stack) *stacktest.Process {
	t.Helper()
	holders, err := stacktest.Query(t.Context(), s, pgx.RowTo[int64],
		"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (classid::bigint << 32 | objid::bigint) = $1", int64(relayLock))
	if err != nil || len(holders) != 1 {
		t.Fatalf("the relay's lock has %d holders, %v", len(holders), err)
	}
	var active []*stacktest.Process
	for _, p := range s.Meetings {
		select {
		case <-p.Exited():
		default:
			if p.Says("this relay is active") {
				active = append(active, p)
			}
		}
	}
	if len(active) != 1 {
		t.Fatalf("%d instances say that theirs is the active relay", len(active))
	}
	return active[0]
}

type arrival struct{ happened, arrived time.Time }

// listen gives when events happened and when they came, from now on.
func listen(t *testing.T, s *stacktest.Stack) <-chan arrival {
	t.Helper()
	conn, _ := s.JetStream(t)
	arrivals := make(chan arrival, 100_000) // more than come in a test
	_, err := conn.Subscribe("meet.evt.>", func(msg *nats.Msg) {
		happened, err := time.Parse(time.RFC3339Nano, msg.Header.Get("ce-time"))
		if err != nil {
			t.Errorf("ce-time: %v", err)
			return
		}
		arrivals <- arrival{happened, time.Now()}
	})
	if err := errors.Join(err, conn.Flush()); err != nil {
		t.Fatal(err)
	}
	return arrivals
}

func TestARepeatAtAnotherGatewayWaitsForTheSameLink(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{Gateways: 2, Throwaway: true})
	if err := s.Faults(t.Context(), map[string]any{"match": "POST /calendar/v3/", "latency": "1500ms", "times": 1}); err != nil {
		t.Fatal(err)
	}
	const repeats = 4
	links := make([]string, repeats)
	ids := make([]int64, repeats)
	var all sync.WaitGroup
	for n := range repeats {
		all.Go(func() {
			p, answer, err := s.NewClient().From(n).Create(t.Context(), "the-same", "doctor@clinic.example", nil)
			if err != nil || answer.Status != http.StatusCreated {
				t.Errorf("%d %s %v", answer.Status, answer.Body, err)
				return
			}
			links[n], ids[n] = p.Link, p.ID
		})
	}
	all.Wait()
	for n := range repeats {
		if links[n] == "" || links[n] != links[0] || ids[n] != ids[0] {
			t.Errorf("repeat %d: meeting %d %q, the first was told %d %q", n, ids[n], links[n], ids[0], links[0])
		}
	}
}
