// Package googlefake plays Google for programs that create Meet sessions and want what is left of
// them: the token endpoint, Calendar, Meet, Drive, Workspace Events, Pub/Sub and a little of the
// Directory behind one http.Handler, with a clock of their own, state to look at, a set-up to get
// wrong and faults to switch on. It exists so that the real client libraries and the real token flow
// can be run, broken and measured without a Workspace tenant.
//
// It is strict where Google is strict (ids, scopes, etags, ownership, what an alias may do) and it
// invents no meeting: every link it makes points at itself and says that it is simulated, and every
// answer carries the header X-Emulator: 1.
//
// What it will not do: hold a video conference, send mail, or guard anything. Its service-account
// key opens nothing else and is handed to whoever asks.
package googlefake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/dirlock"
)

const (
	// mediaCalls counts those of drive.files.get that fetch the bytes; they are among its own too.
	mediaCalls = "drive.files.get:media"

	tokenPath     = "/token"
	controlPrefix = "/_emulator/"

	maxBody = 1 << 20 // bytes of a request that are read

	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 5 * time.Second
)

// Config of an emulator. The zero value is a lenient one in memory.
type Config struct {
	// Dir keeps the key and all state, so that a restart finds them; "" keeps them in memory. One
	// emulator at a time owns it.
	Dir string
	// BaseURL is where people reach the emulator, for links; "" takes the Host of each request.
	BaseURL string
	// Strict refuses tokens for people outside Users and calendars outside Calendars; otherwise
	// people and group calendars come into being when they are first named.
	Strict bool
	// Users are the addresses that may be impersonated from the start.
	Users []string
	// Calendars are ids which everybody may write, beside their own calendar.
	Calendars []string
	// AllowRemoteControl answers control routes to others than this machine.
	AllowRemoteControl bool
	// ConferenceDelay is how long, on the emulator's clock, a new conference stays pending.
	ConferenceDelay time.Duration
	// Seed of the dice of faults with a probability; 0 is a different one every time.
	Seed uint64
	// Now is the clock that the emulator's own clock starts from; nil is the machine's. Tokens,
	// latencies and Retry-After are always on the machine's.
	Now func() time.Time
	// Logger hears of unknown routes; nil is silence.
	Logger *slog.Logger
}

// Server is a running emulator. It is an http.Handler; Close it to release its directory.
type Server struct {
	cfg      Config
	log      *slog.Logger
	mux      *http.ServeMux
	identity *identity
	scopes   map[string]bool
	tokens   tokenCache
	faults   *faultSet
	store    *store
	quotas   *quotaSet
	postman  postman
	events   eventCounters

	checksums checksums
	published bell
	calls     map[string]*atomic.Int64 // by discovery id; fixed after New
	settings  settings
	zones     sync.Map // name → *time.Location, of those that exist
	lock      *dirlock.Lock
	closed    chan struct{}

	clockChanged bell
	closing      sync.Once
}

// settings are what POST /_emulator/settings changes. They end with the process.
type settings struct {
	conferenceDelay atomic.Int64 // nanoseconds
	conferenceFails atomic.Bool
}

// New opens an emulator, with what an earlier one left in cfg.Dir. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	s := &Server{
		cfg: cfg, log: cfg.Logger, scopes: scopeSet(), faults: newFaultSet(cfg.Seed), quotas: newQuotaSet(),
		checksums: checksums{known: make(map[string]sums)},
		tokens:    tokenCache{grants: make(map[string]*grant)},
		calls:     make(map[string]*atomic.Int64), closed: make(chan struct{}),
	}
	s.postman.closed, s.postman.client = s.closed, &http.Client{
		Transport: &http.Transport{IdleConnTimeout: idleTimeout}, Timeout: deliveryTimeout,
	}
	s.postman.failed = func(address string, err error) { s.log.Warn("notice not delivered", "address", address, "error", err) }
	s.settings.conferenceDelay.Store(int64(cfg.ConferenceDelay))
	if cfg.Dir != "" {
		lock, err := dirlock.Acquire(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("emulator's folder: %w", err)
		}
		s.lock = lock
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.mux = s.routes()
	return s, nil
}

