package standalone_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestWhatIsNotHeldYetIsShownAsThat asks the whole product about a meeting that lies ahead.
func TestWhatIsNotHeldYetIsShownAsThat(t *testing.T) {
	p := run(t)
	made := p.send("POST", "meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"],"scheduled_start":"2099-12-01T15:00:00Z","scheduled_end":"2099-12-01T15:30:00Z"}`)
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	id := p.field(made, "id")
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"recordings/", 200, `[]`},
		{"recordings/?meeting=" + id + "&state=ENDED&export_state=none&from=2026-01-01&to=2099-01-01&organizer=1", 200, `[]`},
		{"recordings/1/", 404, `{"detail":"No encontrado."}`},
		{"meetings/" + id + "/recording/", 404, `{"message":"La reunión no tiene grabación.","meeting_id":` + id + `}`},
		{"meetings/" + id + "/attendance/", 200, `{"meeting_id":` + id + `,"source":"invited","conferences":[],"invited":[` +
			`{"participant":1,"email":"doctor@clinic.example","role":"organizer","response_status":null,"attendance":"pending","joined_at":null,"left_at":null,"source":"invited"},` +
			`{"participant":2,"email":"p@mail.example","role":"guest","response_status":null,"attendance":"pending","joined_at":null,"left_at":null,"source":"invited"}],"attendees":[]}`},
		{"meetings/" + id + "/transcript/", 200, `{"meeting_id":` + id + `,"documents":[],"entries":[]}`},
		{"meetings/999/attendance/", 404, `{"detail":"No encontrado."}`},
		{"meetings/999/transcript/", 404, `{"detail":"No encontrado."}`},
		{"jobs/01936f5e-7c00-7000-8000-0000000000bb/", 404, `{"detail":"No encontrado."}`},
		{"jobs/?page_token=x", 400, `{"page_token":["Este valor no es de una página anterior de la misma lista."]}`},
	} {
		got := p.send("GET", c.path, "")
		if strings.Contains(c.path, "attendance") { // Google may have told by now that the organizer comes
			got.body = regexp.MustCompile(`"response_status":"[a-zA-Z]+"`).ReplaceAllString(got.body, `"response_status":null`)
			got.body = strings.ReplaceAll(got.body, `"answered"`, `"invited"`)
		}
		if got.status != c.status || got.body != c.body {
			t.Errorf("GET %s: %d\n%s\nwant %d\n%s", c.path, got.status, got.body, c.status, c.body)
		}
	}

	var coverage struct {
		Total struct {
			Expected int64 `json:"expected"`
			UnderWay int64 `json:"under_way"`
		}
		Days       []map[string]any
		Organizers []map[string]any
	}
	got := p.send("GET", "recordings/coverage/?from=2099-12-01T00:00-05:00&to=2099-12-03T00:00-05:00&time_zone=America/Bogota", "")
	if err := json.Unmarshal([]byte(got.body), &coverage); err != nil || coverage.Total.Expected != 1 || coverage.Total.UnderWay != 1 || len(coverage.Organizers) != 1 {
		t.Errorf("coverage: %d %s", got.status, got.body)
	}

	var jobs []struct {
		ID        string  `json:"id"`
		Kind      string  `json:"kind"`
		State     string  `json:"state"`
		MeetingID int64   `json:"meeting_id"`
		DueAt     *string `json:"due_at"`
	}
	got = p.send("GET", "jobs/?meeting="+id+"&kind=check_recording", "")
	if err := json.Unmarshal([]byte(got.body), &jobs); err != nil || len(jobs) != 1 || jobs[0].State != "due" || jobs[0].DueAt == nil || *jobs[0].DueAt < "2099-12-01T15" {
		t.Fatalf("jobs: %d %s", got.status, got.body)
	}
	if got := p.send("GET", "jobs/"+jobs[0].ID+"/", ""); got.status != 200 || p.field(got, "id") != jobs[0].ID {
		t.Errorf("job: %d %s", got.status, got.body)
	}
}

// ended asks for a job until it has ended.
func (p product) ended(id string) reply {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		got := p.send("GET", "jobs/"+id+"/", "")
		if state := p.field(got, "state"); got.status == http.StatusOK && (state == "done" || state == "failed") {
			return got
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("job %s has not ended: %d %s", id, got.status, got.body)
		}
	}
}

// TestASyncIsBegunAnsweredAsEverAndFollowed asks for what the original's clients ask for, and for what was added beside it.
func TestASyncIsBegunAnsweredAsEverAndFollowed(t *testing.T) { syncAsEver(run(t)) }

func syncAsEver(p product) {
	t := p.t
	const body = `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]`
	scheduled := p.send("POST", "meetings/", body+`,"scheduled_start":"2099-12-01T15:00:00Z","scheduled_end":"2099-12-01T15:30:00Z"}`)
	unscheduled := p.send("POST", "meetings/", body+`}`)
	if scheduled.status != http.StatusCreated || unscheduled.status != http.StatusCreated {
		t.Fatalf("%d %s, %d %s", scheduled.status, scheduled.body, unscheduled.status, unscheduled.body)
	}
	one, other := p.field(scheduled, "id"), p.field(unscheduled, "id")
	is := func(got reply, status int, want string) {
		t.Helper()
		if got.status != status || got.body != want {
			t.Errorf("%d\n%s\nwant %d\n%s", got.status, got.body, status, want)
		}
	}

	sync := p.send("POST", "meetings/"+one+"/sync_recording/", "", "Idempotency-Key", "s")
	task := p.field(sync, "task_id")
	is(sync, 202, `{"message":"La sincronización de la grabación fue iniciada.","meeting_id":`+one+`,"task_id":"`+task+`","status":"pending"}`)
	again := p.send("POST", "meetings/"+one+"/sync_recording/", "", "Idempotency-Key", "s")
	is(again, 202, sync.body)
	if again.header.Get("Idempotency-Replayed") != "true" || sync.header.Get("Location") != "/api/v1/jobs/"+task+"/" {
		t.Errorf("headers %v, then %v", sync.header, again.header)
	}
	if got := p.ended(task); p.field(got, "kind") != "sync_recording" || p.field(got, "state") != "done" || p.field(got, "meeting_id") != one {
		t.Errorf("the sync came to %s", got.body)
	}
	is(p.send("POST", "meetings/"+other+"/sync_recording/", ""), 400, `{"non_field_errors":["La reunión no tiene hora de inicio programada."]}`)
	is(p.send("POST", "meetings/"+other+"/sync_recording/", "", "Accept-Language", "en"), 400, `{"non_field_errors":["The meeting has no scheduled start."]}`)
	is(p.send("POST", "meetings/999/sync_recording/", ""), 404, `{"detail":"No encontrado."}`)

	all := p.send("POST", "recordings/sync_all/", `{"limit":10}`, "Accept-Language", "en")
	task = p.field(all, "task_id")
	is(all, 202, `{"message":"The synchronization of the recordings was started.","task_id":"`+task+`","status":"pending"}`)
	if got := p.ended(task); p.field(got, "kind") != "sync_all" || p.field(got, "state") != "done" {
		t.Errorf("the sync of all came to %s", got.body)
	}
	is(p.send("POST", "recordings/sync_all/", `{"limit":-1}`), 400, `{"limit":["Asegúrese de que este valor es mayor o igual a 0."]}`)
	is(p.send("POST", "recordings/7/verify/", ""), 404, `{"detail":"No encontrado."}`)
	is(p.send("POST", "recordings/7/share/", `{"emails":["auditor@clinic.example"]}`), 404, `{"detail":"No encontrado."}`)

	held := p.send("POST", "meetings/"+one+"/legal_hold/", `{"reason":"claim 77"}`)
	if held.status != http.StatusOK || p.field(held, "legal_hold") != "true" || p.field(held, "legal_hold_reason") != "claim 77" {
		t.Errorf("held: %d %s", held.status, held.body)
	}
	is(p.send("POST", "meetings/"+one+"/legal_hold/", `{"reason":""}`), 400, `{"reason":["Este campo no puede estar en blanco."]}`)
	if got := p.send("GET", "meetings/"+one+"/", ""); p.field(got, "legal_hold_reason") != "claim 77" {
		t.Errorf("the meeting: %s", got.body)
	}
	for range 2 { // ending what has ended is no error
		if got := p.send("DELETE", "meetings/"+one+"/legal_hold/", ""); got.status != http.StatusOK || p.field(got, "legal_hold") != "false" || p.field(got, "legal_hold_reason") != "" {
			t.Errorf("released: %d %s", got.status, got.body)
		}
	}
	if got := p.send("GET", "meetings/"+one+"/events/", ""); strings.Count(got.body, `"type":"meeting.legal_hold_changed"`) != 2 {
		t.Errorf("history: %s", got.body)
	}
}
