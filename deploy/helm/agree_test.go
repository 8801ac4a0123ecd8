package helm

import (
	"bufio"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const root = "../.."

// set is what one release consists of.
type set []runtime.Object

// all objects of one type.
func all[T runtime.Object](s set) []T {
	var found []T
	for _, o := range s {
		if typed, ok := o.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func bufioOf(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func page(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(path.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// program is a Deployment's, by the label that names it.
func program(d *appsv1.Deployment) string {
	return d.Spec.Template.Labels["app.kubernetes.io/component"]
}

func selects(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(set))
}

func TestPodsMayDoNothing(t *testing.T) {
	each(t, func(t *testing.T, s set) {
		pods := map[string]corev1.PodSpec{}
		for _, d := range all[*appsv1.Deployment](s) {
			pods[d.Name] = d.Spec.Template.Spec
		}
		for _, p := range all[*corev1.Pod](s) {
			pods[p.Name] = p.Spec
		}
		for name, pod := range pods {
			security := pod.SecurityContext
			if security == nil || security.RunAsNonRoot == nil || !*security.RunAsNonRoot || *security.RunAsUser == 0 {
				t.Errorf("%s may run as root", name)
			}
			if security.SeccompProfile == nil || security.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s runs without the runtime's seccomp profile", name)
			}
			if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
				t.Errorf("%s is given a token of the API server", name)
			}
			if pod.HostNetwork || pod.HostPID || pod.HostIPC {
				t.Errorf("%s shares the node's namespaces", name)
			}
			for _, c := range pod.Containers {
				own := c.SecurityContext
				if own == nil || own.Privileged != nil && *own.Privileged || own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation {
					t.Errorf("%s/%s may gain privileges", name, c.Name)
				}
				if own.ReadOnlyRootFilesystem == nil || !*own.ReadOnlyRootFilesystem {
					t.Errorf("%s/%s may write to its root", name, c.Name)
				}
				if own.Capabilities == nil || !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(own.Capabilities.Add) > 0 {
					t.Errorf("%s/%s has capabilities", name, c.Name)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s/%s does not say what it needs", name, c.Name)
				}
			}
			for _, v := range pod.Volumes {
				if v.HostPath != nil {
					t.Errorf("%s mounts the node's %s", name, v.HostPath.Path)
				}
			}
		}
		for _, account := range all[*corev1.ServiceAccount](s) {
			if account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
				t.Errorf("ServiceAccount %s gives out its token", account.Name)
			}
		}
	})
}

// settings are those of each program in docs/config.md, and whether one is secret.
func settings(t *testing.T) map[string]map[string]bool {
	t.Helper()
	row := regexp.MustCompile("^\\| `([A-Z0-9_]+)`( \\(`_FILE`\\))? \\| ([^|]+) \\|")
	known := map[string]map[string]bool{}
	var of string
	for line := range strings.Lines(page(t, "docs/config.md")) {
		if name, ok := strings.CutPrefix(line, "## `"); ok {
			of = strings.Trim(name, "`\n")
			known[of] = map[string]bool{}
			continue
		}
		if m := row.FindStringSubmatch(line); m != nil && of != "" {
			known[of][m[1]] = strings.TrimSpace(m[3]) == "secret"
			if m[2] != "" {
				known[of][m[1]+"_FILE"] = false
			}
		}
	}
	return known
}

// foreign are variables that libraries of a program read, by the page that says so.
var foreign = map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "docs/how-to/run-on-kubernetes.md"}

func TestSettingsAreTheProgramsOwn(t *testing.T) {
	known := settings(t)
	each(t, func(t *testing.T, s set) {
		for _, d := range all[*appsv1.Deployment](s) {
			of := known[program(d)]
			if len(of) == 0 {
				t.Fatalf("docs/config.md has no settings of %q", program(d))
			}
			for _, c := range d.Spec.Template.Spec.Containers {
				seen := map[string]bool{}
				for _, env := range c.Env {
					if seen[env.Name] {
						t.Errorf("%s is given %s twice", d.Name, env.Name)
					}
					seen[env.Name] = true
					secret, ok := of[env.Name]
					if !ok && (foreign[env.Name] == "" || !strings.Contains(page(t, foreign[env.Name]), env.Name)) {
						t.Errorf("%s has no setting %s", program(d), env.Name)
					}
					if secret && env.Value != "" {
						t.Errorf("%s is given %s as plain text", d.Name, env.Name)
					}
					if strings.HasSuffix(env.Name, "_FILE") {
						mounted(t, d, c, env)
					}
				}
			}
		}
	})
}

// mounted demands that the file that a setting names is a key of a Secret, mounted there.
func mounted(t *testing.T, d *appsv1.Deployment, c corev1.Container, env corev1.EnvVar) {
	t.Helper()
	dir, file := path.Split(env.Value)
	for _, mount := range c.VolumeMounts {
		if mount.MountPath != path.Clean(dir) {
			continue
		}
		for _, volume := range d.Spec.Template.Spec.Volumes {
			if volume.Name != mount.Name {
				continue
			}
			if volume.Secret != nil {
				return
			}
			for _, source := range volume.Projected.Sources {
				for _, item := range source.Secret.Items {
					if item.Path == file && source.Secret.Name != "" {
						return
					}
				}
			}
		}
	}
	t.Errorf("%s: %s names %s, which no Secret is mounted at", d.Name, env.Name, env.Value)
}

func TestPortsAndProbesAgree(t *testing.T) {
	each(t, func(t *testing.T, s set) {
		for _, d := range all[*appsv1.Deployment](s) {
			c := d.Spec.Template.Spec.Containers[0]
			ports := map[string]int32{}
			for _, p := range c.Ports {
				ports[p.Name] = p.ContainerPort
			}
			for _, env := range c.Env {
				want := map[string]int32{"MEET_OPS_ADDR": ports["ops"], "MEET_ADDR": ports["http"]}[env.Name]
				if want != 0 && env.Value != "0.0.0.0:"+strconv.Itoa(int(want)) {
					t.Errorf("%s listens on %s, its port is %d", d.Name, env.Value, want)
				}
			}
			for name, probe := range map[string]*corev1.Probe{"/readyz startup": c.StartupProbe, "/healthz liveness": c.LivenessProbe, "/readyz readiness": c.ReadinessProbe} {
				at, _, _ := strings.Cut(name, " ")
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != at || probe.HTTPGet.Port != intstr.FromString("ops") {
					t.Errorf("%s: the %s probe does not ask the ops port's %s", d.Name, name, at)
				}
			}
		}
		for _, service := range all[*corev1.Service](s) {
			found := false
			for _, d := range all[*appsv1.Deployment](s) {
				if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
					continue
				}
				found = true
				for _, p := range service.Spec.Ports {
					if !slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal }) {
						t.Errorf("Service %s leads to port %s, which %s has not", service.Name, p.TargetPort.String(), d.Name)
					}
				}
			}
			if !found {
				t.Errorf("Service %s selects no pods", service.Name)
			}
		}
	})
}

