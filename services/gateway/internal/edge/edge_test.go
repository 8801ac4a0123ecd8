package edge_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/edge"
)

// surface answers with handle and refuses with its name and the fault's reason.
type surface struct {
	name   string
	handle http.HandlerFunc
}

func (s surface) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handle(w, r) }

func (s surface) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, s.name+" too large", http.StatusRequestEntityTooLarge)
		return
	}
	f := fault.Of(err)
	http.Error(w, s.name+" "+f.Reason, httpserver.Status(f.Kind))
}

type port struct {
	url     string
	log     *log
	metrics *prometheus.Registry
}

// log is what was logged, one line each.
type log struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// serve is a port that answers with handle; limits are the server's own where they are not given.
func serve(t *testing.T, c edge.Config, mode auth.Mode, limits httpserver.Config, handle http.HandlerFunc) port {
	t.Helper()
	p := port{log: &log{}, metrics: prometheus.NewRegistry()}
	logger := logging.New(p.log, logging.Config{Level: slog.LevelDebug})
	handler, err := edge.NewHandler(c, edge.Guards{Auth: auth.New(mode, slog.New(slog.DiscardHandler))}, edge.Surfaces{
		RPC: surface{"rpc", handle}, REST: surface{"rest", handle},
		IsRPC:      func(path string) bool { return strings.HasPrefix(path, "/meet.v1.") },
		Procedures: []string{"/meet.v1.MeetingService/GetMeeting"}, Routes: []string{"meetings", "health"},
	}, p.metrics, logger)
	if err != nil {
		t.Fatal(err)
	}
	limits.Addr = "127.0.0.1:0"
	server := httpserver.New(limits, handler, slog.New(slog.DiscardHandler))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	p.url = server.URL()
	return p
}

// send sends a request and reads its answer whole; the body is what came over the wire.
func send(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Do(req)
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

func TestEveryRequestHasAnIDThatIsEchoed(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-Request-Id"), logging.ID(r.Context(), logging.RequestID), logging.ID(r.Context(), logging.TraceID))
	})
	resp, body := send(t, http.MethodGet, p.url+"/api/v1/meetings/", "", "X-Request-Id", "order-7:b", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if got := resp.Header.Get("X-Request-Id"); got != "order-7:b" || body != "order-7:b order-7:b 0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("id %q, body %q", got, body)
	}
	seen := map[string]bool{}
	for _, insane := range []string{"", "a b", strings.Repeat("x", 129), "é", `"quoted"`} {
		resp, body := send(t, http.MethodGet, p.url+"/api/v1/meetings/", "", "X-Request-Id", insane)
		id := resp.Header.Get("X-Request-Id")
		if id == insane || len(id) < 20 || seen[id] || body != id+" "+id+" " {
			t.Errorf("%q became %q, body %q", insane, id, body)
		}
		seen[id] = true
	}
}

func TestOnlyATraceContextThatIsOneTravelsOn(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Traceparent"))
	})
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for value, want := range map[string]bool{
		"00-" + trace + "-" + span + "-01":                             true,
		"cc-" + trace + "-" + span + "-01-more":                        true,
		"00-" + trace + "-" + span + "-01-more":                        false,
		"cc-" + trace + "-" + span + "-01more":                         false,
		"ff-" + trace + "-" + span + "-01":                             false,
		"00-" + strings.ToUpper(trace) + "-" + span + "-01":            false,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":           false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-1":           false,
		"cc-" + trace + "-" + span + "-01-" + strings.Repeat("x", 300): false,
		"garbage": false,
	} {
		_, got := send(t, http.MethodGet, p.url+"/", "", "Traceparent", value)
		if (got == value) != want || (!want && got != "") {
			t.Errorf("%q travelled as %q, want %v", value, got, want)
		}
	}
}

func TestAPanicIsA500AndStaysInTheLog(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(http.ResponseWriter, *http.Request) { panic("hunter2") })
	for path, name := range map[string]string{"/api/v1/meetings/": "rest", "/meet.v1.MeetingService/GetMeeting": "rpc"} {
		resp, body := send(t, http.MethodGet, p.url+path, "")
		if resp.StatusCode != http.StatusInternalServerError || body != name+" INTERNAL\n" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
}

