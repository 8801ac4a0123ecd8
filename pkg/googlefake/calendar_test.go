package googlefake_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

func TestInsertedEventHasASimulatedMeetOfItsOwn(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))

	if ev.HTTPStatusCode != 200 || ev.Header.Get("X-Emulator") != "1" {
		t.Errorf("status %d, X-Emulator %q", ev.HTTPStatusCode, ev.Header.Get("X-Emulator"))
	}
	if ev.Status != "confirmed" || ev.Sequence != 0 || ev.ICalUID != "lesson00001@google.com" || ev.Organizer.Email != boss || !ev.Organizer.Self {
		t.Errorf("event: %+v, organizer %+v", ev, ev.Organizer)
	}
	if ev.Start.DateTime != "2026-03-05T10:00:00Z" || ev.Start.TimeZone != "Europe/Berlin" {
		t.Errorf("start %+v, want UTC (the calendar's zone) and the name of the zone sent", ev.Start)
	}
	if ev.Created != "2026-03-02T09:00:00.000Z" || ev.Updated != ev.Created {
		t.Errorf("created %s, updated %s", ev.Created, ev.Updated)
	}
	cd := ev.ConferenceData
	if cd == nil || cd.CreateRequest.Status.StatusCode != "success" || len(cd.EntryPoints) != 1 {
		t.Fatalf("conference: %+v", cd)
	}
	want := f.url + "/meet/" + cd.ConferenceId
	if ev.HangoutLink != want || cd.EntryPoints[0].Uri != want || cd.EntryPoints[0].EntryPointType != "video" {
		t.Errorf("links %s and %s, want %s", ev.HangoutLink, cd.EntryPoints[0].Uri, want)
	}
	if !strings.Contains(cd.ConferenceSolution.Name, "simulated") {
		t.Errorf("solution %q does not say that it is simulated", cd.ConferenceSolution.Name)
	}
	status, _, html := send(t, http.MethodGet, ev.HangoutLink, "")
	if status != 200 || !strings.Contains(string(html), "Simulated") {
		t.Errorf("page: %d %s", status, html)
	}
	if status, _, _ := send(t, http.MethodGet, ev.HtmlLink, ""); status != 200 {
		t.Errorf("htmlLink: %d", status)
	}
	if status, _, _ := send(t, http.MethodGet, f.url+"/meet/aaa-bbbb-cccc", ""); status != 404 {
		t.Errorf("page of an unknown code: %d, want 404", status)
	}
	got, err := f.calendar(t, boss).Events.Get(boss, ev.Id).Do()
	if err != nil || got.Etag != ev.Etag || got.HangoutLink != ev.HangoutLink || got.ExtendedProperties.Private["mm_uid"] != "u-lesson00001" {
		t.Errorf("get: %+v, %v", got, err)
	}
}

func TestLinksPointAtTheConfiguredAddress(t *testing.T) {
	f := newFake(t, googlefake.Config{BaseURL: "https://emulator.test/"})
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))
	if !strings.HasPrefix(ev.HangoutLink, "https://emulator.test/meet/") {
		t.Errorf("link %s", ev.HangoutLink)
	}
	// Programs may have another way to it than people: the key names the one that it was asked at.
	_, _, key := send(t, http.MethodGet, f.url+"/_emulator/service-account.json", "")
	if !strings.Contains(string(key), `"token_uri": "`+f.url+`/token"`) {
		t.Errorf("key asked at %s: %s", f.url, key)
	}
}

