package job

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// feed is a calendar by script.
type feed struct {
	pages   map[string]Page // by sync token and page token
	gone    map[string]bool // sync tokens that Google knows no longer
	fail    error
	pushes  bool
	refuse  error // of a channel
	asked   []string
	stopped []string
}

func (f *feed) ListEvents(_ context.Context, account, calendarID, syncToken, pageToken string, since time.Time) (Page, error) {
	f.asked = append(f.asked, syncToken+"/"+pageToken)
	if f.gone[syncToken] {
		return Page{}, &Failure{Kind: Gone, Code: CodeEventGone}
	}
	page, ok := f.pages[syncToken+"/"+pageToken]
	if !ok || account == "" || calendarID == "" || since.IsZero() {
		return Page{}, fmt.Errorf("no such page: %w", f.fail)
	}
	return page, nil
}

func (f *feed) Pushes() bool { return f.pushes }

func (f *feed) Watch(context.Context, string, string) (Channel, bool, error) {
	if f.refuse != nil {
		return Channel{}, false, f.refuse
	}
	return Channel{ID: "new", Resource: "r", TokenHash: "h", Expires: noon().Add(7 * 24 * time.Hour)}, true, nil
}

func (f *feed) StopChannel(_ context.Context, _ string, c Channel) error {
	f.stopped = append(f.stopped, c.ID)
	return nil
}

type noQuotas struct{}

func (noQuotas) Reserve(ctx context.Context, _ Demand) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func noon() time.Time { return time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC) }

func follower(f *feed) *FollowCalendar {
	return NewFollowCalendar(f, noQuotas{}, noon, DefaultTiming(), slog.New(slog.DiscardHandler))
}

func state(n int64) EventState { return EventState{EventID: EventID("meeting", n)} }

func TestAReadingGoesToTheLastPageAndKeepsWhatIsOurs(t *testing.T) {
	f := &feed{pages: map[string]Page{
		"s1/":   {Events: []EventState{state(1), {EventID: "someone-elses"}}, Next: "p2"},
		"s1/p2": {Events: []EventState{state(2), {EventID: EventID("meeting", 3) + "_20261201T120000Z"}, {EventID: "mm"}}, Sync: "s2"},
	}}
	r, ok := follower(f).Do(t.Context(), Follow{Account: "a", CalendarID: "primary", SyncToken: "s1"}, 0)
	if !ok || r.Failure != nil || r.SyncToken != "s2" || r.Full || len(r.Events) != 2 || r.Events[1].EventID != EventID("meeting", 2) {
		t.Errorf("%+v %t", r, ok)
	}
}

func TestATokenThatGoogleForgotBeginsAnew(t *testing.T) {
	f := &feed{gone: map[string]bool{"old": true}, pages: map[string]Page{"/": {Events: []EventState{state(1)}, Sync: "new"}}}
	r, ok := follower(f).Do(t.Context(), Follow{Account: "a", CalendarID: "primary", SyncToken: "old"}, 0)
	if !ok || r.Failure != nil || r.SyncToken != "new" || !r.Full || len(r.Events) != 1 || !slices.Equal(f.asked, []string{"old/", "/"}) {
		t.Errorf("%+v %v", r, f.asked)
	}
}

func TestAReadingThatEndsHalfWayKeepsItsPlace(t *testing.T) {
	f := &feed{pages: map[string]Page{"s1/": {Events: []EventState{state(1)}, Next: "p2"}}, fail: &Failure{Kind: Transient, Code: "GOOGLE_UNAVAILABLE"}}
	r, ok := follower(f).Do(t.Context(), Follow{Account: "a", CalendarID: "primary", SyncToken: "s1"}, 2)
	if !ok || r.Failure == nil || r.SyncToken != "s1" || len(r.Events) != 1 || !r.RetryAt.After(noon().Add(2*time.Minute-time.Second)) {
		t.Errorf("%+v", r)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := follower(f).Do(ended, Follow{Account: "a", CalendarID: "primary", SyncToken: "s1"}, 0); ok {
		t.Error("a reading that was cut off is reported")
	}
}

func TestWhatBecomesOfTheChannel(t *testing.T) {
	young := Channel{ID: "young", Expires: noon().Add(48 * time.Hour)}
	old := Channel{ID: "old", Expires: noon().Add(time.Hour)}
	ended := Channel{ID: "ended", Expires: noon().Add(-time.Hour)}
	for name, test := range map[string]struct {
		has     Channel
		push    bool
		feed    feed
		channel string
		stale   string
		failed  bool
	}{
		"none yet":             {Channel{}, true, feed{pushes: true}, "new", "", false},
		"young":                {young, true, feed{pushes: true}, "young", "", false},
		"near its end":         {old, true, feed{pushes: true}, "new", "old", false},
		"no address any more":  {young, true, feed{}, "", "young", false},
		"nothing lies ahead":   {young, false, feed{pushes: true}, "", "young", false},
		"refused, one is left": {old, true, feed{pushes: true, refuse: refused("X", "no")}, "old", "", false},
		"refused, none left":   {ended, true, feed{pushes: true, refuse: refused("X", "no")}, "", "", false},
		"google is down":       {old, true, feed{pushes: true, refuse: &Failure{Kind: Transient, Code: "X"}}, "old", "", true},
		"neither":              {Channel{}, true, feed{}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := test.feed
			f.pages = map[string]Page{"s/": {Sync: "t"}}
			job := follower(&f)
			c := Follow{Account: "a", CalendarID: "primary", SyncToken: "s", Channel: test.has, Push: test.push}
			r, ok := job.Do(t.Context(), c, 0)
			if !ok || r.Channel.ID != test.channel || r.Stale.ID != test.stale || (r.Failure != nil) != test.failed {
				t.Errorf("%+v", r)
			}
			job.Forget(t.Context(), c, r)
			if want := test.stale; want != "" && !slices.Equal(f.stopped, []string{want}) || want == "" && len(f.stopped) > 0 {
				t.Errorf("stopped %v, want %q", f.stopped, want)
			}
		})
	}
}

func TestAnEventSaysWhatIsWantedOrNot(t *testing.T) {
	w := Wish{MeetingUID: "u", Summary: "s", Description: "d", Start: noon().Add(time.Millisecond), End: noon().Add(time.Hour), Organizer: "o@x", Guests: []string{"A@x"}}
	e := w.event("o@x")
	same := EventState{MeetingUID: "u", Summary: "s", Description: "d", Start: noon(), End: noon().Add(time.Hour), Guests: []Guest{{Email: "a@x", Response: "accepted"}, {Email: "o@x", Self: true}, {Email: "room@x", Room: true}}}
	if !same.says(e) {
		t.Error("what is equal differs")
	}
	for name, change := range map[string]func(*EventState){
		"somebody else's": func(s *EventState) { s.MeetingUID = "" }, "title": func(s *EventState) { s.Summary = "" }, "text": func(s *EventState) { s.Description = "" },
		"start": func(s *EventState) { s.Start = s.Start.Add(time.Second) }, "end": func(s *EventState) { s.End = s.Start },
		"guest gone": func(s *EventState) { s.Guests = nil }, "guest more": func(s *EventState) { s.Guests = append(slices.Clone(s.Guests), Guest{Email: "b@x"}) },
		"who sees whom": func(s *EventState) { s.GuestsSeeEachOther = true },
	} {
		other := same
		change(&other)
		if other.says(e) {
			t.Errorf("%s: taken for equal", name)
		}
	}
	if w.event("admin@x").GuestsMayModify == e.GuestsMayModify {
		t.Error("an organizer who is a guest may change his event, another guest may not")
	}
}
