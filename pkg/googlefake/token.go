package googlefake

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The service account that the emulator plays. Its project exists nowhere.
const (
	serviceAccountEmail = "emulator@meet-emulator.iam.gserviceaccount.com"
	serviceAccountID    = "100000000000000000001"
	projectID           = "meet-emulator"
)

const (
	jwtBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	tokenLifetime = time.Hour
	clockSkew     = 300 * time.Second // how far Google lets iat lie in the future
	tokenPrefix   = "emulator."
	keyFile       = "service-account.pem"
)

// identity is the service account's key pair and what is derived from it.
type identity struct {
	key    *rsa.PrivateKey
	pem    []byte
	keyID  string
	secret []byte // signs access tokens, so that those given out survive a restart
}

// loadIdentity reads the key from dir, or makes one and keeps it there; dir "" keeps nothing.
func loadIdentity(dir string) (*identity, error) {
	path := filepath.Join(dir, keyFile)
	if dir != "" {
		b, err := os.ReadFile(path)
		if err == nil {
			return parseIdentity(path, b)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the emulator's key: %w", err)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the emulator's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the emulator's key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if dir != "" {
		if err := writeWhole(path, text); err != nil {
			return nil, fmt.Errorf("keep the emulator's key: %w", err)
		}
	}
	return newIdentity(key, der, text), nil
}

func parseIdentity(path string, text []byte) (*identity, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM file; remove it and a new key is made", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s holds no PKCS #8 key; remove it and a new key is made", path)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no RSA key; remove it and a new key is made", path)
	}
	return newIdentity(key, block.Bytes, text), nil
}

func newIdentity(key *rsa.PrivateKey, der, text []byte) *identity {
	fingerprint := sha1.Sum(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte("access tokens"))
	return &identity{key: key, pem: text, keyID: hex.EncodeToString(fingerprint[:]), secret: mac.Sum(nil)}
}

// writeWhole writes a file that nobody else may read and that is there whole or not at all.
func writeWhole(path string, b []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

type keyFileJSON struct {
	Type           string `json:"type"`
	ProjectID      string `json:"project_id"`
	PrivateKeyID   string `json:"private_key_id"`
	PrivateKey     string `json:"private_key"`
	ClientEmail    string `json:"client_email"`
	ClientID       string `json:"client_id"`
	AuthURI        string `json:"auth_uri"`
	TokenURI       string `json:"token_uri"`
	ProviderCert   string `json:"auth_provider_x509_cert_url"`
	ClientCert     string `json:"client_x509_cert_url"`
	UniverseDomain string `json:"universe_domain"`
}

// ServiceAccountKey is a service-account key file that google.JWTConfigFromJSON reads and whose
// token_uri is the emulator at baseURL, for example "http://127.0.0.1:8090". It opens nothing but
// this emulator.
func (s *Server) ServiceAccountKey(baseURL string) []byte {
	baseURL = strings.TrimRight(baseURL, "/")
	return mustJSON(keyFileJSON{
		Type: "service_account", ProjectID: projectID, PrivateKeyID: s.identity.keyID, PrivateKey: string(s.identity.pem),
		ClientEmail: serviceAccountEmail, ClientID: serviceAccountID,
		AuthURI: baseURL + "/auth", TokenURI: baseURL + tokenPath,
		ProviderCert: baseURL + "/oauth2/v1/certs", ClientCert: baseURL + "/robot/v1/metadata/x509/" + url.PathEscape(serviceAccountEmail),
		UniverseDomain: "googleapis.com",
	})
}

// grant is what an access token stands for.
type grant struct {
	Subject string   `json:"sub,omitempty"` // impersonated user, lower case; "" is the bare service account
	Scopes  []string `json:"scope"`
	Expires int64    `json:"exp"` // unix seconds
}

// person is whose eyes the call sees with.
func (g *grant) person() string {
	if g.Subject == "" {
		return serviceAccountEmail
	}
	return g.Subject
}

// issue signs an access token. It carries its own meaning, so a restart forgets none.
func (id *identity) issue(g *grant) string {
	payload := base64.RawURLEncoding.EncodeToString(mustJSON(g))
	return tokenPrefix + payload + "." + base64.RawURLEncoding.EncodeToString(id.sign(payload))
}

func (id *identity) sign(payload string) []byte {
	mac := hmac.New(sha256.New, id.secret)
	mac.Write([]byte(payload))
	return mac.Sum(nil)
}

// open checks an access token's signature; nil when it is not ours.
func (id *identity) open(token string) *grant {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok {
		return nil
	}
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok {
		return nil
	}
	mac, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(mac, id.sign(payload)) {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil
	}
	g := new(grant)
	if json.Unmarshal(b, g) != nil {
		return nil
	}
	return g
}

// tokenCache remembers the tokens whose signature was checked.
type tokenCache struct {
	mu     sync.RWMutex
	grants map[string]*grant
	sweep  int // size at which expired ones are dropped
}

const firstSweep = 4096

func (c *tokenCache) get(token string) *grant {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.grants[token]
}

func (c *tokenCache) put(token string, g *grant, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.grants) >= max(c.sweep, firstSweep) {
		for t, old := range c.grants {
			if old.Expires <= now.Unix() {
				delete(c.grants, t)
			}
		}
		c.sweep = 2 * len(c.grants)
	}
	c.grants[token] = g
}

