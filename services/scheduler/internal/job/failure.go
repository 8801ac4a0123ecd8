package job

import (
	"errors"
	"time"
)

// Kind is what may be done about a [Failure].
type Kind uint8

// The kinds.
const (
	// Transient: the same request may succeed later. Whether it was carried out is not known.
	Transient Kind = iota + 1
	// Refused: for good, until a person changes something.
	Refused
	// Taken: the id belongs to another event, possibly to one that was deleted.
	Taken
	// NotFound: there is none, there never was one, or the caller may not see it.
	NotFound
	// Gone: it was deleted.
	Gone
	// Stale: it changed since it was read.
	Stale
	// Hidden: Meet does not tell a space that is not there yet from one that is out of bounds.
	Hidden
	// Deferred: Google was not asked, because our share of a quota is used up or the API is down. It is no attempt.
	Deferred
)

// Failure is an answer of Google that is no success, in words that a person can act on.
type Failure struct {
	Kind Kind
	// Code is stable and in the docs.
	Code string
	// Message says what is wrong and what to do.
	Message string
	// After is how long Google asked to wait, or when a deferred call's turn is; 0: it did not say.
	After time.Duration
	// Err is for the log.
	Err error
}

func (f *Failure) Error() string {
	text := f.Code + ": " + f.Message
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	return text
}

func (f *Failure) Unwrap() error { return f.Err }

// Permanent tells whether trying again can't heal it.
func (f *Failure) Permanent() bool {
	switch f.Kind {
	case Refused, NotFound, Gone:
		return true
	case Transient, Taken, Stale, Hidden, Deferred:
		return false
	}
	return false
}

// The codes that are found here and not by the adapter.
const (
	// CodeEventGone: the event of a meeting that goes on was deleted in Google Calendar.
	CodeEventGone = "GOOGLE_EVENT_GONE"
	// CodeEventIDTaken: the event's id belongs to an event of somebody else.
	CodeEventIDTaken = "GOOGLE_EVENT_ID_TAKEN"
	// CodeConferenceFailed: Google made the event but no conference.
	CodeConferenceFailed = "GOOGLE_CONFERENCE_FAILED"
	// CodeConferencePending: Google has not made the conference yet.
	CodeConferencePending = "GOOGLE_CONFERENCE_PENDING"
	// CodeEventBusy: the event changes faster than it can be read and written.
	CodeEventBusy = "GOOGLE_EVENT_BUSY"
	// CodeRecordingNotSet: the space does not say that it will be recorded.
	CodeRecordingNotSet = "GOOGLE_RECORDING_NOT_SET"
	// CodeSettingsRefused: Google refused the settings of the space.
	CodeSettingsRefused = "GOOGLE_SETTINGS_REFUSED"
	// CodeOwnerUnknown: it is not known whose the space is, so that nobody can be asked what was held in it.
	CodeOwnerUnknown = "GOOGLE_OWNER_UNKNOWN"
	// CodeInternal: an error of the scheduler itself; its log says more.
	CodeInternal = "INTERNAL"
)

func refused(code, message string) *Failure {
	return &Failure{Kind: Refused, Code: code, Message: message}
}

// failureOf is err as a failure. What no adapter has classed is tried again.
func failureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Kind: Transient, Code: CodeInternal, Message: "the scheduler failed; its log says more", Err: err}
}

func is(err error, kinds ...Kind) bool {
	var f *Failure
	if !errors.As(err, &f) {
		return false
	}
	for _, k := range kinds {
		if f.Kind == k {
			return true
		}
	}
	return false
}
