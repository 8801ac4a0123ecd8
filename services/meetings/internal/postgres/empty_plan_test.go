package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// A generic plan that is made while the tables are empty is kept while they grow, so already there it must go by the index on
// what the batch asks for.
func TestPlansMadeForEmptyTablesFindMeetingsByIndex(t *testing.T) {
	config, err := pgx.ParseConfig(pgtest.New(t, Migrate))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range hotSettings() {
		config.RuntimeParams[name] = value
	}
	config.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // nothing is lost with it

	batch := new(pgx.Batch)
	q := db.New(queue{batch})
	for n, c := range []struct {
		name, want string
		queue      func() error
	}{
		{"LockGoogleJobs", "Index Cond: (meeting_id = ANY", func() error { _, err := q.LockGoogleJobs(t.Context(), db.LockGoogleJobsParams{}); return err }},
		{"GuestsOf", "Index Cond: (meeting_id = ANY", func() error { _, err := q.GuestsOf(t.Context(), db.GuestsOfParams{}); return err }},
		{"LockMeetings", "Index Cond: (id = ANY", func() error { _, err := q.LockMeetings(t.Context(), db.LockMeetingsParams{}); return err }},
	} {
		if err := c.queue(); err != errQueued { //nolint:errorlint // the value itself
			t.Fatalf("%s: %v", c.name, err)
		}
		sql := batch.QueuedQueries[n].SQL
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("PREPARE s%d AS %s", n, sql)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		rows, err := conn.Query(t.Context(), fmt.Sprintf("EXPLAIN (COSTS OFF) EXECUTE s%d ('{1,2}', '{}')", n), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if plan := strings.Join(lines, "\n"); !strings.Contains(plan, c.want) || strings.Contains(plan, "Seq Scan on ") {
			t.Errorf("%s: want %q in\n%s", c.name, c.want, plan)
		}
	}
}
