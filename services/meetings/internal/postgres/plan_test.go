package postgres_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// fill writes n finished meetings of n organizers with their rows, far quicker than by commands.
func (i *instance) fill(tb testing.TB, n int) {
	tb.Helper()
	for _, sql := range []string{
		`INSERT INTO users (id, username, email, role, date_joined) SELECT n, 'fill' || n, 'fill' || n || '@clinic.example', 'external', $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO meetings (id, uid, organizer_id, organizer_email, summary, description, time_zone, external_reference, auto_record, create_calendar_event,
			public_access, guests_can_see_each_other, status, provisioning, google_sync, recording_state, participants_count, version, wanted_version, generation,
			meet_link, meeting_code, google_event_id, scheduled_start, created_at, updated_at)
			SELECT n, gen_random_uuid(), n, 'fill' || n || '@clinic.example', '', '', 'UTC', 'ref' || n, false, true, false, false,
				CASE WHEN n % 10 = 0 THEN 'CANCELLED' ELSE 'CREATED' END, 'ready', 'ok', 'not_expected', 2, 2, 1, 1, 'https://meet.example/' || n, 'code-' || n, 'ev' || n,
				$2::timestamptz + n * interval '1 minute', $2, $2
			FROM generate_series(1, $1::int) n`,
		`INSERT INTO participants (meeting_id, email, role, invited, created_at) SELECT n, 'fill' || n || '@clinic.example', 'organizer', false, $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO participants (meeting_id, email, role, invited, created_at) SELECT n, 'guest' || n || '@mail.example', 'guest', true, $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO jobs (id, class, kind, meeting_id, organizer_id, state, priority, due_at, dispatch, failed_attempts, created_at, ended_at)
			SELECT gen_random_uuid(), 'google', 'sync_meeting', n, n, 'done', 1, $2, 1, 0, $2, $2::timestamptz - n * interval '1 minute' FROM generate_series(1, $1::int) n`,
		`INSERT INTO events (id, seq, type, subject, meeting_id, occurred_at, body, traceparent)
			SELECT gen_random_uuid(), n, 'meeting.created', 'x', n, $2::timestamptz + n * interval '1 second', '{}', '' FROM generate_series(1, $1::int) n`,
		`INSERT INTO commands (id, kind, body_hash, principal, request_id, remote_addr, reply, refused, meeting_id, ended_at)
			SELECT gen_random_uuid(), 'meeting.create', 'h', 'fill', '', '', '', '', n, $2::timestamptz - n * interval '1 minute' FROM generate_series(1, $1::int) n`,
		`UPDATE meetings SET space = 'spaces/' || id, google_account = organizer_email WHERE id <= $1::int AND $2::timestamptz IS NOT NULL`,
		`INSERT INTO jobs (id, class, kind, key, meeting_id, state, priority, due_at, dispatch, failed_attempts, created_at)
			SELECT gen_random_uuid(), 'observe', 'check_recording', n::text, n, 'due', 2, $2::timestamptz + n * interval '1 hour', 0, 0, $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO space_owners (id, account, busy_until, created_at, subscription, google_user)
			SELECT n, 'fill' || n || '@clinic.example', $2, $2, 'subscriptions/' || n, 'users/' || n FROM generate_series(1, $1::int) n`,
		`INSERT INTO jobs (id, class, kind, key, state, priority, due_at, dispatch, failed_attempts, created_at)
			SELECT gen_random_uuid(), 'observe', 'follow_conferences', n::text, 'due', 2, $2::timestamptz + n * interval '1 hour', 0, 0, $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO conferences (id, meeting_id, record, account, started_at, ended_at, end_exact, source, created_at)
			SELECT n, n, 'conferenceRecords/' || n, 'fill' || n || '@clinic.example', $2, $2, n % 2 = 0, 'reading', $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO attendees (id, conference_id, name) SELECT n, n, 'conferenceRecords/' || n || '/participants/1' FROM generate_series(1, $1::int) n WHERE $2::timestamptz IS NOT NULL`,
		`INSERT INTO attendee_sessions (name, attendee_id, joined_at) SELECT 'conferenceRecords/' || n || '/participants/1/participantSessions/1', n, $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO recordings (id, meeting_id, conference_id, name, state, created_at) SELECT n, n, n, 'conferenceRecords/' || n || '/recordings/r', 'started', $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO transcripts (id, meeting_id, conference_id, name, state, created_at) SELECT n, n, n, 'conferenceRecords/' || n || '/transcripts/t', 'started', $2 FROM generate_series(1, $1::int) n`,
		`INSERT INTO transcript_entries (transcript_id, name, attendee, text, language, started_at, ended_at)
			SELECT n, 'conferenceRecords/' || n || '/e', '', '', '', $2, $2 FROM generate_series(1, $1::int) n`,
		`UPDATE relay SET last_seq = $1::int, published_seq = $1::int WHERE $2::timestamptz IS NOT NULL`,
		`SELECT setval(pg_get_serial_sequence('users', 'id'), $1::int), setval(pg_get_serial_sequence('meetings', 'id'), $1::int) WHERE $2::timestamptz IS NOT NULL`,
	} {
		i.exec(tb, sql, n, today)
	}
}

var actualRows = regexp.MustCompile(`Rows Removed by (?:Filter|Join Filter|Index Recheck): (\d+)`)

func TestNoHotStatementReadsRowsItDoesNotNeed(t *testing.T) {
	i := newInstance(t)
	i.fill(t, 5000) // nothing analyzed it: the plans are those of a fresh database
	i.exec(t, `UPDATE jobs SET state = 'out', dispatched_at = $1::timestamptz - interval '1 minute' WHERE meeting_id <= 100`, today)
	i.exec(t, `UPDATE jobs SET state = 'due' WHERE meeting_id BETWEEN 101 AND 200`)
	i.exec(t, `UPDATE events SET seq = NULL WHERE seq > 4900`)
	uid := ask[string](t, i, `SELECT uid::text FROM meetings WHERE id = 7`)
	config, err := pgx.ParseConfig(i.url)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range postgres.HotSettings() {
		config.RuntimeParams[name] = v
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	for name, statement := range postgres.HotStatements(today, uid) {
		t.Run(name, func(t *testing.T) {
			if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = conn.Exec(t.Context(), "ROLLBACK") }()
			rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+statement.SQL, append([]any{pgx.QueryExecModeCacheStatement}, statement.Args...)...)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			plan := strings.Join(lines, "\n")
			removed := 0
			for _, m := range actualRows.FindAllStringSubmatch(plan, -1) {
				n, _ := strconv.Atoi(m[1])
				removed += n
			}
			if strings.Contains(plan, "Seq Scan on ") && !strings.Contains(plan, "Seq Scan on relay") || removed > 100 || wide(plan) {
				t.Errorf("reads too much:\n%s", plan)
			}
		})
	}
}

var scanned = regexp.MustCompile(`Scan.* on .*\(actual rows=(\d+)`)

// wide tells whether a scan of a table or an index gave hundreds of rows where a handful is wanted.
func wide(plan string) bool {
	for _, m := range scanned.FindAllStringSubmatch(plan, -1) {
		if n, err := strconv.Atoi(m[1]); err != nil || n > 500 {
			return true
		}
	}
	return false
}
