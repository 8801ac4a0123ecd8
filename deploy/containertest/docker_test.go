//go:build container

package containertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run is one run of the test: what it has made bears its name, or the label with it.
type run struct {
	t *testing.T
	*state
}

type state struct {
	ctx     context.Context // ends before go test's -timeout, so that there is time to clean up
	name    string          // unique; compose projects and containers begin with it
	tag     string          // of the images
	root    string          // of the repository
	tree    string          // a copy of it, which may be changed
	proxy   string          // GOPROXY of the builds
	commit  string
	secret  string // stands in every file of the copy that no image may hold
	port    string // of this machine, that the front of the stack publishes
	figures []figure
	volumes map[string]bool // all that containers were seen to have, those without a name of ours too
}

// label is on everything that is not compose's.
const label = "meet-middleware.containertest"

const projectLabel = "com.docker.compose.project"

func newRun(t *testing.T, ctx context.Context) *run {
	t.Helper()
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	id := hex.EncodeToString(random[:])
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t, &state{ctx: ctx, name: "meettest-" + id, tag: "test-" + id, root: root, tree: filepath.Join(t.TempDir(), "meet-middleware"), secret: "canary-" + id, volumes: map[string]bool{}}}
	if *builtTag != "" {
		r.tag = *builtTag
	}
	r.proxy = strings.TrimSpace(r.command("go", "env", "GOPROXY"))
	r.commit = strings.TrimSpace(r.command("git", "rev-parse", "HEAD"))
	t.Cleanup(func() {
		// ctx may have ended by now, and this has to be done all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning*2/3)
		defer cancel()
		if err := r.sweep(ctx); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	r.copyTree()
	return r
}

// in is the run within a part of the test.
func (r *run) in(t *testing.T) *run { return &run{t, r.state} }

// commandError tells what a command wrote before it failed.
type commandError struct {
	args   []string
	stderr string
	err    error
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s: %v\n%s", strings.Join(e.args, " "), e.err, e.stderr)
}

func (e *commandError) Unwrap() error { return e.err }

// execute runs a command in dir and gives its stdout; environ comes on top of the test's own environment.
func execute(ctx context.Context, dir string, environ []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), environ...)
	// Compose and make hand an interrupt on; a kill would leave their children at work.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return stdout.String(), &commandError{args, stderr.String(), err}
	}
	return stdout.String(), nil
}

