package google

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/pubsub/v1"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

// pullTimeout bounds one pull: Pub/Sub holds an empty one for up to a minute and a half.
const pullTimeout = 100 * time.Second

// Noticed tells whether there is a subscription to pull from.
func (c *Client) Noticed() bool { return c.config.subscription() != "" }

// Pull waits for messages.
func (c *Client) Pull(ctx context.Context, most int) (messages []notice.Message, err error) {
	if err := c.simulateQueue(ctx); err != nil {
		return nil, err
	}
	err = c.asItself(ctx, pullTimeout, "pubsub.subscriptions.pull", func(ctx context.Context, authorization string) error {
		call := c.pubsub.Projects.Subscriptions.Pull(c.config.subscription(), &pubsub.PullRequest{MaxMessages: int64(most)}).Context(ctx)
		call.Header().Set("Authorization", authorization)
		got, err := call.Do()
		if err != nil {
			return err
		}
		messages = make([]notice.Message, 0, len(got.ReceivedMessages))
		for _, m := range got.ReceivedMessages {
			one := notice.Message{AckID: m.AckId}
			if m.Message != nil {
				one.Attributes = m.Message.Attributes
				// What is no base64 is decoded as far as it goes: the reader says that it makes no sense.
				one.Data, _ = base64.StdEncoding.DecodeString(m.Message.Data)
			}
			messages = append(messages, one)
		}
		return nil
	})
	return messages, err
}

// Acknowledge takes messages out of the subscription. One whose time has run out comes again.
func (c *Client) Acknowledge(ctx context.Context, ackIDs []string) error {
	return c.asItself(ctx, c.config.Timeout, "pubsub.subscriptions.acknowledge", func(ctx context.Context, authorization string) error {
		call := c.pubsub.Projects.Subscriptions.Acknowledge(c.config.subscription(), &pubsub.AcknowledgeRequest{AckIds: ackIDs}).Context(ctx)
		call.Header().Set("Authorization", authorization)
		_, err := call.Do()
		return err
	})
}

// Return lets messages come again at once.
func (c *Client) Return(ctx context.Context, ackIDs []string) error {
	return c.asItself(ctx, c.config.Timeout, "pubsub.subscriptions.modifyAckDeadline", func(ctx context.Context, authorization string) error {
		call := c.pubsub.Projects.Subscriptions.ModifyAckDeadline(c.config.subscription(), &pubsub.ModifyAckDeadlineRequest{
			AckIds: ackIDs, ForceSendFields: []string{"AckDeadlineSeconds"}, // 0: now
		}).Context(ctx)
		call.Header().Set("Authorization", authorization)
		_, err := call.Do()
		return err
	})
}

// simulateQueue makes, once, the topic and the subscription that the emulator stands in with where none are set.
func (c *Client) simulateQueue(ctx context.Context) error {
	if !c.emulated || !c.config.simulatedQueue() {
		return nil
	}
	c.queue.Lock()
	defer c.queue.Unlock()
	if c.queueMade {
		return nil
	}
	err := c.asItself(ctx, c.config.Timeout, "pubsub.subscriptions.create", func(ctx context.Context, authorization string) error {
		topic := c.pubsub.Projects.Topics.Create(c.config.topic(), &pubsub.Topic{}).Context(ctx)
		topic.Header().Set("Authorization", authorization)
		if _, err := topic.Do(); err != nil && !isStatus(err, http.StatusConflict) {
			return err
		}
		queue := c.pubsub.Projects.Subscriptions.Create(c.config.subscription(), &pubsub.Subscription{Topic: c.config.topic(), EnableMessageOrdering: true}).Context(ctx)
		queue.Header().Set("Authorization", authorization)
		if _, err := queue.Do(); err != nil && !isStatus(err, http.StatusConflict) {
			return err
		}
		return nil
	})
	c.queueMade = err == nil
	return err
}

// asItself runs call with a token of the service account's own: Pub/Sub knows the project's accounts and not the domain's people.
// It is charged to no quota of ours: Pub/Sub counts bytes, of which notices have few.
func (c *Client) asItself(ctx context.Context, timeout time.Duration, method string, call func(ctx context.Context, authorization string) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	for second := false; ; second = true {
		token, err := c.tokens.get(ctx, "", scopesPubSub)
		if err != nil {
			return fmt.Errorf("%s: %w", method, tokenFailure(ctx, err))
		}
		begin := time.Now()
		err = call(ctx, "Bearer "+token)
		if err == nil {
			c.seconds.WithLabelValues(method, "ok").Observe(time.Since(begin).Seconds())
			return nil
		}
		f := said(method, callFailure(ctx, err))
		c.seconds.WithLabelValues(method, f.Code).Observe(time.Since(begin).Seconds())
		if !second && isUnauthorized(err) {
			c.tokens.drop("", scopesPubSub, token)
			continue
		}
		return fmt.Errorf("%s: %w", method, f)
	}
}

func isStatus(err error, status int) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code == status
}

var (
	_ notice.Queue      = (*Client)(nil)
	_ job.Records       = (*Client)(nil)
	_ job.Files         = (*Client)(nil)
	_ job.Directory     = (*Client)(nil)
	_ job.Subscriptions = (*Client)(nil)
)
