package rpc_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/rpc"
)

type server struct {
	*backendtest.Meetings
	url   string
	h2c   *http.Client
	ready error
}

func serve(t *testing.T, config backend.Config) *server {
	t.Helper()
	s := &server{Meetings: backendtest.New(t)}
	handler, err := rpc.New(backend.New(config, s.Bus), func(context.Context) error { return s.ready }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	port := httpserver.New(httpserver.Config{Addr: "127.0.0.1:0"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := logging.With(auth.With(r.Context(), auth.LocalAdmin), slog.String(logging.RequestID, "req-1"))
		handler.ServeHTTP(w, r.WithContext(ctx))
	}), slog.New(slog.DiscardHandler))
	if err := port.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	s.url = port.URL()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	s.h2c = &http.Client{Transport: transport}
	return s
}

func (s *server) meetings(options ...connect.ClientOption) meetv1connect.MeetingServiceClient {
	return meetv1connect.NewMeetingServiceClient(s.h2c, s.url, options...)
}

var quick = backend.Config{CreateWait: 5 * time.Second, CommandTimeout: 5 * time.Second, QueryTimeout: 5 * time.Second}

func create() *meetv1.CreateMeetingRequest {
	return &meetv1.CreateMeetingRequest{OrganizerEmail: "doctor@clinic.example", InvitedEmails: []string{"p@mail.example"}}
}

func pending() *meetv1.Meeting {
	return &meetv1.Meeting{Id: 12, Uid: "u-12", Provisioning: meetv1.Provisioning_PROVISIONING_PENDING, Version: 1, Etag: `"1"`}
}

func ready() *meetv1.OperationDone {
	return &meetv1.OperationDone{
		MeetingId: 12, Provisioning: meetv1.Provisioning_PROVISIONING_READY, GoogleSync: meetv1.GoogleSync_GOOGLE_SYNC_OK,
		Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, MeetLink: "https://meet.google.com/abc-defg-hij", Version: 2,
	}
}

func TestEveryProtocolSpeaksToTheSamePort(t *testing.T) {
	s := serve(t, quick)
	backendtest.Query(s.Meetings, subject.GetMeeting, func(req *meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		if req.GetId() == "7" {
			return nil, fault.New(fault.NotFound, "MEETING_NOT_FOUND", "no meeting 7").WithMeta("id", "7")
		}
		return &meetv1.Meeting{Id: 12, Uid: req.GetId(), InvitedEmails: []string{"p@mail.example"}}, nil
	})
	for name, client := range map[string]meetv1connect.MeetingServiceClient{
		"connect over HTTP/1.1":  meetv1connect.NewMeetingServiceClient(http.DefaultClient, s.url),
		"connect over h2c":       s.meetings(),
		"connect with JSON":      s.meetings(connect.WithProtoJSON()),
		"connect with GET":       s.meetings(connect.WithHTTPGet()),
		"gRPC over h2c":          s.meetings(connect.WithGRPC()),
		"gRPC with gzip":         s.meetings(connect.WithGRPC(), connect.WithSendGzip()),
		"gRPC-Web over h2c":      s.meetings(connect.WithGRPCWeb()),
		"gRPC-Web over HTTP/1.1": meetv1connect.NewMeetingServiceClient(http.DefaultClient, s.url, connect.WithGRPCWeb()),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := client.GetMeeting(t.Context(), connect.NewRequest(&meetv1.GetMeetingRequest{Id: "u-12"}))
			if err != nil {
				t.Fatal(err)
			}
			want := &meetv1.Meeting{Id: 12, Uid: "u-12", InvitedEmails: []string{"p@mail.example"}}
			if diff := cmp.Diff(want, got.Msg, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			_, err = client.GetMeeting(t.Context(), connect.NewRequest(&meetv1.GetMeetingRequest{Id: "7"}))
			expect(t, err, connect.CodeNotFound, "MEETING_NOT_FOUND")
			if info := detail[*errdetails.ErrorInfo](t, err); info.GetMetadata()["id"] != "7" || info.GetDomain() != "meet-middleware" {
				t.Errorf("info %v", info)
			}
		})
	}
}

