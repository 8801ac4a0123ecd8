package googlefake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Member is Meet's Member resource.
type Member struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	Role  string `json:"role,omitempty"`
}

type memberList struct {
	Members       []Member `json:"members,omitempty"`
	NextPageToken string   `json:"nextPageToken,omitempty"`
}

const (
	memberPattern = "/v2/spaces/{space}/members"
	roleCohost    = "COHOST"
)

func memberRoutes() []*route {
	created, readonly := scopePrefix+"meetings.space.created", scopePrefix+"meetings.space.readonly"
	const service = "google.apps.meet.v2.SpacesService."
	routes := []*route{
		{id: "create", method: http.MethodPost, pattern: memberPattern, scopes: []string{created}, rpc: "CreateMember", handle: (*Server).createMember},
		{
			id: "list", method: http.MethodGet, pattern: memberPattern, scopes: []string{created, readonly}, rpc: "ListMembers",
			handle: (*Server).listMembers, params: []string{"pageSize", "pageToken"},
		},
		{id: "get", method: http.MethodGet, pattern: memberPattern + "/{member}", scopes: []string{created, readonly}, rpc: "GetMember", handle: (*Server).getMember},
		{
			id: "patch", method: http.MethodPatch, pattern: memberPattern + "/{member}", scopes: []string{created}, rpc: "UpdateMember",
			handle: (*Server).patchMember, params: []string{"updateMask"},
		},
		{id: "delete", method: http.MethodDelete, pattern: memberPattern + "/{member}", scopes: []string{created}, rpc: "DeleteMember", handle: (*Server).deleteMember},
		{id: "batchUpdate", method: http.MethodPost, pattern: memberPattern + ":batchUpdate", scopes: []string{created}, rpc: "BatchUpdateMembers", handle: (*Server).batchMembers},
	}
	for _, rt := range routes {
		rt.id, rt.rpc, rt.dialect, rt.service = "meet.spaces.members."+rt.id, service+rt.rpc, platform, meetService
		rt.quota = quotaMeetWrite
		if rt.method == http.MethodGet {
			rt.quota = quotaMeetRead
		}
	}
	return append(routes, &route{
		id: "meet.spaces.endActiveConference", method: http.MethodPost, pattern: "/v2/spaces/{space}", verb: ":endActiveConference",
		scopes: []string{created}, dialect: platform, service: meetService, quota: quotaMeetWrite,
		rpc: service + "EndActiveConference", handle: (*Server).endActive,
	})
}

// hosted is the space of a call about members: only the owner of a space that an app made has any.
func (s *Server) hosted(c *call) (*space, *apiError) {
	sp := s.store.find(c.r.PathValue("space"), false)
	if sp == nil || sp.Owner != c.who.Subject || sp.Origin != originApp {
		return nil, denied("Member")
	}
	return sp, nil
}

func (sp *space) member(id string) int {
	return slices.IndexFunc(sp.Members, func(m Member) bool { return strings.HasSuffix(m.Name, "/"+id) })
}

// changeMembers lets change work on a copy of the list and keeps it.
func (s *Server) changeMembers(c *call, change func(*space) (any, *apiError)) (answer, error) {
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sp, refusal := s.hosted(c)
	if refusal != nil {
		return answer{}, refusal
	}
	next := *sp
	next.Members = slices.Clone(sp.Members)
	out, refusal := change(&next)
	if refusal != nil {
		return answer{}, refusal
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "space", Space: &next})); err != nil {
		return answer{}, err
	}
	st.keepSpace(&next)
	return ok(out)
}

func checkMember(m Member) *apiError {
	if m.Role != "" && m.Role != roleCohost && m.Role != "ROLE_UNSPECIFIED" {
		return platformInvalid("member.role", "Invalid value at 'member.role', \""+m.Role+"\"")
	}
	return nil
}

