package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// Reasons of tokens that are refused.
const (
	ReasonTokenInvalid = "TOKEN_INVALID"
	ReasonTokenExpired = "TOKEN_EXPIRED"
	// ReasonTokenRole: the token is right, and names no role here.
	ReasonTokenRole    = "TOKEN_WITHOUT_ROLE"
	ReasonUserInactive = "USER_INACTIVE"
	// ReasonIssuerAway: the issuer's keys can't be read.
	ReasonIssuerAway = "ISSUER_UNREACHABLE"
)

// OIDCConfig is whose tokens are accepted.
type OIDCConfig struct {
	Issuers   []string      `env:"MEET_OIDC_ISSUERS" help:"issuers whose tokens (JWT) are accepted as Authorization: Bearer, such as https://login.clinic.example/realms/main; each answers at /.well-known/openid-configuration; absent: none"`
	Audiences []string      `env:"MEET_OIDC_AUDIENCE" help:"audiences that a token may be made for; required with MEET_OIDC_ISSUERS"`
	RoleClaim string        `env:"MEET_OIDC_ROLE_CLAIM" envDefault:"roles" help:"claim with the caller's roles, a text or a list; dots lead into objects, as in realm_access.roles"`
	Roles     []string      `env:"MEET_OIDC_ROLES" help:"what values of that claim mean here, such as meet-admins=admin,backends=service,doctors=external; absent: the claim holds admin, service or external itself"`
	Skew      time.Duration `env:"MEET_OIDC_CLOCK_SKEW" envDefault:"60s" help:"how wrong the clocks of issuers may be, up to 5m"`
}

// Check refuses what could not work, or would let in whom nobody meant.
func (c OIDCConfig) Check() error {
	var problems []error
	for _, issuer := range c.Issuers {
		u, err := url.Parse(issuer)
		switch {
		case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
			problems = append(problems, config.Bad("MEET_OIDC_ISSUERS", fmt.Sprintf("%q is no issuer", issuer), "write it as the tokens' iss claim has it"))
		case u.Scheme != "https" && (u.Scheme != "http" || !httpserver.Loopback(u.Host)):
			problems = append(problems, config.Bad("MEET_OIDC_ISSUERS", fmt.Sprintf("%q is not reached over https", issuer), "use https; http is for this machine alone"))
		}
	}
	if len(c.Issuers) > 0 && len(c.Audiences) == 0 {
		problems = append(problems, config.Bad("MEET_OIDC_AUDIENCE", "is missing: tokens made for other services would be accepted", "name the audience that the issuer puts into tokens for this service"))
	}
	if c.Skew < 0 || c.Skew > maxSkew {
		problems = append(problems, config.Bad("MEET_OIDC_CLOCK_SKEW", fmt.Sprintf("%s is not between 0s and %s", c.Skew, maxSkew), "write as 60s"))
	}
	if _, err := parseRoles(c.Roles); err != nil {
		problems = append(problems, config.Bad("MEET_OIDC_ROLES", err.Error(), "write as meet-admins=admin,backends=service"))
	}
	return errors.Join(problems...)
}

const maxSkew = 5 * time.Minute

func parseRoles(texts []string) (map[string]access.Role, error) {
	if len(texts) == 0 {
		return map[string]access.Role{"admin": access.Admin, "service": access.Service, "external": access.External}, nil
	}
	roles := make(map[string]access.Role, len(texts))
	for _, text := range texts {
		i := strings.LastIndexByte(text, '=')
		if i <= 0 || !access.Role(text[i+1:]).Outside() {
			return nil, fmt.Errorf("%q gives no value a role: admin, service or external", text)
		}
		roles[text[:i]] = access.Role(text[i+1:])
	}
	return roles, nil
}

// Issuers finds out who shows a token of an OpenID provider.
type Issuers struct {
	bus       *bus.Bus
	now       func() time.Time // real time: tokens are of the outside
	audiences []string
	claim     []string
	roles     map[string]access.Role
	skew      time.Duration
	byName    map[string]*issuer
}

type issuer struct {
	name   string
	client *http.Client
	flight singleflight.Group

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
}

const (
	// issuerTimeout bounds one request to an issuer.
	issuerTimeout = 5 * time.Second
	// refetch is how soon an issuer's keys are read again because a token names one that is not known: a stranger can make up many.
	refetch = 5 * time.Second
	// maxIssuerAnswer bounds what an issuer says.
	maxIssuerAnswer = 1 << 20
	// maxEmail is the longest address (RFC 5321 §4.5.3).
	maxEmail = 254
)

