package google_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

// inbox keeps what is posted, a double once, as meetings does.
type inbox struct {
	mu    sync.Mutex
	kept  map[string]notice.Notice
	posts int
	came  chan struct{}
}

func (b *inbox) PostNotices(_ context.Context, notices []notice.Notice) error {
	b.mu.Lock()
	for _, n := range notices {
		b.kept[n.Source+"\n"+n.ID] = n
	}
	b.posts += len(notices)
	b.mu.Unlock()
	b.came <- struct{}{}
	return nil
}

// pullers empty the emulator's queue from now on, two programs side by side.
func pullers(t *testing.T, h *house, c google.Config) *inbox {
	t.Helper()
	box := &inbox{kept: make(map[string]notice.Notice), came: make(chan struct{}, 4096)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for range 2 {
		p, err := notice.New(newClient(t, h.url, c), box, h.Now, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- p.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return box
}

// until waits for posts until there is what is wanted.
func (b *inbox) until(t *testing.T, what string, there func(map[string]notice.Notice) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		b.mu.Lock()
		done := there(b.kept)
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-b.came:
		case <-limit:
			t.Fatalf("no %s; kept are %v", what, b.types())
		}
	}
}

func (b *inbox) types() (types []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.kept {
		types = append(types, strings.TrimPrefix(n.Type, "google.workspace."))
	}
	slices.Sort(types)
	return types
}

func has(kind string) func(map[string]notice.Notice) bool {
	return func(kept map[string]notice.Notice) bool {
		for _, n := range kept {
			if strings.HasSuffix(n.Type, kind) {
				return true
			}
		}
		return false
	}
}

// follow subscribes the account that owns the house.
func (h *house) follow() job.Subscription {
	h.Helper()
	o := h.do(job.ConferencePlan{Account: boss, Upkeep: true, Subscribe: true})
	if o.Failure != nil || o.Subscription == nil || o.Subscription.State != job.SubscriptionActive {
		h.Fatalf("%+v", o)
	}
	return *o.Subscription
}

// open pulls until the emulator has the queue: it makes one that is asked for.
func (h *house) open(c google.Config) *google.Client {
	h.Helper()
	client := newClient(h.T, h.url, c)
	for len(h.state(h.T).Pubsub) == 0 {
		if got, err := client.Pull(withTimeout(h.T, 100*time.Millisecond), 10); err == nil {
			h.Fatalf("pulled %v", got)
		}
	}
	return client
}

func TestNoticesOfAConferenceComeWithNothingSetUp(t *testing.T) {
	c := google.Config{Mode: google.ModeEmulator, Domains: []string{"example.com"}}.Completed(true)
	h := newHouse(t, c)
	h.control("pubsub", `{"topic":"projects/meet-emulator/topics/of-somebody-else","publisher":true}`)
	h.open(c)
	box := pullers(t, h, c)
	kept := h.follow()
	record := h.stage(googlefake.Script{})
	h.advance(3 * time.Hour)
	box.until(t, "file", has("recording.v2.fileGenerated"))
	box.until(t, "end", has("conference.v2.ended"))
	h.control("subscriptions", `{"suspend":"OTHER"}`)
	box.until(t, "suspension", func(kept map[string]notice.Notice) bool {
		for _, n := range kept {
			if strings.HasSuffix(n.Type, "subscription.v1.suspended") && n.Reason == "OTHER" {
				return true
			}
		}
		return false
	})
	box.mu.Lock()
	defer box.mu.Unlock()
	for _, n := range box.kept {
		if strings.HasPrefix(n.Type, "google.workspace.meet.") && (!strings.HasPrefix(n.Resource, record) || n.Source != "//workspaceevents.googleapis.com/"+kept.Name || n.Target != "//cloudidentity.googleapis.com/"+kept.User) {
			t.Errorf("%+v", n)
		}
	}
}

func TestDoubledLateReorderedAndBrokenNoticesComeToTheSame(t *testing.T) {
	c := google.Config{Topic: topic, Pull: queue}
	h := newHouse(t, c)
	h.follow()
	h.open(c)
	box := pullers(t, h, c)
	h.configure(func(s *googlefake.Setup) {
		s.Events = googlefake.EventsSetup{Duplicate: .5, Reorder: .3, Late: .3, UnknownType: .3, Undecodable: .1, Redeliver: .3}
	})
	var records []string
	for range 10 {
		records = append(records, h.stage(googlefake.Script{}))
		h.advance(3 * time.Hour)
	}
	h.configure(func(s *googlefake.Setup) { s.Events = googlefake.EventsSetup{} })
	last := h.stage(googlefake.Script{})
	h.advance(3 * time.Hour)
	box.until(t, "last file", func(kept map[string]notice.Notice) bool {
		for _, n := range kept {
			if strings.HasPrefix(n.Resource, last+"/") && strings.HasSuffix(n.Type, "fileGenerated") {
				return true
			}
		}
		return false
	})
	sent := h.state(t).EventsSent
	box.until(t, "other notices", func(kept map[string]notice.Notice) bool { return int64(len(kept)) >= sent.Published-sent.Undecodable })
	box.mu.Lock()
	defer box.mu.Unlock()
	if int64(len(box.kept)) != sent.Published-sent.Undecodable || box.posts <= len(box.kept) || sent.Undecodable == 0 || sent.Duplicated == 0 || sent.Late == 0 {
		t.Errorf("%d kept of %d posted; sent %+v", len(box.kept), box.posts, sent)
	}
	for _, n := range box.kept {
		if !slices.ContainsFunc(append(records, last), func(r string) bool { return strings.HasPrefix(n.Resource, r) }) {
			t.Errorf("%+v", n)
		}
	}
}

func TestAQueueThatFailsIsEmptiedOnceItIsBack(t *testing.T) {
	c := google.Config{Topic: topic, Pull: queue}
	h := newHouse(t, c)
	h.follow()
	client := h.open(c)
	h.stage(googlefake.Script{})
	h.advance(3 * time.Hour)
	for name, fault := range map[string]googlefake.Fault{
		"denied": {Status: status(403)}, "down": {Status: status(503)}, "reset": {Status: status(googlefake.StatusReset)}, "revoked": {Status: status(401)},
	} {
		fault.Match = "POST /v1/projects/meet-emulator/subscriptions/notices"
		h.fault(t, fault)
		if _, err := client.Pull(t.Context(), 10); err == nil {
			t.Errorf("%s: no error", name)
		}
		h.ClearFaults()
	}
	got, err := client.Pull(t.Context(), 3)
	if err != nil || len(got) == 0 || len(got) > 3 {
		t.Fatalf("%d %v", len(got), err)
	}
	ids := make([]string, 0, len(got))
	for _, m := range got {
		ids = append(ids, m.AckID)
	}
	waiting := func() int { return h.state(t).Pubsub[0].Waiting }
	before := waiting()
	if err := client.Return(t.Context(), ids); err != nil || waiting() != before {
		t.Errorf("returned: %v, %d wait", err, waiting())
	}
	again, err := client.Pull(t.Context(), 3)
	if err != nil || len(again) != len(got) || again[0].AckID == got[0].AckID || fmt.Sprint(again[0].Attributes) != fmt.Sprint(got[0].Attributes) {
		t.Fatalf("%+v %v", again, err)
	}
	ids = ids[:0]
	for _, m := range again {
		ids = append(ids, m.AckID)
	}
	if err := client.Acknowledge(t.Context(), ids); err != nil || waiting() != before-len(ids) {
		t.Errorf("acknowledged: %v, %d wait", err, waiting())
	}
	for _, q := range h.requests(http.MethodPost, "/v1/projects/") {
		if strings.Contains(q.Query, "quotaUser") || q.Authorization == "" {
			t.Errorf("%+v", q)
		}
	}
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
