package googlefake_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

func createSpace(t *testing.T, svc *meet.Service, cfg *meet.SpaceConfig) *meet.Space {
	t.Helper()
	sp, err := svc.Spaces.Create(&meet.Space{Config: cfg}).Do()
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

func recording(v string) *meet.SpaceConfig {
	return &meet.SpaceConfig{ArtifactConfig: &meet.ArtifactConfig{RecordingConfig: &meet.RecordingConfig{AutoRecordingGeneration: v}}}
}

func auto(sp *meet.Space) string {
	return sp.Config.ArtifactConfig.RecordingConfig.AutoRecordingGeneration
}

func TestRecordingIsPresetOnACalendarMadeMeetInThreeCalls(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))
	svc := f.meet(t, boss, scopeS)
	sp, err := svc.Spaces.Get("spaces/" + ev.ConferenceData.ConferenceId).Do()
	if err != nil {
		t.Fatal(err)
	}
	if sp.MeetingUri != ev.HangoutLink || sp.MeetingCode != ev.ConferenceData.ConferenceId || strings.Contains(sp.Name, sp.MeetingCode) || auto(sp) != "OFF" {
		t.Errorf("space %+v", sp)
	}
	_, err = svc.Spaces.Patch("spaces/"+sp.MeetingCode, &meet.Space{Config: recording("ON")}).UpdateMask("config.artifactConfig.recordingConfig").Do()
	refused(t, err, 403, "", "Permission denied on resource Space (or it might not exist).")
	sp, err = svc.Spaces.Patch(sp.Name, &meet.Space{Config: recording("ON")}).UpdateMask("config.artifactConfig.recordingConfig").Do()
	if err != nil || auto(sp) != "ON" {
		t.Fatalf("patch: %+v, %v", sp, err)
	}
	if sp, err = svc.Spaces.Get(sp.Name).Do(); err != nil || auto(sp) != "ON" || sp.Config.AccessType != "TRUSTED" {
		t.Errorf("read back: %+v, %v", sp, err)
	}
}

func TestOnlyTheOwnerSeesAndChangesASpacesConfig(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	sp := createSpace(t, f.meet(t, boss), &meet.SpaceConfig{AccessType: "OPEN"})
	if sp.Config.AccessType != "OPEN" || sp.MeetingUri != f.url+"/meet/"+sp.MeetingCode {
		t.Errorf("created: %+v %+v", sp, sp.Config)
	}
	other := f.meet(t, "ana@example.com")
	seen, err := other.Spaces.Get("spaces/" + strings.ToUpper(sp.MeetingCode)).Do()
	if err != nil || seen.Name != sp.Name || seen.Config != nil {
		t.Errorf("somebody else's view: %+v, %v", seen, err)
	}
	_, err = other.Spaces.Patch(sp.Name, &meet.Space{Config: recording("ON")}).Do()
	refused(t, err, 403, "", "")
	bare := f.meet(t, "")
	_, err = bare.Spaces.Create(&meet.Space{}).Do()
	refused(t, err, 403, "", "Permission denied on resource Space (or it might not exist).")
	_, err = bare.Spaces.Get(sp.Name).Do()
	refused(t, err, 403, "", "")
	_, err = bare.Spaces.Patch(sp.Name, &meet.Space{Config: recording("ON")}).Do()
	refused(t, err, 403, "", "")
	_, err = other.Spaces.Get("spaces/none").Do()
	refused(t, err, 404, "", "Requested entity was not found.")
	_, err = f.meet(t, boss, scopeR).Spaces.Patch(sp.Name, &meet.Space{}).Do()
	e := refused(t, err, 403, "", "Request had insufficient authentication scopes.")
	if !strings.Contains(e.Body, `"ACCESS_TOKEN_SCOPE_INSUFFICIENT"`) || !strings.Contains(e.Body, "google.apps.meet.v2.SpacesService.UpdateSpace") {
		t.Errorf("body %s", e.Body)
	}
	_, err = f.meet(t, boss, scopeS).Spaces.Create(&meet.Space{}).Do()
	refused(t, err, 403, "", "")
}

