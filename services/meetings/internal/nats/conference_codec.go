package nats

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// conferenceFact renders a fact about what was held; ok tells whether it is one. It names people by their numbers, never by an
// address or by the name that they gave themselves.
func conferenceFact(e meeting.Event) (row app.EventRow, ok bool, err error) {
	m := meeting.About(e)
	id, reference := int64(m.ID), m.ExternalReference
	switch e := e.(type) {
	case conference.StartedEvent:
		row, err = meetingRow(m, subject.MeetingStarted, &meetv1.MeetingStarted{
			MeetingId: id, MeetingUid: m.UID, ConferenceRecordId: e.Conference.Record, StartedAt: stamp(e.Conference.StartedAt), Version: m.Version,
			ExternalReference: reference,
		})
	case conference.EndedEvent:
		row, err = meetingRow(m, subject.MeetingEnded, &meetv1.MeetingEnded{
			MeetingId: id, MeetingUid: m.UID, ConferenceRecordId: e.Conference.Record, StartedAt: stamp(e.Conference.StartedAt),
			EndedAt: stamp(e.Conference.EndedAt), AttendeesCount: int32(e.Conference.AttendeesCount), Version: m.Version, ExternalReference: reference,
		})
	case conference.JoinedEvent:
		row, err = meetingRow(m, subject.ParticipantJoined, &meetv1.ParticipantJoined{
			MeetingId: id, MeetingUid: m.UID, ParticipantId: e.Attendee.ParticipantID, Kind: string(e.Attendee.Kind), Match: e.Attendee.Match,
			JoinedAt: stamp(e.JoinedAt), Session: e.Session, ExternalReference: reference,
		})
	case conference.LeftEvent:
		row, err = meetingRow(m, subject.ParticipantLeft, &meetv1.ParticipantLeft{
			MeetingId: id, MeetingUid: m.UID, ParticipantId: e.Attendee.ParticipantID, Kind: string(e.Attendee.Kind), Match: e.Attendee.Match,
			JoinedAt: stamp(e.JoinedAt), LeftAt: stamp(e.LeftAt), Session: e.Session, ExternalReference: reference,
		})
	case conference.NoShowEvent:
		row, err = meetingRow(m, subject.ParticipantNoShow, &meetv1.ParticipantNoShow{
			MeetingId: id, MeetingUid: m.UID, ParticipantId: e.ParticipantID, Certain: e.Certain, ExternalReference: reference,
		})
	case conference.RecordingStartedEvent:
		row, err = meetingRow(m, subject.RecordingStarted, &meetv1.RecordingStarted{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, StartedAt: stamp(e.Recording.StartedAt), ExternalReference: reference,
		})
	case conference.NotStartedEvent:
		row, err = meetingRow(m, subject.RecordingNotStarted, &meetv1.RecordingNotStarted{
			MeetingId: id, MeetingUid: m.UID, ConferenceRecordId: e.Conference.Record, ConferenceStartedAt: stamp(e.Conference.StartedAt),
			MeetLink: m.Google.MeetLink, Reason: e.Reason, ExternalReference: reference,
		})
	case conference.FileGeneratedEvent:
		row, err = meetingRow(m, subject.RecordingFileGenerated, &meetv1.RecordingFileGenerated{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, DriveFileId: e.Recording.DriveFileID,
			DurationSeconds: e.Recording.Duration(), ExternalReference: reference,
		})
	case conference.MissingEvent:
		row, err = meetingRow(m, subject.RecordingMissing, &meetv1.RecordingMissing{
			MeetingId: id, MeetingUid: m.UID, Reason: e.Reason, Message: e.Message, Version: m.Version, ExternalReference: reference,
		})
	case conference.TranscriptEvent:
		row, err = meetingRow(m, subject.TranscriptGenerated, &meetv1.TranscriptGenerated{
			MeetingId: id, MeetingUid: m.UID, DocumentId: e.Transcript.DocumentID, Entries: int32(e.Transcript.EntriesCount), ExternalReference: reference,
		})
	default:
		return app.EventRow{}, false, nil
	}
	return row, true, err
}

// OwnerFact is [app.Codec]. The account is named by its user, not by its address.
func (Codec) OwnerFact(f conference.SubscriptionChanged) (app.EventRow, error) {
	return eventRow(subject.NoticesStateChanged, aboutUser(f.Owner.UserID), &meetv1.NoticesStateChanged{
		UserId: f.Owner.UserID, State: f.Owner.Subscription.State, Reason: f.Owner.Subscription.Reason,
	})
}

