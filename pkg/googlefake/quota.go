package googlefake

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Classes of calls that share a quota.
const (
	quotaCalendar    = "calendar"
	quotaMeetRead    = "meet_read"
	quotaMeetWrite   = "meet_write"
	quotaMeetCreate  = "meet_create"
	quotaEventsRead  = "events_read"
	quotaEventsWrite = "events_write"
	quotaDrive       = "drive"
)

// usualQuotas are Google's, in calls per minute.
func usualQuotas() map[string]Quota {
	return map[string]Quota{
		quotaCalendar: {10_000, 600}, quotaMeetRead: {6_000, 600}, quotaMeetWrite: {1_000, 100}, quotaMeetCreate: {100, 10},
		quotaEventsRead: {600, 100}, quotaEventsWrite: {600, 100}, quotaDrive: {12_000, 12_000},
	}
}

// Quota is what one class allows in any minute of the emulator's clock.
type Quota struct {
	Project int64 `json:"project"`
	User    int64 `json:"user"`
}

// Quotas says whether quotas are enforced and how. The zero value enforces none.
type Quotas struct {
	Enabled    bool               `json:"enabled,omitempty"`
	Scale      float64            `json:"scale,omitempty"`       // of every limit; 0 is 1
	Limits     map[string]Quota   `json:"limits,omitempty"`      // by class, instead of Google's
	People     map[string]float64 `json:"people,omitempty"`      // impersonated address → scale of the user's share, 0 allowed
	Status     int                `json:"status,omitempty"`      // with which Calendar and Drive refuse: 403 (as 0) or 429
	RetryAfter RetryAfter         `json:"retry_after,omitempty"` // header of refusals; Google promises none
}

func (q *Quotas) check() error {
	if q.Scale < 0 {
		return &fieldError{"scale", "want more than 0"}
	}
	if q.Status != 0 && q.Status != http.StatusForbidden && q.Status != http.StatusTooManyRequests {
		return &fieldError{"status", "want 403 or 429"}
	}
	usual := usualQuotas()
	for class, limit := range q.Limits {
		if _, ok := usual[class]; !ok {
			return &fieldError{"limits", "want some of " + strings.Join(slices.Sorted(maps.Keys(usual)), ", ")}
		}
		if limit.Project < 0 || limit.User < 0 {
			return &fieldError{"limits", "want 0 or more"}
		}
	}
	for _, scale := range q.People {
		if scale < 0 {
			return &fieldError{"people", "want 0 or more"}
		}
	}
	return nil
}

// limit is what holds for a class and a subject.
func (q *Quotas) limit(class, subject string) Quota {
	limit, ok := q.Limits[class]
	if !ok {
		limit = usualQuotas()[class]
	}
	scale := cmp.Or(q.Scale, 1)
	limit.Project = int64(float64(limit.Project) * scale)
	if own, ok := q.People[subject]; ok {
		scale *= own
	}
	limit.User = int64(float64(limit.User) * scale)
	return limit
}

// QuotaUse is how much of a class was used since the start.
type QuotaUse struct {
	Class          string `json:"class"`
	Quota                 // the limits as they are
	Allowed        int64  `json:"allowed"`
	RefusedProject int64  `json:"refused_project"`
	RefusedUser    int64  `json:"refused_user"`
	PeakProject    int64  `json:"peak_project"` // most calls allowed in any minute
	PeakUser       int64  `json:"peak_user"`    // the same of one user
}

// window holds the times of the calls of the last minute.
type window struct {
	times []int64 // unix nanoseconds, rising; those before head are over
	head  int
}

const minute = int64(time.Minute)

// count drops what is older than a minute and gives the rest.
func (w *window) count(now int64) int64 {
	for w.head < len(w.times) && w.times[w.head] <= now-minute {
		w.head++
	}
	if w.head > len(w.times)/2 {
		w.times = append(w.times[:0], w.times[w.head:]...)
		w.head = 0
	}
	return int64(len(w.times) - w.head)
}

type quotaClass struct {
	project window
	users   map[string]*window
	use     QuotaUse
}

