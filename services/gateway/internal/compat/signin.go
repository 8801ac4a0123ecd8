package compat

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	throttle "github.com/meet-middleware/meet-middleware/services/gateway/internal/limit"
)

// SignIn is what signing in with a password needs.
type SignIn struct {
	// Throttle bounds how often an account is tried, and from where; nil: nothing does.
	Throttle *throttle.Limiter
	// Now is the clock that sessions end by.
	Now clock.Clock
	// Life is how long a session lasts at most, Idle without a request.
	Life, Idle time.Duration
}

// credentialsBody is a name and a password.
type credentialsBody struct{ login, password string }

// SignedIn is who signed in, until when.
type SignedIn struct {
	User      User   `json:"user"`
	ExpiresAt string `json:"expires_at" format:"date-time" doc:"It ends earlier when it is not used."`
}

// Who is who calls.
type Who struct {
	Principal  string   `json:"principal" doc:"As in the audit log." example:"key:mm_live_7Kq2mXa9"`
	Role       string   `json:"role" enum:"admin,service,external"`
	Credential string   `json:"credential" enum:"open,key,oidc,session"`
	Scopes     []string `json:"scopes" nullable:"false" doc:"What of its role it may do; empty: all."`
	User       *int64   `json:"user" doc:"The number of the user behind it."`
	Key        *string  `json:"key" doc:"The id of the key that was shown."`
}

// maxLogin is the longest name or address that somebody signs in with, in characters.
const maxLogin = 254

func signInFields() []field[*credentialsBody] {
	login := func(name, doc string) field[*credentialsBody] {
		f := filled(name, "", doc, func(c *credentialsBody) *string { return &c.login })
		f.required = false
		return f
	}
	return []field[*credentialsBody]{
		login("username", "The username, or the address."),
		login("email", "The address, in place of the username."),
		password("password", "The password.", func(c *credentialsBody) *string { return &c.password }),
	}
}

func (a *API) signInRoutes() {
	signedIn := answer{status: http.StatusOK, doc: "Signed in; Set-Cookie has the session.", schema: schemaOf[SignedIn](a)}
	a.add(route{
		id: "signIn", method: http.MethodPost, path: base + "auth/login/", tag: tagAccess, summary: "Sign in with a password",
		description: "For people: a cookie holds the session, over https, or on this machine. Programs use an API key or a token.",
		body:        bodySchema(a, "SignIn", signInFields()), answers: []answer{signedIn}, refusals: []int{http.StatusForbidden}, serve: a.signIn,
	})
	a.add(route{
		id: "signOut", method: http.MethodPost, path: base + "auth/logout/", tag: tagAccess, summary: "End the session",
		answers: []answer{{status: http.StatusOK, doc: "It has ended; also where there was none.", schema: schemaOf[Message](a)}}, refusals: []int{http.StatusForbidden}, serve: a.signOut,
	})
	a.add(route{
		id: "whoAmI", method: http.MethodGet, path: base + "auth/whoami/", tag: tagAccess, summary: "Read who the credentials are",
		answers: []answer{{status: http.StatusOK, doc: "Who calls.", schema: schemaOf[Who](a)}}, serve: a.whoAmI,
	})
	a.add(route{
		id: "makeFirstAdmin", method: http.MethodPost, path: base + "setup/first-admin/", tag: tagAccess, summary: "Make the first admin",
		description: "With the token that the first start printed, which works once and for a day.",
		body:        bodySchema(a, "FirstAdmin", a.users.first.fields),
		answers:     []answer{{status: http.StatusCreated, doc: "The admin.", schema: schemaOf[User](a)}}, refusals: []int{http.StatusForbidden}, serve: a.makeFirstAdmin,
	})
}

func (a *API) whoAmI(x *exchange) error {
	p := x.principal()
	x.write(http.StatusOK, Who{
		Principal: p.Name, Role: p.Role, Credential: p.Mode, Scopes: list(strings.Fields(access.ParseLimits(p.Scopes).String())), User: optionalID(p.UserID), Key: optional(p.KeyID),
	})
	return nil
}

func (a *API) signIn(x *exchange) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	c := new(credentialsBody)
	faults := read(o, signInFields(), c)
	if len(faults) == 0 && c.login == "" {
		faults = append(faults, wrong("username", required))
	}
	if len(faults) > 0 {
		return fault.InvalidFields(faults...)
	}
	user, until, err := a.open(x, c)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusOK, SignedIn{User: userOfProto(user), ExpiresAt: timeText(timestamppb.New(until))})
	return nil
}

