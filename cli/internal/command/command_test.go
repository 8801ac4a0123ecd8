package command_test

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meet-middleware/meet-middleware/cli/internal/command"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
)

// server answers with its functions, and keeps what it was asked.
type server struct {
	meetv1connect.UnimplementedMeetingServiceHandler
	create    func() (*meetv1.CreateMeetingResponse, error)
	get       func() (*meetv1.Meeting, error)
	list      func(*meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error)
	change    func() (*meetv1.Meeting, error)
	operation func() (*meetv1.Operation, error)

	asked  []proto.Message
	keys   []string
	prefer string
}

func note[T any](s *server, req *connect.Request[T], msg proto.Message) {
	s.asked = append(s.asked, msg)
	s.keys = append(s.keys, req.Header().Get("Idempotency-Key"))
	s.prefer = req.Header().Get("Prefer")
}

func answer[T any](msg *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(msg), nil
}

func (s *server) CreateMeeting(_ context.Context, req *connect.Request[meetv1.CreateMeetingRequest]) (*connect.Response[meetv1.CreateMeetingResponse], error) {
	note(s, req, req.Msg)
	return answer(s.create())
}

func (s *server) GetMeeting(_ context.Context, req *connect.Request[meetv1.GetMeetingRequest]) (*connect.Response[meetv1.Meeting], error) {
	note(s, req, req.Msg)
	return answer(s.get())
}

func (s *server) ListMeetings(_ context.Context, req *connect.Request[meetv1.ListMeetingsRequest]) (*connect.Response[meetv1.ListMeetingsResponse], error) {
	note(s, req, req.Msg)
	return answer(s.list(req.Msg))
}

func (s *server) UpdateMeeting(_ context.Context, req *connect.Request[meetv1.UpdateMeetingRequest]) (*connect.Response[meetv1.UpdateMeetingResponse], error) {
	note(s, req, req.Msg)
	m, err := s.change()
	return answer(&meetv1.UpdateMeetingResponse{Meeting: m}, err)
}

func (s *server) CancelMeeting(_ context.Context, req *connect.Request[meetv1.CancelMeetingRequest]) (*connect.Response[meetv1.CancelMeetingResponse], error) {
	note(s, req, req.Msg)
	m, err := s.change()
	return answer(&meetv1.CancelMeetingResponse{Meeting: m}, err)
}

func (s *server) GetOperation(_ context.Context, req *connect.Request[meetv1.GetOperationRequest]) (*connect.Response[meetv1.Operation], error) {
	note(s, req, req.Msg)
	return answer(s.operation())
}

// result is what a command line left.
type result struct {
	code     int
	out, err string
}

// run runs one command line against s, in a machine whose zone is UTC.
func run(t *testing.T, s *server, args ...string) result {
	t.Helper()
	path, handler := meetv1connect.NewMeetingServiceHandler(s)
	_ = path // it serves nothing else
	web := httptest.NewServer(handler)
	defer web.Close()
	return against(t, web.URL, args...)
}

func against(t *testing.T, url string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := command.Run(t.Context(), args, command.Terminal{Out: &out, Err: &errs, Zone: time.UTC, Getenv: func(name string) string {
		if name == "MEET_SERVER" {
			return url
		}
		return ""
	}})
	return result{code, out.String(), strings.ReplaceAll(errs.String(), url, "http://SERVER")}
}

func (r result) text() []byte {
	text := r.out
	if r.err != "" {
		text += "--- standard error\n" + r.err
	}
	return []byte(text)
}

func at(text string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(t)
}

func meeting() *meetv1.Meeting {
	return &meetv1.Meeting{
		Id: 12, Uid: "01934b2e-7c11-7abc-8def-0123456789ab", OrganizerId: 1, OrganizerUsername: "doctor", OrganizerEmail: "doctor@clinic.example",
		InvitedEmails: []string{"p@mail.example", "q@mail.example"}, ScheduledStart: at("2026-12-01T20:00:00Z"), ScheduledEnd: at("2026-12-01T20:30:00Z"),
		Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, Provisioning: meetv1.Provisioning_PROVISIONING_READY, GoogleSync: meetv1.GoogleSync_GOOGLE_SYNC_OK,
		RecordingState: meetv1.RecordingState_RECORDING_STATE_EXPECTED, Summary: "Control\u001b[2J mensual", TimeZone: "America/Bogota",
		MeetLink: "https://meet.google.com/abc-defg-hij", Version: 2, Etag: `"2"`, Simulated: true, CreatedAt: at("2026-11-24T13:00:00Z"),
	}
}

