package googlefake

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Workspace is the part of the state that conferences make.
type Workspace struct {
	Conferences   []StateConference   `json:"conferences"` // those to come, and those whose records are gone not
	Files         []StateFile         `json:"files"`
	Subscriptions []StateSubscription `json:"subscriptions"`
	Topics        []StateTopic        `json:"topics"`
	Pubsub        []StatePubsub       `json:"pubsub"`
	EventsSent    StateEvents         `json:"events_sent"`
}

// StateConference is a conference with the truth about it, what is still to come included.
type StateConference struct {
	ConferenceRecord string          `json:"conferenceRecord"`
	Space            string          `json:"space"`
	MeetingCode      string          `json:"meetingCode"`
	Owner            string          `json:"owner"`
	Start            time.Time       `json:"start"`
	End              time.Time       `json:"end"`
	Status           string          `json:"status"` // "planned", "running" or "ended"
	People           int             `json:"people"`
	Recording        string          `json:"recording"` // of the script
	Left             []StateArtifact `json:"left"`
}

// StateArtifact is a recording, a transcript or notes.
type StateArtifact struct {
	Name  string     `json:"name"`
	State string     `json:"state"`
	Ready *time.Time `json:"ready,omitempty"` // when its file is there; absent is never
	File  string     `json:"file"`
}

// StateFile is a file in Drive.
type StateFile struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Owner   string `json:"owner"`
	Size    int64  `json:"size"`
	Trashed bool   `json:"trashed"`
	Deleted bool   `json:"deleted"`
}

// StateSubscription is an event subscription.
type StateSubscription struct {
	Subscription
	By string `json:"by"`
}

// StateTopic is a Pub/Sub topic.
type StateTopic struct {
	Name      string `json:"name"`
	Publisher bool   `json:"publisher"`
}

// StatePubsub is a Pub/Sub subscription and how many messages wait in it.
type StatePubsub struct {
	Name    string `json:"name"`
	Topic   string `json:"topic"`
	Waiting int    `json:"waiting"`
}

// StateEvents counts what became of events since the start.
type StateEvents struct {
	Published   int64 `json:"published"`
	Dropped     int64 `json:"dropped"`
	Duplicated  int64 `json:"duplicated"`
	Late        int64 `json:"late"`
	Reordered   int64 `json:"reordered"`
	Undecodable int64 `json:"undecodable"`
}

// workspace reads under the caller's lock, and so do the functions that it calls.
func (s *Server) workspace(now time.Time) Workspace {
	return Workspace{
		Conferences: s.stateConferences(now), Files: s.stateFiles(), Subscriptions: s.stateSubscriptions(),
		Topics: s.stateTopics(), Pubsub: s.statePubsub(), EventsSent: s.stateEvents(),
	}
}

func (s *Server) stateConferences(now time.Time) []StateConference {
	out := make([]StateConference, 0, len(s.store.conferences))
	for _, c := range s.store.conferences {
		one := StateConference{
			ConferenceRecord: c.name(), Space: spacesPrefix + c.Space, Owner: c.Owner, Start: c.Start, End: c.End, Status: c.status(now),
			People: len(c.People), Recording: c.Plan.Recording, Left: []StateArtifact{},
		}
		if sp := s.store.spaces[c.Space]; sp != nil {
			one.MeetingCode = sp.Code
		}
		for _, a := range c.Left {
			left := StateArtifact{Name: c.artifactName(a), State: a.state(now), File: a.File}
			if !a.Ready.IsZero() {
				left.Ready = &a.Ready
			}
			one.Left = append(one.Left, left)
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b StateConference) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.ConferenceRecord, b.ConferenceRecord)
	})
	return out
}

func (s *Server) stateFiles() []StateFile {
	out := make([]StateFile, 0, len(s.store.files))
	for _, owner := range slices.Sorted(maps.Keys(s.store.filesOf)) {
		for _, id := range s.store.filesOf[owner] {
			f := s.store.files[id]
			out = append(out, StateFile{ID: f.ID, Name: f.Name, Owner: f.Owner, Size: f.Size, Trashed: f.Trashed, Deleted: f.Deleted})
		}
	}
	return out
}

func (s *Server) stateSubscriptions() []StateSubscription {
	out := make([]StateSubscription, 0, len(s.store.subscriptions))
	for _, sub := range s.store.subscriptionList() {
		out = append(out, StateSubscription{sub.resource(), sub.By})
	}
	return out
}

func (s *Server) stateTopics() []StateTopic {
	out := []StateTopic{}
	for _, name := range slices.Sorted(maps.Keys(s.store.topics)) {
		if t := s.store.topics[name]; !t.Gone {
			out = append(out, StateTopic{t.Name, t.Publisher})
		}
	}
	return out
}

func (s *Server) statePubsub() []StatePubsub {
	out := []StatePubsub{}
	for _, name := range slices.Sorted(maps.Keys(s.store.pubsubs)) {
		if sub := s.store.pubsubs[name]; !sub.Gone {
			out = append(out, StatePubsub{sub.Name, sub.Topic, len(sub.byID)})
		}
	}
	return out
}

func (s *Server) stateEvents() StateEvents {
	e := &s.events
	return StateEvents{e.published.Load(), e.dropped.Load(), e.duplicated.Load(), e.late.Load(), e.reordered.Load(), e.undecodable.Load()}
}
