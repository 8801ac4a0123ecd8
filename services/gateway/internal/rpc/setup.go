package rpc

import (
	"context"

	"connectrpc.com/connect"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// setup is meet.v1.SetupService.
type setup struct{ backend *backend.Backend }

func (s *setup) Diagnose(ctx context.Context, req *connect.Request[meetv1.DiagnoseRequest]) (*connect.Response[meetv1.DiagnoseResponse], error) {
	found, err := s.backend.Diagnose(ctx, auth.From(ctx), req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(found), nil
}
