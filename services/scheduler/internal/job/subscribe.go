package job

import (
	"context"
	"time"
)

// Subscription is one at Workspace Events to what happens in the spaces of an account.
type Subscription struct {
	// Name is subscriptions/…; empty: there is none.
	Name string
	// User is Google's number of the account, users/…; empty while unknown.
	User  string
	State SubscriptionState
	// Reason says why it is suspended or can't be made.
	Reason string
	// Expires is zero where it is not known, which makes it be looked at.
	Expires time.Time
	// Checked is when Google last told of it; zero: long ago.
	Checked time.Time
}

// SubscriptionState is how a subscription is; empty: there is none, or nobody knows.
type SubscriptionState string

// The states.
const (
	SubscriptionActive    SubscriptionState = "active"
	SubscriptionSuspended SubscriptionState = "suspended"
	SubscriptionFailed    SubscriptionState = "failed"
)

// Subscriptions is what is asked of Workspace Events in the name of an account. Errors are [*Failure]; [NotFound] or [Gone]: there
// is no such subscription any more. Those that return one fill in all but User and Checked.
type Subscriptions interface {
	// Subscribes tells whether there is a topic to send notices to.
	Subscribes() bool
	// Subscribe makes one to the spaces of user. [Taken]: there is one already.
	Subscribe(ctx context.Context, account, user string) (Subscription, error)
	// FindSubscription gives the one to the spaces of user; [NotFound] where there is none.
	FindSubscription(ctx context.Context, account, user string) (Subscription, error)
	GetSubscription(ctx context.Context, account, name string) (Subscription, error)
	// RenewSubscription makes it last as long as Google allows.
	RenewSubscription(ctx context.Context, account, name string) (Subscription, error)
	// ReactivateSubscription is for one that is suspended, once the cause is mended.
	ReactivateSubscription(ctx context.Context, account, name string) (Subscription, error)
	// Unsubscribe ends one; [NotFound]: it had ended.
	Unsubscribe(ctx context.Context, account, name string) error
}

const (
	// subscriptionLife is the longest of one without payload (Workspace Events API, Subscription.ttl).
	subscriptionLife = 7 * 24 * time.Hour
	// mendEvery is how long one rests that Google refuses or has suspended: a person must do something first.
	mendEvery = time.Hour
	// adoptTries bounds how often one that is there and can't be used is replaced.
	adoptTries = 2
)

// upkeep makes, renews, mends or ends the subscription. What Google refuses for good is its state and no failure: conferences are
// read either way.
func (v *visit) upkeep(ctx context.Context) error {
	if !v.plan.Upkeep {
		return nil
	}
	had, now := v.plan.Subscription, v.now()
	wanted := v.plan.Subscribe && v.subscriptions.Subscribes()
	var kept Subscription
	var err error
	switch rested := !now.Before(had.Checked.Add(mendEvery)); {
	case !wanted && had.Name == "" && had.State == "":
		return nil
	case !wanted:
		err = v.unsubscribe(ctx, had)
	case had.Name == "" && had.State == SubscriptionFailed && !rested:
		return nil
	case had.Name == "" || !had.Expires.IsZero() && !had.Expires.After(now): // Google has deleted it
		kept, err = v.subscribe(ctx, had)
	case had.State == SubscriptionSuspended && !rested:
		return nil
	case had.State != SubscriptionActive || had.Expires.IsZero():
		kept, err = v.mend(ctx, had)
	case had.Expires.Sub(now) <= subscriptionLife/2:
		kept, err = v.renew(ctx, had)
	default:
		return nil
	}
	switch {
	case err == nil:
	case is(err, Refused): // for good, until somebody acts
		f := failureOf(err)
		v.log.WarnContext(ctx, "conferences are not told of at once, they are read now and then", "code", f.Code, "error", err)
		kept = Subscription{Name: had.Name, User: kept.User, State: SubscriptionFailed, Reason: f.Code + ": " + f.Message, Expires: had.Expires}
	default:
		return err
	}
	if kept.User == "" {
		kept.User = had.User
	}
	kept.Checked = now
	v.out.Subscription = &kept
	return nil
}

