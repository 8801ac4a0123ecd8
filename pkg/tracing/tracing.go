// Package tracing joins what one request makes the programs do into one OpenTelemetry trace: it makes the provider that sends
// spans to a collector by OTLP over HTTP, and carries W3C trace context in the header of a message and in the column of a row.
// Nothing here is global, and where no collector is named nothing is made: a span's child comes from the provider of its parent.
// What spans are called and hold is their makers' business; none holds a body, a query's parameters, a secret or anybody's address.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/buildinfo"
	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// Config of tracing. The names are OpenTelemetry's own; docs/how-to/follow-a-trace.md says which others its library honours.
type Config struct {
	Endpoint           string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"URL of a collector that takes OTLP over HTTP, such as http://collector:4318; /v1/traces is added to it; absent: nothing is traced"`
	TracesEndpoint     string        `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" help:"whole URL that traces are sent to; wins over OTEL_EXPORTER_OTLP_ENDPOINT"`
	Headers            config.Secret `env:"OTEL_EXPORTER_OTLP_HEADERS" help:"headers of what is sent to the collector, such as authorization=Bearer%20token; several are separated by commas"`
	Protocol           string        `env:"OTEL_EXPORTER_OTLP_PROTOCOL" envDefault:"http/protobuf" oneof:"http/protobuf" help:"how the collector is spoken to; there is no other way"`
	Sampler            string        `env:"OTEL_TRACES_SAMPLER" envDefault:"parentbased_always_on" oneof:"always_on always_off traceidratio parentbased_always_on parentbased_always_off parentbased_traceidratio" help:"which traces are kept; parentbased: as the caller's traceparent says, where there is one"`
	SamplerArg         string        `env:"OTEL_TRACES_SAMPLER_ARG" help:"share of traces that the traceidratio samplers keep, 0 to 1; absent: 1"`
	ServiceName        string        `env:"OTEL_SERVICE_NAME" help:"service.name of the spans; absent: the program's name"`
	ResourceAttributes string        `env:"OTEL_RESOURCE_ATTRIBUTES" help:"more attributes of the program, such as deployment.environment.name=production; several are separated by commas"`
	Disabled           bool          `env:"OTEL_SDK_DISABLED" envDefault:"False" help:"trace nothing, whatever else is set"`

	// Name is the program's. Set by code.
	Name string `env:"-"`
}

// Check says what is wrong with the settings.
func (c Config) Check() error {
	var problems []error
	for variable, text := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.Endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": c.TracesEndpoint} {
		if text == "" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			problems = append(problems, config.Bad(variable, "is no http:// or https:// URL", "write as http://collector:4318"))
		}
	}
	if _, err := pairs(c.Headers.Reveal()); err != nil {
		problems = append(problems, config.Bad("OTEL_EXPORTER_OTLP_HEADERS", "is no list of name=value", "write as authorization=Bearer%20token"))
	}
	if _, err := pairs(c.ResourceAttributes); err != nil {
		problems = append(problems, config.Bad("OTEL_RESOURCE_ATTRIBUTES", "is no list of name=value", "write as deployment.environment.name=production"))
	}
	if _, err := c.share(); err != nil {
		problems = append(problems, config.Bad("OTEL_TRACES_SAMPLER_ARG", fmt.Sprintf("%q is not from 0 to 1", c.SamplerArg), "write 0.01 for one trace in a hundred"))
	}
	return errors.Join(problems...)
}

// url is where traces go; empty: nowhere.
func (c Config) url() string {
	switch {
	case c.Disabled:
		return ""
	case c.TracesEndpoint != "":
		return c.TracesEndpoint
	case c.Endpoint != "":
		return strings.TrimRight(c.Endpoint, "/") + "/v1/traces"
	}
	return ""
}

func (c Config) share() (float64, error) {
	if c.SamplerArg == "" {
		return 1, nil
	}
	share, err := strconv.ParseFloat(c.SamplerArg, 64)
	if err != nil || !(share >= 0 && share <= 1) { // NaN is neither
		return 0, fmt.Errorf("%q is no share", c.SamplerArg)
	}
	return share, nil
}

