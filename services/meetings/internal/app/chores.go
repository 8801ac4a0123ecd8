package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/schedule"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// The class and the kinds of the periodic jobs.
const (
	classHousekeeping = "housekeeping"
	KindSyncAll       = "sync_all"
	KindReport        = "report"
	KindRetention     = "retention"
)

const (
	// choreStep is how many rows one run works on before others have their turn; then the job is due again at once.
	choreStep = 500
	// checkEvery is the pause between two checks that a sync of all plans: far below what Google allows in a minute, and ten
	// thousand meetings are checked within an hour.
	checkEvery = 200 * time.Millisecond
	// reportDays bounds the reports that are made up after a time without any.
	reportDays = 31
	// namedMissing is how many meetings a report names.
	namedMissing = 100
)

// Chores asks for and does what is about many rows, in the transaction of the batch that it is part of.
type Chores interface {
	// Periodic locks the rows of the periodic jobs that are there.
	Periodic() ([]*task.Task, error)
	// ToCheck are meetings with a number above after of which something is still expected of Google, or whose file is to be looked
	// at again, by number and at most limit; copied: copies are made.
	ToCheck(after meeting.ID, copied bool, now time.Time, limit int) ([]meeting.ID, error)
	// RenewExports makes due again the copies that failed and whose file is still there, and tells how many.
	RenewExports(now time.Time) (int64, error)
	// Expired are the copies that have been kept long enough and are on no legal hold, at most limit.
	Expired(now time.Time, limit int) ([]*export.Recording, error)
	// ForgetAttendance deletes who was in conferences that ended before a time and are on no legal hold, of at most limit conferences,
	// and tells of how many people and conferences.
	ForgetAttendance(ended time.Time, limit int) (people, conferences int64, err error)
	// ForgetTranscripts deletes transcripts, with all that was said, that are known since before a time and on no legal hold, at most
	// limit, and tells how many.
	ForgetTranscripts(before time.Time, limit int) (int64, error)
	// Count counts what became of the recordings of meetings that were to begin in [from, to), and names the first so many whose
	// recording is missing.
	Count(from, to time.Time, named int) (Count, error)
}

// Count says what became of the recordings of some meetings.
type Count struct {
	// ByState counts those that were to be recorded.
	ByState map[meeting.RecordingState]int64
	// MissingReasons counts those that are missing.
	MissingReasons map[string]int64
	Missing        []meeting.ID
}

// ChoreFact is a fact about many rows: a [ReportFact] or a [RetentionFact].
type ChoreFact interface{ choreFact() }

// ReportFact says what became of a day's recordings.
type ReportFact struct {
	Date     string
	TimeZone string
	// Secured are verified, or have their file where no copies are made.
	Expected, Secured, Verified, Missing, UnderWay int64
	MissingReasons                                 map[string]int64
	MissingMeetings                                []meeting.ID
}

// RetentionFact says how much was deleted, or its deletion begun.
type RetentionFact struct{ Recordings, Attendees, Transcripts int64 }

func (ReportFact) choreFact()    {}
func (RetentionFact) choreFact() {}

// ChoreEnd is how a run of a periodic job went.
type ChoreEnd struct {
	// More: it is due again at once.
	More   bool
	NextAt time.Time
}

// PlanPeriodic gives the periodic jobs their rows, and plans them anew where their line or zone was changed. One that was missed
// while nothing ran stays due, and is made up once.
func (p *Processor) PlanPeriodic(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make a command id: %w", err)
	}
	command := &Command{ID: id, Kind: "housekeeping.run", Principal: "system", Actor: Actor{Role: access.Internal}, Outcome: true, Do: PlanPeriodic{}}
	p.Process(ctx, []*Command{command})
	switch {
	case command.Err != nil:
		return fmt.Errorf("plan the periodic jobs: %w", command.Err)
	case command.Refusal != nil:
		return fmt.Errorf("plan the periodic jobs: %w", command.Refusal)
	}
	return nil
}

// PlanPeriodic is what [Processor.PlanPeriodic] carries out.
type PlanPeriodic struct{}

// Needs nothing: it asks for the rows itself.
func (PlanPeriodic) Needs(*Needs) {}

// What a periodic job's row shows beside what came of its last run.
const (
	resultLine  = "cron"
	resultUntil = "reported_until"
)