// quotaSet counts calls on the emulator's clock, enforced or not.
type quotaSet struct {
	mu      sync.Mutex
	classes map[string]*quotaClass
}

func newQuotaSet() *quotaSet {
	set := &quotaSet{classes: make(map[string]*quotaClass)}
	for class := range usualQuotas() {
		set.classes[class] = &quotaClass{users: make(map[string]*window)}
	}
	return set
}

// take counts a call, or refuses it and says whether the user's share or the project's is used up.
func (set *quotaSet) take(q *Quotas, class, user, subject string, at time.Time) (refused, byUser bool) {
	now := at.UnixNano()
	set.mu.Lock()
	defer set.mu.Unlock()
	c := set.classes[class]
	w := c.users[user]
	if w == nil {
		c.sweep(now)
		w = new(window)
		c.users[user] = w
	}
	project, own := c.project.count(now), w.count(now)
	if q.Enabled {
		limit := q.limit(class, subject)
		if own >= limit.User {
			c.use.RefusedUser++
			return true, true
		}
		if project >= limit.Project {
			c.use.RefusedProject++
			return true, false
		}
	}
	c.project.times = append(c.project.times, now)
	w.times = append(w.times, now)
	c.use.Allowed++
	c.use.PeakProject = max(c.use.PeakProject, project+1)
	c.use.PeakUser = max(c.use.PeakUser, own+1)
	return false, false
}

const usersKept = 1024

// sweep forgets users without a call in the last minute, once there are many.
func (c *quotaClass) sweep(now int64) {
	if n := len(c.users); n < usersKept || n&(n-1) != 0 {
		return
	}
	maps.DeleteFunc(c.users, func(_ string, w *window) bool { return w.count(now) == 0 })
}

// quota counts a call of the route and refuses it in the route's dialect.
func (s *Server) quota(rt *route, c *call) *apiError {
	if rt.quota == "" {
		return nil
	}
	// Without quotaUser Google charges the service account, whomever it impersonates.
	user := cmp.Or(c.r.URL.Query().Get("quotaUser"), serviceAccountEmail)
	q := &s.setup().Quotas
	refused, byUser := s.quotas.take(q, rt.quota, user, c.who.Subject, s.now())
	if !refused {
		return nil
	}
	if rt.dialect == classic {
		reason := "rateLimitExceeded"
		if byUser {
			reason = "userRateLimitExceeded"
		}
		e := typical(classic, cmp.Or(q.Status, http.StatusForbidden), reason, "")
		e.retryAfter = q.RetryAfter
		return e
	}
	limit := q.limit(rt.quota, c.who.Subject)
	value, unit := limit.Project, "min/project"
	if byUser {
		value, unit = limit.User, "min/project/user"
	}
	e := typical(platform, http.StatusTooManyRequests, "", "")
	e.message = "Quota exceeded for quota metric '" + rt.quota + "' and limit '" + rt.quota + " per " + unit + "' of service '" +
		rt.service + "' for consumer 'project_number:" + serviceAccountID + "'."
	e.info = map[string]string{
		"service": rt.service, "consumer": "projects/" + projectID, "quota_metric": rt.service + "/" + rt.quota,
		"quota_unit": "1/" + unit, "quota_limit_value": strconv.FormatInt(value, 10), "quota_location": "global",
	}
	e.retryAfter = q.RetryAfter
	return e
}

// QuotaUse says what was used of every class since the start.
func (s *Server) QuotaUse() []QuotaUse {
	q := &s.setup().Quotas
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	out := make([]QuotaUse, 0, len(s.quotas.classes))
	for _, class := range slices.Sorted(maps.Keys(s.quotas.classes)) {
		use := s.quotas.classes[class].use
		use.Class, use.Quota = class, q.limit(class, "")
		out = append(out, use)
	}
	return out
}

type quotaReport struct {
	Quotas
	Enabled bool       `json:"enabled"`
	Use     []QuotaUse `json:"use"`
}

func (s *Server) quotaReport(u *Setup) quotaReport {
	return quotaReport{Quotas: u.Quotas, Enabled: u.Quotas.Enabled, Use: s.QuotaUse()}
}
