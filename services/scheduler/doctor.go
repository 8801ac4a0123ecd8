package scheduler

import (
	"context"
	"io"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/doctor"
)

// Doctor is the subcommand doctor: it looks at everything outside with the settings alone, before the stack runs.
type Doctor struct {
	// Program is the name of the binary.
	Program string
	// Problems is what was wrong with its settings; nil: nothing. Those of Google do not keep it from looking.
	Problems error
	Service  Config
	Bus      bus.Config
	// Away is why there is no emulator to ask yet; empty: there is one, or Google is meant.
	Away     string
	Out, Err io.Writer
}

// Run looks, shows what it found and returns the exit status: 0 nothing is wrong, 1 something is, 2 wrong use of a flag.
func (d Doctor) Run(ctx context.Context, args []string) int {
	target := doctor.TargetOf(d.Service.Google, d.Service.Development)
	target.Away = d.Away
	return doctor.Command{
		Program: d.Program, Settings: d.Problems, Google: target, Broker: doctor.Visited(d.Bus), Out: d.Out, Err: d.Err,
	}.Run(ctx, args)
}

// LoadDoctor makes the subcommand of the scheduler as a program of its own; environ is as [os.Environ] gives it.
func LoadDoctor(program string, environ []string, out, err io.Writer) Doctor {
	s, problems := config.Load[Settings](environ)
	// It completes the settings. What it finds wrong is among the problems, or is behind one that is.
	_ = s.Check()
	return Doctor{Program: program, Problems: problems, Service: s.Service, Bus: s.Bus, Out: out, Err: err}
}
