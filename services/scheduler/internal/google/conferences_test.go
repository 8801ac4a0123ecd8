package google_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	oauthgoogle "golang.org/x/oauth2/google"
	"google.golang.org/api/meet/v2"
	"google.golang.org/api/option"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const (
	topic = "projects/meet-emulator/topics/notices"
	queue = "projects/meet-emulator/subscriptions/notices"
)

// everything is a look at all there is.
var everything = job.Look{Itself: true, Recordings: true, Files: true, Attendees: true, Stays: true, Transcripts: true, TranscriptEntries: true}

// house is a meeting that records, at Google, and the job that looks after its conferences.
type house struct {
	*rig
	*testing.T
	read  *job.ReadConferences
	space string
}

func newHouse(t *testing.T, c google.Config) *house {
	t.Helper()
	r := newRig(t, rigConfig{google: c})
	w := wish()
	w.AutoRecord = true
	made := r.meetings(t, w).converge()
	h := &house{rig: r, T: t, space: made.Google.Space}
	h.read = job.NewReadConferences(r.client, r.client, r.client, r.client, quota.None{}, r.Now, quick(), slog.New(slog.DiscardHandler))
	return h
}

// stage puts a conference on that begins in ten minutes, and gives its record.
func (h *house) stage(s googlefake.Script) string {
	h.Helper()
	s.Space, s.Starts = h.space, h.Now().Add(10*time.Minute).Format(time.RFC3339)
	if len(s.People) == 0 {
		s.People = []googlefake.ScriptPerson{
			{Email: boss, Leaves: "30m"},
			{Email: "ana@example.com", Joins: "1m", Leaves: "20m"},
			{Name: "Luis", Joins: "2m", Leaves: "10m", Rejoins: []googlefake.ScriptStay{{Joins: "15m", Leaves: "25m"}}},
			{Phone: "+57 1 ...12", Joins: "3m", Leaves: "30m"},
		}
	}
	records, err := h.Conferences(s)
	if err != nil || len(records) != 1 {
		h.Fatalf("%q %v", records, err)
	}
	return records[0]
}

func (h *house) advance(d time.Duration) {
	h.Helper()
	if err := h.Advance(d); err != nil {
		h.Fatal(err)
	}
}

// plan lists the last two days.
func (h *house) plan(fresh job.Look, looks ...job.Look) job.ConferencePlan {
	return job.ConferencePlan{Account: boss, ListFrom: h.Now().Add(-48 * time.Hour), ListUntil: h.Now(), Spaces: []string{h.space}, Fresh: fresh, FreshSpace: h.space, Looks: looks}
}

func (h *house) do(p job.ConferencePlan) job.Observation {
	h.Helper()
	o, ok := h.read.Do(h.Context(), p, 0)
	if !ok {
		h.Fatal("it was to come again")
	}
	return o
}

// counting gives the calls that Google counted while f ran, tokens apart.
func (h *house) counting(f func()) map[string]int64 {
	h.Helper()
	before := h.Calls()
	f()
	after := h.Calls()
	for id, n := range before {
		if after[id] -= n; after[id] == 0 {
			delete(after, id)
		}
	}
	maps.DeleteFunc(after, func(id string, n int64) bool { return id == "token" || n == 0 })
	return after
}

func (h *house) control(path, body string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+"/_emulator/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		h.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		h.Fatalf("%s: %s", path, said)
	}
}

func (h *house) configure(change func(*googlefake.Setup)) {
	h.Helper()
	if err := h.Configure(func(s *googlefake.Setup) error { change(s); return nil }); err != nil {
		h.Fatal(err)
	}
}

// transcribe switches transcripts on, which a person does.
func (h *house) transcribe() {
	h.Helper()
	account, err := oauthgoogle.JWTConfigFromJSON(h.ServiceAccountKey(h.url), meet.MeetingsSpaceSettingsScope)
	if err != nil {
		h.Fatal(err)
	}
	account.Subject = boss
	service, err := meet.NewService(h.Context(), option.WithHTTPClient(account.Client(h.Context())), option.WithEndpoint(h.url))
	if err != nil {
		h.Fatal(err)
	}
	config := &meet.SpaceConfig{ArtifactConfig: &meet.ArtifactConfig{TranscriptionConfig: &meet.TranscriptionConfig{AutoTranscriptionGeneration: "ON"}}}
	if _, err := service.Spaces.Patch(h.space, &meet.Space{Config: config}).UpdateMask("config.artifactConfig.transcriptionConfig.autoTranscriptionGeneration").Do(); err != nil {
		h.Fatal(err)
	}
}

func only(t *testing.T, o job.Observation) job.Held {
	t.Helper()
	if o.Failure != nil || len(o.Conferences) != 1 {
		t.Fatalf("%+v", o)
	}
	return o.Conferences[0]
}

