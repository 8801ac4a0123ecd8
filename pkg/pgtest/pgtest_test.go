package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childEnv makes TestChild what the tests of this package do to a whole process.
const childEnv = "PGTEST_TEST_CHILD"

var migrations atomic.Int32

func migrate(ctx context.Context, url string) error {
	migrations.Add(1)
	return execute(ctx, url, "CREATE TABLE note (text text)", "INSERT INTO note VALUES ('of the migration')")
}

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	before := migrations.Load()
	for i := range 8 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			url := New(t, migrate)
			if got := query(t, url, "SELECT count(*)::text FROM note"); got != "1" {
				t.Fatalf("%s rows at the start, want the migration's one", got)
			}
			if err := execute(t.Context(), url, "INSERT INTO note VALUES ('of this test')"); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Cleanup(func() { // after the parallel ones
		if n := migrations.Load() - before; n > 1 {
			t.Errorf("migrated %d times", n)
		}
	})
}

func TestEachMigrationHasATemplateOfItsOwn(t *testing.T) {
	into := func(table string) Migrate { // closures that share their code
		return func(ctx context.Context, url string) error { return execute(ctx, url, "CREATE TABLE "+table+" ()") }
	}
	const tables = "SELECT coalesce(string_agg(tablename, ','), 'none') FROM pg_tables WHERE schemaname = 'public'"
	for want, migrate := range map[string]Migrate{"a": into("a"), "b": into("b"), "none": nil} {
		if got := query(t, New(t, migrate), tables); got != want {
			t.Errorf("tables %s, want %s", got, want)
		}
	}
}

func TestTheDatabaseEndsWithItsTest(t *testing.T) {
	var ended string
	t.Run("test", func(t *testing.T) {
		ended = New(t, migrate)
		conn, err := pgx.Connect(t.Context(), ended) // left open: no test is perfect
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if err := execute(t.Context(), ended, "SELECT 1"); err == nil {
		t.Fatal("it is still there")
	}
}

func TestAFailedMigrationFailsEveryTestThatNeedsIt(t *testing.T) {
	broken := errors.New("broken")
	runs := 0
	migrate := func(context.Context, string) error { runs++; return broken }
	for range 2 {
		if _, err := create(t.Context(), migrate); !errors.Is(err, broken) {
			t.Fatalf("create = %v", err)
		}
	}
	if runs != 1 {
		t.Fatalf("ran %d times", runs)
	}
}

func TestAGivenServerIsUsedAndLeftClean(t *testing.T) {
	server := New(t, nil) // any server will do
	t.Setenv(urlEnv, server)
	const databases = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database"
	before := query(t, server, databases)
	t.Run("test", func(t *testing.T) {
		got := New(t, migrate)
		if parse(t, got).Host != parse(t, server).Host || got == server {
			t.Fatal("another server, or no database of its own")
		}
		if text := query(t, got, "SELECT text FROM note"); text != "of the migration" {
			t.Fatalf("found %q", text)
		}
	})
	broken := errors.New("broken")
	if _, err := create(t.Context(), func(context.Context, string) error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("create = %v", err)
	}
	if after := query(t, server, databases); after != before {
		t.Fatalf("databases %s, before %s", after, before)
	}
	t.Setenv(urlEnv, "not a url with s3cret")
	if _, err := create(t.Context(), nil); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("create = %v", err)
	}
}

// TestChild is run by others, in a process of its own.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("run by other tests")
	}
	query(t, New(t, migrate), "SELECT text FROM note")
	r, err := process.start()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("dir", r.server.Dir())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skipf("needs a user called nobody: %v", err)
	}
	open := reachableFolder(t)
	closed := filepath.Join(t.TempDir())            // where root's other user cannot go
	if err := os.Chmod(closed, 0o700); err != nil { // the point
		t.Fatal(err)
	}
	ends := map[string]func(*exec.Cmd, io.Closer) error{
		"ended":       func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() },
		"killed":      func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Kill() },
		"interrupted": func(cmd *exec.Cmd, _ io.Closer) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) },
	}
	for _, tc := range []struct {
		name, tmp, end string
		asNobody       bool
	}{
		{"the process ends", open, "ended", false},
		{"the process is killed", open, "killed", false},
		{"Ctrl-C", open, "interrupted", false},
		{"killed, with data elsewhere", closed, "killed", false},
		{"killed, without root", open, "killed", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), testBinary(t, open), "-test.run=^TestChild$", "-test.v")
			cmd.Env = append(os.Environ(), childEnv+"=1", "TMPDIR="+tc.tmp, "HOME="+open)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Dir = open
			cmd.Stderr = t.Output()
			if tc.asNobody {
				if os.Geteuid() != 0 {
					t.Skip("all of it runs without root")
				}
				cmd.SysProcAttr.Credential = credential(t, nobody)
			}
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var dir string
			for lines := bufio.NewScanner(stdout); dir == "" && lines.Scan(); {
				if d, ok := strings.CutPrefix(lines.Text(), "dir "); ok {
					dir = d
				}
			}
			pid := postmaster(t, dir)
			if err := ends[tc.end](cmd, stdin); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); (err == nil) != (tc.end == "ended") {
				t.Fatalf("the child ended with %v", err)
			}
			eventually(t, "the data are removed", func() bool {
				_, err := os.Lstat(dir)
				return errors.Is(err, os.ErrNotExist)
			})
			eventually(t, "the server is gone", func() bool { return !alive(pid) })
			if left, err := filepath.Glob(filepath.Join(tc.tmp, "meet-pgtest-*")); tc.tmp == closed && (err != nil || len(left) != 0) {
				t.Fatalf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	first, err := create(b.Context(), migrate) // starts the server
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d, err := create(b.Context(), migrate)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.drop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if err := first.drop(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// testBinary copies this program to where every user can start it.
func testBinary(t *testing.T, into string) string {
	t.Helper()
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(into, "pgtest.test-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Chmod(0o755), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func reachableFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil { // nobody makes folders in it
		t.Fatal(err)
	}
	return dir
}

func credential(t *testing.T, u *user.User) *syscall.Credential {
	t.Helper()
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Skipf("needs users with numbers: %v", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Skipf("needs groups with numbers: %v", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive tells whether pid runs; a zombie that nobody has collected does not.
func alive(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
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
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-end.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
