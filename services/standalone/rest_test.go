package standalone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

// patience is far above what anything here takes.
const patience = 30 * time.Second

// product is the whole product, running.
type product struct {
	standalone.Addresses
	t *testing.T
}

// run starts the product on an empty folder and ports of its own.
func run(t *testing.T, environ ...string) product {
	t.Helper()
	p, stop := start(t, t.TempDir(), environ...)
	t.Cleanup(stop)
	return p
}

// start starts the product on a folder, which it may have had before.
func start(t *testing.T, dir string, environ ...string) (p product, stop func()) {
	t.Helper()
	settings, err := config.Load[standalone.Settings](append([]string{
		"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "MEET_NATS_ADDR=127.0.0.1:0", "MEET_EMULATOR_ADDR=127.0.0.1:0", "MEET_DATA_DIR=" + dir, "LOG_LEVEL=error",
	}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	settings.Stdout = io.Discard
	app := fxtest.New(t, standalone.Program(settings), fx.NopLogger, fx.StartTimeout(patience))
	app.RequireStart()
	raw, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		t.Fatal(err)
	}
	p = product{t: t}
	if err := json.Unmarshal(raw, &p.Addresses); err != nil {
		t.Fatal(err)
	}
	return p, func() { app.RequireStop() }
}

// reply is one answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends a request under /api/v1/; headers are names and values in turn.
func (p product) send(method, path, body string, headers ...string) reply {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.HTTP+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// field is one field of an object.
func (p product) field(r reply, name string) string {
	p.t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(r.body), &object); err != nil {
		p.t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return fmt.Sprint(object[name])
}

// What differs from run to run, and what stands for it in the golden file. Times and links must have their form.
var differs = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`"(created_at|updated_at|date_joined)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z"`), `"$1":"<now>"`},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`"meet_link":"http://127\.0\.0\.1:\d+/[^"]+"`), `"meet_link":"<link>"`},
	{regexp.MustCompile(`"google_event_id":"[a-v0-9]{5,}"`), `"google_event_id":"<event>"`},
	// Numbers may be drawn and not used: those of the first are sure, the others are not.
	{regexp.MustCompile(`"id":[2-9]\d*,"(google_event_id|username)"`), `"id":<n>,"$1"`},
	{regexp.MustCompile(`"id":\d+,"meeting":`), `"id":<n>,"meeting":`},
	{regexp.MustCompile(`"user_id":\d+`), `"user_id":<n>`},
	{regexp.MustCompile(`(meetings|user-management|users)/[2-9]\d*/`), "$1/<n>/"},
	{regexp.MustCompile(`\\"\d+\\"`), `\"<version>\"`},
	{regexp.MustCompile(`^"\d+"$`), `"<version>"`},
	{regexp.MustCompile(`"google_sync":"(?:pending|ok)"`), `"google_sync":"<pending or ok>"`},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+/api/v1/`), "<address>"},
	{regexp.MustCompile(`"(version|go_version|commit)":"[^"]+"`), `"$1":"<build>"`},
	{regexp.MustCompile(`page_token=[A-Za-z0-9_-]+`), "page_token=<token>"},
}

func settle(s string) string {
	for _, d := range differs {
		s = d.what.ReplaceAllString(s, d.with)
	}
	return s
}

// shown are the headers that are part of the contract.
var shown = []string{"Location", "ETag", "Link", "Allow", "Retry-After", "Idempotency-Replayed", "Preference-Applied", "WWW-Authenticate", "Content-Language", "Content-Type"}

// TestTheOldClientsCallsAreAnsweredAsEver walks through a client's life on the whole product and compares every status, header
// and byte with the approved transcript.
func TestTheOldClientsCallsAreAnsweredAsEver(t *testing.T) { walkAsEver(run(t)) }

