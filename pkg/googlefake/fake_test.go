package googlefake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/meet/v2"
	"google.golang.org/api/option"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

const (
	boss   = "boss@example.com"
	scopeC = "https://www.googleapis.com/auth/meetings.space.created"
	scopeR = "https://www.googleapis.com/auth/meetings.space.readonly"
	scopeS = "https://www.googleapis.com/auth/meetings.space.settings"
)

// start is when the tests' emulators believe it to be.
var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// fake is one emulator on a real port.
type fake struct {
	*googlefake.Server
	url string
}

func newFake(t testing.TB, cfg googlefake.Config) *fake {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return start }
	}
	s, err := googlefake.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s)
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fake{Server: s, url: hs.URL}
}

// jwt reads the emulator's key file as a program would.
func (f *fake) jwt(t testing.TB, subject string, scopes ...string) *jwt.Config {
	t.Helper()
	cfg, err := google.JWTConfigFromJSON(f.ServiceAccountKey(f.url), scopes...)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Subject = subject
	return cfg
}

// client signs as subject ("" is the bare service account) with the real token flow.
func (f *fake) client(t testing.TB, subject string, scopes ...string) *http.Client {
	t.Helper()
	// Connections of its own, so that a reset hits nobody else's.
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
	return oauth2.NewClient(ctx, f.jwt(t, subject, scopes...).TokenSource(ctx))
}

// bearer is an Authorization header for send.
func (f *fake) bearer(t *testing.T, subject string, scopes ...string) string {
	t.Helper()
	token, err := f.jwt(t, subject, scopes...).TokenSource(t.Context()).Token()
	if err != nil {
		t.Fatal(err)
	}
	return token.Type() + " " + token.AccessToken
}

func (f *fake) calendar(t *testing.T, subject string) *calendar.Service {
	t.Helper()
	return f.calendarAs(t, f.client(t, subject, calendar.CalendarEventsScope))
}

func (f *fake) calendarAs(t *testing.T, hc *http.Client) *calendar.Service {
	t.Helper()
	svc, err := calendar.NewService(t.Context(), option.WithHTTPClient(hc), option.WithEndpoint(f.url+"/calendar/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func (f *fake) meet(t *testing.T, subject string, scopes ...string) *meet.Service {
	t.Helper()
	if len(scopes) == 0 {
		scopes = []string{scopeC, scopeR, scopeS}
	}
	svc, err := meet.NewService(t.Context(), option.WithHTTPClient(f.client(t, subject, scopes...)), option.WithEndpoint(f.url))
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func (f *fake) state(t testing.TB) googlefake.State {
	t.Helper()
	st, err := f.State()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (f *fake) addFaults(t *testing.T, faults ...googlefake.Fault) {
	t.Helper()
	if err := f.AddFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

// lesson is an event with guests and a Meet.
func lesson(id string) *calendar.Event {
	return &calendar.Event{
		Id: id, Summary: "Lesson", Description: "Chapter 3",
		Start:     &calendar.EventDateTime{DateTime: "2026-03-05T11:00:00+01:00", TimeZone: "Europe/Berlin"},
		End:       &calendar.EventDateTime{DateTime: "2026-03-05T12:00:00+01:00", TimeZone: "Europe/Berlin"},
		Attendees: []*calendar.EventAttendee{{Email: "ana@example.com", DisplayName: "Ana"}, {Email: "bo@elsewhere.org"}},
		ConferenceData: &calendar.ConferenceData{CreateRequest: &calendar.CreateConferenceRequest{
			RequestId: "r-" + id, ConferenceSolutionKey: &calendar.ConferenceSolutionKey{Type: "hangoutsMeet"},
		}},
		ExtendedProperties: &calendar.EventExtendedProperties{Private: map[string]string{"mm_uid": "u-" + id}},
	}
}

func insert(t *testing.T, svc *calendar.Service, ev *calendar.Event) *calendar.Event {
	t.Helper()
	out, err := svc.Events.Insert("primary", ev).ConferenceDataVersion(1).SendUpdates("all").Do()
	if err != nil {
		t.Fatalf("insert: %v", err)
	}
	return out
}

// refused wants a googleapi error with that status, reason and text.
func refused(t *testing.T, err error, status int, reason, message string) *googleapi.Error {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a Google error %d %s", err, status, reason)
	}
	got := ""
	if len(e.Errors) > 0 {
		got = e.Errors[0].Reason
	}
	if e.Code != status || got != reason || message != "" && e.Message != message {
		t.Fatalf("got %d %q %q, want %d %q %q\n%s", e.Code, got, e.Message, status, reason, message, e.Body)
	}
	return e
}

// send is a bare request for what no client library would send.
func send(t *testing.T, method, url, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, b
}

func decode[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}
