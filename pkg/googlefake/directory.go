package googlefake

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
)

// User is the Directory API's resource of that name.
type User struct {
	Kind         string    `json:"kind,omitempty"`
	ID           string    `json:"id,omitempty"`
	Etag         string    `json:"etag,omitempty"`
	PrimaryEmail string    `json:"primaryEmail,omitempty"`
	Name         *UserName `json:"name,omitempty"`
	Suspended    bool      `json:"suspended,omitempty"`
}

// UserName is a person's name.
type UserName struct {
	FullName string `json:"fullName,omitempty"`
}

// Userinfo is what the OAuth2 API says of the token's owner.
type Userinfo struct {
	ID            string `json:"id,omitempty"`
	Email         string `json:"email,omitempty"`
	VerifiedEmail bool   `json:"verified_email,omitempty"`
	Name          string `json:"name,omitempty"`
}

func directoryRoutes() []*route {
	return []*route{{
		id: "directory.users.get", method: http.MethodGet, pattern: "/admin/directory/v1/users/{userKey}", handle: (*Server).getUser,
		dialect: classic, service: directoryService, rpc: "ccc.hosted.frontend.directory.v1.DirectoryUsers.Get",
		scopes: calendarScopes("admin.directory.user", "admin.directory.user.readonly"),
		params: []string{"customFieldMask", "projection", "viewType"},
	}}
}

func userinfoRoutes() []*route {
	return []*route{{
		id: "oauth2.userinfo.get", method: http.MethodGet, pattern: "/oauth2/v2/userinfo", handle: (*Server).userinfo,
		dialect: platform, service: "oauth2.googleapis.com", rpc: "google.identity.oauth2.Userinfo.Get",
		scopes: []string{scopeOpenID, scopePrefix + "userinfo.email", scopePrefix + "userinfo.profile"},
	}}
}

// userID is the numeric id of an address: always the same, so that it needs no memory.
func userID(email string) string {
	sum := sha256.Sum256([]byte("user " + email))
	return fmt.Sprintf("1%010d%010d", binary.BigEndian.Uint64(sum[:])%1e10, binary.BigEndian.Uint64(sum[8:])%1e10)
}

func (s *Server) getUser(c *call) (answer, error) {
	key := strings.ToLower(c.r.PathValue("userKey"))
	u := s.setup()
	email := key
	if !strings.Contains(key, "@") {
		email = s.emailOf(key)
	}
	p := u.policy(email)
	s.store.mu.RLock()
	seen := s.store.users[email]
	s.store.mu.RUnlock()
	_, home, _ := strings.Cut(c.who.person(), "@")
	_, domain, _ := strings.Cut(email, "@")
	// The directory holds the people of the Workspace: of the caller's domain, and those who could be
	// impersonated.
	ours := seen || p.known || domain == home && !s.cfg.Strict
	if !validEmail(email) || !p.exists || !ours {
		return answer{}, &apiError{status: http.StatusNotFound, reason: "notFound", message: "Resource Not Found: userKey"}
	}
	local, _, _ := strings.Cut(email, "@")
	out := User{
		Kind: "admin#directory#user", ID: userID(email), PrimaryEmail: email, Suspended: p.suspended,
		Name: &UserName{FullName: cmp.Or(p.name, local)}, Etag: `"` + userID(email) + `"`,
	}
	return ok(out)
}

// emailOf finds the address of a numeric id among the people who were named so far.
func (s *Server) emailOf(id string) string {
	for email := range s.setup().Accounts {
		if userID(email) == id {
			return email
		}
	}
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return s.store.ids[id]
}

func (s *Server) userinfo(c *call) (answer, error) {
	email := c.who.person()
	local, _, _ := strings.Cut(email, "@")
	return ok(Userinfo{ID: userID(email), Email: email, VerifiedEmail: true, Name: cmp.Or(s.setup().policy(email).name, local)})
}
