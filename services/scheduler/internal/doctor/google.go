package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
)

// Target is which Google is looked at, and how the service is told to use it.
type Target struct {
	// KeyFile is the path of the service account's key; empty: the emulator's own.
	KeyFile string
	// Emulator is the address of the emulator; nil or empty: Google itself. Known once a program has started.
	Emulator func() string
	// Simulated: the emulator is meant, whether or not it runs.
	Simulated bool
	// Away is why the emulator can't be asked now; empty: it can.
	Away string

	AdminEmail string
	Domains    []string
	CalendarID string

	// Topic and Pull are the Pub/Sub topic that Google tells of conferences and the subscription that is pulled from; empty: none.
	Topic, Pull string
	// NoDirectory: the directory is not to be asked.
	NoDirectory bool
}

// TargetOf is what the scheduler's settings mean; development as for [google.Config.Emulated].
func TargetOf(c google.Config, development bool) Target {
	t := Target{AdminEmail: c.AdminEmail, Domains: c.Domains, CalendarID: c.CalendarID, NoDirectory: c.Directory == google.DirectoryOff}
	t.Topic, t.Pull = c.Notices()
	if t.Simulated = c.Emulated(development); !t.Simulated {
		t.KeyFile = c.KeyFile
		return t
	}
	t.Emulator = func() string { return c.EmulatorURL }
	if c.EmulatorFrom != nil {
		t.Emulator = c.EmulatorFrom
	}
	return t
}

func (t Target) base() string {
	if t.Emulator == nil {
		return ""
	}
	return strings.TrimRight(t.Emulator(), "/")
}

// Pages and settings where things are put right.
const (
	placeKeySetting   = "the setting GOOGLE_SERVICE_ACCOUNT_FILE of the scheduler"
	placeAdminSetting = "the setting GOOGLE_WORKSPACE_ADMIN_EMAIL of the scheduler"
	placeDelegation   = "Admin console, Security, Access and data control, API controls, Domain-wide delegation (https://admin.google.com/ac/owl/domainwidedelegation)"
	placeAppAccess    = "Admin console, Security, Access and data control, API controls, App access control, Manage app access: search for the client id and set it to Trusted"
	placeUsers        = "Admin console, Directory, Users (https://admin.google.com/ac/users)"
	placeMeetService  = "Admin console, Directory, Users, the user, Licenses; and Apps, Google Workspace, Google Meet, Service status: on for the user's unit"
	placeRecording    = "Admin console, Apps, Google Workspace, Google Meet, Meet video settings, Recording: on for the user's unit; and Directory, Users, the user, Licenses: an edition that records"
	placeClock        = "this machine: let NTP set its clock (in a container: that of its host)"
	placeNetwork      = "this machine's network: it must reach https://*.googleapis.com; HTTPS_PROXY names a proxy"
)

func (k keyInfo) placeKeys() string {
	return "Cloud console, IAM & Admin, Service accounts (https://console.cloud.google.com/iam-admin/serviceaccounts?project=" + k.Project + "), " + k.Email + ", Keys, Add key, JSON"
}

func (k keyInfo) placeAccounts() string {
	return "Cloud console, IAM & Admin, Service accounts (https://console.cloud.google.com/iam-admin/serviceaccounts?project=" + k.Project + ")"
}

// scope is one right that people of the domain give the service account.
type scope struct {
	name string
	use  string
}

// scopes are all that the product asks for, each alone.
var scopes = []scope{
	{"calendar.events", "the event, with its Meet link and its guests"},
	{"meetings.space.settings", "switching recording on and letting guests in"},
	{"meetings.space.created", "meetings without a calendar event"},
	{"meetings.space.readonly", "reading who came and what was recorded"},
	{"drive.meet.readonly", "reading the files of recordings"},
}

const (
	scopeCalendar = "calendar.events"
	scopeSettings = "meetings.space.settings"
	scopeCreated  = "meetings.space.created"
	scopeReadonly = "meetings.space.readonly"
	scopeDrive    = "drive.meet.readonly"
)

