package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
)

var quiet = slog.New(slog.DiscardHandler)

func start(t *testing.T, c httpserver.Config, h http.Handler) *httpserver.Server {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	s := httpserver.New(c, h, quiet)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func get(ctx context.Context, client *http.Client, url string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func mustGet(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, body, err := get(t.Context(), client, url)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestOnePortSpeaksBothVersionsOfHTTP(t *testing.T) {
	s := start(t, httpserver.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	if strings.HasSuffix(s.URL(), ":0") {
		t.Fatalf("the port of %s is not known", s.URL())
	}
	two := new(http.Protocols)
	two.SetUnencryptedHTTP2(true)
	if _, body := mustGet(t, http.DefaultClient, s.URL()); body != "HTTP/1.1" {
		t.Errorf("got %s", body)
	}
	if _, body := mustGet(t, &http.Client{Transport: &http.Transport{Protocols: two}}, s.URL()); body != "HTTP/2.0" {
		t.Errorf("got %s", body)
	}
}

func TestATakenPortIsAnError(t *testing.T) {
	s := start(t, httpserver.Config{}, http.NotFoundHandler())
	other := httpserver.New(httpserver.Config{Addr: s.Addr().String()}, http.NotFoundHandler(), quiet)
	if err := other.Start(t.Context()); err == nil || other.URL() != "" {
		t.Errorf("started at %q, %v", other.URL(), err)
	}
}

func TestAHeaderAboveTheLimitIsRefused(t *testing.T) {
	s := start(t, httpserver.Config{}, http.NotFoundHandler())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("x", 80<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestStopLetsAnswersFinishAndTellsStreamsToEnd(t *testing.T) {
	inside := make(chan struct{}, 2)
	finish := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		select {
		case <-finish:
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-httpserver.Stopping(r.Context())
		_, _ = io.WriteString(w, "bye")
		close(finish) // the slow answer is given after the stop has begun
	})
	s := start(t, httpserver.Config{StopTimeout: time.Minute}, mux)
	bodies := make(chan string, 2)
	for _, path := range []string{"/slow", "/stream"} {
		go func() {
			_, body, err := get(t.Context(), http.DefaultClient, s.URL()+path)
			if err != nil {
				body = err.Error()
			}
			bodies <- path + " " + body
		}()
	}
	<-inside
	<-inside
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{<-bodies: true, <-bodies: true}
	if !got["/slow done"] || !got["/stream bye"] {
		t.Errorf("got %v", got)
	}
	if _, ok := <-s.Failed(); ok {
		t.Error("a stop counts as a failure")
	}
}

func TestStopCutsOffWhatDoesNotFinish(t *testing.T) {
	inside := make(chan struct{})
	cut := make(chan struct{})
	stopped := make(chan struct{})
	s := start(t, httpserver.Config{StopTimeout: 20 * time.Millisecond}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(inside)
		<-r.Context().Done()
		close(cut)
		<-stopped // a handler that returned at once might still be answered with its empty 200
	}))
	defer close(stopped)
	answer := make(chan error, 1)
	go func() {
		_, _, err := get(t.Context(), http.DefaultClient, s.URL())
		answer <- err
	}()
	<-inside
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-cut
	if err := <-answer; err == nil {
		t.Error("the request was answered")
	}
}

func TestLocalURLReachesThisMachine(t *testing.T) {
	for addr, want := range map[string]string{
		":9100": "http://127.0.0.1:9100", "0.0.0.0:9100": "http://127.0.0.1:9100", "[::]:9100": "http://[::1]:9100",
		"10.0.0.7:80": "http://10.0.0.7:80", "ops.internal:80": "http://ops.internal:80",
	} {
		if got := httpserver.LocalURL(addr); got != want {
			t.Errorf("LocalURL(%q) = %s, want %s", addr, got, want)
		}
	}
}

func TestTheURLOfAServerAtEveryAddressIsOneOfThisMachine(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "127.0.0.1:0"} {
		s := start(t, httpserver.Config{Addr: addr}, http.NotFoundHandler())
		if !strings.HasPrefix(s.URL(), "http://127.0.0.1:") {
			t.Errorf("at %s: %s", addr, s.URL())
		}
		if _, _, err := get(t.Context(), http.DefaultClient, s.URL()); err != nil {
			t.Errorf("at %s: %v", addr, err)
		}
	}
}

func TestLoopbackIsWhatThisMachineAloneReaches(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8000": true, "127.9.9.9:8000": true, "127.0.0.1": true, "[::1]:8000": true, "[::1]": true, "::1": true,
		"[::ffff:127.0.0.1]:80": true, "::ffff:127.0.0.1": true, "[::ffff:7f00:1]:80": true,
		"localhost:8000": true, "localhost": true, "LocalHost:8000": true, "LOCALHOST": true,
		"": false, ":8000": false, "0.0.0.0:8000": false, "[::]:8000": false, "10.0.0.7:8000": false, "10.0.0.7": false, "[::ffff:10.0.0.7]:80": false,
		"localhost.example.com:8000": false, "127.0.0.1.example.com:80": false, "128.0.0.1:80": false, "[2001:db8::1]:80": false, "127.1:80": false,
	} {
		if got := httpserver.Loopback(addr); got != want {
			t.Errorf("Loopback(%q) = %t, want %t", addr, got, want)
		}
	}
}

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func ops(t *testing.T, h *httpserver.Health) *httpserver.Ops {
	t.Helper()
	o := httpserver.NewOps(httpserver.OpsConfig{Addr: "127.0.0.1:0"}, h, httpserver.NewMetrics(), quiet)
	if err := o.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Stop(context.Background()) })
	return o
}

