package google

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// The largest pages (Meet API, the lists' pageSize).
const (
	pageRecords   = 100
	pageAttendees = 250
	pageStays     = 250
	pageArtifacts = 100
	pageEntries   = 100
)

// ListConferences reads one page of the conferences that the account can see.
func (c *Client) ListConferences(ctx context.Context, account, space string, from, until time.Time, page string) (held []job.Held, next string, err error) {
	var terms []string
	if space != "" {
		terms = append(terms, fmt.Sprintf("space.name = %q", space))
	}
	if !from.IsZero() {
		terms = append(terms, fmt.Sprintf("start_time>=%q", from.UTC().Format(time.RFC3339Nano)))
	}
	if !until.IsZero() {
		terms = append(terms, fmt.Sprintf("start_time<=%q", until.UTC().Format(time.RFC3339Nano)))
	}
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.list", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.List().Filter(strings.Join(terms, " AND ")).PageSize(pageRecords).PageToken(page).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		held, next = mapped(found.ConferenceRecords, heldOf), found.NextPageToken
		return nil
	})
	return held, next, err
}

// GetConference reads one.
func (c *Client) GetConference(ctx context.Context, account, record string) (held job.Held, err error) {
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.get", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.Get(record).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err == nil {
			held = heldOf(found)
		}
		return err
	})
	return held, err
}

// ListRecordings reads one page of a conference's recordings.
func (c *Client) ListRecordings(ctx context.Context, account, record, page string) (recordings []job.Recording, next string, err error) {
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.recordings.list", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.Recordings.List(record).PageSize(pageArtifacts).PageToken(page).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		recordings, next = mapped(found.Recordings, recordingOf), found.NextPageToken
		return nil
	})
	return recordings, next, err
}

// attendeeFields leaves out what nobody reads, the number of all people among it, which Meet counts only when it is asked for.
const attendeeFields googleapi.Field = "nextPageToken,participants(name,earliestStartTime,latestEndTime,signedinUser,anonymousUser,phoneUser)"

// ListAttendees reads one page of the people of a conference.
func (c *Client) ListAttendees(ctx context.Context, account, record, page string) (attendees []job.Attendee, next string, err error) {
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.participants.list", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.Participants.List(record).PageSize(pageAttendees).PageToken(page).Fields(attendeeFields).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		attendees, next = mapped(found.Participants, attendeeOf), found.NextPageToken
		return nil
	})
	return attendees, next, err
}

// ListStays reads one page of one person's joins.
func (c *Client) ListStays(ctx context.Context, account, attendee, page string) (stays []job.Stay, next string, err error) {
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.participants.participantSessions.list", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.Participants.ParticipantSessions.List(attendee).PageSize(pageStays).PageToken(page).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		stays, next = mapped(found.ParticipantSessions, stayOf), found.NextPageToken
		return nil
	})
	return stays, next, err
}

// ListTranscripts reads one page of a conference's transcripts.
func (c *Client) ListTranscripts(ctx context.Context, account, record, page string) (transcripts []job.Transcript, next string, err error) {
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.transcripts.list", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.Transcripts.List(record).PageSize(pageArtifacts).PageToken(page).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		transcripts, next = mapped(found.Transcripts, transcriptOf), found.NextPageToken
		return nil
	})
	return transcripts, next, err
}

// ListEntries reads one page of what was said.
func (c *Client) ListEntries(ctx context.Context, account, transcript, page string) (entries []job.Entry, next string, err error) {
	err = c.as(ctx, account, account, scopesRecords, "meet.conferenceRecords.transcripts.entries.list", func(ctx context.Context, who caller) error {
		call := c.meet.ConferenceRecords.Transcripts.Entries.List(transcript).PageSize(pageEntries).PageToken(page).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		found, err := call.Do(who.quotaUser)
		if err != nil {
			return err
		}
		entries, next = mapped(found.TranscriptEntries, entryOf), found.NextPageToken
		return nil
	})
	return entries, next, err
}

func mapped[From, To any](all []*From, one func(*From) To) []To {
	out := make([]To, 0, len(all))
	for _, f := range all {
		out = append(out, one(f))
	}
	return out
}

// at reads a time of the Meet API; zero for none.
func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func heldOf(r *meet.ConferenceRecord) job.Held {
	return job.Held{Record: r.Name, Space: r.Space, Started: at(r.StartTime), Ended: at(r.EndTime), Expires: at(r.ExpireTime), Read: true}
}

func recordingOf(r *meet.Recording) job.Recording {
	out := job.Recording{Name: r.Name, State: r.State, Started: at(r.StartTime), Ended: at(r.EndTime)}
	if d := r.DriveDestination; d != nil {
		out.FileID, out.ExportURI = d.File, d.ExportUri
	}
	return out
}

func attendeeOf(p *meet.Participant) job.Attendee {
	out := job.Attendee{Name: p.Name, Joined: at(p.EarliestStartTime), Left: at(p.LatestEndTime), Kind: job.AttendeeAnonymous}
	switch {
	case p.SignedinUser != nil:
		out.Kind, out.User, out.DisplayName = job.AttendeeSignedIn, p.SignedinUser.User, p.SignedinUser.DisplayName
	case p.PhoneUser != nil:
		out.Kind, out.DisplayName = job.AttendeePhone, p.PhoneUser.DisplayName
	case p.AnonymousUser != nil:
		out.DisplayName = p.AnonymousUser.DisplayName
	}
	return out
}

func stayOf(s *meet.ParticipantSession) job.Stay {
	return job.Stay{Name: s.Name, Joined: at(s.StartTime), Left: at(s.EndTime)}
}

func transcriptOf(t *meet.Transcript) job.Transcript {
	out := job.Transcript{Name: t.Name, State: t.State, Started: at(t.StartTime), Ended: at(t.EndTime)}
	if d := t.DocsDestination; d != nil {
		out.DocumentID, out.ExportURI = d.Document, d.ExportUri
	}
	return out
}

func entryOf(e *meet.TranscriptEntry) job.Entry {
	return job.Entry{Name: e.Name, Attendee: e.Participant, Text: e.Text, Language: e.LanguageCode, Started: at(e.StartTime), Ended: at(e.EndTime)}
}
