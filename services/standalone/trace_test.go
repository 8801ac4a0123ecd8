package standalone_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/meet-middleware/meet-middleware/pkg/natsperm"
)

// span is what a collector got of one.
type span struct {
	*otlp.Span

	service string
}

func (s span) trace() string  { return hex.EncodeToString(s.TraceId) }
func (s span) id() string     { return hex.EncodeToString(s.SpanId) }
func (s span) parent() string { return hex.EncodeToString(s.ParentSpanId) }

func (s span) String() string { return s.service + ": " + s.Name }

// collecting takes OTLP over HTTP and keeps all of it.
type collecting struct {
	*httptest.Server

	t     *testing.T
	mu    sync.Mutex
	all   []span
	raw   []byte
	more  chan struct{}
	token string
}

// collect starts a collector that has what ended within a moment.
func collect(t *testing.T) *collecting {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20") // the library reads it by itself
	c := &collecting{t: t, more: make(chan struct{}, 1)}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

func (c *collecting) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("the collector got %s: %v", r.URL.Path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw, c.token = append(c.raw, body...), r.Header.Get("Authorization")
	for _, resource := range request.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.all = append(c.all, span{s, service})
			}
		}
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// of are the spans of a trace that have come.
func (c *collecting) of(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.all), func(s span) bool { return s.trace() != trace })
}

// whole waits until a trace has each of these spans, and every span its parent, but for outside, which is the caller's.
func (c *collecting) whole(trace, outside string, names ...string) []span {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		spans := c.of(trace)
		missing := gapIn(spans, outside, names)
		if missing == "" {
			return spans
		}
		select {
		case <-c.more:
		case <-deadline:
			c.t.Fatalf("trace %s lacks %s; it has:\n%s", trace, missing, drawn(spans))
		}
	}
}

// gapIn names what keeps spans from being a whole trace.
func gapIn(spans []span, outside string, names []string) string {
	for _, name := range names {
		if !slices.ContainsFunc(spans, func(s span) bool { return s.String() == name }) {
			return name
		}
	}
	roots := 0
	for _, s := range spans {
		switch {
		case s.parent() == outside:
			roots++
		case !slices.ContainsFunc(spans, func(p span) bool { return p.id() == s.parent() }):
			return "the parent of " + s.String()
		}
	}
	if roots != 1 {
		return fmt.Sprintf("one root: it has %d", roots)
	}
	return ""
}

// drawn is a trace as a tree.
func drawn(spans []span) string {
	var text strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		for _, s := range spans {
			if s.parent() == parent {
				fmt.Fprintf(&text, "%s%s\n", indent, s)
				draw(s.id(), indent+"  ")
			}
		}
	}
	known := make(map[string]bool)
	for _, s := range spans {
		known[s.id()] = true
	}
	drawnRoots := make(map[string]bool)
	for _, s := range spans {
		if p := s.parent(); !known[p] && !drawnRoots[p] {
			drawnRoots[p] = true
			draw(p, "")
		}
	}
	return text.String()
}

// below is the only child of parent with this name.
func below(t *testing.T, spans []span, parent span, name string) span {
	t.Helper()
	at := slices.IndexFunc(spans, func(s span) bool { return s.parent() == parent.id() && s.String() == name })
	if at < 0 {
		t.Fatalf("%q has no %q below it:\n%s", parent, name, drawn(spans))
	}
	return spans[at]
}

// ofACreate are spans that a create makes, from the request to the fact that the meeting is ready.
func ofACreate(gateway, meetings, scheduler string) []string {
	return []string{
		gateway + ": POST /api/v1/meetings", gateway + ": send meet.cmd.meeting.create",
		meetings + ": process meet.cmd.meeting.create", meetings + ": commit", meetings + ": pipeline", meetings + ": send meet.job.google.sync_meeting",
		meetings + ": send meet.evt.meeting.created",
		scheduler + ": process meet.job.google.sync_meeting", scheduler + ": calendar.events.insert", scheduler + ": send meet.cmd.meeting.synced",
		meetings + ": process meet.cmd.meeting.synced", meetings + ": send meet.evt.meeting.ready",
	}
}

const aTracedMeeting = `{"organizer_email":"doctor@clinic.example","invited_emails":["patient@mail.example"],"summary":"Secret matter"}`

