// Package identity holds the rules about credentials: API keys, console sessions and the link that makes the first admin. It
// does no I/O and never sees a secret, only hashes.
package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
)

// Reasons of the faults about credentials.
const (
	ReasonKeyNotFound    = "KEY_NOT_FOUND"
	ReasonKeyUnknown     = "KEY_UNKNOWN"
	ReasonKeyExpired     = "KEY_EXPIRED"
	ReasonKeyRevoked     = "KEY_REVOKED"
	ReasonKeyRotated     = "KEY_ROTATED"
	ReasonKeyEnded       = "KEY_ENDED"
	ReasonUserInactive   = "USER_INACTIVE"
	ReasonSessionUnknown = "SESSION_UNKNOWN"
	ReasonSessionExpired = "SESSION_EXPIRED"
	ReasonLink           = "LINK_INVALID"
	ReasonClaimed        = "ADMIN_EXISTS"
)

// ErrKeyNotFound is the fault for a key that is not there.
var ErrKeyNotFound = fault.New(fault.NotFound, ReasonKeyNotFound, "no such key")

// Hash is SHA-256 of a secret.
type Hash [sha256.Size]byte

// ParseHash reads hex.
func ParseHash(path, s string) (Hash, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != sha256.Size {
		return Hash{}, fault.InvalidField(path, "HASH", "must be a SHA-256 in hexadecimal")
	}
	return Hash(raw), nil
}

// Key is an API key.
type Key struct {
	UID, Name, Prefix string
	Hash              Hash
	// Mode is live or test.
	Mode   string
	Role   account.Role
	UserID account.ID // 0: none
	// Scopes are sorted; none: all of the role's.
	Scopes    []string
	CreatedBy string
	CreatedAt time.Time
	// Zero: never.
	ExpiresAt, RevokedAt, LastUsedAt time.Time
	RotatedTo                        string
}

// Principal is the key's name in the audit log.
func (k *Key) Principal() string { return "key:" + k.Prefix }

// State is active, expired or revoked.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero() && !now.Before(k.RevokedAt):
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "active"
}

// The longest and shortest texts.
const (
	maxName   = 100
	minPrefix = 12
	maxPrefix = 32
)

// Check says what is wrong with a new key, all at once; user is the one it names, nil where there is none of that number.
func (k *Key) Check(user *account.User, now time.Time) error {
	var fields []fault.Field
	bad := func(path, reason, text string) {
		fields = append(fields, fault.Field{Path: path, Reason: reason, Text: text})
	}
	switch {
	case strings.TrimSpace(k.Name) == "":
		bad("name", "REQUIRED", "must not be empty")
	case utf8.RuneCountInString(k.Name) > maxName:
		bad("name", "MAX_LENGTH", "is too long")
	case !utf8.ValidString(k.Name) || strings.ContainsRune(k.Name, 0):
		bad("name", "CHARACTERS", "holds characters that are not allowed")
	}
	if k.Mode != "live" && k.Mode != "test" {
		bad("mode", "ENUM", "must be live or test")
	}
	if !strings.HasPrefix(k.Prefix, "mm_"+k.Mode+"_") || len(k.Prefix) < minPrefix || len(k.Prefix) > maxPrefix || !token(k.Prefix) {
		bad("prefix", "PREFIX", "is not one of a key")
	}
	for _, s := range k.Scopes {
		if !access.Known(s) {
			bad("scopes", "SCOPE", "there is no such scope: "+s)
		}
	}
	switch {
	case k.Role == account.External && k.UserID == 0:
		bad("user_id", "REQUIRED", "an external key needs the user whose meetings it sees")
	case k.UserID != 0 && (user == nil || !user.Active):
		bad("user_id", "UNKNOWN", "no active user has this number")
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		bad("expires_at", "PAST", "must lie ahead")
	}
	if len(fields) > 0 {
		return fault.InvalidFields(fields...)
	}
	return nil
}

func token(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}

// SortScopes sorts them and drops doubles.
func SortScopes(scopes []string) []string {
	out := slices.Clone(scopes)
	slices.Sort(out)
	return slices.Compact(out)
}

