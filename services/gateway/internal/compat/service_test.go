package compat

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

func TestTheEntrySaysWhereThingsAre(t *testing.T) {
	s := newREST(t)
	a := s.do("GET", "/api/v1/", "")
	golden.Equal(t, "testdata/root.golden.json", []byte(a.body+"\n"))
	var entry struct {
		Endpoints, Documentation map[string]string
	}
	if err := json.Unmarshal([]byte(a.body), &entry); err != nil {
		t.Fatal(err)
	}
	for name, path := range entry.Endpoints {
		if !slices.Contains(s.api.allowed(path), "GET") {
			t.Errorf("%s leads to %s, where nothing is", name, path)
		}
	}
	if a := s.do("GET", "/api/v1/", "", "Accept-Language", "en"); !strings.Contains(a.body, `"message":"Meet Middleware: Google Meet sessions`) {
		t.Errorf("in English: %s", a.body)
	}
}

func TestInfoSaysWhatThisIs(t *testing.T) {
	s := newREST(t)
	s.do("GET", "/api/v1/info/", "").is(200, `{"project":"Meet Middleware","description":"Crea reuniones de Google Meet a pedido de otros sistemas, las graba y guarda la prueba.","version":"1.2.3",`+
		`"environment":"production","debug_mode":false,"api_base_url":"http://example.com/api/v1/","docs_url":"http://example.com/api/v1/docs/","go_version":"`+runtime.Version()+`","commit":"abc1234","auth_mode":"open"}`)
	s.api.config.PublicURL, s.api.config.Debug = "https://meet.clinic.example/", true
	if a := s.do("GET", "/api/v1/info/", ""); !strings.Contains(a.body, `"environment":"development","debug_mode":true,"api_base_url":"https://meet.clinic.example/api/v1/"`) {
		t.Errorf("with a public address: %s", a.body)
	}
}

func TestHealthIsWhatWasChecked(t *testing.T) {
	s := newREST(t)
	database := true
	backendtest.Query(s.meetings, subject.CheckHealth, func(*meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		return &meetv1.CheckHealthResponse{Database: database}, nil
	})
	s.as(auth.From(context.Background())).do("GET", "/api/v1/health/", "").
		is(200, `{"status":"ok","api":"running","database":"connected","broker":"connected","google":"unknown"}`).has("Cache-Control", "no-store")
	if err := s.api.backend.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.meetings.Bus.Conn().Publish(subject.GoogleState, []byte(`{"api":"calendar","state":"open"}`)); err != nil {
		t.Fatal(err)
	}
	for !s.api.backend.CheckHealth(t.Context()).GoogleDown { // it has heard in a moment
		if t.Context().Err() != nil {
			t.Fatal("nothing was heard")
		}
	}
	s.do("GET", "/api/v1/health/", "").
		is(200, `{"status":"ok","api":"running","database":"connected","broker":"connected","google":"degraded"}`)
	if err := s.meetings.Bus.Conn().Publish(subject.GoogleState, []byte(`{"api":"calendar","state":"closed"}`)); err != nil {
		t.Fatal(err)
	}
	for s.api.backend.CheckHealth(t.Context()).GoogleDown {
		if t.Context().Err() != nil {
			t.Fatal("nothing was heard")
		}
	}
	database = false
	s.do("GET", "/api/v1/health/", "").
		is(503, `{"status":"degraded","api":"running","database":"disconnected","broker":"connected","google":"unknown"}`).has("Retry-After", "2")
	s.do("HEAD", "/api/v1/health/", "").is(503, "")
	if err := s.meetings.Server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	s.do("GET", "/api/v1/health/", "").
		is(503, `{"status":"degraded","api":"running","database":"unknown","broker":"disconnected","google":"unknown"}`)
	if took := time.Since(started); took > testTimeout/2 { // health waits a second, what else is asked testTimeout
		t.Errorf("took %s", took)
	}
}

