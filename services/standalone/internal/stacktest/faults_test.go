package stacktest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// createWait is MEET_CREATE_WAIT of these tests.
const createWait = time.Second

func TestWhateverGoogleDoesNoLinkIsMadeUpAndNoEventMadeTwice(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{Throwaway: true, Env: []string{"MEET_CREATE_WAIT=" + createWait.String()}})
	client := s.NewClient()
	calendar := func(more map[string]any) map[string]any {
		f := map[string]any{"match": "POST /calendar/v3/", "times": 1}
		for name, value := range more {
			f[name] = value
		}
		return f
	}
	// Google is asked for a token once for each organizer: a new one in each case.
	cases := []struct {
		name  string
		fault map[string]any
		want  []int
		// after: the fault ends by itself; else a person has to put it right and ask again.
		heals bool
	}{
		// First what would refuse the next steps of others, too.
		{"token refused", map[string]any{"match": "POST /token", "status": 401, "reason": "unauthorized_client"}, []int{502}, false},
		{"403", calendar(map[string]any{"status": 403, "reason": "forbidden"}), []int{502}, false},
		{"30 s of latency", calendar(map[string]any{"latency": "30s"}), []int{202}, true},
		{"429 with Retry-After", calendar(map[string]any{"status": 429, "retry_after": 1}), []int{201, 202}, true},
		{"500", calendar(map[string]any{"status": 500}), []int{201, 202}, true},
		{"503 three times", calendar(map[string]any{"status": 503, "times": 3}), []int{201, 202}, true},
		{"reset before the work", calendar(map[string]any{"status": 0}), []int{201, 202}, true},
		{"reset after the work", calendar(map[string]any{"status": 0, "when": "after"}), []int{201, 202}, true},
		{"500 after the work", calendar(map[string]any{"status": 500, "when": "after"}), []int{201, 202}, true},
		{"no token for a while", map[string]any{"match": "POST /token", "status": 503, "times": 1}, []int{201, 202}, true},
	}
	var promises []*stacktest.Promise
	var refused []*stacktest.Promise
	for i, c := range cases {
		if err := s.Faults(t.Context(), c.fault); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		p, answer, err := client.Create(t.Context(), fmt.Sprintf("case-%d", i), fmt.Sprintf("doctor%d@clinic.example", i), nil)
		took := time.Since(begin)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !slices.Contains(c.want, answer.Status) {
			t.Errorf("%s: %d %s, want %v", c.name, answer.Status, answer.Body, c.want)
		}
		if took > createWait+5*time.Second { // some for a slow machine
			t.Errorf("%s: answered after %s, MEET_CREATE_WAIT is %s", c.name, took, createWait)
		}
		if text := string(answer.Body); answer.Status == http.StatusBadGateway && (!strings.Contains(text, `"error":"`) || !strings.Contains(text, `"code":"`)) {
			t.Errorf("%s: %s lacks what a person can do", c.name, text)
		}
		if answer.Status == http.StatusAccepted {
			if where := answer.Header.Get("Location"); !strings.HasPrefix(where, "/api/v1/operations/") {
				t.Errorf("%s: Location is %q", c.name, where)
			}
		}
		t.Logf("%s: %d after %s", c.name, answer.Status, took.Round(time.Millisecond))
		promises = append(promises, p)
		if !c.heals {
			refused = append(refused, p)
		}
	}
	if err := s.Faults(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range refused {
		path := "meetings/" + strconv.FormatInt(p.ID, 10) + "/provision/"
		answer, err := client.Do(t.Context(), http.MethodPost, path, "again-"+p.Reference, nil)
		if err != nil || answer.Status >= 300 {
			t.Errorf("provision %s again: %d %s %v", p.Reference, answer.Status, answer.Body, err)
		}
	}
	s.Drain(t)
	s.Verify(t, promises)
}