// NewIssuers makes the checker of tokens; nil where no issuer is configured. Nothing is asked before the first token comes.
func NewIssuers(c OIDCConfig, b *bus.Bus) (*Issuers, error) {
	if len(c.Issuers) == 0 {
		return nil, nil //nolint:nilnil // none is configured
	}
	roles, err := parseRoles(c.Roles)
	if err != nil {
		return nil, err
	}
	s := &Issuers{
		bus: b, now: time.Now, audiences: c.Audiences, claim: strings.Split(c.RoleClaim, "."), roles: roles, skew: c.Skew, byName: make(map[string]*issuer, len(c.Issuers)),
	}
	for _, name := range c.Issuers {
		s.byName[name] = &issuer{name: name, client: &http.Client{Timeout: issuerTimeout, Transport: &sparing{next: http.DefaultTransport, now: time.Now}}}
	}
	return s, nil
}

// claims are what is read of a token beside what is verified.
type claims struct {
	Email         string `json:"email"`
	EmailVerified any    `json:"email_verified"` // some issuers write it as a text
	Scope         string `json:"scope"`
}

// Who is who shows a token. Wrong ones are [fault.Unauthenticated], those without a role [fault.Forbidden]; [fault.Unavailable] when
// the issuer or the meetings service does not answer.
func (s *Issuers) Who(ctx context.Context, token string) (bus.Principal, error) {
	name, err := issuerOf(token)
	if err != nil {
		return bus.Principal{}, err
	}
	from := s.byName[name]
	if from == nil {
		return bus.Principal{}, invalid(errors.New("its issuer is not configured"))
	}
	verifier, err := from.verify(ctx, s.now, s.skew)
	if err != nil {
		return bus.Principal{}, err
	}
	var away awayError
	verified, err := verifier.Verify(context.WithValue(ctx, awayKey{}, &away), token)
	var expired *oidc.TokenExpiredError
	switch {
	case away.cause != nil:
		return bus.Principal{}, unreachable(away.cause)
	case errors.As(err, &expired):
		return bus.Principal{}, fault.New(fault.Unauthenticated, ReasonTokenExpired, "this token has expired")
	case err != nil:
		return bus.Principal{}, invalid(err)
	case !slices.ContainsFunc(verified.Audience, func(a string) bool { return slices.Contains(s.audiences, a) }):
		return bus.Principal{}, invalid(errors.New("it was made for another audience"))
	case verified.Subject == "":
		return bus.Principal{}, invalid(errors.New("it names nobody"))
	}
	var said claims
	var all map[string]any
	if err := errors.Join(verified.Claims(&said), verified.Claims(&all)); err != nil {
		return bus.Principal{}, invalid(err)
	}
	role := s.role(all)
	if role == access.Nobody {
		return bus.Principal{}, fault.New(fault.Forbidden, ReasonTokenRole, "this token names no role here")
	}
	p := bus.Principal{Name: tokenName(name, verified.Subject), Role: string(role), Scopes: ownScopes(said.Scope), Mode: modeOIDC}
	if said.Email != "" && len(said.Email) <= maxEmail && (said.EmailVerified == true || said.EmailVerified == "true") {
		user, err := s.user(ctx, said.Email)
		switch {
		case err != nil:
			return bus.Principal{}, err
		case user != nil && !user.GetIsActive():
			return bus.Principal{}, fault.New(fault.Unauthenticated, ReasonUserInactive, "the user of this credential is not active")
		case user != nil:
			p.UserID = user.GetId()
		}
	}
	return p, nil
}

func invalid(cause error) error {
	return fault.New(fault.Unauthenticated, ReasonTokenInvalid, "this token is not valid").WithCause(cause)
}

func unreachable(cause error) error {
	return fault.New(fault.Unavailable, ReasonIssuerAway, "the issuer of this token cannot be reached; try again").WithCause(cause)
}

// issuerOf reads who made a token, before anything of it is believed.
func issuerOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", invalid(errors.New("it has not three parts"))
	}
	payload, err := decodePart(parts[1])
	if err != nil {
		return "", invalid(err)
	}
	var said struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &said); err != nil {
		return "", invalid(err)
	}
	return said.Issuer, nil
}

// role is the most that the claim gives.
func (s *Issuers) role(all map[string]any) access.Role {
	var at any = all
	for _, name := range s.claim {
		object, is := at.(map[string]any)
		if !is {
			return access.Nobody
		}
		at = object[name]
	}
	var values []string
	switch v := at.(type) {
	case string:
		values = strings.Fields(v)
	case []any:
		for _, one := range v {
			if text, is := one.(string); is {
				values = append(values, text)
			}
		}
	}
	for _, role := range []access.Role{access.Admin, access.Service, access.External} {
		if slices.ContainsFunc(values, func(v string) bool { return s.roles[v] == role }) {
			return role
		}
	}
	return access.Nobody
}

// ownScopes are those of a token's scopes that mean something here; a token that has none of them is limited by its role alone.
func ownScopes(scope string) string {
	var own []string
	for name := range strings.FieldsSeq(scope) {
		if access.Known(name) {
			own = append(own, name)
		}
	}
	return access.LimitTo(own...).String()
}

