// Package plan is what a run measures and in which order: the fresh instance idle, its operations with few and many rows and
// with one and many callers, the limits of the machine between them, and the database's statements on a second fresh instance.
package plan

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/bench/internal/client"
	"github.com/meet-middleware/meet-middleware/bench/internal/instance"
	"github.com/meet-middleware/meet-middleware/bench/internal/limit"
	"github.com/meet-middleware/meet-middleware/bench/internal/load"
	"github.com/meet-middleware/meet-middleware/bench/internal/proc"
	"github.com/meet-middleware/meet-middleware/bench/internal/report"
)

// Options of a run.
type Options struct {
	// Binary of the all-in-one program, started on a temporary folder; Target instead is the data folder of one that runs.
	Binary, Target string
	// Each is how long one operation is measured, Idle how long nothing happens, Fresh the time on a fresh database.
	Each, Idle, Fresh time.Duration
	// InFlight are the numbers of callers.
	InFlight []int
	// Rows are how many meetings there are for reads; few first.
	Rows []int
	// Only measures the operations whose name and setting match; nil: all.
	Only *regexp.Regexp
	// ProfileFile, when set, gets a CPU profile of the program under the most callers; that of the last operation stays.
	ProfileFile string
	// Progress gets a line for each thing measured.
	Progress io.Writer
}

const (
	drainPatience = 2 * time.Minute
	page          = 100
	// impersonated is a domain whose organizers keep their meetings in their own calendars.
	impersonated = "workspace.example"
	organizers   = 10 // few
)

// Run carries it all out and returns what it measured; the instance that it started has ended by then.
func Run(ctx context.Context, o Options) (_ *report.Report, err error) {
	dir, err := workFolder()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &report.Report{Taken: time.Now(), Machine: Machine(dir)}
	r.Versions.Go = runtime.Version()
	if err := measure(ctx, o, r, filepath.Join(dir, "first")); err != nil {
		return nil, err
	}
	if o.Target == "" && o.Fresh > 0 {
		if r.Statements, err = statements(ctx, o, filepath.Join(dir, "fresh")); err != nil {
			return nil, fmt.Errorf("measure statements on a fresh database: %w", err)
		}
	}
	r.Judge()
	return r, nil
}

// workFolder is one that the database's own user can enter.
func workFolder() (string, error) {
	dir, err := os.MkdirTemp("", "meet-bench-")
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		return "", errors.Join(fmt.Errorf("make a folder: %w", err), os.Remove(dir))
	}
	return dir, nil
}

// open starts or finds the instance.
func open(ctx context.Context, o Options, dir string) (*instance.Instance, error) {
	if o.Target != "" {
		return instance.Attach(ctx, o.Target)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the database's own user passes through
		return nil, fmt.Errorf("make a data folder: %w", err)
	}
	return instance.Start(ctx, o.Binary, dir, "GOOGLE_WORKSPACE_DOMAINS="+impersonated, "GOOGLE_WORKSPACE_ADMIN_EMAIL=calendar@"+impersonated)
}

// session is the connections to one instance.
type session struct {
	*instance.Instance
	o      Options
	report *report.Report
	api    *client.Client
	db     *pgx.Conn
	tag    string // makes this run's organizers new ones
	made   int    // creates begun: no two organizers, guests or references are the same by accident
	// pending and done are the rows of one create, see oneCreate.
	pending, done limit.Snapshot
}

func newSession(ctx context.Context, o Options, r *report.Report, i *instance.Instance) (*session, error) {
	if i.Emulator == "" {
		return nil, errors.New("the instance speaks to Google itself: thousands of events would be made there")
	}
	db, err := pgx.Connect(ctx, i.Postgres)
	if err != nil {
		return nil, fmt.Errorf("connect to the instance's database: %w", err)
	}
	return &session{Instance: i, o: o, report: r, api: client.New(i.HTTP, i.Emulator), db: db, tag: strings.ToLower(rand.Text()[:8])}, nil
}

func (s *session) close(ctx context.Context) error {
	s.api.Close()
	return s.db.Close(context.WithoutCancel(ctx))
}

