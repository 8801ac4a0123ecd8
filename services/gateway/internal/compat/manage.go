package compat

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// maxUsername is the longest username, in characters.
const maxUsername = 150

// userForms are the bodies about users.
type userForms struct {
	create    *form[*newUser]
	change    *form[*meetv1.UpdateUserRequest] // every field may be left out
	replace   *form[*meetv1.UpdateUserRequest] // the address may not
	first     *form[*newUser]                  // the first admin, with his token
	passwords []field[*passwordChange]
}

// newUser is a user to make with the password as it came.
type newUser struct {
	*meetv1.CreateUserRequest
	password, confirm string
	token             string // of the first admin
}

// passwordChange is a password to set.
type passwordChange struct{ old, new, confirm string }

// unwrapping applies the rules of the request inside.
type unwrapping struct{ protovalidate.Validator }

func (v unwrapping) Validate(message proto.Message, options ...protovalidate.ValidationOption) error {
	if u, ok := message.(*newUser); ok {
		message = u.CreateUserRequest
	}
	return v.Validator.Validate(message, options...)
}

func newUserForms(validator protovalidate.Validator) userForms {
	type req = *meetv1.UpdateUserRequest
	roles := []string{"admin", "service", "external"}
	change := func(emailRequired bool) []field[req] {
		touch := func(f field[req]) field[req] {
			inner := f.read
			f.read = func(raw json.RawMessage, dst req) []fault.Field {
				faults := inner(raw, dst)
				if faults == nil {
					dst.UpdateMask.Paths = append(dst.UpdateMask.Paths, f.name)
				}
				return faults
			}
			return f
		}
		address := email("email", "user.email", "", func(r req) *string { return &r.User.Email })
		address.required = emailRequired
		return []field[req]{
			touch(address),
			touch(text("first_name", "user.first_name", "", func(r req) *string { return &r.User.FirstName })),
			touch(text("last_name", "user.last_name", "", func(r req) *string { return &r.User.LastName })),
			touch(choice("role", "", rolesByName, roles, func(r req, role meetv1.UserRole) { r.User.Role = role })),
			touch(yesNo("is_active", "", func(r req, v bool) { r.User.IsActive = v })),
		}
	}
	update := new(meetv1.UpdateUserRequest).ProtoReflect().Descriptor()
	create := []field[*newUser]{
		filled("username", "username", "Letters, digits and @/./+/-/_ only.", func(u *newUser) *string { return &u.Username }),
		email("email", "email", "", func(u *newUser) *string { return &u.Email }),
		password("password", "At least 8 characters, not common, not numeric, not like the name or the address.", func(u *newUser) *string { return &u.password }),
		password("password_confirm", "The same again.", func(u *newUser) *string { return &u.confirm }),
		text("first_name", "first_name", "", func(u *newUser) *string { return &u.FirstName }),
		text("last_name", "last_name", "", func(u *newUser) *string { return &u.LastName }),
		choice("role", "Absent: external.", rolesByName, roles, func(u *newUser, role meetv1.UserRole) { u.Role = role }),
	}
	newUsers := new(meetv1.CreateUserRequest).ProtoReflect().Descriptor()
	return userForms{
		create:  newForm(unwrapping{validator}, newUsers, create),
		first:   newForm(unwrapping{validator}, newUsers, firstAdminFields(create)),
		change:  newForm(validator, update, change(false)),
		replace: newForm(validator, update, change(true)),
		passwords: []field[*passwordChange]{
			password("old_password", "The password until now.", func(c *passwordChange) *string { return &c.old }),
			password("new_password", "At least 8 characters, not common, not numeric, not like the name or the address.", func(c *passwordChange) *string { return &c.new }),
			password("new_password_confirm", "The same again.", func(c *passwordChange) *string { return &c.confirm }),
		},
	}
}

// maxPassword is the longest password, in characters: more is an attack on whoever hashes it.
const maxPassword = 256

