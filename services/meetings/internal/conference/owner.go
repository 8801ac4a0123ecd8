package conference

import (
	"slices"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// OwnerID numbers a row of an account that owns spaces.
type OwnerID int64

// Owner is an account that owns the spaces of meetings, with the one job that follows what is held in them.
type Owner struct {
	ID      OwnerID
	Account string
	// GoogleUser is users/…, as Google numbers it; empty while unknown.
	GoogleUser string
	// UserID numbers the user whose account it is; 0: it is the workspace's own.
	UserID int64
	// BusyUntil is until when meetings lie ahead, give or take a week.
	BusyUntil time.Time
	// ListedUntil: all conferences that began before it were listed.
	ListedUntil, ReadAt time.Time
	// ReadAgain: a notice came while it was being read.
	ReadAgain    bool
	Subscription Subscription
	// NoticedAt is when the newest notice says that something happened; HeldAt is when the newest conference began.
	NoticedAt, HeldAt time.Time
	Failure           meeting.Failure
	Job               meeting.Job
	CreatedAt         time.Time
	// Ahead are the times of meetings about now and to come, by their start, as far as they were asked for.
	Ahead []Window
	// OpenSince is when the oldest conference began whose end Google has not told; zero: there is none.
	OpenSince time.Time
}

// Window is the time of a meeting.
type Window struct{ Start, End time.Time }

// Subscription is a subscription at Workspace Events to what happens in an account's spaces; its zero value is none.
type Subscription struct {
	// Name is subscriptions/….
	Name string
	// State is active, suspended, failed (it can't be made) or empty.
	State     string
	Reason    string
	ExpiresAt time.Time
	CheckedAt time.Time
}

// The states of a subscription.
const (
	SubscriptionActive        = "active"
	SubscriptionIsSuspended   = "suspended"
	SubscriptionCannotBeMade  = "failed"
	reasonSubscriptionExpired = "EXPIRED"
)

// SubscriptionChanged says that the subscription works, or works no more.
type SubscriptionChanged struct{ Owner *Owner }

const (
	// quietEvery is how often an account's conferences are listed while notices tell of them, or none are to come: within the 30 days
	// that Google knows one, several times over.
	quietEvery = 72 * time.Hour
	// soon is how long after a notice is looked, so that a burst of them is one look.
	soon = 5 * time.Second
	// early and late are how long before its start and after its end a meeting without notices may be going on.
	early, late = 15 * time.Minute, time.Hour
	// mendEvery and remakeEvery are how often a subscription that is suspended or can't be made is tried again.
	mendEvery, remakeEvery = time.Hour, 6 * time.Hour
	// overlap is how far a listing goes back behind the one before it: Google may show a conference late.
	overlap = 15 * time.Minute
	// noticeDelay is how late a notice may come (Workspace Events: up to a few minutes).
	noticeDelay = 5 * time.Minute
	// skew is how much earlier than a conference the notice of its begin may claim to be.
	skew = time.Minute
	// grain is how coarse BusyUntil is: it is written once for many meetings.
	grain = 7 * 24 * time.Hour
)

// BusyUntil is what to remember of a meeting that ends at end.
func BusyUntil(end time.Time) time.Time {
	if latest := time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC); !end.Before(latest) {
		return latest
	}
	return end.UTC().Truncate(grain).Add(grain)
}

// Busy tells whether a meeting lies ahead, or has ended within a day.
func (o *Owner) Busy(now time.Time) bool { return o.BusyUntil.Add(24 * time.Hour).After(now) }

// Healthy tells whether notices arrive. A subscription that is active and told nothing of the newest conference does not count.
func (o *Owner) Healthy(now time.Time) bool {
	if o.Subscription.State != SubscriptionActive || !o.Subscription.ExpiresAt.IsZero() && !o.Subscription.ExpiresAt.After(now) {
		return false
	}
	return o.HeldAt.IsZero() || !o.NoticedAt.Before(o.HeldAt.Add(-skew)) || now.Before(o.HeldAt.Add(noticeDelay))
}

// Held remembers when a conference of the account began.
func (o *Owner) Held(began time.Time) bool {
	if !began.After(o.HeldAt) {
		return false
	}
	o.HeldAt = began
	return true
}

// Plan is what to list at now: from the last listing, or from the oldest conference whose end is not known exactly.
func (o *Owner) Plan(now time.Time) (from, until time.Time) {
	from = o.ListedUntil.Add(-overlap)
	if o.ListedUntil.IsZero() {
		from = o.CreatedAt.Add(-time.Hour)
	}
	if !o.OpenSince.IsZero() && o.OpenSince.Before(from) {
		from = o.OpenSince
	}
	if oldest := now.Add(-keptByGoogle); from.Before(oldest) {
		from = oldest
	}
	return from, now
}

// Reading is what the scheduler reports of one dispatch of an owner's job.
type Reading struct {
	Dispatch int64
	// Listed: all conferences that began from From until Until were reported.
	Listed      bool
	From, Until time.Time
	// Subscription is nil where it was not looked at.
	Subscription *Subscription
	GoogleUser   string
	// Failure is nil on success.
	Failure *meeting.OutcomeFailure
}