func TestInsertRefusesWhatCalendarRefuses(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	at := func(s string) *calendar.EventDateTime { return &calendar.EventDateTime{DateTime: s} }
	minutes := func(n int64) *calendar.EventReminder { return &calendar.EventReminder{Method: "popup", Minutes: n} }
	for _, test := range []struct {
		name    string
		change  func(*calendar.Event)
		reason  string
		message string
	}{
		{"an id with a letter after v", func(e *calendar.Event) { e.Id = "lessonw" }, "invalid", "Invalid resource id value."},
		{"an id with a capital", func(e *calendar.Event) { e.Id = "Lesson" }, "invalid", "Invalid resource id value."},
		{"an id of four", func(e *calendar.Event) { e.Id = "abcd" }, "invalid", "Invalid resource id value."},
		{"an id of 1025", func(e *calendar.Event) { e.Id = strings.Repeat("a", 1025) }, "invalid", "Invalid resource id value."},
		{"no start", func(e *calendar.Event) { e.Start = nil }, "required", "Missing start time."},
		{"no end", func(e *calendar.Event) { e.End = nil }, "required", "Missing end time."},
		{"an end that is the start", func(e *calendar.Event) { e.End = e.Start }, "timeRangeEmpty", "The specified time range is empty."},
		{"a time that is none", func(e *calendar.Event) { e.Start = at("tomorrow") }, "invalid", "Invalid start time."},
		{"a year of five digits in UTC", func(e *calendar.Event) { e.End = at("9999-12-31T23:00:00-10:00") }, "invalid", "Invalid end time."},
		{"a zone that is none", func(e *calendar.Event) { e.Start.TimeZone = "Mars/Base" }, "invalid", "Invalid time zone definition for start time."},
		{"a local time without zone", func(e *calendar.Event) { e.Start = at("2026-03-05T10:00:00") }, "required", "Missing time zone definition for start time."},
		{"a day and a time", func(e *calendar.Event) { e.Start = &calendar.EventDateTime{Date: "2026-03-05"} }, "invalid", ""},
		{"recurrence without zone", func(e *calendar.Event) {
			e.Start, e.Recurrence = at("2026-03-05T10:00:00Z"), []string{"RRULE:FREQ=DAILY"}
		}, "required", "Missing time zone definition for start time."},
		{"recurrence that is none", func(e *calendar.Event) { e.Recurrence = []string{"DTSTART:20260305"} }, "invalid", "Invalid recurrence rule."},
		{"a guest without address", func(e *calendar.Event) { e.Attendees[0].Email = "ana" }, "invalid", "Invalid attendee email."},
		{"six reminders", func(e *calendar.Event) {
			e.Reminders = &calendar.EventReminders{Overrides: []*calendar.EventReminder{minutes(1), minutes(2), minutes(3), minutes(4), minutes(5), minutes(6)}}
		}, "invalid", "Too many override reminders."},
		{"a reminder five weeks before", func(e *calendar.Event) {
			e.Reminders = &calendar.EventReminders{Overrides: []*calendar.EventReminder{minutes(40321)}}
		}, "invalid", "Invalid reminder minutes."},
		{"a conference of another kind", func(e *calendar.Event) { e.ConferenceData.CreateRequest.ConferenceSolutionKey.Type = "eventHangout" }, "invalid", "Invalid conference type value."},
		{"a conference without request id", func(e *calendar.Event) { e.ConferenceData.CreateRequest.RequestId = "" }, "required", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ev := lesson("lesson00001")
			test.change(ev)
			_, err := svc.Events.Insert("primary", ev).ConferenceDataVersion(1).Do()
			refused(t, err, 400, test.reason, test.message)
		})
	}
	if n := len(f.state(t).Events); n != 0 {
		t.Errorf("%d events came of refused inserts", n)
	}
	token := f.bearer(t, boss, calendar.CalendarEventsScope)
	status, _, body := send(t, http.MethodPost, f.url+"/calendar/v3/calendars/primary/events", "{", "Authorization", token)
	if status != 400 || !strings.Contains(string(body), "parseError") {
		t.Errorf("half a body: %d %s", status, body)
	}
	_, err := svc.Events.Insert("primary", lesson("lesson00001")).SendUpdates("some").Do()
	refused(t, err, 400, "invalidParameter", "")
}

func TestATakenIDIsRefusedEvenAfterTheEventWasCancelled(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	first := insert(t, svc, lesson("lesson00001"))
	_, err := svc.Events.Insert("primary", lesson("lesson00001")).ConferenceDataVersion(1).Do()
	refused(t, err, 409, "duplicate", "The requested identifier already exists.")
	if err := svc.Events.Delete("primary", first.Id).Do(); err != nil {
		t.Fatal(err)
	}
	_, err = svc.Events.Insert("primary", lesson("lesson00001")).ConferenceDataVersion(1).Do()
	refused(t, err, 409, "duplicate", "")
	if ev := insert(t, f.calendar(t, "other@example.com"), lesson("lesson00001")); ev.Organizer.Email != "other@example.com" {
		t.Error("an id is taken in its calendar only")
	}
}

