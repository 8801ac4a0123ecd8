package backend

import (
	"context"
	"fmt"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// diagnoseWait is longer than a scheduler looks, which is 25 s at most, and stays below the port's read timeout of 30 s.
const diagnoseWait = 27 * time.Second

// Diagnose asks a scheduler to look at everything outside, for an admin. [bus.ReasonSchedulerUnreachable] when none answers.
func (b *Backend) Diagnose(ctx context.Context, who bus.Principal, req *meetv1.DiagnoseRequest) (*meetv1.DiagnoseResponse, error) {
	if _, err := access.Decide(subject.Diagnose.Method(), access.Role(who.Role), access.ParseLimits(who.Scopes)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, diagnoseWait, fmt.Errorf("no answer within %s", diagnoseWait))
	defer cancel()
	return bus.Ask(ctx, b.bus, subject.Diagnose, req)
}
