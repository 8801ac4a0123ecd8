package compat

import (
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// The groups of the document.
const (
	tagMeetings     = "meetings"
	tagParticipants = "participants"
	tagRecordings   = "recordings"
	tagJobs         = "jobs"
	tagUsers        = "users"
	tagManagement   = "user-management"
	tagService      = "service"
	tagAccess       = "access"
	tagAudit        = "audit"
	tagPrivacy      = "privacy"
)

// routes is every path of this surface on one page.
func (a *API) routes() {
	a.meetingRoutes()
	a.recordingRoutes()
	a.attendanceRoutes()
	a.holdRoutes()
	a.jobRoutes()
	a.peopleRoutes()
	a.managementRoutes()
	a.keyRoutes()
	a.signInRoutes()
	a.auditRoutes()
	a.privacyRoutes()
	a.serviceRoutes()
	a.router.Post(pushPath, a.googleCalendar)
	a.consolePages()
	a.serveAssets()
}

func (a *API) meetingRoutes() {
	const meetings, one = base + "meetings/", base + "meetings/{id}/"
	meeting, detail := schemaOf[Meeting](a), schemaOf[MeetingDetail](a)
	a.add(route{
		id: "listMeetings", method: http.MethodGet, path: meetings, tag: tagMeetings, summary: "List meetings, newest first",
		params: append([]*huma.Param{
			queryParam("organizer", "The organizer's user id.", idSchema()),
			queryParam("status", "", &huma.Schema{Type: huma.TypeString, Enum: anys([]string{"CREATED", "SCHEDULED", "FINISHED", "CANCELLED"})}),
			queryParam("scheduled_start__gte", "Start at or after.", stringSchema("date-time")),
			queryParam("scheduled_start__lte", "Start at or before.", stringSchema("date-time")),
			queryParam("external_reference", "Exactly this one.", stringSchema("")),
			queryParam("invited_email", "Meetings with this guest.", stringSchema("email")),
			queryParam("recording_state", "", namesSchema(recordingStates)),
		}, pageParams(meetingsPage)...),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[MeetingSummary](a), headers: []string{"Link"}}},
		serve:   a.listMeetings,
	})
	a.add(route{
		id: "createMeeting", method: http.MethodPost, path: meetings, tag: tagMeetings, summary: "Make a meeting and its Google Meet link",
		description: "Answers when Google has made the link; with 202 and an operation when that takes too long or the caller prefers not to wait.",
		params:      []*huma.Param{requestHeaders["Prefer"]},
		body:        bodySchema(a, "CreateMeeting", a.creates.fields),
		answers: []answer{
			{status: http.StatusCreated, doc: "Google made the link.", schema: meeting, headers: []string{"Location", "ETag", "Idempotency-Replayed"}},
			{
				status: http.StatusAccepted, doc: "The meeting is stored; the link is being made.", schema: schemaOf[PendingMeeting](a),
				headers: []string{"Location", "ETag", "Preference-Applied", "Idempotency-Replayed"},
			},
		},
		refusals: []int{http.StatusBadGateway},
		serve:    a.createMeeting,
	})
	a.add(route{
		id: "getMeeting", method: http.MethodGet, path: one, tag: tagMeetings, summary: "Read one meeting",
		params: []*huma.Param{requestHeaders["If-None-Match"]},
		answers: []answer{
			{status: http.StatusOK, doc: "The meeting.", schema: detail, headers: []string{"ETag"}},
			{status: http.StatusNotModified, doc: "The caller has it already.", headers: []string{"ETag"}},
		},
		serve: a.getMeeting,
	})
	a.add(route{
		id: "updateMeeting", method: http.MethodPatch, path: one, tag: tagMeetings, summary: "Change a meeting",
		description: "Answers at the commit; google_sync tells of Google. Other fields are ignored.",
		params:      []*huma.Param{requestHeaders["If-Match"]},
		body:        bodySchema(a, "UpdateMeeting", a.changes.fields),
		answers:     []answer{{status: http.StatusOK, doc: "The meeting as it is now.", schema: meeting, headers: []string{"ETag", "Idempotency-Replayed"}}},
		refusals:    []int{http.StatusPreconditionFailed},
		serve:       a.updateMeeting,
	})
	a.add(route{
		id: "cancelMeeting", method: http.MethodDelete, path: one, tag: tagMeetings, summary: "Call a meeting off",
		description: "Google's event is cancelled and the guests are told. Again: the same answer.",
		params:      []*huma.Param{requestHeaders["If-Match"]},
		answers:     []answer{{status: http.StatusOK, doc: "It is cancelled.", schema: schemaOf[CancelledMeeting](a), headers: []string{"ETag", "Idempotency-Replayed"}}},
		refusals:    []int{http.StatusPreconditionFailed},
		serve:       a.deleteMeeting,
	})
	a.add(route{
		id: "provisionMeeting", method: http.MethodPost, path: one + "provision/", tag: tagMeetings, summary: "Try Google again",
		answers: []answer{
			{status: http.StatusAccepted, doc: "Under way.", schema: schemaOf[PendingMeeting](a), headers: []string{"Location", "ETag", "Idempotency-Replayed"}},
			{status: http.StatusOK, doc: "There is nothing to try again.", schema: meeting, headers: []string{"ETag", "Idempotency-Replayed"}},
		},
		serve: a.provisionMeeting,
	})
	a.add(route{
		id: "getMeetingRecording", method: http.MethodGet, path: one + "recording/", tag: tagMeetings, summary: "Read a meeting's longest recording",
		answers: []answer{
			{status: http.StatusOK, doc: "The recording.", schema: schemaOf[Recording](a)},
			{status: http.StatusNotFound, doc: "No such meeting (detail), or it has no recording (message).", schema: &huma.Schema{OneOf: []*huma.Schema{
				schemaOf[MeetingMessage](a), {Ref: "#/components/schemas/Detail"},
			}}},
		},
		serve: a.meetingRecording,
	})
	a.add(route{
		id: "listMeetingParticipants", method: http.MethodGet, path: one + "participants/", tag: tagMeetings, summary: "List a meeting's participants",
		answers: []answer{{status: http.StatusOK, doc: "The organizer and the guests.", schema: listOf[Participant](a)}},
		serve:   a.meetingParticipants,
	})
	a.add(route{
		id: "addMeetingParticipant", method: http.MethodPost, path: one + "participants/", tag: tagMeetings, summary: "Invite somebody to a meeting",
		description: "Who is invited already stays as he is. Google tells him; several changes in a row reach Google as one.",
		params:      []*huma.Param{requestHeaders["If-Match"]},
		body:        bodySchema(a, "AddParticipant", newGuestFields()),
		answers:     []answer{{status: http.StatusCreated, doc: "He is invited.", schema: schemaOf[Participant](a), headers: []string{"Location", "ETag", "Idempotency-Replayed"}}},
		refusals:    []int{http.StatusPreconditionFailed},
		serve:       a.addParticipant,
	})
	a.add(route{
		id: "removeMeetingParticipant", method: http.MethodDelete, path: one + "participants/{participant}/", tag: tagMeetings, summary: "Take somebody off a meeting",
		description: "Who is not there is no error. The organizer stays.",
		params:      []*huma.Param{requestHeaders["If-Match"]},
		answers:     []answer{{status: http.StatusOK, doc: "The meeting as it is now.", schema: meeting, headers: []string{"ETag", "Idempotency-Replayed"}}},
		refusals:    []int{http.StatusPreconditionFailed},
		serve:       a.removeParticipant,
	})
	a.add(route{
		id: "listMeetingEvents", method: http.MethodGet, path: one + "events/", tag: tagMeetings, summary: "Read a meeting's history, oldest first",
		params:  pageParams(meetingsPage),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[Event](a), headers: []string{"Link"}}},
		serve:   a.meetingEvents,
	})
	a.add(route{
		id: "getOperation", method: http.MethodGet, path: base + "operations/{id}/", tag: tagMeetings, summary: "Follow a create under way",
		answers: []answer{{status: http.StatusOK, doc: "What it has become.", schema: schemaOf[Operation](a), headers: []string{"Retry-After"}}},
		serve:   a.getOperation,
	})
}

