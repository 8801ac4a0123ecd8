package googlefake

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	longestSubscription = 7 * 24 * time.Hour // of one without payload, as Meet's are
	eventsPrefix        = "google.workspace.meet."
	lifecyclePrefix     = "google.workspace.events.subscription.v1."
	spaceTarget         = "//meet.googleapis.com/spaces/"
	userTarget          = "//cloudidentity.googleapis.com/users/"
	subscriptionPrefix  = "subscriptions/"
	subscriptionPattern = "/v1/subscriptions/{subscription}"
	usualLateness       = 2 * time.Minute

	subscriptionActive    = "ACTIVE"
	subscriptionSuspended = "SUSPENDED"

	endpointDenied  = "ENDPOINT_PERMISSION_DENIED"
	endpointMissing = "ENDPOINT_NOT_FOUND"
)

// eventSubscription is a Workspace Events subscription as it is kept.
type eventSubscription struct {
	ID      string    `json:"id"`
	UID     string    `json:"uid"`
	By      string    `json:"by"` // whose it is
	Target  string    `json:"target"`
	Types   []string  `json:"types"`
	Topic   string    `json:"topic"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Expires time.Time `json:"expires"`
	Reason  string    `json:"reason,omitempty"` // suspended for it
	Gone    bool      `json:"gone,omitempty"`
	Rev     int64     `json:"rev"`

	generation int
}

// Subscription is the Workspace Events resource of that name.
type Subscription struct {
	Name                 string                `json:"name,omitempty"`
	UID                  string                `json:"uid,omitempty"`
	TargetResource       string                `json:"targetResource,omitempty"`
	EventTypes           []string              `json:"eventTypes,omitempty"`
	NotificationEndpoint *NotificationEndpoint `json:"notificationEndpoint,omitempty"`
	PayloadOptions       *PayloadOptions       `json:"payloadOptions,omitempty"`
	State                string                `json:"state,omitempty"`
	SuspensionReason     string                `json:"suspensionReason,omitempty"`
	Authority            string                `json:"authority,omitempty"`
	CreateTime           string                `json:"createTime,omitempty"`
	UpdateTime           string                `json:"updateTime,omitempty"`
	ExpireTime           string                `json:"expireTime,omitempty"`
	TTL                  string                `json:"ttl,omitempty"` // only written by clients
	Etag                 string                `json:"etag,omitempty"`
	Reconciling          bool                  `json:"reconciling,omitempty"`
}

// NotificationEndpoint is where events go.
type NotificationEndpoint struct {
	PubsubTopic string `json:"pubsubTopic,omitempty"`
}

// PayloadOptions ask for more than names.
type PayloadOptions struct {
	FieldMask       string `json:"fieldMask,omitempty"`
	IncludeResource bool   `json:"includeResource,omitempty"`
}

type operation struct {
	Name     string          `json:"name,omitempty"`
	Done     bool            `json:"done,omitempty"`
	Response json.RawMessage `json:"response,omitempty"`
}

type subscriptionList struct {
	Subscriptions []Subscription `json:"subscriptions,omitempty"`
	NextPageToken string         `json:"nextPageToken,omitempty"`
}

func meetEventTypes() []string {
	var all []string
	for thing, steps := range map[string][]string{
		"conference": {"started", "ended"}, "participant": {"joined", "left"}, "recording": {"started", "ended", "fileGenerated"},
		"transcript": {"started", "ended", "fileGenerated"}, "smartNote": {"started", "ended", "fileGenerated"},
	} {
		for _, step := range steps {
			all = append(all, eventsPrefix+thing+".v2."+step)
		}
	}
	return all
}

func eventsRoutes() []*route {
	const service = "google.apps.events.subscriptions.v1.SubscriptionsService."
	routes := []*route{
		{
			id: "create", method: http.MethodPost, pattern: "/v1/subscriptions", scopes: eventScopes(eventWriters), rpc: "CreateSubscription",
			handle: (*Server).createSubscription, params: []string{"validateOnly"},
		},
		{
			id: "list", method: http.MethodGet, pattern: "/v1/subscriptions", scopes: eventScopes(eventReaders), rpc: "ListSubscriptions",
			handle: (*Server).listSubscriptions, params: []string{"filter", "pageSize", "pageToken"},
		},
		{id: "get", method: http.MethodGet, pattern: subscriptionPattern, scopes: eventScopes(eventReaders), rpc: "GetSubscription", handle: (*Server).getSubscription},
		{
			id: "patch", method: http.MethodPatch, pattern: subscriptionPattern, scopes: eventScopes(eventWriters), rpc: "UpdateSubscription",
			handle: (*Server).patchSubscription, params: []string{"updateMask", "validateOnly"},
		},
		{
			id: "delete", method: http.MethodDelete, pattern: subscriptionPattern, scopes: eventScopes(eventReaders), rpc: "DeleteSubscription",
			handle: (*Server).deleteSubscription, params: []string{"allowMissing", "etag", "validateOnly"},
		},
		{
			id: "reactivate", method: http.MethodPost, pattern: subscriptionPattern, verb: ":reactivate", scopes: eventScopes(eventWriters),
			rpc: "ReactivateSubscription", handle: (*Server).reactivateSubscription,
		},
	}
	for _, rt := range routes {
		rt.id, rt.rpc, rt.dialect, rt.service = "workspaceevents.subscriptions."+rt.id, service+rt.rpc, platform, eventsService
		rt.quota = quotaEventsWrite
		if rt.method == http.MethodGet {
			rt.quota = quotaEventsRead
		}
	}
	return append(routes, &route{
		id: "workspaceevents.operations.get", method: http.MethodGet, pattern: "/v1/operations/{operation}", scopes: eventScopes(eventReaders),
		dialect: platform, service: eventsService, quota: quotaEventsRead, rpc: "google.longrunning.Operations.GetOperation", handle: (*Server).getOperation,
	})
}

func (e *eventSubscription) resource() Subscription {
	out := Subscription{
		Name: subscriptionPrefix + e.ID, UID: e.UID, TargetResource: e.Target, EventTypes: e.Types, State: subscriptionActive,
		NotificationEndpoint: &NotificationEndpoint{PubsubTopic: e.Topic}, Authority: "users/" + userID(e.By),
		CreateTime: stampMeet(e.Created), UpdateTime: stampMeet(e.Updated), ExpireTime: stampMeet(e.Expires), Etag: strconv.FormatInt(e.Rev, 36),
	}
	if e.Reason != "" {
		out.State, out.SuspensionReason = subscriptionSuspended, e.Reason
	}
	return out
}

// done is a finished operation.
func doneWith(kind string, v any) operation {
	body := mustJSON(v)
	typed := []byte(`{"@type":"type.googleapis.com/` + kind + `"`)
	if len(body) > 2 {
		typed = append(typed, ',')
	}
	return operation{Name: "operations/" + randomText(recordLetters, 24), Done: true, Response: append(typed, body[1:]...)}
}

const subscriptionType = "google.apps.events.subscriptions.v1.Subscription"

func (s *Server) createSubscription(c *call) (answer, error) {
	var in Subscription
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, platformInvalid("", "Invalid JSON payload received.")
	}
	if c.who.Subject == "" {
		return answer{}, typical(platform, http.StatusForbidden, "", "")
	}
	if refusal := s.checkSubscription(c, &in); refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	life, refusal := readTTL(in.TTL, in.ExpireTime, now)
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if refusal := s.mayTarget(c.who.Subject, in.TargetResource); refusal != nil {
		return answer{}, refusal
	}
	topic := in.NotificationEndpoint.PubsubTopic
	if refusal := s.checkTopic(topic); refusal != nil {
		return answer{}, refusal
	}
	for _, have := range st.byTarget[in.TargetResource] {
		if have.By == c.who.Subject && !have.Gone {
			return answer{}, &apiError{
				status: http.StatusConflict, message: "Subscription already exists: " + subscriptionPrefix + have.ID, grpc: "ALREADY_EXISTS",
				infoReason: "SUBSCRIPTION_ALREADY_EXISTS", info: map[string]string{"current_subscription": subscriptionPrefix + have.ID, "service": eventsService},
			}
		}
	}
	kind := "meet-users-"
	if strings.HasPrefix(in.TargetResource, spaceTarget) {
		kind = "meet-spaces-"
	}
	sub := &eventSubscription{
		ID: kind + newUUID(), UID: newUUID(), By: c.who.Subject, Target: in.TargetResource,
		Types: in.EventTypes, Topic: topic, Created: now, Updated: now, Expires: now.Add(life), Rev: st.nextRev(now),
	}
	if c.form.Get("validateOnly") == "true" {
		return ok(doneWith(subscriptionType, sub.resource()))
	}
	lines := appendRecord(s.topicOnSight(topic, st.scratch[:0]), record{Kind: "sub", Subscription: sub})
	if err := st.commit(lines); err != nil {
		return answer{}, err
	}
	st.keepSubscription(sub)
	st.planSubscription(sub, now)
	op := doneWith(subscriptionType, sub.resource())
	if wait := duration(s.setup().Events.OperationDelay); wait > 0 {
		st.operations[op.Name] = pendingOperation{op, now.Add(wait)}
		op.Done, op.Response = false, nil
	}
	return ok(op)
}

type pendingOperation struct {
	operation
	at time.Time
}

func (s *Server) getOperation(c *call) (answer, error) {
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	op, found := st.operations["operations/"+c.r.PathValue("operation")]
	if !found {
		return answer{}, notFoundPlatform()
	}
	if s.now().Before(op.at) {
		op.Done, op.Response = false, nil
	}
	return ok(op.operation)
}

// checkSubscription checks what needs no lock.
func (s *Server) checkSubscription(c *call, in *Subscription) *apiError {
	if !slices.ContainsFunc(c.who.Scopes, func(scope string) bool { return strings.Contains(scope, "/meetings.space.") }) {
		return insufficientScope(eventsService, "google.apps.events.subscriptions.v1.SubscriptionsService.CreateSubscription")
	}
	if len(in.EventTypes) == 0 {
		return platformInvalid("subscription.event_types", "Request contains an invalid argument.")
	}
	for _, kind := range in.EventTypes {
		if !slices.Contains(meetEventTypes(), kind) {
			return platformInvalid("subscription.event_types", "Unsupported event type: "+kind)
		}
	}
	if in.PayloadOptions != nil && in.PayloadOptions.IncludeResource {
		return platformInvalid("subscription.payload_options", "Meet events have no payload options.")
	}
	if in.NotificationEndpoint == nil || !topicName(in.NotificationEndpoint.PubsubTopic) {
		return platformInvalid("subscription.notification_endpoint.pubsub_topic", "Request contains an invalid argument.")
	}
	if !strings.HasPrefix(in.NotificationEndpoint.PubsubTopic, "projects/"+projectID+"/") {
		return platformInvalid("subscription.notification_endpoint.pubsub_topic", "The topic must be in the Google Cloud project of the caller.")
	}
	return nil
}

// mayTarget says whether somebody may follow a target: her own spaces, or a space. The caller holds
// the lock.
func (s *Server) mayTarget(who, target string) *apiError {
	if id, isUser := strings.CutPrefix(target, userTarget); isUser {
		if id != userID(who) {
			return typical(platform, http.StatusForbidden, "", "")
		}
		return nil
	}
	if id, isSpace := strings.CutPrefix(target, spaceTarget); isSpace {
		if s.store.spaces[id] == nil {
			return denied("Space")
		}
		return nil
	}
	return platformInvalid("subscription.target_resource", "Request contains an invalid argument.")
}

// readTTL gives how long a subscription is to live; nothing and "0s" are the longest.
func readTTL(ttl, expire string, now time.Time) (time.Duration, *apiError) {
	life := time.Duration(0)
	if ttl != "" {
		d, err := time.ParseDuration(ttl)
		if err != nil || d < 0 || !strings.HasSuffix(ttl, "s") {
			return 0, platformInvalid("subscription.ttl", "Invalid value at 'subscription.ttl'")
		}
		life = d
	} else if expire != "" {
		t, err := time.Parse(time.RFC3339, expire)
		if err != nil || !t.After(now) {
			return 0, platformInvalid("subscription.expire_time", "Invalid value at 'subscription.expire_time'")
		}
		life = t.Sub(now)
	}
	if life > longestSubscription {
		return 0, platformInvalid("subscription.ttl", "The subscription's time to live is too long.")
	}
	return cmp.Or(life, longestSubscription), nil
}

func (st *store) keepSubscription(sub *eventSubscription) {
	old := st.subscriptions[sub.ID]
	list := st.byTarget[sub.Target]
	if old != nil {
		sub.generation = old.generation
		list = slices.DeleteFunc(list, func(have *eventSubscription) bool { return have == old })
	}
	if sub.Gone {
		if old != nil {
			old.generation++
		}
		delete(st.subscriptions, sub.ID)
		st.byTarget[sub.Target] = list
		return
	}
	if old != nil {
		old.generation++ // its steps are planned anew for sub
		sub.generation++
	}
	st.subscriptions[sub.ID] = sub
	st.byTarget[sub.Target] = append(list, sub)
}

// planSubscription queues the warnings and the end of a subscription.
func (st *store) planSubscription(sub *eventSubscription, after time.Time) {
	for _, before := range []time.Duration{12 * time.Hour, time.Hour} {
		if at := sub.Expires.Add(-before); at.After(after) {
			st.plan(&step{at: at, kind: stepRemind, sub: sub})
		}
	}
	at := sub.Expires
	if !at.After(after) {
		at = after.Add(1)
	}
	st.plan(&step{at: at, kind: stepSubscriptionEnd, sub: sub})
}

// subscription finds what the call names, if it is the caller's. The caller holds the lock.
func (s *Server) subscription(c *call) (*eventSubscription, *apiError) {
	sub := s.store.subscriptions[c.r.PathValue("subscription")]
	if sub == nil || sub.By != c.who.Subject {
		return nil, notFoundPlatform()
	}
	return sub, nil
}

func (s *Server) getSubscription(c *call) (answer, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	sub, refusal := s.subscription(c)
	if refusal != nil {
		return answer{}, refusal
	}
	return ok(sub.resource())
}

func (s *Server) listSubscriptions(c *call) (answer, error) {
	match, refusal := subscriptionFilter(c.form.Get("filter"))
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	var found []*eventSubscription
	for _, sub := range st.subscriptions {
		if sub.By == c.who.Subject && match(sub) {
			found = append(found, sub)
		}
	}
	slices.SortFunc(found, func(a, b *eventSubscription) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	items, next, refusal := platformPage(c, found, 50, 100)
	if refusal != nil {
		return answer{}, refusal
	}
	out := subscriptionList{NextPageToken: next}
	for _, sub := range items {
		out.Subscriptions = append(out.Subscriptions, sub.resource())
	}
	return ok(out)
}

// subscriptionFilter reads event_types:"x" joined by OR, and target_resource="y" joined by AND.
func subscriptionFilter(text string) (func(*eventSubscription) bool, *apiError) {
	words, err := filterWords(text)
	bad := platformInvalid("filter", "Request contains an invalid argument.")
	if err != nil {
		return nil, bad
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "(" || w == ")" || w == "AND" || w == "OR" })
	var types []string
	target := ""
	for ; len(words) >= 3; words = words[3:] {
		value := strings.Trim(words[2], `"`)
		switch words[0] + words[1] {
		case "event_types:":
			types = append(types, value)
		case "target_resource=":
			target = value
		default:
			return nil, bad
		}
	}
	if len(words) > 0 || len(types) == 0 {
		return nil, bad
	}
	return func(sub *eventSubscription) bool {
		return (target == "" || sub.Target == target) && slices.ContainsFunc(types, func(t string) bool { return slices.Contains(sub.Types, t) })
	}, nil
}

