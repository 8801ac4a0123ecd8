package google_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

func TestAMeetingThatWantsNothingOfItsSpaceIsOneCall(t *testing.T) {
	r := newRig(t, rigConfig{})
	out := r.meetings(t, wish()).converge()
	g := out.Google
	if out.Step != job.StepCreate || g.Link == "" || g.Code == "" || g.EventETag == "" || !g.Simulated || g.CalendarID != "primary" {
		t.Errorf("outcome %+v lacks something that Google gave", out)
	}
	if g.EventVersion != 1 || g.SettingsVersion != 1 || g.EventID != job.EventID(uid, 0) {
		t.Errorf("versions %d and %d, id %s", g.EventVersion, g.SettingsVersion, g.EventID)
	}
	if n := r.calls(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	events := r.live(t)
	if len(events) != 1 || events[0].HangoutLink != g.Link || events[0].CalendarID != boss {
		t.Errorf("emulator has %+v, want one event with the link %s", events, g.Link)
	}
}

func TestTheInsertOnTheWire(t *testing.T) {
	r := newRig(t, rigConfig{})
	r.meetings(t, wish()).converge()
	inserts := r.requests(http.MethodPost, "/calendar/v3/")
	if len(inserts) != 1 {
		t.Fatalf("%d inserts", len(inserts))
	}
	in := inserts[0]
	wire, err := json.Marshal(map[string]any{"method": in.Method, "path": in.Path, "query": in.Query, "body": json.RawMessage(in.Body)})
	if err != nil {
		t.Fatal(err)
	}
	golden.JSON(t, "testdata/insert.golden.json", wire)
}

func TestTheLinkIsReportedBeforeTheSettings(t *testing.T) {
	r := newRig(t, rigConfig{})
	w := wish()
	w.AutoRecord, w.PublicAccess = true, true
	m := r.meetings(t, w)
	first := m.once()
	if first.Complete || first.Failure != nil || first.Google.Link == "" || first.Google.SettingsVersion != 0 || r.calls() != 1 {
		t.Fatalf("first outcome %+v after %d calls, want the link alone after one", first, r.calls())
	}
	second := m.once()
	g := second.Google
	if !second.Complete || second.Step != job.StepSettings || g.AutoRecording != job.On || g.Access != job.Open || g.SettingsVersion != 1 || r.calls() != 3 {
		t.Fatalf("second outcome %+v after %d calls, want the settings after three", second, r.calls())
	}
	space := r.state(t).Spaces[0]
	if g.Space != space.Name || space.Config.ArtifactConfig.RecordingConfig.AutoRecordingGeneration != "ON" || space.Config.AccessType != "OPEN" {
		t.Errorf("the space is %+v, reported as %q", space, g.Space)
	}
}

func TestABareSpaceIsOneCallAndNothingToDelete(t *testing.T) {
	r := newRig(t, rigConfig{})
	w := wish()
	w.Calendar, w.AutoRecord, w.PublicAccess = false, true, true
	m := r.meetings(t, w)
	out := m.converge()
	if out.Google.Space == "" || out.Google.Link == "" || out.Google.EventID != "" || out.Google.AutoRecording != job.On || r.calls() != 1 {
		t.Fatalf("outcome %+v after %d calls", out, r.calls())
	}
	if len(r.state(t).Events) != 0 {
		t.Error("a bare space has an event")
	}
	m.change(func(w *job.Wish) { w.PublicAccess, w.Summary = false, "another title" })
	if out = m.converge(); out.Google.Access != job.Trusted || out.Google.AutoRecording != job.On || r.calls() != 2 {
		t.Errorf("after the change %+v and %d calls, want one patch of the access alone", out, r.calls())
	}
	m.change(func(w *job.Wish) { w.Absent = true })
	if out = m.converge(); !out.Google.Deleted || r.calls() != 2 {
		t.Errorf("after the cancel %+v and %d calls", out, r.calls())
	}
}

func TestAChangeIsOneCallAndTellsTheGuestsOnce(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	created := m.converge()
	r.forget()
	m.change(func(w *job.Wish) {
		w.Start, w.End = w.Start.Add(time.Hour), w.End.Add(time.Hour)
		w.Description = ""
	})
	out := m.converge()
	if out.Step != job.StepChange || out.Google.Link != created.Google.Link || out.Google.EventVersion != 2 || r.calls() != 1 {
		t.Fatalf("outcome %+v after %d calls", out, r.calls())
	}
	if got := r.requests(http.MethodPatch, "/calendar/v3/")[0].IfMatch; got != created.Google.EventETag {
		t.Errorf("If-Match %q, want the etag of the create %q", got, created.Google.EventETag)
	}
	event := r.live(t)[0]
	if !strings.HasPrefix(event.Start.DateTime, "2026-03-03T1") || event.Description != "" || event.ExtendedProperties.Private["mm_version"] != "2" || len(event.Attendees) != 2 {
		t.Errorf("the event is %+v", event.Event)
	}
	if n := told(t, r, out.Google.EventID); n.Rounds != 2 || n.Invitations != 1 || n.Updates != 1 || n.Messages != 4 {
		t.Errorf("guests were told %+v, want an invitation and an update each", n)
	}
}

func TestAChangeOfTheSpaceAloneDoesNotTouchTheEvent(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	m.converge()
	r.forget()
	m.change(func(w *job.Wish) { w.PublicAccess = true })
	out := m.converge()
	if len(r.requests(http.MethodPatch, "/calendar/")) != 0 || out.Google.Access != job.Open || out.Google.EventVersion != 2 {
		t.Errorf("outcome %+v, want the space opened and the event left alone", out)
	}
	m.change(func(w *job.Wish) { w.PublicAccess = false })
	if out = m.converge(); out.Google.Access != job.Trusted {
		t.Errorf("access is %q after it was taken back", out.Google.Access)
	}
}

// answer makes a guest reply, as he would in his own calendar.
func answer(t *testing.T, r *rig, g job.Copy, email, response string) {
	t.Helper()
	ref := job.Ref{Organizer: boss, CalendarID: g.CalendarID, EventID: g.EventID}
	state, err := r.client.GetEvent(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	w := wish()
	e := job.Event{MeetingUID: uid, Version: state.Version, Summary: w.Summary, Description: w.Description, TimeZone: w.TimeZone, Start: w.Start, End: w.End, Guests: state.Guests}
	for i := range e.Guests {
		if e.Guests[i].Email == email {
			e.Guests[i].Response, e.Guests[i].Comment, e.Guests[i].Extra = response, "con mi hijo", 1
		}
	}
	if _, err := r.client.PatchEvent(t.Context(), ref, "", e); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersOfGuestsSurviveEveryChange(t *testing.T) {
	for name, change := range map[string]func(*job.Wish){
		"reschedule":            func(w *job.Wish) { w.Start = w.Start.Add(-time.Hour) },
		"guests added, removed": func(w *job.Wish) { w.Guests = []string{"ANA@example.net", "eva@example.net"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigConfig{})
			m := r.meetings(t, wish())
			out := m.converge()
			answer(t, r, out.Google, "ana@example.net", "accepted") // the event has another etag now
			m.change(change)
			m.converge()
			event := r.live(t)[0]
			if len(event.Attendees) != 2 {
				t.Fatalf("attendees %+v", event.Attendees)
			}
			ana := event.Attendees[0]
			if !strings.EqualFold(ana.Email, "ana@example.net") || ana.ResponseStatus != "accepted" || ana.Comment != "con mi hijo" || ana.AdditionalGuests != 1 {
				t.Errorf("ana's answer is lost: %+v", ana)
			}
			want := "luis@example.net"
			if name != "reschedule" {
				want = "eva@example.net"
			}
			if event.Attendees[1].Email != want {
				t.Errorf("second guest %+v, want %s", event.Attendees[1], want)
			}
		})
	}
}

func TestRemovingTheLastGuestEmptiesTheList(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	m.converge()
	m.change(func(w *job.Wish) { w.Guests = nil })
	m.converge()
	if left := r.live(t)[0].Attendees; len(left) != 0 {
		t.Errorf("still invited: %+v", left)
	}
}

func TestACancelDeletesOnceAndTellsTheGuests(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	id := m.converge().Google.EventID
	r.forget()
	m.change(func(w *job.Wish) { w.Absent = true })
	before := m.wish
	if out := m.converge(); !out.Google.Deleted || r.calls() != 1 {
		t.Fatalf("outcome %+v after %d calls", out, r.calls())
	}
	m.wish = before // the outcome was lost: the same again
	if out := m.converge(); !out.Google.Deleted {
		t.Fatalf("the second delete came to %+v", out)
	}
	if len(r.live(t)) != 0 || told(t, r, id).Cancellations != 1 {
		t.Errorf("left %d events, told %+v", len(r.live(t)), told(t, r, id))
	}
}

func TestACancelBeforeTheLinkFindsTheEventOfALostTry(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	lost := m.wish
	m.once()      // made, and the scheduler died before it told
	m.wish = lost // so meetings knows of no event
	m.change(func(w *job.Wish) { w.Absent = true })
	if out := m.converge(); !out.Google.Deleted {
		t.Fatalf("outcome %+v", out)
	}
	if left := r.live(t); len(left) != 0 {
		t.Errorf("a zombie is left: %+v", left)
	}
}

func TestAbsenceIsLookedAtTwiceOnlyAfterATryThatMayBeUnderWay(t *testing.T) {
	for name, test := range map[string]struct {
		attempt job.Attempt
		calls   int
	}{
		"never sent before": {job.Attempt{Dispatch: 1, Delivered: 1}, 1},
		"sent before":       {job.Attempt{Dispatch: 2, Delivered: 1}, 2},
		"delivered before":  {job.Attempt{Dispatch: 1, Delivered: 2}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigConfig{})
			w := wish()
			w.Absent = true
			v := r.sync.Do(t.Context(), w, test.attempt)
			if v.Outcome == nil || !v.Outcome.Complete || r.calls() != test.calls {
				t.Errorf("verdict %+v after %d calls, want done after %d", v, r.calls(), test.calls)
			}
		})
	}
}