func TestDeleteAnswersOnceThenGone(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	if err := svc.Events.Delete("primary", "lesson00001").SendUpdates("all").Do(); err != nil {
		t.Fatal(err)
	}
	refused(t, svc.Events.Delete("primary", "lesson00001").SendUpdates("all").Do(), 410, "deleted", "Resource has been deleted")
	refused(t, svc.Events.Delete("primary", "lesson00002").Do(), 404, "notFound", "Not Found")
	ev, err := svc.Events.Get("primary", "lesson00001").Do()
	if err != nil || ev.Status != "cancelled" {
		t.Errorf("get of a cancelled event: %+v, %v", ev, err)
	}
	_, err = svc.Events.Patch("primary", "lesson00001", &calendar.Event{Summary: "again"}).Do()
	refused(t, err, 410, "deleted", "")
	_, err = svc.Events.Get("primary", "lesson00002").Do()
	refused(t, err, 404, "notFound", "")
	back, err := svc.Events.Patch("primary", "lesson00001", &calendar.Event{Status: "confirmed"}).Do()
	if err != nil || back.Status != "confirmed" {
		t.Errorf("revive: %+v, %v", back, err)
	}
}

func TestPatchMergesAndKeepsWhatIsNotSent(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	before := insert(t, svc, lesson("lesson00001"))
	moved, err := svc.Events.Patch("primary", before.Id, &calendar.Event{
		Start: &calendar.EventDateTime{DateTime: "2026-03-06T10:00:00Z"}, End: &calendar.EventDateTime{DateTime: "2026-03-06T11:00:00Z"},
		ExtendedProperties: &calendar.EventExtendedProperties{Private: map[string]string{"version": "2"}},
		Sequence:           40, // the server's, so not taken
	}).ConferenceDataVersion(1).Do()
	if err != nil {
		t.Fatal(err)
	}
	if moved.Sequence != 1 || moved.Etag == before.Etag || moved.Start.DateTime != "2026-03-06T10:00:00Z" || moved.Start.TimeZone != "Europe/Berlin" {
		t.Errorf("moved: %+v start %+v", moved, moved.Start)
	}
	if moved.HangoutLink != before.HangoutLink || moved.ConferenceData.ConferenceId != before.ConferenceData.ConferenceId {
		t.Error("the Meet did not survive the reschedule")
	}
	if p := moved.ExtendedProperties.Private; p["mm_uid"] != "u-lesson00001" || p["version"] != "2" {
		t.Errorf("private properties %v, want both", p)
	}
	renamed, err := svc.Events.Patch("primary", before.Id, &calendar.Event{
		Summary: "Exam", Attendees: []*calendar.EventAttendee{{Email: "cy@example.com"}}, NullFields: []string{"Description"},
	}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if renamed.Sequence != 1 || renamed.Etag == moved.Etag || renamed.Description != "" || len(renamed.Attendees) != 1 || renamed.Attendees[0].Email != "cy@example.com" {
		t.Errorf("renamed: %+v", renamed)
	}
	same, err := svc.Events.Patch("primary", before.Id, &calendar.Event{Summary: "Exam"}).Do()
	if err != nil || same.Etag == renamed.Etag {
		t.Errorf("a write that changes nothing kept the etag: %v", err)
	}
	_, err = svc.Events.Patch("primary", before.Id, &calendar.Event{End: &calendar.EventDateTime{DateTime: "2026-03-06T09:00:00Z"}}).Do()
	refused(t, err, 400, "timeRangeEmpty", "")
}

func TestIfMatchProtectsPatchAndDelete(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	first := insert(t, svc, lesson("lesson00001"))
	patch := func(etag string) (*calendar.Event, error) {
		call := svc.Events.Patch("primary", "lesson00001", &calendar.Event{Summary: "by " + etag})
		call.Header().Set("If-Match", etag)
		return call.Do()
	}
	second, err := patch(first.Etag)
	if err != nil {
		t.Fatal(err)
	}
	_, err = patch(first.Etag)
	refused(t, err, 412, "conditionNotMet", "Precondition Failed")
	drop := svc.Events.Delete("primary", "lesson00001")
	drop.Header().Set("If-Match", first.Etag)
	refused(t, drop.Do(), 412, "conditionNotMet", "")
	drop.Header().Set("If-Match", second.Etag)
	if err := drop.Do(); err != nil {
		t.Error(err)
	}
	get := svc.Events.Get("primary", "lesson00001")
	now, err := get.Do()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get.IfNoneMatch(now.Etag).Do(); !googleapi.IsNotModified(err) {
		t.Errorf("If-None-Match with the etag: %v, want 304", err)
	}
}

func TestConferenceDataNeedsItsVersion(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	ev, err := svc.Events.Insert("primary", lesson("lesson00001")).Do()
	if err != nil || ev.ConferenceData != nil || ev.HangoutLink != "" {
		t.Fatalf("without the version: %+v, %v", ev.ConferenceData, err)
	}
	ask := &calendar.Event{ConferenceData: lesson("lesson00001").ConferenceData}
	if ev, err = svc.Events.Patch("primary", ev.Id, ask).Do(); err != nil || ev.ConferenceData != nil {
		t.Fatalf("patch without the version: %+v, %v", ev.ConferenceData, err)
	}
	if ev, err = svc.Events.Patch("primary", ev.Id, ask).ConferenceDataVersion(1).Do(); err != nil || ev.HangoutLink == "" {
		t.Fatalf("patch with it: %+v, %v", ev.ConferenceData, err)
	}
	link := ev.HangoutLink
	if ev, err = svc.Events.Patch("primary", ev.Id, ask).ConferenceDataVersion(1).Do(); err != nil || ev.HangoutLink != link {
		t.Errorf("a repeat of the request id made a second Meet: %s, %v", ev.HangoutLink, err)
	}
	ask.ConferenceData.CreateRequest.RequestId = "another"
	if ev, err = svc.Events.Patch("primary", ev.Id, ask).ConferenceDataVersion(1).Do(); err != nil || ev.HangoutLink == link {
		t.Errorf("a new request id made no new Meet: %v", err)
	}
	ev, err = svc.Events.Patch("primary", ev.Id, &calendar.Event{NullFields: []string{"ConferenceData"}}).ConferenceDataVersion(1).Do()
	if err != nil || ev.ConferenceData != nil || ev.HangoutLink != "" {
		t.Errorf("removed: %+v, %v", ev.ConferenceData, err)
	}
}

func TestAnExistingSpaceCanBeAttached(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	space := createSpace(t, f.meet(t, boss), nil)
	ev := lesson("lesson00001")
	ev.ConferenceData = &calendar.ConferenceData{
		ConferenceSolution: &calendar.ConferenceSolution{Key: &calendar.ConferenceSolutionKey{Type: "hangoutsMeet"}, Name: "Google Meet"},
		EntryPoints:        []*calendar.EntryPoint{{EntryPointType: "video", Uri: space.MeetingUri, Label: space.MeetingCode}},
	}
	got := insert(t, f.calendar(t, boss), ev)
	if got.HangoutLink != space.MeetingUri || got.ConferenceData.ConferenceId != "" || got.ConferenceData.EntryPoints[0].Uri != space.MeetingUri {
		t.Errorf("attached: %s %+v", got.HangoutLink, got.ConferenceData)
	}
	if n := len(f.state(t).Spaces); n != 1 {
		t.Errorf("%d spaces, want the one attached", n)
	}
}

func TestAConferenceCanBePendingAndCanFail(t *testing.T) {
	f := newFake(t, googlefake.Config{ConferenceDelay: 10 * time.Second})
	svc := f.calendar(t, boss)
	ev := insert(t, svc, lesson("lesson00001"))
	if c := ev.ConferenceData; c.CreateRequest.Status.StatusCode != "pending" || ev.HangoutLink != "" || len(c.EntryPoints) != 0 {
		t.Fatalf("at once: %+v", c)
	}
	if err := f.Advance(9 * time.Second); err != nil {
		t.Fatal(err)
	}
	ev, err := svc.Events.Get("primary", ev.Id).Do()
	if err != nil || ev.ConferenceData.CreateRequest.Status.StatusCode != "pending" {
		t.Fatalf("after 9 s: %+v, %v", ev.ConferenceData, err)
	}
	if err := f.Advance(time.Second); err != nil {
		t.Fatal(err)
	}
	done, err := svc.Events.Get("primary", ev.Id).Do()
	if err != nil || done.ConferenceData.CreateRequest.Status.StatusCode != "success" || done.HangoutLink == "" || done.Etag == ev.Etag {
		t.Fatalf("after 10 s: %+v, %v", done.ConferenceData, err)
	}
	if space, err := f.meet(t, boss).Spaces.Get("spaces/" + done.ConferenceData.ConferenceId).Do(); err != nil || space.Config == nil {
		t.Errorf("its space: %+v, %v", space, err)
	}
	status, _, body := send(t, http.MethodPost, f.url+"/_emulator/settings", `{"conference_delay":"0s","conference_outcome":"failure"}`)
	if status != 200 {
		t.Fatalf("settings: %d %s", status, body)
	}
	ev = insert(t, svc, lesson("lesson00002"))
	if c := ev.ConferenceData; c.CreateRequest.Status.StatusCode != "failure" || c.ConferenceSolution != nil || len(c.EntryPoints) != 0 {
		t.Errorf("failed: %+v", c)
	}
	f.SetConference(time.Minute, false)
	insert(t, svc, lesson("lesson00003"))
	if err := f.Advance(time.Minute); err != nil {
		t.Fatal(err)
	}
	list, err := svc.Events.List("primary").Do()
	if err != nil || len(list.Items) != 3 || list.Items[2].HangoutLink == "" {
		t.Errorf("a list shows what is ready: %v", err)
	}
}

func TestABareServiceAccountHasNoGuestsAndNoMeet(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, "")
	ev := lesson("lesson00001")
	_, err := svc.Events.Insert("primary", ev).ConferenceDataVersion(1).Do()
	e := refused(t, err, 403, "forbiddenForServiceAccounts", "Service accounts cannot invite attendees without Domain-Wide Delegation of Authority.")
	if !strings.Contains(e.Body, `"domain":"calendar"`) {
		t.Errorf("body %s", e.Body)
	}
	ev.Attendees = nil
	_, err = svc.Events.Insert("primary", ev).ConferenceDataVersion(1).Do()
	refused(t, err, 400, "invalid", "Invalid conference type value.")
	ev.ConferenceData = nil
	if _, err := svc.Events.Insert("primary", ev).ConferenceDataVersion(1).Do(); err != nil {
		t.Errorf("a plain event: %v", err)
	}
	_, err = svc.Events.Patch("primary", ev.Id, &calendar.Event{Attendees: lesson("x").Attendees}).Do()
	refused(t, err, 403, "forbiddenForServiceAccounts", "")
}

