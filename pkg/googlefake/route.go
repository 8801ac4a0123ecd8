package googlefake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// route is one method of one Google API.
type route struct {
	id      string // of the discovery document, and the name of its counter
	method  string
	pattern string // of http.ServeMux
	verb    string // ":pull" of /…/{name}:pull, otherwise ""
	dialect dialect
	scopes  []string // any of them will do; nil needs no token
	service string   // in an ErrorInfo, for example meet.googleapis.com
	quota   string   // class of its quota, "" for none
	rpc     string   // the method's gRPC name, in an ErrorInfo
	params  []string // query parameters that reach handle; Google's global ones do not
	handle  func(*Server, *call) (answer, error)
}

// call is one request to a route.
type call struct {
	r    *http.Request
	body []byte
	who  *grant     // nil on the token endpoint
	base string     // the emulator's address as the client knows it, without a slash at the end
	form url.Values // the query, as far as the route takes it
}

// answer is what a route says when it does not refuse.
type answer struct {
	status int
	body   []byte // nil only where Google sends none
	etag   string
	fields string                    // what is answered when fields is not asked for; "" is all
	stream func(http.ResponseWriter) // instead of a body
}

func (s *Server) base(r *http.Request) string {
	if s.cfg.BaseURL != "" {
		return s.cfg.BaseURL
	}
	return hostOf(r)
}

// hostOf is the address that a request was sent to.
func hostOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// serveRoute answers one request, faults included. The body is read first: only then does the
// server notice a client that gives up while a latency holds it.
func (s *Server) serveRoute(rt *route, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		s.refuse(w, rt.dialect, &apiError{status: status, reason: "badRequest", message: http.StatusText(status)})
		return
	}
	p := s.faults.plan(r.Method, r.URL.Path, func() string { return s.subjectOf(r, body) })
	if p.cut > 0 {
		w = &cutWriter{ResponseWriter: w, left: p.cut}
	}
	if p.speed > 0 {
		w = &slowWriter{ResponseWriter: w, speed: p.speed, pause: func(d time.Duration) bool { return s.pause(r.Context(), d) }}
	}
	if !s.pause(r.Context(), p.before) {
		return
	}
	if p.strike != nil && p.strike.When != After {
		s.strike(w, rt, p.strike)
		return
	}
	a, err := answer{}, s.progress()
	if err == nil {
		a, err = s.work(rt, r, body)
	}
	if !s.pause(r.Context(), p.after) {
		return
	}
	if p.strike != nil {
		s.strike(w, rt, p.strike)
		return
	}
	if err != nil {
		var refusal *apiError
		if !errors.As(err, &refusal) {
			s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			refusal = typical(rt.dialect, http.StatusServiceUnavailable, "", "")
		}
		s.refuse(w, rt.dialect, refusal)
		return
	}
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	if a.stream != nil {
		a.stream(w)
		return
	}
	if fields := r.URL.Query().Get("fields"); a.body != nil && (fields != "" || a.fields != "") {
		if fields == "" {
			fields = a.fields
		}
		tree, good := parseFields(fields)
		if !good {
			s.refuse(w, rt.dialect, &apiError{
				status: http.StatusBadRequest, reason: "invalidParameter", message: "Invalid field selection " + fields,
				location: "fields", locationType: "parameter",
			})
			return
		}
		a.body = selectFields(a.body, tree)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	writeJSON(w, a.status, pretty(r, a.body))
}

// subjectOf is in whose name a request is made, as far as can be told before it is checked.
func (s *Server) subjectOf(r *http.Request, body []byte) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if g := s.identity.open(token); g != nil {
			return g.Subject
		}
		return ""
	}
	form, _ := url.ParseQuery(string(body)) // what is no form has no assertion
	if parts := strings.Split(form.Get("assertion"), "."); len(parts) == 3 {
		var claims jwtClaims
		if decodeSegment(parts[1], &claims) == nil {
			return strings.ToLower(claims.Subject)
		}
	}
	return ""
}