func pending() *meetv1.Meeting {
	m := meeting()
	m.Provisioning, m.GoogleSync, m.MeetLink, m.Simulated = meetv1.Provisioning_PROVISIONING_PENDING, meetv1.GoogleSync_GOOGLE_SYNC_PENDING, "", false
	return m
}

// refuse is a refusal as the server makes it.
func refuse(code connect.Code, reason, text string, meta map[string]string, fields ...*errdetails.BadRequest_FieldViolation) error {
	failed := connect.NewError(code, errors.New(text))
	for _, detail := range []proto.Message{&errdetails.ErrorInfo{Reason: reason, Domain: "meet-middleware", Metadata: meta}, &errdetails.BadRequest{FieldViolations: fields}} {
		d, err := connect.NewErrorDetail(detail)
		if err != nil {
			panic(err)
		}
		failed.AddDetail(d)
	}
	return failed
}

func TestAnswersAreShownAsApproved(t *testing.T) {
	list := &meetv1.ListMeetingsResponse{NextPageToken: "next", Meetings: []*meetv1.MeetingSummary{
		{Id: 12, MeetLink: "https://meet.google.com/abc-defg-hij", OrganizerName: "Dra. Peña", ScheduledStart: at("2026-12-01T20:00:00Z"), Status: meetv1.MeetingStatus_MEETING_STATUS_SCHEDULED, CreatedAt: at("2026-11-24T13:00:00Z")},
		{Id: 3, OrganizerName: "doctor\tb", Status: meetv1.MeetingStatus_MEETING_STATUS_CANCELLED, CreatedAt: at("2026-11-23T13:00:00Z")},
	}}
	failed := pending()
	failed.Provisioning, failed.Error = meetv1.Provisioning_PROVISIONING_FAILED, &meetv1.SyncError{Code: "GOOGLE_PERMISSION_DENIED", Message: "share the calendar"}
	s := &server{
		create: func() (*meetv1.CreateMeetingResponse, error) {
			return &meetv1.CreateMeetingResponse{Meeting: meeting()}, nil
		},
		get:    func() (*meetv1.Meeting, error) { return failed, nil },
		list:   func(*meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) { return list, nil },
		change: func() (*meetv1.Meeting, error) { return meeting(), nil },
		operation: func() (*meetv1.Operation, error) {
			return &meetv1.Operation{Id: "op-1", Done: true, MeetingId: 12, Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, Provisioning: meetv1.Provisioning_PROVISIONING_READY}, nil
		},
	}
	create := []string{"meetings", "create", "--organizer", "doctor@clinic.example", "--invite", "p@mail.example,q@mail.example"}
	for name, args := range map[string][]string{
		"create":        create,
		"create-json":   append(slices.Clone(create), "-o", "json"),
		"get":           {"meetings", "get", "12", "--time-zone", "America/Bogota"},
		"get-json":      {"meetings", "get", "12", "-o", "json"},
		"list":          {"meetings", "list", "--time-zone", "America/Bogota"},
		"list-json":     {"meetings", "list", "-o", "json"},
		"reschedule":    {"meetings", "reschedule", "12", "--start", "2026-12-01T20:00:00Z", "--duration", "30m"},
		"cancel":        {"meetings", "cancel", "12"},
		"operation":     {"operations", "get", "op-1"},
		"help":          {"--help"},
		"help-meetings": {"meetings"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, s, args...)
			if got.code != 0 {
				t.Errorf("exit %d", got.code)
			}
			golden.Equal(t, "testdata/"+name+".golden.txt", got.text())
		})
	}
}

