package nats

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
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
			Account: g.GetAccount(), EventUpdated: moment(g.GetEventUpdated()), EventShown: g.GetEventShown(),
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
			Account: g.Account, EventUpdated: stamp(g.EventUpdated), EventShown: g.EventShown,
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

// moment is zero for what is absent.
func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func decodeFollow(in *meetv1.FollowCalendarJob) job.Follow {
	return job.Follow{
		Account: in.GetAccount(), CalendarID: in.GetCalendarId(), SyncToken: in.GetSyncToken(), Push: in.GetPush(),
		Channel: job.Channel{
			ID: in.GetChannel().GetId(), Resource: in.GetChannel().GetResourceId(), TokenHash: in.GetChannel().GetTokenHash(), Expires: moment(in.GetChannel().GetExpiresAt()),
		},
	}
}

func encodeChannel(c job.Channel) *meetv1.CalendarChannel {
	if c.ID == "" {
		return nil
	}
	return &meetv1.CalendarChannel{Id: c.ID, ResourceId: c.Resource, TokenHash: c.TokenHash, ExpiresAt: stamp(c.Expires)}
}

// encodeFollowed is the outcome in parts, all but the last partial, each small enough for one message.
func encodeFollowed(in *meetv1.FollowCalendarJob, r job.Reading) []*meetv1.CalendarFollowedRequest {
	part := func() *meetv1.CalendarFollowedRequest {
		return &meetv1.CalendarFollowedRequest{JobId: in.GetJobId(), Dispatch: in.GetDispatch(), Calendar: in.GetCalendar()}
	}
	parts := []*meetv1.CalendarFollowedRequest{part()}
	size := 0
	for i := range r.Events {
		e := encodeSnapshot(&r.Events[i])
		n := proto.Size(e)
		if last := parts[len(parts)-1]; len(last.GetEvents()) > 0 && (size+n > partBytes || len(last.GetEvents()) == partEvents) {
			last.Partial = true
			parts, size = append(parts, part()), 0
		}
		size += n
		last := parts[len(parts)-1]
		last.Events = append(last.Events, e)
	}
	last := parts[len(parts)-1]
	last.SyncToken, last.Full, last.Channel = r.SyncToken, r.Full, encodeChannel(r.Channel)
	if f := r.Failure; f != nil {
		last.Failure = &meetv1.SyncFailure{Permanent: f.Permanent(), Code: f.Code, Message: f.Message, Deferred: f.Kind == job.Deferred}
		if !f.Permanent() {
			last.Failure.RetryAt = timestamppb.New(r.RetryAt)
		}
	}
	return parts
}

const (
	// partBytes and partEvents bound one part of an outcome. JSON is longer than what is measured, and a message has 256 KiB.
	partBytes, partEvents = 64 << 10, 64
	// snapshotText is the most of a description that a part carries, in bytes: more than any that we write.
	snapshotText = 48 << 10
)

func encodeSnapshot(s *job.EventState) *meetv1.CalendarEvent {
	e := &meetv1.CalendarEvent{
		EventId: s.EventID, MeetingUid: s.MeetingUID, Etag: s.ETag, Updated: stamp(s.Updated), Cancelled: s.Cancelled,
		Summary: clip(s.Summary), Description: clip(s.Description), Start: stamp(s.Start), End: stamp(s.End), Shown: s.Shown(),
	}
	for _, g := range s.Guests {
		if !g.Room && !(g.Self && strings.EqualFold(g.Email, s.CalendarID)) { // a shared calendar may stand on its own events
			e.Guests = append(e.Guests, &meetv1.CalendarGuest{Email: g.Email, Response: g.Response})
		}
	}
	return e
}

func clip(s string) string {
	if len(s) > snapshotText {
		s = s[:snapshotText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
