package googlefake_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/calendar/v3"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

func TestAPersonEditsInCalendar(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	ev := insert(t, svc, lesson("lesson00001"))
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00001","patch":{"start":{"dateTime":"2026-03-05T13:00:00Z"},"end":{"dateTime":"2026-03-05T14:00:00Z"}}}`)
	moved, err := svc.Events.Get("primary", ev.Id).Do()
	if err != nil || moved.Etag == ev.Etag || moved.Sequence != ev.Sequence+1 || moved.HangoutLink != ev.HangoutLink || moved.Start.DateTime != "2026-03-05T13:00:00Z" {
		t.Fatalf("%+v %v", moved, err)
	}
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00001","responses":{"Ana@example.com":"accepted"}}`)
	answered, err := svc.Events.Get("primary", ev.Id).Do()
	if err != nil || answered.Attendees[0].ResponseStatus != "accepted" || answered.Sequence != moved.Sequence || answered.Etag == moved.Etag {
		t.Fatalf("%+v %v", answered, err)
	}
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00001","delete":true}`)
	if gone, err := svc.Events.Get("primary", ev.Id).Do(); err != nil || gone.Status != "cancelled" {
		t.Errorf("%+v %v", gone, err)
	}
	for body, field := range map[string]string{
		`{"calendarId":"boss@example.com","eventId":"lesson00001","delete":true}`:                                "eventId",
		`{"calendarId":"boss@example.com","eventId":"nothing"}`:                                                  "patch",
		`{"calendarId":"boss@example.com","eventId":"nothing","patch":{"summary":"x"}}`:                          "eventId",
		`{"calendarId":"boss@example.com","eventId":"nothing","delete":true,"responses":{"a@x.org":"accepted"}}`: "patch",
	} {
		code, _, got := send(t, http.MethodPost, f.url+"/_emulator/edit", body)
		if code != 400 || !strings.Contains(string(got), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s, want field %s", body, code, got, field)
		}
	}
}

func TestSyncTokensGiveWhatChangedAndDieOnDemand(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	for _, id := range []string{"lesson00001", "lesson00002", "lesson00003"} {
		insert(t, svc, lesson(id))
	}
	all, err := svc.Events.List("primary").MaxResults(2).Do()
	if err != nil || all.NextSyncToken != "" || len(all.Items) != 2 {
		t.Fatalf("%+v %v", all, err)
	}
	if all, err = svc.Events.List("primary").MaxResults(2).PageToken(all.NextPageToken).Do(); err != nil || all.NextSyncToken == "" {
		t.Fatalf("%+v %v", all, err)
	}
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00002","patch":{"summary":"x"}}`)
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00002","patch":{"summary":"y"}}`)
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00003","delete":true}`)
	changed, err := svc.Events.List("primary").SyncToken(all.NextSyncToken).Do()
	if err != nil || len(changed.Items) != 2 || changed.Items[0].Summary != "y" || changed.Items[1].Status != "cancelled" {
		t.Fatalf("%+v %v", changed, err)
	}
	if again, err := svc.Events.List("primary").SyncToken(changed.NextSyncToken).Do(); err != nil || len(again.Items) != 0 || again.NextSyncToken == "" {
		t.Errorf("%+v %v", again, err)
	}
	if code, _, body := send(t, http.MethodDelete, f.url+"/_emulator/sync-tokens", ""); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	_, err = svc.Events.List("primary").SyncToken(changed.NextSyncToken).Do()
	refused(t, err, 410, "fullSyncRequired", "")
	fresh, err := svc.Events.List("primary").Do()
	if err != nil || len(fresh.Items) != 2 {
		t.Fatalf("%+v %v", fresh, err)
	}
	insert(t, svc, lesson("lesson00004"))
	if got, err := svc.Events.List("primary").SyncToken(fresh.NextSyncToken).Do(); err != nil || len(got.Items) != 1 {
		t.Errorf("a token of afterwards: %+v %v", got, err)
	}
}

func weekly(id string) *calendar.Event {
	ev := lesson(id)
	ev.Start.DateTime, ev.End.DateTime = "2026-03-19T11:00:00+01:00", "2026-03-19T12:00:00+01:00"
	ev.Recurrence = []string{"RRULE:FREQ=WEEKLY;COUNT=4", "EXDATE;TZID=Europe/Berlin:20260326T110000"}
	return ev
}

