package export

import (
	"path"
	"strings"
	"testing"
	"time"
)

func source() *Source {
	return &Source{
		At: time.Date(2026, 3, 9, 7, 5, 0, 0, time.UTC), RecordingID: 41, MeetingID: 12, MeetingUID: "0190c2d8-6c1c-7e0e-8a3f-0e6f5b1f7a10",
		Organizer: "ana@clinic.example", Reference: "case/7 ü", FileName: "Consulta (2026).MP4",
	}
}

func TestAKeyIsMadeOfItsTemplate(t *testing.T) {
	for template, want := range map[string]string{
		DefaultKey:           "2026/03/09/0190c2d8-6c1c-7e0e-8a3f-0e6f5b1f7a10/41.MP4",
		"rec-{recording_id}": "rec-41",
		"{organizer}/{year}-{month}-{day}T{hour}{minute}/{meeting_id}.{recording_id}{ext}": "ana@clinic.example/2026-03-09T0705/12.41.MP4",
		"{external_reference}/{recording_id}{ext}":                                         "case_7__/41.MP4",
	} {
		k, err := ParseKey(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got := k.Of(source()); got != want {
			t.Errorf("%s makes %s, want %s", template, got, want)
		}
	}
	if got := (Key{}).Of(source()); !strings.HasSuffix(got, "/41.MP4") {
		t.Errorf("the zero key makes %s", got)
	}
}

func TestATemplateThatCouldLeadAstrayIsRefused(t *testing.T) {
	for template, why := range map[string]string{
		"":                     "lacks {recording_id}",
		"{year}/{meeting_uid}": "lacks {recording_id}",
		"/{recording_id}":      "empty part",
		"{recording_id}/":      "empty part",
		"a//{recording_id}":    "empty part",
		"../{recording_id}":    "dots alone",
		"a/./{recording_id}":   "leads elsewhere",
		"{recording_id}/{ext}": "empty part",
		"{recording_id}/.../x": "dots alone",
		"{recording_id":        "without its }",
		"{recording}":          "not known",
		"{recording_id}}":      "no key may have",
		"c:\\{recording_id}":   "no key may have",
		"{recording_id} x":     "no key may have",
		"{recording_id}\x00":   "no key may have",
		"{organizer}{organizer}{external_reference}{meeting_uid}{recording_id}": "parts longer",
		strings.Repeat("{organizer}/", 20) + "{recording_id}":                   "keys longer",
	} {
		if _, err := ParseKey(template); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", template, err, why)
		}
	}
}

func FuzzNoKeyLeavesItsPlace(f *testing.F) {
	f.Add(DefaultKey, "../../etc", "..", "a.m/p4", "video/mp4")
	f.Add("{organizer}/{external_reference}/{recording_id}{ext}", ".", "", "x..", "")
	f.Fuzz(func(t *testing.T, template, organizer, reference, file, mime string) {
		k, err := ParseKey(template)
		if err != nil {
			return
		}
		key := k.Of(&Source{At: time.Unix(0, 0).UTC(), RecordingID: 7, Organizer: organizer, Reference: reference, MeetingUID: reference, FileName: file, MimeType: mime})
		if path.Clean("/"+key) != "/"+key || strings.HasPrefix(key, ".") && strings.Trim(strings.SplitN(key, "/", 2)[0], ".") == "" || !strings.Contains(key, "7") || len(key) > maxKey {
			t.Errorf("template %q makes %q", template, key)
		}
		if strings.ContainsFunc(key, func(r rune) bool { return !plain(r) && r != '/' }) {
			t.Errorf("template %q makes %q", template, key)
		}
	})
}
