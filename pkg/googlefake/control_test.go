package googlefake_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/calendar/v3"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

func newHTTP(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	hs := httptest.NewServer(h)
	t.Cleanup(hs.Close)
	return hs
}

func TestStateShowsEventsSpacesAndCalls(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))
	if _, err := f.meet(t, boss).Spaces.Get("spaces/" + ev.ConferenceData.ConferenceId).Do(); err != nil {
		t.Fatal(err)
	}
	code, header, body := send(t, http.MethodGet, f.url+"/_emulator/state", "")
	if code != 200 || header.Get("X-Emulator") != "1" {
		t.Fatalf("%d %v", code, header)
	}
	got := decode[googlefake.State](t, body)
	if len(got.Events) != 1 || got.Events[0].CalendarID != boss || got.Events[0].ID != "lesson00001" || got.Events[0].HangoutLink != ev.HangoutLink {
		t.Errorf("events %+v", got.Events)
	}
	if len(got.Spaces) != 1 || got.Spaces[0].MeetingURI != ev.HangoutLink || got.Spaces[0].Owner != boss || got.Spaces[0].Config == nil {
		t.Errorf("spaces %+v", got.Spaces)
	}
	if got.Calls["calendar.events.insert"] != 1 || got.Calls["meet.spaces.get"] != 1 || got.Calls["token"] != 2 || got.Calls["meet.spaces.patch"] != 0 {
		t.Errorf("calls %v", got.Calls)
	}
	if !got.Now.Equal(start) || len(got.Users) != 1 || got.Users[0] != boss {
		t.Errorf("now %v, users %v", got.Now, got.Users)
	}
	if typed := f.state(t); asJSON(t, typed) != asJSON(t, got) {
		t.Errorf("over HTTP %s\nin Go %s", asJSON(t, got), asJSON(t, typed))
	}
	_, _, body = send(t, http.MethodGet, f.url+"/_emulator/state?only=calls,now", "")
	if got := decode[map[string]any](t, body); len(got) != 2 || got["calls"] == nil || got["now"] == nil {
		t.Errorf("only two: %s", body)
	}
	if code, _, body := send(t, http.MethodGet, f.url+"/_emulator/state?only=weather", ""); code != 400 || !strings.Contains(string(body), `"field":"only"`) {
		t.Errorf("only weather: %d %s", code, body)
	}
}

func TestTheClockAdvances(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	code, _, body := send(t, http.MethodPost, f.url+"/_emulator/clock", `{"advance":"1h"}`)
	if got := decode[struct{ Now time.Time }](t, body); code != 200 || !got.Now.Equal(start.Add(time.Hour)) {
		t.Errorf("%d %s", code, body)
	}
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))
	if ev.Created != "2026-03-02T10:00:00.000Z" {
		t.Errorf("created %s, want the emulator's time", ev.Created)
	}
	if err := f.Advance(99 * 365 * 24 * time.Hour); err != nil {
		t.Error(err)
	}
	if err := f.Advance(2 * 365 * 24 * time.Hour); err == nil {
		t.Error("more than a century ahead")
	}
	for body, field := range map[string]string{
		`{"advance":"-1h"}`: "advance", `{"advance":"0s"}`: "advance", `{"advance":"1000000h"}`: "advance",
		`{"advance":"soon"}`: "advance", `{"advance":3}`: "advance", `{}`: "advance", `[]`: "body", ``: "body",
	} {
		code, _, got := send(t, http.MethodPost, f.url+"/_emulator/clock", body)
		if code != 400 || !strings.Contains(string(got), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s, want field %s", body, code, got, field)
		}
	}
	for body, field := range map[string]string{
		`{"conference_delay":"x"}`: "conference_delay", `{"conference_delay":"-1s"}`: "conference_delay",
		`{"conference_outcome":"maybe"}`: "conference_outcome", `{"delay":"1s"}`: "delay",
	} {
		code, _, got := send(t, http.MethodPost, f.url+"/_emulator/settings", body)
		if code != 400 || !strings.Contains(string(got), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s, want field %s", body, code, got, field)
		}
	}
}

