package googlefake

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The emulator must not take or answer what Google has not: this file walks the discovery documents
// that the client libraries are made from.

type discoveryDoc struct {
	ServicePath string                       `json:"servicePath"`
	Parameters  map[string]json.RawMessage   `json:"parameters"`
	Resources   map[string]discoveryResource `json:"resources"`
	Schemas     map[string]*discoverySchema  `json:"schemas"`
	Auth        struct {
		OAuth2 struct {
			Scopes map[string]json.RawMessage `json:"scopes"`
		} `json:"oauth2"`
	} `json:"auth"`
}

type discoveryResource struct {
	Methods   map[string]discoveryMethod   `json:"methods"`
	Resources map[string]discoveryResource `json:"resources"`
}

type discoveryMethod struct {
	ID         string                     `json:"id"`
	HTTPMethod string                     `json:"httpMethod"`
	Path       string                     `json:"path"`
	FlatPath   string                     `json:"flatPath"`
	Parameters map[string]json.RawMessage `json:"parameters"`
	Scopes     []string                   `json:"scopes"`
}

type discoverySchema struct {
	Type       string                      `json:"type"`
	Ref        string                      `json:"$ref"`
	Enum       []string                    `json:"enum"`
	Items      *discoverySchema            `json:"items"`
	Properties map[string]*discoverySchema `json:"properties"`
	Additional *discoverySchema            `json:"additionalProperties"`
}

