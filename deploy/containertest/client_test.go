//go:build container

package containertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// client calls the API as a backend does.
type client struct {
	url  string // without /api/v1
	key  string // API key; empty: none
	http *http.Client
}

func newClient(url string) *client {
	return &client{url: url, http: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: inFlight},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer of one request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// into decodes the body.
func (a answer) into(v any) error {
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		return fmt.Errorf("decode %s: %w", a, err)
	}
	return nil
}

// send sends one request under /api/v1/; headers are names and values in turn.
func (c *client) send(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	req.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return answer{res.StatusCode, res.Header, string(text)}, nil
}

// get reads what has to be there.
func (c *client) get(ctx context.Context, path string, into any) (answer, error) {
	a, err := c.send(ctx, http.MethodGet, path, "")
	if err != nil {
		return a, err
	}
	if a.status != http.StatusOK {
		return a, fmt.Errorf("GET %s: %s", path, a)
	}
	return a, a.into(into)
}

// meeting is what the test looks at of one.
type meeting struct {
	ID            int64  `json:"id"`
	UID           string `json:"uid"`
	Link          string `json:"meet_link"`
	GoogleEventID string `json:"google_event_id"`
	Reference     string `json:"external_reference"`
	Status        string `json:"status"`
	Start         string `json:"scheduled_start"`
	Simulated     bool   `json:"simulated"`
}

// meetings reads the whole list, page by page.
func (c *client) meetings(ctx context.Context) ([]meeting, error) {
	var all []meeting
	for path := "meetings/?limit=1000"; path != ""; {
		var page []meeting
		a, err := c.get(ctx, path, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if path, err = next(a); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// next is the path of the page that the Link header tells of, as in <?page_token=…>; rel="next".
func next(a answer) (string, error) {
	link := a.header.Get("Link")
	if link == "" {
		return "", nil
	}
	reference, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(rest, `rel="next"`) {
		return "", fmt.Errorf("link %q", link)
	}
	_, query, ok := strings.Cut(reference, "?")
	if !ok {
		return "", fmt.Errorf("link %q", link)
	}
	return "meetings/?" + query, nil
}