// expect checks code and reason of a refusal.
func expect(t *testing.T, err error, code connect.Code, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s %s", code, reason)
	}
	if got := connect.CodeOf(err); got != code {
		t.Errorf("code %s (%v), want %s", got, err, code)
	}
	if got := detail[*errdetails.ErrorInfo](t, err).GetReason(); got != reason {
		t.Errorf("reason %q (%v), want %q", got, err, reason)
	}
}

// detail is the error's detail of this type; nil when it has none.
func detail[T proto.Message](t *testing.T, err error) T {
	t.Helper()
	var none T
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return none
	}
	for _, d := range failed.Details() {
		msg, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		if found, ok := msg.(T); ok {
			return found
		}
	}
	return none
}

func TestEachKindOfFaultHasItsCodeAndDetails(t *testing.T) {
	s := serve(t, quick)
	backendtest.Query(s.Meetings, subject.GetMeeting, func(req *meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		kind, err := fault.ParseKind(req.GetId())
		if err != nil {
			return nil, err
		}
		f := fault.New(kind, "SOME_REASON", "some text").WithMeta("meeting_id", "12")
		if kind == fault.Invalid {
			f = f.WithFields(fault.Field{Path: "summary", Reason: "TOO_LONG", Text: "is too long"})
		}
		if kind == fault.Exhausted {
			f = f.WithMeta(fault.MetaRetryAfter, "7")
		}
		return nil, f
	})
	want := map[fault.Kind]struct {
		code  connect.Code
		retry time.Duration
	}{
		fault.Invalid:         {connect.CodeInvalidArgument, 0},
		fault.NotFound:        {connect.CodeNotFound, 0},
		fault.Conflict:        {connect.CodeFailedPrecondition, 0},
		fault.VersionMismatch: {connect.CodeAborted, 0},
		fault.AlreadyExists:   {connect.CodeAlreadyExists, 0},
		fault.Unauthenticated: {connect.CodeUnauthenticated, 0},
		fault.Forbidden:       {connect.CodePermissionDenied, 0},
		fault.Exhausted:       {connect.CodeResourceExhausted, 7 * time.Second},
		fault.Unavailable:     {connect.CodeUnavailable, time.Second},
		fault.Refused:         {connect.CodeFailedPrecondition, 0},
		fault.Expired:         {connect.CodeUnavailable, time.Second},
		fault.KeyReused:       {connect.CodeInvalidArgument, 0},
		fault.InFlight:        {connect.CodeAborted, time.Second},
		fault.Internal:        {connect.CodeInternal, 0},
	}
	for _, protocol := range []struct {
		name   string
		client meetv1connect.MeetingServiceClient
	}{{"connect", s.meetings()}, {"gRPC", s.meetings(connect.WithGRPC())}} {
		for _, kind := range fault.Kinds() {
			t.Run(protocol.name+" "+kind.String(), func(t *testing.T) {
				_, err := protocol.client.GetMeeting(t.Context(), connect.NewRequest(&meetv1.GetMeetingRequest{Id: kind.String()}))
				expect(t, err, want[kind].code, "SOME_REASON")
				if got := detail[*errdetails.ErrorInfo](t, err).GetMetadata()["meeting_id"]; got != "12" {
					t.Errorf("meeting_id %q", got)
				}
				if got := detail[*errdetails.RetryInfo](t, err).GetRetryDelay().AsDuration(); got != want[kind].retry {
					t.Errorf("retry after %s, want %s", got, want[kind].retry)
				}
				violations := detail[*errdetails.BadRequest](t, err).GetFieldViolations()
				if kind != fault.Invalid {
					if len(violations) != 0 {
						t.Errorf("violations %v", violations)
					}
					return
				}
				if len(violations) != 1 || violations[0].GetField() != "summary" || violations[0].GetReason() != "TOO_LONG" {
					t.Errorf("violations %v", violations)
				}
			})
		}
	}
}

