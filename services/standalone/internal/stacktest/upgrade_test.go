//go:build kill

package stacktest_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// migrations is where the schema stands in the repository.
const migrations = "services/meetings/migrations"

func git(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = "../../../.." // the repository's root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// schemaFiles are the numbered migrations, with a hash of each.
func schemaFiles(listing string) map[string]string {
	files := make(map[string]string)
	for line := range strings.Lines(listing) {
		if fields := strings.Fields(line); len(fields) == 2 && strings.HasSuffix(fields[1], ".sql") {
			files[fields[1]] = fields[0]
		}
	}
	return files
}

// before is the newest commit whose schema is another than the working tree's; where none is, the parent of the present one.
func before(t *testing.T) (commit string, err error) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("../../../..", migrations, "*.sql"))
	if err != nil || len(paths) == 0 {
		return "", errors.Join(errors.New("no migrations"), err)
	}
	now := make(map[string]string)
	for _, path := range paths {
		name := migrations + "/" + filepath.Base(path)
		if now[name], err = git(t, "hash-object", name); err != nil {
			return "", err
		}
	}
	candidates := []string{"HEAD"}
	touched, err := git(t, "log", "--format=%H", "--", migrations)
	if err != nil {
		return "", err
	}
	for _, c := range strings.Fields(touched) {
		candidates = append(candidates, c+"~1")
	}
	for _, c := range candidates {
		listing, err := git(t, "ls-tree", "--format=%(objectname) %(path)", c, migrations+"/")
		if err != nil {
			continue // the first commit of all has no parent
		}
		then := schemaFiles(listing)
		same := len(then) == len(now)
		for name, hash := range then {
			same = same && now[name] == hash
		}
		if !same && len(then) > 0 {
			return git(t, "rev-parse", c)
		}
	}
	return git(t, "rev-parse", "HEAD~1")
}

// upgradeFrom picks another commit, such as the release that is deployed.
var upgradeFrom = flag.String("upgrade.from", "", "commit to upgrade from; absent: the newest with another schema, or the one before the present")

// mostBroken is how many commits in a row may not build.
const mostBroken = 20

// earlier builds the programs of the commit before the present schema and gives their folder. One that does not build was nobody's
// release: then it is the one before it.
func earlier(t *testing.T) (bin, commit string) {
	t.Helper()
	newest, err := *upgradeFrom, error(nil)
	if newest == "" {
		newest, err = before(t)
	}
	var ancestors string
	if err == nil {
		ancestors, err = git(t, "rev-list", "--first-parent", "--max-count="+strconv.Itoa(mostBroken), newest)
	}
	if err != nil {
		problem := fmt.Sprintf("the history that holds the release before is not there (%v): fetch it all, as with fetch-depth: 0 of actions/checkout", err)
		if os.Getenv("CI") != "" {
			t.Fatal(problem)
		}
		t.Skip(problem)
	}
	dir := t.TempDir()
	for _, commit := range strings.Fields(ancestors) {
		bin, out, err := buildAt(t, commit, dir)
		if err == nil {
			return bin, commit
		}
		t.Logf("%.12s does not build (%v): %s", commit, err, out)
	}
	t.Fatalf("none of %d commits before the present schema builds", len(strings.Fields(ancestors)))
	return "", ""
}

