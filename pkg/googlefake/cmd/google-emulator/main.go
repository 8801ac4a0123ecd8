// Command google-emulator plays Google's token endpoint, Calendar, Meet, Drive, Workspace Events and
// Pub/Sub on one address, for programs under test. docs/emulator.md says what it answers and how it is made to fail.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // calendar calls name zones, and an image may have none

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
)

// Config of the program.
type Config struct {
	Addr      string        `env:"MEET_EMULATOR_ADDR" envDefault:"127.0.0.1:8090" help:"where the emulator listens; port 0 picks a free one"`
	DataDir   string        `env:"MEET_DATA_DIR" help:"its state is kept in the folder emulator below; absent: in memory"`
	PublicURL string        `env:"MEET_EMULATOR_PUBLIC_URL" help:"where people reach it, for links; absent: the Host of each request"`
	Control   bool          `env:"MEET_EMULATOR_CONTROL" envDefault:"False" help:"answer control routes to other machines too"`
	Strict    bool          `env:"MEET_EMULATOR_STRICT" envDefault:"False" help:"know only MEET_EMULATOR_USERS and MEET_EMULATOR_CALENDARS; otherwise people exist once they are named"`
	Users     []string      `env:"MEET_EMULATOR_USERS" help:"addresses that exist from the start"`
	Calendars []string      `env:"MEET_EMULATOR_CALENDARS" help:"calendars that everybody may write, beside their own"`
	Delay     time.Duration `env:"MEET_EMULATOR_CONFERENCE_DELAY" envDefault:"0s" help:"how long a new conference stays pending"`
}

func main() {
	cfg := config.Main[Config]("google-emulator", os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		err := healthcheck(ctx, httpserver.LocalURL(cfg.Addr))
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, "health check:", err)
			os.Exit(1)
		}
		return
	}
	err := run(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "google-emulator:", err)
		os.Exit(1)
	}
}

// healthcheck asks the emulator at url whether it answers.
func healthcheck(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_emulator/clock", http.NoBody)
	if err != nil {
		return err
	}
	// No proxy: the port is this machine's own, whatever HTTP_PROXY says.
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

const healthTimeout = 5 * time.Second

// run serves until ctx ends.
func run(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	dir := ""
	if cfg.DataDir != "" {
		dir = filepath.Join(cfg.DataDir, "emulator")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
	}
	s, err := googlefake.New(googlefake.Config{
		Dir: dir, BaseURL: cfg.PublicURL, Strict: cfg.Strict, Users: cfg.Users, Calendars: cfg.Calendars,
		AllowRemoteControl: cfg.Control, ConferenceDelay: cfg.Delay, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen (MEET_EMULATOR_ADDR): %w", err)
	}
	log.InfoContext(ctx, "emulator listening", "url", "http://"+ln.Addr().String(), "dir", dir)
	return s.Serve(ctx, ln)
}