func TestAnInternalErrorKeepsItsText(t *testing.T) {
	s := serve(t, quick)
	backendtest.Command(s.Meetings, subject.CancelMeeting, func(bus.Envelope, *meetv1.CancelMeetingRequest) backendtest.Answer[*meetv1.CancelMeetingResponse] {
		return backendtest.Answer[*meetv1.CancelMeetingResponse]{Raw: []byte("not a message: hunter2")}
	})
	_, err := s.meetings().CancelMeeting(t.Context(), connect.NewRequest(&meetv1.CancelMeetingRequest{Id: "12"}))
	expect(t, err, connect.CodeInternal, fault.ReasonInternal)
	if err.Error() != "internal: internal error" {
		t.Errorf("the client reads %q", err)
	}
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	s := serve(t, backend.Config{CommandTimeout: 300 * time.Millisecond, QueryTimeout: time.Second})
	_, err := s.meetings().GetMeeting(t.Context(), connect.NewRequest(&meetv1.GetMeetingRequest{Id: "12"}))
	expect(t, err, connect.CodeUnavailable, bus.ReasonUnreachable)
	_, err = s.meetings().CancelMeeting(t.Context(), connect.NewRequest(&meetv1.CancelMeetingRequest{Id: "12"}))
	expect(t, err, connect.CodeUnavailable, bus.ReasonUnreachable)
	if detail[*errdetails.RetryInfo](t, err) == nil {
		t.Error("no RetryInfo")
	}
}