// allScopes is what the delegation form takes.
func allScopes() string {
	full := make([]string, len(scopes))
	for i, s := range scopes {
		full[i] = scopePrefix + s.name
	}
	return strings.Join(full, ",")
}

// GoogleChecks are those of Google and Workspace. transport makes the requests.
func GoogleChecks(t Target, transport http.RoundTripper) []Check {
	g := &googleChecks{t, transport}
	checks := []Check{
		{Name: "google.key", Run: g.key},
		{Name: "google.clock", After: []string{"google.key"}, Run: g.clock},
		{Name: "google.account", After: []string{"google.clock"}, Run: g.account},
		{Name: "google.admin", After: []string{"google.account"}, Run: g.admin},
		{Name: "google.organizer", After: []string{"google.account"}, Run: g.organizer},
		{Name: "google.delegation", After: []string{"google.account"}, Run: g.delegation},
	}
	for _, s := range scopes {
		checks = append(checks, Check{Name: "google.scope." + s.name, After: []string{"google.delegation"}, Run: g.scope(s)})
	}
	return append(checks,
		Check{Name: "google.api.calendar", After: []string{"google.scope." + scopeCalendar}, Run: g.calendarAPI},
		Check{Name: "google.api.meet", After: []string{"google.delegation"}, Run: g.meetAPI},
		Check{Name: "google.api.drive", After: []string{"google.delegation"}, Run: g.driveAPI},
		Check{Name: "google.directory", After: []string{"google.delegation"}, Run: g.people},
		Check{Name: "google.pubsub", After: []string{"google.account"}, Run: g.pubsub},
		Check{Name: "google.notices", After: []string{"google.pubsub", "google.scope." + scopeReadonly}, Run: g.notices},
		Check{Name: "google.calendar", After: []string{"google.api.calendar"}, Run: g.calendar},
		Check{
			Name: "google.recording", Writes: true, Run: g.recording,
			After: []string{"google.calendar", "google.api.meet", "google.scope." + scopeSettings},
		},
	)
}

type googleChecks struct {
	Target
	transport http.RoundTripper
}

func (g *googleChecks) key(ctx context.Context, v *Visit) Finding {
	base := g.base()
	var key keyInfo
	var raw []byte
	var err error
	switch {
	case g.Away != "":
		return skipped("%s", g.Away)
	case g.KeyFile != "":
		key, raw, err = readKey(g.KeyFile)
	case g.Simulated && base == "":
		return failed("the setting MEET_EMULATOR_URL of the scheduler", "MEET_EMULATOR_URL=http://127.0.0.1:8090",
			"the emulator is to be used, and its address is not set")
	case g.Simulated:
		key, raw, err = emulatorKey(ctx, base, g.transport)
	default:
		return failed(placeKeySetting, "GOOGLE_SERVICE_ACCOUNT_FILE=/etc/meet/service-account.json",
			"no key file is set: download one from the Cloud console, IAM & Admin, Service accounts, Keys, Add key, JSON")
	}
	if err != nil {
		place, paste := "Cloud console, IAM & Admin, Service accounts, the account, Keys, Add key, JSON; then "+placeKeySetting, "GOOGLE_SERVICE_ACCOUNT_FILE=/etc/meet/service-account.json"
		if g.KeyFile != "" {
			paste = "GOOGLE_SERVICE_ACCOUNT_FILE=" + g.KeyFile
		}
		if g.KeyFile == "" {
			place, paste = "the setting MEET_EMULATOR_URL of the scheduler", "MEET_EMULATOR_URL=http://127.0.0.1:8090"
		}
		return failed(place, paste, "%s", err)
	}
	if !g.Simulated && base == "" && !isGoogle(key.TokenURI) {
		return failed("the key file "+g.KeyFile+`, "token_uri"`, googleTokenURI, `the "token_uri" in %s is not Google's`, g.KeyFile)
	}
	if v.Google, err = newAccess(key, raw, base, g.transport); err != nil {
		return failed(placeKeySetting, "", "%s", err)
	}
	if key.ClientID == "" {
		return Finding{
			Warning, fmt.Sprintf(`the key of %s has no "client_id", the number that domain-wide delegation is given to`, key.Email),
			key.placeAccounts() + ", " + key.Email + ", Unique ID", "",
		}
	}
	if g.Simulated {
		return ok("the emulator plays the service account %s, client id %s", key.Email, key.ClientID)
	}
	return ok("%s is the key of %s, client id %s", g.KeyFile, key.Email, key.ClientID)
}

