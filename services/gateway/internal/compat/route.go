package compat

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
)

// base is where everything lives that clients have always known.
const base = "/api/v1/"

// route is one operation: how it is found, documented and served.
type route struct {
	id, method, path, tag string
	summary, description  string
	params                []*huma.Param
	body                  *huma.Schema
	optionalBody          bool
	answers               []answer
	refusals              []int // statuses of the errors that only some routes have
	serve                 func(*exchange) error
}

// answer is one good answer of a route.
type answer struct {
	status  int
	doc     string
	schema  *huma.Schema
	headers []string
	media   string // application/json when empty
}

// commandParams are the headers that every change takes.
var commandParams = []string{"Idempotency-Key"}

// add routes r, on HEAD as well where it is a GET, and puts it into the schema.
func (a *API) add(r route) {
	needed := needsOf(r.id)
	op := &huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Tags: []string{r.tag}, Summary: r.summary, Description: r.description,
		Responses: map[string]*huma.Response{},
	}
	for name := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(name, "{"); ok {
			op.Parameters = append(op.Parameters, a.pathParam(r, strings.TrimSuffix(name, "}")))
		}
	}
	op.Parameters = append(op.Parameters, r.params...)
	refusals := []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	if r.tag == tagService {
		refusals = []int{http.StatusInternalServerError}
	}
	if strings.Contains(r.path, "{") {
		refusals = append(refusals, http.StatusNotFound)
	}
	if r.method != http.MethodGet {
		for _, name := range commandParams {
			op.Parameters = append(op.Parameters, requestHeaders[name])
		}
		refusals = append(refusals, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	} else if slices.ContainsFunc(r.params, func(p *huma.Param) bool { return p.In == "query" }) && r.tag != tagService {
		refusals = append(refusals, http.StatusBadRequest)
	}
	switch scopes := needed.scopes(); {
	case needed.anyone:
		op.Security = []map[string][]string{{}}
	case len(scopes) > 0:
		op.Extensions = map[string]any{"x-scopes": scopes}
		refusals = append(refusals, http.StatusForbidden)
	}
	if r.body != nil {
		op.RequestBody = &huma.RequestBody{Required: !r.optionalBody, Content: map[string]*huma.MediaType{"application/json": {Schema: r.body}}}
	}
	for _, good := range r.answers {
		op.Responses[strconv.Itoa(good.status)] = good.response()
	}
	for _, status := range append(refusals, r.refusals...) {
		if key := strconv.Itoa(status); op.Responses[key] == nil {
			op.Responses[key] = &huma.Response{Ref: "#/components/responses/" + responseNames[status]}
		}
	}
	serve := func(ctx huma.Context) {
		req, w := humachi.Unwrap(ctx)
		x := &exchange{api: a, w: w, r: req}
		if err := x.permit(needed); err != nil {
			x.refuse(err)
			return
		}
		if err := r.serve(x); err != nil {
			x.refuse(err)
		}
	}
	a.api.OpenAPI().AddOperation(op)
	routed := *op
	if !textIDs(r.path) { // so that a word in its place is another path
		routed.Path = strings.ReplaceAll(r.path, "{id}", "{id:[0-9]+}")
	}
	a.api.Adapter().Handle(&routed, serve)
	if r.method == http.MethodGet {
		head := routed
		head.Method = http.MethodHead
		a.api.Adapter().Handle(&head, serve)
	}
	if _, there := a.optionsAt[routed.Path]; !there {
		a.optionsAt[routed.Path] = struct{}{}
		a.router.Options(routed.Path, a.options(r))
	}
}

// textIDs tells whether what a path names by {id} may be a word.
func textIDs(path string) bool {
	for _, dir := range []string{"meetings/", "operations/", "jobs/", "api-keys/"} {
		if strings.HasPrefix(path, base+dir) {
			return true
		}
	}
	return false
}

func (a *API) pathParam(r route, name string) *huma.Param {
	p := &huma.Param{Name: name, In: "path", Required: true, Schema: idSchema()}
	switch {
	case name == "participant":
		p.Description = "The participant's number."
	case strings.HasPrefix(r.path, base+"meetings/"):
		p.Schema, p.Description = stringSchema(""), "The meeting's number or uid."
	case strings.HasPrefix(r.path, base+"operations/"):
		p.Schema, p.Description = stringSchema("uuid"), "The operation."
	case strings.HasPrefix(r.path, base+"jobs/"):
		p.Schema, p.Description = stringSchema("uuid"), "The job."
	case strings.HasPrefix(r.path, base+"api-keys/"):
		p.Schema, p.Description = stringSchema(""), "The key's id or prefix."
	}
	return p
}

