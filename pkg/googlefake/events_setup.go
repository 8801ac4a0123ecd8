package googlefake

// EventsSetup are faults in what Workspace Events publishes. Probabilities are of each message.
type EventsSetup struct {
	Drop        float64 `json:"drop,omitempty"`
	Duplicate   float64 `json:"duplicate,omitempty"` // same ce-id, another messageId
	Reorder     float64 `json:"reorder,omitempty"`   // delivered after the message that follows it
	Late        float64 `json:"late,omitempty"`      // held back by Delay
	Delay       string  `json:"delay,omitempty"`     // on the emulator's clock; "" is 2m
	UnknownType float64 `json:"unknown_type,omitempty"`
	Undecodable float64 `json:"undecodable,omitempty"` // data is no JSON
	Redeliver   float64 `json:"redeliver,omitempty"`   // an acknowledged message comes again
	// Burst holds every message back until this many have come together.
	Burst int `json:"burst,omitempty"`
	// NoReminders loses the warnings that a subscription ends soon.
	NoReminders bool `json:"no_reminders,omitempty"`
	// CamelCase spells the fields of lifecycle events suspensionReason and expireTime; the
	// documentation shows them in snake_case.
	CamelCase bool `json:"camel_case,omitempty"`
	// OperationDelay is how long a subscription's creation stays an unfinished operation.
	OperationDelay string `json:"operation_delay,omitempty"`
}

func (e *EventsSetup) check() error {
	for field, p := range map[string]float64{
		"drop": e.Drop, "duplicate": e.Duplicate, "reorder": e.Reorder, "late": e.Late,
		"unknown_type": e.UnknownType, "undecodable": e.Undecodable, "redeliver": e.Redeliver,
	} {
		if !(p >= 0 && p <= 1) {
			return &fieldError{field, "want 0 to 1"}
		}
	}
	if e.Burst < 0 {
		return &fieldError{"burst", "want 0 or more"}
	}
	return nil
}
