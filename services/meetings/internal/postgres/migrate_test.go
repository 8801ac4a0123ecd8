package postgres_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
	"github.com/meet-middleware/meet-middleware/services/meetings/migrations"
)

// schema describes tables, constraints and indexes from the catalog, the same for every supported release: a dump's text
// differs from one to the next.
const schema = `
WITH mine AS (SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'goose_db_version')
SELECT line FROM (
    SELECT relname, 1 AS part, a.attnum::int AS place, format('%s.%s %s%s%s%s', relname, attname, format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN ' not null' ELSE '' END, CASE attidentity WHEN 'a' THEN ' always identity' WHEN 'd' THEN ' default identity' ELSE '' END,
        coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) AS line
    FROM mine JOIN pg_attribute a ON a.attrelid = mine.oid AND attnum > 0 AND NOT attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = mine.oid AND d.adnum = attnum
    UNION ALL
    SELECT relname, 2, 0, format('%s: %s %s', relname, conname, pg_get_constraintdef(k.oid)) FROM mine JOIN pg_constraint k ON k.conrelid = mine.oid AND contype <> 'n'
    UNION ALL
    SELECT relname, 3, 0, pg_get_indexdef(i.indexrelid) FROM mine JOIN pg_index i ON i.indrelid = mine.oid
    UNION ALL
    SELECT relname, 4, 0, format('%s with %s', relname, array_to_string(reloptions, ', ')) FROM mine JOIN pg_class USING (oid, relname) WHERE reloptions IS NOT NULL
) AS described ORDER BY relname COLLATE "C", part, place, line COLLATE "C"`

func TestTheMigrationsMakeTheApprovedSchema(t *testing.T) {
	i := newInstance(t)
	golden.Equal(t, "../../migrations/schema.golden.txt", []byte(strings.Join(column[string](t, i, schema), "\n")+"\n"))
}

func TestMeetingsOfTheReleaseBeforeAreLookedAfter(t *testing.T) {
	url := pgtest.New(t, nil)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	sql := stdlib.OpenDBFromPool(pool)
	provider, err := goose.NewProvider(goose.DialectPostgres, sql, migrations.FS)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second) // a migration has no other clock
	if _, err := pool.Exec(t.Context(), `INSERT INTO users (username, email, role, date_joined) VALUES ('doctor', 'doctor@clinic.example', 'external', $1)`, now); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		account, recording string
		starts             time.Duration
	}{
		{"doctor@clinic.example", "expected", 24 * time.Hour}, // 1: ahead
		{"admin@clinic.example", "expected", -time.Hour},      // 2: just over
		{"", "expected", time.Hour},                           // 3: whose the space is is not known
		{"doctor@clinic.example", "not_expected", time.Hour},  // 4
		{"old@clinic.example", "expected", -60 * 24 * time.Hour},
	} {
		if _, err := pool.Exec(t.Context(), `INSERT INTO meetings (uid, organizer_id, organizer_email, summary, description, time_zone, scheduled_start, scheduled_end,
			external_reference, auto_record, create_calendar_event, public_access, guests_can_see_each_other, status, provisioning, google_sync, recording_state,
			participants_count, version, wanted_version, generation, space, google_account, created_at, updated_at)
			VALUES (gen_random_uuid(), 1, 'doctor@clinic.example', '', '', 'UTC', $1, $2, '', $3 = 'expected', true, false, true, 'SCHEDULED', 'ready', 'ok', $3, 1, 1, 1, 0, 'spaces/x', $4, $5, $5)`,
			now.Add(m.starts), now.Add(m.starts+30*time.Minute), m.recording, m.account, now.Add(-61*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := postgres.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	i := instanceAt(t, url, clock.NewManual(now))
	if checks := column[string](t, i, `SELECT key FROM jobs WHERE kind = 'check_recording' AND state = 'due' AND meeting_id::text = key AND payload->>'meetingId' = key ORDER BY key`); !slices.Equal(checks, []string{"1", "2", "3"}) {
		t.Errorf("looked after are %q", checks)
	}
	if due := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'check_recording' AND key = '1'`); !due.Equal(now.Add(24*time.Hour + 10*time.Minute)) {
		t.Errorf("the first is due at %s", due)
	}
	if accounts := column[string](t, i, `SELECT o.account FROM space_owners o JOIN jobs j ON j.kind = 'follow_conferences' AND j.key = o.id::text AND j.payload->>'owner' = o.id::text ORDER BY 1`); !slices.Equal(accounts, []string{"admin@clinic.example", "doctor@clinic.example"}) {
		t.Errorf("followed are %q", accounts)
	}
}

func TestInstancesThatStartTogetherMigrateOnce(t *testing.T) {
	url := pgtest.New(t, nil)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	i := instanceAt(t, url, clock.NewManual(today)) // once more
	if versions := column[int64](t, i, `SELECT version_id FROM goose_db_version ORDER BY id`); !slices.IsSorted(versions) || len(slices.Compact(slices.Clone(versions))) != len(versions) {
		t.Errorf("versions %v", versions)
	}
	i.accept(t, create("doctor@clinic.example"), update(1, meeting.Patch{}))
}
