package rpc

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// commandOf is the action of each method that changes something. The others are queries, whose action is their own name.
var commandOf = map[string]string{
	"CreateMeeting": "meeting.create", "UpdateMeeting": "meeting.update", "CancelMeeting": "meeting.cancel", "ProvisionMeeting": "meeting.provision",
	"SyncRecording": "recording.sync", "SyncAllRecordings": "recording.sync_all", "VerifyRecording": "recording.verify", "ShareRecording": "recording.share",
	"SetLegalHold": "meeting.hold", "CreateKey": "access.create_key", "RotateKey": "access.rotate_key", "RevokeKey": "access.revoke_key",
	"ErasePerson": "privacy.erase",
}

// actionOf is what pkg/access calls a method; it panics where there is no such action, which any test finds.
func actionOf(procedure string) string {
	name := procedure[strings.LastIndexByte(procedure, '/')+1:]
	action, is := commandOf[name]
	if !is {
		action = name
	}
	if _, known := access.RuleOf(action); !known {
		panic(fmt.Sprintf("rpc: nobody has said who may call %s", procedure))
	}
	return action
}

// permission refuses who may not call a method at all, before its message is looked at.
type permission struct{ actions map[string]string } // by procedure

func (i permission) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := auth.Permit(ctx, i.actions[req.Spec().Procedure]); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

func (permission) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler has nothing to refuse: meet.v1 has unary methods only.
func (permission) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// keys is meet.v1.AccessService.
type keys struct{ backend *backend.Backend }

func (s *keys) CreateKey(ctx context.Context, req *connect.Request[meetv1.CreateKeyRequest]) (*connect.Response[meetv1.CreateKeyResponse], error) {
	caller, err := callerOf(ctx, req)
	if err != nil {
		return nil, err
	}
	outcome, err := s.backend.CreateKey(ctx, caller, req.Msg)
	return shown(outcome, err)
}

func (s *keys) RotateKey(ctx context.Context, req *connect.Request[meetv1.RotateKeyRequest]) (*connect.Response[meetv1.CreateKeyResponse], error) {
	caller, err := callerOf(ctx, req)
	if err != nil {
		return nil, err
	}
	outcome, err := s.backend.RotateKey(ctx, caller, req.Msg)
	return shown(outcome, err)
}

// shown is an answer with a secret: nobody between may keep it.
func shown(outcome backend.Outcome[*meetv1.CreateKeyResponse], err error) (*connect.Response[meetv1.CreateKeyResponse], error) {
	if err != nil {
		return nil, replayedErr(err, outcome.Replayed)
	}
	resp := replied(outcome.Response, outcome.Replayed)
	resp.Header().Set("Cache-Control", "no-store")
	return resp, nil
}

func (s *keys) GetKey(ctx context.Context, req *connect.Request[meetv1.GetKeyRequest]) (*connect.Response[meetv1.ApiKey], error) {
	return ask(ctx, s.backend, subject.GetKey, req.Msg)
}

func (s *keys) ListKeys(ctx context.Context, req *connect.Request[meetv1.ListKeysRequest]) (*connect.Response[meetv1.ListKeysResponse], error) {
	return ask(ctx, s.backend, subject.ListKeys, req.Msg)
}

func (s *keys) RevokeKey(ctx context.Context, req *connect.Request[meetv1.RevokeKeyRequest]) (*connect.Response[meetv1.ApiKey], error) {
	caller, err := callerOf(ctx, req)
	if err != nil {
		return nil, err
	}
	outcome, err := backend.Do(ctx, s.backend, subject.RevokeKey, caller, req.Msg)
	if err != nil {
		return nil, replayedErr(err, outcome.Replayed)
	}
	return replied(outcome.Response.GetKey(), outcome.Replayed), nil
}

// auditLog is meet.v1.AuditService.
type auditLog struct{ backend *backend.Backend }

func (s *auditLog) ListAudit(ctx context.Context, req *connect.Request[meetv1.ListAuditRequest]) (*connect.Response[meetv1.ListAuditResponse], error) {
	return ask(ctx, s.backend, subject.ListAudit, req.Msg)
}

func (s *auditLog) VerifyAudit(ctx context.Context, req *connect.Request[meetv1.VerifyAuditRequest]) (*connect.Response[meetv1.VerifyAuditResponse], error) {
	return ask(ctx, s.backend, subject.VerifyAudit, req.Msg)
}

// privacy is meet.v1.PrivacyService.
type privacy struct{ backend *backend.Backend }

func (s *privacy) ExportPerson(ctx context.Context, req *connect.Request[meetv1.ExportPersonRequest]) (*connect.Response[meetv1.ExportPersonResponse], error) {
	return ask(ctx, s.backend, subject.ExportPerson, req.Msg)
}

func (s *privacy) ErasePerson(ctx context.Context, req *connect.Request[meetv1.ErasePersonRequest]) (*connect.Response[meetv1.ErasePersonResponse], error) {
	return do(ctx, s.backend, subject.ErasePerson, req)
}
