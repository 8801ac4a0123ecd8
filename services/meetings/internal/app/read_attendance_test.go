package app

import (
	"reflect"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/attendance"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// at is a minute of the day of these tests.
func at(minute int) time.Time { return time.Date(2026, 12, 1, 15, minute, 0, 0, time.UTC) }

func TestMinutesInTheRoomAreCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		attendee Attendee
		want     int
	}{
		"one session":                      {Attendee{Sessions: []AttendeeSession{{at(0), at(10)}}}, 10},
		"two devices at once":              {Attendee{Sessions: []AttendeeSession{{at(5), at(20)}, {at(0), at(10)}}}, 20},
		"one within the other":             {Attendee{Sessions: []AttendeeSession{{at(0), at(30)}, {at(5), at(10)}}}, 30},
		"away in between":                  {Attendee{Sessions: []AttendeeSession{{at(0), at(10)}, {at(20), at(25)}}}, 15},
		"still there":                      {Attendee{Sessions: []AttendeeSession{{at(0), at(10)}, {at(50), time.Time{}}}}, 20},
		"a leaving alone":                  {Attendee{Sessions: []AttendeeSession{{time.Time{}, at(10)}}}, 0},
		"no sessions, Google's list alone": {Attendee{FirstJoinedAt: at(3), LastLeftAt: at(33)}, 30},
		"nothing":                          {Attendee{}, 0},
		"clocks that disagree":             {Attendee{Sessions: []AttendeeSession{{at(10), at(5)}}}, 0},
	} {
		if got := c.attendee.Duration(at(60)); got != time.Duration(c.want)*time.Minute {
			t.Errorf("%s: %v, want %d minutes", name, got, c.want)
		}
	}
}

func TestASpanIsGooglesOrElseThatOfTheSessions(t *testing.T) {
	sessions := []AttendeeSession{{at(5), at(20)}, {time.Time{}, at(3)}, {at(2), at(10)}}
	for name, c := range map[string]struct {
		attendee     Attendee
		joined, left time.Time
	}{
		"Google's":            {Attendee{FirstJoinedAt: at(1), LastLeftAt: at(30), Sessions: sessions}, at(1), at(30)},
		"Google's, in it":     {Attendee{FirstJoinedAt: at(1), Sessions: sessions}, at(1), time.Time{}},
		"sessions":            {Attendee{Sessions: sessions}, at(2), at(20)},
		"sessions, one in it": {Attendee{Sessions: append(sessions, AttendeeSession{at(25), time.Time{}})}, at(2), time.Time{}},
	} {
		if joined, left := c.attendee.Span(); !joined.Equal(c.joined) || !left.Equal(c.left) {
			t.Errorf("%s: %v to %v", name, joined, left)
		}
	}
}

