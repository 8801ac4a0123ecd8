package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// Reasons of credentials that are refused here; those of the meetings service are among what is answered too.
const (
	// ReasonCredential: what was shown is no credential of a kind that is known here.
	ReasonCredential = "CREDENTIAL_UNKNOWN" //nolint:gosec // G101: a reason's name, no credential
	// ReasonCredentials: more than one was shown.
	ReasonCredentials = "CREDENTIALS_AMBIGUOUS"
	// ReasonKeyUnknown: nobody made such a key; also one whose form is wrong.
	ReasonKeyUnknown = "KEY_UNKNOWN"
)

// The kinds of credentials, as principals carry them.
const (
	modeOpen    = "open"
	modeKey     = "key"
	modeOIDC    = "oidc"
	modeSession = "session"
)

const (
	// askTimeout bounds the question who shows a credential.
	askTimeout = 3 * time.Second
	// maxCredential is the longest that is looked at, in bytes.
	maxCredential = 16 << 10
)

// Checker finds out who shows an API key or the cookie of a session, by asking the meetings service.
type Checker struct {
	bus    *bus.Bus
	memory *memory
	oidc   *Issuers
}

// NewChecker makes a checker; issuers may be nil. [Checker.Start] lets it hear at once of what has ended.
func NewChecker(b *bus.Bus, issuers *Issuers) *Checker {
	return &Checker{bus: b, memory: newMemory(time.Now), oidc: issuers}
}

// Start begins to hear of keys, sessions and users that end. It ends with the bus.
func (c *Checker) Start(ctx context.Context) error {
	if _, err := c.bus.Conn().Subscribe(subject.AccessChanged, func(msg *nats.Msg) { c.memory.forget(string(msg.Data)) }); err != nil {
		return fmt.Errorf("subscribe to changes of access: %w", err)
	}
	return c.bus.Subscribed(ctx)
}

// Header is the [Credential] of programs: an API key as `Authorization: Bearer`, `Authorization: Api-Key` or `X-API-Key`, or a token
// of a configured issuer as `Authorization: Bearer`.
func (c *Checker) Header(r *http.Request) (bus.Principal, bool, error) {
	shown, is, err := shownIn(r.Header)
	if err != nil || !is {
		return bus.Principal{}, is, err
	}
	ctx := r.Context()
	switch {
	case isKey(shown):
		prefix, ok := prefixOf(shown)
		if !ok {
			return bus.Principal{}, true, fault.New(fault.Unauthenticated, ReasonKeyUnknown, "this key is not known")
		}
		hash := secretHash(sha256.Sum256([]byte(shown)))
		who, err := c.memory.who(ctx, hash, func(ctx context.Context) (bus.Principal, error) {
			who, err := c.ask(ctx, modeKey, &meetv1.AuthenticateRequest{KeyPrefix: prefix, KeyHash: hex.EncodeToString(hash[:])})
			if f := fault.Of(err); err != nil && f.Kind == fault.Unauthenticated && f.Reason != ReasonKeyUnknown {
				who = bus.Principal{Name: "key:" + prefix, Mode: modeKey} // its secret was right
			}
			return who, err
		})
		return who, true, err
	case c.oidc != nil && strings.Count(shown, ".") == 2:
		hash := secretHash(sha256.Sum256([]byte(shown)))
		who, err := c.memory.who(ctx, hash, func(ctx context.Context) (bus.Principal, error) { return c.oidc.Who(ctx, shown) })
		return who, true, err
	}
	return bus.Principal{}, true, fault.New(fault.Unauthenticated, ReasonCredential, "this is no credential that is known here")
}

// shownIn is the credential in a request's headers. Two of them are refused: nobody should have to guess which one counts.
func shownIn(h http.Header) (string, bool, error) {
	authorization, keys := h["Authorization"], h["X-Api-Key"]
	switch len(authorization) + len(keys) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", true, fault.New(fault.Unauthenticated, ReasonCredentials, "more than one credential was sent")
	}
	unknown := fault.New(fault.Unauthenticated, ReasonCredential, "this is no credential that is known here")
	if len(keys) == 1 {
		if !isKey(keys[0]) || len(keys[0]) > maxCredential {
			return "", true, unknown
		}
		return keys[0], true, nil
	}
	scheme, shown, _ := strings.Cut(authorization[0], " ")
	shown = strings.TrimSpace(shown)
	if shown == "" || len(shown) > maxCredential || !strings.EqualFold(scheme, "Bearer") && (!strings.EqualFold(scheme, "Api-Key") || !isKey(shown)) {
		return "", true, unknown
	}
	return shown, true, nil
}

// ask asks the meetings service who shows a credential. Who is not known is a [fault.Unauthenticated]; that nobody answers is
// [fault.Unavailable].
func (c *Checker) ask(ctx context.Context, mode string, req *meetv1.AuthenticateRequest) (bus.Principal, error) {
	ctx, cancel := context.WithTimeoutCause(bus.WithPrincipal(ctx, bus.Gateway), askTimeout, fmt.Errorf("no answer within %s", askTimeout))
	defer cancel()
	resp, err := bus.Ask(ctx, c.bus, subject.Authenticate, req)
	if err != nil {
		return bus.Principal{}, err
	}
	role, err := roleOf(resp.GetRole())
	if err != nil {
		return bus.Principal{}, err
	}
	return bus.Principal{
		Name: resp.GetPrincipal(), Role: string(role), UserID: resp.GetUserId(), Scopes: access.LimitTo(resp.GetScopes()...).String(),
		KeyID: resp.GetKeyUid(), Mode: mode,
	}, nil
}

// roleOf refuses the roles that no credential may carry, and those of a newer release.
func roleOf(r meetv1.UserRole) (access.Role, error) {
	switch r {
	case meetv1.UserRole_USER_ROLE_ADMIN:
		return access.Admin, nil
	case meetv1.UserRole_USER_ROLE_SERVICE:
		return access.Service, nil
	case meetv1.UserRole_USER_ROLE_EXTERNAL:
		return access.External, nil
	case meetv1.UserRole_USER_ROLE_UNSPECIFIED:
	}
	return access.Nobody, fault.New(fault.Unauthenticated, ReasonCredential, "the role of this credential is not known here")
}
