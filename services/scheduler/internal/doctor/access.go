package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	oauthgoogle "golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
	"google.golang.org/api/option"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
)

const (
	// callTimeout bounds one request: a healthy Google answers within a second or two.
	callTimeout = 8 * time.Second
	// keyLimit is far above the size of a key file.
	keyLimit = 64 << 10
	// scopePrefix is that of every scope.
	scopePrefix = "https://www.googleapis.com/auth/"
)

// keyInfo is what a key file says that is no secret.
type keyInfo struct {
	Type     string `json:"type"`
	Project  string `json:"project_id"`
	Email    string `json:"client_email"`
	ClientID string `json:"client_id"`
	TokenURI string `json:"token_uri"`
}

// Access is the way to Google with one key. Each visit has its own, so that nothing is believed because it was true before.
type Access struct {
	Key keyInfo
	// base is the emulator's address, "" for Google.
	base      string
	account   *jwt.Config
	transport http.RoundTripper

	mu     sync.Mutex
	tokens map[tokenKey]func() tokenAnswer
}

type tokenKey struct{ subject, scope string }

// tokenAnswer is a token or why there is none.
type tokenAnswer struct {
	access string
	why    google.Explanation // of the zero value: there is one
	clock  clockReading
}

func (a tokenAnswer) ok() bool { return a.access != "" }

// clockReading is how far Google's clock is ahead of this machine's.
type clockReading struct {
	known bool
	ahead time.Duration
}

// newAccess makes one of a key that was parsed.
func newAccess(key keyInfo, raw []byte, base string, transport http.RoundTripper) (*Access, error) {
	account, err := oauthgoogle.JWTConfigFromJSON(raw)
	if err != nil {
		return nil, errors.New("the key does not parse") // the cause may quote it
	}
	return &Access{
		Key: key, base: base, account: account, transport: transport,
		tokens: make(map[tokenKey]func() tokenAnswer),
	}, nil
}

// token asks once for each subject and scope; subject "" is the service account itself.
func (a *Access) token(ctx context.Context, subject, scope string) tokenAnswer {
	key := tokenKey{subject, scope}
	a.mu.Lock()
	fetch, asked := a.tokens[key]
	if !asked {
		fetch = sync.OnceValue(func() tokenAnswer { return a.fetch(ctx, key) })
		a.tokens[key] = fetch
	}
	a.mu.Unlock()
	return fetch()
}

func (a *Access) fetch(ctx context.Context, key tokenKey) (answer tokenAnswer) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	account := *a.account
	account.Subject, account.Scopes = key.subject, []string{scopePrefix + key.scope}
	client := &http.Client{Transport: tokenTransport{ctx, a.transport, &answer.clock}, CheckRedirect: stay}
	token, err := account.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	if err != nil {
		answer.why = google.ExplainToken(ctx, err)
		return answer
	}
	if answer.access = token.AccessToken; answer.access == "" {
		answer.why = google.ExplainToken(ctx, nil)
	}
	return answer
}

// tokenTransport ends requests with a context, which the token library makes them without, and reads the clock off the answer.
type tokenTransport struct {
	ctx   context.Context //nolint:containedctx // see above; it lives as long as one request
	next  http.RoundTripper
	clock *clockReading
}

func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := t.next.RoundTrip(r.WithContext(t.ctx))
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header is cut off to whole seconds, and the answer took half of the way back.
		*t.clock = clockReading{known: true, ahead: date.Add(500 * time.Millisecond).Sub(sent.Add(time.Since(sent) / 2))}
	}
	return resp, nil
}