func TestAnEventThatAnOlderTryMadeIsAdoptedAndThenChanged(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	lost := m.wish
	m.once()
	m.wish = lost
	m.change(func(w *job.Wish) { w.Summary = "Segunda consulta" })
	first := m.once()
	if first.Complete || first.Google.EventVersion != 1 || first.Google.Link == "" {
		t.Fatalf("adopting came to %+v, want the link and version 1", first)
	}
	out := m.converge()
	if out.Google.EventVersion != 2 || len(r.live(t)) != 1 || r.live(t)[0].Summary != "Segunda consulta" {
		t.Errorf("outcome %+v, events %+v", out, r.live(t))
	}
}

func TestAUsedUpIDRaisesTheGeneration(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	lost := m.wish
	made := m.once().Google
	if err := r.client.DeleteEvent(t.Context(), job.Ref{Organizer: boss, EventID: made.EventID}); err != nil {
		t.Fatal(err)
	}
	m.wish = lost
	out := m.converge()
	if out.Generation != 1 || out.Google.EventID != job.EventID(uid, 1) || len(r.live(t)) != 1 {
		t.Errorf("outcome %+v with %d events", out, len(r.live(t)))
	}
	// A cancel that knows of no event goes the same way.
	m.wish = lost
	m.change(func(w *job.Wish) { w.Absent = true })
	if out := m.converge(); !out.Google.Deleted || len(r.live(t)) != 0 {
		t.Errorf("outcome %+v with %d events left", out, len(r.live(t)))
	}
}

