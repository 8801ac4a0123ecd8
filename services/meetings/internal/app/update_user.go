package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/account"

// UpdateUser changes a user, its password and whether it is active included.
type UpdateUser struct {
	ID    account.ID
	Patch account.Patch
}

// Needs the user, and to know whether a new address is free.
func (c *UpdateUser) Needs(n *Needs) {
	n.UserIDs = append(n.UserIDs, c.ID)
	if c.Patch.Email != nil {
		n.UserEmails = append(n.UserEmails, *c.Patch.Email)
	}
}

// Apply refuses with [account.ErrNotFound] and, for a taken address, [fault.AlreadyExists].
func (c *UpdateUser) Apply(u *Unit, _ *Command) (Result, error) {
	user, ok := u.Users[c.ID]
	if !ok {
		return Result{}, account.ErrNotFound
	}
	if c.Patch.Email != nil {
		if other := u.UserByEmail(*c.Patch.Email); other != nil && other.ID != c.ID {
			return Result{}, account.EmailTaken()
		}
	}
	result := Result{User: user}
	if fields := user.Apply(c.Patch); len(fields) > 0 {
		u.DirtyUsers[user.ID] = struct{}{}
		result.UserFacts = []UserFact{{User: user, Fields: fields}}
	}
	return result, nil
}
