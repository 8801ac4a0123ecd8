package google_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

func TestACalendarIsFollowedByItsSyncTokens(t *testing.T) {
	r := newRig(t, rigConfig{})
	since := rigNow.Add(-time.Hour)
	event := job.Event{MeetingUID: uid, Version: 1, Summary: "Visit", Start: rigNow.Add(time.Hour), End: rigNow.Add(2 * time.Hour), TimeZone: "UTC", Guests: []job.Guest{{Email: "ana@x.example"}}}
	ref := job.Ref{Organizer: boss, EventID: job.EventID(uid, 1)}
	made, err := r.client.InsertEvent(t.Context(), ref, event)
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.client.ListEvents(t.Context(), boss, "primary", "", "", since)
	if err != nil || len(first.Events) != 1 || first.Sync == "" {
		t.Fatalf("%+v %v", first, err)
	}
	if got := first.Events[0]; got.ETag != made.ETag || !got.Updated.Equal(made.Updated) || got.Updated.IsZero() || got.Shown() != made.Shown() || got.MeetingUID != uid {
		t.Errorf("listed %+v\nmade %+v", got, made)
	}
	if again, err := r.client.ListEvents(t.Context(), boss, "primary", first.Sync, "", since); err != nil || len(again.Events) != 0 {
		t.Errorf("nothing has changed: %+v %v", again, err)
	}
	if _, err := r.Edit(googlefake.Edit{CalendarID: boss, EventID: ref.EventID, Patch: []byte(`{"summary":"Theirs","start":{"date":"2026-03-05","dateTime":null},"end":{"date":"2026-03-06","dateTime":null}}`)}); err != nil {
		t.Fatal(err)
	}
	changed, err := r.client.ListEvents(t.Context(), boss, "primary", first.Sync, "", since)
	if err != nil || len(changed.Events) != 1 {
		t.Fatalf("%+v %v", changed, err)
	}
	if got := changed.Events[0]; got.Summary != "Theirs" || got.ETag == made.ETag || got.Start != time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC) || got.Shown() == made.Shown() {
		t.Errorf("listed %+v", got)
	}
	if err := r.client.DeleteEvent(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if gone, err := r.client.ListEvents(t.Context(), boss, "primary", changed.Sync, "", since); err != nil || len(gone.Events) != 1 || !gone.Events[0].Cancelled {
		t.Errorf("%+v %v", gone, err)
	}
	if _, err := r.client.ListEvents(t.Context(), boss, "primary", "forgotten", "", since); !isKind(err, job.Gone) {
		t.Errorf("a token that Google does not know: %v", err)
	}
}

func TestAChannelTellsWithTheTokenWhoseHashIsKept(t *testing.T) {
	told := make(chan http.Header, 8)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, in *http.Request) {
		if in.URL.Path != "/api/v1/google/calendar/" {
			t.Errorf("told at %s", in.URL.Path)
		}
		told <- in.Header
	}))
	defer receiver.Close()
	r := newRig(t, rigConfig{google: google.Config{PublicURL: receiver.URL + "/"}})
	channel, ok, err := r.client.Watch(t.Context(), boss, "primary")
	if err != nil || !ok || channel.ID == "" || channel.Resource == "" || !channel.Expires.After(rigNow) {
		t.Fatalf("%+v %t %v", channel, ok, err)
	}
	header := <-told
	hash := sha256.Sum256([]byte(header.Get("X-Goog-Channel-Token")))
	if header.Get("X-Goog-Channel-Id") != channel.ID || hex.EncodeToString(hash[:]) != channel.TokenHash || header.Get("X-Goog-Resource-State") != "sync" {
		t.Errorf("told %v of %+v", header, channel)
	}
	if err := r.client.StopChannel(t.Context(), boss, channel); err != nil {
		t.Error(err)
	}
	if err := r.client.StopChannel(t.Context(), boss, channel); !isKind(err, job.NotFound) {
		t.Errorf("stopped twice: %v", err)
	}
	if _, ok, err := newRig(t, rigConfig{}).client.Watch(t.Context(), boss, "primary"); ok || err != nil {
		t.Errorf("without an address: %t %v", ok, err)
	}
}

func TestWhoseCalendarItIs(t *testing.T) {
	r := newRig(t, rigConfig{google: google.Config{Domains: []string{"other.example"}, AdminEmail: admin}})
	w := job.Wish{MeetingID: 1, MeetingUID: uid, Version: 1, Organizer: boss, Summary: "Google Meet", TimeZone: "UTC", Start: rigNow, End: rigNow.Add(time.Hour), Calendar: true, Generation: 1}
	v := r.sync.Do(t.Context(), w, job.Attempt{Dispatch: 1, Delivered: 1})
	if v.Outcome == nil || v.Outcome.Failure != nil || v.Outcome.Google.Account != admin || v.Outcome.Google.EventUpdated.IsZero() || v.Outcome.Google.EventShown == "" {
		t.Fatalf("%+v", v.Outcome)
	}
	state, err := r.client.GetEvent(t.Context(), job.Ref{Organizer: boss, EventID: v.Outcome.Google.EventID})
	if err != nil || len(state.Guests) != 1 || state.Guests[0].Email != boss {
		t.Errorf("%+v %v", state, err)
	}
}

func isKind(err error, kind job.Kind) bool {
	var f *job.Failure
	return errors.As(err, &f) && f.Kind == kind
}
