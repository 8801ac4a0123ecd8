package compat

import (
	"strings"
	"testing"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

func TestTheSetUpIsShownToAdminsAsItWasFound(t *testing.T) {
	s := newREST(t)
	s.do("GET", "/api/v1/setup/", "").is(503, `{"detail":"El servicio no está disponible por ahora. Vuelva a intentarlo."}`).has("Retry-After", "2")
	var asked []*meetv1.DiagnoseRequest
	backendtest.Query(s.meetings, subject.Diagnose, func(req *meetv1.DiagnoseRequest) (*meetv1.DiagnoseResponse, error) {
		asked = append(asked, req)
		return &meetv1.DiagnoseResponse{Simulated: true, Seconds: 0.98765, Checks: []*meetv1.SetupCheck{
			{Name: "google.key", Status: meetv1.SetupStatus_SETUP_STATUS_OK, Detail: "it is there", Seconds: 0.0004},
			{Name: "google.delegation", Status: meetv1.SetupStatus_SETUP_STATUS_FAILED, Detail: "not given", Place: "Admin console", Paste: "100\nhttps://a,https://b", Seconds: 0.5},
			{Name: "google.scope.x", Status: meetv1.SetupStatus_SETUP_STATUS_WARNING, Detail: "worn"},
			{Name: "nats", Status: meetv1.SetupStatus_SETUP_STATUS_SKIPPED, Detail: "not looked at"},
			{Name: "newer", Status: 99, Detail: "a status that is not known here"},
		}}, nil
	})
	const found = `{"ok":false,"simulated":true,"seconds":0.988,"checks":[` +
		`{"name":"google.key","status":"ok","detail":"it is there","place":"","paste":"","seconds":0},` +
		`{"name":"google.delegation","status":"failed","detail":"not given","place":"Admin console","paste":"100\nhttps://a,https://b","seconds":0.5},` +
		`{"name":"google.scope.x","status":"warning","detail":"worn","place":"","paste":"","seconds":0},` +
		`{"name":"nats","status":"skipped","detail":"not looked at","place":"","paste":"","seconds":0},` +
		`{"name":"newer","status":"failed","detail":"a status that is not known here","place":"","paste":"","seconds":0}]}`
	s.do("GET", "/api/v1/setup/", "").is(200, found).has("Cache-Control", "no-store")
	s.do("GET", "/api/v1/setup/?organizer=doctor%40clinic.example&write=true", "").is(200, found)
	if len(asked) != 2 || asked[1].GetOrganizerEmail() != "doctor@clinic.example" || asked[1].GetWrite() {
		t.Errorf("asked %v", asked)
	}
	s.do("GET", "/api/v1/setup/?organizer=nobody", "", "Accept-Language", "en").is(400, `{"organizer":["Enter a valid email address."]}`)
	for role, want := range map[string]int{"service": 403, "external": 403, "": 401} {
		if a := s.as(bus.Principal{Name: "x", Role: role}).do("GET", "/api/v1/setup/", ""); a.status != want || !strings.HasPrefix(a.body, `{"detail":`) {
			t.Errorf("role %q: %d %s", role, a.status, a.body)
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked %d times for who may not", len(asked))
	}
}
