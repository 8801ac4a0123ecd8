package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/api/workspaceevents/v1"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// eventTypes are what a subscription tells of (Google Workspace Events API, Meet events).
func eventTypes() []string {
	const meet = "google.workspace.meet."
	return []string{
		meet + "conference.v2.started", meet + "conference.v2.ended", meet + "participant.v2.joined", meet + "participant.v2.left",
		meet + "recording.v2.started", meet + "recording.v2.ended", meet + "recording.v2.fileGenerated",
		meet + "transcript.v2.started", meet + "transcript.v2.ended", meet + "transcript.v2.fileGenerated",
	}
}

const (
	// operationWait is how long a subscription that Google is still making is waited for; a later try finds it.
	operationWait = 15 * time.Second
	// operationPoll is the first pause between looks at it; it doubles.
	operationPoll = 500 * time.Millisecond
	// targetPrefix makes users/… the name of all spaces which that user owns.
	targetPrefix = "//cloudidentity.googleapis.com/"
)

// Subscribes tells whether there is a topic.
func (c *Client) Subscribes() bool { return c.config.topic() != "" }

// Subscribe makes a subscription for as long as Google allows.
func (c *Client) Subscribe(ctx context.Context, account, user string) (job.Subscription, error) {
	return c.onSubscriptions(ctx, account, "workspaceevents.subscriptions.create", func(ctx context.Context, who caller) (*workspaceevents.Operation, error) {
		call := c.events.Subscriptions.Create(&workspaceevents.Subscription{
			TargetResource: targetPrefix + user, EventTypes: eventTypes(),
			NotificationEndpoint: &workspaceevents.NotificationEndpoint{PubsubTopic: c.config.topic()},
		}).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		return call.Do(who.quotaUser)
	})
}

// RenewSubscription sets its end as far off as Google allows.
func (c *Client) RenewSubscription(ctx context.Context, account, name string) (job.Subscription, error) {
	return c.onSubscriptions(ctx, account, "workspaceevents.subscriptions.patch", func(ctx context.Context, who caller) (*workspaceevents.Operation, error) {
		call := c.events.Subscriptions.Patch(name, &workspaceevents.Subscription{Ttl: "0s"}).UpdateMask("ttl").Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		return call.Do(who.quotaUser)
	})
}

// ReactivateSubscription lets a suspended one tell again.
func (c *Client) ReactivateSubscription(ctx context.Context, account, name string) (job.Subscription, error) {
	return c.onSubscriptions(ctx, account, "workspaceevents.subscriptions.reactivate", func(ctx context.Context, who caller) (*workspaceevents.Operation, error) {
		call := c.events.Subscriptions.Reactivate(name, &workspaceevents.ReactivateSubscriptionRequest{}).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		return call.Do(who.quotaUser)
	})
}

// GetSubscription reads one.
func (c *Client) GetSubscription(ctx context.Context, account, name string) (s job.Subscription, err error) {
	err = c.as(ctx, account, account, scopesRecords, "workspaceevents.subscriptions.get", func(ctx context.Context, who caller) error {
		call := c.events.Subscriptions.Get(name).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err == nil {
			s = subscriptionOf(found)
		}
		return err
	})
	return s, err
}

// FindSubscription finds the one to the spaces of user. One that tells another topic, or of other things, is of an earlier set-up:
// it is ended and counts as not found.
func (c *Client) FindSubscription(ctx context.Context, account, user string) (job.Subscription, error) {
	var found *workspaceevents.Subscription
	filter := fmt.Sprintf("event_types:%q AND target_resource=%q", eventTypes()[0], targetPrefix+user)
	err := c.as(ctx, account, account, scopesRecords, "workspaceevents.subscriptions.list", func(ctx context.Context, who caller) error {
		call := c.events.Subscriptions.List().Filter(filter).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		list, err := call.Do(who.quotaUser)
		if err == nil && len(list.Subscriptions) > 0 {
			found = list.Subscriptions[0]
		}
		return err
	})
	switch {
	case err != nil:
		return job.Subscription{}, err
	case found == nil:
		return job.Subscription{}, subscriptionGone(errors.New("the list is empty"))
	case c.tellsUs(found):
		return subscriptionOf(found), nil
	}
	if err := c.Unsubscribe(ctx, account, found.Name); err != nil {
		return job.Subscription{}, err
	}
	return job.Subscription{}, subscriptionGone(errors.New("it told another topic"))
}

