// Package google speaks to Google Calendar, Meet, Drive, Workspace Events, Pub/Sub and the directory through Google's own Go
// clients, in the name of each meeting's organizer, and to Pub/Sub in the service account's own. It turns every answer into what
// the job package knows, so that no HTTP status and no reason of Google's leaves it. It decides nothing about meetings and retries
// nothing, a refused token apart: retries belong to the job.
//
// Whether Google or the emulator is at the far end changes the address and the key, nothing else.
package google

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"golang.org/x/oauth2/google"
	directory "google.golang.org/api/admin/directory/v1"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/meet/v2"
	oauth2api "google.golang.org/api/oauth2/v2"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/api/workspaceevents/v1"

	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const (
	// maxIdle is how many connections to one host are kept: at least the number of jobs that run side by side, or each would
	// make a new one all the time.
	maxIdle = 1024
	// emulatorWait is how long a start waits for the emulator.
	emulatorWait = 30 * time.Second
	// keyLimit is far above the size of a key file.
	keyLimit = 64 << 10
)

// Client calls Google. It is made once and used by all jobs side by side.
type Client struct {
	config    Config
	emulated  bool
	log       *slog.Logger
	http      *http.Client
	tokens    *tokens
	calendar  *calendar.Service
	meet      *meet.Service
	drive     *drive.Service
	events    *workspaceevents.Service
	pubsub    *pubsub.Service
	directory *directory.Service
	userinfo  *oauth2api.Service
	seconds   *prometheus.HistogramVec
	quotas    Quotas
	people    *people
	// queueMade: the emulator has the topic and the subscription that it stands in with.
	queue     sync.Mutex
	queueMade bool
}

// Quotas is what every call to Google asks first.
type Quotas interface {
	// Begin waits a moment for a call that was not reserved; its error is a [*job.Failure]. done is told how the call ended:
	// whether Google answered at all, and what it said of its quotas.
	Begin(ctx context.Context, organizer string, class job.Class) (done func(ctx context.Context, answered bool, r *quota.Refusal), err error)
}

// New makes a client that has no key yet. development is what decides about the emulator where MEET_GOOGLE and a key are absent.
func New(config Config, development bool, quotas Quotas, metrics prometheus.Registerer, log *slog.Logger) (*Client, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "meet_google_call_seconds", Help: "How long calls to Google took, by method (token: an access token) and by what came of them.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"method", "outcome"})
	if err := metrics.Register(seconds); err != nil {
		return nil, fmt.Errorf("register the metric of google calls: %w", err)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2 * maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	people, err := newPeople()
	if err != nil {
		return nil, fmt.Errorf("make the cache of people: %w", err)
	}
	return &Client{
		config: config, emulated: config.Emulated(development), log: log, http: &http.Client{Transport: transport}, seconds: seconds, quotas: quotas, people: people,
	}, nil
}

// Start reads the key, waiting for the emulator where that gives it out, and makes the services.
func (c *Client) Start(ctx context.Context) error {
	base := ""
	var key []byte
	var err error
	if c.emulated {
		base = strings.TrimRight(c.config.emulatorURL(), "/")
		c.log.WarnContext(ctx, "google is simulated: links of the emulator open no meeting", "emulator", base)
		key, err = c.emulatorKey(ctx, base)
	} else if key, err = os.ReadFile(c.config.KeyFile); err != nil {
		err = fmt.Errorf("read GOOGLE_SERVICE_ACCOUNT_FILE: %s", pathError(err))
	}
	if err != nil {
		return err
	}
	account, err := google.JWTConfigFromJSON(key)
	if err != nil {
		return errors.New("the service account's key does not parse") // the cause may quote it
	}
	if c.tokens, err = newTokens(account, c.http.Transport, min(tokenTimeout, c.config.Timeout/2), c.seconds); err != nil {
		return err
	}
	options := func(path string) []option.ClientOption {
		// The clients' debug log writes whole requests, the token included: it is not wanted, whatever the environment says.
		opts := []option.ClientOption{option.WithHTTPClient(c.http), option.WithLogger(slog.New(slog.DiscardHandler))}
		if base != "" {
			opts = append(opts, option.WithEndpoint(base+path))
		}
		return opts
	}
	if c.calendar, err = calendar.NewService(ctx, options("/calendar/v3/")...); err != nil {
		return fmt.Errorf("make the calendar client: %w", err)
	}
	if c.meet, err = meet.NewService(ctx, options("/")...); err != nil {
		return fmt.Errorf("make the meet client: %w", err)
	}
	if c.drive, err = drive.NewService(ctx, options("/drive/v3/")...); err != nil {
		return fmt.Errorf("make the drive client: %w", err)
	}
	if c.events, err = workspaceevents.NewService(ctx, options("/")...); err != nil {
		return fmt.Errorf("make the workspace events client: %w", err)
	}
	if c.pubsub, err = pubsub.NewService(ctx, options("/")...); err != nil {
		return fmt.Errorf("make the pub/sub client: %w", err)
	}
	if c.directory, err = directory.NewService(ctx, options("/")...); err != nil {
		return fmt.Errorf("make the directory client: %w", err)
	}
	if c.userinfo, err = oauth2api.NewService(ctx, options("/")...); err != nil {
		return fmt.Errorf("make the userinfo client: %w", err)
	}
	return nil
}

// Stop closes the connections that no call uses.
func (c *Client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// emulatorKey asks the emulator for the key of the service account that it plays.
func (c *Client) emulatorKey(ctx context.Context, base string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, emulatorWait, fmt.Errorf("no Google emulator answered at %s within %s", base, emulatorWait))
	defer cancel()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	said := false
	key, err := backoff.Retry(ctx, func() ([]byte, error) {
		key, err := c.get(ctx, base+"/_emulator/service-account.json")
		if err != nil && !said {
			said = true
			c.log.InfoContext(ctx, "waiting for the google emulator", "url", base, "error", err)
		}
		return key, err
	}, backoff.WithBackOff(pause))
	if err != nil {
		return nil, fmt.Errorf("get the emulator's key: %w", errors.Join(err, context.Cause(ctx)))
	}
	return key, nil
}

func (c *Client) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, keyLimit))
}

