package stacktest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// The size of the flood: the usual one is small enough for every run of the tests. The figures of docs/quotas.md are those of
// larger ones, on a slower clock.
var (
	floodCreates    = flag.Int("flood.creates", 60, "how many meetings the flood creates at once")
	floodOrganizers = flag.Int("flood.organizers", 3, "of how many organizers")
	floodPatience   = flag.Duration("flood.patience", 10*time.Minute, "how long it may take in all")
	floodRate       = flag.Float64("flood.rate", 5, "how many seconds of the quotas pass in a real one")
)

// quotaUse is what the emulator has counted of one class.
type quotaUse struct {
	Class          string
	Project, User  int
	Allowed        int
	RefusedProject int `json:"refused_project"`
	RefusedUser    int `json:"refused_user"`
	PeakProject    int `json:"peak_project"`
	PeakUser       int `json:"peak_user"`
}

// awaitSynced returns once Google agrees with so many meetings; nothing tells of that, so it is looked for.
func awaitSynced(ctx context.Context, s *stacktest.Stack, n int) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		counts, err := stacktest.Query(ctx, s, pgx.RowTo[int], "SELECT count(*) FROM meetings WHERE google_sync = 'ok'")
		if err != nil {
			return err
		}
		if counts[0] >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("google agrees with %d meetings of %d: %w", counts[0], n, context.Cause(ctx))
		}
	}
}

func TestAFloodOfCreatesKeepsGooglesQuotasOnTheWholeProduct(t *testing.T) {
	s := stacktest.Start(t, stacktest.Options{Schedulers: 3, Throwaway: true, Env: []string{
		"MEET_CLOCK=emulator", "MEET_GOOGLE_QUOTAS=on", "GOOGLE_WORKSPACE_DOMAINS=clinic.example",
	}})
	ctx, cancel := context.WithTimeoutCause(t.Context(), *floodPatience, errors.New("the flood does not end"))
	defer cancel()
	for path, body := range map[string]any{"quotas": map[string]any{"enabled": true}, "clock": map[string]any{"rate": *floodRate}} {
		if err := s.Control(ctx, http.MethodPost, path, body, nil); err != nil {
			t.Fatal(err)
		}
	}
	onItsClock := func(since time.Time) time.Duration { return time.Duration(float64(time.Since(since)) * *floodRate) }

	client := s.NewClient()
	promises := make([]*stacktest.Promise, *floodCreates+1)
	var all sync.WaitGroup
	var mu sync.Mutex // guards what follows
	statuses := make(map[int]int)
	var answered time.Duration // the last one
	begun := time.Now()
	for n := range *floodCreates {
		all.Go(func() {
			p, answer, err := client.Create(ctx, fmt.Sprintf("flood-%d", n), fmt.Sprintf("doctor%d@clinic.example", n%*floodOrganizers), nil)
			if err != nil {
				t.Error(err)
				return
			}
			promises[n] = p
			mu.Lock()
			defer mu.Unlock()
			statuses[answer.Status]++
			answered = max(answered, onItsClock(begun))
		})
	}
	if err := awaitSynced(ctx, s, *floodCreates/2); err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	lone, answer, err := client.Create(ctx, "lone", "lone@clinic.example", nil)
	if err != nil || answer.Status != http.StatusCreated {
		t.Errorf("the lone create: %d %s %v", answer.Status, answer.Body, err)
	}
	waited := onItsClock(asked)
	promises[*floodCreates] = lone
	all.Wait()
	if t.Failed() {
		return
	}
	if err := awaitSynced(ctx, s, *floodCreates+1); err != nil {
		t.Fatal(err)
	}
	took := onItsClock(begun)

	s.Drain(t)
	s.Verify(t, promises)
	var state struct{ Quotas []quotaUse }
	if err := s.Control(ctx, http.MethodGet, "state?only=quotas", nil, &state); err != nil {
		t.Fatal(err)
	}
	calls, refused := 0, 0
	for _, use := range state.Quotas {
		calls += use.Allowed
		refused += use.RefusedProject + use.RefusedUser
		if use.Allowed > 0 {
			t.Logf("%-12s %6d calls, busiest minute %5d of %5d, of one organizer %4d of %4d, refused %d", use.Class, use.Allowed, use.PeakProject, use.Project, use.PeakUser, use.User, use.RefusedProject+use.RefusedUser)
		}
	}
	// Each takes one change of a space, which is what is scarce.
	allowed := time.Duration(float64(*floodCreates) / min(800, 80*float64(*floodOrganizers)) * float64(time.Minute))
	t.Logf("%d creates of %d organizers, 3 schedulers, clock x%g: answers %v, the last after %.1f s, %d requests sent again; %.1f s, the budget allows %.1f s (%+.1f %%); refused %d of %d calls; the lone one after %.2f s",
		*floodCreates, *floodOrganizers, *floodRate, statuses, answered.Seconds(), client.Retries.Load(), took.Seconds(), allowed.Seconds(), 100*(took.Seconds()/allowed.Seconds()-1), refused, calls+refused, waited.Seconds())
	if refused*100 > calls+refused {
		t.Errorf("Google refused %d of %d calls, want at most one in a hundred", refused, calls+refused)
	}
	if waited > 10*time.Second {
		t.Errorf("a lone create in the middle waited %s", waited)
	}
	// A stall of a busy machine costs as much more on this clock, and slots that pass meanwhile are lost. The figure above is what
	// to read on a quiet one.
	if most := 2*allowed + 20*time.Second; took > most {
		t.Errorf("took %s, want at most %s", took, most)
	}
}
