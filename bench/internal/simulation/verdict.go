package simulation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// truth is what the emulator says of a space.
type truth struct {
	Space       string       `json:"space"`
	Conferences []conference `json:"conferences"`
}

type conference struct {
	Start      time.Time   `json:"start"`
	End        time.Time   `json:"end"`
	Status     string      `json:"status"`
	People     []person    `json:"people"`
	Recordings []recording `json:"recordings"`
}

type person struct {
	Email  string    `json:"email"`
	Joined time.Time `json:"joined"`
	Left   time.Time `json:"left"`
}

type recording struct {
	Name      string     `json:"name"`
	Ready     *time.Time `json:"ready"`
	FileState string     `json:"file_state"`
	Lost      *time.Time `json:"lost"`
	Copied    *time.Time `json:"copied"`
}

// told is a meeting as the product's API shows it.
type told struct {
	ID                int64  `json:"id"`
	ExternalReference string `json:"external_reference"`
	RecordingState    string `json:"recording_state"`
	RecordingReason   string `json:"recording_reason"`
}

func (t told) String() string {
	if t.RecordingReason == "" {
		return t.RecordingState
	}
	return t.RecordingState + ", " + t.RecordingReason
}

// want is what is right to say of a meeting, and when it could be known.
type want struct {
	// outcomes are "state" or "state, REASON"; the first is what is right, others are as true.
	outcomes []string
	// file is when the last file was there that makes the outcome; zero: none does.
	file time.Time
	// alarm is when people had been ten minutes in the room unrecorded; zero: never.
	alarm time.Time
}

const (
	missing  = "missing, "
	verified = "verified"
	// unrecordedAfter is how long people are in a room until somebody must be told that nothing is recorded.
	unrecordedAfter = 10 * time.Minute
	// traced is of how many wrong meetings the whole story is told.
	traced = 25
)

// judge says what is right, from what the emulator knows to have happened.
func (v *visit) judge(t truth, known bool) want {
	switch {
	case !v.record && len(recordingsOf(t)) == 0:
		return want{outcomes: []string{"not_expected"}}
	case v.kind == kindCancelled:
		return want{outcomes: []string{"not_expected"}}
	case !known:
		return want{outcomes: []string{missing + "NOT_PROVISIONED"}}
	case len(t.Conferences) == 0 && v.noSpace: // the link came when it was too late
		return want{outcomes: []string{missing + "NOT_HELD", missing + "NOT_PROVISIONED"}}
	case len(t.Conferences) == 0 && v.kind == kindUnlicensed:
		return want{outcomes: []string{missing + "NOT_HELD", missing + "RECORDING_NOT_ALLOWED"}}
	case len(t.Conferences) == 0:
		return want{outcomes: []string{missing + "NOT_HELD"}}
	}
	w := want{}
	for _, c := range t.Conferences {
		if at := c.Start.Add(unrecordedAfter); len(c.Recordings) == 0 && at.Before(c.End) && w.alarm.IsZero() {
			w.alarm = at
		}
	}
	all := recordingsOf(t)
	if len(all) == 0 {
		w.outcomes = []string{missing + "NEVER_STARTED"}
		if v.kind == kindUnlicensed {
			w.outcomes = []string{missing + "RECORDING_NOT_ALLOWED"}
		}
		return w
	}
	secured := 0
	for _, r := range all {
		switch {
		case r.Ready == nil:
			w.outcomes = append(w.outcomes, missing+"FILE_NOT_GENERATED")
		case r.Lost != nil && (r.Copied == nil || r.Copied.After(*r.Lost)):
			w.outcomes = append(w.outcomes, missing+"FILE_DELETED")
		default:
			secured++
		}
		if r.Ready != nil && r.Ready.After(w.file) {
			w.file = *r.Ready
		}
	}
	if secured == len(all) {
		w.outcomes = []string{verified}
	}
	return w
}

func recordingsOf(t truth) []recording {
	var all []recording
	for _, c := range t.Conferences {
		all = append(all, c.Recordings...)
	}
	return all
}

// final tells whether nothing more is to come of a meeting that says this.
func final(state string) bool {
	return state == verified || state == "missing" || state == "not_expected"
}

