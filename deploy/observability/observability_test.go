// Package observability holds rules and dashboards to the metrics that the programs have: docs/reference/metrics.md, which a test of
// services/standalone compares with the code. It queries no Prometheus but a part of its own.
package observability

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

const tree = "../.."

// foreign are the metrics that Prometheus, Go and the process bring along, with their labels.
var foreign = map[string][]string{
	"up": nil, "scrape_duration_seconds": nil, "ALERTS": {"alertname", "alertstate", "severity"},
	"process_start_time_seconds": nil, "process_resident_memory_bytes": nil, "process_cpu_seconds_total": nil, "process_open_fds": nil,
	"go_goroutines": nil, "go_gc_duration_seconds_sum": nil,
}

// scraped are the labels that a scrape adds.
var scraped = []string{"job", "instance"}

var promQL = parser.NewParser(parser.Options{})

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var row = regexp.MustCompile("(?m)^\\| `(meet_[a-z_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\|")

// metrics are the series that can be asked for, with their labels: those of the page, those of others, and what is recorded.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	known := maps.Clone(foreign)
	for _, m := range row.FindAllStringSubmatch(read(t, tree+"/docs/reference/metrics.md"), -1) {
		var names []string
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(m[3], -1) {
			names = append(names, l[1])
		}
		if m[2] == "histogram" {
			known[m[1]+"_bucket"] = append([]string{"le"}, names...)
			known[m[1]+"_sum"], known[m[1]+"_count"] = names, names
			continue
		}
		known[m[1]] = names
	}
	if len(known) < len(foreign)+40 {
		t.Fatalf("the page has %d metrics", len(known)-len(foreign))
	}
	for name := range known {
		known[name] = append(slices.Clone(known[name]), scraped...)
	}
	for _, r := range rules(t) {
		if r.Record == "" {
			continue
		}
		expr, err := promQL.ParseExpr(r.Expr)
		if err != nil {
			t.Fatalf("%s: %v", r.Record, err)
		}
		known[r.Record] = leaves(expr)
	}
	return known
}

// leaves are the labels that an expression's series have, as far as aggregations say.
func leaves(expr parser.Expr) []string {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		return e.Grouping
	case *parser.ParenExpr:
		return leaves(e.Expr)
	case *parser.BinaryExpr:
		return append(slices.Clone(leaves(e.LHS)), leaves(e.RHS)...)
	}
	return nil
}

func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	files, err := filepath.Glob("rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("rules: %v %v", files, err)
	}
	var all []rulefmt.Rule
	for _, file := range files {
		groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
		for _, err := range errs {
			t.Error(err)
		}
		if groups == nil {
			t.FailNow()
		}
		for _, g := range groups.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

// jobs are the names of the scrapes.
func jobs(t *testing.T) map[string]int {
	t.Helper()
	var config struct {
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
			DNS     []struct {
				Names []string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus.yml")), &config); err != nil {
		t.Fatal(err)
	}
	ports := map[string]int{}
	for _, c := range config.ScrapeConfigs {
		ports[c.JobName] = 0
		for _, d := range c.DNS {
			if !slices.Equal(d.Names, []string{c.JobName}) {
				t.Errorf("%s is looked for as %v", c.JobName, d.Names)
			}
			ports[c.JobName] = d.Port
		}
	}
	return ports
}

// check holds one expression to what there is.
func check(t *testing.T, where, text string, known map[string][]string, scrapes map[string]int) {
	t.Helper()
	expr, err := promQL.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v: %s", where, err, text)
		return
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			has, ok := known[n.Name]
			if !ok {
				t.Errorf("%s: no program has %s", where, n.Name)
				return nil
			}
			for _, m := range n.LabelMatchers {
				if m.Name == model.MetricNameLabel {
					continue
				}
				if !slices.Contains(has, m.Name) {
					t.Errorf("%s: %s has no label %s", where, n.Name, m.Name)
				}
				if m.Name == "job" {
					checkJobs(t, where, m, scrapes)
				}
				checkValues(t, where, m)
			}
		case *parser.AggregateExpr:
			for _, l := range n.Grouping {
				if !slices.Contains(below(n.Expr, known), l) {
					t.Errorf("%s: nothing in %s has the label %s", where, n, l)
				}
			}
		case *parser.Call:
			if n.Func.Name == "histogram_quantile" {
				checkQuantile(t, where, n)
			}
		}
		return nil
	})
}

