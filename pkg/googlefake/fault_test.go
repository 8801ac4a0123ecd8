package googlefake_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

const insertMatch = "POST /calendar/v3/"

func TestAFaultStrikesBeforeOrAfterTheWork(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault googlefake.Fault
		check func(*testing.T, error)
		done  bool
	}{
		{"429 before", googlefake.Fault{Status: new(429), RetryAfter: "7"}, status(429, "rateLimitExceeded", "Rate Limit Exceeded", "7"), false},
		{"429 after", googlefake.Fault{Status: new(429), RetryAfter: "Wed, 04 Mar 2026 09:00:00 GMT", When: googlefake.After}, status(429, "rateLimitExceeded", "", "Wed, 04 Mar 2026 09:00:00 GMT"), true},
		{"403 quota", googlefake.Fault{Status: new(403), Reason: "quotaExceeded"}, status(403, "quotaExceeded", "Calendar usage limits exceeded.", ""), false},
		{"403 with a text", googlefake.Fault{Status: new(403), Reason: "forbidden", Message: "No."}, status(403, "forbidden", "No.", ""), false},
		{"401", googlefake.Fault{Status: new(401)}, status(401, "authError", "", ""), false},
		{"403 API not enabled", googlefake.Fault{Status: new(403), Reason: "accessNotConfigured"}, func(t *testing.T, err error) {
			t.Helper()
			e := refused(t, err, 403, "accessNotConfigured", "")
			if !strings.Contains(e.Body, `"reason":"SERVICE_DISABLED"`) || !strings.Contains(e.Body, `"service":"calendar-json.googleapis.com"`) {
				t.Errorf("body %s", e.Body)
			}
		}, false},
		{"500", googlefake.Fault{Status: new(500)}, status(500, "internalError", "Internal Error", ""), false},
		{"503 after", googlefake.Fault{Status: new(503), When: googlefake.After}, status(503, "backendError", "Backend Error", ""), true},
		{"409 without a duplicate", googlefake.Fault{Status: new(409)}, status(409, "duplicate", "The requested identifier already exists.", ""), false},
		{"502 in HTML", googlefake.Fault{Status: new(502), Body: []byte(`"<html>Bad Gateway</html>"`)}, func(t *testing.T, err error) {
			t.Helper()
			e := refused(t, err, 502, "", "")
			if e.Body != "<html>Bad Gateway</html>" || !strings.HasPrefix(e.Header.Get("Content-Type"), "text/html") {
				t.Errorf("got %s %v", e.Body, e.Header)
			}
		}, false},
		{"reset before", googlefake.Fault{Status: new(googlefake.StatusReset)}, wasReset, false},
		{"reset after", googlefake.Fault{Status: new(googlefake.StatusReset), When: googlefake.After}, wasReset, true},
		{"200 cut short", googlefake.Fault{Status: new(200), Body: []byte(`"{\"id\":"`), When: googlefake.After}, func(t *testing.T, err error) {
			t.Helper()
			if syntax := (*json.SyntaxError)(nil); !errors.As(err, &syntax) {
				t.Errorf("got %v, want JSON that ends early", err)
			}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t, googlefake.Config{})
			svc := f.calendar(t, boss)
			if _, err := svc.Events.List("primary").Do(); err != nil { // a connection to lose, and a token
				t.Fatal(err)
			}
			test.fault.Match, test.fault.Times = insertMatch, 1
			f.addFaults(t, test.fault)
			_, err := svc.Events.Insert("primary", lesson("lesson00001")).ConferenceDataVersion(1).SendUpdates("all").Do()
			test.check(t, err)
			if n := len(f.state(t).Events); (n == 1) != test.done {
				t.Errorf("%d events after the fault", n)
			}
			// The one strike is spent.
			_, err = svc.Events.Insert("primary", lesson("lesson00001")).ConferenceDataVersion(1).SendUpdates("all").Do()
			if test.done {
				refused(t, err, 409, "duplicate", "")
			} else if err != nil {
				t.Errorf("second try: %v", err)
			}
			st := f.state(t)
			if st.Calls["calendar.events.insert"] != 2 || len(st.Faults) != 0 || st.Notifications[0].Rounds != 1 {
				t.Errorf("calls %v, faults %v, notifications %v", st.Calls, st.Faults, st.Notifications)
			}
		})
	}
}