// artifactIn are the states of recordings and transcripts on the wire; one that is not known is as if it had only begun.
var artifactIn = map[string]conference.ArtifactState{
	"STARTED": conference.ArtifactStarted, "ENDED": conference.ArtifactEnded, "FILE_GENERATED": conference.ArtifactGenerated,
}

func artifact(state string) conference.ArtifactState {
	return max(artifactIn[state], conference.ArtifactStarted)
}

var kindsIn = map[string]conference.Kind{
	"signed_in": conference.SignedIn, "anonymous": conference.Anonymous, "phone": conference.Phone,
}

var filesIn = map[string]conference.FileState{
	"present": conference.FilePresent, "trashed": conference.FileTrashed, "gone": conference.FileGone,
}

// clean takes out what no row can hold.
func clean(s string) string { return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "") }

func conferenceObserved(req *meetv1.ConferenceObservedRequest) app.UseCase {
	job, err := uuid.Parse(req.GetJobId())
	if err != nil {
		job = uuid.Nil // of no row: what was seen is kept all the same
	}
	c := &app.ConferenceObserved{
		Job: job, Dispatch: req.GetDispatch(), MeetingID: meeting.ID(req.GetMeetingId()), Owner: conference.OwnerID(req.GetOwner()), Account: clean(req.GetAccount()),
		Listed: req.GetListed(), From: moment(req.GetListFrom()), Until: moment(req.GetListUntil()), Partial: req.GetPartial(), Failure: outcomeFailure(req.GetFailure()),
	}
	if s := req.GetSubscription(); s != nil {
		c.GoogleUser = clean(s.GetUser())
		c.Subscription = &conference.Subscription{Name: clean(s.GetName()), State: subscriptionState(s.GetState()), Reason: clean(s.GetReason()), ExpiresAt: moment(s.GetExpiresAt()), CheckedAt: moment(s.GetCheckedAt())}
	}
	for _, o := range req.GetConferences() {
		if o.GetRecord() != "" {
			c.Conferences = append(c.Conferences, observed(o))
		}
	}
	return c
}

// subscriptionState keeps what the column takes.
func subscriptionState(s string) string {
	switch s {
	case conference.SubscriptionActive, conference.SubscriptionIsSuspended, conference.SubscriptionCannotBeMade:
		return s
	}
	return ""
}

func observed(o *meetv1.ObservedConference) conference.Observed {
	out := conference.Observed{
		Record: clean(o.GetRecord()), Space: clean(o.GetSpace()), StartedAt: moment(o.GetStartedAt()), EndedAt: moment(o.GetEndedAt()), ExpiresAt: moment(o.GetExpiresAt()),
		RecordRead: o.GetRecordRead(), Gone: o.GetGone(), RecordingsRead: o.GetRecordingsRead(), AttendeesRead: o.GetAttendeesRead(), TranscriptsRead: o.GetTranscriptsRead(),
	}
	for _, r := range o.GetRecordings() {
		seen := conference.ObservedRecording{
			Name: clean(r.GetName()), State: artifact(r.GetState()), StartedAt: moment(r.GetStartedAt()), EndedAt: moment(r.GetEndedAt()),
			DriveFileID: clean(r.GetDriveFileId()), URL: clean(r.GetExportUri()),
		}
		if f := r.GetFile(); f != nil {
			seen.File = &conference.File{
				State: filesIn[f.GetState()], Name: clean(f.GetName()), MimeType: clean(f.GetMimeType()), SizeBytes: max(f.GetSizeBytes(), 0),
				SHA256: clean(f.GetSha256()), MD5: clean(f.GetMd5()), DurationSeconds: max(f.GetDurationMillis(), 0) / 1000,
			}
			if seen.URL == "" {
				seen.URL = clean(f.GetWebViewLink())
			}
		}
		out.Recordings = append(out.Recordings, seen)
	}
	for _, a := range o.GetAttendees() {
		seen := conference.ObservedAttendee{
			Name: clean(a.GetName()), Kind: kindsIn[a.GetKind()], User: clean(a.GetUser()), DisplayName: clean(a.GetDisplayName()), Email: clean(a.GetEmail()),
			FirstJoinedAt: moment(a.GetFirstJoinedAt()), LastLeftAt: moment(a.GetLastLeftAt()), SessionsRead: a.GetSessionsRead(),
		}
		for _, s := range a.GetSessions() {
			seen.Sessions = append(seen.Sessions, conference.ObservedSession{Name: clean(s.GetName()), JoinedAt: moment(s.GetJoinedAt()), LeftAt: moment(s.GetLeftAt())})
		}
		out.Attendees = append(out.Attendees, seen)
	}
	for _, t := range o.GetTranscripts() {
		seen := conference.ObservedTranscript{
			Name: clean(t.GetName()), State: artifact(t.GetState()), StartedAt: moment(t.GetStartedAt()), EndedAt: moment(t.GetEndedAt()),
			DocumentID: clean(t.GetDocumentId()), URL: clean(t.GetExportUri()), EntriesRead: t.GetEntriesRead(),
		}
		for _, e := range t.GetEntries() {
			seen.Entries = append(seen.Entries, conference.Entry{
				Name: clean(e.GetName()), Attendee: clean(e.GetAttendee()), Text: clean(e.GetText()), Language: clean(e.GetLanguage()),
				StartedAt: moment(e.GetStartedAt()), EndedAt: moment(e.GetEndedAt()),
			})
		}
		out.Transcripts = append(out.Transcripts, seen)
	}
	return out
}

