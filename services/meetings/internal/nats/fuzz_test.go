package nats

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	natsgo "github.com/nats-io/nats.go"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// letter is a message of MEET_COMMANDS without a server.
type letter struct {
	jetstream.Msg
	subject string
	body    []byte
	header  natsgo.Header
}

func (l letter) Subject() string        { return l.subject }
func (l letter) Data() []byte           { return l.body }
func (l letter) Headers() natsgo.Header { return l.header }
func (l letter) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{NumDelivered: 1}, nil
}

// FuzzCommand: whatever a body holds, it is not read at all, or it is answered, and never by a fault of ours. What was
// accepted can be read again and sent to Google.
func FuzzCommand(f *testing.F) {
	subjects := []string{
		string(subject.CreateMeeting), string(subject.UpdateMeeting), string(subject.CancelMeeting), string(subject.ProvisionMeeting),
		string(subject.MeetingSynced), string(subject.CreateUser), string(subject.UpdateUser),
		string(subject.RecordingExported), string(subject.ExportVerified), string(subject.ExportDeleted), string(subject.RecordingShared),
		string(subject.RunHousekeeping), string(subject.SyncRecording), string(subject.SyncAllRecordings), string(subject.VerifyRecording),
		string(subject.ShareRecording), string(subject.SetLegalHold),
	}
	for kind, bodies := range [][]string{
		{
			`{"organizerEmail":"d@x.example","invitedEmails":["p@x.example"],"timeZone":"UTC"}`,
			`{"organizerEmail":"a\u0000b@x","invitedEmails":["p@x.example"],"timeZone":"UTC"}`,
			`{"organizerEmail":"\u212a@x","invitedEmails":["k@x","K@x","\u0130@x","i@x","\u0131@x"],"timeZone":"UTC"}`,
			`{"organizerEmail":"\u00c9@x","invitedEmails":["\u00e9@x","\u00c9@x"],"timeZone":"UTC"}`,
			`{"organizerEmail":"d@x","invitedEmails":["p@x"],"timeZone":"UTC","scheduledStart":"9999-12-31T23:59:59.999999999Z"}`,
			`{"organizerEmail":"d@x","invitedEmails":["p@x"],"timeZone":"UTC","scheduledEnd":"0001-01-01T00:00:00.000000001Z"}`,
			`{"organizerEmail":"d@x","invitedEmails":["p@x"],"timeZone":"UTC","scheduledStart":"2026-12-01T15:00:00.123456789Z","scheduledEnd":"2026-12-01T15:00:00.1234565Z"}`,
			`{"organizerEmail":"d@x","invitedEmails":["p@x"],"timeZone":"UTC","summary":"\u0000","externalReference":"\ufffe\uffff"}`,
			`{"organizerEmail":"@","invitedEmails":[],"timeZone":"../../etc/passwd"}`,
			"{\"organizerEmail\":\"\xff@x\"}", `{"scheduledStart":"99999-01-01T00:00:00Z"}`, `[]`, ``, `{"organizerEmail":1e999}`,
		},
		{
			`{"id":"1","meeting":{"status":"MEETING_STATUS_FINISHED","summary":"s"},"updateMask":"status,summary"}`,
			`{"id":"1","updateMask":"status"}`, `{"id":"1","updateMask":"version"}`, `{"id":"0"}`, `{"id":"-1"}`, `{"id":"99999999999999999999"}`, `{"id":"\u0000"}`,
			`{"id":"1","addInvitedEmails":["x@x","X@x","\u0000@x"],"removeInvitedEmails":["\u0000"]}`,
			`{"id":"1","meeting":{"scheduledStart":"9999-12-31T23:59:59Z"},"updateMask":"scheduledStart","etag":"\u0000"}`,
			`{"id":"1","meeting":{"status":77},"updateMask":"status"}`,
		},
		{`{"id":"1"}`, `{"id":"1","etag":"\"999999999999999999999\""}`, `{"id":""}`},
		{`{"id":"1"}`, `{"id":"00000000-0000-0000-0000-000000000000"}`},
		{
			`{"meetingId":"1","dispatch":"1","version":"1","complete":true,"google":{"eventId":"e","meetLink":"l","eventVersion":"1"}}`,
			`{"meetingId":"1","dispatch":"-9223372036854775808","version":"-1","generation":"9223372036854775807","google":{"eventVersion":"9223372036854775807","settingsVersion":"-9223372036854775808"}}`,
			`{"meetingId":"1","dispatch":"1","version":"1","failure":{"code":"\u0000","message":"\u0000\ud83d\ude00","retryAt":"9999-12-31T23:59:59Z"}}`,
			`{"meetingId":"1","dispatch":"1","version":"1","failure":{"permanent":true}}`, `{"meetingId":"0"}`, `{"meetingId":"-5"}`,
			`{"meetingId":"1","dispatch":"1","google":{"meetLink":"a\u0000b","eventId":"\u0000","accessType":"\u0000"}}`, `{"meetingId":"9223372036854775808"}`,
		},
		{
			`{"username":"u","email":"u@x","role":"USER_ROLE_ADMIN"}`, `{"username":"\u0000","email":"u@x"}`, `{"username":"v","email":"\u0000@x","firstName":"\u0000"}`,
			`{"username":"w","email":"w@x","role":99,"passwordHash":"\u0000"}`, `{}`,
		},
		{
			`{"id":"1","user":{"email":"new@x","firstName":"\u0000"},"updateMask":"email,firstName"}`, `{"id":"1","user":{"role":99},"updateMask":"role"}`,
			`{"id":"-9223372036854775808","user":{"email":"\u0130@x"},"updateMask":"email"}`, `{"id":"1","updateMask":"id"}`,
			`{"id":"1","user":{"isActive":false,"passwordHash":"h"},"updateMask":"isActive,passwordHash"}`,
		},
	} {
		for _, body := range bodies {
			f.Add(uint8(kind), []byte(body))
		}
	}
	store := postgres.NewStore(postgres.Config{DatabaseURL: config.Secret(pgtest.New(f, postgres.Migrate)), MaxConns: 2, Wait: patience}, quiet())
	if err := store.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	now := clock.NewManual(today)
	processor := app.NewProcessor(store, Codec{}, now.Now, quiet())
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		r, err := decodeCommand(letter{
			subject: subjects[int(kind)%len(subjects)], body: body,
			header: natsgo.Header{"Meet-Command-Id": []string{uuid.NewString()}},
		})
		if err != nil {
			return // a dead letter
		}
		now.Advance(time.Second)
		// In the company of another that makes and changes meeting 1 anew.
		made := create(fmt.Sprintf("d%d@fuzz.example", now.Now().UnixMicro()%7))
		processor.Process(t.Context(), []*app.Command{made, &r.Command})
		if made.Err != nil || made.Refusal != nil || r.Err != nil {
			t.Fatalf("%v, %v, %v", made.Err, made.Refusal, r.Err)
		}
		reply := new(meetv1.CommandReply)
		if err := proto.Unmarshal(r.Reply, reply); err != nil || reply.GetFault().GetKind() == fault.Internal.String() || (reply.GetFault() != nil) != (r.Refusal != nil) {
			t.Fatalf("reply %v, %v", reply, err)
		}
		if r.Refusal != nil || r.Kind != "meeting.create" && r.Kind != "meeting.update" {
			return
		}
		resp := new(meetv1.CreateMeetingResponse)
		if err := proto.Unmarshal(reply.GetResponse(), resp); err != nil {
			t.Fatal(err)
		}
		wish, err := NewQueries(store, nil, nil).getMeetingWish(t.Context(), &meetv1.GetMeetingWishRequest{MeetingId: resp.GetMeeting().GetId()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := protojson.Marshal(wish); err != nil {
			t.Fatalf("the wish can't travel: %v", err)
		}
	})
}
