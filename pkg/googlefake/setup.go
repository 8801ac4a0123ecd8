package googlefake

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Setup is how the customer's Workspace and Cloud project are configured. The zero value allows
// everything. It is part of the state and survives a restart.
type Setup struct {
	Accounts       map[string]Policy            `json:"accounts,omitempty"` // by address, lower case
	Domains        map[string]Policy            `json:"domains,omitempty"`  // for what an account does not say
	Delegation     *Delegation                  `json:"delegation,omitempty"`
	DisabledAPIs   []string                     `json:"disabled_apis,omitempty"`
	Calendars      map[string]map[string]string `json:"calendars,omitempty"` // id → address or "*" → role
	ServiceAccount ServiceAccount               `json:"service_account,omitzero"`
	Quotas         Quotas                       `json:"quotas,omitzero"`
	Meet           MeetSetup                    `json:"meet,omitzero"`
	Events         EventsSetup                  `json:"events,omitzero"`
	Data           DataSetup                    `json:"data,omitzero"`
	SyncFloor      int64                        `json:"sync_floor,omitempty"` // older sync tokens are dead
}

// Policy is what one person, or a whole domain, is and may do. nil is "as the domain says", and in
// the end the usual: exists, not suspended, not restricted, has Meet, may record.
type Policy struct {
	Exists     *bool  `json:"exists,omitempty"`
	Suspended  *bool  `json:"suspended,omitempty"`
	Restricted *bool  `json:"restricted,omitempty"` // the administrator blocks the app for this unit
	HasMeet    *bool  `json:"has_meet,omitempty"`
	MayRecord  *bool  `json:"may_record,omitempty"`
	Name       string `json:"name,omitempty"` // display name
}

// Delegation is the domain-wide delegation list of the Admin console.
type Delegation struct {
	Grants map[string][]string `json:"grants"` // client id → scopes in full
	// Partial gives a token for those of the asked scopes that are delegated; otherwise one that is
	// not fails the whole request, as Google is believed to do.
	Partial bool `json:"partial,omitempty"`
}

// ServiceAccount is the state of the service account at Google.
type ServiceAccount struct {
	Key     string `json:"key,omitempty"`     // "deleted"
	Account string `json:"account,omitempty"` // "deleted", "disabled"
	Clock   string `json:"clock,omitempty"`   // a duration: how far the token endpoint's clock is ahead of the machine's
}

// MeetSetup says what Meet does where the ground is uncertain.
type MeetSetup struct {
	// RecordingRefusal is what becomes of autoRecordingGeneration ON without the licence: "" takes
	// the patch and leaves the setting as it was; "forbidden" refuses the patch with 403.
	RecordingRefusal string `json:"recording_refusal,omitempty"`
	// SpaceDelay is how long after its making a Calendar-made space can't be read (403).
	SpaceDelay string `json:"space_delay,omitempty"`
	// EndCalendarMade lets endActiveConference work on Calendar-made spaces.
	EndCalendarMade bool `json:"end_calendar_made,omitempty"`
}

// DataSetup are faults in what Calendar and Drive answer.
type DataSetup struct {
	NoConferenceData float64 `json:"no_conference_data,omitempty"` // probability that the answer to an insert leaves it out
	NoEntryPoints    float64 `json:"no_entry_points,omitempty"`    // the same: hangoutLink is there, entry points are not
	StaleReads       string  `json:"stale_reads,omitempty"`        // for so long after a write events.get gives what was before, 404 for a new event
	DriveIgnoreRange bool    `json:"drive_ignore_range,omitempty"` // a Range is answered with the whole file
	DriveCut         int64   `json:"drive_cut,omitempty"`          // bytes after which a download breaks off
	DriveChecksum    string  `json:"drive_checksum,omitempty"`     // "wrong" or "absent"
}

const (
	wrongChecksum = "wrong"
	lateChecksum  = "absent"
)

// policy is what holds for one person.
type policy struct {
	exists, suspended, restricted, hasMeet, mayRecord bool
	known                                             bool // somebody said that she exists
	name                                              string
}

