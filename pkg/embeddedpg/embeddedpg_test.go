package embeddedpg

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/dirlock"
)

// dirEnv makes TestMain the process that the kill tests kill.
const dirEnv = "EMBEDDEDPG_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirEnv); dir != "" {
		if err := serveUntilKilled(dir); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveUntilKilled(dir string) error {
	s, err := New(Config{Dir: dir}, quiet())
	if err != nil {
		return err
	}
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(s.URL() + "\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin) // ends only if the killer dies first
	return err
}

func TestDataSurviveStopAndStart(t *testing.T) {
	dir := folder(t)
	s := newServer(t, Config{Dir: dir})
	if s.URL() != "" {
		t.Fatalf("URL before Start = %q", s.URL())
	}
	start(t, s)
	first := s.URL()
	if u := parse(t, first); u.Hostname() != "127.0.0.1" || u.Path != "/meet" {
		t.Fatalf("URL is for %s%s", u.Host, u.Path)
	}
	run(t, first, "CREATE TABLE kept AS SELECT 'here' AS what")
	fi, err := os.Stat(filepath.Join(s.Dir(), "password"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("password file: %v, %v", fi.Mode(), err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Fatal("a second Start succeeded")
	}
	stop(t, s)
	stop(t, s) // twice is no error
	if s.URL() != "" {
		t.Fatalf("URL after Stop = %q", s.URL())
	}
	if _, err := net.DialTimeout("tcp", parse(t, first).Host, time.Second); err == nil {
		t.Fatal("the server still answers after Stop")
	}
	start(t, s)
	if got := query(t, s.URL(), "SELECT what FROM kept"); got != "here" {
		t.Fatalf("kept %q", got)
	}
}

func TestTheServerEndsWithItsKilledParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent died")
	}
	dir := folder(t)
	parent := startParent(t, dir)
	pid, _, err := readPidFile(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Fatalf("the server is in process group %d (%v), where a terminal's Ctrl-C reaches it", group, err)
	}
	parent.kill(t)
	eventually(t, "the server ends", func() bool { return !isPostmaster(pid, filepath.Join(dir, "data")) })
}

func TestStartAfterTheParentWasKilled(t *testing.T) {
	dir := folder(t)
	for round := range 3 { // at once, while the orphan may still be ending
		parent := startParent(t, dir)
		if round == 0 {
			run(t, parent.url, "CREATE TABLE kept AS SELECT 'here' AS what")
		}
		parent.kill(t)
		s := newServer(t, Config{Dir: dir})
		start(t, s)
		if s.URL() != parent.url {
			t.Fatal("another port or password than before the kill")
		}
		if got := query(t, s.URL(), "SELECT what FROM kept"); got != "here" {
			t.Fatalf("kept %q", got)
		}
		stop(t, s)
	}
}

func TestStartAfterAllWasKilled(t *testing.T) {
	dir := folder(t)
	parent := startParent(t, dir)
	run(t, parent.url, "CREATE TABLE kept AS SELECT 'here' AS what")
	pid, _, err := readPidFile(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.cmd.Process.Signal(syscall.SIGSTOP); err != nil { // so that it cannot restart the server
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	parent.kill(t)
	s := newServer(t, Config{Dir: dir})
	start(t, s)
	if s.URL() != parent.url {
		t.Fatal("another port or password than before the kill")
	}
	if got := query(t, s.URL(), "SELECT what FROM kept"); got != "here" {
		t.Fatalf("kept %q", got)
	}
}

// An orphan as other kernels leave it: nobody told the server that its parent died.
func TestAnOrphanIsStoppedAndReplaced(t *testing.T) {
	dir := folder(t)
	s := newServer(t, Config{Dir: dir})
	start(t, s)
	run(t, s.URL(), "CREATE TABLE kept AS SELECT 'here' AS what")
	was := s.URL()
	bin, args, acc := s.running.bin, s.running.args, s.running.user
	stop(t, s)

	orphan := exec.CommandContext(t.Context(), bin, args...)
	orphan.SysProcAttr = &syscall.SysProcAttr{Credential: acc.cred, Setpgid: true}
	orphan.Dir = s.DataDir()
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan is ready", func() bool {
		_, lines, err := readPidFile(s.DataDir())
		return err == nil && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
	})

	again := newServer(t, Config{Dir: dir})
	start(t, again)
	if err := <-ended; err != nil {
		t.Fatalf("the orphan was not stopped cleanly: %v", err)
	}
	if again.URL() != was {
		t.Fatal("another port or password than the orphan's")
	}
	if got := query(t, again.URL(), "SELECT what FROM kept"); got != "here" {
		t.Fatalf("kept %q", got)
	}
}

func TestAKilledServerIsStartedAgain(t *testing.T) {
	s := newServer(t, Config{Dir: folder(t)})
	start(t, s)
	run(t, s.URL(), "CREATE TABLE kept AS SELECT 'here' AS what")
	conn := connect(t, s.URL()) // a backend that has to notice
	for range 2 {
		pid, _, err := readPidFile(s.DataDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the server is back", func() bool {
			now, lines, err := readPidFile(s.DataDir())
			return err == nil && now != pid && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
		})
		if got := query(t, s.URL(), "SELECT what FROM kept"); got != "here" {
			t.Fatalf("kept %q", got)
		}
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Fatal("a connection outlived its server")
	}
}

