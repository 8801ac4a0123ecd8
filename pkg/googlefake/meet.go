package googlefake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

const (
	meetService  = "meet.googleapis.com"
	spacesPrefix = "spaces/"
)

// Space is Meet's Space resource.
type Space struct {
	Name        string       `json:"name,omitempty"`
	MeetingURI  string       `json:"meetingUri,omitempty"`
	MeetingCode string       `json:"meetingCode,omitempty"`
	Config      *SpaceConfig `json:"config,omitempty"`

	ActiveConference *ActiveConference `json:"activeConference,omitempty"`
}

// ActiveConference names the conference that runs in a space.
type ActiveConference struct {
	ConferenceRecord string `json:"conferenceRecord"`
}

// SpaceConfig is how a space is set.
type SpaceConfig struct {
	AccessType                     string                 `json:"accessType,omitempty"`
	EntryPointAccess               string                 `json:"entryPointAccess,omitempty"`
	Moderation                     string                 `json:"moderation,omitempty"`
	ModerationRestrictions         ModerationRestrictions `json:"moderationRestrictions,omitzero"`
	AttendanceReportGenerationType string                 `json:"attendanceReportGenerationType,omitempty"`
	ArtifactConfig                 ArtifactConfig         `json:"artifactConfig,omitzero"`
}

// ModerationRestrictions are what guests may do while moderation is on.
type ModerationRestrictions struct {
	ChatRestriction         string `json:"chatRestriction,omitempty"`
	ReactionRestriction     string `json:"reactionRestriction,omitempty"`
	PresentRestriction      string `json:"presentRestriction,omitempty"`
	DefaultJoinAsViewerType string `json:"defaultJoinAsViewerType,omitempty"`
}

// ArtifactConfig says what a conference leaves behind by itself.
type ArtifactConfig struct {
	RecordingConfig     RecordingConfig     `json:"recordingConfig,omitzero"`
	TranscriptionConfig TranscriptionConfig `json:"transcriptionConfig,omitzero"`
	SmartNotesConfig    SmartNotesConfig    `json:"smartNotesConfig,omitzero"`
}

// RecordingConfig presets recordings.
type RecordingConfig struct {
	AutoRecordingGeneration string `json:"autoRecordingGeneration,omitempty"`
}

// TranscriptionConfig presets transcripts.
type TranscriptionConfig struct {
	AutoTranscriptionGeneration string `json:"autoTranscriptionGeneration,omitempty"`
}

// SmartNotesConfig presets notes.
type SmartNotesConfig struct {
	AutoSmartNotesGeneration string `json:"autoSmartNotesGeneration,omitempty"`
}

// setting is one leaf of SpaceConfig: all of them are enumerations.
type setting struct {
	path   string // as updateMask spells it
	unset  string // means: as the user's policy decides; never answered
	values []string
	of     func(*SpaceConfig) *string
}

func spaceSettings() []setting {
	const artifact, moderation = "AUTO_GENERATION_TYPE_UNSPECIFIED", "RESTRICTION_TYPE_UNSPECIFIED"
	onOff := []string{"ON", "OFF"}
	restriction := []string{"HOSTS_ONLY", "NO_RESTRICTION"}
	return []setting{
		{
			"config.accessType", "ACCESS_TYPE_UNSPECIFIED",
			[]string{"OPEN", "TRUSTED", "RESTRICTED"},
			func(c *SpaceConfig) *string { return &c.AccessType },
		},
		{
			"config.entryPointAccess", "ENTRY_POINT_ACCESS_UNSPECIFIED",
			[]string{"ALL", "CREATOR_APP_ONLY"},
			func(c *SpaceConfig) *string { return &c.EntryPointAccess },
		},
		{
			"config.moderation", "MODERATION_UNSPECIFIED", onOff,
			func(c *SpaceConfig) *string { return &c.Moderation },
		},
		{
			"config.moderationRestrictions.chatRestriction", moderation, restriction,
			func(c *SpaceConfig) *string { return &c.ModerationRestrictions.ChatRestriction },
		},
		{
			"config.moderationRestrictions.reactionRestriction", moderation, restriction,
			func(c *SpaceConfig) *string { return &c.ModerationRestrictions.ReactionRestriction },
		},
		{
			"config.moderationRestrictions.presentRestriction", moderation, restriction,
			func(c *SpaceConfig) *string { return &c.ModerationRestrictions.PresentRestriction },
		},
		{
			"config.moderationRestrictions.defaultJoinAsViewerType", "DEFAULT_JOIN_AS_VIEWER_TYPE_UNSPECIFIED", onOff,
			func(c *SpaceConfig) *string { return &c.ModerationRestrictions.DefaultJoinAsViewerType },
		},
		{
			"config.attendanceReportGenerationType", "ATTENDANCE_REPORT_GENERATION_TYPE_UNSPECIFIED",
			[]string{"GENERATE_REPORT", "DO_NOT_GENERATE"},
			func(c *SpaceConfig) *string { return &c.AttendanceReportGenerationType },
		},
		{
			"config.artifactConfig.recordingConfig.autoRecordingGeneration", artifact, onOff,
			func(c *SpaceConfig) *string { return &c.ArtifactConfig.RecordingConfig.AutoRecordingGeneration },
		},
		{
			"config.artifactConfig.transcriptionConfig.autoTranscriptionGeneration", artifact, onOff,
			func(c *SpaceConfig) *string {
				return &c.ArtifactConfig.TranscriptionConfig.AutoTranscriptionGeneration
			},
		},
		{
			"config.artifactConfig.smartNotesConfig.autoSmartNotesGeneration", artifact, onOff,
			func(c *SpaceConfig) *string { return &c.ArtifactConfig.SmartNotesConfig.AutoSmartNotesGeneration },
		},
	}
}

