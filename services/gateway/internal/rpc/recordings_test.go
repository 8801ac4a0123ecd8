package rpc_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

// heard is what meetings was asked, in turn.
type heard struct{ requests chan proto.Message }

// query answers with resp and keeps the request.
func query[Req, Resp proto.Message](s *server, h heard, q subject.Query[Req, Resp], resp Resp) {
	backendtest.Query(s.Meetings, q, func(req Req) (Resp, error) {
		h.requests <- req
		return resp, nil
	})
}

// command does resp and keeps the request.
func command[Req, Resp proto.Message](s *server, h heard, c subject.Command[Req, Resp], resp Resp) {
	backendtest.Command(s.Meetings, c, func(_ bus.Envelope, req Req) backendtest.Answer[Resp] {
		h.requests <- req
		return backendtest.Answer[Resp]{Response: resp}
	})
}

// handedOn wants the call's request to reach meetings and its answer to come back, both whole.
func handedOn[Req, Resp any](t *testing.T, h heard, call func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error), req *Req, want *Resp) {
	t.Helper()
	got, err := call(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Errorf("%T: %v", req, err)
		return
	}
	if diff := cmp.Diff(want, got.Msg, protocmp.Transform()); diff != "" {
		t.Errorf("%T: %s", req, diff)
	}
	if diff := cmp.Diff(any(req).(proto.Message), <-h.requests, protocmp.Transform()); diff != "" {
		t.Errorf("%T was changed on its way: %s", req, diff)
	}
}

func (s *server) recordings() meetv1connect.RecordingServiceClient {
	return meetv1connect.NewRecordingServiceClient(s.h2c, s.url, connect.WithGRPC())
}

func TestRecordingsAndJobsAreHandedOn(t *testing.T) {
	s, h := serve(t, quick), heard{make(chan proto.Message, 1)}
	noon := &timestamppb.Timestamp{Seconds: 1796126400}
	var (
		recording  = &meetv1.Recording{Id: 5, MeetingId: 12, ExportState: "verified", SharedWith: []string{"auditor@clinic.example"}}
		list       = &meetv1.ListRecordingsResponse{Recordings: []*meetv1.Recording{recording}, NextPageToken: "t"}
		coverage   = &meetv1.Coverage{From: noon, Total: &meetv1.CoverageCount{Expected: 2, MissingReasons: map[string]int64{"NOT_HELD": 1}}}
		synced     = &meetv1.SyncRecordingResponse{MeetingId: 12, JobId: "j-1"}
		all        = &meetv1.SyncAllRecordingsResponse{JobId: "j-2"}
		task       = &meetv1.RecordingJobResponse{JobId: "j-3"}
		hold       = &meetv1.SetLegalHoldResponse{Meeting: &meetv1.Meeting{Id: 12, LegalHold: true, LegalHoldReason: "claim 77"}}
		attendance = &meetv1.Attendance{MeetingId: 12, Source: "observed", Attendees: []*meetv1.Attendee{{Kind: "phone"}}}
		transcript = &meetv1.Transcript{MeetingId: 12, Entries: []*meetv1.TranscriptEntry{{Text: "hola"}}, NextPageToken: "t"}
		job        = &meetv1.Job{Id: "j-1", State: "due", Attempts: []*meetv1.JobAttempt{{Code: "X"}}}
		jobList    = &meetv1.ListJobsResponse{Jobs: []*meetv1.Job{job}, NextPageToken: "t"}
	)
	query(s, h, subject.ListRecordings, list)
	query(s, h, subject.GetRecording, recording)
	query(s, h, subject.GetCoverage, coverage)
	query(s, h, subject.GetAttendance, attendance)
	query(s, h, subject.GetTranscript, transcript)
	query(s, h, subject.GetJob, job)
	query(s, h, subject.ListJobs, jobList)
	command(s, h, subject.SyncRecording, synced)
	command(s, h, subject.SyncAllRecordings, all)
	command(s, h, subject.VerifyRecording, task)
	command(s, h, subject.ShareRecording, task)
	command(s, h, subject.SetLegalHold, hold)

	c := s.recordings()
	handedOn(t, h, c.ListRecordings, &meetv1.ListRecordingsRequest{
		MeetingId: 12, OrganizerId: 1, State: meetv1.RecordingState_RECORDING_STATE_ENDED, ExportState: "failed", From: noon, To: noon, PageSize: 7, PageToken: "t",
	}, list)
	handedOn(t, h, c.GetRecording, &meetv1.GetRecordingRequest{Id: 5}, recording)
	handedOn(t, h, c.GetCoverage, &meetv1.GetCoverageRequest{From: noon, OrganizerId: 1, TimeZone: "America/Bogota"}, coverage)
	handedOn(t, h, c.SyncRecording, &meetv1.SyncRecordingRequest{MeetingId: "12"}, synced)
	handedOn(t, h, c.SyncAllRecordings, &meetv1.SyncAllRecordingsRequest{Limit: 5}, all)
	handedOn(t, h, c.VerifyRecording, &meetv1.VerifyRecordingRequest{Id: 5}, task)
	handedOn(t, h, c.ShareRecording, &meetv1.ShareRecordingRequest{Id: 5, Emails: []string{"auditor@clinic.example"}}, task)
	handedOn(t, h, c.SetLegalHold, &meetv1.SetLegalHoldRequest{MeetingId: "12", Hold: true, Reason: "claim 77"}, hold)
	handedOn(t, h, c.GetAttendance, &meetv1.GetAttendanceRequest{MeetingId: "12"}, attendance)
	handedOn(t, h, c.GetTranscript, &meetv1.GetTranscriptRequest{MeetingId: "12", PageSize: 7, PageToken: "t"}, transcript)
	j := meetv1connect.NewJobServiceClient(http.DefaultClient, s.url, connect.WithHTTPGet())
	handedOn(t, h, j.GetJob, &meetv1.GetJobRequest{Id: "j-1"}, job)
	handedOn(t, h, j.ListJobs, &meetv1.ListJobsRequest{MeetingId: 12, State: "due", Class: "observe", Kind: "check_recording", PageSize: 7, PageToken: "t"}, jobList)
}

