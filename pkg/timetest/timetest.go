// Package timetest lets a test bound how long something takes on a machine that has much else to do: what is late in every
// round is the code, what is late in one is the machine. It hides nothing but lateness: any other error of any round stays one.
package timetest

import (
	"fmt"
	"testing"
)

// most is how many rounds a test has until it fails.
const most = 5

// A Round is one of several measurements.
type Round struct {
	*testing.T
	late []string
}

// Latef notes that this round took too long.
func (r *Round) Latef(format string, args ...any) {
	r.Helper()
	late := fmt.Sprintf(format, args...)
	r.Log("late: " + late)
	r.late = append(r.late, late)
}

// Rounds has measure run until one round is not late, and fails with what was late in each when none is. A round is a
// subtest: what it leaves to Cleanup is gone before the next one begins.
func Rounds(t *testing.T, measure func(r *Round)) {
	t.Helper()
	if late := rounds(most, func(n int) ([]string, bool) {
		r := new(Round)
		ok := t.Run(fmt.Sprintf("round %d", n), func(t *testing.T) {
			r.T = t
			measure(r)
		})
		return r.late, ok
	}); late != nil {
		t.Errorf("late in each of %d rounds: %q", len(late), late)
	}
}

// rounds gives what was late in each round, and nil when one was on time or has failed otherwise.
func rounds(most int, measure func(n int) (late []string, ok bool)) [][]string {
	var all [][]string
	for n := range most {
		late, ok := measure(n + 1)
		if !ok || len(late) == 0 {
			return nil
		}
		all = append(all, late)
	}
	return all
}