func TestACalendarOfSomebodyElseIsNotFound(t *testing.T) {
	f := newFake(t, googlefake.Config{Calendars: []string{"Rooms@example.com"}})
	svc := f.calendar(t, boss)
	_, err := svc.Events.Insert("ana@example.com", lesson("lesson00001")).Do()
	refused(t, err, 404, "notFound", "Not Found")
	for _, id := range []string{"rooms@example.com", "c_1@group.calendar.google.com"} {
		ev, err := svc.Events.Insert(id, lesson("lesson00001")).Do()
		if err != nil || ev.Organizer.Email != id || ev.Creator.Email != boss {
			t.Errorf("shared calendar %s: %+v, %v", id, ev, err)
		}
	}
	cal, err := f.calendarAs(t, f.client(t, boss, calendar.CalendarScope)).Calendars.Get("primary").Do()
	if err != nil || cal.Id != boss || cal.ConferenceProperties.AllowedConferenceSolutionTypes[0] != "hangoutsMeet" {
		t.Errorf("calendars.get: %+v, %v", cal, err)
	}
}

func TestScopesAndTokensAreChecked(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	_, err := f.calendarAs(t, f.client(t, boss, scopeR)).Events.Insert("primary", lesson("lesson00001")).Do()
	e := refused(t, err, 403, "insufficientPermissions", "Request had insufficient authentication scopes.")
	if !strings.Contains(e.Body, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") || !strings.Contains(e.Body, "calendar.v3.Events.Insert") {
		t.Errorf("body %s", e.Body)
	}
	readonly := f.calendarAs(t, f.client(t, boss, calendar.CalendarReadonlyScope))
	if _, err := readonly.Events.List("primary").Do(); err != nil {
		t.Errorf("reading with a reading scope: %v", err)
	}
	refused(t, readonly.Events.Delete("primary", "lesson00001").Do(), 403, "insufficientPermissions", "")
	_, err = f.calendarAs(t, http.DefaultClient).Events.List("primary").Do()
	refused(t, err, 401, "required", "")
	status, _, body := send(t, http.MethodGet, f.url+"/calendar/v3/calendars/primary/events", "", "Authorization", "Bearer emulator.e30.AAAA")
	if status != 401 || !strings.Contains(string(body), `"authError"`) || !strings.Contains(string(body), `"UNAUTHENTICATED"`) {
		t.Errorf("forged token: %d %s", status, body)
	}
	if n := f.Calls()["calendar.events.list"]; n != 3 {
		t.Errorf("%d list calls counted, want those refused too: 3", n)
	}
}