func (c Config) sampler() sdk.Sampler {
	share, _ := c.share() // Check has seen it
	name, byParent := strings.CutPrefix(c.Sampler, "parentbased_")
	root := sdk.AlwaysSample()
	switch name {
	case "always_off":
		root = sdk.NeverSample()
	case "traceidratio":
		root = sdk.TraceIDRatioBased(share)
	}
	if byParent || c.Sampler == "" {
		return sdk.ParentBased(root)
	}
	return root
}

// pairs reads a list of name=value (OpenTelemetry's environment variables; W3C Baggage without properties).
func pairs(text string) (map[string]string, error) {
	found := make(map[string]string)
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, escaped, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(strings.TrimSpace(escaped))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, errors.New("a part is no name=value") // without the part, which may be a secret
		}
		found[name] = value
	}
	return found, nil
}

const (
	// exportWait bounds one try to reach the collector.
	exportWait = 10 * time.Second
	// flushWait bounds the sending of what is left at the stop, within the 10 s that a program has for it.
	flushWait = 2 * time.Second
	// complainEvery is how often the log says that the collector takes nothing.
	complainEvery = time.Minute
)

// New makes a provider of tracers that sends spans to the collector, beside the work: what finds no room in its queue is dropped.
// Where no collector is named it is one that [Off] knows. stop sends what is left.
func New(c Config, log *slog.Logger) (provider trace.TracerProvider, stop func(context.Context), err error) {
	target := c.url()
	if target == "" {
		return noop.NewTracerProvider(), func(context.Context) {}, nil
	}
	headers, err := pairs(c.Headers.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("read OTEL_EXPORTER_OTLP_HEADERS: %w", err)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(target), otlptracehttp.WithTimeout(exportWait)}
	if len(headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(headers))
	}
	sender, err := otlptracehttp.New(context.Background(), options...) // it connects to nothing yet
	if err != nil {
		return nil, nil, fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := c.resource()
	if err != nil {
		return nil, nil, err
	}
	made := sdk.NewTracerProvider(sdk.WithSampler(c.sampler()), sdk.WithResource(about), sdk.WithBatcher(&exporter{SpanExporter: sender, log: log}))
	return made, func(ctx context.Context) {
		ctx, cancel := context.WithTimeoutCause(ctx, flushWait, fmt.Errorf("the collector took not all within %s", flushWait))
		defer cancel()
		if err := made.Shutdown(ctx); err != nil {
			log.WarnContext(ctx, "the last traces were not sent", "error", errors.Join(err, context.Cause(ctx)))
		}
	}, nil
}

func (c Config) resource() (*resource.Resource, error) {
	more, err := pairs(c.ResourceAttributes)
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	about := map[string]string{"service.name": c.Name, "service.namespace": "meet-middleware", "service.version": buildinfo.Version()}
	for name, value := range more {
		about[name] = value
	}
	if c.ServiceName != "" {
		about["service.name"] = c.ServiceName
	}
	attributes := make([]attribute.KeyValue, 0, len(about))
	for name, value := range about {
		attributes = append(attributes, attribute.String(name, value))
	}
	return resource.NewSchemaless(attributes...), nil
}

// Off tells whether nothing is traced.
func Off(provider trace.TracerProvider) bool {
	_, off := provider.(noop.TracerProvider)
	return off
}

// exporter keeps a collector that takes nothing from filling the log: it is said once in a while, and when it is over.
type exporter struct {
	sdk.SpanExporter

	log *slog.Logger

	mu   sync.Mutex
	lost int
	said time.Time
}

// ExportSpans never fails: the library would write its error past the log.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		if e.lost > 0 {
			e.log.InfoContext(ctx, "the collector takes traces again", "spans_lost", e.lost)
			e.lost, e.said = 0, time.Time{}
		}
		return nil
	}
	e.lost += len(spans)
	if time.Since(e.said) >= complainEvery { // how often the log is written stays on real time
		e.said = time.Now()
		e.log.WarnContext(ctx, "traces are lost: the collector does not take them", "spans_lost", e.lost, "error", err)
	}
	return nil
}

// Module is the provider of tracers. Needs Config and *slog.Logger; provides trace.TracerProvider.
var Module = fx.Module("tracing", fx.Provide(func(lc fx.Lifecycle, c Config, log *slog.Logger) (trace.TracerProvider, error) {
	provider, stop, err := New(c, log)
	if err == nil {
		lc.Append(fx.StopHook(stop))
	}
	return provider, err
}))