// authorize finds who calls and whether the token may call the route.
func (s *Server) authorize(r *http.Request, rt *route) (*grant, *apiError) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return nil, missingCredentials()
	}
	now := time.Now()
	g := s.tokens.get(token)
	if g == nil {
		if g = s.identity.open(token); g == nil {
			return nil, unauthenticated()
		}
		s.tokens.put(token, g, now)
	}
	if g.Expires <= now.Unix() {
		return nil, unauthenticated()
	}
	u := s.setup()
	if g.Subject != "" {
		if p := u.policy(g.Subject); !p.exists || p.suspended {
			return nil, unauthenticated() // Google revokes the tokens of people who are gone
		}
	}
	if u.disabled(rt.service) {
		e := typical(rt.dialect, http.StatusForbidden, "", "")
		e.reason, e.domain, e.message = "accessNotConfigured", usageDomain, msgDisabled
		e.explain(rt)
		return nil, e
	}
	for _, scope := range g.Scopes {
		if slices.Contains(rt.scopes, scope) {
			return g, nil
		}
	}
	return nil, insufficientScope(rt.service, rt.rpc)
}

type tokenAnswer struct {
	AccessToken string `json:"access_token,omitempty"`
	ExpiresIn   int64  `json:"expires_in,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	IDToken     string `json:"id_token,omitempty"`
}

func tokenRoutes() []*route {
	return []*route{{id: "token", method: http.MethodPost, pattern: tokenPath, dialect: oauth, handle: (*Server).token}}
}

// token is the token endpoint's JWT bearer grant (RFC 7523). Its clock is the machine's, whatever
// the emulator's own clock says.
func (s *Server) token(c *call) (answer, error) {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return answer{}, refuse("invalid_request", "Bad Request")
	}
	// A client may know the emulator under its public address or under the one it dialled.
	audiences := []string{c.base + tokenPath, "http://" + c.r.Host + tokenPath, "https://" + c.r.Host + tokenPath}
	a, err := s.exchange(form, audiences, time.Now().Add(duration(s.setup().ServiceAccount.Clock)))
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: mustJSON(a)}, nil
}

func refuse(code, description string) *apiError {
	status := http.StatusBadRequest
	switch code {
	case "unauthorized_client", "invalid_client", "disabled_client":
		status = http.StatusUnauthorized
	case "access_denied":
		status = http.StatusForbidden
	}
	return &apiError{status: status, reason: code, message: description}
}

// exchange checks an assertion and gives a token for it. Errors are *apiError.
func (s *Server) exchange(form url.Values, audiences []string, now time.Time) (tokenAnswer, error) {
	if g := form.Get("grant_type"); g != jwtBearer {
		if g == "" {
			return tokenAnswer{}, refuse("invalid_request", "Required parameter is missing: grant_type")
		}
		return tokenAnswer{}, refuse("unsupported_grant_type", "Invalid grant_type: "+g)
	}
	assertion := form.Get("assertion")
	if assertion == "" {
		return tokenAnswer{}, refuse("invalid_request", "Required parameter is missing: assertion")
	}
	u := s.setup()
	switch u.ServiceAccount.Account {
	case stateDeleted:
		return tokenAnswer{}, refuse("invalid_grant", msgAccountNotFound)
	case stateDisabled:
		return tokenAnswer{}, refuse("disabled_client", "The OAuth client was disabled.")
	}
	claims, err := s.identity.verify(assertion)
	if err != nil {
		return tokenAnswer{}, err
	}
	if u.ServiceAccount.Key == stateDeleted {
		return tokenAnswer{}, refuse("invalid_grant", msgInvalidSignature)
	}
	if !slices.Contains(audiences, claims.Audience) {
		return tokenAnswer{}, refuse("invalid_grant", msgAudience)
	}
	exp, iat := claims.Expires, claims.IssuedAt
	if exp <= now.Unix() || iat > now.Add(clockSkew).Unix() || exp <= iat || exp-iat > int64(tokenLifetime.Seconds()) {
		return tokenAnswer{}, refuse("invalid_grant", msgNotShortLived)
	}
	scopes := strings.Fields(claims.Scope)
	if len(scopes) == 0 {
		return tokenAnswer{}, refuse("invalid_scope", msgEmptyScope)
	}
	subject := claims.Subject
	if subject == "" {
		subject = claims.OldSubject
	}
	if subject != "" {
		if !validEmail(subject) {
			return tokenAnswer{}, refuse("invalid_grant", msgNotAnEmail)
		}
		subject = strings.ToLower(subject)
		p := u.policy(subject)
		if !p.exists || p.suspended {
			return tokenAnswer{}, refuse("invalid_grant", msgInvalidUser)
		}
		known, err := s.store.knowUser(subject, p.known || !s.cfg.Strict)
		if err != nil {
			return tokenAnswer{}, err
		}
		if !known {
			return tokenAnswer{}, refuse("invalid_grant", msgInvalidUser)
		}
		if p.restricted {
			return tokenAnswer{}, refuse("access_denied", "Account restricted")
		}
		if scopes, known = u.delegated(scopes); !known {
			return tokenAnswer{}, refuse("unauthorized_client", msgUnauthorizedClient)
		}
	}
	if slices.ContainsFunc(scopes, func(scope string) bool { return !s.scopes[scope] }) {
		// Google takes a string that is no scope for the audience of an identity token.
		idToken, err := s.identity.idToken(strings.Join(scopes, " "), subject, now)
		if err != nil {
			return tokenAnswer{}, fmt.Errorf("sign an identity token: %w", err)
		}
		return tokenAnswer{IDToken: idToken}, nil
	}
	now = time.Now() // the token lasts by the clock that it is checked with
	g := &grant{Subject: subject, Scopes: scopes, Expires: now.Add(tokenLifetime).Unix()}
	token := s.identity.issue(g)
	s.tokens.put(token, g, now)
	return tokenAnswer{AccessToken: token, ExpiresIn: int64(tokenLifetime.Seconds()) - 1, TokenType: "Bearer"}, nil
}

type jwtHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ,omitempty"`
	KeyID     string `json:"kid,omitempty"`
}

