package standalone_test

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/meetings"
	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

//go:generate go test -run ^TestThePageOfMetricsIsCurrent$ -count=1 . -update

// metric is one that a program registers.
type metric struct {
	name, kind, help string
	labels           []string
	programs         []string
}

// recorder notes what is registered.
type recorder struct {
	prometheus.Registerer

	collectors []prometheus.Collector
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return r.Registerer.Register(c)
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	r.collectors = append(r.collectors, cs...)
	r.Registerer.MustRegister(cs...)
}

var description = regexp.MustCompile(`^Desc\{fqName: ("[^"]*"), help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// kindOf is a collector's type; those that read what they show when asked have counters by their names.
func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}

// registered are the metrics that a program registers when it is built; it is not started.
func registered(t *testing.T, program fx.Option) []metric {
	t.Helper()
	var recording recorder
	var gatherer prometheus.Gatherer
	app := fx.New(program, fx.NopLogger, fx.Populate(&gatherer),
		fx.Decorate(func(r prometheus.Registerer) prometheus.Registerer {
			recording.Registerer = r
			return &recording
		}))
	if err := app.Err(); err != nil {
		t.Fatal(err)
	}
	found := map[string]metric{}
	for _, c := range recording.collectors {
		described := make(chan *prometheus.Desc)
		go func() {
			defer close(described)
			c.Describe(described)
		}()
		for d := range described {
			m := description.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("another form than this test reads: %s", d)
			}
			name, err1 := strconv.Unquote(m[1])
			help, err2 := strconv.Unquote(m[2])
			if err1 != nil || err2 != nil {
				t.Fatalf("%s: %v %v", d, err1, err2)
			}
			var labels []string
			if m[4] != "" {
				labels = strings.Split(m[4], ",")
			}
			found[name] = metric{name: name, kind: kindOf(c, name), help: help, labels: labels}
		}
	}
	// What is there before anything is registered, and whether the kinds above are true. What reads a database fails: it is not there.
	families, _ := gatherer.Gather()
	for _, f := range families {
		name, kind := f.GetName(), strings.ToLower(f.GetType().String())
		if known, ok := found[name]; ok {
			if known.kind != kind {
				t.Errorf("%s is a %s, taken for a %s", name, kind, known.kind)
			}
			continue
		}
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			m := metric{name: name, kind: kind, help: f.GetHelp()}
			for _, l := range f.GetMetric()[0].GetLabel() {
				m.labels = append(m.labels, l.GetName())
			}
			found[name] = m
		}
	}
	return slices.Collect(maps.Values(found))
}

// programs are the services' whole graphs.
func programs(t *testing.T) map[string]fx.Option {
	t.Helper()
	environ := []string{"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "MEET_EMULATOR_URL=http://127.0.0.1:1"}
	return map[string]fx.Option{
		"gateway":   gateway.Program(loaded[gateway.Settings](t, environ)),
		"meetings":  meetings.Program(loaded[meetings.Settings](t, environ)),
		"scheduler": scheduler.Program(loaded[scheduler.Settings](t, environ)),
	}
}

func loaded[S any](t *testing.T, environ []string) S {
	t.Helper()
	settings, err := config.Load[S](environ)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// allMetrics are those of the three services, by name; one that several have is the same at each.
func allMetrics(t *testing.T) []metric {
	t.Helper()
	byName := map[string]*metric{}
	for _, program := range []string{"gateway", "meetings", "scheduler"} {
		for _, m := range registered(t, programs(t)[program]) {
			if program == "gateway" && strings.HasPrefix(m.name, "meet_consumer_") {
				continue // its connection could show it, and it consumes nothing
			}
			known := byName[m.name]
			if known == nil {
				known = &m
				byName[m.name] = known
			}
			if known.help != m.help || known.kind != m.kind || !slices.Equal(known.labels, m.labels) {
				t.Errorf("%s of the %s is not what it is elsewhere", m.name, program)
			}
			known.programs = append(known.programs, program)
		}
	}
	var all []metric
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		all = append(all, *byName[name])
	}
	return all
}

// labelled says what each label holds. All are closed sets, so that nobody from outside makes the metrics grow.
var labelled = map[string]string{
	"api":        "an API of Google: `calendar`, `meet`, `drive`, `events`, `directory`",
	"class":      "a class of jobs ([subjects](subjects.md#jobs)); at `meet_google_quota_…` a class of calls ([quotas](../quotas.md))",
	"code":       "of HTTP: the status; of exports: the code of the failure",
	"commit":     "of the source",
	"consumer":   "a durable consumer: `meetings`, `scheduler-<class>`",
	"dependency": "what /readyz calls it: `postgres`, `nats`, `relay`, `meetings`, `google`, `export`, `notices`",
	"direction":  "`written`, `kept` or `read_back`",
	"kind":       "a command without its `meet.cmd.` ([subjects](subjects.md#commands))",
	"method":     "of queries: the method; of Google: the API's method, `token` for an access token",
	"outcome":    "what came of it; the meaning names those there are",
	"pool":       "`commands` or `lists`",
	"reason":     "of missing recordings: [why](../recordings.md); of put-off calls: `user`, `project`, `breaker`, `nats`",
	"route":      "the first part of the path under /api/v1/, an RPC's whole path, `other`, `other rpc`",
	"scope":      "whose share was used up: `project` or `user`",
	"state":      "of jobs: `planned`, `due`, `out`, `failed`; of pools: `acquired`, `idle`, `constructing`",
	"step":       "`exported`, `verified`, `checked`, `deleted`, `shared`",
	"stream":     "a stream of JetStream ([subjects](subjects.md#streams))",
	"version":    "as `git describe` says",
	"window":     "`24h` or `7d`",
}

func unit(m metric) string {
	name := strings.TrimSuffix(m.name, "_total")
	for _, u := range []string{"seconds", "bytes"} {
		if strings.HasSuffix(name, "_"+u) {
			return u
		}
	}
	return ""
}

func TestThePageOfMetricsIsCurrent(t *testing.T) {
	var b bytes.Buffer
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	write("# Metrics\n")
	write("Made by `make generate` from what the programs register. Each service shows its own at `/metrics` of its ops port; the all-in-one")
	write("program shows those of all three. Beside them are those of the Go runtime (`go_…`) and of the process (`process_…`, among them")
	write("`process_start_time_seconds`). A histogram has `_bucket`, `_sum` and `_count`. How to watch them: [watch it](../how-to/watch-it.md).\n")
	write("What is read from Postgres or NATS is the same at every instance: take the `max`, never the sum. While its source is away it is not shown.\n")
	used := map[string]bool{}
	for _, m := range allMetrics(t) {
		if m.help == "" {
			t.Errorf("%s says nothing", m.name)
		}
		for _, l := range m.labels {
			used[l] = true
			if labelled[l] == "" {
				t.Errorf("%s: nobody says what the label %s holds", m.name, l)
			}
		}
	}
	write("| metric | type | labels | unit | service | meaning |\n| --- | --- | --- | --- | --- | --- |")
	for _, m := range allMetrics(t) {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		write("| `%s` | %s | %s | %s | %s | %s |", m.name, m.kind, labels, unit(m), strings.Join(m.programs, ", "), strings.ReplaceAll(m.help, "|", `\|`))
	}
	write("\n## Labels\n")
	write("| label | holds |\n| --- | --- |")
	for _, l := range slices.Sorted(maps.Keys(labelled)) {
		if !used[l] {
			t.Errorf("no metric has the label %s", l)
		}
		write("| `%s` | %s |", l, labelled[l])
	}
	golden.Equal(t, tree+"/docs/reference/metrics.md", b.Bytes())
}

// TestWhatIsShownIsOnThePage asks a program that runs, so that what is not registered in the usual way is found too.
func TestWhatIsShownIsOnThePage(t *testing.T) {
	onPage := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(meet_[a-z_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(page(t, "docs/reference/metrics.md"), -1) {
		onPage[m[1]] = m[2]
	}
	p := run(t)
	status, body := p.ops("metrics")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	shown := 0
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(body, -1) {
		if strings.HasPrefix(m[1], "go_") || strings.HasPrefix(m[1], "process_") {
			continue
		}
		shown++
		if onPage[m[1]] != m[2] {
			t.Errorf("%s is a %s, and on the page %q", m[1], m[2], onPage[m[1]])
		}
	}
	if shown < len(onPage)/2 {
		t.Errorf("%d are shown of %d", shown, len(onPage))
	}
}