// password is a required field whose spaces count.
func password[T any](name, doc string, at func(T) *string) field[T] {
	most := maxPassword
	return field[T]{
		name: name, doc: doc, required: true, schema: huma.Schema{Type: huma.TypeString, Format: "password", MaxLength: &most, WriteOnly: true},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			s, why := verbatim(raw)
			switch {
			case why != "":
				return bad(why)
			case s == "":
				return bad(blank)
			case utf8.RuneCountInString(s) > maxPassword:
				return bad(tooLong, "max", strconv.Itoa(maxPassword))
			}
			*at(dst) = s
			return nil
		},
	}
}

// managed is the user in the path, inactive ones included.
func (a *API) managed(x *exchange) (*meetv1.User, error) {
	id, err := x.number()
	if err != nil {
		return nil, err
	}
	return a.user(x.whole(), id, true)
}

func (a *API) listManaged(x *exchange) error { return a.usersPage(x, true) }

func (a *API) getManaged(x *exchange) error {
	u, err := a.managed(x)
	if err != nil {
		return err
	}
	x.write(http.StatusOK, userOfProto(u))
	return nil
}

// secretHash tells a repeat from another body where the body has passwords: the command has only their salted hash, which is
// another one each time.
func (a *API) secretHash(req proto.Message, passwords ...string) (string, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, a.secret)
	for _, part := range append([]string{string(body)}, passwords...) {
		mac.Write(strconv.AppendInt(nil, int64(len(part)), 10))
		mac.Write([]byte{0})
		mac.Write([]byte(part))
	}
	return hex.EncodeToString(mac.Sum(nil)), nil
}

func (a *API) createManaged(x *exchange) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	u, err := a.readNewUser(o)
	if err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	req := u.CreateUserRequest
	if caller.BodyHash, err = a.secretHash(req, u.password); err != nil {
		return err
	}
	if req.PasswordHash, err = a.passwords.hash(x.r.Context(), u.password); err != nil {
		return err
	}
	outcome, err := command(x, subject.CreateUser, caller, req)
	if err != nil {
		return err
	}
	user := outcome.Response.GetUser()
	x.w.Header().Set("Location", base+"user-management/"+strconv.FormatInt(user.GetId(), 10)+"/")
	x.write(http.StatusCreated, userOfProto(user))
	return nil
}

// readNewUser reads the body of a new user, its password checked.
func (a *API) readNewUser(o object) (*newUser, error) { return a.readUser(o, a.users.create) }

func (a *API) readUser(o object, form *form[*newUser]) (*newUser, error) {
	u := &newUser{CreateUserRequest: new(meetv1.CreateUserRequest)}
	faults := read(o, form.fields, u)
	if u.password != "" {
		faults = append(faults, a.passwords.weaknesses("password", u.password, u.Username, u.Email, u.FirstName, u.LastName)...)
		if u.confirm != "" && u.confirm != u.password {
			faults = append(faults, wrong("password_confirm", passwordMismatch))
		}
	}
	if err := form.check(faults, u); err != nil {
		return nil, err
	}
	if u.Role == meetv1.UserRole_USER_ROLE_UNSPECIFIED {
		u.Role = meetv1.UserRole_USER_ROLE_EXTERNAL
	}
	return u, nil
}

func (a *API) patchManaged(x *exchange) error   { return a.changeUser(x, a.users.change) }
func (a *API) replaceManaged(x *exchange) error { return a.changeUser(x, a.users.replace) }