func TestARequestSaysWhatTheFlagsSay(t *testing.T) {
	no, yes := false, true
	for _, c := range []struct {
		name string
		args []string
		want proto.Message
	}{
		{
			"create, the least",
			[]string{"meetings", "create", "--organizer", "a@b.example", "--invite", "c@d.example"},
			&meetv1.CreateMeetingRequest{OrganizerEmail: "a@b.example", InvitedEmails: []string{"c@d.example"}},
		},
		{"create, everything", []string{
			"meetings", "create", "--organizer", "a@b.example", "--invite", "c@d.example", "--invite", "e@f.example", "--start", "2026-12-01 15:00", "--duration", "45m",
			"--time-zone", "America/Bogota", "--summary", "s", "--description", "d", "--external-reference", "r", "--auto-record=false", "--calendar-event=false",
			"--public-access=false", "--guests-can-see-each-other",
		}, &meetv1.CreateMeetingRequest{
			OrganizerEmail: "a@b.example", InvitedEmails: []string{"c@d.example", "e@f.example"}, ScheduledStart: at("2026-12-01T20:00:00Z"), ScheduledEnd: at("2026-12-01T20:45:00Z"),
			TimeZone: "America/Bogota", Summary: "s", Description: "d", ExternalReference: "r", AutoRecord: &no, CreateCalendarEvent: &no, PublicAccess: &no, GuestsCanSeeEachOther: &yes,
		}},
		{
			"reschedule the end alone",
			[]string{"meetings", "reschedule", "12", "--end", "2026-12-01T16:00:00-05:00", "--etag", `"2"`},
			&meetv1.UpdateMeetingRequest{Id: "12", Etag: `"2"`, Meeting: &meetv1.MeetingPatch{ScheduledEnd: at("2026-12-01T21:00:00Z")}, UpdateMask: mask("scheduled_end")},
		},
		{"cancel", []string{"meetings", "cancel", "12", "--etag", "*"}, &meetv1.CancelMeetingRequest{Id: "12", Etag: "*"}},
		{
			"list",
			[]string{
				"meetings", "list", "--status", "Scheduled", "--recording-state", "file_generated", "--from", "2026-12-01 00:00", "--to", "2026-12-31T23:59:59Z",
				"--organizer-id", "4", "--external-reference", "r", "--invited-email", "c@d.example", "--limit", "5", "--page-token", "p",
			},
			&meetv1.ListMeetingsRequest{
				PageSize: 5, PageToken: "p", OrganizerId: 4, Status: meetv1.MeetingStatus_MEETING_STATUS_SCHEDULED, RecordingState: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED,
				ScheduledStartFrom: at("2026-12-01T00:00:00Z"), ScheduledStartTo: at("2026-12-31T23:59:59Z"), ExternalReference: "r", InvitedEmail: "c@d.example",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{
				create: func() (*meetv1.CreateMeetingResponse, error) {
					return &meetv1.CreateMeetingResponse{Meeting: meeting()}, nil
				},
				list: func(*meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) {
					return &meetv1.ListMeetingsResponse{}, nil
				},
				change: func() (*meetv1.Meeting, error) { return meeting(), nil },
			}
			if got := run(t, s, c.args...); got.code != 0 {
				t.Fatalf("exit %d: %s", got.code, got.err)
			}
			if len(s.asked) != 1 || !proto.Equal(s.asked[0], c.want) {
				t.Errorf("asked %s\nwant  %s", protojson.Format(s.asked[0]), protojson.Format(c.want))
			}
		})
	}
}

func TestEveryChangeHasAnIdempotencyKey(t *testing.T) {
	s := &server{change: func() (*meetv1.Meeting, error) { return meeting(), nil }}
	run(t, s, "meetings", "cancel", "12")
	run(t, s, "meetings", "cancel", "12")
	run(t, s, "meetings", "cancel", "12", "--idempotency-key", "mine")
	if len(s.keys) != 3 || s.keys[0] == "" || s.keys[0] == s.keys[1] || s.keys[2] != "mine" {
		t.Errorf("keys %q", s.keys)
	}
}

