package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is one of the queue's.
type Message struct {
	// AckID takes it out of the queue; another delivery has another.
	AckID      string
	Attributes map[string]string
	Data       []byte
}

// Notice is what a message says (CloudEvents 1.0 in Pub/Sub attributes; Google Workspace Events API, event data).
type Notice struct {
	// Source and ID together name it: a double has the same.
	Source, ID string
	Type       string
	Time       time.Time
	// Resource is what it is about, such as conferenceRecords/…/recordings/…; of a notice about the subscription itself,
	// subscriptions/….
	Resource string
	// Target is what is subscribed to.
	Target string
	// Reason is why a subscription was suspended.
	Reason string
}

const (
	// meetPrefix and lifecyclePrefix begin the types that are known.
	meetPrefix      = "google.workspace.meet."
	lifecyclePrefix = "google.workspace.events.subscription.v1."
	// maxName bounds every name, in bytes: Google's are far shorter.
	maxName = 512
	// maxData bounds the data that is read: names and nothing else are in it.
	maxData = 16 << 10
)

// ErrUnknownType says that it is of a type which nothing here depends on.
var ErrUnknownType = errors.New("the type is not known")

// Decode reads a message. An error holds nothing of its content.
func Decode(m Message) (Notice, error) {
	n := Notice{
		Source: m.Attributes["ce-source"], ID: m.Attributes["ce-id"], Type: m.Attributes["ce-type"], Target: m.Attributes["ce-subject"],
	}
	thing, known := thingOf(n.Type)
	switch {
	case m.Attributes["ce-specversion"] != "" && m.Attributes["ce-specversion"] != "1.0":
		return Notice{}, errors.New("ce-specversion is not 1.0")
	case n.ID == "" || n.Source == "" || n.Type == "":
		return Notice{}, errors.New("ce-id, ce-source or ce-type is missing")
	case !known:
		return Notice{}, ErrUnknownType
	}
	for _, name := range []string{n.ID, n.Source, n.Type, n.Target} {
		if !sound(name) {
			return Notice{}, errors.New("an attribute is too long or is no text")
		}
	}
	at, err := time.Parse(time.RFC3339Nano, m.Attributes["ce-time"])
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return Notice{}, errors.New("ce-time is no time")
	}
	n.Time = at.UTC()
	if len(m.Data) > maxData {
		return Notice{}, errors.New("the data is too long")
	}
	// Google's documentation spells the fields of some types in snake_case and its other JSON in camelCase.
	var data map[string]json.RawMessage
	if err := json.Unmarshal(m.Data, &data); err != nil {
		return Notice{}, errors.New("the data is no JSON object")
	}
	var about map[string]json.RawMessage
	if err := json.Unmarshal(field(data, thing), &about); err != nil {
		return Notice{}, fmt.Errorf("the data has no %s", thing)
	}
	n.Resource, n.Reason = text(field(about, "name")), text(field(about, "suspensionReason"))
	if !sound(n.Resource) || !sound(n.Reason) || !strings.HasPrefix(n.Resource, prefixOf(thing)) {
		return Notice{}, fmt.Errorf("the %s has no name", thing)
	}
	return n, nil
}

// thingOf is the field of the data that a type has.
func thingOf(kind string) (thing string, known bool) {
	if strings.HasPrefix(kind, lifecyclePrefix) {
		return "subscription", true
	}
	rest, meet := strings.CutPrefix(kind, meetPrefix)
	if !meet {
		return "", false
	}
	thing, rest, _ = strings.Cut(rest, ".")
	if _, what, versioned := strings.Cut(rest, "."); !versioned || what == "" {
		return "", false
	}
	switch thing {
	case "conference":
		return "conferenceRecord", true
	case "participant":
		return "participantSession", true
	case "recording", "transcript":
		return thing, true
	}
	return "", false // smart notes among them
}

func prefixOf(thing string) string {
	if thing == "subscription" {
		return "subscriptions/"
	}
	return "conferenceRecords/"
}

// field finds a field in either spelling.
func field(object map[string]json.RawMessage, camel string) json.RawMessage {
	if value, ok := object[camel]; ok {
		return value
	}
	var snake strings.Builder
	for _, r := range camel {
		if r >= 'A' && r <= 'Z' {
			snake.WriteByte('_')
			r += 'a' - 'A'
		}
		snake.WriteRune(r)
	}
	return object[snake.String()]
}

// text is a JSON string; empty for anything else.
func text(value json.RawMessage) string {
	var s string
	_ = json.Unmarshal(value, &s) // what is no string is none
	return s
}

// sound: it can be kept in a column and shown.
func sound(s string) bool {
	return len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
