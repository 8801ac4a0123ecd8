package googlefake_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

// control posts to a control route and wants 200.
func (f *fake) control(t *testing.T, route, body string) []byte {
	t.Helper()
	code, _, got := send(t, http.MethodPost, f.url+"/_emulator/"+route, body)
	if code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", route, body, code, got)
	}
	return got
}

// tokenRefusal asks for a token and gives Google's words, "" for a token.
func (f *fake) tokenRefusal(t *testing.T, subject string, scopes ...string) string {
	t.Helper()
	_, err := f.jwt(t, subject, scopes...).TokenSource(t.Context()).Token()
	if err == nil {
		return ""
	}
	var e *oauth2.RetrieveError
	if !errors.As(err, &e) {
		t.Fatalf("token: %v", err)
	}
	body := decode[map[string]string](t, e.Body)
	return strings.TrimSpace(strings.Fields(e.Response.Status)[0] + " " + body["error"] + ": " + body["error_description"])
}

func TestEveryMistakeOfASetUpIsRefusedInGooglesWords(t *testing.T) {
	const unauthorized = "401 unauthorized_client: Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
	const notShort = "400 invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	scope := calendar.CalendarEventsScope
	for name, tt := range map[string]struct {
		route, body string
		subject     string
		want        string
	}{
		"nothing wrong":                  {subject: boss},
		"the key was deleted":            {"service-account", `{"key":"deleted"}`, boss, "400 invalid_grant: Invalid JWT Signature."},
		"the account was deleted":        {"service-account", `{"account":"deleted"}`, "", "400 invalid_grant: Invalid grant: account not found"},
		"the account was disabled":       {"service-account", `{"account":"disabled"}`, "", "401 disabled_client: The OAuth client was disabled."},
		"this machine's clock is behind": {"service-account", `{"clock":"2h"}`, "", notShort},
		"this machine's clock is ahead":  {"service-account", `{"clock":"-10m"}`, "", notShort},
		"300 seconds are forgiven":       {"service-account", `{"clock":"-280s"}`, "", ""},
		"client id not delegated":        {"delegation", `{"client_id":"42","scopes":["calendar.events"]}`, boss, unauthorized},
		"scope not delegated":            {"delegation", `{"scopes":["meetings.space.readonly"]}`, boss, unauthorized},
		"scope delegated":                {"delegation", `{"scopes":["calendar.events"]}`, boss, ""},
		"delegation is of people only":   {"delegation", `{"scopes":[]}`, "", ""},
		"subject suspended":              {"accounts", `{"email":"boss@example.com","suspended":true}`, boss, "400 invalid_grant: Invalid email or User ID"},
		"subject unknown":                {"accounts", `{"email":"Boss@example.com","exists":false}`, boss, "400 invalid_grant: Invalid email or User ID"},
		"another domain":                 {"accounts", `{"domain":"example.com","exists":false}`, boss, "400 invalid_grant: Invalid email or User ID"},
		"blocked by the administrator":   {"accounts", `{"domain":"example.com","restricted":true}`, boss, "403 access_denied: Account restricted"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, googlefake.Config{})
			if tt.route != "" {
				f.control(t, tt.route, tt.body)
			}
			if got := f.tokenRefusal(t, tt.subject, scope); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.route == "" {
				return
			}
			if code, _, b := send(t, http.MethodDelete, f.url+"/_emulator/"+tt.route, ""); code != http.StatusNoContent {
				t.Fatalf("%d %s", code, b)
			}
			if got := f.tokenRefusal(t, tt.subject, scope); got != "" {
				t.Errorf("put right again: %s", got)
			}
		})
	}
}

func TestAPartlyDelegatedListMayGiveAPartialToken(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	f.control(t, "delegation", `{"scopes":["calendar.events"],"partial":true}`)
	hc := f.client(t, boss, calendar.CalendarEventsScope, scopeR)
	insert(t, f.calendarAs(t, hc), lesson("lesson00001"))
	if got := f.tokenRefusal(t, boss, scopeR); !strings.HasPrefix(got, "401 unauthorized_client") {
		t.Errorf("nothing of it delegated: %q", got)
	}
}