// tellsUs tells whether a subscription is what would be made now.
func (c *Client) tellsUs(s *workspaceevents.Subscription) bool {
	if s.NotificationEndpoint == nil || s.NotificationEndpoint.PubsubTopic != c.config.topic() {
		return false
	}
	has := make(map[string]bool, len(s.EventTypes))
	for _, t := range s.EventTypes {
		has[t] = true
	}
	for _, t := range eventTypes() {
		if !has[t] {
			return false
		}
	}
	return true
}

// Unsubscribe ends one.
func (c *Client) Unsubscribe(ctx context.Context, account, name string) error {
	return c.as(ctx, account, account, scopesRecords, "workspaceevents.subscriptions.delete", func(ctx context.Context, who caller) error {
		call := c.events.Subscriptions.Delete(name).AllowMissing(true).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		_, err := call.Do(who.quotaUser)
		return err
	})
}

// onSubscriptions makes a call that answers with an operation, and waits a while for its end.
func (c *Client) onSubscriptions(ctx context.Context, account, method string, call func(context.Context, caller) (*workspaceevents.Operation, error)) (job.Subscription, error) {
	var op *workspaceevents.Operation
	err := c.as(ctx, account, account, scopesRecords, method, func(ctx context.Context, who caller) (err error) {
		op, err = call(ctx, who)
		return err
	})
	waiting, cancel := context.WithTimeout(ctx, operationWait)
	defer cancel()
	for pause := operationPoll; err == nil && !op.Done; pause *= 2 {
		select {
		case <-time.After(pause): // Google's own work: real time
		case <-waiting.Done():
			return job.Subscription{}, &job.Failure{Kind: job.Transient, Code: CodeUnavailable, Message: "Google is still making the subscription; it is looked for again by itself"}
		}
		err = c.as(ctx, account, account, scopesRecords, "workspaceevents.operations.get", func(ctx context.Context, who caller) (err error) {
			asked := c.events.Operations.Get(op.Name).Context(ctx)
			asked.Header().Set("Authorization", who.authorization)
			op, err = asked.Do(who.quotaUser)
			return err
		})
	}
	if err != nil {
		return job.Subscription{}, err
	}
	if op.Error != nil {
		return job.Subscription{}, operationFailure(op.Error)
	}
	made := new(workspaceevents.Subscription)
	if err := json.Unmarshal(op.Response, made); err != nil || made.Name == "" {
		return job.Subscription{}, &job.Failure{Kind: job.Transient, Code: CodeUnavailable, Message: "Google's answer names no subscription; it is looked for again by itself", Err: err}
	}
	return subscriptionOf(made), nil
}

// operationFailure is how an operation ended that could not be done (google.rpc.Code).
func operationFailure(s *workspaceevents.Status) *job.Failure {
	said := fmt.Errorf("operation: code %d: %s", s.Code, quote(s.Message))
	switch s.Code {
	case 6: // ALREADY_EXISTS
		return &job.Failure{Kind: job.Taken, Code: CodeSubscriptionTaken, Message: "there is a subscription already", Err: said}
	case 5: // NOT_FOUND
		return subscriptionGone(said)
	case 8: // RESOURCE_EXHAUSTED
		return &job.Failure{Kind: job.Transient, Code: CodeQuota, Message: "a quota of the Google API is used up; it is tried again by itself", Err: said}
	case 1, 2, 4, 10, 13, 14: // CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, ABORTED, INTERNAL, UNAVAILABLE
		return &job.Failure{Kind: job.Transient, Code: CodeUnavailable, Message: "Google failed; it is tried again by itself", Err: said}
	}
	return &job.Failure{Kind: job.Refused, Code: CodePermissionDenied, Message: "Google does not make the subscription: " + quote(s.Message), Err: said}
}

func subscriptionGone(why error) *job.Failure {
	return &job.Failure{Kind: job.NotFound, Code: CodeSubscriptionGone, Message: "there is no such subscription any more", Err: why}
}

func subscriptionOf(s *workspaceevents.Subscription) job.Subscription {
	out := job.Subscription{Name: s.Name, State: job.SubscriptionActive, Expires: at(s.ExpireTime)}
	if s.State == "SUSPENDED" {
		out.State, out.Reason = job.SubscriptionSuspended, s.SuspensionReason
	}
	if user, ok := strings.CutPrefix(s.TargetResource, targetPrefix); ok {
		out.User = user
	}
	return out
}
