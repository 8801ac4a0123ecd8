package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
	"github.com/rs/cors"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
)

const (
	// maxBody is the largest body in bytes; of a gRPC stream each message has this limit, which the RPC surface keeps.
	maxBody = 1 << 20
	// maxDrain is the largest body that is read to its end although it is refused: a client that is still sending when the
	// connection ends sees a reset in place of the answer.
	maxDrain = 8 << 20
	// compressFrom is where compressing begins to save a packet.
	compressFrom = 1400
)

// ReasonHost is the reason when the Host header names none of ours.
const ReasonHost = "HOST_NOT_ALLOWED"

// limitBody refuses a body above the limit at once where its length is told, and ends its reading there otherwise.
func limitBody(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Body == nil || r.Body == http.NoBody || strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		case r.ContentLength > maxBody:
			if r.ContentLength > maxDrain || r.Header.Get("Expect") != "" {
				w.Header().Set("Connection", "close") // what is still to come is not read
			} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return // the client has gone, or is too slow
			}
			refuse(w, r, &http.MaxBytesError{Limit: maxBody})
			return
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}

// newCompress makes the compression of large answers of the kinds that shrink; a stream of events is none of them.
func newCompress() (func(http.Handler) http.HandlerFunc, error) {
	compress, err := gzhttp.NewWrapper(
		gzhttp.MinSize(compressFrom),
		gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.ContentTypes([]string{
			"application/json", "application/problem+json", "application/yaml", "application/openapi+json", "application/openapi+yaml",
			"text/html", "text/css", "text/javascript", "text/plain", "text/calendar", "application/javascript", "image/svg+xml",
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	return compress, nil
}

// allowOrigins lets pages of these origins call the API. Credentials travel in headers that a page sets itself, so cookies
// are never allowed along.
func allowOrigins(c Config, next http.Handler) http.Handler {
	options := cors.Options{
		AllowedOrigins: c.AllowedOrigins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions},
		AllowedHeaders: []string{
			"Accept", "Accept-Language", "Authorization", "Content-Type", "X-API-Key", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer",
			"Traceparent", "X-Request-Id", "Connect-Protocol-Version", "Connect-Timeout-Ms", "Grpc-Timeout", "X-Grpc-Web", "X-User-Agent",
		},
		ExposedHeaders: []string{
			"ETag", "Idempotency-Replayed", "Link", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After", "Www-Authenticate", "X-Request-Id",
			"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin",
		},
		MaxAge: 600, // seconds
	}
	switch {
	case len(c.AllowedOrigins) > 0:
	case c.Debug:
		options.AllowOriginFunc = localOrigin
	default:
		return next
	}
	return cors.New(options).Handler(next)
}

// trusted tells whose pages may call the API, as [allowOrigins] answers them.
func trusted(c Config) func(origin string) bool {
	if len(c.AllowedOrigins) == 0 {
		return func(origin string) bool { return c.Debug && localOrigin(origin) }
	}
	named := cors.New(cors.Options{AllowedOrigins: c.AllowedOrigins})
	return func(origin string) bool {
		return origin != "" && named.OriginAllowed(&http.Request{Header: http.Header{"Origin": {origin}}})
	}
}

// localOrigin tells whether a page was served from this machine.
func localOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && httpserver.Loopback(u.Host)
}

// checkOrigins refuses what a browser never sends as an origin.
func checkOrigins(origins []string) error {
	var problems []error
	for _, origin := range origins {
		u, err := url.Parse(strings.Replace(origin, "://*.", "://", 1))
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "") {
			problems = append(problems, config.Bad("CORS_ALLOWED_ORIGINS", fmt.Sprintf("%q is no origin", origin), "write scheme and host only, as https://app.example.com, or * for any"))
		}
	}
	return errors.Join(problems...)
}

// hosts are the names that requests may be addressed to. They stop a page of another site whose name was made to point here
// (DNS rebinding) from using what only this machine should reach.
type hosts struct {
	exact    map[string]bool
	suffixes []string // ".example.com"
	any      bool
	// addresses: an IP address passes, since no name was made to point here.
	addresses bool
}

func newHosts(c Config) hosts {
	h := hosts{exact: make(map[string]bool)}
	if len(c.AllowedHosts) == 0 {
		h.addresses = httpserver.Loopback(c.ListenAddr())
		h.any = !h.addresses
	}
	for _, host := range c.AllowedHosts {
		host = strings.ToLower(host)
		switch {
		case host == "*":
			h.any = true
		case strings.HasPrefix(host, "."):
			h.suffixes = append(h.suffixes, host)
			h.exact[host[1:]] = true
		default:
			h.exact[strings.Trim(host, "[]")] = true
		}
	}
	return h
}

func (h hosts) allow(header string) bool {
	if h.any {
		return true
	}
	host := strings.TrimSuffix(strings.ToLower(hostOf(header)), ".")
	if h.exact[host] || httpserver.Loopback(host) || strings.HasSuffix(host, ".localhost") {
		return true
	}
	for _, suffix := range h.suffixes {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	if h.addresses {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return false
}

func (h hosts) middleware(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	if h.any {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.allow(r.Host) {
			refuse(w, r, fault.New(fault.Invalid, ReasonHost, "the Host header names no host of this service; ALLOWED_HOSTS lists them"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