func TestWrongRequestsAboutRecordingsReachNobody(t *testing.T) {
	s := serve(t, quick)
	c := s.recordings()
	j := meetv1connect.NewJobServiceClient(s.h2c, s.url)
	for name, call := range map[string]struct {
		send   func() error
		fields string
	}{
		"a list": {func() error {
			_, err := c.ListRecordings(t.Context(), connect.NewRequest(&meetv1.ListRecordingsRequest{
				PageSize: 1001, PageToken: strings.Repeat("t", 513), State: meetv1.RecordingState_RECORDING_STATE_MISSING, ExportState: "lost", From: &timestamppb.Timestamp{Seconds: 1},
			}))
			return err
		}, "export_state page_size page_token state"},
		"a sync of no meeting": {func() error {
			_, err := c.SyncRecording(t.Context(), connect.NewRequest(&meetv1.SyncRecordingRequest{}))
			return err
		}, "meeting_id"},
		"a sync of less than none": {func() error {
			_, err := c.SyncAllRecordings(t.Context(), connect.NewRequest(&meetv1.SyncAllRecordingsRequest{Limit: -1}))
			return err
		}, "limit"},
		"sharing with nobody": {func() error {
			_, err := c.ShareRecording(t.Context(), connect.NewRequest(&meetv1.ShareRecordingRequest{Id: 5}))
			return err
		}, "emails"},
		"sharing with no address": {func() error {
			_, err := c.ShareRecording(t.Context(), connect.NewRequest(&meetv1.ShareRecordingRequest{Id: 5, Emails: []string{"a@b.example", "nobody"}}))
			return err
		}, "emails[1]"},
		"a reason that is a novel": {func() error {
			_, err := c.SetLegalHold(t.Context(), connect.NewRequest(&meetv1.SetLegalHoldRequest{MeetingId: "12", Hold: true, Reason: strings.Repeat("x", 1025)}))
			return err
		}, "reason"},
		"a time that is none": {func() error {
			_, err := c.GetCoverage(t.Context(), connect.NewRequest(&meetv1.GetCoverageRequest{From: &timestamppb.Timestamp{Nanos: -1}, TimeZone: strings.Repeat("x", 65)}))
			return err
		}, "from"},
		"jobs in no state": {func() error {
			_, err := j.ListJobs(t.Context(), connect.NewRequest(&meetv1.ListJobsRequest{State: "waiting", PageSize: -1}))
			return err
		}, "page_size state"},
		"no job": {func() error {
			_, err := j.GetJob(t.Context(), connect.NewRequest(&meetv1.GetJobRequest{}))
			return err
		}, "id"},
	} {
		t.Run(name, func(t *testing.T) {
			err := call.send() // nobody answers: what got past the rules would be unavailable
			expect(t, err, connect.CodeInvalidArgument, fault.ReasonInvalid)
			var fields []string
			for _, v := range detail[*errdetails.BadRequest](t, err).GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
			slices.Sort(fields)
			if got := strings.Join(fields, " "); got != call.fields {
				t.Errorf("wrong are %q, want %q", got, call.fields)
			}
		})
	}
	if n := len(s.Envelopes()); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

func TestARepeatedSyncIsBegunOnce(t *testing.T) {
	s, h := serve(t, quick), heard{make(chan proto.Message, 4)}
	command(s, h, subject.SyncRecording, &meetv1.SyncRecordingResponse{MeetingId: 12, JobId: "j-1"})
	for i, replayed := range []string{"", "true"} {
		req := connect.NewRequest(&meetv1.SyncRecordingRequest{MeetingId: "12"})
		req.Header().Set("Idempotency-Key", "k")
		resp, err := s.recordings().SyncRecording(t.Context(), req)
		if err != nil || resp.Msg.GetJobId() != "j-1" || resp.Header().Get("Idempotency-Replayed") != replayed {
			t.Errorf("call %d: %v, %v", i, resp, err)
		}
	}
	if len(h.requests) != 1 {
		t.Errorf("carried out %d times", len(h.requests))
	}
}