func TestAnEventDeletedInTheCalendarIsAFailureForGood(t *testing.T) {
	for name, guests := range map[string][]string{"same guests": wish().Guests, "other guests": {"eva@example.net"}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigConfig{})
			m := r.meetings(t, wish())
			made := m.converge().Google
			if err := r.client.DeleteEvent(t.Context(), job.Ref{Organizer: boss, EventID: made.EventID}); err != nil {
				t.Fatal(err)
			}
			m.change(func(w *job.Wish) { w.Summary, w.Guests = "x", guests })
			out := m.once()
			if out.Failure == nil || !out.Failure.Permanent() || out.Failure.Code != job.CodeEventGone || out.Google.Link != made.Link {
				t.Errorf("outcome %+v", out)
			}
			if len(r.live(t)) != 0 {
				t.Error("the event was made anew")
			}
		})
	}
}

func TestAnEventOfSomebodyElseUnderOurIDIsNotTouched(t *testing.T) {
	r := newRig(t, rigConfig{})
	stranger := job.Event{MeetingUID: "another", Summary: "mine", Start: wish().Start, End: wish().End}
	if _, err := r.client.InsertEvent(t.Context(), job.Ref{Organizer: boss, EventID: job.EventID(uid, 0)}, stranger); err != nil {
		t.Fatal(err)
	}
	out := r.meetings(t, wish()).once()
	if out.Failure == nil || out.Failure.Code != job.CodeEventIDTaken || !out.Failure.Permanent() || out.Google.Link != "" {
		t.Errorf("outcome %+v", out)
	}
	if r.live(t)[0].Summary != "mine" {
		t.Error("somebody else's event was changed")
	}
}

