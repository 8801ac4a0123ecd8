package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

func TestAStepOfTheStartIsRepeatedOnlyWhileTheStoreIsAway(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		fails []error // of the first tries; then it works
		tries int
		err   error
	}{
		"there":                 {nil, 1, nil},
		"away for two commands": {[]error{fmt.Errorf("plan: %w", ErrUnreachable), fmt.Errorf("plan: %w", ErrUnreachable)}, 3, nil},
		"away for a read":       {[]error{fault.New(fault.Unavailable, "DATABASE_UNREACHABLE", "try again")}, 2, nil},
		"another error":         {[]error{ErrUnreachable, broken}, 2, broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				err := AtStart(func(context.Context) error {
					tries++
					if tries <= len(test.fails) {
						return test.fails[tries-1]
					}
					return nil
				})(t.Context())
				if tries != test.tries || !errors.Is(err, test.err) {
					t.Errorf("%d tries, %v; want %d, %v", tries, err, test.tries, test.err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := AtStart(func(context.Context) error { return ErrUnreachable })(ctx); !errors.Is(err, ErrUnreachable) {
			t.Errorf("after the time of the start: %v", err)
		}
	})
}
