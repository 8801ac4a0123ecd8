package command

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

func newOperations(s *session) *cobra.Command {
	var wait waiting
	get := &cobra.Command{
		Use: "get ID", Short: "Show what has become of a create", Args: one("operation"),
		RunE: func(cmd *cobra.Command, args []string) error {
			operation, err := s.operation(cmd.Context(), args[0])
			if err == nil && wait.on && !operation.GetDone() {
				operation, err = s.await(cmd.Context(), wait, args[0])
			}
			if err != nil {
				return err
			}
			return s.show(operation, table{
				{"operation", operation.GetId()},
				{"done", strconv.FormatBool(operation.GetDone())},
				{"meeting", strconv.FormatInt(operation.GetMeetingId(), 10)},
				{"status", word(operation.GetStatus(), "MEETING_STATUS_")},
				{"provisioning", word(operation.GetProvisioning(), "PROVISIONING_")},
				{"error", problem(operation.GetError())},
			})
		},
	}
	wait.flags(get, "wait until it is done")
	return group("operations", "Follow creates that take their time", get)
}

// waiting is --wait and --wait-timeout.
type waiting struct {
	on      bool
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&w.on, "wait", false, what)
	cmd.Flags().DurationVar(&w.timeout, "wait-timeout", 5*time.Minute, "how long --wait waits")
}

// until looks again, ever more slowly, until look says that it is over.
func (w waiting) until(ctx context.Context, what string, look func(context.Context) (over bool, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, errNoAnswer)
	defer cancel()
	tooLong := ended{what + " yet; it goes on, and --wait-timeout waits longer", exitUnavailable}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if over, err := look(ctx); err != nil || over {
			if err != nil && ctx.Err() != nil {
				return tooLong
			}
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return tooLong
		}
	}
}

func (s *session) operation(ctx context.Context, id string) (*meetv1.Operation, error) {
	return ask(ctx, s, &meetv1.GetOperationRequest{Id: id}, s.meetings().GetOperation)
}

// await follows an operation to its end.
func (s *session) await(ctx context.Context, wait waiting, id string) (*meetv1.Operation, error) {
	var operation *meetv1.Operation
	err := wait.until(ctx, "operation "+clean(id)+" is not done", func(ctx context.Context) (bool, error) {
		var err error
		operation, err = s.operation(ctx, id)
		return operation.GetDone(), err
	})
	return operation, err
}

func problem(e *meetv1.SyncError) string {
	if e == nil {
		return "-"
	}
	return e.GetCode() + ": " + e.GetMessage()
}
