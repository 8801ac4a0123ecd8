// Command meet-middleware is the whole product in one process.
package main

import (
	"os"
	_ "time/tzdata" // images carry no zone files

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

const program = "meet-middleware"

func main() {
	settings := config.Main[standalone.Settings](program, os.Args[1:])
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" {
		os.Exit(httpserver.Healthcheck(httpserver.LocalURL(settings.OpsAddr)))
	}
	os.Exit(lifecycle.Run(program, standalone.Program(settings)))
}
