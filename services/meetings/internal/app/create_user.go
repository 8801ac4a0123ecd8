package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/account"

// CreateUser makes a user by hand.
type CreateUser struct {
	Username, Email, FirstName, LastName, PasswordHash string
	Role                                               account.Role
}

// Needs to know whether name and address are free, and a number.
func (c *CreateUser) Needs(n *Needs) {
	n.UserEmails = append(n.UserEmails, c.Email)
	n.Usernames = append(n.Usernames, c.Username)
	n.Organizers = append(n.Organizers, c.Email)
}

// Apply refuses a taken name or address with [fault.AlreadyExists].
func (c *CreateUser) Apply(u *Unit, _ *Command) (Result, error) {
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
	user := &account.User{
		ID: id, Username: c.Username, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName,
		Role: c.Role, Active: true, PasswordHash: c.PasswordHash, DateJoined: u.Now,
	}
	u.addUser(user)
	return Result{User: user, UserFacts: []UserFact{{User: user, Created: true}}}, nil
}
