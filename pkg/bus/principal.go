package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Principal is who asks, as the gateway knows him. It is comparable, and the zero Principal is nobody.
type Principal struct {
	// Name is stable and goes into the command id and the audit log, such as "local-admin", "key:mm_live_7Kq2mXa9" or "user:12". It
	// never is an address.
	Name string
	// Role is admin, service, external, or internal and gateway for parts of this product.
	Role string
	// UserID is the user behind it; 0 when there is none.
	UserID int64
	// Scopes is what of the role it may do, separated by spaces; empty: all.
	Scopes string
	// KeyID is the uid of the key that was shown; empty where it was another credential.
	KeyID string
	// Mode is the kind of credential: open, key, oidc or session; empty for parts of this product.
	Mode string
}

// Scheduler is the scheduler, which brings outcomes and asks what to do; Gateway is the gateway itself, where it acts for nobody
// who called or does not yet know who that is. No credential from outside can carry their roles.
var (
	Scheduler = Principal{Name: "scheduler", Role: "internal"}
	Gateway   = Principal{Name: "gateway", Role: "gateway"}
)

// Origin is where a request came from.
type Origin struct {
	RequestID string
	// RemoteAddr is the caller's address.
	RemoteAddr string
}

type (
	principalKey struct{}
	originKey    struct{}
)

// WithPrincipal gives ctx who asks: [Ask] sends it along.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf is who asks; nobody where ctx says nothing. In a handler that [Answer] registered it is who sent the query.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// WithOrigin gives ctx where the request came from: [Ask] sends it along.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf is where the request came from.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// set writes a header that has a value.
func set(h nats.Header, key, value string) {
	if value != "" {
		h[key] = []string{value}
	}
}

func (p Principal) header(h nats.Header) {
	set(h, headerPrincipal, p.Name)
	set(h, headerRole, p.Role)
	if p.UserID != 0 {
		set(h, headerUserID, strconv.FormatInt(p.UserID, 10))
	}
	set(h, headerScopes, p.Scopes)
	set(h, headerKeyID, p.KeyID)
	set(h, headerMode, p.Mode)
}

func parsePrincipal(get func(string) string) (Principal, error) {
	p := Principal{
		Name: get(headerPrincipal), Role: get(headerRole), Scopes: get(headerScopes), KeyID: get(headerKeyID), Mode: get(headerMode),
	}
	if !sound(p.Name, p.Role, p.Scopes, p.KeyID, p.Mode) {
		return Principal{}, errUnsound
	}
	if v := get(headerUserID); v != "" {
		var err error
		if p.UserID, err = strconv.ParseInt(v, 10, 64); err != nil {
			return Principal{}, fmt.Errorf("header %s: %w", headerUserID, err)
		}
	}
	return p, nil
}

var errUnsound = errors.New("a header of the envelope is too long or holds what no row can hold")

// sound: short enough, and a row can hold it.
func sound(texts ...string) bool {
	for _, text := range texts {
		if len(text) > maxHeader || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return false
		}
	}
	return true
}