const (
	// maxSkew is how far ahead Google lets a clock be; behind, the token's hour is all there is.
	maxSkew = 5 * time.Minute
	// wornSkew is what NTP never lets a clock reach.
	wornSkew = 30 * time.Second
)

func (g *googleChecks) clock(ctx context.Context, v *Visit) Finding {
	t := v.Google.token(ctx, "", scopeCalendar)
	c := t.clock
	off := "by an unknown amount"
	if c.known {
		off = "by " + c.ahead.Abs().Round(time.Second).String() + " (it is behind Google's)"
		if c.ahead < 0 {
			off = "by " + c.ahead.Abs().Round(time.Second).String() + " (it is ahead of Google's)"
		}
	}
	switch {
	case t.why.Code == google.CodeClockWrong, c.known && c.ahead.Abs() > maxSkew:
		return failed(placeClock, "timedatectl set-ntp true", "this machine's clock is wrong %s, so Google takes none of its tokens", off)
	case c.known && c.ahead.Abs() > wornSkew:
		return Finding{Warning, fmt.Sprintf("this machine's clock is wrong %s; from %s on Google takes none of its tokens", off, maxSkew), placeClock, "timedatectl set-ntp true"}
	case t.why.Status == 0 && !t.ok():
		return unreachable("Google's token service at "+v.Google.Key.TokenURI, t.why)
	case !c.known:
		return Finding{Warning, "the token service did not tell the time, so this machine's clock was not compared", placeNetwork, ""}
	}
	return ok("this machine's clock and Google's agree")
}

func unreachable(what string, why google.Explanation) Finding {
	said := why.Said
	if why.Status >= http.StatusInternalServerError || said == "" {
		said = fmt.Sprintf("status %d", why.Status)
	}
	return failed(placeNetwork, "", "%s could not be reached or failed: %s", what, said)
}

func (g *googleChecks) account(ctx context.Context, v *Visit) Finding {
	k := v.Google.Key
	t := v.Google.token(ctx, "", scopeCalendar)
	if t.ok() {
		return ok("Google takes the key, and the service account is there")
	}
	newKey := "gcloud iam service-accounts keys create service-account.json --iam-account=" + k.Email
	switch said := t.why.Said; {
	case t.why.Code == google.CodeKeyRefused && strings.Contains(said, "account not found"):
		return failed(k.placeAccounts()+", Create service account; then a key of it in "+placeKeySetting, "",
			"the service account %s does not exist any more (%q)", k.Email, said)
	case t.why.Code == google.CodeKeyRefused && strings.Contains(said, "audience"):
		return failed(`the key file, "token_uri"`, googleTokenURI, `the "token_uri" of the key is not the one of Google's token service (%q)`, said)
	case t.why.Code == google.CodeKeyRefused && strings.Contains(said, "Signature"):
		return failed(k.placeKeys()+"; then "+placeKeySetting, newKey,
			"Google does not know this key of %s: it was deleted, or the file is of another account (%q)", k.Email, said)
	case t.why.Code == google.CodeKeyRefused:
		return failed(k.placeAccounts()+", "+k.Email+", Enable; and the project is not shut down", "gcloud iam service-accounts enable "+k.Email,
			"the service account %s or its project is disabled (%q)", k.Email, said)
	case temporary(t.why):
		return unreachable("Google's token service", t.why)
	}
	return failed(k.placeKeys(), newKey, "Google gives the service account no token (%q)", t.why.Said)
}

// temporary tells whether an answer says nothing about the set-up.
func temporary(why google.Explanation) bool {
	switch why.Code {
	case google.CodeUnavailable, google.CodeTimeout, google.CodeQuota:
		return true
	}
	return false
}

