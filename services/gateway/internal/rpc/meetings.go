package rpc

import (
	"context"
	"strconv"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// metaMeetingID names the meeting that exists although its link could not be made.
const metaMeetingID = "meeting_id"

// meetings is meet.v1.MeetingService.
type meetings struct{ backend *backend.Backend }

func (s *meetings) CreateMeeting(ctx context.Context, req *connect.Request[meetv1.CreateMeetingRequest]) (*connect.Response[meetv1.CreateMeetingResponse], error) {
	caller, err := callerOf(ctx, req)
	if err != nil {
		return nil, err
	}
	created, err := s.backend.CreateMeeting(ctx, caller, prefersAsync(req.Header()), req.Msg)
	if err != nil {
		return nil, replayedErr(err, created.Replayed)
	}
	if created.Meeting.GetProvisioning() == meetv1.Provisioning_PROVISIONING_FAILED {
		why := created.Meeting.GetError()
		refused := fault.New(fault.Refused, why.GetCode(), "%s", why.GetMessage()).
			WithMeta(metaMeetingID, strconv.FormatInt(created.Meeting.GetId(), 10))
		return nil, replayedErr(refused, created.Replayed)
	}
	answer := &meetv1.CreateMeetingResponse{Meeting: created.Meeting}
	if created.Pending() {
		answer.Operation = created.Operation
	}
	return replied(answer, created.Replayed), nil
}

func (s *meetings) GetMeeting(ctx context.Context, req *connect.Request[meetv1.GetMeetingRequest]) (*connect.Response[meetv1.Meeting], error) {
	return ask(ctx, s.backend, subject.GetMeeting, req.Msg)
}

func (s *meetings) LookupMeeting(ctx context.Context, req *connect.Request[meetv1.LookupMeetingRequest]) (*connect.Response[meetv1.Meeting], error) {
	return ask(ctx, s.backend, subject.LookupMeeting, req.Msg)
}

func (s *meetings) ListMeetings(ctx context.Context, req *connect.Request[meetv1.ListMeetingsRequest]) (*connect.Response[meetv1.ListMeetingsResponse], error) {
	return ask(ctx, s.backend, subject.ListMeetings, req.Msg)
}

func (s *meetings) UpdateMeeting(ctx context.Context, req *connect.Request[meetv1.UpdateMeetingRequest]) (*connect.Response[meetv1.UpdateMeetingResponse], error) {
	mask, err := updateMask(req.Msg.GetUpdateMask(), req.Msg.GetMeeting())
	if err != nil {
		return nil, err
	}
	req.Msg.UpdateMask = mask
	return do(ctx, s.backend, subject.UpdateMeeting, req)
}

func (s *meetings) CancelMeeting(ctx context.Context, req *connect.Request[meetv1.CancelMeetingRequest]) (*connect.Response[meetv1.CancelMeetingResponse], error) {
	return do(ctx, s.backend, subject.CancelMeeting, req)
}

func (s *meetings) ProvisionMeeting(ctx context.Context, req *connect.Request[meetv1.ProvisionMeetingRequest]) (*connect.Response[meetv1.ProvisionMeetingResponse], error) {
	return do(ctx, s.backend, subject.ProvisionMeeting, req)
}

func (s *meetings) GetOperation(ctx context.Context, req *connect.Request[meetv1.GetOperationRequest]) (*connect.Response[meetv1.Operation], error) {
	return ask(ctx, s.backend, subject.GetOperation, req.Msg)
}

// message is *T as a protobuf message.
type message[T any] interface {
	*T
	proto.Message
}

// ask hands a read on.
func ask[Req proto.Message, T any, Resp message[T]](ctx context.Context, b *backend.Backend, q subject.Query[Req, Resp], req Req) (*connect.Response[T], error) {
	answer, err := backend.Ask(ctx, b, q, req)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse((*T)(answer)), nil
}

// do hands a change on and answers at its commit.
func do[In any, Req message[In], T any, Resp message[T]](ctx context.Context, b *backend.Backend, c subject.Command[Req, Resp], req *connect.Request[In]) (*connect.Response[T], error) {
	caller, err := callerOf(ctx, req)
	if err != nil {
		return nil, err
	}
	outcome, err := backend.Do(ctx, b, c, caller, Req(req.Msg))
	if err != nil {
		return nil, replayedErr(err, outcome.Replayed)
	}
	return replied((*T)(outcome.Response), outcome.Replayed), nil
}

func replied[T any](answer *T, replayed bool) *connect.Response[T] {
	resp := connect.NewResponse(answer)
	if replayed {
		resp.Header().Set(headerReplayed, "true")
	}
	return resp
}

func replayedErr(err error, replayed bool) error {
	if replayed {
		return replayedError{err}
	}
	return err
}
