package meeting

import (
	"fmt"
	"slices"
	"time"
)

// Status is what clients know, and set. The zero Status is invalid.
type Status uint8

// The statuses.
const (
	Created Status = iota + 1
	Scheduled
	Finished
	// Cancelled is final.
	Cancelled
)

var statusNames = map[Status]string{Created: "CREATED", Scheduled: "SCHEDULED", Finished: "FINISHED", Cancelled: "CANCELLED"}

// nextStatus says what each status may become: anything, as clients could before, but nothing leads out of Cancelled.
var nextStatus = map[Status][]Status{
	Created:   {Created, Scheduled, Finished, Cancelled},
	Scheduled: {Created, Scheduled, Finished, Cancelled},
	Finished:  {Created, Scheduled, Finished, Cancelled},
	Cancelled: {Cancelled},
}

// Provisioning tells whether Google has made the link. Nothing leads out of Ready: a link, once there, stays; a failure can be
// tried again. The zero value is invalid.
type Provisioning uint8

// The provisioning states.
const (
	Pending Provisioning = iota + 1
	Ready
	Failed
)

var provisioningNames = map[Provisioning]string{Pending: "pending", Ready: "ready", Failed: "failed"}

// GoogleSync tells whether Google's copy equals the meeting. The zero value is invalid.
type GoogleSync uint8

// The sync states.
const (
	SyncPending GoogleSync = iota + 1
	SyncOK
	SyncFailed
)

var syncNames = map[GoogleSync]string{SyncPending: "pending", SyncOK: "ok", SyncFailed: "failed"}

// RecordingState is how far the recording has come. The zero value is invalid.
type RecordingState uint8

// The recording states.
const (
	NotExpected RecordingState = iota + 1
	Expected
	Started
	Ended
	FileGenerated
	Exported
	Verified
	Missing
)

var recordingNames = map[RecordingState]string{
	NotExpected: "not_expected", Expected: "expected", Started: "started", Ended: "ended",
	FileGenerated: "file_generated", Exported: "exported", Verified: "verified", Missing: "missing",
}

// nextRecording says what each state of the recording may become. What Google did in between is not always seen, so states may be
// passed over; a second conference begins anew, and a late file heals what was missing.
var nextRecording = map[RecordingState][]RecordingState{
	// Recorded by hand, or held before it was called off.
	NotExpected:   {Expected, Started, Ended, FileGenerated, Missing},
	Expected:      {NotExpected, Started, Ended, FileGenerated, Missing},
	Started:       {Ended, FileGenerated, Missing},
	Ended:         {Started, FileGenerated, Missing},
	FileGenerated: {Started, Ended, Exported, Verified, Missing},
	Exported:      {Started, Ended, FileGenerated, Verified, Missing},
	Verified:      {Started, Ended, FileGenerated, Exported, Missing},
	Missing:       {NotExpected, Expected, Started, Ended, FileGenerated, Exported, Verified},
}

// RecordingBecomes moves the recording on at now, with the reason why it may not come or is missing; it tells whether anything
// changed. A step that is not in the table is an error and changes nothing.
func (m *Meeting) RecordingBecomes(to RecordingState, reason string, now time.Time) (bool, error) {
	if to == m.Recording && reason == m.RecordingReason {
		return false, nil
	}
	if to != m.Recording && !slices.Contains(nextRecording[m.Recording], to) {
		return false, fmt.Errorf("the recording of meeting %d is %s and can't become %s", m.ID, m.Recording, to)
	}
	m.Recording, m.RecordingReason = to, reason
	m.Showed(now)
	return true, nil
}

// Showed marks at now that something changed that a client is shown and Google need not know of.
func (m *Meeting) Showed(now time.Time) { m.changed(now, false) }

// String is the name in the database and on the wire.
func (s Status) String() string         { return name(statusNames, s) }
func (s Provisioning) String() string   { return name(provisioningNames, s) }
func (s GoogleSync) String() string     { return name(syncNames, s) }
func (s RecordingState) String() string { return name(recordingNames, s) }

// ParseStatus is the inverse of [Status.String].
func ParseStatus(s string) (Status, error) { return parse(statusNames, "status", s) }

// ParseProvisioning is the inverse of [Provisioning.String].
func ParseProvisioning(s string) (Provisioning, error) {
	return parse(provisioningNames, "provisioning", s)
}

// ParseGoogleSync is the inverse of [GoogleSync.String].
func ParseGoogleSync(s string) (GoogleSync, error) { return parse(syncNames, "google_sync", s) }

// ParseRecordingState is the inverse of [RecordingState.String].
func ParseRecordingState(s string) (RecordingState, error) {
	return parse(recordingNames, "recording_state", s)
}

func name[S comparable](names map[S]string, s S) string {
	if n, ok := names[s]; ok {
		return n
	}
	return "invalid"
}

func parse[S comparable](names map[S]string, kind, text string) (S, error) {
	for s, n := range names {
		if n == text {
			return s, nil
		}
	}
	var none S
	return none, fmt.Errorf("no %s is called %q", kind, text)
}
