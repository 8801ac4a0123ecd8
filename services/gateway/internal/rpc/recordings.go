package rpc

import (
	"context"

	"connectrpc.com/connect"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// recordings is meet.v1.RecordingService.
type recordings struct{ backend *backend.Backend }

func (s *recordings) ListRecordings(ctx context.Context, req *connect.Request[meetv1.ListRecordingsRequest]) (*connect.Response[meetv1.ListRecordingsResponse], error) {
	return ask(ctx, s.backend, subject.ListRecordings, req.Msg)
}

func (s *recordings) GetRecording(ctx context.Context, req *connect.Request[meetv1.GetRecordingRequest]) (*connect.Response[meetv1.Recording], error) {
	return ask(ctx, s.backend, subject.GetRecording, req.Msg)
}

func (s *recordings) GetCoverage(ctx context.Context, req *connect.Request[meetv1.GetCoverageRequest]) (*connect.Response[meetv1.Coverage], error) {
	return ask(ctx, s.backend, subject.GetCoverage, req.Msg)
}

func (s *recordings) SyncRecording(ctx context.Context, req *connect.Request[meetv1.SyncRecordingRequest]) (*connect.Response[meetv1.SyncRecordingResponse], error) {
	return do(ctx, s.backend, subject.SyncRecording, req)
}

func (s *recordings) SyncAllRecordings(ctx context.Context, req *connect.Request[meetv1.SyncAllRecordingsRequest]) (*connect.Response[meetv1.SyncAllRecordingsResponse], error) {
	return do(ctx, s.backend, subject.SyncAllRecordings, req)
}

func (s *recordings) VerifyRecording(ctx context.Context, req *connect.Request[meetv1.VerifyRecordingRequest]) (*connect.Response[meetv1.RecordingJobResponse], error) {
	return do(ctx, s.backend, subject.VerifyRecording, req)
}

func (s *recordings) ShareRecording(ctx context.Context, req *connect.Request[meetv1.ShareRecordingRequest]) (*connect.Response[meetv1.RecordingJobResponse], error) {
	return do(ctx, s.backend, subject.ShareRecording, req)
}

func (s *recordings) SetLegalHold(ctx context.Context, req *connect.Request[meetv1.SetLegalHoldRequest]) (*connect.Response[meetv1.SetLegalHoldResponse], error) {
	return do(ctx, s.backend, subject.SetLegalHold, req)
}

func (s *recordings) GetAttendance(ctx context.Context, req *connect.Request[meetv1.GetAttendanceRequest]) (*connect.Response[meetv1.Attendance], error) {
	return ask(ctx, s.backend, subject.GetAttendance, req.Msg)
}

func (s *recordings) GetTranscript(ctx context.Context, req *connect.Request[meetv1.GetTranscriptRequest]) (*connect.Response[meetv1.Transcript], error) {
	return ask(ctx, s.backend, subject.GetTranscript, req.Msg)
}

// jobs is meet.v1.JobService.
type jobs struct{ backend *backend.Backend }

func (s *jobs) GetJob(ctx context.Context, req *connect.Request[meetv1.GetJobRequest]) (*connect.Response[meetv1.Job], error) {
	return ask(ctx, s.backend, subject.GetJob, req.Msg)
}

func (s *jobs) ListJobs(ctx context.Context, req *connect.Request[meetv1.ListJobsRequest]) (*connect.Response[meetv1.ListJobsResponse], error) {
	return ask(ctx, s.backend, subject.ListJobs, req.Msg)
}
