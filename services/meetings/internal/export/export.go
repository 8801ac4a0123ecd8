// Package export holds the rules about copies of recordings: where each goes, what an attempt's outcome makes of it, when it is
// deleted, and what all that means for the meeting. The copying itself is the scheduler's. It does no I/O and asks no clock.
package export

import (
	"strconv"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// The class of the jobs and their kinds.
const (
	Class        = "export"
	KindExport   = "export_recording"
	KindVerify   = "verify_export"
	KindDelete   = "delete_export"
	KindShare    = "share_recording"
	byRetention  = "retention"
	giveUp       = 72 * time.Hour
	giveUpAsked  = 24 * time.Hour
	maxSharedFor = 500
)

// Policy is what the operator set.
type Policy struct {
	// On: there is a place for copies.
	On  bool
	Key Key
	// Zone is what a key's days are of; nil: UTC.
	Zone *time.Location
	// Keep is how long a checked copy is kept; 0: for good.
	Keep time.Duration
}

// Recording is a recording as far as its copy goes.
type Recording struct {
	ID        int64
	MeetingID meeting.ID
	// Generated: Google said that there is a file.
	Generated bool
	// Account is in whose name Drive is read.
	Account, DriveFileID string
	// File is what Drive told of the file when it was found; set where a copy is first asked for.
	File  conference.File
	State conference.ExportState
	// SourceGone: Drive no longer has the file.
	SourceGone             bool
	Key, URI, SHA256       string
	SizeBytes              int64
	ComparedWith           string
	ExportedAt, VerifiedAt time.Time
	DeleteAfter, DeletedAt time.Time
	Failure                meeting.Failure
	SharedWith             []string
}

// ExportedEvent says that a copy is in the object storage.
type ExportedEvent struct {
	meeting.Fact
	Recording *Recording
}

// VerifiedEvent says that the copy was read back and is what Drive had.
type VerifiedEvent struct {
	meeting.Fact
	Recording *Recording
}

// MismatchEvent says that Drive or the object storage has other bytes than were exported, or none.
type MismatchEvent struct {
	meeting.Fact
	Recording *Recording
}

// DeletedEvent says that the copy was deleted.
type DeletedEvent struct {
	meeting.Fact
	Recording *Recording
	Reason    string
}

// SharedEvent says that people were given leave to read the file in Drive.
type SharedEvent struct {
	meeting.Fact
	Recording *Recording
	People    int
}

// Job is the row that makes a checked copy.
func (r *Recording) Job(id string, m *meeting.Meeting, now time.Time) *task.Task {
	t := task.New(id, Class, KindExport, now, now)
	t.Key, t.MeetingID = strconv.FormatInt(r.ID, 10), r.MeetingID
	t.Payload = map[string]any{
		"recordingId": t.Key, "meetingId": strconv.FormatInt(int64(m.ID), 10), "meetingUid": m.UID, "account": r.Account,
		"driveFileId": r.DriveFileID, "objectKey": r.Key,
	}
	if f := r.File; f.SHA256 != "" || f.MD5 != "" { // else Drive is asked once more: it may have a checksum by then
		t.Payload["file"] = map[string]any{
			"state": string(f.State), "sizeBytes": strconv.FormatInt(f.SizeBytes, 10), "sha256": f.SHA256, "md5": f.MD5,
		}
	}
	return t
}

// Outcome is what the scheduler reports of one attempt to copy or to check.
type Outcome struct {
	Dispatch     int64
	URI, SHA256  string
	SizeBytes    int64
	ComparedWith string
	Verified     bool
	SourceGone   bool
	Mismatch     bool
	Failure      *meeting.OutcomeFailure
}

// Exported takes an outcome at now. An outcome of an older dispatch, or one that came before, changes nothing.
func (r *Recording) Exported(o Outcome, t *task.Task, m *meeting.Meeting, p Policy, now time.Time) []meeting.Event {
	if !t.Take(o.Dispatch) {
		return nil
	}
	fact := meeting.Fact{Meeting: m}
	switch {
	case o.SourceGone:
		r.State, r.SourceGone = conference.ExportFailed, true
		r.Failure = reason(o.Failure, conference.ReasonFileDeleted, "Drive no longer has the file, and there is no checked copy of it")
		t.Fail(now)
		return nil
	case o.Mismatch:
		r.State = conference.ExportMismatch
		r.Failure = reason(o.Failure, conference.ReasonExportMismatch, "Drive and the copy have different bytes, also after they were fetched anew")
		t.Fail(now)
		return []meeting.Event{MismatchEvent{fact, r}}
	case o.Failure != nil:
		r.Failure = o.Failure.Reason()
		if t.Retry(o.Failure, giveUp, now) {
			r.State = conference.ExportFailed
		}
		return nil
	}
	var events []meeting.Event
	r.Failure, r.SourceGone, r.DeletedAt = meeting.Failure{}, false, time.Time{}
	r.URI, r.SHA256, r.SizeBytes = o.URI, o.SHA256, o.SizeBytes
	if o.ComparedWith != "" {
		r.ComparedWith = o.ComparedWith
	}
	if r.State != conference.ExportExported {
		r.State, r.ExportedAt = conference.ExportExported, now
		events = append(events, ExportedEvent{fact, r})
	}
	t.Payload["sha256"], t.Payload["sizeBytes"] = r.SHA256, strconv.FormatInt(r.SizeBytes, 10)
	t.Result = map[string]any{"uri": r.URI, "sha256": r.SHA256, "size_bytes": r.SizeBytes}
	if !o.Verified {
		t.Again(now)
		return events
	}
	t.Done(now)
	return append(events, r.verified(m, p, now))
}

func (r *Recording) verified(m *meeting.Meeting, p Policy, now time.Time) meeting.Event {
	r.State, r.VerifiedAt, r.Failure = conference.ExportVerified, now, meeting.Failure{}
	if r.DeleteAfter.IsZero() && p.Keep > 0 {
		r.DeleteAfter = now.Add(p.Keep)
	}
	return VerifiedEvent{meeting.Fact{Meeting: m}, r}
}

// reason is the scheduler's words under a reason of ours.
func reason(f *meeting.OutcomeFailure, code, text string) meeting.Failure {
	if f != nil && f.Message != "" {
		text = f.Reason().Message
	}
	return meeting.Failure{Code: code, Message: text}
}

// HasCopy says that there is an object to look at, as far as is known.
func (r *Recording) HasCopy() bool {
	return r.Key != "" && r.SHA256 != "" && r.State != conference.ExportDeleted && r.State != conference.ExportNone
}

// Verify is a row that reads the object again; nil where there is none.
func (r *Recording) Verify(id string, now time.Time) *task.Task {
	if !r.HasCopy() {
		return nil
	}
	t := task.New(id, Class, KindVerify, now, now)
	t.MeetingID = r.MeetingID
	t.Payload = map[string]any{
		"recordingId": strconv.FormatInt(r.ID, 10), "objectKey": r.Key, "sha256": r.SHA256, "sizeBytes": strconv.FormatInt(r.SizeBytes, 10),
	}
	return t
}

// The results of reading an object again.
const (
	CheckOK       = "ok"
	CheckMismatch = "mismatch"
	CheckGone     = "gone"
)

// Checked takes at now what reading the object again showed.
func (r *Recording) Checked(dispatch int64, result string, f *meeting.OutcomeFailure, t *task.Task, m *meeting.Meeting, p Policy, now time.Time) []meeting.Event {
	if !t.Take(dispatch) {
		return nil
	}
	if f != nil {
		t.Retry(f, giveUpAsked, now)
		return nil
	}
	t.Done(now)
	t.Result = map[string]any{"result": result}
	if r.State == conference.ExportDeleted { // in between
		return nil
	}
	switch result {
	case CheckOK:
		return []meeting.Event{r.verified(m, p, now)}
	case CheckGone:
		r.State, r.Failure = conference.ExportGone, meeting.Failure{Code: conference.ReasonExportMismatch, Message: "the copy is not where it was put"}
	default:
		r.State, r.Failure = conference.ExportMismatch, meeting.Failure{Code: conference.ReasonExportMismatch, Message: "the copy has other bytes than were exported"}
	}
	return []meeting.Event{MismatchEvent{meeting.Fact{Meeting: m}, r}}
}

// Delete is the row that deletes the object.
func (r *Recording) Delete(id string, now time.Time) *task.Task {
	t := task.New(id, Class, KindDelete, now, now)
	t.Key, t.MeetingID = strconv.FormatInt(r.ID, 10), r.MeetingID
	t.Payload = map[string]any{"recordingId": t.Key, "objectKey": r.Key}
	return t
}

// Deleted takes the outcome of deleting the object at now.
func (r *Recording) Deleted(dispatch int64, f *meeting.OutcomeFailure, t *task.Task, m *meeting.Meeting, now time.Time) []meeting.Event {
	if !t.Take(dispatch) {
		return nil
	}
	if f != nil {
		t.Retry(f, giveUp, now) // the next round of retention renews a row that failed
		return nil
	}
	t.Done(now)
	r.State, r.DeletedAt, r.Failure = conference.ExportDeleted, now, meeting.Failure{}
	return []meeting.Event{DeletedEvent{meeting.Fact{Meeting: m}, r, byRetention}}
}

// Share is a row that lets people read the file in Drive; nil where there is none.
func (r *Recording) Share(id string, emails []string, now time.Time) *task.Task {
	if r.DriveFileID == "" || r.SourceGone {
		return nil
	}
	t := task.New(id, Class, KindShare, now, now)
	t.MeetingID = r.MeetingID
	t.Payload = map[string]any{
		"recordingId": strconv.FormatInt(r.ID, 10), "account": r.Account, "driveFileId": r.DriveFileID, "emails": emails,
	}
	return t
}

// Shared takes at now who may read the file by now.
func (r *Recording) Shared(dispatch int64, emails []string, f *meeting.OutcomeFailure, t *task.Task, m *meeting.Meeting, now time.Time) []meeting.Event {
	if !t.Take(dispatch) {
		return nil
	}
	added := 0
	for _, e := range emails {
		if !meeting.Holds(r.SharedWith, e) && len(r.SharedWith) < maxSharedFor {
			r.SharedWith = append(r.SharedWith, e)
			added++
		}
	}
	if f != nil {
		t.Retry(f, giveUpAsked, now)
	} else {
		t.Done(now)
		t.Result = map[string]any{"people": len(emails)}
	}
	if added == 0 {
		return nil
	}
	return []meeting.Event{SharedEvent{meeting.Fact{Meeting: m}, r, added}}
}
