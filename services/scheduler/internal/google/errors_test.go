package google

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// answer is what the client library makes of an answer with this status and body.
func answer(t testing.TB, status int, header http.Header, body string) error {
	t.Helper()
	w := &http.Response{StatusCode: status, Header: header, Body: http.NoBody}
	if body != "" {
		w.Body = readCloser{strings.NewReader(body)}
	}
	return googleapi.CheckResponse(w)
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestReasonsOfBothDialects(t *testing.T) {
	const info = `"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","metadata":{"service":"meet.googleapis.com","activationUrl":"https://console.example/enable"}}]`
	for name, test := range map[string]struct {
		status int
		body   string
		kind   job.Kind
		code   string
		says   string
	}{
		"meet, API disabled":         {403, `{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED",` + info + `}}`, job.Refused, CodeAPIDisabled, "meet.googleapis.com is not enabled in the service account's Google Cloud project; enable it at https://console.example/enable"},
		"calendar, both dialects":    {403, `{"error":{"code":403,"message":"no","errors":[{"domain":"global","reason":"forbidden"}],` + info + `}}`, job.Refused, CodeAPIDisabled, "enable"},
		"meet, another's space":      {403, `{"error":{"code":403,"message":"Permission denied on resource Space (or it might not exist)","status":"PERMISSION_DENIED"}}`, job.Hidden, CodeSpaceDenied, "owner"},
		"meet, not found":            {404, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`, job.Hidden, CodeSpaceDenied, ""},
		"meet, quota":                {429, `{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED"}}`, job.Transient, CodeQuota, ""},
		"calendar, gone":             {410, `{"error":{"code":410,"message":"Resource has been deleted","errors":[{"domain":"global","reason":"deleted"}]}}`, job.Gone, job.CodeEventGone, ""},
		"calendar, not found":        {404, `{"error":{"code":404,"message":"Not Found","errors":[{"domain":"global","reason":"notFound"}]}}`, job.NotFound, CodeCalendarNotFound, ""},
		"calendar, duplicate":        {409, `{"error":{"code":409,"message":"The requested identifier already exists.","errors":[{"domain":"global","reason":"duplicate"}]}}`, job.Taken, job.CodeEventIDTaken, ""},
		"calendar, concurrent":       {409, `{"error":{"code":409,"message":"Conflict","errors":[{"domain":"global","reason":"conflict"}]}}`, job.Transient, job.CodeEventBusy, ""},
		"a 404 that is not Google's": {404, "not found", job.Transient, CodeUnavailable, ""},
		"a 410 that is not Google's": {410, "", job.Transient, CodeUnavailable, ""},
		"long texts are cut":         {400, `{"error":{"code":400,"message":"` + strings.Repeat("ñ", 1000) + `"}}`, job.Refused, CodeInvalidRequest, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			f := callFailure(t.Context(), answer(t, test.status, http.Header{}, test.body))
			if f.Kind != test.kind || f.Code != test.code || !strings.Contains(f.Message, test.says) || !utf8.ValidString(f.Message) {
				t.Errorf("kind %d, %s", f.Kind, f)
			}
		})
	}
}

func TestEveryCodeSaysWhatToDo(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := os.ReadFile("../job/failure.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`= "(GOOGLE_[A-Z_]+)"`).FindAllSubmatch(append(bytes.Clone(source), more...), -1)
	if len(declared) < 20 {
		t.Fatalf("only %d codes found", len(declared))
	}
	for _, code := range declared {
		if !regexp.MustCompile(`(?m)^//\t` + string(code[1]) + ` +(yes|no) +\S`).Match(source) {
			t.Errorf("%s is not in the table above the codes", code[1])
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"":     {0, 0},
		"7":    {7 * time.Second, 7 * time.Second},
		"-7":   {0, 0},
		"soon": {0, 0},
		time.Now().Add(time.Minute).UTC().Format(http.TimeFormat):  {50 * time.Second, time.Minute},
		time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat): {0, 0},
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}); got < want[0] || got > want[1] {
			t.Errorf("%q is %v, want %v to %v", text, got, want[0], want[1])
		}
	}
}

func FuzzAnswersAreUnderstood(f *testing.F) {
	f.Add(403, `{"error":{"code":403,"message":"x","errors":[{"reason":"forbidden"}],"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":3,"metadata":[]}]}}`)
	f.Add(401, `{"error":"invalid_grant","error_description":"Invalid JWT"}`)
	f.Add(500, "<html>")
	f.Add(404, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 300 || status > 599 {
			return
		}
		ctx := context.Background()
		token := &oauth2.RetrieveError{Response: &http.Response{StatusCode: status, Header: http.Header{}}, Body: []byte(body)}
		for _, failure := range []*job.Failure{callFailure(ctx, answer(t, status, http.Header{}, body)), tokenFailure(ctx, token)} {
			if failure.Kind == 0 || failure.Code == "" || failure.Message == "" {
				t.Errorf("%+v says nothing", failure)
			}
			if status >= 500 && failure.Permanent() {
				t.Errorf("%d is taken for a refusal: %v", status, failure)
			}
		}
	})
}

func TestAListOfConferencesIsNeverGone(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
	}{
		"masked":    {403, `{"error":{"code":403,"message":"Permission denied on resource ConferenceRecord (or it might not exist)","status":"PERMISSION_DENIED"}}`},
		"not found": {404, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := callFailure(t.Context(), answer(t, test.status, http.Header{}, test.body))
			if list := said("meet.conferenceRecords.list", f); list.Kind != job.Refused || list.Code != CodePermissionDenied {
				t.Errorf("the list: kind %d, %s", list.Kind, list)
			}
			if one := said("meet.conferenceRecords.recordings.list", f); one.Kind != job.Gone || one.Code != CodeConferenceGone {
				t.Errorf("of one conference: kind %d, %s", one.Kind, one)
			}
		})
	}
}