// changeSubscription lets change work on a copy and keeps it.
func (s *Server) changeSubscription(c *call, change func(*eventSubscription, time.Time) *apiError) (answer, error) {
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, refusal := s.subscription(c)
	if refusal != nil {
		return answer{}, refusal
	}
	next := *sub
	if refusal := change(&next, now); refusal != nil {
		return answer{}, refusal
	}
	if c.form.Get("validateOnly") == "true" {
		return ok(doneWith(subscriptionType, next.resource()))
	}
	next.Updated, next.Rev = now, st.nextRev(now)
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "sub", Subscription: &next})); err != nil {
		return answer{}, err
	}
	st.keepSubscription(&next)
	if next.Gone {
		return ok(doneWith("google.protobuf.Empty", struct{}{}))
	}
	st.planSubscription(&next, now)
	return ok(doneWith(subscriptionType, next.resource()))
}

func (s *Server) patchSubscription(c *call) (answer, error) {
	var in Subscription
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, platformInvalid("", "Invalid JSON payload received.")
	}
	mask := c.form.Get("updateMask")
	return s.changeSubscription(c, func(sub *eventSubscription, now time.Time) *apiError {
		for path := range strings.SplitSeq(mask, ",") {
			switch camelCase(strings.TrimSpace(path)) {
			case "ttl", "expireTime", "":
				life, refusal := readTTL(in.TTL, in.ExpireTime, now)
				if refusal != nil {
					return refusal
				}
				sub.Expires = now.Add(life)
			case "eventTypes":
				if refusal := s.checkSubscription(c, &Subscription{EventTypes: in.EventTypes, NotificationEndpoint: &NotificationEndpoint{PubsubTopic: sub.Topic}}); refusal != nil {
					return refusal
				}
				sub.Types = in.EventTypes
			default:
				return platformInvalid("update_mask", "Invalid field mask path: "+path)
			}
		}
		return nil
	})
}

