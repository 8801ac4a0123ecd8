package edge

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/logging"
)

const (
	headerRequestID    = "X-Request-Id"
	headerForwardedFor = "X-Forwarded-For"
)

// observer is the outermost handler: it names the request, sees how it ends, and lets no panic out.
type observer struct {
	next    http.Handler
	log     *slog.Logger
	proxies []netip.Prefix
	metrics *metrics
	tracer  trace.Tracer // nil where nothing is traced
	refuse  func(http.ResponseWriter, *http.Request, error)
}

func (o *observer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	o.metrics.inFlight.Inc()
	id := r.Header.Get(headerRequestID)
	if !saneID(id) {
		id = rand.Text()
		r.Header.Set(headerRequestID, id)
	}
	w.Header().Set(headerRequestID, id)
	path := r.URL.Path // whoever routes may change the request's own
	r = r.WithContext(o.trace(logging.With(r.Context(), slog.String(logging.RequestID, id)), r, path))
	r.RemoteAddr = o.caller(r)
	seen := &response{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			defer o.finish(r, path, seen, begin)
			if p == http.ErrAbortHandler { //nolint:errorlint // the value itself is what net/http knows
				seen.status = statusAborted
				panic(p)
			}
			err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			if seen.status != 0 { // half an answer is out: the client must see that the rest is missing
				o.log.ErrorContext(r.Context(), "answer cut off", "path", path, "error", err)
				panic(http.ErrAbortHandler)
			}
			o.refuse(seen, r, err)
			return
		}
		o.finish(r, path, seen, begin)
	}()
	o.next.ServeHTTP(seen, r)
}

// statusAborted stands for an answer that was cut off; nginx's number for it.
const statusAborted = 499

func (o *observer) finish(r *http.Request, path string, seen *response, begin time.Time) {
	took := time.Since(begin)
	status := seen.status
	if status == 0 {
		status = http.StatusOK
	}
	o.metrics.observe(path, status, took)
	o.traced(r, status)
	level := slog.LevelDebug
	if status >= http.StatusBadRequest {
		level = slog.LevelInfo
	}
	ctx := r.Context()
	if !o.log.Enabled(ctx, level) {
		return
	}
	// No query and no body: both may hold what only the caller may know.
	o.log.LogAttrs(ctx, level, "request", slog.String("method", r.Method), slog.String("path", path), slog.Int("status", status),
		slog.Int64("bytes", seen.bytes), slog.Duration("took", took), slog.String("remote_addr", r.RemoteAddr), slog.String("protocol", r.Proto))
}

// saneID tells whether a caller's request id may go into logs, headers and audit rows as it is.
func saneID(id string) bool {
	const limit = 128
	if id == "" || len(id) > limit {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.:/+=@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// caller is the address that the request comes from: the connection's, or, behind proxies that are trusted, the last one in
// X-Forwarded-For that is no such proxy. X-Forwarded-… of anybody else is removed.
func (o *observer) caller(r *http.Request) string {
	forwarded := r.Header[headerForwardedFor]
	trusted := len(o.proxies) > 0 && o.trusts(hostOf(r.RemoteAddr))
	if !trusted {
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" {
				delete(r.Header, name)
			}
		}
		return r.RemoteAddr
	}
	addr := r.RemoteAddr
	for i := len(forwarded) - 1; i >= 0; i-- {
		hops := strings.Split(forwarded[i], ",")
		for j := len(hops) - 1; j >= 0; j-- {
			ip, err := netip.ParseAddr(hostOf(strings.TrimSpace(hops[j])))
			if err != nil {
				return addr // what stands before it was written by somebody unknown
			}
			addr = ip.Unmap().WithZone("").String()
			if !o.trusts(addr) {
				return addr
			}
		}
	}
	return addr
}

// hostOf is an address without its port and brackets.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.Trim(addr, "[]")
}

func (o *observer) trusts(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, proxy := range o.proxies {
		if proxy.Contains(ip) {
			return true
		}
	}
	return false
}

func parseProxies(texts []string) ([]netip.Prefix, error) {
	proxies := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if ip, err := netip.ParseAddr(text); err == nil {
			proxies = append(proxies, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a network", text)
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

// response remembers status and size.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) { // others may come before it
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush is for streams.
func (w *response) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap is for [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
