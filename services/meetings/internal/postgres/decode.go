package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/calendar"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// decodeMeeting turns a row into the rules' own type. A state that the code does not know is an error: it comes from a newer
// release, and acting on it would be a guess.
func decodeMeeting(r *db.Meeting) (*meeting.Meeting, error) {
	status, err1 := meeting.ParseStatus(r.Status)
	provisioning, err2 := meeting.ParseProvisioning(r.Provisioning)
	sync, err3 := meeting.ParseGoogleSync(r.GoogleSync)
	recording, err4 := meeting.ParseRecordingState(r.RecordingState)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("meeting %d: %w", r.ID, err)
	}
	return &meeting.Meeting{
		ID: meeting.ID(r.ID), UID: r.Uid.String(), OrganizerID: r.OrganizerID, OrganizerEmail: r.OrganizerEmail,
		Summary: r.Summary, Description: r.Description, TimeZone: r.TimeZone, Start: value(r.ScheduledStart), End: value(r.ScheduledEnd),
		ExternalReference: r.ExternalReference, AutoRecord: r.AutoRecord, CreateCalendarEvent: r.CreateCalendarEvent,
		PublicAccess: r.PublicAccess, GuestsCanSeeEachOther: r.GuestsCanSeeEachOther,
		Status: status, Provisioning: provisioning, GoogleSync: sync, Recording: recording,
		ParticipantsCount: int(r.ParticipantsCount), HasRecording: r.HasRecording, ConferenceRecordID: r.ConferenceRecordID,
		Version: r.Version, WantedVersion: r.WantedVersion, Generation: r.Generation,
		Google: meeting.GoogleCopy{
			CalendarID: r.GoogleCalendarID, EventID: r.GoogleEventID, EventEtag: r.GoogleEventEtag, MeetLink: r.MeetLink,
			MeetingCode: r.MeetingCode, Space: r.Space, Simulated: r.Simulated, EventVersion: r.EventVersion,
			SettingsVersion: r.SettingsVersion, AutoRecording: r.AutoRecording, Deleted: r.EventDeleted,
			AccessType: r.AccessType, EventDigest: r.EventDigest,
			Account: r.GoogleAccount, EventUpdated: value(r.EventUpdated), EventShown: r.EventShown, Noticed: value(r.EventNoticed),
		},
		RecordingReason: r.RecordingReason, LegalHold: r.LegalHold, LegalHoldReason: r.LegalHoldReason,
		Failure:   meeting.Failure{Code: r.FailureCode, Message: r.FailureMessage},
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}, nil
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func decodeJob(r *db.Job) (meeting.Job, error) {
	state, err := meeting.ParseJobState(r.State)
	if err != nil {
		return meeting.Job{}, fmt.Errorf("job %s: %w", r.ID, err)
	}
	job := meeting.Job{
		ID: r.ID.String(), State: state, DueAt: r.DueAt.UTC(), Dispatch: r.Dispatch, DispatchedAt: value(r.DispatchedAt),
		FailedAttempts: int(r.FailedAttempts), ReplyInbox: r.ReplyInbox, Traceparent: r.Traceparent, CreatedAt: r.CreatedAt.UTC(), EndedAt: value(r.EndedAt),
	}
	if r.Operation != nil {
		job.Operation = r.Operation.String()
	}
	if len(r.History) > len("[]") {
		if err := json.Unmarshal(r.History, &job.History); err != nil {
			return meeting.Job{}, fmt.Errorf("history of job %s: %w", r.ID, err)
		}
	}
	return job, nil
}

func decodeUser(r *db.User) (*account.User, error) {
	role, err := account.ParseRole(r.Role)
	if err != nil {
		return nil, fmt.Errorf("user %d: %w", r.ID, err)
	}
	return &account.User{
		ID: account.ID(r.ID), Username: r.Username, Email: r.Email, FirstName: r.FirstName, LastName: r.LastName,
		Role: role, Active: r.IsActive, PasswordHash: r.PasswordHash, DateJoined: r.DateJoined.UTC(),
	}, nil
}

func decodeCalendar(c *db.Calendar, j *db.Job) (*calendar.Calendar, error) {
	job, err := decodeJob(j)
	if err != nil {
		return nil, err
	}
	return &calendar.Calendar{
		ID: calendar.ID(c.ID), Account: c.Account, CalendarID: c.CalendarID, BusyUntil: c.BusyUntil.UTC(), SyncToken: c.SyncToken,
		FullPassAt: value(c.FullPassAt), ReadAt: value(c.ReadAt), ReadAgain: c.ReadAgain,
		Channel: calendar.Channel{ID: c.ChannelID, Resource: c.ChannelResource, TokenHash: c.ChannelTokenHash, ExpiresAt: value(c.ChannelExpiresAt)},
		Failure: meeting.Failure{Code: c.FailureCode, Message: c.FailureMessage}, Job: job,
	}, nil
}
