package doctor

import (
	"context"
	"net/http"
	"slices"
	"strings"

	directory "google.golang.org/api/admin/directory/v1"
	oauth2api "google.golang.org/api/oauth2/v2"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/api/workspaceevents/v1"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
)

const (
	scopeDirectory = "admin.directory.user.readonly"
	scopeSelf      = "userinfo.email"
	scopePubSub    = "pubsub"
	// meetPublisher is who publishes what Meet tells (Google Workspace Events API, Create a Pub/Sub topic).
	meetPublisher   = "serviceAccount:meet-api-event-push@system.gserviceaccount.com"
	publisherRole   = "roles/pubsub.publisher"
	consume         = "pubsub.subscriptions.consume"
	placeTopics     = "Cloud console, Pub/Sub, Topics (https://console.cloud.google.com/cloudpubsub/topic/list)"
	placePulls      = "Cloud console, Pub/Sub, Subscriptions (https://console.cloud.google.com/cloudpubsub/subscription/list)"
	placeContacts   = "Admin console, Directory, Directory settings, Sharing settings, Contact sharing: on"
	placeTopicName  = "the setting GOOGLE_PUBSUB_TOPIC of the scheduler"
	userTarget      = "//cloudidentity.googleapis.com/users/"
	conferenceStart = "google.workspace.meet.conference.v2.started"
)

// grantScope is where a scope beside the needed ones is added, and all that is entered there.
func grantScope(k keyInfo, scope string) (place, paste string) {
	return placeDelegation + ", the entry of client id " + k.ClientID + ", Edit, OAuth scopes", allScopes() + "," + scopePrefix + scope
}

// people looks whether the directory tells who attended. Without it attendees are matched by name, so it is no failure.
func (g *googleChecks) people(ctx context.Context, v *Visit) Finding {
	if g.NoDirectory {
		return skipped("GOOGLE_DIRECTORY is off: attendees are matched to the invited by name alone")
	}
	_, err, why := g.numberOf(ctx, v, scopeDirectory)
	warn := func(place, paste, detail string) Finding { return Finding{Warning, detail, place, paste} }
	switch {
	case why.Code != "" && temporary(why):
		return unreachable("Google's token service", why)
	case why.Code != "":
		place, paste := grantScope(v.Google.Key, scopeDirectory)
		return warn(place, paste, "the scope "+scopePrefix+scopeDirectory+" is not in the delegation; without it attendees are matched to the invited by name alone (or set GOOGLE_DIRECTORY=off)")
	}
	if f := g.api(ctx, v, "Admin SDK API", "admin.googleapis.com", err); f != nil {
		f.Status = Warning
		return *f
	}
	if err != nil {
		return warn(placeContacts, v.Actor, "the directory does not let "+v.Actor+" look people up, so attendees are matched to the invited by name alone ("+google.ExplainCall(ctx, err).Said+")")
	}
	return ok("the directory tells who attends")
}

// numberOf gives the actor's number, by the directory's scope or the one of his own data. why says that there is no token.
func (g *googleChecks) numberOf(ctx context.Context, v *Visit, scope string) (id string, err error, why google.Explanation) { //nolint:revive,staticcheck // why is of the step before err
	opts, why := v.Google.Options(ctx, v.Actor, scope, "/")
	if opts == nil {
		return "", nil, why
	}
	if scope == scopeSelf {
		service, err := oauth2api.NewService(ctx, opts...)
		if err != nil {
			return "", err, why
		}
		found, err := service.Userinfo.Get().Context(ctx).Do()
		if err != nil {
			return "", err, why
		}
		return found.Id, nil, why
	}
	service, err := directory.NewService(ctx, opts...)
	if err != nil {
		return "", err, why
	}
	found, err := service.Users.Get(v.Actor).ViewType("domain_public").Fields("id").Context(ctx).Do()
	if err != nil {
		return "", err, why
	}
	return found.Id, nil, why
}