func TestHealthIsBoundedWhereNobodyAnswers(t *testing.T) {
	s := newREST(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	backendtest.Query(s.meetings, subject.CheckHealth, func(*meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		<-release
		return &meetv1.CheckHealthResponse{}, nil
	})
	started := time.Now()
	s.do("GET", "/api/v1/health/", "").
		is(503, `{"status":"degraded","api":"running","database":"disconnected","broker":"connected","google":"unknown"}`)
	if took := time.Since(started); took > testTimeout/2 { // health waits a second, what else is asked testTimeout
		t.Errorf("took %s", took)
	}
}

func TestTheSchemaIsTheCommittedOne(t *testing.T) {
	s := newREST(t)
	yaml := s.do("GET", "/api/v1/schema/?format=yaml", "").has("Content-Type", "application/yaml")
	golden.Equal(t, "../../../../docs/openapi.yaml", []byte(yaml.body))
	doc := s.do("GET", "/api/v1/schema/", "").has("Content-Type", "application/json")
	var parsed struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(doc.body), &parsed); err != nil || parsed.OpenAPI != "3.1.0" {
		t.Fatalf("schema %q: %v", parsed.OpenAPI, err)
	}
	s.do("GET", "/api/v1/schema/", "", "If-None-Match", doc.header.Get("ETag")).is(304, "")
	s.do("GET", "/api/v1/schema/?format=xml", "").is(404, `{"detail":"No encontrado."}`)
	for _, later := range []string{"webhooks", "availability", "evidence", "calendar.ics"} {
		for path := range parsed.Paths {
			if strings.Contains(path, later) {
				t.Errorf("%s is in the schema before it is served", path)
			}
		}
	}
}

func TestEveryReferenceOfTheSchemaLeadsSomewhere(t *testing.T) {
	s := newREST(t)
	for _, ref := range regexp.MustCompile(`"#/components/([a-z]+)/([A-Za-z]+)"`).FindAllStringSubmatch(string(s.api.schema.json.content), -1) {
		components := s.api.api.OpenAPI().Components
		if ref[1] == "schemas" && components.Schemas.Map()[ref[2]] == nil || ref[1] == "responses" && components.Responses[ref[2]] == nil {
			t.Errorf("%s is not there", ref[0])
		}
	}
}

// outside finds what a browser would load from another host: the address of a script, style, image, frame or font.
var outside = regexp.MustCompile(`(?i)(?:src|href)\s*[=:]\s*["']?(?:https?:)?//[^"'\s>]+|url\(\s*["']?(?:https?:)?//[^)]+\)|@import\s+["'](?:https?:)?//[^"']+`)

