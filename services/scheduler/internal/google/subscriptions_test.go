package google_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// owner plays the account's row: it keeps what is reported.
type owner struct {
	*house
	kept      job.Subscription
	subscribe bool
}

func newOwner(t *testing.T, c google.Config) *owner {
	t.Helper()
	c.Topic, c.Pull = topic, queue
	return &owner{house: newHouse(t, c), subscribe: true}
}

// visit runs the row once and gives the calls at Workspace Events.
func (o *owner) visit() (seen job.Observation, calls map[string]int64) {
	o.Helper()
	all := o.counting(func() {
		seen = o.do(job.ConferencePlan{Account: boss, ListFrom: o.Now().Add(-time.Hour), ListUntil: o.Now(), Upkeep: true, Subscribe: o.subscribe, Subscription: o.kept})
	})
	if !seen.Listed {
		o.Errorf("nothing was listed: %+v", seen)
	}
	if seen.Subscription != nil {
		o.kept = *seen.Subscription
	}
	calls = make(map[string]int64)
	for id, n := range all {
		if what, ok := strings.CutPrefix(id, "workspaceevents.subscriptions."); ok {
			calls[what] = n
		}
	}
	return seen, calls
}

// there are the subscriptions at Google.
func (o *owner) there() []googlefake.StateSubscription {
	o.Helper()
	return o.state(o.T).Subscriptions
}

// is fails the test unless the subscription is kept as it is at Google.
func (o *owner) is(state job.SubscriptionState) {
	o.Helper()
	at := o.there()
	if len(at) != 1 || o.kept.Name != at[0].Name || o.kept.State != state || !strings.HasPrefix(o.kept.User, "users/") || o.kept.Checked.IsZero() ||
		at[0].TargetResource != "//cloudidentity.googleapis.com/"+o.kept.User || at[0].NotificationEndpoint.PubsubTopic != topic {
		o.Fatalf("kept %+v\nat Google %+v", o.kept, at)
	}
}

func one(calls map[string]int64, what string) bool { return len(calls) == 1 && calls[what] == 1 }

func TestASubscriptionIsMadeRenewedAndEnded(t *testing.T) {
	for _, directory := range []string{google.DirectoryOn, google.DirectoryOff} {
		o := newOwner(t, google.Config{Directory: directory})
		if _, calls := o.visit(); !one(calls, "create") {
			t.Errorf("made with %v", calls)
		}
		o.is(job.SubscriptionActive)
		if left := o.kept.Expires.Sub(o.Now()); left != 7*24*time.Hour {
			t.Errorf("it lasts %s", left)
		}
		o.advance(3 * 24 * time.Hour)
		if seen, calls := o.visit(); len(calls) != 0 || seen.Subscription != nil {
			t.Errorf("before half time: %v %+v", calls, seen.Subscription)
		}
		o.advance(13 * time.Hour)
		if _, calls := o.visit(); !one(calls, "patch") {
			t.Errorf("renewed with %v", calls)
		}
		o.is(job.SubscriptionActive)
		if left := o.kept.Expires.Sub(o.Now()); left != 7*24*time.Hour {
			t.Errorf("renewed, it lasts %s", left)
		}
		o.subscribe = false
		if _, calls := o.visit(); !one(calls, "delete") || len(o.there()) != 0 || o.kept.Name != "" || o.kept.State != "" || o.kept.User == "" {
			t.Errorf("ended with %v, kept %+v", calls, o.kept)
		}
		if seen, calls := o.visit(); len(calls) != 0 || seen.Subscription != nil {
			t.Errorf("ended again with %v", calls)
		}
	}
}

func TestASubscriptionThatIsThereIsAdopted(t *testing.T) {
	o := newOwner(t, google.Config{})
	o.visit()
	first := o.kept.Name
	o.kept = job.Subscription{User: o.kept.User} // the answer was lost
	if _, calls := o.visit(); calls["create"] != 1 || calls["list"] != 1 || len(calls) != 2 {
		t.Errorf("adopted with %v", calls)
	}
	o.is(job.SubscriptionActive)
	if o.kept.Name != first {
		t.Errorf("kept %s, was %s", o.kept.Name, first)
	}
	o.advance(4 * 24 * time.Hour)
	o.kept = job.Subscription{}
	if _, calls := o.visit(); calls["patch"] != 1 || o.kept.Expires.Sub(o.Now()) != 7*24*time.Hour {
		t.Errorf("an old one: %v %+v", calls, o.kept)
	}
}

func TestASubscriptionToAnotherTopicIsReplaced(t *testing.T) {
	o := newOwner(t, google.Config{})
	user, err := o.client.UserOf(t.Context(), boss)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.client.Subscribe(t.Context(), boss, user); err != nil {
		t.Fatal(err)
	}
	elsewhere := newClient(t, o.url, google.Config{Topic: topic + "-new", Pull: queue + "-new"})
	if _, err := elsewhere.FindSubscription(t.Context(), boss, user); !isKind(err, job.NotFound) || len(o.there()) != 0 {
		t.Errorf("%v, at Google %+v", err, o.there())
	}
}

