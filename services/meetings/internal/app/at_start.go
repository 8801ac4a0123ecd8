package app

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// AtStart makes a step of the start of what asks the store: it is repeated while the store is away, for as long as the start may
// take. A start that had found the store does not fail because it was lost again for a moment.
func AtStart(step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		pause := backoff.NewExponentialBackOff()
		pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
		var last error
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			last = step(ctx)
			if last != nil && !errors.Is(last, ErrUnreachable) && fault.KindOf(last) != fault.Unavailable {
				return struct{}{}, backoff.Permanent(last)
			}
			return struct{}{}, last
		}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
		if err != nil {
			return last
		}
		return nil
	}
}