// compare asks the product about every meeting and holds it to the truth.
func (d *driver) compare(ctx context.Context, r *Result) error {
	spaces := make(map[string]truth)
	for from := 0; ; {
		var page struct {
			Spaces []truth `json:"spaces"`
			Next   int     `json:"next"`
		}
		if err := d.s.Google(ctx, http.MethodGet, "truth?from="+strconv.Itoa(from), nil, &page); err != nil {
			return err
		}
		for _, t := range page.Spaces {
			spaces[t.Space] = t
		}
		if from = page.Next; from == 0 {
			break
		}
	}
	said, err := d.ask(ctx)
	if err != nil {
		return err
	}
	moments, err := d.moments(ctx)
	if err != nil {
		return err
	}
	rooms, err := d.rooms(ctx)
	if err != nil {
		return err
	}
	for i, v := range d.visits {
		t, known := spaces[rooms[v.id]]
		w := v.judge(t, known)
		got := said[i]
		r.Outcomes[w.outcomes[0]]++
		if !final(got.RecordingState) {
			r.Silent++
		}
		if !slices.Contains(w.outcomes, got.String()) {
			one := Wrong{Meeting: v.id, Plan: v.kind, Want: w.outcomes[0], Got: got.String()}
			if len(r.Wrong) < traced {
				if one.Trace, err = d.trace(ctx, v, t); err != nil {
					return err
				}
			}
			r.Wrong = append(r.Wrong, one)
		} else {
			r.Right++
		}
		m := moments[v.id]
		if w.outcomes[0] == verified && got.RecordingState == verified {
			from := w.file
			// While Google does not answer nobody can know of a file.
			if until := d.outageStart().Add(d.o.Outage); d.inOutage(from) {
				from = until
				r.AfterOutage = append(r.AfterOutage, m.verified.Sub(from))
			} else {
				r.ToFinal = append(r.ToFinal, m.verified.Sub(from))
			}
		}
		if w.alarm.IsZero() {
			continue
		}
		// An alarm that could not be raised because Google was away, or that the end overtook within the grain, is none.
		switch {
		case d.inOutage(w.alarm):
			r.AlarmsInOutage++
		case m.alarm.IsZero():
			r.AlarmsMissed = append(r.AlarmsMissed, v.id)
		default:
			r.Alarms = append(r.Alarms, m.alarm.Sub(w.alarm))
		}
	}
	return nil
}

// ask gives what the product's API says of every visit, in their order.
func (d *driver) ask(ctx context.Context) ([]told, error) {
	out := make([]told, len(d.visits))
	errs := make([]error, len(d.visits))
	slots := make(chan struct{}, sideBySide)
	var all sync.WaitGroup
	for i, v := range d.visits {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = d.s.Ask(ctx, http.MethodGet, v.path(), nil, nil, &out[i])
			<-slots
		})
	}
	all.Wait()
	return out, errors.Join(errs...)
}

// moments are when something was said of a meeting, on the simulated clock.
type moments struct {
	verified time.Time // for the last time
	alarm    time.Time // for the first time
}

func (d *driver) moments(ctx context.Context) (map[int64]moments, error) {
	rows, err := d.s.DB.Query(ctx, `
		SELECT meeting_id, type, min(occurred_at), max(occurred_at) FROM events
		WHERE meeting_id IS NOT NULL AND type IN ('recording.verified', 'recording.not_started') GROUP BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	out := make(map[int64]moments)
	var id int64
	var kind string
	var first, last time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &kind, &first, &last}, func() error {
		m := out[id]
		if kind == "recording.verified" {
			m.verified = last
		} else {
			m.alarm = first
		}
		out[id] = m
		return nil
	})
	return out, err
}

// rooms are the spaces of meetings.
func (d *driver) rooms(ctx context.Context) (map[int64]string, error) {
	rows, err := d.s.DB.Query(ctx, "SELECT id, space FROM meetings WHERE space <> ''")
	if err != nil {
		return nil, fmt.Errorf("read the rooms: %w", err)
	}
	out := make(map[int64]string)
	var id int64
	var space string
	_, err = pgx.ForEachRow(rows, []any{&id, &space}, func() error {
		out[id] = space
		return nil
	})
	return out, err
}

// trace tells what really happened around a meeting and what the product noted, in order.
func (d *driver) trace(ctx context.Context, v *visit, t truth) ([]string, error) {
	const clock = "02 15:04:05"
	var out []string
	say := func(at time.Time, format string, args ...any) {
		out = append(out, at.UTC().Format(clock)+" "+fmt.Sprintf(format, args...))
	}
	say(v.start, "is to start")
	say(v.end, "is to end")
	for _, c := range t.Conferences {
		say(c.Start, "people come")
		say(c.End, "the last one leaves")
		for _, r := range c.Recordings {
			if r.Ready != nil {
				say(*r.Ready, "the file is there")
			}
			if r.Lost != nil {
				say(*r.Lost, "the file is lost")
			}
			if r.Copied != nil {
				say(*r.Copied, "the file was read")
			}
		}
	}
	rows, err := d.s.DB.Query(ctx, `
		SELECT occurred_at, 'EVENT ' || type || ' ' || left(body, 300) FROM events WHERE meeting_id = $1
		UNION ALL SELECT due_at, 'ROW ' || kind || ' ' || state || ' dispatch ' || dispatch || ' failed ' || failed_attempts || ' ' || left(history::text, 300) FROM jobs WHERE meeting_id = $1
		UNION ALL SELECT started_at, 'ROW conference until ' || coalesce(to_char(ended_at, 'HH24:MI:SS'), '?') || ' by ' || source || ' read ' || coalesce(to_char(recordings_read_at, 'HH24:MI:SS'), '-') FROM conferences WHERE meeting_id = $1
		UNION ALL SELECT created_at, 'ROW recording ' || state || ' file ' || file_state || ' export ' || export_state || ' ' || failure_code FROM recordings WHERE meeting_id = $1`, v.id)
	if err != nil {
		return nil, fmt.Errorf("read what is known of meeting %d: %w", v.id, err)
	}
	var at time.Time
	var what string
	if _, err := pgx.ForEachRow(rows, []any{&at, &what}, func() error { say(at, "%s", what); return nil }); err != nil {
		return nil, fmt.Errorf("read what is known of meeting %d: %w", v.id, err)
	}
	slices.Sort(out)
	return out, nil
}
