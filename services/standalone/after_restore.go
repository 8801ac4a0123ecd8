package standalone

import (
	"context"
	"io"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/services/meetings"
)

// LoadAfterRestore makes the subcommand after-restore; environ is as [os.Environ] gives it. The servers of the data folder run for
// it alone.
func LoadAfterRestore(program string, environ []string, out, err io.Writer) meetings.AfterRestore {
	prepare := func(ctx context.Context) (to meetings.AfterRestoreSettings, end func(context.Context) error, err error) {
		s, err := config.Load[Settings](environ)
		if err != nil {
			return to, nil, err
		}
		app := fx.New(fx.NopLogger, fx.Supply(s, s.Log), logging.Module, folderModule, servers(s),
			fx.Invoke(func(b bus.Config, m meetings.Config) { to = meetings.AfterRestoreSettings{Bus: b, Service: m} }))
		if err := app.Err(); err != nil {
			return to, nil, err
		}
		return to, app.Stop, app.Start(ctx)
	}
	return meetings.AfterRestore{Program: program, Prepare: prepare, Out: out, Err: err}
}