func TestAPanicInTheMiddleOfAnAnswerCutsItOff(t *testing.T) {
	for name, write := range map[string]func(http.ResponseWriter){
		"after a little": func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"half":`) },
		"after a lot":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat("x", 100_000)) },
		"aborted":        func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				write(w)
				panic("too late")
			})
			resp, err := http.Get(p.url + "/api/v1/meetings/")
			if err != nil {
				return // nothing came: cut off
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("the client took %d %.20q for a whole answer", resp.StatusCode, body)
			}
		})
	}
}

func TestABodyAboveOneMebibyteIsRefused(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			surface{name: "handler"}.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, n, err)
	})
	full := strings.Repeat("x", 1<<20)
	if _, body := send(t, http.MethodPost, p.url+"/api/v1/meetings/", full); body != "1048576 <nil>" {
		t.Errorf("exactly 1 MiB: %q", body)
	}
	for path, name := range map[string]string{"/api/v1/meetings/": "rest", "/meet.v1.MeetingService/GetMeeting": "rpc"} {
		if resp, body := send(t, http.MethodPost, p.url+path, full+full+"x"); resp.StatusCode != http.StatusRequestEntityTooLarge || body != name+" too large\n" {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
	// One that asks first is answered before it sends anything, however much that would be.
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /api/v1/meetings/ HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 413 ") {
		t.Errorf("asking first: %q, %v", line, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/v1/meetings/", io.MultiReader(strings.NewReader(full), strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) // chunked: its length is not told
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "handler too large\n" {
		t.Errorf("chunked: %d %q, %v", resp.StatusCode, body, err)
	}
}

func TestASlowBodyEndsInTime(t *testing.T) {
	failed := make(chan error, 1)
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{ReadTimeout: 100 * time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("the body was read whole")
	}
}

func TestASlowHeaderEndsTheConnection(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{ReadHeaderTimeout: 100 * time.Millisecond}, func(http.ResponseWriter, *http.Request) {
		t.Error("it was served")
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the connection", err)
	}
}

func TestHostsAreCheckedAsConfigured(t *testing.T) {
	for _, c := range []struct {
		name, addr, host string
		allowed          []string
		want             bool
	}{
		{"loopback, none configured: localhost", "127.0.0.1:8000", "localhost:8000", nil, true},
		{"loopback, none configured: a subdomain of localhost", "127.0.0.1:8000", "app.localhost", nil, true},
		{"loopback, none configured: an address", "127.0.0.1:8000", "192.168.1.9:8000", nil, true},
		{"loopback, none configured: IPv6", "127.0.0.1:8000", "[::1]:8000", nil, true},
		{"loopback, none configured: a name that was pointed here", "127.0.0.1:8000", "evil.example", nil, false},
		{"elsewhere, none configured: any", "0.0.0.0:8000", "meet.example", nil, true},
		{"named", "0.0.0.0:8000", "Meet.Example:443", []string{"meet.example"}, true},
		{"named with a final dot", "0.0.0.0:8000", "meet.example.", []string{"meet.example"}, true},
		{"another", "0.0.0.0:8000", "other.example", []string{"meet.example"}, false},
		{"an address beside names", "0.0.0.0:8000", "10.0.0.1", []string{"meet.example"}, false},
		{"a named address", "0.0.0.0:8000", "[2001:db8::1]:80", []string{"[2001:db8::1]"}, true},
		{"loopback beside names", "0.0.0.0:8000", "127.0.0.1:8000", []string{"meet.example"}, true},
		{"a subdomain", "0.0.0.0:8000", "a.b.example", []string{".b.example"}, true},
		{"the domain itself", "0.0.0.0:8000", "b.example", []string{".b.example"}, true},
		{"not its end alone", "0.0.0.0:8000", "eb.example", []string{".b.example"}, false},
		{"any", "127.0.0.1:8000", "evil.example", []string{"*"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := serve(t, edge.Config{Addr: c.addr, AllowedHosts: c.allowed}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "served")
			})
			resp, body := send(t, http.MethodGet, p.url+"/", "", "Host", c.host)
			if c.want && body != "served" || !c.want && (resp.StatusCode != http.StatusBadRequest || body != "rest HOST_NOT_ALLOWED\n") {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
		})
	}
}

func TestOriginsMayCallAsConfigured(t *testing.T) {
	for _, c := range []struct {
		name   string
		config edge.Config
		origin string
		want   string
	}{
		{"none configured", edge.Config{}, "https://app.example", ""},
		{"named", edge.Config{AllowedOrigins: []string{"https://app.example"}}, "https://app.example", "https://app.example"},
		{"another", edge.Config{AllowedOrigins: []string{"https://app.example"}}, "https://evil.example", ""},
		{"another with DEBUG", edge.Config{AllowedOrigins: []string{"https://app.example"}, Debug: true}, "http://localhost:3000", ""},
		{"DEBUG: a page from this machine", edge.Config{Debug: true}, "http://localhost:3000", "http://localhost:3000"},
		{"DEBUG: a page from elsewhere", edge.Config{Debug: true}, "https://evil.example", ""},
		{"DEBUG: a page that hides where it is from", edge.Config{Debug: true}, "null", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := serve(t, c.config, auth.Keys, httpserver.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			resp, _ := send(t, http.MethodOptions, p.url+"/api/v1/meetings/", "", "Origin", c.origin,
				"Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "content-type,idempotency-key,if-match")
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("preflight allows %q, want %q", got, c.want)
			}
			resp, _ = send(t, http.MethodGet, p.url+"/api/v1/health/", "", "Origin", c.origin)
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != c.want || resp.StatusCode != http.StatusNoContent {
				t.Errorf("%d allows %q, want %q", resp.StatusCode, got, c.want)
			}
		})
	}
}

func TestWithoutACredentialKeysModeRefusesInTheSurfacesOwnForm(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Keys, httpserver.Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })
	for path, want := range map[string]string{
		"/api/v1/meetings/":                  "rest UNAUTHENTICATED\n",
		"/meet.v1.MeetingService/GetMeeting": "rpc UNAUTHENTICATED\n",
		"/api/v1/health/":                    "served",
	} {
		if _, got := send(t, http.MethodGet, p.url+path, ""); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestLargeAnswersOfTheRightKindAreCompressed(t *testing.T) {
	large := strings.Repeat(`{"id":12},`, 300)
	for _, c := range []struct {
		name, path, kind, body, accept string
		want                           bool
	}{
		{"JSON", "/api/v1/meetings/", "application/json", large, "gzip", true},
		{"a small one", "/api/v1/meetings/", "application/json", `{"id":12}`, "gzip", false},
		{"not asked for", "/api/v1/meetings/", "application/json", large, "identity", false},
		{"a stream of events", "/api/v1/events/", "text/event-stream", large, "gzip", false},
		{"an image", "/static/logo.png", "image/png", large, "gzip", false},
		{"RPC, which compresses for itself", "/meet.v1.MeetingService/GetMeeting", "application/json", large, "gzip", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = io.WriteString(w, c.body)
			})
			resp, got := send(t, http.MethodGet, p.url+c.path, "", "Accept-Encoding", c.accept)
			if compressed := resp.Header.Get("Content-Encoding") == "gzip"; compressed != c.want {
				t.Fatalf("compressed %v, want %v", compressed, c.want)
			}
			if c.want {
				r, err := gzip.NewReader(strings.NewReader(got))
				if err != nil {
					t.Fatal(err)
				}
				plain, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				got = string(plain)
			}
			if got != c.body {
				t.Errorf("%d bytes came, want %d", len(got), len(c.body))
			}
		})
	}
}

func TestAStreamIsFlushedThroughEveryLayer(t *testing.T) {
	read := make(chan struct{})
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		if err := control.SetWriteDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "data: 1\n\n")
		if err := control.Flush(); err != nil {
			t.Error(err)
		}
		select {
		case <-read:
		case <-r.Context().Done():
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/events/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) // asks for gzip
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "data: 1\n" {
		t.Errorf("%q, %v", line, err)
	}
	close(read)
}

func TestTheLogHasOneLineARequestAndNoQuery(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "none/") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "12345")
	})
	send(t, http.MethodGet, p.url+"/api/v1/meetings/?token=hunter2", "")
	send(t, http.MethodPost, p.url+"/api/v1/none/?token=hunter2", "password=hunter2", "Authorization", "Bearer hunter2", "X-Request-Id", "r-2")
	text := p.log.text()
	if strings.Contains(text, "hunter2") {
		t.Error("a secret was logged:", text)
	}
	var got []map[string]any
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		got = append(got, fields)
	}
	if len(got) != 2 {
		t.Fatalf("%d lines, want 2: %s", len(got), text)
	}
	for i, want := range []map[string]any{
		{"level": "DEBUG", "method": "GET", "path": "/api/v1/meetings/", "status": 200., "bytes": 5.},
		{"level": "INFO", "method": "POST", "path": "/api/v1/none/", "status": 404., "bytes": 5., "request_id": "r-2"},
	} {
		for key, value := range want {
			if got[i][key] != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, got[i][key], value)
			}
		}
	}
}

func TestRequestsAreCountedUnderClosedNames(t *testing.T) {
	p := serve(t, edge.Config{}, auth.Open, httpserver.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
		}
	})
	for _, call := range []string{
		"GET /api/v1/meetings/12/", "GET /api/v1/meetings", "POST /api/v1/meetings/", "GET /api/v1/", "GET /api/v1/made-up/", "GET /made-up",
		"POST /meet.v1.MeetingService/GetMeeting", "POST /meet.v1.MeetingService/MadeUp",
	} {
		method, path, _ := strings.Cut(call, " ")
		send(t, method, p.url+path, "")
	}
	want := `
# HELP meet_http_requests_in_flight Requests that are being answered.
# TYPE meet_http_requests_in_flight gauge
meet_http_requests_in_flight 0
# HELP meet_http_requests_total Requests answered, by route class and HTTP status; 499 is an answer cut off.
# TYPE meet_http_requests_total counter
meet_http_requests_total{code="200",route="/api/v1/"} 1
meet_http_requests_total{code="200",route="/api/v1/meetings"} 2
meet_http_requests_total{code="200",route="other"} 2
meet_http_requests_total{code="201",route="/api/v1/meetings"} 1
meet_http_requests_total{code="201",route="/meet.v1.MeetingService/GetMeeting"} 1
meet_http_requests_total{code="201",route="other rpc"} 1
`
	if err := testutil.GatherAndCompare(p.metrics, strings.NewReader(want), "meet_http_requests_total", "meet_http_requests_in_flight"); err != nil {
		t.Error(err)
	}
}

func TestTheCallersAddressComesFromTrustedProxiesOnly(t *testing.T) {
	for _, c := range []struct {
		name, remote string
		proxies      []string
		forwarded    []string
		want, seen   string
	}{
		{"no proxies", "192.0.2.1:5", nil, []string{"1.2.3.4"}, "192.0.2.1:5", ""},
		{"not that proxy", "192.0.2.1:5", []string{"10.0.0.0/8"}, []string{"1.2.3.4"}, "192.0.2.1:5", ""},
		{"one proxy", "10.0.0.1:5", []string{"10.0.0.0/8"}, []string{"1.2.3.4"}, "1.2.3.4", "1.2.3.4"},
		{"what the caller made up stands before", "10.0.0.1:5", []string{"10.0.0.0/8"}, []string{"6.6.6.6, 1.2.3.4"}, "1.2.3.4", "6.6.6.6, 1.2.3.4"},
		{"two proxies, two lines", "10.0.0.1:5", []string{"10.0.0.1", "10.0.0.2"}, []string{"1.2.3.4", "10.0.0.2:99"}, "1.2.3.4", "1.2.3.4"},
		{"garbage ends the trust", "10.0.0.1:5", []string{"10.0.0.0/8"}, []string{"6.6.6.6, what, 10.0.0.3"}, "10.0.0.3", "6.6.6.6, what, 10.0.0.3"},
		{"a proxy that says nothing", "10.0.0.1:5", []string{"10.0.0.0/8"}, nil, "10.0.0.1:5", ""},
		{"IPv6", "[::ffff:10.0.0.1]:5", []string{"10.0.0.1"}, []string{"[2001:db8::1]:7"}, "2001:db8::1", "[2001:db8::1]:7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got, seen string
			h, err := edge.NewHandler(edge.Config{TrustedProxies: c.proxies}, edge.Guards{Auth: auth.New(auth.Open, slog.New(slog.DiscardHandler))}, edge.Surfaces{
				IsRPC: func(string) bool { return false },
				REST: surface{"rest", func(_ http.ResponseWriter, r *http.Request) {
					got, seen = r.RemoteAddr, r.Header.Get("X-Forwarded-For")
				}},
			}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "http://localhost/", http.NoBody)
			r.RemoteAddr = c.remote
			r.Header["X-Forwarded-For"] = c.forwarded
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want || seen != c.seen {
				t.Errorf("caller %q, header %q; want %q, %q", got, seen, c.want, c.seen)
			}
		})
	}
}

func TestSettingsAreChecked(t *testing.T) {
	type settings struct {
		Debug bool `env:"DEBUG" envDefault:"False" help:"development"`
		Edge  edge.Config
	}
	for _, c := range []struct {
		env        []string
		addr, want string
	}{
		{nil, "127.0.0.1:8000", ""},
		{[]string{"WEB_PORT=9000"}, "127.0.0.1:9000", ""},
		{[]string{"WEB_PORT=9000", "MEET_ADDR=:80"}, ":80", ""},
		{[]string{"MEET_ADDR=127.0.0.1:0", "CORS_ALLOWED_ORIGINS=https://a.example, https://*.b.example:8443", "MEET_TRUSTED_PROXIES=10.0.0.0/8,::1"}, "127.0.0.1:0", ""},
		{[]string{"WEB_PORT=0"}, "127.0.0.1:0", "WEB_PORT"},
		{[]string{"WEB_PORT=70000"}, "127.0.0.1:70000", "WEB_PORT"},
		{[]string{"MEET_ADDR=8000"}, "8000", "MEET_ADDR"},
		{[]string{"MEET_ADDR=localhost:http"}, "localhost:http", "MEET_ADDR"},
		{[]string{"MEET_TRUSTED_PROXIES=proxy.example"}, "127.0.0.1:8000", "MEET_TRUSTED_PROXIES"},
		{[]string{"CORS_ALLOWED_ORIGINS=app.example"}, "127.0.0.1:8000", "CORS_ALLOWED_ORIGINS"},
		{[]string{"CORS_ALLOWED_ORIGINS=https://app.example/"}, "127.0.0.1:8000", "CORS_ALLOWED_ORIGINS"},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			got, err := config.Load[settings](c.env)
			problems := config.Problems(err)
			if c.want == "" && err != nil || c.want != "" && (len(problems) != 1 || problems[0].Variable != c.want) {
				t.Errorf("problems %v, want of %q", err, c.want)
			}
			if addr := got.Edge.ListenAddr(); addr != c.addr {
				t.Errorf("listens on %q, want %q", addr, c.addr)
			}
		})
	}
}

// sink is a ResponseWriter that costs nothing.
type sink struct{ header http.Header }

func (s sink) Header() http.Header         { return s.header }
func (s sink) Write(p []byte) (int, error) { return len(p), nil }
func (s sink) WriteHeader(int)             {}

// BenchmarkEdge is what the edge adds to a request of the usual kind, its answer's compression apart.
func BenchmarkEdge(b *testing.B) {
	body := []byte(strings.Repeat("x", 1200))
	kind := []string{"application/json"}
	h, err := edge.NewHandler(edge.Config{AllowedOrigins: []string{"https://app.example"}, AllowedHosts: []string{"meet.example"}},
		edge.Guards{Auth: auth.New(auth.Open, slog.New(slog.DiscardHandler))}, edge.Surfaces{
			IsRPC:  func(path string) bool { return strings.HasPrefix(path, "/meet.v1.") },
			Routes: []string{"meetings"},
			REST: surface{"rest", func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = kind
				w.WriteHeader(http.StatusOK)
				_, _ = w.Write(body)
			}},
		}, prometheus.NewRegistry(), logging.New(io.Discard, logging.Config{Level: slog.LevelInfo}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "http://meet.example/api/v1/meetings/12/", http.NoBody)
		r.Header["Accept-Encoding"] = []string{"gzip"}
		h.ServeHTTP(sink{http.Header{}}, r)
	}
}

// BenchmarkWithoutEdge is what of BenchmarkEdge is the benchmark's own.
func BenchmarkWithoutEdge(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "http://meet.example/api/v1/meetings/12/", http.NoBody)
		r.Header["Accept-Encoding"] = []string{"gzip"}
		sink{http.Header{}}.Header().Set("Content-Type", "application/json")
		if r.Host == "" {
			b.Fatal("no host")
		}
	}
}