func meetRoutes() []*route {
	const spacePattern = "/v2/spaces/{space}"
	created, readonly, settings := scopePrefix+"meetings.space.created", scopePrefix+"meetings.space.readonly", scopePrefix+"meetings.space.settings"
	routes := []*route{
		{
			id: "meet.spaces.create", method: http.MethodPost, pattern: "/v2/spaces", scopes: []string{created},
			rpc: "google.apps.meet.v2.SpacesService.CreateSpace", handle: (*Server).createSpace, quota: quotaMeetCreate,
		},
		{
			id: "meet.spaces.get", method: http.MethodGet, pattern: spacePattern, scopes: []string{created, readonly, settings},
			rpc: "google.apps.meet.v2.SpacesService.GetSpace", handle: (*Server).getSpace,
		},
		{
			id: "meet.spaces.patch", method: http.MethodPatch, pattern: spacePattern, scopes: []string{created, settings},
			rpc: "google.apps.meet.v2.SpacesService.UpdateSpace", handle: (*Server).patchSpace, params: []string{"updateMask"},
		},
	}
	for _, rt := range routes {
		rt.dialect, rt.service = platform, meetService
		switch {
		case rt.quota != "":
		case rt.method == http.MethodGet:
			rt.quota = quotaMeetRead
		default:
			rt.quota = quotaMeetWrite
		}
	}
	return routes
}

// link is where the space can be "joined": a page here that says what it is.
func (sp *space) link() string { return sp.Base + meetPagePath + sp.Code }

// resource is the space as its owner sees it, or as everybody else does.
func (sp *space) resource(owner bool) Space {
	out := Space{Name: spacesPrefix + sp.ID, MeetingURI: sp.link(), MeetingCode: sp.Code}
	if !owner {
		return out
	}
	out.Config = usualConfig()
	if sp.Config != nil {
		for _, set := range spaceSettings() {
			if v := *set.of(sp.Config); v != "" {
				*set.of(out.Config) = v
			}
		}
	}
	return out
}

// usualConfig is a space where nothing was set.
func usualConfig() *SpaceConfig {
	const free = "NO_RESTRICTION"
	return &SpaceConfig{
		AccessType: "TRUSTED", EntryPointAccess: "ALL", Moderation: "OFF", AttendanceReportGenerationType: "DO_NOT_GENERATE",
		ModerationRestrictions: ModerationRestrictions{
			ChatRestriction: free, ReactionRestriction: free, PresentRestriction: free, DefaultJoinAsViewerType: "OFF",
		},
		ArtifactConfig: ArtifactConfig{
			RecordingConfig: RecordingConfig{"OFF"}, TranscriptionConfig: TranscriptionConfig{"OFF"}, SmartNotesConfig: SmartNotesConfig{"OFF"},
		},
	}
}

func platformInvalid(field, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, message: message, field: field}
}

func spaceDenied() *apiError {
	return &apiError{status: http.StatusForbidden, message: msgSpaceDenied}
}

// platformParams are the query parameters that every one-platform method takes.
func platformParams() []string {
	return []string{
		"$.xgafv", "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser", "uploadType", "upload_protocol",
	}
}

// readSpace decodes and checks the body of a create or patch.
func readSpace(body []byte) (*Space, *apiError) {
	in := new(Space)
	if len(body) == 0 {
		return in, nil
	}
	// Fields that only Google writes are taken and ignored.
	var wire struct {
		Space
		PhoneAccess      json.RawMessage `json:"phoneAccess"`
		GatewaySipAccess json.RawMessage `json:"gatewaySipAccess"`
	}
	if err := decodeStrict(body, &wire); err != nil {
		if fe, ok := err.(*fieldError); ok { //nolint:errorlint // decodeStrict does not wrap
			if fe.text == "no such field" {
				return nil, platformInvalid("", `Invalid JSON payload received. Unknown name "`+fe.field+`": Cannot find field.`)
			}
			return nil, platformInvalid(fe.field, "Invalid value at '"+fe.field+"': "+fe.text)
		}
		return nil, platformInvalid("", "Invalid JSON payload received.")
	}
	*in = wire.Space
	if in.Config == nil {
		return in, nil
	}
	for _, set := range spaceSettings() {
		v := *set.of(in.Config)
		if v != "" && v != set.unset && !slices.Contains(set.values, v) {
			field := "space." + set.path
			return nil, platformInvalid(field, "Invalid value at '"+field+"', \""+v+"\"")
		}
	}
	return in, nil
}

