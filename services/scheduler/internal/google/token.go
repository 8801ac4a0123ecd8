package google

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
	"golang.org/x/sync/singleflight"

	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

const (
	// tokenTimeout bounds one request to the token endpoint; half a call's whole time where that is less.
	tokenTimeout = 10 * time.Second
	// tokenMargin is how long before its end a token is not used any more: longer than a call may take to arrive.
	tokenMargin = time.Minute
	// maxTokens bounds the cache: an hour's organizers, at well under a kilobyte each. One that falls out costs a signature of a
	// millisecond and a call.
	maxTokens = 20_000
)

// scopeSet names the rights that one token carries. Each is asked for alone, so that one that was not delegated stops nothing
// else.
type scopeSet string

// The scope sets.
const (
	scopesCalendar    scopeSet = "https://www.googleapis.com/auth/calendar.events"
	scopesSettings    scopeSet = "https://www.googleapis.com/auth/meetings.space.settings"
	scopesCreate      scopeSet = "https://www.googleapis.com/auth/meetings.space.created"
	scopesCreateFully scopeSet = scopesCreate + " " + scopesSettings
	// scopesRecords is for conferences and for subscriptions to them alike.
	scopesRecords   scopeSet = "https://www.googleapis.com/auth/meetings.space.readonly"
	scopesDrive     scopeSet = "https://www.googleapis.com/auth/drive.meet.readonly"
	scopesDirectory scopeSet = "https://www.googleapis.com/auth/admin.directory.user.readonly"
	scopesSelf      scopeSet = "https://www.googleapis.com/auth/userinfo.email"
	// scopesPubSub is asked for by the service account itself, and by nobody's leave.
	scopesPubSub scopeSet = "https://www.googleapis.com/auth/pubsub"
)

type tokenKey struct {
	subject string
	scopes  scopeSet
}

// token is what is kept of an answer.
type token struct {
	access  string
	expires time.Time
}

// tokens keeps one access token for each impersonated account and scope set. A slow or failing request for one account's token
// holds up no other account, and ends in time whatever its callers' deadlines are.
type tokens struct {
	account  *jwt.Config
	http     *http.Client
	cache    *lru.Cache[tokenKey, token]
	fetching singleflight.Group
	seconds  *prometheus.HistogramVec
}

func newTokens(account *jwt.Config, transport http.RoundTripper, timeout time.Duration, seconds *prometheus.HistogramVec) (*tokens, error) {
	cache, err := lru.New[tokenKey, token](maxTokens)
	if err != nil {
		return nil, fmt.Errorf("make the token cache: %w", err)
	}
	return &tokens{account: account, http: &http.Client{Transport: transport, Timeout: timeout}, cache: cache, seconds: seconds}, nil
}

// errNoToken: the answer was a success and had no access token, as Google answers where it does not know a scope.
var errNoToken = errors.New("the token endpoint answered without an access token")

// get returns an access token of the subject. Callers of the same one share a request.
func (t *tokens) get(ctx context.Context, subject string, scopes scopeSet) (string, error) {
	key := tokenKey{strings.ToLower(subject), scopes}
	if known, ok := t.cache.Get(key); ok && time.Until(known.expires) > tokenMargin {
		return known.access, nil
	}
	answer := t.fetching.DoChan(key.subject+" "+string(scopes), func() (any, error) {
		if known, ok := t.cache.Get(key); ok && time.Until(known.expires) > tokenMargin {
			return known.access, nil // it came between the look above and here
		}
		// Others wait for it too, so it does not end with the first caller; the client's time-out bounds it.
		begin, outcome := time.Now(), "ok"
		asking, span := tracing.Start(context.WithoutCancel(ctx), "token", trace.WithSpanKind(trace.SpanKindClient))
		fresh, err := t.fetch(asking, key)
		if err != nil {
			outcome = tokenFailure(ctx, err).Code
			tracing.End(span, outcome)
		} else {
			span.End()
			t.cache.Add(key, fresh)
		}
		t.seconds.WithLabelValues("token", outcome).Observe(time.Since(begin).Seconds())
		return fresh.access, err
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return "", a.Err
		}
		return a.Val.(string), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// drop forgets a token that Google refused, unless another caller has replaced it by now.
func (t *tokens) drop(subject string, scopes scopeSet, refused string) {
	key := tokenKey{strings.ToLower(subject), scopes}
	if known, ok := t.cache.Peek(key); ok && known.access == refused {
		t.cache.Remove(key)
	}
}

func (t *tokens) fetch(ctx context.Context, key tokenKey) (token, error) {
	account := *t.account
	account.Subject, account.Scopes = key.subject, strings.Fields(string(key.scopes))
	answer, err := account.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, t.http)).Token()
	switch {
	case err != nil:
		return token{}, err
	case answer.AccessToken == "":
		return token{}, errNoToken
	case answer.Expiry.IsZero():
		return token{answer.AccessToken, time.Now().Add(2 * tokenMargin)}, nil // it did not say: not for long
	}
	return token{answer.AccessToken, answer.Expiry}, nil
}
