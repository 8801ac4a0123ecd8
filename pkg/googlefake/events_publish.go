package googlefake

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// emit publishes a conference's event to whoever follows it. The caller holds the lock.
func (s *Server) emit(c *conference, kind, field, name string, at time.Time, lines []byte) []byte {
	st := s.store
	if len(st.subscriptions) == 0 {
		return lines
	}
	full := eventsPrefix + kind
	data := mustJSON(map[string]map[string]string{field: {"name": name}})
	for _, target := range []string{spaceTarget + c.Space, userTarget + userID(c.Owner)} {
		for _, sub := range slices.Clone(st.byTarget[target]) { // a broken topic changes the list
			// Who does not own the space hears of its beginning and its transcript only.
			if sub.By != c.Owner && kind != "conference.v2.started" && kind != "transcript.v2.fileGenerated" {
				continue
			}
			if sub.Reason == "" && slices.Contains(sub.Types, full) {
				lines = s.publishEvent(sub, full, data, at, lines)
			}
		}
	}
	return lines
}

func (s *Server) emitArtifact(c *conference, a *artifact, what string, at time.Time, lines []byte) []byte {
	return s.emit(c, string(a.Kind)+".v2."+what, string(a.Kind), c.artifactName(a), at, lines)
}

// publishEvent sends one event with what EventsSetup does to it.
func (s *Server) publishEvent(sub *eventSubscription, kind string, data []byte, at time.Time, lines []byte) []byte {
	if refusal := s.checkTopic(sub.Topic); refusal != nil {
		reason := endpointMissing
		if refusal.status == http.StatusForbidden {
			reason = endpointDenied
		}
		next := *sub
		next.Reason, next.Rev = reason, s.store.nextRev(at)
		s.store.keepSubscription(&next)
		s.store.planSubscription(&next, at)
		return appendRecord(lines, record{Kind: "sub", Subscription: &next})
	}
	faults := s.setup().Events
	source := "//workspaceevents.googleapis.com/subscriptions/" + sub.ID
	m := pubsubMessage{
		Data: data, OrderingKey: source, Published: at,
		Attributes: map[string]string{
			"ce-datacontenttype": "application/json", "ce-id": newUUID(), "ce-source": source, "ce-specversion": "1.0",
			"ce-subject": sub.Target, "ce-time": stampMeet(at), "ce-type": kind,
		},
	}
	if s.faults.chance(faults.Drop) {
		s.events.dropped.Add(1)
		return lines
	}
	if s.faults.chance(faults.Undecodable) {
		s.events.undecodable.Add(1)
		m.Data = []byte("\xff not JSON")
	}
	if s.faults.chance(faults.Late) {
		s.events.late.Add(1)
		m.After = at.Add(cmp.Or(duration(faults.Delay), usualLateness))
	}
	early := s.faults.chance(faults.Reorder)
	if early {
		s.events.reordered.Add(1)
	}
	lines = s.publish(sub.Topic, m, early, lines)
	if s.faults.chance(faults.Duplicate) {
		s.events.duplicated.Add(1)
		lines = s.publish(sub.Topic, m, false, lines)
	}
	if s.faults.chance(faults.UnknownType) {
		m.Attributes = cloneMap(m.Attributes)
		m.Attributes["ce-id"], m.Attributes["ce-type"] = newUUID(), eventsPrefix+"weather.v9.changed"
		lines = s.publish(sub.Topic, m, false, lines)
	}
	s.events.published.Add(1)
	return lines
}

func cloneMap(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// lifecycle publishes an event about the subscription itself.
func (s *Server) lifecycle(sub *eventSubscription, what string, fields map[string]string, at time.Time, lines []byte) []byte {
	body := map[string]string{"name": subscriptionPrefix + sub.ID}
	for name, value := range fields {
		if s.setup().Events.CamelCase {
			name = camelCase(name)
		}
		body[name] = value
	}
	return s.publishEvent(sub, lifecyclePrefix+what, mustJSON(map[string]map[string]string{"subscription": body}), at, lines)
}

func (s *Server) remind(sub *eventSubscription, at time.Time, lines []byte) []byte {
	if s.setup().Events.NoReminders || sub.Reason != "" {
		return lines
	}
	return s.lifecycle(sub, "expirationReminder", map[string]string{"expire_time": stampMeet(sub.Expires)}, at, lines)
}

func (s *Server) expireSubscription(sub *eventSubscription, at time.Time, lines []byte) []byte {
	if sub.Reason == "" {
		lines = s.lifecycle(sub, "expired", nil, at, lines)
	}
	next := *sub
	next.Gone = true
	s.store.keepSubscription(&next)
	return appendRecord(lines, record{Kind: "sub", Subscription: &next})
}

// postSubscription is what becomes of a subscription by itself: {"name":…,"suspend":"REASON"} or
// {"name":…,"expire":true}; without a name it befalls all.
func (s *Server) postSubscription(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	var in struct {
		Name    string `json:"name"`
		Suspend string `json:"suspend"`
		Expire  bool   `json:"expire"`
	}
	if err := decodeStrict(body, &in); err != nil {
		return asFieldError(err)
	}
	reasons := []string{
		"USER_SCOPE_REVOKED", "APP_SCOPE_REVOKED", "RESOURCE_DELETED", "USER_AUTHORIZATION_FAILURE", "APP_AUTHORIZATION_FAILURE",
		endpointDenied, endpointMissing, "ENDPOINT_RESOURCE_EXHAUSTED", "OTHER",
	}
	if (in.Suspend == "") == !in.Expire || in.Suspend != "" && !slices.Contains(reasons, in.Suspend) {
		return &fieldError{"suspend", "want expire, or one of " + strings.Join(reasons, ", ")}
	}
	if err := s.progress(); err != nil {
		return err
	}
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	lines, hit := st.scratch[:0], 0
	for _, sub := range st.subscriptionList() {
		if in.Name != "" && strings.TrimPrefix(in.Name, subscriptionPrefix) != sub.ID {
			continue
		}
		hit++
		if in.Expire {
			lines = s.expireSubscription(sub, now, lines)
			continue
		}
		lines = s.lifecycle(sub, "suspended", map[string]string{"suspension_reason": in.Suspend}, now, lines)
		next := *sub
		next.Reason, next.Updated, next.Rev = in.Suspend, now, st.nextRev(now)
		lines = appendRecord(lines, record{Kind: "sub", Subscription: &next})
		st.keepSubscription(&next)
		st.planSubscription(&next, now)
	}
	if hit == 0 && in.Name != "" {
		return &fieldError{"name", "no such subscription"}
	}
	if err := st.commit(lines); err != nil {
		return err
	}
	s.published.ring()
	writeJSON(w, http.StatusOK, mustJSON(map[string]int{"subscriptions": hit}))
	return nil
}