// buildAt builds the programs of a commit as they are released: without the race detector, whose findings there nobody can mend any
// more. The source lies in the same folder each time, so that Go's cache knows what two of them have in common.
func buildAt(t *testing.T, commit, dir string) (bin string, out []byte, err error) {
	t.Helper()
	archive := filepath.Join(dir, "source.tar")
	if _, err := git(t, "archive", "--output="+archive, commit, "go.work", "go.work.sum", "pkg", "services", "cli", "bench"); err != nil {
		t.Fatal(err)
	}
	bin, source := filepath.Join(dir, "bin"), filepath.Join(dir, "source")
	if err := errors.Join(os.RemoveAll(source), os.MkdirAll(source, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(t.Context(), "tar", "-x", "-f", archive, "-C", source),
		exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", bin+"/",
			"./services/gateway/cmd/gateway", "./services/meetings/cmd/meetings", "./services/scheduler/cmd/scheduler"),
	} {
		cmd.Dir, cmd.Env = source, append(os.Environ(), "GOWORK="+filepath.Join(source, "go.work"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", out, err
		}
	}
	return bin, nil, nil
}

// upgrade is a stack whose programs are replaced under load.
type upgrade struct {
	*stacktest.Stack

	mu       sync.Mutex // guards what follows
	promises []*stacktest.Promise
	retried  map[string]int
	reads    int
	grown    chan struct{} // closed and made anew when there is one promise more
}

// ask sends one request until it is answered by anything but 503. A connection that is refused is another gateway's turn; any
// other failure is an error that a client sees.
func (u *upgrade) ask(ctx context.Context, c *stacktest.Client, method, path, key string, body any) (stacktest.Answer, error) {
	for {
		answer, err := c.Once(ctx, method, path, key, body)
		var why string
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			why = "refused"
		case err != nil:
			return answer, fmt.Errorf("%s %s: %w", method, path, err)
		case answer.Status == http.StatusServiceUnavailable:
			why = "503"
		default:
			return answer, nil
		}
		u.mu.Lock()
		u.retried[why]++
		u.mu.Unlock()
		if !pause(ctx, 20*time.Millisecond+rand.N(80*time.Millisecond)) {
			return answer, context.Cause(ctx)
		}
	}
}

// life makes a meeting, changes and reads it.
func (u *upgrade) life(ctx context.Context, c *stacktest.Client, reference string, client int) error {
	p := &stacktest.Promise{
		Reference: reference, Calendar: true, Summary: "Visit " + reference,
		Start: time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC), End: time.Date(2027, 3, 1, 9, 30, 0, 0, time.UTC),
	}
	answer, err := u.ask(ctx, c, http.MethodPost, "meetings/", "create-"+reference, map[string]any{
		"organizer_email": fmt.Sprintf("doctor%d@clinic.example", client), "invited_emails": []string{"patient@mail.example"},
		"external_reference": reference, "summary": p.Summary, "scheduled_start": p.Start, "scheduled_end": p.End,
	})
	var told struct {
		ID   int64
		UID  string
		Link string `json:"meet_link"`
	}
	if err = errors.Join(err, answer.Into(&told)); err != nil || answer.Status != http.StatusCreated && answer.Status != http.StatusAccepted {
		return fmt.Errorf("create %s: %d %s, %w", reference, answer.Status, answer.Body, err)
	}
	p.ID, p.UID, p.Link = told.ID, told.UID, told.Link
	u.mu.Lock()
	u.promises = append(u.promises, p)
	close(u.grown)
	u.grown = make(chan struct{})
	u.mu.Unlock()
	path := "meetings/" + strconv.FormatInt(p.ID, 10) + "/"
	start := p.Start.AddDate(0, 0, 1)
	answer, err = u.ask(ctx, c, http.MethodPatch, path, "change-"+reference, map[string]any{"scheduled_start": start, "scheduled_end": start.Add(time.Hour)})
	if err != nil || answer.Status != http.StatusOK {
		return fmt.Errorf("change %s: %d %s, %w", reference, answer.Status, answer.Body, err)
	}
	p.Start, p.End = start, start.Add(time.Hour)
	var seen struct {
		Start time.Time `json:"scheduled_start"`
	}
	answer, err = u.ask(ctx, c, http.MethodGet, path, "", nil)
	if err = errors.Join(err, answer.Into(&seen)); err != nil || answer.Status != http.StatusOK || !seen.Start.Equal(start) {
		return fmt.Errorf("read %s: %d %s, %w", reference, answer.Status, answer.Body, err)
	}
	u.mu.Lock()
	u.reads++
	u.mu.Unlock()
	return nil
}

// more returns once n meetings more are promised.
func (u *upgrade) more(ctx context.Context, n int) error {
	u.mu.Lock()
	want := len(u.promises) + n
	u.mu.Unlock()
	for {
		u.mu.Lock()
		have, grown := len(u.promises), u.grown
		u.mu.Unlock()
		if have >= want {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%d meetings promised, %d wanted: %w", have, want, context.Cause(ctx))
		}
	}
}

