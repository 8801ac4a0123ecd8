package googlefake_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

func TestThePageShowsWhatIsThereAndWhatIsWrong(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	code, header, body := send(t, http.MethodGet, r.url+"/", "")
	if code != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("%d %v", code, header)
	}
	for _, want := range []string{"Mon 2 Mar 2026, 09:00:00", "Nothing: everything is allowed", "Lesson", "calendar.events.insert", "Nobody has met"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%q is not on the page", want)
		}
	}
	r.control(t, "apis", `{"drive":false}`)
	r.control(t, "accounts", `{"email":"boss@example.com","name":"<b>Boss</b>","may_record":true}`)
	r.control(t, "faults", `[{"match":"/v2/","status":503}]`)
	r.stage(t, `{"recording":"lost",`+cast+`}`)
	if err := r.Advance(10 * time.Minute); err != nil {
		t.Fatal(err)
	}
	_, _, body = send(t, http.MethodGet, r.url+"/", "")
	for _, want := range []string{"APIs not enabled: drive", "/v2/", "running", "recording: STARTED, its file never comes", r.space.MeetingCode} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if bytes.Contains(body, []byte("<b>Boss")) || bytes.Contains(body, []byte("://fonts")) {
		t.Error("unescaped, or from another host")
	}
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.RemoteAddr = "192.0.2.1:5"
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if w.Code != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", w.Code)
	}
}
