package tracing_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// provider is made from the environment, as a program's is.
func provider(t *testing.T, log *slog.Logger, environ ...string) (trace.TracerProvider, func(context.Context)) {
	t.Helper()
	c, err := config.Load[tracing.Config](environ)
	if err != nil {
		t.Fatal(err)
	}
	p, stop, err := tracing.New(c, log)
	if err != nil {
		t.Fatal(err)
	}
	return p, stop
}

func TestNothingIsMadeWhereNoCollectorIsNamed(t *testing.T) {
	for name, environ := range map[string][]string{
		"nothing set": nil, "switched off": {"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_SDK_DISABLED=true"},
	} {
		p, stop := provider(t, slog.New(slog.DiscardHandler), environ...)
		if !tracing.Off(p) {
			t.Errorf("%s: traces all the same", name)
		}
		stop(t.Context())
	}
	if allocated := testing.AllocsPerRun(100, func() {
		ctx, span := tracing.Start(t.Context(), "x")
		tracing.End(span, "")
		_ = tracing.Traceparent(ctx)
	}); allocated > 0 {
		t.Errorf("what is not traced costs %v allocations", allocated)
	}
}

func TestSettingsThatCantBeAreNamed(t *testing.T) {
	for setting, variable := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318":            "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=ftp://collector":    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_HEADERS=hunter2":                    "OTEL_EXPORTER_OTLP_HEADERS",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                      "OTEL_EXPORTER_OTLP_PROTOCOL",
		"OTEL_TRACES_SAMPLER=jaeger_remote":                     "OTEL_TRACES_SAMPLER",
		"OTEL_TRACES_SAMPLER_ARG=1.5":                           "OTEL_TRACES_SAMPLER_ARG",
		"OTEL_TRACES_SAMPLER_ARG=NaN":                           "OTEL_TRACES_SAMPLER_ARG",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment%=prod": "",
		"OTEL_RESOURCE_ATTRIBUTES=a=%zz":                        "OTEL_RESOURCE_ATTRIBUTES",
	} {
		_, err := config.Load[tracing.Config]([]string{setting})
		problems := config.Problems(err)
		switch {
		case variable == "":
			if err != nil {
				t.Errorf("%s: %v", setting, err)
			}
		case len(problems) != 1 || problems[0].Variable != variable || strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestTheSamplerIsAsNamed(t *testing.T) {
	const kept, dropped = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for sampler, want := range map[string][3]bool{ // by a parent that is kept, by one that is not, without one
		"":                      {true, false, true},
		"always_on":             {true, true, true},
		"always_off":            {false, false, false},
		"parentbased_always_on": {true, false, true}, "parentbased_always_off": {true, false, false},
		"parentbased_traceidratio": {true, false, false}, "traceidratio": {false, false, false},
	} {
		p, stop := provider(t, slog.New(slog.DiscardHandler), "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_SAMPLER="+sampler, "OTEL_TRACES_SAMPLER_ARG=0")
		for i, parent := range []string{kept, dropped, ""} {
			ctx, _ := tracing.Parent(t.Context(), parent)
			_, span := p.Tracer("test").Start(ctx, "x")
			if span.IsRecording() != want[i] {
				t.Errorf("%s with parent %q: recorded is %v", sampler, parent, span.IsRecording())
			}
		}
		over, cancel := context.WithCancel(t.Context())
		cancel() // nobody listens there
		stop(over)
	}
}

func TestACollectorThatTakesNothingIsSaidOnce(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	asked := make(chan struct{}, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		asked <- struct{}{}
	}))
	defer collector.Close()
	var lines bytes.Buffer
	p, stop := provider(t, logging.New(&lines, logging.Config{}), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+collector.URL+"/there", "OTEL_EXPORTER_OTLP_HEADERS=authorization=hunter2")
	for range 3 {
		_, span := p.Tracer("test").Start(t.Context(), "x")
		span.End()
		<-asked
	}
	stop(t.Context())
	if got := strings.Count(lines.String(), "traces are lost"); got != 1 || strings.Contains(lines.String(), "hunter2") {
		t.Errorf("said %d times:\n%s", got, lines.String())
	}
}

func TestTheStopWaitsNotLong(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server never sees that the caller is gone
		<-r.Context().Done()
	}))
	defer collector.Close()
	defer collector.CloseClientConnections()
	p, stop := provider(t, slog.New(slog.DiscardHandler), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL)
	_, span := p.Tracer("test").Start(t.Context(), "x")
	span.End()
	began := time.Now()
	stop(t.Context())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

func TestALineIsOfItsTrace(t *testing.T) {
	var lines bytes.Buffer
	log := logging.New(&lines, logging.Config{})
	p, stop := provider(t, log, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_SAMPLER=always_off")
	defer stop(t.Context())
	ctx, _ := tracing.Parent(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	log.InfoContext(ctx, "of the caller's")
	ctx, span := p.Tracer("test").Start(ctx, "x")
	log.InfoContext(ctx, "of ours")
	log.InfoContext(t.Context(), "of none")
	said := strings.Split(lines.String(), "\n")
	const id = `"trace_id":"0af7651916cd43dd8448eb211c80319c"`
	if !strings.Contains(said[0], id) || strings.Contains(said[0], "span_id") {
		t.Error(said[0])
	}
	if !strings.Contains(said[1], id) || !strings.Contains(said[1], `"span_id":"`+span.SpanContext().SpanID().String()) {
		t.Error(said[1])
	}
	if strings.Contains(said[2], "trace_id") {
		t.Error(said[2])
	}
}
