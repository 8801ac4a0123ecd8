package app

import (
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// RecordingFilter picks recordings; zero fields do not filter. Newest first.
type RecordingFilter struct {
	Page
	MeetingID   meeting.ID
	OrganizerID int64
	State       meeting.RecordingState
	ExportState string
	// StartedFrom and StartedTo are inclusive.
	StartedFrom, StartedTo time.Time
}

// RecordingCopy is what is known of a recording's file in Drive and of its copy.
type RecordingCopy struct {
	// ConferenceID is 0 where it is of no known conference.
	ConferenceID int64
	// Name is Google's: conferenceRecords/…/recordings/….
	Name                                string
	FileState, ExportState              string
	ExportedAt, VerifiedAt, DeleteAfter time.Time
	// Failure is why the copy could not be made or does not match.
	Failure    meeting.Failure
	SharedWith []string
}

// Counting is what coverage is counted by.
type Counting struct {
	// Zone is whose days are counted where a request names none.
	Zone *time.Location
	// Exporting: recordings are copied and checked, so that a file in Drive alone is not yet secured.
	Exporting bool
}

// CoverageFilter picks meetings that were to be recorded by their scheduled start: From is inclusive, To exclusive. A meeting
// without one counts at an hour after it was made, where its calendar event is.
type CoverageFilter struct {
	From, To time.Time
	// OrganizerID is 0 for all.
	OrganizerID int64
	// Zone is an IANA name; days are of it.
	Zone string
}

// CoverageRow counts meetings of a day, or of an organizer, by what became of their recording. Each meeting is counted in one row
// of a day and in one row of an organizer.
type CoverageRow struct {
	// Day is as 2026-12-31, empty in a row of an organizer.
	Day            string
	OrganizerID    int64
	OrganizerEmail string
	Recording      meeting.RecordingState
	// Reason is why it is missing; empty in any other state.
	Reason   string
	Meetings int64
}

// Coverage says what became of the recordings that were expected.
type Coverage struct {
	Total      CoverageCount
	Days       []CoverageDay
	Organizers []CoverageOrganizer
}

// CoverageDay is the count of a day that has meetings; days are in their order.
type CoverageDay struct {
	Date string
	CoverageCount
}

// CoverageOrganizer is the count of an organizer; they are in the order of their addresses.
type CoverageOrganizer struct {
	ID    int64
	Email string
	CoverageCount
}

// CoverageCount counts meetings: Expected is Secured, Missing and UnderWay together.
type CoverageCount struct {
	Expected, Secured, Verified, Missing, UnderWay int64
	// Reasons count those that are missing.
	Reasons map[string]int64
}

// Add counts meetings whose recording has come so far; exporting: copies are made.
func (c *CoverageCount) Add(state meeting.RecordingState, reason string, meetings int64, exporting bool) {
	if meetings == 0 {
		return
	}
	c.Expected += meetings
	switch state {
	case meeting.Verified:
		c.Verified += meetings
		c.Secured += meetings
	case meeting.FileGenerated, meeting.Exported:
		if exporting {
			c.UnderWay += meetings // until the copy is checked
		} else {
			c.Secured += meetings
		}
	case meeting.Missing:
		c.Missing += meetings
		if c.Reasons == nil {
			c.Reasons = make(map[string]int64)
		}
		c.Reasons[reason] += meetings
	case meeting.NotExpected, meeting.Expected, meeting.Started, meeting.Ended:
		c.UnderWay += meetings
	}
}

// Cover sums up rows that come in the order of their days and organizers.
func Cover(rows []CoverageRow, exporting bool) Coverage {
	var c Coverage
	for _, r := range rows {
		if r.Day == "" {
			if n := len(c.Organizers); n == 0 || c.Organizers[n-1].ID != r.OrganizerID {
				c.Organizers = append(c.Organizers, CoverageOrganizer{ID: r.OrganizerID, Email: r.OrganizerEmail})
			}
			c.Organizers[len(c.Organizers)-1].Add(r.Recording, r.Reason, r.Meetings, exporting)
			continue
		}
		if n := len(c.Days); n == 0 || c.Days[n-1].Date != r.Day {
			c.Days = append(c.Days, CoverageDay{Date: r.Day})
		}
		c.Days[len(c.Days)-1].Add(r.Recording, r.Reason, r.Meetings, exporting)
		c.Total.Add(r.Recording, r.Reason, r.Meetings, exporting)
	}
	return c
}
