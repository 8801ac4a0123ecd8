package google

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/api/calendar/v3"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// pageEvents is Calendar's largest page (events.list, maxResults).
	pageEvents = 2500
	// pushPath is the gateway's route for push notices.
	pushPath = "/api/v1/google/calendar/"
	// tokenBytes is the strength of a channel's token.
	tokenBytes = 32
)

// ListEvents reads one page of a calendar.
func (c *Client) ListEvents(ctx context.Context, account, calendarID, syncToken, pageToken string, since time.Time) (page job.Page, err error) {
	err = c.as(ctx, account, account, scopesCalendar, "calendar.events.list", func(ctx context.Context, who caller) error {
		call := c.calendar.Events.List(calendarID).MaxResults(pageEvents).ShowDeleted(true).Context(ctx)
		if syncToken != "" {
			call = call.SyncToken(syncToken)
		} else {
			call = call.TimeMin(since.UTC().Format(time.RFC3339))
		}
		if pageToken != "" {
			call = call.PageToken(pageToken)
		}
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		page = job.Page{Next: found.NextPageToken, Sync: found.NextSyncToken, Events: make([]job.EventState, 0, len(found.Items))}
		for _, e := range found.Items {
			page.Events = append(page.Events, c.eventState(calendarID, e))
		}
		return nil
	})
	return page, err
}

// Pushes tells whether Google can reach us.
func (c *Client) Pushes() bool { return c.config.PublicURL != "" }

// Watch makes a channel with a secret of its own, which Google sends back with every notice.
func (c *Client) Watch(ctx context.Context, account, calendarID string) (made job.Channel, ok bool, err error) {
	if !c.Pushes() {
		return job.Channel{}, false, nil
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return job.Channel{}, false, fmt.Errorf("make a channel id: %w", err)
	}
	secret := make([]byte, tokenBytes)
	if _, err := rand.Read(secret); err != nil {
		return job.Channel{}, false, fmt.Errorf("make a channel token: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	err = c.as(ctx, account, account, scopesCalendar, "calendar.events.watch", func(ctx context.Context, who caller) error {
		call := c.calendar.Events.Watch(calendarID, &calendar.Channel{
			Id: id.String(), Type: "web_hook", Address: strings.TrimRight(c.config.PublicURL, "/") + pushPath, Token: token,
		}).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		channel, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		hash := sha256.Sum256([]byte(token))
		made = job.Channel{
			ID: channel.Id, Resource: channel.ResourceId, TokenHash: hex.EncodeToString(hash[:]), Expires: time.UnixMilli(channel.Expiration).UTC(),
		}
		return nil
	})
	return made, err == nil, err
}

// StopChannel ends a channel.
func (c *Client) StopChannel(ctx context.Context, account string, channel job.Channel) error {
	return c.as(ctx, account, account, scopesCalendar, "calendar.channels.stop", func(ctx context.Context, who caller) error {
		call := c.calendar.Channels.Stop(&calendar.Channel{Id: channel.ID, ResourceId: channel.Resource}).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		return call.Do(who.quotaUser)
	})
}