func (g answer) response() *huma.Response {
	response := &huma.Response{Description: g.doc}
	if g.schema != nil {
		media := g.media
		if media == "" {
			media = "application/json"
		}
		response.Content = map[string]*huma.MediaType{media: {Schema: g.schema}}
	}
	for _, name := range g.headers {
		if response.Headers == nil {
			response.Headers = map[string]*huma.Param{}
		}
		response.Headers[name] = responseHeaders[name]
	}
	return response
}

// requestHeaders are the headers that requests take.
var requestHeaders = map[string]*huma.Param{
	"Idempotency-Key": {
		Name: "Idempotency-Key", In: "header", Schema: keySchema(),
		Description: "Makes a repeat answer what the first request has become, for 24 h; scope: caller, method and path.",
	},
	"Prefer": {Name: "Prefer", In: "header", Schema: stringSchema(""), Description: "`respond-async`: answer 202 at once (RFC 7240)."},
	"If-Match": {
		Name: "If-Match", In: "header", Schema: stringSchema(""),
		Description: "Change only if this is the meeting's current entity tag.",
	},
	"If-None-Match": {Name: "If-None-Match", In: "header", Schema: stringSchema(""), Description: "Answer 304 if this is still the current entity tag."},
}

func keySchema() *huma.Schema {
	least, most := 1, maxKey
	return &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most}
}

// responseHeaders are the headers that answers carry.
var responseHeaders = map[string]*huma.Param{
	"Location":             {Description: "Where the thing is, relative.", Schema: stringSchema("uri-reference")},
	"ETag":                 {Description: "The meeting's entity tag.", Schema: stringSchema("")},
	"Link":                 {Description: `The next page as rel="next", relative; absent on the last one.`, Schema: stringSchema("")},
	"Idempotency-Replayed": {Description: "`true` when an earlier request with the same key had done it.", Schema: stringSchema("")},
	"Preference-Applied":   {Description: "`respond-async` when it was asked for.", Schema: stringSchema("")},
	"RateLimit":            {Description: "What is left of a limit, and in how many seconds it is whole again.", Schema: stringSchema("")},
	"RateLimit-Policy":     {Description: "The limit's size and window in seconds.", Schema: stringSchema("")},
	"Retry-After":          {Description: "Seconds until the same request may be fine.", Schema: &huma.Schema{Type: huma.TypeInteger}},
	"WWW-Authenticate":     {Description: "How to authenticate.", Schema: stringSchema("")},
	"Allow":                {Description: "The methods of this path.", Schema: stringSchema("")},
}

// methods in the order that Allow names them.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

// allowed are the methods of a path; none when nothing is there.
func (a *API) allowed(path string) []string {
	var allowed []string
	for _, method := range methods {
		if a.router.Match(chi.NewRouteContext(), method, path) {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// routePath is the path that chi matches.
func routePath(r *http.Request) string {
	if r.URL.RawPath != "" {
		return r.URL.RawPath
	}
	return r.URL.Path
}

// notFound sends a path without its slash to the one with it, method and body kept, and refuses the rest.
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	if path := routePath(r); !strings.HasSuffix(path, "/") && len(a.allowed(path+"/")) > 0 {
		to := r.URL.EscapedPath() + "/"
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	a.Refuse(w, r, refuse(http.StatusNotFound, notFound))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", strings.Join(a.allowed(routePath(r)), ", "))
	a.Refuse(w, r, refuse(http.StatusMethodNotAllowed, methodNotAllowed, "method", printable(r.Method)))
}

// optionsBody is what a path says of itself, as Django REST Framework did.
type optionsBody struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Renders     []string `json:"renders"`
	Parses      []string `json:"parses"`
}

func (a *API) options(r route) http.HandlerFunc {
	body := optionsBody{Name: r.summary, Description: r.description, Renders: []string{"application/json"}, Parses: []string{"application/json"}}
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Allow", strings.Join(a.allowed(routePath(req)), ", "))
		(&exchange{api: a, w: w, r: req}).write(http.StatusOK, body)
	}
}

// schemaOf is the schema of an answer's type.
func schemaOf[T any](a *API) *huma.Schema {
	t := reflect.TypeFor[T]()
	return a.api.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

func listOf[T any](a *API) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: schemaOf[T](a)}
}

// bodySchema is the schema of a form, named in the document.
func bodySchema[T any](a *API, name string, fields []field[T]) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: make(map[string]*huma.Schema, len(fields)), AdditionalProperties: true}
	for i := range fields {
		property := fields[i].schema
		property.Description = fields[i].doc
		s.Properties[fields[i].name] = &property
		if fields[i].required {
			s.Required = append(s.Required, fields[i].name)
		}
	}
	a.api.OpenAPI().Components.Schemas.Map()[name] = s
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}
