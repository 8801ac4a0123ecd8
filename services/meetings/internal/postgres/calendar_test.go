package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/calendar"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// made is the outcome of a create in somebody's calendar.
func made(id int64, account, calendarID string, end time.Time) *app.Command {
	return command("meeting.synced", &app.SyncOutcome{MeetingID: meeting.ID(id), Outcome: meeting.Outcome{
		Dispatch: 1, Version: 1, Complete: true,
		Google: &meeting.GoogleCopy{
			Account: account, CalendarID: calendarID, EventID: "ev" + account + end.Format("05"), MeetLink: "l", EventVersion: 1, SettingsVersion: 1,
			EventEtag: `"1"`, EventUpdated: today, EventShown: "a.b",
		},
	}})
}

func followed(id int64, dispatch int64, c calendar.Reading, seen ...meeting.Snapshot) *app.Command {
	c.Dispatch = dispatch
	do := &app.CalendarFollowed{Calendar: calendar.ID(id), Reading: c, Snapshots: seen}
	cmd := command("calendar.followed", do)
	cmd.Outcome = true
	return cmd
}

func TestACalendarIsFollowedOnceAnEventWasMadeInIt(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("a@x.example"), create("b@x.example"), create("c@x.example"))
	i.accept(t, made(1, "a@x.example", "primary", today), made(2, "b@x.example", "team@g", today), made(3, "c@x.example", "team@g", today))
	if got := column[string](t, i, `SELECT place FROM calendars ORDER BY place`); !slices.Equal(got, []string{"a@x.example", "team@g"}) {
		t.Errorf("follows %v: what is shared is followed once", got)
	}
	if got := ask[int64](t, i, `SELECT count(*) FROM jobs j JOIN calendars c ON j.key = c.id::text WHERE j.kind = 'follow_calendar' AND j.state = 'due' AND j.due_at = $1`, today); got != 2 {
		t.Errorf("%d jobs are due", got)
	}
	// This process knows them: the rows may go and nothing writes them again. Another process does.
	i.exec(t, `DELETE FROM jobs WHERE kind = 'follow_calendar'`)
	i.exec(t, `DELETE FROM calendars`)
	i.accept(t, create("a@x.example"))
	i.accept(t, made(4, "a@x.example", "primary", today))
	if got := ask[int64](t, i, `SELECT count(*) FROM calendars`); got != 0 {
		t.Errorf("a known calendar cost a statement: %d rows", got)
	}
	other := i.another(t)
	other.accept(t, create("a@x.example"))
	other.accept(t, made(5, "a@x.example", "primary", today))
	if got := ask[int64](t, i, `SELECT count(*) FROM calendars`); got != 1 {
		t.Errorf("%d rows", got)
	}
}

func TestAReadingMovesTheCalendarAndItsMeetings(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("a@x.example", "p@mail.example", "q@mail.example"))
	i.accept(t, made(1, "a@x.example", "primary", today))
	i.exec(t, `UPDATE jobs SET state = 'out', dispatch = 1, dispatched_at = $1 WHERE kind = 'follow_calendar'`, today)
	id := ask[int64](t, i, `SELECT id FROM calendars`)
	event := ask[string](t, i, `SELECT google_event_id FROM meetings WHERE id = 1`)
	start := ask[time.Time](t, i, `SELECT created_at FROM meetings WHERE id = 1`).Add(3 * time.Hour)
	seen := meeting.Snapshot{
		EventID: event, Etag: `"2"`, Updated: today.Add(time.Minute), Summary: meeting.DefaultSummary, Start: start, End: start.Add(time.Hour), Shown: "a.b",
		Guests: []meeting.Answer{{Email: "P@mail.example", Response: "accepted"}, {Email: "new@mail.example", Response: "declined"}},
	}
	stranger := meeting.Snapshot{EventID: "unknown", Etag: `"1"`, Updated: today}
	channel := calendar.Channel{ID: "c1", Resource: "r", TokenHash: "h", ExpiresAt: today.AddDate(0, 0, 7)}
	reading := followed(id, 1, calendar.Reading{SyncToken: "s1", Full: true, Channel: channel}, stranger, seen)
	i.accept(t, reading)
	events := ask[int64](t, i, `SELECT count(*) FROM events`)
	i.accept(t, followed(id, 1, calendar.Reading{SyncToken: "double"}, stranger, seen)) // comes twice, acts once
	if n := ask[int64](t, i, `SELECT count(*) FROM events`); n != events {
		t.Errorf("the double stated %d facts", n-events)
	}
	if got := ask[string](t, i, `SELECT concat_ws(' ', sync_token, channel_id, channel_token_hash, failure_code) FROM calendars`); got != "s1 c1 h " {
		t.Errorf("the calendar is %q", got)
	}
	if got := ask[string](t, i, `SELECT payload ->> 'syncToken' || ' ' || (payload -> 'channel' ->> 'id') || ' ' || state FROM jobs WHERE kind = 'follow_calendar'`); got != "s1 c1 due" {
		t.Errorf("its next message carries %q", got)
	}
	if got := ask[time.Time](t, i, `SELECT scheduled_start FROM meetings WHERE id = 1`); !got.Equal(start) {
		t.Errorf("starts at %s, want %s", got, start)
	}
	got := column[string](t, i, `SELECT email || ' ' || response_status || ' ' || invited FROM participants WHERE meeting_id = 1 ORDER BY email`)
	if want := []string{"a@x.example  false", "new@mail.example declined true", "p@mail.example accepted true"}; !slices.Equal(got, want) {
		t.Errorf("people %q, want %q", got, want)
	}

	// A notice makes it due at once; a stranger's is refused and moves nothing.
	i.clock.Advance(time.Minute)
	i.exec(t, `UPDATE jobs SET due_at = $1 WHERE kind = 'follow_calendar'`, i.clock.Now().Add(time.Hour))
	bad := command("calendar.noticed", &app.CalendarNoticed{Channel: "c1", TokenHash: "x"})
	bad.Outcome = true
	i.process(t, bad)
	if bad.Refusal == nil || ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'follow_calendar'`).Before(i.clock.Now().Add(time.Second)) {
		t.Errorf("a stranger was believed: %v", bad.Refusal)
	}
	good := command("calendar.noticed", &app.CalendarNoticed{Channel: "c1", TokenHash: "h"})
	good.Outcome = true
	i.accept(t, good)
	if due := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'follow_calendar'`); due.After(i.clock.Now()) {
		t.Errorf("due at %s, it is %s", due, i.clock.Now())
	}
}

func TestAReadingOfAnUnknownCalendarIsRefused(t *testing.T) {
	i := newInstance(t)
	c := followed(99, 1, calendar.Reading{SyncToken: "s"})
	i.process(t, c)
	if c.Refusal == nil || c.Refusal.Reason != "CALENDAR_NOT_FOUND" {
		t.Errorf("refusal %v", c.Refusal)
	}
}