func (s *Server) createSpace(c *call) (answer, error) {
	may := s.setup().policy(c.who.person())
	if c.who.Subject == "" || !may.hasMeet {
		return answer{}, spaceDenied() // only people have spaces, and of them those with a licence
	}
	in, refusal := readSpace(c.body)
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sp := st.newSpace(c.who.person(), originApp, c.base)
	sp.Made = s.now()
	if sp.Config = changed(nil, in.Config, nil); !may.mayRecord {
		if refusal := s.refuseRecording(sp.Config, nil); refusal != nil {
			return answer{}, refusal
		}
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "space", Space: sp})); err != nil {
		return answer{}, err
	}
	st.keepSpace(sp)
	return answer{status: http.StatusOK, body: mustJSON(sp.resource(true))}, nil
}

// refuseRecording takes back what was set without a licence to record, or refuses it.
func (s *Server) refuseRecording(next, old *SpaceConfig) *apiError {
	before := ""
	if old != nil {
		before = old.ArtifactConfig.RecordingConfig.AutoRecordingGeneration
	}
	if next == nil || next.ArtifactConfig.RecordingConfig.AutoRecordingGeneration != "ON" || before == "ON" {
		return nil
	}
	if s.setup().Meet.RecordingRefusal == refusalForbidden {
		return typical(platform, http.StatusForbidden, "", "")
	}
	next.ArtifactConfig.RecordingConfig.AutoRecordingGeneration = before
	return nil
}

// find looks a space up by id, and by meeting code too where Google allows the alias. The caller
// holds the lock, for reading at least.
func (st *store) find(name string, alias bool) *space {
	if sp := st.spaces[name]; sp != nil {
		return sp
	}
	if alias {
		return st.codes[strings.ToLower(name)]
	}
	return nil
}

func (s *Server) getSpace(c *call) (answer, error) {
	if c.who.Subject == "" {
		return answer{}, spaceDenied()
	}
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	sp := st.find(c.r.PathValue("space"), true)
	if sp == nil {
		return answer{}, typical(platform, http.StatusNotFound, "", "")
	}
	now := s.now()
	if delay := duration(s.setup().Meet.SpaceDelay); sp.Origin == originCalendar && now.Sub(sp.Made) < delay {
		return answer{}, spaceDenied()
	}
	out := sp.resource(sp.Owner == c.who.Subject)
	if conf := st.active(sp, now); conf != nil && conf.sees(c.who.Subject, now) {
		out.ActiveConference = &ActiveConference{conf.name()}
	}
	return ok(out)
}

func (s *Server) patchSpace(c *call) (answer, error) {
	in, refusal := readSpace(c.body)
	if refusal != nil {
		return answer{}, refusal
	}
	mask, refusal := readMask(c.form.Get("updateMask"))
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	// The meeting code is an alias for reading only, and strangers learn no more than that.
	sp := st.find(c.r.PathValue("space"), false)
	if sp == nil || c.who.Subject == "" || sp.Owner != c.who.person() {
		return answer{}, spaceDenied()
	}
	next := *sp
	if next.Config = changed(sp.Config, in.Config, mask); !s.setup().policy(sp.Owner).mayRecord {
		if refusal := s.refuseRecording(next.Config, sp.Config); refusal != nil {
			return answer{}, refusal
		}
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "space", Space: &next})); err != nil {
		return answer{}, err
	}
	st.keepSpace(&next)
	return answer{status: http.StatusOK, body: mustJSON(next.resource(true))}, nil
}

// readMask splits an updateMask into camelCase paths; nil means "what has a value".
func readMask(text string) ([]string, *apiError) {
	if text == "" {
		return nil, nil
	}
	var mask []string
	for path := range strings.SplitSeq(text, ",") {
		path = camelCase(strings.TrimSpace(path))
		known := path == "*" || path == "config" || slices.ContainsFunc(spaceSettings(), func(set setting) bool { return under(set.path, path) })
		if !known {
			return nil, platformInvalid("update_mask", "Invalid field mask path: "+path)
		}
		mask = append(mask, path)
	}
	return mask, nil
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+".")
}

// camelCase turns proto field names into their JSON spelling; both are good in a mask.
func camelCase(path string) string {
	var b strings.Builder
	up := false
	for _, r := range path {
		if r == '_' {
			up = true
			continue
		}
		if up {
			r -= 'a' - 'A'
			up = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// changed is old with the masked settings of in. Setting one to unspecified, or naming it in the
// mask without a value, gives it back to the user's policy.
func changed(old, in *SpaceConfig, mask []string) *SpaceConfig {
	out := new(SpaceConfig)
	if old != nil {
		*out = *old
	}
	if in == nil {
		in = new(SpaceConfig)
	}
	for _, set := range spaceSettings() {
		value := *set.of(in)
		named := slices.ContainsFunc(mask, func(path string) bool { return path == "*" || under(set.path, path) })
		if mask == nil {
			named = value != ""
		}
		if !named {
			continue
		}
		if value == set.unset {
			value = ""
		}
		*set.of(out) = value
	}
	if *out == (SpaceConfig{}) {
		return nil
	}
	return out
}