func measure(ctx context.Context, o Options, r *report.Report, dir string) (err error) {
	i, err := open(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Stop()) }()
	if o.Idle > 0 {
		if err := idle(ctx, o, i, &r.Idle); err != nil { // before anything else connects
			return err
		}
	}
	s, err := newSession(ctx, o, r, i)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if r.Versions.Product, err = s.api.Version(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.reads(0), s.writes, s.reads(1), s.crowded} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if o.Idle > 0 {
		if err := pause(ctx, o.Idle); err != nil {
			return err
		}
		program, postgres, err := proc.PSS(i.PID)
		if err != nil {
			return err
		}
		r.Idle.AfterProgramPSSMB, r.Idle.AfterPostgresPSSMB = megabytes(program), megabytes(postgres)
	}
	return nil
}

// settle is how long a start's own work may go on before idling is measured.
const settle = 3 * time.Second

func idle(ctx context.Context, o Options, i *instance.Instance, into *report.Idle) error {
	if err := pause(ctx, settle); err != nil {
		return err
	}
	before, err := proc.CPUOf(i.PID)
	if err != nil {
		return err
	}
	if err := pause(ctx, o.Idle); err != nil {
		return err
	}
	after, err := proc.CPUOf(i.PID)
	if err != nil {
		return err
	}
	program, postgres, err := proc.PSS(i.PID)
	if err != nil {
		return err
	}
	into.Seconds = o.Idle.Seconds()
	into.CPUPercent = 100 * after.Sub(before).Total().Seconds() / into.Seconds
	into.ProgramPSSMB, into.PostgresPSSMB = megabytes(program), megabytes(postgres)
	say(o.Progress, "idle: %.0f MB, %.1f %% of one core", into.ProgramPSSMB+into.PostgresPSSMB, into.CPUPercent)
	return nil
}

