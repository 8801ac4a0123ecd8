package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

// provider is an OpenID provider that signs what a test wants.
type provider struct {
	url     string
	fetched atomic.Int64
	down    atomic.Bool

	mu  sync.Mutex
	key *rsa.PrivateKey
	id  string
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.rotate(t, "first")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		write(t, w, map[string]any{"issuer": p.url, "jwks_uri": p.url + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "HS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetched.Add(1)
		if p.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		write(t, w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: p.id, Algorithm: "RS256", Use: "sig"}}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func write(t *testing.T, w http.ResponseWriter, v any) {
	t.Helper()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Error(err)
	}
}

func (p *provider) rotate(t *testing.T, id string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.id = key, id
}

// token is signed with the provider's key of now; changes replace claims, nil removes one.
func (p *provider) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": p.url, "aud": "meet", "sub": "f2b1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"realm": map[string]any{"roles": []string{"nurses", "backends"}}, "email": "Doctor@clinic.example", "email_verified": true,
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: p.id}}, claims)
}

func sign(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// oidc is the decider of a gateway that believes p.
func oidc(t *testing.T, p *provider, active bool) func(token string) (bus.Principal, error) {
	t.Helper()
	m := backendtest.New(t)
	backendtest.Query(m, subject.ListUsers, func(req *meetv1.ListUsersRequest) (*meetv1.ListUsersResponse, error) {
		return &meetv1.ListUsersResponse{Users: []*meetv1.User{{Id: 3, Email: "x" + req.GetEmailContains(), IsActive: true}, {Id: 7, Email: strings.ToLower(req.GetEmailContains()), IsActive: active}}}, nil
	})
	issuers, err := auth.NewIssuers(auth.OIDCConfig{
		Issuers: []string{p.url}, Audiences: []string{"meet", "other"}, RoleClaim: "realm.roles", Roles: []string{"admins=admin", "backends=service", "doctors=external"}, Skew: time.Minute,
	}, m.Bus)
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Keys, slog.New(slog.DiscardHandler), auth.NewChecker(m.Bus, issuers).Header)
	return func(token string) (bus.Principal, error) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/meetings/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return a.Decide(r)
	}
}

func TestATokenOfAnIssuerNamesItsCaller(t *testing.T) {
	p, stranger := newProvider(t), newProvider(t)
	decide := oidc(t, p, true)
	host := strings.TrimPrefix(p.url, "http://")
	now := time.Now()
	for _, c := range []struct {
		name   string
		token  string
		want   bus.Principal
		reason string
	}{
		{"a good one", p.token(t, nil), bus.Principal{Name: "oidc:" + host + ":f2b1", Role: "service", UserID: 7, Mode: "oidc"}, ""},
		{"the most of its roles", p.token(t, map[string]any{"realm": map[string]any{"roles": []string{"doctors", "admins"}}}), bus.Principal{Name: "oidc:" + host + ":f2b1", Role: "admin", UserID: 7, Mode: "oidc"}, ""},
		{"our scopes limit it, others do not", p.token(t, map[string]any{"scope": "openid meetings:read"}), bus.Principal{Name: "oidc:" + host + ":f2b1", Role: "service", UserID: 7, Mode: "oidc", Scopes: "meetings:read"}, ""},
		{"several audiences", p.token(t, map[string]any{"aud": []string{"x", "other"}}), bus.Principal{Name: "oidc:" + host + ":f2b1", Role: "service", UserID: 7, Mode: "oidc"}, ""},
		{"an address that nobody verified is nobody's", p.token(t, map[string]any{"email_verified": false}), bus.Principal{Name: "oidc:" + host + ":f2b1", Role: "service", Mode: "oidc"}, ""},
		{"a clock that is a little behind", p.token(t, map[string]any{"exp": now.Add(-30 * time.Second).Unix()}), bus.Principal{Name: "oidc:" + host + ":f2b1", Role: "service", UserID: 7, Mode: "oidc"}, ""},
		{"an expired one", p.token(t, map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}), bus.Principal{}, auth.ReasonTokenExpired},
		{"one that is not valid yet", p.token(t, map[string]any{"nbf": now.Add(time.Hour).Unix()}), bus.Principal{}, auth.ReasonTokenInvalid},
		{"for another audience", p.token(t, map[string]any{"aud": "shop"}), bus.Principal{}, auth.ReasonTokenInvalid},
		{"for none", p.token(t, map[string]any{"aud": nil}), bus.Principal{}, auth.ReasonTokenInvalid},
		{"of nobody", p.token(t, map[string]any{"sub": nil}), bus.Principal{}, auth.ReasonTokenInvalid},
		{"without a role", p.token(t, map[string]any{"realm": nil}), bus.Principal{}, auth.ReasonTokenRole},
		{"with a role of a part of this product", p.token(t, map[string]any{"realm": map[string]any{"roles": "internal gateway"}}), bus.Principal{}, auth.ReasonTokenRole},
		{"of another issuer", stranger.token(t, nil), bus.Principal{}, auth.ReasonTokenInvalid},
		{"signed by a stranger", stranger.token(t, map[string]any{"iss": p.url}), bus.Principal{}, auth.ReasonTokenInvalid},
		{"signed with a secret", sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, map[string]any{"iss": p.url, "aud": "meet", "sub": "x", "exp": now.Add(time.Hour).Unix()}), bus.Principal{}, auth.ReasonTokenInvalid},
		{"not signed", "eyJhbGciOiJub25lIn0." + strings.Split(p.token(t, nil), ".")[1] + ".", bus.Principal{}, auth.ReasonTokenInvalid},
		{"changed", p.token(t, nil) + "x", bus.Principal{}, auth.ReasonTokenInvalid},
		{"garbage", "a.b.c", bus.Principal{}, auth.ReasonTokenInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decide(c.token)
			if c.reason != "" {
				if fault.Of(err).Reason != c.reason || strings.Contains(err.Error(), c.token) {
					t.Errorf("got %+v, %v; want %s", got, err, c.reason)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, errors.Unwrap(err))
			}
		})
	}
	if n := p.fetched.Load(); n > 3 {
		t.Errorf("the keys were read %d times for made-up tokens", n)
	}
	sub := p.token(t, map[string]any{"sub": "anna@clinic.example"})
	if got, err := decide(sub); err != nil || strings.Contains(got.Name, "anna") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestATokenOfAUserThatIsNotActiveIsRefused(t *testing.T) {
	p := newProvider(t)
	if _, err := oidc(t, p, false)(p.token(t, nil)); fault.Of(err).Reason != auth.ReasonUserInactive {
		t.Error(err)
	}
}