func (a *API) changeUser(x *exchange, form *form[*meetv1.UpdateUserRequest]) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	o, err := x.body()
	if err != nil {
		return err
	}
	req := &meetv1.UpdateUserRequest{Id: id, User: &meetv1.UserPatch{}, UpdateMask: &fieldmaskpb.FieldMask{}}
	if err := form.fill(o, req); err != nil {
		return err
	}
	if len(req.GetUpdateMask().GetPaths()) == 0 { // nothing to change: an empty mask would mean everything
		u, err := a.user(x.whole(), id, true)
		if err != nil {
			return err
		}
		x.write(http.StatusOK, userOfProto(u))
		return nil
	}
	u, err := a.updateUser(x, req)
	if err != nil {
		return err
	}
	x.write(http.StatusOK, userOfProto(u))
	return nil
}

func (a *API) updateUser(x *exchange, req *meetv1.UpdateUserRequest) (*meetv1.User, error) {
	caller, err := x.caller()
	if err != nil {
		return nil, err
	}
	outcome, err := command(x, subject.UpdateUser, caller, req)
	if err != nil {
		return nil, err
	}
	return outcome.Response.GetUser(), nil
}

func (a *API) deactivate(x *exchange) error { return a.setActive(x, false, saidDeactivated) }

func (a *API) activate(x *exchange) error {
	if _, err := x.body(); err != nil {
		return err
	}
	return a.setActive(x, true, saidActivated)
}

func (a *API) setActive(x *exchange, active bool, said reason) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	u, err := a.updateUser(x, &meetv1.UpdateUserRequest{
		Id: id, User: &meetv1.UserPatch{IsActive: active}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"is_active"}},
	})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, UserMessage{Message: x.say(said), UserID: u.GetId(), Username: u.GetUsername()})
	return nil
}

func (a *API) changePassword(x *exchange) error {
	u, err := a.managed(x)
	if err != nil {
		return err
	}
	return a.setPassword(x, u)
}

// changeOwnPassword is refused in open mode, where nobody is logged in.
func (a *API) changeOwnPassword(x *exchange) error {
	id := x.principal().UserID
	if id == 0 {
		return fault.New(fault.Unauthenticated, auth.ReasonUnauthenticated, "nobody is logged in")
	}
	u, err := a.user(x.whole(), id, false)
	if err != nil {
		return err
	}
	return a.setPassword(x, u)
}

func (a *API) setPassword(x *exchange, u *meetv1.User) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	change := new(passwordChange)
	faults := read(o, a.users.passwords, change)
	if change.new != "" {
		faults = append(faults, a.passwords.weaknesses("new_password", change.new, u.GetUsername(), u.GetEmail(), u.GetFirstName(), u.GetLastName())...)
		if change.confirm != "" && change.confirm != change.new {
			faults = append(faults, wrong("new_password_confirm", passwordMismatch))
		}
	}
	if len(faults) > 0 {
		return fault.InvalidFields(faults...)
	}
	req := &meetv1.UpdateUserRequest{Id: u.GetId(), User: &meetv1.UserPatch{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"password_hash"}}}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	if caller.BodyHash, err = a.secretHash(req, change.old, change.new); err != nil {
		return err
	}
	right, err := a.isPassword(x.r.Context(), u.GetId(), change.old)
	if err == nil && !right && caller.IdempotencyKey != "" {
		// A repeat of a change that was made: its old password is right no longer, but its new one is. The stored answer
		// comes back for the same body alone.
		right, err = a.isPassword(x.r.Context(), u.GetId(), change.new)
	}
	if err != nil {
		return err
	}
	if !right {
		return fault.InvalidFields(wrong("old_password", wrongPassword))
	}
	if req.User.PasswordHash, err = a.passwords.hash(x.r.Context(), change.new); err != nil {
		return err
	}
	if _, err := command(x, subject.UpdateUser, caller, req); err != nil {
		return err
	}
	x.write(http.StatusOK, Message{Message: x.say(saidPassword)})
	return nil
}

func (a *API) isPassword(ctx context.Context, user int64, password string) (bool, error) {
	resp, err := backend.Ask(ctx, a.backend, subject.VerifyPassword, &meetv1.VerifyPasswordRequest{UserId: user, Password: password})
	return resp.GetOk(), err
}
