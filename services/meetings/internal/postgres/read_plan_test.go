package postgres_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// manyJobs writes n rows that are due, spread over the classes, some of them for one moment, with a few that are out and as many
// again as a tenth that ended.
func (i *instance) manyJobs(tb testing.TB, n int) {
	tb.Helper()
	i.exec(tb, `INSERT INTO jobs (id, class, kind, key, state, priority, due_at, dispatch, failed_attempts, created_at)
		SELECT gen_random_uuid(), CASE WHEN n % 10 = 0 THEN 'export' ELSE 'observe' END, CASE WHEN n % 10 = 0 THEN 'export_recording' WHEN n % 1000 = 1 THEN 'follow_conferences' ELSE 'check_recording' END,
			'many' || n, 'due', 1, $2::timestamptz + (n % 100000) * interval '1 second', 0, 0, $2 FROM generate_series(1, $1::int) n`, n, today)
	i.exec(tb, `INSERT INTO jobs (id, class, kind, key, state, priority, due_at, dispatch, dispatched_at, failed_attempts, created_at)
		SELECT gen_random_uuid(), 'observe', 'check_recording', 'out' || n, 'out', 1, $2::timestamptz - n * interval '1 second', 1, $2, 0, $2 FROM generate_series(1, $1::int) n`, 200, today)
	i.exec(tb, `INSERT INTO jobs (id, class, kind, state, priority, due_at, dispatch, failed_attempts, created_at, ended_at)
		SELECT gen_random_uuid(), 'observe', 'sync_recording', CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'done' END, 1, $2, 1, 0, $2, $2::timestamptz - n * interval '1 second' FROM generate_series(1, $1::int) n`, n/10, today)
}

// patient bounds a list on a machine that has much else to do; alone it takes milliseconds, and the plans are looked at by rows.
const patient = 3 * time.Second

// quick tells the median of some runs; far beyond what a busy machine explains, it fails.
func quick(t *testing.T, name string, run func() int) {
	t.Helper()
	var took []time.Duration
	rows := 0
	for range 5 {
		began := time.Now()
		rows = run()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("%-40s %5d rows, median %v", name, rows, took[len(took)/2].Round(10*time.Microsecond))
	if took[len(took)/2] > patient {
		t.Errorf("%s: %v", name, took)
	}
}

// readsAPage fails when a plan of the lists reads more of the jobs than a page needs.
func (i *instance) readsAPage(t *testing.T, lists map[string]postgres.Statement) {
	t.Helper()
	config, err := pgx.ParseConfig(i.url)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(config.RuntimeParams, postgres.ListSettings())
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for name, list := range lists {
		rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF) "+list.SQL, append([]any{pgx.QueryExecModeCacheStatement}, list.Args...)...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan, removed := strings.Join(lines, "\n"), 0
		for _, m := range actualRows.FindAllStringSubmatch(plan, -1) {
			n, _ := strconv.Atoi(m[1])
			removed += n
		}
		if strings.Contains(plan, "Seq Scan on jobs") || removed > 500 || wide(plan) {
			t.Errorf("%s reads too much:\n%s", name, plan)
		}
	}
}

