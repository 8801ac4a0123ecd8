// Package account holds the rules about users: their roles and how an organizer becomes one. It does no I/O.
package account

import (
	"fmt"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// ID numbers a user.
type ID int64

// Role decides what a user may do. The zero Role is invalid.
type Role uint8

// The roles.
const (
	Admin Role = iota + 1
	Service
	External
)

// String is the role's name in the database.
func (r Role) String() string {
	switch r {
	case Admin:
		return "admin"
	case Service:
		return "service"
	case External:
		return "external"
	}
	return "invalid role"
}

// ParseRole is the inverse of [Role.String].
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{Admin, Service, External} {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("no role is called %q", s)
}

// User is somebody who organizes meetings or uses this service.
type User struct {
	ID           ID
	Username     string
	Email        string
	FirstName    string
	LastName     string
	Role         Role
	Active       bool
	PasswordHash string
	DateJoined   time.Time
}

// Reasons of the faults about users.
const (
	ReasonUserNotFound  = "USER_NOT_FOUND"
	ReasonUsernameTaken = "USERNAME_TAKEN"
	ReasonEmailTaken    = "EMAIL_TAKEN"
)

// ErrNotFound is the fault for a user that is not there.
var ErrNotFound = fault.New(fault.NotFound, ReasonUserNotFound, "no such user")

// UsernameTaken says that another user has the name.
func UsernameTaken() error {
	return taken("username", ReasonUsernameTaken, "a user with this username exists; choose another")
}

// EmailTaken says that another user has the address.
func EmailTaken() error {
	return taken("email", ReasonEmailTaken, "a user with this address exists; use another address")
}

func taken(path, reason, text string) error {
	f := fault.New(fault.AlreadyExists, reason, "%s", text)
	return f.WithFields(fault.Field{Path: path, Reason: reason, Text: text})
}

// EmailKey is what makes two addresses the same user.
func EmailKey(email string) string { return strings.ToLower(email) }

// maxUsername is the longest username, in bytes; Django's limit.
const maxUsername = 150

// OrganizerUsername is the name of a user made from an organizer's address: what stands before the @, and, where that is
// taken, made unique by the user's number.
func OrganizerUsername(email string, id ID, taken func(string) bool) string {
	base, _, _ := strings.Cut(email, "@")
	if base == "" {
		base = "user"
	}
	if len(base) > maxUsername-24 {
		base = strings.ToValidUTF8(base[:maxUsername-24], "")
	}
	if !taken(base) {
		return base
	}
	return fmt.Sprintf("%s-%d", base, id)
}

// NewOrganizer makes the user behind an organizer's address.
func NewOrganizer(id ID, email string, taken func(string) bool, now time.Time) *User {
	return &User{ID: id, Username: OrganizerUsername(email, id, taken), Email: email, Role: External, Active: true, DateJoined: now}
}

// Patch changes the fields that are set.
type Patch struct {
	Email, FirstName, LastName, PasswordHash *string
	Role                                     *Role
	Active                                   *bool
}

// Apply makes the changes and names the fields that differ afterwards.
func (u *User) Apply(p Patch) []string {
	var fields []string
	text := func(name string, to *string, field *string) {
		if to != nil && *to != *field {
			*field = *to
			fields = append(fields, name)
		}
	}
	text("email", p.Email, &u.Email)
	text("first_name", p.FirstName, &u.FirstName)
	text("last_name", p.LastName, &u.LastName)
	text("password", p.PasswordHash, &u.PasswordHash)
	if p.Role != nil && *p.Role != u.Role {
		u.Role = *p.Role
		fields = append(fields, "role")
	}
	if p.Active != nil && *p.Active != u.Active {
		u.Active = *p.Active
		fields = append(fields, "is_active")
	}
	return fields
}
