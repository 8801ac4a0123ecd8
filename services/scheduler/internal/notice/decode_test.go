package notice_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

func attributes(kind string) map[string]string {
	return map[string]string{
		"ce-id": "1", "ce-source": "//workspaceevents.googleapis.com/subscriptions/meet-users-1", "ce-specversion": "1.0", "ce-type": kind,
		"ce-subject": "//cloudidentity.googleapis.com/users/17", "ce-time": "2026-03-02T10:01:02.123456Z", "ce-datacontenttype": "application/json",
	}
}

func TestANoticeIsReadInEitherSpelling(t *testing.T) {
	const record, life = "google.workspace.meet.", "google.workspace.events.subscription.v1."
	for name, test := range map[string]struct{ kind, data, resource, reason string }{
		"started":            {record + "conference.v2.started", `{"conferenceRecord":{"name":"conferenceRecords/r"}}`, "conferenceRecords/r", ""},
		"started, snake":     {record + "conference.v2.started", `{"conference_record":{"name":"conferenceRecords/r"}}`, "conferenceRecords/r", ""},
		"joined":             {record + "participant.v2.joined", `{"participantSession":{"name":"conferenceRecords/r/participants/p/participantSessions/s"},"more":1}`, "conferenceRecords/r/participants/p/participantSessions/s", ""},
		"joined, snake":      {record + "participant.v2.joined", `{"participant_session":{"name":"conferenceRecords/r/participants/p/participantSessions/s"}}`, "conferenceRecords/r/participants/p/participantSessions/s", ""},
		"file":               {record + "recording.v2.fileGenerated", `{"recording":{"name":"conferenceRecords/r/recordings/x"}}`, "conferenceRecords/r/recordings/x", ""},
		"transcript":         {record + "transcript.v2.ended", `{"transcript":{"name":"conferenceRecords/r/transcripts/x"}}`, "conferenceRecords/r/transcripts/x", ""},
		"suspended":          {life + "suspended", `{"subscription":{"name":"subscriptions/s","suspensionReason":"OTHER"}}`, "subscriptions/s", "OTHER"},
		"suspended, snake":   {life + "suspended", `{"subscription":{"name":"subscriptions/s","suspension_reason":"OTHER"}}`, "subscriptions/s", "OTHER"},
		"reminder":           {life + "expirationReminder", `{"subscription":{"name":"subscriptions/s","expire_time":"2026-03-02T10:01:02Z"}}`, "subscriptions/s", ""},
		"a reason of no use": {life + "expired", `{"subscription":{"name":"subscriptions/s","suspension_reason":7}}`, "subscriptions/s", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := notice.Decode(notice.Message{Attributes: attributes(test.kind), Data: []byte(test.data)})
			want := notice.Notice{
				Source: "//workspaceevents.googleapis.com/subscriptions/meet-users-1", ID: "1", Type: test.kind, Target: "//cloudidentity.googleapis.com/users/17",
				Time: time.Date(2026, 3, 2, 10, 1, 2, 123456000, time.UTC), Resource: test.resource, Reason: test.reason,
			}
			if err != nil || got != want {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

func TestWhatIsNoNoticeIsRefusedWithoutItsContent(t *testing.T) {
	const good = `{"recording":{"name":"conferenceRecords/r/recordings/x"}}`
	for name, test := range map[string]struct {
		change  map[string]string
		data    string
		unknown bool
	}{
		"no id":             {map[string]string{"ce-id": ""}, good, false},
		"no source":         {map[string]string{"ce-source": ""}, good, false},
		"another version":   {map[string]string{"ce-specversion": "2.0"}, good, false},
		"no time":           {map[string]string{"ce-time": "SECRET"}, good, false},
		"a time before any": {map[string]string{"ce-time": "0000-01-01T00:00:00Z"}, good, false},
		"a line in a name":  {map[string]string{"ce-id": "SECRET\n"}, good, false},
		"a long name":       {map[string]string{"ce-subject": strings.Repeat("SECRET", 100)}, good, false},
		"no JSON":           {nil, "\xff SECRET", false},
		"no object":         {nil, `["SECRET"]`, false},
		"another thing":     {nil, `{"transcript":{"name":"SECRET"}}`, false},
		"no name":           {nil, `{"recording":{}}`, false},
		"a name of nothing": {nil, `{"recording":{"name":"SECRET/x"}}`, false},
		"long data":         {nil, `{"recording":{"name":"conferenceRecords/` + strings.Repeat("SECRET", 4000) + `"}}`, false},
		"no data":           {nil, "", false},
		"another type":      {map[string]string{"ce-type": "google.workspace.meet.weather.v9.changed"}, good, true},
		"notes":             {map[string]string{"ce-type": "google.workspace.meet.smartNote.v2.started"}, good, true},
		"a type cut short":  {map[string]string{"ce-type": "google.workspace.meet.recording"}, good, true},
		"somebody else's":   {map[string]string{"ce-type": "google.workspace.chat.message.v1.created"}, good, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := notice.Message{Attributes: attributes("google.workspace.meet.recording.v2.started"), Data: []byte(test.data)}
			maps.Copy(m.Attributes, test.change)
			_, err := notice.Decode(m)
			if err == nil || errors.Is(err, notice.ErrUnknownType) != test.unknown || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("1", "//workspaceevents.googleapis.com/subscriptions/s", "google.workspace.meet.recording.v2.started", "2026-03-02T10:01:02Z", []byte(`{"recording":{"name":"conferenceRecords/r/recordings/x"}}`))
	f.Add("1", "s", "google.workspace.events.subscription.v1.suspended", "2026-03-02T10:01:02+05:00", []byte(`{"subscription":{"name":"subscriptions/s","suspension_reason":"OTHER"}}`))
	f.Add("", "", "google.workspace.meet.", "", []byte("null"))
	f.Fuzz(func(t *testing.T, id, source, kind, at string, data []byte) {
		m := notice.Message{Data: data, Attributes: map[string]string{"ce-id": id, "ce-source": source, "ce-type": kind, "ce-time": at}}
		n, err := notice.Decode(m)
		if err != nil {
			return
		}
		for _, s := range []string{n.ID, n.Source, n.Type, n.Resource, n.Target, n.Reason} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x00") || len(s) > 512 {
				t.Errorf("%q", s)
			}
		}
		if n.ID == "" || n.Resource == "" || n.Time.Location() != time.UTC || !json.Valid(data) {
			t.Errorf("%+v of %q", n, data)
		}
	})
}
