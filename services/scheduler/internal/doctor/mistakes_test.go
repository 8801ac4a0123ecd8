package doctor

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/timetest"
)

// granted is the delegation list with these scopes.
func granted(client string, names ...string) *googlefake.Delegation {
	for i := range names {
		names[i] = scopePrefix + names[i]
	}
	return &googlefake.Delegation{Grants: map[string][]string{client: names}}
}

// without are all scopes but one.
func without(scope string) (names []string) {
	for _, s := range scopes {
		if s.name != scope {
			names = append(names, s.name)
		}
	}
	if scope != scopeDirectory {
		names = append(names, scopeDirectory)
	}
	return names
}

func TestEachCommonMistakeIsNamedAloneWithItsFix(t *testing.T) {
	oauthClient := `{"installed":{"client_id":"1-x.apps.googleusercontent.com","project_id":"p","client_secret":"GOCSPX-hush","token_uri":"https://oauth2.googleapis.com/token"}}`
	both := clientID + "\n" + allScopes()
	for name, test := range map[string]struct {
		make func(r *rig, o *Options)
		// check that fails, and nothing else does; also: what it says, where, and what to enter.
		check, detail, place, paste string
		warns                       bool
	}{
		"01 the key was deleted": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.ServiceAccount.Key = "deleted" }) },
			check: "google.account", detail: "does not know this key", place: "Keys, Add key, JSON",
			paste: "gcloud iam service-accounts keys create service-account.json --iam-account=" + account,
		},
		"02 the file of an OAuth client": {
			make:  func(r *rig, _ *Options) { r.target.KeyFile = r.write(oauthClient) },
			check: "google.key", detail: "is the file of an OAuth client", place: "Service accounts, the account, Keys, Add key, JSON", paste: "GOOGLE_SERVICE_ACCOUNT_FILE=/etc/meet/key.json",
		},
		"03 the client id is not delegated": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) { u.Delegation = granted("42", "calendar.events") })
			},
			check: "google.delegation", detail: "its entry is missing", place: "Domain-wide delegation", paste: both,
		},
		"04 one scope is missing": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) { u.Delegation = granted(clientID, without(scopeSettings)...) })
			},
			check: "google.scope.meetings.space.settings", detail: "https://www.googleapis.com/auth/meetings.space.settings is not in the delegation",
			place: "the entry of client id " + clientID + ", Edit", paste: allScopes(),
		},
		"05 the e-mail address in place of the number": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) { u.Delegation = granted(account, without("")...) })
			},
			check: "google.delegation", detail: "the service account's e-mail address in place of the number", place: "Client ID is the first line", paste: both,
		},
		"06 the account is suspended": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) {
					u.Accounts = map[string]googlefake.Policy{admin: {Suspended: new(true)}}
				})
			},
			check: "google.admin", detail: admin + " does not exist, is suspended", place: "Directory, Users", paste: admin,
		},
		"06 the account does not exist": {
			make:  func(r *rig, _ *Options) { r.target.AdminEmail = suspended },
			check: "google.admin", detail: "Invalid email or User ID", place: "GOOGLE_WORKSPACE_ADMIN_EMAIL", paste: suspended,
		},
		"06 the organizer does not exist": {
			make:  func(_ *rig, o *Options) { o.Organizer = suspended },
			check: "google.organizer", detail: suspended + " does not exist", place: "the organizer's address", paste: suspended,
		},
		"07 nobody to act for is set": {
			make:  func(r *rig, _ *Options) { r.target.AdminEmail, r.target.Domains = "", nil },
			check: "google.admin", detail: "nobody is set in whose name meetings are made", place: "GOOGLE_WORKSPACE_ADMIN_EMAIL", paste: "GOOGLE_WORKSPACE_ADMIN_EMAIL=meetings@your-domain.example",
		},
		"07 an organizer of no domain, and no account": {
			make:  func(r *rig, o *Options) { r.target.AdminEmail, o.Organizer = "", "x@other.example" },
			check: "google.organizer", detail: "is of none of GOOGLE_WORKSPACE_DOMAINS", place: "GOOGLE_WORKSPACE_DOMAINS", paste: "GOOGLE_WORKSPACE_DOMAINS=clinic.example,other.example",
		},
		"08 the Calendar API is off": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.DisabledAPIs = []string{"calendar"} }) },
			check: "google.api.calendar", detail: "Google Calendar API is not enabled in the project meet-emulator", place: "Library, Google Calendar API, Enable",
			paste: "https://console.developers.google.com/apis/api/calendar-json.googleapis.com/overview?project=meet-emulator",
		},
		"09 the Meet API is off": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.DisabledAPIs = []string{"meet"} }) },
			check: "google.api.meet", detail: "Google Meet REST API is not enabled", place: "Library, Google Meet REST API, Enable",
			paste: "https://console.developers.google.com/apis/api/meet.googleapis.com/overview?project=meet-emulator",
		},
		"10 the clock is behind": {
			make: func(r *rig, _ *Options) {
				r.ahead = 2 * time.Hour
				r.setup(func(u *googlefake.Setup) { u.ServiceAccount.Clock = "2h" })
			},
			check: "google.clock", detail: "by 2h0m0s (it is behind Google's)", place: "NTP", paste: "timedatectl set-ntp true",
		},
		"10 the clock is ahead": {
			make: func(r *rig, _ *Options) {
				r.ahead = -20 * time.Minute
				r.setup(func(u *googlefake.Setup) { u.ServiceAccount.Clock = "-20m" })
			},
			check: "google.clock", detail: "by 20m0s (it is ahead of Google's)", place: "NTP", paste: "timedatectl set-ntp true",
		},
		"11 no such calendar": {
			make:  func(r *rig, _ *Options) { r.target.CalendarID = "none@group.calendar.google.com" },
			check: "google.calendar", detail: `can't see the calendar "none@group.calendar.google.com"`, place: "Share with specific people", paste: admin,
		},
		"11 the calendar is only to be read": {
			make: func(r *rig, _ *Options) {
				r.target.CalendarID = "shared@group.calendar.google.com"
				r.setup(func(u *googlefake.Setup) {
					u.Calendars = map[string]map[string]string{r.target.CalendarID: {admin: "reader"}}
				})
			},
			check: "google.calendar", detail: "its role there is reader", place: "Make changes to events", paste: admin,
		},
		"12 no licence to record, refused": {
			make: func(r *rig, o *Options) {
				o.Write = true
				r.setup(func(u *googlefake.Setup) {
					u.Accounts = map[string]googlefake.Policy{admin: {MayRecord: new(false)}}
					u.Meet.RecordingRefusal = "forbidden"
				})
			},
			check: "google.recording", detail: "may not switch recording on", place: "Meet video settings, Recording", paste: admin,
		},
		"12 no licence to record, ignored": {
			make: func(r *rig, o *Options) {
				o.Write = true
				r.setup(func(u *googlefake.Setup) {
					u.Accounts = map[string]googlefake.Policy{admin: {MayRecord: new(false)}}
				})
			},
			check: "google.recording", detail: "left recording off", place: "Meet video settings, Recording", paste: admin,
		},
		"13 no licence with Meet": {
			make: func(r *rig, o *Options) {
				o.Write = true
				r.setup(func(u *googlefake.Setup) { u.Accounts = map[string]googlefake.Policy{admin: {HasMeet: new(false)}} })
			},
			check: "google.recording", detail: "gets no Meet links", place: "Google Meet, Service status", paste: admin,
		},
		"14 the administrator blocks the app": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) { u.Accounts = map[string]googlefake.Policy{admin: {Restricted: new(true)}} })
			},
			check: "google.admin", detail: "the administrator blocks this app for " + admin, place: "App access control", paste: clientID,
		},
		"15 the service account was deleted": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.ServiceAccount.Account = "deleted" }) },
			check: "google.account", detail: "does not exist any more", place: "Create service account", paste: "",
		},
		"16 the service account is disabled": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.ServiceAccount.Account = "disabled" }) },
			check: "google.account", detail: "is disabled", place: "Enable", paste: "gcloud iam service-accounts enable " + account,
		},
		"17 no key file": {
			make:  func(r *rig, _ *Options) { r.target.KeyFile, r.target.Emulator = "", nil },
			check: "google.key", detail: "no key file is set", place: "GOOGLE_SERVICE_ACCOUNT_FILE", paste: "GOOGLE_SERVICE_ACCOUNT_FILE=/etc/meet/service-account.json",
		},
		"17 the key file is not there": {
			make:  func(r *rig, _ *Options) { r.target.KeyFile = filepath.Join(r.t.TempDir(), "none.json") },
			check: "google.key", detail: "no such file or directory", place: "GOOGLE_SERVICE_ACCOUNT_FILE", paste: "GOOGLE_SERVICE_ACCOUNT_FILE=/etc/meet/key.json",
		},
		"18 the key's token service is not Google's": {
			make: func(r *rig, _ *Options) {
				r.target.KeyFile, r.target.Emulator = r.write(string(r.ServiceAccountKey("https://evil.example"))), nil
			},
			check: "google.key", detail: `"token_uri"`, place: "token_uri", paste: googleTokenURI,
		},
		"19 a scope for what comes after the meeting is missing": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) { u.Delegation = granted(clientID, without(scopeDrive)...) })
			},
			check: "google.scope.drive.meet.readonly", detail: "it is for reading the files of recordings", place: "Edit, OAuth scopes", paste: allScopes(),
		},
		"19 the Drive API is off": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.DisabledAPIs = []string{"drive"} }) },
			check: "google.api.drive", detail: "Google Drive API is not enabled", place: "Library, Google Drive API, Enable",
			paste: "https://console.developers.google.com/apis/api/drive.googleapis.com/overview?project=meet-emulator",
		},
		"21 the directory's scope is missing": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) {
					u.Delegation = granted(clientID, append(without(scopeDirectory), scopeSelf)...)
				})
			},
			check: "google.directory", detail: "by name alone", place: "Edit, OAuth scopes", paste: allScopes() + "," + scopePrefix + scopeDirectory, warns: true,
		},
		"22 Meet may not publish": {
			make:  func(r *rig, _ *Options) { r.control("pubsub", `{"topic":"`+topic+`","publisher":false}`) },
			check: "google.pubsub", detail: "Meet may not publish", place: "Permissions, Add principal",
			paste: "gcloud pubsub topics add-iam-policy-binding " + topic + " --member=serviceAccount:meet-api-event-push@system.gserviceaccount.com --role=roles/pubsub.publisher",
		},
		"23 no right to pull": {
			make:  func(r *rig, _ *Options) { r.control("pubsub", `{"subscription":"`+queue+`","subscriber":false}`) },
			check: "google.pubsub", detail: "may not pull from " + queue, place: "Pub/Sub, Subscriptions",
			paste: "gcloud pubsub subscriptions create " + queue + " --topic=" + topic + " --enable-message-ordering --message-retention-duration=7d --expiration-period=never\n" +
				"gcloud pubsub subscriptions add-iam-policy-binding " + queue + " --member=serviceAccount:" + account + " --role=roles/pubsub.subscriber",
		},
		"23 a subscription to another topic": {
			make:  func(r *rig, _ *Options) { r.target.Topic = topic + "-2" },
			check: "google.pubsub", detail: "is a subscription to " + topic, place: "GOOGLE_PUBSUB_TOPIC", paste: "GOOGLE_PUBSUB_TOPIC=" + topic,
		},
		"24 a topic of another project": {
			make:  func(r *rig, _ *Options) { r.target.Topic = "projects/other/topics/x" },
			check: "google.pubsub", detail: "not in the service account's project meet-emulator", place: "GOOGLE_PUBSUB_TOPIC", paste: "GOOGLE_PUBSUB_TOPIC=projects/meet-emulator/topics/x",
		},
		"25 the Workspace Events API is off": {
			make: func(r *rig, _ *Options) {
				r.setup(func(u *googlefake.Setup) { u.DisabledAPIs = []string{"workspaceevents"} })
			},
			check: "google.notices", detail: "Google Workspace Events API is not enabled", place: "Library, Google Workspace Events API, Enable",
			paste: "https://console.developers.google.com/apis/api/workspaceevents.googleapis.com/overview?project=meet-emulator",
		},
		"26 the PubSub API is off": {
			make:  func(r *rig, _ *Options) { r.setup(func(u *googlefake.Setup) { u.DisabledAPIs = []string{"pubsub"} }) },
			check: "google.pubsub", detail: "Cloud Pub/Sub API is not enabled", place: "Library, Cloud Pub/Sub API, Enable",
			paste: "https://console.developers.google.com/apis/api/pubsub.googleapis.com/overview?project=meet-emulator",
		},
		"20 Google can't be reached": {
			make: func(r *rig, _ *Options) {
				r.target.KeyFile = r.write(string(r.ServiceAccountKey("http://127.0.0.1:1")))
			},
			check: "google.clock", detail: "could not be reached", place: "HTTPS_PROXY", paste: "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, o := newRig(t), Options{}
			test.make(r, &o)
			report := r.visit(o)
			wrong, status := named(report, Failed, Warning), Failed
			if test.warns {
				status = Warning
			}
			if !slices.Equal(wrong, []string{test.check}) {
				t.Fatalf("wrong are %v, want %s alone:\n%s", wrong, test.check, report.text())
			}
			got := find(report, test.check)
			got.Paste = strings.ReplaceAll(got.Paste, r.target.KeyFile, "/etc/meet/key.json")
			if r.target.KeyFile == "" {
				got.Paste = find(report, test.check).Paste
			}
			if got.Status != status || !strings.Contains(got.Detail, test.detail) || !strings.Contains(got.Place, test.place) || got.Paste != test.paste {
				t.Errorf("got %s\n detail %q\n place %q\n paste %q\nwant %s %q, %q, %q", got.Status, got.Detail, got.Place, got.Paste, status, test.detail, test.place, test.paste)
			}
			if live := r.live(); len(live) > 0 {
				t.Errorf("events are left: %v", live)
			}
			file := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-")
			golden.Equal(t, "testdata/"+file+".golden.txt", r.plain(report.text()))
		})
	}
}

