package postgres_test

import (
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// TestScrapesStayCheapBesideHalfAMillionJobs reads what a scrape reads, of which the first two are read at every one and the others
// once a minute.
func TestScrapesStayCheapBesideHalfAMillionJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("writes half a million rows")
	}
	i := newInstance(t)
	i.manyJobs(t, 500_000)
	i.manyExpected(t, 20_000)
	i.exec(t, `VACUUM ANALYZE jobs`)
	i.exec(t, `VACUUM ANALYZE meetings`)
	quick(t, "backlog", func() int {
		b, err := i.store.Backlog(t.Context(), today, subject.Classes())
		if err != nil {
			t.Fatal(err)
		}
		return len(b.Jobs)
	})
	quick(t, "who leads", func() int {
		if _, err := i.store.Led(t.Context()); err != nil {
			t.Fatal(err)
		}
		return 1
	})
	quick(t, "planned jobs", func() int {
		planned, err := i.store.Planned(t.Context(), today)
		if err != nil {
			t.Fatal(err)
		}
		return int(planned[subject.ClassObserve])
	})
	quick(t, "recordings of a week", func() int {
		counts, err := i.store.RecentRecordings(t.Context(), today, true)
		if err != nil {
			t.Fatal(err)
		}
		return int(counts.LastWeek.Expected)
	})
}
