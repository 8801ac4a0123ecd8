// Package auth decides who is calling. Every request that passes its middleware carries a [bus.Principal] in its context,
// and every HTTP surface reads it from there with [From]; what a principal may do is decided by whoever answers.
package auth

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
)

// Config of who may call.
type Config struct {
	Auth  Mode `env:"MEET_AUTH" oneof:"open keys" help:"who may call: open (everybody is an admin) or keys (only with a credential); absent: open where MEET_ADDR is loopback or DEBUG is True, else keys"`
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
var LocalAdmin = bus.Principal{Name: "local-admin", Role: "admin", Mode: "open"}

// ReasonUnauthenticated is the reason of a request without a credential that is known.
const ReasonUnauthenticated = "UNAUTHENTICATED"

// With gives ctx a principal, which queries then bring along.
func With(ctx context.Context, p bus.Principal) context.Context { return bus.WithPrincipal(ctx, p) }

// From is who is calling; the zero principal, which no answerer lets do anything, on a page that is open to all.
func From(ctx context.Context) bus.Principal { return bus.PrincipalOf(ctx) }

// Credential reads one kind of credential. It returns false when the request shows none of its kind, and a
// [fault.Unauthenticated] when it shows one that is wrong.
type Credential func(*http.Request) (bus.Principal, bool, error)

// Auth decides who is calling.
type Auth struct {
	mode        Mode
	credentials []Credential
}

// New makes the decider; the first credential that a request shows counts. Open mode, and keys mode without any
// credential to check, are said in the log.
func New(mode Mode, log *slog.Logger, credentials ...Credential) *Auth {
	switch {
	case mode == Open:
		log.Warn("OPEN MODE: everybody who can reach this address is an admin; set MEET_AUTH=keys to change that", "auth_mode", mode)
	case len(credentials) == 0:
		log.Warn("every call that needs a credential is refused: this build checks none; MEET_AUTH=open lets everybody in", "auth_mode", mode)
	}
	return &Auth{mode: mode, credentials: credentials}
}

// Mode is how this program decides.
func (a *Auth) Mode() Mode { return a.mode }

// Decide is who sends r; a [fault.Unauthenticated] when nobody known does.
func (a *Auth) Decide(r *http.Request) (bus.Principal, error) {
	if a.mode == Open {
		return LocalAdmin, nil
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

// Middleware hands on what has a principal, and the rest to refuse.
func (a *Auth) Middleware(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := a.Decide(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(With(r.Context(), p)))
	})
}

// Challenge is the WWW-Authenticate of a 401.
const Challenge = `Bearer realm="meet-middleware"`

// Public tells which paths show nothing that anybody may not see: health, the entry pages and the documentation; and the one
// that Google calls, which brings a token of its own.
func Public(path string) bool {
	switch path {
	case "/", "/api", "/api/", "/api/v1", "/api/v1/", "/admin", "/favicon.ico":
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

var publicDirs = [...]string{"/api/v1/health", "/api/v1/schema", "/api/v1/docs", "/api/v1/redoc", "/api/v1/google/calendar", "/admin", "/static", "/grpc.health.v1.Health"}
