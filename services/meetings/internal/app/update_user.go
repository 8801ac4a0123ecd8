package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/account"

// UpdateUser changes a user, its password and whether it is active included.
type UpdateUser struct {
	ID    account.ID
	Patch account.Patch

	refusal error
}

// Needs the user, and to know whether a new address is free; a wrong patch needs nothing.
func (c *UpdateUser) Needs(n *Needs) {
	if c.refusal = c.Patch.Check(); c.refusal != nil {
		return
	}
	n.UserIDs = append(n.UserIDs, c.ID)
	if c.Patch.Email != nil {
		n.UserEmails = append(n.UserEmails, *c.Patch.Email)
	}
}

// Apply refuses with [fault.Invalid], [account.ErrNotFound] and, for a taken address, [fault.AlreadyExists].
func (c *UpdateUser) Apply(u *Unit, command *Command) (Result, error) {
	if c.refusal != nil {
		return Result{}, c.refusal
	}
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
		if c.Patch.PasswordHash != nil || c.Patch.Role != nil || c.Patch.Active != nil {
			u.EndSessionsOf = append(u.EndSessionsOf, user.ID)
			command.Changed = append(command.Changed, UserPrincipal(user.ID))
		}
	}
	return result, nil
}