func status(code int, reason, message, retryAfter string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		if e := refused(t, err, code, reason, message); e.Header.Get("Retry-After") != retryAfter {
			t.Errorf("Retry-After %q, want %q", e.Header.Get("Retry-After"), retryAfter)
		}
	}
}

func wasReset(t *testing.T, err error) {
	t.Helper()
	var u *url.Error
	if !errors.As(err, &u) || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a lost connection", err)
	}
}

func TestMeetFaultsSpeakMeetsDialect(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.meet(t, boss)
	for _, test := range []struct {
		fault      googlefake.Fault
		message    string
		status     string
		infoReason string
	}{
		{googlefake.Fault{Status: new(429)}, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"},
		{googlefake.Fault{Status: new(403), Reason: "SERVICE_DISABLED"}, "This API has not been used in project meet-emulator before or it is disabled. Enable it, wait a few minutes, and retry.", "PERMISSION_DENIED", "SERVICE_DISABLED"},
		{googlefake.Fault{Status: new(503)}, "The service is currently unavailable.", "UNAVAILABLE", ""},
		{googlefake.Fault{Status: new(500), Message: "Boom"}, "Boom", "INTERNAL", ""},
		{googlefake.Fault{Status: new(401)}, "", "UNAUTHENTICATED", ""},
	} {
		test.fault.Match, test.fault.Times = "GET /v2/spaces/", 1
		f.addFaults(t, test.fault)
		_, err := svc.Spaces.Get("spaces/x").Do()
		e := refused(t, err, *test.fault.Status, "", "")
		if test.message != "" && e.Message != test.message || !strings.Contains(e.Body, `"status":"`+test.status+`"`) ||
			test.infoReason != "" && !strings.Contains(e.Body, `"reason":"`+test.infoReason+`"`) {
			t.Errorf("%+v gave %s", test.fault, e.Body)
		}
	}
}

func TestTokenFaultsSpeakOAuth(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	for _, test := range []struct {
		fault googlefake.Fault
		want  string
	}{
		{googlefake.Fault{Status: new(401)}, `{"error":"unauthorized_client","error_description":"Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}`},
		{googlefake.Fault{Status: new(400)}, `{"error":"invalid_grant","error_description":"Invalid email or User ID"}`},
		{googlefake.Fault{Status: new(403), Message: "Account restricted"}, `{"error":"access_denied","error_description":"Account restricted"}`},
		{googlefake.Fault{Status: new(401), Reason: "disabled_client"}, `{"error":"disabled_client","error_description":"The OAuth client was disabled."}`},
		{googlefake.Fault{Status: new(500)}, `{"error":"internal_failure","error_description":"Internal error encountered."}`},
		{googlefake.Fault{Status: new(400), Body: []byte(`{"error":"odd"}`)}, `{"error":"odd"}`},
	} {
		test.fault.Match, test.fault.Times = "/token", 1
		f.addFaults(t, test.fault)
		_, err := f.calendar(t, boss).Events.List("primary").Do()
		var e *oauth2.RetrieveError
		if !errors.As(err, &e) || string(e.Body) != test.want || e.Response.StatusCode != *test.fault.Status {
			t.Errorf("got %v, want %d %s", err, *test.fault.Status, test.want)
		}
	}
}

func TestLatencyDelaysAndAClientThatLeavesGetsNothingDone(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	if _, err := svc.Events.List("primary").Do(); err != nil {
		t.Fatal(err)
	}
	f.addFaults(t,
		googlefake.Fault{Match: insertMatch, Latency: 30 * time.Millisecond, Times: 1},
		googlefake.Fault{Match: "/calendar/", Latency: 30 * time.Millisecond, When: googlefake.After, Times: 1})
	began := time.Now()
	if _, err := svc.Events.Insert("primary", lesson("lesson00001")).Do(); err != nil || time.Since(began) < 60*time.Millisecond {
		t.Errorf("%v after %v, want both latencies and the true answer", err, time.Since(began))
	}
	for _, test := range []struct {
		id   string
		when googlefake.When
		done bool
	}{{"lesson00002", googlefake.Before, false}, {"lesson00003", googlefake.After, true}} {
		f.ClearFaults()
		f.addFaults(t, googlefake.Fault{Match: insertMatch, Latency: time.Hour, When: test.when})
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			defer leave()
			for began, least := time.Now(), 100*time.Millisecond; time.Since(began) < 20*time.Second; {
				_, err := svc.Events.Get("primary", test.id).Do()
				if err == nil || !test.done && time.Since(began) > least { // what is to be done first takes a busy machine long
					return
				}
			}
		}()
		_, err := svc.Events.Insert("primary", lesson(test.id)).Context(ctx).Do()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", test.when, err)
		}
		_, err = svc.Events.Get("primary", test.id).Do()
		if test.done != (err == nil) {
			t.Errorf("%s: get %v", test.when, err)
		}
	}
}