// Options are those of an API's client that acts for subject with a scope (its name below https://www.googleapis.com/auth/); path
// is that of the API below the emulator's address, as "/calendar/v3/". Subject "" is the service account itself. Without a token
// there are none, and the explanation says why.
func (a *Access) Options(ctx context.Context, subject, scope, path string) ([]option.ClientOption, google.Explanation) {
	t := a.token(ctx, subject, scope)
	if !t.ok() {
		return nil, t.why
	}
	opts := []option.ClientOption{
		option.WithHTTPClient(&http.Client{Transport: bearer{t.access, a.transport}, Timeout: callTimeout, CheckRedirect: stay}),
		option.WithLogger(slog.New(slog.DiscardHandler)), // the clients' debug log writes whole requests, the token included
	}
	if a.base != "" {
		opts = append(opts, option.WithEndpoint(a.base+path))
	}
	return opts, google.Explanation{}
}

// stay follows no redirect: a token is for Google and nobody else.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// bearer signs requests.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// errNoKey: a key file is wrong; its text is one sentence without anything of the file's content that is secret.
type errNoKey struct{ detail, paste string }

func (e errNoKey) Error() string { return e.detail }

func noKey(paste, format string, args ...any) error {
	return errNoKey{fmt.Sprintf(format, args...), paste}
}

// readKey reads a key file and tells what is wrong with it.
func readKey(path string) (keyInfo, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return keyInfo{}, nil, noKey("", "the key file %s can't be read: %s", path, pathError(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, keyLimit+1))
	switch {
	case err != nil:
		return keyInfo{}, nil, noKey("", "the key file %s can't be read: %s", path, pathError(err))
	case len(raw) > keyLimit:
		return keyInfo{}, nil, noKey("", "%s is larger than any key file", path)
	}
	key, err := parseKey(path, raw)
	return key, raw, err
}

func parseKey(from string, raw []byte) (keyInfo, error) {
	var whole struct {
		keyInfo
		PrivateKey string          `json:"private_key"`
		Installed  json.RawMessage `json:"installed"`
		Web        json.RawMessage `json:"web"`
	}
	if json.Unmarshal(raw, &whole) != nil {
		return keyInfo{}, noKey("", "%s is not JSON; download the key of the service account again, as JSON", from)
	}
	key := whole.keyInfo
	switch {
	case whole.Installed != nil || whole.Web != nil:
		return key, noKey("", "%s is the file of an OAuth client, not the key of a service account", from)
	case key.Type == "authorized_user":
		return key, noKey("", "%s holds the login of a person (as gcloud keeps it), not the key of a service account", from)
	case key.Type == "external_account":
		return key, noKey("", "%s is for workload identity federation, which can't act for people of the domain; the key of a service account is needed", from)
	case key.Type != "service_account":
		return key, noKey("", `%s is not the key of a service account: its "type" is not "service_account"`, from)
	case key.Email == "" || key.TokenURI == "":
		return key, noKey("", `%s is not a whole key: "client_email" or "token_uri" is missing`, from)
	}
	if u, err := url.Parse(key.TokenURI); err != nil || u.Host == "" || u.User != nil {
		return key, noKey(googleTokenURI, `"token_uri" in %s is no address`, from)
	}
	if !parsesAsRSA(whole.PrivateKey) {
		return key, noKey("", `"private_key" in %s is damaged: it is not a private key in PEM`, from)
	}
	return key, nil
}

// googleTokenURI is what Google writes into key files.
const googleTokenURI = "https://oauth2.googleapis.com/token" //nolint:gosec // an address

// isGoogle tells whether an address is Google's own.
func isGoogle(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return strings.HasSuffix(host, ".googleapis.com") || host == "accounts.google.com"
}

func parsesAsRSA(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil
}

func pathError(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// emulatorKey asks the emulator for the key of the service account that it plays.
func emulatorKey(ctx context.Context, base string, transport http.RoundTripper) (keyInfo, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	from := base + "/_emulator/service-account.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return keyInfo{}, nil, noKey("", "MEET_EMULATOR_URL is no address")
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return keyInfo{}, nil, noKey("", "no Google emulator answers at %s", base)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, keyLimit))
	if err != nil || resp.StatusCode != http.StatusOK {
		return keyInfo{}, nil, noKey("", "what answers at %s is no Google emulator", base)
	}
	key, err := parseKey(from, raw)
	return key, raw, err
}
