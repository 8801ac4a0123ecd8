package simulation

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

const (
	// rate is how fast the clock runs between two jumps, lest what is paced by it stands still.
	rate = 10
	// settle is how long, in real time, a jump waits for everything to be done.
	settle = 150 * time.Millisecond
	// slack is how old, on the simulated clock, unfinished work may be when the clock jumps on. More would count as the
	// product's delay what is the simulation's haste: a retry waits in real time, a killed scheduler's messages for seconds.
	slack = 4 * time.Minute
	// stuckAfter is how long, in real time, one thing may hold the clock up; then it goes on and that is said.
	stuckAfter = 90 * time.Second
	look       = 4 * time.Millisecond
	// moment is how soon a job falls due that the clock does not jump over.
	moment = 15 * time.Second
	// outageHaste is how much more hastily the clock goes while Google is away and nothing but retries happens.
	outageHaste = 5
	// before is how long before people come the emulator is told.
	before = 20 * time.Minute
	// sideBySide is how many requests there are at once.
	sideBySide = 16
	// afterwards is how long it goes on after the last meeting's end: a file may come for a day.
	afterwards = 26 * time.Hour
)

// deed is something that is done at a time.
type deed struct {
	at   time.Time
	what func(ctx context.Context) error
}

type deeds []deed

func (q deeds) Len() int           { return len(q) }
func (q deeds) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q deeds) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *deeds) Push(x any)        { *q = append(*q, x.(deed)) }
func (q *deeds) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// driver moves the clock, and does what people and fate do.
type driver struct {
	o      Options
	s      *stack.Stack
	visits []*visit
	start  time.Time
	end    time.Time // of the run
	began  time.Time // in real time

	mu    sync.Mutex // guards what follows
	todo  deeds
	dice  *rand.Rand
	kills int

	commands jetstream.Stream
	jumps    int
	stuck    []string
	day      int
}

