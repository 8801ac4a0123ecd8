//go:build container

package containertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stack is a compose project.
type stack struct {
	*run
	project string
	files   []string // relative to the tree, or absolute
	environ []string
	scale   map[string]int // services that run more or less often than once
}

// stack is the stack of deploy/compose/compose.yaml.
func (r *run) stack() *stack {
	return &stack{run: r, project: r.stackName(), files: []string{"deploy/compose/compose.yaml"}, scale: map[string]int{}, environ: []string{
		"MEET_VERSION=" + r.tag, "VERSION=" + r.tag, "COMMIT=" + r.commit, "GOPROXY=" + r.proxy, "WEB_PORT=" + r.port,
	}}
}

// in is the stack within a part of the test.
func (s *stack) in(t *testing.T) *stack {
	within := *s
	within.run = s.run.in(t)
	return &within
}

// compose runs docker compose on the stack, which has to succeed.
func (s *stack) compose(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *stack) try(args ...string) (string, error) {
	all := []string{"docker", "compose", "--progress", "plain", "-p", s.project}
	for _, file := range s.files {
		all = append(all, "-f", file)
	}
	return execute(s.ctx, s.tree, s.environ, append(all, args...)...)
}

// up makes the stack run as often as s.scale says, and waits for its health.
func (s *stack) up(options ...string) {
	s.t.Helper()
	args := append([]string{"up", "-d", "--wait", "--wait-timeout", strconv.Itoa(int(patience.Seconds()))}, options...)
	if _, err := s.try(append(args, s.scales()...)...); err != nil {
		s.t.Fatalf("%v\n%s", err, s.tail())
	}
}

// scales are the options of up that keep each service as often as it is.
func (s *stack) scales() (options []string) {
	for _, service := range slices.Sorted(maps.Keys(s.scale)) {
		options = append(options, "--scale", service+"="+strconv.Itoa(s.scale[service]))
	}
	return options
}

// tail is the end of what every service has written.
func (s *stack) tail() string {
	out, err := s.try("logs", "--no-color", "--tail", "12")
	if err != nil {
		return err.Error()
	}
	return out
}

