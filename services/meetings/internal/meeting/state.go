package meeting

import "fmt"

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
