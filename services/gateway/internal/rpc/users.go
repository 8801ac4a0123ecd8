package rpc

import (
	"context"

	"connectrpc.com/connect"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// users is meet.v1.UserService.
type users struct{ backend *backend.Backend }

func (s *users) GetUser(ctx context.Context, req *connect.Request[meetv1.GetUserRequest]) (*connect.Response[meetv1.User], error) {
	return ask(ctx, s.backend, subject.GetUser, req.Msg)
}

func (s *users) ListUsers(ctx context.Context, req *connect.Request[meetv1.ListUsersRequest]) (*connect.Response[meetv1.ListUsersResponse], error) {
	return ask(ctx, s.backend, subject.ListUsers, req.Msg)
}

func (s *users) GetUserStats(ctx context.Context, req *connect.Request[meetv1.GetUserStatsRequest]) (*connect.Response[meetv1.UserStats], error) {
	return ask(ctx, s.backend, subject.GetUserStats, req.Msg)
}
