package app

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/passhash"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
)

// Credentials is what is asked of the store to find out who calls.
type Credentials interface {
	// KeyByPrefix also tells whether the key's user, where it has one, is active. [identity.ErrKeyUnknown].
	KeyByPrefix(ctx context.Context, prefix string) (*identity.Key, bool, error)
	// KeyUsed and SessionUsed note a use, to the minute.
	KeyUsed(ctx context.Context, k *identity.Key, now time.Time) error
	// SessionByHash is [identity.ErrSessionUnknown] where there is none.
	SessionByHash(ctx context.Context, h identity.Hash) (*identity.Session, *account.User, error)
	SessionUsed(ctx context.Context, s *identity.Session, now time.Time) error
	// UserByLogin finds a user by username or address. [account.ErrNotFound].
	UserByLogin(ctx context.Context, login string) (*account.User, error)
	// Key finds by uid or prefix. [identity.ErrKeyNotFound].
	Key(ctx context.Context, name string) (*identity.Key, error)
	// ListKeys also gives the numbers that a page is continued by.
	ListKeys(ctx context.Context, f KeyFilter) ([]*identity.Key, []int64, error)
}

// KeyFilter picks keys, newest first; zero fields do not filter.
type KeyFilter struct {
	Page
	UserID account.ID
	// Ended: also those that are no longer active at Now.
	Ended bool
	Now   time.Time
}

// AuditFilter picks entries; zero fields do not filter. Page.After is the last sequence of the page before.
type AuditFilter struct {
	Page
	Ascending                                                            bool
	From, To                                                             time.Time
	Principal, Action, SubjectKind, SubjectID, Outcome, Email, RequestID string
}

// AuditAnchor is a place in the chain; Known: Hash is what was kept elsewhere.
type AuditAnchor struct {
	Seq   int64
	Hash  audit.Hash
	Known bool
}

// AuditReport is what a check of one stretch came to.
type AuditReport struct {
	Checked int64
	Last    AuditAnchor
	// Done: the end was reached, or a bad entry.
	Done bool
	Bad  *audit.Fault
}

// ExportPlace is where a person's export goes on; Kind counts [PersonKinds].
type ExportPlace struct {
	Kind  int
	After string
}

// PersonKinds are the kinds of row in an export, in its order.
var PersonKinds = [...]string{"user", "organized_meeting", "participant", "attendee", "transcript_entry", "key", "session", "command", "audit"}

// PersonRecord is one row of what is kept of a person.
type PersonRecord struct{ Kind, JSON string }

// AuditLog is what is asked of the store about the audit log and what is kept of persons.
type AuditLog interface {
	ListAudit(ctx context.Context, f AuditFilter) ([]audit.Stored, error)
	VerifyAudit(ctx context.Context, from AuditAnchor, limit int) (AuditReport, error)
	// RecordAudit appends entries outside of a command.
	RecordAudit(ctx context.Context, now time.Time, entries []audit.Entry) error
	Mask(ctx context.Context) (audit.Mask, error)
	// ExportPerson reads one page of what is kept of an address: rows of one kind. It goes on until the place is beyond the last kind.
	ExportPerson(ctx context.Context, email string, from ExportPlace, limit int) ([]PersonRecord, ExportPlace, error)
}

// Caller is who shows a credential.
type Caller struct {
	Principal string
	Role      account.Role
	UserID    account.ID
	Scopes    []string
	KeyUID    string
	Mode      string
	ExpiresAt time.Time
	User      *account.User // of a session
}

// Authenticator finds out who calls.
type Authenticator struct {
	store Credentials
	now   clock.Clock
	log   *slog.Logger
	// passwords are compared with a decoy where there is no user, so that the time does not tell.
	passwords *passhash.Hasher
}

// NewAuthenticator makes one.
func NewAuthenticator(store Credentials, now clock.Clock, log *slog.Logger) *Authenticator {
	return &Authenticator{store: store, now: now, log: log, passwords: passhash.NewHasher()}
}

// Key lets a key in. All faults are [fault.Unauthenticated].
func (a *Authenticator) Key(ctx context.Context, prefix string, shown identity.Hash) (Caller, error) {
	k, userActive, err := a.store.KeyByPrefix(ctx, prefix)
	if err != nil {
		return Caller{}, err
	}
	if subtle.ConstantTimeCompare(k.Hash[:], shown[:]) != 1 {
		return Caller{}, identity.ErrKeyUnknown
	}
	now := a.now()
	if err := k.Admit(now); err != nil {
		return Caller{}, err
	}
	if !userActive {
		return Caller{}, identity.ErrUserInactive
	}
	if err := a.store.KeyUsed(ctx, k, now); err != nil {
		a.log.WarnContext(ctx, "use of a key was not noted", "principal", k.Principal(), "error", err)
	}
	return Caller{Principal: k.Principal(), Role: k.Role, UserID: k.UserID, Scopes: k.Scopes, KeyUID: k.UID, Mode: k.Mode, ExpiresAt: k.ExpiresAt}, nil
}

// Session lets a session in. All faults are [fault.Unauthenticated].
func (a *Authenticator) Session(ctx context.Context, h identity.Hash) (Caller, error) {
	s, user, err := a.store.SessionByHash(ctx, h)
	if err != nil {
		return Caller{}, err
	}
	now := a.now()
	if err := s.Admit(now); err != nil {
		return Caller{}, err
	}
	if !user.Active {
		return Caller{}, identity.ErrUserInactive
	}
	if err := a.store.SessionUsed(ctx, s, now); err != nil {
		a.log.WarnContext(ctx, "use of a session was not noted", "user_id", user.ID, "error", err)
	}
	return Caller{Principal: UserPrincipal(user.ID), Role: user.Role, UserID: user.ID, ExpiresAt: s.ExpiresAt, User: user}, nil
}

// Login tells whose name and password these are; false for everything else, in about the same time.
func (a *Authenticator) Login(ctx context.Context, login, shown string) (*account.User, bool, error) {
	user, err := a.store.UserByLogin(ctx, login)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return nil, false, err
	}
	hash := passhash.Decoy
	if user != nil && user.PasswordHash != "" {
		hash = user.PasswordHash
	}
	same, err := a.passwords.Matches(ctx, shown, hash)
	if err != nil {
		return nil, false, err
	}
	if !same || hash == passhash.Decoy || !user.Active {
		return nil, false, nil
	}
	return user, true, nil
}
