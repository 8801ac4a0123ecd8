package googlefake_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	directory "google.golang.org/api/admin/directory/v1"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/meet/v2"
	oauth2api "google.golang.org/api/oauth2/v2"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/api/workspaceevents/v1"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

const (
	topicName  = "projects/meet-emulator/topics/meet"
	pubsubName = "projects/meet-emulator/subscriptions/meet"
)

// room is a Calendar-made space with recording on, and the clients around it.
type room struct {
	*fake
	meet  *meet.Service
	drive *drive.Service
	space *meet.Space
}

func newRoom(t *testing.T, cfg googlefake.Config) *room {
	t.Helper()
	f := newFake(t, cfg)
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))
	r := &room{fake: f, meet: f.meet(t, boss)}
	var err error
	if r.space, err = r.meet.Spaces.Get("spaces/" + ev.ConferenceData.ConferenceId).Do(); err != nil {
		t.Fatal(err)
	}
	r.record(t, "ON")
	r.drive, err = drive.NewService(t.Context(), option.WithHTTPClient(f.client(t, boss, drive.DriveScope)), option.WithEndpoint(f.url+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *room) record(t *testing.T, value string) {
	t.Helper()
	config := &meet.SpaceConfig{ArtifactConfig: &meet.ArtifactConfig{
		RecordingConfig:     &meet.RecordingConfig{AutoRecordingGeneration: value},
		TranscriptionConfig: &meet.TranscriptionConfig{AutoTranscriptionGeneration: value},
	}}
	if _, err := r.meet.Spaces.Patch(r.space.Name, &meet.Space{Config: config}).Do(); err != nil {
		t.Fatal(err)
	}
}

// stage puts a script on; its code is the room's.
func (r *room) stage(t *testing.T, script string) []string {
	t.Helper()
	body := strings.Replace(script, "{", `{"code":"`+r.space.MeetingCode+`",`, 1)
	return decode[struct{ ConferenceRecords []string }](t, r.control(t, "conference", body)).ConferenceRecords
}

func (r *room) advance(t *testing.T, d time.Duration) {
	t.Helper()
	if err := r.Advance(d); err != nil {
		t.Fatal(err)
	}
}

func (r *room) recordings(t *testing.T, record string) []*meet.Recording {
	t.Helper()
	got, err := r.meet.ConferenceRecords.Recordings.List(record).Do()
	if err != nil {
		t.Fatal(err)
	}
	return got.Recordings
}

const cast = `"people":[{"email":"boss@example.com","joins":"1m","leaves":"31m"},{"name":"Guest","joins":"0s","leaves":"10m","rejoins":[{"joins":"15m","leaves":"20m"}]},{"phone":"+49 30 ...12","joins":"2m","leaves":"30m"}]`

func TestAConferenceHappensOnTheEmulatorsClock(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	names := r.stage(t, `{"starts":"2026-03-02T10:00:00Z",`+cast+`,"file_after":"3m"}`)
	if len(names) != 1 {
		t.Fatalf("%q", names)
	}
	name := names[0]
	_, err := r.meet.ConferenceRecords.Get(name).Do()
	refused(t, err, 404, "", "")
	r.advance(t, time.Hour) // somebody knocks
	got, err := r.meet.ConferenceRecords.Get(name).Do()
	if err != nil || got.StartTime != "2026-03-02T10:00:00.000000Z" || got.EndTime != "" || got.Space != r.space.Name {
		t.Fatalf("%+v %v", got, err)
	}
	if sp, err := r.meet.Spaces.Get(r.space.Name).Do(); err != nil || sp.ActiveConference == nil || sp.ActiveConference.ConferenceRecord != name {
		t.Errorf("%+v %v", sp, err)
	}
	if list := r.recordings(t, name); len(list) != 0 {
		t.Errorf("nobody is there who may record: %+v", list)
	}
	r.advance(t, time.Minute)
	list := r.recordings(t, name)
	if len(list) != 1 || list[0].State != "STARTED" || list[0].StartTime != "2026-03-02T10:01:00.000000Z" || list[0].EndTime != "" || list[0].DriveDestination != nil {
		t.Fatalf("%+v", list)
	}
	r.advance(t, 11*time.Minute) // 10:12, the guest is out
	in, err := r.meet.ConferenceRecords.Participants.List(name).Filter("latest_end_time IS NULL").Fields("participants(name,signedinUser,phoneUser)", "totalSize").Do()
	if err != nil || len(in.Participants) != 2 || in.TotalSize != 2 || in.Participants[0].PhoneUser == nil || in.Participants[1].SignedinUser.DisplayName != "boss" || in.Participants[1].EarliestStartTime != "" {
		t.Fatalf("%+v %v", in, err)
	}
	r.advance(t, 19*time.Minute) // 10:31
	if list = r.recordings(t, name); list[0].State != "ENDED" || list[0].EndTime != "2026-03-02T10:31:00.000000Z" {
		t.Errorf("%+v", list[0])
	}
	all, err := r.meet.ConferenceRecords.Participants.List(name).Do()
	if err != nil || len(all.Participants) != 3 || all.TotalSize != 0 || all.Participants[2].AnonymousUser.DisplayName != "Guest" || all.Participants[2].LatestEndTime != "2026-03-02T10:20:00.000000Z" {
		t.Fatalf("%+v %v", all, err)
	}
	sessions, err := r.meet.ConferenceRecords.Participants.ParticipantSessions.List(all.Participants[2].Name).Do()
	if err != nil || len(sessions.ParticipantSessions) != 2 || sessions.ParticipantSessions[0].StartTime != "2026-03-02T10:15:00.000000Z" {
		t.Fatalf("%+v %v", sessions, err)
	}
	if one, err := r.meet.ConferenceRecords.Participants.ParticipantSessions.Get(sessions.ParticipantSessions[1].Name).Do(); err != nil || one.EndTime != "2026-03-02T10:10:00.000000Z" {
		t.Errorf("%+v %v", one, err)
	}
	r.advance(t, 3*time.Minute)
	if list = r.recordings(t, name); list[0].State != "FILE_GENERATED" || list[0].DriveDestination.File == "" {
		t.Fatalf("%+v", list[0])
	}
	scripts, err := r.meet.ConferenceRecords.Transcripts.List(name).Do()
	if err != nil || len(scripts.Transcripts) != 1 || scripts.Transcripts[0].DocsDestination == nil {
		t.Fatalf("%+v %v", scripts, err)
	}
	entries, err := r.meet.ConferenceRecords.Transcripts.Entries.List(scripts.Transcripts[0].Name).PageSize(1000).Do()
	if err != nil || len(entries.TranscriptEntries) < 50 || entries.TranscriptEntries[0].Participant == "" {
		t.Errorf("%d %v", len(entries.TranscriptEntries), err)
	}
	text, err := r.drive.Files.Export(scripts.Transcripts[0].DocsDestination.Document, "text/plain").Download()
	if err != nil {
		t.Fatal(err)
	}
	defer text.Body.Close()
	if b, err := io.ReadAll(text.Body); err != nil || !bytes.Contains(b, []byte("sentence 1 of")) {
		t.Errorf("%s %v", b, err)
	}
	notes, err := r.meet.ConferenceRecords.SmartNotes.List(name).Do()
	if err != nil || len(notes.SmartNotes) != 0 {
		t.Errorf("%+v %v", notes, err)
	}
	_, err = r.fake.meet(t, "stranger@example.com").ConferenceRecords.Get(name).Do()
	refused(t, err, 403, "", "")
	r.advance(t, 31*24*time.Hour)
	_, err = r.meet.ConferenceRecords.Get(name).Do()
	refused(t, err, 404, "", "")
	if f, err := r.drive.Files.Get(list[0].DriveDestination.File).Do(); err != nil || !strings.HasSuffix(f.Name, "Recording.mp4") || f.Size != 0 {
		t.Errorf("the file stays: %+v %v", f, err)
	}
}

func TestEveryFateOfARecording(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		before func(*testing.T, *room)
		want   string // states after a day, files' state
	}{
		"auto":          {script: `{` + cast + `}`, want: "FILE_GENERATED"},
		"never":         {script: `{"recording":"never",` + cast + `}`},
		"stops":         {script: `{"recording":"stops","recording_stops":"5m",` + cast + `}`, want: "FILE_GENERATED"},
		"two":           {script: `{"recording":"two",` + cast + `}`, want: "FILE_GENERATED FILE_GENERATED"},
		"lost":          {script: `{"recording":"lost",` + cast + `}`, want: "ENDED"},
		"deleted":       {script: `{"file_fate":"deleted","fate_after":"1h",` + cast + `}`, want: "FILE_GENERATED gone"},
		"trashed":       {script: `{"file_fate":"trashed","fate_after":"1h",` + cast + `}`, want: "FILE_GENERATED trashed"},
		"not asked for": {script: `{` + cast + `}`, before: func(t *testing.T, r *room) { r.record(t, "OFF") }},
		"nobody who may record": {script: `{"people":[{"name":"Guest"},{"email":"x@elsewhere.org"}]}`, before: func(t *testing.T, r *room) {
			r.control(t, "accounts", `{"domain":"elsewhere.org","may_record":false}`)
		}},
		"an address of elsewhere": {script: `{"people":[{"email":"x@elsewhere.org"}]}`, want: "FILE_GENERATED"},
		"no licence": {script: `{` + cast + `}`, before: func(t *testing.T, r *room) {
			r.control(t, "accounts", `{"domain":"example.com","may_record":false}`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t, googlefake.Config{})
			if tt.before != nil {
				tt.before(t, r)
			}
			record := r.stage(t, tt.script)[0]
			r.advance(t, 24*time.Hour)
			var got []string
			for _, rec := range r.recordings(t, record) {
				got = append(got, rec.State)
				if rec.DriveDestination == nil {
					continue
				}
				f, err := r.drive.Files.Get(rec.DriveDestination.File).Fields("trashed").Do()
				if googleapi.IsNotModified(err) || err != nil {
					refused(t, err, 404, "notFound", "")
					got = append(got, "gone")
				} else if f.Trashed {
					got = append(got, "trashed")
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
			if tt.want == "" {
				return
			}
			rec := r.recordings(t, record)[0]
			started, _ := time.Parse(time.RFC3339, rec.StartTime)
			ended, _ := time.Parse(time.RFC3339, rec.EndTime)
			if name == "stops" && ended.Sub(started) != 5*time.Minute {
				t.Errorf("lasted %v", ended.Sub(started))
			}
		})
	}
}

func TestARoomThatEmptiesMakesASecondConference(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	names := r.stage(t, `{"people":[{"email":"boss@example.com","joins":"0s","leaves":"10m","rejoins":[{"joins":"20m","leaves":"30m"}]},{"name":"G","joins":"10m30s","leaves":"11m"}]}`)
	if len(names) != 2 {
		t.Fatalf("%q", names)
	}
	if got := r.stage(t, `{"people":[]}`); len(got) != 0 {
		t.Errorf("nobody comes: %q", got)
	}
	r.advance(t, time.Hour)
	list, err := r.meet.ConferenceRecords.List().Do()
	if err != nil || len(list.ConferenceRecords) != 2 || list.ConferenceRecords[0].Name != names[1] || list.ConferenceRecords[1].EndTime != "2026-03-02T09:11:00.000000Z" {
		t.Errorf("newest first: %+v %v", list, err)
	}
	for body, field := range map[string]string{
		`{"code":"abc-defg-hij","people":[]}`: "code", `{"people":[]}`: "code",
		`{"code":"` + r.space.MeetingCode + `","people":[{}]}`:                                      "people",
		`{"code":"` + r.space.MeetingCode + `","people":[{"name":"x","joins":"1h","leaves":"1m"}]}`: "people",
		`{"code":"` + r.space.MeetingCode + `","people":[],"recording":"maybe"}`:                    "recording",
		`{"code":"` + r.space.MeetingCode + `","people":[],"starts":"soon"}`:                        "starts",
		`{"code":"` + r.space.MeetingCode + `","people":[],"file_after":"x"}`:                       "file_after",
	} {
		code, _, got := send(t, "POST", r.url+"/_emulator/conference", body)
		if code != 400 || !strings.Contains(string(got), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s, want field %s", body, code, got, field)
		}
	}
}

func TestConferenceRecordsAreFilteredAndPaged(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	const all = 30
	for i := range all {
		r.stage(t, fmt.Sprintf(`{"starts":"2026-03-03T%02d:%02d:00Z","people":[{"email":"boss@example.com","leaves":"20m"}]}`, i/2, i%2*30))
	}
	r.advance(t, 15*time.Hour+10*time.Minute) // Tuesday, 00:10
	list := func(filter string, size int64) (names []string, next string) {
		t.Helper()
		got, err := r.meet.ConferenceRecords.List().Filter(filter).PageSize(size).Do()
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		for _, c := range got.ConferenceRecords {
			names = append(names, c.StartTime[11:16])
		}
		return names, got.NextPageToken
	}
	if got, _ := list(`end_time IS NULL`, 0); !slices.Equal(got, []string{"00:00"}) {
		t.Errorf("running: %q", got)
	}
	r.advance(t, 24*time.Hour)
	got, next := list("", 0)
	if len(got) != 25 || next == "" || got[0] != "14:30" {
		t.Errorf("%q %q", got, next)
	}
	if got, _ := list("", 1000); len(got) != all {
		t.Errorf("%d of a page of 1000, capped at 100", len(got))
	}
	page, err := r.meet.ConferenceRecords.List().PageToken(next).Do()
	if err != nil || len(page.ConferenceRecords) != all-25 || page.NextPageToken != "" {
		t.Errorf("%+v %v", page, err)
	}
	for filter, want := range map[string]int{
		`space.name = "` + r.space.Name + `"`: all,
		`space.name="spaces/other"`:           0,
		`space.meeting_code = "` + strings.ToUpper(r.space.MeetingCode) + `" AND start_time>="2026-03-03T14:00:00Z"`: 2,
		`start_time>="2026-03-03T01:00:00.000Z" AND start_time<="2026-03-03T02:00:00Z"`:                              3,
		`end_time<="2026-03-03T00:20:00Z"`: 1,
		`end_time IS NULL`:                 0,
	} {
		if got, _ := list(filter, 100); len(got) != want {
			t.Errorf("%s: %q, want %d", filter, got, want)
		}
	}
	for _, filter := range []string{`x="y"`, `space.name`, `space.name="x" OR space.name="y"`, `start_time>"2026-03-03T01:00:00Z"`, `start_time>="monday"`, `space.name IS NULL`, `space.name="x`, `space.name=x`, `end_time IS NOT NULL`} {
		_, err := r.meet.ConferenceRecords.List().Filter(filter).Do()
		refused(t, err, 400, "", "")
	}
}

func TestARunningConferenceCanBeEndedInAnAppsSpaceOnly(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	end := func(name string) error {
		_, err := r.meet.Spaces.EndActiveConference(name, &meet.EndActiveConferenceRequest{}).Do()
		return err
	}
	refused(t, end(r.space.Name), 403, "", "")
	_, err := r.meet.Spaces.Members.Create(r.space.Name, &meet.Member{Email: "ana@example.com", Role: "COHOST"}).Do()
	refused(t, err, 403, "", "Permission denied on resource Member (or it might not exist).")
	r.space, err = r.meet.Spaces.Create(&meet.Space{}).Do()
	if err != nil {
		t.Fatal(err)
	}
	r.record(t, "ON")
	if e := refused(t, end(r.space.Name), 400, "", ""); !strings.Contains(e.Body, "FAILED_PRECONDITION") {
		t.Errorf("%s", e.Body)
	}
	name := r.stage(t, `{`+cast+`}`)[0]
	r.advance(t, 5*time.Minute)
	if err := end(r.space.Name); err != nil {
		t.Fatal(err)
	}
	got, err := r.meet.ConferenceRecords.Get(name).Do()
	if err != nil || got.EndTime != "2026-03-02T09:05:00.000000Z" || r.recordings(t, name)[0].State != "ENDED" {
		t.Errorf("%+v %v", got, err)
	}
	r.advance(t, 3*time.Minute)
	if got := r.recordings(t, name)[0].State; got != "FILE_GENERATED" {
		t.Error(got)
	}
	m, err := r.meet.Spaces.Members.Create(r.space.Name, &meet.Member{Email: "ana@example.com", Role: "COHOST"}).Do()
	if err != nil || m.Role != "COHOST" {
		t.Fatalf("%+v %v", m, err)
	}
	_, err = r.meet.Spaces.Members.Create(r.space.Name, &meet.Member{Email: "ana@example.com"}).Do()
	refused(t, err, 409, "", "")
	if list, err := r.meet.Spaces.Members.List(r.space.Name).Do(); err != nil || len(list.Members) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := r.meet.Spaces.Members.Delete(m.Name).Do(); err != nil {
		t.Error(err)
	}
	_, err = r.meet.Spaces.Members.Get(m.Name).Do()
	refused(t, err, 404, "", "")
}

func TestAFileIsReadWholeInPartsAndWrong(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	const size = 300_000
	name := r.stage(t, fmt.Sprintf(`{"file_size":%d,%s}`, size, cast))[0]
	r.advance(t, time.Hour)
	id := r.recordings(t, name)[0].DriveDestination.File
	f, err := r.drive.Files.Get(id).Fields("size,md5Checksum,sha256Checksum,owners(emailAddress),videoMediaMetadata").Do()
	if err != nil || f.Size != size || f.Owners[0].EmailAddress != boss || f.VideoMediaMetadata.DurationMillis != 30*60*1000 || f.Name != "" {
		t.Fatalf("%+v %v", f, err)
	}
	read := func(bytes string) ([]byte, int, error) {
		t.Helper()
		call := r.drive.Files.Get(id)
		if bytes != "" {
			call.Header().Set("Range", "bytes="+bytes)
		}
		res, err := call.Download()
		if err != nil {
			return nil, 0, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return b, res.StatusCode, err
	}
	whole, code, err := read("")
	sum, old := sha256.Sum256(whole), md5.Sum(whole)
	if err != nil || code != 200 || len(whole) != size || hex.EncodeToString(sum[:]) != f.Sha256Checksum || hex.EncodeToString(old[:]) != f.Md5Checksum {
		t.Fatalf("%d bytes, %d %v", len(whole), code, err)
	}
	if part, code, err := read("65530-200001"); err != nil || code != 206 || !bytes.Equal(part, whole[65530:200002]) {
		t.Errorf("%d bytes, %d %v", len(part), code, err)
	}
	_, _, err = read("300000-")
	var e *googleapi.Error
	if e, _ = err.(*googleapi.Error); e == nil || e.Code != 416 { //nolint:errorlint // returned bare
		t.Errorf("out of range: %v", err)
	}
	r.control(t, "data", `{"drive_cut":1000,"drive_checksum":"wrong"}`)
	if part, _, err := read(""); err == nil || len(part) != 1000 {
		t.Errorf("%d bytes, %v", len(part), err)
	}
	if g, err := r.drive.Files.Get(id).Fields("sha256Checksum").Do(); err != nil || g.Sha256Checksum == f.Sha256Checksum || len(g.Sha256Checksum) != 64 {
		t.Errorf("%+v %v", g, err)
	}
	r.control(t, "data", `{"drive_cut":0,"drive_ignore_range":true}`)
	if part, code, err := read("5-"); err != nil || code != 200 || len(part) != size {
		t.Errorf("%d bytes, %d %v", len(part), code, err)
	}
	ana, err := drive.NewService(t.Context(), option.WithHTTPClient(r.client(t, "ana@example.com", drive.DriveReadonlyScope)), option.WithEndpoint(r.url+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = ana.Files.Get(id).Do()
	refused(t, err, 404, "notFound", "")
	for range 2 {
		if _, err := r.drive.Permissions.Create(id, &drive.Permission{Type: "user", Role: "reader", EmailAddress: "ana@example.com"}).SendNotificationEmail(false).Do(); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := r.drive.Permissions.List(id).Do(); err != nil || len(p.Permissions) != 2 {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := ana.Files.Get(id).Do(); err != nil {
		t.Error(err)
	}
	list, err := r.drive.Files.List().Q("mimeType = 'video/mp4' and trashed = false").Do()
	if err != nil || len(list.Files) != 1 || list.Files[0].Id != id {
		t.Errorf("%+v %v", list, err)
	}
	r.control(t, "files", `{"id":"`+id+`","deleted":true}`)
	_, err = r.drive.Files.Get(id).Do()
	refused(t, err, 404, "notFound", "")
}

// follow subscribes boss to her own spaces and gives what reads the events.
func (r *room) follow(t *testing.T) (*workspaceevents.Service, *pubsub.Service) {
	t.Helper()
	events, err := workspaceevents.NewService(t.Context(), option.WithHTTPClient(r.client(t, boss, scopeR)), option.WithEndpoint(r.url))
	if err != nil {
		t.Fatal(err)
	}
	ps, err := pubsub.NewService(t.Context(), option.WithHTTPClient(r.client(t, "", pubsub.PubsubScope)), option.WithEndpoint(r.url))
	if err != nil {
		t.Fatal(err)
	}
	return events, ps
}

func bossID(t *testing.T, f *fake) string {
	t.Helper()
	dir, err := directory.NewService(t.Context(), option.WithHTTPClient(f.client(t, boss, directory.AdminDirectoryUserReadonlyScope)), option.WithEndpoint(f.url))
	if err != nil {
		t.Fatal(err)
	}
	u, err := dir.Users.Get(boss).Fields("id", "primaryEmail").Do()
	if err != nil || u.PrimaryEmail != boss || len(u.Id) != 21 {
		t.Fatalf("%+v %v", u, err)
	}
	if again, err := dir.Users.Get(u.Id).Do(); err != nil || again.PrimaryEmail != boss {
		t.Errorf("by id: %+v %v", again, err)
	}
	info, err := oauth2api.NewService(t.Context(), option.WithHTTPClient(f.client(t, boss, "openid")), option.WithEndpoint(f.url))
	if err != nil {
		t.Fatal(err)
	}
	if me, err := info.Userinfo.Get().Do(); err != nil || me.Id != u.Id {
		t.Errorf("%+v %v", me, err)
	}
	return u.Id
}

func everyType() []string {
	var all []string
	for _, name := range []string{"conference.v2.started", "conference.v2.ended", "participant.v2.joined", "participant.v2.left", "recording.v2.started", "recording.v2.ended", "recording.v2.fileGenerated"} {
		all = append(all, "google.workspace.meet."+name)
	}
	return all
}

func subscribe(t *testing.T, events *workspaceevents.Service, id string) workspaceevents.Subscription {
	t.Helper()
	op, err := events.Subscriptions.Create(&workspaceevents.Subscription{
		TargetResource: "//cloudidentity.googleapis.com/users/" + id, EventTypes: everyType(),
		NotificationEndpoint: &workspaceevents.NotificationEndpoint{PubsubTopic: topicName}, Ttl: "604800s",
	}).Do()
	if err != nil || !op.Done {
		t.Fatalf("%+v %v", op, err)
	}
	return decode[workspaceevents.Subscription](t, op.Response)
}

// drain pulls and acknowledges all that is there and gives the types, short.
func drain(t *testing.T, ps *pubsub.Service) (types []string, last *pubsub.PubsubMessage) {
	t.Helper()
	for {
		got, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: 5, ReturnImmediately: true}).Do()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.ReceivedMessages) == 0 {
			return types, last
		}
		var ids []string
		for _, m := range got.ReceivedMessages {
			ids = append(ids, m.AckId)
			last = m.Message
			kind := strings.TrimPrefix(m.Message.Attributes["ce-type"], "google.workspace.")
			types = append(types, strings.TrimPrefix(kind, "meet."))
		}
		if _, err := ps.Projects.Subscriptions.Acknowledge(pubsubName, &pubsub.AcknowledgeRequest{AckIds: ids}).Do(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryStepOfAConferenceIsAnEvent(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	events, ps := r.follow(t)
	if _, err := ps.Projects.Topics.Create(topicName, &pubsub.Topic{}).Do(); err != nil {
		t.Fatal(err)
	}
	if _, err := ps.Projects.Subscriptions.Create(pubsubName, &pubsub.Subscription{Topic: topicName, EnableMessageOrdering: true}).Do(); err != nil {
		t.Fatal(err)
	}
	id := bossID(t, r.fake)
	sub := subscribe(t, events, id)
	if sub.State != "ACTIVE" || sub.ExpireTime != "2026-03-09T09:00:00.000000Z" || sub.Authority != "users/"+id {
		t.Errorf("%+v", sub)
	}
	_, err := events.Subscriptions.Create(&workspaceevents.Subscription{TargetResource: sub.TargetResource, EventTypes: everyType(), NotificationEndpoint: sub.NotificationEndpoint}).Do()
	refused(t, err, 409, "", "")
	list, err := events.Subscriptions.List().Filter(`event_types:"google.workspace.meet.conference.v2.started" AND target_resource="` + sub.TargetResource + `"`).Do()
	if err != nil || len(list.Subscriptions) != 1 || list.Subscriptions[0].Name != sub.Name {
		t.Errorf("%+v %v", list, err)
	}
	record := r.stage(t, `{"people":[{"email":"boss@example.com","joins":"0s","leaves":"10m"}]}`)[0]
	r.advance(t, time.Hour)
	types, last := drain(t, ps)
	want := []string{"conference.v2.started", "participant.v2.joined", "recording.v2.started", "participant.v2.left", "recording.v2.ended", "conference.v2.ended", "recording.v2.fileGenerated"}
	slices.Sort(types)
	slices.Sort(want)
	if !slices.Equal(types, want) {
		t.Errorf("%q", types)
	}
	data, err := base64.StdEncoding.DecodeString(last.Data)
	var body struct{ Recording struct{ Name string } }
	if err != nil || json.Unmarshal(data, &body) != nil || !strings.HasPrefix(body.Recording.Name, record+"/recordings/") {
		t.Errorf("%s %v", data, err)
	}
	if a := last.Attributes; a["ce-source"] != "//workspaceevents.googleapis.com/"+sub.Name || a["ce-subject"] != sub.TargetResource || a["ce-time"] != "2026-03-02T09:13:00.000000Z" || last.OrderingKey != a["ce-source"] {
		t.Errorf("%v %q", a, last.OrderingKey)
	}
	if types, _ := drain(t, ps); len(types) != 0 {
		t.Errorf("again %q", types)
	}
	// Half way it is renewed; then nobody does it.
	r.advance(t, 3*24*time.Hour)
	op, err := events.Subscriptions.Patch(sub.Name, &workspaceevents.Subscription{Ttl: "0s", ForceSendFields: []string{"Ttl"}}).UpdateMask("ttl").Do()
	if err != nil || decode[workspaceevents.Subscription](t, op.Response).ExpireTime != "2026-03-12T10:00:00.000000Z" {
		t.Errorf("%s %v", op.Response, err)
	}
	r.advance(t, 8*24*time.Hour)
	if types, _ := drain(t, ps); !slices.Equal(types, []string{"events.subscription.v1.expirationReminder", "events.subscription.v1.expirationReminder", "events.subscription.v1.expired"}) {
		t.Errorf("%q", types)
	}
	_, err = events.Subscriptions.Get(sub.Name).Do()
	refused(t, err, 404, "", "")
}

func TestASubscriptionIsSuspendedAndReactivated(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	events, ps := r.follow(t)
	sub := subscribe(t, events, bossID(t, r.fake))
	state := func() string {
		t.Helper()
		got, err := events.Subscriptions.Get(sub.Name).Do()
		if err != nil {
			t.Fatal(err)
		}
		return got.State + " " + got.SuspensionReason
	}
	reactivate := func() error {
		_, err := events.Subscriptions.Reactivate(sub.Name, &workspaceevents.ReactivateSubscriptionRequest{}).Do()
		return err
	}
	if e := refused(t, reactivate(), 400, "", ""); !strings.Contains(e.Body, "FAILED_PRECONDITION") {
		t.Errorf("%s", e.Body)
	}
	drain(t, ps) // makes the Pub/Sub subscription
	r.control(t, "pubsub", `{"topic":"`+topicName+`","publisher":false}`)
	if p, err := ps.Projects.Topics.GetIamPolicy(topicName).Do(); err != nil || len(p.Bindings) != 0 {
		t.Errorf("%+v %v", p, err)
	}
	r.stage(t, `{"people":[{"email":"boss@example.com"}]}`)
	if got := state(); got != "SUSPENDED ENDPOINT_PERMISSION_DENIED" {
		t.Error(got)
	}
	refused(t, reactivate(), 403, "", "")
	r.control(t, "pubsub", `{"topic":"`+topicName+`","publisher":true}`)
	if err := reactivate(); err != nil || state() != "ACTIVE " {
		t.Errorf("%v %s", err, state())
	}
	r.control(t, "subscriptions", `{"suspend":"USER_SCOPE_REVOKED"}`)
	types, last := drain(t, ps)
	if data, _ := base64.StdEncoding.DecodeString(last.Data); state() != "SUSPENDED USER_SCOPE_REVOKED" || !slices.Contains(types, "events.subscription.v1.suspended") || !strings.Contains(string(data), `"suspension_reason":"USER_SCOPE_REVOKED"`) {
		t.Errorf("%s %q %s", state(), types, data)
	}
	r.control(t, "subscriptions", `{"name":"`+sub.Name+`","expire":true}`)
	_, err := events.Subscriptions.Get(sub.Name).Do()
	refused(t, err, 404, "", "")
	r.control(t, "pubsub", `{"topic":"`+topicName+`","delete":true}`)
	_, err = events.Subscriptions.Create(&workspaceevents.Subscription{TargetResource: sub.TargetResource, EventTypes: everyType(), NotificationEndpoint: sub.NotificationEndpoint}).ValidateOnly(true).Do()
	refused(t, err, 404, "", "")
	r.control(t, "pubsub", `{"subscription":"`+pubsubName+`","subscriber":false}`)
	_, err = ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: 1}).Do()
	refused(t, err, 403, "", "")
	if p, err := ps.Projects.Subscriptions.TestIamPermissions(pubsubName, &pubsub.TestIamPermissionsRequest{Permissions: []string{"pubsub.subscriptions.consume"}}).Do(); err != nil || len(p.Permissions) != 0 {
		t.Errorf("%+v %v", p, err)
	}
}

func TestAPullHangsUntilSomethingComes(t *testing.T) {
	r := newRoom(t, googlefake.Config{Now: time.Now})
	events, ps := r.follow(t)
	subscribe(t, events, bossID(t, r.fake))
	drain(t, ps)
	r.control(t, "clock", `{"rate":3600}`)
	r.stage(t, `{"starts":"`+r.Now().Add(30*time.Minute).Format(time.RFC3339)+`","people":[{"email":"boss@example.com"}]}`)
	got, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: 1}).Do() // half a second away
	if err != nil || len(got.ReceivedMessages) != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	ack := got.ReceivedMessages[0]
	if _, err := ps.Projects.Subscriptions.ModifyAckDeadline(pubsubName, &pubsub.ModifyAckDeadlineRequest{AckIds: []string{ack.AckId}, ForceSendFields: []string{"AckDeadlineSeconds"}}).Do(); err != nil {
		t.Fatal(err)
	}
	again, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: 1}).Do()
	if err != nil || again.ReceivedMessages[0].Message.MessageId != ack.Message.MessageId || again.ReceivedMessages[0].AckId == ack.AckId {
		t.Errorf("after a nack: %+v %v", again, err)
	}
}

func TestNoticesGetLostDoubledAndGarbled(t *testing.T) {
	r := newRoom(t, googlefake.Config{Seed: 7})
	events, ps := r.follow(t)
	subscribe(t, events, bossID(t, r.fake))
	drain(t, ps)
	play := func(faults string) ([]string, *pubsub.PubsubMessage) {
		t.Helper()
		r.control(t, "events", faults)
		r.stage(t, `{"recording":"never","people":[{"email":"boss@example.com","leaves":"5m"}]}`)
		r.advance(t, time.Hour)
		return drain(t, ps)
	}
	if got, _ := play(`{"drop":1}`); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got, _ := play(`{"drop":0,"duplicate":1}`); len(got) != 8 || got[0] != got[1] {
		t.Errorf("%q", got)
	}
	if got, _ := play(`{"duplicate":0,"unknown_type":1}`); len(got) != 8 || !slices.Contains(got, "weather.v9.changed") {
		t.Errorf("%q", got)
	}
	if _, last := play(`{"unknown_type":0,"undecodable":1}`); last.Data != base64.StdEncoding.EncodeToString([]byte("\xff not JSON")) {
		t.Errorf("%q", last.Data)
	}
	if got, _ := play(`{"undecodable":0,"late":1,"delay":"2h"}`); len(got) != 0 {
		t.Errorf("%q", got)
	}
	r.advance(t, 2*time.Hour)
	if got, _ := drain(t, ps); len(got) != 4 {
		t.Errorf("late: %q", got)
	}
	r.control(t, "events", `{"late":0,"reorder":1}`)
	r.stage(t, `{"recording":"never","people":[{"email":"boss@example.com","leaves":"5m"}]}`)
	r.advance(t, time.Hour)
	if got, _ := drain(t, ps); len(got) != 4 || got[0] == "conference.v2.started" {
		t.Errorf("%q", got)
	}
	if got := r.state(t).EventsSent; got.Dropped != 4 || got.Duplicated != 4 || got.Undecodable != 4 || got.Late != 4 || got.Reordered != 4 {
		t.Errorf("%+v", got)
	}
	code, _, body := send(t, "POST", r.url+"/_emulator/events", `{"drop":2}`)
	if code != 400 || !strings.Contains(string(body), `"field":"drop"`) {
		t.Errorf("%d %s", code, body)
	}
}

func TestConferencesAndEventsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	open := func() (*room, func()) {
		f, stop := inDir(t, dir)
		return &room{fake: f, meet: f.meet(t, boss)}, stop
	}
	r, stop := open()
	ev := insert(t, r.calendar(t, boss), lesson("lesson00001"))
	var err error
	if r.space, err = r.meet.Spaces.Get("spaces/" + ev.ConferenceData.ConferenceId).Do(); err != nil {
		t.Fatal(err)
	}
	r.record(t, "ON")
	events, ps := r.follow(t)
	subscribe(t, events, bossID(t, r.fake))
	drain(t, ps)
	name := r.stage(t, `{"people":[{"email":"boss@example.com","leaves":"10m"}]}`)[0]
	r.advance(t, 5*time.Minute)
	want := asJSON(t, r.state(t))
	stop()
	r, stop = open()
	defer stop()
	if got := asJSON(t, r.state(t)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	r.advance(t, time.Hour)
	_, ps = r.follow(t)
	if types, _ := drain(t, ps); len(types) != 7 {
		t.Errorf("each once: %q", types)
	}
	if list := r.recordings(t, name); len(list) != 1 || list[0].State != "FILE_GENERATED" {
		t.Errorf("%+v", list)
	}
}

func TestTheUncertainCanBeSetEitherWay(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	r.control(t, "meet", `{"space_delay":"30s","end_calendar_made":true}`)
	ev := insert(t, r.calendar(t, boss), lesson("lesson00002"))
	get := func() error { _, err := r.meet.Spaces.Get("spaces/" + ev.ConferenceData.ConferenceId).Do(); return err }
	refused(t, get(), 403, "", "")
	r.advance(t, 30*time.Second)
	if err := get(); err != nil {
		t.Error(err)
	}
	r.stage(t, `{`+cast+`}`)
	r.advance(t, 5*time.Minute)
	if _, err := r.meet.Spaces.EndActiveConference(r.space.Name, &meet.EndActiveConferenceRequest{}).Do(); err != nil {
		t.Error(err)
	}
	r.control(t, "events", `{"operation_delay":"10s"}`)
	events, ps := r.follow(t)
	op, err := events.Subscriptions.Create(&workspaceevents.Subscription{
		TargetResource: "//meet.googleapis.com/" + r.space.Name, EventTypes: everyType(),
		NotificationEndpoint: &workspaceevents.NotificationEndpoint{PubsubTopic: topicName}, Ttl: "3600s",
	}).Do()
	if err != nil || op.Done {
		t.Fatalf("%+v %v", op, err)
	}
	r.advance(t, 10*time.Second)
	op, err = events.Operations.Get(op.Name).Do()
	if err != nil || !op.Done {
		t.Fatalf("%+v %v", op, err)
	}
	sub := decode[workspaceevents.Subscription](t, op.Response)
	if !strings.HasPrefix(sub.Name, "subscriptions/meet-spaces-") {
		t.Errorf("%+v", sub)
	}
	drain(t, ps)
	r.control(t, "events", `{"burst":4}`)
	r.stage(t, `{"recording":"never","people":[{"email":"boss@example.com","joins":"0s","leaves":"10m"}]}`)
	if got, _ := drain(t, ps); len(got) != 0 {
		t.Errorf("two of four: %q", got)
	}
	r.advance(t, 20*time.Minute)
	if got, _ := drain(t, ps); len(got) != 5 { // with the file of the recording before
		t.Errorf("the burst: %q", got)
	}
	r.control(t, "events", `{"burst":0,"redeliver":1}`)
	r.stage(t, `{"recording":"never","people":[{"email":"boss@example.com"}]}`)
	ids := make(map[string]int)
	for range 3 {
		got, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: 1}).Do()
		if err != nil || len(got.ReceivedMessages) != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		ids[got.ReceivedMessages[0].Message.MessageId]++
		if _, err := ps.Projects.Subscriptions.Acknowledge(pubsubName, &pubsub.AcknowledgeRequest{AckIds: []string{got.ReceivedMessages[0].AckId}}).Do(); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 1 {
		t.Errorf("acknowledged, and again: %v", ids)
	}
}

