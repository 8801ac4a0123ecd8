package compat

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	swaggerFiles "github.com/swaggo/files/v2"
)

//go:embed assets/docs assets/redoc assets/site
var assets embed.FS

// document is content that does not change while the program runs.
type document struct {
	content []byte
	etag    string
}

// schema is the OpenAPI document in both notations.
type schema struct{ json, yaml document }

// apiVersion is that of this surface, not of the program: it rises when clients have to know.
const apiVersion = "1.0.0"

func (a *API) openAPI() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Meet Middleware", Version: apiVersion,
			Description: "Google Meet sessions on request, joined by the right people, recorded and provable.\n\n" +
				"Times are RFC 3339 in UTC. Sentences in answers are Spanish, or English for `Accept-Language: en`. " +
				"A path without its slash is redirected (308) to the one with it. HEAD and OPTIONS work on every path.",
		},
		Servers: []*huma.Server{{URL: "/"}},
		Tags: []*huma.Tag{
			{Name: tagMeetings},
			{Name: tagParticipants},
			{Name: tagRecordings},
			{Name: tagJobs},
			{Name: tagUsers},
			{Name: tagManagement},
			{Name: tagAccess},
			{Name: tagAudit},
			{Name: tagPrivacy},
			{Name: tagService},
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "An API key, or a token of a configured issuer. Not needed in open mode."},
				"key":    {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key."},
			},
		},
		Security: []map[string][]string{{"bearer": {}}, {"key": {}}, {}},
	}
}

// responseNames are the error answers that routes share.
var responseNames = map[int]string{
	http.StatusBadRequest:            "BadRequest",
	http.StatusUnauthorized:          "Unauthorized",
	http.StatusForbidden:             "Forbidden",
	http.StatusNotFound:              "NotFound",
	http.StatusConflict:              "Conflict",
	http.StatusPreconditionFailed:    "PreconditionFailed",
	http.StatusRequestEntityTooLarge: "BodyTooLarge",
	http.StatusUnsupportedMediaType:  "UnsupportedMediaType",
	http.StatusUnprocessableEntity:   "KeyReused",
	http.StatusTooManyRequests:       "TooManyRequests",
	http.StatusInternalServerError:   "InternalError",
	http.StatusBadGateway:            "RefusedByGoogle",
	http.StatusServiceUnavailable:    "Unavailable",
}

// describeErrors puts the error answers and their shapes into the document.
func (a *API) describeErrors() {
	schemas := a.api.OpenAPI().Components.Schemas.Map()
	texts := &huma.Schema{Type: huma.TypeArray, Items: stringSchema("")}
	named := func(name string, s *huma.Schema) *huma.Schema {
		schemas[name] = s
		return &huma.Schema{Ref: "#/components/schemas/" + name}
	}
	fields := named("FieldErrors", &huma.Schema{
		Type:        huma.TypeObject,
		Description: "Messages by field; those of no single field under `non_field_errors`. What is wrong with an item of a list stands under its index.",
		AdditionalProperties: &huma.Schema{OneOf: []*huma.Schema{
			texts, {Ref: "#/components/schemas/FieldErrors"},
		}},
	})
	detail := named("Detail", &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{"detail": stringSchema("")}, Required: []string{"detail"},
	})
	problem, refused := schemaOf[problemBody](a), schemaOf[refusedBody](a)
	either := &huma.Schema{OneOf: []*huma.Schema{fields, detail}}
	responses := map[string]*huma.Response{}
	describe := func(status int, doc, media string, schema *huma.Schema, headers ...string) {
		responses[responseNames[status]] = answer{status: status, doc: doc, schema: schema, media: media, headers: headers}.response()
	}
	const plain, problems = "application/json", "application/problem+json"
	describe(http.StatusBadRequest, "A field is wrong, or the body is no JSON.", plain, either)
	describe(http.StatusUnauthorized, "No or bad credentials.", plain, detail, "WWW-Authenticate")
	describe(http.StatusForbidden, "Not allowed.", plain, detail)
	describe(http.StatusNotFound, "There is no such thing.", plain, detail)
	describe(http.StatusConflict, "The first request with this Idempotency-Key is not committed yet.", problems, problem, "Retry-After")
	describe(http.StatusPreconditionFailed, "If-Match names another version than the current one, which ETag carries.", plain, detail, "ETag")
	describe(http.StatusRequestEntityTooLarge, "The body is larger than 1 MiB.", plain, detail)
	describe(http.StatusUnsupportedMediaType, "The body is not JSON.", plain, detail)
	describe(http.StatusUnprocessableEntity, "This Idempotency-Key was used with another body.", problems, problem)
	describe(http.StatusTooManyRequests, "Too many requests.", plain, detail, "Retry-After", "RateLimit", "RateLimit-Policy")
	describe(http.StatusInternalServerError, "A fault of the server.", plain, detail)
	describe(http.StatusBadGateway, "Google refused for good; the meeting exists without a link.", plain, refused, "Location", "Idempotency-Replayed")
	describe(http.StatusServiceUnavailable, "Something that is needed is down; the same request is fine later.", plain, detail, "Retry-After")
	a.api.OpenAPI().Components.Responses = responses
}