func TestErrorsNameTheFieldAndTheFix(t *testing.T) {
	create := []string{"meetings", "create", "--organizer", "a@b.example", "--invite", "c@d.example"}
	violation := func(field, text string) *errdetails.BadRequest_FieldViolation {
		return &errdetails.BadRequest_FieldViolation{Field: field, Description: text}
	}
	for _, c := range []struct {
		name string
		args []string
		err  error
		code int
	}{
		{"wrong-fields", create, refuse(connect.CodeInvalidArgument, "INVALID_ARGUMENT", "several", nil, violation("organizer_email", "must be an address"), violation("invited_emails[1]", "must be an address"), violation("novelty", "is new")), 3},
		{"not-found", []string{"meetings", "cancel", "7"}, refuse(connect.CodeNotFound, "MEETING_NOT_FOUND", "no meeting 7", nil), 4},
		{"google-refused", create, refuse(connect.CodeFailedPrecondition, "GOOGLE_PERMISSION_DENIED", "share the calendar with the service account", map[string]string{"meeting_id": "12"}), 5},
		{"changed-meanwhile", []string{"meetings", "cancel", "12", "--etag", `"1"`}, refuse(connect.CodeAborted, "VERSION_MISMATCH", "the meeting is not at this version", map[string]string{"etag": `"2"`}), 5},
		{"unavailable", append(slices.Clone(create), "--idempotency-key", "k-1"), refuse(connect.CodeUnavailable, "MEETINGS_UNREACHABLE", "the meetings service cannot be reached; try again", nil), 6},
		{"unauthenticated", create, refuse(connect.CodeUnauthenticated, "UNAUTHENTICATED", "authentication credentials were not provided", nil), 7},
		{"internal", create, refuse(connect.CodeInternal, "INTERNAL", "internal error", nil), 1},
		{"usage-unknown-command", []string{"meeting"}, nil, 2},
		{"usage-unknown-subcommand", []string{"meetings", "make"}, nil, 2},
		{"usage-unknown-flag", []string{"meetings", "list", "--colour"}, nil, 2},
		{"usage-missing-flags", []string{"meetings", "create"}, nil, 2},
		{"usage-no-id", []string{"meetings", "get"}, nil, 2},
		{"usage-argument", []string{"meetings", "list", "12"}, nil, 2},
		{"usage-time", append(slices.Clone(create), "--start", "tomorrow"), nil, 2},
		{"usage-end-before-start", append(slices.Clone(create), "--start", "2026-12-01 15:00", "--end", "2026-12-01 14:00"), nil, 2},
		{"usage-end-and-duration", append(slices.Clone(create), "--start", "2026-12-01 15:00", "--end", "2026-12-01 16:00", "--duration", "1h"), nil, 2},
		{"usage-duration-alone", append(slices.Clone(create), "--duration", "1h"), nil, 2},
		{"usage-negative-duration", append(slices.Clone(create), "--start", "2026-12-01 15:00", "--duration", "-1h"), nil, 2},
		{"usage-async-and-wait", append(slices.Clone(create), "--async", "--wait"), nil, 2},
		{"usage-time-zone", append(slices.Clone(create), "--time-zone", "Bogota"), nil, 2},
		{"usage-output", []string{"meetings", "list", "-o", "xml"}, nil, 2},
		{"usage-server", []string{"meetings", "list", "--server", "localhost:8000"}, nil, 2},
		{"usage-status", []string{"meetings", "list", "--status", "done"}, nil, 2},
		{"usage-nothing-to-move", []string{"meetings", "reschedule", "12"}, nil, 2},
		{"usage-timeout", []string{"meetings", "list", "--timeout", "0s"}, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{
				create: func() (*meetv1.CreateMeetingResponse, error) { return nil, c.err },
				change: func() (*meetv1.Meeting, error) { return nil, c.err },
			}
			got := run(t, s, c.args...)
			if got.code != c.code || got.out != "" {
				t.Errorf("exit %d, want %d; printed %q", got.code, c.code, got.out)
			}
			if c.err == nil && len(s.asked) > 0 {
				t.Error("the server was asked")
			}
			golden.Equal(t, "testdata/error-"+c.name+".golden.txt", []byte(got.err))
		})
	}
}

func TestNobodyThereIsSaidWithTheAddress(t *testing.T) {
	web := httptest.NewServer(nil)
	url := web.URL
	web.Close() // its port is free now
	got := against(t, url, "meetings", "get", "12")
	if got.code != 6 || !strings.Contains(got.err, "http://SERVER does not answer") || !strings.Contains(got.err, "--server") {
		t.Errorf("exit %d: %s", got.code, got.err)
	}
}