// command runs a command that has to succeed.
func (r *run) command(args ...string) string {
	r.t.Helper()
	out, err := execute(r.ctx, r.root, nil, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// docker runs the docker command line, which has to succeed, and gives what it wrote without the last newline.
func (r *run) docker(args ...string) string {
	r.t.Helper()
	return strings.TrimSpace(r.command(append([]string{"docker"}, args...)...))
}

// list is what a command of docker lists, a line each.
func list(ctx context.Context, args ...string) ([]string, error) {
	out, err := execute(ctx, "", nil, append([]string{"docker"}, args...)...)
	return strings.Fields(out), err
}

// kinds of what docker keeps, and how it is listed and removed.
var kinds = []struct {
	name         string
	list, remove []string
	filters      func(*run) []string
}{
	{"container", []string{"ps", "-aq"}, []string{"rm", "-fv"}, (*run).ours},
	{"network", []string{"network", "ls", "-q"}, []string{"network", "rm"}, (*run).ours},
	{"volume", []string{"volume", "ls", "-q"}, []string{"volume", "rm", "-f"}, (*run).ours},
	{"image", []string{"images", "--format", "{{.Repository}}:{{.Tag}}"}, []string{"rmi", "-f"}, (*run).ourImages},
}

// ours are filters, each of which finds things of this run.
func (r *run) ours() []string {
	return []string{"label=" + label + "=" + r.name, "label=" + projectLabel + "=" + r.stackName(), "label=" + projectLabel + "=" + r.productionName()}
}

func (r *run) ourImages() []string {
	if *builtTag != "" {
		return nil
	}
	return []string{"reference=meet-middleware:" + r.tag + "*", "reference=meet-middleware/*:" + r.tag + "*"}
}

func (r *run) stackName() string      { return r.name + "-stack" }
func (r *run) productionName() string { return r.name + "-production" }

// left lists what there is of this run, by kind.
func (r *run) left(ctx context.Context) (map[string][]string, error) {
	left := make(map[string][]string)
	volumes, err := list(ctx, "volume", "ls", "-q")
	if err != nil {
		return nil, err
	}
	if seen := slices.DeleteFunc(volumes, func(v string) bool { return !r.volumes[v] }); len(seen) > 0 {
		left["volume"] = seen
	}
	for _, kind := range kinds {
		var ids []string
		for _, filter := range kind.filters(r) {
			found, err := list(ctx, append(slices.Clone(kind.list), "--filter", filter)...)
			if err != nil {
				return nil, err
			}
			ids = append(ids, found...)
		}
		if ids = append(ids, left[kind.name]...); len(ids) > 0 {
			slices.Sort(ids)
			left[kind.name] = slices.Compact(ids)
		}
	}
	return left, nil
}

// sweep removes whatever is left of this run.
func (r *run) sweep(ctx context.Context) error {
	left, err := r.left(ctx)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if ids := left[kind.name]; len(ids) > 0 {
			if _, err := list(ctx, append(slices.Clone(kind.remove), ids...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// container is what docker inspect tells of one.
type container struct {
	ID, Name, Image string
	State           struct {
		Status   string
		Running  bool
		Pid      int
		ExitCode int
		Health   struct {
			Status string
			Log    []struct{ Output string }
		}
	}
	Config struct {
		User   string
		Env    []string
		Labels map[string]string
	}
	HostConfig struct {
		ReadonlyRootfs bool
		CapAdd         []string
		CapDrop        []string
		SecurityOpt    []string
		Memory         int64
		Privileged     bool
		RestartPolicy  struct{ Name string }
		LogConfig      struct{ Config map[string]string }
	}
	NetworkSettings struct {
		Ports    map[string][]struct{ HostIP, HostPort string }
		Networks map[string]struct{ IPAddress string }
	}
	Mounts []struct{ Type, Name, Destination string }
}

func (r *run) inspect(ids ...string) []container {
	r.t.Helper()
	var found []container
	r.decode(r.docker(append([]string{"container", "inspect"}, ids...)...), &found)
	for _, c := range found {
		for _, m := range c.Mounts {
			if m.Type == "volume" {
				r.volumes[m.Name] = true
			}
		}
	}
	return found
}

func (r *run) decode(text string, into any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		r.t.Fatalf("decode %.200s: %v", text, err)
	}
}

// often is how often it is looked for what nothing tells of.
const often = 100 * time.Millisecond

// until returns once done does; what names it where it does not come in time. An error of done is no reason to give up before.
func (r *run) until(patience time.Duration, what string, done func(context.Context) (bool, error)) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("%s: not within %s (%v): %v", what, patience, context.Cause(ctx), err)
		}
	}
}

// freePort is a port of this machine that nobody listens on.
func (r *run) freePort() string {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// figure is something that was measured.
type figure struct {
	what, measured, wanted string
}

// note keeps a figure for the report; wanted may be empty.
func (r *run) note(what, wanted, format string, args ...any) {
	r.figures = append(r.figures, figure{what, fmt.Sprintf(format, args...), wanted})
}

// atMost keeps a time, and fails far beyond what is wanted: a machine that does much else is no reason.
func (r *run) atMost(what string, took, wanted time.Duration) {
	r.t.Helper()
	r.note(what, "≤ "+wanted.String(), "%s", took.Round(100*time.Millisecond))
	if took > 3*wanted {
		r.t.Errorf("%s took %s, wanted are %s", what, took.Round(100*time.Millisecond), wanted)
	}
}

// report prints all figures.
func (r *run) report(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, f := range r.figures {
		fmt.Fprintf(&b, "\n%-64s %14s  %s", f.what, f.measured, f.wanted)
	}
	t.Logf("measured:%s", b.String())
}