// Actor is in whose name the organizer's events are kept.
func (c *Client) Actor(organizer string) (string, error) {
	_, domain, _ := strings.Cut(organizer, "@")
	for _, own := range c.config.Domains {
		if strings.EqualFold(own, domain) {
			return organizer, nil
		}
	}
	if c.config.AdminEmail != "" {
		return c.config.AdminEmail, nil
	}
	return "", &job.Failure{
		Kind: job.Refused, Code: CodeOrganizerOutside,
		Message: "the organizer is of none of GOOGLE_WORKSPACE_DOMAINS and GOOGLE_WORKSPACE_ADMIN_EMAIL is not set; set it, or add the organizer's domain",
	}
}

// caller is a token and the account that quotas are charged to.
type caller struct {
	authorization string
	quotaUser     googleapi.CallOption
}

// as runs call in the name of actor, once more with a new token where Google takes the first one no longer. method is the
// discovery document's name of it, for errors and metrics.
func (c *Client) as(ctx context.Context, actor, organizer string, scopes scopeSet, method string, call func(context.Context, caller) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.Timeout, errTimeout)
	defer cancel()
	for second := false; ; second = true {
		token, err := c.tokens.get(ctx, actor, scopes)
		if err != nil {
			return fmt.Errorf("%s: %w", method, tokenFailure(ctx, err))
		}
		done, err := c.quotas.Begin(ctx, organizer, classOf(method))
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		begin := time.Now()
		calling, span := tracing.Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient))
		err = call(calling, caller{"Bearer " + token, quotaUser(organizer)})
		if err == nil {
			span.End()
			c.seconds.WithLabelValues(method, "ok").Observe(time.Since(begin).Seconds())
			done(ctx, true, nil)
			return nil
		}
		f := said(method, callFailure(ctx, err))
		tracing.End(span, f.Code)
		if !errors.Is(context.Cause(ctx), context.Canceled) { // else it was we who hung up
			done(ctx, answered(err), refusal(err, f))
		}
		c.seconds.WithLabelValues(method, f.Code).Observe(time.Since(begin).Seconds())
		if !second && isUnauthorized(err) {
			c.tokens.drop(actor, scopes, token)
			continue
		}
		return fmt.Errorf("%s: %w", method, f)
	}
}