func TestWaitFollowsACreateToItsEnd(t *testing.T) {
	looks := 0
	s := &server{
		create: func() (*meetv1.CreateMeetingResponse, error) {
			return &meetv1.CreateMeetingResponse{Meeting: pending(), Operation: "op-1"}, nil
		},
		operation: func() (*meetv1.Operation, error) {
			looks++
			return &meetv1.Operation{Id: "op-1", MeetingId: 12, Done: looks == 2}, nil
		},
		get: func() (*meetv1.Meeting, error) { return meeting(), nil },
	}
	create := []string{"meetings", "create", "--organizer", "a@b.example", "--invite", "c@d.example"}
	got := run(t, s, append(slices.Clone(create), "--wait")...)
	if got.code != 0 || looks != 2 || !strings.Contains(got.out, "https://meet.google.com/abc-defg-hij") || strings.Contains(got.out, "op-1") {
		t.Errorf("exit %d after %d looks: %s%s", got.code, looks, got.out, got.err)
	}
	got = run(t, s, append(slices.Clone(create), "--async")...)
	if got.code != 0 || s.prefer != "respond-async" || !strings.Contains(got.out, "op-1") {
		t.Errorf("--async: exit %d, prefer %q: %s%s", got.code, s.prefer, got.out, got.err)
	}
	s.operation = func() (*meetv1.Operation, error) {
		return &meetv1.Operation{Id: "op-1", MeetingId: 12, Done: true, Error: &meetv1.SyncError{Code: "GOOGLE_PERMISSION_DENIED", Message: "share the calendar"}}, nil
	}
	got = run(t, s, append(slices.Clone(create), "--wait")...)
	if got.code != 5 || got.out != "" || got.err != "meetctl: meeting 12 is made, its link is not: GOOGLE_PERMISSION_DENIED: share the calendar\n" {
		t.Errorf("refused: exit %d: %s%s", got.code, got.out, got.err)
	}
	s.operation = func() (*meetv1.Operation, error) { return &meetv1.Operation{Id: "op-1", MeetingId: 12}, nil }
	got = run(t, s, "operations", "get", "op-1", "--wait", "--wait-timeout", "50ms")
	if got.code != 6 || got.err != "meetctl: operation op-1 is not done yet; it goes on, and --wait-timeout waits longer\n" {
		t.Errorf("too long: exit %d: %s%s", got.code, got.out, got.err)
	}
}

func TestWaitFollowsAChangeToGoogle(t *testing.T) {
	looks := 0
	failed := meeting()
	failed.GoogleSync, failed.Error = meetv1.GoogleSync_GOOGLE_SYNC_FAILED, &meetv1.SyncError{Code: "GOOGLE_EVENT_GONE", Message: "make it anew"}
	end := meeting()
	s := &server{
		change: func() (*meetv1.Meeting, error) { return pending(), nil },
		get: func() (*meetv1.Meeting, error) {
			if looks++; looks < 2 {
				return pending(), nil
			}
			return end, nil
		},
	}
	got := run(t, s, "meetings", "cancel", "12", "--wait")
	if got.code != 0 || looks != 2 || !strings.Contains(got.out, "google sync   ok\n") {
		t.Errorf("exit %d after %d looks: %s%s", got.code, looks, got.out, got.err)
	}
	end = failed
	got = run(t, s, "meetings", "cancel", "12", "--wait")
	if got.code != 5 || !strings.Contains(got.err, "meeting 12 is changed, Google's copy is not: GOOGLE_EVENT_GONE: make it anew") {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.err)
	}
	end = pending()
	got = run(t, s, "meetings", "cancel", "12", "--wait", "--wait-timeout", "50ms")
	if got.code != 6 || !strings.Contains(got.err, "Google does not have the change of meeting 12 yet") {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.err)
	}
}

func TestAllReadsEveryPage(t *testing.T) {
	s := &server{list: func(req *meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) {
		page := &meetv1.ListMeetingsResponse{Meetings: []*meetv1.MeetingSummary{{Id: int64(10 + len(req.GetPageToken()))}}}
		if len(req.GetPageToken()) < 2 {
			page.NextPageToken = req.GetPageToken() + "x"
		}
		return page, nil
	}}
	got := run(t, s, "meetings", "list", "--all")
	if got.code != 0 || len(s.asked) != 3 || strings.Count(got.out, "\n") != 4 || got.err != "" {
		t.Errorf("exit %d after %d pages: %s%s", got.code, len(s.asked), got.out, got.err)
	}
}

func TestTheShellIsToldWhatCanBeWritten(t *testing.T) {
	got := run(t, &server{}, "__complete", "meetings", "list", "--status", "")
	for _, word := range []string{"cancelled", "created", "finished", "scheduled"} {
		if !strings.Contains(got.out, word+"\n") {
			t.Errorf("%s is not offered in %q", word, got.out)
		}
	}
	if got := run(t, &server{}, "completion", "bash"); got.code != 0 || !strings.Contains(got.out, "meetctl") {
		t.Errorf("completion: exit %d: %s", got.code, got.err)
	}
}

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