func TestControlRoutesAnswerThisMachineOnly(t *testing.T) {
	ask := func(s http.Handler, path, remote string, header ...string) int {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if len(header) > 0 {
			r = httptest.NewRequest(http.MethodPost, path, strings.NewReader("[]"))
			r.Header.Set(header[0], header[1])
		}
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	f := newFake(t, googlefake.Config{})
	for remote, want := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "[::ffff:127.0.0.1]:5": 200, "192.0.2.1:5": 403, "[2001:db8::1]:5": 403, "": 403} {
		if got := ask(f, "/_emulator/state", remote); got != want {
			t.Errorf("%s: %d, want %d", remote, got, want)
		}
	}
	if got := ask(f, "/_emulator/service-account.json", "192.0.2.1:5"); got != 200 {
		t.Errorf("the key from elsewhere: %d", got)
	}
	if got := ask(f, "/_emulator/nothing", "127.0.0.1:5"); got != 404 {
		t.Errorf("no such control route: %d", got)
	}
	if got := ask(f, "/_emulator/faults", "127.0.0.1:5", "Origin", "https://evil.example"); got != 403 {
		t.Errorf("another site's page: %d, want 403", got)
	}
	open := newFake(t, googlefake.Config{AllowRemoteControl: true})
	if got := ask(open, "/_emulator/state", "192.0.2.1:5"); got != 200 {
		t.Errorf("opened: %d", got)
	}
}

func TestTheKeyFileWorksAsItComes(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	_, _, key := send(t, http.MethodGet, f.url+"/_emulator/service-account.json", "")
	cfg, err := google.JWTConfigFromJSON(key, calendar.CalendarEventsScope)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.TokenURL != f.url+"/token" {
		t.Errorf("token_uri %s", cfg.TokenURL)
	}
	cfg.Subject = boss
	if token, err := cfg.TokenSource(t.Context()).Token(); err != nil || !token.Valid() {
		t.Errorf("token %v, %v", token, err)
	}
}

func TestStrictKnowsOnlyItsUsersAndCalendars(t *testing.T) {
	f := newFake(t, googlefake.Config{Strict: true, Users: []string{boss}})
	if _, err := f.calendar(t, boss).Events.List("primary").Do(); err != nil {
		t.Error(err)
	}
	if _, err := f.calendar(t, "ana@example.com").Events.List("primary").Do(); err == nil || !strings.Contains(err.Error(), "Invalid email or User ID") {
		t.Errorf("a stranger: %v", err)
	}
	_, err := f.calendar(t, boss).Events.List("c_1@group.calendar.google.com").Do()
	refused(t, err, 404, "notFound", "")
}

func TestUnknownRoutesAreNotFoundAndLogged(t *testing.T) {
	var log bytes.Buffer
	f := newFake(t, googlefake.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, path := range []string{"/calendar/v3/users/me/calendarList", "/v2/conferences", "/nothing"} {
		code, _, body := send(t, http.MethodGet, f.url+path, "")
		e := decode[struct {
			Error struct {
				Code   int
				Status string
			}
		}](t, body)
		if code != 404 || e.Error.Code != 404 || e.Error.Status != "NOT_FOUND" || !strings.Contains(log.String(), "path="+path) {
			t.Errorf("%s: %d %s, log %s", path, code, body, log.String())
		}
	}
	if code, _, _ := send(t, http.MethodPut, f.url+"/v2/spaces/x", ""); code != 404 {
		t.Errorf("a method that the path does not have: %d", code)
	}
	if code, _, _ := send(t, http.MethodPost, f.url+"/token", strings.Repeat("x", 1<<20+1)); code != 413 {
		t.Errorf("a body over the limit: %d", code)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s, err := googlefake.New(googlefake.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // in memory
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	if code, _, _ := send(t, http.MethodGet, "http://"+ln.Addr().String()+"/_emulator/state", ""); code != 200 {
		t.Errorf("state: %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
}