// nullable lets a reference be null, which a schema made from a struct can't say.
func (a *API) nullable(schema, property string) {
	properties := a.api.OpenAPI().Components.Schemas.Map()[schema].Properties
	properties[property] = &huma.Schema{AnyOf: []*huma.Schema{{Ref: properties[property].Ref}, {Type: "null"}}}
}

// finishSchema renders the document once all routes are known.
func (a *API) finishSchema() error {
	a.describeErrors()
	a.nullable("MeetingDetail", "recording")
	a.nullable("Operation", "error")
	a.nullable("Recording", "export_error")
	for _, s := range a.api.OpenAPI().Components.Schemas.Map() {
		if s.AdditionalProperties == false { // answers may grow
			s.AdditionalProperties = nil
		}
	}
	asJSON, err := json.Marshal(a.api.OpenAPI())
	if err != nil {
		return fmt.Errorf("render the OpenAPI document: %w", err)
	}
	asYAML, err := a.api.OpenAPI().YAML()
	if err != nil {
		return fmt.Errorf("render the OpenAPI document as YAML: %w", err)
	}
	a.schema = schema{json: document{asJSON, etagOf(asJSON)}, yaml: document{asYAML, etagOf(asYAML)}}
	return nil
}

func etagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return strconv.Quote(hex.EncodeToString(sum[:12]))
}

func (a *API) getSchema(x *exchange) error {
	content, media := a.schema.json, "application/json"
	switch f := x.r.URL.Query().Get("format"); f {
	case "", "json":
	case "yaml":
		content, media = a.schema.yaml, "application/yaml"
	default:
		return refuse(http.StatusNotFound, notFound)
	}
	x.static(content, media)
	return nil
}

// static answers with a document, or that the caller has it already.
func (x *exchange) static(d document, media string) {
	header := x.w.Header()
	header.Set("ETag", d.etag)
	header.Set("Cache-Control", "no-cache")
	if x.notModified(d.etag) {
		x.w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", media)
	header.Set("X-Content-Type-Options", "nosniff")
	x.bytes(http.StatusOK, d.content)
}

func (x *exchange) bytes(status int, content []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(content) // the client is gone: nobody to tell
	}
}

// asset is one file of the documentation pages: where it is served, which file system it is in, its name there.
type asset struct {
	path  string
	files fs.FS
	name  string
}

// documentationAssets are the files that the two pages load, each by name: nothing else of the libraries is served.
var documentationAssets = []asset{
	{"docs/swagger-ui.css", swaggerFiles.FS, "swagger-ui.css"},
	{"docs/swagger-ui-bundle.js", swaggerFiles.FS, "swagger-ui-bundle.js"},
	{"docs/favicon-32x32.png", swaggerFiles.FS, "favicon-32x32.png"},
	{"docs/start.js", assets, "assets/docs/start.js"},
	{"redoc/redoc.standalone.js", assets, "assets/redoc/redoc.standalone.js"},
	{"redoc/redoc.css", assets, "assets/redoc/redoc.css"},
	{"redoc/start.js", assets, "assets/redoc/start.js"},
	{"/static/site.css", assets, "assets/site/site.css"},
}

// sourceMap is the line of a library's file that would make a browser's tools ask for a file that is not served.
var sourceMap = regexp.MustCompile(`(?m)^/[/*]# sourceMappingURL=.*$`)

// serveAssets routes the files. Each is read when it is first asked for: most programs are never asked.
func (a *API) serveAssets() {
	for _, file := range documentationAssets {
		media := mime.TypeByExtension(path.Ext(file.name))
		read := sync.OnceValues(func() (document, error) {
			content, err := fs.ReadFile(file.files, file.name)
			if err != nil {
				return document{}, fmt.Errorf("read %s: %w", file.name, err)
			}
			content = sourceMap.ReplaceAll(content, nil)
			return document{content, etagOf(content)}, nil
		})
		at := base + file.path
		if file.path[0] == '/' {
			at = file.path
		}
		a.page(at, "File of the documentation pages.", func(w http.ResponseWriter, r *http.Request) {
			x := &exchange{api: a, w: w, r: r}
			content, err := read()
			if err != nil {
				x.refuse(err)
				return
			}
			x.static(content, media)
		})
	}
}

// page routes what is for people and not in the schema.
func (a *API) page(path, summary string, serve http.HandlerFunc) {
	a.router.Get(path, serve)
	a.router.Head(path, serve)
	a.router.Options(path, a.options(route{summary: summary}))
}
