// Package auth decides who is calling. Every request that passes its middleware carries a [bus.Principal] in its context,
// and every HTTP surface reads it from there with [From]; what a principal may do is decided by whoever answers.
package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
)

// Config of who may call.
type Config struct {
	OIDC    OIDCConfig
	Session SessionConfig

	Auth  Mode `env:"MEET_AUTH" oneof:"open keys" help:"who may call: open (everybody is an admin; refused where MEET_ADDR is not loopback, unless DEBUG is True) or keys (only with an API key, a token or a session); absent: open where MEET_ADDR is loopback or DEBUG is True, else keys"`
	Debug bool `env:"DEBUG" envDefault:"False" help:"development: also opens the API to everybody unless MEET_AUTH is set"`
}

// Mode is the answer to "who may call".
type Mode string

// The modes.
const (
	// Open answers everybody as one local admin.
	Open Mode = "open"
	// Keys answers only who shows a credential.
	Keys Mode = "keys"
)

// CheckAt refuses to let everybody in on an address that others reach.
func (c Config) CheckAt(addr string) error {
	if c.Auth == Open && !c.Debug && !httpserver.Loopback(addr) {
		return config.Bad("MEET_AUTH", fmt.Sprintf("open lets everybody who reaches %s do everything", addr), "use keys; or, on a machine for development, DEBUG=True")
	}
	return nil
}

// ModeAt is the mode of a program that listens on addr (host:port).
func (c Config) ModeAt(addr string) Mode {
	if c.Auth != "" {
		return c.Auth
	}
	if c.Debug || httpserver.Loopback(addr) {
		return Open
	}
	return Keys
}

// LocalAdmin is everybody in open mode.
var LocalAdmin = bus.Principal{Name: "local-admin", Role: "admin", Mode: modeOpen}

// ReasonUnauthenticated is the reason of a request without a credential that is known.
const ReasonUnauthenticated = "UNAUTHENTICATED"

// With gives ctx a principal, which queries then bring along.
func With(ctx context.Context, p bus.Principal) context.Context { return bus.WithPrincipal(ctx, p) }

// From is who is calling; the zero principal, which no answerer lets do anything, on a page that is open to all.
func From(ctx context.Context) bus.Principal { return bus.PrincipalOf(ctx) }

// Credential reads one kind of credential. It returns false when the request shows none of its kind, and a
// [fault.Unauthenticated], with the name of whose it was where that is sure, when it shows one that is wrong.
type Credential func(*http.Request) (bus.Principal, bool, error)

// Auth decides who is calling.
type Auth struct {
	mode        Mode
	credentials []Credential
	origins     func(string) bool
}

// New makes the decider; the first credential that a request shows counts. Open mode, and keys mode without any
// credential to check, are said in the log.
func New(mode Mode, log *slog.Logger, credentials ...Credential) *Auth {
	switch {
	case mode == Open:
		log.Warn("OPEN MODE: everybody who can reach this address is an admin; set MEET_AUTH=keys to change that", "auth_mode", mode)
	case len(credentials) == 0:
		log.Warn("every call that needs a credential is refused: none is checked", "auth_mode", mode)
	}
	return &Auth{mode: mode, credentials: credentials, origins: func(string) bool { return false }}
}

// Trust names the origins whose pages may make changes in open mode, before the first request.
func (a *Auth) Trust(origin func(string) bool) { a.origins = origin }

// Mode is how this program decides.
func (a *Auth) Mode() Mode { return a.mode }

// Decide is who sends r; a [fault.Unauthenticated] when nobody known does, and a [fault.Forbidden] when a page of another site made a
// browser send it. Nobody, without an error, may see what is public. With an error the principal may say whose credential it was.
func (a *Auth) Decide(r *http.Request) (bus.Principal, error) {
	if a.mode == Open {
		// A browser on this machine reaches what only this machine should: a page that it shows from elsewhere must not change a thing.
		if err := SameSite(r); err != nil && !a.origins(r.Header.Get("Origin")) && !takesNoSide(r.URL.Path) {
			return bus.Principal{}, err
		}
		return LocalAdmin, nil
	}
	if takesNoSide(r.URL.Path) {
		return bus.Principal{}, nil
	}
	for _, credential := range a.credentials {
		if p, shown, err := credential(r); shown || err != nil {
			return p, err
		}
	}
	if Public(r.URL.Path) {
		return bus.Principal{}, nil
	}
	return bus.Principal{}, fault.New(fault.Unauthenticated, ReasonUnauthenticated, "authentication credentials were not provided")
}

// Challenge is the WWW-Authenticate of a 401.
const Challenge = `Bearer realm="meet-middleware"`

// takesNoSide tells which paths are answered without a look at who asks: health, which must be known whatever is down, and the one
// that Google calls, which brings a token of its own.
func takesNoSide(path string) bool {
	switch strings.TrimSuffix(path, "/") {
	case "/api/v1/health", "/api/v1/google/calendar", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch":
		return true
	}
	return false
}

// Unlimited tells which paths are not counted: what must be known whatever happens.
func Unlimited(path string) bool { return takesNoSide(path) && !strings.Contains(path, "/google/") }

// Public tells which paths show nothing that anybody may not see: health, the entry pages, the documentation and the ways to sign in;
// and the one that Google calls.
func Public(path string) bool {
	switch path {
	case "/", "/api", "/api/", "/api/v1", "/api/v1/", "/favicon.ico":
		return true
	}
	if strings.Contains(path, "..") { // whoever routes it may take it for another one
		return false
	}
	for _, dir := range publicDirs {
		if rest, ok := strings.CutPrefix(path, dir); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

var publicDirs = [...]string{
	"/api/v1/health", "/api/v1/schema", "/api/v1/docs", "/api/v1/redoc", "/api/v1/google/calendar", "/api/v1/auth/login", "/api/v1/auth/logout",
	"/api/v1/setup/first-admin", "/admin", "/login", "/logout", "/first-admin", "/static", "/grpc.health.v1.Health",
}

type attemptKey struct{}

// Attempt is where whoever answers says that it was the caller who was refused, for the audit log.
type Attempt struct{ Reason string }

// WithAttempt gives ctx a place to say so.
func WithAttempt(ctx context.Context, a *Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// Refused says that the caller was refused here; what the meetings service refuses it writes down itself.
func Refused(ctx context.Context, err error) {
	if a, is := ctx.Value(attemptKey{}).(*Attempt); is {
		a.Reason = fault.Of(err).Reason
	}
}

// Permit decides by the table whether the caller may do an action at all, and says where he may not. How much of it is his own is
// decided by whoever answers.
func Permit(ctx context.Context, action string) error {
	p := From(ctx)
	_, err := access.Decide(action, access.Role(p.Role), access.ParseLimits(p.Scopes))
	if err != nil {
		Refused(ctx, err)
	}
	return err
}

// SignedIn refuses nobody.
func SignedIn(ctx context.Context) error {
	if From(ctx).Role != "" {
		return nil
	}
	err := fault.New(fault.Unauthenticated, ReasonUnauthenticated, "authentication credentials were not provided")
	Refused(ctx, err)
	return err
}

// Unscoped is ctx for the same caller without the limits of his scopes: for what a change that he may make has to read, and what is
// answered of it.
func Unscoped(ctx context.Context) context.Context {
	p := From(ctx)
	p.Scopes = ""
	return With(ctx, p)
}
