package timetest

import (
	"slices"
	"testing"
)

func TestARoundInTimeIsEnoughAndTheLast(t *testing.T) {
	ran := 0
	Rounds(t, func(r *Round) {
		if ran++; ran < 3 {
			r.Latef("by %d s", ran)
		}
	})
	if ran != 3 {
		t.Errorf("%d rounds", ran)
	}
}

func TestWhatIsLateInEveryRoundIsToldOfEach(t *testing.T) {
	late := rounds(3, func(n int) ([]string, bool) { return []string{string(rune('0' + n))}, true })
	if !slices.EqualFunc(late, []string{"1", "2", "3"}, func(a []string, b string) bool { return len(a) == 1 && a[0] == b }) {
		t.Errorf("got %q", late)
	}
}

func TestARoundThatFailsIsNotTriedAgain(t *testing.T) {
	ran := 0
	if late := rounds(3, func(int) ([]string, bool) { ran++; return []string{"late as well"}, false }); late != nil || ran != 1 {
		t.Errorf("%d rounds, late %q", ran, late)
	}
}
