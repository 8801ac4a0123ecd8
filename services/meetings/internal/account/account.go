// Package account holds the rules about users: their roles and how an organizer becomes one. It does no I/O.
package account

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

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

// EmailKey is what makes two addresses the same user. Only ASCII letters lose their case, as with the database's unique index:
// what Unicode folds together differs between the two.
func EmailKey(email string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, email)
}

// The longest texts: those of Django's user, in characters, and an address as RFC 5321 §4.5.3.1 bounds it, in bytes.
const (
	maxUsername = 150
	maxName     = 150
	maxEmail    = 254
	maxHash     = 512
)

// Check says what is wrong with a new user, all at once. The gateway checks shapes at the door; this keeps what must be true
// however a command came.
func (u *User) Check() error {
	var c checks
	c.text("username", u.Username, maxUsername)
	if u.Username == "" {
		c.bad("username", "REQUIRED", "must not be empty")
	}
	c.email(u.Email)
	c.text("first_name", u.FirstName, maxName)
	c.text("last_name", u.LastName, maxName)
	c.text("password", u.PasswordHash, maxHash)
	return c.fault()
}

// Check says what is wrong with a patch, all at once.
func (p Patch) Check() error {
	var c checks
	if p.Email != nil {
		c.email(*p.Email)
	}
	for _, field := range []struct {
		path  string
		text  *string
		limit int
	}{{"first_name", p.FirstName, maxName}, {"last_name", p.LastName, maxName}, {"password", p.PasswordHash, maxHash}} {
		if field.text != nil {
			c.text(field.path, *field.text, field.limit)
		}
	}
	return c.fault()
}

type checks struct{ fields []fault.Field }

func (c *checks) bad(path, reason, text string) {
	c.fields = append(c.fields, fault.Field{Path: path, Reason: reason, Text: text})
}

func (c *checks) text(path, text string, limit int) {
	if utf8.RuneCountInString(text) > limit {
		c.bad(path, "MAX_LENGTH", "is too long")
	}
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		c.bad(path, "CHARACTERS", "holds characters that are not allowed")
	}
}

func (c *checks) email(s string) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || len(s) > maxEmail || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\r\n \t") {
		c.bad("email", "EMAIL", "must be an email address")
	}
}

func (c *checks) fault() error {
	if len(c.fields) == 0 {
		return nil
	}
	return fault.InvalidFields(c.fields...)
}

// OrganizerUsername is the name of a user made from an organizer's address: what stands before the @, and, where that is
// taken, made unique by the user's number.
func OrganizerUsername(email string, id ID, taken func(string) bool) string {
	base, _, _ := strings.Cut(email, "@")
	if base == "" {
		base = "user"
	}
	if len(base) > maxUsername-24 { // room for the number
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
