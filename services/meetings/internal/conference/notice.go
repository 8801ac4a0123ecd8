package conference

import (
	"slices"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Notice is a word of Workspace Events that something happened. It is a reason to look, and of its own believed only about when a
// conference that is known, a recording, or a person's session began or ended; what Google's records say outdoes it.
type Notice struct {
	Type NoticeType
	At   time.Time
	// Resource is what it is about: conferenceRecords/… with what follows it; of a subscription subscriptions/….
	Resource string
	// Subscription is through which it came: subscriptions/….
	Subscription string
	// User is users/…, whose spaces are subscribed to; may be empty.
	User string
	// Reason is why a subscription was suspended.
	Reason string
}

// NoticeType is what happened; the zero type is of no interest.
type NoticeType uint8

// The types.
const (
	ConferenceStarted NoticeType = iota + 1
	ConferenceEnded
	ParticipantJoined
	ParticipantLeft
	RecordingStarted
	RecordingEnded
	RecordingGenerated
	TranscriptStarted
	TranscriptEnded
	TranscriptGenerated
	SubscriptionSuspended
	SubscriptionReminder
	SubscriptionExpired
)

// ParseNoticeType reads a ce-type; the zero type for one that is of no interest.
func ParseNoticeType(ceType string) NoticeType { return noticeTypes()[ceType] }

// String is the ce-type.
func (t NoticeType) String() string {
	for name, parsed := range noticeTypes() {
		if parsed == t {
			return name
		}
	}
	return ""
}

func noticeTypes() map[string]NoticeType {
	return map[string]NoticeType{
		"google.workspace.meet.conference.v2.started":                ConferenceStarted,
		"google.workspace.meet.conference.v2.ended":                  ConferenceEnded,
		"google.workspace.meet.participant.v2.joined":                ParticipantJoined,
		"google.workspace.meet.participant.v2.left":                  ParticipantLeft,
		"google.workspace.meet.recording.v2.started":                 RecordingStarted,
		"google.workspace.meet.recording.v2.ended":                   RecordingEnded,
		"google.workspace.meet.recording.v2.fileGenerated":           RecordingGenerated,
		"google.workspace.meet.transcript.v2.started":                TranscriptStarted,
		"google.workspace.meet.transcript.v2.ended":                  TranscriptEnded,
		"google.workspace.meet.transcript.v2.fileGenerated":          TranscriptGenerated,
		"google.workspace.events.subscription.v1.suspended":          SubscriptionSuspended,
		"google.workspace.events.subscription.v1.expirationReminder": SubscriptionReminder,
		"google.workspace.events.subscription.v1.expired":            SubscriptionExpired,
	}
}

// Lifecycle tells whether it is about the subscription itself.
func (n *Notice) Lifecycle() bool { return n.Type >= SubscriptionSuspended }

// Record is the conference that a notice is about: conferenceRecords/…; empty when it is about none.
func (n *Notice) Record() string { return head(n.Resource, "conferenceRecords") }

// Attendee is the person that a notice is about; empty when it is about none.
func (n *Notice) Attendee() string {
	record := n.Record()
	rest, ok := strings.CutPrefix(n.Resource, record+"/participants/")
	id, _, deeper := strings.Cut(rest, "/")
	if record == "" || !ok || !deeper || id == "" {
		return ""
	}
	return record + "/participants/" + id
}

// Personal tells whether it is about a person's coming or going.
func (n *Notice) Personal() bool { return n.Type == ParticipantJoined || n.Type == ParticipantLeft }

// Rows are the names of what may need a row because of it.
func (n *Notice) Rows() []string {
	switch n.Type {
	case ParticipantJoined, ParticipantLeft:
		if a := n.Attendee(); a != "" {
			return []string{a}
		}
	case RecordingStarted, RecordingEnded, TranscriptStarted, TranscriptEnded, TranscriptGenerated:
		if n.Record() != "" {
			return []string{n.Resource}
		}
	case ConferenceStarted, ConferenceEnded, RecordingGenerated, SubscriptionSuspended, SubscriptionReminder, SubscriptionExpired:
	}
	return nil
}

func head(resource, collection string) string {
	rest, ok := strings.CutPrefix(resource, collection+"/")
	if id, _, _ := strings.Cut(rest, "/"); ok && id != "" {
		return collection + "/" + id
	}
	return ""
}

// Noticed takes in a notice about one of the ledger's conferences. look: there is something to be read at once.
func (l *Ledger) Noticed(n *Notice, w *World) (events []meeting.Event, look bool, err error) {
	c := l.Find(n.Record())
	if c == nil || n.At.IsZero() {
		return nil, false, nil
	}
	switch n.Type {
	case ConferenceEnded:
		if c.EndedAt.IsZero() && n.At.After(c.StartedAt) {
			c.EndedAt, c.dirty = n.At, true
			return []meeting.Event{EndedEvent{about(l.Meeting), c}}, false, nil
		}
	case RecordingStarted, RecordingEnded:
		return l.recordingNoticed(c, n, w)
	case RecordingGenerated:
		return nil, true, nil
	case ParticipantJoined, ParticipantLeft:
		events, err = l.personNoticed(c, n, w)
		return events, false, err
	case TranscriptStarted, TranscriptEnded, TranscriptGenerated:
		if w.Rules.Transcripts == TranscriptsNever || !c.TranscriptsReadAt.IsZero() && c.Gone(w.Now) {
			return nil, false, nil
		}
		t, err := c.transcript(n.Resource, w)
		if err != nil {
			return nil, false, err
		}
		return nil, n.Type == TranscriptGenerated && t.EntriesReadAt.IsZero(), nil
	case ConferenceStarted, SubscriptionSuspended, SubscriptionReminder, SubscriptionExpired: // nothing that is not known
	}
	return nil, false, nil
}

// Kept is a notice of a conference that was not known when it came.
type Kept struct {
	Notice

	// CameAt is when it was kept.
	CameAt time.Time
}

// Recall takes in, in the order in which they happened, notices that came before their conference was known. look: there is
// something to be read at once. They are of no more use, unless done is false.
func (l *Ledger) Recall(kept []Kept, w *World) (events []meeting.Event, look, done bool, err error) {
	slices.SortStableFunc(kept, func(a, b Kept) int { return a.At.Compare(b.At) })
	for i := range kept {
		n := &kept[i].Notice
		c := l.Find(n.Record())
		if c == nil || n.Personal() && !c.AttendeesLoaded {
			return events, look, false, nil
		}
		told, soon, err := l.Noticed(n, w)
		if err != nil {
			return nil, false, false, err
		}
		events, look = append(events, told...), look || soon
	}
	return events, look, true, nil
}

// Gone tells whether Google has forgotten the conference by now.
func (c *Conference) Gone(now time.Time) bool { return !c.ExpiresAt.IsZero() && now.After(c.ExpiresAt) }

func (l *Ledger) recordingNoticed(c *Conference, n *Notice, w *World) ([]meeting.Event, bool, error) {
	if c.Gone(w.Now) {
		return nil, false, nil
	}
	r, fresh, err := c.recording(n.Resource, w)
	if err != nil {
		return nil, false, err
	}
	var events []meeting.Event
	before := *r
	if fresh {
		events = append(events, RecordingStartedEvent{about(l.Meeting), r})
	}
	switch {
	case r.State == ArtifactGenerated: // read, with its times
	case n.Type == RecordingStarted && r.StartedAt.IsZero():
		r.StartedAt = n.At
	case n.Type == RecordingEnded:
		r.State = max(r.State, ArtifactEnded)
		if r.EndedAt.IsZero() {
			r.EndedAt = n.At
		}
	}
	r.dirty = r.dirty || *r != before
	return events, false, nil
}

// personNoticed believes when a person came or went, until Google's own list was read after the end.
func (l *Ledger) personNoticed(c *Conference, n *Notice, w *World) ([]meeting.Event, error) {
	if n.Attendee() == "" || !c.SessionsReadAt.IsZero() || !w.Rules.Sessions && !c.AttendeesReadAt.IsZero() {
		return nil, nil
	}
	a, err := c.attendee(n.Attendee(), w)
	if err != nil {
		return nil, err
	}
	s := a.session(n.Resource)
	before := *s
	switch {
	case s.Exact:
	case n.Type == ParticipantJoined && s.JoinedAt.IsZero():
		s.JoinedAt = n.At
	case n.Type == ParticipantLeft && s.LeftAt.IsZero():
		s.LeftAt = n.At
	}
	s.dirty = s.dirty || *s != before
	return l.tellSessions(a), nil
}

// tellSessions tells what was not told of a person's coming and going.
func (l *Ledger) tellSessions(a *Attendee) []meeting.Event {
	var events []meeting.Event
	for _, s := range a.Sessions {
		if !s.JoinedAt.IsZero() && !s.JoinedTold && !a.JoinedTold {
			events = append(events, JoinedEvent{about(l.Meeting), a, s.JoinedAt, s.Name})
			s.JoinedTold, s.dirty = true, true
		}
		if !s.LeftAt.IsZero() && !s.LeftTold && !a.LeftTold {
			events = append(events, LeftEvent{about(l.Meeting), a, s.JoinedAt, s.LeftAt, s.Name})
			s.LeftTold, s.dirty = true, true
		}
	}
	return events
}