var plainSubject = regexp.MustCompile(`^[A-Za-z0-9_.|:-]{1,64}$`)

// tokenName is a principal's name: where it came from and who it is there, without an address.
func tokenName(issuer, who string) string {
	if !plainSubject.MatchString(who) {
		sum := sha256.Sum256([]byte(who))
		who = hex.EncodeToString(sum[:8])
	}
	host := issuer
	if u, err := url.Parse(issuer); err == nil {
		host = u.Host + strings.TrimSuffix(u.Path, "/")
	}
	return "oidc:" + host + ":" + who
}

// user is the user with an address; nil when there is none.
func (s *Issuers) user(ctx context.Context, email string) (*meetv1.User, error) {
	// Who shows the token is not known yet: the gateway looks for itself, and whoever manages users may.
	ctx, cancel := context.WithTimeoutCause(bus.WithPrincipal(ctx, bus.Principal{Name: bus.Gateway.Name, Role: string(access.Admin)}), askTimeout, fmt.Errorf("no answer within %s", askTimeout))
	defer cancel()
	resp, err := bus.Ask(ctx, s.bus, subject.ListUsers, &meetv1.ListUsersRequest{EmailContains: email, IncludeInactive: true, PageSize: 1000})
	if err != nil {
		return nil, err
	}
	for _, u := range resp.GetUsers() {
		if strings.EqualFold(u.GetEmail(), email) {
			return u, nil
		}
	}
	return nil, nil //nolint:nilnil // none has it
}

// verify is the issuer's verifier; its addresses are asked for when its first token comes, and again until it answers.
func (i *issuer) verify(ctx context.Context, now func() time.Time, skew time.Duration) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	known := i.verifier
	i.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err, _ := i.flight.Do("discover", func() (any, error) {
		ctx, cancel := context.WithTimeout(oidc.ClientContext(context.WithoutCancel(ctx), i.client), issuerTimeout)
		defer cancel()
		provider, err := oidc.NewProvider(ctx, i.name)
		if err != nil {
			return nil, unreachable(err)
		}
		var found struct {
			Keys       string   `json:"jwks_uri"`
			Algorithms []string `json:"id_token_signing_alg_values_supported"`
		}
		if err := provider.Claims(&found); err != nil {
			return nil, unreachable(err)
		}
		// What signs with a secret that both know is no proof of who signed.
		algorithms := slices.DeleteFunc(found.Algorithms, func(a string) bool { return strings.HasPrefix(a, "HS") || a == "none" })
		keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), i.client), found.Keys) // outlives the request that began it
		verifier := oidc.NewVerifier(i.name, watched{keys}, &oidc.Config{
			SkipClientIDCheck:    true, // there may be several, which Who looks for
			SupportedSigningAlgs: algorithms, Now: func() time.Time { return now().Add(-skew) },
		})
		i.mu.Lock()
		i.verifier = verifier
		i.mu.Unlock()
		return verifier, nil
	})
	if err != nil {
		return nil, err
	}
	return made.(*oidc.IDTokenVerifier), nil
}

type awayKey struct{}

// awayError is that the keys could not be read, which the verifier tells as text alone.
type awayError struct{ cause error }

func (e *awayError) Error() string { return e.cause.Error() }

// watched tells a wrong signature from keys that can't be read.
type watched struct{ keys oidc.KeySet }

func (w watched) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := w.keys.VerifySignature(ctx, jwt)
	if err != nil && strings.Contains(err.Error(), "fetching keys") {
		if away, is := ctx.Value(awayKey{}).(*awayError); is {
			away.cause = err
		}
	}
	return payload, err
}

// sparing repeats what an issuer said within [refetch], so that made-up tokens don't become requests to it.
type sparing struct {
	next http.RoundTripper
	now  func() time.Time

	mu   sync.Mutex
	said map[string]said
}

type said struct {
	at     time.Time
	status int
	body   []byte
}

func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	last, known := s.said[r.URL.String()]
	s.mu.Unlock()
	if !known || s.now().Sub(last.at) >= refetch {
		resp, err := s.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxIssuerAnswer))
		if err != nil {
			return nil, fmt.Errorf("read the issuer's answer: %w", err)
		}
		last = said{s.now(), resp.StatusCode, body}
		s.mu.Lock()
		if s.said == nil {
			s.said = make(map[string]said)
		}
		s.said[r.URL.String()] = last // discovery and keys: two addresses of each issuer
		s.mu.Unlock()
	}
	return &http.Response{
		StatusCode: last.status, Status: fmt.Sprintf("%d %s", last.status, http.StatusText(last.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(last.body)), ContentLength: int64(len(last.body)), Request: r,
	}, nil
}