func TestUpdateMaskDecidesWhatAPatchChanges(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.meet(t, boss)
	both := &meet.SpaceConfig{
		AccessType: "RESTRICTED", Moderation: "ON",
		ArtifactConfig: &meet.ArtifactConfig{RecordingConfig: &meet.RecordingConfig{AutoRecordingGeneration: "ON"}},
	}
	for _, test := range []struct {
		name, mask string
		in         *meet.SpaceConfig
		want       string // access, moderation, recording after
	}{
		{"no mask takes what has a value", "", recording("OFF"), "RESTRICTED ON OFF"},
		{"a leaf", "config.accessType", &meet.SpaceConfig{AccessType: "OPEN", Moderation: "OFF"}, "OPEN ON ON"},
		{"two leaves", "config.accessType,config.moderation", &meet.SpaceConfig{AccessType: "OPEN", Moderation: "OFF"}, "OPEN OFF ON"},
		{"a message, in proto spelling", "config.artifact_config", recording("OFF"), "RESTRICTED ON OFF"},
		{"a leaf without a value goes back to the policy", "config.accessType", &meet.SpaceConfig{}, "TRUSTED ON ON"},
		{"unspecified is the policy", "config.accessType", &meet.SpaceConfig{AccessType: "ACCESS_TYPE_UNSPECIFIED"}, "TRUSTED ON ON"},
		{"a star replaces all", "*", &meet.SpaceConfig{AccessType: "OPEN"}, "OPEN OFF OFF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sp := createSpace(t, svc, both)
			call := svc.Spaces.Patch(sp.Name, &meet.Space{Config: test.in})
			if test.mask != "" {
				call = call.UpdateMask(test.mask)
			}
			sp, err := call.Do()
			if err != nil {
				t.Fatal(err)
			}
			if got := sp.Config.AccessType + " " + sp.Config.Moderation + " " + auto(sp); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestMeetRefusesWhatItDoesNotKnow(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	svc := f.meet(t, boss)
	sp := createSpace(t, svc, nil)
	_, err := svc.Spaces.Create(&meet.Space{Config: &meet.SpaceConfig{AccessType: "EVERYBODY"}}).Do()
	refused(t, err, 400, "", `Invalid value at 'space.config.accessType', "EVERYBODY"`)
	_, err = svc.Spaces.Patch(sp.Name, &meet.Space{}).UpdateMask("config.recording").Do()
	refused(t, err, 400, "", "Invalid field mask path: config.recording")
	token := f.bearer(t, boss, scopeC)
	for body, want := range map[string]string{
		`{"config":{"accesType":"OPEN"}}`: `Unknown name \"accesType\"`,
		`{"config":7}`:                    `INVALID_ARGUMENT`,
		`{`:                               `Invalid JSON payload received.`,
	} {
		status, _, got := send(t, http.MethodPost, f.url+"/v2/spaces", body, "Authorization", token)
		if status != 400 || !strings.Contains(string(got), want) {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	status, _, got := send(t, http.MethodPost, f.url+"/v2/spaces?color=red", "", "Authorization", token)
	if status != 400 || !strings.Contains(string(got), "Cannot bind query parameter") {
		t.Errorf("unknown parameter: %d %s", status, got)
	}
}

func TestSpacesRememberWhereTheyCameFrom(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	createSpace(t, f.meet(t, boss), nil)
	insert(t, f.calendar(t, "ana@example.com"), &calendar.Event{
		Start: &calendar.EventDateTime{Date: "2026-03-05"}, End: &calendar.EventDateTime{Date: "2026-03-06"},
		ConferenceData: lesson("x").ConferenceData,
	})
	st := f.state(t)
	if len(st.Spaces) != 2 || st.Spaces[0].Origin != "app" || st.Spaces[0].Owner != boss || st.Spaces[1].Origin != "calendar" || st.Spaces[1].Owner != "ana@example.com" {
		t.Errorf("spaces %+v", st.Spaces)
	}
	if id := st.Events[0].ID; len(id) != 26 || st.Events[0].CalendarID != "ana@example.com" {
		t.Errorf("event without an id of its own got %q in %q", id, st.Events[0].CalendarID)
	}
}
