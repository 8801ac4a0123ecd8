package compat

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"net/http"
	"runtime"
	"time"
)

// root is what the entry answers.
type root struct {
	Message       string        `json:"message"`
	Version       string        `json:"version"`
	Endpoints     endpoints     `json:"endpoints"`
	Documentation documentation `json:"documentation"`
}

type endpoints struct {
	Health         string `json:"health"`
	Info           string `json:"info"`
	Docs           string `json:"docs"`
	Meetings       string `json:"meetings"`
	Users          string `json:"users"`
	Recordings     string `json:"recordings"`
	Participants   string `json:"participants"`
	UserManagement string `json:"user-management"`
	Schema         string `json:"schema"`
	Jobs           string `json:"jobs"`
	Keys           string `json:"api-keys"`
	Audit          string `json:"audit"`
	SignIn         string `json:"auth"`
}

type documentation struct {
	Swagger string `json:"swagger"`
	Redoc   string `json:"redoc"`
	Schema  string `json:"schema"`
}

// version is the program's, for whoever has shown a credential: others need not know which faults it has.
func (x *exchange) version() string {
	if x.principal().Role == "" {
		return ""
	}
	return x.api.build.Version
}

func (a *API) root(x *exchange) error {
	x.write(http.StatusOK, root{
		Message: x.say(saidWelcome), Version: x.version(),
		Endpoints: endpoints{
			Health: base + "health/", Info: base + "info/", Docs: base + "docs/", Meetings: base + "meetings/", Users: base + "users/",
			Recordings: base + "recordings/", Participants: base + "participants/", UserManagement: base + "user-management/",
			Schema: base + "schema/", Jobs: base + "jobs/", Keys: base + "api-keys/", Audit: base + "audit/", SignIn: base + "auth/whoami/",
		},
		Documentation: documentation{Swagger: base + "docs/", Redoc: base + "redoc/", Schema: base + "schema/"},
	})
	return nil
}

// health is what can be reached.
type health struct {
	Status   string `json:"status" enum:"ok,degraded"`
	API      string `json:"api" enum:"running"`
	Database string `json:"database" enum:"connected,disconnected,unknown" doc:"Unknown when the broker is the one that is down."`
	Broker   string `json:"broker" enum:"connected,disconnected"`
	Google   string `json:"google" enum:"unknown,degraded" doc:"Degraded: calls to Google fail; creates answer 202 and go on once it is back. Unknown: no failure is known; nobody asks Google for the sake of this answer."`
}

// healthWait bounds the answer: clients give up after 2 s.
const healthWait = time.Second

func (a *API) health(x *exchange) error {
	ctx, cancel := context.WithTimeout(x.r.Context(), healthWait)
	defer cancel()
	found := a.backend.CheckHealth(ctx)
	body := health{Status: "ok", API: "running", Database: "connected", Broker: "connected", Google: "unknown"}
	if found.GoogleDown {
		body.Google = "degraded" // what is asked is kept and done later, so the service is well
	}
	status := http.StatusOK
	switch {
	case !found.Broker:
		body.Status, body.Broker, body.Database = "degraded", "disconnected", "unknown"
	case !found.Database:
		body.Status, body.Database = "degraded", "disconnected"
	}
	if body.Status != "ok" {
		status = http.StatusServiceUnavailable
		x.w.Header().Set("Retry-After", retryUnavailable)
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(status, body)
	return nil
}

// info is what the service says of itself.
type info struct {
	Project     string `json:"project"`
	Description string `json:"description"`
	Version     string `json:"version"`
	Environment string `json:"environment" enum:"development,production"`
	DebugMode   bool   `json:"debug_mode"`
	APIBaseURL  string `json:"api_base_url" format:"uri"`
	DocsURL     string `json:"docs_url" format:"uri"`
	GoVersion   string `json:"go_version"`
	Commit      string `json:"commit"`
	AuthMode    string `json:"auth_mode" enum:"open,keys" doc:"open: everybody who can reach the service is an admin."`
}

func (a *API) info(x *exchange) error {
	environment := "production"
	if a.config.Debug {
		environment = "development"
	}
	address := a.address(x.r)
	x.write(http.StatusOK, info{
		Project: "Meet Middleware", Description: x.say(saidProject), Version: a.build.Version, Environment: environment, DebugMode: a.config.Debug,
		APIBaseURL: address + base, DocsURL: address + base + "docs/", GoVersion: runtime.Version(), Commit: a.build.Commit, AuthMode: a.build.AuthMode,
	})
	return nil
}

// address is where clients reach this service, without a slash at the end.
func (a *API) address(r *http.Request) string {
	if a.config.PublicURL != "" {
		return string(bytes.TrimRight([]byte(a.config.PublicURL), "/"))
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

//go:embed pages
var pageFiles embed.FS

// pages are the HTML pages; parsed once, with the program.
var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// page is what the pages are filled with.
type page struct {
	Spanish bool
	Base    string
}

// policy lets a page load what this service serves and nothing else. Swagger UI and ReDoc write style attributes and draw
// from data: addresses; ReDoc searches in a worker made from a blob.
const policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

func (x *exchange) page(name string) error {
	return x.html(http.StatusOK, name, policy, page{Spanish: x.language() == Spanish, Base: base})
}

// html answers with a page.
func (x *exchange) html(status int, name, policy string, data any) error {
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, name, data); err != nil {
		return err
	}
	header := x.w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin") // with none at all older browsers do not say which page a form is of
	header.Set("Cache-Control", "no-store")
	x.bytes(status, buf.Bytes())
	return nil
}
