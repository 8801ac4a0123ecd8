package compat

import (
	"net/http"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

func (a *API) listParticipants(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.ListParticipantsRequest{MeetingId: f.number("meeting", maxID), PageSize: f.page(wholePage), PageToken: f.token()}
	if err := f.err(); err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListParticipants, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetParticipants(), participantOfProto))
	return nil
}

func (a *API) getParticipant(x *exchange) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	p, err := backend.Ask(x.r.Context(), a.backend, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: id})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, participantOfProto(p))
	return nil
}

func (a *API) listUsers(x *exchange) error { return a.usersPage(x, false) }

// usersPage answers with users, inactive ones included or not.
func (a *API) usersPage(x *exchange, inactive bool) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.ListUsersRequest{
		Role: oneOf(f, "role", rolesByName), EmailContains: f.text("email", maxAddress), UsernameContains: f.text("username", maxUsername),
		PageSize: f.page(wholePage), PageToken: f.token(), IncludeInactive: inactive,
	}
	if err := f.err(); err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListUsers, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetUsers(), userOfProto))
	return nil
}

func (a *API) getUser(x *exchange) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	u, err := a.user(x, id, false)
	if err != nil {
		return err
	}
	x.write(http.StatusOK, userOfProto(u))
	return nil
}

func (a *API) user(x *exchange, id int64, inactive bool) (*meetv1.User, error) {
	return backend.Ask(x.r.Context(), a.backend, subject.GetUser, &meetv1.GetUserRequest{Id: id, IncludeInactive: inactive})
}

// mePath says who nobody is in words of its own, whichever way the credentials are missing.
const mePath = base + "users/me/"

// me is the user behind the credentials; nobody in open mode, as ever.
func (a *API) me(x *exchange) error {
	id := x.principal().UserID
	if id == 0 {
		return fault.New(fault.Unauthenticated, string(nobodyLoggedIn), "nobody is logged in")
	}
	u, err := a.user(x, id, false)
	if fault.KindOf(err) == fault.NotFound { // deactivated since
		return fault.New(fault.Unauthenticated, string(nobodyLoggedIn), "nobody is logged in")
	}
	if err != nil {
		return err
	}
	x.write(http.StatusOK, userOfProto(u))
	return nil
}

func (a *API) userStats(x *exchange) error {
	s, err := backend.Ask(x.r.Context(), a.backend, subject.GetUserStats, &meetv1.GetUserStatsRequest{})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, UserStats{
		TotalUsers: s.GetTotalUsers(), ActiveUsers: s.GetActiveUsers(), InactiveUsers: s.GetInactiveUsers(),
		ByRole: UsersByRole{Admin: s.GetAdmins(), Service: s.GetServices(), External: s.GetExternals()},
	})
	return nil
}