// containers are those of a service; of all where it is "".
func (s *stack) containers(service string) []container {
	s.t.Helper()
	args := []string{"ps", "-aq", "--no-trunc", "--filter", "label=" + projectLabel + "=" + s.project}
	if service != "" {
		args = append(args, "--filter", "label=com.docker.compose.service="+service)
	}
	ids, err := list(s.ctx, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(ids) == 0 {
		s.t.Fatalf("no container of %q", service)
	}
	return s.inspect(ids...)
}

func (c container) service() string { return c.Config.Labels["com.docker.compose.service"] }

func testConfigs(t *testing.T, r *run) {
	for _, names := range [][]string{{}, {"dev"}, {"prod"}, {"observability"}, {"dev", "observability"}, {"prod", "observability"}} {
		t.Run(strings.Join(append([]string{"compose"}, names...), " "), func(t *testing.T) {
			r := r.in(t)
			s := r.stack()
			if slices.Contains(names, "prod") {
				s.environ = append(s.environ, productionSettings...)
			}
			for _, name := range names {
				s.files = append(s.files, "deploy/compose/compose."+name+".yaml")
			}
			s.compose("config", "-q")
		})
	}
	t.Run("from the root", func(t *testing.T) {
		s := r.in(t).stack()
		s.files = nil
		if services := strings.Fields(s.compose("config", "--services")); !slices.Contains(services, "gateway") {
			t.Errorf("services %v", services)
		}
	})
}

// testStack leaves the stack running.
func testStack(t *testing.T, r *run) {
	begin := time.Now()
	s, c := r.running()
	r.atMost("stack: up --wait from built images", time.Since(begin), 20*time.Second)
	r.answers(c)
	t.Run("its containers may do little", func(t *testing.T) { testConfinement(t, s.in(t)) })
	t.Run("it holds little memory when idle", func(t *testing.T) { testMemory(t, s.in(t)) })
	t.Run("a client's calls are answered as ever", func(t *testing.T) { testREST(t, r.in(t), c) })
}

// running is the stack, started if it does not run yet, and a client of it.
func (r *run) running() (*stack, *client) {
	r.t.Helper()
	if r.port == "" {
		port, s := r.freePort(), r.stack()
		s.environ = append(s.environ, "WEB_PORT="+port)
		s.up("--no-build")
		r.port = port
	}
	return r.stack(), newClient("http://127.0.0.1:" + r.port)
}

func testConfinement(t *testing.T, s *stack) {
	for _, c := range s.containers("") {
		name := c.service()
		wrong := func(is bool, format string, args ...any) {
			t.Helper()
			if is {
				t.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
			}
		}
		user, _, _ := strings.Cut(c.Config.User, ":")
		// The folder of NATS in a new volume is root's, and the image has none to make it another's.
		wrong(name != "nats" && (user == "" || user == "0" || user == "root"), "runs as %q", c.Config.User)
		wrong(c.HostConfig.Privileged, "is privileged")
		wrong(!c.HostConfig.ReadonlyRootfs, "may write its root file system")
		wrong(!slices.Contains(c.HostConfig.CapDrop, "ALL") || len(c.HostConfig.CapAdd) > 0, "drops capabilities %v and adds %v", c.HostConfig.CapDrop, c.HostConfig.CapAdd)
		wrong(!slices.ContainsFunc(c.HostConfig.SecurityOpt, func(o string) bool {
			return strings.HasPrefix(o, "no-new-privileges") && !strings.HasSuffix(o, "false")
		}), "may get new privileges: %v", c.HostConfig.SecurityOpt)
		wrong(c.HostConfig.Memory <= 0, "has no memory limit")
		published := 0
		for port, bindings := range c.NetworkSettings.Ports {
			for _, b := range bindings {
				published++
				wrong(b.HostIP != "127.0.0.1", "port %s is published on %s", port, b.HostIP)
			}
		}
		wrong((name == "front") != (published == 1), "publishes %d ports", published)
		wrong(slices.ContainsFunc(c.Config.Env, func(v string) bool { return strings.Contains(v, s.secret) }), "its environment has what stands in a file that nobody named")
	}
}

// settled is how long after the start a program has come to rest.
const settled = 15 * time.Second

// testMemory adds up what the containers hold. A cgroup counts what nobody else can be given, anonymous and shared memory; docker
// stats adds pages of files, most of which the kernel takes back when it needs them.
func testMemory(t *testing.T, s *stack) {
	select {
	case <-time.After(settled):
	case <-s.ctx.Done():
		t.Fatal(context.Cause(s.ctx))
	}
	var all, ours, pages float64
	running := s.containers("")
	ids := make([]string, len(running))
	for i, c := range running {
		ids[i] = c.ID
		m, err := memoryOf(c)
		if err != nil {
			t.Logf("the memory of %s is not to be seen from here: %v", c.service(), err)
			m = nil
		}
		all += float64(m["held"])
		pages += float64(m["pss"])
		if name := c.service(); name != "front" && name != "emulator" {
			ours += float64(m["held"])
		}
		s.note("idle: "+c.service(), "", "%.1f MB", float64(m["held"])/megabyte)
	}
	var stats float64
	for line := range strings.SplitSeq(s.docker(append([]string{"stats", "--no-stream", "--format", "{{.MemUsage}}"}, ids...)...), "\n") {
		used, _, _ := strings.Cut(line, " / ")
		n, err := bytesOf(used)
		if err != nil {
			t.Fatal(err)
		}
		stats += n
	}
	const wanted = 300 * megabyte
	s.note("idle: the whole stack, anonymous and shared memory", "", "%.0f MB", all/megabyte)
	s.note("idle: of that without front and emulator", "", "%.0f MB", ours/megabyte)
	s.note("idle: the whole stack, PSS", "≤ 300 MB", "%.0f MB", pages/megabyte)
	s.note("idle: the whole stack, docker stats", "", "%.0f MB", stats/megabyte)
	if most := max(all, pages); most > wanted*3/2 || most == 0 && stats > wanted*3/2 {
		t.Errorf("the idle stack holds %.0f MB, want at most 300", max(most, stats)/megabyte)
	}
}

// memoryOf reads what a container's processes hold in bytes: "held" is anonymous and shared memory by its cgroup, "pss" what
// /proc tells, with each page divided among those who share it.
func memoryOf(c container) (map[string]int64, error) {
	groups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.State.Pid), "cgroup"))
	if err != nil {
		return nil, err
	}
	folder, names := "", []string(nil)
	for line := range strings.SplitSeq(strings.TrimSpace(string(groups)), "\n") {
		part := strings.SplitN(line, ":", 3)
		switch {
		case len(part) != 3:
			return nil, fmt.Errorf("cgroup %q", line)
		case part[1] == "" && folder == "":
			folder, names = filepath.Join("/sys/fs/cgroup", part[2]), []string{"anon", "shmem"}
		case slices.Contains(strings.Split(part[1], ","), "memory"): // version 1
			folder, names = filepath.Join("/sys/fs/cgroup/memory", part[2]), []string{"total_rss", "total_shmem"}
		}
	}
	held, err := sum(filepath.Join(folder, "memory.stat"), names)
	if err != nil {
		return nil, err
	}
	processes, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	memory := map[string]int64{"held": held}
	for pid := range strings.FieldsSeq(string(processes)) {
		kilobytes, err := sum(filepath.Join("/proc", pid, "smaps_rollup"), []string{"Pss:"})
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it may have ended
			return nil, err
		}
		memory["pss"] += kilobytes * 1024
	}
	return memory, nil
}