// standing is what the tokens of one account say.
type standing struct {
	granted int
	// why of the first refusal that is about the account and not about a scope; of the first of all where there is none.
	why google.Explanation
}

// impersonate asks for every scope in the name of subject, side by side.
func (g *googleChecks) impersonate(ctx context.Context, v *Visit, subject string) (s standing) {
	answers := make([]tokenAnswer, len(scopes))
	var asking sync.WaitGroup
	for i, scope := range scopes {
		asking.Go(func() { answers[i] = v.Google.token(ctx, subject, scope.name) })
	}
	asking.Wait()
	for _, t := range answers {
		switch {
		case t.ok():
			s.granted++
		case t.why.Code == google.CodeAccountUnknown, t.why.Code == google.CodeAccessBlocked:
			return standing{why: t.why}
		case s.why.Code == "":
			s.why = t.why
		}
	}
	return s
}

// person says how it is with acting for subject, who is named by what.
func (g *googleChecks) person(ctx context.Context, v *Visit, subject, what, setting string) Finding {
	s := g.impersonate(ctx, v, subject)
	switch {
	case s.granted > 0:
		return ok("Google lets the service account act for %s", subject)
	case s.why.Code == google.CodeAccountUnknown:
		return failed(placeUsers+": the user is there, active, and this is its main address, not an alias; else "+setting, subject,
			"%s %s does not exist, is suspended, is an alias or is of another domain (%q)", what, subject, s.why.Said)
	case s.why.Code == google.CodeAccessBlocked:
		return failed(placeAppAccess, v.Google.Key.ClientID, "the administrator blocks this app for %s (%q)", subject, s.why.Said)
	case s.why.Code == google.CodeDelegationMissing, s.why.Code == google.CodeScopeMissing:
		return skipped("whether %s can be acted for is not known before google.delegation is right", subject)
	case temporary(s.why):
		return unreachable("Google's token service", s.why)
	}
	return failed(placeDelegation, v.Google.Key.ClientID, "Google gives no token for %s (%q)", subject, s.why.Said)
}

func (g *googleChecks) admin(ctx context.Context, v *Visit) Finding {
	switch {
	case g.AdminEmail != "":
		return g.person(ctx, v, g.AdminEmail, "the account GOOGLE_WORKSPACE_ADMIN_EMAIL", placeAdminSetting)
	case g.Simulated && len(g.Domains) == 0:
		return skipped("no account is set: the emulator lets every organizer be acted for")
	case len(g.Domains) == 0:
		return failed(placeAdminSetting+" (or GOOGLE_WORKSPACE_DOMAINS)", "GOOGLE_WORKSPACE_ADMIN_EMAIL=meetings@your-domain.example",
			"nobody is set in whose name meetings are made: a service account alone can invite nobody and make no Meet link")
	}
	return skipped("no account is set: organizers who are of none of GOOGLE_WORKSPACE_DOMAINS are refused")
}

// own tells whether an address is in one of the domains whose organizers keep their own meetings.
func (g *googleChecks) own(address string) bool {
	_, domain, _ := strings.Cut(address, "@")
	for _, d := range g.Domains {
		if strings.EqualFold(d, domain) {
			return true
		}
	}
	return g.Simulated && len(g.Domains) == 0 && g.AdminEmail == ""
}

func (g *googleChecks) organizer(ctx context.Context, v *Visit) Finding {
	_, domain, _ := strings.Cut(v.Organizer, "@")
	switch {
	case v.Organizer == "" && len(g.Domains) > 0:
		return Finding{Skipped, "no organizer was named; --organizer tries one of GOOGLE_WORKSPACE_DOMAINS", "", ""}
	case v.Organizer == "":
		return skipped("no organizer was named (--organizer)")
	case g.own(v.Organizer):
		return g.person(ctx, v, v.Organizer, "the organizer", "the organizer's address")
	case g.AdminEmail != "":
		return ok("%s is of none of GOOGLE_WORKSPACE_DOMAINS: the meetings are kept by %s, with the organizer as a guest", v.Organizer, g.AdminEmail)
	}
	return failed("the setting GOOGLE_WORKSPACE_DOMAINS of the scheduler (or GOOGLE_WORKSPACE_ADMIN_EMAIL)",
		"GOOGLE_WORKSPACE_DOMAINS="+strings.Join(append(append([]string(nil), g.Domains...), domain), ","),
		"%s is of none of GOOGLE_WORKSPACE_DOMAINS, and no account is set that would keep the meetings", v.Organizer)
}