// pubsub looks whether the service account may pull, and Meet publish.
func (g *googleChecks) pubsub(ctx context.Context, v *Visit) Finding {
	k := v.Google.Key
	switch {
	case g.Topic == "":
		return skipped("GOOGLE_PUBSUB_TOPIC is not set: conferences are read every few minutes, and nothing is told at once")
	case !strings.HasPrefix(g.Topic, "projects/"+k.Project+"/"):
		_, name, _ := strings.Cut(g.Topic, "/topics/")
		return failed(placeTopicName, "GOOGLE_PUBSUB_TOPIC=projects/"+k.Project+"/topics/"+name,
			"the topic %s is not in the service account's project %s: Google refuses such subscriptions", g.Topic, k.Project)
	}
	opts, why := v.Google.Options(ctx, "", scopePubSub, "/")
	if opts == nil {
		return unreachable("Google's token service", why)
	}
	service, err := pubsub.NewService(ctx, opts...)
	if err != nil {
		return failed("", "", "the Pub/Sub client could not be made: %v", err)
	}
	may, err := service.Projects.Subscriptions.TestIamPermissions(g.Pull, &pubsub.TestIamPermissionsRequest{Permissions: []string{consume}}).Context(ctx).Do()
	if f := g.api(ctx, v, "Cloud Pub/Sub API", "pubsub.googleapis.com", err); f != nil {
		return *f
	}
	if err != nil || !slices.Contains(may.Permissions, consume) {
		return failed(placePulls, "gcloud pubsub subscriptions create "+g.Pull+" --topic="+g.Topic+" --enable-message-ordering --message-retention-duration=7d --expiration-period=never\n"+
			"gcloud pubsub subscriptions add-iam-policy-binding "+g.Pull+" --member=serviceAccount:"+k.Email+" --role=roles/pubsub.subscriber",
			"the service account may not pull from %s (GOOGLE_PUBSUB_SUBSCRIPTION), or there is no such subscription", g.Pull)
	}
	// What is not shown to a mere subscriber is not known to be wrong.
	if queue, err := service.Projects.Subscriptions.Get(g.Pull).Context(ctx).Do(); err == nil && queue.Topic != g.Topic {
		return failed(placeTopicName, "GOOGLE_PUBSUB_TOPIC="+queue.Topic, "%s is a subscription to %s, and GOOGLE_PUBSUB_TOPIC is %s", g.Pull, queue.Topic, g.Topic)
	}
	policy, err := service.Projects.Topics.GetIamPolicy(g.Topic).Context(ctx).Do()
	publishes := err != nil || slices.ContainsFunc(policy.Bindings, func(b *pubsub.Binding) bool {
		return b.Role == publisherRole && slices.Contains(b.Members, meetPublisher)
	})
	if !publishes {
		return failed(placeTopics+", the topic, Permissions, Add principal", "gcloud pubsub topics add-iam-policy-binding "+g.Topic+" --member="+meetPublisher+" --role="+publisherRole,
			"Meet may not publish to the topic %s", g.Topic)
	}
	return ok("the service account may pull notices from %s", g.Pull)
}

// notices tries, without making one, whether Google would make a subscription to the actor's conferences.
func (g *googleChecks) notices(ctx context.Context, v *Visit) Finding {
	id := ""
	for _, scope := range []string{scopeDirectory, scopeSelf} {
		if id == "" && (scope != scopeDirectory || !g.NoDirectory) {
			id, _, _ = g.numberOf(ctx, v, scope) // google.directory says why
		}
	}
	if id == "" {
		place, paste := grantScope(v.Google.Key, scopeSelf)
		return failed(place, paste, "Google does not tell the number of %s, without which no notices can be subscribed to: neither the scope %s nor %s works", v.Actor, scopePrefix+scopeDirectory, scopePrefix+scopeSelf)
	}
	opts, why := v.Google.Options(ctx, v.Actor, scopeReadonly, "/")
	if opts == nil {
		return unreachable("Google's token service", why)
	}
	service, err := workspaceevents.NewService(ctx, opts...)
	if err != nil {
		return failed("", "", "the Workspace Events client could not be made: %v", err)
	}
	_, err = service.Subscriptions.Create(&workspaceevents.Subscription{
		TargetResource: userTarget + id, EventTypes: []string{conferenceStart}, NotificationEndpoint: &workspaceevents.NotificationEndpoint{PubsubTopic: g.Topic},
	}).ValidateOnly(true).Context(ctx).Do()
	if f := g.api(ctx, v, "Google Workspace Events API", "workspaceevents.googleapis.com", err); f != nil {
		return *f
	}
	if err == nil {
		return ok("Google tells of the conferences of %s", v.Actor)
	}
	switch said := google.ExplainCall(ctx, err); {
	case said.Status == http.StatusConflict: // there is one
		return ok("Google tells of the conferences of %s", v.Actor)
	case said.Status == http.StatusForbidden || said.Status == http.StatusNotFound:
		return failed(placeTopics+", the topic, Permissions, Add principal", "gcloud pubsub topics add-iam-policy-binding "+g.Topic+" --member="+meetPublisher+" --role="+publisherRole,
			"Google would make no subscription to the conferences of %s: Meet may not publish to the topic %s, or there is none (%q)", v.Actor, g.Topic, said.Said)
	default:
		return failed(placeTopicName, g.Topic, "Google would make no subscription to the conferences of %s (%q)", v.Actor, said.Said)
	}
}
