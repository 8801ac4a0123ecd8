package compat

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"golang.org/x/sync/singleflight"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

const (
	// pushPath is where Google Calendar tells that a calendar has changed.
	pushPath = base + "google/calendar/"
	// maxNotices is how many notices are looked into side by side.
	maxNotices = 16
	// maxChannel and maxSecret are the longest that Google takes (Calendar API, push notifications).
	maxChannel, maxSecret = 64, 256
)

// notices bounds the work that strangers can cause: one command at a time for each channel, and few in all.
type notices struct {
	each   *singleflight.Group
	places chan struct{}
}

func newNotices() notices {
	return notices{each: new(singleflight.Group), places: make(chan struct{}, maxNotices)}
}

// googleCalendar takes a push notice. It is believed only that something has changed, and only from whoever knows the channel's
// token; what has changed is read from Google. The documents do not show this route: no client of ours calls it.
func (a *API) googleCalendar(w http.ResponseWriter, r *http.Request) {
	x := &exchange{api: a, w: w, r: r}
	channel, token, state := r.Header.Get("X-Goog-Channel-Id"), r.Header.Get("X-Goog-Channel-Token"), r.Header.Get("X-Goog-Resource-State")
	if channel == "" || len(channel) > maxChannel || token == "" || len(token) > maxSecret || state == "" {
		x.refuse(refuse(http.StatusNotFound, notFound))
		return
	}
	if state == "sync" { // the channel begins; its calendar is read anyway
		w.WriteHeader(http.StatusNoContent)
		return
	}
	hash := sha256.Sum256([]byte(token))
	told := hex.EncodeToString(hash[:])
	_, err, _ := a.notices.each.Do(channel+" "+told, func() (any, error) {
		select {
		case a.notices.places <- struct{}{}:
			defer func() { <-a.notices.places }()
		default:
			return nil, fault.New(fault.Unavailable, string(unavailable), "too many notices at once") // Google tries again
		}
		caller := backend.Caller{
			Principal: bus.Principal{Name: "google-calendar", Role: bus.Gateway.Role}, Route: r.Method + " " + pushPath,
			RequestID: logging.ID(r.Context(), logging.RequestID), RemoteAddr: r.RemoteAddr, Traceparent: r.Header.Get(tracing.Header),
		}
		return backend.Do(r.Context(), a.backend, subject.CalendarNoticed, caller, &meetv1.CalendarNoticedRequest{ChannelId: channel, TokenHash: told})
	})
	if err != nil {
		x.refuse(err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