// actors are the accounts in whose names meetings are made, as far as they are known: the organizer's first.
func (g *googleChecks) actors(v *Visit) []string {
	var actors []string
	if v.Organizer != "" && g.own(v.Organizer) {
		actors = append(actors, v.Organizer)
	}
	if g.AdminEmail != "" && (len(actors) == 0 || !strings.EqualFold(actors[0], g.AdminEmail)) {
		actors = append(actors, g.AdminEmail)
	}
	return actors
}

func (g *googleChecks) delegation(ctx context.Context, v *Visit) Finding {
	actors := g.actors(v)
	if len(actors) == 0 {
		return skipped("there is nobody to act for: name an organizer with --organizer")
	}
	why := google.Explanation{}
	for _, a := range actors {
		s := g.impersonate(ctx, v, a)
		if s.granted > 0 {
			v.Actor = a
			return ok("domain-wide delegation is given to client id %s", v.Google.Key.ClientID)
		}
		if s.why.Code == google.CodeDelegationMissing || why.Code == "" {
			why = s.why
		}
	}
	k := v.Google.Key
	if why.Code == google.CodeDelegationMissing {
		return failed(placeDelegation+", Add new: Client ID is the first line, OAuth scopes the second", k.ClientID+"\n"+allScopes(),
			"domain-wide delegation is not given to client id %s: its entry is missing, has the service account's e-mail address in place of the number, names none of the scopes, or is younger than a day (%q)", k.ClientID, why.Said)
	}
	return skipped("not known before google.admin or google.organizer is right")
}

func (g *googleChecks) scope(s scope) func(context.Context, *Visit) Finding {
	return func(ctx context.Context, v *Visit) Finding {
		t := v.Google.token(ctx, v.Actor, s.name)
		k := v.Google.Key
		switch {
		case t.ok():
			return ok("granted, for %s", s.use)
		case t.why.Code == google.CodeDelegationMissing, t.why.Code == google.CodeScopeMissing:
			return failed(placeDelegation+", the entry of client id "+k.ClientID+", Edit, OAuth scopes", allScopes(),
				"the scope %s is not in the delegation; it is for %s", scopePrefix+s.name, s.use)
		case temporary(t.why):
			return unreachable("Google's token service", t.why)
		}
		return failed(placeDelegation, k.ClientID+"\n"+allScopes(), "Google gives no token for the scope %s (%q)", scopePrefix+s.name, t.why.Said)
	}
}

// api turns what a read of an API returned into whether the API is enabled; done is nil when it answered.
func (g *googleChecks) api(ctx context.Context, v *Visit, name, service string, err error) *Finding {
	if err == nil {
		return nil
	}
	why := google.ExplainCall(ctx, err)
	var f Finding
	switch {
	case why.Code == google.CodeAPIDisabled:
		place := "Cloud console, APIs & Services, Library, " + name + ", Enable"
		url := why.ActivationURL
		if url == "" {
			url = "https://console.cloud.google.com/apis/library/" + service + "?project=" + v.Google.Key.Project
		}
		f = failed(place, url, "the %s is not enabled in the project %s", name, v.Google.Key.Project)
	case temporary(why):
		f = unreachable("the "+name, why)
	default:
		return nil
	}
	return &f
}

