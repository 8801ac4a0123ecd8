package meeting

import (
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// LegalHoldEvent says that what belongs to the meeting is kept beyond any retention, or no longer.
type LegalHoldEvent struct{ fact }

// maxHoldReason bounds the reason of a legal hold, in characters.
const maxHoldReason = 1024

// SetLegalHold keeps what belongs to the meeting beyond any retention, or ends that, at now. The same again is no error and states
// nothing new. A hold without a reason is a [fault.Invalid].
func (m *Meeting) SetLegalHold(hold bool, reason string, now time.Time) ([]Event, error) {
	var fields []fault.Field
	checkText(func(path, reason, text string) {
		fields = append(fields, fault.Field{Path: path, Reason: reason, Text: text})
	}, "reason", reason, maxHoldReason)
	if hold && reason == "" {
		fields = append(fields, fault.Field{Path: "reason", Reason: "REQUIRED", Text: "must say why"})
	}
	if len(fields) > 0 {
		return nil, fault.InvalidFields(fields...)
	}
	if m.LegalHold == hold && (m.LegalHoldReason == reason || !hold) {
		return nil, nil
	}
	m.LegalHold, m.LegalHoldReason = hold, reason
	m.Showed(now)
	return []Event{LegalHoldEvent{fact{m}}}, nil
}

// EmailLike tells whether a text may be an address.
func EmailLike(s string) bool { return emailLike(s) }
