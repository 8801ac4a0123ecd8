package attendance

import (
	"fmt"
	"time"
)

// State says whether an invited person was there. The zero State is invalid.
type State uint8

// The states.
const (
	// Pending: the meeting is not over, and the person was not seen yet.
	Pending State = iota + 1
	// Attended: seen, for certain or likely.
	Attended
	// NoShow: the meeting is over, and nobody was there who could be this person.
	NoShow
	// Unsure: the meeting is over, and somebody was there who may be this person.
	Unsure
)

// String is the state's name on the wire.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Attended:
		return "attended"
	case NoShow:
		return "no_show"
	case Unsure:
		return "unsure"
	}
	return fmt.Sprintf("invalid state %d", uint8(s))
}

// Presence is what is known of an invited person's being there.
type Presence struct {
	State State
	// Sureness is the best among the person's matches; a [Possible] one alone does not make somebody [Attended].
	Sureness Sureness
	// JoinedAt is the first join and LeftAt the last leave among what is certain or likely, so that they are zero unless the
	// state is [Attended]; LeftAt is zero, too, while the person is in the room.
	JoinedAt, LeftAt time.Time
}

// Presences tells of each of the invited whether they were there, in the order of invited. matches is what [Matches] said of
// seen; over is what [Over] says of the meeting.
func Presences(invited []Invited, seen []Seen, matches []Match, over bool) []Presence {
	out := make([]Presence, len(invited))
	names := readNames(invited)
	fits := make([]fit, len(seen))
	for i := range seen {
		if matches[i].Sureness == None {
			fits[i] = names.fit(invited, &seen[i])
		}
	}
	for i := range invited {
		out[i] = presence(&invited[i], seen, matches, fits, over)
	}
	return out
}

func presence(in *Invited, seen []Seen, matches []Match, fits []fit, over bool) Presence {
	var p Presence
	might, inRoom := false, false
	for i := range seen {
		s, m := &seen[i], matches[i]
		if m.Sureness == None {
			might = might || couldBe(in, s, fits[i])
			continue
		}
		if m.Participant != in.ID {
			continue
		}
		p.Sureness = max(p.Sureness, m.Sureness)
		if m.Sureness == Possible {
			might = true
			continue
		}
		if p.JoinedAt.IsZero() || !s.JoinedAt.IsZero() && s.JoinedAt.Before(p.JoinedAt) {
			p.JoinedAt = s.JoinedAt
		}
		if s.LeftAt.After(p.LeftAt) {
			p.LeftAt = s.LeftAt
		}
		inRoom = inRoom || s.LeftAt.IsZero()
	}
	if inRoom {
		p.LeftAt = time.Time{}
	}
	switch {
	case p.Sureness >= Likely:
		p.State = Attended
	case !over:
		p.State = Pending
	case might:
		p.State = Unsure
	default:
		p.State = NoShow
	}
	return p
}

// Watch is how long after its end a meeting that nobody came to is still looked at: until then a conference may become known,
// or be held late.
const Watch = 24 * time.Hour

// Held is a conference of the meeting.
type Held struct {
	// Ended: Google, or a notice, told of its end.
	Ended bool
	// PeopleRead: who was there was read after that end.
	PeopleRead bool
}

// Over tells whether it can be said who did not come to a meeting that was to end at end (zero: it has no time): all its
// conferences have ended and their people are known, and its time has passed. Nobody is said to have missed a meeting that was
// cancelled and not held.
func Over(now, end time.Time, cancelled bool, held []Held) bool {
	for _, h := range held {
		if !h.Ended || !h.PeopleRead {
			return false
		}
	}
	if len(held) > 0 {
		return cancelled || !now.Before(end)
	}
	return !cancelled && !end.IsZero() && !now.Before(end.Add(Watch))
}
