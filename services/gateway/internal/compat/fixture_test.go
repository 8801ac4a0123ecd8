package compat

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

const (
	uid       = "01936f5e-7c00-7000-8000-00000000000c"
	operation = "01936f5e-7c00-7000-8000-0000000000aa"
)

// testTimeout is far above what anything takes.
const testTimeout = 10 * time.Second

var (
	testConfig = Config{TimeZone: "America/Bogota", AutoRecordDefault: true, SecretKey: "a test's key"}
	testSignIn = SignIn{Now: clock.System(), Life: time.Hour, Idle: time.Minute}
	testBuild  = Build{Version: "1.2.3", Commit: "abc1234", AuthMode: "open"}
)

// rest is the surface over a scripted meetings service.
type rest struct {
	tb       testing.TB
	api      *API
	meetings *backendtest.Meetings
	schemas  *jsonschema.Compiler
	who      bus.Principal
}

func newREST(tb testing.TB) *rest {
	tb.Helper()
	return newRESTWith(tb, backend.Config{CreateWait: testTimeout, CommandTimeout: testTimeout, QueryTimeout: testTimeout})
}

func newRESTWith(tb testing.TB, config backend.Config) *rest {
	tb.Helper()
	meetings := backendtest.New(tb)
	api := newAPI(tb, backend.New(config, meetings.Bus))
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.schema.json.content))
	if err != nil {
		tb.Fatal(err)
	}
	closed(doc)
	schemas := jsonschema.NewCompiler()
	schemas.AssertFormat()
	if err := schemas.AddResource("openapi.json", doc); err != nil {
		tb.Fatal(err)
	}
	return &rest{tb: tb, api: api, meetings: meetings, schemas: schemas, who: auth.LocalAdmin}
}

// closed lets no answer have a field that its schema does not name: clients may meet such ones, but only of a newer server.
func closed(doc any) {
	schemas := doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for _, s := range schemas {
		schema := s.(map[string]any)
		if _, says := schema["additionalProperties"]; !says && schema["properties"] != nil {
			schema["additionalProperties"] = false
		}
	}
}