// The services that Workspace Events names resources of (CloudEvents source and subject).
const (
	eventsPrefix = "//workspaceevents.googleapis.com/"
	usersPrefix  = "//cloudidentity.googleapis.com/"
	meetPrefix   = "//meet.googleapis.com/"
)

func conferenceNoticed(req *meetv1.ConferenceNoticedRequest) app.UseCase {
	c := new(app.ConferenceNoticed)
	for _, n := range req.GetNotices() {
		kind := conference.ParseNoticeType(n.GetType())
		if kind == 0 {
			continue
		}
		notice := conference.Notice{
			Type: kind, At: moment(n.GetTime()), Resource: trim(n.GetResource()), Subscription: trim(n.GetSource()), Reason: clean(n.GetReason()),
		}
		if user := trim(n.GetTarget()); strings.HasPrefix(user, "users/") {
			notice.User = user
		}
		c.Notices = append(c.Notices, notice)
	}
	return c
}

// trim takes the service off a resource's full name.
func trim(name string) string {
	for _, prefix := range []string{eventsPrefix, usersPrefix, meetPrefix} {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			name = short
			break
		}
	}
	return clean(name)
}

func (q *Queries) getConferencePlan(ctx context.Context, req *meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
	job, err := uuid.Parse(req.GetJobId())
	if err != nil {
		return &meetv1.ConferencePlan{Stale: true}, nil //nolint:nilerr // no row has such an id
	}
	plan, err := q.planner.Plan(ctx, job, req.GetDispatch(), meeting.ID(req.GetMeetingId()), conference.OwnerID(req.GetOwner()))
	if err != nil {
		return nil, err
	}
	out := &meetv1.ConferencePlan{Stale: plan.Stale, Account: plan.Account, Spaces: plan.Spaces, Subscribe: plan.Subscribe}
	if !plan.ListUntil.IsZero() {
		out.ListFrom, out.ListUntil = timestamppb.New(plan.ListFrom), timestamppb.New(plan.ListUntil)
	}
	for i := range plan.Readings {
		out.Readings = append(out.Readings, encodeAsk(&plan.Readings[i]))
	}
	if plan.Fresh != (conference.Ask{}) {
		out.Fresh, out.FreshSpace = encodeAsk(&plan.Fresh), plan.FreshSpace
	}
	if o := plan.Owner; o != nil {
		out.Owner = int64(o.ID)
		out.Subscription = &meetv1.NoticeSubscription{
			Name: o.Subscription.Name, User: o.GoogleUser, State: o.Subscription.State, Reason: o.Subscription.Reason,
			ExpiresAt: stamp(o.Subscription.ExpiresAt), CheckedAt: stamp(o.Subscription.CheckedAt),
		}
	}
	return out, nil
}

func encodeAsk(a *conference.Ask) *meetv1.ConferenceReading {
	return &meetv1.ConferenceReading{
		Record: a.Record, RecordItself: a.RecordItself, Recordings: a.Recordings, Files: a.Files, Attendees: a.Attendees, Sessions: a.Sessions,
		Transcripts: a.Transcripts, Entries: a.Entries, Ended: a.Ended,
	}
}