func walkAsEver(p product) {
	t := p.t
	var transcript bytes.Buffer
	say := func(method, path, body string, headers ...string) reply {
		t.Helper()
		r := p.send(method, path, body, headers...)
		fmt.Fprintf(&transcript, "%s /api/v1/%s", method, settle(path))
		for i := 0; i+1 < len(headers); i += 2 {
			fmt.Fprintf(&transcript, " {%s: %s}", headers[i], settle(headers[i+1]))
		}
		if body != "" {
			fmt.Fprintf(&transcript, "\n> %s", body)
		}
		fmt.Fprintf(&transcript, "\n< %d", r.status)
		for _, name := range shown {
			if v := r.header.Get(name); v != "" {
				fmt.Fprintf(&transcript, "\n< %s: %s", name, settle(v))
			}
		}
		fmt.Fprintf(&transcript, "\n%s\n\n", settle(r.body))
		return r
	}
	const (
		create = `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example","Q@mail.example"],"scheduled_start":"2026-12-01T15:00:00.123456Z","scheduled_end":"2026-12-01 11:00:00-05:00","external_reference":"HIS-4711 ñ"}`
		bare   = `{"organizer_email":"Doctor@Clinic.example","invited_emails":["doctor@clinic.example"],"create_calendar_event":false,"external_reference":"HIS-4711 ñ"}`
	)
	say("GET", "", "")
	say("GET", "info/", "")
	say("GET", "health/", "")
	say("GET", "meetings/", "")
	first := say("POST", "meetings/", create, "Idempotency-Key", "k1")
	id := p.field(first, "id")
	one := "meetings/" + id + "/"
	say("POST", "meetings/", create, "Idempotency-Key", "k1")
	say("POST", "meetings/", bare, "Idempotency-Key", "k1")
	say("POST", "meetings/", bare)
	say("POST", "meetings/", `{}`)
	say("POST", "meetings/", `{"organizer_email":"doctor","invited_emails":["p@mail.example","x"],"scheduled_start":"soon"}`, "Accept-Language", "en")
	say("POST", "meetings/", `{"a":`)
	say("POST", "meetings/", "a=b", "Content-Type", "application/x-www-form-urlencoded")
	say("GET", one, "")
	say("GET", "meetings/"+p.field(first, "uid")+"/", "")
	say("GET", "meetings/?limit=1&external_reference=HIS-4711%20%C3%B1", "")
	say("GET", "meetings/?organizer=1&status=CREATED&invited_email=q@mail.example&scheduled_start__gte=2026-12-01T00:00:00Z", "")
	say("GET", "meetings/?status=NONE", "")
	say("GET", "meetings/?page_token=x", "")
	say("PATCH", one, `{"status":"SCHEDULED","scheduled_start":"2026-12-02T15:00:00.123456Z","scheduled_end":"2026-12-02T15:30:00Z","organizer_email":"ignored@clinic.example"}`)
	say("PATCH", one, `{"scheduled_end":"2026-12-02T14:00:00Z"}`)
	say("PATCH", one, `{"summary":"x"}`, "If-Match", `"1"`)
	say("PATCH", one, `{"invited_emails":["p@mail.example","new@mail.example"]}`)
	say("GET", one+"participants/", "")
	say("GET", one+"recording/", "")
	say("PUT", one, `{}`)
	say("OPTIONS", one, "")
	say("DELETE", one, "")
	say("DELETE", one, "", "Accept-Language", "en")
	say("PATCH", one, `{"status":"CREATED"}`)
	say("PATCH", one, `{"status":"CANCELLED"}`)
	say("GET", "meetings/999/", "")
	say("GET", "meetings", "")
	say("GET", "participants/?meeting="+id+"&limit=1", "")
	say("GET", "participants/1/", "")
	say("GET", "recordings/", "")
	say("GET", "recordings/1/", "")
	say("GET", "users/", "")
	say("GET", "users/1/", "")
	say("GET", "users/me/", "")
	say("GET", "users/stats/", "")
	nurse := say("POST", "user-management/", `{"username":"nurse","email":"nurse@clinic.example","password":"Tr0ub4dor&3","password_confirm":"Tr0ub4dor&3","role":"service","first_name":"Eva"}`)
	user := "user-management/" + p.field(nurse, "id") + "/"
	say("POST", "user-management/", `{"username":"nurse","email":"other@clinic.example","password":"Tr0ub4dor&3","password_confirm":"Tr0ub4dor&3"}`)
	say("POST", "user-management/", `{"username":"other","email":"NURSE@clinic.example","password":"12345678","password_confirm":"1"}`)
	say("PUT", user, `{"email":"n@clinic.example","first_name":"Eva","last_name":"Sol","role":"admin","is_active":true}`)
	say("POST", user+"change_password/", `{"old_password":"Tr0ub4dor&3","new_password":"Other Secret 9","new_password_confirm":"Other Secret 9"}`)
	say("POST", user+"change_password/", `{"old_password":"Tr0ub4dor&3","new_password":"Other Secret 9","new_password_confirm":"Other Secret 9"}`)
	say("POST", "user-management/change-password/", `{}`)
	say("DELETE", user, "")
	say("GET", "users/"+p.field(nurse, "id")+"/", "")
	say("GET", user, "")
	say("POST", user+"activate/", "")
	say("GET", "user-management/", "")
	say("GET", "operations/01936f5e-7c00-7000-8000-00000000000c/", "")
	say("GET", "webhooks/", "")
	golden.Equal(t, "testdata/rest.golden.txt", transcript.Bytes())
}

func TestACreateNobodyWaitsForCanBeFollowedAndHasAHistory(t *testing.T) {
	p := run(t)
	conn, err := nats.Connect(p.NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	ready, err := conn.SubscribeSync("meet.evt.meeting.ready")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	accepted := p.send("POST", "meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]}`, "Prefer", "respond-async")
	if accepted.status != http.StatusAccepted || accepted.header.Get("Preference-Applied") != "respond-async" {
		t.Fatalf("%d %s", accepted.status, accepted.body)
	}
	if _, err := ready.NextMsg(patience); err != nil {
		t.Fatalf("no event says that the link is there: %v", err)
	}
	id, operation := p.field(accepted, "id"), p.field(accepted, "operation")
	followed := p.send("GET", strings.TrimPrefix(accepted.header.Get("Location"), "/api/v1/"), "")
	if want := `{"id":"` + operation + `","done":true,"meeting_id":` + id + `,"status":"CREATED","error":null}`; followed.body != want {
		t.Errorf("operation %s, want %s", followed.body, want)
	}
	if link := p.field(p.send("GET", "meetings/"+id+"/", ""), "meet_link"); !strings.HasPrefix(link, p.Emulator) {
		t.Errorf("link %q", link)
	}
	history := p.send("GET", "meetings/"+id+"/events/", "")
	var events []struct {
		Type     string
		Sequence int64
		Data     map[string]any
	}
	if err := json.Unmarshal([]byte(history.body), &events); err != nil {
		t.Fatalf("%s: %v", history.body, err)
	}
	if len(events) < 2 || events[0].Type != "meeting.created" || events[1].Type != "meeting.ready" || events[0].Sequence >= events[1].Sequence || events[0].Data["meetingId"] != id {
		t.Errorf("history %s", history.body)
	}
}