func TestAPendingConferenceIsFollowed(t *testing.T) {
	r := newRig(t, rigConfig{fake: googlefake.Config{ConferenceDelay: time.Hour}})
	m := r.meetings(t, wish())
	out := m.once()
	if out.Failure == nil || out.Failure.Permanent() || out.Failure.Code != job.CodeConferencePending || out.Google.Link != "" || out.Google.EventVersion != 0 {
		t.Fatalf("while pending: %+v", out)
	}
	if err := r.Advance(2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if out = m.converge(); out.Google.Link == "" || len(r.live(t)) != 1 || told(t, r, out.Google.EventID).Rounds != 1 {
		t.Errorf("afterwards: %+v, %d events, told %+v", out, len(r.live(t)), told(t, r, out.Google.EventID))
	}
}

func TestAFailedConferenceLeavesNoEventAndCanBeTriedAgain(t *testing.T) {
	r := newRig(t, rigConfig{})
	r.SetConference(0, true)
	m := r.meetings(t, wish())
	out := m.once()
	if out.Failure == nil || !out.Failure.Permanent() || out.Failure.Code != job.CodeConferenceFailed || out.Google.Link != "" {
		t.Fatalf("outcome %+v", out)
	}
	if left := r.live(t); len(left) != 0 {
		t.Fatalf("left in the calendar: %+v", left)
	}
	r.SetConference(0, false)
	if out = m.converge(); out.Google.Link == "" || out.Generation != 1 || len(r.live(t)) != 1 {
		t.Errorf("the second try came to %+v", out)
	}
}

func TestARefusedSettingKeepsTheLinkAndTheOtherSetting(t *testing.T) {
	r := newRig(t, rigConfig{})
	w := wish()
	w.AutoRecord, w.PublicAccess = true, true
	m := r.meetings(t, w)
	link := m.once().Google.Link
	r.fault(t, googlefake.Fault{Match: "PATCH /v2/spaces/", Status: new(http.StatusBadRequest), Message: "recording is not available", Times: 1})
	out := m.once()
	if out.Failure == nil || !out.Failure.Permanent() || out.Google.Link != link || out.Google.AutoRecording == job.On || out.Google.Access != job.Open {
		t.Fatalf("outcome %+v", out)
	}
	if !strings.Contains(out.Failure.Message, "recording is not available") {
		t.Errorf("message %q does not say why", out.Failure.Message)
	}
}

func TestARefusedSettingDoesNotCostABareSpaceItsLink(t *testing.T) {
	r := newRig(t, rigConfig{})
	w := wish()
	w.Calendar, w.AutoRecord = false, true
	r.fault(t, googlefake.Fault{Match: "POST /v2/spaces", Status: new(http.StatusBadRequest), Times: 1})
	out := r.meetings(t, w).once()
	if out.Failure == nil || !out.Failure.Permanent() || out.Google.Link == "" || out.Google.EventVersion != 1 {
		t.Errorf("outcome %+v", out)
	}
}

func TestASettingThatDoesNotReadBackIsAFailure(t *testing.T) {
	r := newRig(t, rigConfig{})
	w := wish()
	w.AutoRecord = true
	m := r.meetings(t, w)
	m.once()
	r.fault(t, googlefake.Fault{Match: "PATCH /v2/spaces/", Status: new(http.StatusOK), Body: json.RawMessage(`{"name":"spaces/x","config":{"artifactConfig":{"recordingConfig":{"autoRecordingGeneration":"OFF"}}}}`)})
	out := m.once()
	if out.Failure == nil || out.Failure.Code != job.CodeRecordingNotSet || !out.Failure.Permanent() || out.Google.AutoRecording != job.Off || out.Complete {
		t.Errorf("outcome %+v", out)
	}
}

func TestASpaceThatIsNotVisibleYetIsWaitedForAndThenGivenUp(t *testing.T) {
	r := newRig(t, rigConfig{})
	w := wish()
	w.AutoRecord = true
	m := r.meetings(t, w)
	m.once()
	r.fault(t, googlefake.Fault{Match: "GET /v2/spaces/", Status: new(http.StatusForbidden), Message: "Permission denied on resource Space (or it might not exist)."})
	for delivered, want := range []time.Duration{2 * time.Second, 8 * time.Second, 20 * time.Second} {
		v := r.sync.Do(t.Context(), m.wish, job.Attempt{Dispatch: 2, Delivered: delivered + 1})
		if v.Outcome != nil || v.Again != want {
			t.Fatalf("delivery %d: %+v, want again in %v", delivered+1, v, want)
		}
	}
	if out := m.once(); out.Failure == nil || out.Failure.Permanent() || out.Failure.Code != google.CodeSpaceDenied {
		t.Fatalf("after the short tries: %+v", out)
	}
	m.once()
	if out := m.once(); out.Failure == nil || !out.Failure.Permanent() || out.Google.Link == "" {
		t.Fatalf("after the long ones: %+v", out)
	}
}

func TestAnOrganizerOfAnotherDomainIsAGuestOfTheAdministrator(t *testing.T) {
	r := newRig(t, rigConfig{google: google.Config{Domains: []string{"Example.org"}, AdminEmail: admin}})
	r.meetings(t, wish()).converge()
	event := r.live(t)[0]
	if event.CalendarID != admin {
		t.Errorf("the event is in the calendar of %s", event.CalendarID)
	}
	if i := slices.IndexFunc(event.Attendees, func(a googlefake.Attendee) bool { return a.Email == boss }); i < 0 || len(event.Attendees) != 3 {
		t.Errorf("guests %+v, want the organizer among them", event.Attendees)
	}
	own := wish()
	own.MeetingUID, own.Organizer = "other", "eva@example.org"
	r.meetings(t, own).converge()
	if events := r.live(t); !slices.ContainsFunc(events, func(e googlefake.StateEvent) bool { return e.CalendarID == "eva@example.org" && len(e.Attendees) == 2 }) {
		t.Errorf("events %+v, want one in the calendar of the domain's organizer", events)
	}
}

func TestAnOrganizerWhomNobodyStandsInForIsRefused(t *testing.T) {
	r := newRig(t, rigConfig{google: google.Config{Domains: []string{"example.org"}}})
	out := r.meetings(t, wish()).once()
	if out.Failure == nil || out.Failure.Code != google.CodeOrganizerOutside || !out.Failure.Permanent() || r.calls() != 0 {
		t.Errorf("outcome %+v after %d calls", out, r.calls())
	}
}

// status is a pointer for a fault.
func status(code int) *int { return &code }

func TestEveryFaultOfACreateIsUnderstood(t *testing.T) {
	const insert = "POST /calendar/v3/"
	html := json.RawMessage(`"<html>nope</html>"`)
	for name, test := range map[string]struct {
		fault     googlefake.Fault
		code      string
		permanent bool
		after     time.Duration // the least pause that Google asked for
	}{
		"429 with Retry-After":      {googlefake.Fault{Match: insert, Status: status(429), RetryAfter: "2"}, google.CodeQuota, false, 2 * time.Second},
		"429 with a long one":       {googlefake.Fault{Match: insert, Status: status(429), RetryAfter: "300"}, google.CodeQuota, false, 300 * time.Second},
		"403 rate limit":            {googlefake.Fault{Match: insert, Status: status(403), Reason: "userRateLimitExceeded"}, google.CodeQuota, false, 0},
		"403 usage limits":          {googlefake.Fault{Match: insert, Status: status(403), Reason: "quotaExceeded"}, google.CodeCalendarLimits, false, time.Hour},
		"500":                       {googlefake.Fault{Match: insert, Status: status(500)}, google.CodeUnavailable, false, 0},
		"503 of a front end":        {googlefake.Fault{Match: insert, Status: status(503), Body: html}, google.CodeUnavailable, false, 0},
		"404 of a proxy":            {googlefake.Fault{Match: insert, Status: status(404), Body: html}, google.CodeUnavailable, false, 0},
		"500 after the work":        {googlefake.Fault{Match: insert, Status: status(500), When: googlefake.After}, google.CodeUnavailable, false, 0},
		"reset before the work":     {googlefake.Fault{Match: insert, Status: status(0)}, google.CodeUnavailable, false, 0},
		"reset after the work":      {googlefake.Fault{Match: insert, Status: status(0), When: googlefake.After}, google.CodeUnavailable, false, 0},
		"truncated after the work":  {googlefake.Fault{Match: insert, Status: status(200), Body: json.RawMessage(`"{\"id\":\"mm"`), When: googlefake.After}, google.CodeUnavailable, false, 0},
		"hangs before the work":     {googlefake.Fault{Match: insert, Latency: time.Minute}, google.CodeTimeout, false, 0},
		"hangs after the work":      {googlefake.Fault{Match: insert, Latency: time.Minute, When: googlefake.After}, google.CodeTimeout, false, 0},
		"400":                       {googlefake.Fault{Match: insert, Status: status(400)}, google.CodeInvalidRequest, true, 0},
		"400 no meet licence":       {googlefake.Fault{Match: insert, Status: status(400), Reason: "invalid", Message: "Invalid conference type value."}, google.CodeImpersonationMissing, true, 0},
		"401 for good":              {googlefake.Fault{Match: insert, Status: status(401)}, google.CodeUnauthenticated, true, 0},
		"403":                       {googlefake.Fault{Match: insert, Status: status(403)}, google.CodePermissionDenied, true, 0},
		"403 no impersonation":      {googlefake.Fault{Match: insert, Status: status(403), Reason: "forbiddenForServiceAccounts"}, google.CodeImpersonationMissing, true, 0},
		"403 API disabled":          {googlefake.Fault{Match: insert, Status: status(403), Reason: "accessNotConfigured"}, google.CodeAPIDisabled, true, 0},
		"403 scope":                 {googlefake.Fault{Match: insert, Status: status(403), Reason: "insufficientPermissions"}, google.CodeScopeMissing, true, 0},
		"404":                       {googlefake.Fault{Match: insert, Status: status(404)}, google.CodeCalendarNotFound, true, 0},
		"token: not delegated":      {googlefake.Fault{Match: "POST /token", Status: status(401)}, google.CodeDelegationMissing, true, 0},
		"token: unknown account":    {googlefake.Fault{Match: "POST /token", Status: status(400)}, google.CodeAccountUnknown, true, 0},
		"token: key deleted":        {googlefake.Fault{Match: "POST /token", Status: status(400), Reason: "invalid_grant", Message: "Invalid JWT Signature."}, google.CodeKeyRefused, true, 0},
		"token: clock":              {googlefake.Fault{Match: "POST /token", Status: status(400), Reason: "invalid_grant", Message: "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}, google.CodeClockWrong, true, 0},
		"token: blocked":            {googlefake.Fault{Match: "POST /token", Status: status(403)}, google.CodeAccessBlocked, true, 0},
		"token: client gone":        {googlefake.Fault{Match: "POST /token", Status: status(401), Reason: "invalid_client"}, google.CodeKeyRefused, true, 0},
		"token: empty success":      {googlefake.Fault{Match: "POST /token", Status: status(200), Body: json.RawMessage(`{"expires_in":3600,"token_type":"Bearer"}`)}, google.CodeScopeMissing, true, 0},
		"token: 503":                {googlefake.Fault{Match: "POST /token", Status: status(503)}, google.CodeUnavailable, false, 0},
		"token: page of a proxy":    {googlefake.Fault{Match: "POST /token", Status: status(403), Body: html}, google.CodeUnavailable, false, 0},
		"token: reset":              {googlefake.Fault{Match: "POST /token", Status: status(0)}, google.CodeUnavailable, false, 0},
		"token: hangs":              {googlefake.Fault{Match: "POST /token", Latency: time.Minute}, google.CodeUnavailable, false, 0},
		"token: asked to slow down": {googlefake.Fault{Match: "POST /token", Status: status(429), RetryAfter: "90"}, google.CodeQuota, false, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigConfig{google: google.Config{Timeout: 2 * time.Second}})
			if test.fault.Latency > 0 {
				r = newRig(t, rigConfig{google: google.Config{Timeout: 100 * time.Millisecond}})
			}
			r.fault(t, test.fault)
			// A row that has failed before reports at once instead of asking for the message again.
			v := r.sync.Do(t.Context(), wish(), job.Attempt{Dispatch: 2, Failed: 1, Delivered: 1})
			out := v.Outcome
			if out == nil || out.Failure == nil {
				t.Fatalf("verdict %+v, want a failure", v)
			}
			if out.Failure.Code != test.code || out.Failure.Permanent() != test.permanent || out.Google.Link != "" || out.Complete {
				t.Errorf("outcome %+v with %v, want %s, permanent %t, no link", out, out.Failure, test.code, test.permanent)
			}
			if out.Failure.Message == "" || strings.Contains(out.Failure.Message, "%!") {
				t.Errorf("message %q", out.Failure.Message)
			}
			if test.permanent {
				return
			}
			if pause := out.RetryAt.Sub(rigNow); pause < max(test.after, 25*time.Second) || pause > max(2*test.after, 10*time.Minute) {
				t.Errorf("again in %v, Google asked for %v", pause, test.after)
			}
			// The first dispatch waits on the message where that is short.
			first := r.sync.Do(t.Context(), wish(), job.Attempt{Dispatch: 1, Delivered: 1})
			if short := test.after <= time.Minute; short != (first.Outcome == nil) || short && (first.Again < test.after || first.Again > time.Minute) {
				t.Errorf("the first dispatch: %+v", first)
			}
			r.ClearFaults()
			m := r.meetings(t, wish())
			m.dispatch, m.failed = 2, 2
			healed := m.converge()
			if healed.Google.Link == "" || len(r.live(t)) != 1 {
				t.Errorf("afterwards %+v with %d events", healed, len(r.live(t)))
			}
			if n := told(t, r, healed.Google.EventID); n.Rounds != 1 {
				t.Errorf("guests were told %+v, want once", n)
			}
		})
	}
}

func TestALostAnswerOfEachLaterStepDoesNothingTwice(t *testing.T) {
	type step struct {
		match  string
		change func(*job.Wish)
		check  func(t *testing.T, r *rig, out job.Outcome)
	}
	steps := map[string]step{
		"change": {"PATCH /calendar/v3/", func(w *job.Wish) { w.Summary = "nuevo" }, func(t *testing.T, r *rig, out job.Outcome) {
			if n := told(t, r, out.Google.EventID); n.Rounds != 2 || n.Updates != 1 || r.live(t)[0].Summary != "nuevo" {
				t.Errorf("told %+v, want each guest once of the change", n)
			}
		}},
		"change of guests": {"PATCH /calendar/v3/", func(w *job.Wish) { w.Guests = append(w.Guests, "eva@example.net") }, func(t *testing.T, r *rig, out job.Outcome) {
			if n := told(t, r, out.Google.EventID); n.Rounds != 2 || n.Messages != 5 || len(r.live(t)[0].Attendees) != 3 {
				t.Errorf("told %+v, guests %+v", n, r.live(t)[0].Attendees)
			}
		}},
		"settings": {"PATCH /v2/spaces/", func(w *job.Wish) { w.AutoRecord = true }, func(t *testing.T, _ *rig, out job.Outcome) {
			if out.Google.AutoRecording != job.On {
				t.Errorf("outcome %+v", out)
			}
		}},
		"delete": {"DELETE /calendar/v3/", func(w *job.Wish) { w.Absent = true }, func(t *testing.T, r *rig, out job.Outcome) {
			if n := told(t, r, out.Google.EventID); n.Rounds != 2 || n.Cancellations != 1 || len(r.live(t)) != 0 || !out.Google.Deleted {
				t.Errorf("told %+v, %d events left", n, len(r.live(t)))
			}
		}},
	}
	faults := map[string]googlefake.Fault{
		"500 before": {Status: status(500)}, "500 after": {Status: status(500), When: googlefake.After},
		"reset before": {Status: status(0)}, "reset after": {Status: status(0), When: googlefake.After},
		"truncated after": {Status: status(200), Body: json.RawMessage(`"{\"id\":"`), When: googlefake.After},
		"hangs after":     {Latency: time.Minute, When: googlefake.After},
		"429":             {Status: status(429), RetryAfter: "1"},
		"401 once":        {Status: status(401)},
	}
	for stepName, s := range steps {
		for faultName, f := range faults {
			t.Run(stepName+", "+faultName, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigConfig{google: google.Config{Timeout: 300 * time.Millisecond}})
				m := r.meetings(t, wish())
				m.converge()
				m.change(s.change)
				f.Match, f.Times = s.match, 1
				r.fault(t, f)
				s.check(t, r, m.converge())
				if n := len(r.state(t).Events); n != 1 {
					t.Errorf("%d events", n)
				}
			})
		}
	}
}

