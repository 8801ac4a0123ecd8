package conference_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

func TestAnAccountIsReadSeldomWhileNoticesArriveAndOftenWhenTheyDoNot(t *testing.T) {
	active := conference.Subscription{Name: "subscriptions/1", State: conference.SubscriptionActive, ExpiresAt: start.Add(7 * 24 * time.Hour)}
	soonMeeting := []conference.Window{{Start: start.Add(10 * minute), End: start.Add(40 * minute)}}
	for _, c := range []struct {
		name  string
		owner conference.Owner
		in    time.Duration
	}{
		{"notices arrive", conference.Owner{Subscription: active, Ahead: soonMeeting}, 72 * time.Hour},
		{"no notices, a meeting may be going on", conference.Owner{Ahead: soonMeeting}, 2 * minute},
		{"no notices, a meeting ended within the hour", conference.Owner{Ahead: []conference.Window{{Start: start.Add(-time.Hour), End: start.Add(-30 * minute)}}}, 2 * minute},
		{"no notices, a meeting in three hours", conference.Owner{Ahead: []conference.Window{{Start: start.Add(3 * time.Hour), End: start.Add(4 * time.Hour)}}}, 3*time.Hour - 15*minute},
		{"no notices, nothing ahead", conference.Owner{}, 72 * time.Hour},
		{"active, but nothing was heard of the newest conference", conference.Owner{Subscription: active, HeldAt: start.Add(-20 * minute), NoticedAt: start.Add(-48 * time.Hour), Ahead: soonMeeting}, 2 * minute},
		{"active, and the notice may still come", conference.Owner{Subscription: active, HeldAt: start.Add(-2 * minute), NoticedAt: start.Add(-48 * time.Hour), Ahead: soonMeeting}, 72 * time.Hour},
		{"active, and heard of", conference.Owner{Subscription: active, HeldAt: start.Add(-20 * minute), NoticedAt: start.Add(-19 * minute), Ahead: soonMeeting}, 72 * time.Hour},
		{"expired", conference.Owner{Subscription: conference.Subscription{Name: "s", State: conference.SubscriptionActive, ExpiresAt: start.Add(-minute)}, Ahead: soonMeeting}, 2 * minute},
		{"expires soon", conference.Owner{Subscription: conference.Subscription{Name: "s", State: conference.SubscriptionActive, ExpiresAt: start.Add(10 * time.Hour)}}, 5 * time.Hour},
		{"suspended", conference.Owner{Subscription: conference.Subscription{Name: "s", State: conference.SubscriptionIsSuspended}, BusyUntil: start.Add(time.Hour)}, time.Hour},
		{"a notice came meanwhile", conference.Owner{Subscription: active, ReadAgain: true}, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.owner
			o.Job.Send(start)
			o.Followed(conference.Reading{Dispatch: 1, Listed: true, Until: start}, 2*minute, start)
			if in := o.Job.DueAt.Sub(start); in != c.in || o.Job.State != meeting.JobDue {
				t.Errorf("%s, due in %s, want %s", o.Job.State, in, c.in)
			}
		})
	}
}

func TestAListingTakesUpWhereTheLastOneEnded(t *testing.T) {
	o := conference.Owner{CreatedAt: start}
	if from, until := o.Plan(start.Add(time.Hour)); !from.Equal(start.Add(-time.Hour)) || !until.Equal(start.Add(time.Hour)) {
		t.Errorf("the first goes from %s to %s", from, until)
	}
	o.Job.Send(start)
	o.Followed(conference.Reading{Dispatch: 1, Listed: true, From: start.Add(-time.Hour), Until: start.Add(time.Hour)}, minute, start)
	if from, _ := o.Plan(start.Add(2 * time.Hour)); !from.Equal(start.Add(45 * minute)) {
		t.Errorf("the next goes from %s", from)
	}
	o.OpenSince = start.Add(10 * minute)
	if from, _ := o.Plan(start.Add(2 * time.Hour)); !from.Equal(start.Add(10 * minute)) {
		t.Errorf("with a conference whose end is not exact it goes from %s", from)
	}
	if from, _ := o.Plan(start.Add(60 * 24 * time.Hour)); !from.Equal(start.Add(30 * 24 * time.Hour)) {
		t.Errorf("after two months it goes from %s: Google knows no more than thirty days", from)
	}
}

