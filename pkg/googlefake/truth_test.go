package googlefake_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/pubsub/v1"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

// truth is what there is to say of all spaces.
func (f *fake) truth(t testing.TB) []googlefake.TruthSpace {
	t.Helper()
	page, err := f.Truth(0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return page.Spaces
}

func TestTheTruthSaysWhatBecameOfEveryRecordingAlsoOnceMeetHasForgotten(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	r.stage(t, `{"people":[{"email":"boss@example.com","leaves":"40m"},{"name":"Guest","joins":"5m","leaves":"10m","rejoins":[{"joins":"20m","leaves":"30m"}]}]}`)
	r.stage(t, `{"starts":"`+start.Add(2*time.Hour).Format(time.RFC3339)+`","file_fate":"deleted","fate_after":"1m","people":[{"email":"boss@example.com"}]}`)
	r.stage(t, `{"starts":"`+start.Add(4*time.Hour).Format(time.RFC3339)+`","recording":"never","people":[{"email":"boss@example.com"}]}`)
	r.advance(t, time.Hour)
	spaces := r.truth(t)
	if len(spaces) != 1 || len(spaces[0].Conferences) != 3 || !spaces[0].AutoRecord || spaces[0].Owner != boss || spaces[0].Code != r.space.MeetingCode {
		t.Fatalf("%+v", spaces)
	}
	held, planned := spaces[0].Conferences[0], spaces[0].Conferences[1]
	if held.Status != "ended" || planned.Status != "planned" || len(planned.Recordings) != 0 {
		t.Errorf("an hour later: %+v, %+v", held, planned)
	}
	guest := held.People[1]
	if guest.Name != "Guest" || guest.Sessions != 2 || !guest.Joined.Equal(start.Add(5*time.Minute)) || !guest.Left.Equal(start.Add(30*time.Minute)) {
		t.Errorf("the guest who came twice: %+v", guest)
	}
	file := held.Recordings[0]
	if file.FileState != "present" || file.Copied != nil || file.Lost != nil || file.Ready == nil || !file.Ready.Equal(start.Add(43*time.Minute)) {
		t.Errorf("the file: %+v", file)
	}
	// Reading a part is no copy; the part that ends it is.
	for _, part := range []struct {
		from   int64
		copied bool
	}{{0, false}, {10, true}} {
		call := r.drive.Files.Get(file.File)
		call.Header().Set("Range", map[bool]string{false: "bytes=0-9", true: "bytes=10-"}[part.copied])
		res, err := call.Download()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		copied := func() bool { return r.truth(t)[0].Conferences[0].Recordings[0].Copied != nil }
		for begun := time.Now(); part.copied && !copied() && time.Since(begun) < 10*time.Second; { // it is noted once the last byte has gone
		}
		if got := copied(); got != part.copied {
			t.Errorf("bytes from %d on were read: copied %t, want %t", part.from, got, part.copied)
		}
	}
	if calls := r.Calls(); calls["drive.files.get:media"] != 2 || calls["drive.files.get"] != 2 {
		t.Errorf("calls %v", calls)
	}
	r.advance(t, 40*24*time.Hour)
	after := r.truth(t)[0]
	for i, c := range after.Conferences {
		if !c.Gone || c.Status != "ended" {
			t.Errorf("conference %d after 40 days: %+v", i, c)
		}
	}
	lost := after.Conferences[1].Recordings[0]
	if lost.FileState != "deleted" || lost.Lost == nil || !lost.Lost.Equal(lost.Ready.Add(time.Minute)) || lost.Copied != nil {
		t.Errorf("the file that was deleted: %+v", lost)
	}
	if len(after.Conferences[2].Recordings) != 0 {
		t.Errorf("recorded although it never started: %+v", after.Conferences[2])
	}
	if st := r.state(t); len(st.Conferences) != 0 {
		t.Errorf("Meet still shows %d records", len(st.Conferences))
	}
}

func TestTheTruthSurvivesARestartAndACompactedLog(t *testing.T) {
	dir := t.TempDir()
	f, stop := inDir(t, dir)
	ev := insert(t, f.calendar(t, boss), lesson("lesson00001"))
	for i := range 3 {
		_, err := f.Conferences(googlefake.Script{
			Code: ev.ConferenceData.ConferenceId, Starts: start.Add(time.Duration(i*24) * time.Hour).Format(time.RFC3339),
			People: []googlefake.ScriptPerson{{Email: boss}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Advance(32 * 24 * time.Hour); err != nil { // two are forgotten by then
		t.Fatal(err)
	}
	for range 60 { // what makes the log mostly history
		if err := f.Advance(time.Second); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("%+v", f.truth(t))
	stop()
	for _, round := range []string{"from the log", "from the compacted log"} {
		g, stop := inDir(t, dir)
		if got := fmt.Sprintf("%+v", g.truth(t)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", round, got, want)
		}
		stop()
	}
}

func TestTheTruthComesInPages(t *testing.T) {
	f := newFake(t, googlefake.Config{})
	for i := range 5 {
		insert(t, f.calendar(t, boss), lesson(fmt.Sprintf("lesson%05d", i)))
	}
	var codes []string
	pages := 0
	for from := 0; pages == 0 || from > 0; pages++ {
		code, _, body := send(t, http.MethodGet, fmt.Sprintf("%s/_emulator/truth?from=%d&limit=2", f.url, from), "")
		if code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		page := decode[googlefake.TruthPage](t, body)
		for _, sp := range page.Spaces {
			codes = append(codes, sp.Code)
		}
		from = page.Next
	}
	var want []string
	for _, sp := range f.truth(t) {
		want = append(want, sp.Code)
	}
	if pages != 3 || strings.Join(codes, " ") != strings.Join(want, " ") || len(codes) != 5 {
		t.Errorf("%d pages give %q, want %q", pages, codes, want)
	}
	for _, bad := range []string{"from=x", "limit=-1", "limit=100000"} {
		if code, _, body := send(t, http.MethodGet, f.url+"/_emulator/truth?"+bad, ""); code != 400 {
			t.Errorf("%s: %d %s", bad, code, body)
		}
	}
}

func TestJumpingFromOneHappeningToTheNextMissesNothing(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	events, ps := r.follow(t)
	subscribe(t, events, bossID(t, r.fake))
	drain(t, ps)
	if up, err := r.Upcoming(); err != nil || up.Waiting != 0 {
		t.Fatalf("%+v %v", up, err)
	}
	r.stage(t, `{"transcript":"never","people":[{"email":"boss@example.com","leaves":"40m"}]}`)
	// It has started, she has joined and is recorded; she is to leave, two things are to end and the file is to come.
	sizes := map[int]int{}
	for range 100 {
		up, err := r.Upcoming()
		if err != nil {
			t.Fatal(err)
		}
		sizes[up.Waiting]++
		if up.Next == nil || up.Next.After(start.Add(2*time.Hour)) {
			break
		}
		if !up.Next.After(up.Now) {
			t.Fatalf("next is %v at %v", up.Next, up.Now)
		}
		if err := r.SetClock(googlefake.ClockChange{Set: *up.Next}); err != nil {
			t.Fatal(err)
		}
	}
	if want := map[int]int{3: 1, 6: 1, 7: 1}; fmt.Sprint(sizes) != fmt.Sprint(want) {
		t.Errorf("messages waiting at each stop: %v, want %v", sizes, want)
	}
	if _, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: 2}).Do(); err != nil {
		t.Fatal(err)
	}
	_, _, body := send(t, http.MethodGet, r.url+"/_emulator/next", "")
	var up googlefake.Upcoming
	if err := json.Unmarshal(body, &up); err != nil || up.Waiting+up.Out != 7 || up.Out == 0 {
		t.Errorf("after a pull: %s %v", body, err)
	}
}
