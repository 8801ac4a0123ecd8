// Package simulation lets a month of meetings happen in minutes: on the whole product as processes, with the Google emulator
// and its clock, while notices are lost, Google is away for a day and schedulers are killed. In the end it holds what the
// product says of every recording to what the emulator knows to have happened.
package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/bench/internal/proc"
	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

// Options of a simulation.
type Options struct {
	// Programs is the folder of the binaries.
	Programs string
	// Dir keeps data and logs; "" is a temporary one, which stays when the simulation fails.
	Dir string

	Days       int
	Meetings   int
	Organizers int
	Schedulers int
	Seed       uint64
	// Bare is the share of meetings that have a Meet space of their own and no calendar event.
	Bare float64
	// Grain is the least that the clock jumps. Everything is seen so much later at most.
	Grain time.Duration

	// Shares of the notices that are lost, come twice and come after the one that follows.
	Lost, Doubled, Reordered float64
	// NoNotices sets up no Pub/Sub.
	NoNotices bool
	// QuotaErrors is the share of calls that Google refuses as if a quota were full.
	QuotaErrors float64
	// Outage is how long Google answers nothing but 503; 0: always well.
	Outage time.Duration
	// Kills of schedulers.
	Kills int

	Progress io.Writer
}

// Result of a simulation.
type Result struct {
	Options  Options        `json:"options"`
	Taken    time.Time      `json:"taken"`
	Wall     time.Duration  `json:"wall"`
	Jumps    int            `json:"jumps"`
	Kills    int            `json:"kills"`
	Outcomes map[string]int `json:"outcomes"` // what is right, by the truth
	Right    int            `json:"right"`
	Wrong    []Wrong        `json:"wrong"`
	Silent   int            `json:"silent"` // meetings in a state that is not final
	Stuck    []string       `json:"stuck"`

	ToFinal        []time.Duration `json:"-"` // from the last file's being there to verified
	AfterOutage    []time.Duration `json:"-"` // the same of those that came in the outage, from its end
	Alarms         []time.Duration `json:"-"` // from ten minutes unrecorded to recording.not_started
	AlarmsMissed   []int64         `json:"alarms_missed"`
	AlarmsInOutage int             `json:"alarms_in_outage"`

	Calls        map[string]int64 `json:"calls"` // of Google, by method
	OwnRefusals  int64            `json:"own_refusals"`
	Peaks        map[string]Peak  `json:"peaks"`
	Notices      Notices          `json:"notices"`
	EmulatorMB   float64          `json:"emulator_mb"`
	MeetingsMB   float64          `json:"meetings_mb"`
	SchedulersMB float64          `json:"schedulers_mb"`
	DatabaseMB   float64          `json:"database_mb"`
}

// Wrong is a meeting of which the product says what is not true.
type Wrong struct {
	Meeting int64    `json:"meeting"`
	Plan    string   `json:"plan"`
	Want    string   `json:"want"`
	Got     string   `json:"got"`
	Trace   []string `json:"trace,omitempty"` // of the first ones: what happened and what was noted, in order
}

// Peak is the most calls of a class in any minute, and its quota.
type Peak struct {
	Project      int64 `json:"project"`
	ProjectQuota int64 `json:"project_quota"`
	User         int64 `json:"user"`
	UserQuota    int64 `json:"user_quota"`
}