func TestAStaleEtagIsReadAgainAndOurIntentApplied(t *testing.T) {
	r := newRig(t, rigConfig{})
	m := r.meetings(t, wish())
	m.converge()
	m.change(func(w *job.Wish) { w.Summary = "nuestro" })
	r.fault(t, googlefake.Fault{Match: "PATCH /calendar/v3/", Status: status(http.StatusPreconditionFailed), Times: 2})
	if out := m.converge(); out.Google.EventVersion != 2 || r.live(t)[0].Summary != "nuestro" {
		t.Errorf("outcome %+v", out)
	}
	m.change(func(w *job.Wish) { w.Summary = "otra vez" })
	r.fault(t, googlefake.Fault{Match: "PATCH /calendar/v3/", Status: status(http.StatusPreconditionFailed)})
	if out := m.once(); out.Failure == nil || out.Failure.Permanent() || out.Failure.Code != job.CodeEventBusy {
		t.Errorf("a race that never ends came to %+v", out)
	}
}

func TestARevokedTokenIsReplacedOnce(t *testing.T) {
	r := newRig(t, rigConfig{})
	r.meetings(t, wish()).converge()
	r.forget()
	r.fault(t, googlefake.Fault{Match: "POST /calendar/v3/", Status: status(401), Times: 1})
	w := wish()
	w.MeetingUID = "another"
	r.meetings(t, w).converge()
	if tokens, inserts := r.requests(http.MethodPost, "/token"), r.requests(http.MethodPost, "/calendar/"); len(tokens) != 1 || len(inserts) != 2 {
		t.Errorf("%d tokens and %d inserts, want 1 and 2", len(tokens), len(inserts))
	}
}