func (u *Setup) policy(email string) policy {
	own := u.Accounts[email]
	_, domain, _ := strings.Cut(email, "@")
	unit := u.Domains[domain]
	says := func(a, b *bool, usual bool) bool { return *cmp.Or(a, b, &usual) }
	return policy{
		exists: says(own.Exists, unit.Exists, true), suspended: says(own.Suspended, unit.Suspended, false),
		restricted: says(own.Restricted, unit.Restricted, false), hasMeet: says(own.HasMeet, unit.HasMeet, true),
		mayRecord: says(own.MayRecord, unit.MayRecord, true), known: own.Exists != nil && *own.Exists,
		name: own.Name,
	}
}

// setup is the configuration as it is; nobody changes it in place.
func (s *Server) setup() *Setup { return s.store.setup.Load() }

// Configure changes the configuration, for good where there is a directory. change gets a copy.
func (s *Server) Configure(change func(*Setup) error) error {
	if err := s.progress(); err != nil { // what was due before happens under the old one
		return err
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	next := st.setup.Load().clone()
	if err := change(next); err != nil {
		return err
	}
	if err := next.check(); err != nil {
		return err
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "setup", Setup: next})); err != nil {
		return err
	}
	st.setup.Store(next)
	return nil
}

// Setup gives a copy of the configuration.
func (s *Server) Setup() Setup { return *s.setup().clone() }

func (u *Setup) clone() *Setup {
	next := new(Setup)
	if err := json.Unmarshal(mustJSON(u), next); err != nil {
		panic("googlefake: copy own setup: " + err.Error())
	}
	return next
}

// APIs are the names of what can be switched off.
func apiNames() map[string]string {
	return map[string]string{
		calendarService: "calendar", meetService: "meet", driveService: "drive", eventsService: "workspaceevents",
		pubsubService: "pubsub", directoryService: "admin",
	}
}

func (u *Setup) check() error {
	names := slices.Collect(maps.Values(apiNames()))
	for _, name := range u.DisabledAPIs {
		if !slices.Contains(names, name) {
			return &fieldError{name, "want some of " + strings.Join(slices.Sorted(slices.Values(names)), ", ")}
		}
	}
	for email := range u.Accounts {
		if !validEmail(email) {
			return &fieldError{"email", "want an address"}
		}
	}
	for _, roles := range u.Calendars {
		for _, role := range roles {
			if !slices.Contains([]string{roleNone, roleReader, roleWriter, roleOwner}, role) {
				return &fieldError{"role", `want "none", "reader", "writer" or "owner"`}
			}
		}
	}
	sa := u.ServiceAccount
	if sa.Key != "" && sa.Key != stateDeleted {
		return &fieldError{"key", `want "" or "deleted"`}
	}
	if sa.Account != "" && sa.Account != stateDeleted && sa.Account != stateDisabled {
		return &fieldError{"account", `want "", "deleted" or "disabled"`}
	}
	for field, text := range map[string]string{
		"clock": sa.Clock, "space_delay": u.Meet.SpaceDelay, "stale_reads": u.Data.StaleReads, "delay": u.Events.Delay,
		"operation_delay": u.Events.OperationDelay,
	} {
		if _, err := time.ParseDuration(text); text != "" && err != nil {
			return &fieldError{field, `want a duration such as "10m"`}
		}
	}
	if r := u.Meet.RecordingRefusal; r != "" && r != refusalForbidden {
		return &fieldError{"recording_refusal", `want "" or "forbidden"`}
	}
	if c := u.Data.DriveChecksum; c != "" && c != wrongChecksum && c != lateChecksum {
		return &fieldError{"drive_checksum", `want "", "wrong" or "absent"`}
	}
	for field, p := range map[string]float64{"no_conference_data": u.Data.NoConferenceData, "no_entry_points": u.Data.NoEntryPoints} {
		if !(p >= 0 && p <= 1) {
			return &fieldError{field, "want 0 to 1"}
		}
	}
	if err := u.Quotas.check(); err != nil {
		return err
	}
	return u.Events.check()
}

