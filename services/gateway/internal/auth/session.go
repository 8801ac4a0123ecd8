package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
)

// Reasons of what browsers send.
const (
	// ReasonCrossOrigin says that a browser sent a change that a page of another site made.
	ReasonCrossOrigin = "CROSS_ORIGIN"
	// ReasonTLSRequired says that a password or its cookie would travel in the clear.
	ReasonTLSRequired = "TLS_REQUIRED"
)

// SessionConfig is how long somebody stays signed in.
type SessionConfig struct {
	Life time.Duration `env:"MEET_SESSION_LIFE" envDefault:"12h" help:"how long somebody who signed in with a password stays signed in at most, up to 720h"`
	Idle time.Duration `env:"MEET_SESSION_IDLE" envDefault:"30m" help:"how long somebody who signed in stays so without a request"`
}

// Check refuses what the meetings service would.
func (c SessionConfig) Check() error {
	var problems []error
	if c.Life < time.Minute || c.Life > maxLife {
		problems = append(problems, config.Bad("MEET_SESSION_LIFE", fmt.Sprintf("%s is not between 1m and %s", c.Life, maxLife), "write as 12h"))
	}
	if c.Idle < time.Minute || c.Idle > maxLife {
		problems = append(problems, config.Bad("MEET_SESSION_IDLE", fmt.Sprintf("%s is not between 1m and %s", c.Idle, maxLife), "write as 30m"))
	}
	return errors.Join(problems...)
}

const maxLife = 720 * time.Hour

// The names of the cookie. A browser keeps the first only where it came over TLS from this host itself (RFC 6265bis §4.1.3.2); the
// other is for plain HTTP on this machine.
const (
	cookieTLS   = "__Host-meet_session"
	cookiePlain = "meet_session"
)

// OverTLS tells whether the caller's connection is encrypted as far as he sees: here, or at a proxy that is trusted. Whoever listens
// has removed X-Forwarded-Proto of all others.
func OverTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// cookieName is the name of the cookie on the caller's connection; empty where it would travel in the clear.
func cookieName(r *http.Request) string {
	switch {
	case OverTLS(r):
		return cookieTLS
	case onThisMachine(r):
		return cookiePlain
	}
	return ""
}

// onThisMachine: both ends are loopback addresses.
func onThisMachine(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && httpserver.Loopback(local.String()) && httpserver.Loopback(r.RemoteAddr)
}

// SetCookie hands a session's token to a browser, until it ends. It is refused with [fault.Forbidden] where the connection is neither
// encrypted nor within this machine; ask [MaySignIn] before a password is looked at.
func SetCookie(w http.ResponseWriter, r *http.Request, token string, life time.Duration) error {
	if err := MaySignIn(r); err != nil {
		return err
	}
	name := cookieName(r)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure is off on this machine's own http alone, which MaySignIn looks at
		Name: name, Value: token, Path: "/", MaxAge: int(life / time.Second), Secure: name == cookieTLS, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return nil
}

// ClearCookie takes it away again.
func ClearCookie(w http.ResponseWriter, r *http.Request) {
	if name := cookieName(r); name != "" {
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: as the one that it takes away
			Name: name, Path: "/", MaxAge: -1, Secure: name == cookieTLS, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
}

// MaySignIn refuses a connection that a password must not travel over, and what a page of another site sends.
func MaySignIn(r *http.Request) error {
	if cookieName(r) == "" {
		return fault.New(fault.Forbidden, ReasonTLSRequired, "passwords are taken over https only")
	}
	return SameSite(r)
}

// SameSite refuses a change that a page of another site made a browser send.
func SameSite(r *http.Request) error {
	if err := new(http.CrossOriginProtection).Check(r); err != nil {
		return fault.New(fault.Forbidden, ReasonCrossOrigin, "a page of another site may not do this").WithCause(err)
	}
	return nil
}

// SessionHash is the hash of the session's token that a request shows; empty where it shows none.
func SessionHash(r *http.Request) string {
	token, is := sessionToken(r)
	if !is {
		return ""
	}
	return Hash(token)
}

func sessionToken(r *http.Request) (string, bool) {
	name := cookieName(r)
	if name == "" || len(r.Header["Cookie"]) == 0 {
		return "", false
	}
	cookie, err := r.Cookie(name)
	if err != nil || cookie.Value == "" {
		return "", false
	}
	return cookie.Value, true
}

// Cookie is the [Credential] of browsers: a console session. A session that has ended is as good as none where nobody needs one, so
// that its browser can sign in anew.
func (c *Checker) Cookie(r *http.Request) (bus.Principal, bool, error) {
	token, is := sessionToken(r)
	if !is {
		return bus.Principal{}, false, nil
	}
	who, err := c.session(r, token)
	if err != nil && Public(r.URL.Path) {
		return bus.Principal{}, false, nil
	}
	return who, true, err
}

func (c *Checker) session(r *http.Request, token string) (bus.Principal, error) {
	if len(token) != secretLength || !drawn(token) {
		return bus.Principal{}, fault.New(fault.Unauthenticated, "SESSION_UNKNOWN", "this session is not known; log in")
	}
	if err := SameSite(r); err != nil {
		return bus.Principal{}, err
	}
	hash := secretHash(sha256.Sum256([]byte(token)))
	return c.memory.who(r.Context(), hash, func(ctx context.Context) (bus.Principal, error) {
		return c.ask(ctx, modeSession, &meetv1.AuthenticateRequest{SessionHash: hex.EncodeToString(hash[:])})
	})
}

func decodePart(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