func TestNoticesOfOneSourceComeInOrderOneAfterTheOther(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	events, ps := r.follow(t)
	subscribe(t, events, bossID(t, r.fake))
	drain(t, ps)
	r.stage(t, `{"recording":"never","people":[{"email":"boss@example.com","joins":"0s","leaves":"10m"}]}`)
	r.advance(t, time.Hour)
	pull := func(most int64) []*pubsub.ReceivedMessage {
		t.Helper()
		got, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: most, ReturnImmediately: true}).Do()
		if err != nil {
			t.Fatal(err)
		}
		return got.ReceivedMessages
	}
	first := pull(1)
	if len(first) != 1 || len(pull(10)) != 0 {
		t.Fatalf("the key's first is out: nothing else may go: %+v", first)
	}
	if _, err := ps.Projects.Subscriptions.Acknowledge(pubsubName, &pubsub.AcknowledgeRequest{AckIds: []string{first[0].AckId, "never given"}}).Do(); err != nil {
		t.Fatal(err)
	}
	if rest := pull(10); len(rest) != 3 || rest[2].Message.Attributes["ce-type"] != "google.workspace.meet.conference.v2.ended" {
		t.Errorf("%+v", rest)
	}
}

func TestAFileOfTenGigabytesTakesNoRoom(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	const size = 10 << 30
	name := r.stage(t, fmt.Sprintf(`{"file_size":%d,%s}`, int64(size), cast))[0]
	r.advance(t, time.Hour)
	id := r.recordings(t, name)[0].DriveDestination.File
	part := func(from int64) []byte {
		t.Helper()
		call := r.drive.Files.Get(id)
		call.Header().Set("Range", fmt.Sprintf("bytes=%d-", from))
		res, err := call.Download()
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", from, int64(size)-1, int64(size)) {
			t.Fatalf("%v %v", err, res.Header)
		}
		return b
	}
	end := part(size - 100_000)
	if got := part(size - 1_000); len(end) != 100_000 || !bytes.Equal(got, end[99_000:]) {
		t.Errorf("%d bytes, then %d others", len(end), len(got))
	}
	if f, err := r.drive.Files.Get(id).Fields("size").Do(); err != nil || f.Size != size {
		t.Errorf("%+v %v", f, err)
	}
}

