// Package due measures how soon a job starts once it is due, on the whole product as processes: evenly and all at one moment,
// with few and with very many others pending, and after the parts that carry it were killed.
package due

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"

	"github.com/meet-middleware/meet-middleware/bench/internal/proc"
	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

// Options of a measurement.
type Options struct {
	// Programs is the folder of the binaries.
	Programs string
	// Pending is how many jobs wait for a later time.
	Pending int
	// PerSecond fall due evenly, for Seconds.
	PerSecond, Seconds int
	// AtOnce fall due at one moment.
	AtOnce   int
	Progress io.Writer
}

const (
	fewPending = 1000
	meetings   = 1000
	organizers = 200
	schedulers = 2
	// patience bounds the wait for jobs that should have started.
	patience = 2 * time.Minute
	// headStart is how long after the rows were written the first falls due.
	headStart = 3 * time.Second
	// insertAtOnce is how many rows one statement makes.
	insertAtOnce = 50_000
)

// Result of a measurement.
type Result struct {
	Options Options       `json:"options"`
	Taken   time.Time     `json:"taken"`
	Evenly  []Spread      `json:"evenly"`
	AtOnce  []Spread      `json:"at_once"`
	Memory  []Memory      `json:"memory"`
	Killed  []Interrupted `json:"killed"`
}

// Spread is how late jobs started, with so many others pending.
type Spread struct {
	Pending       int           `json:"pending"`
	Jobs          int           `json:"jobs"`
	P50, P99, Max time.Duration `json:"-"`
	// SentP50 and SentP99 are of the job's message being in NATS.
	SentP50, SentP99 time.Duration `json:"-"`
	Done             time.Duration `json:"-"` // from the first's being due to the last's outcome being committed
}

// Memory of the meetings service.
type Memory struct {
	Pending int     `json:"pending"`
	MB      float64 `json:"mb"`
}

// Interrupted is what became of jobs in the middle of which something was killed.
type Interrupted struct {
	What    string        `json:"what"`
	Jobs    int           `json:"jobs"`
	Started int           `json:"started"` // before the kill
	Twice   int           `json:"twice"`   // started once more
	Lost    int           `json:"lost"`    // without an outcome after a long time
	All     time.Duration `json:"-"`       // from the kill to the last outcome
}

// bench is a measurement under way.
type bench struct {
	o        Options
	s        *stack.Stack
	template string // the row that all are like
	ids      []int64

	mu     sync.Mutex // guards starts and sent
	starts map[string][]time.Time
	sent   map[string]time.Time // for the first time
	began  chan struct{}        // a job has started
}