func TestThePagesLoadWhatIsServedHereAlone(t *testing.T) {
	s := newREST(t)
	for path, policy := range map[string]string{"/api/v1/docs/": policy, "/api/v1/redoc/": policy, "/admin/": formPolicy, "/login/": formPolicy, "/first-admin/": formPolicy} {
		for _, language := range []string{"es", "en"} {
			a := s.do("GET", path, "", "Accept-Language", language).has("Content-Type", "text/html; charset=utf-8", "Content-Security-Policy", policy)
			if a.status != 200 || outside.MatchString(a.body) {
				t.Errorf("%s: %d, %s", path, a.status, outside.FindString(a.body))
			}
			for _, loaded := range regexp.MustCompile(`(?:src|href|action|data-schema)="([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
				target, _, _ := strings.Cut(loaded[1], "?")
				if allowed := s.api.allowed(target); !slices.Contains(allowed, "GET") && !slices.Contains(allowed, "POST") {
					t.Errorf("%s leads to %s, where nothing is", path, loaded[1])
				}
			}
			if inline := regexp.MustCompile(`<script>|\son[a-z]+=|<style|\sstyle=`).FindString(a.body); inline != "" {
				t.Errorf("%s has %s, which the policy forbids", path, inline)
			}
		}
		s.do("HEAD", path, "").is(200, "")
	}
}

func TestTheFilesOfThePagesAreServedAndNoOther(t *testing.T) {
	s := newREST(t)
	for path, media := range map[string]string{
		"docs/swagger-ui.css": "text/css; charset=utf-8", "docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8", "docs/start.js": "text/javascript; charset=utf-8",
		"docs/favicon-32x32.png": "image/png", "redoc/redoc.standalone.js": "text/javascript; charset=utf-8", "redoc/start.js": "text/javascript; charset=utf-8", "redoc/redoc.css": "text/css; charset=utf-8",
	} {
		a := s.do("GET", base+path, "").has("Content-Type", media, "X-Content-Type-Options", "nosniff")
		if a.status != 200 || a.body == "" || sourceMap.MatchString(a.body) {
			t.Errorf("%s: %d, %d bytes", path, a.status, len(a.body))
		}
		s.do("GET", base+path, "", "If-None-Match", a.header.Get("ETag")).is(304, "")
		for _, host := range []string{"cdn.redoc.ly", "fonts.googleapis.com", "unpkg.com", "jsdelivr"} {
			if strings.Contains(a.body, host) {
				t.Errorf("%s names %s", path, host)
			}
		}
	}
	for _, path := range []string{"docs/swagger-ui.js", "docs/../schema/", "redoc/LICENSE"} {
		s.do("GET", base+path, "").is(404, `{"detail":"No encontrado."}`)
	}
}

func TestAPasswordListIsAList(t *testing.T) {
	p, err := newPasswords()
	if err != nil {
		t.Fatal(err)
	}
	for word := range p.common {
		if len(word) < minPassword || word != strings.ToLower(word) {
			t.Errorf("%q can never match", word)
		}
	}
	if len(p.common) < 5000 {
		t.Errorf("%d common passwords", len(p.common))
	}
	if _, err := gzip.NewReader(bytes.NewReader(commonPasswords)); err != nil {
		t.Error(err)
	}
}

func TestHashingWaitsForItsTurn(t *testing.T) {
	p, err := newPasswords()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.hash(ctx, "x"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a hash was made out of turn, or the refusal is no fault: %v", err)
	}
	if _, err := p.hash(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	good, err := config.Load[Config](nil)
	if err != nil || good.TimeZone != "America/Bogota" || !good.AutoRecordDefault || good.Debug {
		t.Errorf("defaults %+v: %v", good, err)
	}
	for _, zone := range []string{"Bogota", "Local", "../etc/passwd"} {
		if _, err := config.Load[Config]([]string{"MEET_TIME_ZONE=" + zone}); err == nil {
			t.Errorf("%s passes", zone)
		}
	}
	if said := fmt.Sprintf("%+v", Config{SecretKey: "hunter2"}); strings.Contains(said, "hunter2") {
		t.Errorf("the key is shown: %s", said)
	}
}

func TestADefaultOfTheServerIsNoRule(t *testing.T) {
	s := newREST(t)
	s.api.config.AutoRecordDefault, s.api.config.TimeZone = false, "Europe/Madrid"
	req, err := s.api.readCreate(object{"organizer_email": json.RawMessage(`"a@b.co"`), "invited_emails": json.RawMessage(`["p@mail.example"]`), "time_zone": json.RawMessage(`""`)})
	if err != nil || req.GetAutoRecord() || req.GetTimeZone() != "Europe/Madrid" {
		t.Errorf("%v: %v", req, err)
	}
}

func TestAnAnswerThatDoesNotEncodeIsAnErrorAndNoHalf(t *testing.T) {
	api := newAPI(t, nil)
	w := httptest.NewRecorder()
	(&exchange{api: api, w: w, r: httptest.NewRequest("GET", "/", nil)}).write(http.StatusOK, map[string]any{"a": make(chan int)})
	(answered{tb: t, status: w.Code, header: w.Header(), body: w.Body.String()}).is(500, `{"detail":"Se ha producido un error en el servidor."}`)
}

func TestTheRoutesAreCountedByTheirFirstWord(t *testing.T) {
	want := []string{"api-keys", "audit", "auth", "docs", "health", "info", "jobs", "meetings", "operations", "participants", "privacy", "recordings", "redoc", "schema", "setup", "user-management", "users"}
	if got := newAPI(t, nil).Routes(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
