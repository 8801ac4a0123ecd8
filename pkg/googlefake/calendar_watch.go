package googlefake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	channelLife      = 7 * 24 * time.Hour // of a channel that asks for nothing
	deliveryTimeout  = 10 * time.Second
	deliveryAttempts = 3
	deliveryPause    = 200 * time.Millisecond // before the second attempt, doubled before the third
)

// channel is a push channel as it is kept.
type channel struct {
	ID       string    `json:"id"`
	Resource string    `json:"resource"`
	Calendar string    `json:"calendar"`
	URI      string    `json:"uri"`
	Address  string    `json:"address"`
	Token    string    `json:"token,omitempty"`
	Expires  time.Time `json:"expires"`
	Number   int64     `json:"number"` // of the last message
	Stopped  bool      `json:"stopped,omitempty"`
}

// Channel is Calendar's Channel resource.
type Channel struct {
	Kind        string            `json:"kind,omitempty"`
	ID          string            `json:"id,omitempty"`
	ResourceID  string            `json:"resourceId,omitempty"`
	ResourceURI string            `json:"resourceUri,omitempty"`
	Type        string            `json:"type,omitempty"`
	Address     string            `json:"address,omitempty"`
	Token       string            `json:"token,omitempty"`
	Expiration  int64             `json:"expiration,omitempty,string"` // unix milliseconds
	Params      map[string]string `json:"params,omitempty"`
	Payload     bool              `json:"payload,omitempty"`
}

func (s *Server) watchEvents(c *call) (answer, error) {
	calendarID, refusal := s.calendarFor(c, false)
	if refusal != nil {
		return answer{}, refusal
	}
	in := new(Channel)
	if json.Unmarshal(c.body, in) != nil {
		return answer{}, parseError()
	}
	switch {
	case in.ID == "":
		return answer{}, required("Missing channel id.")
	case len(in.ID) > 64:
		return answer{}, &apiError{status: http.StatusBadRequest, reason: "channelIdInvalid", domain: "push", message: "Invalid channel id."}
	case in.Type != "web_hook" && in.Type != "webhook":
		return answer{}, &apiError{status: http.StatusBadRequest, reason: "channelUnknownType", domain: "push", message: "Unknown channel type."}
	case !s.mayDeliver(in.Address):
		return answer{}, &apiError{
			status: http.StatusUnauthorized, reason: "webhookUrlUnauthorized", domain: "push",
			message: "Unauthorized WebHook callback channel: " + in.Address,
		}
	}
	now := s.now()
	expires := now.Add(channelLife)
	if in.Expiration > 0 {
		expires = time.UnixMilli(in.Expiration).UTC()
	} else if ttl, err := strconv.ParseInt(in.Params["ttl"], 10, 32); err == nil && ttl > 0 {
		expires = now.Add(time.Duration(ttl) * time.Second)
	}
	sum := sha256.Sum256([]byte(calendarID))
	ch := &channel{
		ID: in.ID, Resource: base64.RawURLEncoding.EncodeToString(sum[:20]), Calendar: calendarID, Address: in.Address, Token: in.Token,
		URI: c.base + "/calendar/v3/calendars/" + url.PathEscape(calendarID) + "/events?alt=json", Expires: expires.Truncate(time.Millisecond), Number: 1,
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if old := st.channels[ch.ID]; old != nil && !old.Stopped && now.Before(old.Expires) {
		return answer{}, &apiError{status: http.StatusBadRequest, reason: "channelIdNotUnique", domain: "push", message: "Channel id " + ch.ID + " not unique"}
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "channel", Channel: ch})); err != nil {
		return answer{}, err
	}
	st.keepChannel(ch)
	s.postman.send(*ch, "sync")
	return answer{status: http.StatusOK, body: mustJSON(Channel{
		Kind: "api#channel", ID: ch.ID, ResourceID: ch.Resource, ResourceURI: ch.URI, Token: ch.Token, Expiration: ch.Expires.UnixMilli(),
	})}, nil
}