// Notices counts what became of them.
type Notices struct {
	Published  int64 `json:"published"`
	Dropped    int64 `json:"dropped"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
}

const topic, subscription = "projects/meet-emulator/topics/meet", "projects/meet-emulator/subscriptions/meet"

// Run simulates. A result with wrong meetings is no error.
func Run(ctx context.Context, o Options) (result *Result, err error) {
	o.Days, o.Organizers, o.Schedulers = max(o.Days, 1), max(o.Organizers, 1), max(o.Schedulers, 1)
	o.Grain = cmp.Or(o.Grain, 2*time.Minute)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	temporary := o.Dir == ""
	if temporary {
		if o.Dir, err = os.MkdirTemp("", "meet-simulation-"); err != nil {
			return nil, fmt.Errorf("make a folder: %w", err)
		}
	} else if err := os.Mkdir(o.Dir, 0o755); err != nil { //nolint:gosec // as below; one that exists would bring an old database with it
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o755); err != nil { //nolint:gosec // Postgres may have a user of its own
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if !temporary {
			return
		}
		if err == nil && len(result.Wrong) == 0 {
			err = os.RemoveAll(o.Dir)
			return
		}
		_, _ = fmt.Fprintf(o.Progress, "logs are in %s\n", o.Dir)
	}()
	r := &Result{Options: o, Taken: time.Now().UTC(), Outcomes: make(map[string]int)}
	exports := filepath.Join(o.Dir, "recordings")
	if err := os.MkdirAll(exports, 0o750); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	d := &driver{o: o, start: firstDay(), began: time.Now(), dice: rand.New(rand.NewPCG(o.Seed, 7))} //nolint:gosec // makes up data
	env := []string{
		"MEET_CLOCK=emulator", "MEET_GOOGLE=emulator", "MEET_GOOGLE_QUOTAS=on", "GOOGLE_WORKSPACE_DOMAINS=" + domain,
		"GOOGLE_WORKSPACE_ADMIN_EMAIL=admin@" + domain, "MEET_TIME_ZONE=UTC", "MEET_DRIFT_EVERY=24h", "MEET_ATTENDANCE=people",
		"MEET_TRANSCRIPTS=off", "MEET_EXPORT_URL=file://" + exports, "GOOGLE_DIRECTORY=off",
	}
	if !o.NoNotices {
		env = append(env, "GOOGLE_PUBSUB_TOPIC="+topic, "GOOGLE_PUBSUB_SUBSCRIPTION="+subscription)
	}
	d.s, err = stack.Start(ctx, stack.Options{Programs: o.Programs, Dir: o.Dir, Schedulers: o.Schedulers, Env: env, Before: d.furnish})
	if d.s != nil {
		defer func() { err = errors.Join(err, d.s.Stop(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return nil, err
	}
	d.visits = plan(o, d.start)
	d.prepare()
	if err := d.faults(ctx, false); err != nil {
		return nil, err
	}
	if err := d.run(ctx); err != nil {
		return nil, err
	}
	r.Jumps, r.Kills, r.Stuck = d.jumps, d.kills, d.stuck
	if err := d.measure(ctx, r); err != nil {
		return nil, err
	}
	if err := d.compare(ctx, r); err != nil {
		return nil, err
	}
	r.Wall = time.Since(d.began)
	return r, nil
}

// firstDay is a midnight some time ahead of the machine's clock, as the emulator's goes forward only.
func firstDay() time.Time { return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 2) }

// furnish sets the emulator up before anybody asks it.
func (d *driver) furnish(ctx context.Context, s *stack.Stack) error {
	d.s = s
	set := func(path string, body map[string]any) error { return s.Google(ctx, http.MethodPost, path, body, nil) }
	errs := []error{
		set("clock", map[string]any{"set": d.start, "rate": rate}),
		set("settings", map[string]any{"seed": d.o.Seed + 1}),
		set("quotas", map[string]any{"enabled": true}),
		set("events", map[string]any{"drop": d.o.Lost, "duplicate": d.o.Doubled, "reorder": d.o.Reordered}),
	}
	if !d.o.NoNotices {
		errs = append(errs, set("pubsub", map[string]any{"topic": topic, "publisher": true}))
	}
	if who := unlicensed(d.o.Organizers); who != "" {
		errs = append(errs, set("accounts", map[string]any{"email": who, "may_record": false}))
	}
	return errors.Join(errs...)
}

// measure reads what the run cost.
func (d *driver) measure(ctx context.Context, r *Result) error {
	var state struct {
		Calls  map[string]int64 `json:"calls"`
		Quotas []struct {
			Class          string `json:"class"`
			Project        int64  `json:"project"`
			User           int64  `json:"user"`
			RefusedProject int64  `json:"refused_project"`
			RefusedUser    int64  `json:"refused_user"`
			PeakProject    int64  `json:"peak_project"`
			PeakUser       int64  `json:"peak_user"`
		} `json:"quotas"`
		EventsSent Notices `json:"events_sent"`
	}
	if err := d.s.Google(ctx, http.MethodGet, "state?only=calls,quotas,events_sent", nil, &state); err != nil {
		return err
	}
	r.Calls, r.Notices, r.Peaks = state.Calls, state.EventsSent, make(map[string]Peak)
	for _, q := range state.Quotas {
		r.OwnRefusals += q.RefusedProject + q.RefusedUser
		r.Peaks[q.Class] = Peak{q.PeakProject, q.Project, q.PeakUser, q.User}
	}
	memory := func(p *stack.Process) float64 {
		own, below, err := proc.PSS(p.PID())
		if err != nil {
			return 0 // it has ended, which the comparison says
		}
		return float64(own+below) / (1 << 20)
	}
	r.EmulatorMB, r.MeetingsMB = memory(d.s.Emulator), memory(d.s.Meetings)
	for _, p := range d.s.Schedulers {
		r.SchedulersMB += memory(p)
	}
	var size int64
	if err := d.s.DB.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
		return fmt.Errorf("read the size of the database: %w", err)
	}
	r.DatabaseMB = float64(size) / (1 << 20)
	return nil
}

// Groups of Google's methods.
const (
	groupCreate   = "creating and changing"
	groupReading  = "after the create"
	groupDownload = "downloads of files"
	groupCalendar = "reading calendars for changes"
	groupPubsub   = "Pub/Sub"
	groupTokens   = "tokens"
)

// group says what a call was for.
func group(method string) string {
	switch {
	case method == "token":
		return groupTokens
	case method == "drive.files.get:media":
		return groupDownload
	case method == "calendar.events.list" || method == "calendar.events.watch" || method == "calendar.channels.stop":
		return groupCalendar
	case strings.HasPrefix(method, "pubsub."):
		return groupPubsub
	case strings.HasPrefix(method, "calendar."), strings.HasPrefix(method, "meet.spaces."):
		return groupCreate
	}
	return groupReading
}

// PerMeeting gives the calls of each group for one meeting on average.
func (r *Result) PerMeeting() map[string]float64 {
	out := make(map[string]float64)
	for method, n := range r.Calls {
		if method == "drive.files.get" {
			n -= r.Calls["drive.files.get:media"] // those are a group of their own
		}
		out[group(method)] += float64(n) / float64(max(r.Options.Meetings, 1))
	}
	return out
}

// Spread of times.
type Spread struct {
	N             int
	P50, P99, Max time.Duration
}

// SpreadOf sorts times.
func SpreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	slices.Sort(times)
	at := func(p int) time.Duration { return times[min(len(times)-1, len(times)*p/100)] }
	return Spread{len(times), at(50), at(99), times[len(times)-1]}
}
