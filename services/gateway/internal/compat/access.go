package compat

import (
	"fmt"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

// needs is what a caller must be allowed for a route, decided before anything of the request is read.
type needs struct {
	// actions of pkg/access; all of them.
	actions []string
	// admin: whatever the table says, the route is for those who manage users.
	admin bool
	// anyone: nothing is asked.
	anyone bool
}

func of(actions ...string) needs       { return needs{actions: actions} }
func managing(actions ...string) needs { return needs{actions: actions, admin: true} }

// known: whoever shows a credential.
var known, anyone = needs{}, needs{anyone: true}

// routeNeeds is every route of the document by its id; one that is missing fails at the start of the program.
var routeNeeds = map[string]needs{
	"getRoot": anyone, "getHealth": anyone, "getSchema": anyone, "getDocs": anyone, "getRedoc": anyone,
	"signIn": anyone, "signOut": anyone, "makeFirstAdmin": anyone,
	"getInfo": known, "whoAmI": known,

	"listMeetings": of("ListMeetings"), "createMeeting": of("meeting.create"), "getMeeting": of("GetMeeting"), "updateMeeting": of("meeting.update"),
	"cancelMeeting": of("meeting.cancel"), "provisionMeeting": of("meeting.provision"), "getOperation": of("GetOperation"),
	"getMeetingRecording": of("GetMeeting", "GetRecording"), "listMeetingParticipants": of("GetMeeting", "ListParticipants"),
	"addMeetingParticipant": of("meeting.update"), "removeMeetingParticipant": of("meeting.update"), "listMeetingEvents": of("GetMeeting", "ListEvents"),
	"getMeetingAttendance": of("GetAttendance"), "getMeetingTranscript": of("GetTranscript"),
	"setLegalHold": of("meeting.hold"), "endLegalHold": of("meeting.hold"),

	"listRecordings": of("ListRecordings"), "getRecording": of("GetRecording"), "getRecordingCoverage": of("GetCoverage"),
	"syncAllRecordings": of("recording.sync_all"), "verifyRecording": of("recording.verify"), "shareRecording": of("recording.share"),
	"syncMeetingRecording": of("recording.sync"), "listJobs": of("ListJobs"), "getJob": of("GetJob"),

	"listParticipants": of("ListParticipants"), "getParticipant": of("GetParticipant"), "listUsers": of("ListUsers"), "getUser": of("GetUser"),
	"getMe": of("GetUser"), "getUserStats": of("GetUserStats"),
	"listManagedUsers": managing("ListUsers"), "createUser": managing("user.create"), "getManagedUser": managing("GetUser"),
	"replaceUser": managing("user.update"), "updateUser": managing("user.update"), "deactivateUser": managing("user.update"),
	"activateUser": managing("user.update"), "changePassword": managing("user.update"), "changeOwnPassword": of("user.update"),

	"getSetup": of("Diagnose"), "listKeys": of("ListKeys"), "createKey": of("access.create_key"), "getKey": of("GetKey"), "rotateKey": of("access.rotate_key"),
	"revokeKey": of("access.revoke_key"), "listAudit": of("ListAudit"), "verifyAudit": of("VerifyAudit"),
	"exportPerson": of("ExportPerson"), "erasePerson": of("privacy.erase"),
}

// needsOf panics where a route has none, or names an action that is not there, which any test finds.
func needsOf(id string) needs {
	n, there := routeNeeds[id]
	if !there {
		panic(fmt.Sprintf("compat: nobody has said who may call %s", id))
	}
	for _, action := range n.actions {
		if _, is := access.RuleOf(action); !is {
			panic(fmt.Sprintf("compat: %s needs %s, which pkg/access does not know", id, action))
		}
	}
	return n
}

// scopes are those that a limited credential needs.
func (n needs) scopes() []string {
	var all []string
	for _, action := range n.actions {
		if rule, _ := access.RuleOf(action); rule.Scope != "" {
			all = append(all, string(rule.Scope))
		}
	}
	return all
}

// permit refuses who may not call the route at all.
func (x *exchange) permit(n needs) error {
	ctx := x.r.Context()
	if n.anyone {
		return nil
	}
	if err := auth.SignedIn(ctx); err != nil {
		return err
	}
	if n.admin && x.principal().Role != string(access.Admin) {
		err := fault.New(fault.Forbidden, string(forbidden), "only an admin may manage users")
		auth.Refused(ctx, err)
		return err
	}
	for _, action := range n.actions {
		if err := auth.Permit(ctx, action); err != nil {
			return err
		}
	}
	return nil
}

// whole is the same request without the limits of its credential's scopes: for what a change that is permitted has to read.
func (x *exchange) whole() *exchange {
	other := *x
	other.r = x.r.WithContext(auth.Unscoped(x.r.Context()))
	return &other
}
