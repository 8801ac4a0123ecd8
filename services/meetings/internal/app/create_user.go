package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/account"

// CreateUser makes a user by hand.
type CreateUser struct {
	Username, Email, FirstName, LastName, PasswordHash string
	Role                                               account.Role

	refusal error
}

func (c *CreateUser) user() *account.User {
	return &account.User{
		Username: c.Username, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName, Role: c.Role, Active: true, PasswordHash: c.PasswordHash,
	}
}

// Needs to know whether name and address are free, and a number; a wrong user needs nothing.
func (c *CreateUser) Needs(n *Needs) {
	if c.refusal = c.user().Check(); c.refusal != nil {
		return
	}
	n.Usernames = append(n.Usernames, c.Username)
	n.Organizers = append(n.Organizers, c.Email)
}

// Apply refuses a wrong user with [fault.Invalid] and a taken name or address with [fault.AlreadyExists].
func (c *CreateUser) Apply(u *Unit, _ *Command) (Result, error) {
	if c.refusal != nil {
		return Result{}, c.refusal
	}
	if u.nameTaken(c.Username) {
		return Result{}, account.UsernameTaken()
	}
	if _, taken := u.Organizers[account.EmailKey(c.Email)]; taken {
		return Result{}, account.EmailTaken()
	}
	id, err := u.takeUserID()
	if err != nil {
		return Result{}, err
	}
	user := c.user()
	user.ID, user.DateJoined = id, u.Now
	u.addUser(user)
	return Result{User: user, UserFacts: []UserFact{{User: user, Created: true}}}, nil
}
