package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func rang(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestSystemGivesWholeMicrosecondsInUTC(t *testing.T) {
	before := time.Now().Add(-clock.Resolution)
	got := clock.System()()
	if got.Location() != time.UTC || got.Nanosecond()%1000 != 0 {
		t.Errorf("%v is not UTC in whole microseconds", got)
	}
	if got.Before(before) || got.After(time.Now()) {
		t.Errorf("%v is not the time", got)
	}
	if !got.Equal(got.Round(0)) || got != got.Round(0) {
		t.Errorf("%v carries a monotonic reading", got)
	}
}

func TestManualAlarmsRingWhenTheClockReachesThem(t *testing.T) {
	m := clock.NewManual(noon.In(time.FixedZone("x", 3600)).Add(7))
	if m.Now() != noon {
		t.Fatalf("stands at %v, want %v", m.Now(), noon)
	}
	soon, _ := m.Alarm(noon.Add(time.Minute))
	later, _ := m.Alarm(noon.Add(time.Hour))
	past, _ := m.Alarm(noon)
	if !rang(past) || rang(soon) || rang(later) {
		t.Fatal("before moving, only the alarm that is due may have rung")
	}
	if got := m.Advance(time.Minute); got != noon.Add(time.Minute) {
		t.Errorf("Advance = %v", got)
	}
	if !rang(soon) || rang(later) {
		t.Fatal("after a minute, the minute's alarm alone rings")
	}
	if at, ok := m.Next(); !ok || at != noon.Add(time.Hour) {
		t.Errorf("Next = %v, %v", at, ok)
	}
	m.Set(noon.Add(2 * time.Hour))
	if !rang(later) {
		t.Error("the hour's alarm did not ring")
	}
	if _, ok := m.Next(); ok {
		t.Error("an alarm that rang still waits")
	}
}

func TestAnAlarmSetAfterTheMoveRingsAtOnce(t *testing.T) {
	m := clock.NewManual(noon)
	due := noon.Add(time.Second)
	m.Advance(time.Hour)
	if rung, _ := m.Alarm(due); !rang(rung) {
		t.Error("the move was missed")
	}
}

func TestAReleasedAlarmNeverRings(t *testing.T) {
	m := clock.NewManual(noon)
	rung, release := m.Alarm(noon.Add(time.Second))
	release()
	release()
	m.Advance(time.Hour)
	if rang(rung) {
		t.Error("rang after its release")
	}
}

func TestSystemAlarmRingsOnTimeAndNotWhenReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alarm := clock.SystemAlarm()
		start := time.Now()
		rung, release := alarm(start.Add(time.Minute))
		defer release()
		never, drop := alarm(start.Add(time.Second))
		drop()
		<-rung
		if got := time.Since(start); got != time.Minute {
			t.Errorf("rang after %v", got)
		}
		if rang(never) {
			t.Error("rang after its release")
		}
		if past, _ := alarm(start); !rang(past) {
			t.Error("a past time did not ring at once")
		}
	})
}