// Apply refuses nothing.
func (PlanPeriodic) Apply(u *Unit, _ *Command) (Result, error) {
	rows, err := u.Chores.Periodic()
	if err != nil {
		return Result{}, err
	}
	there := map[string]*task.Task{}
	for _, t := range rows {
		there[t.Kind] = t
		u.Tasks[t.ID] = t
	}
	for _, kind := range []string{KindSyncAll, KindReport, KindRetention} {
		line, wanted := u.Keeping.Periodic[kind]
		t := there[kind]
		switch {
		case t == nil && wanted:
			id, err := newID()
			if err != nil {
				return Result{}, err
			}
			t = task.New(id, classHousekeeping, kind, line.Next(u.Now), u.Now)
			t.Key, t.Payload, t.Result[resultLine] = kind, map[string]any{"task": kind}, line.String()
			u.Plan(t)
		case t == nil, t.State == meeting.JobOut: // its outcome plans it
		case !wanted:
			if t.State == meeting.JobDue {
				t.Done(u.Now)
				u.dirtyTasks[t.ID] = struct{}{}
			}
		case t.State != meeting.JobDue || t.Result[resultLine] != line.String():
			if t.State != meeting.JobDue || t.DueAt.After(u.Now) {
				t.Again(line.Next(u.Now))
			}
			t.Result[resultLine] = line.String()
			u.dirtyTasks[t.ID] = struct{}{}
		}
	}
	return Result{}, nil
}

// RunHousekeeping does what a periodic job, or a sync of all that somebody asked for, is there for.
type RunHousekeeping struct {
	Job      uuid.UUID
	Dispatch int64
}

// Needs the job.
func (c *RunHousekeeping) Needs(n *Needs) { n.Tasks = append(n.Tasks, c.Job) }

// Apply does nothing where the dispatch is not the newest, or came before.
func (c *RunHousekeeping) Apply(u *Unit, _ *Command) (Result, error) {
	t := u.Task(c.Job)
	if t == nil || t.Class != classHousekeeping || !t.Take(c.Dispatch) {
		return Result{Chore: &ChoreEnd{}}, nil
	}
	var more bool
	var facts []ChoreFact
	var err error
	switch t.Kind {
	case KindSyncAll:
		more, err = u.syncAll(t)
	case KindReport:
		facts, err = u.report(t)
	case KindRetention:
		more, facts, err = u.retain(t)
	}
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", t.Kind, err)
	}
	u.planNext(t, more)
	return Result{ChoreFacts: facts, Chore: &ChoreEnd{More: more, NextAt: t.DueAt}}, nil
}

// planNext makes the row due at once, at its next time, or over. Whatever was missed is one run.
func (u *Unit) planNext(t *task.Task, more bool) {
	line, periodic := u.Keeping.Periodic[t.Kind]
	switch next := line.Next(u.Now); {
	case more:
		t.Again(u.Now)
	case t.Key == "" || !periodic || next.IsZero():
		t.Done(u.Now)
	default:
		t.Again(next)
		t.Result[resultLine] = line.String()
	}
}

// progress is what a run that takes several steps keeps in its row, as numbers that JSON may have made floats of.
func progress(t *task.Task, name string) int64 {
	switch n := t.Result[name].(type) {
	case float64:
		return int64(n)
	case int64:
		return n
	}
	return 0
}

// begin forgets what the last run told, unless this is a further step of the same run.
func begin(t *task.Task, now time.Time) (began time.Time) {
	if text, ok := t.Result["running_since"].(string); ok {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return at
		}
	}
	kept := t.Result
	t.Result = map[string]any{"running_since": now.Format(time.RFC3339Nano)}
	for _, name := range []string{resultLine, resultUntil} {
		if v, there := kept[name]; there {
			t.Result[name] = v
		}
	}
	return now
}

// end says that the run is over.
func end(t *task.Task, now time.Time) {
	delete(t.Result, "running_since")
	t.Result["ran_at"] = now.Format(time.RFC3339)
}

// syncAll plans a check of all meetings of which something is expected, a while apart, so that Google's quotas are left to what is
// under way.
func (u *Unit) syncAll(t *task.Task) (more bool, err error) {
	began := begin(t, u.Now)
	planned, after := progress(t, "meetings"), progress(t, "after")
	most := int64(0)
	switch n := t.Payload["limit"].(type) {
	case float64:
		most = int64(n)
	case int64:
		most = n
	}
	step := int64(choreStep)
	if most > 0 {
		step = min(step, most-planned)
	}
	ids, err := u.Chores.ToCheck(meeting.ID(after), u.Keeping.Export.On, u.Now, int(step))
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		job, err := newID()
		if err != nil {
			return false, err
		}
		due := began.Add(time.Duration(planned+int64(i)) * checkEvery)
		u.Checks = append(u.Checks, conference.NewCheck(job, id, due, u.Now))
		after = int64(id)
	}
	planned += int64(len(ids))
	t.Result["meetings"] = planned
	if int64(len(ids)) == step && (most == 0 || planned < most) {
		t.Result["after"] = after
		return true, nil
	}
	delete(t.Result, "after")
	if u.Keeping.Export.On {
		renewed, err := u.Chores.RenewExports(u.Now)
		if err != nil {
			return false, err
		}
		t.Result["exports"] = renewed
	}
	end(t, u.Now)
	return false, nil
}

