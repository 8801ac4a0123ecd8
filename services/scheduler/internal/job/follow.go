package job

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
)

// isOurs tells whether an event's id is one of those that [EventID] makes.
func isOurs(eventID string) bool {
	hash, ours := strings.CutPrefix(eventID, "mm")
	return ours && len(hash) == 32 && strings.Trim(hash, "0123456789abcdefghijklmnopqrstuv") == ""
}

// Follow is a calendar to read.
type Follow struct {
	// Account is in whose name it is read.
	Account, CalendarID string
	// SyncToken is where the last reading ended; empty: read all of late and to come.
	SyncToken string
	// Channel is the one that is there.
	Channel Channel
	// Push: it should have one.
	Push bool
}

// Channel is where Google tells that a calendar has changed; its zero value is none.
type Channel struct {
	ID, Resource, TokenHash string
	Expires                 time.Time
}

// Page is one page of a calendar's events.
type Page struct {
	Events []EventState
	// Next is the token of the next page; on the last one it is empty and Sync is where this reading ended.
	Next, Sync string
}

// Feed is what is asked of Google Calendar about what others change in it. Errors are [*Failure].
type Feed interface {
	// ListEvents reads one page: what changed since the sync token, or, without one, all that ends after since. [Gone]: Google
	// does not know the token any more.
	ListEvents(ctx context.Context, account, calendarID, syncToken, pageToken string, since time.Time) (Page, error)
	// Watch makes a channel; ok is false where no public address is configured.
	Watch(ctx context.Context, account, calendarID string) (c Channel, ok bool, err error)
	// Pushes tells whether there is a public address to push to.
	Pushes() bool
	// StopChannel ends one. [NotFound]: it has ended.
	StopChannel(ctx context.Context, account string, c Channel) error
}

const (
	// window is how far back a whole reading goes.
	window = 30 * 24 * time.Hour
	// renewBefore is how long before its end a channel is made anew.
	renewBefore = 24 * time.Hour
)

// Reading is what came of following a calendar once.
type Reading struct {
	// Events are those of ours.
	Events    []EventState
	SyncToken string
	// Full: everything in the window was read.
	Full    bool
	Channel Channel
	// Stale is a channel that is not needed any more once the reading is stored.
	Stale Channel
	// Failure is nil on success; RetryAt is when to try again where it is not for good.
	Failure *Failure
	RetryAt time.Time
}

// FollowCalendar reads what others change in a calendar that holds events of ours. Running it twice reads twice; a channel whose
// making was not told ends by itself.
type FollowCalendar struct {
	feed   Feed
	quotas Quotas
	now    clock.Clock
	timing Timing
	log    *slog.Logger
}

// NewFollowCalendar makes the job.
func NewFollowCalendar(feed Feed, quotas Quotas, now clock.Clock, timing Timing, log *slog.Logger) *FollowCalendar {
	return &FollowCalendar{feed: feed, quotas: quotas, now: now, timing: timing, log: log}
}

// Do reads the calendar. When ctx ends first the message is to come again, which ok tells.
func (f *FollowCalendar) Do(ctx context.Context, c Follow, failedAttempts int) (r Reading, ok bool) {
	r = Reading{SyncToken: c.SyncToken, Channel: c.Channel}
	// Nobody waits for it: what somebody does goes before.
	with, release, err := f.quotas.Reserve(ctx, Demand{Organizer: c.Account, Calls: []Class{ClassCalendar}})
	if err == nil {
		if err = f.channel(with, c, &r); err == nil {
			err = f.read(with, c, &r)
		}
		release()
	}
	if err == nil {
		return r, true
	}
	if ctx.Err() != nil {
		return r, false
	}
	failure := failureOf(err)
	after := max(min(failure.After, maxAfter), f.timing.Long<<min(failedAttempts, 8))
	if failure.Kind == Deferred {
		after = failure.After
	}
	r.Failure, r.RetryAt = failure, clock.Cut(f.now().Add(after+jitter(after/4)))
	level := slog.LevelWarn
	if failure.Kind == Deferred {
		level = slog.LevelDebug
	}
	f.log.Log(ctx, level, "calendar could not be followed", "code", failure.Code, "permanent", failure.Permanent(), "failed_attempts", failedAttempts, "error", err)
	return r, true
}

// channel makes, renews or gives up the push channel. Before the reading, so that no change falls between the two. Without one
// the calendar is read as often, only later: a refusal is no failure.
func (f *FollowCalendar) channel(ctx context.Context, c Follow, r *Reading) error {
	now := f.now()
	if !c.Push || !f.feed.Pushes() {
		if c.Channel.ID != "" {
			r.Stale, r.Channel = c.Channel, Channel{}
		}
		return nil
	}
	if c.Channel.ID != "" && c.Channel.Expires.After(now.Add(renewBefore)) {
		return nil
	}
	var made Channel
	var ok bool
	err := f.unhurried(ctx, c, func(ctx context.Context) (err error) {
		made, ok, err = f.feed.Watch(ctx, c.Account, c.CalendarID)
		return err
	})
	switch {
	case is(err, Deferred, Transient):
		return err
	case err != nil:
		f.log.WarnContext(ctx, "calendar has no push channel, it is only read now and then", "error", err)
		if !c.Channel.Expires.After(now) {
			r.Channel = Channel{}
		}
	case ok:
		r.Channel, r.Stale = made, c.Channel
	}
	return nil
}

// unhurried makes one call when no create or change wants the quota.
func (f *FollowCalendar) unhurried(ctx context.Context, c Follow, call func(context.Context) error) error {
	with, release, err := f.quotas.Reserve(ctx, Demand{Organizer: c.Account, Calls: []Class{ClassCalendar}})
	if err != nil {
		return err
	}
	defer release()
	return call(with)
}

// read pages through what changed. Its events are kept in r even if it ends half way: each is true by itself.
func (f *FollowCalendar) read(ctx context.Context, c Follow, r *Reading) error {
	token, page := c.SyncToken, ""
	r.Full = token == ""
	since := f.now().Add(-window)
	for {
		var p Page
		err := f.unhurried(ctx, c, func(ctx context.Context) (err error) {
			p, err = f.feed.ListEvents(ctx, c.Account, c.CalendarID, token, page, since)
			return err
		})
		if is(err, Gone) && token != "" { // too old, or the calendar's rules changed
			token, page, r.Full, r.Events, r.SyncToken = "", "", true, nil, ""
			continue
		}
		if err != nil {
			return err
		}
		for i := range p.Events {
			if isOurs(p.Events[i].EventID) {
				r.Events = append(r.Events, p.Events[i])
			}
		}
		if p.Next == "" {
			r.SyncToken = p.Sync
			return nil
		}
		page = p.Next
	}
}

// Forget ends the channel that a stored reading has replaced. It ends by itself where that fails.
func (f *FollowCalendar) Forget(ctx context.Context, c Follow, r Reading) {
	if r.Stale.ID == "" {
		return
	}
	if err := f.feed.StopChannel(ctx, c.Account, r.Stale); err != nil && !is(err, NotFound, Gone) {
		f.log.WarnContext(ctx, "push channel was not stopped, it ends by itself", "expires", r.Stale.Expires, "error", err)
	}
}