// The overlap of a rotation.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// Rotate makes the key that takes k's place, which goes on for the overlap. Refused with [fault.Conflict] where k is not active or
// was rotated before. A zero expiry gives the new one as long a life as k was given.
func (k *Key) Rotate(successor Key, overlap time.Duration, expires, now time.Time) (*Key, error) {
	switch {
	case k.RotatedTo != "":
		return nil, fault.New(fault.Conflict, ReasonKeyRotated, "this key was rotated before; rotate the one that took its place")
	case k.State(now) != "active":
		return nil, fault.New(fault.Conflict, ReasonKeyEnded, "this key is %s; make a new one", k.State(now))
	}
	if overlap < 0 || overlap > MaxOverlap {
		return nil, fault.InvalidField("overlap_seconds", "RANGE", "must be from 0 to 30 days")
	}
	next := successor
	next.Name, next.Mode, next.Role, next.UserID, next.Scopes = k.Name, k.Mode, k.Role, k.UserID, slices.Clone(k.Scopes)
	next.CreatedAt, next.ExpiresAt = now, expires
	if expires.IsZero() && !k.ExpiresAt.IsZero() {
		next.ExpiresAt = now.Add(k.ExpiresAt.Sub(k.CreatedAt))
	}
	k.RotatedTo = next.UID
	if end := now.Add(overlap); k.ExpiresAt.IsZero() || end.Before(k.ExpiresAt) {
		k.ExpiresAt = end
	}
	return &next, nil
}

// Revoke ends the key at once; false when it had been revoked before.
func (k *Key) Revoke(now time.Time) bool {
	if !k.RevokedAt.IsZero() {
		return false
	}
	k.RevokedAt = now
	return true
}

// Admit lets the key in, or says why not.
func (k *Key) Admit(now time.Time) error {
	switch k.State(now) {
	case "revoked":
		return fault.New(fault.Unauthenticated, ReasonKeyRevoked, "this key was revoked")
	case "expired":
		return fault.New(fault.Unauthenticated, ReasonKeyExpired, "this key has expired")
	}
	return nil
}

// ErrKeyUnknown is the fault of a key that nobody made, or whose secret is another.
var ErrKeyUnknown = fault.New(fault.Unauthenticated, ReasonKeyUnknown, "this key is not known")

// ErrUserInactive is the fault of a credential whose user was deactivated.
var ErrUserInactive = fault.New(fault.Unauthenticated, ReasonUserInactive, "the user of this credential is not active")

// ErrSessionUnknown is the fault of a session that is not there.
var ErrSessionUnknown = fault.New(fault.Unauthenticated, ReasonSessionUnknown, "this session is not known; log in")

// Session is a console session.
type Session struct {
	Hash                 Hash
	UserID               account.ID
	CreatedAt, ExpiresAt time.Time
	SeenAt               time.Time
	Idle                 time.Duration
	RemoteAddr           string
	UserAgent            string
}

// The bounds of a session.
const (
	DefaultIdle = 30 * time.Minute
	MaxSession  = 30 * 24 * time.Hour
	maxAgent    = 512
)

// Check says what is wrong with a new session, and bounds what a browser says of itself.
func (s *Session) Check(now time.Time) error {
	if s.Idle == 0 {
		s.Idle = DefaultIdle
	}
	if !s.ExpiresAt.After(now) || s.ExpiresAt.Sub(now) > MaxSession || s.Idle < 0 {
		return fault.InvalidField("expires_at", "RANGE", "must lie ahead, at most 30 days")
	}
	s.UserAgent = strings.ReplaceAll(strings.ToValidUTF8(s.UserAgent, ""), "\x00", "")
	if len(s.UserAgent) > maxAgent {
		s.UserAgent = strings.ToValidUTF8(s.UserAgent[:maxAgent], "")
	}
	return nil
}

// Admit lets the session in, or says why not.
func (s *Session) Admit(now time.Time) error {
	if !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) > s.Idle {
		return fault.New(fault.Unauthenticated, ReasonSessionExpired, "this session has ended; log in")
	}
	return nil
}

// Link works once, and for a while.
type Link struct {
	Hash              Hash
	ExpiresAt, UsedAt time.Time
}

const (
	// LinkLife is how long the link of the first start works.
	LinkLife = 24 * time.Hour
	// OfferEvery is how soon another takes its place.
	OfferEvery = 5 * time.Minute
)

// Use uses it up. Refused with [fault.Unauthenticated] when it is no link, used or too old: nobody is told which.
func (l *Link) Use(now time.Time) error {
	if l == nil || !l.UsedAt.IsZero() || !now.Before(l.ExpiresAt) {
		return fault.New(fault.Unauthenticated, ReasonLink, "this link does not work, or works no longer")
	}
	l.UsedAt = now
	return nil
}
