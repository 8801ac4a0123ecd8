package stacktest_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// slack is by how much a measured figure may be above the promised one: tests run beside much else.
const slack = 3

// healthy starts the program and returns how long its health route took to answer 200.
func healthy(t *testing.T, p *stacktest.Process, dir string) (stacktest.Addresses, time.Duration) {
	t.Helper()
	begin := time.Now()
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	a, err := stacktest.AwaitAddresses(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stacktest.ClientOf(a).Do(t.Context(), http.MethodGet, "health/", "", nil)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("health: %d %s %v", answer.Status, answer.Body, err)
	}
	took := time.Since(begin)
	if err := p.AwaitStarted(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, took
}

func within(t *testing.T, what string, took, most time.Duration) {
	t.Helper()
	t.Logf("%s: %s, promised are %s", what, took.Round(10*time.Millisecond), most)
	if took > slack*most {
		t.Errorf("%s: %s, want at most %s and %d times that here", what, took, most, slack)
	}
}

// users are whom the program is run as.
func users() map[string]*syscall.Credential {
	if os.Geteuid() != 0 {
		return map[string]*syscall.Credential{"as this user": nil}
	}
	const nobody = 65534
	return map[string]*syscall.Credential{"as root": nil, "as nobody": {Uid: nobody, Gid: nobody}}
}

func TestStandaloneStartsQuicklyAndLeavesNothingBehind(t *testing.T) {
	for name, credential := range users() {
		t.Run(name, func(t *testing.T) {
			dir := stacktest.Folder(t, credential)
			p := stacktest.NewStandalone(t, dir, credential)
			_, took := healthy(t, p, dir)
			within(t, "cold start", took, 8*time.Second)

			second := stacktest.NewStandalone(t, dir, credential)
			err := second.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), "exit status") || !strings.Contains(strings.Join(second.Lines(), "\n"), "MEET_DATA_DIR") {
				t.Errorf("a second start on the same folder: %v", err)
			}
			if _, err := stacktest.ReadAddresses(dir); err != nil {
				t.Errorf("after a second start the first one's addresses: %v", err)
			}

			end(t, p, dir)
			_, took = healthy(t, p, dir)
			within(t, "warm start", took, 3*time.Second)
			end(t, p, dir)
		})
	}
}

// end stops the program with SIGTERM and looks at what is left.
func end(t *testing.T, p *stacktest.Process, dir string) {
	t.Helper()
	family := stacktest.Family(p.PID())
	if len(family) < 3 {
		t.Errorf("only %d processes run, where is Postgres?", len(family))
	}
	took, err := p.Stop()
	if err != nil {
		t.Error(err)
	}
	t.Logf("ended %s after SIGTERM", took.Round(10*time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("it took %s to end after SIGTERM", took)
	}
	for _, pid := range family {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d is left", pid)
		}
	}
	if _, err := stacktest.ReadAddresses(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("addresses after the end: %v", err)
	}
}

func TestStandaloneFindsEverythingAfterKill9(t *testing.T) {
	dir := stacktest.Folder(t, nil)
	p := stacktest.NewStandalone(t, dir, nil)
	a, _ := healthy(t, p, dir)
	before, _, err := stacktest.ClientOf(a).Create(t.Context(), "before", "doctor@clinic.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	family := stacktest.Family(p.PID())
	if err := errors.Join(p.Kill(), stacktest.AwaitGone(family)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/addresses.json"); err != nil { // a killed program can't; the next start would
		t.Fatal(err)
	}
	a, took := healthy(t, p, dir)
	t.Logf("start after kill -9: %s", took.Round(10*time.Millisecond))
	client := stacktest.ClientOf(a)
	answer, err := client.Do(t.Context(), http.MethodGet, "meetings/"+strconv.FormatInt(before.ID, 10)+"/", "", nil)
	if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), before.UID) {
		t.Errorf("the meeting made before: %d %s %v", answer.Status, answer.Body, err)
	}
	if err := client.Change(t.Context(), before, 1); err != nil {
		t.Error(err)
	}
	after, _, err := client.Create(t.Context(), "after", "doctor@clinic.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := stacktest.Of(a)
	whole.Drain(t)
	whole.Verify(t, []*stacktest.Promise{before, after})
}

func TestAnIdleStandaloneIsSmallAndQuiet(t *testing.T) {
	dir := stacktest.Folder(t, nil)
	p := stacktest.NewStandalone(t, dir, nil)
	a, _ := healthy(t, p, dir)
	if _, _, err := stacktest.ClientOf(a).Create(t.Context(), "one", "doctor@clinic.example", nil); err != nil {
		t.Fatal(err)
	}
	whole := stacktest.Of(a)
	whole.Drain(t)
	const settling, measured = 3 * time.Second, 5 * time.Second // the subject of this test is what happens in some time
	idle(t, settling)
	family := stacktest.Family(p.PID())
	before, err := stacktest.Measure(family)
	if err != nil {
		t.Fatal(err)
	}
	idle(t, measured)
	after, err := stacktest.Measure(family)
	if err != nil {
		t.Fatal(err)
	}
	share := float64(after.CPU-before.CPU) / float64(measured)
	const mostShare, mostMemory = 0.01, 150 << 20
	t.Logf("%d processes, idle: %.2f %% of a core, %d MB PSS; promised are 1 %% and 150 MB", len(family), 100*share, after.PSS>>20)
	if share > slack*mostShare {
		t.Errorf("idle takes %.2f %% of a core", 100*share)
	}
	if after.PSS > slack*mostMemory {
		t.Errorf("idle takes %d MB", after.PSS>>20)
	}
}

func idle(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-ctx.Done()
}