// Run measures.
func Run(ctx context.Context, o Options) (r *Result, err error) {
	dir, err := os.MkdirTemp("", "meet-due-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres may have a user of its own
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	b := &bench{o: o, starts: make(map[string][]time.Time), sent: make(map[string]time.Time), began: make(chan struct{}, 1)}
	b.s, err = stack.Start(ctx, stack.Options{Programs: o.Programs, Dir: dir, Schedulers: schedulers, Fsync: true, Env: []string{
		"MEET_GOOGLE=emulator", "MEET_GOOGLE_QUOTAS=off", "MEET_DRIFT_EVERY=24h", "GOOGLE_WORKSPACE_DOMAINS=clinic.example", "GOOGLE_WORKSPACE_ADMIN_EMAIL=admin@clinic.example",
	}})
	if b.s != nil {
		defer func() { err = errors.Join(err, b.s.Stop(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return nil, err
	}
	// Whatever a scheduler does first with a job is to ask what is to be read; everybody may listen.
	for what, hear := range map[string]nats.MsgHandler{string(subject.GetConferencePlan): b.started, string(subject.SyncRecordingNow): b.wasSent} {
		listen, err := b.s.Conn.Subscribe(what, hear)
		if err == nil {
			err = listen.SetPendingLimits(-1, -1)
		}
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	r = &Result{Options: o, Taken: time.Now().UTC()}
	if err := b.furnish(ctx); err != nil {
		return nil, err
	}
	for _, pending := range []int{fewPending, o.Pending} {
		if err := b.pending(ctx, pending); err != nil {
			return nil, err
		}
		b.say("%d pending", pending)
		if err := b.round(ctx, r, pending); err != nil {
			return nil, err
		}
	}
	for _, k := range b.kills() {
		i, err := b.interrupt(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.what, err)
		}
		b.say("%s: %d jobs, %d started before, %d twice, %d lost, all done after %s", k.what, i.Jobs, i.Started, i.Twice, i.Lost, i.All.Round(time.Millisecond))
		r.Killed = append(r.Killed, *i)
	}
	return r, nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.o.Progress, format+"\n", args...)
}

// round measures with so many pending.
func (b *bench) round(ctx context.Context, r *Result, pending int) error {
	// The first run of each organizer fetches a token, and Postgres learns how large the tables are.
	if _, err := b.fall(ctx, meetings, 0); err != nil {
		return err
	}
	evenly, err := b.fall(ctx, b.o.PerSecond*b.o.Seconds, time.Second/time.Duration(b.o.PerSecond))
	if err != nil {
		return err
	}
	evenly.Pending = pending
	b.say("%d a second: sent p50 %s, p99 %s; started p50 %s, p99 %s, most %s", b.o.PerSecond, evenly.SentP50, evenly.SentP99, evenly.P50, evenly.P99, evenly.Max)
	r.Evenly = append(r.Evenly, *evenly)
	const rounds = 5
	var all []Spread
	for range rounds {
		once, err := b.fall(ctx, b.o.AtOnce, 0)
		if err != nil {
			return err
		}
		once.Pending = pending
		b.say("%d at once: sent p50 %s, p99 %s; started p50 %s, p99 %s; all done after %s", b.o.AtOnce, once.SentP50, once.SentP99, once.P50, once.P99, once.Done)
		all = append(all, *once)
	}
	slices.SortFunc(all, func(a, b Spread) int { return int(a.P50 - b.P50) })
	r.AtOnce = append(r.AtOnce, all[rounds/2])
	own, below, err := proc.PSS(b.s.Meetings.PID())
	if err != nil {
		return fmt.Errorf("read the memory of meetings: %w", err)
	}
	r.Memory = append(r.Memory, Memory{pending, float64(own+below) / (1 << 20)})
	return nil
}

// wasSent takes a job's message; its id is that of the job and the number of its dispatch.
func (b *bench) wasSent(m *nats.Msg) {
	at := time.Now()
	id, _, _ := strings.Cut(m.Header.Get(nats.MsgIdHdr), ".")
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sent[id].IsZero() {
		b.sent[id] = at
	}
}

// started takes a scheduler's question.
func (b *bench) started(m *nats.Msg) {
	at := time.Now()
	var in meetv1.GetConferencePlanRequest
	if proto.Unmarshal(m.Data, &in) != nil || in.GetJobId() == "" {
		return
	}
	b.mu.Lock()
	b.starts[in.GetJobId()] = append(b.starts[in.GetJobId()], at)
	b.mu.Unlock()
	select {
	case b.began <- struct{}{}:
	default:
	}
}

// furnish makes the meetings, and one job that all others will be like.
func (b *bench) furnish(ctx context.Context) error {
	start := time.Now().Add(-30 * time.Minute).UTC() // under way: there is something to look at
	slots := make(chan struct{}, 16)
	errs := make([]error, meetings)
	b.ids = make([]int64, meetings)
	var all sync.WaitGroup
	for i := range meetings {
		slots <- struct{}{}
		all.Go(func() {
			var told struct {
				ID int64 `json:"id"`
			}
			errs[i] = b.s.Ask(ctx, http.MethodPost, "meetings/", nil, map[string]any{
				"organizer_email": fmt.Sprintf("doctor%03d@clinic.example", i%organizers), "invited_emails": []string{"patient@mail.example"}, "summary": "Visit",
				"scheduled_start": start, "scheduled_end": start.Add(2 * time.Hour), "create_calendar_event": false,
			}, &told)
			b.ids[i] = told.ID
			<-slots
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// The row that looks after the first meeting; the others look at any of them once, as if somebody had asked for it.
	err := b.s.DB.QueryRow(ctx, "SELECT id::text FROM jobs WHERE kind = 'check_recording' AND meeting_id = $1", b.ids[0]).Scan(&b.template)
	if err != nil {
		return fmt.Errorf("find a job: %w", err)
	}
	return nil
}

// columns of a job that are not copied but made.
var made = map[string]string{
	"kind": "'sync_recording'", "key": "''", "payload": "jsonb_build_object('meetingId', ($2::bigint[])[1 + n % $3]::text)",
	"id": "gen_random_uuid()", "meeting_id": "($2::bigint[])[1 + n % $3]", "state": "'due'", "due_at": "$4::timestamptz + n * make_interval(secs => $5::float8)",
	"dispatch": "0", "dispatched_at": "NULL", "ended_at": "NULL", "failed_attempts": "0", "history": "'[]'", "result": "'{}'", "priority": "2", "reply_inbox": "''", "operation": "NULL",
}

// insert writes jobs like the template.
func (b *bench) insert(ctx context.Context, n int, at time.Time, every time.Duration) error {
	rows, err := b.s.DB.Query(ctx, "SELECT column_name FROM information_schema.columns WHERE table_name = 'jobs' AND table_schema = 'public' ORDER BY ordinal_position")
	if err != nil {
		return fmt.Errorf("read the columns of jobs: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the columns of jobs: %w", err)
	}
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = made[name]
		if values[i] == "" {
			values[i] = "t." + name
		}
	}
	text := "INSERT INTO jobs (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(values, ", ") +
		" FROM jobs t, generate_series(0, $6::int - 1) n WHERE t.id = $1::uuid"
	_, err = b.s.DB.Exec(ctx, text, b.template, b.ids, len(b.ids), at, every.Seconds(), n)
	if err != nil {
		return fmt.Errorf("write jobs: %w", err)
	}
	return nil
}

// pending fills up to n jobs that wait for a later time.
func (b *bench) pending(ctx context.Context, n int) error {
	var have int
	if err := b.s.DB.QueryRow(ctx, "SELECT count(*) FROM jobs WHERE kind = 'sync_recording' AND state = 'due'").Scan(&have); err != nil {
		return fmt.Errorf("count the jobs: %w", err)
	}
	for ; have < n; have += insertAtOnce {
		if err := b.insert(ctx, min(insertAtOnce, n-have), time.Now().Add(24*time.Hour), 10*time.Millisecond); err != nil {
			return err
		}
	}
	if _, err := b.s.DB.Exec(ctx, "ANALYZE jobs"); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return nil
}

// fall lets n jobs fall due, every apart or all at once, and waits until all are done.
func (b *bench) fall(ctx context.Context, n int, every time.Duration) (*Spread, error) {
	dues, first, err := b.due(ctx, n, every)
	if err != nil {
		return nil, err
	}
	if err := b.finish(ctx, dues, patience); err != nil {
		return nil, err
	}
	var last time.Time
	if last, err = b.lastEnd(ctx, dues); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	late, sent := make([]time.Duration, 0, n), make([]time.Duration, 0, n)
	for id, at := range dues {
		if len(b.starts[id]) == 0 {
			return nil, fmt.Errorf("job %s is done and was not seen to start", id)
		}
		late, sent = append(late, b.starts[id][0].Sub(at)), append(sent, b.sent[id].Sub(at))
	}
	b.forget()
	at := func(sorted []time.Duration, p int) time.Duration {
		return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(100 * time.Microsecond)
	}
	slices.Sort(late)
	slices.Sort(sent)
	return &Spread{
		Jobs: n, P50: at(late, 50), P99: at(late, 99), Max: at(late, 100), SentP50: at(sent, 50), SentP99: at(sent, 99),
		Done: last.Sub(first).Round(time.Millisecond),
	}, nil
}

// forget begins anew with what was heard. The caller holds mu.
func (b *bench) forget() {
	clear(b.starts)
	clear(b.sent)
}

// due writes jobs that fall due in a moment, wakes the relay, which can't know of rows that others write, and gives their times.
func (b *bench) due(ctx context.Context, n int, every time.Duration) (dues map[string]time.Time, first time.Time, err error) {
	first = time.Now().Add(headStart).Truncate(time.Millisecond)
	if err := b.insert(ctx, n, first, every); err != nil {
		return nil, first, err
	}
	rows, err := b.s.DB.Query(ctx, "SELECT id::text, due_at FROM jobs WHERE kind = 'sync_recording' AND state = 'due' AND due_at >= $1 AND due_at < $1 + make_interval(secs => $2::float8)",
		first, (time.Duration(n)*every + time.Second).Seconds())
	if err != nil {
		return nil, first, fmt.Errorf("read the jobs: %w", err)
	}
	dues = make(map[string]time.Time, n)
	var id string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { dues[id] = at; return nil }); err != nil {
		return nil, first, fmt.Errorf("read the jobs: %w", err)
	}
	if len(dues) != n {
		return nil, first, fmt.Errorf("%d jobs fall due, want %d", len(dues), n)
	}
	return dues, first, b.s.Conn.Publish(subject.RelayWake, nil)
}

// finish waits until none of the jobs is due or out. Nothing tells of that, so it is looked for, seldom enough to cost nothing.
func (b *bench) finish(ctx context.Context, dues map[string]time.Time, longest time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, errUnfinished)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	ids := idsOf(dues)
	for {
		var left int
		err := b.s.DB.QueryRow(ctx, "SELECT count(*) FROM jobs WHERE id = ANY ($1::uuid[]) AND state IN ('due', 'out')", ids).Scan(&left)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; %d are left", errors.Join(context.Cause(ctx), err), left)
		}
	}
}

var errUnfinished = errors.New("jobs that were due have not ended")

func idsOf(dues map[string]time.Time) []string {
	ids := make([]string, 0, len(dues))
	for id := range dues {
		ids = append(ids, id)
	}
	return ids
}

func (b *bench) lastEnd(ctx context.Context, dues map[string]time.Time) (last time.Time, err error) {
	err = b.s.DB.QueryRow(ctx, "SELECT max(ended_at) FROM jobs WHERE id = ANY ($1::uuid[])", idsOf(dues)).Scan(&last)
	if err != nil {
		return last, fmt.Errorf("read when the last ended: %w", err)
	}
	return last, nil
}

// kill is something that befalls the product.
type kill struct {
	what string
	do   func(ctx context.Context) error
}

func (b *bench) kills() []kill {
	again := func(p *stack.Process, between func() error) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			if err := p.Kill(); err != nil {
				return err
			}
			if err := between(); err != nil {
				return err
			}
			return p.Start(ctx)
		}
	}
	nothing := func() error { return nil }
	return []kill{
		{"nothing killed", func(context.Context) error { return nil }},
		{"a scheduler of two killed", again(b.s.Schedulers[0], nothing)},
		{"both schedulers killed", func(ctx context.Context) error {
			for _, p := range b.s.Schedulers {
				if err := p.Kill(); err != nil {
					return err
				}
			}
			return errors.Join(b.s.Schedulers[0].Start(ctx), b.s.Schedulers[1].Start(ctx))
		}},
		{"meetings killed", again(b.s.Meetings, nothing)},
		{"NATS killed", again(b.s.NATS, nothing)},
		{"NATS killed, its store lost", again(b.s.NATS, func() error { return os.RemoveAll(b.s.JetStreamDir()) })},
	}
}

