package notice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

// queue gives out what it is told to, once each, and keeps what becomes of it.
type queue struct {
	mu       sync.Mutex
	waiting  []notice.Message
	pulls    int
	down     error
	came     chan struct{}
	acked    []string
	returned []string
}

func newQueue() *queue { return &queue{came: make(chan struct{}, 16)} }

func (q *queue) Noticed() bool { return true }

func (q *queue) Pull(ctx context.Context, most int) ([]notice.Message, error) {
	for {
		q.mu.Lock()
		q.pulls++
		out, err := q.waiting[:min(most, len(q.waiting))], q.down
		if err == nil {
			q.waiting = q.waiting[len(out):]
		}
		q.mu.Unlock()
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-q.came:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *queue) Acknowledge(_ context.Context, ids []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acked = append(q.acked, ids...)
	return nil
}

func (q *queue) Return(_ context.Context, ids []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.returned = append(q.returned, ids...)
	return nil
}

func (q *queue) put(messages ...notice.Message) {
	q.mu.Lock()
	q.waiting = append(q.waiting, messages...)
	q.mu.Unlock()
	q.came <- struct{}{}
}

func (q *queue) become(down error) {
	q.mu.Lock()
	q.down = down
	q.mu.Unlock()
	select {
	case q.came <- struct{}{}:
	default:
	}
}

func (q *queue) settled() (acked, returned []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.acked), slices.Clone(q.returned)
}

// store keeps notices; while down it keeps none.
type store struct {
	mu   sync.Mutex
	kept []notice.Notice
	down error
	// looked is called before anything is kept.
	looked func()
}

func (s *store) PostNotices(_ context.Context, notices []notice.Notice) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked != nil {
		s.looked()
	}
	if s.down == nil {
		s.kept = append(s.kept, notices...)
	}
	return s.down
}

func message(i int) notice.Message {
	m := notice.Message{AckID: fmt.Sprint("ack", i), Attributes: attributes("google.workspace.meet.recording.v2.started"), Data: []byte(`{"recording":{"name":"conferenceRecords/r/recordings/x"}}`)}
	m.Attributes["ce-id"] = fmt.Sprint(i)
	return m
}

func start(t *testing.T, q *queue, s *store) (p *notice.Puller, registry *prometheus.Registry, stop func()) {
	t.Helper()
	registry = prometheus.NewRegistry()
	p, err := notice.New(q, s, time.Now, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return p, registry, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestANoticeLeavesTheQueueOnceItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &store{}
		s.looked = func() {
			if acked, _ := q.settled(); len(acked) > 0 {
				t.Errorf("acknowledged before it was stored: %v", acked)
			}
		}
		_, registry, stop := start(t, q, s)
		broken, unknown := message(2), message(3)
		broken.Data = []byte("\xff")
		unknown.Attributes["ce-type"] = "google.workspace.meet.weather.v9.changed"
		q.put(message(1), broken, unknown)
		synctest.Wait()
		acked, returned := q.settled()
		if slices.Sort(acked); !slices.Equal(acked, []string{"ack1", "ack2", "ack3"}) || len(returned) != 0 || len(s.kept) != 1 || s.kept[0].ID != "1" {
			t.Errorf("acked %v, returned %v, kept %+v", acked, returned, s.kept)
		}
		stop()
		if n := testutil.CollectAndCount(registry, "meet_notices_total"); n != 3 {
			t.Errorf("%d outcomes were counted", n)
		}
	})
}

func TestWhatIsNotStoredComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &store{down: errors.New("NATS is away")}
		p, _, stop := start(t, q, s)
		q.put(message(1))
		time.Sleep(31 * time.Second) // of the bubble
		synctest.Wait()
		if acked, returned := q.settled(); len(acked) != 0 || !slices.Equal(returned, []string{"ack1"}) {
			t.Errorf("acked %v, returned %v", acked, returned)
		}
		if err := p.Check(t.Context()); err == nil {
			t.Error("nothing is said of it")
		}
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
		time.Sleep(time.Minute)
		q.put(message(1))
		synctest.Wait()
		if acked, _ := q.settled(); !slices.Equal(acked, []string{"ack1"}) || p.Check(t.Context()) != nil {
			t.Errorf("acked %v, check %v", acked, p.Check(t.Context()))
		}
		stop()
	})
}

func TestAQueueThatIsDownIsAskedLessAndLessAndIsNoReasonToBeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &store{}
		q.down = errors.New("status 503")
		p, _, stop := start(t, q, s)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		q.mu.Lock()
		pulls := q.pulls
		q.mu.Unlock()
		if pulls < 10 || pulls > 60 {
			t.Errorf("%d pulls in ten minutes", pulls)
		}
		health := httpserver.NewHealth(time.Now)
		health.Add(httpserver.Check{Name: "notices", Probe: p.Check})
		health.SetReady(true)
		if report := health.Report(t.Context()); report.Status != "degraded" || !report.Ready() {
			t.Errorf("%+v", report)
		}
		q.become(nil)
		q.put(message(1))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if acked, _ := q.settled(); len(acked) != 1 || p.Check(t.Context()) != nil {
			t.Errorf("back again: acked %v, check %v", acked, p.Check(t.Context()))
		}
		stop()
	})
}

func TestAStopHandsBackWhatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &store{down: errors.New("NATS is away")}
		_, _, stop := start(t, q, s)
		q.put(message(1))
		time.Sleep(time.Second)
		stop()
		if acked, returned := q.settled(); len(acked) != 0 || !slices.Equal(returned, []string{"ack1"}) {
			t.Errorf("acked %v, returned %v", acked, returned)
		}
	})
}