func readDiscovery(t *testing.T, path string) discoveryDoc {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/api").Output()
	if err != nil {
		t.Fatalf("find the client library: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), path))
	if err != nil {
		t.Fatal(err)
	}
	var doc discoveryDoc
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func (doc discoveryDoc) methods() map[string]discoveryMethod {
	all := make(map[string]discoveryMethod)
	var walk func(map[string]discoveryResource)
	walk = func(resources map[string]discoveryResource) {
		for _, r := range resources {
			for _, m := range r.Methods {
				all[m.ID] = m
			}
			walk(r.Resources)
		}
	}
	walk(doc.Resources)
	return all
}

func (doc discoveryDoc) resolve(s *discoverySchema) *discoverySchema {
	if s != nil && s.Ref != "" {
		return doc.Schemas[s.Ref]
	}
	return s
}

// kinds says which Go kinds may hold a discovery type.
func kinds(discovery string) []reflect.Kind {
	return map[string][]reflect.Kind{
		"string": {reflect.String}, "boolean": {reflect.Bool}, "integer": {reflect.Int64},
	}[discovery]
}

// compare walks a Go type of ours beside a schema of Google's.
func (doc discoveryDoc) compare(t *testing.T, at string, typ reflect.Type, schema *discoverySchema) {
	t.Helper()
	schema = doc.resolve(schema)
	if schema == nil {
		t.Errorf("%s: Google has no such thing", at)
		return
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ == reflect.TypeFor[[]byte](): // bytes are base64 in a string
		if schema.Type != "string" {
			t.Errorf("%s: bytes here, %q at Google", at, schema.Type)
		}
	case typ == reflect.TypeFor[json.RawMessage]():
		doc.compare(t, at, reflect.TypeFor[Event](), schema) // list items are kept as they were written
	case typ.Kind() == reflect.Slice:
		if schema.Type != "array" {
			t.Errorf("%s: a list here, %q at Google", at, schema.Type)
			return
		}
		doc.compare(t, at+"[]", typ.Elem(), schema.Items)
	case typ.Kind() == reflect.Map:
		if schema.Additional == nil {
			t.Errorf("%s: a map here, not at Google", at)
			return
		}
		doc.compare(t, at+"{}", typ.Elem(), schema.Additional)
	case typ.Kind() == reflect.Struct:
		for field := range typ.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			property := schema.Properties[name]
			if property == nil {
				t.Errorf("%s.%s: Google has no such field", at, name)
				continue
			}
			if options == "string,omitempty" || strings.HasSuffix(options, ",string") || strings.HasPrefix(options, "omitempty,string") {
				if property.Type != "string" {
					t.Errorf("%s.%s: a number in a string here, %q at Google", at, name, property.Type)
				}
				continue
			}
			doc.compare(t, at+"."+name, field.Type, property)
		}
	case !slices.Contains(kinds(schema.Type), typ.Kind()):
		t.Errorf("%s: %s here, %q at Google", at, typ, schema.Type)
	}
}

func TestEveryRouteParameterAndScopeIsGoogles(t *testing.T) {
	for _, surface := range []struct {
		doc    string
		prefix string
		routes []*route
		global []string
	}{
		{"calendar/v3/calendar-api.json", "/calendar/v3/", calendarRoutes(), nil},
		{"meet/v2/meet-api.json", "/", slices.Concat(meetRoutes(), memberRoutes(), recordRoutes()), platformParams()},
		{"drive/v3/drive-api.json", "/drive/v3/", driveRoutes(), nil},
		{"workspaceevents/v1/workspaceevents-api.json", "/", eventsRoutes(), platformParams()},
		{"pubsub/v1/pubsub-api.json", "/", pubsubRoutes(), platformParams()},
		{"admin/directory/v1/admin-api.json", "/", directoryRoutes(), nil},
		{"oauth2/v2/oauth2-api.json", "/", userinfoRoutes(), nil},
	} {
		doc := readDiscovery(t, surface.doc)
		if want := "/" + doc.ServicePath; want != surface.prefix {
			t.Errorf("%s is served under %s, not %s", surface.doc, want, surface.prefix)
		}
		methods := doc.methods()
		for _, rt := range surface.routes {
			m, ok := methods[rt.id]
			if !ok {
				t.Errorf("%s: no such method", rt.id)
				continue
			}
			path := m.Path
			if m.FlatPath != "" {
				path = m.FlatPath
			}
			want, got := nameless(surface.prefix+path), nameless(rt.pattern+rt.verb)
			if rt.method != m.HTTPMethod || want != got {
				t.Errorf("%s is %s %s, not %s %s", rt.id, m.HTTPMethod, want, rt.method, got)
			}
			ours, theirs := slices.Sorted(slices.Values(rt.scopes)), slices.Sorted(slices.Values(m.Scopes))
			if !slices.Equal(ours, theirs) {
				t.Errorf("%s takes scopes %v, not %v", rt.id, theirs, ours)
			}
			for _, name := range rt.params {
				if m.Parameters[name] == nil {
					t.Errorf("%s has no parameter %s", rt.id, name)
				}
			}
		}
		for _, name := range surface.global {
			if doc.Parameters[name] == nil {
				t.Errorf("%s has no parameter %s", surface.doc, name)
			}
		}
	}
}

// nameless is a path with the names of its parts left out.
func nameless(path string) string {
	return regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "{}")
}

func TestEveryResourceOfTheWorkspaceIsGoogles(t *testing.T) {
	for path, types := range map[string]map[string]reflect.Type{
		"calendar/v3/calendar-api.json": {
			"Channel": reflect.TypeFor[Channel](), "FreeBusyRequest": reflect.TypeFor[freeBusyRequest](), "FreeBusyResponse": reflect.TypeFor[freeBusyAnswer](),
		},
		"meet/v2/meet-api.json": {
			"ConferenceRecord": reflect.TypeFor[ConferenceRecord](), "Participant": reflect.TypeFor[Participant](),
			"ParticipantSession": reflect.TypeFor[ParticipantSession](), "Recording": reflect.TypeFor[Recording](),
			"Transcript": reflect.TypeFor[Transcript](), "SmartNote": reflect.TypeFor[Transcript](), "TranscriptEntry": reflect.TypeFor[TranscriptEntry](),
			"Member": reflect.TypeFor[Member](), "ListMembersResponse": reflect.TypeFor[memberList](),
			"ListConferenceRecordsResponse": reflect.TypeFor[conferenceRecordList](), "ListParticipantsResponse": reflect.TypeFor[participantList](),
			"ListParticipantSessionsResponse": reflect.TypeFor[participantSessionList](), "ListRecordingsResponse": reflect.TypeFor[recordingList](),
			"ListTranscriptsResponse": reflect.TypeFor[transcriptList](), "ListSmartNotesResponse": reflect.TypeFor[smartNoteList](),
			"ListTranscriptEntriesResponse": reflect.TypeFor[transcriptEntryList](),
		},
		"drive/v3/drive-api.json": {
			"File": reflect.TypeFor[DriveFile](), "FileList": reflect.TypeFor[fileList](), "Permission": reflect.TypeFor[Permission](),
			"PermissionList": reflect.TypeFor[permissionList](),
		},
		"workspaceevents/v1/workspaceevents-api.json": {
			"Subscription": reflect.TypeFor[Subscription](), "ListSubscriptionsResponse": reflect.TypeFor[subscriptionList](),
		},
		"pubsub/v1/pubsub-api.json": {
			"Topic": reflect.TypeFor[pubsubTopic](), "Subscription": reflect.TypeFor[pubsubResource](), "Policy": reflect.TypeFor[iamPolicy](),
			"ReceivedMessage": reflect.TypeFor[receivedMessage](), "PullResponse": reflect.TypeFor[pullAnswer](),
			"TestIamPermissionsResponse": reflect.TypeFor[iamPermissions](),
		},
		"oauth2/v2/oauth2-api.json": {"Userinfo": reflect.TypeFor[Userinfo]()},
	} {
		doc := readDiscovery(t, path)
		for name, typ := range types {
			doc.compare(t, name, typ, doc.Schemas[name])
		}
	}
}

func TestEveryFieldIsGoogles(t *testing.T) {
	doc := readDiscovery(t, "calendar/v3/calendar-api.json")
	doc.compare(t, "Event", reflect.TypeFor[Event](), doc.Schemas["Event"])
	doc.compare(t, "Events", reflect.TypeFor[eventPage](), doc.Schemas["Events"])
	doc.compare(t, "Calendar", reflect.TypeFor[Calendar](), doc.Schemas["Calendar"])
	meet := readDiscovery(t, "meet/v2/meet-api.json")
	meet.compare(t, "Space", reflect.TypeFor[Space](), meet.Schemas["Space"])
}

func TestEverySpaceSettingHasGooglesValues(t *testing.T) {
	doc := readDiscovery(t, "meet/v2/meet-api.json")
	for _, set := range spaceSettings() {
		schema := doc.Schemas["Space"]
		for name := range strings.SplitSeq(set.path, ".") {
			if schema = doc.resolve(schema).Properties[name]; schema == nil {
				t.Fatalf("%s: Google has no such field", set.path)
			}
		}
		got, want := slices.Sorted(slices.Values(append([]string{set.unset}, set.values...))), slices.Sorted(slices.Values(schema.Enum))
		if !slices.Equal(got, want) || !slices.Contains(set.values, *set.of(usualConfig())) {
			t.Errorf("%s: Google has %v, we %v and usually %q", set.path, want, got, *set.of(usualConfig()))
		}
	}
}

func TestEveryKnownScopeIsGoogles(t *testing.T) {
	real := make(map[string]bool)
	for _, path := range []string{
		"calendar/v3/calendar-api.json", "meet/v2/meet-api.json", "drive/v3/drive-api.json",
		"workspaceevents/v1/workspaceevents-api.json", "pubsub/v1/pubsub-api.json", "admin/directory/v1/admin-api.json", "oauth2/v2/oauth2-api.json",
	} {
		for scope := range readDiscovery(t, path).Auth.OAuth2.Scopes {
			real[scope] = true
		}
	}
	if got := scopeSet(); !reflect.DeepEqual(got, real) {
		t.Errorf("known scopes %v\nGoogle's %v", got, real)
	}
}
