// Command meetings owns the meetings database: it carries out commands, answers queries and publishes what happened.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // images carry no zone files

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/services/meetings"
)

const program = "meetings"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "after-restore" {
		os.Exit(afterRestore())
	}
	settings := config.Main[meetings.Settings](program, os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(httpserver.Healthcheck(httpserver.LocalURL(settings.OpsAddr)))
	}
	os.Exit(lifecycle.Run(program, meetings.Program(settings)))
}

func afterRestore() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return meetings.LoadAfterRestore(program, os.Environ(), os.Stdout, os.Stderr).Run(ctx, os.Args[2:])
}
