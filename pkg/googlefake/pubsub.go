package googlefake

import (
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	pullWait         = 20 * time.Second // real; how long an empty pull hangs
	usualAckDeadline = 10               // seconds
	longestDeadline  = 600
	messageLife      = 7 * 24 * time.Hour // on the emulator's clock; then an unread message is lost
	meetPublisher    = "serviceAccount:meet-api-event-push@system.gserviceaccount.com"

	topicPattern  = "/v1/projects/{project}/topics/{topic}"
	pubsubPattern = "/v1/projects/{project}/subscriptions/{pubsub}"
)

// topic is a Pub/Sub topic as it is kept.
type topic struct {
	Name      string `json:"name"`
	Publisher bool   `json:"publisher"` // Meet may publish
	Gone      bool   `json:"gone,omitempty"`
}

// pubsubSubscription is one as it is kept; messages have records of their own.
type pubsubSubscription struct {
	Name     string `json:"name"`
	Topic    string `json:"topic"`
	Deadline int64  `json:"deadline"` // seconds
	Ordered  bool   `json:"ordered,omitempty"`
	Denied   bool   `json:"denied,omitempty"` // the caller lacks the subscriber role
	Gone     bool   `json:"gone,omitempty"`

	backlog []*pubsubMessage
	byAck   map[string]*pubsubMessage
	byID    map[string]*pubsubMessage // what is not acknowledged
	acked   int                       // of the backlog
	flowing bool                      // a burst is on its way
}

