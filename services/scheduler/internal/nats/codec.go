package nats

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

func decodeWish(w *meetv1.MeetingWish) job.Wish {
	g := w.GetGoogle()
	return job.Wish{
		MeetingID: w.GetMeetingId(), MeetingUID: w.GetMeetingUid(), Version: w.GetVersion(), Absent: w.GetAbsent(),
		Organizer: w.GetOrganizerEmail(), Summary: w.GetSummary(), Description: w.GetDescription(), TimeZone: w.GetTimeZone(),
		Start: w.GetStart().AsTime(), End: w.GetEnd().AsTime(), Guests: w.GetGuests(),
		AutoRecord: w.GetAutoRecord(), PublicAccess: w.GetPublicAccess(), GuestsSeeEachOther: w.GetGuestsCanSeeEachOther(),
		Calendar: w.GetCreateCalendarEvent(), Generation: w.GetGeneration(),
		Google: job.Copy{
			CalendarID: g.GetCalendarId(), EventID: g.GetEventId(), EventETag: g.GetEventEtag(), Link: g.GetMeetLink(), Code: g.GetMeetingCode(),
			Space: g.GetSpace(), Simulated: g.GetSimulated(), EventVersion: g.GetEventVersion(), SettingsVersion: g.GetSettingsVersion(),
			Deleted: g.GetDeleted(), AutoRecording: job.Switch(g.GetAutoRecording()), Access: job.Access(g.GetAccessType()), EventDigest: g.GetEventDigest(),
		},
	}
}

func encodeOutcome(in *meetv1.SyncMeetingJob, o *job.Outcome) *meetv1.MeetingSyncedRequest {
	g := o.Google
	out := &meetv1.MeetingSyncedRequest{
		JobId: in.GetJobId(), Dispatch: in.GetDispatch(), MeetingId: in.GetMeetingId(), Version: o.Version, Complete: o.Complete, Generation: o.Generation,
		Google: &meetv1.GoogleCopy{
			CalendarId: g.CalendarID, EventId: g.EventID, EventEtag: g.EventETag, MeetLink: g.Link, MeetingCode: g.Code,
			Space: g.Space, Simulated: g.Simulated, EventVersion: g.EventVersion, SettingsVersion: g.SettingsVersion,
			Deleted: g.Deleted, AutoRecording: string(g.AutoRecording), AccessType: string(g.Access), EventDigest: g.EventDigest,
		},
	}
	if f := o.Failure; f != nil {
		out.Failure = &meetv1.SyncFailure{Permanent: f.Permanent(), Code: f.Code, Message: f.Message, Deferred: f.Kind == job.Deferred}
		if !f.Permanent() {
			out.Failure.RetryAt = timestamppb.New(o.RetryAt)
		}
	}
	return out
}
