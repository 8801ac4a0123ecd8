package googlefake

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	testAudience = "http://127.0.0.1:8090/token"
	testScope    = scopePrefix + "calendar.events"
)

func newServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sign(t testing.TB, key *rsa.PrivateKey, header, claims string) string {
	t.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func assertionForm(assertion string) url.Values {
	return url.Values{"grant_type": {jwtBearer}, "assertion": {assertion}}
}

func TestTokenEndpointAnswersEachMistakeInGooglesWords(t *testing.T) {
	s := newServer(t, Config{Strict: true, Users: []string{"Boss@example.com"}})
	now := time.Unix(1_800_000_000, 0)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := jwtClaims{
		Issuer: serviceAccountEmail, Scope: testScope, Audience: testAudience, Subject: "boss@example.com", OldSubject: "boss@example.com",
		IssuedAt: now.Unix() - 10, Expires: now.Unix() + 3590,
	}
	header := `{"alg":"RS256","typ":"JWT","kid":"` + s.identity.keyID + `"}`
	with := func(change func(*jwtClaims)) string {
		c := good
		change(&c)
		return sign(t, s.identity.key, header, string(mustJSON(c)))
	}
	for _, test := range []struct {
		name      string
		form      url.Values
		status    int
		code, say string
	}{
		{"no grant type", url.Values{}, 400, "invalid_request", "Required parameter is missing: grant_type"},
		{"another grant type", url.Values{"grant_type": {"refresh_token"}}, 400, "unsupported_grant_type", "Invalid grant_type: refresh_token"},
		{"no assertion", url.Values{"grant_type": {jwtBearer}}, 400, "invalid_request", "Required parameter is missing: assertion"},
		{"no JWT", assertionForm("x"), 400, "invalid_grant", msgInvalidSignature},
		{"a JWT of two parts", assertionForm("x.y"), 400, "invalid_grant", msgInvalidSignature},
		{"a key of somebody else", assertionForm(sign(t, other, header, string(mustJSON(good)))), 400, "invalid_grant", msgInvalidSignature},
		{"a key id that was deleted", assertionForm(sign(t, s.identity.key, `{"alg":"RS256","kid":"old"}`, string(mustJSON(good)))), 400, "invalid_grant", msgInvalidSignature},
		{"no algorithm", assertionForm(sign(t, s.identity.key, `{"alg":"none"}`, string(mustJSON(good)))), 400, "invalid_grant", msgInvalidSignature},
		{"a service account that was deleted", assertionForm(with(func(c *jwtClaims) { c.Issuer = "x@y.z" })), 400, "invalid_grant", msgAccountNotFound},
		{"another audience", assertionForm(with(func(c *jwtClaims) { c.Audience = "https://oauth2.googleapis.com/token" })), 400, "invalid_grant", msgAudience},
		{"an end that has passed", assertionForm(with(func(c *jwtClaims) { c.IssuedAt, c.Expires = now.Unix()-3600, now.Unix() })), 400, "invalid_grant", msgNotShortLived},
		{"a start too far ahead", assertionForm(with(func(c *jwtClaims) { c.IssuedAt, c.Expires = now.Unix()+301, now.Unix()+600 })), 400, "invalid_grant", msgNotShortLived},
		{"longer than an hour", assertionForm(with(func(c *jwtClaims) { c.Expires++ })), 400, "invalid_grant", msgNotShortLived},
		{"no scope", assertionForm(with(func(c *jwtClaims) { c.Scope = " " })), 400, "invalid_scope", msgEmptyScope},
		{"a subject that is no address", assertionForm(with(func(c *jwtClaims) { c.Subject = "boss" })), 400, "invalid_grant", msgNotAnEmail},
		{"a subject nobody knows", assertionForm(with(func(c *jwtClaims) { c.Subject = "ana@example.com" })), 400, "invalid_grant", msgInvalidUser},
		{"an unknown subject by its old name", assertionForm(with(func(c *jwtClaims) { c.Subject, c.OldSubject = "", "ana@example.com" })), 400, "invalid_grant", msgInvalidUser},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.exchange(test.form, []string{testAudience}, now)
			var e *apiError
			if !errors.As(err, &e) || e.status != test.status || e.reason != test.code || e.message != test.say {
				t.Errorf("got %v, want %d %s: %s", err, test.status, test.code, test.say)
			}
		})
	}
	for _, test := range []struct{ name, assertion, subject string }{
		{"the boss", with(func(*jwtClaims) {}), "boss@example.com"},
		{"in capitals", with(func(c *jwtClaims) { c.Subject = "BOSS@EXAMPLE.COM" }), "boss@example.com"},
		{"by the old name only", with(func(c *jwtClaims) { c.Subject = "" }), "boss@example.com"},
		{"a clock five minutes ahead", with(func(c *jwtClaims) { c.IssuedAt, c.Expires = now.Unix()+300, now.Unix()+3900 }), "boss@example.com"},
		{"the bare service account", with(func(c *jwtClaims) { c.Subject, c.OldSubject = "", "" }), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := s.exchange(assertionForm(test.assertion), []string{testAudience}, now)
			if err != nil || a.TokenType != "Bearer" || a.ExpiresIn != 3599 {
				t.Fatalf("%+v, %v", a, err)
			}
			if g := s.identity.open(a.AccessToken); g == nil || g.Subject != test.subject || len(g.Scopes) != 1 || g.Scopes[0] != testScope {
				t.Errorf("the token means %+v", g)
			}
		})
	}
	misspelt, err := s.exchange(assertionForm(with(func(c *jwtClaims) { c.Scope += " https://www.googleapis.com/auth/calendar.event" })), []string{testAudience}, now)
	if err != nil || misspelt.AccessToken != "" || strings.Count(misspelt.IDToken, ".") != 2 {
		t.Errorf("a misspelt scope: %+v, %v, want an identity token only", misspelt, err)
	}
}