type jwtClaims struct {
	Issuer     string `json:"iss"`
	Scope      string `json:"scope,omitempty"`
	Audience   string `json:"aud"`
	Expires    int64  `json:"exp"`
	IssuedAt   int64  `json:"iat"`
	Subject    string `json:"sub,omitempty"`
	OldSubject string `json:"prn,omitempty"`
}

// verify checks an assertion's form, issuer, key and signature, and refuses in Google's words. It
// is no general JWT library on purpose: one algorithm and one key, and each failure has its own
// answer.
func (id *identity) verify(assertion string) (*jwtClaims, error) {
	bad := refuse("invalid_grant", msgInvalidSignature)
	signed, signature, ok := cutLast(assertion, ".")
	if !ok {
		return nil, bad
	}
	head, payload, ok := strings.Cut(signed, ".")
	if !ok {
		return nil, bad
	}
	var h jwtHeader
	claims := new(jwtClaims)
	if decodeSegment(head, &h) != nil || decodeSegment(payload, claims) != nil || h.Algorithm != "RS256" {
		return nil, bad
	}
	if claims.Issuer != serviceAccountEmail {
		return nil, refuse("invalid_grant", msgAccountNotFound)
	}
	if h.KeyID != "" && h.KeyID != id.keyID {
		return nil, bad
	}
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return nil, bad
	}
	sum := sha256.Sum256([]byte(signed))
	if rsa.VerifyPKCS1v15(&id.key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		return nil, bad
	}
	return claims, nil
}

func (id *identity) idToken(audience, subject string, now time.Time) (string, error) {
	if subject == "" {
		subject = serviceAccountEmail
	}
	signed := base64.RawURLEncoding.EncodeToString(mustJSON(jwtHeader{Algorithm: "RS256", Type: "JWT", KeyID: id.keyID})) + "." +
		base64.RawURLEncoding.EncodeToString(mustJSON(jwtClaims{
			Issuer: "https://accounts.google.com", Audience: audience, Subject: subject,
			IssuedAt: now.Unix(), Expires: now.Add(tokenLifetime).Unix(),
		}))
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, id.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func decodeSegment(segment string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// validEmail is deliberately coarse: one @ with something sensible around it.
func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(s) > 254 {
		return false
	}
	if domain == "" || domain[0] == '.' || domain[len(domain)-1] == '.' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`,;<>()"\`, r) }) &&
		!strings.Contains(domain, "@")
}
