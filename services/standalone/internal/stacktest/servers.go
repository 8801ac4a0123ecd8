package stacktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/embeddedpg"
	"github.com/meet-middleware/meet-middleware/pkg/natsperm"
)

// The test binary is also the nats-server and the owner of Postgres, each as a process that can be killed.
const (
	roleVariable = "STACKTEST_ROLE"
	roleNATS     = "nats"
	rolePostgres = "postgres"
	portVariable = "STACKTEST_PORT"
	dirVariable  = "STACKTEST_DIR"
	fastVariable = "STACKTEST_THROWAWAY"
	// usersVariable begins the passwords of NATS's users; their names follow.
	usersVariable = "STACKTEST_NATS_PASSWORD"

	servesLine = "serves: "
)

// play runs a server until SIGTERM and returns the exit code.
func play(role string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, role); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, role string) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	port, err := strconv.Atoi(os.Getenv(portVariable))
	if err != nil {
		return fmt.Errorf("%s: %w", portVariable, err)
	}
	dir := os.Getenv(dirVariable)
	stopping := context.WithoutCancel(ctx)
	switch role {
	case roleNATS:
		s, err := embeddednats.New(embeddednats.Config{Addr: "127.0.0.1:" + strconv.Itoa(port), StoreDir: dir, Users: natsUsers(os.Getenv(usersVariable))}, log)
		if err != nil {
			return err
		}
		if err := s.Start(ctx); err != nil {
			return err
		}
		fmt.Println(servesLine + s.ClientURL())
		<-ctx.Done()
		return s.Stop(stopping)
	case rolePostgres:
		s, err := embeddedpg.New(embeddedpg.Config{
			Dir: dir, Port: port, BinDir: os.Getenv("MEET_POSTGRES_BIN"), Throwaway: os.Getenv(fastVariable) != "",
		}, log)
		if err != nil {
			return err
		}
		if err := s.Start(ctx); err != nil {
			return err
		}
		fmt.Println(servesLine + s.URL() + " " + s.DataDir())
		<-ctx.Done()
		return s.Stop(stopping)
	}
	return errors.New("no such role")
}

// tester is the kit's own user of NATS, who may do everything.
const tester = "stacktest"

// natsUsers are each service's and the kit's own; none where there is no password.
func natsUsers(password string) []embeddednats.User {
	if password == "" {
		return nil
	}
	users := []embeddednats.User{{Name: tester, Password: password + tester, Publish: []string{">"}, Subscribe: []string{">"}}}
	for _, u := range natsperm.Users() {
		users = append(users, embeddednats.User{Name: u.Name, Password: password + u.Name, Publish: u.Publish, Subscribe: u.Subscribe})
	}
	return users
}

func serverServes(line string) bool { return strings.HasPrefix(line, servesLine) }

// postmaster is the process id of the Postgres on these data; 0 when there is none.
func postmaster(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// killPostmaster kills Postgres itself. The one who would start it again is killed next, and its children see that it is gone.
func killPostmaster(data string) {
	if pid := postmaster(data); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
}

// awaitNoProcess returns once no process has this id, which is no child of the test's: nothing tells of its end, so it is
// looked for.
func awaitNoProcess(pid int, patience time.Duration) error {
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		if !alive(pid) {
			return nil
		}
	}
	return fmt.Errorf("process %d is still there after %s", pid, patience)
}

// alive: a process that is there and no zombie that nobody has buried yet.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}