// commands is how many an instance of meetings has carried out.
func (u *upgrade) commands(t *testing.T, p *stacktest.Process) (done float64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.Ops(p)+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(name, "meet_commands_total{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		done += n
	}
	return done
}

func TestKillUpgradeUnderLoadShowsClientsNoError(t *testing.T) {
	bin, commit := earlier(t)
	u := &upgrade{
		Stack:   stacktest.Start(t, stacktest.Options{Gateways: 2, Meetings: 2, Schedulers: 2, Throwaway: true, Programs: bin}),
		retried: make(map[string]int), grown: make(chan struct{}),
	}
	schema := func() int64 {
		numbers, err := stacktest.Query(t.Context(), u.Stack, pgx.RowTo[int64], "SELECT max(version_id) FROM goose_db_version")
		if err != nil || len(numbers) != 1 {
			t.Fatal(numbers, err)
		}
		return numbers[0]
	}
	was := schema()
	ctx, stop := context.WithTimeoutCause(t.Context(), 4*time.Minute, errors.New("the upgrade takes too long"))
	defer stop()
	began := time.Now()
	asking, enough := context.WithCancel(ctx)
	defer enough()
	const clients = 16
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			c := u.NewClient().From(n)
			for k := 0; asking.Err() == nil; k++ {
				if err := u.life(ctx, c, fmt.Sprintf("c%d-n%d", n, k), n); err != nil {
					t.Error(err)
					enough()
				}
			}
		})
	}
	u.roll(ctx, t, was)
	enough()
	all.Wait()
	t.Logf("from %.12s, schema %d, to schema %d in %s under %d clients: %d meetings made and changed, %d reads; sent again: %v",
		commit, was, schema(), time.Since(began).Round(100*time.Millisecond), clients, len(u.promises), u.reads, u.retried)
	u.Drain(t)
	u.Verify(t, u.promises)
}

// roll replaces everything: meetings beside the old ones, which it migrates under, then the schedulers, then one gateway after the
// other.
func (u *upgrade) roll(ctx context.Context, t *testing.T, was int64) {
	t.Helper()
	const some = 40 // meetings made between two steps
	step := func(what string, err error) {
		t.Helper()
		if err = errors.Join(err, u.more(ctx, some)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	step("with the old programs", nil)
	oldMeetings, oldSchedulers := slices.Clone(u.Meetings), slices.Clone(u.Schedulers)
	for range oldMeetings {
		p, err := u.AddMeetings(ctx, u.Programs())
		if err == nil {
			err = p.Start(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var numbers []int64
	numbers, err := stacktest.Query(ctx, u.Stack, pgx.RowTo[int64], "SELECT max(version_id) FROM goose_db_version")
	files, globErr := filepath.Glob(filepath.Join("../../../..", migrations, "*.sql"))
	if err = errors.Join(err, globErr); err != nil || len(numbers) != 1 || numbers[0] != int64(len(files)) || numbers[0] < was {
		t.Fatalf("the schema is %v of %d, %v", numbers, len(files), err)
	}
	migrated := make([]float64, len(oldMeetings))
	for i, p := range oldMeetings {
		migrated[i] = u.commands(t, p)
	}
	step("with old and new meetings", nil)
	for i, p := range oldMeetings {
		if u.commands(t, p) <= migrated[i] {
			t.Errorf("%s, an old one, carried nothing out on the new schema", p.Name)
		}
	}
	for _, p := range oldMeetings {
		_, err := p.Stop()
		step("without "+p.Name, err)
	}
	for range oldSchedulers {
		p, err := u.AddScheduler(ctx, u.Programs())
		if err == nil {
			err = p.Start(ctx)
		}
		step("with a new scheduler", err)
	}
	for _, p := range oldSchedulers {
		_, err := p.Stop()
		step("without "+p.Name, err)
	}
	for _, p := range u.Gateways {
		_, err := p.Stop()
		p.Replace(u.Programs())
		step("with a new "+p.Name, errors.Join(err, p.Start(ctx)))
	}
}