func (a *API) peopleRoutes() {
	of := queryParam("meeting", "Of this meeting alone; its number.", idSchema())
	a.add(route{
		id: "listParticipants", method: http.MethodGet, path: base + "participants/", tag: tagParticipants, summary: "List participants",
		params:  append([]*huma.Param{of}, pageParams(wholePage)...),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[Participant](a), headers: []string{"Link"}}},
		serve:   a.listParticipants,
	})
	a.add(route{
		id: "getParticipant", method: http.MethodGet, path: base + "participants/{id}/", tag: tagParticipants, summary: "Read one participant",
		answers: []answer{{status: http.StatusOK, doc: "The participant.", schema: schemaOf[Participant](a)}},
		serve:   a.getParticipant,
	})
	a.add(route{
		id: "listUsers", method: http.MethodGet, path: base + "users/", tag: tagUsers, summary: "List active users",
		params: userParams(), answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[User](a), headers: []string{"Link"}}},
		serve: a.listUsers,
	})
	a.add(route{
		id: "getMe", method: http.MethodGet, path: base + "users/me/", tag: tagUsers, summary: "Read the user behind the credentials",
		answers: []answer{
			{status: http.StatusOK, doc: "The user.", schema: schemaOf[User](a)},
			{
				status: http.StatusUnauthorized, doc: "Nobody is logged in (message; always so in open mode), or bad credentials (detail).",
				schema: &huma.Schema{OneOf: []*huma.Schema{schemaOf[Message](a), {Ref: "#/components/schemas/Detail"}}},
			},
		},
		serve: a.me,
	})
	a.add(route{
		id: "getUserStats", method: http.MethodGet, path: base + "users/stats/", tag: tagUsers, summary: "Count users",
		answers: []answer{{status: http.StatusOK, doc: "The counts.", schema: schemaOf[UserStats](a)}},
		serve:   a.userStats,
	})
	a.add(route{
		id: "getUser", method: http.MethodGet, path: base + "users/{id}/", tag: tagUsers, summary: "Read one active user",
		answers: []answer{{status: http.StatusOK, doc: "The user.", schema: schemaOf[User](a)}},
		serve:   a.getUser,
	})
}