func newAPI(tb testing.TB, b *backend.Backend) *API {
	tb.Helper()
	api, err := New(testConfig, testBuild, b, testSignIn, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return api
}

// as is the same surface for another caller.
func (s *rest) as(who bus.Principal) *rest {
	other := *s
	other.who = who
	return &other
}

// answered is one answer.
type answered struct {
	tb     testing.TB
	status int
	header http.Header
	body   string
}

// do sends a request, JSON where there is a body, and holds the answer to the schema.
func (s *rest) do(method, path, body string, headers ...string) answered {
	s.tb.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(auth.With(s.tb.Context(), s.who), method, path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			r.Header.Del(headers[i])
		}
		r.Header[http.CanonicalHeaderKey(headers[i])] = append(r.Header[http.CanonicalHeaderKey(headers[i])], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	a := answered{tb: s.tb, status: w.Code, header: w.Header(), body: w.Body.String()}
	if length := a.header.Get("Content-Length"); length != "" && method != http.MethodHead && length != strconv.Itoa(len(a.body)) {
		s.tb.Errorf("%s %s: Content-Length %s of %d bytes", method, path, length, len(a.body))
	}
	s.conform(method, path, a)
	return a
}

// conform fails the test when an answer is not what the OpenAPI document says of its route and status.
func (s *rest) conform(method, path string, a answered) {
	s.tb.Helper()
	media := a.header.Get("Content-Type")
	if a.body == "" || !strings.HasSuffix(media, "json") || method == http.MethodOptions {
		return
	}
	path, _, _ = strings.Cut(path, "?")
	pattern := s.pattern(path)
	item := s.api.api.OpenAPI().Paths[pattern]
	if item == nil {
		return // unknown paths and methods are in no schema
	}
	var op *huma.Operation
	switch method {
	case http.MethodGet:
		op = item.Get
	case http.MethodPost:
		op = item.Post
	case http.MethodPut:
		op = item.Put
	case http.MethodPatch:
		op = item.Patch
	case http.MethodDelete:
		op = item.Delete
	}
	if op == nil {
		return
	}
	status := strconv.Itoa(a.status)
	if op.Responses[status] == nil {
		s.tb.Errorf("%s %s answered %s, which its schema does not name", method, pattern, status)
		return
	}
	pointer := "openapi.json#/paths/" + escape(pattern) + "/" + strings.ToLower(method) + "/responses/" + status
	if ref := op.Responses[status].Ref; ref != "" {
		pointer = "openapi.json" + ref
	}
	schema, err := s.schemas.Compile(pointer + "/content/" + escape(media) + "/schema")
	if err != nil {
		s.tb.Errorf("%s %s %s: %v", method, pattern, status, err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	if err != nil {
		s.tb.Errorf("%s %s: %v: %s", method, path, err, a.body)
		return
	}
	if err := schema.Validate(value); err != nil {
		s.tb.Errorf("%s %s: the answer is not what the schema says: %v\n%s", method, path, err, a.body)
	}
}

func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1"), "{", "%7B")
}

// pattern is the path in the schema that path is an instance of.
func (s *rest) pattern(path string) string {
	if s.api.api.OpenAPI().Paths[path] != nil {
		return path
	}
	parts := strings.Split(path, "/")
	if len(parts) > 4 {
		parts[4] = "{id}"
	}
	return strings.Join(parts, "/")
}

// is fails the test when status or body are others, byte for byte.
func (a answered) is(status int, body string) answered {
	a.tb.Helper()
	if a.status != status || a.body != body {
		a.tb.Errorf("answered %d\n%s\nwant %d\n%s", a.status, a.body, status, body)
	}
	return a
}

// has fails the test when a header is another; empty means absent.
func (a answered) has(pairs ...string) answered {
	a.tb.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := strings.Join(a.header.Values(pairs[i]), ", "); got != pairs[i+1] {
			a.tb.Errorf("header %s is %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
	return a
}

func at(s string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(t)
}

// aMeeting is a meeting whose link was made, as commands answer it.
func aMeeting() *meetv1.Meeting {
	return &meetv1.Meeting{
		Id: 12, Uid: uid, OrganizerId: 1, OrganizerUsername: "doctor", OrganizerEmail: "doctor@clinic.example",
		InvitedEmails: []string{"p@mail.example"}, ScheduledStart: at("2026-12-01T15:00:00Z"), ScheduledEnd: at("2026-12-01T15:30:00.123456Z"),
		Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, Provisioning: meetv1.Provisioning_PROVISIONING_READY,
		GoogleSync: meetv1.GoogleSync_GOOGLE_SYNC_OK, RecordingState: meetv1.RecordingState_RECORDING_STATE_EXPECTED,
		ExternalReference: "HIS-4711 <ñandú> & co", AutoRecord: true, GoogleEventId: "evt1", MeetLink: "https://meet.google.com/abc-defg-hij",
		ParticipantsCount: 2, Version: 2, Etag: `"2"`, CreatedAt: at("2026-11-24T12:00:00.5Z"), UpdatedAt: at("2026-11-24T12:00:01Z"),
	}
}

// pendingMeeting is the same before Google made the link.
func pendingMeeting() *meetv1.Meeting {
	m := aMeeting()
	m.GoogleEventId, m.MeetLink, m.Version, m.Etag = "", "", 1, `"1"`
	m.Provisioning, m.GoogleSync = meetv1.Provisioning_PROVISIONING_PENDING, meetv1.GoogleSync_GOOGLE_SYNC_PENDING
	return m
}

// done is what Google came to.
func done() *meetv1.OperationDone {
	m := aMeeting()
	return &meetv1.OperationDone{
		Operation: operation, MeetingId: m.GetId(), Provisioning: m.GetProvisioning(), GoogleSync: m.GetGoogleSync(), Status: m.GetStatus(),
		RecordingState: m.GetRecordingState(), GoogleEventId: m.GetGoogleEventId(), MeetLink: m.GetMeetLink(), Version: 2, UpdatedAt: m.GetUpdatedAt(),
	}
}

func aUser() *meetv1.User {
	return &meetv1.User{
		Id: 1, Username: "doctor", Email: "doctor@clinic.example", FirstName: "Ana", LastName: "Ruiz",
		Role: meetv1.UserRole_USER_ROLE_EXTERNAL, IsActive: true, DateJoined: at("2026-11-01T08:00:00Z"),
	}
}

func aRecording() *meetv1.Recording {
	return &meetv1.Recording{
		Id: 5, MeetingId: 12, DriveFileId: "file1", DriveFileUrl: "https://drive.google.com/file/d/file1/view", DurationSeconds: proto.Int64(3909),
		State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, StartedAt: at("2026-12-01T15:00:10Z"), EndedAt: at("2026-12-01T16:05:19Z"),
		AvailableAt: at("2026-12-01T16:20:00Z"), CreatedAt: at("2026-12-01T15:00:11Z"),
	}
}

// exportedRecording is one whose copy was made, checked and found wanting later.
func exportedRecording() *meetv1.Recording {
	r := aRecording()
	r.Id, r.ConferenceId, r.Name, r.FileState, r.ExportState = 6, 3, "conferenceRecords/a/recordings/b", "trashed", "mismatch"
	r.ExportUri, r.Sha256, r.SizeBytes = "s3://bucket/2026/12/r.mp4", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", proto.Int64(734003200)
	r.ExportedAt, r.VerifiedAt, r.DeleteAfter = at("2026-12-01T16:31:00Z"), at("2026-12-01T16:31:40.25Z"), at("2031-12-01T16:20:00Z")
	r.ExportError = &meetv1.SyncError{Code: "EXPORT_MISMATCH", Message: "the object has other bytes"}
	r.SharedWith = []string{"auditor@clinic.example"}
	return r
}

func someParticipants() []*meetv1.Participant {
	return []*meetv1.Participant{
		{
			Id: 1, MeetingId: 12, Email: "doctor@clinic.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER, ResponseStatus: "accepted",
			JoinedAt: at("2026-12-01T14:59:58Z"), CreatedAt: at("2026-11-24T12:00:00Z"),
		},
		{Id: 2, MeetingId: 12, Email: "p@mail.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST, CreatedAt: at("2026-11-24T12:00:00Z")},
	}
}

// aDetail is what the query answers.
func aDetail() *meetv1.Meeting {
	m := aMeeting()
	m.Organizer, m.Participants, m.Recording = aUser(), someParticipants(), aRecording()
	return m
}

// of is the same surface for a subtest.
func (s *rest) of(tb testing.TB) *rest {
	other := *s
	other.tb = tb
	return &other
}
