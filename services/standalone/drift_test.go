package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// google is the emulator behind a product.
func (p product) google(method, path string, body, into any) {
	p.t.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.Emulator+"/_emulator/"+path, sent)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= http.StatusBadRequest {
		p.t.Fatalf("%s %s: %s %s %v", method, path, res.Status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			p.t.Fatalf("%s: %v", text, err)
		}
	}
}

// edit is what a person does in Google Calendar.
func (p product) edit(calendar, event string, what map[string]any) {
	p.t.Helper()
	edit := map[string]any{"calendarId": calendar, "eventId": event}
	for name, value := range what {
		edit[name] = value
	}
	p.google(http.MethodPost, "edit", edit, nil)
}

// person is a participant as the API shows it.
type person struct {
	ID       int64   `json:"id"`
	Email    string  `json:"email"`
	Response *string `json:"response_status"`
}

// seen is a meeting as the API shows it.
type seen struct {
	ID      int64     `json:"id"`
	EventID string    `json:"google_event_id"`
	Link    string    `json:"meet_link"`
	Status  string    `json:"status"`
	Sync    string    `json:"google_sync"`
	Start   time.Time `json:"scheduled_start"`
	End     time.Time `json:"scheduled_end"`
	Invited []string  `json:"invited_emails"`
	Reason  string    `json:"recording_reason"`
	Error   *struct {
		Code, Message string
	} `json:"error"`
	RecordingState string   `json:"recording_state"`
	Participants   []person `json:"participants"`
	ETag           string   `json:"etag"`
}

func (p product) read(id int64) seen {
	p.t.Helper()
	r := p.send(http.MethodGet, fmt.Sprintf("meetings/%d/", id), "")
	var m seen
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || r.status != http.StatusOK {
		p.t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	return m
}

// connect is a meeting as Connect shows it, texts and failure included.
func (p product) connect(id int64) string {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.HTTP+"/meet.v1.MeetingService/GetMeeting", strings.NewReader(fmt.Sprintf(`{"id":"%d"}`, id)))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s %v", res.Status, text, err)
	}
	return string(text)
}

// until reads a meeting until it is as wanted.
func (p product) until(id int64, what string, wanted func(seen) bool) seen {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		m := p.read(id)
		if wanted(m) {
			return m
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%s: still %+v\nhistory: %s", what, m, p.send(http.MethodGet, fmt.Sprintf("meetings/%d/events/", id), "").body)
		}
	}
}

// history are the types of a meeting's events.
func (p product) history(id int64) []string {
	p.t.Helper()
	var events []struct {
		Type string `json:"type"`
	}
	r := p.send(http.MethodGet, fmt.Sprintf("meetings/%d/events/", id), "")
	if err := json.Unmarshal([]byte(r.body), &events); err != nil {
		p.t.Fatalf("%s: %v", r.body, err)
	}
	types := make([]string, 0, len(events))
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

// create makes a meeting that starts tomorrow and waits for its link.
func (p product) create(more string) seen {
	p.t.Helper()
	start := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	r := p.send(http.MethodPost, "meetings/", fmt.Sprintf(
		`{"organizer_email":"doctor@clinic.example","invited_emails":["ana@mail.example"],"summary":"Visit","scheduled_start":%q,"scheduled_end":%q%s}`,
		start.Format(time.RFC3339), start.Add(time.Hour).Format(time.RFC3339), more))
	var m seen
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || r.status != http.StatusCreated {
		p.t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	return p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
}

func TestAnEditInCalendarIsAdopted(t *testing.T) {
	p := run(t, "MEET_DRIFT_EVERY=1s", "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	m := p.create("")
	moved := m.Start.Add(3 * time.Hour)
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"patch": map[string]any{
		"summary": "Moved", "start": map[string]any{"dateTime": moved.Format(time.RFC3339)}, "end": map[string]any{"dateTime": moved.Add(time.Hour).Format(time.RFC3339)},
	}})
	got := p.until(m.ID, "adopted", func(m seen) bool { return m.Start.Equal(moved) })
	if !got.End.Equal(moved.Add(time.Hour)) || got.Sync != "ok" || got.Link != m.Link {
		t.Errorf("adopted as %+v", got)
	}
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"responses": map[string]any{"ana@mail.example": "accepted"}})
	p.until(m.ID, "answered", func(m seen) bool {
		return slices.ContainsFunc(m.Participants, func(who person) bool {
			return who.Email == "ana@mail.example" && who.Response != nil && *who.Response == "accepted"
		})
	})
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"delete": true})
	p.until(m.ID, "cancelled", func(m seen) bool { return m.Status == "CANCELLED" && m.Sync == "ok" })
	types := p.history(m.ID)
	for _, want := range []string{"meeting.drifted", "meeting.rescheduled", "meeting.updated", "participant.responded", "meeting.cancelled"} {
		if !slices.Contains(types, want) {
			t.Errorf("history %v lacks %s", types, want)
		}
	}
	if n := strings.Count(strings.Join(types, " "), "meeting.drifted"); n != 2 {
		t.Errorf("drifted %d times, want the edit and the deletion: %v", n, types)
	}
}

