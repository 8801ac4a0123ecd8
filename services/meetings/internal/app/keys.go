package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
)

// KeyAnswer is what commands about keys come to: the key as it was then.
type KeyAnswer struct {
	Key *identity.Key
	At  time.Time
}

// CreateKey keeps an API key that the gateway has drawn.
type CreateKey struct {
	Key identity.Key
}

// Needs the user it is for, and to know whether the prefix is free.
func (c *CreateKey) Needs(n *Needs) {
	if c.Key.UserID != 0 {
		n.UserIDs = append(n.UserIDs, c.Key.UserID)
	}
	n.Access.Keys = append(n.Access.Keys, c.Key.Prefix)
}

// Apply refuses a wrong key with [fault.Invalid] and a prefix that is taken with [fault.AlreadyExists].
func (c *CreateKey) Apply(u *Unit, command *Command) (Result, error) {
	k := c.Key
	if err := k.Check(u.Users[k.UserID], u.Now); err != nil {
		return Result{}, err
	}
	if u.Keys[k.Prefix] != nil {
		return Result{}, errPrefixTaken
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Result{}, fmt.Errorf("make a uid: %w", err)
	}
	k.UID, k.CreatedAt, k.CreatedBy, k.Scopes = id.String(), u.Now, command.Principal, identity.SortScopes(k.Scopes)
	u.addKey(&k)
	return Result{Answer: KeyAnswer{&k, u.Now}, Change: &Change{Kind: audit.Key, ID: k.Prefix, After: keyFields(u.Mask, &k)}}, nil
}

// errPrefixTaken is met by chance once in about 2^47 keys.
var errPrefixTaken = fault.New(fault.AlreadyExists, "KEY_PREFIX_TAKEN", "a key of this prefix exists; ask again")

func (u *Unit) addKey(k *identity.Key) {
	u.Keys[k.UID], u.Keys[k.Prefix] = k, k
	u.NewKeys = append(u.NewKeys, k)
}

// RotateKey makes a key that takes another's place.
type RotateKey struct {
	Key string // uid or prefix
	// Successor has a prefix and a hash.
	Successor identity.Key
	Overlap   time.Duration
	ExpiresAt time.Time // zero: as long a life
}

// Needs the key, and to know whether the prefix is free.
func (c *RotateKey) Needs(n *Needs) { n.Access.Keys = append(n.Access.Keys, c.Key, c.Successor.Prefix) }

// Apply refuses with [identity.ErrKeyNotFound], [fault.Conflict] where the key is not active, and [fault.Invalid].
func (c *RotateKey) Apply(u *Unit, command *Command) (Result, error) {
	k := u.Keys[c.Key]
	if k == nil {
		return Result{}, identity.ErrKeyNotFound
	}
	if u.Keys[c.Successor.Prefix] != nil {
		return Result{}, errPrefixTaken
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Result{}, fmt.Errorf("make a uid: %w", err)
	}
	successor := c.Successor
	successor.UID, successor.CreatedBy = id.String(), command.Principal
	old := *k
	next, err := old.Rotate(successor, c.Overlap, c.ExpiresAt, u.Now)
	if err != nil {
		return Result{}, err
	}
	// Whoever the key is for was looked at when it was made; that he is active is looked at each time it is shown.
	if err := next.Check(&account.User{ID: next.UserID, Active: true}, u.Now); err != nil {
		return Result{}, err
	}
	before, after := audit.Diff(keyFields(u.Mask, k), keyFields(u.Mask, &old))
	*k = old
	u.DirtyKeys[k.UID] = k
	u.addKey(next)
	command.Changed = append(command.Changed, k.Principal())
	return Result{Answer: KeyAnswer{next, u.Now}, Change: &Change{Kind: audit.Key, ID: k.Prefix, Before: before, After: after}}, nil
}

// RevokeKey ends a key.
type RevokeKey struct {
	Key string // uid or prefix
}

// Needs the key.
func (c *RevokeKey) Needs(n *Needs) { n.Access.Keys = append(n.Access.Keys, c.Key) }

// Apply refuses with [identity.ErrKeyNotFound].
func (c *RevokeKey) Apply(u *Unit, command *Command) (Result, error) {
	k := u.Keys[c.Key]
	if k == nil {
		return Result{}, identity.ErrKeyNotFound
	}
	was := keyFields(u.Mask, k)
	if k.Revoke(u.Now) {
		u.DirtyKeys[k.UID] = k
	}
	command.Changed = append(command.Changed, k.Principal())
	before, after := audit.Diff(was, keyFields(u.Mask, k))
	return Result{Answer: KeyAnswer{k, u.Now}, Change: &Change{Kind: audit.Key, ID: k.Prefix, Before: before, After: after}}, nil
}

func keyFields(mask audit.Mask, k *identity.Key) audit.Fields {
	return audit.Fields{
		"name": mask.Text(k.Name), "mode": k.Mode, "role": k.Role.String(), "user_id": int64(k.UserID), "scopes": strings.Join(k.Scopes, " "),
		"expires_at": moment(k.ExpiresAt), "revoked_at": moment(k.RevokedAt), "rotated_to": k.RotatedTo,
	}
}