// slowWriter lets a body through at a speed, in bytes per second.
type slowWriter struct {
	http.ResponseWriter
	speed int64
	pause func(time.Duration) bool
}

func (w *slowWriter) Write(p []byte) (n int, err error) {
	const slice = 100 * time.Millisecond
	step := int(max(1, w.speed*int64(slice)/int64(time.Second)))
	for len(p) > 0 {
		part := p[:min(step, len(p))]
		m, err := w.ResponseWriter.Write(part)
		if n += m; err != nil {
			return n, err
		}
		if p = p[m:]; len(p) > 0 {
			_ = http.NewResponseController(w.ResponseWriter).Flush() // one that can't need not
			if !w.pause(slice) {
				return n, http.ErrHandlerTimeout
			}
		}
	}
	return n, nil
}

func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (s *Server) work(rt *route, r *http.Request, body []byte) (answer, error) {
	c := &call{r: r, body: body, base: s.base(r), form: make(url.Values)}
	if rt.scopes == nil {
		return rt.handle(s, c)
	}
	var refusal *apiError
	if c.who, refusal = s.authorize(r, rt); refusal != nil {
		return answer{}, refusal
	}
	if refusal = s.quota(rt, c); refusal != nil {
		return answer{}, refusal
	}
	for name, values := range r.URL.Query() {
		switch {
		case slices.Contains(rt.params, name):
			c.form[name] = values
		case rt.dialect == platform && !slices.Contains(platformParams(), name): // Calendar minds nothing
			return answer{}, platformInvalid("", `Invalid JSON payload received. Unknown name "`+name+
				`": Cannot bind query parameter. Field '`+name+`' could not be found in request message.`)
		}
	}
	return rt.handle(s, c)
}

// pause waits in real time and says whether the request is still worth answering.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// strike gives the answer of a fault.
func (s *Server) strike(w http.ResponseWriter, rt *route, f *Fault) {
	if *f.Status == StatusReset {
		reset(w)
		return
	}
	if len(f.Body) == 0 {
		e := typical(rt.dialect, *f.Status, f.Reason, f.Message)
		e.explain(rt)
		e.retryAfter = f.RetryAfter
		s.refuse(w, rt.dialect, e)
		return
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", string(f.RetryAfter))
	}
	var text string
	if json.Unmarshal(f.Body, &text) != nil {
		writeJSON(w, *f.Status, f.Body)
		return
	}
	kind := "text/plain; charset=utf-8"
	if strings.HasPrefix(text, "<") {
		kind = "text/html; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(*f.Status)
	_, _ = io.WriteString(w, text) // a client that is gone needs no answer
}

// reset ends the connection with a TCP reset, so that the client can't tell what was done.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 has only its own way to break off
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it Close sends a FIN; when it fails, that must do
	}
	_ = conn.Close()
}

func (s *Server) refuse(w http.ResponseWriter, d dialect, e *apiError) {
	if e.retryAfter != "" {
		w.Header().Set("Retry-After", string(e.retryAfter))
	}
	if e.status == http.StatusUnauthorized && d != oauth {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/"`)
	}
	if e.status == http.StatusNotModified {
		w.WriteHeader(e.status)
		return
	}
	writeJSON(w, e.status, e.body(d))
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header()["Content-Type"] = []string{"application/json; charset=UTF-8"}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// pretty indents an answer for people: Google's prettyPrint is on unless switched off, as the client
// libraries do.
func pretty(r *http.Request, body []byte) []byte {
	if q := r.URL.RawQuery; strings.Contains(q, "prettyPrint=false") || r.Method == http.MethodPost && r.URL.Path == tokenPath {
		return body
	}
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return body
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// The services of Google's other APIs, as errors name them.
const (
	driveService     = "drive.googleapis.com"
	eventsService    = "workspaceevents.googleapis.com"
	pubsubService    = "pubsub.googleapis.com"
	directoryService = "admin.googleapis.com"
)