func (d *driver) at(t time.Time, what func(ctx context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	heap.Push(&d.todo, deed{t, what})
}

// prepare plans what is done and when.
func (d *driver) prepare() {
	for _, v := range d.visits {
		d.at(v.made, func(ctx context.Context) error { return d.create(ctx, v) })
		if end := cmp.Or(v.again, v.closes); end.Add(afterwards).After(d.end) {
			d.end = end.Add(afterwards)
		}
		if v.held() {
			d.at(v.opens.Add(-before), func(ctx context.Context) error { return d.meet(ctx, v) })
		}
		switch v.kind {
		case kindCancelled:
			d.at(v.moveAt, func(ctx context.Context) error { return d.cancel(ctx, v) })
		case kindMovedBefore:
			d.at(v.moveAt, func(ctx context.Context) error { return d.move(ctx, v, v.start, v.end) })
		case kindMovedLive:
			d.at(v.moveAt, func(ctx context.Context) error {
				return d.move(ctx, v, v.start.Add(10*time.Minute), v.end.Add(20*time.Minute))
			})
		}
	}
	if d.o.Outage > 0 {
		d.at(d.outageStart(), func(ctx context.Context) error { return d.faults(ctx, true) })
		d.at(d.outageStart().Add(d.o.Outage), func(ctx context.Context) error { return d.faults(ctx, false) })
	}
	for range d.o.Kills {
		at := d.start.AddDate(0, 0, d.dice.IntN(d.o.Days)).Add(firstHour*time.Hour + time.Duration(d.dice.Int64N(int64(hours*time.Hour))))
		d.at(at, d.kill)
	}
}

// outageStart is the night before the day in the middle, or the afternoon of a short run's.
func (d *driver) outageStart() time.Time {
	at := d.start.AddDate(0, 0, d.o.Days/2)
	if d.o.Outage < 24*time.Hour {
		at = at.Add((firstHour + 1) * time.Hour)
	}
	return at
}

// faults makes Google refuse some calls for its quotas, and all of them in the outage.
func (d *driver) faults(ctx context.Context, outage bool) error {
	if err := d.s.Google(ctx, http.MethodDelete, "faults", nil, nil); err != nil {
		return err
	}
	var on []map[string]any
	if outage {
		on = append(on, map[string]any{"match": "/", "status": 503})
	}
	if p := d.o.QuotaErrors; p > 0 {
		for _, of := range []map[string]any{
			{"match": "/calendar/v3/", "status": 403, "reason": "rateLimitExceeded"}, {"match": "/v2/", "status": 429}, {"match": "/drive/v3/", "status": 403, "reason": "userRateLimitExceeded"},
		} {
			of["probability"] = p
			on = append(on, of)
		}
	}
	if len(on) == 0 {
		return nil
	}
	return d.s.Google(ctx, http.MethodPost, "faults", on, nil)
}

func (d *driver) create(ctx context.Context, v *visit) error {
	start := cmp.Or(v.first, v.start)
	var told struct {
		ID        int64 `json:"id"`
		MeetingID int64 `json:"meeting_id"`
	}
	header := http.Header{"Idempotency-Key": {v.reference()}, "Prefer": {"respond-async"}}
	err := d.s.Ask(ctx, http.MethodPost, "meetings/", header, map[string]any{
		"organizer_email": v.organizer, "invited_emails": v.invited, "external_reference": v.reference(), "summary": "Visit " + strconv.Itoa(v.number),
		"scheduled_start": start, "scheduled_end": start.Add(v.end.Sub(v.start)), "auto_record": v.record, "create_calendar_event": v.event,
	}, &told)
	if err != nil {
		return err
	}
	if v.id = cmp.Or(told.ID, told.MeetingID); v.id == 0 {
		return fmt.Errorf("create %s: no id was told", v.reference())
	}
	return nil
}

func (v *visit) path() string { return "meetings/" + strconv.FormatInt(v.id, 10) + "/" }

func (d *driver) cancel(ctx context.Context, v *visit) error {
	return d.s.Ask(ctx, http.MethodDelete, v.path(), nil, nil, nil)
}

func (d *driver) move(ctx context.Context, v *visit, start, end time.Time) error {
	return d.s.Ask(ctx, http.MethodPatch, v.path(), nil, map[string]any{"scheduled_start": start, "scheduled_end": end}, nil)
}

// meet lets people come into the room. Where there is none yet they wait for the link until their time is over.
func (d *driver) meet(ctx context.Context, v *visit) error {
	if err := d.s.DB.QueryRow(ctx, "SELECT space FROM meetings WHERE id = $1", v.id).Scan(&v.space); err != nil {
		return fmt.Errorf("look up the room of %s: %w", v.reference(), err)
	}
	now, err := d.now(ctx)
	if err != nil {
		return err
	}
	if v.space == "" {
		if again := now.Add(10 * time.Minute); again.Before(v.closes) {
			d.at(again, func(ctx context.Context) error { return d.meet(ctx, v) })
		} else {
			v.noSpace = true
		}
		return nil
	}
	opens := v.opens
	if opens.Before(now) {
		opens = now
	}
	for _, s := range v.scripts(opens) {
		if err := d.s.Google(ctx, http.MethodPost, "conference", s, nil); err != nil {
			return fmt.Errorf("put on %s in %q: %w", v.reference(), s.Space, err)
		}
	}
	return nil
}

func (d *driver) now(ctx context.Context) (time.Time, error) {
	var c struct {
		Now time.Time `json:"now"`
	}
	err := d.s.Google(ctx, http.MethodGet, "clock", nil, &c)
	return c.Now, err
}

// kill ends a scheduler without a word and starts it again.
func (d *driver) kill(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.s.Schedulers[d.dice.IntN(len(d.s.Schedulers))]
	if err := p.Kill(); err != nil {
		return err
	}
	d.kills++
	return p.Start(ctx)
}

// run goes from one happening to the next until the end.
func (d *driver) run(ctx context.Context) error {
	js, err := jetstream.New(d.s.Conn)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	if d.commands, err = js.Stream(ctx, "MEET_COMMANDS"); err != nil {
		return fmt.Errorf("look at the commands: %w", err)
	}
	for ctx.Err() == nil {
		now, err := d.now(ctx)
		if err != nil {
			return err
		}
		if err := d.act(ctx, now); err != nil {
			return err
		}
		p, err := d.rest(ctx)
		if err != nil {
			return err
		}
		if !p.now.Before(d.end) {
			return nil
		}
		d.tell(p)
		to := d.end
		if p.next.After(p.now) && p.next.Before(to) {
			to = p.next
		}
		d.mu.Lock()
		if len(d.todo) > 0 && d.todo[0].at.Before(to) {
			to = d.todo[0].at
		}
		d.mu.Unlock()
		grain := d.o.Grain
		if d.inOutage(p.now) && d.inOutage(p.now.Add(10*outageHaste*grain)) {
			grain *= outageHaste
		}
		if to = to.Add(grain - 1).Truncate(grain); !to.After(p.now) {
			to = to.Add(grain)
		}
		// What is to be done in a moment is done then: notices that come in between would be another matter.
		if soon := p.job.Sub(p.now); soon > 0 && soon <= moment {
			to = p.job
		}
		if err := d.s.Google(ctx, http.MethodPost, "clock", map[string]any{"advance": to.Sub(p.now).String()}, nil); err != nil {
			return err
		}
		d.jumps++
	}
	return context.Cause(ctx)
}

// act does what is due, side by side, as it befalls different meetings.
func (d *driver) act(ctx context.Context, now time.Time) error {
	d.mu.Lock()
	var due deeds
	for len(d.todo) > 0 && !d.todo[0].at.After(now) {
		due = append(due, heap.Pop(&d.todo).(deed))
	}
	d.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	slots := make(chan struct{}, sideBySide)
	errs := make([]error, len(due))
	var all sync.WaitGroup
	for i, one := range due {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = one.what(ctx)
			<-slots
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// picture is what there is to do, at one moment.
type picture struct {
	now    time.Time
	next   time.Time // when something happens by itself; zero: nothing will
	oldest time.Time // since when the oldest job is due or out; zero: none is
	which  string    // which one that is
	job    time.Time // when the next job falls due; zero: none will
	jobs   int
	others int // notices and commands that nobody has finished with
}

func (p *picture) quiet() bool { return p.jobs == 0 && p.others == 0 }

// rest waits until everything is done, or is young enough to be done later.
func (d *driver) rest(ctx context.Context) (*picture, error) {
	begin := time.Now()
	var since time.Time // when others was not 0 for the first time
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		p, err := d.look(ctx)
		if err != nil {
			return nil, err
		}
		if p.others == 0 {
			since = time.Time{}
		} else if since.IsZero() {
			since = p.now
		}
		waited := time.Since(begin)
		oldest := p.oldest
		if oldest.IsZero() || !since.IsZero() && since.Before(oldest) {
			oldest = since
		}
		patience := slack
		if d.inOutage(p.now) {
			patience *= outageHaste
		}
		if p.quiet() || waited > settle && p.now.Sub(oldest) < patience {
			return p, nil
		}
		if waited > stuckAfter {
			d.stuck = append(d.stuck, fmt.Sprintf("%s: %d jobs since %s (%s), %d notices and commands", p.now.Format(time.DateTime), p.jobs, p.oldest.Format(time.TimeOnly), p.which, p.others))
			return p, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look takes a picture, along the way that work goes, so that none is missed between two places: a notice becomes a command,
// a command a row, and a row stays out until the command that is its outcome is carried out.
func (d *driver) look(ctx context.Context) (*picture, error) {
	var up struct {
		Now     time.Time  `json:"now"`
		Next    *time.Time `json:"next"`
		Waiting int        `json:"waiting"`
		Out     int        `json:"out"`
	}
	if err := d.s.Google(ctx, http.MethodGet, "next", nil, &up); err != nil {
		return nil, err
	}
	p := &picture{now: up.Now, others: up.Waiting + up.Out}
	if d.inOutage(up.Now) {
		p.others = 0 // nobody can fetch them
	}
	if up.Next != nil {
		p.next = *up.Next
	}
	info, err := d.commands.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the commands: %w", err)
	}
	p.others += int(min(info.State.Msgs, 1<<30))
	rows, err := d.s.DB.Query(ctx, `
		SELECT 'out', kind, dispatched_at, count(*) OVER () FROM jobs WHERE state = 'out' AND class = ANY($2)
		UNION ALL SELECT * FROM (SELECT 'due', kind, due_at, count(*) OVER () FROM jobs WHERE state = 'due' AND class = ANY($2) AND due_at <= $1) AS due
		UNION ALL SELECT 'next', '', next.due_at, 0 FROM unnest($2::text[]) AS c,
			LATERAL (SELECT due_at FROM jobs WHERE state = 'due' AND class = c AND due_at > $1 ORDER BY due_at LIMIT 1) AS next`,
		up.Now, []string{"google", "observe", "export", "housekeeping", "webhook", "mail"})
	if err != nil {
		return nil, fmt.Errorf("look at the jobs: %w", err)
	}
	var state, kind string // as the rows come
	var at time.Time
	var count int
	_, err = pgx.ForEachRow(rows, []any{&state, &kind, &at, &count}, func() error {
		switch state {
		case "next":
			if p.job.IsZero() || at.Before(p.job) {
				p.job = at
			}
		default:
			p.jobs++
			if p.oldest.IsZero() || at.Before(p.oldest) {
				p.oldest, p.which = at, state+" "+kind
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the jobs: %w", err)
	}
	if !p.job.IsZero() && (p.next.IsZero() || p.job.Before(p.next)) {
		p.next = p.job
	}
	return p, nil
}

func (d *driver) inOutage(now time.Time) bool {
	return d.o.Outage > 0 && !now.Before(d.outageStart()) && now.Before(d.outageStart().Add(d.o.Outage))
}

// tell says how far it is, once for each simulated day.
func (d *driver) tell(p *picture) {
	day := int(p.now.Sub(d.start) / (24 * time.Hour))
	if day == d.day {
		return
	}
	d.day = day
	made := 0
	for _, v := range d.visits {
		if v.id != 0 {
			made++
		}
	}
	_, _ = fmt.Fprintf(d.o.Progress, "day %d after %s: %d of %d meetings made, %d jumps, %d kills, %d times stuck\n",
		day, time.Since(d.began).Round(time.Second), made, len(d.visits), d.jumps, d.kills, len(d.stuck))
}