func TestAttendanceSaysWhatItIsKnownFrom(t *testing.T) {
	people := []Participant{
		{ID: 1, Email: "ana@clinic.example", Organizer: true},
		{ID: 2, Email: "maria.perez@mail.example", ResponseStatus: "declined"},
		{ID: 3, Email: "juan@mail.example", ResponseStatus: "needsAction"},
	}
	m := &meeting.Meeting{Start: at(0), End: at(30), CreatedAt: at(0).AddDate(0, 0, -1)}
	cancelled := *m
	cancelled.Status = meeting.Cancelled
	held := []Conference{{ID: 9, StartedAt: at(0), EndedAt: at(29), PeopleRead: true, Attendees: 1}}
	doctor := []Attendee{{ConferenceID: 9, Kind: attendance.SignedIn, FirstJoinedAt: at(0), LastLeftAt: at(29), Match: attendance.Match{Participant: 1, Sureness: attendance.Certain}}}
	type one struct {
		state  attendance.State
		source string
	}
	const pending, attended, noShow, unsure = attendance.Pending, attendance.Attended, attendance.NoShow, attendance.Unsure
	for name, c := range map[string]struct {
		now    time.Time
		a      Attendance
		want   []one
		source string
	}{
		"before it": {at(0), Attendance{Meeting: m}, []one{{pending, SourceInvited}, {pending, SourceAnswered}, {pending, SourceInvited}}, SourceAnswered},
		"cancelled": {at(0).AddDate(0, 1, 0), Attendance{Meeting: &cancelled}, []one{{pending, SourceInvited}, {pending, SourceAnswered}, {pending, SourceInvited}}, SourceAnswered},
		"under way": {
			at(10),
			Attendance{Meeting: m, Conferences: []Conference{{ID: 9, StartedAt: at(0), Attendees: 1}}, Attendees: doctor},
			[]one{{attended, SourceObserved}, {pending, SourceAnswered}, {pending, SourceInvited}},
			SourceObserved,
		},
		"over":          {at(31), Attendance{Meeting: m, Conferences: held, Attendees: doctor}, []one{{attended, SourceObserved}, {noShow, SourceObserved}, {noShow, SourceObserved}}, SourceObserved},
		"nobody came":   {at(30).Add(attendance.Watch), Attendance{Meeting: m}, []one{{noShow, SourceObserved}, {noShow, SourceObserved}, {noShow, SourceObserved}}, SourceObserved},
		"forgotten":     {at(31), Attendance{Meeting: m, Conferences: []Conference{{ID: 9, StartedAt: at(0), EndedAt: at(29), PeopleRead: true}}}, []one{{unsure, SourceObserved}, {unsure, SourceObserved}, {unsure, SourceObserved}}, SourceObserved},
		"people unread": {at(31), Attendance{Meeting: m, Conferences: []Conference{{ID: 9, StartedAt: at(0), EndedAt: at(29)}}}, []one{{pending, SourceInvited}, {pending, SourceAnswered}, {pending, SourceInvited}}, SourceObserved},
	} {
		t.Run(name, func(t *testing.T) {
			c.a.Participants = people
			presences, source := c.a.Presences(c.now)
			var got []one
			for _, p := range presences {
				got = append(got, one{p.State, p.Source})
			}
			if !reflect.DeepEqual(got, c.want) || source != c.source {
				t.Errorf("got %v from %s, want %v from %s", got, source, c.want, c.source)
			}
		})
	}
	kept := Attendance{Meeting: m, Conferences: []Conference{{EndedAt: at(29), PeopleRead: true}}, Participants: []Participant{{ID: 1, JoinedAt: at(1), LeftAt: at(2)}}}
	if of, _ := kept.Presences(at(31)); of[0].State != attended || !of[0].JoinedAt.Equal(at(1)) || !of[0].LeftAt.Equal(at(2)) {
		t.Errorf("what a participant's row keeps is %+v", of[0])
	}
}

func TestCoverageAddsUp(t *testing.T) {
	rows := []CoverageRow{
		{Day: "2026-12-01", Recording: meeting.Verified, Meetings: 5},
		{Day: "2026-12-01", Recording: meeting.Missing, Reason: "NOT_HELD", Meetings: 2},
		{Day: "2026-12-02", Recording: meeting.FileGenerated, Meetings: 3},
		{Day: "2026-12-02", Recording: meeting.Exported, Meetings: 1},
		{Day: "2026-12-02", Recording: meeting.Expected, Meetings: 4},
		{Day: "2026-12-02", Recording: meeting.Missing, Reason: "NEVER_STARTED", Meetings: 1},
		{OrganizerID: 1, OrganizerEmail: "a@x.example", Recording: meeting.Verified, Meetings: 5},
		{OrganizerID: 1, OrganizerEmail: "a@x.example", Recording: meeting.Missing, Reason: "NOT_HELD", Meetings: 2},
		{OrganizerID: 2, OrganizerEmail: "b@x.example", Recording: meeting.Started, Meetings: 9},
	}
	for exporting, want := range map[bool]CoverageCount{
		true:  {Expected: 16, Secured: 5, Verified: 5, Missing: 3, UnderWay: 8, Reasons: map[string]int64{"NOT_HELD": 2, "NEVER_STARTED": 1}},
		false: {Expected: 16, Secured: 9, Verified: 5, Missing: 3, UnderWay: 4, Reasons: map[string]int64{"NOT_HELD": 2, "NEVER_STARTED": 1}},
	} {
		c := Cover(rows, exporting)
		if !reflect.DeepEqual(c.Total, want) {
			t.Errorf("exporting %v: %+v, want %+v", exporting, c.Total, want)
		}
		if len(c.Days) != 2 || c.Days[0].Expected != 7 || c.Days[1].Expected != 9 || len(c.Organizers) != 2 || c.Organizers[0].Expected != 7 || c.Organizers[1].UnderWay != 9 {
			t.Errorf("exporting %v: %+v", exporting, c)
		}
	}
}