func megabytes(b int64) float64 { return float64(b) / (1 << 20) }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func say(w io.Writer, format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// reads measures with the n-th number of rows.
func (s *session) reads(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		if n >= len(s.o.Rows) {
			return nil
		}
		rows := s.o.Rows[n]
		ids, err := s.seed(ctx, rows)
		if err != nil {
			return err
		}
		for _, read := range []struct {
			name string
			do   load.Op
		}{
			// A prime: neighbours are not asked for in turn.
			{report.Get, func(ctx context.Context, n int) error { return s.api.Get(ctx, ids[(n*7919)%len(ids)]) }},
			{report.List, func(ctx context.Context, _ int) error { return s.api.List(ctx, min(page, len(ids))) }},
		} {
			// Not measured: the first reads open connections and plan statements on each, most of what a short run would see.
			if warm := load.Run(ctx, slices.Max(s.o.InFlight), s.o.Each/2, read.do); warm.FirstError != nil {
				return fmt.Errorf("warm up: %w", warm.FirstError)
			}
			for _, callers := range s.o.InFlight {
				if err := s.operation(ctx, read.name, report.TableOf(rows), callers, read.do); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// writes measures creates and changes, and between them the limits.
func (s *session) writes(ctx context.Context) error {
	// Not measured: the first creates fill caches.
	if warm := load.Run(ctx, 8, s.o.Each/4, s.creates(report.OneCall)); warm.FirstError != nil {
		return fmt.Errorf("warm up: %w", warm.FirstError)
	}
	if err := s.drain(ctx); err != nil {
		return err
	}
	if err := s.limits(ctx); err != nil {
		return err
	}
	most := s.o.InFlight[len(s.o.InFlight)-1:]
	for _, kind := range []struct {
		name    string
		callers []int
	}{
		{report.OneCall, s.o.InFlight},
		{report.ThreeCalls, s.o.InFlight},
		{report.FewOrganizers, s.o.InFlight},
		{report.Impersonated, most},
	} {
		for _, callers := range kind.callers {
			if err := s.operation(ctx, report.Create, kind.name, callers, s.creates(kind.name)); err != nil {
				return err
			}
		}
	}
	if err := s.limits(ctx); err != nil {
		return err
	}
	return s.patches(ctx)
}

// creates is a create of this kind.
func (s *session) creates(kind string) load.Op {
	domain := "clinic.example"
	if kind == report.Impersonated {
		domain = impersonated
	}
	first := s.made
	s.made += 1_000_000
	return func(ctx context.Context, n int) error {
		who := first + n
		if kind == report.FewOrganizers {
			who = n % organizers
		}
		m := client.Meeting{Organizer: fmt.Sprintf("doctor%d-%s@%s", who, s.tag, domain), Plain: kind != report.ThreeCalls}
		_, err := s.api.Create(ctx, m, first+n)
		return err
	}
}

// crowded measures writes again when the tables are full: a statement whose cost grows with them shows here.
func (s *session) crowded(ctx context.Context) error {
	if len(s.o.Rows) < 2 {
		return nil
	}
	setting := report.TableOf(s.o.Rows[1])
	for _, callers := range s.o.InFlight {
		if err := s.operation(ctx, report.Create, report.OneCall+", "+setting, callers, s.creates(report.OneCall)); err != nil {
			return err
		}
	}
	ids, err := s.planned(ctx)
	if err != nil {
		return err
	}
	return s.reschedule(ctx, setting, ids)
}

// planned are meetings that Google has an event of, and no other call to make.
func (s *session) planned(ctx context.Context) ([]int64, error) {
	ids, err := s.ids(ctx, "SELECT id FROM meetings WHERE external_reference LIKE 'appointment-%' AND google_sync = 'ok' AND NOT auto_record ORDER BY id")
	if err == nil && len(ids) == 0 {
		err = errors.New("no meeting was created: nothing to change")
	}
	return ids, err
}

func (s *session) reschedule(ctx context.Context, setting string, ids []int64) error {
	for _, callers := range s.o.InFlight {
		first := s.made
		s.made += 100_000 // each meeting gets a time that it has not had
		if err := s.operation(ctx, report.PatchTime, setting, callers, func(ctx context.Context, n int) error {
			return s.api.Reschedule(ctx, ids[n%len(ids)], first+n/len(ids)*101+n%97)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) patches(ctx context.Context) error {
	ids, err := s.planned(ctx)
	if err != nil {
		return err
	}
	if err := s.reschedule(ctx, "", ids); err != nil {
		return err
	}
	statuses := []string{"CREATED", "SCHEDULED", "FINISHED"}
	turns := make([]atomic.Int32, len(ids)) // every change is one
	for _, callers := range s.o.InFlight {
		if err := s.operation(ctx, report.PatchStatus, "", callers, func(ctx context.Context, n int) error {
			at := n % len(ids)
			return s.api.SetStatus(ctx, ids[at], statuses[int(turns[at].Add(1))%len(statuses)])
		}); err != nil {
			return err
		}
	}
	return nil
}

// operation measures one and adds its row; the time until all work that it caused is done counts for what it costs.
func (s *session) operation(ctx context.Context, op, setting string, callers int, do load.Op) error {
	if s.o.Only != nil && !s.o.Only.MatchString(op+", "+setting) {
		return nil
	}
	before, err := s.cost(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	var result load.Result
	profile := s.o.ProfileFile != "" && callers == s.o.InFlight[len(s.o.InFlight)-1]
	if err := s.profiled(ctx, profile, func() { result = load.Run(ctx, callers, s.o.Each, do) }); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if result.Done == 0 {
		return fmt.Errorf("%s %s with %d in flight: none of %d went well: %w", op, setting, callers, result.Failed, result.FirstError)
	}
	row := report.Row{
		Op: op, Setting: setting, InFlight: callers, Done: result.Done, Failed: result.Failed,
		PerSecond: result.PerSecond(), P50MS: ms(result.P50), P99MS: ms(result.P99),
	}
	if result.FirstError != nil {
		row.Error = result.FirstError.Error()
	}
	if op != report.Get && op != report.List {
		if err := s.drain(ctx); err != nil {
			return fmt.Errorf("%s %s with %d in flight: %w", op, setting, callers, err)
		}
		row.Drained = float64(result.Done) / time.Since(began).Seconds()
	}
	after, err := s.cost(ctx)
	if err != nil {
		return err
	}
	each := float64(result.Done)
	used := after.cpu.Sub(before.cpu)
	row.CPUProgram, row.CPUPostgres, row.CPULoad = ms(used.Program)/each, ms(used.Children)/each, ms(after.own-before.own)/each
	row.GoogleCalls = float64(after.calls-before.calls) / each
	s.report.Rows = append(s.report.Rows, row)
	say(s.o.Progress, "%s, %s, %d in flight: %.0f/s, drained %.0f/s, p50 %.1f ms, p99 %.1f ms, CPU %.2f + %.2f ms, load %.2f ms, Google calls %.2f, failed %d %s",
		op, setting, callers, row.PerSecond, row.Drained, row.P50MS, row.P99MS, row.CPUProgram, row.CPUPostgres, row.CPULoad, row.GoogleCalls, row.Failed, row.Error)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cost so far.
type cost struct {
	cpu   proc.CPU
	own   time.Duration
	calls int64
}

func (s *session) cost(ctx context.Context) (c cost, err error) {
	if c.calls, err = s.api.GoogleCalls(ctx); err != nil {
		return c, err
	}
	if c.own, err = proc.Own(); err != nil {
		return c, err
	}
	c.cpu, err = proc.CPUOf(s.PID)
	return c, err
}

// drain waits until no meeting's job is due or under way and every event is numbered. What has a key, as the reading of a
// calendar, comes again and again.
func (s *session) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainPatience, fmt.Errorf("jobs have not drained within %s", drainPatience))
	defer cancel()
	for {
		var drained bool
		err := s.db.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM jobs WHERE state = 'due' AND key = '') AND NOT EXISTS (SELECT FROM jobs WHERE state = 'out' AND key = '')
			AND NOT EXISTS (SELECT FROM events WHERE seq IS NULL)`).Scan(&drained)
		if err != nil {
			return errors.Join(fmt.Errorf("look for jobs: %w", err), context.Cause(ctx))
		}
		if drained {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// limits measures one pass of each.
func (s *session) limits(ctx context.Context) error {
	if s.o.Only != nil && !s.o.Only.MatchString("limits") {
		return nil
	}
	l := &s.report.Limits
	if s.done == nil {
		var err error
		if s.pending, s.done, err = s.oneCreate(ctx); err != nil {
			return fmt.Errorf("take the rows of a create: %w", err)
		}
	}
	pg, err := limit.NewPostgres(ctx, s.Postgres, s.pending, s.done)
	if err != nil {
		return err
	}
	defer pg.Close(ctx) //nolint:errcheck // a schema that is left over is dropped by the next run
	l.Inserted, l.Updated = pg.Rows()
	if s.report.Versions.Postgres, err = pg.Version(ctx); err != nil {
		return err
	}
	for n, size := range []int{1, 8, 32, 128} {
		if _, err := pg.Rate(ctx, size, s.o.Each/10); err != nil { // warm
			return err
		}
		rate, err := pg.Rate(ctx, size, s.o.Each/2)
		if err != nil {
			return err
		}
		if n == len(l.Commits) {
			l.Commits = append(l.Commits, report.Commits{Batch: size})
		}
		l.Commits[n].Passes = append(l.Commits[n].Passes, rate)
		say(s.o.Progress, "limit: %.0f creates/s committed in batches of %d on one connection", rate, size)
	}
	if l.MessageBytes > 0 {
		return nil
	}
	const commandBytes = 700 // about what a create's command has, headers included
	js, err := limit.NewJetStream(ctx, s.NATS, commandBytes, 1)
	if err != nil {
		return err
	}
	defer js.Close(ctx) //nolint:errcheck // a stream that is left over is taken by the next run
	l.MessageBytes, s.report.Versions.NATS = commandBytes, js.Version()
	if l.PublishedOneByOne, err = js.OneByOne(ctx, s.o.Each/2); err != nil {
		return err
	}
	if l.PublishedPipelined, err = js.Pipelined(ctx, s.o.Each/2); err != nil {
		return err
	}
	say(s.o.Progress, "limit: %.0f messages/s stored by JetStream one by one, %.0f/s pipelined", l.PublishedOneByOne, l.PublishedPipelined)
	return nil
}

// oneCreate makes a meeting and reads its rows when it is committed, while Google is kept from answering, and again when all
// is done.
func (s *session) oneCreate(ctx context.Context) (pending, done limit.Snapshot, err error) {
	if err := s.api.SlowGoogle(ctx, time.Second); err != nil {
		return nil, nil, err
	}
	who := strings.ToLower(rand.Text()[:12])
	id, err := s.api.Create(ctx, client.Meeting{Organizer: "doctor-" + who + "@clinic.example", Plain: true, Async: true}, 0)
	if err != nil {
		return nil, nil, err
	}
	if pending, err = limit.Read(ctx, s.db, id); err != nil {
		return nil, nil, err
	}
	if err := s.drain(ctx); err != nil {
		return nil, nil, err
	}
	if done, err = limit.Read(ctx, s.db, id); err != nil {
		return nil, nil, err
	}
	if len(done["events"]) <= len(pending["events"]) {
		return nil, nil, fmt.Errorf("Google answered meeting %d before the create's own rows could be read", id)
	}
	return pending, done, nil
}

// seed fills up the tables to so many meetings, in the shape of those that are over, and gives the ids of all.
func (s *session) seed(ctx context.Context, rows int) ([]int64, error) {
	const missing = `WITH people AS (
		INSERT INTO users (username, email, role, date_joined)
		SELECT 'seed' || n || '-' || @tag::text, 'seed' || n || '-' || @tag::text || '@clinic.example', 'external', @at::timestamptz
		FROM generate_series(1, @people::bigint) AS n RETURNING id, email
	), numbered AS (SELECT id, email, row_number() OVER () - 1 AS n FROM people), made AS (
		INSERT INTO meetings (uid, organizer_id, organizer_email, summary, description, time_zone, scheduled_start, scheduled_end,
			external_reference, auto_record, create_calendar_event, public_access, guests_can_see_each_other, status, provisioning,
			google_sync, recording_state, participants_count, version, wanted_version, generation, google_calendar_id, google_event_id,
			meet_link, meeting_code, simulated, event_version, settings_version, created_at, updated_at)
		SELECT gen_random_uuid(), p.id, p.email, '', '', 'America/Bogota', @at::timestamptz + g * interval '10 minutes',
			@at::timestamptz + g * interval '10 minutes' + interval '30 minutes', 'seed-' || g, false, true, false, false, 'SCHEDULED', 'ready',
			'ok', 'not_expected', 2, 2, 1, 0, 'primary', 'mmseed' || md5(@tag::text || g), 'https://emulator.invalid/meet/' || md5(g::text),
			md5(@tag::text || g), true, 1, 1, @at::timestamptz, @at::timestamptz
		FROM generate_series(1, @missing::bigint) AS g JOIN numbered p ON p.n = g % @people::bigint
		RETURNING id, organizer_id, organizer_email
	), invited AS (
		INSERT INTO participants (meeting_id, email, role, invited, created_at)
		SELECT id, email, role, invited, @at::timestamptz FROM made
		CROSS JOIN LATERAL (VALUES (organizer_email, 'organizer', false), ('patient' || id || '@mail.example', 'guest', true)) AS who (email, role, invited)
	)
	INSERT INTO jobs (id, class, kind, meeting_id, organizer_id, state, priority, due_at, dispatch, failed_attempts, created_at, ended_at)
	SELECT gen_random_uuid(), 'google', 'sync_meeting', id, organizer_id, 'done', 1, @at::timestamptz, 1, 0, @at::timestamptz, @at::timestamptz FROM made`
	var there int
	if err := s.db.QueryRow(ctx, "SELECT count(*) FROM meetings").Scan(&there); err != nil {
		return nil, fmt.Errorf("count the meetings: %w", err)
	}
	if there < rows {
		_, err := s.db.Exec(ctx, missing, pgx.NamedArgs{
			"tag": strings.ToLower(rand.Text()[:8]), "at": time.Now(), "people": 100, "missing": rows - there,
		})
		if err != nil {
			return nil, fmt.Errorf("fill the tables up to %d meetings: %w", rows, err)
		}
		// Autovacuum would do it within a minute.
		for _, sql := range []string{"VACUUM (ANALYZE) meetings", "VACUUM (ANALYZE) participants", "VACUUM (ANALYZE) users", "VACUUM (ANALYZE) jobs"} {
			if _, err := s.db.Exec(ctx, sql); err != nil {
				return nil, fmt.Errorf("%s: %w", sql, err)
			}
		}
	}
	say(s.o.Progress, "%d meetings", max(there, rows))
	return s.ids(ctx, "SELECT id FROM meetings ORDER BY id")
}

func (s *session) ids(ctx context.Context, sql string) ([]int64, error) {
	rows, err := s.db.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("read ids of meetings: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read ids of meetings: %w", err)
	}
	return slices.Clip(ids), nil
}
