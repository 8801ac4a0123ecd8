package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
)

// emulator is the Google emulator in this process.
type emulator struct {
	addr, dir string
	control   bool
	log       *slog.Logger

	url   string
	end   context.CancelFunc
	ended chan error
}

func newEmulator(lc fx.Lifecycle, s Settings, log *slog.Logger) *emulator {
	e := &emulator{addr: s.EmulatorAddr, dir: filepath.Join(s.DataDir, "emulator"), control: s.EmulatorControl, log: log}
	lc.Append(fx.Hook{OnStart: e.start, OnStop: e.stop})
	return e
}

// URL is where it answers; known once it has started.
func (e *emulator) URL() string { return e.url }

func (e *emulator) start(ctx context.Context) error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("make the emulator's folder: %w", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", e.addr)
	if err != nil {
		return fmt.Errorf("listen for the emulator (MEET_EMULATOR_ADDR): %w", err)
	}
	url := httpserver.LocalURL(ln.Addr().String())
	server, err := googlefake.New(googlefake.Config{Dir: e.dir, BaseURL: url, AllowRemoteControl: e.control, Logger: e.log})
	if err != nil {
		return errors.Join(fmt.Errorf("start the emulator: %w", err), ln.Close())
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx)) // the hook's ctx ends with the hook; stop ends this one
	e.url, e.end, e.ended = url, end, make(chan error, 1)
	go func() { e.ended <- errors.Join(server.Serve(running, ln), server.Close()) }()
	return nil
}

func (e *emulator) stop(ctx context.Context) error {
	e.end()
	select {
	case err := <-e.ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop the emulator: %w", ctx.Err())
	}
}
