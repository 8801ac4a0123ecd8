package compat

import (
	"net/http"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// Attendance tells who was invited, what they answered and who was seen.
type Attendance struct {
	MeetingID   int64               `json:"meeting_id"`
	Source      string              `json:"source" enum:"observed,answered,invited" doc:"The best that it is known from."`
	Conferences []Conference        `json:"conferences" nullable:"false" doc:"Each time that people were in the room."`
	Invited     []InvitedAttendance `json:"invited" nullable:"false" doc:"Everybody invited, with what was seen of them."`
	Attendees   []Attendee          `json:"attendees" nullable:"false" doc:"Everybody seen, with the invitation that is theirs."`
}

// Conference is one time that people were in the meeting's room.
type Conference struct {
	ID                 int64   `json:"id"`
	ConferenceRecordID string  `json:"conference_record_id" example:"conferenceRecords/a" doc:"Google's name of it."`
	StartedAt          *string `json:"started_at" format:"date-time"`
	EndedAt            *string `json:"ended_at" format:"date-time" doc:"Null while it runs."`
	AttendeesCount     int32   `json:"attendees_count"`
	RecordingsCount    int32   `json:"recordings_count"`
	Source             string  `json:"source" enum:"notice,reading" doc:"How it became known."`
}

// InvitedAttendance is what is known of one invited person.
type InvitedAttendance struct {
	Participant    int64   `json:"participant" doc:"The participant's id."`
	Email          string  `json:"email" format:"email"`
	Role           string  `json:"role" enum:"organizer,guest"`
	ResponseStatus *string `json:"response_status" doc:"Google's word: needsAction, declined, tentative or accepted; null until known."`
	Attendance     string  `json:"attendance" enum:"attended,no_show,unsure,pending" doc:"no_show: it is over and nobody was matched. unsure: somebody was there whom nothing matches."`
	JoinedAt       *string `json:"joined_at" format:"date-time"`
	LeftAt         *string `json:"left_at" format:"date-time"`
	Source         string  `json:"source" enum:"observed,answered,invited" doc:"What this is known from."`
}

// Attendee is one person, or one phone, that was seen in a conference.
type Attendee struct {
	Conference       int64             `json:"conference" doc:"The conference's id."`
	Kind             string            `json:"kind" enum:",signed_in,anonymous,phone" doc:"Empty while only a notice told of it."`
	DisplayName      string            `json:"display_name"`
	FirstJoinedAt    *string           `json:"first_joined_at" format:"date-time"`
	LastLeftAt       *string           `json:"last_left_at" format:"date-time" doc:"Null while in the room."`
	DurationSeconds  int64             `json:"duration_seconds"`
	Participant      *int64            `json:"participant" doc:"The invited person that this is; null: none is known."`
	ParticipantEmail *string           `json:"participant_email"`
	Match            *string           `json:"match" doc:"How sure that is: certain, likely or possible."`
	MatchReason      *string           `json:"match_reason" doc:"Why: directory, organizer, display_name or only_one_left."`
	Sessions         []AttendeeSession `json:"sessions" nullable:"false"`
}

// AttendeeSession is one join with one device.
type AttendeeSession struct {
	JoinedAt *string `json:"joined_at" format:"date-time"`
	LeftAt   *string `json:"left_at" format:"date-time"`
}

// Transcript is what was said in a meeting, as Google wrote it down.
type Transcript struct {
	MeetingID int64                `json:"meeting_id"`
	Documents []TranscriptDocument `json:"documents" nullable:"false"`
	Entries   []TranscriptEntry    `json:"entries" nullable:"false" doc:"A page of them, in the order of speaking."`
}

// TranscriptDocument is the file that Google made of it.
type TranscriptDocument struct {
	Conference int64   `json:"conference" doc:"The conference's id."`
	State      string  `json:"state" enum:"STARTED,ENDED,FILE_GENERATED"`
	StartedAt  *string `json:"started_at" format:"date-time"`
	EndedAt    *string `json:"ended_at" format:"date-time"`
	DocumentID string  `json:"document_id"`
	ExportURI  string  `json:"export_uri" doc:"Where a person reads it."`
}

// TranscriptEntry is what one person said in one go.
type TranscriptEntry struct {
	Conference  int64   `json:"conference" doc:"The conference's id."`
	DisplayName string  `json:"display_name"`
	Participant *int64  `json:"participant" doc:"The invited person that this is; null: none is known."`
	Text        string  `json:"text"`
	Language    string  `json:"language" example:"es-CO"`
	StartedAt   *string `json:"started_at" format:"date-time"`
	EndedAt     *string `json:"ended_at" format:"date-time"`
}

func (a *API) attendanceRoutes() {
	a.add(route{
		id: "getMeetingAttendance", method: http.MethodGet, path: base + "meetings/{id}/attendance/", tag: tagMeetings, summary: "Read who was invited, who answered and who was there",
		answers: []answer{{status: http.StatusOK, doc: "What is known.", schema: schemaOf[Attendance](a)}},
		serve:   a.attendance,
	})
	a.add(route{
		id: "getMeetingTranscript", method: http.MethodGet, path: base + "meetings/{id}/transcript/", tag: tagMeetings, summary: "Read what was said",
		params:  pageParams(meetingsPage),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: schemaOf[Transcript](a), headers: []string{"Link"}}},
		serve:   a.transcript,
	})
}

