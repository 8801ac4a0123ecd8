// Package client calls the REST API as a backend would, at little cost: it runs on the same machine as what it measures.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const maxConns = 256 // more than any run keeps in flight

// Client of one instance. Connections are kept.
type Client struct {
	base, emulator string
	http           *http.Client
	buffers        sync.Pool
}

// New makes a client of the API at base and of the control routes of the Google emulator.
func New(base, emulator string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{
		base: base, emulator: emulator,
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: dialer.DialContext, MaxIdleConns: maxConns, MaxIdleConnsPerHost: maxConns,
				IdleConnTimeout: time.Minute, DisableCompression: true, WriteBufferSize: 4 << 10, ReadBufferSize: 16 << 10,
			},
			Timeout: time.Minute,
		},
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// Close closes the connections that are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Meeting is what a create asks for.
type Meeting struct {
	Organizer string
	// Plain leaves out recording and open access, which cost a call to Google each.
	Plain bool
	// Async answers at the commit, without Google's link.
	Async bool
}

// start is when the first meeting of a run takes place; the others follow it.
func start() time.Time { return time.Date(2027, time.March, 1, 15, 0, 0, 0, time.UTC) }

// Create makes a meeting with one guest and returns its id. No link in the answer is an error, unless Async.
func (c *Client) Create(ctx context.Context, m Meeting, n int) (int64, error) {
	body := make([]byte, 0, 320)
	body = append(body, `{"organizer_email":"`...)
	body = append(body, m.Organizer...)
	body = append(body, `","invited_emails":["patient`...)
	body = strconv.AppendInt(body, int64(n), 10)
	body = append(body, `@mail.example"],`...)
	body = appendTimes(body, start().Add(time.Duration(n%1000)*time.Hour))
	body = append(body, `,"external_reference":"appointment-`...)
	body = strconv.AppendInt(body, int64(n), 10)
	body = append(body, '"')
	if m.Plain {
		body = append(body, `,"auto_record":false,"public_access":false`...)
	}
	body = append(body, '}')
	var answer struct {
		ID   int64  `json:"id"`
		Link string `json:"meet_link"`
	}
	want, prefer := http.StatusCreated, ""
	if m.Async {
		want, prefer = http.StatusAccepted, "respond-async"
	}
	err := c.do(ctx, http.MethodPost, c.base+"/api/v1/meetings/", body, prefer, want, func(text []byte) error {
		return json.Unmarshal(text, &answer)
	})
	if err == nil && (answer.ID == 0 || answer.Link == "" && !m.Async) {
		err = fmt.Errorf("create: an answer without id or link: id %d, link %q", answer.ID, answer.Link)
	}
	return answer.ID, err
}

func appendTimes(body []byte, at time.Time) []byte {
	body = append(body, `"scheduled_start":"`...)
	body = at.AppendFormat(body, time.RFC3339)
	body = append(body, `","scheduled_end":"`...)
	body = at.Add(30*time.Minute).AppendFormat(body, time.RFC3339)
	return append(body, '"')
}

// Get reads one meeting.
func (c *Client) Get(ctx context.Context, id int64) error {
	return c.do(ctx, http.MethodGet, c.url(id), nil, "", http.StatusOK, func(text []byte) error {
		if len(text) < 100 {
			return fmt.Errorf("get: short answer %q", text)
		}
		return nil
	})
}

// List reads the newest page, which must have rows meetings.
func (c *Client) List(ctx context.Context, rows int) error {
	return c.do(ctx, http.MethodGet, c.base+"/api/v1/meetings/?limit="+strconv.Itoa(rows), nil, "", http.StatusOK, func(text []byte) error {
		if found := bytes.Count(text, []byte(`"organizer_name":`)); found != rows {
			return fmt.Errorf("list: %d meetings, want %d", found, rows)
		}
		return nil
	})
}

// Reschedule gives a meeting another time, which Google must be told. No two values of n below ten million give the same one.
func (c *Client) Reschedule(ctx context.Context, id int64, n int) error {
	body := append(appendTimes([]byte{'{'}, start().Add(time.Duration(n%10_000_000+1)*time.Minute)), '}')
	return c.do(ctx, http.MethodPatch, c.url(id), body, "", http.StatusOK, nil)
}

// SetStatus gives a meeting another status, which Google need not be told.
func (c *Client) SetStatus(ctx context.Context, id int64, status string) error {
	return c.do(ctx, http.MethodPatch, c.url(id), []byte(`{"status":"`+status+`"}`), "", http.StatusOK, nil)
}

// Version of the program that answers, with its commit.
func (c *Client) Version(ctx context.Context) (string, error) {
	var info struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
	}
	err := c.do(ctx, http.MethodGet, c.base+"/api/v1/info/", nil, "", http.StatusOK, func(text []byte) error {
		return json.Unmarshal(text, &info)
	})
	if info.Commit == "" || strings.HasPrefix(info.Version, info.Commit) {
		return info.Version, err
	}
	return info.Version + " (" + info.Commit + ")", err
}

// GoogleCalls is how many calls for events and spaces the emulator has answered, the readings of calendars not counted: what
// creates and changes cause. What was held, and notices of it, is read by the clock.
func (c *Client) GoogleCalls(ctx context.Context) (int64, error) {
	var state struct {
		Calls map[string]int64 `json:"calls"`
	}
	err := c.do(ctx, http.MethodGet, c.emulator+"/_emulator/state?only=calls", nil, "", http.StatusOK, func(text []byte) error {
		return json.Unmarshal(text, &state)
	})
	var calls int64
	for method, n := range state.Calls {
		switch method {
		case "calendar.events.list", "calendar.events.watch", "calendar.channels.stop": // calendars are read by the clock
		default:
			if strings.HasPrefix(method, "calendar.") || strings.HasPrefix(method, "meet.spaces.") {
				calls += n
			}
		}
	}
	return calls, err
}

// SlowGoogle makes the emulator answer the next call after d.
func (c *Client) SlowGoogle(ctx context.Context, d time.Duration) error {
	faults := fmt.Sprintf(`[{"match":"POST /calendar/v3/","latency":%q,"times":1}]`, d)
	return c.do(ctx, http.MethodPost, c.emulator+"/_emulator/faults", []byte(faults), "", http.StatusOK, nil)
}

func (c *Client) url(id int64) string {
	return c.base + "/api/v1/meetings/" + strconv.FormatInt(id, 10) + "/"
}

// do sends a request and has the whole answer read; another status than want is an error that shows the answer.
func (c *Client) do(ctx context.Context, method, url string, body []byte, prefer string, want int, read func([]byte) error) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buffer, ok := c.buffers.Get().(*bytes.Buffer)
	if !ok {
		buffer = new(bytes.Buffer)
	}
	defer c.buffers.Put(buffer)
	buffer.Reset()
	if _, err := io.Copy(buffer, resp.Body); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, url, err)
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: %d %s", method, url, resp.StatusCode, buffer.Bytes()[:min(buffer.Len(), 300)])
	}
	if read == nil {
		return nil
	}
	return read(buffer.Bytes())
}