// Values of the fields above.
const (
	stateDeleted     = "deleted"
	stateDisabled    = "disabled"
	refusalForbidden = "forbidden"

	roleNone   = "none"
	roleReader = "reader"
	roleWriter = "writer"
	roleOwner  = "owner"
	everybody  = "*"
)

// duration reads a duration that check has seen; "" is none.
func duration(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

// role is what the configuration lets a person do with a calendar, "" when it does not say.
func (u *Setup) role(calendarID, person string) string {
	roles := u.Calendars[calendarID]
	return cmp.Or(roles[person], roles[everybody])
}

func (u *Setup) disabled(service string) bool {
	return len(u.DisabledAPIs) > 0 && slices.Contains(u.DisabledAPIs, apiNames()[service])
}

// fullScope takes a scope with or without Google's prefix.
func fullScope(name string) string {
	if strings.Contains(name, "/") || name == scopeOpenID {
		return name
	}
	return scopePrefix + name
}

// delegated says which of the scopes the service account may ask for in somebody's name.
func (u *Setup) delegated(scopes []string) ([]string, bool) {
	d := u.Delegation
	if d == nil {
		return scopes, true
	}
	granted := d.Grants[serviceAccountID]
	var have []string
	for _, scope := range scopes {
		if slices.Contains(granted, scope) {
			have = append(have, scope)
		}
	}
	return have, len(have) == len(scopes) || d.Partial && len(have) > 0
}

// setupRoutes are the control routes that change the configuration. Each answers its part of it.
func (s *Server) setupRoutes(serve func(pattern string, handle func(http.ResponseWriter, *http.Request) error)) {
	part := func(name string, show func(*Setup) any, post func(body []byte, u *Setup) error, clear func(*Setup)) {
		pattern := " " + controlPrefix + name
		answer := func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, http.StatusOK, pretty(r, mustJSON(show(s.setup()))))
		}
		serve("GET"+pattern, func(w http.ResponseWriter, r *http.Request) error { answer(w, r); return nil })
		serve("POST"+pattern, func(w http.ResponseWriter, r *http.Request) error {
			body, err := s.readControl(w, r)
			if err != nil {
				return err
			}
			if err := s.Configure(func(u *Setup) error { return asFieldError(post(body, u)) }); err != nil {
				return err
			}
			answer(w, r)
			return nil
		})
		serve("DELETE"+pattern, func(w http.ResponseWriter, _ *http.Request) error {
			err := s.Configure(func(u *Setup) error { clear(u); return nil })
			if err == nil {
				w.WriteHeader(http.StatusNoContent)
			}
			return err
		})
	}
	part("accounts", showAccounts, s.postAccount, func(u *Setup) { u.Accounts, u.Domains = nil, nil })
	part("delegation", func(u *Setup) any { return u.Delegation }, postDelegation, func(u *Setup) { u.Delegation = nil })
	part("apis", showAPIs, postAPIs, func(u *Setup) { u.DisabledAPIs = nil })
	part("calendars", func(u *Setup) any { return u.Calendars }, postCalendar, func(u *Setup) { u.Calendars = nil })
	part("service-account", func(u *Setup) any { return u.ServiceAccount }, into(func(u *Setup) any { return &u.ServiceAccount }), func(u *Setup) { u.ServiceAccount = ServiceAccount{} })
	part("quotas", func(u *Setup) any { return s.quotaReport(u) }, into(func(u *Setup) any { return &u.Quotas }), func(u *Setup) { u.Quotas = Quotas{} })
	part("meet", func(u *Setup) any { return u.Meet }, into(func(u *Setup) any { return &u.Meet }), func(u *Setup) { u.Meet = MeetSetup{} })
	part("events", func(u *Setup) any { return u.Events }, into(func(u *Setup) any { return &u.Events }), func(u *Setup) { u.Events = EventsSetup{} })
	part("data", func(u *Setup) any { return u.Data }, into(func(u *Setup) any { return &u.Data }), func(u *Setup) { u.Data = DataSetup{} })
}

// into decodes a body over one part of the setup: what is absent stays.
func into(target func(*Setup) any) func([]byte, *Setup) error {
	return func(body []byte, u *Setup) error { return decodeStrict(body, target(u)) }
}