func starts(items []*calendar.Event) []string {
	var out []string
	for _, ev := range items {
		out = append(out, ev.Id+" "+ev.Start.DateTime)
	}
	return out
}

func TestARecurringEventKeepsItsWallClockAndItsExceptions(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	ev := insert(t, svc, weekly("series00001"))
	got, err := svc.Events.Instances("primary", ev.Id).Do()
	if err != nil {
		t.Fatal(err)
	}
	// Summer time begins on 29 March: 11:00 in Berlin is then 09:00 UTC.
	want := []string{
		"series00001_20260319T100000Z 2026-03-19T10:00:00Z", "series00001_20260402T090000Z 2026-04-02T09:00:00Z",
		"series00001_20260409T090000Z 2026-04-09T09:00:00Z",
	}
	if !slices.Equal(starts(got.Items), want) {
		t.Fatalf("%q", starts(got.Items))
	}
	one := got.Items[1]
	if one.RecurringEventId != ev.Id || one.OriginalStartTime.DateTime != one.Start.DateTime || one.HangoutLink != ev.HangoutLink || len(one.Recurrence) > 0 {
		t.Errorf("%+v", one)
	}
	if _, err := svc.Events.Patch("primary", one.Id, &calendar.Event{Start: &calendar.EventDateTime{DateTime: "2026-04-03T09:00:00Z"}, End: &calendar.EventDateTime{DateTime: "2026-04-03T10:00:00Z"}}).Do(); err != nil {
		t.Fatal(err)
	}
	if err := svc.Events.Delete("primary", got.Items[2].Id).Do(); err != nil {
		t.Fatal(err)
	}
	list, err := svc.Events.List("primary").SingleEvents(true).OrderBy("startTime").TimeMin("2026-03-20T00:00:00Z").Do()
	if err != nil || !slices.Equal(starts(list.Items), []string{"series00001_20260402T090000Z 2026-04-03T09:00:00Z"}) {
		t.Errorf("%q %v", starts(list.Items), err)
	}
	if got, err = svc.Events.Instances("primary", ev.Id).MaxResults(1).Do(); err != nil || len(got.Items) != 1 || got.NextPageToken == "" {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err = svc.Events.Instances("primary", ev.Id).MaxResults(1).PageToken(got.NextPageToken).Do(); err != nil || len(got.Items) != 1 || got.NextPageToken != "" {
		t.Errorf("%+v %v", got, err)
	}
	_, err = svc.Events.Get("primary", "series00001_20260320T100000Z").Do()
	refused(t, err, 404, "notFound", "")
	_, err = svc.Events.Insert("primary", &calendar.Event{Start: ev.Start, End: ev.End, Recurrence: []string{"RRULE:FREQ=SOMETIMES"}}).Do()
	refused(t, err, 400, "invalid", "Invalid recurrence rule.")
}

func TestAPutResetsWhatItLeavesOut(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	ev := insert(t, svc, lesson("lesson00001"))
	got, err := svc.Events.Update("primary", ev.Id, &calendar.Event{Summary: "New", Start: ev.Start, End: ev.End}).Do()
	if err != nil || got.Summary != "New" || got.Description != "" || len(got.Attendees) != 0 || got.HangoutLink != ev.HangoutLink {
		t.Errorf("%+v %v", got, err)
	}
	if got, err = svc.Events.Update("primary", ev.Id, &calendar.Event{Start: ev.Start, End: ev.End}).ConferenceDataVersion(1).Do(); err != nil || got.HangoutLink != "" || got.ConferenceData != nil {
		t.Errorf("%+v %v", got, err)
	}
}

func TestFreeBusyJoinsWhatTouchesAndNamesStrangers(t *testing.T) {
	f := newFake(t, googlefake.Config{Strict: true, Users: []string{boss, "ana@example.com"}})
	svc := f.calendarAs(t, f.client(t, boss, calendar.CalendarScope))
	for i, at := range []string{"10", "11", "14"} {
		ev := lesson("lesson0000" + string(rune('1'+i)))
		ev.Start.DateTime, ev.End.DateTime = "2026-03-05T"+at+":00:00Z", "2026-03-05T"+at+":59:59Z"
		if i == 0 {
			ev.End.DateTime = "2026-03-05T11:00:00Z"
		}
		insert(t, svc, ev)
	}
	q := &calendar.FreeBusyRequest{TimeMin: "2026-03-05T00:00:00Z", TimeMax: "2026-03-05T14:30:00Z", Items: []*calendar.FreeBusyRequestItem{{Id: boss}, {Id: "ana@example.com"}, {Id: "nobody@example.com"}}}
	got, err := svc.Freebusy.Query(q).Do()
	if err != nil {
		t.Fatal(err)
	}
	var busy []string
	for _, p := range got.Calendars[boss].Busy {
		busy = append(busy, p.Start+"/"+p.End)
	}
	if !slices.Equal(busy, []string{"2026-03-05T10:00:00Z/2026-03-05T11:59:59Z", "2026-03-05T14:00:00Z/2026-03-05T14:30:00Z"}) {
		t.Errorf("%q", busy)
	}
	if e := got.Calendars["nobody@example.com"].Errors; len(e) != 1 || e[0].Reason != "notFound" || len(got.Calendars["ana@example.com"].Errors) != 0 {
		t.Errorf("%+v", got.Calendars)
	}
	_, err = f.calendar(t, boss).Freebusy.Query(q).Do()
	refused(t, err, 403, "insufficientPermissions", "")
}

func TestAWatchChannelTellsOfEveryChange(t *testing.T) {
	f := newFake(t, googlefake.Config{Now: time.Now})
	told := make(chan http.Header, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Clone() }))
	defer hook.Close()
	svc := f.calendar(t, boss)
	_, err := svc.Events.Watch("primary", &calendar.Channel{Id: "c0", Type: "web_hook", Address: "https://192.0.2.1/"}).Do()
	refused(t, err, 401, "webhookUrlUnauthorized", "")
	ch, err := svc.Events.Watch("primary", &calendar.Channel{Id: "c1", Type: "web_hook", Address: hook.URL, Token: "tok", Params: map[string]string{"ttl": "3600"}}).Do()
	if err != nil || ch.ResourceId == "" || ch.Expiration < time.Now().Add(59*time.Minute).UnixMilli() {
		t.Fatalf("%+v %v", ch, err)
	}
	want := func(state, number string) {
		t.Helper()
		h := <-told
		if h.Get("X-Goog-Resource-State") != state || h.Get("X-Goog-Message-Number") != number || h.Get("X-Goog-Channel-Id") != "c1" ||
			h.Get("X-Goog-Channel-Token") != "tok" || h.Get("X-Goog-Resource-Id") != ch.ResourceId || h.Get("X-Goog-Resource-Uri") != ch.ResourceUri {
			t.Errorf("%v, want %s %s", h, state, number)
		}
		if _, err := http.ParseTime(h.Get("X-Goog-Channel-Expiration")); err != nil {
			t.Error(err)
		}
	}
	want("sync", "1")
	insert(t, svc, lesson("lesson00001"))
	want("exists", "2")
	insert(t, f.calendar(t, "ana@example.com"), lesson("lesson00001")) // another calendar
	f.control(t, "edit", `{"calendarId":"boss@example.com","eventId":"lesson00001","delete":true}`)
	want("exists", "3")
	if err := svc.Channels.Stop(&calendar.Channel{Id: "c1", ResourceId: ch.ResourceId}).Do(); err != nil {
		t.Fatal(err)
	}
	refused(t, svc.Channels.Stop(&calendar.Channel{Id: "c1", ResourceId: ch.ResourceId}).Do(), 404, "notFound", "")
	insert(t, svc, lesson("lesson00002"))
	ch, err = svc.Events.Watch("primary", &calendar.Channel{Id: "c2", Type: "web_hook", Address: hook.URL}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if h := <-told; h.Get("X-Goog-Channel-Id") != "c2" {
		t.Errorf("after its end: %v", h)
	}
	if err := f.Advance(8 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	refused(t, svc.Channels.Stop(&calendar.Channel{Id: "c2", ResourceId: ch.ResourceId}).Do(), 404, "notFound", "")
}
