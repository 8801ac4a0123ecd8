// Command meetctl makes and manages meetings from a terminal, over the public API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // --time-zone works where no zone files are installed

	"github.com/meet-middleware/meet-middleware/cli/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command.Run(ctx, os.Args[1:], command.Terminal{Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Zone: time.Local})
	stop()
	os.Exit(code)
}