// Listing takes note of what was listed.
func (o *Owner) Listing(from, until time.Time) {
	if until.After(o.ListedUntil) && (o.ListedUntil.IsZero() || !from.After(o.ListedUntil)) {
		o.ListedUntil = until
	}
}

// Followed takes a reading at now; every is how often it is read without notices. A reading of an older dispatch changes nothing.
func (o *Owner) Followed(r Reading, every time.Duration, now time.Time) []SubscriptionChanged {
	j := &o.Job
	if r.Dispatch != j.Dispatch || j.DispatchedAt.IsZero() {
		return nil
	}
	j.DispatchedAt, j.State = time.Time{}, meeting.JobDue
	if r.Listed {
		o.Listing(r.From, r.Until)
		o.ReadAt = now
	}
	if r.GoogleUser != "" {
		o.GoogleUser = r.GoogleUser
	}
	var facts []SubscriptionChanged
	if r.Subscription != nil {
		facts = o.subscribed(*r.Subscription, now)
	}
	if r.Failure != nil {
		o.Failure = r.Failure.Reason()
		if !r.Failure.Deferred {
			j.FailedAttempts++
		}
		j.DueAt = now.Add(max(every, time.Hour))
		if !r.Failure.Permanent {
			j.DueAt = meeting.Clamp(r.Failure.RetryAt, now.Add(time.Second), now.Add(quietEvery))
		}
		return facts
	}
	o.Failure, j.FailedAttempts = meeting.Failure{}, 0
	j.DueAt = o.next(every, now)
	o.ReadAgain = false
	return facts
}

// next is when to look again after a reading that succeeded.
func (o *Owner) next(every time.Duration, now time.Time) time.Time {
	if o.ReadAgain {
		return now.Add(soon)
	}
	at := now.Add(quietEvery)
	if expires := o.Subscription.ExpiresAt; o.Subscription.State == SubscriptionActive && expires.After(now) {
		at = earliest(at, now.Add(expires.Sub(now)/2))
	}
	switch {
	case o.Healthy(now):
		return at
	case o.Subscription.State == SubscriptionIsSuspended && o.Busy(now):
		at = earliest(at, now.Add(mendEvery))
	case o.Subscription.State == SubscriptionCannotBeMade && o.Busy(now):
		at = earliest(at, now.Add(remakeEvery))
	}
	for _, w := range o.Ahead {
		switch opens := w.Start.Add(-early); {
		case !w.End.Add(late).After(now):
		case opens.After(now):
			at = earliest(at, opens)
		default:
			at = earliest(at, now.Add(every))
		}
	}
	return at
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// subscribed takes the subscription as it was found or made.
func (o *Owner) subscribed(s Subscription, now time.Time) []SubscriptionChanged {
	before := o.Subscription
	if s.CheckedAt.IsZero() {
		s.CheckedAt = now
	}
	o.Subscription = s
	if s.State == before.State && s.Reason == before.Reason || s.State == "" && before.State == "" {
		return nil
	}
	return []SubscriptionChanged{{o}}
}

// Listed tells whether the account was listed since notices of a conference began to come, and Google had time to show it: it is
// none of ours, or the next listing shows it.
func (o *Owner) Listed(kept []Kept) bool {
	return slices.ContainsFunc(kept, func(k Kept) bool { return o.ListedUntil.After(k.CameAt.Add(time.Minute)) })
}

// Noticed takes note at now of a notice; look: there is something to be read at once.
func (o *Owner) Noticed(n *Notice, look bool, now time.Time) []SubscriptionChanged {
	var facts []SubscriptionChanged
	if n.At.After(o.NoticedAt) && !n.At.After(now.Add(noticeDelay)) && !n.Lifecycle() {
		o.NoticedAt = n.At
	}
	if n.Lifecycle() && o.Subscription.Name != "" && n.Resource == o.Subscription.Name && !n.At.Before(o.Subscription.CheckedAt) {
		look = true
		switch n.Type { //nolint:exhaustive // lifecycle notices alone come here
		case SubscriptionSuspended:
			facts = o.lost(n.Reason)
		case SubscriptionExpired:
			facts = o.lost(reasonSubscriptionExpired)
			o.Subscription.Name = ""
		default: // a reminder
		}
		o.Subscription.CheckedAt, o.Subscription.ExpiresAt = time.Time{}, time.Time{} // it is looked at, and mended or renewed
	}
	if look {
		o.Look(now.Add(soon))
	}
	return facts
}

func (o *Owner) lost(reason string) []SubscriptionChanged {
	if o.Subscription.State == SubscriptionIsSuspended && o.Subscription.Reason == reason {
		return nil
	}
	o.Subscription.State, o.Subscription.Reason = SubscriptionIsSuspended, reason
	return []SubscriptionChanged{{o}}
}

// Look makes the job due at a time at the latest; while it is out it is due again after its outcome.
func (o *Owner) Look(at time.Time) {
	if o.Job.State == meeting.JobOut {
		o.ReadAgain = true
		return
	}
	if at.Before(o.Job.DueAt) {
		o.Job.DueAt = at
	}
}