func TestADisabledAPISaysWhereToEnableIt(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	if got := decode[map[string]bool](t, f.control(t, "apis", `{"calendar":false}`)); got["calendar"] || !got["meet"] {
		t.Errorf("%v", got)
	}
	_, err := svc.Events.List("primary").Do()
	e := refused(t, err, 403, "accessNotConfigured", "")
	if !strings.Contains(e.Body, "SERVICE_DISABLED") || !strings.Contains(e.Body, "activationUrl") || !strings.Contains(e.Body, "calendar-json.googleapis.com/overview") {
		t.Errorf("%s", e.Body)
	}
	f.control(t, "apis", `{"meet":false,"calendar":true}`)
	if _, err := svc.Events.List("primary").Do(); err != nil {
		t.Error(err)
	}
	_, err = f.meet(t, boss).Spaces.Create(&meet.Space{}).Do()
	if e := refused(t, err, 403, "", ""); !strings.Contains(e.Body, `"SERVICE_DISABLED"`) || !strings.Contains(e.Body, "meet.googleapis.com") {
		t.Errorf("%s", e.Body)
	}
	code, _, body := send(t, http.MethodPost, f.url+"/_emulator/apis", `{"weather":false}`)
	if code != 400 || !strings.Contains(string(body), `"field":"weather"`) {
		t.Errorf("%d %s", code, body)
	}
}

func TestATokenOfASuspendedPersonIsDead(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	f.control(t, "accounts", `{"email":"boss@example.com","suspended":true}`)
	_, err := svc.Events.List("primary").Do()
	refused(t, err, 401, "authError", "")
}

func TestLicencesDecideAboutMeetAndRecording(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	f.control(t, "accounts", `{"email":"nomeet@example.com","has_meet":false}`)
	f.control(t, "accounts", `{"domain":"example.org","may_record":false}`)
	f.control(t, "accounts", `{"email":"lead@example.org","may_record":true}`)
	_, err := f.calendar(t, "nomeet@example.com").Events.Insert("primary", lesson("lesson00001")).ConferenceDataVersion(1).Do()
	refused(t, err, 400, "invalid", "Invalid conference type value.")
	_, err = f.meet(t, "nomeet@example.com").Spaces.Create(&meet.Space{}).Do()
	refused(t, err, 403, "", "Permission denied on resource Space (or it might not exist).")

	on := &meet.Space{Config: &meet.SpaceConfig{AccessType: "OPEN", ArtifactConfig: &meet.ArtifactConfig{RecordingConfig: &meet.RecordingConfig{AutoRecordingGeneration: "ON"}}}}
	recording := func(who string) (string, error) {
		svc := f.meet(t, who)
		sp, err := svc.Spaces.Create(&meet.Space{}).Do()
		if err != nil {
			t.Fatal(err)
		}
		sp, err = svc.Spaces.Patch(sp.Name, on).UpdateMask("config.accessType,config.artifactConfig.recordingConfig").Do()
		if err != nil {
			return "", err
		}
		if sp.Config.AccessType != "OPEN" {
			t.Errorf("%s: the rest of the patch is lost: %+v", who, sp.Config)
		}
		return sp.Config.ArtifactConfig.RecordingConfig.AutoRecordingGeneration, nil
	}
	for who, want := range map[string]string{"lead@example.org": "ON", "ana@example.org": "OFF", boss: "ON"} {
		if got, err := recording(who); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", who, got, err, want)
		}
	}
	f.control(t, "meet", `{"recording_refusal":"forbidden"}`)
	_, err = recording("ana@example.org")
	refused(t, err, 403, "", "The caller does not have permission")
}

