package app

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Actor is who asks, beside his name. The zero Actor is nobody, and may do nothing.
type Actor struct {
	Role   access.Role
	UserID account.ID
	Limits access.Limits
	// Credential is the kind of it: open, key, oidc or session; empty for parts of this product.
	Credential string
}

// System is the service itself, where nobody asked.
var System = Actor{Role: access.Admin}

// Owned is a use case that can be limited to what is one user's.
type Owned interface {
	// Own refuses, with the fault of what is not there, where the use case would work on another's; it is called before Apply.
	Own(u *Unit, user account.ID) error
}

// permit decides whether the command may be carried out, by the table; what the actor only reaches as its own must be.
func permit(u *Unit, c *Command) error {
	reach, err := access.Decide(c.Kind, c.Actor.Role, c.Actor.Limits)
	if err != nil || reach == access.All {
		return err
	}
	owned, can := c.Do.(Owned)
	if !can || c.Actor.UserID == 0 {
		return fault.New(fault.Forbidden, access.ReasonForbidden, "you may not do this")
	}
	return owned.Own(u, c.Actor.UserID)
}

// denied tells a refusal of who asks from one by a rule.
func denied(err error) bool {
	var f *fault.Fault
	return errors.As(err, &f) && (f.Kind == fault.Forbidden || f.Kind == fault.Unauthenticated)
}

// ownMeeting refuses another's meeting as one that is not there.
func (u *Unit) ownMeeting(ref meeting.Ref, user account.ID) error {
	m, err := u.Meeting(ref)
	if err != nil {
		return err
	}
	if account.ID(m.OrganizerID) != user {
		return meeting.ErrNotFound
	}
	return nil
}

// Own is [Owned]: everybody may make meetings for himself.
func (c *CreateMeeting) Own(u *Unit, user account.ID) error {
	if c.refusal != nil {
		return nil //nolint:nilerr // Apply says what is wrong with it
	}
	organizer := u.Organizers[account.EmailKey(c.Spec.OrganizerEmail)]
	if organizer == nil || organizer.ID != user {
		return fault.New(fault.Forbidden, access.ReasonNotYourself, "you may make meetings for yourself only").
			WithFields(fault.Field{Path: "organizer_email", Reason: access.ReasonNotYourself, Text: "must be your own address"})
	}
	return nil
}

// Own is [Owned].
func (c *UpdateMeeting) Own(u *Unit, user account.ID) error { return u.ownMeeting(c.Ref, user) }

// Own is [Owned].
func (c *CancelMeeting) Own(u *Unit, user account.ID) error { return u.ownMeeting(c.Ref, user) }

// Own is [Owned].
func (c *ProvisionMeeting) Own(u *Unit, user account.ID) error { return u.ownMeeting(c.Ref, user) }

// Own is [Owned]: one's own names and password.
func (c *UpdateUser) Own(_ *Unit, user account.ID) error {
	if c.ID != user {
		return account.ErrNotFound
	}
	if c.Patch.Email != nil || c.Patch.Role != nil || c.Patch.Active != nil {
		return fault.New(fault.Forbidden, access.ReasonForbidden, "you may change your names and your password only")
	}
	return nil
}

// Owners tells what is whose, for queries of those who reach only their own. What is not there is nobody's.
type Owners interface {
	OwnsMeeting(ctx context.Context, ref meeting.Ref, user account.ID) (bool, error)
	OwnsParticipant(ctx context.Context, id int64, user account.ID) (bool, error)
	OwnsRecording(ctx context.Context, id int64, user account.ID) (bool, error)
	OwnsOperation(ctx context.Context, id uuid.UUID, user account.ID) (bool, error)
	OwnsJob(ctx context.Context, id uuid.UUID, user account.ID) (bool, error)
}