func userParams() []*huma.Param {
	return append([]*huma.Param{
		queryParam("role", "", namesSchema(rolesByName)),
		queryParam("email", "Part of the address, without regard to case.", stringSchema("")),
		queryParam("username", "Part of the username, without regard to case.", stringSchema("")),
	}, pageParams(wholePage)...)
}

func (a *API) managementRoutes() {
	const users, one = base + "user-management/", base + "user-management/{id}/"
	admins := []int{http.StatusForbidden}
	user := []answer{{status: http.StatusOK, doc: "The user.", schema: schemaOf[User](a)}}
	changed := []answer{{status: http.StatusOK, doc: "The user as it is now.", schema: schemaOf[User](a), headers: []string{"Idempotency-Replayed"}}}
	told := []answer{{status: http.StatusOK, doc: "It is done.", schema: schemaOf[UserMessage](a), headers: []string{"Idempotency-Replayed"}}}
	said := []answer{{status: http.StatusOK, doc: "It is done.", schema: schemaOf[Message](a), headers: []string{"Idempotency-Replayed"}}}
	newPassword := bodySchema(a, "ChangePassword", a.users.passwords)
	for _, r := range []route{
		{
			id: "listManagedUsers", method: http.MethodGet, path: users, summary: "List users, inactive ones included", params: userParams(),
			answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[User](a), headers: []string{"Link"}}}, serve: a.listManaged,
		},
		{
			id: "createUser", method: http.MethodPost, path: users, summary: "Make a user", body: bodySchema(a, "CreateUser", a.users.create.fields),
			answers: []answer{{status: http.StatusCreated, doc: "The user.", schema: schemaOf[User](a), headers: []string{"Location", "Idempotency-Replayed"}}},
			serve:   a.createManaged,
		},
		{id: "getManagedUser", method: http.MethodGet, path: one, summary: "Read one user", answers: user, serve: a.getManaged},
		{id: "replaceUser", method: http.MethodPut, path: one, summary: "Change a user", body: bodySchema(a, "ReplaceUser", a.users.replace.fields), answers: changed, serve: a.replaceManaged},
		{id: "updateUser", method: http.MethodPatch, path: one, summary: "Change some of a user", body: bodySchema(a, "UpdateUser", a.users.change.fields), answers: changed, serve: a.patchManaged},
		{id: "deactivateUser", method: http.MethodDelete, path: one, summary: "Deactivate a user", answers: told, serve: a.deactivate},
		{id: "activateUser", method: http.MethodPost, path: one + "activate/", summary: "Activate a user", answers: told, serve: a.activate},
		{id: "changePassword", method: http.MethodPost, path: one + "change_password/", summary: "Change a user's password", body: newPassword, answers: said, serve: a.changePassword},
	} {
		r.tag, r.refusals = tagManagement, slices.Concat(admins, r.refusals)
		a.add(r)
	}
	a.add(route{
		id: "changeOwnPassword", method: http.MethodPost, path: users + "change-password/", tag: tagManagement, summary: "Change one's own password",
		body: newPassword, answers: said, serve: a.changeOwnPassword,
	})
}