func TestAReadingThatFailedIsTriedAgainAndLosesNothing(t *testing.T) {
	o := conference.Owner{ListedUntil: start.Add(-time.Hour)}
	o.Job.Send(start)
	o.Followed(conference.Reading{Dispatch: 1, Until: start, Failure: &meeting.OutcomeFailure{Code: "X", RetryAt: start.Add(minute)}}, minute, start)
	if !o.Job.DueAt.Equal(start.Add(minute)) || !o.ListedUntil.Equal(start.Add(-time.Hour)) || o.Failure.Code != "X" {
		t.Errorf("due at %s, listed until %s, %+v", o.Job.DueAt, o.ListedUntil, o.Failure)
	}
	o.Job.Send(start)
	if facts := o.Followed(conference.Reading{Dispatch: 1, Listed: true, Until: start}, minute, start); facts != nil || o.Job.State != meeting.JobOut {
		t.Error("the outcome of an older dispatch was taken")
	}
}

func TestASubscriptionsStateIsToldWhenItChanges(t *testing.T) {
	o := conference.Owner{}
	read := func(s conference.Subscription) int {
		o.Job.Send(start)
		return len(o.Followed(conference.Reading{Dispatch: o.Job.Dispatch, Subscription: &s, GoogleUser: "users/1"}, minute, start))
	}
	for n, c := range []struct {
		state string
		told  int
	}{{"", 0}, {conference.SubscriptionActive, 1}, {conference.SubscriptionActive, 0}, {conference.SubscriptionCannotBeMade, 1}, {conference.SubscriptionActive, 1}} {
		if told := read(conference.Subscription{Name: "subscriptions/1", State: c.state}); told != c.told {
			t.Errorf("step %d, %q: told %d, want %d", n, c.state, told, c.told)
		}
	}
	suspended := conference.Notice{Type: conference.SubscriptionSuspended, At: start.Add(minute), Resource: "subscriptions/1", Reason: "X"}
	if told := len(o.Noticed(&suspended, false, start.Add(minute))); told != 1 || !o.Subscription.CheckedAt.IsZero() {
		t.Errorf("told %d, looked at %s: it is to be looked at again", told, o.Subscription.CheckedAt)
	}
	if told := len(o.Noticed(&suspended, false, start.Add(minute))); told != 0 {
		t.Error("a doubled notice was told again")
	}
	read(conference.Subscription{Name: "subscriptions/1", State: conference.SubscriptionActive, CheckedAt: start.Add(5 * minute)})
	if o.Noticed(&suspended, false, start.Add(6*minute)); o.Subscription.State != conference.SubscriptionActive {
		t.Error("a late notice undid what Google told since")
	}
	expired := conference.Notice{Type: conference.SubscriptionExpired, At: start.Add(10 * minute), Resource: "subscriptions/1"}
	if o.Noticed(&expired, false, start.Add(10*minute)); o.Subscription.Name != "" {
		t.Error("a subscription that is no more is still used")
	}
}

func FuzzNoticesNameWhatTheyAreAbout(f *testing.F) {
	f.Add("conferenceRecords/a/participants/p/participantSessions/s")
	f.Add("conferenceRecords//participants/")
	f.Fuzz(func(t *testing.T, resource string) {
		n := conference.Notice{Resource: resource, Type: conference.ParticipantJoined}
		record, attendee := n.Record(), n.Attendee()
		if !strings.HasPrefix(resource, record) || !strings.HasPrefix(resource, attendee) || attendee != "" && !strings.HasPrefix(attendee, record+"/participants/") {
			t.Errorf("%q is about %q and %q", resource, record, attendee)
		}
		if rows := n.Rows(); attendee == "" && len(rows) > 0 {
			t.Errorf("%q needs rows %v", resource, rows)
		}
	})
}