func TestWhatAPidFileMayHold(t *testing.T) {
	dir := folder(t)
	s := newServer(t, Config{Dir: dir})
	start(t, s)
	stop(t, s)
	stranger := exec.CommandContext(t.Context(), "sleep", "600") // has the number, and the server's user
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: owner(t, s.DataDir())}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Wait() }()
	defer func() { _ = stranger.Process.Kill() }()
	for name, content := range map[string]string{
		"a process of another kind by now": strconv.Itoa(stranger.Process.Pid) + "\n" + s.DataDir() + "\n1\n1\n\n127.0.0.1\n",
		"a process that is gone":           "999999999\n" + s.DataDir() + "\n1\n1\n\n127.0.0.1\n",
		"nothing":                          "",
		"rubbish":                          "not a number\n",
		"every process":                    "-1\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(s.DataDir(), pidFile)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if cred := owner(t, s.DataDir()); cred != nil {
				if err := os.Chown(path, int(cred.Uid), int(cred.Gid)); err != nil {
					t.Fatal(err)
				}
			}
			s := newServer(t, Config{Dir: dir})
			start(t, s)
			query(t, s.URL(), "SELECT 'alive'")
			stop(t, s)
		})
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("the innocent process was ended: %v", err)
	}
}

func TestAnInterruptedFirstStartIsRedone(t *testing.T) {
	dir := folder(t)
	half := filepath.Join(dir, "initdb-123")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("of the first try\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Config{Dir: dir})
	start(t, s)
	query(t, s.URL(), "SELECT 'alive'")
	if there, err := exists(half); there || err != nil {
		t.Fatalf("the half-made data are still there (%v)", err)
	}
}

func TestATakenPortIsAClearError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	s := newServer(t, Config{Dir: folder(t), Port: l.Addr().(*net.TCPAddr).Port})
	err = s.Start(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr+" is taken") {
		t.Fatalf("Start = %v, want EADDRINUSE that names %s", err, addr)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, s) // the failed start holds nothing
	if got := parse(t, s.URL()).Host; got != addr {
		t.Fatalf("served at %s, want %s", got, addr)
	}
}

func TestTwoServersOnOneFolderIsAClearError(t *testing.T) {
	dir := folder(t)
	parent := startParent(t, dir)
	err := newServer(t, Config{Dir: dir}).Start(t.Context())
	if !errors.Is(err, dirlock.ErrHeld) || !strings.Contains(err.Error(), strconv.Itoa(parent.cmd.Process.Pid)) {
		t.Fatalf("Start = %v, want ErrHeld that names process %d", err, parent.cmd.Process.Pid)
	}
	query(t, parent.url, "SELECT 'unharmed'")
}

func TestAnUnreachableFolderIsReplacedByAFixedOne(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("without root the folder is used as it is")
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil { // the point
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "pg")
	s := newServer(t, Config{Dir: dir})
	start(t, s)
	used := s.Dir()
	t.Cleanup(func() { removeAll(t, used) })
	if filepath.Dir(used) != fallbackRoot || s.DataDir() != filepath.Join(used, "data") {
		t.Fatalf("used %s with data in %s", used, s.DataDir())
	}
	run(t, s.URL(), "CREATE TABLE kept AS SELECT 'here' AS what")
	stop(t, s)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("the unreachable folder holds %v (%v)", left, err)
	}

	again := newServer(t, Config{Dir: dir})
	start(t, again)
	if again.Dir() != used {
		t.Fatalf("used %s, before %s", again.Dir(), used)
	}
	if got := query(t, again.URL(), "SELECT what FROM kept"); got != "here" {
		t.Fatalf("kept %q", got)
	}
	stop(t, again)

	// Where everybody may write, somebody may have been quicker.
	removeAll(t, used)
	if err := os.Mkdir(used, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(used, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := newServer(t, Config{Dir: dir}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), used) {
		t.Fatalf("Start in a stranger's folder = %v", err)
	}
}

func TestOnlyTheDataChangeTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root changes owners")
	}
	dir := folder(t)
	s := newServer(t, Config{Dir: dir})
	start(t, s)
	if cred := owner(t, dir); cred.Uid != 0 {
		t.Fatalf("the folder belongs to %d now", cred.Uid)
	}
	if cred := owner(t, s.DataDir()); cred.Uid == 0 {
		t.Fatal("the data belong to root")
	}
}

// What depends on who starts the server, once more as a user with no rights.
func TestItAlsoWorksWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user; the other tests ran without root")
	}
	acc, err := unprivileged(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := folder(t)
	if err := chown(home, acc); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(home, "embeddedpg.test") // go's own is where only root can go
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, content, 0o755); err != nil { // a program
		t.Fatal(err)
	}
	tests := []string{
		"TestDataSurviveStopAndStart", "TestTheServerEndsWithItsKilledParent", "TestStartAfterTheParentWasKilled",
		"TestAnOrphanIsStoppedAndReplaced", "TestWhatAPidFileMayHold", "TestAFailedDownloadIsAnError",
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.v", "-test.run=^("+strings.Join(tests, "|")+")$")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "TMPDIR="+home, "HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: acc.cred}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), ": "+name+" (") {
			t.Errorf("%s was not run", name)
		}
	}
}

func TestAHungServerIsEndedAllTheSame(t *testing.T) {
	s := newServer(t, Config{Dir: folder(t)})
	start(t, s)
	pid, _, err := readPidFile(s.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no patience
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if isPostmaster(pid, s.DataDir()) {
		t.Fatal("it still lives")
	}
	start(t, s)
	query(t, s.URL(), "SELECT 'alive'")
}

func TestStopDoesNotWaitForOpenTransactions(t *testing.T) {
	s := newServer(t, Config{Dir: folder(t)})
	start(t, s)
	conn := connect(t, s.URL())
	if _, err := conn.Exec(t.Context(), "BEGIN; CREATE TABLE lost ()"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took >= fastPatience {
		t.Fatalf("Stop took %v", took)
	}
	start(t, s)
	if got := query(t, s.URL(), "SELECT count(*)::text FROM pg_tables WHERE tablename = 'lost'"); got != "0" {
		t.Fatal("an open transaction was kept")
	}
}

func TestTheServersSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		throwaway bool
		want      map[string]string
	}{
		"data to keep": {false, map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "60"}},
		"throwaway":    {true, map[string]string{"fsync": "off", "synchronous_commit": "off", "max_connections": "200"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, Config{Dir: folder(t), Throwaway: tc.throwaway})
			start(t, s)
			for setting, want := range map[string]string{
				"jit": "off", "autovacuum": "on", "shared_buffers": "20MB", "listen_addresses": "127.0.0.1", "server_encoding": "UTF8",
				"timezone": "UTC", "unix_socket_directories": "", "huge_pages": "off", "password_encryption": "scram-sha-256",
			} {
				tc.want[setting] = want
			}
			for setting, want := range tc.want {
				if got := query(t, s.URL(), "SELECT current_setting('"+setting+"')"); got != want {
					t.Errorf("%s is %q, want %q", setting, got, want)
				}
			}
			if got := query(t, s.URL(), "SELECT lower('REUNIÓN')"); got != "reunión" {
				t.Errorf("lower gives %q", got)
			}
			if got := query(t, s.URL(), "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"); got != "scram-sha-256" {
				t.Errorf("logins by %q", got)
			}
		})
	}
}