func (a *API) serviceRoutes() {
	document := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	format := queryParam("format", "", &huma.Schema{Type: huma.TypeString, Enum: anys([]string{"json", "yaml"}), Default: "json"})
	html := func(doc string) []answer {
		return []answer{{status: http.StatusOK, doc: doc, schema: stringSchema(""), media: "text/html"}}
	}
	for _, r := range []route{
		{
			id: "getRoot", method: http.MethodGet, path: base, summary: "Where things are",
			answers: []answer{{status: http.StatusOK, doc: "Paths.", schema: schemaOf[root](a)}}, serve: a.root,
		},
		{
			id: "getHealth", method: http.MethodGet, path: base + "health/", summary: "What works",
			answers: []answer{
				{status: http.StatusOK, doc: "Everything that is needed.", schema: schemaOf[health](a)},
				{status: http.StatusServiceUnavailable, doc: "Something is down.", schema: schemaOf[health](a), headers: []string{"Retry-After"}},
			}, serve: a.health,
		},
		{
			id: "getSchema", method: http.MethodGet, path: base + "schema/", summary: "This document", params: []*huma.Param{format},
			answers:  []answer{{status: http.StatusOK, doc: "OpenAPI 3.1 as JSON, or YAML with format=yaml.", schema: document, headers: []string{"ETag"}}},
			refusals: []int{http.StatusNotFound}, serve: a.getSchema,
		},
		{
			id: "getDocs", method: http.MethodGet, path: base + "docs/", summary: "Swagger UI", answers: html("The page."),
			serve: func(x *exchange) error { return x.page("docs.html") },
		},
		{
			id: "getRedoc", method: http.MethodGet, path: base + "redoc/", summary: "ReDoc", answers: html("The page."),
			serve: func(x *exchange) error { return x.page("redoc.html") },
		},
	} {
		r.tag = tagService
		a.add(r)
	}
	a.add(route{
		id: "getInfo", method: http.MethodGet, path: base + "info/", tag: tagService, summary: "What this is",
		answers:  []answer{{status: http.StatusOK, doc: "The build.", schema: schemaOf[info](a)}},
		refusals: []int{http.StatusUnauthorized}, serve: a.info,
	})
	a.add(route{
		id: "getSetup", method: http.MethodGet, path: base + "setup/", tag: tagService, summary: "Look whether everything is set up",
		description: "Looks at Google, NATS and Postgres now, which takes seconds, and says of each mistake where it is put right and what to enter there. Changes nothing. For admins.",
		params:      []*huma.Param{queryParam("organizer", "An organizer to act for beside GOOGLE_WORKSPACE_ADMIN_EMAIL.", stringSchema("email"))},
		answers:     []answer{{status: http.StatusOK, doc: "What was found; ok is false where a check failed.", schema: schemaOf[SetupReport](a)}},
		refusals:    []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable},
		serve:       a.setup,
	})
}
