package nats

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Codec renders results and facts as the protobufs of meet.v1; it is [app.Codec].
type Codec struct{}

// The tables between the rules' states and the wire's.
var (
	statusOut = map[meeting.Status]meetv1.MeetingStatus{
		meeting.Created: meetv1.MeetingStatus_MEETING_STATUS_CREATED, meeting.Scheduled: meetv1.MeetingStatus_MEETING_STATUS_SCHEDULED,
		meeting.Finished: meetv1.MeetingStatus_MEETING_STATUS_FINISHED, meeting.Cancelled: meetv1.MeetingStatus_MEETING_STATUS_CANCELLED,
	}
	provisioningOut = map[meeting.Provisioning]meetv1.Provisioning{
		meeting.Pending: meetv1.Provisioning_PROVISIONING_PENDING, meeting.Ready: meetv1.Provisioning_PROVISIONING_READY,
		meeting.Failed: meetv1.Provisioning_PROVISIONING_FAILED,
	}
	syncOut = map[meeting.GoogleSync]meetv1.GoogleSync{
		meeting.SyncPending: meetv1.GoogleSync_GOOGLE_SYNC_PENDING, meeting.SyncOK: meetv1.GoogleSync_GOOGLE_SYNC_OK,
		meeting.SyncFailed: meetv1.GoogleSync_GOOGLE_SYNC_FAILED,
	}
	recordingOut = map[meeting.RecordingState]meetv1.RecordingState{
		meeting.NotExpected: meetv1.RecordingState_RECORDING_STATE_NOT_EXPECTED, meeting.Expected: meetv1.RecordingState_RECORDING_STATE_EXPECTED,
		meeting.Started: meetv1.RecordingState_RECORDING_STATE_STARTED, meeting.Ended: meetv1.RecordingState_RECORDING_STATE_ENDED,
		meeting.FileGenerated: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, meeting.Exported: meetv1.RecordingState_RECORDING_STATE_EXPORTED,
		meeting.Verified: meetv1.RecordingState_RECORDING_STATE_VERIFIED, meeting.Missing: meetv1.RecordingState_RECORDING_STATE_MISSING,
	}
	roleOut = map[account.Role]meetv1.UserRole{
		account.Admin: meetv1.UserRole_USER_ROLE_ADMIN, account.Service: meetv1.UserRole_USER_ROLE_SERVICE, account.External: meetv1.UserRole_USER_ROLE_EXTERNAL,
	}
)

// in is the inverse of a table; the zero state for what is not in it.
func in[S, W comparable](table map[S]W, w W) S {
	for s, have := range table {
		if have == w {
			return s
		}
	}
	var none S
	return none
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime().Truncate(time.Microsecond)
}

func encodeMeeting(m *meeting.Meeting) *meetv1.Meeting {
	return &meetv1.Meeting{
		Id: int64(m.ID), Uid: m.UID, OrganizerId: m.OrganizerID, OrganizerUsername: m.OrganizerUsername, OrganizerEmail: m.OrganizerEmail,
		InvitedEmails: m.Guests, ScheduledStart: stamp(m.Start), ScheduledEnd: stamp(m.End), Status: statusOut[m.Status],
		Provisioning: provisioningOut[m.Provisioning], GoogleSync: syncOut[m.GoogleSync], RecordingState: recordingOut[m.Recording],
		ExternalReference: m.ExternalReference, Summary: m.Summary, Description: m.Description, TimeZone: m.TimeZone,
		AutoRecord: m.AutoRecord, CreateCalendarEvent: m.CreateCalendarEvent, PublicAccess: m.PublicAccess, GuestsCanSeeEachOther: m.GuestsCanSeeEachOther,
		GoogleEventId: m.Google.EventID, MeetLink: m.Google.MeetLink, MeetingCode: m.Google.MeetingCode, Space: m.Google.Space,
		ConferenceRecordId: m.ConferenceRecordID, ParticipantsCount: int32(m.ParticipantsCount), HasRecording: m.HasRecording,
		Simulated: m.Google.Simulated, Version: m.Version, Etag: m.Etag(), Error: encodeFailure(m.Failure),
		CreatedAt: stamp(m.CreatedAt), UpdatedAt: stamp(m.UpdatedAt), RecordingReason: m.RecordingReason,
		LegalHold: m.LegalHold, LegalHoldReason: m.LegalHoldReason,
	}
}

func encodeFailure(f meeting.Failure) *meetv1.SyncError {
	if f == (meeting.Failure{}) {
		return nil
	}
	return &meetv1.SyncError{Code: f.Code, Message: f.Message}
}

func encodeUser(u *account.User) *meetv1.User {
	return &meetv1.User{
		Id: int64(u.ID), Username: u.Username, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		Role: roleOut[u.Role], IsActive: u.Active, DateJoined: stamp(u.DateJoined),
	}
}