func TestAHealthySetUpIsFoundSoWithinSecondsAndNothingChanges(t *testing.T) {
	r := newRig(t)
	// As far from here as Google is.
	r.fault(googlefake.Fault{Match: "/", Latency: 150 * time.Millisecond})
	before, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	timetest.Rounds(t, func(round *timetest.Round) {
		report = r.visit(Options{Organizer: organizer})
		if !report.OK() || len(named(report, Warning)) > 0 || !slices.Equal(named(report, Skipped), []string{"google.recording"}) {
			round.Errorf("found\n%s", report.text())
		}
		if report.Took > 5*time.Second {
			round.Latef("it took %s", report.Took)
		}
	})
	if writes := r.asked(); len(writes) > 0 {
		t.Errorf("it wrote: %v", writes)
	}
	after, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Events) != len(before.Events) || len(after.Spaces) != len(before.Spaces) || !slices.Equal(after.Users, before.Users) {
		t.Errorf("the state changed:\n%+v\n%+v", before, after)
	}
	golden.Equal(t, "testdata/healthy.golden.txt", r.plain(report.text()))
	golden.JSON(t, "testdata/healthy.golden.json", r.plain(report.json()))
}

func TestWithWriteTheRecordingIsProvedAndNothingIsLeft(t *testing.T) {
	r := newRig(t)
	r.SetConference(300*time.Millisecond, false) // Google takes its time with the Meet
	report := r.visit(Options{Write: true})
	if got := find(report, "google.recording"); !report.OK() || got.Status != OK || !strings.Contains(got.Detail, "made a Meet that records") {
		t.Errorf("found\n%s", report.text())
	}
	writes := r.asked()
	if len(writes) != 3 || !strings.HasPrefix(writes[0], "POST /calendar/") || !strings.HasPrefix(writes[1], "PATCH /v2/spaces/") || !strings.HasPrefix(writes[2], "DELETE /calendar/") {
		t.Errorf("it wrote %v", writes)
	}
	if live := r.live(); len(live) > 0 {
		t.Errorf("events are left: %v", live)
	}
}