func showAccounts(u *Setup) any {
	return map[string]map[string]Policy{"accounts": orEmpty(u.Accounts), "domains": orEmpty(u.Domains)}
}

func orEmpty[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

// postAccount takes {"email"|"domain": …, …Policy}; what is absent stays as it was.
func (s *Server) postAccount(body []byte, u *Setup) error {
	var in struct {
		Email  string `json:"email"`
		Domain string `json:"domain"`
		Policy
	}
	if err := decodeStrict(body, &in); err != nil {
		return err
	}
	in.Email, in.Domain = strings.ToLower(in.Email), strings.ToLower(in.Domain)
	if (in.Email == "") == (in.Domain == "") {
		return &fieldError{"email", "want an email or a domain"}
	}
	if in.Domain != "" {
		u.Domains = orEmpty(u.Domains)
		u.Domains[in.Domain] = u.Domains[in.Domain].with(in.Policy)
		return nil
	}
	if !validEmail(in.Email) {
		return &fieldError{"email", "want an address"}
	}
	if in.Exists == nil && u.Accounts[in.Email].Exists == nil {
		in.Exists = new(true)
	}
	u.Accounts = orEmpty(u.Accounts)
	u.Accounts[in.Email] = u.Accounts[in.Email].with(in.Policy)
	return nil
}

// with is p where change says nothing.
func (p Policy) with(change Policy) Policy {
	return Policy{
		Exists: cmp.Or(change.Exists, p.Exists), Suspended: cmp.Or(change.Suspended, p.Suspended),
		Restricted: cmp.Or(change.Restricted, p.Restricted), HasMeet: cmp.Or(change.HasMeet, p.HasMeet),
		MayRecord: cmp.Or(change.MayRecord, p.MayRecord), Name: cmp.Or(change.Name, p.Name),
	}
}

// postDelegation takes {"client_id": …, "scopes": […]}: that client's whole list. From then on only
// what is listed is delegated.
func postDelegation(body []byte, u *Setup) error {
	var in struct {
		ClientID string   `json:"client_id"`
		Scopes   []string `json:"scopes"`
		Partial  *bool    `json:"partial"`
	}
	if err := decodeStrict(body, &in); err != nil {
		return err
	}
	if u.Delegation == nil {
		u.Delegation = &Delegation{Grants: make(map[string][]string)}
	}
	if in.Partial != nil {
		u.Delegation.Partial = *in.Partial
	}
	full := make([]string, len(in.Scopes))
	for i, scope := range in.Scopes {
		full[i] = fullScope(scope)
	}
	u.Delegation.Grants[cmp.Or(in.ClientID, serviceAccountID)] = full
	return nil
}

func showAPIs(u *Setup) any {
	out := make(map[string]bool)
	for service, name := range apiNames() {
		out[name] = !u.disabled(service)
	}
	return out
}

func postAPIs(body []byte, u *Setup) error {
	var in map[string]bool
	if err := decodeStrict(body, &in); err != nil {
		return err
	}
	for name, on := range in {
		u.DisabledAPIs = slices.DeleteFunc(u.DisabledAPIs, func(have string) bool { return have == name })
		if !on {
			u.DisabledAPIs = append(u.DisabledAPIs, name)
		} else if !slices.Contains(slices.Collect(maps.Values(apiNames())), name) {
			return &fieldError{name, "no such API"}
		}
	}
	slices.Sort(u.DisabledAPIs)
	return nil
}

func postCalendar(body []byte, u *Setup) error {
	var in struct {
		ID   string `json:"id"`
		User string `json:"user"`
		Role string `json:"role"`
	}
	if err := decodeStrict(body, &in); err != nil {
		return err
	}
	id := strings.ToLower(in.ID)
	if id == "" || id == "primary" {
		return &fieldError{"id", "want the calendar's own id, which is an address"}
	}
	u.Calendars = orEmpty(u.Calendars)
	u.Calendars[id] = orEmpty(u.Calendars[id])
	u.Calendars[id][cmp.Or(strings.ToLower(in.User), everybody)] = in.Role
	return nil
}