// interrupt lets jobs fall due at one moment and does something in the middle of them.
func (b *bench) interrupt(ctx context.Context, k kill) (*Interrupted, error) {
	n := b.o.AtOnce
	dues, _, err := b.due(ctx, n, 0)
	if err != nil {
		return nil, err
	}
	out := &Interrupted{What: k.what, Jobs: n}
	for out.Started < n/5 {
		select {
		case <-b.began:
			b.mu.Lock()
			out.Started = len(b.starts)
			b.mu.Unlock()
		case <-time.After(patience):
			return nil, fmt.Errorf("only %d jobs have started", out.Started)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	at := time.Now()
	if err := k.do(ctx); err != nil {
		return nil, err
	}
	if err := b.finish(ctx, dues, patience); err != nil && !errors.Is(err, errUnfinished) {
		return nil, err
	}
	last, err := b.lastEnd(ctx, dues)
	if err != nil {
		return nil, err
	}
	out.All = last.Sub(at)
	if err := b.s.DB.QueryRow(ctx, "SELECT count(*) FROM jobs WHERE id = ANY ($1::uuid[]) AND state IN ('due', 'out')", idsOf(dues)).Scan(&out.Lost); err != nil {
		return nil, fmt.Errorf("count what was lost: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range dues {
		if len(b.starts[id]) > 1 {
			out.Twice++
		}
	}
	b.forget()
	return out, nil
}