// Reply is [app.Codec].
func (Codec) Reply(c *app.Command, r app.Result, err error) ([]byte, error) {
	if err != nil {
		return proto.Marshal(&meetv1.CommandReply{Fault: bus.EncodeFault(fault.Of(err))})
	}
	response, err := encodeResponse(c, r)
	if err != nil {
		return nil, err
	}
	body, err := proto.Marshal(response)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&meetv1.CommandReply{Response: body})
}

func encodeResponse(c *app.Command, r app.Result) (proto.Message, error) {
	switch c.Do.(type) {
	case *app.CreateMeeting:
		return &meetv1.CreateMeetingResponse{Meeting: encodeMeeting(r.Meeting), Operation: r.Operation}, nil
	case *app.UpdateMeeting:
		return &meetv1.UpdateMeetingResponse{Meeting: encodeMeeting(r.Meeting)}, nil
	case *app.CancelMeeting:
		return &meetv1.CancelMeetingResponse{Meeting: encodeMeeting(r.Meeting)}, nil
	case *app.ProvisionMeeting:
		return &meetv1.ProvisionMeetingResponse{Meeting: encodeMeeting(r.Meeting), Operation: r.Operation}, nil
	case *app.SyncOutcome:
		return &meetv1.MeetingSyncedResponse{}, nil
	case *app.CalendarFollowed:
		return &meetv1.CalendarFollowedResponse{}, nil
	case *app.CalendarNoticed:
		return &meetv1.CalendarNoticedResponse{}, nil
	case *app.ConferenceObserved:
		return &meetv1.ConferenceObservedResponse{}, nil
	case *app.ConferenceNoticed:
		return &meetv1.ConferenceNoticedResponse{}, nil
	case *app.CreateUser, *app.UpdateUser:
		return &meetv1.UserResponse{User: encodeUser(r.User)}, nil
	}
	if response := exportResponse(c, r); response != nil {
		return response, nil
	}
	if response := encodeAccess(c, r); response != nil {
		return response, nil
	}
	return nil, fmt.Errorf("no response for a %T", c.Do)
}