func TestAnIssuersNewKeyIsFoundAndOneThatIsAwayIsNobodysFault(t *testing.T) {
	p := newProvider(t)
	p.down.Store(true)
	if _, err := oidc(t, p, true)(p.token(t, nil)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("keys can't be read: %v", err)
	}
	p.down.Store(false)
	p.rotate(t, "second")
	decide := oidc(t, p, true)
	if _, err := decide(p.token(t, nil)); err != nil {
		t.Error(err)
	}
	nowhere := &provider{url: "http://127.0.0.1:1"}
	nowhere.rotate(t, "none")
	if _, err := oidc(t, nowhere, true)(nowhere.token(t, nil)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nobody is there: %v", err)
	}
}

func TestSettingsThatWouldLetStrangersInAreRefused(t *testing.T) {
	for _, c := range []struct {
		environ  []string
		variable string
	}{
		{[]string{"MEET_OIDC_ISSUERS=https://login.example"}, "MEET_OIDC_AUDIENCE"},
		{[]string{"MEET_OIDC_ISSUERS=http://login.example", "MEET_OIDC_AUDIENCE=meet"}, "MEET_OIDC_ISSUERS"},
		{[]string{"MEET_OIDC_ISSUERS=login", "MEET_OIDC_AUDIENCE=meet"}, "MEET_OIDC_ISSUERS"},
		{[]string{"MEET_OIDC_ROLES=x=internal"}, "MEET_OIDC_ROLES"},
		{[]string{"MEET_OIDC_ROLES=admin"}, "MEET_OIDC_ROLES"},
		{[]string{"MEET_OIDC_CLOCK_SKEW=1h"}, "MEET_OIDC_CLOCK_SKEW"},
		{[]string{"MEET_SESSION_LIFE=1000h"}, "MEET_SESSION_LIFE"},
		{[]string{"MEET_OIDC_ISSUERS=https://login.example,http://127.0.0.1:1/x", "MEET_OIDC_AUDIENCE=meet"}, ""},
	} {
		_, err := config.Load[auth.Config](c.environ)
		problems := config.Problems(err)
		if c.variable == "" && err != nil || c.variable != "" && (len(problems) != 1 || problems[0].Variable != c.variable) {
			t.Errorf("%v: %v", c.environ, err)
		}
	}
}

func FuzzWhatIsShownIsNeverMoreThanItIs(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer ", "Bearer mm_live_", "Api-Key x", "bearer a.b.c", "Basic eA==", "Bearer mm_live_7Kq2mXa9_" + strings.Repeat("a", 49), "Bearer \x00", "Bearer ..."} {
		f.Add(seed)
	}
	checker := auth.NewChecker(nil, nil) // asking would panic
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/meetings/", nil)
		r.Header["Authorization"] = []string{header}
		defer func() {
			if p := recover(); p != nil && !strings.Contains(header, "mm_") {
				t.Errorf("%q was asked for: %v", header, p)
			}
		}()
		if p, _, err := checker.Header(r); err == nil || p != (bus.Principal{}) {
			t.Errorf("%q: %+v, %v", header, p, err)
		}
	})
}

func TestKeysAreDrawnEachOnItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		k, err := auth.DrawKey("test")
		if err != nil || seen[k.Secret] || seen[k.Prefix] || !strings.HasPrefix(k.Secret, k.Prefix+"_") || len(k.Prefix) != 16 || k.Hash != auth.Hash(k.Secret) {
			t.Fatalf("%+v %v", k, err)
		}
		seen[k.Secret], seen[k.Prefix] = true, true
	}
}
