package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

func load(t *testing.T, environ ...string) gateway.Settings {
	t.Helper()
	settings, err := config.Load[gateway.Settings](append([]string{"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "LOG_LEVEL=error"}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func TestGraph(t *testing.T) {
	if err := fx.ValidateApp(gateway.Program(load(t))); err != nil {
		t.Error(err)
	}
}

type program struct {
	*backendtest.Meetings
	api, ops string
}

// start runs the whole program beside a scripted meetings service.
func start(t *testing.T, environ ...string) program {
	t.Helper()
	p := program{Meetings: backendtest.New(t)}
	var port *gateway.Port
	var ops *httpserver.Ops
	settings := load(t, append(environ, "NATS_URL="+p.Server.ClientURL())...)
	app := fxtest.New(t, gateway.Program(settings), fx.NopLogger, fx.Populate(&port, &ops))
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	p.api, p.ops = port.URL(), ops.URL()
	return p
}

func send(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(got)
}

func h2c(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestEverySurfaceIsOnTheOnePort(t *testing.T) {
	p := start(t)
	backendtest.Query(p.Meetings, subject.GetMeeting, func(req *meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		return &meetv1.Meeting{Id: 12, Uid: req.GetId(), Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, Organizer: &meetv1.User{Id: 1}}, nil
	})
	resp, body := send(t, http.MethodGet, p.api+"/api/v1/meetings/12/", "")
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"id":12,`) || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("REST: %d %s", resp.StatusCode, body)
	}
	for name, option := range map[string]connect.ClientOption{"Connect": connect.WithProtoJSON(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb()} {
		got, err := meetv1connect.NewMeetingServiceClient(h2c(t), p.api, option).GetMeeting(t.Context(), connect.NewRequest(&meetv1.GetMeetingRequest{Id: "12"}))
		if err != nil || got.Msg.GetId() != 12 || got.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for path, want := range map[string]int{
		"/api/v1/": http.StatusOK, "/api/v1/docs/": http.StatusOK, "/api/v1/redoc/": http.StatusOK, "/api/v1/schema/": http.StatusOK, "/admin/": http.StatusOK,
		"/api/v1/nothing/": http.StatusNotFound, "/meet.v1.MeetingService/Nothing": http.StatusNotFound,
	} {
		if resp, _ := send(t, http.MethodGet, p.api+path, ""); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if resp, body := send(t, http.MethodGet, p.ops+"/metrics", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `meet_http_requests_total{code="200",route="/api/v1/meetings"} 1`) {
		t.Errorf("metrics: %d %s", resp.StatusCode, body)
	}
}

func TestReadinessTellsOfMeetingsAndDoesWithoutThem(t *testing.T) {
	p := start(t)
	look := func() (status, meetings string) {
		t.Helper()
		resp, body := send(t, http.MethodGet, p.ops+"/readyz", "")
		var report httpserver.Report
		if err := json.Unmarshal([]byte(body), &report); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
		}
		for _, c := range report.Checks {
			if c.Name == "meetings" {
				meetings = c.Status
			}
		}
		return report.Status, meetings
	}
	if status, meetings := look(); status != "degraded" || meetings != "degraded" {
		t.Errorf("without meetings: %s, meetings %s", status, meetings)
	}
	backendtest.Query(p.Meetings, subject.CheckHealth, func(*meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		return &meetv1.CheckHealthResponse{Database: true}, nil
	})
	if status, meetings := look(); status != "ready" || meetings != "up" {
		t.Errorf("with meetings: %s, meetings %s", status, meetings)
	}
}

func TestOneCreateIsOneCommandWhicheverWayItComes(t *testing.T) {
	p := start(t)
	requests := make(chan *meetv1.CreateMeetingRequest, 2)
	backendtest.Command(p.Meetings, subject.CreateMeeting, func(_ bus.Envelope, req *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
		requests <- req
		return backendtest.Answer[*meetv1.CreateMeetingResponse]{
			Response: &meetv1.CreateMeetingResponse{Meeting: &meetv1.Meeting{Id: 12, Provisioning: meetv1.Provisioning_PROVISIONING_PENDING}, Operation: "op"},
			Done:     &meetv1.OperationDone{MeetingId: 12, Provisioning: meetv1.Provisioning_PROVISIONING_READY, MeetLink: "https://meet.google.com/abc-defg-hij"},
		}
	})
	resp, body := send(t, http.MethodPost, p.api+"/api/v1/meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]}`,
		"Content-Type", "application/json", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id", "r-1")
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("REST: %d %s", resp.StatusCode, body)
	}
	req := connect.NewRequest(&meetv1.CreateMeetingRequest{OrganizerEmail: "doctor@clinic.example", InvitedEmails: []string{"p@mail.example"}})
	req.Header().Set("X-Request-Id", "r-2")
	if _, err := meetv1connect.NewMeetingServiceClient(http.DefaultClient, p.api).CreateMeeting(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if rest, rpc := (<-requests).String(), (<-requests).String(); rest != rpc {
		t.Errorf("commands differ:\n%s\n%s", rest, rpc)
	}
	for i, envelope := range p.Envelopes() {
		if envelope.RequestID != []string{"r-1", "r-2"}[i] || envelope.Principal.Name != "local-admin" || !strings.HasPrefix(envelope.RemoteAddr, "127.0.0.1") {
			t.Errorf("envelope %d: %+v", i, envelope)
		}
	}
}

func TestKeysModeRefusesInEachSurfacesForm(t *testing.T) {
	p := start(t, "MEET_AUTH=keys")
	for accept, want := range map[string]string{"": `{"detail":"Las credenciales de autenticación no se proveyeron."}`, "en": `{"detail":"Authentication credentials were not provided."}`} {
		resp, body := send(t, http.MethodGet, p.api+"/api/v1/meetings/", "", "Accept-Language", accept)
		if resp.StatusCode != http.StatusUnauthorized || strings.TrimSpace(body) != want || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("REST: %d %s %v", resp.StatusCode, body, resp.Header)
		}
	}
	for name, option := range map[string]connect.ClientOption{"Connect": connect.WithProtoJSON(), "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb()} {
		_, err := meetv1connect.NewMeetingServiceClient(h2c(t), p.api, option).GetMeeting(t.Context(), connect.NewRequest(&meetv1.GetMeetingRequest{Id: "12"}))
		if connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{"/api/v1/", "/api/v1/docs/", "/api/v1/redoc/", "/api/v1/schema/", "/admin/"} {
		resp, body := send(t, http.MethodGet, p.api+path, "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
		files := assets(body)
		if strings.Contains(path, "doc") && len(files) == 0 {
			t.Errorf("%s loads nothing from here: %s", path, body)
		}
		for _, asset := range files { // a page without its files is blank
			if resp, _ := send(t, http.MethodGet, p.api+asset, ""); resp.StatusCode != http.StatusOK {
				t.Errorf("%s needs %s: %d", path, asset, resp.StatusCode)
			}
		}
	}
	if resp, _ := send(t, http.MethodGet, p.api+"/api/v1/health/", ""); resp.StatusCode == http.StatusUnauthorized {
		t.Error("health needs a credential")
	}
}

// assets are the scripts and styles that an HTML page loads from here.
func assets(page string) []string {
	var found []string
	for _, attribute := range []string{`src="`, `href="`} {
		for _, part := range strings.Split(page, attribute)[1:] {
			if path, _, ok := strings.Cut(part, `"`); ok && (strings.HasSuffix(path, ".js") || strings.HasSuffix(path, ".css")) {
				found = append(found, path)
			}
		}
	}
	return found
}

func TestABodyAboveOneMebibyteIsA413InTheRESTShape(t *testing.T) {
	p := start(t)
	resp, body := send(t, http.MethodPost, p.api+"/api/v1/meetings/", strings.Repeat(" ", 1<<20+1), "Content-Type", "application/json", "Accept-Language", "en")
	var answer struct{ Detail string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || answer.Detail == "" {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
}

func TestTheProgramListsItsSettingsAndItsProblems(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gateway")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(ctx, binary, "--help-env").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"MEET_ADDR", "WEB_PORT", "MEET_AUTH", "ALLOWED_HOSTS", "CORS_ALLOWED_ORIGINS", "MEET_CREATE_WAIT", "NATS_URL", "MEET_OPS_ADDR"} {
		if !bytes.Contains(out, []byte("\n"+variable+" (")) {
			t.Errorf("--help-env does not tell of %s", variable)
		}
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = []string{"MEET_ADDR=nowhere", "MEET_AUTH=maybe", "MEET_CREATE_WAIT=soon"}
	out, err = cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != config.ExitCode {
		t.Errorf("exit %d, %v", code, err)
	}
	for _, variable := range []string{"MEET_ADDR", "MEET_AUTH", "MEET_CREATE_WAIT"} {
		if !bytes.Contains(out, []byte("  "+variable+": ")) {
			t.Errorf("no problem of %s in:\n%s", variable, out)
		}
	}
	cmd = exec.CommandContext(ctx, binary, "healthcheck")
	cmd.Env = []string{"MEET_OPS_ADDR=127.0.0.1:1"}
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 1 || !bytes.Contains(out, []byte("health check")) {
		t.Errorf("healthcheck of nothing: %v %s", err, out)
	}
}