func TestCloseWakesWhatALatencyHolds(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	f.addFaults(t, googlefake.Fault{Match: "/token", Latency: time.Hour})
	answered := make(chan error, 1)
	go func() {
		res, err := http.Post(f.url+"/token", "application/x-www-form-urlencoded", strings.NewReader("grant_type=x"))
		if err == nil {
			err = res.Body.Close()
		}
		answered <- err
	}()
	for f.Calls()["token"] == 0 { // the request is in the handler once it is counted
		runtime.Gosched()
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the held request: %v", err)
	}
}

func TestProbabilityIsSeeded(t *testing.T) {
	strikes := func(seed uint64) string {
		f := newFake(t, googlefake.Config{Seed: seed})
		svc := f.calendar(t, boss)
		f.addFaults(t, googlefake.Fault{Match: "GET /calendar/", Status: new(503), Probability: 0.5})
		var b strings.Builder
		for range 64 {
			_, err := svc.Events.List("primary").Do()
			var e *googleapi.Error
			if errors.As(err, &e) && e.Code == 503 {
				b.WriteByte('x')
			} else {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	first := strikes(1)
	if n := strings.Count(first, "x"); n < 16 || n > 48 {
		t.Errorf("%d of 64 hit at one half: %s", n, first)
	}
	if again, other := strikes(1), strikes(2); again != first || other == first {
		t.Errorf("seed 1: %s and %s, seed 2: %s", first, again, other)
	}
}

func TestFaultsComeAndGoOverHTTP(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	code, _, body := send(t, http.MethodPost, f.url+"/_emulator/faults",
		`[{"match":"POST /calendar/v3/","status":429,"retry_after":1,"latency":"1ms","times":3,"probability":1,"when":"before"}]`)
	if code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	_, err := svc.Events.Insert("primary", &calendar.Event{}).Do()
	refused(t, err, 429, "rateLimitExceeded", "")
	_, _, body = send(t, http.MethodGet, f.url+"/_emulator/faults", "")
	if got := decode[[]map[string]any](t, body); len(got) != 1 || got[0]["times"] != 2.0 || got[0]["retry_after"] != 1.0 || got[0]["latency"] != "1ms" {
		t.Errorf("left: %s", body)
	}
	if code, _, _ := send(t, http.MethodDelete, f.url+"/_emulator/faults", ""); code != 204 {
		t.Errorf("delete: %d", code)
	}
	_, err = svc.Events.Insert("primary", &calendar.Event{}).Do()
	refused(t, err, 400, "required", "")
}

func TestBadFaultsNameTheField(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	for body, field := range map[string]string{
		`{}`:                             "body",
		`[`:                              "body",
		`[7]`:                            "[0]",
		`[{"status":500}]`:               "[0].match",
		`[{"match":"","status":500}]`:    "[0].match",
		`[{"match":"x","status":500}]`:   "[0].match",
		`[{"match":"get /","status":1}]`: "[0].match",
		`[{"match":"/_emulator/state","status":500}]`: "[0].match",
		`[{"match":"/"}]`:                                                      "[0].status",
		`[{"match":"/","status":99}]`:                                          "[0].status",
		`[{"match":"/","status":"500"}]`:                                       "[0].status",
		`[{"match":"/","latency":"1s","reason":"x"}]`:                          "[0].status",
		`[{"match":"/","status":200}]`:                                         "[0].body",
		`[{"match":"/","latency":"soon"}]`:                                     "[0].latency",
		`[{"match":"/","latency":"-1s"}]`:                                      "[0].latency",
		`[{"match":"/","latency":50}]`:                                         "[0].latency",
		`[{"match":"/","status":500,"times":0}]`:                               "[0].times",
		`[{"match":"/","status":500,"times":-1}]`:                              "[0].times",
		`[{"match":"/","status":500,"probability":0}]`:                         "[0].probability",
		`[{"match":"/","status":500,"probability":1.1}]`:                       "[0].probability",
		`[{"match":"/","status":500,"when":"during"}]`:                         "[0].when",
		`[{"match":"/","status":500,"retry_after":"later"}]`:                   "[0].retry_after",
		`[{"match":"/","status":500,"retry_after":-1}]`:                        "[0].retry_after",
		`[{"match":"/","status":500,"tims":1}]`:                                "[0].tims",
		`[{"match":"/","status":500},{"match":"/","status":500,"when":"now"}]`: "[1].when",
	} {
		code, _, got := send(t, http.MethodPost, f.url+"/_emulator/faults", body)
		e := decode[struct {
			Error struct{ Field, Message string }
		}](t, got)
		if code != 400 || e.Error.Field != field || e.Error.Message == "" {
			t.Errorf("%s: %d %s, want field %s", body, code, got, field)
		}
	}
	if n := len(f.state(t).Faults); n != 0 {
		t.Errorf("%d faults of refused lists are on", n)
	}
	if err := f.AddFaults(googlefake.Fault{Match: "/"}); err == nil {
		t.Error("AddFaults took a fault that does nothing")
	}
}

func TestAFaultMayBefallOnePersonOnly(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc, ana := f.calendar(t, boss), f.calendar(t, "ana@example.com")
	insert(t, svc, lesson("lesson00001"))
	insert(t, ana, lesson("lesson00001"))
	f.control(t, "faults", `[{"match":"/calendar/v3/","status":503,"subject":"Ana@example.com"},{"match":"POST /token","status":400,"subject":"bo@example.com"}]`)
	if _, err := svc.Events.Get("primary", "lesson00001").Do(); err != nil {
		t.Error(err)
	}
	_, err := ana.Events.Get("primary", "lesson00001").Do()
	refused(t, err, 503, "backendError", "")
	if got := f.tokenRefusal(t, "bo@example.com", scopeR); got != "400 invalid_grant: Invalid email or User ID" {
		t.Error(got)
	}
	if got := f.tokenRefusal(t, "cy@example.com", scopeR); got != "" {
		t.Error(got)
	}
}

func TestAnAnswerMayBeCutOrSlow(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	f.control(t, "faults", `[{"match":"GET /calendar/v3/","cut":100,"times":1}]`)
	if _, err := svc.Events.Get("primary", "lesson00001").Do(); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("cut: %v", err)
	}
	f.control(t, "faults", `[{"match":"GET /calendar/v3/","bytes_per_second":5000,"times":1}]`)
	began := time.Now()
	if ev, err := svc.Events.Get("primary", "lesson00001").Do(); err != nil || ev.Summary != "Lesson" || time.Since(began) < 100*time.Millisecond {
		t.Errorf("slow: %v after %v", err, time.Since(began))
	}
	f.control(t, "faults", `[{"match":"GET /calendar/v3/","latency":"20ms","latency_max":"40ms","times":1}]`)
	began = time.Now()
	if _, err := svc.Events.Get("primary", "lesson00001").Do(); err != nil || time.Since(began) < 20*time.Millisecond {
		t.Errorf("late: %v after %v", err, time.Since(began))
	}
}

func TestReadsMayBeStaleAndInsertsHalfAnswered(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.calendar(t, boss)
	f.control(t, "data", `{"stale_reads":"2s","no_entry_points":1}`)
	ev := insert(t, svc, lesson("lesson00001"))
	if ev.HangoutLink == "" || len(ev.ConferenceData.EntryPoints) != 0 {
		t.Errorf("%+v", ev)
	}
	_, err := svc.Events.Get("primary", ev.Id).Do()
	refused(t, err, 404, "notFound", "")
	if err := f.Advance(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	if got, err := svc.Events.Get("primary", ev.Id).Do(); err != nil || len(got.ConferenceData.EntryPoints) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := svc.Events.Patch("primary", ev.Id, &calendar.Event{Summary: "New"}).Do(); err != nil {
		t.Fatal(err)
	}
	if got, err := svc.Events.Get("primary", ev.Id).Do(); err != nil || got.Summary != "Lesson" {
		t.Errorf("%s %v, want the old one", got.Summary, err)
	}
	f.control(t, "data", `{"stale_reads":"0s","no_conference_data":1}`)
	if ev := insert(t, svc, lesson("lesson00002")); ev.ConferenceData != nil || ev.HangoutLink != "" {
		t.Errorf("%+v", ev)
	}
}