// checkJobs wants all that a matcher of job lets in to be scraped.
func checkJobs(t *testing.T, where string, m *labels.Matcher, scrapes map[string]int) {
	t.Helper()
	for name := range strings.SplitSeq(m.Value, "|") {
		if _, ok := scrapes[name]; !ok {
			t.Errorf("%s: nothing scrapes %s", where, name)
		}
	}
}

// checkValues wants every value that a matcher names to be one that the pages know.
func checkValues(t *testing.T, where string, m *labels.Matcher) {
	t.Helper()
	pages, closed := map[string][]string{
		"outcome": {"metrics.md", "errors.md"}, "reason": {"../recordings.md", "metrics.md"}, "stream": {"subjects.md"},
		"state": {"metrics.md"}, "window": {"metrics.md"}, "dependency": {"metrics.md"}, "pool": {"metrics.md"},
	}[m.Name]
	if !closed {
		return
	}
	var text strings.Builder
	for _, p := range pages {
		text.WriteString(read(t, filepath.Join(tree, "docs/reference", p)))
	}
	for value := range strings.SplitSeq(m.Value, "|") {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(value) + `\b`).MatchString(text.String()) {
			t.Errorf("%s: %s is never %s", where, m.Name, value)
		}
	}
}

func checkQuantile(t *testing.T, where string, call *parser.Call) {
	t.Helper()
	sum, ok := call.Args[1].(*parser.AggregateExpr)
	if !ok || !slices.Contains(sum.Grouping, "le") {
		t.Errorf("%s: %s is not summed by le", where, call)
	}
	parser.Inspect(call, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && !strings.HasSuffix(s.Name, "_bucket") {
			t.Errorf("%s: %s is no histogram's bucket", where, s.Name)
		}
		return nil
	})
}

// below are the labels of all series in an expression.
func below(expr parser.Expr, known map[string][]string) []string {
	var all []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			all = append(all, known[s.Name]...)
		}
		return nil
	})
	return all
}

func TestEveryRuleAsksForWhatThereIs(t *testing.T) {
	known, scrapes := metrics(t), jobs(t)
	names := map[string]bool{}
	for _, r := range rules(t) {
		name := r.Alert + r.Record
		if names[name] {
			t.Errorf("two rules are called %s", name)
		}
		names[name] = true
		check(t, name, r.Expr, known, scrapes)
	}
}