func (s *Server) deleteSubscription(c *call) (answer, error) {
	a, err := s.changeSubscription(c, func(sub *eventSubscription, _ time.Time) *apiError {
		if etag := c.form.Get("etag"); etag != "" && etag != sub.resource().Etag {
			return &apiError{status: http.StatusConflict, message: "The etag does not match.", grpc: "ABORTED"}
		}
		sub.Gone = true
		return nil
	})
	if refusal, isRefusal := err.(*apiError); isRefusal && refusal.status == http.StatusNotFound && c.form.Get("allowMissing") == "true" { //nolint:errorlint // returned bare
		return ok(doneWith("google.protobuf.Empty", struct{}{}))
	}
	return a, err
}

func (s *Server) reactivateSubscription(c *call) (answer, error) {
	return s.changeSubscription(c, func(sub *eventSubscription, _ time.Time) *apiError {
		if sub.Reason == "" {
			return &apiError{status: http.StatusBadRequest, message: "The subscription is not suspended.", grpc: "FAILED_PRECONDITION"}
		}
		if refusal := s.checkTopic(sub.Topic); refusal != nil {
			return refusal
		}
		sub.Reason = ""
		return nil
	})
}

func (st *store) subscriptionList() []*eventSubscription {
	list := make([]*eventSubscription, 0, len(st.subscriptions))
	for _, sub := range st.subscriptions {
		list = append(list, sub)
	}
	slices.SortFunc(list, func(a, b *eventSubscription) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return list
}
