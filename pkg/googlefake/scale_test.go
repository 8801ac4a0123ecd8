package googlefake_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/api/meet/v2"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/api/workspaceevents/v1"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

// options point a client at the emulator as somebody.
func (f *fake) options(t testing.TB, subject string, scopes ...string) []option.ClientOption {
	t.Helper()
	return []option.ClientOption{option.WithHTTPClient(f.client(t, subject, scopes...)), option.WithEndpoint(f.url)}
}

// BenchmarkMonth puts on a month of conferences of many organizers, reads what they left the way a
// program does, and lets 30 more days delete it: what one operation costs is a whole meeting.
func BenchmarkMonth(b *testing.B) {
	const organizers = 200
	f := newFake(b, googlefake.Config{Dir: b.TempDir()})
	var spaces []*meet.Space
	var clients []*meet.Service
	events := make([]*workspaceevents.Service, organizers)
	on := &meet.Space{Config: &meet.SpaceConfig{ArtifactConfig: &meet.ArtifactConfig{RecordingConfig: &meet.RecordingConfig{AutoRecordingGeneration: "ON"}}}}
	for i := range organizers {
		who := fmt.Sprintf("org%03d@example.com", i)
		client, err := meet.NewService(b.Context(), f.options(b, who, scopeC, scopeR, scopeS)...)
		if err != nil {
			b.Fatal(err)
		}
		sp, err := client.Spaces.Create(on).Do()
		if err != nil {
			b.Fatal(err)
		}
		if events[i], err = workspaceevents.NewService(b.Context(), f.options(b, who, scopeR)...); err != nil {
			b.Fatal(err)
		}
		_, err = events[i].Subscriptions.Create(&workspaceevents.Subscription{
			TargetResource: "//meet.googleapis.com/" + sp.Name, EventTypes: everyType(),
			NotificationEndpoint: &workspaceevents.NotificationEndpoint{PubsubTopic: topicName},
		}).Do()
		if err != nil {
			b.Fatal(err)
		}
		spaces, clients = append(spaces, sp), append(clients, client)
	}
	ps, err := pubsub.NewService(b.Context(), f.options(b, "", pubsub.PubsubScope)...)
	if err != nil {
		b.Fatal(err)
	}
	pull := func(most int64) int {
		got, err := ps.Projects.Subscriptions.Pull(pubsubName, &pubsub.PullRequest{MaxMessages: most, ReturnImmediately: true}).Do()
		if err != nil {
			b.Fatal(err)
		}
		var ids []string
		for _, m := range got.ReceivedMessages {
			ids = append(ids, m.AckId)
		}
		if len(ids) > 0 {
			if _, err := ps.Projects.Subscriptions.Acknowledge(pubsubName, &pubsub.AcknowledgeRequest{AckIds: ids}).Do(); err != nil {
				b.Fatal(err)
			}
		}
		return len(ids)
	}
	pull(1)
	step := 6 * 24 * time.Hour / time.Duration(max(b.N, 1)) // within the life of the subscriptions
	b.ResetTimer()
	seen := 0
	for i := range b.N {
		at := f.Now()
		names, err := f.Conferences(googlefake.Script{
			Space: spaces[i%organizers].Name, Starts: at.Format(time.RFC3339), FileAfter: "1m",
			People: []googlefake.ScriptPerson{
				{Email: fmt.Sprintf("org%03d@example.com", i%organizers), Leaves: "10m"}, {Name: "A", Leaves: "9m"}, {Name: "B", Leaves: "8m"}, {Email: "c@example.com", Leaves: "8m"},
			},
		})
		if err != nil || len(names) != 1 {
			b.Fatalf("%q %v", names, err)
		}
		if err := f.Advance(step + time.Second); err != nil {
			b.Fatal(err)
		}
		svc := clients[i%organizers]
		if _, err := svc.ConferenceRecords.List().Filter(fmt.Sprintf("start_time>=%q", at.Add(-time.Hour).Format(time.RFC3339))).Do(); err != nil {
			b.Fatal(err)
		}
		if _, err := svc.ConferenceRecords.Recordings.List(names[0]).Do(); err != nil {
			b.Fatal(err)
		}
		seen += pull(1000)
	}
	b.StopTimer()
	if err := f.Advance(time.Hour); err != nil {
		b.Fatal(err)
	}
	for n := pull(1000); n > 0; n = pull(1000) {
		seen += n
	}
	if want := b.N * 13; seen != want {
		b.Errorf("%d events of %d meetings, want %d", seen, b.N, want)
	}
	if err := f.Advance(40 * 24 * time.Hour); err != nil {
		b.Fatal(err)
	}
	if st := f.state(b); len(st.Conferences) != 0 || len(st.Files) != b.N {
		b.Errorf("%d records and %d files are left", len(st.Conferences), len(st.Files))
	}
}