// duration is a constant of pkg/lifecycle.
func duration(t *testing.T, name string) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`const ` + name + ` = (\d+) \* time\.(Second|Minute)`).FindStringSubmatch(page(t, "pkg/lifecycle/lifecycle.go"))
	if m == nil {
		t.Fatalf("pkg/lifecycle has no constant %s", name)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n) * map[string]time.Duration{"Second": time.Second, "Minute": time.Minute}[m[2]]
}

func TestPodsAreGivenTheTimeThatProgramsTake(t *testing.T) {
	start, stop := duration(t, "StartTimeout"), duration(t, "StopTimeout")
	each(t, func(t *testing.T, s set) {
		for _, d := range all[*appsv1.Deployment](s) {
			pod := d.Spec.Template.Spec
			c := pod.Containers[0]
			var before time.Duration
			if c.Lifecycle != nil {
				before = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
			}
			if given := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; given <= before+stop {
				t.Errorf("%s is killed after %s, and takes up to %s", d.Name, given, before+stop)
			}
			if given := time.Duration(c.StartupProbe.FailureThreshold*c.StartupProbe.PeriodSeconds) * time.Second; given <= start {
				t.Errorf("%s is killed %s after its start, which takes up to %s", d.Name, given, start)
			}
		}
	})
}