// state is what the emulator shows of one calendar.
type googleState struct {
	Calls         map[string]int `json:"calls"`
	Events        []googleEvent  `json:"events"`
	Notifications []struct {
		EventID       string `json:"eventId"`
		Invitations   int    `json:"invitations"`
		Updates       int    `json:"updates"`
		Cancellations int    `json:"cancellations"`
	} `json:"notifications"`
}

type googleEvent struct {
	ID       string `json:"id"`
	Calendar string `json:"calendarId"`
	Status   string `json:"status"`
	Summary  string `json:"summary"`
	Start    struct {
		At time.Time `json:"dateTime"`
	} `json:"start"`
	End struct {
		At time.Time `json:"dateTime"`
	} `json:"end"`
	Attendees []struct {
		Email string `json:"email"`
	} `json:"attendees"`
	Properties struct {
		Private map[string]string `json:"private"`
	} `json:"extendedProperties"`
	CanModify bool   `json:"guestsCanModify"`
	Link      string `json:"hangoutLink"`
}

func (e googleEvent) guests() []string {
	var out []string
	for _, a := range e.Attendees {
		out = append(out, a.Email)
	}
	slices.Sort(out)
	return out
}

func (p product) state() googleState {
	p.t.Helper()
	var s googleState
	p.google(http.MethodGet, "state", nil, &s)
	return s
}

func (p product) event(id string) googleEvent {
	p.t.Helper()
	for _, e := range p.state().Events {
		if e.ID == id {
			return e
		}
	}
	p.t.Fatalf("google has no event %s", id)
	return googleEvent{}
}

func TestAnEditInCalendarIsUndoneWhereThePolicySaysSo(t *testing.T) {
	p := run(t, "MEET_DRIFT_EVERY=1s", "MEET_DRIFT_POLICY=restore", "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	m := p.create("")
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"patch": map[string]any{"summary": "Mine", "attendees": []any{}}})
	p.until(m.ID, "drift seen", func(seen) bool { return slices.Contains(p.history(m.ID), "meeting.drifted") })
	p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
	if e := p.event(m.EventID); e.Summary != "Visit" || !slices.Contains(e.guests(), "ana@mail.example") {
		t.Errorf("google has %+v", e)
	}
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"delete": true})
	got := p.until(m.ID, "made anew", func(now seen) bool { return now.Sync == "ok" && now.EventID != m.EventID })
	if e := p.event(got.EventID); e.Status != "confirmed" || e.Link != got.Link || got.Link == m.Link || got.Status != "CREATED" {
		t.Errorf("google has %+v, we %+v", e, got)
	}
}

func TestAnEditInCalendarIsToldWhereThePolicySaysSo(t *testing.T) {
	p := run(t, "MEET_DRIFT_EVERY=1s", "MEET_DRIFT_POLICY=alert", "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	m := p.create("")
	move := func(at time.Time) {
		p.edit("doctor@clinic.example", m.EventID, map[string]any{"patch": map[string]any{
			"start": map[string]any{"dateTime": at.Format(time.RFC3339)}, "end": map[string]any{"dateTime": at.Add(time.Hour).Format(time.RFC3339)},
		}})
	}
	move(m.Start.Add(time.Hour))
	p.until(m.ID, "told", func(m seen) bool { return m.Sync == "failed" })
	if body := p.connect(m.ID); !strings.Contains(body, "GOOGLE_DRIFTED") ||
		!strings.Contains(body, "scheduled_start is "+m.Start.Add(time.Hour).Format(time.RFC3339)) {
		t.Errorf("the difference is not named: %s", body)
	}
	move(m.Start)
	p.until(m.ID, "google agrees again", func(now seen) bool { return now.Sync == "ok" && now.Start.Equal(m.Start) })
	move(m.Start.Add(2 * time.Hour))
	p.until(m.ID, "told again", func(m seen) bool { return m.Sync == "failed" })
	p.send(http.MethodPost, fmt.Sprintf("meetings/%d/provision/", m.ID), "")
	p.until(m.ID, "overwritten", func(m seen) bool { return m.Sync == "ok" })
	if e := p.event(m.EventID); !e.Start.At.Equal(m.Start) {
		t.Errorf("google starts at %s, we at %s", e.Start.At, m.Start)
	}
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"delete": true})
	p.until(m.ID, "told of the deletion", func(m seen) bool { return m.Sync == "failed" })
	p.send(http.MethodPost, fmt.Sprintf("meetings/%d/provision/", m.ID), "")
	got := p.until(m.ID, "made anew", func(now seen) bool { return now.Sync == "ok" && now.EventID != m.EventID })
	if e := p.event(got.EventID); e.Status != "confirmed" || got.Status != "CREATED" {
		t.Errorf("google has %+v, we %+v", e, got)
	}
}