func (g *googleChecks) listEvents(ctx context.Context, v *Visit, actor string) (*calendar.Events, error) {
	opts, _ := v.Google.Options(ctx, actor, scopeCalendar, "/calendar/v3/") // those who ask have seen that there is a token
	service, err := calendar.NewService(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return service.Events.List(g.CalendarID).MaxResults(1).Context(ctx).Do()
}

func (g *googleChecks) calendarAPI(ctx context.Context, v *Visit) Finding {
	_, err := g.listEvents(ctx, v, v.Actor)
	if f := g.api(ctx, v, "Google Calendar API", "calendar-json.googleapis.com", err); f != nil {
		return *f
	}
	return ok("the Google Calendar API is enabled")
}

func (g *googleChecks) calendar(ctx context.Context, v *Visit) Finding {
	for _, actor := range g.actors(v) {
		if !v.Google.token(ctx, actor, scopeCalendar).ok() {
			continue // google.admin or google.organizer says why
		}
		events, err := g.listEvents(ctx, v, actor)
		share := "Google Calendar, Settings, the calendar, Share with specific people: this account, Make changes to events; or the setting GOOGLE_CALENDAR_ID"
		switch {
		case err != nil && temporary(google.ExplainCall(ctx, err)):
			return unreachable("the Google Calendar API", google.ExplainCall(ctx, err))
		case err != nil:
			return failed(share, actor, "%s can't see the calendar %q (GOOGLE_CALENDAR_ID): it does not exist, or is not shared with that account (%q)", actor, g.CalendarID, google.ExplainCall(ctx, err).Said)
		case events.AccessRole != "owner" && events.AccessRole != "writer":
			return failed(share, actor, "%s may not write the calendar %q (GOOGLE_CALENDAR_ID): its role there is %s", actor, g.CalendarID, events.AccessRole)
		}
	}
	return ok("the calendar %q can be written", g.CalendarID)
}

func (g *googleChecks) meetAPI(ctx context.Context, v *Visit) Finding {
	opts, why := v.Google.Options(ctx, v.Actor, scopeReadonly, "/")
	if opts == nil {
		opts, why = v.Google.Options(ctx, v.Actor, scopeCreated, "/")
	}
	if opts == nil {
		return skipped("not looked at before google.scope.%s or google.scope.%s is right (%s)", scopeReadonly, scopeCreated, why.Code)
	}
	service, err := meet.NewService(ctx, opts...)
	if err == nil {
		_, err = service.ConferenceRecords.List().PageSize(1).Context(ctx).Do()
	}
	if f := g.api(ctx, v, "Google Meet REST API", "meet.googleapis.com", err); f != nil {
		return *f
	}
	if f := g.unplayed(ctx, err); f != nil {
		return *f
	}
	if err != nil {
		return failed(placeMeetService, v.Actor, "Google does not show %s its conferences (%q)", v.Actor, google.ExplainCall(ctx, err).Said)
	}
	return ok("the Google Meet REST API is enabled, and %s may read its conferences", v.Actor)
}

func (g *googleChecks) driveAPI(ctx context.Context, v *Visit) Finding {
	opts, why := v.Google.Options(ctx, v.Actor, scopeDrive, "/drive/v3/")
	if opts == nil {
		return skipped("not looked at before google.scope.%s is right (%s)", scopeDrive, why.Code)
	}
	service, err := drive.NewService(ctx, opts...)
	if err == nil {
		_, err = service.Files.List().PageSize(1).Fields("files(id)").Context(ctx).Do()
	}
	if f := g.api(ctx, v, "Google Drive API", "drive.googleapis.com", err); f != nil {
		return *f
	}
	if f := g.unplayed(ctx, err); f != nil {
		return *f
	}
	if err != nil {
		return failed("Admin console, Apps, Google Workspace, Drive and Docs, Service status: on for the user's unit", v.Actor,
			"Google does not show %s the files of its recordings (%q)", v.Actor, google.ExplainCall(ctx, err).Said)
	}
	return ok("the Google Drive API is enabled")
}

// unplayed is for an emulator that is older than the call.
func (g *googleChecks) unplayed(ctx context.Context, err error) *Finding {
	if err == nil || !g.Simulated || google.ExplainCall(ctx, err).Status != http.StatusNotFound {
		return nil
	}
	f := skipped("the emulator does not play this part of Google")
	return &f
}