// pubsubMessage is a message of one subscription's backlog.
type pubsubMessage struct {
	ID          string            `json:"id"`
	Data        []byte            `json:"data,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	OrderingKey string            `json:"key,omitempty"`
	Published   time.Time         `json:"at"`
	After       time.Time         `json:"after,omitzero"` // held back until then, on the emulator's clock
	Early       bool              `json:"early,omitempty"`

	ackID    string
	lease    time.Time // real; until then it is out
	attempts int64
	acked    bool
}

// Resources of Pub/Sub.
type (
	pubsubTopic struct {
		Name  string `json:"name,omitempty"`
		State string `json:"state,omitempty"`
	}
	pubsubResource struct {
		Name                  string          `json:"name,omitempty"`
		Topic                 string          `json:"topic,omitempty"`
		AckDeadlineSeconds    int64           `json:"ackDeadlineSeconds,omitempty"`
		EnableMessageOrdering bool            `json:"enableMessageOrdering,omitempty"`
		State                 string          `json:"state,omitempty"`
		PushConfig            *pubsubPushings `json:"pushConfig,omitempty"`
	}
	pubsubPushings struct {
		PushEndpoint string `json:"pushEndpoint,omitempty"`
	}
	wireMessage struct {
		Data        []byte            `json:"data,omitempty"`
		Attributes  map[string]string `json:"attributes,omitempty"`
		MessageID   string            `json:"messageId,omitempty"`
		PublishTime string            `json:"publishTime,omitempty"`
		OrderingKey string            `json:"orderingKey,omitempty"`
	}
	receivedMessage struct {
		AckID           string      `json:"ackId"`
		Message         wireMessage `json:"message"`
		DeliveryAttempt int64       `json:"deliveryAttempt,omitempty"`
	}
	pullAnswer struct {
		ReceivedMessages []receivedMessage `json:"receivedMessages,omitempty"`
	}
	iamPolicy struct {
		Version  int64        `json:"version,omitempty"`
		Etag     string       `json:"etag,omitempty"`
		Bindings []iamBinding `json:"bindings,omitempty"`
	}
	iamBinding struct {
		Role    string   `json:"role"`
		Members []string `json:"members"`
	}
	iamPermissions struct {
		Permissions []string `json:"permissions,omitempty"`
	}
)

func pubsubRoutes() []*route {
	scopes := calendarScopes("cloud-platform", "pubsub")
	routes := []*route{
		{id: "topics.create", method: http.MethodPut, pattern: topicPattern, rpc: "Publisher.CreateTopic", handle: (*Server).createTopic},
		{id: "topics.get", method: http.MethodGet, pattern: topicPattern, rpc: "Publisher.GetTopic", handle: (*Server).getTopic},
		{id: "topics.publish", method: http.MethodPost, pattern: topicPattern, verb: ":publish", rpc: "Publisher.Publish", handle: (*Server).publishTopic},
		{
			id: "topics.getIamPolicy", method: http.MethodGet, pattern: topicPattern, verb: ":getIamPolicy", rpc: "IAMPolicy.GetIamPolicy",
			handle: (*Server).topicPolicy, params: []string{"options.requestedPolicyVersion"},
		},
		{id: "topics.testIamPermissions", method: http.MethodPost, pattern: topicPattern, verb: ":testIamPermissions", rpc: "IAMPolicy.TestIamPermissions", handle: (*Server).testTopic},
		{id: "subscriptions.create", method: http.MethodPut, pattern: pubsubPattern, rpc: "Subscriber.CreateSubscription", handle: (*Server).createPubsub},
		{id: "subscriptions.get", method: http.MethodGet, pattern: pubsubPattern, rpc: "Subscriber.GetSubscription", handle: (*Server).getPubsub},
		{id: "subscriptions.delete", method: http.MethodDelete, pattern: pubsubPattern, rpc: "Subscriber.DeleteSubscription", handle: (*Server).deletePubsub},
		{id: "subscriptions.pull", method: http.MethodPost, pattern: pubsubPattern, verb: ":pull", rpc: "Subscriber.Pull", handle: (*Server).pull},
		{id: "subscriptions.acknowledge", method: http.MethodPost, pattern: pubsubPattern, verb: ":acknowledge", rpc: "Subscriber.Acknowledge", handle: (*Server).acknowledge},
		{id: "subscriptions.modifyAckDeadline", method: http.MethodPost, pattern: pubsubPattern, verb: ":modifyAckDeadline", rpc: "Subscriber.ModifyAckDeadline", handle: (*Server).modifyDeadline},
		{id: "subscriptions.testIamPermissions", method: http.MethodPost, pattern: pubsubPattern, verb: ":testIamPermissions", rpc: "IAMPolicy.TestIamPermissions", handle: (*Server).testPubsub},
	}
	for _, rt := range routes {
		rt.id, rt.rpc, rt.dialect, rt.service, rt.scopes = "pubsub.projects."+rt.id, "google.pubsub.v1."+rt.rpc, platform, pubsubService, scopes
	}
	return routes
}

var topicShape = regexp.MustCompile(`^projects/[a-z][a-z0-9-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

func topicName(name string) bool { return topicShape.MatchString(name) }

func (c *call) topicName() string {
	return "projects/" + c.r.PathValue("project") + "/topics/" + c.r.PathValue("topic")
}

func (c *call) pubsubName() string {
	return "projects/" + c.r.PathValue("project") + "/subscriptions/" + c.r.PathValue("pubsub")
}

func missing(name string) *apiError {
	_, id, _ := cutLast(name, "/")
	return &apiError{status: http.StatusNotFound, message: "Resource not found (resource=" + id + ")."}
}

// checkTopic says why Meet can't publish to a topic. A topic that nobody spoke of exists, unless
// the emulator is strict. The caller holds the lock.
func (s *Server) checkTopic(name string) *apiError {
	t := s.store.topics[name]
	switch {
	case t == nil && s.cfg.Strict, t != nil && t.Gone:
		return missing(name)
	case t != nil && !t.Publisher:
		return &apiError{status: http.StatusForbidden, message: "Permission denied on the Pub/Sub topic: Google Meet may not publish to " + name + "."}
	}
	return nil
}

// topicOnSight makes a topic that checkTopic let pass without there being one.
func (s *Server) topicOnSight(name string, lines []byte) []byte {
	if s.store.topics[name] != nil {
		return lines
	}
	t := &topic{Name: name, Publisher: true}
	s.store.topics[name] = t
	return appendRecord(lines, record{Kind: "topic", Topic: t})
}

func (s *Server) createTopic(c *call) (answer, error) {
	name := c.topicName()
	if !topicName(name) {
		return answer{}, platformInvalid("name", "Invalid [topics] name: "+name)
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if t := st.topics[name]; t != nil && !t.Gone {
		_, id, _ := cutLast(name, "/")
		return answer{}, &apiError{status: http.StatusConflict, message: "Resource already exists in the project (resource=" + id + ").", grpc: "ALREADY_EXISTS"}
	}
	// Google lets nobody publish to a new topic; the lenient emulator lets Meet.
	return s.writeTopic(&topic{Name: name, Publisher: !s.cfg.Strict})
}

func (s *Server) writeTopic(t *topic) (answer, error) {
	if err := s.store.commit(appendRecord(s.store.scratch[:0], record{Kind: "topic", Topic: t})); err != nil {
		return answer{}, err
	}
	s.store.topics[t.Name] = t
	return ok(pubsubTopic{t.Name, subscriptionActive})
}

// topic finds the call's topic, and makes it when the emulator is lenient. The caller holds the lock.
func (s *Server) topic(c *call) (*topic, error) {
	name := c.topicName()
	if t := s.store.topics[name]; t != nil && !t.Gone {
		return t, nil
	} else if t != nil || s.cfg.Strict || !topicName(name) {
		return nil, missing(name)
	}
	t := &topic{Name: name, Publisher: true}
	_, err := s.writeTopic(t)
	return t, err
}

func (s *Server) getTopic(c *call) (answer, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	t, err := s.topic(c)
	if err != nil {
		return answer{}, err
	}
	return ok(pubsubTopic{t.Name, subscriptionActive})
}

func (s *Server) topicPolicy(c *call) (answer, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	t, err := s.topic(c)
	if err != nil {
		return answer{}, err
	}
	out := iamPolicy{Version: 1, Etag: "BwYAAAAAAAA="}
	if t.Publisher {
		out.Bindings = []iamBinding{{"roles/pubsub.publisher", []string{meetPublisher}}}
	}
	return ok(out)
}

func (s *Server) testTopic(c *call) (answer, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if _, err := s.topic(c); err != nil {
		return answer{}, err
	}
	return testPermissions(c, true)
}

func testPermissions(c *call, all bool) (answer, error) {
	var in iamPermissions
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, platformInvalid("", "Invalid JSON payload received.")
	}
	if !all {
		in.Permissions = nil
	}
	return ok(in)
}

func (s *Server) publishTopic(c *call) (answer, error) {
	var in struct {
		Messages []wireMessage `json:"messages"`
	}
	if json.Unmarshal(c.body, &in) != nil || len(in.Messages) == 0 {
		return answer{}, platformInvalid("messages", "The value for message_count is too small.")
	}
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	t, err := s.topic(c)
	if err != nil {
		return answer{}, err
	}
	lines := st.scratch[:0]
	out := struct {
		MessageIDs []string `json:"messageIds"`
	}{}
	for _, m := range in.Messages {
		out.MessageIDs = append(out.MessageIDs, strconv.FormatInt(st.messages+1, 10))
		lines = s.publish(t.Name, pubsubMessage{Data: m.Data, Attributes: m.Attributes, OrderingKey: m.OrderingKey, Published: now}, false, lines)
	}
	if err := st.commit(lines); err != nil {
		return answer{}, err
	}
	s.published.ring()
	return ok(out)
}

// publish puts a copy of a message into the backlog of every subscription of a topic; one that
// nobody reads is forgotten. The caller
// holds the lock and rings.
func (s *Server) publish(topicName string, m pubsubMessage, early bool, lines []byte) []byte {
	st := s.store
	st.messages++
	m.ID, m.Early = strconv.FormatInt(st.messages, 10), early
	for _, sub := range st.readers[topicName] {
		one := m
		sub.add(&one)
		lines = appendRecord(lines, record{Kind: "message", ID: sub.Name, Message: &one})
	}
	return lines
}

// add appends a message, or puts it before the last one that nobody has got yet.
func (sub *pubsubSubscription) add(m *pubsubMessage) {
	sub.backlog = append(sub.backlog, m)
	sub.byID[m.ID] = m
	if last := len(sub.backlog) - 1; m.Early && last > 0 && sub.backlog[last-1].attempts == 0 {
		sub.backlog[last-1], sub.backlog[last] = sub.backlog[last], sub.backlog[last-1]
	} else if m.Early {
		m.After = m.Published.Add(time.Minute) // what comes next overtakes it
	}
}

func (st *store) keepPubsub(sub *pubsubSubscription) {
	if old := st.pubsubs[sub.Name]; old != nil {
		st.readers[old.Topic] = slices.DeleteFunc(st.readers[old.Topic], func(have *pubsubSubscription) bool { return have == old })
		if sub.Topic == old.Topic {
			sub.backlog, sub.byAck, sub.byID, sub.acked = old.backlog, old.byAck, old.byID, old.acked
		}
	}
	if sub.byAck == nil {
		sub.byAck, sub.byID = make(map[string]*pubsubMessage), make(map[string]*pubsubMessage)
	}
	if sub.Gone {
		sub.backlog = nil
		st.pubsubs[sub.Name] = sub
		return
	}
	st.pubsubs[sub.Name] = sub
	st.readers[sub.Topic] = append(st.readers[sub.Topic], sub)
}

func (s *Server) createPubsub(c *call) (answer, error) {
	var in pubsubResource
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, platformInvalid("", "Invalid JSON payload received.")
	}
	if in.PushConfig != nil && in.PushConfig.PushEndpoint != "" {
		return answer{}, &apiError{status: http.StatusNotImplemented, message: "The emulator delivers to pulls only."}
	}
	if in.AckDeadlineSeconds == 0 {
		in.AckDeadlineSeconds = usualAckDeadline
	}
	if in.AckDeadlineSeconds < usualAckDeadline || in.AckDeadlineSeconds > longestDeadline {
		return answer{}, platformInvalid("ack_deadline_seconds", "Invalid ack deadline given.")
	}
	name := c.pubsubName()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if have := st.pubsubs[name]; have != nil && !have.Gone {
		_, id, _ := cutLast(name, "/")
		return answer{}, &apiError{status: http.StatusConflict, message: "Resource already exists in the project (resource=" + id + ").", grpc: "ALREADY_EXISTS"}
	}
	lines := st.scratch[:0]
	if t := st.topics[in.Topic]; t == nil && (s.cfg.Strict || !topicName(in.Topic)) || t != nil && t.Gone {
		return answer{}, missing(in.Topic)
	}
	lines = s.topicOnSight(in.Topic, lines)
	sub := &pubsubSubscription{Name: name, Topic: in.Topic, Deadline: in.AckDeadlineSeconds, Ordered: in.EnableMessageOrdering}
	if err := st.commit(appendRecord(lines, record{Kind: "pubsub", Pubsub: sub})); err != nil {
		return answer{}, err
	}
	st.keepPubsub(sub)
	return ok(sub.resource())
}

func (sub *pubsubSubscription) resource() pubsubResource {
	return pubsubResource{
		Name: sub.Name, Topic: sub.Topic, AckDeadlineSeconds: sub.Deadline, EnableMessageOrdering: sub.Ordered, State: subscriptionActive,
		PushConfig: new(pubsubPushings),
	}
}

// pubsub finds the call's subscription. The lenient emulator makes one on sight when its project has
// exactly one topic, or names a topic like the subscription when it has none. The caller holds the
// lock.
func (s *Server) pubsub(c *call) (*pubsubSubscription, error) {
	name := c.pubsubName()
	st := s.store
	if sub := st.pubsubs[name]; sub != nil {
		if sub.Gone {
			return nil, missing(name)
		}
		if sub.Denied && !strings.HasSuffix(c.r.URL.Path, ":testIamPermissions") {
			return nil, &apiError{status: http.StatusForbidden, message: "User not authorized to perform this action."}
		}
		return sub, nil
	}
	project := "projects/" + c.r.PathValue("project") + "/topics/"
	var topics []string
	for t, have := range st.topics {
		if strings.HasPrefix(t, project) && !have.Gone {
			topics = append(topics, t)
		}
	}
	if len(topics) == 0 && topicName(project+c.r.PathValue("pubsub")) {
		topics = []string{project + c.r.PathValue("pubsub")}
	}
	if s.cfg.Strict || len(topics) != 1 {
		return nil, missing(name)
	}
	sub := &pubsubSubscription{Name: name, Topic: topics[0], Deadline: usualAckDeadline, Ordered: true}
	lines := s.topicOnSight(topics[0], st.scratch[:0])
	if err := st.commit(appendRecord(lines, record{Kind: "pubsub", Pubsub: sub})); err != nil {
		return nil, err
	}
	st.keepPubsub(sub)
	return sub, nil
}

func (s *Server) getPubsub(c *call) (answer, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	sub, err := s.pubsub(c)
	if err != nil {
		return answer{}, err
	}
	return ok(sub.resource())
}

func (s *Server) testPubsub(c *call) (answer, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	sub, err := s.pubsub(c)
	if err != nil {
		return answer{}, err
	}
	return testPermissions(c, !sub.Denied)
}

func (s *Server) deletePubsub(c *call) (answer, error) {
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := s.pubsub(c)
	if err != nil {
		return answer{}, err
	}
	next := &pubsubSubscription{Name: sub.Name, Topic: sub.Topic, Gone: true}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "pubsub", Pubsub: next})); err != nil {
		return answer{}, err
	}
	st.keepPubsub(next)
	return ok(struct{}{})
}