// ask makes one call at Workspace Events.
func (v *visit) ask(ctx context.Context, class Class, call func(context.Context) (Subscription, error)) (s Subscription, err error) {
	err = v.once(ctx, class, func(ctx context.Context) error {
		s, err = call(ctx)
		return err
	})
	return s, err
}

// subscribe makes one, or takes the one that is there: of a try whose answer was lost, or of an earlier life.
func (v *visit) subscribe(ctx context.Context, had Subscription) (s Subscription, err error) {
	user := had.User
	if user == "" {
		err := v.once(ctx, ClassDirectory, func(ctx context.Context) (err error) {
			user, err = v.directory.UserOf(ctx, v.plan.Account)
			return err
		})
		if err != nil {
			return Subscription{}, err
		}
	}
	account := v.plan.Account
	for range adoptTries {
		s, err = v.ask(ctx, ClassEventsWrite, func(ctx context.Context) (Subscription, error) {
			return v.subscriptions.Subscribe(ctx, account, user)
		})
		if !is(err, Taken) {
			break
		}
		s, err = v.ask(ctx, ClassEventsRead, func(ctx context.Context) (Subscription, error) {
			return v.subscriptions.FindSubscription(ctx, account, user)
		})
		if is(err, NotFound) {
			continue // it has just ended, or tells another topic and was ended
		}
		if err == nil {
			s, err = v.good(ctx, s)
		}
		break
	}
	s.User = user
	return s, err
}

// good reactivates one that is suspended and renews one that was found half way through.
func (v *visit) good(ctx context.Context, s Subscription) (Subscription, error) {
	account, name := v.plan.Account, s.Name
	if s.State == SubscriptionSuspended {
		again, err := v.ask(ctx, ClassEventsWrite, func(ctx context.Context) (Subscription, error) {
			return v.subscriptions.ReactivateSubscription(ctx, account, name)
		})
		switch {
		case is(err, Refused): // the cause is not mended
			v.log.WarnContext(ctx, "subscription stays suspended", "reason", s.Reason, "error", err)
			return s, nil
		case err != nil:
			return s, err
		}
		s = again
	}
	if s.Expires.Sub(v.now()) > subscriptionLife/2 {
		return s, nil
	}
	return v.ask(ctx, ClassEventsWrite, func(ctx context.Context) (Subscription, error) {
		return v.subscriptions.RenewSubscription(ctx, account, name)
	})
}

// mend looks at one that is not known to be right.
func (v *visit) mend(ctx context.Context, had Subscription) (Subscription, error) {
	s, err := v.ask(ctx, ClassEventsRead, func(ctx context.Context) (Subscription, error) {
		return v.subscriptions.GetSubscription(ctx, v.plan.Account, had.Name)
	})
	if err == nil {
		s, err = v.good(ctx, s)
	}
	return v.orAnew(ctx, had, s, err)
}

func (v *visit) renew(ctx context.Context, had Subscription) (Subscription, error) {
	s, err := v.ask(ctx, ClassEventsWrite, func(ctx context.Context) (Subscription, error) {
		return v.subscriptions.RenewSubscription(ctx, v.plan.Account, had.Name)
	})
	if err == nil {
		s, err = v.good(ctx, s) // the answer is the only look at it in half a week
	}
	return v.orAnew(ctx, had, s, err)
}

// orAnew makes another where Google does not know the one that was kept.
func (v *visit) orAnew(ctx context.Context, had, s Subscription, err error) (Subscription, error) {
	if is(err, NotFound, Gone) {
		return v.subscribe(ctx, had)
	}
	return s, err
}

// unsubscribe ends one. Where that fails for good it ends by itself within a week.
func (v *visit) unsubscribe(ctx context.Context, had Subscription) error {
	if had.Name == "" {
		return nil
	}
	err := v.once(ctx, ClassEventsWrite, func(ctx context.Context) error {
		return v.subscriptions.Unsubscribe(ctx, v.plan.Account, had.Name)
	})
	if is(err, Deferred, Transient) {
		return err
	}
	if err != nil && !is(err, NotFound, Gone) {
		v.log.WarnContext(ctx, "subscription was not ended, it ends by itself", "expires", had.Expires, "error", err)
	}
	return nil
}