func TestAConferenceIsReadAsItWasHeld(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOn})
	record := h.stage(googlefake.Script{FileAfter: "3m", Transcript: "auto"})
	began := h.Now().Add(10 * time.Minute)

	h.advance(15 * time.Minute)
	got := only(t, h.do(h.plan(job.Look{Recordings: true, Files: true})))
	if got.Record != record || got.Space != h.space || !got.Started.Equal(began) || !got.Ended.IsZero() || !got.Read {
		t.Errorf("while it runs: %+v", got)
	}
	if !got.RecordingsRead || len(got.Recordings) != 1 || got.Recordings[0].State != "STARTED" || got.Recordings[0].FileID != "" || got.Recordings[0].File != nil || got.AttendeesRead {
		t.Errorf("while it runs: %+v", got.Recordings)
	}

	h.advance(3 * time.Hour)
	var o job.Observation
	calls := h.counting(func() { o = h.do(h.plan(everything)) })
	got = only(t, o)
	if !o.Listed || !got.Ended.Equal(began.Add(30*time.Minute)) || !got.Expires.Equal(got.Ended.Add(30*24*time.Hour)) {
		t.Errorf("%+v", got)
	}
	r := got.Recordings[0]
	if len(got.Recordings) != 1 || r.State != job.StateFileGenerated || r.FileID == "" || r.ExportURI == "" || r.Ended.IsZero() || r.File == nil ||
		r.File.State != job.FilePresent || r.File.Size <= 0 || len(r.File.SHA256) != 64 || len(r.File.MD5) != 32 || r.File.Duration <= 0 || r.File.Name == "" {
		t.Errorf("recordings %+v %+v", got.Recordings, r.File)
	}
	byKind := make(map[job.AttendeeKind]job.Attendee)
	for _, a := range got.Attendees {
		byKind[a.Kind] = a
		if !a.StaysRead || len(a.Stays) == 0 || !strings.HasPrefix(a.Stays[0].Name, a.Name+"/participantSessions/") || a.Left.IsZero() {
			t.Errorf("attendee %+v", a)
		}
	}
	var emails []string
	for _, a := range got.Attendees {
		if a.Email != "" {
			emails = append(emails, a.Email)
		}
	}
	slices.Sort(emails)
	if !got.AttendeesRead || len(got.Attendees) != 4 || !slices.Equal(emails, []string{"ana@example.com", boss}) ||
		len(byKind[job.AttendeeAnonymous].Stays) != 2 || byKind[job.AttendeeAnonymous].DisplayName != "Luis" || byKind[job.AttendeePhone].DisplayName == "" ||
		!byKind[job.AttendeeAnonymous].Joined.Equal(began.Add(2*time.Minute)) || !byKind[job.AttendeeAnonymous].Left.Equal(began.Add(25*time.Minute)) {
		t.Errorf("attendees %+v", got.Attendees)
	}
	if want := map[string]int64{
		"meet.conferenceRecords.list": 1, "meet.conferenceRecords.recordings.list": 1, "drive.files.get": 1, "meet.conferenceRecords.participants.list": 1,
		"meet.conferenceRecords.participants.participantSessions.list": 4, "meet.conferenceRecords.transcripts.list": 1, "directory.users.get": 2,
	}; !maps.Equal(withoutEntries(calls), want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	if !got.TranscriptsRead || calls["meet.conferenceRecords.transcripts.entries.list"] != int64(len(got.Transcripts)) {
		t.Errorf("transcripts %+v", got.Transcripts)
	}

	// Who was told of is known.
	calls = h.counting(func() { o = h.do(h.plan(job.Look{Attendees: true})) })
	if got = only(t, o); calls["directory.users.get"] != 0 || !slices.ContainsFunc(got.Attendees, func(a job.Attendee) bool { return a.Email == boss }) {
		t.Errorf("asked again: %v", calls)
	}
}

func withoutEntries(calls map[string]int64) map[string]int64 {
	calls = maps.Clone(calls)
	delete(calls, "meet.conferenceRecords.transcripts.entries.list")
	return calls
}