func TestDriveRefusesInItsOwnWords(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	name := r.stage(t, `{`+cast+`}`)[0]
	r.advance(t, time.Hour)
	id := r.recordings(t, name)[0].DriveDestination.File
	r.control(t, "faults", `[{"match":"GET /drive/v3/files/","status":403,"reason":"downloadQuotaExceeded","times":1}]`)
	_, err := r.drive.Files.Get(id).Download()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != 403 || !strings.Contains(e.Body, `"downloadQuotaExceeded"`) {
		t.Errorf("%v", err)
	}
	document, err := r.meet.ConferenceRecords.Transcripts.List(name).Do()
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.drive.Files.Get(document.Transcripts[0].DocsDestination.Document).Download()
	if !errors.As(err, &e) || e.Code != 403 || !strings.Contains(e.Body, `"fileNotDownloadable"`) {
		t.Errorf("%v", err)
	}
	_, err = r.drive.Files.List().Q("weather = 'fine'").Do()
	refused(t, err, 400, "invalid", "")
	readonly, err := drive.NewService(t.Context(), option.WithHTTPClient(r.client(t, boss, drive.DriveMeetReadonlyScope)), option.WithEndpoint(r.url+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = readonly.Permissions.Create(id, &drive.Permission{Type: "anyone", Role: "reader"}).Do()
	refused(t, err, 403, "insufficientPermissions", "")
}
