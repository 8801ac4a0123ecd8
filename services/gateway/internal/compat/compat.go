// Package compat is the REST surface under /api/v1 that hospitals' and clinics' backends have always spoken: the paths, field
// names, statuses and error bodies of the Django application that came before, byte for byte, and what was added since. It
// decides nothing: it reads a request, asks the backend, and shows the answer. The OpenAPI document is made from the same
// tables that route and read the requests.
package compat

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// Config of the REST surface.
type Config struct {
	Debug             bool          `env:"DEBUG" envDefault:"False" help:"development: info/ says so"`
	SecretKey         config.Secret `env:"SECRET_KEY" help:"any long random text, the same for every gateway; tells a repeat of a password change from another one under the same Idempotency-Key; absent: a random one for each process, so such a repeat after a restart is a 422"`
	TimeZone          string        `env:"MEET_TIME_ZONE" envDefault:"America/Bogota" help:"IANA time zone of a meeting that names none"`
	AutoRecordDefault bool          `env:"MEET_AUTO_RECORD_DEFAULT" envDefault:"True" help:"whether a meeting that does not say is recorded"`
	PublicURL         string        `env:"MEET_PUBLIC_URL" help:"address that clients reach this service at, such as https://meet.clinic.example; absent: the one that the request was sent to"`
}

// Check refuses a time zone that is not known.
func (c Config) Check() error {
	if !knownZone(c.TimeZone) {
		return config.Bad("MEET_TIME_ZONE", fmt.Sprintf("%q is not a known time zone", c.TimeZone), "use an IANA name such as America/Bogota")
	}
	return nil
}

// Build is what this program says of itself.
type Build struct {
	Version string
	Commit  string
	// AuthMode is who may call: open or keys.
	AuthMode string
}

// API is the REST surface.
type API struct {
	config    Config
	build     Build
	backend   *backend.Backend
	log       *slog.Logger
	secret    []byte
	passwords *passwords
	notices   notices
	zones     sync.Map // names of time zones that are known

	creates *form[*meetv1.CreateMeetingRequest]
	changes *form[*patch]
	users   userForms
	shares  *form[*meetv1.ShareRecordingRequest]
	holds   *form[*meetv1.SetLegalHoldRequest]

	signing   SignIn
	newKeys   *form[*meetv1.CreateKeyRequest]
	rotations *form[*meetv1.RotateKeyRequest]
	erasures  *form[*meetv1.ErasePersonRequest]

	router    *chi.Mux
	optionsAt map[string]struct{} // paths that answer OPTIONS
	api       huma.API
	schema    schema
}

// New makes the surface. It panics when its tables and the .proto disagree, which any test finds.
func New(c Config, build Build, b *backend.Backend, signing SignIn, log *slog.Logger) (*API, error) {
	validator, err := protovalidate.New(protovalidate.WithMessages(
		&meetv1.CreateMeetingRequest{}, &meetv1.UpdateMeetingRequest{}, &meetv1.CreateUserRequest{}, &meetv1.UpdateUserRequest{},
		&meetv1.ShareRecordingRequest{}, &meetv1.SetLegalHoldRequest{}, &meetv1.CreateKeyRequest{}, &meetv1.RotateKeyRequest{}, &meetv1.ErasePersonRequest{},
	))
	if err != nil {
		return nil, fmt.Errorf("compile the rules of requests: %w", err)
	}
	secret := []byte(c.SecretKey.Reveal())
	if len(secret) == 0 {
		secret = make([]byte, 32)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("make a secret: %w", err)
		}
	}
	common, err := newPasswords()
	if err != nil {
		return nil, err
	}
	a := &API{config: c, build: build, backend: b, log: log, secret: secret, passwords: common, notices: newNotices(), signing: signing}
	a.creates = newForm(validator, new(meetv1.CreateMeetingRequest).ProtoReflect().Descriptor(), a.createFields())
	a.changes = newForm(patchValidator{validator}, new(meetv1.UpdateMeetingRequest).ProtoReflect().Descriptor(), a.patchFields())
	a.users = newUserForms(validator)
	a.shares = newForm(validator, new(meetv1.ShareRecordingRequest).ProtoReflect().Descriptor(), shareFields())
	a.holds = newForm(validator, new(meetv1.SetLegalHoldRequest).ProtoReflect().Descriptor(), holdFields())
	a.newKeys = newForm(validator, new(meetv1.CreateKeyRequest).ProtoReflect().Descriptor(), newKeyFields())
	a.rotations = newForm(validator, new(meetv1.RotateKeyRequest).ProtoReflect().Descriptor(), rotateKeyFields())
	a.erasures = newForm(validator, new(meetv1.ErasePersonRequest).ProtoReflect().Descriptor(), personFields())

	a.router, a.optionsAt = chi.NewMux(), make(map[string]struct{})
	a.api = humachi.New(a.router, huma.Config{OpenAPI: a.openAPI(), NoFormatFallback: true})
	a.routes()
	if err := a.finishSchema(); err != nil {
		return nil, err
	}
	a.router.NotFound(a.notFound)
	a.router.MethodNotAllowed(a.methodNotAllowed)
	return a, nil
}

// ServeHTTP serves every path of this surface and answers 404 on any other.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.router.ServeHTTP(w, r) }

// Routes are the first segments under /api/v1/ that something is served at.
func (a *API) Routes() []string {
	found := map[string]struct{}{}
	for path := range a.api.OpenAPI().Paths {
		if segment, _, _ := strings.Cut(strings.TrimPrefix(path, base), "/"); segment != "" {
			found[segment] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Served is one method of one path, and who may call it.
type Served struct {
	Method, Path string
	// Actions of pkg/access that a caller must be allowed, all of them; Admin: he must be one, too.
	Actions []string
	Admin   bool
	// Anyone: nothing is asked. Page: it is for people, and not in the document.
	Anyone, Page bool
}

// Table is every method of every path that is served, HEAD and OPTIONS aside.
func (a *API) Table() ([]Served, error) {
	ids := map[string]string{}
	for path, item := range a.api.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
		} {
			if op != nil {
				ids[method+" "+path] = op.OperationID
			}
		}
	}
	var all []Served
	err := chi.Walk(a.router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == http.MethodHead || method == http.MethodOptions {
			return nil
		}
		path = strings.ReplaceAll(path, "{id:[0-9]+}", "{id}")
		served := Served{Method: method, Path: path, Anyone: true, Page: true}
		if id, documented := ids[method+" "+path]; documented {
			n := needsOf(id)
			served = Served{Method: method, Path: path, Actions: n.actions, Admin: n.admin, Anyone: n.anyone}
		}
		all = append(all, served)
		return nil
	})
	return all, err
}

// zone tells whether name is a known time zone; those found are remembered, there are a few hundred of them.
func (a *API) zone(name string) bool {
	if _, known := a.zones.Load(name); known {
		return true
	}
	if !knownZone(name) {
		return false
	}
	a.zones.Store(name, struct{}{})
	return true
}

func knownZone(name string) bool {
	if name == "" || name == "Local" {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}
