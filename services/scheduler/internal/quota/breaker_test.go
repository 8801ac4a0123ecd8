package quota_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

// call has a call to the class's API go wrong; false when it was not asked.
func call(t *testing.T, l *quota.Limiter, class job.Class, answered bool) bool {
	t.Helper()
	done, err := l.Begin(t.Context(), boss, class)
	if err != nil {
		_ = deferred(t, err)
		return false
	}
	done(t.Context(), answered, nil)
	return true
}

// off is a limiter's configuration without quotas: breakers work all the same.
func off() quota.Config {
	c := google()
	c.Mode = quota.ModeOff
	return c
}

func TestFailuresInARowOfAllSchedulersStopAnAPIForAll(t *testing.T) {
	r := newRig(t)
	one, b := r.limiter(t, off())
	other, _ := r.limiter(t, off())
	said, err := b.Conn().SubscribeSync(subject.GoogleState)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if !call(t, []*quota.Limiter{one, other}[i%2], job.ClassCalendar, false) {
			t.Fatalf("call %d was not made", i)
		}
	}
	await(t, said, "open")
	for one.Check(t.Context()) == nil { // the message is here, and about to be read
		runtime.Gosched()
	}
	for name, l := range map[string]*quota.Limiter{"the one": one, "the other": other} {
		_, _, err := l.Reserve(t.Context(), calls(true, boss, job.ClassCalendar))
		var f *job.Failure
		if !errors.As(err, &f) || f.Code != quota.CodeDown || f.Kind != job.Deferred {
			t.Errorf("%s scheduler asks all the same: %v", name, err)
		}
		if !call(t, l, job.ClassMeetRead, true) {
			t.Errorf("%s scheduler does not ask Meet, which works", name)
		}
		if err := l.Check(t.Context()); err == nil {
			t.Errorf("%s scheduler is not degraded", name)
		}
	}

	t.Log("one call tries it, and others wait")
	r.clock.Advance(6 * time.Second)
	ctx, release, err := one.Reserve(t.Context(), calls(true, boss, job.ClassCalendar))
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if call(t, other, job.ClassCalendar, true) || call(t, one, job.ClassCalendar, true) {
		t.Error("a second call was made while the first tries")
	}
	done, err := one.Begin(ctx, boss, job.ClassCalendar)
	if err != nil {
		t.Fatal(err)
	}
	done(ctx, false, nil)
	await(t, said, "open")
	r.clock.Advance(6 * time.Second)
	if call(t, other, job.ClassCalendar, true) {
		t.Error("the pause did not grow")
	}

	t.Log("the first success ends it")
	r.clock.Advance(6 * time.Second)
	for !call(t, other, job.ClassCalendar, true) { // once it has heard that the first try has failed
		if t.Context().Err() != nil {
			t.Fatal("it is not tried any more")
		}
		runtime.Gosched()
	}
	await(t, said, "closed")
	for one.Check(t.Context()) != nil {
		runtime.Gosched()
	}
	if !call(t, one, job.ClassCalendar, true) || !call(t, other, job.ClassCalendar, true) {
		t.Error("still not asked")
	}
	if err := one.Check(t.Context()); err != nil {
		t.Errorf("still degraded: %v", err)
	}
}

// await reads what is said until the API is in the state.
func await(t *testing.T, said *nats.Subscription, want string) {
	t.Helper()
	for {
		msg, err := said.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatalf("nobody said %q: %v", want, err)
		}
		var s subject.GoogleAPIState
		if err := json.Unmarshal(msg.Data, &s); err != nil {
			t.Fatal(err)
		}
		if s.State == want {
			return
		}
	}
}

func TestASuccessInBetweenStartsTheCountAnew(t *testing.T) {
	r := newRig(t)
	l, _ := r.limiter(t, off())
	for i := range 30 {
		if !call(t, l, job.ClassCalendar, i%7 == 6) {
			t.Fatalf("call %d was not made", i)
		}
	}
}

func TestATryThatIsNotMadeIsLeftToAnother(t *testing.T) {
	r := newRig(t)
	l, _ := r.limiter(t, off())
	for range 8 {
		call(t, l, job.ClassMeetRead, false)
	}
	r.clock.Advance(6 * time.Second)
	_, release, err := l.Reserve(t.Context(), calls(false, boss, job.ClassMeetRead))
	if err != nil {
		t.Fatal(err)
	}
	release()
	if !call(t, l, job.ClassMeetRead, true) {
		t.Error("nobody tries")
	}
}

func TestALateSchedulerHearsThatAnAPIIsDown(t *testing.T) {
	r := newRig(t)
	one, b := r.limiter(t, off())
	for range 8 {
		call(t, one, job.ClassCalendar, false)
	}
	said, err := b.Conn().SubscribeSync(subject.GoogleState)
	if err != nil {
		t.Fatal(err)
	}
	late, _ := r.limiter(t, off())
	for late.Check(t.Context()) == nil {
		if _, err := said.NextMsg(10 * time.Second); err != nil { // it is said again and again
			t.Fatal(err)
		}
	}
	if call(t, late, job.ClassCalendar, true) {
		t.Error("it asks all the same")
	}
}

func TestWithoutNATSEachSchedulerHasABreakerOfItsOwn(t *testing.T) {
	r := newRig(t)
	l, b := r.limiter(t, off())
	b.Conn().Close()
	for range 8 {
		call(t, l, job.ClassCalendar, false)
	}
	if call(t, l, job.ClassCalendar, true) {
		t.Error("it asks all the same")
	}
	r.clock.Advance(6 * time.Second)
	for range 2 {
		if !call(t, l, job.ClassCalendar, true) {
			t.Error("it does not come back")
		}
	}
}