func (s *Server) createMember(c *call) (answer, error) {
	var in Member
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, platformInvalid("", "Invalid JSON payload received.")
	}
	if !validEmail(in.Email) {
		return answer{}, platformInvalid("member.email", "Request contains an invalid argument.")
	}
	if refusal := checkMember(in); refusal != nil {
		return answer{}, refusal
	}
	in.Email = strings.ToLower(in.Email)
	return s.changeMembers(c, func(sp *space) (any, *apiError) {
		in.Name = spacesPrefix + sp.ID + "/members/" + userID(in.Email)
		if i := sp.member(userID(in.Email)); i >= 0 {
			return nil, &apiError{status: http.StatusConflict, message: "Requested entity already exists", grpc: "ALREADY_EXISTS"}
		}
		sp.Members = append(sp.Members, in)
		return in, nil
	})
}

func (s *Server) listMembers(c *call) (answer, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	sp, refusal := s.hosted(c)
	if refusal != nil {
		return answer{}, refusal
	}
	items, next, refusal := platformPage(c, sp.Members, 250, 500)
	if refusal != nil {
		return answer{}, refusal
	}
	return ok(memberList{items, next})
}

func (s *Server) getMember(c *call) (answer, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	sp, refusal := s.hosted(c)
	if refusal != nil {
		return answer{}, refusal
	}
	i := sp.member(c.r.PathValue("member"))
	if i < 0 {
		return answer{}, notFoundPlatform()
	}
	return ok(sp.Members[i])
}

func (s *Server) patchMember(c *call) (answer, error) {
	var in Member
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, platformInvalid("", "Invalid JSON payload received.")
	}
	if refusal := checkMember(in); refusal != nil {
		return answer{}, refusal
	}
	return s.changeMembers(c, func(sp *space) (any, *apiError) {
		i := sp.member(c.r.PathValue("member"))
		if i < 0 {
			return nil, notFoundPlatform()
		}
		sp.Members[i].Role = in.Role
		return sp.Members[i], nil
	})
}

func (s *Server) deleteMember(c *call) (answer, error) {
	return s.changeMembers(c, func(sp *space) (any, *apiError) {
		i := sp.member(c.r.PathValue("member"))
		if i < 0 {
			return nil, notFoundPlatform()
		}
		sp.Members = slices.Delete(sp.Members, i, i+1)
		return struct{}{}, nil
	})
}

func (s *Server) batchMembers(c *call) (answer, error) {
	var in struct {
		Requests []struct {
			Member Member `json:"member"`
		} `json:"requests"`
	}
	if json.Unmarshal(c.body, &in) != nil || len(in.Requests) > 500 {
		return answer{}, platformInvalid("requests", "Request contains an invalid argument.")
	}
	return s.changeMembers(c, func(sp *space) (any, *apiError) {
		var out memberList
		for _, r := range in.Requests {
			_, id, _ := cutLast(r.Member.Name, "/")
			i := sp.member(id)
			if i < 0 {
				return nil, notFoundPlatform()
			}
			if refusal := checkMember(r.Member); refusal != nil {
				return nil, refusal
			}
			sp.Members[i].Role = r.Member.Role
			out.Members = append(out.Members, sp.Members[i])
		}
		return out, nil
	})
}

func (s *Server) endActive(c *call) (answer, error) {
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sp := st.find(c.r.PathValue("space"), false)
	if sp == nil || sp.Owner != c.who.Subject || sp.Origin != originApp && !s.setup().Meet.EndCalendarMade {
		return answer{}, spaceDenied()
	}
	conf := st.active(sp, now)
	if conf == nil {
		return answer{}, &apiError{status: http.StatusBadRequest, message: "There is no active conference for the given space.", grpc: "FAILED_PRECONDITION"}
	}
	if err := s.endConference(conf, now); err != nil {
		return answer{}, err
	}
	return ok(struct{}{})
}

// active is the conference that runs in a space, nil when it is empty. The caller holds the lock.
func (st *store) active(sp *space, now time.Time) *conference {
	for _, c := range slices.Backward(st.bySpace[sp.ID]) {
		if c.running(now) {
			return c
		}
	}
	return nil
}
