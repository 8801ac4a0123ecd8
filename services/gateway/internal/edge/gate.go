package edge

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/limit"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/refusals"
)

// Reasons of requests that come too fast.
const (
	ReasonRate   = "RATE_LIMITED"
	ReasonAtOnce = "TOO_MANY_AT_ONCE"
)

// Guards decide who comes in and how often, and have it written down when somebody does not. The last two may be nil: nobody is
// limited, nothing is written down.
type Guards struct {
	Auth     *auth.Auth
	Limits   *limit.Limiter
	Recorder *refusals.Recorder
}

// gate lets in whom it should, as often as he may.
type gate struct {
	Guards
	next     http.Handler
	refuse   func(http.ResponseWriter, *http.Request, error)
	isRPC    func(path string) bool
	limits   bool
	doubtful chan struct{}
}

func newGate(g Guards, surfaces Surfaces, next http.Handler) *gate {
	made := &gate{Guards: g, next: next, refuse: surfaces.refuse, isRPC: surfaces.IsRPC, doubtful: make(chan struct{}, maxDoubtful)}
	made.limits = g.Limits != nil && g.Limits.On(g.Auth.Mode() == auth.Open)
	return made
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := bus.WithOrigin(r.Context(), bus.Origin{RequestID: logging.ID(r.Context(), logging.RequestID), RemoteAddr: r.RemoteAddr})
	address := addressOf(r.RemoteAddr)
	limited := g.limits && !auth.Unlimited(r.URL.Path)
	who, err := g.decide(w, r, limited, address)
	if err != nil {
		if kind := fault.KindOf(err); kind == fault.Unauthenticated || kind == fault.Forbidden {
			if limited {
				if v := g.Limits.Anonymous(ctx, address, 1); !v.OK {
					err = tooFast(w, v)
				}
			}
		}
		g.turnAway(w, r, who, err)
		return
	}
	if limited {
		units := Units(r.Method, r.URL.Path, g.isRPC(r.URL.Path))
		if who.Role == "" {
			if v := g.Limits.Anonymous(ctx, address, units); !v.OK {
				g.turnAway(w, r, who, tooFast(w, v))
				return
			}
		} else {
			v := g.Limits.Principal(ctx, who.Name, units)
			if v.OK {
				if of := g.Limits.Address(ctx, address, units); !of.OK {
					v = of
				}
			}
			if !v.OK {
				g.turnAway(w, r, who, tooFast(w, v))
				return
			}
			say(w.Header(), v)
			leave, ok := g.Limits.Enter(who.Name)
			if !ok {
				g.turnAway(w, r, who, fault.New(fault.Exhausted, ReasonAtOnce, "too many requests of yours are being answered").WithMeta(fault.MetaRetryAfter, "1"))
				return
			}
			defer leave()
		}
	}
	ctx = auth.With(ctx, who)
	if g.Recorder == nil {
		g.next.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	var attempt auth.Attempt
	method, path := r.Method, r.URL.Path // whoever routes may change the request's own
	g.next.ServeHTTP(w, r.WithContext(auth.WithAttempt(ctx, &attempt)))
	if attempt.Reason != "" {
		g.record(r, method, path, who, attempt.Reason)
	}
}

// maxDoubtful is how many requests are looked at at once whose address has shown too much that was wrong.
const maxDoubtful = 4

// decide is who sends r. From an address that has shown too much that was wrong only a few are looked at at once: others may call from
// there, too.
func (g *gate) decide(w http.ResponseWriter, r *http.Request, limited bool, address string) (bus.Principal, error) {
	if limited {
		if v, blocked := g.Limits.Blocked(address); blocked {
			select {
			case g.doubtful <- struct{}{}:
				defer func() { <-g.doubtful }()
			default:
				return bus.Principal{}, tooFast(w, v)
			}
		}
	}
	return g.Auth.Decide(r)
}

// turnAway refuses, and has it written down where it was the caller who was wrong.
func (g *gate) turnAway(w http.ResponseWriter, r *http.Request, who bus.Principal, err error) {
	f := fault.Of(err)
	if g.Recorder != nil && (f.Kind == fault.Unauthenticated || f.Kind == fault.Forbidden || f.Kind == fault.Exhausted) {
		g.record(r, r.Method, r.URL.Path, who, f.Reason)
	}
	g.refuse(w, r, err)
}

// maxAction bounds what is written down of a path.
const maxAction = 200

func (g *gate) record(r *http.Request, method, path string, who bus.Principal, reason string) {
	action := method + " " + path
	if g.isRPC(path) {
		action = strings.TrimPrefix(path, "/")
	}
	if len(action) > maxAction {
		action = action[:maxAction]
	}
	g.Recorder.Add(refusals.Attempt{
		Principal: who.Name, Credential: who.Mode, Action: strings.ToValidUTF8(action, "\uFFFD"), RequestID: logging.ID(r.Context(), logging.RequestID),
		RemoteAddr: r.RemoteAddr, Reason: reason,
	})
}

// tooFast is the refusal of a request that came too fast; its headers say when to come again.
func tooFast(w http.ResponseWriter, v limit.Verdict) error {
	say(w.Header(), v)
	return fault.New(fault.Exhausted, ReasonRate, "too many requests; the limit is named in RateLimit-Policy").WithMeta(fault.MetaRetryAfter, strconv.Itoa(v.Retry))
}

// say tells a caller of his limit (draft-ietf-httpapi-ratelimit-headers-10): how much there is in which time, and how much is left.
func say(h http.Header, v limit.Verdict) {
	b := make([]byte, 0, 48)
	b = append(b, '"')
	b = append(b, v.Policy.Name...)
	b = append(b, `";r=`...)
	b = strconv.AppendInt(b, int64(v.Remaining), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, int64(v.Reset), 10)
	h["Ratelimit-Policy"] = v.Policy.Header
	h["Ratelimit"] = []string{string(b)}
}

// addressOf is what of a caller's address is counted: the whole of IPv4, the network of IPv6, of which one host has them all.
func addressOf(remote string) string {
	host := hostOf(remote)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}

// What requests cost, in units.
const (
	unitsRead   = 1
	unitsChange = 2
	unitsDear   = 10
	unitsWhole  = 50 // asks for work on everything there is
)

// Units is what a request costs.
func Units(method, path string, rpc bool) int {
	if rpc {
		_, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		switch name {
		case "Diagnose", "VerifyAudit", "ExportPerson", "ErasePerson", "SyncAllRecordings":
			return unitsWhole
		case "GetTranscript", "ListAudit":
			return unitsDear
		}
		if strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Lookup") {
			return unitsRead
		}
		return unitsChange
	}
	rest := strings.TrimPrefix(path, apiPrefix)
	switch {
	case rest == "setup/", strings.HasPrefix(rest, "privacy/"), rest == "audit/verify/", rest == "recordings/sync_all/":
		return unitsWhole
	case strings.HasPrefix(rest, "audit/"), strings.HasSuffix(rest, "/transcript/"):
		return unitsDear
	case method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions:
		return unitsRead
	}
	return unitsChange
}

// What browsers are told with every answer. A page that needs more than nothing says so itself.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	nothing    = []string{"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}
	deny       = []string{"DENY"}
	sameOrigin = []string{"same-origin"}
	onlyTLS    = []string{"max-age=31536000"} // a year, seconds
)

// harden says what browsers may not do with an answer.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = noSniff
		h["Referrer-Policy"] = noReferrer
		h["Content-Security-Policy"] = nothing
		h["X-Frame-Options"] = deny
		h["Cross-Origin-Opener-Policy"] = sameOrigin
		if auth.OverTLS(r) {
			h["Strict-Transport-Security"] = onlyTLS
		}
		next.ServeHTTP(w, r)
	})
}
