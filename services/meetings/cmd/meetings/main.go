// Command meetings owns the meetings database: it carries out commands, answers queries and publishes what happened.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // images carry no zone files

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/services/meetings"
)

const program = "meetings"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "after-restore" {
		os.Exit(lifecycle.Subcommand(afterRestore))
	}
	settings := config.Main[meetings.Settings](program, os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(httpserver.Healthcheck(httpserver.LocalURL(settings.OpsAddr)))
	}
	os.Exit(lifecycle.Run(program, meetings.Program(settings)))
}

func afterRestore(ctx context.Context) int {
	return meetings.LoadAfterRestore(program, os.Environ(), os.Stdout, os.Stderr).Run(ctx, os.Args[2:])
}