func TestGuestsComeAndGoInOneCall(t *testing.T) {
	p := run(t, "MEET_DRIFT_EVERY=1s")
	m := p.create("")
	before := p.state()
	if e := p.event(m.EventID); e.Calendar != "admin@workspace.example" || !e.CanModify || !slices.Contains(e.guests(), "doctor@clinic.example") {
		t.Errorf("the organizer of another domain is no guest who may change the event: %+v", e)
	}
	path := fmt.Sprintf("meetings/%d/participants/", m.ID)
	// The first change keeps Google busy while the others come.
	p.google(http.MethodPost, "faults", []any{map[string]any{"match": "PATCH /calendar/v3/", "latency": "700ms", "times": 1}}, nil)
	var bob person
	r := p.send(http.MethodPost, path, `{"email":"bob@mail.example"}`, "Idempotency-Key", "bob")
	if err := json.Unmarshal([]byte(r.body), &bob); err != nil || r.status != http.StatusCreated || bob.Email != "bob@mail.example" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	again := p.send(http.MethodPost, path, `{"email":"bob@mail.example"}`, "Idempotency-Key", "bob")
	if again.status != http.StatusCreated || again.header.Get("Idempotency-Replayed") != "true" || again.body != r.body {
		t.Errorf("the repeat: %d %s", again.status, again.body)
	}
	for _, name := range []string{"cid", "dan", "eve"} {
		if r := p.send(http.MethodPost, path, fmt.Sprintf(`{"email":"%s@mail.example"}`, name)); r.status != http.StatusCreated {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	remove := fmt.Sprintf("%s%d/", path, bob.ID)
	if r := p.send(http.MethodDelete, remove, "", "If-Match", `"0"`); r.status != http.StatusPreconditionFailed {
		t.Errorf("an old version: %d %s", r.status, r.body)
	}
	for range 2 {
		if r := p.send(http.MethodDelete, remove, ""); r.status != http.StatusOK || strings.Contains(r.body, "bob@") {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	for _, who := range p.read(m.ID).Participants {
		if who.Email == "doctor@clinic.example" {
			if r := p.send(http.MethodDelete, fmt.Sprintf("%s%d/", path, who.ID), ""); r.status != http.StatusBadRequest {
				t.Errorf("the organizer: %d %s", r.status, r.body)
			}
		}
	}
	p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
	want := []string{"ana@mail.example", "cid@mail.example", "dan@mail.example", "doctor@clinic.example", "eve@mail.example"}
	if got := p.event(m.EventID).guests(); !slices.Equal(got, want) {
		t.Errorf("google has %v, want %v", got, want)
	}
	after := p.state()
	if n := after.Calls["calendar.events.patch"] - before.Calls["calendar.events.patch"]; n > 2 {
		t.Errorf("five changes in a row cost %d calls, want 2: the one under way and one for the rest", n)
	}
}

func TestWhatGoogleRefusesOfARecordingStandsOnTheMeeting(t *testing.T) {
	p := run(t)
	p.google(http.MethodPost, "faults", []any{map[string]any{"match": "PATCH /v2/spaces/", "status": 403, "reason": "PERMISSION_DENIED", "times": 2}}, nil)
	r := p.send(http.MethodPost, "meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["ana@mail.example"]}`)
	var m seen
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || r.status != http.StatusCreated {
		t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	got := p.until(m.ID, "refused", func(m seen) bool { return m.Sync == "failed" })
	if got.Reason != "RECORDING_NOT_ALLOWED" || got.RecordingState != "expected" || got.Link == "" {
		t.Errorf("shown as %+v", got)
	}
	if e := p.event(got.EventID); e.Summary != "Google Meet" {
		t.Errorf("guests read %q", e.Summary)
	}
	p.send(http.MethodPost, fmt.Sprintf("meetings/%d/provision/", m.ID), "")
	if got = p.until(m.ID, "allowed", func(m seen) bool { return m.Sync == "ok" }); got.Reason != "" {
		t.Errorf("still %q", got.Reason)
	}
}

func TestGoogleTellsOfAChangeAtOnce(t *testing.T) {
	// The address must be known before the start.
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	p := run(t, "MEET_ADDR="+addr, "MEET_PUBLIC_URL=http://"+addr, "MEET_DRIFT_EVERY=1h", "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	m := p.create("")
	p.until(m.ID, "watched", func(seen) bool { return p.state().Calls["calendar.events.list"] > 0 })
	moved := m.Start.Add(time.Hour)
	p.edit("doctor@clinic.example", m.EventID, map[string]any{"patch": map[string]any{
		"start": map[string]any{"dateTime": moved.Format(time.RFC3339)}, "end": map[string]any{"dateTime": moved.Add(time.Hour).Format(time.RFC3339)},
	}})
	p.until(m.ID, "adopted", func(m seen) bool { return m.Start.Equal(moved) })
	// A stranger who guesses a channel, and one who leaves headers out, is told nothing.
	for _, headers := range [][]string{
		{"X-Goog-Channel-Id", "guess", "X-Goog-Channel-Token", "guess", "X-Goog-Resource-State", "exists"}, {},
	} {
		if r := p.send(http.MethodPost, "google/calendar/", "", headers...); r.status != http.StatusNotFound {
			t.Errorf("%v: %d %s", headers, r.status, r.body)
		}
	}
}

// told is how often Google told the guests of an event that it was made, changed or called off.
func (s googleState) told(event string) [3]int {
	for _, n := range s.Notifications {
		if n.EventID == event {
			return [3]int{n.Invitations, n.Updates, n.Cancellations}
		}
	}
	return [3]int{}
}

func TestGuestsAreToldOnceOfEachChangeWhateverGoogleDoes(t *testing.T) {
	p := run(t, "MEET_DRIFT_EVERY=1s", "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	faults := map[string]map[string]any{
		"nothing":               nil,
		"503":                   {"status": 503},
		"429":                   {"status": 429, "retry_after": 1},
		"500 after the work":    {"status": 500, "when": "after"},
		"reset before the work": {"status": 0},
		"reset after the work":  {"status": 0, "when": "after"},
		"slow":                  {"latency": "300ms"},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			strike := func(match string) {
				if fault == nil {
					return
				}
				f := map[string]any{"match": match + " /calendar/v3/", "times": 1}
				for field, value := range fault {
					f[field] = value
				}
				p.google(http.MethodPost, "faults", []any{f}, nil)
			}
			strike("POST")
			m := p.create("")
			path := fmt.Sprintf("meetings/%d/", m.ID)
			strike("PATCH")
			moved := m.Start.Add(time.Hour)
			if r := p.send(http.MethodPatch, path, fmt.Sprintf(`{"scheduled_start":%q,"scheduled_end":%q}`, moved.Format(time.RFC3339), moved.Add(time.Hour).Format(time.RFC3339))); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
			if e := p.event(m.EventID); !e.Start.At.Equal(moved) || e.Link != m.Link {
				t.Errorf("google has %+v", e)
			}
			strike("PATCH") // a change of guests looks first, and then writes
			if r := p.send(http.MethodPost, path+"participants/", `{"email":"bob@mail.example"}`); r.status != http.StatusCreated {
				t.Fatalf("%d %s", r.status, r.body)
			}
			p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
			strike("DELETE")
			p.send(http.MethodDelete, path, "")
			p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
			if e := p.event(m.EventID); e.Status != "cancelled" {
				t.Errorf("google has %+v", e)
			}
			if got, want := p.state().told(m.EventID), [3]int{1, 2, 1}; got != want {
				t.Errorf("guests were told %v times of the invitation, of changes and of the end, want %v", got, want)
			}
			if types := p.history(m.ID); slices.Contains(types, "meeting.drifted") {
				t.Errorf("our own writes were taken for drift: %v", types)
			}
		})
	}
}

func TestASharedCalendarIsReadOnceForAllItsOrganizers(t *testing.T) {
	const team = "team@group.calendar.google.com"
	p := run(t, "MEET_DRIFT_EVERY=1s", "GOOGLE_WORKSPACE_DOMAINS=clinic.example", "GOOGLE_CALENDAR_ID="+team)
	m := p.create("")
	r := p.send(http.MethodPost, "meetings/", `{"organizer_email":"nurse@clinic.example","invited_emails":["ana@mail.example"]}`)
	var other seen
	if err := json.Unmarshal([]byte(r.body), &other); err != nil || r.status != http.StatusCreated {
		t.Fatalf("%d %s", r.status, r.body)
	}
	p.until(other.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
	p.edit(team, other.EventID, map[string]any{"delete": true})
	p.until(other.ID, "cancelled", func(m seen) bool { return m.Status == "CANCELLED" })
	p.edit(team, m.EventID, map[string]any{"responses": map[string]any{"ana@mail.example": "declined"}})
	p.until(m.ID, "answered", func(m seen) bool {
		return slices.ContainsFunc(m.Participants, func(who person) bool { return who.Response != nil && *who.Response == "declined" })
	})
	if types := p.history(m.ID); slices.Contains(types, "meeting.drifted") {
		t.Errorf("who stands on the event by Google's doing was taken for drift: %v", types)
	}
}