func TestASuspendedSubscriptionIsMendedAndThenLeftAlone(t *testing.T) {
	o := newOwner(t, google.Config{})
	o.visit()
	o.control("subscriptions", `{"suspend":"OTHER"}`)
	o.kept.State, o.kept.Checked = job.SubscriptionSuspended, time.Time{} // as a notice says
	if _, calls := o.visit(); calls["get"] != 1 || calls["reactivate"] != 1 || len(calls) != 2 {
		t.Errorf("mended with %v", calls)
	}
	o.is(job.SubscriptionActive)

	o.control("pubsub", `{"topic":"`+topic+`","publisher":false}`)
	o.control("subscriptions", `{"suspend":"ENDPOINT_PERMISSION_DENIED"}`)
	o.kept.Expires = time.Time{} // not known to be right
	seen, calls := o.visit()
	if calls["reactivate"] != 1 || seen.Failure != nil || o.kept.Reason != "ENDPOINT_PERMISSION_DENIED" {
		t.Errorf("with the cause still there: %v %+v %+v", calls, seen.Failure, o.kept)
	}
	o.is(job.SubscriptionSuspended)
	o.advance(50 * time.Minute)
	if _, calls := o.visit(); len(calls) != 0 {
		t.Errorf("asked again too soon: %v", calls)
	}
	o.control("pubsub", `{"topic":"`+topic+`","publisher":true}`)
	o.advance(11 * time.Minute)
	o.visit()
	o.is(job.SubscriptionActive)
}

func TestASubscriptionThatGoogleDeletedIsMadeAnew(t *testing.T) {
	o := newOwner(t, google.Config{})
	o.visit()
	first := o.kept.Name
	o.control("subscriptions", `{"expire":true}`)
	o.kept.State = "" // nobody knows
	if _, calls := o.visit(); calls["get"] != 1 || calls["create"] != 1 || len(calls) != 2 || o.kept.Name == first {
		t.Errorf("%v %+v", calls, o.kept)
	}
	o.is(job.SubscriptionActive)
	o.control("subscriptions", `{"expire":true}`)
	o.advance(4 * 24 * time.Hour) // it is renewed by now, as far as is known
	if _, calls := o.visit(); calls["patch"] != 1 || calls["create"] != 1 || len(calls) != 2 {
		t.Errorf("%v", calls)
	}
	o.is(job.SubscriptionActive)
	o.advance(8 * 24 * time.Hour)
	if _, calls := o.visit(); !one(calls, "create") {
		t.Errorf("long over: %v", calls)
	}
	o.is(job.SubscriptionActive)
}

func TestASubscriptionThatGoogleRefusesIsAStateAndNoFailure(t *testing.T) {
	o := newOwner(t, google.Config{})
	o.control("pubsub", `{"topic":"`+topic+`","publisher":false}`)
	seen, calls := o.visit()
	if seen.Failure != nil || !one(calls, "create") || o.kept.State != job.SubscriptionFailed || !strings.HasPrefix(o.kept.Reason, google.CodePermissionDenied+": ") ||
		!strings.Contains(o.kept.Reason, "GOOGLE_PUBSUB_TOPIC") {
		t.Errorf("%v %+v %+v", calls, seen.Failure, o.kept)
	}
	if _, calls := o.visit(); len(calls) != 0 {
		t.Errorf("asked again at once: %v", calls)
	}
	o.control("pubsub", `{"topic":"`+topic+`","publisher":true}`)
	o.advance(time.Hour)
	o.visit()
	o.is(job.SubscriptionActive)
}

func TestGoogleMayTakeItsTimeAndFail(t *testing.T) {
	o := newOwner(t, google.Config{})
	o.fault(t, googlefake.Fault{Match: "POST /v1/subscriptions", Status: status(503), Times: 1})
	seen, _ := o.visit()
	if seen.Failure == nil || seen.Failure.Permanent() || !seen.RetryAt.After(o.Now()) || seen.Subscription != nil {
		t.Errorf("down: %+v", seen)
	}
	o.fault(t, googlefake.Fault{Match: "POST /v1/subscriptions", Status: status(googlefake.StatusReset), When: googlefake.After, Times: 1})
	if seen, _ = o.visit(); seen.Failure == nil || len(o.there()) != 1 {
		t.Errorf("lost: %+v", seen)
	}
	o.visit()
	o.is(job.SubscriptionActive)

	o.subscribe = false
	o.visit()
	o.subscribe = true
	o.configure(func(s *googlefake.Setup) { s.Events.OperationDelay = "1m" })
	asked := 0
	o.mu.Lock()
	o.before = func(in *http.Request) {
		if strings.HasPrefix(in.URL.Path, "/v1/operations/") {
			if asked++; asked == 2 {
				o.advance(time.Minute)
			}
		}
	}
	o.mu.Unlock()
	if o.visit(); asked != 2 {
		t.Errorf("asked %d times whether it is done", asked)
	}
	o.is(job.SubscriptionActive)
}

func TestWithoutATopicNothingIsSubscribed(t *testing.T) {
	h := newHouse(t, google.Config{Topic: "off", Pull: "off"})
	o := &owner{house: h, subscribe: true}
	if seen, calls := o.visit(); len(calls) != 0 || seen.Subscription != nil || h.client.Noticed() {
		t.Errorf("%v %+v", calls, seen.Subscription)
	}
}
