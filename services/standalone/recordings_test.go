package standalone_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
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
