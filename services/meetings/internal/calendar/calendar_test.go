package calendar

import (
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

const every = 5 * time.Minute

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a time

// out is a calendar that is being read.
func out() *Calendar {
	return &Calendar{
		ID: 1, Account: "a@x.example", CalendarID: "primary", BusyUntil: noon.Add(grain), SyncToken: "before",
		Channel: Channel{ID: "c", TokenHash: "h", ExpiresAt: noon.Add(grain)},
		Job:     meeting.Job{ID: "j", State: meeting.JobOut, Dispatch: 3, DispatchedAt: noon.Add(-time.Second)},
	}
}

func TestWhenACalendarIsReadNext(t *testing.T) {
	same := Channel{ID: "c", TokenHash: "h", ExpiresAt: noon.Add(grain)}
	for name, test := range map[string]struct {
		calendar func(*Calendar)
		reading  Reading
		in       time.Duration
		token    string
	}{
		"busy":                  {nil, Reading{Dispatch: 3, SyncToken: "after", Channel: same}, every, "after"},
		"quiet":                 {func(c *Calendar) { c.BusyUntil = noon.AddDate(0, 0, -2) }, Reading{Dispatch: 3, SyncToken: "after"}, quietEvery, "after"},
		"told meanwhile":        {func(c *Calendar) { c.ReadAgain = true }, Reading{Dispatch: 3, SyncToken: "after", Channel: same}, breath, "after"},
		"with a new channel":    {nil, Reading{Dispatch: 3, SyncToken: "after", Channel: Channel{ID: "d"}}, breath, "after"},
		"google is down":        {nil, Reading{Dispatch: 3, Channel: same, Failure: &meeting.OutcomeFailure{RetryAt: noon.Add(time.Minute)}}, time.Minute, "before"},
		"google says a year":    {nil, Reading{Dispatch: 3, Channel: same, Failure: &meeting.OutcomeFailure{RetryAt: noon.AddDate(1, 0, 0)}}, quietEvery, "before"},
		"not allowed":           {nil, Reading{Dispatch: 3, Channel: same, Failure: &meeting.OutcomeFailure{Permanent: true}}, time.Hour, "before"},
		"a time that is passed": {nil, Reading{Dispatch: 3, Channel: same, Failure: &meeting.OutcomeFailure{RetryAt: noon.Add(-time.Hour)}}, 0, "before"},
	} {
		t.Run(name, func(t *testing.T) {
			c := out()
			if test.calendar != nil {
				test.calendar(c)
			}
			c.Followed(test.reading, every, noon)
			if c.Job.State != meeting.JobDue || !c.Job.DueAt.Equal(noon.Add(test.in)) || c.SyncToken != test.token {
				t.Errorf("%s, due %s, token %s", c.Job.State, c.Job.DueAt, c.SyncToken)
			}
			due := c.Job.DueAt
			c.Followed(Reading{Dispatch: test.reading.Dispatch, SyncToken: "double"}, every, noon.Add(time.Minute))
			if !c.Job.DueAt.Equal(due) || c.SyncToken != test.token {
				t.Error("a double acted")
			}
		})
	}
}

func TestAnOldReadingMovesNothing(t *testing.T) {
	c := out()
	c.Followed(Reading{Dispatch: 2, SyncToken: "old"}, every, noon)
	if c.Job.State != meeting.JobOut || c.SyncToken != "before" {
		t.Errorf("%+v", c)
	}
}

func TestWhoMaySayThatACalendarHasChanged(t *testing.T) {
	waiting := func() *Calendar {
		c := out()
		c.Job.State, c.Job.DueAt, c.ReadAt = meeting.JobDue, noon.Add(every), noon.Add(-time.Minute)
		return c
	}
	for name, test := range map[string]struct{ channel, hash string }{
		"another channel": {"d", "h"}, "another token": {"c", "x"}, "no token": {"c", ""}, "no channel": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := waiting()
			if c.Noticed(test.channel, test.hash, noon) || !c.Job.DueAt.Equal(noon.Add(every)) {
				t.Error("it was believed")
			}
		})
	}
	c := waiting()
	if !c.Noticed("c", "h", noon) || !c.Job.DueAt.Equal(noon) {
		t.Errorf("due %s, want at once", c.Job.DueAt)
	}
	c = waiting()
	c.ReadAt = noon.Add(-time.Second)
	if !c.Noticed("c", "h", noon) || !c.Job.DueAt.Equal(noon.Add(breath-time.Second)) {
		t.Errorf("due %s, want a breath after the last reading", c.Job.DueAt)
	}
	c = out()
	if !c.Noticed("c", "h", noon) || !c.ReadAgain || c.Job.State != meeting.JobOut {
		t.Errorf("told while it was read: %+v", c)
	}
	c.Channel = Channel{}
	if c.Noticed("", "", noon) {
		t.Error("a calendar without a channel believes everybody")
	}
}

func TestSharedCalendarsAreOnePlace(t *testing.T) {
	if Place("A@x.example", "primary") != Place("a@x.example", "") || Place("a@x.example", "team@g") != Place("b@x.example", "team@g") || Place("a@x", "primary") == Place("b@x", "primary") {
		t.Error("places differ")
	}
	for _, end := range []time.Time{noon, {}, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		if until := BusyUntil(end); until.Year() < 9999 && !until.After(end) || until.Sub(end) > grain {
			t.Errorf("busy until %s for an end at %s", until, end)
		}
	}
}