func (s *Server) open() error {
	var err error
	if s.identity, err = loadIdentity(s.cfg.Dir); err != nil {
		return err
	}
	if s.store, err = openStore(s.cfg.Dir, s.cfg.Now()); err != nil {
		return err
	}
	for _, user := range s.cfg.Users {
		if _, err := s.store.knowUser(strings.ToLower(user), true); err != nil {
			return err
		}
	}
	return nil
}

// Close writes nothing more, wakes requests that a latency holds, and releases the directory.
func (s *Server) Close() error {
	var errs []error
	s.closing.Do(func() {
		s.postman.mu.Lock() // no delivery begins once closed is seen
		close(s.closed)
		s.postman.mu.Unlock()
		s.postman.ended.Wait()
		s.postman.client.CloseIdleConnections()
		if s.store != nil {
			errs = append(errs, s.store.close())
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Release())
		}
	})
	return errors.Join(errs...)
}

// Serve answers on ln until ctx ends, then lets requests under way finish for a few seconds. It
// closes ln and returns nil after a clean end. The Server itself stays open.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the emulator: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := hs.Shutdown(stop)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop the emulator: %w", err), hs.Close())
	}
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// routes lays out every surface. Each has a file of its own.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	unknown := &route{dialect: platform, handle: (*Server).unknownRoute}
	// A method such as {name}:pull shares its pattern with others: ServeMux knows whole segments only.
	type verbs map[string]*route
	patterns := make(map[string]verbs)
	for _, rt := range allRoutes() {
		s.calls[rt.id] = new(atomic.Int64)
		pattern := rt.method + " " + rt.pattern
		if patterns[pattern] == nil {
			patterns[pattern] = make(verbs)
		}
		patterns[pattern][rt.verb] = rt
	}
	for pattern, of := range patterns {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			verb := ""
			if name, after, found := cutLast(r.URL.Path, ":"); found && !strings.Contains(after, "/") {
				for known := range of {
					if known == ":"+after && known != "" {
						verb = known
						_, id, _ := cutLast(name, "/")
						r.SetPathValue(wildcard(pattern), id)
					}
				}
			}
			rt := of[verb]
			if rt == nil {
				s.serveRoute(unknown, w, r)
				return
			}
			s.calls[rt.id].Add(1)
			s.serveRoute(rt, w, r)
		})
	}
	s.calls[mediaCalls] = new(atomic.Int64)
	s.controlRoutes(mux)
	s.pageRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.serveRoute(unknown, w, r) })
	return mux
}

// allRoutes are all methods of all surfaces.
func allRoutes() []*route {
	return slices.Concat(tokenRoutes(), calendarRoutes(), meetRoutes(), memberRoutes(), recordRoutes(), driveRoutes(),
		eventsRoutes(), pubsubRoutes(), directoryRoutes(), userinfoRoutes())
}

// wildcard is the name of a pattern's last segment.
func wildcard(pattern string) string {
	_, name, _ := cutLast(pattern, "{")
	return strings.TrimSuffix(name, "}")
}

// ServeHTTP answers as Google would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Emulator", "1")
	s.mux.ServeHTTP(w, r)
}

func (s *Server) unknownRoute(c *call) (answer, error) {
	s.log.WarnContext(c.r.Context(), "unknown route", "method", c.r.Method, "path", c.r.URL.Path)
	return answer{}, &apiError{status: http.StatusNotFound, message: "Method not found."}
}

// zone finds a time zone by its IANA name.
func (s *Server) zone(name string) (*time.Location, bool) {
	if known, ok := s.zones.Load(name); ok {
		return known.(*time.Location), true
	}
	if name == "" || name == "Local" {
		return nil, false
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, false
	}
	s.zones.Store(name, loc)
	return loc, true
}