func TestReadinessFollowsTheStartAndTheChecks(t *testing.T) {
	now := clock.NewManual(noon)
	h := httpserver.NewHealth(now.Now)
	var broken error
	h.Add(httpserver.Check{Name: "postgres", Probe: func(context.Context) error { return broken }},
		httpserver.Check{Name: "nats", Probe: func(context.Context) error { return nil }})
	o := ops(t, h)

	ready := func(wantStatus int, wantText string) httpserver.Report {
		t.Helper()
		resp, body := mustGet(t, http.DefaultClient, o.URL()+"/readyz")
		var report httpserver.Report
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != wantStatus || report.Status != wantText || len(report.Checks) != 2 {
			t.Errorf("status %d, %s; want %d, %s", resp.StatusCode, body, wantStatus, wantText)
		}
		return report
	}
	ready(503, "starting_or_stopping")
	if code := httpserver.Healthcheck(o.URL()); code != 1 {
		t.Errorf("health check of a starting program exits %d", code)
	}
	h.SetReady(true)
	ready(200, "ready")
	if code := httpserver.Healthcheck(o.URL() + "/"); code != 0 {
		t.Errorf("health check of a ready program exits %d", code)
	}

	broken = errors.New("connection refused")
	ready(503, "not_ready")
	now.Advance(time.Minute)
	down := ready(503, "not_ready").Checks[1]
	if down.Name != "postgres" || down.Status != "down" || down.Error != "connection refused" || !down.Since.Equal(noon) {
		t.Errorf("got %+v, want postgres down since noon", down)
	}
	broken = nil
	now.Advance(time.Minute)
	ready(200, "ready")
	now.Advance(time.Minute)
	checks := ready(200, "ready").Checks
	if back := checks[1]; !back.Since.Equal(noon.Add(2*time.Minute)) || back.Error != "" {
		t.Errorf("got %+v, want it up since it came back", back)
	}
	if never := checks[0]; never.Status != "up" || !never.Since.Equal(noon) {
		t.Errorf("got %+v, want it up since it was first asked", never)
	}
	h.SetReady(false)
	ready(503, "starting_or_stopping")

	if resp, body := mustGet(t, http.DefaultClient, o.URL()+"/healthz"); resp.StatusCode != 200 || body != "{\"status\":\"alive\"}\n" {
		t.Errorf("healthz: %d %s", resp.StatusCode, body)
	}
}

func TestHealthcheckOfNothingFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := httpserver.LocalURL(listener.Addr().String())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if code := httpserver.Healthcheck(url); code != 1 {
		t.Errorf("exits %d", code)
	}
}

func TestACheckThatHangsIsDownAndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := httpserver.NewHealth(clock.System())
		h.SetReady(true)
		release := make(chan struct{})
		defer close(release)
		h.Add(httpserver.Check{Name: "deaf", Probe: func(context.Context) error { <-release; return nil }})
		begin := time.Now()
		report := h.Report(t.Context())
		if took := time.Since(begin); took != httpserver.CheckTimeout || report.Checks[0].Error != "no answer in 2s" {
			t.Errorf("after %v: %+v", took, report)
		}
	})
}

