package nats

import (
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// exportFact renders a fact about a recording's copy, or about a legal hold; ok tells whether it is one.
func exportFact(e meeting.Event) (row app.EventRow, ok bool, err error) {
	m := meeting.About(e)
	id, reference := int64(m.ID), m.ExternalReference
	switch e := e.(type) {
	case export.ExportedEvent:
		row, err = meetingRow(m, subject.RecordingExportedEvent, &meetv1.RecordingExported{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, Uri: e.Recording.URI, Sha256: e.Recording.SHA256,
			SizeBytes: e.Recording.SizeBytes, ExternalReference: reference,
		})
	case export.VerifiedEvent:
		row, err = meetingRow(m, subject.RecordingVerified, &meetv1.RecordingVerified{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, Sha256: e.Recording.SHA256, ComparedWith: e.Recording.ComparedWith,
			ExternalReference: reference,
		})
	case export.MismatchEvent:
		row, err = meetingRow(m, subject.RecordingMismatch, &meetv1.RecordingMismatch{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, Error: encodeFailure(e.Recording.Failure), ExternalReference: reference,
		})
	case export.DeletedEvent:
		row, err = meetingRow(m, subject.RecordingDeleted, &meetv1.RecordingDeleted{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, Uri: e.Recording.URI, Sha256: e.Recording.SHA256, Reason: e.Reason,
			ExternalReference: reference,
		})
	case export.SharedEvent:
		row, err = meetingRow(m, subject.RecordingSharedEvent, &meetv1.RecordingShared{
			MeetingId: id, MeetingUid: m.UID, RecordingId: e.Recording.ID, People: int32(e.People),
		})
	case meeting.LegalHoldEvent:
		row, err = meetingRow(m, subject.LegalHoldChanged, &meetv1.LegalHoldChanged{
			MeetingId: id, MeetingUid: m.UID, Hold: m.LegalHold, Reason: m.LegalHoldReason, Version: m.Version,
		})
	default:
		return row, false, nil
	}
	return row, true, err
}

// ChoreFact is [app.Codec].
func (Codec) ChoreFact(f app.ChoreFact) (app.EventRow, error) {
	switch f := f.(type) {
	case app.ReportFact:
		body := &meetv1.RecordingReport{
			Date: f.Date, TimeZone: f.TimeZone, Expected: f.Expected, Secured: f.Secured, Verified: f.Verified, Missing: f.Missing,
			UnderWay: f.UnderWay, MissingReasons: f.MissingReasons,
		}
		for _, id := range f.MissingMeetings {
			body.MissingMeetings = append(body.MissingMeetings, int64(id))
		}
		return eventRow(subject.RecordingReport, "reports/"+f.Date, body)
	case app.RetentionFact:
		return eventRow(subject.RetentionApplied, "retention", &meetv1.RetentionApplied{
			Recordings: f.Recordings, Attendees: f.Attendees, Transcripts: f.Transcripts,
		})
	}
	return app.EventRow{}, fmt.Errorf("no event for a %T", f)
}

// exportResponse renders the answer to a command about copies, checks or periodic jobs; nil where it is none.
func exportResponse(c *app.Command, r app.Result) proto.Message {
	switch c.Do.(type) {
	case *app.RecordingExported:
		return &meetv1.RecordingExportedResponse{}
	case *app.ExportVerified:
		return &meetv1.ExportVerifiedResponse{}
	case *app.ExportDeleted:
		return &meetv1.ExportDeletedResponse{}
	case *app.RecordingShared:
		return &meetv1.RecordingSharedResponse{}
	case *app.VerifyRecording, *app.ShareRecording:
		return &meetv1.RecordingJobResponse{JobId: r.Job}
	case *app.SetLegalHold:
		return &meetv1.SetLegalHoldResponse{Meeting: encodeMeeting(r.Meeting)}
	case *app.SyncRecording:
		return &meetv1.SyncRecordingResponse{MeetingId: int64(r.Meeting.ID), JobId: r.Job}
	case *app.SyncAllRecordings:
		return &meetv1.SyncAllRecordingsResponse{JobId: r.Job}
	case *app.RunHousekeeping, app.PlanPeriodic:
		return housekeepingResponse(r)
	}
	return nil
}

func housekeepingResponse(r app.Result) *meetv1.RunHousekeepingResponse {
	if r.Chore == nil {
		return &meetv1.RunHousekeepingResponse{}
	}
	return &meetv1.RunHousekeepingResponse{More: r.Chore.More, NextAt: stamp(r.Chore.NextAt)}
}

// decodeExportUse is decodeUseCase for the commands about copies, checks and periodic jobs; ok tells whether it is one.
func decodeExportUse(subj string, body []byte) (do app.UseCase, kind string, outcome, ok bool, err error) {
	switch subj {
	case string(subject.RecordingExported):
		req := new(meetv1.RecordingExportedRequest)
		err = decode(body, req)
		return recordingExported(req), "recording.exported", true, true, err
	case string(subject.ExportVerified):
		req := new(meetv1.ExportVerifiedRequest)
		err = decode(body, req)
		return ofJob(req.GetJobId(), func(job uuid.UUID) app.UseCase {
			return &app.ExportVerified{
				Job: job, Dispatch: req.GetDispatch(), Recording: req.GetRecordingId(), Result: req.GetResult(), Failure: outcomeFailure(req.GetFailure()),
			}
		}), "recording.verified", true, true, err
	case string(subject.ExportDeleted):
		req := new(meetv1.ExportDeletedRequest)
		err = decode(body, req)
		return ofJob(req.GetJobId(), func(job uuid.UUID) app.UseCase {
			return &app.ExportDeleted{Job: job, Dispatch: req.GetDispatch(), Recording: req.GetRecordingId(), Failure: outcomeFailure(req.GetFailure())}
		}), "recording.export_deleted", true, true, err
	case string(subject.RecordingShared):
		req := new(meetv1.RecordingSharedRequest)
		err = decode(body, req)
		return ofJob(req.GetJobId(), func(job uuid.UUID) app.UseCase {
			return &app.RecordingShared{
				Job: job, Dispatch: req.GetDispatch(), Recording: req.GetRecordingId(), Emails: req.GetEmails(), Failure: outcomeFailure(req.GetFailure()),
			}
		}), "recording.shared", true, true, err
	case string(subject.RunHousekeeping):
		req := new(meetv1.RunHousekeepingRequest)
		err = decode(body, req)
		return ofJob(req.GetJobId(), func(job uuid.UUID) app.UseCase {
			return &app.RunHousekeeping{Job: job, Dispatch: req.GetDispatch()}
		}), "housekeeping.run", true, true, err
	case string(subject.SyncRecording):
		req := new(meetv1.SyncRecordingRequest)
		err = decode(body, req)
		return orRefuse(req.GetMeetingId(), func(ref meeting.Ref) app.UseCase { return &app.SyncRecording{Ref: ref} }), "recording.sync", false, true, err
	case string(subject.SyncAllRecordings):
		req := new(meetv1.SyncAllRecordingsRequest)
		err = decode(body, req)
		return &app.SyncAllRecordings{Limit: req.GetLimit()}, "recording.sync_all", false, true, err
	case string(subject.VerifyRecording):
		req := new(meetv1.VerifyRecordingRequest)
		err = decode(body, req)
		return &app.VerifyRecording{Recording: req.GetId()}, "recording.verify", false, true, err
	case string(subject.ShareRecording):
		req := new(meetv1.ShareRecordingRequest)
		err = decode(body, req)
		return &app.ShareRecording{Recording: req.GetId(), Emails: req.GetEmails()}, "recording.share", false, true, err
	case string(subject.SetLegalHold):
		req := new(meetv1.SetLegalHoldRequest)
		err = decode(body, req)
		return orRefuse(req.GetMeetingId(), func(ref meeting.Ref) app.UseCase {
			return &app.SetLegalHold{Ref: ref, Hold: req.GetHold(), Reason: req.GetReason()}
		}), "meeting.hold", false, true, err
	}
	return nil, "", false, false, nil
}

// ofJob refuses an id that no job has.
func ofJob(id string, use func(uuid.UUID) app.UseCase) app.UseCase {
	job, err := uuid.Parse(id)
	if err != nil {
		return refuse{errNoJob}
	}
	return use(job)
}

func recordingExported(req *meetv1.RecordingExportedRequest) app.UseCase {
	return ofJob(req.GetJobId(), func(job uuid.UUID) app.UseCase {
		return &app.RecordingExported{Job: job, Recording: req.GetRecordingId(), Outcome: export.Outcome{
			Dispatch: req.GetDispatch(), URI: clean(req.GetUri()), SHA256: clean(req.GetSha256()), SizeBytes: req.GetSizeBytes(),
			ComparedWith: clean(req.GetComparedWith()), Verified: req.GetVerified(), SourceGone: req.GetSourceGone(), Mismatch: req.GetMismatch(),
			Failure: outcomeFailure(req.GetFailure()),
		}}
	})
}