func TestACalendarMayBeReadOnlyOrOutOfSight(t *testing.T) {
	f := newFake(t, googlefake.Config{Calendars: []string{"rooms@example.com"}})
	svc := f.calendar(t, boss)
	list := func(id string) error { _, err := svc.Events.List(id).Do(); return err }
	write := func(id string) error { _, err := svc.Events.Insert(id, lesson("")).Do(); return err }
	f.control(t, "calendars", `{"id":"Rooms@example.com","role":"reader"}`)
	if err := list("rooms@example.com"); err != nil {
		t.Error(err)
	}
	refused(t, write("rooms@example.com"), 403, "requiredAccessLevel", "You need to have writer access to this calendar.")
	f.control(t, "calendars", `{"id":"rooms@example.com","user":"boss@example.com","role":"none"}`)
	refused(t, list("rooms@example.com"), 404, "notFound", "")
	refused(t, list("ana@example.com"), 404, "notFound", "")
	f.control(t, "calendars", `{"id":"ana@example.com","user":"boss@example.com","role":"writer"}`)
	if err := write("ana@example.com"); err != nil {
		t.Error(err)
	}
	f.control(t, "calendars", `{"id":"boss@example.com","role":"reader"}`)
	refused(t, write("primary"), 403, "requiredAccessLevel", "")
	code, _, body := send(t, http.MethodPost, f.url+"/_emulator/calendars", `{"id":"x@y.z","role":"king"}`)
	if code != 400 || !strings.Contains(string(body), `"field":"role"`) {
		t.Errorf("%d %s", code, body)
	}
}

func TestTheSetUpSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *googlefake.Server {
		s, err := googlefake.New(googlefake.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	err := s.Configure(func(u *googlefake.Setup) error {
		u.DisabledAPIs = []string{"drive"}
		u.Quotas = googlefake.Quotas{Enabled: true, Scale: 2}
		u.Accounts = map[string]googlefake.Policy{boss: {MayRecord: new(false)}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetClock(googlefake.ClockChange{Set: start, Rate: new(0.0)}); err != nil {
		t.Fatal(err)
	}
	want, clock := s.Setup(), s.Clock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := s.Setup(); text(t, got) != text(t, want) || len(got.DisabledAPIs) != 1 {
		t.Errorf("%s\nwant %s", text(t, got), text(t, want))
	}
	if got := s.Clock(); !got.Now.Equal(start) || got.Revision != clock.Revision || got.Rate != 0 {
		t.Errorf("clock %+v, was %+v", got, clock)
	}
}

func TestQuotasAreGooglesAndSlideOnTheEmulatorsClock(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	f.control(t, "quotas", `{"enabled":true}`)
	svc := f.meet(t, boss)
	create := func(opts ...googleapi.CallOption) error {
		_, err := svc.Spaces.Create(&meet.Space{}).Do(opts...)
		return err
	}
	for range 10 {
		if err := create(); err != nil {
			t.Fatal(err)
		}
	}
	e := refused(t, create(), 429, "", "")
	if !strings.Contains(e.Body, "RESOURCE_EXHAUSTED") || !strings.Contains(e.Body, "RATE_LIMIT_EXCEEDED") || e.Header.Get("Retry-After") != "" {
		t.Errorf("%s %v", e.Body, e.Header)
	}
	if err := create(googleapi.QuotaUser("somebody else")); err != nil {
		t.Errorf("another user's share: %v", err)
	}
	advance := func(d time.Duration) {
		if err := f.Advance(d); err != nil {
			t.Fatal(err)
		}
	}
	advance(59 * time.Second)
	refused(t, create(), 429, "", "")
	advance(time.Second)
	if err := create(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	for _, use := range f.QuotaUse() {
		if use.Class != "meet_create" {
			continue
		}
		want := googlefake.QuotaUse{Class: "meet_create", Quota: googlefake.Quota{Project: 100, User: 10}, Allowed: 12, RefusedUser: 2, PeakProject: 11, PeakUser: 10}
		if use != want {
			t.Errorf("%+v, want %+v", use, want)
		}
	}
}

func TestCalendarRefusesForUserAndProject(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	f.control(t, "quotas", `{"enabled":true,"limits":{"calendar":{"project":3,"user":2}},"people":{"zero@example.com":0}}`)
	list := func(who, user string) error {
		_, err := f.calendar(t, who).Events.List("primary").Do(googleapi.QuotaUser(user))
		return err
	}
	refused(t, list("zero@example.com", "z"), 403, "userRateLimitExceeded", "User Rate Limit Exceeded")
	for range 2 {
		if err := list(boss, "b"); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, list(boss, "b"), 403, "userRateLimitExceeded", "")
	if err := list(boss, "c"); err != nil {
		t.Fatal(err)
	}
	f.control(t, "quotas", `{"status":429,"retry_after":7}`)
	e := refused(t, list(boss, "c"), 429, "rateLimitExceeded", "Rate Limit Exceeded")
	if e.Header.Get("Retry-After") != "7" || !strings.Contains(e.Body, `"usageLimits"`) {
		t.Errorf("%v %s", e.Header, e.Body)
	}
	f.control(t, "quotas", `{"enabled":false}`)
	if err := list(boss, "b"); err != nil {
		t.Error(err)
	}
}

func TestTheClockCanBeFollowedFromOutside(t *testing.T) {
	f := newFake(t, googlefake.Config{Now: time.Now})
	first := decode[googlefake.Clock](t, f.control(t, "clock", `{"set":"2030-01-01T00:00:00Z","rate":3600}`))
	if first.Rate != 3600 || first.Epoch.Emulated.Format(time.RFC3339) != "2030-01-01T00:00:00Z" {
		t.Errorf("%+v", first)
	}
	at := time.Now()
	if got, want := f.Now(), first.Epoch.Emulated.Add(at.Sub(first.Epoch.Real)*3600); got.Sub(want) < -time.Minute || got.Sub(want) > time.Hour {
		t.Errorf("now %v, computed %v", got, want)
	}
	type reply struct {
		code int
		body []byte
	}
	told := make(chan reply)
	go func() {
		res, err := http.Get(f.url + "/_emulator/clock?wait=1m&after=" + url.QueryEscape(text(t, first.Revision)))
		if err != nil {
			close(told)
			return
		}
		defer res.Body.Close()
		var raw json.RawMessage
		_ = json.NewDecoder(res.Body).Decode(&raw)
		told <- reply{res.StatusCode, raw}
	}()
	f.control(t, "clock", `{"freeze":true}`)
	got := <-told
	frozen := decode[googlefake.Clock](t, got.body)
	if got.code != 200 || frozen.Rate != 0 || frozen.Revision == first.Revision || !f.Now().Equal(f.Now()) {
		t.Errorf("%d %+v", got.code, frozen)
	}
	if thawed := decode[googlefake.Clock](t, f.control(t, "clock", `{"freeze":false}`)); thawed.Rate != 3600 {
		t.Errorf("%+v, want the rate of before", thawed)
	}
	f.control(t, "clock", `{"rate":0}`)
	insert(t, f.calendar(t, boss), lesson("lesson00001"))
	code, _, body := send(t, http.MethodPost, f.url+"/_emulator/clock", `{"set":"2029-01-01T00:00:00Z"}`)
	if code != 400 || !strings.Contains(string(body), `"field":"set"`) {
		t.Errorf("back behind an event: %d %s", code, body)
	}
	for body, field := range map[string]string{
		`{"rate":-1}`: "rate", `{"rate":1e9}`: "rate", `{"set":"soon"}`: "set", `{"rate":1,"freeze":true}`: "freeze", `{"set":"2230-01-01T00:00:00Z"}`: "set",
	} {
		code, _, got := send(t, http.MethodPost, f.url+"/_emulator/clock", body)
		if code != 400 || !strings.Contains(string(got), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s, want field %s", body, code, got, field)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