func TestListFiltersPagesAndSyncs(t *testing.T) {
	now := start
	f := newFake(t, googlefake.Config{Now: func() time.Time { return now }})
	svc := f.calendar(t, boss)
	for i := range 5 {
		ev := lesson(fmt.Sprintf("lesson0000%d", i))
		day := start.AddDate(0, 0, 10-i)
		ev.Start, ev.End = &calendar.EventDateTime{DateTime: day.Format(time.RFC3339)}, &calendar.EventDateTime{DateTime: day.Add(time.Hour).Format(time.RFC3339)}
		ev.ExtendedProperties.Private["parity"] = fmt.Sprint(i % 2)
		insert(t, svc, ev)
		if err := f.Advance(time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := svc.Events.Delete("primary", "lesson00001").Do(); err != nil {
		t.Fatal(err)
	}
	list := func(call *calendar.EventsListCall) string {
		t.Helper()
		var ids []string
		for pages := 0; ; pages++ {
			page, err := call.Do()
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range page.Items {
				ids = append(ids, strings.TrimPrefix(ev.Id, "lesson0000"))
			}
			if page.NextPageToken == "" || pages > 10 {
				return strings.Join(ids, " ")
			}
			call = call.PageToken(page.NextPageToken)
		}
	}
	all := func() *calendar.EventsListCall { return svc.Events.List("primary") }
	for _, test := range []struct {
		name string
		call *calendar.EventsListCall
		want string
	}{
		{"all that are there", all(), "0 2 3 4"},
		{"deleted too", all().ShowDeleted(true), "0 1 2 3 4"},
		{"two a page", all().MaxResults(2), "0 2 3 4"},
		{"two a page, by start", all().SingleEvents(true).OrderBy("startTime").MaxResults(2), "4 3 2 0"},
		{"one a page, by update", all().OrderBy("updated").ShowDeleted(true).MaxResults(1), "0 2 3 4 1"},
		{"by a private property", all().PrivateExtendedProperty("mm_uid=u-lesson00003"), "3"},
		{"by two private properties", all().PrivateExtendedProperty("parity=0", "mm_uid=u-lesson00003"), ""},
		{"ending after", all().TimeMin(start.AddDate(0, 0, 8).Format(time.RFC3339)), "0 2"},
		{"starting before", all().TimeMax(start.AddDate(0, 0, 8).Format(time.RFC3339)), "3 4"},
		{"changed since", all().UpdatedMin(start.Add(4 * time.Hour).Format(time.RFC3339)), "1 4"},
		{"by iCalUID", all().ICalUID("lesson00002@google.com"), "2"},
		{"by words", all().Q("CHAPTER 3"), "0 2 3 4"},
		{"by words nobody wrote", all().Q("chapter 4"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := list(test.call); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	page, err := all().Do()
	if err != nil || page.NextSyncToken == "" {
		t.Fatalf("no sync token: %v", err)
	}
	if got := list(all().SyncToken(page.NextSyncToken)); got != "" {
		t.Errorf("nothing changed, yet %q", got)
	}
	if err := svc.Events.Delete("primary", "lesson00003").Do(); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Events.Patch("primary", "lesson00000", &calendar.Event{Summary: "New"}).Do(); err != nil {
		t.Fatal(err)
	}
	if got := list(all().SyncToken(page.NextSyncToken).MaxResults(1)); got != "3 0" {
		t.Errorf("changes since the token: %q, want the deleted and the changed one", got)
	}
	_, err = all().SyncToken("bm9uZQ").Do()
	refused(t, err, 410, "fullSyncRequired", "")
	_, err = all().SyncToken(page.NextSyncToken).Q("x").Do()
	refused(t, err, 400, "badRequest", "")
	_, err = all().OrderBy("startTime").Do()
	refused(t, err, 400, "badRequest", "")
	_, err = all().TimeMin("monday").Do()
	refused(t, err, 400, "badRequest", "")
	_, err = all().PageToken("!").Do()
	refused(t, err, 400, "invalidParameter", "")
	weekly := lesson("lesson00009")
	weekly.Recurrence = []string{"RRULE:FREQ=WEEKLY;COUNT=5"}
	insert(t, svc, weekly)
	if page, err := f.calendar(t, "new@example.com").Events.List("primary").Do(); err != nil || page.Items == nil || len(page.Items) != 0 {
		t.Errorf("an empty calendar: %v", err)
	}
}

func TestMaxAttendeesLeavesOutGuests(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	ev := lesson("lesson00001")
	ev.Attendees = append(ev.Attendees, &calendar.EventAttendee{Email: boss})
	insert(t, svc, ev)
	got, err := svc.Events.Get("primary", ev.Id).MaxAttendees(1).Do()
	if err != nil || !got.AttendeesOmitted || len(got.Attendees) != 1 || !got.Attendees[0].Self {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestGuestsAreNotifiedOncePerRealChange(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001")) // all: two guests
	step := func(send string, ev *calendar.Event) {
		t.Helper()
		if _, err := svc.Events.Patch("primary", "lesson00001", ev).SendUpdates(send).Do(); err != nil {
			t.Fatal(err)
		}
	}
	step("none", &calendar.Event{Summary: "Quiet"})
	step("all", &calendar.Event{Summary: "Loud"})
	step("all", &calendar.Event{Summary: "Loud"})                                                                                                        // changes nothing
	step("all", &calendar.Event{ExtendedProperties: &calendar.EventExtendedProperties{Private: map[string]string{"k": "v"}}})                            // nor for guests
	step("externalOnly", &calendar.Event{Attendees: []*calendar.EventAttendee{{Email: "bo@elsewhere.org"}, {Email: "ana@example.com", Optional: true}}}) // tells bo
	if err := svc.Events.Delete("primary", "lesson00001").SendUpdates("all").Do(); err != nil {
		t.Fatal(err)
	}
	insertQuiet := lesson("lesson00002")
	if _, err := svc.Events.Insert("primary", insertQuiet).Do(); err != nil {
		t.Fatal(err)
	}
	got := f.state(t).Notifications
	want := googlefake.Notification{CalendarID: boss, EventID: "lesson00001", Rounds: 4, Invitations: 1, Updates: 2, Cancellations: 1, Messages: 7}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want only %+v", got, want)
	}
}

func TestConcurrentInsertsOfOneIDMakeOneEvent(t *testing.T) {
	f := newFake(t, googlefake.Config{Dir: t.TempDir()})
	svc := f.calendar(t, boss)
	const clients, ids = 8, 10
	made := make([]int, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range ids {
				_, err := svc.Events.Insert("primary", lesson(fmt.Sprintf("lesson%05d", i))).ConferenceDataVersion(1).Do()
				var e *googleapi.Error
				switch {
				case err == nil:
					made[c]++
				case errors.As(err, &e) && e.Code == 409:
				default:
					t.Errorf("insert: %v", err)
				}
				if _, err := svc.Events.List("primary").Do(); err != nil {
					t.Errorf("list: %v", err)
				}
				if _, err := svc.Events.Patch("primary", fmt.Sprintf("lesson%05d", i), &calendar.Event{Summary: fmt.Sprint(c)}).Do(); err != nil {
					t.Errorf("patch: %v", err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range made {
		total += n
	}
	if st := f.state(t); total != ids || len(st.Events) != ids || len(st.Spaces) != ids {
		t.Errorf("%d inserts succeeded, %d events, %d spaces, want %d of each", total, len(st.Events), len(st.Spaces), ids)
	}
}

func TestAnswersAreReadableUnlessTheClientAsksOtherwise(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	token := f.bearer(t, boss, calendar.CalendarEventsScope)
	_, _, long := send(t, http.MethodGet, f.url+"/calendar/v3/calendars/primary/events", "", "Authorization", token)
	_, _, short := send(t, http.MethodGet, f.url+"/calendar/v3/calendars/primary/events?prettyPrint=false", "", "Authorization", token)
	if !strings.Contains(string(long), "\n  \"kind\": \"calendar#events\"") || strings.Contains(string(short), "\n") {
		t.Errorf("got\n%s\nand\n%s", long, short)
	}
}