func TestMetricsShowTheRuntime(t *testing.T) {
	o := ops(t, httpserver.NewHealth(clock.System()))
	_, body := mustGet(t, http.DefaultClient, o.URL()+"/metrics")
	for _, want := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in the metrics", want)
		}
	}
}

func TestProfilesAreForThisMachineOnly(t *testing.T) {
	o := httpserver.NewOps(httpserver.OpsConfig{}, httpserver.NewHealth(clock.System()), httpserver.NewMetrics(), quiet)
	for remote, want := range map[string]int{"127.0.0.1:5000": 200, "[::1]:5000": 200, "10.1.2.3:5000": 404} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/pprof/goroutine", http.NoBody)
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		o.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s: status %d, want %d", remote, w.Code, want)
		}
	}
}

func TestTheOpsPortAnswersWhileOthersStillStart(t *testing.T) {
	var o *httpserver.Ops
	seen := map[string]int{}
	ask := func(when string) {
		resp, _, err := get(t.Context(), http.DefaultClient, o.URL()+"/readyz")
		if err != nil {
			t.Errorf("%s: %v", when, err)
			return
		}
		seen[when] = resp.StatusCode
	}
	app := fx.New(fx.NopLogger, fx.Supply(httpserver.OpsConfig{Addr: "127.0.0.1:0"}, quiet), clock.Module,
		httpserver.Module,
		httpserver.ProvideCheck(func(lc fx.Lifecycle) httpserver.Check { // as a pool that waits for its server
			lc.Append(fx.StartStopHook(func() { ask("starting") }, func() { ask("stopping") }))
			return httpserver.Check{Name: "pool", Probe: func(context.Context) error { return nil }}
		}),
		fx.Populate(&o), httpserver.Ready)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask("started")
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen["starting"] != 503 || seen["started"] != 200 || seen["stopping"] != 503 {
		t.Errorf("readyz answered %v", seen)
	}
}

func TestEveryKindOfFaultHasAStatus(t *testing.T) {
	want := map[fault.Kind]int{
		fault.Invalid: 400, fault.NotFound: 404, fault.Conflict: 409, fault.VersionMismatch: 412,
		fault.AlreadyExists: 409, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.Exhausted: 429,
		fault.Unavailable: 503, fault.Refused: 502, fault.Expired: 503, fault.KeyReused: 422, fault.InFlight: 409,
		fault.Internal: 500,
	}
	for _, k := range fault.Kinds() {
		if got := httpserver.Status(k); got != want[k] {
			t.Errorf("%v is %d, want %d", k, got, want[k])
		}
	}
}

func TestProblemDocuments(t *testing.T) {
	for _, c := range []struct {
		name, retryAfter, body string
		err                    error
	}{
		{
			"fields", "",
			`{"title":"Bad Request","status":400,"detail":"title: must be set","reason":"INVALID_ARGUMENT","request_id":"r1","errors":[{"field":"title","reason":"REQUIRED","detail":"must be set"}]}`,
			fault.InvalidField("title", "REQUIRED", "must be set"),
		},
		{
			"rate", "7",
			`{"title":"Too Many Requests","status":429,"detail":"slow down","reason":"RATE","request_id":"r1","meta":{"retry_after_seconds":"7"}}`,
			fault.New(fault.Exhausted, "RATE", "slow down").WithMeta(fault.MetaRetryAfter, "7"),
		},
		{
			"down", "1",
			`{"title":"Service Unavailable","status":503,"detail":"no answer","reason":"DOWN","request_id":"r1"}`,
			fault.New(fault.Unavailable, "DOWN", "no answer"),
		},
		{
			"unknown", "",
			`{"title":"Internal Server Error","status":500,"detail":"internal error","reason":"INTERNAL","request_id":"r1"}`,
			errors.New("password=hunter2"),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := logging.With(t.Context(), slog.String(logging.RequestID, "r1"))
			w := httptest.NewRecorder()
			httpserver.WriteProblem(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody), c.err)
			if got := string(bytes.TrimSpace(w.Body.Bytes())); got != c.body {
				t.Errorf("got  %s\nwant %s", got, c.body)
			}
			if got := w.Header().Get("Retry-After"); got != c.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, c.retryAfter)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}
