// Package helm tests the chart without a cluster: what its templates render with the values of examples/ is decoded strictly into
// the API's own types, and has to agree with itself and with what the programs' pages say.
package helm

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log" //nolint:depguard // the loader of charts writes there
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	chartDir  = "meet-middleware"
	release   = "prod"
	namespace = "meet"
)

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetOutput(io.Discard) // the loader tells of each symbolic link
	os.Exit(m.Run())
}

// examples are the values files that all tests render.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return files
}

// render gives the documents of each template, by its path in the chart.
func render(values chartutil.Values) (map[string]string, error) {
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		return nil, err
	}
	if err := chart.Validate(); err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.34.0", Major: "1", Minor: "34"}
	all, err := chartutil.ToRenderValues(chart, values, chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(chart, all)
}

func renderFile(t *testing.T, file string) map[string]string {
	t.Helper()
	values, err := chartutil.ReadValuesFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := render(values)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return rendered
}

// objects decodes everything but the notes; a field that a type does not have, one given twice and a kind that is not known are errors.
func objects(t *testing.T, rendered map[string]string) []runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme, autoscalingv2.AddToScheme, networkingv1.AddToScheme, monitoringv1.AddToScheme, addOperators,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []runtime.Object
	for name, text := range rendered {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for documents := yaml.NewYAMLReader(bufioOf(text)); ; {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if empty(document) {
				continue
			}
			object, _, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, document)
				continue
			}
			all = append(all, object)
		}
	}
	return all
}

// empty tells whether a document has nothing but comments.
func empty(document []byte) bool {
	for line := range bytes.Lines(document) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}

// each runs a test with what every example makes.
func each(t *testing.T, check func(t *testing.T, s set)) {
	for _, file := range examples(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			check(t, set(objects(t, renderFile(t, file))))
		})
	}
}

// copied is what other files of the repository say, to the end of its template: it is reviewed there, and compared by tests of its own.
var copied = regexp.MustCompile(`(?s)(\n  (?:accounts\.conf: \||groups:))\n.*`)

func TestExamplesRenderAsReviewed(t *testing.T) {
	for _, file := range examples(t) {
		rendered := renderFile(t, file)
		var text strings.Builder
		for _, name := range sortedKeys(rendered) {
			if body := strings.TrimSpace(copied.ReplaceAllString(rendered[name], "$1\n")); !empty([]byte(body)) {
				text.WriteString("# ---- " + strings.TrimPrefix(name, chartDir+"/templates/") + "\n" + body + "\n")
			}
		}
		golden := filepath.Join("testdata", strings.TrimSuffix(filepath.Base(file), ".yaml")+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text.String(), "\n")); diff != "" {
			t.Errorf("%s renders otherwise than %s; go test -update writes it anew:\n%s", file, golden, diff)
		}
	}
}

func TestEveryDocumentIsOfTheAPI(t *testing.T) {
	each(t, func(t *testing.T, s set) {
		for _, kind := range []string{"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "Pod"} {
			if !slices.ContainsFunc(s, func(o runtime.Object) bool { return o.GetObjectKind().GroupVersionKind().Kind == kind }) {
				t.Errorf("no %s is rendered", kind)
			}
		}
		for _, o := range s {
			if o.GetObjectKind().GroupVersionKind().Kind == "Secret" {
				t.Error("a Secret is rendered: values would hold what is secret")
			}
		}
	})
}

func TestWrongValuesAreRefused(t *testing.T) {
	base := map[string]any{
		"postgres": map[string]any{"existingSecret": "meet-database"},
		"google":   map[string]any{"existingSecret": "meet-google", "adminEmail": "meetings@clinic.example"},
	}
	for _, c := range []struct {
		name   string
		values map[string]any
		says   []string
	}{
		{"a value that is not there", map[string]any{"gateway": map[string]any{"replica": 3}}, []string{"gateway", "replica"}},
		{"replicas as text", map[string]any{"meetings": map[string]any{"replicas": "two"}}, []string{"meetings", "replicas", "integer"}},
		{"a password among the settings", map[string]any{"meetings": map[string]any{"env": map[string]any{"POSTGRES_PASSWORD": "x"}}}, []string{"POSTGRES_PASSWORD"}},
		{"a password in the address", map[string]any{"messaging": map[string]any{"url": "nats://meetings:secret@nats:4222"}}, []string{"messaging", "url"}},
		{"an address without TLS for clients", map[string]any{"publicURL": "http://meet.example"}, []string{"publicURL"}},
		{"no database", map[string]any{"postgres": map[string]any{"existingSecret": ""}}, []string{"postgres.existingSecret", "postgres.cluster.enabled"}},
		{"two databases", map[string]any{"postgres": map[string]any{"cluster": map[string]any{"enabled": true}}}, []string{"postgres.existingSecret", "leave it empty"}},
		{"no Google", map[string]any{"google": map[string]any{"existingSecret": ""}}, []string{"google.existingSecret", "google.emulatorURL"}},
		{"no calendar", map[string]any{"google": map[string]any{"adminEmail": ""}}, []string{"google.workspaceDomains", "google.adminEmail"}},
		{"no NATS", map[string]any{"nats": map[string]any{"enabled": false}}, []string{"messaging.url", "nats.enabled"}},
		{"more copies than servers", map[string]any{"messaging": map[string]any{"replicas": 5}}, []string{"messaging.replicas", "5 copies", "has 3"}},
		{"passwords that the servers do not read", map[string]any{"messaging": map[string]any{"existingSecret": "other"}}, []string{"nats.container.env", "other"}},
		{"an ingress for nobody", map[string]any{"ingress": map[string]any{"enabled": true}}, []string{"ingress.hosts"}},
		{"issuers without an audience", map[string]any{"auth": map[string]any{"oidc": map[string]any{"issuers": []any{"https://login.example"}}}}, []string{"auth.oidc.audience"}},
		{"a range the wrong way round", map[string]any{"scheduler": map[string]any{"autoscaling": map[string]any{"enabled": true, "min": 5, "max": 2}}}, []string{"scheduler.autoscaling", "below"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(chartutil.CoalesceTables(c.values, base))
			if err == nil {
				t.Fatal("it is rendered")
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the error does not say %q: %v", word, err)
				}
			}
		})
	}
}
