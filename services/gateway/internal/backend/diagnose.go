package backend

import (
	"context"
	"fmt"
	"time"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// diagnoseWait is longer than a scheduler looks, which is 25 s at most, and stays below the port's read timeout of 30 s.
const diagnoseWait = 27 * time.Second

// roleAdmin may see how the service is set up.
const roleAdmin = "admin"

// Diagnose asks a scheduler to look at everything outside, for an admin. [bus.ReasonSchedulerUnreachable] when none answers.
func (b *Backend) Diagnose(ctx context.Context, who bus.Principal, req *meetv1.DiagnoseRequest) (*meetv1.DiagnoseResponse, error) {
	if who.Role != roleAdmin {
		return nil, fault.New(fault.Forbidden, "FORBIDDEN", "only an admin may look at the set-up")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, diagnoseWait, fmt.Errorf("no answer within %s", diagnoseWait))
	defer cancel()
	return bus.Ask(ctx, b.bus, subject.Diagnose, req)
}
