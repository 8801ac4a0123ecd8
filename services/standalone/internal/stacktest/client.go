package stacktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// requestPatience bounds one request; a create waits for Google within it.
	requestPatience = 30 * time.Second
	// longestPause bounds what a Retry-After asks for, so that a test gets on.
	longestPause = 400 * time.Millisecond
)

// Client calls the gateways in turn, as a careful backend would: every change under an Idempotency-Key, and again under the same
// key while it is not known what became of it.
type Client struct {
	urls []string
	next atomic.Uint64
	http *http.Client
	// Retries counts answers that were none: lost connections, 503, 409.
	Retries atomic.Int64
}

// NewClient makes a client of all gateways of the stack.
func (s *Stack) NewClient() *Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	return &Client{urls: s.urls, http: &http.Client{Transport: transport, Timeout: requestPatience}}
}

// Answer of one request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Into decodes the body.
func (a Answer) Into(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("decode %d %s: %w", a.Status, a.Body, err)
	}
	return nil
}

// Once sends one request to the next gateway.
func (c *Client) Once(ctx context.Context, method, path, key string, body any) (Answer, error) {
	return c.send(ctx, method, path, key, body, nil)
}

func (c *Client) send(ctx context.Context, method, path, key string, body any, header http.Header) (Answer, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return Answer{}, fmt.Errorf("encode the body: %w", err)
		}
		sent = bytes.NewReader(text)
	}
	url := c.urls[c.next.Add(1)%uint64(len(c.urls))]
	req, err := http.NewRequestWithContext(ctx, method, url+"/api/v1/"+path, sent)
	if err != nil {
		return Answer{}, fmt.Errorf("make a request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	req.Header.Set("Accept-Language", "en")
	maps.Copy(req.Header, header)
	res, err := c.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close() // read to its end or given up
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: text}, nil
}

// Do sends a request until it is answered for good or ctx ends: again after a lost connection, 409, 429 and 503.
func (c *Client) Do(ctx context.Context, method, path, key string, body any) (Answer, error) {
	var last error
	for {
		answer, err := c.Once(ctx, method, path, key, body)
		pause := 20*time.Millisecond + rand.N(80*time.Millisecond)
		switch {
		case err != nil:
			last = err
		case answer.Status == http.StatusConflict || answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable:
			last = fmt.Errorf("%s %s: %d %s", method, path, answer.Status, answer.Body)
			if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
				pause = min(time.Duration(seconds)*time.Second, longestPause/2+rand.N(longestPause/2))
			}
		default:
			return answer, nil
		}
		c.Retries.Add(1)
		select {
		case <-time.After(pause): // as a client would wait
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("no answer for good: %w", errors.Join(context.Cause(ctx), last))
		}
	}
}

// Promise is a meeting as its caller was told that it is.
type Promise struct {
	Reference string // unique here, although the product does not ask for it
	ID        int64
	UID       string // "" after a 202, which does not tell
	Link      string // "" after a 202
	Calendar  bool
	Summary   string
	Start     time.Time
	End       time.Time
	Cancelled bool
}

// base is when the meetings of these tests begin.
func base() time.Time { return time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC) }

// Create makes a meeting that is promised once this returns.
func (c *Client) Create(ctx context.Context, reference, organizer string, extra map[string]any) (*Promise, Answer, error) {
	p := &Promise{Reference: reference, Calendar: true, Summary: "Visit " + reference, Start: base(), End: base().Add(30 * time.Minute)}
	body := map[string]any{
		"organizer_email": organizer, "invited_emails": []string{"patient@mail.example"}, "external_reference": reference,
		"summary": p.Summary, "scheduled_start": p.Start, "scheduled_end": p.End,
	}
	for name, value := range extra {
		body[name] = value
	}
	if calendar, ok := body["create_calendar_event"].(bool); ok {
		p.Calendar = calendar
	}
	answer, err := c.Do(ctx, http.MethodPost, "meetings/", "create-"+reference, body)
	if err != nil {
		return nil, answer, err
	}
	return p, answer, p.created(answer)
}

// created takes what the answer to a create promises.
func (p *Promise) created(answer Answer) error {
	var told struct {
		ID        int64  `json:"id"`
		UID       string `json:"uid"`
		Link      string `json:"meet_link"`
		MeetingID int64  `json:"meeting_id"`
		Operation string `json:"operation"`
	}
	if err := answer.Into(&told); err != nil {
		return err
	}
	p.ID, p.UID, p.Link = told.ID, told.UID, told.Link
	switch {
	case answer.Status == http.StatusCreated && p.ID > 0 && p.UID != "" && p.Link != "":
		return nil
	case answer.Status == http.StatusAccepted && p.ID > 0 && told.Operation != "" && p.Link == "":
		return nil
	case answer.Status == http.StatusBadGateway && told.MeetingID > 0 && p.Link == "":
		p.ID = told.MeetingID
		return nil
	}
	return fmt.Errorf("create %s: %d %s", p.Reference, answer.Status, answer.Body)
}

// Change moves the meeting and gives it another title.
func (c *Client) Change(ctx context.Context, p *Promise, n int) error {
	start := base().AddDate(0, 0, n).Add(time.Duration(n) * time.Minute)
	summary := "Visit " + p.Reference + " change " + strconv.Itoa(n)
	answer, err := c.Do(ctx, http.MethodPatch, "meetings/"+strconv.FormatInt(p.ID, 10)+"/", "change-"+p.Reference+"-"+strconv.Itoa(n), map[string]any{
		"scheduled_start": start, "scheduled_end": start.Add(time.Hour), "summary": summary,
	})
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("change %s: %d %s", p.Reference, answer.Status, answer.Body)
	}
	p.Start, p.End, p.Summary = start, start.Add(time.Hour), summary
	return nil
}

// Cancel calls the meeting off.
func (c *Client) Cancel(ctx context.Context, p *Promise) error {
	answer, err := c.Do(ctx, http.MethodDelete, "meetings/"+strconv.FormatInt(p.ID, 10)+"/", "cancel-"+p.Reference, nil)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"CANCELLED"`) {
		return fmt.Errorf("cancel %s: %d %s", p.Reference, answer.Status, answer.Body)
	}
	p.Cancelled = true
	return nil
}

// Accept makes a meeting and does not wait for Google.
func (c *Client) Accept(ctx context.Context, reference, organizer string) (*Promise, error) {
	p := &Promise{Reference: reference, Calendar: true, Summary: "Visit " + reference, Start: base(), End: base().Add(30 * time.Minute)}
	answer, err := c.send(ctx, http.MethodPost, "meetings/", "create-"+reference, map[string]any{
		"organizer_email": organizer, "invited_emails": []string{"patient@mail.example"}, "external_reference": reference,
		"summary": p.Summary, "scheduled_start": p.Start, "scheduled_end": p.End,
	}, http.Header{"Prefer": []string{"respond-async"}})
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusAccepted {
		return nil, fmt.Errorf("create %s: %d %s, want 202", reference, answer.Status, answer.Body)
	}
	return p, p.created(answer)
}

// From makes the client begin with the n-th gateway.
func (c *Client) From(n int) *Client {
	c.next.Store(uint64(n))
	return c
}
