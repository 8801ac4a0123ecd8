// Command scheduler does what falls due: it takes jobs from NATS, calls Google and reports what came of it.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // images carry no zone files

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

const program = "scheduler"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "doctor" { // before the settings are refused: it says what is wrong with them
		os.Exit(lifecycle.Subcommand(doctor))
	}
	settings := config.Main[scheduler.Settings](program, os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(httpserver.Healthcheck(httpserver.LocalURL(settings.OpsAddr)))
	}
	os.Exit(lifecycle.Run(program, scheduler.Program(settings)))
}

func doctor(ctx context.Context) int {
	return scheduler.LoadDoctor(program, os.Environ(), os.Stdout, os.Stderr).Run(ctx, os.Args[2:])
}