func TestOneTokenServesAllMeetingsOfAnOrganizer(t *testing.T) {
	r := newRig(t, rigConfig{})
	done := make(chan job.Verdict)
	const meetings = 20
	for i := range meetings {
		go func() {
			w := wish()
			w.MeetingUID = "uid-" + string(rune('a'+i))
			done <- r.sync.Do(t.Context(), w, job.Attempt{Dispatch: 1, Delivered: 1})
		}()
	}
	for range meetings {
		if v := <-done; v.Outcome == nil || !v.Outcome.Complete {
			t.Errorf("verdict %+v", v)
		}
	}
	if n := len(r.requests(http.MethodPost, "/token")); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

func TestAHungTokenHoldsUpNobodyElse(t *testing.T) {
	r := newRig(t, rigConfig{google: google.Config{Timeout: 200 * time.Millisecond}})
	r.fault(t, googlefake.Fault{Match: "POST /token", Latency: time.Minute, Times: 1})
	hung := make(chan job.Verdict, 1)
	go func() { hung <- r.sync.Do(t.Context(), wish(), job.Attempt{Dispatch: 1, Delivered: 1}) }()
	first := <-hung // its own time-out, not the token's ten seconds
	if first.Outcome != nil {
		t.Errorf("the hung one came to %+v", first.Outcome)
	}
	other := wish()
	other.Organizer = "other@example.com"
	if v := r.sync.Do(t.Context(), other, job.Attempt{Dispatch: 1, Delivered: 1}); v.Outcome == nil || !v.Outcome.Complete {
		t.Errorf("the other came to %+v", v)
	}
}

func TestAStopHandsTheMessageBack(t *testing.T) {
	r := newRig(t, rigConfig{})
	r.fault(t, googlefake.Fault{Match: "POST /calendar/v3/", Latency: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan job.Verdict, 1)
	go func() { done <- r.sync.Do(ctx, wish(), job.Attempt{Dispatch: 1, Delivered: 1}) }()
	cancel()
	if v := <-done; v.Outcome != nil || v.Again != 0 {
		t.Errorf("verdict %+v, want the message back at once", v)
	}
}

func TestQuotasAreChargedToTheOrganizerAndSecretsStayOut(t *testing.T) {
	r := newRig(t, rigConfig{})
	r.fault(t, googlefake.Fault{Match: "POST /calendar/v3/", Status: status(403), Times: 1})
	r.meetings(t, wish()).once()
	r.meetings(t, wish()).converge()
	insert := r.requests(http.MethodPost, "/calendar/")[0]
	if !strings.Contains(insert.Query, "quotaUser=") || strings.Contains(insert.Query, "boss") {
		t.Errorf("query %q, want a quotaUser that does not name the organizer", insert.Query)
	}
	token, ok := strings.CutPrefix(insert.Authorization, "Bearer ")
	if !ok || token == "" {
		t.Fatal("the call was not signed")
	}
	logged := r.log.String()
	if !strings.Contains(logged, "GOOGLE_PERMISSION_DENIED") {
		t.Error("the refusal is not in the log")
	}
	if strings.Contains(logged, token) || strings.Contains(logged, "assertion") || strings.Contains(logged, "PRIVATE KEY") {
		t.Error("a secret is in the log")
	}
}