func TestAClientsOwnDeadlineIsSaidSo(t *testing.T) {
	s := serve(t, quick) // nobody answers
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.meetings(connect.WithGRPC()).CancelMeeting(ctx, connect.NewRequest(&meetv1.CancelMeetingRequest{Id: "12"}))
	if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

func TestWrongFieldsAreNamedAllAtOnceBeforeAnythingIsAsked(t *testing.T) {
	s := serve(t, quick) // a request that got through would end in Unavailable
	at := func(seconds int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: seconds} }
	for _, c := range []struct {
		name   string
		change func(*meetv1.CreateMeetingRequest)
		want   []string
	}{
		{"no organizer", func(r *meetv1.CreateMeetingRequest) { r.OrganizerEmail = "" }, []string{"organizer_email REQUIRED"}},
		{"no address", func(r *meetv1.CreateMeetingRequest) { r.OrganizerEmail = "doctor" }, []string{"organizer_email STRING_EMAIL"}},
		{"no guests", func(r *meetv1.CreateMeetingRequest) { r.InvitedEmails = nil }, []string{"invited_emails REPEATED_MIN_ITEMS"}},
		{"a guest twice", func(r *meetv1.CreateMeetingRequest) { r.InvitedEmails = []string{"a@b.example", "A@B.example"} }, []string{"invited_emails UNIQUE_EMAILS"}},
		{"two wrong guests and a long reference", func(r *meetv1.CreateMeetingRequest) {
			r.InvitedEmails = []string{"x", "a@b.example", "y"}
			r.ExternalReference = strings.Repeat("x", 256)
		}, []string{"invited_emails[0] STRING_EMAIL", "invited_emails[2] STRING_EMAIL", "external_reference STRING_MAX_LEN"}},
		{"end before start", func(r *meetv1.CreateMeetingRequest) { r.ScheduledStart, r.ScheduledEnd = at(100), at(99) }, []string{"scheduled_end END_AFTER_START"}},
		{"a year that no database has", func(r *meetv1.CreateMeetingRequest) { r.ScheduledStart = at(1 << 60) }, []string{"scheduled_start TIME_OUT_OF_RANGE"}},
		{"NUL characters", func(r *meetv1.CreateMeetingRequest) {
			r.Summary, r.InvitedEmails = "a\x00b", []string{"a@b.example", "\x00@b.example"}
		}, []string{"invited_emails[1] NUL_CHARACTER", "summary NUL_CHARACTER"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := create()
			c.change(req)
			_, err := s.meetings().CreateMeeting(t.Context(), connect.NewRequest(req))
			expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
			got := map[string]bool{}
			for _, v := range detail[*errdetails.BadRequest](t, err).GetFieldViolations() {
				if v.GetDescription() == "" {
					t.Errorf("%s has no text", v.GetField())
				}
				got[v.GetField()+" "+v.GetReason()] = true
			}
			want := map[string]bool{}
			for _, field := range c.want {
				want[field] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestACreateAnswersWhatGoogleMadeOfIt(t *testing.T) {
	failed := ready()
	failed.Provisioning, failed.MeetLink = meetv1.Provisioning_PROVISIONING_FAILED, ""
	failed.Error = &meetv1.SyncError{Code: "GOOGLE_PERMISSION_DENIED", Message: "100% refused: give the service account access"}
	for _, c := range []struct {
		name   string
		wait   time.Duration
		prefer string
		done   *meetv1.OperationDone
		check  func(*testing.T, *connect.Response[meetv1.CreateMeetingResponse], error)
	}{
		{"ready in time: the link and no operation", 5 * time.Second, "", ready(), func(t *testing.T, resp *connect.Response[meetv1.CreateMeetingResponse], err error) {
			if err != nil || resp.Msg.GetMeeting().GetMeetLink() == "" || resp.Msg.GetOperation() != "" || resp.Msg.GetMeeting().GetEtag() != `"2"` {
				t.Errorf("got %v, %v", resp, err)
			}
		}},
		{"not in time: pending with the operation", 50 * time.Millisecond, "", nil, expectPending},
		{"the caller would not wait", time.Hour, "handling=lenient, respond-async; x=1", nil, expectPending},
		{"refused for good: the reason and the meeting", 5 * time.Second, "", failed, func(t *testing.T, _ *connect.Response[meetv1.CreateMeetingResponse], err error) {
			expect(t, err, connect.CodeFailedPrecondition, "GOOGLE_PERMISSION_DENIED")
			if got := detail[*errdetails.ErrorInfo](t, err).GetMetadata()["meeting_id"]; got != "12" {
				t.Errorf("meeting_id %q", got)
			}
			if err.Error() != "failed_precondition: 100% refused: give the service account access" {
				t.Errorf("text %q", err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, backend.Config{CreateWait: c.wait, CommandTimeout: 5 * time.Second, QueryTimeout: 5 * time.Second})
			backendtest.Command(s.Meetings, subject.CreateMeeting, func(bus.Envelope, *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
				return backendtest.Answer[*meetv1.CreateMeetingResponse]{Response: &meetv1.CreateMeetingResponse{Meeting: pending(), Operation: "op-1"}, Done: c.done}
			})
			backendtest.Query(s.Meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return pending(), nil })
			req := connect.NewRequest(create())
			if c.prefer != "" {
				req.Header().Set("Prefer", c.prefer)
			}
			resp, err := s.meetings().CreateMeeting(t.Context(), req)
			c.check(t, resp, err)
		})
	}
}

func expectPending(t *testing.T, resp *connect.Response[meetv1.CreateMeetingResponse], err error) {
	t.Helper()
	if err != nil || resp.Msg.GetOperation() != "op-1" || resp.Msg.GetMeeting().GetProvisioning() != meetv1.Provisioning_PROVISIONING_PENDING {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestAnIdempotencyKeyMakesARepeatAnswerTheFirst(t *testing.T) {
	s := serve(t, quick)
	asked := 0
	backendtest.Command(s.Meetings, subject.CancelMeeting, func(_ bus.Envelope, req *meetv1.CancelMeetingRequest) backendtest.Answer[*meetv1.CancelMeetingResponse] {
		asked++
		if req.GetId() == "7" {
			return backendtest.Answer[*meetv1.CancelMeetingResponse]{Err: fault.New(fault.NotFound, "MEETING_NOT_FOUND", "no meeting 7")}
		}
		return backendtest.Answer[*meetv1.CancelMeetingResponse]{Response: &meetv1.CancelMeetingResponse{Meeting: &meetv1.Meeting{Id: 12}}}
	})
	cancel := func(key, id string) (*connect.Response[meetv1.CancelMeetingResponse], error) {
		req := connect.NewRequest(&meetv1.CancelMeetingRequest{Id: id})
		req.Header().Set("Idempotency-Key", key)
		return s.meetings().CancelMeeting(t.Context(), req)
	}
	for i, replayed := range []string{"", "true"} {
		resp, err := cancel("k1", "12")
		if err != nil || resp.Msg.GetMeeting().GetId() != 12 || resp.Header().Get("Idempotency-Replayed") != replayed {
			t.Errorf("call %d: %v, %v", i, resp, err)
		}
	}
	for i, replayed := range []string{"", "true"} {
		_, err := cancel("k2", "7")
		expect(t, err, connect.CodeNotFound, "MEETING_NOT_FOUND")
		var failed *connect.Error
		if errors.As(err, &failed) && failed.Meta().Get("Idempotency-Replayed") != replayed {
			t.Errorf("refusal %d: replayed %q", i, failed.Meta().Get("Idempotency-Replayed"))
		}
	}
	if asked != 2 {
		t.Errorf("carried out %d times, want 2", asked)
	}
	_, err := cancel("k1", "13")
	expect(t, err, connect.CodeInvalidArgument, "IDEMPOTENCY_KEY_REUSED")
	_, err = cancel(strings.Repeat("k", 256), "12")
	expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
	_, err = cancel(" ", "12")
	expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
}

func TestTheSameKeyInFlightIsAborted(t *testing.T) {
	s := serve(t, quick)
	arrived, answer := make(chan struct{}), make(chan struct{})
	backendtest.Command(s.Meetings, subject.CancelMeeting, func(bus.Envelope, *meetv1.CancelMeetingRequest) backendtest.Answer[*meetv1.CancelMeetingResponse] {
		close(arrived)
		<-answer
		return backendtest.Answer[*meetv1.CancelMeetingResponse]{Response: &meetv1.CancelMeetingResponse{}}
	})
	cancel := func() error {
		req := connect.NewRequest(&meetv1.CancelMeetingRequest{Id: "12"})
		req.Header().Set("Idempotency-Key", "k")
		_, err := s.meetings().CancelMeeting(t.Context(), req)
		return err
	}
	first := make(chan error, 1)
	go func() { first <- cancel() }()
	<-arrived
	expect(t, cancel(), connect.CodeAborted, backend.ReasonInFlight)
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestACommandCarriesWhoSentIt(t *testing.T) {
	s := serve(t, quick)
	backendtest.Command(s.Meetings, subject.UpdateMeeting, func(_ bus.Envelope, req *meetv1.UpdateMeetingRequest) backendtest.Answer[*meetv1.UpdateMeetingResponse] {
		if req.GetEtag() != `"1"` {
			return backendtest.Answer[*meetv1.UpdateMeetingResponse]{Err: fault.New(fault.VersionMismatch, "VERSION_MISMATCH", "it changed").WithMeta("etag", `"1"`)}
		}
		return backendtest.Answer[*meetv1.UpdateMeetingResponse]{Response: &meetv1.UpdateMeetingResponse{Meeting: &meetv1.Meeting{Summary: strings.Join(req.GetUpdateMask().GetPaths(), " ")}}}
	})
	update := func(etag string) (*connect.Response[meetv1.UpdateMeetingResponse], error) {
		req := connect.NewRequest(&meetv1.UpdateMeetingRequest{Id: "12", Etag: etag, Meeting: &meetv1.MeetingPatch{Summary: "x", ScheduledEnd: timestamppb.New(time.Unix(1, 0))}})
		req.Header().Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		return s.meetings().UpdateMeeting(t.Context(), req)
	}
	resp, err := update(`"1"`)
	if err != nil || resp.Msg.GetMeeting().GetSummary() != "scheduled_end summary" {
		t.Errorf("got %v, %v", resp, err)
	}
	_, err = update(`"0"`)
	expect(t, err, connect.CodeAborted, "VERSION_MISMATCH")
	if got := detail[*errdetails.ErrorInfo](t, err).GetMetadata()["etag"]; got != `"1"` {
		t.Errorf("current etag %q", got)
	}
	envelope := s.Envelopes()[0]
	if envelope.Principal != auth.LocalAdmin || envelope.RequestID != "req-1" || !strings.HasPrefix(envelope.RemoteAddr, "127.0.0.1") ||
		!strings.HasPrefix(envelope.Traceparent, "00-0af7") || envelope.Deadline.IsZero() {
		t.Errorf("envelope %+v", envelope)
	}
}

func TestAWrongMaskNamesTheFieldAndReachesNobody(t *testing.T) {
	s := serve(t, backend.Config{CommandTimeout: time.Second})
	_, err := s.meetings().UpdateMeeting(t.Context(), connect.NewRequest(&meetv1.UpdateMeetingRequest{
		Id: "12", Meeting: &meetv1.MeetingPatch{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"meet_link"}},
	}))
	expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
	violations := detail[*errdetails.BadRequest](t, err).GetFieldViolations()
	if len(violations) != 1 || violations[0].GetField() != "update_mask" || !strings.Contains(violations[0].GetDescription(), `"meet_link"`) {
		t.Errorf("violations %v", violations)
	}
	if got := s.Envelopes(); len(got) != 0 {
		t.Errorf("commands were sent: %+v", got)
	}
}

func TestListsAndUsersAreHandedOn(t *testing.T) {
	s := serve(t, quick)
	backendtest.Query(s.Meetings, subject.ListMeetings, func(req *meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) {
		return &meetv1.ListMeetingsResponse{NextPageToken: strconv.Itoa(int(req.GetPageSize())) + req.GetPageToken()}, nil
	})
	backendtest.Query(s.Meetings, subject.LookupMeeting, func(req *meetv1.LookupMeetingRequest) (*meetv1.Meeting, error) {
		return &meetv1.Meeting{ExternalReference: req.GetExternalReference()}, nil
	})
	backendtest.Query(s.Meetings, subject.GetOperation, func(req *meetv1.GetOperationRequest) (*meetv1.Operation, error) {
		return &meetv1.Operation{Id: req.GetId(), Done: true}, nil
	})
	backendtest.Query(s.Meetings, subject.GetUser, func(req *meetv1.GetUserRequest) (*meetv1.User, error) {
		return &meetv1.User{Id: req.GetId()}, nil
	})
	backendtest.Query(s.Meetings, subject.ListUsers, func(req *meetv1.ListUsersRequest) (*meetv1.ListUsersResponse, error) {
		return &meetv1.ListUsersResponse{Users: []*meetv1.User{{Role: req.GetRole()}}}, nil
	})
	backendtest.Query(s.Meetings, subject.GetUserStats, func(*meetv1.GetUserStatsRequest) (*meetv1.UserStats, error) {
		return &meetv1.UserStats{Admins: 1}, nil
	})
	backendtest.Command(s.Meetings, subject.ProvisionMeeting, func(_ bus.Envelope, req *meetv1.ProvisionMeetingRequest) backendtest.Answer[*meetv1.ProvisionMeetingResponse] {
		return backendtest.Answer[*meetv1.ProvisionMeetingResponse]{Response: &meetv1.ProvisionMeetingResponse{Operation: "op-" + req.GetId()}}
	})
	ctx, meetings := t.Context(), s.meetings(connect.WithGRPC())
	users := meetv1connect.NewUserServiceClient(s.h2c, s.url, connect.WithGRPC())
	if got, err := meetings.ListMeetings(ctx, connect.NewRequest(&meetv1.ListMeetingsRequest{PageSize: 3, PageToken: "x"})); err != nil || got.Msg.GetNextPageToken() != "3x" {
		t.Errorf("%v %v", got, err)
	}
	_, err := meetings.ListMeetings(ctx, connect.NewRequest(&meetv1.ListMeetingsRequest{PageSize: 1001}))
	expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
	if got, err := meetings.LookupMeeting(ctx, connect.NewRequest(&meetv1.LookupMeetingRequest{By: &meetv1.LookupMeetingRequest_ExternalReference{ExternalReference: "r"}})); err != nil || got.Msg.GetExternalReference() != "r" {
		t.Errorf("%v %v", got, err)
	}
	_, err = meetings.LookupMeeting(ctx, connect.NewRequest(&meetv1.LookupMeetingRequest{}))
	expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
	if got, err := meetings.GetOperation(ctx, connect.NewRequest(&meetv1.GetOperationRequest{Id: "o"})); err != nil || got.Msg.GetId() != "o" {
		t.Errorf("%v %v", got, err)
	}
	if got, err := meetings.ProvisionMeeting(ctx, connect.NewRequest(&meetv1.ProvisionMeetingRequest{Id: "9"})); err != nil || got.Msg.GetOperation() != "op-9" {
		t.Errorf("%v %v", got, err)
	}
	if got, err := users.GetUser(ctx, connect.NewRequest(&meetv1.GetUserRequest{Id: 4})); err != nil || got.Msg.GetId() != 4 {
		t.Errorf("%v %v", got, err)
	}
	if got, err := users.ListUsers(ctx, connect.NewRequest(&meetv1.ListUsersRequest{Role: meetv1.UserRole_USER_ROLE_ADMIN})); err != nil || got.Msg.GetUsers()[0].GetRole() != meetv1.UserRole_USER_ROLE_ADMIN {
		t.Errorf("%v %v", got, err)
	}
	if got, err := users.GetUserStats(ctx, connect.NewRequest(&meetv1.GetUserStatsRequest{})); err != nil || got.Msg.GetAdmins() != 1 {
		t.Errorf("%v %v", got, err)
	}
}

func TestReflectionListsTheServicesAndTheirFiles(t *testing.T) {
	s := serve(t, quick)
	stream := grpcreflect.NewClient(s.h2c, s.url, connect.WithGRPC()).NewStream(t.Context())
	services, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"meet.v1.MeetingService", "meet.v1.RecordingService", "meet.v1.JobService", "meet.v1.UserService", "meet.v1.SetupService", "meet.v1.AccessService", "meet.v1.AuditService", "meet.v1.PrivacyService", "grpc.health.v1.Health"}
	var got []string
	for _, service := range services {
		got = append(got, string(service))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, service := range services {
		if files, err := stream.FileContainingSymbol(service); err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", service, len(files), err)
		}
	}
	if _, err := stream.Close(); err != nil {
		t.Error(err)
	}
}

func TestOlderReflectionIsThereToo(t *testing.T) {
	s := serve(t, quick)
	call := connect.NewClient[emptypb.Empty, emptypb.Empty](s.h2c, s.url+"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", connect.WithGRPC())
	stream := call.CallBidiStream(t.Context())
	if err := stream.Send(&emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
	// An empty request gets a refusal of its own; a service that is not there would be Unimplemented.
	if err := stream.CloseRequest(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Receive(); connect.CodeOf(err) == connect.CodeUnimplemented {
		t.Error(err)
	}
	if err := stream.CloseResponse(); err != nil {
		t.Error(err)
	}
}

func TestHealthFollowsTheConnection(t *testing.T) {
	s := serve(t, quick)
	check := connect.NewClient[wrapperspb.StringValue, wrapperspb.Int32Value](s.h2c, s.url+"/grpc.health.v1.Health/Check", connect.WithGRPC())
	// Request and answer of grpc.health.v1 have the same single field 1 as these wrappers: a name, and a status.
	status := func(service string) (int32, error) {
		resp, err := check.CallUnary(t.Context(), connect.NewRequest(wrapperspb.String(service)))
		if err != nil {
			return 0, err
		}
		return resp.Msg.GetValue(), nil
	}
	for _, service := range []string{"", "meet.v1.MeetingService", "meet.v1.UserService"} {
		if got, err := status(service); err != nil || got != int32(grpchealth.StatusServing) {
			t.Errorf("%q: %d, %v", service, got, err)
		}
	}
	if _, err := status("meet.v1.Nothing"); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("got %v", err)
	}
	s.ready = errors.New("not connected to NATS")
	if got, err := status(""); err != nil || got != int32(grpchealth.StatusNotServing) {
		t.Errorf("%d, %v", got, err)
	}
}

func TestAMessageAboveOneMebibyteIsRefused(t *testing.T) {
	s := serve(t, quick)
	req := create()
	req.Description = strings.Repeat("x", 1<<20)
	for name, client := range map[string]meetv1connect.MeetingServiceClient{"connect": s.meetings(), "gRPC": s.meetings(connect.WithGRPC())} {
		if _, err := client.CreateMeeting(t.Context(), connect.NewRequest(req)); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
	}
}