func TestWhatWasSaidIsReadWhole(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOff})
	h.transcribe()
	var crowd []googlefake.ScriptPerson
	for i := range 60 {
		crowd = append(crowd, googlefake.ScriptPerson{Name: fmt.Sprint("guest ", i), Leaves: "60m"})
	}
	record := h.stage(googlefake.Script{People: append(crowd, googlefake.ScriptPerson{Email: boss, Leaves: "60m"})})
	h.advance(3 * time.Hour)
	o := h.do(job.ConferencePlan{Account: boss, Looks: []job.Look{{Record: record, Transcripts: true, TranscriptEntries: true}}})
	got := only(t, o)
	if got.Read || got.RecordingsRead || got.AttendeesRead || !got.TranscriptsRead {
		t.Errorf("%+v", got)
	}
	if len(got.Transcripts) != 1 {
		t.Errorf("%d transcripts", len(got.Transcripts))
	}
	for _, tr := range got.Transcripts {
		if !tr.EntriesRead || len(tr.Entries) == 0 || tr.Entries[0].Text == "" || !strings.HasPrefix(tr.Entries[0].Attendee, record+"/participants/") || tr.DocumentID == "" {
			t.Errorf("%+v", tr)
		}
	}
}

func TestNothingIsReadThatIsNotAskedFor(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOff})
	record := h.stage(googlefake.Script{})
	h.advance(3 * time.Hour)
	for name, test := range map[string]struct {
		plan job.ConferencePlan
		want map[string]int64
	}{
		"nothing":          {job.ConferencePlan{Account: boss}, map[string]int64{}},
		"a listing":        {h.plan(job.Look{}), map[string]int64{"meet.conferenceRecords.list": 1}},
		"the record":       {job.ConferencePlan{Account: boss, Looks: []job.Look{{Record: record, Itself: true}}}, map[string]int64{"meet.conferenceRecords.get": 1}},
		"listed and known": {h.plan(everything, job.Look{Record: record, Itself: true}), map[string]int64{"meet.conferenceRecords.list": 1}},
		"people":           {job.ConferencePlan{Account: boss, Looks: []job.Look{{Record: record, Attendees: true}}}, map[string]int64{"meet.conferenceRecords.participants.list": 1}},
		"recordings":       {job.ConferencePlan{Account: boss, Looks: []job.Look{{Record: record, Recordings: true}}}, map[string]int64{"meet.conferenceRecords.recordings.list": 1}},
		"files": {job.ConferencePlan{Account: boss, Looks: []job.Look{{Record: record, Recordings: true, Files: true}}}, map[string]int64{
			"meet.conferenceRecords.recordings.list": 1, "drive.files.get": 1,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var o job.Observation
			if calls := h.counting(func() { o = h.do(test.plan) }); o.Failure != nil || !maps.Equal(calls, test.want) {
				t.Errorf("calls %v, want %v; %+v", calls, test.want, o.Failure)
			}
		})
	}
}

func TestWhatWasHeldElsewhereIsNotReported(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOff})
	h.stage(googlefake.Script{})
	h.advance(time.Hour)
	p := h.plan(everything)
	p.Spaces = []string{"spaces/another", "spaces/one-more"}
	if o := h.do(p); o.Failure != nil || !o.Listed || len(o.Conferences) != 0 {
		t.Errorf("%+v", o)
	}
	p.Spaces, p.Fresh = nil, job.Look{}
	if o := h.do(p); len(o.Conferences) != 1 || o.Conferences[0].RecordingsRead {
		t.Errorf("%+v", o)
	}
}