func TestSelectorsFindWhatTheyAreFor(t *testing.T) {
	each(t, func(t *testing.T, s set) {
		deployments := map[string]*appsv1.Deployment{}
		var programs []string
		for _, d := range all[*appsv1.Deployment](s) {
			deployments[d.Name] = d
			programs = append(programs, program(d))
			if !selects(t, d.Spec.Selector, d.Spec.Template.Labels) {
				t.Errorf("%s does not select its pods", d.Name)
			}
			for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
				if !selects(t, spread.LabelSelector, d.Spec.Template.Labels) {
					t.Errorf("%s does not spread its own pods", d.Name)
				}
			}
			if !slices.ContainsFunc(all[*corev1.ServiceAccount](s), func(a *corev1.ServiceAccount) bool { return a.Name == d.Spec.Template.Spec.ServiceAccountName }) {
				t.Errorf("%s runs as nobody that is there", d.Name)
			}
			others := 0
			for _, other := range all[*appsv1.Deployment](s) {
				if selects(t, d.Spec.Selector, other.Spec.Template.Labels) {
					others++
				}
			}
			if others != 1 {
				t.Errorf("%s selects the pods of %d Deployments", d.Name, others)
			}
		}
		slices.Sort(programs)
		if !slices.Equal(programs, []string{"gateway", "meetings", "scheduler"}) {
			t.Fatalf("Deployments of %q", programs)
		}
		covered := map[string]bool{}
		for _, budget := range all[*policyv1.PodDisruptionBudget](s) {
			for name, d := range deployments {
				if selects(t, budget.Spec.Selector, d.Spec.Template.Labels) {
					covered[name] = true
				}
			}
		}
		if len(covered) != len(deployments) {
			t.Errorf("disruption budgets cover %v", sortedKeys(covered))
		}
		for _, monitor := range all[*monitoringv1.ServiceMonitor](s) {
			found := 0
			for _, service := range all[*corev1.Service](s) {
				if !selects(t, &monitor.Spec.Selector, service.Labels) {
					continue
				}
				found++
				for _, endpoint := range monitor.Spec.Endpoints {
					if !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == endpoint.Port }) {
						t.Errorf("Service %s has no port %s to be read", service.Name, endpoint.Port)
					}
				}
			}
			if found != len(deployments) {
				t.Errorf("%d Services are read, want %d", found, len(deployments))
			}
		}
		for _, i := range all[*networkingv1.Ingress](s) {
			for _, rule := range i.Spec.Rules {
				backend := rule.HTTP.Paths[0].Backend.Service
				if !slices.ContainsFunc(all[*corev1.Service](s), func(v *corev1.Service) bool {
					return v.Name == backend.Name && v.Spec.Ports[0].Name == backend.Port.Name
				}) {
					t.Errorf("the ingress leads to %s, which is not there", backend.Name)
				}
			}
		}
	})
}

func TestOnlyWhoHasToMayTalk(t *testing.T) {
	each(t, func(t *testing.T, s set) {
		for _, d := range all[*appsv1.Deployment](s) {
			var own *networkingv1.NetworkPolicy
			for _, p := range all[*networkingv1.NetworkPolicy](s) {
				if selects(t, &p.Spec.PodSelector, d.Spec.Template.Labels) {
					own = p
				}
			}
			if own == nil || len(own.Spec.PolicyTypes) != 2 {
				t.Errorf("%s may talk to everybody", d.Name)
				continue
			}
			reaches := func(port int32) bool {
				return slices.ContainsFunc(own.Spec.Egress, func(e networkingv1.NetworkPolicyEgressRule) bool {
					return slices.ContainsFunc(e.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == port })
				})
			}
			if !reaches(4222) || !reaches(53) {
				t.Errorf("%s does not reach NATS and DNS", d.Name)
			}
			if got, want := reaches(5432), program(d) == "meetings"; got != want {
				t.Errorf("%s reaches Postgres: %v", d.Name, got)
			}
			if program(d) == "meetings" && reaches(443) || program(d) == "scheduler" && !reaches(443) {
				t.Errorf("%s reaches the internet: %v", d.Name, reaches(443))
			}
			for _, rule := range own.Spec.Ingress {
				for _, p := range rule.Ports {
					if p.Port.StrVal == "http" && program(d) != "gateway" || p.Port.StrVal == "ops" && len(rule.From) == 0 {
						t.Errorf("%s is reached by everybody at %s", d.Name, p.Port.String())
					}
				}
			}
		}
	})
}

var metricName = regexp.MustCompile(`\bmeet_[a-z_]+`)