// eventCounters say what became of events.
type eventCounters struct {
	published, dropped, duplicated, late, reordered, undecodable atomic.Int64
}

// postPubsub configures {"topic":…,"publisher":bool} or {"subscription":…,"subscriber":bool};
// "delete" takes it away.
func (s *Server) postPubsub(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	var in struct {
		Topic        string `json:"topic"`
		Publisher    *bool  `json:"publisher"`
		Subscription string `json:"subscription"`
		Subscriber   *bool  `json:"subscriber"`
		Delete       bool   `json:"delete"`
	}
	if err := decodeStrict(body, &in); err != nil {
		return asFieldError(err)
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case topicName(in.Topic) && in.Subscription == "":
		t := &topic{Name: in.Topic, Publisher: true, Gone: in.Delete}
		if old := st.topics[in.Topic]; old != nil {
			t.Publisher = old.Publisher
		}
		t.Publisher = *cmp.Or(in.Publisher, &t.Publisher)
		if _, err := s.writeTopic(t); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, mustJSON(t))
	case in.Subscription != "" && st.pubsubs[in.Subscription] != nil:
		next := *st.pubsubs[in.Subscription]
		next.Gone = in.Delete
		if in.Subscriber != nil {
			next.Denied = !*in.Subscriber
		}
		if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "pubsub", Pubsub: &next})); err != nil {
			return err
		}
		st.keepPubsub(&next)
		writeJSON(w, http.StatusOK, mustJSON(next))
	case in.Subscription != "":
		return &fieldError{"subscription", "no such subscription: create or read it first"}
	default:
		return &fieldError{"topic", "want projects/PROJECT/topics/TOPIC"}
	}
	return nil
}