// report tells what became of yesterday's recordings, and of those of earlier days that were not told: each day once.
func (u *Unit) report(t *task.Task) ([]ChoreFact, error) {
	begin(t, u.Now)
	today, _ := schedule.Day(u.Now, u.Keeping.Zone)
	var days []time.Time // by their beginnings, the newest first
	for day := today; len(days) < reportDays; {
		day, _ = schedule.Day(day.Add(-time.Minute), u.Keeping.Zone)
		until, told := t.Result[resultUntil].(string)
		if told && date(day, u.Keeping.Zone) <= until {
			break
		}
		days = append(days, day)
		if !told { // the first report ever is of yesterday
			break
		}
	}
	facts := make([]ChoreFact, 0, len(days))
	for _, day := range slices.Backward(days) {
		from, to := schedule.Day(day, u.Keeping.Zone)
		count, err := u.Chores.Count(from, to, namedMissing)
		if err != nil {
			return nil, err
		}
		fact := count.report(u.Keeping.Export.On)
		fact.Date, fact.TimeZone = date(day, u.Keeping.Zone), u.Keeping.Zone.String()
		facts = append(facts, fact)
		t.Result[resultUntil] = fact.Date
	}
	t.Result["reports"] = int64(len(facts))
	end(t, u.Now)
	return facts, nil
}

func date(day time.Time, zone *time.Location) string { return day.In(zone).Format(time.DateOnly) }

func (c *Count) report(copied bool) ReportFact {
	r := ReportFact{MissingReasons: c.MissingReasons, MissingMeetings: c.Missing}
	for state, n := range c.ByState {
		r.Expected += n
		switch {
		case state == meeting.Verified:
			r.Verified += n
			r.Secured += n
		case state == meeting.Missing:
			r.Missing += n
		case state == meeting.FileGenerated && !copied:
			r.Secured += n
		default:
			r.UnderWay += n
		}
	}
	return r
}

// retain deletes what has been kept long enough.
func (u *Unit) retain(t *task.Task) (more bool, facts []ChoreFact, err error) {
	begin(t, u.Now)
	expired, err := u.Chores.Expired(u.Now, choreStep)
	if err != nil {
		return false, nil, err
	}
	for _, r := range expired {
		id, err := newID()
		if err != nil {
			return false, nil, err
		}
		u.Renew(r.Delete(id, u.Now))
	}
	var people, forgotten, said int64
	if keep := u.Keeping.KeepAttendance; keep > 0 {
		if people, forgotten, err = u.Chores.ForgetAttendance(u.Now.Add(-keep), choreStep); err != nil {
			return false, nil, err
		}
	}
	if keep := u.Keeping.KeepTranscripts; keep > 0 {
		if said, err = u.Chores.ForgetTranscripts(u.Now.Add(-keep), choreStep); err != nil {
			return false, nil, err
		}
	}
	for name, n := range map[string]int64{"recordings": int64(len(expired)), "attendees": people, "transcripts": said} {
		t.Result[name] = progress(t, name) + n
	}
	if len(expired) == choreStep || forgotten == choreStep || said == choreStep {
		return true, nil, nil
	}
	end(t, u.Now)
	if f := (RetentionFact{progress(t, "recordings"), progress(t, "attendees"), progress(t, "transcripts")}); f != (RetentionFact{}) {
		facts = append(facts, f)
	}
	return false, facts, nil
}

// SyncRecording looks at Google now for what a meeting left.
type SyncRecording struct{ Ref meeting.Ref }

// Needs the meeting.
func (c *SyncRecording) Needs(n *Needs) { n.Meetings = append(n.Meetings, c.Ref) }

// Apply refuses with [meeting.ErrNotFound], and with [fault.Invalid] where the meeting has no start.
func (c *SyncRecording) Apply(u *Unit, _ *Command) (Result, error) {
	m, err := u.Meeting(c.Ref)
	if err != nil {
		return Result{}, err
	}
	if m.Start.IsZero() {
		return Result{}, errNoStart
	}
	id, err := newID()
	if err != nil {
		return Result{}, err
	}
	u.Plan(conference.NewSync(id, m.ID, u.Now))
	return Result{Meeting: m, Job: id}, nil
}

// Own is [Owned].
func (c *SyncRecording) Own(u *Unit, user account.ID) error { return u.ownMeeting(c.Ref, user) }

// SyncAllRecordings looks at Google for all that is still expected, of at most Limit meetings; 0: all.
type SyncAllRecordings struct{ Limit int32 }

// Needs nothing.
func (*SyncAllRecordings) Needs(*Needs) {}

// Apply refuses a negative limit.
func (c *SyncAllRecordings) Apply(u *Unit, _ *Command) (Result, error) {
	if c.Limit < 0 {
		return Result{}, errLimit
	}
	id, err := newID()
	if err != nil {
		return Result{}, err
	}
	t := task.New(id, classHousekeeping, KindSyncAll, u.Now, u.Now)
	t.Payload = map[string]any{"task": KindSyncAll, "limit": c.Limit}
	u.Plan(t)
	return Result{Job: id}, nil
}