func TestAnExpiredTokenIsRefused(t *testing.T) {
	s := newServer(t, Config{})
	rt := &route{scopes: []string{testScope}}
	request := func(g grant) *http.Request {
		return &http.Request{Header: http.Header{"Authorization": {"Bearer " + s.identity.issue(&g)}}}
	}
	g := grant{Subject: "a@b.c", Scopes: []string{testScope}, Expires: time.Now().Add(time.Minute).Unix()}
	if _, err := s.authorize(request(g), rt); err != nil {
		t.Errorf("a fresh token: %v", err)
	}
	g.Expires = time.Now().Add(-time.Second).Unix()
	if _, err := s.authorize(request(g), rt); err == nil || err.reason != "authError" {
		t.Errorf("an expired token: %v", err)
	}
}

func TestTokenCacheDropsTheExpired(t *testing.T) {
	c := tokenCache{grants: make(map[string]*grant)}
	now := time.Unix(1_800_000_000, 0)
	for i := range firstSweep {
		c.put(strings.Repeat("x", i+1), &grant{Expires: now.Unix() - 1}, now)
	}
	c.put("fresh", &grant{Expires: now.Unix() + 1}, now)
	if len(c.grants) != 1 || c.get("fresh") == nil {
		t.Errorf("%d tokens kept", len(c.grants))
	}
}

func FuzzTokenDoor(f *testing.F) {
	s := newServer(f, Config{})
	now := time.Unix(1_800_000_000, 0)
	claims := string(mustJSON(jwtClaims{
		Issuer: serviceAccountEmail, Scope: testScope, Audience: testAudience, Subject: "boss@example.com", IssuedAt: now.Unix(), Expires: now.Unix() + 3600,
	}))
	good := sign(f, s.identity.key, `{"alg":"RS256"}`, claims)
	f.Add(assertionForm(good).Encode())
	f.Add(assertionForm("a.b.c").Encode())
	f.Add("grant_type=%zz")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		a, err := s.exchange(form, []string{testAudience}, now)
		var e *apiError
		if err != nil && (!errors.As(err, &e) || e.status < 400 || e.reason == "") {
			t.Fatalf("%v is no refusal", err)
		}
		if err == nil && form.Get("assertion") != good {
			t.Fatalf("%q opened the door: %+v", body, a)
		}
	})
}

func FuzzSignedClaims(f *testing.F) {
	s := newServer(f, Config{})
	now := time.Unix(1_800_000_000, 0)
	f.Add(`{"iss":"` + serviceAccountEmail + `","scope":"` + testScope + `","aud":"` + testAudience + `","exp":1800003600,"iat":1800000000,"sub":"a@b.c"}`)
	f.Add(`{"exp":9e99}`)
	f.Fuzz(func(t *testing.T, claims string) {
		a, err := s.exchange(assertionForm(sign(t, s.identity.key, `{"alg":"RS256"}`, claims)), []string{testAudience}, now)
		var e *apiError
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%v is no refusal", err)
		}
		if err == nil && a.AccessToken == "" && a.IDToken == "" {
			t.Fatal("neither a token nor a refusal")
		}
	})
}
