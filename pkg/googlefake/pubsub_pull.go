package googlefake

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

func (s *Server) pull(c *call) (answer, error) {
	var in struct {
		MaxMessages       int64 `json:"maxMessages"`
		ReturnImmediately bool  `json:"returnImmediately"`
	}
	if json.Unmarshal(c.body, &in) != nil || in.MaxMessages < 1 {
		return answer{}, platformInvalid("max_messages", "The value for max_messages is too small. You passed "+strconv.FormatInt(in.MaxMessages, 10)+" in the request.")
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), pullWait)
	defer cancel()
	for {
		published, clock := s.published.wait(), s.clockChanged.wait()
		if err := s.progress(); err != nil {
			return answer{}, err
		}
		out, again, err := s.take(c, int(min(in.MaxMessages, 1000)))
		if err != nil || len(out.ReceivedMessages) > 0 || in.ReturnImmediately {
			if err != nil {
				return answer{}, err
			}
			return ok(out)
		}
		timer := time.NewTimer(again)
		select {
		case <-published:
		case <-clock:
		case <-timer.C:
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ok(pullAnswer{})
		}
	}
}

// take leases what is ready; without anything it says when to look again.
func (s *Server) take(c *call, most int) (out pullAnswer, again time.Duration, err error) {
	now, real := s.now(), time.Now()
	again = pullWait
	sooner := func(d time.Duration, ok bool) {
		if ok {
			again = min(again, max(d, time.Millisecond))
		}
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := s.pubsub(c)
	if err != nil {
		return out, 0, err
	}
	if len(st.steps) > 0 {
		sooner(s.untilEmulated(st.steps[0].at))
	}
	var ready []*pubsubMessage
	blocked := make(map[string]bool) // keys with an earlier message that is out or held back
	var expired []string
	for _, m := range sub.backlog {
		switch {
		case m.acked:
			continue
		case now.Sub(m.Published) > messageLife:
			expired = append(expired, m.ID)
			continue
		case sub.Ordered && m.OrderingKey != "" && blocked[m.OrderingKey]:
			continue
		case real.Before(m.lease):
			sooner(m.lease.Sub(real), true)
			blocked[m.OrderingKey] = true
			continue
		case now.Before(m.After):
			sooner(s.untilEmulated(m.After)) // what is late lets others pass
			continue
		}
		if ready = append(ready, m); len(ready) == most {
			break
		}
	}
	if burst := s.setup().Events.Burst; burst > 0 && !sub.flowing && len(ready) < min(burst, most) {
		ready = nil
	}
	sub.flowing = len(ready) > 0
	for _, m := range ready {
		delete(sub.byAck, m.ackID)
		m.attempts++
		m.ackID, m.lease = newUUID(), real.Add(time.Duration(sub.Deadline)*time.Second)
		sub.byAck[m.ackID] = m
		out.ReceivedMessages = append(out.ReceivedMessages, receivedMessage{AckID: m.ackID, Message: wireMessage{
			Data: m.Data, Attributes: m.Attributes, MessageID: m.ID, PublishTime: stampMeet(m.Published), OrderingKey: m.OrderingKey,
		}})
	}
	return out, again, s.forget(sub, expired)
}

// forget drops messages for good. The caller holds the lock.
func (s *Server) forget(sub *pubsubSubscription, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	st := s.store
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "acked", ID: sub.Name, IDs: ids})); err != nil {
		return err
	}
	sub.forget(ids)
	return nil
}

func (sub *pubsubSubscription) forget(ids []string) {
	for _, id := range ids {
		if m := sub.byID[id]; m != nil {
			m.acked = true
			sub.acked++
			delete(sub.byAck, m.ackID)
			delete(sub.byID, id)
		}
	}
	if 2*sub.acked > len(sub.backlog) {
		sub.backlog = slices.DeleteFunc(sub.backlog, func(m *pubsubMessage) bool { return m.acked })
		sub.acked = 0
	}
}

func (s *Server) acknowledge(c *call) (answer, error) {
	ids, _, refusal := c.ackIDs()
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := s.pubsub(c)
	if err != nil {
		return answer{}, err
	}
	var done []string
	for _, id := range ids {
		m := sub.byAck[id] // one that is over, or never was, is no error
		if m == nil {
			continue
		}
		if s.faults.chance(s.setup().Events.Redeliver) {
			m.lease = time.Time{} // and delivered again all the same
			delete(sub.byAck, id)
			continue
		}
		done = append(done, m.ID)
	}
	if err := s.forget(sub, done); err != nil {
		return answer{}, err
	}
	s.published.ring() // the next of an ordering key may go out
	return ok(struct{}{})
}

func (c *call) ackIDs() (ids []string, seconds int64, refusal *apiError) {
	var in struct {
		AckIDs             []string `json:"ackIds"`
		AckDeadlineSeconds int64    `json:"ackDeadlineSeconds"`
	}
	if json.Unmarshal(c.body, &in) != nil || len(in.AckIDs) == 0 {
		return nil, 0, platformInvalid("ack_ids", "No ack ids specified.")
	}
	if in.AckDeadlineSeconds < 0 || in.AckDeadlineSeconds > longestDeadline {
		return nil, 0, platformInvalid("ack_deadline_seconds", "Invalid ack deadline given.")
	}
	return in.AckIDs, in.AckDeadlineSeconds, nil
}

func (s *Server) modifyDeadline(c *call) (answer, error) {
	ids, seconds, refusal := c.ackIDs()
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := s.pubsub(c)
	if err != nil {
		return answer{}, err
	}
	for _, id := range ids {
		if m := sub.byAck[id]; m != nil {
			m.lease = time.Now().Add(time.Duration(seconds) * time.Second)
		}
	}
	s.published.ring()
	return ok(struct{}{})
}
