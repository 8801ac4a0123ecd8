package app

import (
	"strconv"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
)

// UserPrincipal is a user's name as a principal.
func UserPrincipal(id account.ID) string { return "user:" + strconv.FormatInt(int64(id), 10) }

// OpenSession keeps a console session, once the gateway has seen the password.
type OpenSession struct {
	Session identity.Session
}

// Needs the user.
func (c *OpenSession) Needs(n *Needs) { n.UserIDs = append(n.UserIDs, c.Session.UserID) }

// Apply refuses with [identity.ErrUserInactive] and [fault.Invalid].
func (c *OpenSession) Apply(u *Unit, command *Command) (Result, error) {
	user := u.Users[c.Session.UserID]
	if user == nil || !user.Active {
		return Result{}, identity.ErrUserInactive
	}
	s := c.Session
	if err := s.Check(u.Now); err != nil {
		return Result{}, err
	}
	s.CreatedAt, s.SeenAt, s.RemoteAddr = u.Now, u.Now, command.RemoteAddr
	u.NewSessions = append(u.NewSessions, &s)
	u.Sessions[s.Hash] = s.UserID
	return Result{User: user, Answer: user, Change: &Change{Kind: audit.Session, ID: UserPrincipal(user.ID), After: audit.Fields{"expires_at": moment(s.ExpiresAt)}}}, nil
}

// CloseSession ends a session.
type CloseSession struct {
	Hash identity.Hash
}

// Needs the session.
func (c *CloseSession) Needs(n *Needs) { n.Access.Sessions = append(n.Access.Sessions, c.Hash) }

// Apply never refuses: a session that is not there has ended.
func (c *CloseSession) Apply(u *Unit, command *Command) (Result, error) {
	id, ok := u.Sessions[c.Hash]
	if !ok {
		return Result{Silent: true}, nil
	}
	delete(u.Sessions, c.Hash)
	u.EndSessions = append(u.EndSessions, c.Hash)
	command.Changed = append(command.Changed, UserPrincipal(id))
	return Result{Change: &Change{Kind: audit.Session, ID: UserPrincipal(id), After: audit.Fields{"closed": true}}}, nil
}

// OfferAdmin keeps the link by which the first admin can be made; the gateway prints it.
type OfferAdmin struct {
	Hash identity.Hash
}

// Offered is what came of it; zero: nothing is to be printed.
type Offered struct{ Until time.Time }

// Needs to know whether an admin is there.
func (c *OfferAdmin) Needs(n *Needs) { n.Access.Links = append(n.Access.Links, c.Hash) }

// Apply never refuses. Gateways that start together offer one link, and the next start offers another, should it be lost.
func (c *OfferAdmin) Apply(u *Unit, _ *Command) (Result, error) {
	if u.HasAdmin || !u.OfferedAt.IsZero() && u.Now.Sub(u.OfferedAt) < identity.OfferEvery {
		return Result{Answer: Offered{}, Silent: true}, nil
	}
	l := &identity.Link{Hash: c.Hash, ExpiresAt: u.Now.Add(identity.LinkLife)}
	u.NewLinks, u.OfferedAt = append(u.NewLinks, l), u.Now
	return Result{Answer: Offered{l.ExpiresAt}, Change: &Change{Kind: audit.Key, ID: "first-admin", After: audit.Fields{"expires_at": moment(l.ExpiresAt)}}}, nil
}

// ClaimAdmin makes the first admin by the link that the first start printed.
type ClaimAdmin struct {
	Hash identity.Hash
	User CreateUser
}

// Needs the link, whether an admin is there, and what a new user needs.
func (c *ClaimAdmin) Needs(n *Needs) {
	n.Access.Links = append(n.Access.Links, c.Hash)
	c.User.Role = account.Admin
	c.User.Needs(n)
}

// Apply refuses with [fault.Unauthenticated] where the link does not work, [fault.Conflict] where an admin is there, and what
// [CreateUser] refuses with; a link that was right is not used up by a user that was wrong.
func (c *ClaimAdmin) Apply(u *Unit, command *Command) (Result, error) {
	link := u.Links[c.Hash]
	var used identity.Link
	if link != nil {
		used = *link
		link = &used
	}
	if err := link.Use(u.Now); err != nil {
		return Result{}, err
	}
	if u.HasAdmin {
		return Result{}, fault.New(fault.Conflict, identity.ReasonClaimed, "an admin is there already; let him make you one")
	}
	result, err := c.User.Apply(u, command)
	if err != nil {
		return Result{}, err
	}
	u.Links[c.Hash], u.HasAdmin = link, true
	return result, nil
}
