package app

import (
	"strconv"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Reasons of the faults about copies of recordings.
const (
	ReasonRecordingNotFound = "RECORDING_NOT_FOUND"
	ReasonNotExported       = "RECORDING_NOT_EXPORTED"
	ReasonNoFile            = "RECORDING_HAS_NO_FILE"
	ReasonNoStart           = "MEETING_HAS_NO_START"
)

var (
	errRecordingNotFound = fault.New(fault.NotFound, ReasonRecordingNotFound, "no such recording")
	errNoStart           = fault.New(fault.Invalid, ReasonNoStart, "the meeting has no scheduled_start, so it can't be told when it was held")
	errLimit             = fault.InvalidField("limit", "RANGE", "must be 0 or more")
)

// WantExport asks for a checked copy of a recording whose file is there, once: it does nothing where copies are not made, or one was
// asked for. account is in whose name Drive is read. The store writes it after the recording itself, which may be new; the columns
// of the copy are written by nobody else.
func (u *Unit) WantExport(m *meeting.Meeting, account string, r *conference.Recording) error {
	if !u.Keeping.Export.On || r.Export != conference.ExportNone || r.State != conference.ArtifactGenerated || r.DriveFileID == "" || r.File.State != conference.FilePresent {
		return nil
	}
	id, err := newID()
	if err != nil {
		return err
	}
	at := r.StartedAt
	if at.IsZero() {
		at = u.Now
	}
	copied := &export.Recording{ID: r.ID, MeetingID: m.ID, Account: account, DriveFileID: r.DriveFileID, File: r.File, State: conference.ExportPending}
	copied.Key = u.Keeping.Export.Key.Of(&export.Source{
		At: at.In(u.Keeping.Export.Zone), RecordingID: r.ID, MeetingID: int64(m.ID), MeetingUID: m.UID, Organizer: m.OrganizerEmail,
		Reference: m.ExternalReference, FileName: r.File.Name, MimeType: r.File.MimeType,
	})
	r.Export = conference.ExportPending
	u.NewExports = append(u.NewExports, copied)
	u.Plan(copied.Job(id, m, u.Now))
	return nil
}

// copied is a recording with its meeting and the row that worked on it, as an outcome needs them.
// stale: the outcome is of an older dispatch, or came before, and changes nothing.
func (u *Unit) copied(recording int64, job uuid.UUID, dispatch int64, kind string) (r *export.Recording, m *meeting.Meeting, stale bool, err error) {
	r, t := u.Exports[recording], u.Tasks[job.String()]
	if r == nil || t == nil || t.Kind != kind {
		return nil, nil, false, errRecordingNotFound
	}
	if m = u.Meetings[r.MeetingID]; m == nil {
		return nil, nil, false, errRecordingNotFound
	}
	return r, m, t.Stale(dispatch), nil
}

// settleExport has a recording written whose copy has come on, and draws what that means for its meeting.
func (u *Unit) settleExport(r *export.Recording, m *meeting.Meeting, facts []meeting.Event) (Result, error) {
	u.dirtyExports[r.ID] = struct{}{}
	version := m.Version
	if l := u.Ledgers[m.ID]; l != nil {
		for _, c := range l.Conferences {
			for _, held := range c.Recordings {
				if held.ID != r.ID {
					continue
				}
				held.Export = r.State
				if r.SourceGone && held.File.State != conference.FileGone {
					held.File.State = conference.FileGone
					held.Touch()
				}
			}
		}
		more, err := u.settleLedger(l, conference.Looked{})
		if err != nil {
			return Result{}, err
		}
		facts = append(facts, more...)
		if err := u.replan(l); err != nil {
			return Result{}, err
		}
	}
	if m.Version == version {
		m.Showed(u.Now)
	}
	u.Touch(m)
	return Result{Meeting: m, Facts: facts}, nil
}

// RecordingExported takes the outcome of making a checked copy.
type RecordingExported struct {
	Job       uuid.UUID
	Recording int64
	Outcome   export.Outcome
}

// Needs the recording with its meeting, and the job.
func (c *RecordingExported) Needs(n *Needs) {
	n.Tasks, n.Exports = append(n.Tasks, c.Job), append(n.Exports, c.Recording)
}

// Apply refuses with [fault.NotFound].
func (c *RecordingExported) Apply(u *Unit, _ *Command) (Result, error) {
	r, m, stale, err := u.copied(c.Recording, c.Job, c.Outcome.Dispatch, export.KindExport)
	if err != nil || stale {
		return Result{}, err
	}
	return u.settleExport(r, m, r.Exported(c.Outcome, u.Task(c.Job), m, u.Keeping.Export, u.Now))
}

// ExportVerified takes what reading an object again showed.
type ExportVerified struct {
	Job       uuid.UUID
	Dispatch  int64
	Recording int64
	Result    string
	Failure   *meeting.OutcomeFailure
}

// Needs the recording with its meeting, and the job.
func (c *ExportVerified) Needs(n *Needs) {
	n.Tasks, n.Exports = append(n.Tasks, c.Job), append(n.Exports, c.Recording)
}

// Apply refuses with [fault.NotFound].
func (c *ExportVerified) Apply(u *Unit, _ *Command) (Result, error) {
	r, m, stale, err := u.copied(c.Recording, c.Job, c.Dispatch, export.KindVerify)
	if err != nil || stale {
		return Result{}, err
	}
	return u.settleExport(r, m, r.Checked(c.Dispatch, c.Result, c.Failure, u.Task(c.Job), m, u.Keeping.Export, u.Now))
}

// ExportDeleted takes the outcome of deleting an object.
type ExportDeleted struct {
	Job       uuid.UUID
	Dispatch  int64
	Recording int64
	Failure   *meeting.OutcomeFailure
}

// Needs the recording with its meeting, and the job.
func (c *ExportDeleted) Needs(n *Needs) {
	n.Tasks, n.Exports = append(n.Tasks, c.Job), append(n.Exports, c.Recording)
}

// Apply refuses with [fault.NotFound].
func (c *ExportDeleted) Apply(u *Unit, _ *Command) (Result, error) {
	r, m, stale, err := u.copied(c.Recording, c.Job, c.Dispatch, export.KindDelete)
	if err != nil || stale {
		return Result{}, err
	}
	return u.settleExport(r, m, r.Deleted(c.Dispatch, c.Failure, u.Task(c.Job), m, u.Now))
}

// RecordingShared takes who may read a file by now.
type RecordingShared struct {
	Job       uuid.UUID
	Dispatch  int64
	Recording int64
	Emails    []string
	Failure   *meeting.OutcomeFailure
}

// Needs the recording with its meeting, and the job.
func (c *RecordingShared) Needs(n *Needs) {
	n.Tasks, n.Exports = append(n.Tasks, c.Job), append(n.Exports, c.Recording)
}

// Apply refuses with [fault.NotFound].
func (c *RecordingShared) Apply(u *Unit, _ *Command) (Result, error) {
	r, m, stale, err := u.copied(c.Recording, c.Job, c.Dispatch, export.KindShare)
	if err != nil || stale {
		return Result{}, err
	}
	return u.settleExport(r, m, r.Shared(c.Dispatch, c.Emails, c.Failure, u.Task(c.Job), m, u.Now))
}

// VerifyRecording asks for a recording's copy to be read again.
type VerifyRecording struct{ Recording int64 }

// Needs the recording with its meeting.
func (c *VerifyRecording) Needs(n *Needs) { n.Exports = append(n.Exports, c.Recording) }

// Apply refuses with [fault.NotFound], and with [fault.Conflict] where there is no copy.
func (c *VerifyRecording) Apply(u *Unit, _ *Command) (Result, error) {
	r := u.Exports[c.Recording]
	if r == nil {
		return Result{}, errRecordingNotFound
	}
	id, err := newID()
	if err != nil {
		return Result{}, err
	}
	t := r.Verify(id, u.Now)
	if t == nil {
		return Result{}, fault.New(fault.Conflict, ReasonNotExported, "there is no copy of the recording to verify")
	}
	u.Plan(t)
	return Result{Job: id, Change: changeOf(c.Recording, audit.Fields{"verify_job": id})}, nil
}

// changeOf is what the audit log says of a recording.
func changeOf(recording int64, after audit.Fields) *Change {
	return &Change{Kind: subjectRecording, ID: strconv.FormatInt(recording, 10), After: after}
}

// subjectRecording is what the audit log calls a recording.
const subjectRecording = "recording"

// ownRecording refuses another's recording as one that is not there.
func (u *Unit) ownRecording(id int64, user account.ID) error {
	r := u.Exports[id]
	if r == nil {
		return errRecordingNotFound
	}
	if err := u.ownMeeting(meeting.Ref{ID: r.MeetingID}, user); err != nil {
		return errRecordingNotFound
	}
	return nil
}

// Own is [Owned].
func (c *VerifyRecording) Own(u *Unit, user account.ID) error {
	return u.ownRecording(c.Recording, user)
}

// Own is [Owned].
func (c *ShareRecording) Own(u *Unit, user account.ID) error {
	return u.ownRecording(c.Recording, user)
}

// ShareRecording lets people read a recording's file in Drive.
type ShareRecording struct {
	Recording int64
	Emails    []string
}

// Needs the recording with its meeting.
func (c *ShareRecording) Needs(n *Needs) { n.Exports = append(n.Exports, c.Recording) }

// Apply refuses with [fault.NotFound], [fault.Invalid], and with [fault.Conflict] where there is no file.
func (c *ShareRecording) Apply(u *Unit, _ *Command) (Result, error) {
	r := u.Exports[c.Recording]
	if r == nil {
		return Result{}, errRecordingNotFound
	}
	if len(c.Emails) == 0 || len(c.Emails) > maxShare {
		return Result{}, fault.InvalidField("emails", "COUNT", "must hold 1 to "+strconv.Itoa(maxShare)+" addresses")
	}
	for _, e := range c.Emails {
		if !meeting.EmailLike(e) {
			return Result{}, fault.InvalidField("emails", "EMAIL", "each must be an email address")
		}
	}
	id, err := newID()
	if err != nil {
		return Result{}, err
	}
	t := r.Share(id, c.Emails, u.Now)
	if t == nil {
		return Result{}, fault.New(fault.Conflict, ReasonNoFile, "Google has no file of the recording to share")
	}
	u.Plan(t)
	keys := make([]string, 0, len(c.Emails))
	for _, e := range c.Emails {
		keys = append(keys, account.EmailKey(e))
	}
	return Result{Job: id, Change: changeOf(c.Recording, audit.Fields{"share_job": id, "shared_with": u.Mask.People(keys)})}, nil
}

// maxShare is how many people one request names at most.
const maxShare = 50

// SetLegalHold keeps what belongs to a meeting beyond any retention, or ends that.
type SetLegalHold struct {
	Ref    meeting.Ref
	Hold   bool
	Reason string
}

// Needs the meeting with its guests, whom the answer shows.
func (c *SetLegalHold) Needs(n *Needs) {
	n.Meetings, n.Guests = append(n.Meetings, c.Ref), append(n.Guests, c.Ref)
}

// Apply refuses with [meeting.ErrNotFound] and [fault.Invalid].
func (c *SetLegalHold) Apply(u *Unit, _ *Command) (Result, error) {
	m, err := u.Meeting(c.Ref)
	if err != nil {
		return Result{}, err
	}
	facts, err := m.SetLegalHold(c.Hold, c.Reason, u.Now)
	if err != nil {
		return Result{}, err
	}
	if len(facts) > 0 {
		u.Touch(m)
		u.Holds = append(u.Holds, m)
	}
	return Result{Meeting: m, Facts: facts}, nil
}