func TestCreateDatabaseIsRepeatableAndQuotes(t *testing.T) {
	s := newServer(t, Config{Dir: folder(t), Throwaway: true})
	if err := s.CreateDatabase(t.Context(), "early"); err == nil {
		t.Fatal("a database was made by a server that does not run")
	}
	start(t, s)
	const name = `Über "x"; DROP`
	var tries sync.WaitGroup
	for range 4 {
		tries.Go(func() {
			if err := s.createDatabase(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	tries.Wait()
	if err := s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s.DatabaseURL(name), "SELECT current_database()::text"); got != name {
		t.Fatalf("connected to %q", got)
	}
}

func TestTheLogHoldsNeitherPasswordNorPeoplesData(t *testing.T) {
	var log safeBuffer
	s, err := New(Config{Dir: folder(t), Throwaway: true}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	password, _ := parse(t, s.URL()).User.Password()
	run(t, s.URL(), "CREATE TABLE person (email text UNIQUE)")
	conn := connect(t, s.URL())
	for range 2 {
		_, err = conn.Exec(t.Context(), "INSERT INTO person VALUES ('ana@example.com')")
	}
	if err == nil {
		t.Fatal("the second insert was no error")
	}
	stop(t, s) // all lines have been read
	if !strings.Contains(log.String(), "duplicate key") {
		t.Fatalf("the server's own lines are missing in %s", log.String())
	}
	for _, secret := range []string{password, "ana@example.com"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no folder":      {},
		"negative port":  {Dir: "x", Port: -1},
		"port too large": {Dir: "x", Port: 65536},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(c, quiet()); err == nil {
				t.Fatalf("New(%+v) succeeded", c)
			}
		})
	}
}

func TestModuleStartsBeforeWhoNeedsIt(t *testing.T) {
	var got string
	app := fxtest.New(t, Module,
		fx.Supply(Config{Dir: folder(t), Throwaway: true}, quiet()),
		fx.Invoke(func(lc fx.Lifecycle, s *Server) {
			lc.Append(fx.StartHook(func() { got = query(t, s.URL(), "SELECT 'served'") }))
		}))
	app.RequireStart()
	app.RequireStop()
	if got != "served" {
		t.Fatalf("got %q", got)
	}
}

func BenchmarkColdStart(b *testing.B) {
	for b.Loop() {
		dir := folder(b)
		s := newServer(b, Config{Dir: dir})
		start(b, s)
		b.StopTimer()
		stop(b, s)
		b.StartTimer()
	}
}

func BenchmarkWarmStart(b *testing.B) {
	s := newServer(b, Config{Dir: folder(b)})
	start(b, s)
	for b.Loop() {
		b.StopTimer()
		stop(b, s)
		b.StartTimer()
		start(b, s)
	}
}

// parent is a process that runs a server and can be killed.
type parent struct {
	cmd *exec.Cmd
	url string
}

func startParent(t *testing.T, dir string) parent {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), dirEnv+"="+dir)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil { // held open until the kill
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line []byte
	for c := make([]byte, 1); ; line = append(line, c...) {
		if _, err := out.Read(c); err != nil {
			t.Fatalf("the parent said %q and then %v (%v)", line, err, cmd.Wait())
		}
		if c[0] == '\n' {
			break
		}
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err := stopOrphan(context.WithoutCancel(t.Context()), quiet(), filepath.Join(dir, "data")); err != nil {
			t.Error(err)
		}
	})
	return parent{cmd: cmd, url: string(line)}
}

func (p parent) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err == nil {
		t.Fatal("the killed process ended well")
	}
}

// safeBuffer is written to by the server's goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// folder is one that every user can reach, unlike t.TempDir.
func folder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "embeddedpg-test-")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // see above
		tb.Fatal(err)
	}
	tb.Cleanup(func() { removeAll(tb, dir) })
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func removeAll(tb testing.TB, dir string) {
	tb.Helper()
	if err := os.RemoveAll(dir); err != nil {
		tb.Error(err)
	}
}

func owner(t *testing.T, path string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

func newServer(tb testing.TB, c Config) *Server {
	tb.Helper()
	s, err := New(c, quiet())
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func start(tb testing.TB, s *Server) {
	tb.Helper()
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { stop(tb, s) })
}

func stop(tb testing.TB, s *Server) {
	tb.Helper()
	if err := s.Stop(context.WithoutCancel(tb.Context())); err != nil {
		tb.Fatal(err)
	}
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func run(t *testing.T, url, sql string) {
	t.Helper()
	conn := connect(t, url)
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn := connect(t, url)
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually watches for what another process does and can tell nobody.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !is() {
		select {
		case <-end.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func TestTheNewestOfTheUsualPlacesComesFirst(t *testing.T) {
	paths := []string{"/usr/lib/postgresql/9/bin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin"}
	slices.SortFunc(paths, func(a, b string) int { return numberIn(b) - numberIn(a) })
	if numberIn(paths[0]) != 17 || numberIn(paths[2]) != 9 {
		t.Fatal(paths)
	}
}