// Fact is [app.Codec].
func (Codec) Fact(e meeting.Event) (app.EventRow, error) {
	m := meeting.About(e)
	id, version := int64(m.ID), m.Version
	switch e := e.(type) {
	case meeting.CreatedEvent:
		return meetingRow(m, subject.MeetingCreated, &meetv1.MeetingCreated{
			MeetingId: id, MeetingUid: m.UID, OrganizerId: m.OrganizerID, ExternalReference: m.ExternalReference, ScheduledStart: stamp(m.Start),
			ScheduledEnd: stamp(m.End), ParticipantsCount: int32(m.ParticipantsCount), AutoRecord: m.AutoRecord, Version: version,
		})
	case meeting.ReadyEvent:
		return meetingRow(m, subject.MeetingReady, &meetv1.MeetingReady{
			MeetingId: id, MeetingUid: m.UID, GoogleEventId: m.Google.EventID, MeetLink: m.Google.MeetLink, MeetingCode: m.Google.MeetingCode,
			Simulated: m.Google.Simulated, Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.ProvisionFailedEvent:
		return meetingRow(m, subject.MeetingProvisionFailed, &meetv1.MeetingProvisionFailed{
			MeetingId: id, MeetingUid: m.UID, Error: encodeFailure(m.Failure), Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.RescheduledEvent:
		return meetingRow(m, subject.MeetingRescheduled, &meetv1.MeetingRescheduled{
			MeetingId: id, MeetingUid: m.UID, ScheduledStart: stamp(m.Start), ScheduledEnd: stamp(m.End), PreviousStart: stamp(e.PreviousStart),
			PreviousEnd: stamp(e.PreviousEnd), Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.UpdatedEvent:
		return meetingRow(m, subject.MeetingUpdated, &meetv1.MeetingUpdated{
			MeetingId: id, MeetingUid: m.UID, Fields: e.Fields, Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.StatusChangedEvent:
		return meetingRow(m, subject.MeetingStatusChanged, &meetv1.MeetingStatusChanged{
			MeetingId: id, MeetingUid: m.UID, Status: statusOut[m.Status], PreviousStatus: statusOut[e.Previous], Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.CancelledEvent:
		return meetingRow(m, subject.MeetingCancelled, &meetv1.MeetingCancelled{
			MeetingId: id, MeetingUid: m.UID, Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.SyncedEvent:
		return meetingRow(m, subject.MeetingSyncedEvent, &meetv1.MeetingSynced{MeetingId: id, MeetingUid: m.UID, SyncedVersion: e.SyncedVersion, Version: version})
	case meeting.DriftedEvent:
		return meetingRow(m, subject.MeetingDrifted, &meetv1.MeetingDrifted{
			MeetingId: id, MeetingUid: m.UID, Fields: e.Fields, Policy: e.Policy.String(), Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.RespondedEvent:
		return meetingRow(m, subject.ParticipantResponded, &meetv1.ParticipantResponded{
			MeetingId: id, MeetingUid: m.UID, ParticipantId: e.Person.ID, Response: e.Person.Response, Version: version, ExternalReference: m.ExternalReference,
		})
	case meeting.SyncFailedEvent:
		return meetingRow(m, subject.MeetingSyncFailed, &meetv1.MeetingSyncFailed{MeetingId: id, MeetingUid: m.UID, Error: encodeFailure(m.Failure), Version: version})
	}
	if row, ok, err := conferenceFact(e); ok {
		return row, err
	}
	if row, ok, err := exportFact(e); ok {
		return row, err
	}
	return app.EventRow{}, fmt.Errorf("no event for a %T", e)
}

// meetingRow renders one fact; the type parameter keeps subject and body together.
func meetingRow[Body proto.Message](m *meeting.Meeting, event subject.Event[Body], body Body) (app.EventRow, error) {
	row, err := eventRow(event, m.UID, body)
	row.MeetingID = m.ID
	return row, err
}

func eventRow[Body proto.Message](event subject.Event[Body], about string, body Body) (app.EventRow, error) {
	text, err := protojson.Marshal(body)
	if err != nil {
		return app.EventRow{}, fmt.Errorf("encode %s: %w", event.Type(), err)
	}
	return app.EventRow{Type: event.Type(), Subject: about, Body: string(text)}, nil
}

func aboutUser(id int64) string { return "users/" + strconv.FormatInt(id, 10) }

// UserFact is [app.Codec].
func (Codec) UserFact(f app.UserFact) (app.EventRow, error) {
	about := aboutUser(int64(f.User.ID))
	if f.Created {
		return eventRow(subject.UserCreated, about, &meetv1.UserCreated{UserId: int64(f.User.ID), Role: roleOut[f.User.Role]})
	}
	return eventRow(subject.UserUpdated, about, &meetv1.UserUpdated{UserId: int64(f.User.ID), Fields: f.Fields})
}

// Done is [app.Codec].
func (Codec) Done(m *meeting.Meeting) ([]byte, error) {
	return proto.Marshal(&meetv1.CommandReply{Done: operationDone(m)})
}

func operationDone(m *meeting.Meeting) *meetv1.OperationDone {
	return &meetv1.OperationDone{
		Operation: m.Job.Operation, MeetingId: int64(m.ID), Provisioning: provisioningOut[m.Provisioning], GoogleSync: syncOut[m.GoogleSync],
		Status: statusOut[m.Status], RecordingState: recordingOut[m.Recording], GoogleEventId: m.Google.EventID, MeetLink: m.Google.MeetLink,
		MeetingCode: m.Google.MeetingCode, Space: m.Google.Space, Simulated: m.Google.Simulated, Version: m.Version, UpdatedAt: stamp(m.UpdatedAt),
		Error: encodeFailure(m.Failure),
	}
}

// Job is [app.Codec]. Without the guests, and after a failure, the message carries no wish: the scheduler reads it anew.
func (Codec) Job(m *meeting.Meeting, whole bool) ([]byte, error) {
	job := &meetv1.SyncMeetingJob{JobId: m.Job.ID, Dispatch: m.Job.Dispatch, MeetingId: int64(m.ID), FailedAttempts: int32(m.Job.FailedAttempts)}
	// What the space's settings need is known without the guests.
	settingsOnly := m.Google.EventVersion >= m.WantedVersion && !m.WantedAbsent()
	if (whole || settingsOnly) && m.Job.FailedAttempts == 0 {
		job.Wish = encodeWish(m)
	}
	return protojson.Marshal(job)
}

func encodeWish(m *meeting.Meeting) *meetv1.MeetingWish {
	return &meetv1.MeetingWish{
		MeetingId: int64(m.ID), MeetingUid: m.UID, Version: m.WantedVersion, Absent: m.WantedAbsent(), OrganizerEmail: m.OrganizerEmail,
		Summary: m.WantedSummary(), Description: m.Description, TimeZone: m.TimeZone, Start: stamp(m.WantedStart()), End: stamp(m.WantedEnd()),
		Guests: m.WantedGuests(), AutoRecord: m.AutoRecord, PublicAccess: m.PublicAccess, GuestsCanSeeEachOther: m.GuestsCanSeeEachOther,
		CreateCalendarEvent: m.CreateCalendarEvent, Generation: m.Generation,
		Google: &meetv1.GoogleCopy{
			CalendarId: m.Google.CalendarID, EventId: m.Google.EventID, EventEtag: m.Google.EventEtag, MeetLink: m.Google.MeetLink,
			MeetingCode: m.Google.MeetingCode, Space: m.Google.Space, Simulated: m.Google.Simulated, EventVersion: m.Google.EventVersion,
			SettingsVersion: m.Google.SettingsVersion, Deleted: m.Google.Deleted, AutoRecording: m.Google.AutoRecording,
			AccessType: m.Google.AccessType, EventDigest: m.Google.EventDigest,
			Account: m.Google.Account, EventUpdated: stamp(m.Google.EventUpdated), EventShown: m.Google.EventShown,
		},
	}
}