func TestAFailureHalfWayKeepsWhatWasRead(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOff})
	crowd := make([]googlefake.ScriptPerson, 0, 300)
	for i := range 300 {
		crowd = append(crowd, googlefake.ScriptPerson{Name: fmt.Sprint("guest ", i), Joins: fmt.Sprint(i, "s"), Leaves: "30m"})
	}
	record := h.stage(googlefake.Script{People: crowd})
	h.advance(2 * time.Hour)
	plan := job.ConferencePlan{Account: boss, Looks: []job.Look{{Record: record, Recordings: true, Attendees: true}}}
	if got := only(t, h.do(plan)); len(got.Attendees) != 300 || !got.AttendeesRead {
		t.Fatalf("%d attendees", len(got.Attendees))
	}
	for name, test := range map[string]struct {
		fault googlefake.Fault
		code  string
	}{
		"too many calls": {googlefake.Fault{Status: status(429)}, google.CodeQuota},
		"down":           {googlefake.Fault{Status: status(503)}, google.CodeUnavailable},
		"cut off":        {googlefake.Fault{Status: status(200), Body: []byte(`"{\"participants\":[{\"name\":"`)}, google.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			test.fault.Match = "GET /v2/" + record + "/participants"
			h.fault(t, test.fault)
			defer h.ClearFaults()
			o := h.do(plan)
			if o.Failure == nil || o.Failure.Permanent() || o.Failure.Code != test.code || !o.RetryAt.After(h.Now()) || len(o.Conferences) != 1 {
				t.Fatalf("%+v", o)
			}
			if got := o.Conferences[0]; !got.RecordingsRead || got.AttendeesRead || got.Gone {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAConferenceThatGoogleDoesNotShowIsGone(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOff})
	record := h.stage(googlefake.Script{})
	h.advance(2 * time.Hour)
	look := everything
	look.Record = record
	if got := only(t, h.do(job.ConferencePlan{Account: "stranger@example.com", Looks: []job.Look{look}})); !got.Gone || got.RecordingsRead {
		t.Errorf("of somebody else: %+v", got)
	}
	asked := h.counting(func() {
		o := h.do(job.ConferencePlan{ListFrom: h.Now().Add(-48 * time.Hour), ListUntil: h.Now(), Fresh: everything, FreshSpace: h.space, Looks: []job.Look{look}})
		if o.Listed || len(o.Conferences) != 0 || o.Failure == nil || !o.Failure.Permanent() {
			t.Errorf("of nobody: %+v", o)
		}
	})
	if len(asked) != 0 {
		t.Errorf("Google was asked as nobody: %v", asked)
	}
	h.advance(31 * 24 * time.Hour)
	var o job.Observation
	calls := h.counting(func() { o = h.do(job.ConferencePlan{Account: boss, Looks: []job.Look{look}}) })
	if got := only(t, o); !got.Gone || len(calls) != 1 {
		t.Errorf("after 31 days: %+v, calls %v", got, calls)
	}
}

func TestAFileThatIsGoneIsToldFromOneThatIsHidden(t *testing.T) {
	for fate, want := range map[string]job.FileState{"": job.FilePresent, "trashed": job.FileTrashed, "deleted": job.FileGone} {
		h := newHouse(t, google.Config{Directory: google.DirectoryOff})
		h.stage(googlefake.Script{FileFate: fate, FateAfter: "1m"})
		h.advance(3 * time.Hour)
		got := only(t, h.do(h.plan(job.Look{Recordings: true, Files: true})))
		if len(got.Recordings) != 1 || got.Recordings[0].File == nil || got.Recordings[0].File.State != want {
			t.Errorf("%q: %+v", fate, got.Recordings)
		}
	}
}

func TestARefusalForGoodStopsItsLikeAndNothingElse(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOn})
	var looks []job.Look
	for range 3 {
		looks = append(looks, job.Look{Record: h.stage(googlefake.Script{}), Recordings: true, Files: true, Attendees: true})
		h.advance(2 * time.Hour)
	}
	h.configure(func(s *googlefake.Setup) { s.DisabledAPIs = []string{"drive", "admin"} })
	var o job.Observation
	calls := h.counting(func() { o = h.do(job.ConferencePlan{Account: boss, Looks: looks}) })
	if o.Failure == nil || !o.Failure.Permanent() || o.Failure.Code != google.CodeAPIDisabled || len(o.Conferences) != 3 {
		t.Fatalf("%+v", o)
	}
	for _, got := range o.Conferences {
		if !got.RecordingsRead || !got.AttendeesRead || got.Recordings[0].File != nil || got.Attendees[0].Email != "" {
			t.Errorf("%+v", got)
		}
	}
	if calls["drive.files.get"] != 1 || calls["directory.users.get"] != 1 || calls["meet.conferenceRecords.recordings.list"] != 3 {
		t.Errorf("calls %v", calls)
	}
}

func TestADirectoryThatIsNotDelegatedIsNoFailure(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOn})
	h.configure(func(s *googlefake.Setup) {
		s.Delegation = &googlefake.Delegation{Grants: map[string][]string{"100000000000000000001": {
			"https://www.googleapis.com/auth/meetings.space.readonly", "https://www.googleapis.com/auth/drive.meet.readonly",
		}}}
	})
	h.stage(googlefake.Script{})
	h.advance(2 * time.Hour)
	got := only(t, h.do(h.plan(job.Look{Attendees: true, Recordings: true})))
	if len(got.Attendees) != 4 || !slices.ContainsFunc(got.Attendees, func(a job.Attendee) bool { return strings.HasPrefix(a.User, "users/") && a.Email == "" }) {
		t.Errorf("%+v", got.Attendees)
	}
	if tokens := h.requests(http.MethodPost, "/token"); len(tokens) > 6 {
		t.Errorf("%d tokens were asked for", len(tokens))
	}
}

func TestWhatIsHeldInTheSpaceOfAnotherMeetingIsListedAndNotRead(t *testing.T) {
	h := newHouse(t, google.Config{Directory: google.DirectoryOff})
	h.stage(googlefake.Script{})
	h.advance(2 * time.Hour)
	p := h.plan(everything)
	p.Spaces, p.FreshSpace = append(p.Spaces, "spaces/mine"), "spaces/mine"
	var o job.Observation
	calls := h.counting(func() { o = h.do(p) })
	if got := only(t, o); !got.Read || got.RecordingsRead || got.AttendeesRead || len(calls) != 1 {
		t.Errorf("%+v, calls %v", got, calls)
	}
}