func TestAutoscalersScaleWhatIsThereByWhatIsPublished(t *testing.T) {
	published := page(t, "docs/reference/metrics.md")
	exists := func(metric string) bool { return strings.Contains(published, "| `"+metric+"` |") }
	adapter := page(t, "deploy/helm/prometheus-adapter.yaml")
	for _, metric := range metricName.FindAllString(adapter, -1) {
		if !exists(metric) {
			t.Errorf("prometheus-adapter.yaml reads %s, which no program publishes", metric)
		}
	}
	each(t, func(t *testing.T, s set) {
		replicas := map[string]*int32{}
		for _, d := range all[*appsv1.Deployment](s) {
			replicas[d.Name] = d.Spec.Replicas
		}
		scaled := func(name string) {
			fixed, ok := replicas[name]
			if !ok {
				t.Errorf("%s is scaled and is not there", name)
			}
			if fixed != nil {
				t.Errorf("%s has its replicas from two places", name)
			}
			delete(replicas, name)
		}
		for _, h := range all[*autoscalingv2.HorizontalPodAutoscaler](s) {
			scaled(h.Spec.ScaleTargetRef.Name)
			for _, m := range h.Spec.Metrics {
				if m.External == nil {
					continue
				}
				if name := m.External.Metric.Name; !exists(name) || !strings.Contains(adapter, "as: "+name+"}") {
					t.Errorf("%s scales by %s, which no program publishes, or prometheus-adapter.yaml does not give", h.Name, name)
				}
			}
		}
		for _, k := range all[*ScaledObject](s) {
			scaled(k.Spec.ScaleTargetRef.Name)
			for _, trigger := range k.Spec.Triggers {
				for _, metric := range metricName.FindAllString(trigger.Metadata["query"], -1) {
					if !exists(metric) {
						t.Errorf("%s scales by %s, which no program publishes", k.Name, metric)
					}
				}
			}
		}
		for name, fixed := range replicas {
			if fixed == nil {
				t.Errorf("%s has its replicas from nowhere", name)
			}
		}
	})
}

func TestImagesAreOfTheChartsVersion(t *testing.T) {
	version := regexp.MustCompile(`(?m)^appVersion: (.+)$`).FindStringSubmatch(page(t, "deploy/helm/"+chartDir+"/Chart.yaml"))[1]
	each(t, func(t *testing.T, s set) {
		for _, d := range all[*appsv1.Deployment](s) {
			image := d.Spec.Template.Spec.Containers[0].Image
			if !strings.HasSuffix(image, "meet-middleware/"+program(d)+":"+version) {
				t.Errorf("%s runs %s", d.Name, image)
			}
		}
	})
}

func TestNATSIsGivenTheAccountsOfTheRepository(t *testing.T) {
	own := page(t, "deploy/nats/nats.conf")
	own = own[strings.Index(own, "\naccounts {")+1:]
	each(t, func(t *testing.T, s set) {
		for _, c := range all[*corev1.ConfigMap](s) {
			if c.Name == release+"-nats-accounts" && strings.TrimSpace(c.Data["accounts.conf"]) != strings.TrimSpace(own) {
				t.Error("accounts.conf is not the accounts of deploy/nats/nats.conf")
			}
		}
	})
}

func TestPostgresIsTheOneThatMeetingsAreToldOf(t *testing.T) {
	each(t, func(t *testing.T, s set) {
		for _, cluster := range all[*Cluster](s) {
			if sync := cluster.Spec.PostgreSQL.Synchronous; sync == nil || sync.Number < 1 || sync.Number >= cluster.Spec.Instances || sync.DataDurability != "required" {
				t.Errorf("%s answers commits that a failover may lose, or waits for standbys that it has not", cluster.Name)
			}
			for _, d := range all[*appsv1.Deployment](s) {
				reads := slices.ContainsFunc(d.Spec.Template.Spec.Volumes[0].Projected.Sources, func(p corev1.VolumeProjection) bool {
					return p.Secret.Name == cluster.Name+"-app" // what the operator calls the owner's
				})
				if want := program(d) == "meetings"; reads != want {
					t.Errorf("%s is given the password of Postgres: %v", d.Name, reads)
				}
			}
		}
	})
}

func TestRulesAreThoseOfTheRepository(t *testing.T) {
	files, err := os.ReadDir(path.Join(root, "deploy/observability/rules"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	want := 0
	for _, f := range files {
		want += strings.Count(page(t, "deploy/observability/rules/"+f.Name()), "\n      - alert: ")
		want += strings.Count(page(t, "deploy/observability/rules/"+f.Name()), "\n      - record: ")
	}
	each(t, func(t *testing.T, s set) {
		for _, rule := range all[*monitoringv1.PrometheusRule](s) {
			got := 0
			for _, group := range rule.Spec.Groups {
				got += len(group.Rules)
			}
			if got != want {
				t.Errorf("%s has %d rules, the repository %d", rule.Name, got, want)
			}
		}
	})
}