func TestWhatTheWriteMadeIsRemovedHoweverItEnds(t *testing.T) {
	lost := googlefake.StatusReset
	for name, test := range map[string]struct {
		faults []googlefake.Fault
		detail string
		left   int
	}{
		"the answer of the insert is lost": {[]googlefake.Fault{{Match: "POST /calendar/", Status: new(lost), When: googlefake.After}}, "could not be reached", 0},
		"the insert fails":                 {[]googlefake.Fault{{Match: "POST /calendar/", Status: new(503)}}, "could not be reached or failed", 0},
		"the space is hidden":              {[]googlefake.Fault{{Match: "GET /v2/spaces/", Status: new(400)}}, "does not show", 0},
		"the patch fails":                  {[]googlefake.Fault{{Match: "PATCH /v2/", Status: new(500)}}, "could not be reached or failed", 0},
		"the patch's answer is lost":       {[]googlefake.Fault{{Match: "PATCH /v2/", Status: new(lost), When: googlefake.After}}, "could not be reached", 0},
		"the delete fails once": {[]googlefake.Fault{
			{Match: "DELETE /calendar/", Status: new(503), Times: 1},
		}, "made a Meet that records", 0},
		"the delete is refused": {[]googlefake.Fault{{Match: "DELETE /calendar/", Status: new(403)}}, "could not be removed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.fault(test.faults...)
			got := find(r.visit(Options{Write: true}), "google.recording")
			if !strings.Contains(got.Detail, test.detail) || (got.Status == OK) != (name == "the delete fails once") {
				t.Errorf("got %+v, want %q", got, test.detail)
			}
			if name == "the insert fails" { // it looks for what may still come
				deletes := slices.DeleteFunc(r.asked(), func(w string) bool { return !strings.HasPrefix(w, "DELETE ") })
				if len(deletes) != 2 {
					t.Errorf("it wrote %v", r.asked())
				}
			}
			live := r.live()
			if len(live) != test.left || test.left > 0 && !strings.Contains(got.Detail, live[0]) {
				t.Errorf("left are %v; it says %q", live, got.Detail)
			}
		})
	}
}