// sum adds the numbers behind some names of a file.
func sum(file string, names []string) (total int64, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && slices.Contains(names, f[0]) {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			total += n
		}
	}
	return total, nil
}

var quantity = regexp.MustCompile(`^([0-9.]+)([kKMG]?)(i?)B$`)

// bytesOf reads a quantity as docker writes it: 12.3MiB.
func bytesOf(text string) (float64, error) {
	part := quantity.FindStringSubmatch(strings.TrimSpace(text))
	if part == nil {
		return 0, fmt.Errorf("quantity %q", text)
	}
	n, err := strconv.ParseFloat(part[1], 64)
	base := 1000.0
	if part[3] != "" {
		base = 1024
	}
	for range strings.Index("kmg", strings.ToLower(part[2])) + 1 {
		n *= base
	}
	return n, err
}

// testREST walks through a client's life; services/standalone compares every byte of a longer one.
func testREST(t *testing.T, r *run, c *client) {
	ask := func(method, path, body string, status int, parts ...string) answer {
		t.Helper()
		headers := []string(nil)
		if method == http.MethodPost {
			headers = []string{"Idempotency-Key", fmt.Sprintf("%s-%x", r.name, sha256.Sum256([]byte(path+body)))}
		}
		a, err := c.send(r.ctx, method, path, body, headers...)
		if err != nil || a.status != status {
			t.Fatalf("%s %s %s: %s %v, want %d", method, path, body, a, err, status)
		}
		for _, part := range parts {
			if !strings.Contains(a.body, part) {
				t.Errorf("%s %s: %s, want %s in it", method, path, a, part)
			}
		}
		return a
	}
	const visit = `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example","q@mail.example"],"scheduled_start":"2027-03-01T15:00:00Z","scheduled_end":"2027-03-01T15:30:00Z","external_reference":"HIS 4711"}`
	var made, again meeting
	created := ask("POST", "meetings/", visit, 201, `"organizer_username":"doctor"`, `"invited_emails":["p@mail.example","q@mail.example"]`, `"status":"CREATED","status_display":"Created"`, `"participants_count":3`, `"has_recording":false`)
	if err := created.into(&made); err != nil || made.Link == "" || made.GoogleEventID == "" || made.ID == 0 {
		t.Fatalf("%+v %v", made, err)
	}
	repeat := ask("POST", "meetings/", visit, 201)
	if err := repeat.into(&again); err != nil || again.ID != made.ID || repeat.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the repeat answers %s, %v", repeat, repeat.header)
	}
	one := "meetings/" + strconv.FormatInt(made.ID, 10) + "/"
	detail := ask("GET", one, "", 200, `"organizer":{`, `"participants":[`, `"recording":null`, `"scheduled_start":"2027-03-01T15:00:00Z"`)
	if a, err := c.send(r.ctx, "GET", one, "", "If-None-Match", detail.header.Get("ETag")); err != nil || a.status != 304 {
		t.Errorf("with its ETag: %s %v, want 304", a, err)
	}
	listed := `"meet_link":"` + made.Link + `"`
	for _, filter := range []string{"", "external_reference=HIS%204711", "status=CREATED", "invited_email=q@mail.example", "scheduled_start__gte=2027-03-01T00:00:00Z&scheduled_start__lte=2027-03-02T00:00:00Z"} {
		ask("GET", "meetings/?"+filter, "", 200, listed)
	}
	for _, filter := range []string{"status=FINISHED", "external_reference=HIS", "scheduled_start__gte=2027-03-02T00:00:00Z"} {
		if a := ask("GET", "meetings/?"+filter, "", 200); strings.Contains(a.body, listed) {
			t.Errorf("meetings/?%s has it: %s", filter, a)
		}
	}
	ask("PATCH", one, `{"status":"SCHEDULED","scheduled_start":"2027-03-02T15:00:00Z","scheduled_end":"2027-03-02T16:00:00Z"}`, 200, `"status":"SCHEDULED"`, `"scheduled_start":"2027-03-02T15:00:00Z"`, listed)
	ask("PATCH", one, `{"scheduled_end":"2027-03-02T14:00:00Z"}`, 400, `"scheduled_end":[`)
	ask("GET", one+"participants/", "", 200, `"email":"p@mail.example","role":"guest","role_display":"Guest"`, `"role":"organizer"`)
	ask("GET", "participants/?meeting="+strconv.FormatInt(made.ID, 10), "", 200, `"email":"q@mail.example"`)
	ask("GET", one+"recording/", "", 404, `"meeting_id":`+strconv.FormatInt(made.ID, 10))
	ask("DELETE", one, "", 200, `"status":"CANCELLED"`)
	ask("DELETE", one, "", 200, `"status":"CANCELLED"`)
	ask("PATCH", one, `{"status":"CREATED"}`, 400)
	ask("GET", "meetings/?status=CANCELLED", "", 200, listed)

	ask("POST", "meetings/", `{}`, 400, `"organizer_email":["`, `"invited_emails":["`)
	ask("POST", "meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example","x"]}`, 400, `{"invited_emails":{"1":["`)
	ask("POST", "meetings/", `{"a":`, 400, `{"detail":"`)
	ask("GET", "meetings/?status=NONE", "", 400, `"status"`)
	ask("GET", "meetings/999999999/", "", 404, `{"detail":"`)
	if a := ask("PUT", one, `{}`, 405, `{"detail":"`); a.header.Get("Allow") == "" {
		t.Errorf("405 without Allow: %v", a.header)
	}
	if a := ask("GET", "meetings", "", 308); a.header.Get("Location") != "/api/v1/meetings/" {
		t.Errorf("308 to %q", a.header.Get("Location"))
	}
	ask("GET", "users/", "", 200, `"username":"doctor"`)
	ask("GET", "users/me/", "", 401, `{"message":"`)
	ask("GET", "info/", "", 200, `"version":"`)
	ask("GET", "schema/", "", 200, `"openapi":"3`)
	ask("GET", "nowhere/", "", 404, `{"detail":"`)
}