// mayDeliver keeps deliveries on this machine, unless others may control the emulator anyhow.
func (s *Server) mayDeliver(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return false
	}
	if s.cfg.AllowRemoteControl || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

func (s *Server) stopChannel(c *call) (answer, error) {
	in := new(Channel)
	if json.Unmarshal(c.body, in) != nil {
		return answer{}, parseError()
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	ch := st.channels[in.ID]
	if ch == nil || ch.Stopped || ch.Resource != in.ResourceID || !s.now().Before(ch.Expires) {
		return answer{}, &apiError{status: http.StatusNotFound, reason: "notFound", message: "Channel '" + in.ID + "' not found for project '" + projectID + "'"}
	}
	next := *ch
	next.Stopped = true
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "channel", Channel: &next})); err != nil {
		return answer{}, err
	}
	st.keepChannel(&next)
	return answer{status: http.StatusNoContent}, nil
}

// keepChannel adds a channel or its next state.
func (st *store) keepChannel(ch *channel) {
	old := st.channels[ch.ID]
	st.channels[ch.ID] = ch
	list := st.watchers[ch.Calendar]
	for i := range list {
		if list[i] == old {
			list[i] = ch
			return
		}
	}
	st.watchers[ch.Calendar] = append(list, ch)
}

// changed tells the channels of a calendar that something in it did. The caller holds the lock. The
// numbers of messages are not worth a line in the journal: after a restart they go on from there.
func (s *Server) changedCalendar(calendarID string, now time.Time) {
	for _, ch := range s.store.watchers[calendarID] {
		if !ch.Stopped && now.Before(ch.Expires) {
			ch.Number++
			s.postman.send(*ch, "exists")
		}
	}
}

type delivery struct {
	to    channel
	state string
}

// postman delivers notices one after the other, from the first one on until the emulator is closed.
type postman struct {
	mu     sync.Mutex
	queue  []delivery
	busy   bool
	closed <-chan struct{}
	client *http.Client
	failed func(address string, err error)
	ended  sync.WaitGroup
}

func (p *postman) send(ch channel, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return
	default:
	}
	p.queue = append(p.queue, delivery{ch, state})
	if !p.busy {
		p.busy = true
		p.ended.Go(p.run)
	}
}

// run works the queue off and ends with it.
func (p *postman) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		p.mu.Lock()
		if len(p.queue) == 0 || ctx.Err() != nil {
			p.busy = false
			p.mu.Unlock()
			return
		}
		d := p.queue[0]
		p.queue = p.queue[1:]
		p.mu.Unlock()
		if err := p.deliver(ctx, d); err != nil {
			p.failed(d.to.Address, err)
		}
	}
}

func (p *postman) deliver(ctx context.Context, d delivery) (err error) {
	pause := deliveryPause
	for attempt := range deliveryAttempts {
		if attempt > 0 {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			}
			pause *= 2
		}
		var again bool
		if again, err = p.once(ctx, d); err == nil || !again {
			return err
		}
	}
	return err
}

// refusedDelivery is an answer that Google does not take for a success.
type refusedDelivery int

func (r refusedDelivery) Error() string { return "answered " + strconv.Itoa(int(r)) }

func (p *postman) once(ctx context.Context, d delivery) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.to.Address, bytes.NewReader(nil))
	if err != nil {
		return false, err
	}
	for name, value := range map[string]string{
		"X-Goog-Channel-ID": d.to.ID, "X-Goog-Channel-Expiration": d.to.Expires.UTC().Format(http.TimeFormat),
		"X-Goog-Resource-ID": d.to.Resource, "X-Goog-Resource-URI": d.to.URI, "X-Goog-Resource-State": d.state,
		"X-Goog-Message-Number": strconv.FormatInt(d.to.Number, 10), "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
	} {
		req.Header.Set(name, value)
	}
	if d.to.Token != "" {
		req.Header.Set("X-Goog-Channel-Token", d.to.Token)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection can be used again
	switch res.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	}
	return res.StatusCode >= http.StatusInternalServerError, refusedDelivery(res.StatusCode)
}