func (a *API) attendance(x *exchange) error {
	id, err := x.meetingID()
	if err != nil {
		return err
	}
	found, err := backend.Ask(x.r.Context(), a.backend, subject.GetAttendance, &meetv1.GetAttendanceRequest{MeetingId: id})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, Attendance{
		MeetingID: found.GetMeetingId(), Source: found.GetSource(), Conferences: each(found.GetConferences(), conferenceOfProto),
		Invited: each(found.GetInvited(), invitedOfProto), Attendees: each(found.GetAttendees(), attendeeOfProto),
	})
	return nil
}

func conferenceOfProto(c *meetv1.Conference) Conference {
	return Conference{
		ID: c.GetId(), ConferenceRecordID: c.GetConferenceRecordId(), StartedAt: optionalTime(c.GetStartedAt()), EndedAt: optionalTime(c.GetEndedAt()),
		AttendeesCount: c.GetAttendeesCount(), RecordingsCount: c.GetRecordingsCount(), Source: c.GetSource(),
	}
}

func invitedOfProto(i *meetv1.InvitedAttendance) InvitedAttendance {
	role, _ := participantRoleName(i.GetRole())
	return InvitedAttendance{
		Participant: i.GetParticipantId(), Email: i.GetEmail(), Role: role, ResponseStatus: optional(i.GetResponseStatus()), Attendance: i.GetAttendance(),
		JoinedAt: optionalTime(i.GetJoinedAt()), LeftAt: optionalTime(i.GetLeftAt()), Source: i.GetSource(),
	}
}

func attendeeOfProto(t *meetv1.Attendee) Attendee {
	return Attendee{
		Conference: t.GetConferenceId(), Kind: t.GetKind(), DisplayName: t.GetDisplayName(), FirstJoinedAt: optionalTime(t.GetFirstJoinedAt()),
		LastLeftAt: optionalTime(t.GetLastLeftAt()), DurationSeconds: t.GetDurationSeconds(), Participant: optionalID(t.GetParticipantId()),
		ParticipantEmail: optional(t.GetParticipantEmail()), Match: optional(t.GetMatch()), MatchReason: optional(t.GetMatchReason()),
		Sessions: each(t.GetSessions(), func(s *meetv1.AttendeeSession) AttendeeSession {
			return AttendeeSession{JoinedAt: optionalTime(s.GetJoinedAt()), LeftAt: optionalTime(s.GetLeftAt())}
		}),
	}
}

func (a *API) transcript(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.GetTranscriptRequest{PageSize: f.page(meetingsPage), PageToken: f.token()}
	if err := f.err(); err != nil {
		return err
	}
	if req.MeetingId, err = x.meetingID(); err != nil {
		return err
	}
	found, err := backend.Ask(x.r.Context(), a.backend, subject.GetTranscript, req)
	if err != nil {
		return err
	}
	x.next(found.GetNextPageToken())
	x.write(http.StatusOK, Transcript{
		MeetingID: found.GetMeetingId(), Documents: each(found.GetDocuments(), documentOfProto), Entries: each(found.GetEntries(), entryOfProto),
	})
	return nil
}

func documentOfProto(d *meetv1.TranscriptDocument) TranscriptDocument {
	return TranscriptDocument{
		Conference: d.GetConferenceId(), State: fileState(d.GetState()), StartedAt: optionalTime(d.GetStartedAt()), EndedAt: optionalTime(d.GetEndedAt()),
		DocumentID: d.GetDocumentId(), ExportURI: d.GetExportUri(),
	}
}

func entryOfProto(e *meetv1.TranscriptEntry) TranscriptEntry {
	return TranscriptEntry{
		Conference: e.GetConferenceId(), DisplayName: e.GetDisplayName(), Participant: optionalID(e.GetParticipantId()), Text: e.GetText(),
		Language: e.GetLanguage(), StartedAt: optionalTime(e.GetStartedAt()), EndedAt: optionalTime(e.GetEndedAt()),
	}
}