// remoteHost is an address without its port.
func remoteHost(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// open checks a name and a password and opens a session, whose cookie goes out with the answer.
func (a *API) open(x *exchange, c *credentialsBody) (*meetv1.User, time.Time, error) {
	ctx := x.r.Context()
	if err := auth.MaySignIn(x.r); err != nil {
		auth.Refused(ctx, err)
		return nil, time.Time{}, err
	}
	failed := fault.New(fault.Unauthenticated, string(signInFailed), "name and password do not belong together")
	if len([]rune(c.login)) > maxLogin {
		auth.Refused(ctx, failed)
		return nil, time.Time{}, failed
	}
	// The account is counted whether there is one or not, and by a hash: what somebody types may be anything.
	account, address := auth.Hash(strings.ToLower(c.login)), remoteHost(x.r.RemoteAddr)
	if a.signing.Throttle != nil {
		if v := a.signing.Throttle.SignIn(ctx, account, address); !v.OK {
			err := fault.New(fault.Exhausted, string(signInTooOften), "too many tries to sign in").WithMeta(fault.MetaRetryAfter, strconv.Itoa(v.Retry))
			auth.Refused(ctx, err)
			return nil, time.Time{}, err
		}
	}
	checked, err := backend.Ask(bus.WithPrincipal(ctx, bus.Gateway), a.backend, subject.CheckLogin, &meetv1.CheckLoginRequest{Login: c.login, Password: c.password})
	if err != nil {
		return nil, time.Time{}, err
	}
	if !checked.GetOk() {
		auth.Refused(ctx, failed)
		return nil, time.Time{}, failed
	}
	if a.signing.Throttle != nil {
		a.signing.Throttle.SignedIn(ctx, account, address)
	}
	token, err := auth.DrawToken()
	if err != nil {
		return nil, time.Time{}, err
	}
	until := a.signing.Now().Add(a.signing.Life)
	opened, err := backend.Do(ctx, a.backend, subject.OpenSession, x.itself(), &meetv1.OpenSessionRequest{
		TokenHash: auth.Hash(token), UserId: checked.GetUser().GetId(), ExpiresAt: timestamppb.New(until), RemoteAddr: x.r.RemoteAddr,
		UserAgent: printable(x.r.UserAgent()), IdleSeconds: int64(a.signing.Idle / time.Second),
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	if err := a.end(x); err != nil { // the one that the browser had
		return nil, time.Time{}, err
	}
	if err := auth.SetCookie(x.w, x.r, token, a.signing.Life); err != nil {
		return nil, time.Time{}, err
	}
	return opened.Response.GetUser(), until, nil
}

// itself is the gateway as the sender of a command that nobody may send who calls from outside.
func (x *exchange) itself() backend.Caller {
	return backend.Caller{
		Principal: bus.Gateway, Route: x.r.Method + " " + x.r.URL.Path, RequestID: logging.ID(x.r.Context(), logging.RequestID), RemoteAddr: x.r.RemoteAddr,
		Traceparent: x.r.Header.Get(tracing.Header),
	}
}

// end ends the session whose cookie the request shows. One that is not there has ended.
func (a *API) end(x *exchange) error {
	hash := auth.SessionHash(x.r)
	if hash == "" {
		return nil
	}
	_, err := backend.Do(x.r.Context(), a.backend, subject.CloseSession, x.itself(), &meetv1.CloseSessionRequest{TokenHash: hash})
	return err
}

func (a *API) signOut(x *exchange) error {
	if _, err := x.body(); err != nil {
		return err
	}
	if err := a.closeSession(x); err != nil {
		return err
	}
	x.write(http.StatusOK, Message{Message: x.say(saidSignedOut)})
	return nil
}

func (a *API) closeSession(x *exchange) error {
	if err := auth.SameSite(x.r); err != nil {
		auth.Refused(x.r.Context(), err)
		return err
	}
	if err := a.end(x); err != nil {
		return err
	}
	auth.ClearCookie(x.w, x.r)
	return nil
}

// firstAdminFields are those of a new user and the token.
func firstAdminFields(create []field[*newUser]) []field[*newUser] {
	fields := []field[*newUser]{password("token", "The one-time token that the first start printed.", func(u *newUser) *string { return &u.token })}
	for _, f := range create {
		if f.name != "role" { // he is an admin
			fields = append(fields, f)
		}
	}
	return fields
}

func (a *API) makeFirstAdmin(x *exchange) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	user, err := a.claim(x, o)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusCreated, userOfProto(user))
	return nil
}

// claim makes the first admin.
func (a *API) claim(x *exchange, o object) (*meetv1.User, error) {
	ctx := x.r.Context()
	if err := auth.MaySignIn(x.r); err != nil {
		auth.Refused(ctx, err)
		return nil, err
	}
	u, err := a.readUser(o, a.users.first)
	if err != nil {
		return nil, err
	}
	hash, err := a.passwords.hash(ctx, u.password)
	if err != nil {
		return nil, err
	}
	outcome, err := backend.Do(ctx, a.backend, subject.ClaimAdmin, x.itself(), &meetv1.ClaimAdminRequest{
		TokenHash: auth.Hash(u.token), Username: u.GetUsername(), Email: u.GetEmail(), PasswordHash: hash,
	})
	if err != nil {
		return nil, err
	}
	return outcome.Response.GetUser(), nil
}