func TestJobsAreListedQuicklyBesideHalfAMillionThatAreDue(t *testing.T) {
	if testing.Short() {
		t.Skip("writes half a million rows")
	}
	i := newInstance(t)
	i.fill(t, 1000)
	i.manyJobs(t, 500_000)
	i.exec(t, `ANALYZE`)
	i.readsAPage(t, postgres.JobLists(today.Add(50_000*time.Second)))
	list := func(f app.JobFilter) []app.JobRow {
		t.Helper()
		rows, err := i.store.ListJobs(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	all := list(app.JobFilter{Limit: 1000})
	middle := app.JobPlace{At: today.Add(50_000 * time.Second), ID: uuid.Max}
	for name, f := range map[string]app.JobFilter{
		"the first page":         {Limit: 101},
		"the widest page":        {Limit: 1001},
		"a page in the middle":   {Limit: 101, After: middle},
		"a class":                {Class: "export", Limit: 101, After: middle},
		"a class that has none":  {Class: "webhook", Limit: 101},
		"what is out":            {State: meeting.JobOut, Limit: 101},
		"a kind":                 {Class: "observe", Kind: "check_recording", Limit: 101, After: middle},
		"what ended":             {State: meeting.JobDone, Limit: 101},
		"what failed":            {State: meeting.JobFailed, Limit: 101},
		"a page of what ended":   {Limit: 101, After: app.JobPlace{Ended: true, At: today.Add(-20_000 * time.Second), ID: uuid.Nil}},
		"a meeting's":            {MeetingID: 7, Limit: 101},
		"a page after the last":  {Limit: 101, After: app.JobPlace{Ended: true, At: today.AddDate(-1, 0, 0)}},
		"those of one organizer": {OrganizerID: 7, Limit: 101},
	} {
		quick(t, name, func() int { return len(list(f)) })
	}
	quick(t, "a kind of which there are few", func() int {
		return len(list(app.JobFilter{Class: "observe", Kind: "follow_conferences", Limit: 101}))
	})
	id := uuid.MustParse(all[0].ID)
	quick(t, "one", func() int {
		if _, err := i.store.FindJob(t.Context(), id); err != nil {
			t.Error(err)
		}
		return 1
	})
	if n := len(all); n != 1000 || all[0].State != meeting.JobOut || all[200].State != meeting.JobDue {
		t.Errorf("%d rows, %v first, %v then", n, all[0].State, all[200].State)
	}
}

func TestPagesOfJobsHoldEachRowOnce(t *testing.T) {
	i := newInstance(t)
	i.manyJobs(t, 3000)
	i.accept(t, create("doctor@clinic.example"))
	i.exec(t, `UPDATE jobs SET due_at = $1 WHERE state = 'due' AND key LIKE '%7'`, today) // many at one moment
	for name, c := range map[string]struct {
		filter app.JobFilter
		want   string
	}{
		"all":                {app.JobFilter{}, `true`},
		"due":                {app.JobFilter{State: meeting.JobDue}, `state = 'due'`},
		"out":                {app.JobFilter{State: meeting.JobOut}, `state = 'out'`},
		"done":               {app.JobFilter{State: meeting.JobDone}, `state = 'done'`},
		"failed":             {app.JobFilter{State: meeting.JobFailed}, `state = 'failed'`},
		"a class":            {app.JobFilter{Class: "export"}, `class = 'export'`},
		"a kind":             {app.JobFilter{Kind: "follow_conferences"}, `kind = 'follow_conferences'`},
		"a kind of none":     {app.JobFilter{Kind: "x\x00"}, `false`},
		"a meeting":          {app.JobFilter{MeetingID: 1}, `meeting_id = 1`},
		"an organizer":       {app.JobFilter{OrganizerID: 1}, `meeting_id = 1`},
		"another organizer":  {app.JobFilter{MeetingID: 1, OrganizerID: 2}, `false`},
		"another's, by kind": {app.JobFilter{MeetingID: 1, Kind: "check_recording"}, `meeting_id = 1 AND kind = 'check_recording'`},
	} {
		for _, size := range []int{7, 1000, 10_000} {
			want := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE `+c.want)
			var got []app.JobRow
			for c.filter.After, c.filter.Limit = (app.JobPlace{}), size; ; {
				rows, err := i.store.ListJobs(t.Context(), c.filter)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, rows...)
				if len(rows) < size {
					break
				}
				c.filter.After = placeOf(&rows[size-1])
			}
			if int64(len(got)) != want {
				t.Errorf("%s by %d: %d rows, want %d", name, size, len(got), want)
			}
			seen := make(map[string]bool)
			for n := range got {
				if seen[got[n].ID] {
					t.Fatalf("%s by %d: a row twice", name, size)
				}
				seen[got[n].ID] = true
				if n > 0 && !before(placeOf(&got[n-1]), placeOf(&got[n])) {
					t.Fatalf("%s by %d: %+v stands before %+v", name, size, placeOf(&got[n-1]), placeOf(&got[n]))
				}
			}
		}
	}
}

func placeOf(j *app.JobRow) app.JobPlace {
	if j.State == meeting.JobDone || j.State == meeting.JobFailed {
		return app.JobPlace{Ended: true, At: j.EndedAt, ID: uuid.MustParse(j.ID)}
	}
	return app.JobPlace{At: j.DueAt, ID: uuid.MustParse(j.ID)}
}

func before(a, b app.JobPlace) bool {
	switch {
	case a.Ended != b.Ended:
		return b.Ended
	case a.Ended:
		a, b = b, a
	}
	return a.At.Before(b.At) || a.At.Equal(b.At) && a.ID.String() < b.ID.String()
}

// manyExpected writes n meetings that were to be recorded, of 200 organizers in 100 days, in all states; with a recording of each.
func (i *instance) manyExpected(tb testing.TB, n int) {
	tb.Helper()
	i.exec(tb, `INSERT INTO users (id, username, email, role, date_joined) SELECT n, 'd' || n, 'd' || n || '@clinic.example', 'external', $1 FROM generate_series(1, 200) n`, today)
	i.exec(tb, `INSERT INTO meetings (id, uid, organizer_id, organizer_email, summary, description, time_zone, external_reference, auto_record, create_calendar_event,
		public_access, guests_can_see_each_other, status, provisioning, google_sync, recording_state, recording_reason, participants_count, version, wanted_version, generation,
		scheduled_start, created_at, updated_at)
		SELECT n, gen_random_uuid(), 1 + n % 200, '', '', '', 'UTC', '', true, true, false, false, 'CREATED', 'ready', 'ok',
			(ARRAY['verified', 'verified', 'verified', 'verified', 'file_generated', 'missing', 'expected', 'not_expected'])[1 + n % 8],
			CASE WHEN n % 8 = 5 THEN (ARRAY['NOT_HELD', 'NEVER_STARTED', 'FILE_DELETED'])[1 + n % 3] ELSE '' END, 2, 1, 1, 1,
			CASE WHEN n % 1000 <> 9 THEN $2::timestamptz - n * interval '86 seconds' END, $2::timestamptz - n * interval '86 seconds', $2 FROM generate_series(1, $1::int) n`, n, today)
	i.exec(tb, `INSERT INTO recordings (meeting_id, state, started_at, created_at, export_state)
		SELECT n, CASE WHEN n % 100 = 0 THEN 'started' ELSE 'file_generated' END, $2::timestamptz - n * interval '86 seconds', $2, CASE WHEN n % 500 = 3 THEN 'mismatch' ELSE 'verified' END
		FROM generate_series(1, $1::int) n`, n, today)
	i.exec(tb, `ANALYZE meetings`)
	i.exec(tb, `ANALYZE recordings`)
}

func TestCoverageOfAHundredThousandMeetingsIsCountedQuickly(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a hundred thousand meetings")
	}
	i := newInstance(t)
	const n = 100_000
	i.manyExpected(t, n)
	count := func(f app.CoverageFilter) app.Coverage {
		t.Helper()
		rows, err := i.store.Coverage(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return app.Cover(rows, true)
	}
	everything := app.CoverageFilter{From: today.AddDate(-1, 0, 0), To: today.AddDate(0, 0, 1), Zone: "America/Bogota"}
	month := app.CoverageFilter{From: today.AddDate(0, 0, -30), To: today, Zone: "America/Bogota"}
	for name, f := range map[string]app.CoverageFilter{"everything": everything, "a month": month, "an organizer": {From: everything.From, To: everything.To, Zone: "UTC", OrganizerID: 7}} {
		quick(t, "coverage of "+name, func() int { return int(count(f).Total.Expected) })
	}
	c := count(everything).Total
	if want := int64(n * 7 / 8); c.Expected != want || c.Expected != c.Secured+c.Missing+c.UnderWay || c.Missing != n/8 || c.Secured != n/2 || c.UnderWay != n/4 {
		t.Errorf("%+v, want %d expected", c, want)
	}
	for name, f := range map[string]app.RecordingFilter{
		"all":            {},
		"an organizer's": {OrganizerID: 7},
		"a state":        {State: meeting.Started},
		"an export":      {ExportState: "mismatch"},
		"a time":         {StartedFrom: today.AddDate(0, 0, -90), StartedTo: today.AddDate(0, 0, -89)},
		"none":           {ExportState: "gone"},
	} {
		f.Limit = 1001
		quick(t, "recordings, "+name, func() int {
			rows, err := i.store.FindRecordings(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return len(rows)
		})
	}
}

func TestCoverageCountsEachMeetingOnceByTheDaysOfItsZone(t *testing.T) {
	i := newInstance(t)
	i.manyExpected(t, 8)
	midnight := time.Date(2026, 12, 1, 5, 0, 0, 0, time.UTC) // in Bogotá
	i.exec(t, `UPDATE meetings SET scheduled_start = $1::timestamptz + (id - 4) * interval '1 minute', recording_state = 'expected'`, midnight)
	i.exec(t, `UPDATE meetings SET scheduled_start = NULL, created_at = $1::timestamptz - interval '1 hour' WHERE id = 1`, midnight)
	i.exec(t, `UPDATE meetings SET recording_state = 'not_expected' WHERE id = 8`)
	whole := app.CoverageFilter{From: midnight.Add(-time.Hour), To: midnight.Add(time.Hour), Zone: "America/Bogota"}
	for name, c := range map[string]struct {
		change func(*app.CoverageFilter)
		days   string
	}{
		"all":                   {func(*app.CoverageFilter) {}, "[2026-11-30 2 2026-12-01 5]"},
		"another zone":          {func(f *app.CoverageFilter) { f.Zone = "UTC" }, "[2026-12-01 7]"},
		"from, inclusive":       {func(f *app.CoverageFilter) { f.From = midnight }, "[2026-12-01 5]"},
		"to, exclusive":         {func(f *app.CoverageFilter) { f.To = midnight }, "[2026-11-30 2]"},
		"an organizer":          {func(f *app.CoverageFilter) { f.OrganizerID = 3 }, "[2026-11-30 1]"},
		"nothing":               {func(f *app.CoverageFilter) { f.To = f.From }, "[]"},
		"as early as there was": {func(f *app.CoverageFilter) { f.From, f.To = time.Time{}, time.Time{}.Add(time.Hour) }, "[]"},
	} {
		f := whole
		c.change(&f)
		rows, err := i.store.Coverage(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		got := app.Cover(rows, false)
		var days []any
		for _, d := range got.Days {
			days = append(days, d.Date, d.Expected)
		}
		var organizers int64
		for _, o := range got.Organizers {
			organizers += o.Expected
		}
		if text := fmt.Sprint(days); text != c.days && !(c.days == "[]" && len(days) == 0) {
			t.Errorf("%s: %s, want %s", name, text, c.days)
		}
		if organizers != got.Total.Expected {
			t.Errorf("%s: %d by organizer and %d by day", name, organizers, got.Total.Expected)
		}
	}
	if _, err := i.store.Coverage(t.Context(), app.CoverageFilter{From: midnight, To: today.AddDate(1, 0, 0), Zone: "No/Where"}); err == nil {
		t.Error("a zone that is none")
	}
}

func TestATranscriptIsReadInTheOrderItWasSaid(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("doctor@clinic.example"))
	i.exec(t, `INSERT INTO conferences (id, meeting_id, record, account, started_at, source, created_at) SELECT n, 1, 'c' || n, '', $1::timestamptz + n * interval '1 hour', 'reading', $1 FROM generate_series(1, 2) n`, today)
	i.exec(t, `INSERT INTO transcripts (id, meeting_id, conference_id, name, state, started_at, created_at) SELECT n, 1, 1 + n % 2, 't' || n, 'file_generated', $1, $1 FROM generate_series(1, 2) n`, today)
	i.exec(t, `INSERT INTO attendees (conference_id, name, kind, display_name, participant_id) VALUES (1, 'c1/p', 'anonymous', 'María', 2)`)
	i.exec(t, `INSERT INTO transcript_entries (transcript_id, name, attendee, text, language, started_at, ended_at)
		SELECT 1 + n % 2, 'e' || n, CASE WHEN n % 5 = 0 THEN 'c1/gone' ELSE 'c1/p' END, 'said ' || n, 'es-CO', $1::timestamptz + (n / 4) * interval '1 second', $1 FROM generate_series(1, 100) n`, today)
	for _, size := range []int{1, 9, 100, 1000} {
		var got []app.TranscriptEntry
		for page := (app.EntryPage{Limit: size}); ; {
			tr, err := i.store.Transcript(t.Context(), meeting.Ref{ID: 1}, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(tr.Documents) != 2 {
				t.Fatalf("%d documents", len(tr.Documents))
			}
			got = append(got, tr.Entries...)
			if len(tr.Entries) < size {
				break
			}
			page.After, page.AfterID = got[len(got)-1].StartedAt, got[len(got)-1].ID
		}
		last, named := int64(math.MinInt64), 0
		for _, e := range got {
			if key := e.StartedAt.Unix()*1000 + e.ID; key <= last {
				t.Fatalf("by %d: not in order", size)
			} else {
				last = key
			}
			if e.DisplayName == "María" && e.ParticipantID == 2 {
				named++
			}
		}
		if len(got) != 100 || named != 80 {
			t.Errorf("by %d: %d entries, %d named", size, len(got), named)
		}
	}
	if _, err := i.store.Transcript(t.Context(), meeting.Ref{ID: 2}, app.EntryPage{Limit: 1}); err == nil {
		t.Error("of no meeting")
	}
}
