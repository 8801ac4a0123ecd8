// Command meet-middleware is the whole product in one process.
package main

import (
	"context"
	"os"
	_ "time/tzdata" // images carry no zone files

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

const program = "meet-middleware"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "doctor" { // before the settings are refused: it says what is wrong with them
		os.Exit(lifecycle.Subcommand(doctor))
	}
	if len(os.Args) > 1 && os.Args[1] == "after-restore" {
		os.Exit(lifecycle.Subcommand(afterRestore))
	}
	settings := config.Main[standalone.Settings](program, os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(httpserver.Healthcheck(httpserver.LocalURL(settings.OpsAddr)))
	}
	os.Exit(lifecycle.Run(program, standalone.Program(settings)))
}

func doctor(ctx context.Context) int {
	return standalone.LoadDoctor(ctx, program, os.Environ(), os.Stdout, os.Stderr).Run(ctx, os.Args[2:])
}

func afterRestore(ctx context.Context) int {
	return standalone.LoadAfterRestore(program, os.Environ(), os.Stdout, os.Stderr).Run(ctx, os.Args[2:])
}