func TestACreateIsOneTraceThroughAllPrograms(t *testing.T) {
	c := collect(t)
	a := runApart(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20collector-token")
	events := a.tap("meet.evt.meeting.ready", nats.UserInfo(natsperm.Observer, "pass of "+natsperm.Observer))

	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	if got := a.send("POST", "meetings/", aTracedMeeting, "Traceparent", "00-"+trace+"-"+caller+"-01"); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	spans := c.whole(trace, caller, ofACreate("gateway", "meetings", "scheduler")...)
	t.Log("\n" + drawn(spans))

	request := spans[slices.IndexFunc(spans, func(s span) bool { return s.parent() == caller })]
	process := below(t, spans, below(t, spans, request, "gateway: send meet.cmd.meeting.create"), "meetings: process meet.cmd.meeting.create")
	below(t, spans, below(t, spans, process, "meetings: commit"), "meetings: pipeline")
	below(t, spans, process, "meetings: send meet.evt.meeting.created")
	job := below(t, spans, below(t, spans, process, "meetings: send meet.job.google.sync_meeting"), "scheduler: process meet.job.google.sync_meeting")
	below(t, spans, job, "scheduler: calendar.events.insert")
	outcome := below(t, spans, below(t, spans, job, "scheduler: send meet.cmd.meeting.synced"), "meetings: process meet.cmd.meeting.synced")
	below(t, spans, outcome, "meetings: send meet.evt.meeting.ready")

	if parent := parentOf(t, events); parent != "00-"+trace+"-"+outcome.id()+"-01" {
		t.Errorf("meeting.ready says it is from %q", parent)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"doctor@", "patient@", "clinic.example", "mail.example", "Secret matter", "collector-token", "pass of ", "Bearer", "127.0.0.1"} {
		if strings.Contains(string(c.raw), secret) {
			t.Errorf("the collector was told %q", secret)
		}
	}
	if c.token != "Bearer collector-token" {
		t.Errorf("the collector was shown %q", c.token)
	}
	a.check()
}

func TestATraceBeginsHereWhereTheCallerHasNone(t *testing.T) {
	c := collect(t)
	p := run(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL)
	const callers, each = 8, 4
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for range each {
				if got := p.send("POST", "meetings/", aTracedMeeting); got.status != 201 {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
		})
	}
	calling.Wait()
	const all = "meet-middleware"
	traces := make(map[string]bool)
	for deadline := time.After(patience); len(traces) < callers*each; { // the last ones may be on their way
		select {
		case <-c.more:
		case <-deadline:
			t.Fatalf("%d traces came of %d creates", len(traces), callers*each)
		}
		c.mu.Lock()
		for _, s := range c.all {
			if s.Name == "POST /api/v1/meetings" {
				traces[s.trace()] = true
			}
		}
		c.mu.Unlock()
	}
	shared := 0
	for trace := range traces {
		// The one transaction of several is in the first's trace; the others are linked with it.
		names := slices.DeleteFunc(ofACreate(all, all, all), func(name string) bool { return name == all+": commit" || name == all+": pipeline" })
		for _, s := range c.whole(trace, "", names...) {
			if s.Name == "process meet.cmd.meeting.create" && len(s.Links) > 0 {
				shared++
			}
		}
	}
	t.Logf("%d of %d creates were committed in another's transaction", shared, callers*each)
}

func TestACallerWhoKeepsNoTraceIsHeeded(t *testing.T) {
	c := collect(t)
	p := run(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL)
	const trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	events := p.tap("meet.evt.meeting.ready")
	if got := p.send("POST", "meetings/", aTracedMeeting, "Traceparent", "00-"+trace+"-"+caller+"-00"); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if parent := parentOf(t, events); !strings.HasPrefix(parent, "00-"+trace+"-") || !strings.HasSuffix(parent, "-00") {
		t.Errorf("meeting.ready says it is of trace %q", parent)
	}
	// Spans are sent in the order in which they end: one that is kept comes after what is not.
	const kept = "5bf92f3577b34da6a3ce929d0e0e4736"
	if got := p.send("POST", "meetings/", aTracedMeeting, "Traceparent", "00-"+kept+"-"+caller+"-01"); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	c.whole(kept, caller, ofACreate("meet-middleware", "meet-middleware", "meet-middleware")...)
	if spans := c.of(trace); len(spans) > 0 {
		t.Errorf("kept all the same:\n%s", drawn(spans))
	}
}

func TestACollectorThatIsAwayCostsNoRequest(t *testing.T) {
	collectors := map[string]http.HandlerFunc{
		"says no": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"says nothing": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server never sees that the caller is gone
			<-r.Context().Done()
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range collectors {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
			t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8") // full at once
			t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
			away := httptest.NewServer(answer)
			defer away.Close()
			p, stop := start(t, t.TempDir(), "OTEL_EXPORTER_OTLP_ENDPOINT="+away.URL)
			for range 5 {
				if got := p.send("POST", "meetings/", aTracedMeeting); got.status != 201 {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			away.CloseClientConnections()
			began := time.Now()
			stop()
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the stop took %s", took)
			}
		})
	}
}

// tap follows the events of a subject from here on, as whoever options log in as.
func (p product) tap(subject string, options ...nats.Option) *nats.Subscription {
	p.t.Helper()
	conn, err := nats.Connect(p.NATS, options...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(conn.Close)
	sub, err := conn.SubscribeSync(subject)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		p.t.Fatal(err)
	}
	return sub
}

// parentOf is the ce-traceparent of the next event.
func parentOf(t *testing.T, events *nats.Subscription) string {
	t.Helper()
	msg, err := events.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	return msg.Header.Get("ce-traceparent")
}