const repository = "https://github.com/meet-middleware/meet-middleware/blob/main/"

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	alerts := map[string]bool{}
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		for _, a := range []string{"summary", "description"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", r.Alert, a)
			}
		}
		page, anchor, _ := strings.Cut(strings.TrimPrefix(r.Annotations["runbook_url"], repository), "#")
		if !strings.HasPrefix(page, "docs/runbooks/") || anchor != strings.ToLower(r.Alert) {
			t.Errorf("%s: runbook %s", r.Alert, r.Annotations["runbook_url"])
			continue
		}
		_, section, found := strings.Cut(read(t, filepath.Join(tree, page)), "\n## "+r.Alert+"\n")
		if !found {
			t.Errorf("%s has no heading %s", page, r.Alert)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, part := range []string{"**Means**", "**Affects**", "**Look**", "**Do**", "**Over**"} {
			if !strings.Contains(section, part) {
				t.Errorf("the runbook of %s says nothing under %s", r.Alert, part)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (Meet\w+)$`).FindAllStringSubmatch(read(t, tree+"/docs/runbooks/alerts.md"), -1) {
		if !alerts[m[1]] {
			t.Errorf("there is a runbook of %s and no such alert", m[1])
		}
	}
	for _, name := range regexp.MustCompile(`Meet[A-Z]\w+`).FindAllString(read(t, "alertmanager.yml"), -1) {
		if !alerts[name] {
			t.Errorf("alertmanager.yml names %s, and there is no such alert", name)
		}
	}
}

// dashboard is what is looked at of one.
type dashboard struct {
	UID, Title, Description string
	Panels                  []panel
	Annotations             struct {
		List []struct{ Name, Expr string }
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Datasource               struct{ UID string }
	Targets                  []struct{ Expr string }
}

var variables = strings.NewReplacer("$__rate_interval", "1m", "$__interval", "1m", "$__range", "1h")

func TestEveryPanelAsksForWhatThereIs(t *testing.T) {
	known, scrapes := metrics(t), jobs(t)
	sources := read(t, "grafana/provisioning/datasources/prometheus.yaml")
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v %v", files, err)
	}
	uids := map[string]string{}
	for _, file := range files {
		var d dashboard
		if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if d.UID == "" || d.Title == "" || d.Description == "" || uids[d.UID] != "" {
			t.Errorf("%s has no uid, title or description, or the uid of %s", file, uids[d.UID])
		}
		uids[d.UID] = file
		for _, a := range d.Annotations.List {
			check(t, file+": "+a.Name, a.Expr, known, scrapes)
		}
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			where := fmt.Sprintf("%s: %s", file, p.Title)
			if ids[p.ID] || p.Title == "" {
				t.Errorf("%s: no title, or the id of another panel", where)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if x >= 24 || taken[[2]int{x, y}] != "" {
						t.Fatalf("%s lies on %q or beyond the edge", where, taken[[2]int{x, y}])
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || !strings.Contains(sources, "uid: "+p.Datasource.UID+"\n") {
				t.Errorf("%s lacks a description, a unit, a query or a data source", where)
			}
			for _, target := range p.Targets {
				check(t, where, variables.Replace(target.Expr), known, scrapes)
			}
		}
	}
}

// TestEveryMetricIsLookedAt keeps out what nobody would miss.
func TestEveryMetricIsLookedAt(t *testing.T) {
	var text strings.Builder
	for _, pattern := range []string{"rules/*.yaml", "grafana/dashboards/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text.WriteString(read(t, file))
		}
	}
	// Left over by what tells more.
	aside := map[string]bool{"meet_google_quota_tokens": true}
	for _, m := range row.FindAllStringSubmatch(read(t, tree+"/docs/reference/metrics.md"), -1) {
		if !regexp.MustCompile(`\b`+m[1]+`(_bucket|_sum|_count)?\b`).MatchString(text.String()) && !aside[m[1]] {
			t.Errorf("no rule and no panel looks at %s", m[1])
		}
	}
}

func TestTheScrapesAreOfTheStacksServices(t *testing.T) {
	var stack struct{ Services map[string]any }
	if err := yaml.Unmarshal([]byte(read(t, "../compose/compose.yaml")), &stack); err != nil {
		t.Fatal(err)
	}
	settings := read(t, tree+"/docs/config.md")
	for job, port := range jobs(t) {
		if port == 0 { // Prometheus itself
			continue
		}
		if stack.Services[job] == nil {
			t.Errorf("the stack has no %s", job)
		}
		_, own, _ := strings.Cut(settings, "\n## `"+job+"`\n")
		if own, _, _ = strings.Cut(own, "\n## "); !strings.Contains(own, fmt.Sprintf("127.0.0.1:%d", port)) {
			t.Errorf("the ops port of %s is not %d", job, port)
		}
	}
}

// TestWhoWatchesIsConfined holds what watches to the terms of what is watched: no right that it does not need, and nobody from outside.
func TestWhoWatchesIsConfined(t *testing.T) {
	var stack struct {
		Services map[string]struct {
			Image, User string
			ReadOnly    bool     `yaml:"read_only"`
			CapDrop     []string `yaml:"cap_drop"`
			SecurityOpt []string `yaml:"security_opt"`
			MemLimit    string   `yaml:"mem_limit"`
			Ports       []string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../compose/compose.observability.yaml")), &stack); err != nil {
		t.Fatal(err)
	}
	watching := 0
	for name, s := range stack.Services {
		if s.Image == "" { // one of compose.yaml, which is told where traces go
			continue
		}
		watching++
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.MemLimit == "" {
			t.Errorf("%s may do more than it has to: %+v", name, s)
		}
		if s.User == "" || strings.HasPrefix(s.User, "0") {
			t.Errorf("%s runs as %q", name, s.User)
		}
		if !regexp.MustCompile(`^[a-z/-]+:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("%s: %s has no fixed version", name, s.Image)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s is published on %s, and asks nobody who he is", name, p)
			}
		}
	}
	if watching < 5 {
		t.Errorf("%d programs watch", watching)
	}
}