// classOf is the quota that calls of a method are charged to (Calendar API and Meet API usage limits). One that is not named is
// charged to its API's narrowest class of plain calls, so that no call goes uncounted.
func classOf(method string) job.Class {
	if class, ok := classes[method]; ok {
		return class
	}
	switch api, _, _ := strings.Cut(method, "."); api {
	case "meet":
		return job.ClassMeetWrite
	case "drive":
		return job.ClassDrive
	case "workspaceevents":
		return job.ClassEventsWrite
	case "directory", "oauth2":
		return job.ClassDirectory
	}
	return job.ClassCalendar
}

// classes of every method that is called.
var classes = map[string]job.Class{
	"calendar.events.insert": job.ClassCalendar, "calendar.events.get": job.ClassCalendar,
	"calendar.events.patch": job.ClassCalendar, "calendar.events.delete": job.ClassCalendar,
	"calendar.events.list": job.ClassCalendar, "calendar.events.watch": job.ClassCalendar, "calendar.channels.stop": job.ClassCalendar,
	"meet.spaces.create": job.ClassMeetCreate, "meet.spaces.get": job.ClassMeetRead, "meet.spaces.patch": job.ClassMeetWrite,
	"meet.conferenceRecords.list": job.ClassMeetRead, "meet.conferenceRecords.get": job.ClassMeetRead,
	"meet.conferenceRecords.recordings.list": job.ClassMeetRead, "meet.conferenceRecords.participants.list": job.ClassMeetRead,
	"meet.conferenceRecords.participants.participantSessions.list": job.ClassMeetRead,
	"meet.conferenceRecords.transcripts.list":                      job.ClassMeetRead, "meet.conferenceRecords.transcripts.entries.list": job.ClassMeetRead,
	"drive.files.get": job.ClassDrive, "drive.permissions.create": job.ClassDrive,
	"workspaceevents.subscriptions.create": job.ClassEventsWrite, "workspaceevents.subscriptions.patch": job.ClassEventsWrite,
	"workspaceevents.subscriptions.reactivate": job.ClassEventsWrite, "workspaceevents.subscriptions.delete": job.ClassEventsWrite,
	"workspaceevents.subscriptions.get": job.ClassEventsRead, "workspaceevents.subscriptions.list": job.ClassEventsRead,
	"workspaceevents.operations.get": job.ClassEventsRead,
	"directory.users.get":            job.ClassDirectory, "oauth2.userinfo.get": job.ClassDirectory,
}

// errTimeout is why a call to Google ended early.
var errTimeout = errors.New("MEET_GOOGLE_TIMEOUT ran out")

// quotaUser makes Google charge the organizer's share of the quota instead of the service account's. At most 40 characters.
func quotaUser(organizer string) googleapi.CallOption {
	sum := sha256.Sum256([]byte(strings.ToLower(organizer)))
	return googleapi.QuotaUser(hex.EncodeToString(sum[:16]))
}

// simulated: the emulator signs its answers.
func (c *Client) simulated(header http.Header) bool {
	return c.emulated || header.Get("X-Emulator") != ""
}

// Development tells whether missing credentials mean the emulator.
type Development bool

// Module calls Google. Needs Config, Development, *quota.Limiter, prometheus.Registerer, *slog.Logger; provides *Client as job.Calendar,
// job.Spaces, job.Feed, job.Records, job.Files, job.Recorded, job.Directory, job.Subscriptions and notice.Queue.
var Module = fx.Module("scheduler/google", fx.Provide(
	fx.Annotate(func(lc fx.Lifecycle, config Config, development Development, limiter *quota.Limiter, metrics prometheus.Registerer, log *slog.Logger) (*Client, error) {
		c, err := New(config, bool(development), limiter, metrics, log)
		if err == nil {
			lc.Append(fx.Hook{OnStart: c.Start, OnStop: c.Stop})
		}
		return c, err
	}, fx.As(new(job.Calendar)), fx.As(new(job.Spaces)), fx.As(new(job.Feed)),
		fx.As(new(job.Records)), fx.As(new(job.Files)), fx.As(new(job.Recorded)), fx.As(new(job.Directory)), fx.As(new(job.Subscriptions)), fx.As(new(notice.Queue))),
))
